/*
 * check.c
 *	  ann_check: is an index sound, and does it agree with its table?
 *
 * A walk over the index looks at everything once: metapage and directory, then
 * each page of the file from the first to the last, with the elements and their
 * lists, then the lists and the trees of each chunk.  Reads and writes go on
 * meanwhile, so the walk is repeated if it has found something; what three
 * walks have found is reported.  If rows are asked for, all entries of the index
 * are compared with the table, and all visible rows with the entries.
 *
 * Codes, what is wrong, and what 'offset' is:
 *
 *	 meta				no metapage, or one with values out of range
 *	 centre				the centre is missing, or not finite
 *	 directory			a page of the directory; or too many chunks
 *	 chunk				an entry of the directory			number in the page
 *	 page				not a page of ann, or of no chunk
 *	 roots				the list of roots of a chunk
 *	 node				a node is not what it should be		slot
 *	 node_link			leads to something that is no node	slot (roots: number)
 *	 node_twice			reached on two ways					slot
 *	 node_depth			a path that is too long				slot
 *	 leaf_twice			reached on two ways
 *	 leaf_chain			pages of a leaf are missing, or others'
 *	 leaf_blocks		blocks of a page of a leaf, their number
 *	 leaf_before		the count of rows before a page of a leaf
 *	 leaf_last			where the last block of a leaf is said to be
 *	 leaf_element		a row leads to no element			row in the page
 *	 leaf_freed			a row leads to a freed element		row in the page
 *	 leaf_factors		factors of a code					row in the page
 *	 element_slots		how far a page of elements is in use
 *	 element			values of an element				slot + 1
 *	 element_vector		a vector that is not finite			slot + 1
 *	 element_rest		pages of a long one are missing		slot + 1
 *	 element_unreferenced	a tree has no code of an element with a
 *							visible row, or no way along the links of a
 *							graph leads to it				slot + 1
 *	 links				a node has too many					slot + 1
 *	 link_element		a link behind the end, or to itself	slot + 1
 *	 link_twice			two links to one element			slot + 1
 *	 link_factors		factors of a link's code			slot + 1
 *	 tids_list			beginning or end of a list			of its owner
 *	 tids_link			leads to no segment of TIDs			of who leads there
 *	 tids_segment		values of a segment					item
 *	 tids_twice			a segment of two lists				item
 *	 tids_orphan		a segment of no list				item
 *	 row_chunk			a row of another chunk's part of the table	of its owner
 *	 row_link			a TID behind the end of the table	of its owner
 *	 row_list			a row in a list where it should not be	of its owner
 *	 row_vector			an element with another vector than its row's	slot + 1
 *	 row_twice			a row that is in the index more than once	of its owner
 *	 row_missing		a visible row that is not in the index
 *	 more				there is more than is reported
 *
 * The owner of a list is an element (slot + 1) or the entry of a chunk (its
 * number in the page of the directory).
 *
 * What waits for VACUUM is not wrong: dead elements, their codes, pages that nothing
 * leads to, and in a graph with dead nodes what only these have led to.
 *
 * Memory: 7 bytes for each page of the index, the sets of nodes and segments
 * (a bit for each, and 50 bytes a page), and with 'heap' the sets of the living
 * elements, of those of one tree (the same again), and of the rows seen so far,
 * about one hundredth of the table.  And the findings, 10,000 at most.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "am/check.h"
#include "am/inspect.h"
#include "catalog/index.h"
#include "compat.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* So many times something is looked at before it is believed to be wrong. */
#define TRIES 3

/* So often the check begins anew since the dimensions have changed. */
#define RESTARTS 5


/* ---- Findings ----------------------------------------------------------- */

void
ann_check_report(AnnCheck *check, BlockNumber block, int offset, const char *code,
				 const char *problem,...)
{
	AnnFinding *finding;
	char		sentence[512];
	va_list		args;

	if (check->count == ANN_MAX_FINDINGS)
		return;
	if (check->count == check->capacity)
	{
		check->capacity *= 2;
		check->findings = repalloc(check->findings, sizeof(AnnFinding) * check->capacity);
	}
	finding = &check->findings[check->count++];
	finding->block = block;
	finding->offset = offset;
	finding->code = code;
	va_start(args, problem);
	vsnprintf(sentence, sizeof(sentence), problem, args);
	va_end(args);
	finding->problem = MemoryContextStrdup(check->context, sentence);
}

void
ann_check_truncate(AnnCheck *check, int count)
{
	while (check->count > count)
		pfree(check->findings[--check->count].problem);
}

bool
ann_check_confirm(AnnCheck *check, AnnExamine examine, void *state)
{
	int			count = check->count;

	for (int try = 0; try < TRIES; try++)
	{
		CHECK_FOR_INTERRUPTS();
		ann_check_truncate(check, count);
		examine(check, state);
		if (check->count == count && count < ANN_MAX_FINDINGS)
			return true;
	}
	return false;
}

static int
compare_findings(const void *left, const void *right)
{
	const AnnFinding *a = left;
	const AnnFinding *b = right;

	if (a->block != b->block)
		return a->block < b->block ? -1 : 1;
	if (a->offset != b->offset)
		return a->offset < b->offset ? -1 : 1;
	return strcmp(a->code, b->code);
}

/* Keep one finding of each place and code, in order. */
static void
sort_findings(AnnCheck *check)
{
	int			kept = 0;

	qsort(check->findings, check->count, sizeof(AnnFinding), compare_findings);
	for (int i = 0; i < check->count; i++)
	{
		AnnFinding *finding = &check->findings[i];

		if (kept > 0 && compare_findings(finding, &check->findings[kept - 1]) == 0)
			pfree(finding->problem);
		else
			check->findings[kept++] = *finding;
	}
	check->count = kept;
}

/* Keep those that are among 'earlier' ones as well; both are sorted. */
static void
intersect_findings(AnnCheck *check, const AnnFinding *earlier, int num_earlier)
{
	int			kept = 0;

	for (int i = 0; i < check->count; i++)
	{
		AnnFinding *finding = &check->findings[i];

		if (bsearch(finding, earlier, num_earlier, sizeof(AnnFinding),
					compare_findings) != NULL)
			check->findings[kept++] = *finding;
		else
			pfree(finding->problem);
	}
	check->count = kept;
}


/* ---- Reading ------------------------------------------------------------ */

/* As page_is_ours in page.c. */
static bool
is_our_page(Page page)
{
	PageHeader	header = (PageHeader) page;

	return header->pd_special == BLCKSZ - sizeof(AnnPageTail) &&
		header->pd_lower >= SizeOfPageHeaderData &&
		header->pd_lower <= header->pd_upper &&
		header->pd_upper <= header->pd_special &&
		ANN_PAGE_TAIL(page)->page_id == ANN_PAGE_ID &&
		ANN_PAGE_TAIL(page)->kind >= ANN_PAGE_META &&
		ANN_PAGE_TAIL(page)->kind <= ANN_PAGE_FREE;
}

int
ann_check_page(AnnCheck *check, BlockNumber block, BufferAccessStrategy strategy,
			   PGAlignedBlock *copy)
{
	Buffer		buffer = ReadBufferExtended(check->index, MAIN_FORKNUM, block,
											RBM_NORMAL, strategy);

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	memcpy(copy->data, BufferGetPage(buffer), BLCKSZ);
	UnlockReleaseBuffer(buffer);
	if (PageIsNew((Page) copy->data))
		return 0;
	return is_our_page((Page) copy->data) ? ANN_PAGE_TAIL(copy->data)->kind : -1;
}

const char *
ann_check_linked(AnnCheck *check, BlockNumber block, AnnPageKind kind, uint32 chunk,
				 PGAlignedBlock *copy)
{
	static const char *const others[] = {
		"an empty page", "a metapage", "a page of the directory", "a page of roots",
		"a page of nodes", "a page of a leaf", "a page of elements",
		"a page of the rest of an element", "a page of TIDs", "a page of the centre",
		"a free page"
	};
	int			found;

	/* those of leaves are many, and each is read once */
	if (block >= check->blocks && block >= RelationGetNumberOfBlocks(check->index))
		return "behind the end of the file";
	found = ann_check_page(check, block, kind == ANN_PAGE_LEAF ? check->strategy : NULL,
						   copy);
	if (found < 0)
		return "not a page of ann";
	if (found != (int) kind)
		return others[found];
	if (ANN_PAGE_TAIL(copy->data)->chunk != chunk)
		return "of another chunk";
	return NULL;
}


/* ---- Walks -------------------------------------------------------------- */

/* Look at everything once.  False if nothing but noise could be looked at. */
static bool
walk_index(AnnCheck *check)
{
	bool		usable = ann_check_head(check);

	check->segments = ann_place_set_make();
	check->freed = ann_place_set_make();
	check->living = check->rows == NULL ? NULL : ann_place_set_make();
	check->garbage = false;
	check->lists_whole = check->directory_whole;
	ann_check_pages(check);
	if (!usable)
		return false;
	ann_check_chunk_lists(check);
	ann_check_orphans(check);
	ann_check_trees(check);
	return true;
}

/* What three walks find.  False if the metapage is of no use. */
static bool
walk_confirmed(AnnCheck *check)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ann check walk",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	AnnFinding *earlier = NULL;
	int			num_earlier = 0;
	bool		usable = true;

	for (int try = 0; try < TRIES; try++)
	{
		ann_check_truncate(check, 0);
		MemoryContextReset(context);
		usable = walk_index(check);
		sort_findings(check);
		if (try > 0)
			intersect_findings(check, earlier, num_earlier);
		if (check->count == 0)
			break;
		if (try + 1 == TRIES)
			break;

		/* texts of what is kept here are not needed */
		earlier = MemoryContextAlloc(check->context, sizeof(AnnFinding) * check->count);
		num_earlier = check->count;
		memcpy(earlier, check->findings, sizeof(AnnFinding) * num_earlier);
	}
	MemoryContextSwitchTo(old);
	return usable;
}

/*
 * All of the check.  It begins anew if the dimensions of the index change, upon
 * which nothing is what it was.
 */
static void
run_check(AnnCheck *check)
{
	for (int restart = 0; restart < RESTARTS; restart++)
	{
		AnnMeta		meta;

		ann_check_truncate(check, 0);
		if (!walk_confirmed(check))
			return;
		if (check->rows != NULL)
			ann_check_rows(check);
		if (!ann_check_read_meta(check, &meta) ||
			(meta.epoch == check->meta.epoch && meta.dim == check->meta.dim))
			return;
	}
	ann_check_truncate(check, 0);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("the dimensions of index \"%s\" keep changing",
					RelationGetRelationName(check->index))));
}


/* ---- The function ------------------------------------------------------- */

/*
 * Open an index and its table, the table first, as all do who lock it more
 * strongly.
 */
static Relation
open_both(Oid oid, Relation *heap)
{
	Oid			heap_oid = IndexGetRelation(oid, true);
	Relation	index;

	*heap = OidIsValid(heap_oid) ? table_open(heap_oid, AccessShareLock) : NULL;
	index = ann_open_index(oid);
	if (*heap == NULL || heap_oid != index->rd_index->indrelid)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("could not open the table of index \"%s\"",
						RelationGetRelationName(index))));
	return index;
}

/* Refuse what cannot be checked.  False if there is nothing to be checked. */
static bool
is_checkable(Relation index, bool with_heap)
{
	if (!index->rd_index->indisvalid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot check index \"%s\"", RelationGetRelationName(index)),
				 errdetail("The index is not valid.")));
	if (with_heap && IsolationUsesXactSnapshot() && index->rd_index->indcheckxmin &&
		!TransactionIdPrecedes(HeapTupleHeaderGetXmin(index->rd_indextuple->t_data),
							   GetActiveSnapshot()->xmin))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("index \"%s\" is newer than the snapshot of this transaction",
						RelationGetRelationName(index))));
	if (index->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED && RecoveryInProgress())
	{
		ereport(NOTICE,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("unlogged index \"%s\" is empty on a standby",
						RelationGetRelationName(index))));
		return false;
	}
	return true;
}

/*
 * Compare with the table as its owner, since expressions of the index run his
 * code, and with a search path that the caller has no say in.
 */
static void
run_check_as_owner(AnnCheck *check, Relation heap)
{
	Oid			user;
	int			security;
	int			nesting;

	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(heap->rd_rel->relowner,
						   security | SECURITY_RESTRICTED_OPERATION);
	nesting = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	check->rows = ann_check_rows_begin(heap, check->index, GetActiveSnapshot());
	run_check(check);
	ann_check_rows_end(check->rows);
	AtEOXact_GUC(false, nesting);
	SetUserIdAndSecContext(user, security);
}

/* Return the findings. */
static void
put_findings(const AnnCheck *check, ReturnSetInfo *result)
{
	for (int i = 0; i < check->count; i++)
	{
		const AnnFinding *finding = &check->findings[i];
		Datum		values[4];
		bool		nulls[4] = {false};

		nulls[0] = (finding->block == InvalidBlockNumber);
		values[0] = Int64GetDatum((int64) finding->block);
		nulls[1] = (finding->offset < 0);
		values[1] = Int32GetDatum(finding->offset);
		values[2] = CStringGetTextDatum(finding->code);
		values[3] = CStringGetTextDatum(finding->problem);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/* Note at the end that there was no room for more. */
static void
mark_full(AnnCheck *check)
{
	if (check->count < ANN_MAX_FINDINGS)
		return;
	ann_check_truncate(check, ANN_MAX_FINDINGS - 1);
	ann_check_report(check, InvalidBlockNumber, -1, "more",
					 "there are more problems, of which %d are reported", check->count);
}

PG_FUNCTION_INFO_V1(ann_check);

/* ann_check(index, heap): a row for each problem. */
Datum
ann_check(PG_FUNCTION_ARGS)
{
	bool		with_heap = PG_GETARG_BOOL(1);
	AnnCheck   *check = palloc0(sizeof(AnnCheck));
	Relation	heap;

	InitMaterializedSRF(fcinfo, 0);
	check->index = open_both(PG_GETARG_OID(0), &heap);
	if (is_checkable(check->index, with_heap))
	{
		check->strategy = GetAccessStrategy(BAS_BULKREAD);
		check->context = CurrentMemoryContext;
		check->capacity = 64;
		check->findings = palloc(sizeof(AnnFinding) * check->capacity);
		if (with_heap)
			run_check_as_owner(check, heap);
		else
			run_check(check);
		mark_full(check);
		put_findings(check, (ReturnSetInfo *) fcinfo->resultinfo);
		FreeAccessStrategy(check->strategy);
	}
	index_close(check->index, AccessShareLock);
	table_close(heap, AccessShareLock);
	return (Datum) 0;
}
