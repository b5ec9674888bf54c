/*
 * check_graph.c
 *	  ann_check: the links of a graph, and what they lead to.
 *
 * A link to a place where there is no element, or another one by now, is in order:
 * a node may have died while an insert was on its way to it.
 */
#include "postgres.h"

#include <math.h>

#include "am/check.h"
#include "miscadmin.h"
#include "store/link_pages.h"
#include "store/tids.h"

/* The record in a slot of a copied page; NULL if there is none. */
static const AnnElement *
find_record(AnnCheck *check, Page page, int slot)
{
	return slot < ann_check_slots(check, page) ? ann_record_get(page, slot) : NULL;
}

void
ann_check_links(AnnCheck *check, BlockNumber block, int slot, const AnnElement *record)
{
	const AnnLinks *links = ann_record_links(check->info, record);

	if (links->count > check->info->max_links)
		ann_check_report(check, block, slot + 1, "links", "the node has %d links, but %d are the most",
						 links->count, check->info->max_links);
	for (int i = 0; i < links->count; i++)
	{
		AnnElementRef to = links->element[i];
		BlockNumber to_block = ItemPointerGetBlockNumberNoCheck(&to);
		int			to_slot = ItemPointerGetOffsetNumberNoCheck(&to) - 1;

		if (to_block >= RelationGetNumberOfBlocks(check->index) || to_slot < 0)
			ann_check_report(check, block, slot + 1, "link_element",
							 "a link leads to (%u,%d), which is behind the end", to_block, to_slot + 1);
		else if (to_block == block && to_slot == slot)
			ann_check_report(check, block, slot + 1, "link_element", "a link leads to its own node");
		else if (ann_links_find(links, to) < i)
			ann_check_report(check, block, slot + 1, "link_twice",
							 "two links lead to (%u,%d)", to_block, to_slot + 1);
		if (!isfinite(ann_links_a(links)[i]) || !isfinite(ann_links_f(links)[i]))
			ann_check_report(check, block, slot + 1, "link_factors",
							 "the link to (%u,%d) has factors %g, %g", to_block, to_slot + 1,
							 ann_links_a(links)[i], ann_links_f(links)[i]);
	}
}

/* A list of places that grows. */
typedef struct Queue
{
	AnnElementRef *refs;
	uint64		count;
	uint64		capacity;
} Queue;

static void
push(Queue *queue, BlockNumber block, int slot)
{
	if (queue->count == queue->capacity)
	{
		queue->capacity *= 2;
		queue->refs = repalloc_huge(queue->refs, sizeof(AnnElementRef) * queue->capacity);
	}
	ItemPointerSet(&queue->refs[queue->count], block, (OffsetNumber) (slot + 1));
	queue->count++;
}

/* Add what a node leads to. */
static void
follow_links(AnnCheck *check, uint32 chunk, AnnElementRef ref, AnnPlaceSet *reached,
			 Queue *queue)
{
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(&ref);
	PGAlignedBlock copy;
	const AnnElement *record;
	const AnnLinks *links;

	if (block >= RelationGetNumberOfBlocks(check->index) ||
		ann_check_linked(check, block, ANN_PAGE_ELEMENT, chunk, &copy) != NULL)
		return;
	record = find_record(check, (Page) copy.data, ItemPointerGetOffsetNumberNoCheck(&ref) - 1);
	if (record == NULL)
		return;
	links = ann_record_links(check->info, record);
	for (int i = 0; i < links->count; i++)
	{
		AnnElementRef to = links->element[i];

		if (ItemPointerIsValid(&to) &&
			ann_place_set_add(reached, ItemPointerGetBlockNumberNoCheck(&to),
							  ItemPointerGetOffsetNumberNoCheck(&to)))
			push(queue, ItemPointerGetBlockNumberNoCheck(&to),
				 ItemPointerGetOffsetNumberNoCheck(&to) - 1);
	}
}

void
ann_check_reach(AnnCheck *check, uint32 chunk, AnnPlaceSet *reached)
{
	Queue		queue = {palloc(sizeof(AnnElementRef) * 1024), 0, 1024};

	for (BlockNumber block = 0; block < check->blocks; block++)
	{
		for (int slot = 0; slot < check->slots[block]; slot++)
		{
			if (ann_place_set_has(reached, block, (uint16) (slot + 1)))
				push(&queue, block, slot);
		}
	}
	while (queue.count > 0)
	{
		CHECK_FOR_INTERRUPTS();
		follow_links(check, chunk, queue.refs[--queue.count], reached, &queue);
	}
	pfree(queue.refs);
}
