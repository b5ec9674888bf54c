/*
 * vacuum.c
 *	  Taking the heap TIDs of dead rows out of an index.
 *
 * Elements and lists lose the TIDs; an element without any stays where it is,
 * and so do its codes, which lead to nothing.
 */
#include "postgres.h"

#include "am/method.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "storage/indexfsm.h"
#include "store/element.h"
#include "store/tids.h"

/* The lists of a chunk, which are in its entry of the directory. */
static void
vacuum_lists(AnnVacuum *vacuum, uint32 chunk)
{
	Size		at;
	Buffer		buffer = ann_chunk_lock(vacuum->index, chunk, BUFFER_LOCK_EXCLUSIVE, &at);
	AnnChunk   *entry = (AnnChunk *) ((char *) BufferGetPage(buffer) + at);
	ItemPointerData survivor;

	ann_tids_vacuum(vacuum, &entry->nulls, NULL, false, &survivor);
	ann_tids_vacuum(vacuum, &entry->undefined, NULL, false, &survivor);
	UnlockReleaseBuffer(buffer);
}

IndexBulkDeleteResult *
ann_bulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
			   IndexBulkDeleteCallback callback, void *callback_state)
{
	Relation	index = info->index;
	AnnIndex   *numbers = ann_index_make(&ann_index(index)->meta);
	BlockNumber blocks;
	AnnVacuum	vacuum = {0};

	if (stats == NULL)
		stats = palloc0(sizeof(IndexBulkDeleteResult));
	vacuum.index = index;
	vacuum.callback = callback;
	vacuum.state = callback_state;
	vacuum.strategy = info->strategy;
	for (uint32 chunk = 0; chunk < numbers->meta.chunks; chunk++)
		vacuum_lists(&vacuum, chunk);

	/* pages that are added from here on have no row that is dead to all */
	blocks = RelationGetNumberOfBlocks(index);
	for (BlockNumber block = ANN_DIRECTORY_BLOCK + 1;
		 block < blocks && numbers->meta.dim != 0; block++)
	{
		ann_vacuum_delay_point();
		ann_element_page_vacuum(&vacuum, numbers, block);
	}
	stats->tuples_removed += vacuum.removed;
	stats->num_index_tuples = vacuum.kept;
	stats->num_pages = blocks;
	stats->estimated_count = false;
	pfree(numbers);
	return stats;
}

IndexBulkDeleteResult *
ann_vacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	if (info->analyze_only)
		return stats;
	if (stats == NULL)
	{
		stats = palloc0(sizeof(IndexBulkDeleteResult));
		stats->num_index_tuples = info->num_heap_tuples;
		stats->estimated_count = true;
	}
	stats->num_pages = RelationGetNumberOfBlocks(info->index);
	IndexFreeSpaceMapVacuum(info->index);
	return stats;
}
