/*
 * alter.c
 *	  ALTER INDEX of options that say how an index is built: to tell the user that
 *	  it stays as it was built until the next REINDEX.
 *
 * amoptions does not know what it is called for.  But whoever alters a relation calls
 * the object access hook, when the catalog has the new options and the relation cache
 * still has the old ones.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "access/transam.h"
#include "am/alter.h"
#include "am/method.h"
#include "am/opclass.h"
#include "am/options.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

static object_access_hook_type previous_hook;

/* The options that the catalog has by now; NULL: none are set. */
static const AnnOptions *
altered_options(Relation index)
{
	Relation	classes = table_open(RelationRelationId, AccessShareLock);
	const AnnOptions *result = NULL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_class_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationGetRelid(index)));
	scan = systable_beginscan(classes, ClassOidIndexId, true, SnapshotSelf, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		result = (const AnnOptions *) extractRelOptions(tuple, RelationGetDescr(classes),
														index->rd_indam->amoptions);
	systable_endscan(scan);
	table_close(classes, AccessShareLock);
	return result;
}

static void
tell(Relation index, const char *option)
{
	ereport(NOTICE,
			(errmsg("option \"%s\" of index \"%s\" takes effect when it is built anew",
					option, RelationGetRelationName(index)),
			 errhint("REINDEX INDEX CONCURRENTLY does that while the table is in use.")));
}

static void
compare_options(Relation index)
{
	const AnnOptions *after = altered_options(index);
	const AnnOptions *before = ann_options(index);

	if (after == NULL)
		after = &ann_default_options;
	if (ann_method(index) == ANN_METHOD_ANNOY && after->trees != before->trees)
		tell(index, "trees");
	if (ann_method(index) == ANN_METHOD_HNSW && after->m != before->m)
		tell(index, "m");
	if (ann_method(index) == ANN_METHOD_HNSW &&
		after->ef_construction != before->ef_construction)
		tell(index, "ef_construction");
	if (after->scalar != before->scalar)
		tell(index, "scalar");
	if (after->chunk_blocks != before->chunk_blocks)
		tell(index, "chunk_blocks");
}

/* Is it an index of a method that some extension has brought? */
static bool
may_be_ours(Oid relation)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Form_pg_class class;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	class = (Form_pg_class) GETSTRUCT(tuple);
	result = class->relkind == RELKIND_INDEX && class->relam >= FirstNormalObjectId;
	ReleaseSysCache(tuple);
	return result;
}

/* Not everybody who alters an index has it locked: he may have its table. */
static void
note_access(ObjectAccessType access, Oid class, Oid object, int sub, void *arg)
{
	if (previous_hook)
		previous_hook(access, class, object, sub, arg);
	if (access == OAT_POST_ALTER && class == RelationRelationId && sub == 0 &&
		may_be_ours(object))
	{
		Relation	index = index_open(object, AccessShareLock);

		if (ann_is_index(index))
			compare_options(index);
		index_close(index, NoLock);
	}
}

void
ann_alter_init(void)
{
	previous_hook = object_access_hook;
	object_access_hook = note_access;
}
