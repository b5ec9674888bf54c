/*
 * compat.h
 *	  What differs between PostgreSQL 15, 16, 17 and 18.
 *
 * The only file that may test PG_VERSION_NUM.  Included after postgres.h.
 */
#ifndef ANN_COMPAT_H
#define ANN_COMPAT_H

#include "fmgr.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/rel.h"

/* 16 moved VARSIZE_ANY and its siblings out of postgres.h. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 18 spells the attribute as C11 does, before the declaration. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn __attribute__((noreturn))
#endif

/* From 18 on a module tells its name and version. */
#if PG_VERSION_NUM >= 180000
#define ANN_MODULE_MAGIC PG_MODULE_MAGIC_EXT(.name = "ann", .version = "0.1.0")
#else
#define ANN_MODULE_MAGIC PG_MODULE_MAGIC
#endif

/* From 18 on any plan beats one with more disabled nodes, whatever it costs. */
#if PG_VERSION_NUM >= 180000
#define ann_path_disable(path) ((path)->disabled_nodes = 2)
#else
#define ann_path_disable(path) ((void) (path))
#endif

/* 18 names the direction of a sort by a type of its own. */
#if PG_VERSION_NUM >= 180000
#define ann_pathkey_ascends(pathkey) ((pathkey)->pk_cmptype == COMPARE_LT)
#else
#define ann_pathkey_ascends(pathkey) ((pathkey)->pk_strategy == BTLessStrategyNumber)
#endif

/*
 * Go through the members of an equivalence class, those of the table with these
 * relids among them even if it is a partition, which 18 keeps apart.
 */
#if PG_VERSION_NUM >= 180000
#define ANN_FOREACH_MEMBER(member, eclass, relids) \
	EquivalenceMemberIterator members; \
	setup_eclass_member_iterator(&members, eclass, relids); \
	while ((member = eclass_member_iterator_next(&members)) != NULL)
#else
#define ANN_FOREACH_MEMBER(member, eclass, relids) \
	for (int members = 0; members < list_length((eclass)->ec_members) && \
		 (member = list_nth_node(EquivalenceMember, (eclass)->ec_members, members)) != NULL; \
		 members++)
#endif

/* 16 renamed the file of a relation. */
#if PG_VERSION_NUM >= 160000
#define ANN_LOCATOR(relation) (&(relation)->rd_locator)
#else
#define ANN_LOCATOR(relation) (&(relation)->rd_node)
#endif

/* 16 gave the fields of xl_btree_reuse_page other names. */
#if PG_VERSION_NUM >= 160000
#define ANN_REUSE_LOCATOR locator
#define ANN_REUSE_HORIZON snapshotConflictHorizon
#else
#define ANN_REUSE_LOCATOR node
#define ANN_REUSE_HORIZON latestRemovedFullXid
#endif

/* From 16 on pages that go to smgr must lie where direct I/O allows it. */
static inline Page
ann_alloc_io_page(MemoryContext context)
{
#if PG_VERSION_NUM >= 160000
	return MemoryContextAllocAligned(context, BLCKSZ, PG_IO_ALIGN_SIZE, 0);
#else
	return MemoryContextAlloc(context, BLCKSZ);
#endif
}

/* Add a page of zeros to a relation: pinned, and locked exclusively. */
static inline Buffer
ann_extend_relation(Relation relation)
{
#if PG_VERSION_NUM >= 160000
	return ExtendBufferedRel(BMR_REL(relation), MAIN_FORKNUM, NULL, EB_LOCK_FIRST);
#else
	bool		need_lock = !RELATION_IS_LOCAL(relation);
	Buffer		buffer;

	if (need_lock)
		LockRelationForExtension(relation, ExclusiveLock);
	buffer = ReadBuffer(relation, P_NEW);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (need_lock)
		UnlockRelationForExtension(relation, ExclusiveLock);
	return buffer;
#endif
}

/* From 18 on EXPLAIN ANALYZE tells how often an index was searched. */
#if PG_VERSION_NUM >= 180000
#define ann_count_search(scan) \
	((scan)->instrument != NULL ? (void) (scan)->instrument->nsearches++ : (void) 0)
#else
#define ann_count_search(scan) ((void) (scan))
#endif

/* From 16 on reading less than asked for is an error. */
#if PG_VERSION_NUM < 160000
#include "storage/buffile.h"
static inline void
BufFileReadExact(BufFile *file, void *data, size_t size)
{
	if (BufFileRead(file, data, size) != size)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read from temporary file")));
}
#endif

/* 16 has one function for all kinds of objects. */
#include "miscadmin.h"
#include "utils/acl.h"
#if PG_VERSION_NUM >= 160000
#include "catalog/pg_proc.h"
#define ann_may_execute(function) \
	(object_aclcheck(ProcedureRelationId, function, GetUserId(), ACL_EXECUTE) == ACLCHECK_OK)
#else
#define ann_may_execute(function) \
	(pg_proc_aclcheck(function, GetUserId(), ACL_EXECUTE) == ACLCHECK_OK)
#endif

/* 18 tells analyze from vacuum. */
#if PG_VERSION_NUM >= 180000
#define ann_vacuum_delay_point() vacuum_delay_point(false)
#else
#define ann_vacuum_delay_point() vacuum_delay_point()
#endif

#endif							/* ANN_COMPAT_H */
