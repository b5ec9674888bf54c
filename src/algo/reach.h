/*
 * reach.h
 *	  Searching a graph in memory, and making all of it findable.
 *
 * A search starts at the entries, all of which it looks at: a random sample of
 * the nodes, and nodes that could not be found without being one.  Entries are
 * a graph's upper levels, flat: where the rows are well separated clusters, a
 * search from any single node would not leave the cluster.
 */
#ifndef ANN_REACH_H
#define ANN_REACH_H

#include "algo/graph.h"

/* Nodes that searches start at; 'nodes' has room for all of the graph. */
typedef struct AnnEntries
{
	uint32_t   *nodes;
	uint32_t	count;
} AnnEntries;

/* Draw entries out of so many nodes, in ascending order; one at least, if any. */
extern void ann_entries_draw(AnnEntries *entries, uint32_t nodes, uint64_t seed);

/* Bytes of scratch memory to complete them. */
extern size_t ann_entries_scratch_size(uint32_t nodes);

/*
 * Let there be entries wherever there are rows, whatever their density: a node that
 * is far from all of them, compared with its own neighbours, becomes one.  So each
 * of the clusters has one that no path of the graph leads into, and searches would
 * miss, unless it begins there.
 */
extern void ann_entries_complete(AnnEntries *entries, const AnnGraph *graph,
								 const AnnGraphRows *rows,
								 const AnnGraphOptions *options, void *scratch);

/*
 * A search: the candidates that it has found so far, sorted, each its distance's
 * bits over twice its number, odd once its neighbours were looked at.
 */
typedef struct AnnWalk
{
	/* Unchanging, set at the beginning */
	const AnnGraph *graph;
	const AnnGraphRows *rows;
	uint32_t	breadth;		/* candidates of each search */

	/* The present search */
	uint64_t   *candidates;
	uint32_t	found;

	/* Scratch */
	AnnTile		tile;
	uint32_t   *numbers;
	float	   *d;
	uint32_t   *seen;			/* of each node the last search that saw it */
	uint32_t	search;			/* number of the present one */
} AnnWalk;

/* The i-th nearest node that was found. */
static inline uint32_t
ann_walk_node(const AnnWalk *walk, uint32_t i)
{
	return (uint32_t) walk->candidates[i] >> 1;
}

/* Bytes of memory for searches of such a graph. */
extern size_t ann_walk_size(const AnnGraph *graph, uint32_t breadth);

/* Prepare to search; 'memory' is aligned as malloc does. */
extern void ann_walk_init(AnnWalk *walk, const AnnGraph *graph,
						  const AnnGraphRows *rows, uint32_t breadth, void *memory);

/*
 * Find the nearest nodes to the row of 'query', from the nearest entries on.  Up to
 * 'breadth' of them are in walk->candidates afterwards.  Algorithm 2 of Malkov and
 * Yashunin (2018).
 */
extern void ann_walk_search(AnnWalk *walk, const AnnTile *query,
							const AnnEntries *entries);

/* Bytes of scratch memory to make a graph reachable. */
extern size_t ann_reach_scratch_size(const AnnGraph *graph);

/*
 * Change as few edges as possible until every node can be reached from the
 * entries.  Where no edge can be spared, the node becomes an entry.
 */
extern void ann_graph_make_reachable(AnnGraph *graph, const AnnGraphRows *rows,
									 AnnEntries *entries,
									 const AnnGraphOptions *options, void *scratch);

#endif							/* ANN_REACH_H */
