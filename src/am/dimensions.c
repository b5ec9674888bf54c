/*
 * dimensions.c
 *	  The number of dimensions of an index that was created empty.
 *
 * The first row sets it.  Should that row never be committed, or all rows be
 * deleted, a row of another number may come, and the index begins anew: the
 * epoch is counted up, which makes garbage of all pages of elements, and no
 * chunk has trees any more.
 *
 * No lock keeps inserts away meanwhile.  Instead, who changes the dimensions
 * first says so in the directory's first entry, then looks for rows, then changes
 * them or not; and who adds a row, to whatever chunk, looks at that entry
 * afterwards.  Either the first finds the row, or the second finds the note, and
 * waits for the outcome.
 *
 * Rows that nobody sees any more may have been deleted a moment ago, so that a
 * standby has snapshots that see them, and no record of the table has told it that
 * they go.  So one of ours does, before the first of them goes.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "am/dimensions.h"
#include "am/options.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "store/centre_pages.h"
#include "store/conflict.h"
#include "store/element.h"
#include "utils/snapmgr.h"

/* So often all pages of elements are freed; they know 256 epochs. */
#define FREED_EPOCHS 128

/*
 * Write a row as the centre that the metapage is about to lead to; none but
 * under L2.  Until it does, the caller has the structure lock.
 */
static BlockNumber
write_centre(Relation index, const AnnVector *row)
{
	float	   *floats = palloc(sizeof(float) * row->dim);
	BlockNumber first = InvalidBlockNumber;

	if (ann_index(index)->meta.metric == ANN_METRIC_L2)
		first = ann_centre_write_live(index, ann_source_floats(row, NULL, floats), row->dim);
	pfree(floats);
	return first;
}

/* If another one is faster, our centre is for vacuum to find. */
void
ann_dimensions_set(Relation index, const AnnVector *row)
{
	AnnEdit		edit;
	AnnMeta    *meta;
	BlockNumber centre;

	ann_structure_lock(index, ShareLock);
	centre = write_centre(index, row);
	ann_edit_begin(&edit, index);
	meta = (AnnMeta *) ANN_PAGE_BODY(ann_edit_add(&edit,
												  ann_page_read(index, ANN_META_BLOCK, ANN_PAGE_META,
																BUFFER_LOCK_EXCLUSIVE)));
	if (meta->dim == 0)
	{
		meta->dim = row->dim;
		meta->code_bits = ANN_CODE_BITS(row->dim);
		meta->centre = centre;
	}
	ann_edit_commit(&edit);
	ann_structure_unlock(index, ShareLock);
}

/* ---- the lock of the change ---- */

void
ann_dimensions_lock(Relation index, LOCKMODE mode)
{
	LockPage(index, ANN_META_BLOCK, mode);
}

void
ann_dimensions_unlock(Relation index, LOCKMODE mode)
{
	UnlockPage(index, ANN_META_BLOCK, mode);
}

/* Say that the dimensions are about to change, or that they stay. */
static void
note_change(Relation index, bool changing)
{
	AnnEdit		edit;
	AnnChunk   *chunk = ann_chunk_edit(&edit, index, 0);

	if (changing)
		chunk->epoch |= ANN_EPOCH_CHANGING;
	else
		chunk->epoch &= ~ANN_EPOCH_CHANGING;
	ann_edit_commit(&edit);
}

bool
ann_dimensions_confirm(Relation index, uint32 epoch)
{
	AnnChunk	chunk;

	ann_chunk_read(index, 0, &chunk);
	if (chunk.epoch == epoch)
		return true;
	if (chunk.epoch != (epoch | ANN_EPOCH_CHANGING))
		return false;

	/* whoever comes after the one that is at it now finds our row */
	ann_dimensions_lock(index, ShareLock);
	ann_dimensions_unlock(index, ShareLock);
	ann_chunk_read(index, 0, &chunk);
	return (chunk.epoch & ~ANN_EPOCH_CHANGING) == epoch;
}

/* ---- looking for rows ---- */

typedef struct Search
{
	Relation	index;
	Relation	heap;
	SnapshotData snapshot;		/* sees all that is not dead to everyone */
	TransactionId horizon;		/* deleters of what it does not see are older */
	bool		is_logged;		/* standbys are told that rows of these go */
	bool		found;
	ItemPointerData tid;
} Search;

/* As vacuum asks: is there no row any more? */
static bool
is_gone(ItemPointer tid, void *state)
{
	Search	   *search = state;
	ItemPointerData row = *tid;

	if (search->found ||
		table_index_fetch_tuple_check(search->heap, &row, &search->snapshot, NULL))
	{
		if (!search->found)
			search->tid = *tid;
		search->found = true;
		return false;
	}
	if (!search->is_logged)
		ann_conflict_log(search->index, search->horizon);
	search->is_logged = true;
	return true;
}

/* Look for a row that stays among those of a chunk that have no distance. */
static void
search_undefined(Relation index, uint32 number, Search *search)
{
	ItemPointer tids = NULL;
	int			capacity = 0;
	int			n = ann_chunk_tids(index, number, offsetof(AnnChunk, undefined), &tids,
								   &capacity);

	for (int i = 0; i < n && !search->found; i++)
		is_gone(&tids[i], search);
	if (tids != NULL)
		pfree(tids);
}

/* Vacuum the index until a row is found that stays. */
static void
search_rows(Relation index, const AnnIndex *info, Search *search)
{
	AnnVacuum	vacuum = {0};
	AnnChunk   *chunks;
	uint32		num_chunks;
	BlockNumber blocks = RelationGetNumberOfBlocks(index);

	vacuum.index = index;
	vacuum.callback = is_gone;
	vacuum.state = search;
	(void) ann_index_chunks(index, &chunks, &num_chunks);
	pfree(chunks);
	for (uint32 i = 0; i < num_chunks && !search->found; i++)
		search_undefined(index, i, search);
	for (BlockNumber block = ANN_DIRECTORY_BLOCK + 1; block < blocks && !search->found; block++)
	{
		CHECK_FOR_INTERRUPTS();
		ann_element_page_vacuum(&vacuum, info, block);
	}
}

/* The first element of a page that has a row. */
static void
note_row(AnnElementRef ref, uint32 chunk, const AnnElement *element, void *state)
{
	Search	   *search = state;

	if (!ItemPointerIsValid(&search->tid))
		search->tid = element->heap;
}

/*
 * Look for a row that stays without the lock, which a vacuum has for long: usually
 * there is one on the first page, and the row that is to be inserted is refused.
 */
static bool
find_row(Relation index, const AnnVector *row, Search *search)
{
	AnnChunk	chunk;
	AnnIndex   *info = ann_index_copy(ann_index_chunk(index, 0, &chunk));
	BlockNumber blocks = RelationGetNumberOfBlocks(index);

	/* others may have changed the dimensions meanwhile, to those of the row */
	search->found = false;
	if ((int) info->meta.dim == row->dim)
		blocks = 0;
	for (BlockNumber block = ANN_DIRECTORY_BLOCK + 1;
		 block < blocks && info->meta.dim != 0 && !search->found; block++)
	{
		ItemPointerData tid;

		CHECK_FOR_INTERRUPTS();
		ItemPointerSetInvalid(&search->tid);
		ann_element_page_visit(index, info, block, NULL, note_row, search);
		tid = search->tid;
		search->found = ItemPointerIsValid(&tid) &&
			table_index_fetch_tuple_check(search->heap, &tid, &search->snapshot, NULL);
	}
	pfree(info);
	return search->found;
}

/*
 * If the row that was found belongs to a transaction that has not ended, wait for
 * it.  True if it is worth looking again.
 */
static bool
wait_for_row(Search *search)
{
	SnapshotData dirty;
	ItemPointerData row = search->tid;
	TransactionId xid;

	InitDirtySnapshot(dirty);
	if (!table_index_fetch_tuple_check(search->heap, &row, &dirty, NULL))
	{
		/* gone by now, or deleted and visible to older snapshots */
		row = search->tid;
		return !table_index_fetch_tuple_check(search->heap, &row, &search->snapshot, NULL);
	}
	xid = TransactionIdIsValid(dirty.xmin) ? dirty.xmin : dirty.xmax;
	if (!TransactionIdIsValid(xid))
		return false;
	XactLockTableWait(xid, search->heap, &row, XLTW_InsertIndex);
	return true;
}

/* ---- changing ---- */

/*
 * Pages of elements know the low byte of their epoch.  Before one comes again,
 * free all of them: at this point no row needs any.
 */
static void
free_elements(Relation index)
{
	BlockNumber blocks = RelationGetNumberOfBlocks(index);

	for (BlockNumber block = ANN_DIRECTORY_BLOCK + 1; block < blocks; block++)
	{
		AnnPageTail tail;
		Size		room;

		CHECK_FOR_INTERRUPTS();
		if (ann_page_look(index, block, NULL, &tail, &room) && tail.kind == ANN_PAGE_ELEMENT)
			ann_page_reclaim(index, block, ANN_PAGE_ELEMENT, tail.generation);
	}
}

static void
switch_dimensions(Relation index, const AnnVector *row)
{
	AnnEdit		edit;
	AnnMeta    *meta;
	AnnChunk   *chunk;
	BlockNumber centre;
	Buffer		buffer;
	Size		at;

	if ((ann_index(index)->meta.epoch + 1) % FREED_EPOCHS == 0)
		free_elements(index);
	ann_structure_lock(index, ShareLock);
	centre = write_centre(index, row);
	ann_edit_begin(&edit, index);
	meta = (AnnMeta *) ANN_PAGE_BODY(ann_edit_add(&edit,
												  ann_page_read(index, ANN_META_BLOCK, ANN_PAGE_META,
																BUFFER_LOCK_EXCLUSIVE)));
	buffer = ann_chunk_lock(index, 0, BUFFER_LOCK_EXCLUSIVE, &at);
	chunk = (AnnChunk *) ((char *) ann_edit_add(&edit, buffer) + at);
	meta->dim = row->dim;
	meta->code_bits = ANN_CODE_BITS(row->dim);
	meta->centre = centre;
	meta->epoch = (meta->epoch + 1) & ~ANN_EPOCH_CHANGING;
	ann_chunk_empty(chunk, meta->epoch);
	ann_edit_commit(&edit);
	ann_structure_unlock(index, ShareLock);
}

/* One try, under the lock of the change; what stands in the way goes to search. */
static bool
try_change(Relation index, const AnnVector *row, Search *search)
{
	AnnChunk	chunk;
	const AnnIndex *info = ann_index_chunk(index, 0, &chunk);
	AnnIndex   *own;

	if (info->meta.dim == 0 || (int) info->meta.dim == row->dim)
		return true;
	own = ann_index_copy(info);
	note_change(index, true);
	search->found = false;

	/* this is what the snapshot goes by from here on, while we take no other one */
	search->horizon = GetOldestNonRemovableTransactionId(search->heap);
	search->is_logged = false;
	search_rows(index, own, search);
	if (search->found)
		note_change(index, false);
	else
		switch_dimensions(index, row);
	pfree(own);
	return !search->found;
}

bool
ann_dimensions_change(Relation index, Relation heap, const AnnVector *row)
{
	int			fixed = ann_options(index)->dimensions;
	Search		search;

	if (fixed != 0 && fixed != row->dim)
		return false;
	search.index = index;
	search.heap = heap;
	InitNonVacuumableSnapshot(search.snapshot, GlobalVisTestFor(heap));
	for (;;)
	{
		if (!find_row(index, row, &search))
		{
			bool		changed;

			ann_dimensions_lock(index, ExclusiveLock);
			changed = try_change(index, row, &search);
			ann_dimensions_unlock(index, ExclusiveLock);
			if (changed)
				return true;
		}
		if (!wait_for_row(&search))
			return false;
	}
}
