/*
 * graph.h
 *	  Making a graph of neighbours out of leaves of a partition.
 *
 * Each leaf proposes edges between its rows (ann_leaf_edges), a reservoir keeps
 * the best ones of each row (ann_reservoirs_add), and the neighbours of a row
 * are chosen from those (ann_prune_row, or ann_prune for rows that are not in
 * memory).  Both the leaf and the last choice follow the rule of Malkov and
 * Yashunin (2018, algorithm 4) and Subramanya et al. (2019): a candidate c of
 * row i is occluded if a candidate k that was chosen before it, nearer to i, is
 * much nearer to c than i is,
 *
 *		alpha^2 d(k, c) < d(i, c),
 *
 * since c is then reached by way of k.  Rows that are equal to each other do
 * not occlude.  Distances are squared ones, as tile.h has them.
 */
#ifndef ANN_GRAPH_H
#define ANN_GRAPH_H

#include <stdbool.h>

#include "algo/graph_options.h"
#include "algo/tile.h"

/* Takes a directed edge. */
typedef void (*AnnEdgeFn) (void *arg, uint32_t from, uint32_t to, float distance);

/* Bytes of scratch memory for the leaves of such a graph. */
extern size_t ann_leaf_scratch_size(const AnnGraphOptions *options);

/*
 * Propose edges between the n rows of a leaf: from each row, and back, to those
 * of its nearest ones in the leaf that are not occluded, each edge once.  Checks
 * for interrupts.
 */
extern void ann_leaf_edges(const AnnGraphRows *rows, const uint32_t *numbers,
						   uint32_t n, const AnnGraphOptions *options,
						   AnnEdgeFn edge, void *arg, void *scratch);

/*
 * A candidate: a distance's bits over a number.  Distances are never negative,
 * so candidates sort by distance, then by number.
 */
static inline uint64_t
ann_candidate_make(float distance, uint32_t number)
{
	uint32_t	bits;

	memcpy(&bits, &distance, sizeof(bits));
	return (uint64_t) bits << 32 | number;
}

static inline float
ann_candidate_distance(uint64_t candidate)
{
	uint32_t	bits = (uint32_t) (candidate >> 32);
	float		distance;

	memcpy(&distance, &bits, sizeof(distance));
	return distance;
}

/*
 * Reservoirs: the nearest candidates of each row, each once.  What they keep
 * does not depend on the order in which edges come.
 */
typedef struct AnnReservoirs
{
	uint64_t   *candidates;		/* 'capacity' for each row, sorted */
	uint16_t   *counts;
	uint32_t	capacity;
} AnnReservoirs;

/* Bytes of memory for the reservoirs of so many rows. */
extern size_t ann_reservoirs_size(uint32_t rows, const AnnGraphOptions *options);

/* Reservoirs in such memory, aligned as malloc does; each is to be emptied first. */
extern void ann_reservoirs_init(AnnReservoirs *reservoirs, uint32_t rows,
								const AnnGraphOptions *options, void *memory);

static inline void
ann_reservoirs_empty(AnnReservoirs *reservoirs, uint32_t first, uint32_t n)
{
	memset(reservoirs->counts + first, 0, sizeof(uint16_t) * (size_t) n);
}

/*
 * Ask for the memory of these rows' reservoirs, all at once: a leaf's before its
 * edges come, which would wait for them one by one.
 */
extern void ann_reservoirs_expect(const AnnReservoirs *reservoirs,
								  const uint32_t *rows, uint32_t n);

extern void ann_reservoirs_add(AnnReservoirs *reservoirs, uint32_t from,
							   uint32_t to, float distance);

/*
 * Choose neighbours of a row among the rows of a tile, which are sorted by
 * their distances from it, d[].  Writes the chosen ones' numbers in the tile,
 * in ascending order, and returns how many they are: not occluded ones up to
 * options->degree, then the nearest occluded ones up to options->fill.
 *
 * Uses up the tile and d[].
 */
extern uint32_t ann_prune(AnnTile *tile, float *d, int dim,
						  const AnnGraphOptions *options, uint32_t *chosen,
						  void *scratch);

/* Bytes of scratch memory to prune n candidates. */
extern size_t ann_prune_scratch_size(uint32_t n);

/*
 * A graph in memory.  The neighbours of a node are sorted by their distances
 * from it, are different from each other and from the node.
 */
typedef struct AnnGraph
{
	uint32_t	count;			/* nodes */
	uint32_t	degree;			/* room for so many neighbours each */
	uint32_t   *links;			/* 'degree' for each node */
	uint16_t   *degrees;		/* how many of them are there */
} AnnGraph;

static inline uint32_t *
ann_graph_links(const AnnGraph *graph, uint32_t node)
{
	return graph->links + (size_t) node * graph->degree;
}

/* Bytes of memory for the links of so many nodes. */
extern size_t ann_graph_size(uint32_t nodes, const AnnGraphOptions *options);

/*
 * A graph in such memory, aligned as malloc does.  Neighbours of each node are to be
 * chosen.
 */
extern void ann_graph_init(AnnGraph *graph, uint32_t nodes,
						   const AnnGraphOptions *options, void *memory);

/* Bytes of scratch memory for ann_prune_row. */
extern size_t ann_prune_row_scratch_size(const AnnGraphOptions *options);

/*
 * Choose the neighbours of a row from its reservoir, by the distances of all
 * dimensions of 'rows', whichever the reservoir has.
 */
extern void ann_prune_row(AnnGraph *graph, const AnnGraphRows *rows,
						  const AnnReservoirs *reservoirs, uint32_t row,
						  const AnnGraphOptions *options, void *scratch);

/*
 * Candidates for better neighbours, once all rows have some: those that were chosen,
 * and those that chose the row.  Keep of a row's reservoir what has become neighbours;
 * when that is done for all, tell the edges from a row's neighbours to it, by their
 * distances in 'rows', which those in the reservoirs are of.
 */
extern void ann_reservoirs_keep_links(AnnReservoirs *reservoirs,
									  const AnnGraph *graph, uint32_t row);
extern void ann_graph_return_links(const AnnGraph *graph, const AnnGraphRows *rows,
								   uint32_t row, AnnEdgeFn edge, void *arg);

#endif							/* ANN_GRAPH_H */
