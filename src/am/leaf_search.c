/*
 * leaf_search.c
 *	  Searching the leaves of trees: which elements have codes near a query.
 *
 *	 gather	 nodes of the trees are explored, nearest first, until the leaves
 *			 found hold twice the rows that are to be inspected
 *	 inspect the leaves are taken by the distance of their centroids; of the
 *			 rows whose codes say that they may be among the nearest, the
 *			 references become candidates
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "algo/distance.h"
#include "am/leaf_search.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

/* Leaves that are inspected in place of one that has been divided meanwhile. */
#define MAX_DIVIDED 16

bool
ann_note_seen(AnnSeen *seen, uint64 key)
{
	AnnSeenResult result = ann_seen_insert(seen, key);

	if (result == ANN_SEEN_FULL)
	{
		uint64_t   *old = seen->slots;
		size_t		capacity = seen->capacity * 4;

		ann_seen_move(seen, MemoryContextAllocHuge(GetMemoryChunkContext(old),
												   sizeof(uint64) * capacity), capacity);
		pfree(old);
		result = ann_seen_insert(seen, key);
	}
	return result == ANN_SEEN_NEW;
}

void
ann_leaf_search_begin(AnnLeafSearch *search, Relation index, const AnnIndex *info,
					  uint32 first, const AnnChunk *chunks, uint32 n,
					  const AnnTreeVector *v, uint32 room)
{
	Size		size = ann_code_query_size(info->meta.code_bits, info->padded);

	memset(search, 0, sizeof(AnnLeafSearch));
	search->index = index;
	search->info = info;
	search->v = v;
	search->code_query = ann_code_query_init((void *) TYPEALIGN(64, palloc(size + 64)),
											 info->meta.code_bits, info->padded, v->rotated);
	search->block = palloc(info->block_size);
	search->first = first;
	search->num_chunks = n;
	search->chunks = palloc(sizeof(AnnChunk) * n);
	memcpy(search->chunks, chunks, sizeof(AnnChunk) * n);
	for (uint32 i = 0; i < n; i++)
		search->rows += (double) chunks[i].rows;
	ann_frontier_init(&search->nodes, palloc(sizeof(AnnCandidate) * 64), 64);
	ann_frontier_init(&search->candidates, palloc(sizeof(AnnCandidate) * room), room);
	ann_seen_init(&search->seen, palloc(sizeof(uint64) * 4 * room), 4 * room);
}

/* ---- gather ---- */

static void
add_leaf(AnnLeafArray *leaves, const AnnLeafEntry *leaf)
{
	if (leaves->count == leaves->capacity)
	{
		leaves->capacity = Max(64, leaves->capacity * 2);
		leaves->entries = leaves->entries == NULL
			? palloc(sizeof(AnnLeafEntry) * leaves->capacity)
			: repalloc_huge(leaves->entries, sizeof(AnnLeafEntry) * leaves->capacity);
	}
	leaves->entries[leaves->count++] = *leaf;
}

static int
compare_leaves(const void *a, const void *b)
{
	float		x = ((const AnnLeafEntry *) a)->priority,
				y = ((const AnnLeafEntry *) b)->priority;

	return (x > y) - (x < y);
}

/*
 * Under inner product the trees of a chunk see all rows at the length of its longest
 * one: distances of two chunks compare without it.
 */
static float
length_of_chunk(const AnnLeafSearch *s, uint32 number)
{
	uint32		i = number - s->first;

	if (s->info->meta.metric != ANN_METRIC_IP || i >= s->num_chunks)
		return 0;
	return s->chunks[i].max_norm * s->chunks[i].max_norm;
}

/* Go down from a node; false if it is not there any more. */
static bool
find_leaf(AnnLeafSearch *s, AnnNodeRef node, float cost)
{
	AnnLeafEntry leaf;

	CHECK_FOR_INTERRUPTS();
	if (!ann_tree_descend(s->index, s->info, s->v, node, cost, &s->nodes, &leaf))
		return false;
	if (s->num_chunks > 1)
		leaf.priority -= length_of_chunk(s, leaf.chunk);
	add_leaf(&s->leaves, &leaf);
	s->gathered += leaf.rows;
	return true;
}

/*
 * The roots to begin at.  Each tree has all rows of its chunk: where all are to be
 * inspected, one will do.  From the first one the way down is gone at once, so that
 * no chunk is left out.
 */
static bool
explore_roots(AnnLeafSearch *s, double rows)
{
	bool		complete = true;

	for (uint32 i = 0; i < s->num_chunks; i++)
	{
		AnnNodeRef *roots;
		int			n;

		if (s->chunks[i].roots == InvalidBlockNumber)
			continue;
		n = ann_roots_read(s->index, &s->chunks[i], &roots);
		if (isinf(rows))
			n = Min(n, 1);
		complete &= find_leaf(s, roots[0], 0);
		for (int j = 1; j < n; j++)
			ann_heap_push(&s->nodes, 0, ANN_NODE_ITEM(roots[j]));
		pfree(roots);
	}
	return complete;
}

/*
 * Find leaves.  False if nodes that had been seen were not there any more: their
 * tree has been flattened, or leaves been joined.
 */
static bool
explore(AnnLeafSearch *s, double rows)
{
	AnnCandidate next;
	bool		complete = true;

	while (s->gathered < 2 * rows && ann_frontier_pop(&s->nodes, &next))
		complete &= find_leaf(s, ANN_ITEM_NODE(next.item), next.cost);
	return complete;
}

/* Find leaves, and sort those that have not been inspected. */
static void
gather(AnnLeafSearch *s, double rows)
{
	bool		complete = true;

	if (!s->begun)
		complete = explore_roots(s, rows);
	s->begun = true;
	complete &= explore(s, rows);
	if (!complete)
	{
		/* once more from the roots; rows that are met again do no harm */
		for (uint32 i = 0; i < s->num_chunks; i++)
			ann_chunk_read_as(s->index, s->info, s->first + i, &s->chunks[i]);
		s->gathered = s->inspected;
		(void) explore_roots(s, rows);
		(void) explore(s, rows);
	}
	qsort(s->leaves.entries + s->leaves.inspected,
		  s->leaves.count - s->leaves.inspected, sizeof(AnnLeafEntry), compare_leaves);
}

/* ---- inspect ---- */

static void
inspect_block(const AnnLeafBlock *block, void *state)
{
	AnnLeafSearch *s = state;
	AnnCodeBlock codes = {block->codes, block->a, block->f, block->e};
	float		estimate[ANN_BLOCK_ROWS];
	float		bound[ANN_BLOCK_ROWS];
	uint32		mask;

	mask = ann_kernels->scan_block(s->code_query, &codes, s->d2, s->slack,
								   ann_threshold_get(&s->threshold), estimate, bound);
	mask &= block->live;
	while (mask != 0)
	{
		int			row = pg_rightmost_one_pos32(mask);
		uint64		key = ann_element_key(block->element[row]);

		mask &= mask - 1;
		/* the threshold may have sunk since */
		if (bound[row] > ann_threshold_get(&s->threshold) || !ann_note_seen(&s->seen, key))
			continue;
		ann_heap_push(&s->candidates, isnan(bound[row]) ? -FLT_MAX : bound[row], key);
		if (!isnan(bound[row]))
			ann_threshold_offer(&s->threshold, 2 * estimate[row] - bound[row]);
	}
}

/*
 * Inspect what has come to be at the place of a leaf that was divided, which may
 * be going on.
 */
static void
inspect_again(AnnLeafSearch *s, AnnNodeRef node)
{
	AnnFrontier below;
	AnnCandidate next;
	AnnLeafEntry entry;
	int			tries = MAX_DIVIDED;

	ann_frontier_init(&below, palloc(sizeof(AnnCandidate) * MAX_DIVIDED), MAX_DIVIDED);
	ann_frontier_push(&below, 0, ANN_NODE_ITEM(node));
	while (tries-- > 0 && ann_frontier_pop(&below, &next))
	{
		if (!ann_tree_descend(s->index, s->info, s->v, ANN_ITEM_NODE(next.item), 0, &below,
							  &entry))
			continue;
		s->d2 = entry.d2;
		if (!ann_leaf_scan(s->index, s->info, entry.leaf, inspect_block, s, s->block))
			ann_heap_push(&below, 0, ANN_NODE_ITEM(entry.node));
	}
	pfree(below.entries);
}

static void
inspect_leaf(AnnLeafSearch *s, const AnnLeafEntry *leaf)
{
	s->d2 = leaf->d2;
	if (!ann_leaf_scan(s->index, s->info, leaf->leaf, inspect_block, s, s->block))
		inspect_again(s, leaf->node);
}

void
ann_leaf_search_run(AnnLeafSearch *search, double rows, double wanted)
{
	int			before = search->leaves.inspected;
	int			k;

	gather(search, rows);
	k = (int) Min(wanted, search->gathered + 1);
	ann_threshold_init(&search->threshold,
					   MemoryContextAllocHuge(CurrentMemoryContext, sizeof(float) * k), k);
	for (int i = 0; i < before; i++)
		inspect_leaf(search, &search->leaves.entries[i]);
	while (search->inspected < rows && search->leaves.inspected < search->leaves.count)
	{
		AnnLeafEntry *leaf = &search->leaves.entries[search->leaves.inspected++];

		inspect_leaf(search, leaf);
		search->inspected += leaf->rows;
	}
	search->least_dropped = ann_threshold_get(&search->threshold);
	pfree(search->threshold.values);
}
