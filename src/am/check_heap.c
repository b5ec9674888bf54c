/*
 * check_heap.c
 *	  ann_check: do the index and its table tell the same?
 *
 * Each TID of the index is looked up in the table.  If a row is visible there,
 * it must belong where it was found, and must not have been found before.  Then
 * all visible rows of the table must have been found.
 *
 * Changes of others do no harm.  The snapshot is older than the walk through the
 * index, so that the entries of all rows that it sees are there, and stay;
 * entries that come or go are of rows that it does not see.
 */
#include "postgres.h"

#include "access/relscan.h"
#include "access/tableam.h"
#include "am/check.h"
#include "am/source.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "store/element.h"
#include "store/tids.h"

struct AnnCheckRows
{
	/* Unchanging, set at the beginning */
	Relation	heap;
	Snapshot	snapshot;
	BlockNumber blocks;			/* of the table, which does not shrink */
	IndexInfo  *index_info;
	EState	   *estate;
	ExprState  *predicate;		/* of a partial index, else NULL */
	TupleTableSlot *slot;
	IndexFetchTableData *fetch;

	/* Of one comparison */
	AnnPlaceSet *found;			/* visible rows */
	AnnElement *stored;			/* scratch: an element, ... */
	AnnElement *made;			/* ... and one made of a row */
	ItemPointer tids;			/* scratch: those of a list; outlives a walk */
	int			capacity;
};

/* Where a row is said to be. */
typedef enum RowPlace
{
	ROW_ELEMENT,
	ROW_NULL,
	ROW_UNDEFINED,
	ROW_NOWHERE					/* its value cannot be indexed */
} RowPlace;

static const char *const place_names[] = {
	"at an element", "among NULLs", "among those without distance", "in no index"
};

/* An entry of the index. */
typedef struct RowEntry
{
	BlockNumber block;			/* for the report */
	int			offset;
	uint32		chunk;
	RowPlace	place;
	const AnnElement *element;	/* NULL but for ROW_ELEMENT */
} RowEntry;


/* ---- The table ---------------------------------------------------------- */

AnnCheckRows *
ann_check_rows_begin(Relation heap, Relation index, Snapshot snapshot)
{
	AnnCheckRows *rows = palloc0(sizeof(AnnCheckRows));

	rows->heap = heap;
	rows->snapshot = snapshot;
	rows->blocks = RelationGetNumberOfBlocks(heap);
	rows->index_info = BuildIndexInfo(index);
	rows->estate = CreateExecutorState();
	rows->predicate = ExecPrepareQual(rows->index_info->ii_Predicate, rows->estate);
	rows->slot = table_slot_create(heap, NULL);
	GetPerTupleExprContext(rows->estate)->ecxt_scantuple = rows->slot;
	rows->fetch = table_index_fetch_begin(heap);
	rows->capacity = 1024;
	rows->tids = palloc(sizeof(ItemPointerData) * rows->capacity);
	return rows;
}

void
ann_check_rows_end(AnnCheckRows *rows)
{
	table_index_fetch_end(rows->fetch);
	ExecDropSingleTupleTableSlot(rows->slot);
	FreeExecutorState(rows->estate);
}

/* Is a TID within the table? */
static bool
is_in_table(AnnCheckRows *rows, const ItemPointerData *tid)
{
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(tid);

	if (block >= rows->blocks)
		rows->blocks = RelationGetNumberOfBlocks(rows->heap);
	return block < rows->blocks;
}

/* Fetch the visible row of a TID of the index to the slot. */
static bool
fetch_row(AnnCheckRows *rows, const ItemPointerData *tid)
{
	ItemPointerData row = *tid;
	bool		call_again = false;

	CHECK_FOR_INTERRUPTS();
	return table_index_fetch_tuple(rows->fetch, &row, rows->snapshot, rows->slot,
								   &call_again, NULL);
}

static void
forget_row(AnnCheckRows *rows)
{
	ResetPerTupleExprContext(rows->estate);
	ExecClearTuple(rows->slot);
	table_index_fetch_reset(rows->fetch);
}

/*
 * Where the row in the slot belongs, by its value, which goes to *vector if that
 * is at an element.  Good until the row is forgotten.
 */
static RowPlace
place_of_row(AnnCheck *check, AnnVector *vector)
{
	AnnCheckRows *rows = check->rows;
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];
	MemoryContext old;
	AnnProblem	problem;

	FormIndexDatum(rows->index_info, rows->slot, rows->estate, values, isnull);
	if (isnull[0])
		return ROW_NULL;
	old = MemoryContextSwitchTo(GetPerTupleMemoryContext(rows->estate));
	problem = ann_source_examine(DatumGetArrayTypeP(values[0]), check->meta.dim, vector);
	MemoryContextSwitchTo(old);
	if (problem != ANN_PROBLEM_NONE)
		return ROW_NOWHERE;
	if (check->meta.metric == ANN_METRIC_COSINE && ann_source_is_zero(vector))
		return ROW_UNDEFINED;
	return ROW_ELEMENT;
}


/* ---- Entries of the index ----------------------------------------------- */

/* Compare the vector of the row in the slot with its element's. */
static void
compare_vector(AnnCheck *check, const RowEntry *entry, const ItemPointerData *tid,
			   const AnnVector *vector)
{
	AnnElement *made = check->rows->made;
	bool		same;

	if (check->meta.scalar == ANN_SCALAR_NONE)
		return;
	ann_element_make(check->info, vector->data, vector->is_double, made);
	same = made->exponent == entry->element->exponent &&
		memcmp(made->vector, entry->element->vector,
			   ann_scalar_bytes(check->meta.scalar, check->meta.dim)) == 0;
	if (!same)
		ann_check_report(check, entry->block, entry->offset, "row_vector",
						 "row (%u,%u) has another vector than its element",
						 ItemPointerGetBlockNumberNoCheck(tid),
						 ItemPointerGetOffsetNumberNoCheck(tid));
	else if (!(entry->element->error >= made->error))
		ann_check_report(check, entry->block, entry->offset, "row_vector",
						 "row (%u,%u) is rounded by %g, its element by %g only",
						 ItemPointerGetBlockNumberNoCheck(tid),
						 ItemPointerGetOffsetNumberNoCheck(tid),
						 made->error, entry->element->error);
}

/* A TID of the index, whose row is in the slot. */
static void
check_visible(AnnCheck *check, const RowEntry *entry, const ItemPointerData *tid)
{
	AnnCheckRows *rows = check->rows;
	const ItemPointerData *row = &rows->slot->tts_tid;
	AnnVector	vector;
	RowPlace	place;

	if (!ann_place_set_add(rows->found, ItemPointerGetBlockNumberNoCheck(row),
						   ItemPointerGetOffsetNumberNoCheck(row)))
		ann_check_report(check, entry->block, entry->offset, "row_twice",
						 "row (%u,%u) is in the index more than once",
						 ItemPointerGetBlockNumberNoCheck(tid),
						 ItemPointerGetOffsetNumberNoCheck(tid));
	place = place_of_row(check, &vector);
	if (place != entry->place)
		ann_check_report(check, entry->block, entry->offset, "row_list",
						 "row (%u,%u) is %s, but should be %s",
						 ItemPointerGetBlockNumberNoCheck(tid),
						 ItemPointerGetOffsetNumberNoCheck(tid),
						 place_names[entry->place], place_names[place]);
	else if (place == ROW_ELEMENT)
		compare_vector(check, entry, tid, &vector);
}

/* A TID of the index. */
static void
check_tid(AnnCheck *check, const RowEntry *entry, const ItemPointerData *tid)
{
	AnnCheckRows *rows = check->rows;

	if (!ItemPointerIsValid(tid))
		return;					/* reported by the walk */
	if (!is_in_table(rows, tid))
	{
		ann_check_report(check, entry->block, entry->offset, "row_link",
						 "row (%u,%u) is behind the end of the table",
						 ItemPointerGetBlockNumberNoCheck(tid),
						 ItemPointerGetOffsetNumberNoCheck(tid));
		return;
	}
	if (ann_chunk_of(&check->meta, ItemPointerGetBlockNumber(tid)) != entry->chunk)
		ann_check_report(check, entry->block, entry->offset, "row_chunk",
						 "row (%u,%u) is in chunk %u, where it does not belong",
						 ItemPointerGetBlockNumber(tid), ItemPointerGetOffsetNumber(tid),
						 entry->chunk);
	if (fetch_row(rows, tid))
		check_visible(check, entry, tid);
	forget_row(rows);
}

/*
 * Follow a list for ourselves, and forget what was wrong: a list that does not
 * lead to its end is not read.
 */
static bool
is_list_sound(AnnCheck *check, AnnListOwner *owner)
{
	int			count = check->count;
	bool		sound = ann_check_list(check, owner, false);

	ann_check_truncate(check, count);
	return sound;
}

/* Has the element of a slot a row?  One that is free as well has been reported. */
static bool
is_alive(AnnCheck *check, Page page, int slot)
{
	const AnnElement *element = ann_check_slot(check, page, slot);

	return ItemPointerIsValid(&element->heap) && (element->state & ANN_ELEMENT_FREE) == 0;
}

/* All TIDs of the element on a copied page, to rows->tids; their number. */
static int
read_element_tids(AnnCheck *check, BlockNumber block, Page page, int slot)
{
	AnnCheckRows *rows = check->rows;
	const AnnElement *element = ann_check_slot(check, page, slot);
	AnnListOwner owner = {.chunk = ANN_PAGE_TAIL(page)->chunk, .block = block, .slot = slot};
	AnnElementRef ref;

	if (ItemPointerIsValid(&element->more.head) && is_list_sound(check, &owner))
	{
		ItemPointerSet(&ref, block, (OffsetNumber) (slot + 1));
		return ann_element_tids(check->index, check->info, ref, element, &rows->tids,
								&rows->capacity);
	}
	rows->tids[0] = element->heap;
	return 1;
}

bool
ann_check_element_visible(AnnCheck *check, BlockNumber block, Page page, int slot)
{
	AnnCheckRows *rows = check->rows;
	bool		visible = false;
	int			n;

	if (slot >= ann_check_slots(check, page) || !is_alive(check, page, slot))
		return false;
	n = read_element_tids(check, block, page, slot);
	for (int i = 0; i < n && !visible; i++)
	{
		if (!ItemPointerIsValid(&rows->tids[i]) || !is_in_table(rows, &rows->tids[i]))
			continue;
		visible = fetch_row(rows, &rows->tids[i]);
		forget_row(rows);
	}
	return visible;
}

/* The rows of an element on a copied page. */
static void
check_element_rows(AnnCheck *check, BlockNumber block, Page page, int slot)
{
	AnnCheckRows *rows = check->rows;
	RowEntry	entry = {block, slot + 1, ANN_PAGE_TAIL(page)->chunk, ROW_ELEMENT, rows->stored};
	BlockNumber where;
	int			n;

	if (!is_alive(check, page, slot))
		return;
	if (ann_check_assemble(check, page, slot, rows->stored, &where) != NULL)
		return;					/* reported by the walk, or gone */
	n = read_element_tids(check, block, page, slot);
	for (int i = 0; i < n; i++)
		check_tid(check, &entry, &rows->tids[i]);
}

/* All elements, page by page. */
static void
check_all_elements(AnnCheck *check)
{
	BlockNumber blocks = RelationGetNumberOfBlocks(check->index);

	for (BlockNumber block = 0; block < blocks; block++)
	{
		PGAlignedBlock copy;
		int			slots;

		CHECK_FOR_INTERRUPTS();
		if (ann_check_page(check, block, check->strategy, &copy) != ANN_PAGE_ELEMENT ||
			ANN_PAGE_TAIL(copy.data)->chunk >= check->num_chunks)
			continue;
		slots = ann_check_slots(check, (Page) copy.data);
		for (int slot = 0; slot < slots; slot++)
			check_element_rows(check, block, (Page) copy.data, slot);
	}
}

/* One of the two lists of a chunk. */
static void
check_chunk_rows(AnnCheck *check, uint32 chunk, Size list, RowPlace place)
{
	AnnCheckRows *rows = check->rows;
	RowEntry	entry = {check->directory[chunk / ANN_CHUNKS_PER_PAGE],
		(int) (chunk % ANN_CHUNKS_PER_PAGE), chunk, place, NULL};
	AnnListOwner owner = {.chunk = chunk, .is_chunk = true, .list = list};
	int			n;

	if (!is_list_sound(check, &owner))
		return;
	n = ann_chunk_tids(check->index, chunk, list, &rows->tids, &rows->capacity);
	for (int i = 0; i < n; i++)
		check_tid(check, &entry, &rows->tids[i]);
}


/* ---- Rows of the table -------------------------------------------------- */

/* The row in the slot, which is visible, must have been found. */
static void
check_row_found(AnnCheck *check)
{
	AnnCheckRows *rows = check->rows;
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(&rows->slot->tts_tid);
	OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(&rows->slot->tts_tid);
	AnnVector	vector;
	RowPlace	place;

	if (ann_place_set_has(rows->found, block, offset))
		return;
	if (rows->predicate != NULL &&
		!ExecQual(rows->predicate, GetPerTupleExprContext(rows->estate)))
		return;
	place = place_of_row(check, &vector);
	if (place == ROW_NOWHERE)
		ann_check_report(check, InvalidBlockNumber, -1, "row_missing",
						 "row (%u,%u) has a value that the index cannot have", block, offset);
	else
		ann_check_report(check, InvalidBlockNumber, -1, "row_missing",
						 "row (%u,%u) should be %s, but is not in the index", block, offset,
						 place_names[place]);
}

static void
check_all_rows(AnnCheck *check)
{
	AnnCheckRows *rows = check->rows;
	TableScanDesc scan = table_beginscan(rows->heap, rows->snapshot, 0, NULL);

	while (table_scan_getnextslot(scan, ForwardScanDirection, rows->slot))
	{
		CHECK_FOR_INTERRUPTS();
		check_row_found(check);
		ResetPerTupleExprContext(rows->estate);
	}
	ExecClearTuple(rows->slot);
	table_endscan(scan);
}

void
ann_check_rows(AnnCheck *check)
{
	AnnCheckRows *rows = check->rows;

	rows->found = ann_place_set_make();
	if (check->meta.dim != 0)
	{
		rows->stored = palloc(check->info->element_size);
		rows->made = palloc(check->info->element_size);
		check_all_elements(check);
		pfree(rows->stored);
		pfree(rows->made);
	}
	for (uint32 i = 0; i < check->num_chunks; i++)
	{
		check_chunk_rows(check, i, offsetof(AnnChunk, nulls), ROW_NULL);
		check_chunk_rows(check, i, offsetof(AnnChunk, undefined), ROW_UNDEFINED);
	}
	check_all_rows(check);
	ann_place_set_free(rows->found);
	rows->found = NULL;
}
