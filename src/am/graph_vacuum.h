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

/*
 * 'dead' tells which nodes are dead and about to be released, with 'state'; pages
 * from 'blocks' on have none of them.  In the current context.
 */
extern AnnGraphVacuum *ann_graph_vacuum_begin(AnnReshape *at, BlockNumber blocks,
											  AnnElementTest dead, void *state,
											  BufferAccessStrategy strategy);

/* An element that is in the tree of entries; and one that is dead. */
extern void ann_graph_vacuum_entry(AnnGraphVacuum *vacuum, AnnElementRef ref);
extern void ann_graph_vacuum_dead_entry(AnnGraphVacuum *vacuum, AnnElementRef ref);

/*
 * Take the links to dead nodes out of the nodes of a page; these get new ones to
 * the neighbours that the dead ones had.
 */
extern void ann_graph_vacuum_page(AnnGraphVacuum *vacuum, BlockNumber block);

/*
 * When that has been done for all pages, and all entries are known: let something
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
 * Let something lead to each node of a graph that has just been written, chunk 0 of
 * the index.
 */
extern void ann_graph_connect(Relation index, Relation heap, const AnnIndex *info,
							  const AnnChunk *chunk);

#endif							/* ANN_GRAPH_VACUUM_H */
