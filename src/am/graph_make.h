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
#include "storage/spin.h"

typedef struct AnnGraphMaker
{
	/* Unchanging, set at the beginning */
	AnnTeam    *team;
	AnnArena   *arena;
	AnnGraphOptions options;
	MemoryContext context;		/* of the graph */
	uint32		joined;			/* rows of leaves that were not reported yet */

	/* The graph, which all members see; nodes are rows of the arena */
	AnnGraphRows rows;
	AnnGraphRows sketch;		/* of their first dimensions */
	AnnReservoirs reservoirs;
	AnnVisits	visits;			/* an order in which near rows are near */
	AnnGraph	graph;
	slock_t    *locks;			/* of reservoirs; NULL in a team of one */
	char	   *memory;			/* for the partition, later for reaching all nodes */

	/* The leader's */
	AnnEntries	entries;

	/* While rows meet */
	char	   *leaf_scratch;
} AnnGraphMaker;

/* What a graph of the index is built with. */
extern void ann_graph_options(const AnnIndex *info, AnnGraphOptions *options);

/* Bytes of memory that a graph needs for each row of the arena, beside it. */
extern Size ann_graph_row_memory(const AnnIndex *info);

/* What of that all members of a team see, for so many rows. */
extern Size ann_graph_shared_size(const AnnIndex *info, uint32 rows);

/*
 * Make equal rows of an arena one, and write the list of their heap TIDs.
 * Afterwards the arena holds the others only.
 */
extern void ann_merge_rows(AnnArena *arena, AnnTidWriter *tids);

/* Nothing is made yet; memory is of a context below the current one, or the team's. */
extern void ann_graph_maker_init(AnnGraphMaker *maker, AnnTeam *team, AnnArena *arena);

/*
 * Make maker->graph and maker->entries of all rows of the arena, in two steps: the
 * rows are divided into small leaves that overlap, and each keeps the nearest others
 * that it meets in one; then each chooses its neighbours among these, and every node
 * is made reachable from the entries.  Members of a team do so together.
 */
extern void ann_graph_meet(AnnGraphMaker *maker);
extern void ann_graph_choose(AnnGraphMaker *maker);

/* Forget the graph, so that another one can be made. */
extern void ann_graph_forget(AnnGraphMaker *maker);

#endif							/* ANN_GRAPH_MAKE_H */
