/*
 * graph_vacuum.h
 *	  Mending a graph whose nodes have died.
 */
#ifndef ANN_GRAPH_VACUUM_H
#define ANN_GRAPH_VACUUM_H

#include "postgres.h"

#include "am/reshape.h"
#include "store/leaf_pages.h"
#include "storage/bufmgr.h"

typedef struct AnnGraphVacuum AnnGraphVacuum;

/* Has a page elements of the chunk that is being mended? */
typedef bool (*AnnPageTest) (BlockNumber block, void *state);

/*
 * 'dead' tells which nodes are dead and about to be released, and 'ours' which pages
 * have nodes of the chunk, with 'state'; pages from 'blocks' on have none of either.
 * In the current context.
 */
extern AnnGraphVacuum *ann_graph_vacuum_begin(AnnReshape *at, BlockNumber blocks,
											  AnnPageTest ours, AnnElementTest dead,
											  void *state, BufferAccessStrategy strategy);

/* An element that is in the tree of entries; and one that is dead. */
extern void ann_graph_vacuum_entry(AnnGraphVacuum *vacuum, AnnElementRef ref);
extern void ann_graph_vacuum_dead_entry(AnnGraphVacuum *vacuum, AnnElementRef ref);

/*
 * Take the links to dead nodes out of all nodes; these get new ones to the neighbours
 * that the dead ones had.
 */
extern void ann_graph_vacuum_mend(AnnGraphVacuum *vacuum);

/*
 * When that has been done, and all entries are known: let something
 * lead to each node that is alive.
 */
extern void ann_graph_vacuum_reach(AnnGraphVacuum *vacuum);

/* After that: the entry that takes over the code of a dead one; invalid if none does. */
extern AnnElementRef ann_graph_vacuum_heir(AnnGraphVacuum *vacuum, AnnElementRef dead);

/*
 * When that has been asked for all dead entries of the tree: let heirs of others, which
 * an insert that divided their leaf has left out, become entries.
 */
extern void ann_graph_vacuum_orphans(AnnGraphVacuum *vacuum);

/*
 * Let something lead to each node of the graphs of some chunks that have just been
 * written: those of n chunks for which 'wanted' is set.
 */
extern void ann_graph_connect(Relation index, Relation heap, const AnnIndex *info,
							  const AnnChunk *chunks, const bool *wanted, uint32 n);

#endif							/* ANN_GRAPH_VACUUM_H */
