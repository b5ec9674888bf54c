/*
 * graph_make.h
 *	  The graph of the rows of an arena, in memory.
 */
#ifndef ANN_GRAPH_MAKE_H
#define ANN_GRAPH_MAKE_H

#include "postgres.h"

#include "algo/graph.h"
#include "algo/partition.h"
#include "algo/reach.h"
#include "am/arena.h"

typedef struct AnnGraphMaker
{
	/* Unchanging, set at the beginning */
	AnnArena   *arena;
	AnnGraphOptions options;
	MemoryContext context;		/* of the graph */
	uint64		joined;			/* rows of all leaves so far, of all graphs */
	uint64		most;			/* rows to report as done: of these, and of others
								 * before */

	/* The graph; nodes are rows of the arena */
	AnnGraphRows rows;
	AnnGraphRows sketch;		/* of their first dimensions */
	AnnReservoirs reservoirs;
	AnnVisits	visits;			/* an order in which near rows are near */
	AnnGraph	graph;
	AnnEntries	entries;

	/* While rows meet */
	char	   *leaf_scratch;
} AnnGraphMaker;

/* What a graph of the index is built with. */
extern void ann_graph_options(const AnnIndex *info, AnnGraphOptions *options);

/* Bytes of memory that a graph needs for each row of the arena, beside it. */
extern Size ann_graph_row_memory(const AnnIndex *info);

/*
 * Make equal rows of an arena one, and write the list of their heap TIDs.
 * Afterwards the arena holds the others only.
 */
extern void ann_merge_rows(AnnArena *arena, AnnTidWriter *tids);

/* Nothing is made yet; memory is of a context below the current one. */
extern void ann_graph_maker_init(AnnGraphMaker *maker, AnnArena *arena);

/*
 * Make maker->graph and maker->entries of all rows of the arena, in two steps: the
 * rows are divided into small leaves that overlap, and each keeps the nearest others
 * that it meets in one; then each chooses its neighbours among these, and every node
 * is made reachable from the entries.
 */
extern void ann_graph_meet(AnnGraphMaker *maker);
extern void ann_graph_choose(AnnGraphMaker *maker);

/* Forget the graph, so that another one can be made. */
extern void ann_graph_forget(AnnGraphMaker *maker);

#endif							/* ANN_GRAPH_MAKE_H */
