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

/* Blocks of an index by the chunks that they belong to. */
typedef struct AnnBlockLists
{
	BlockNumber *blocks;		/* of chunk after chunk, ascending */
	uint32	   *first;			/* of each chunk, and the end */
} AnnBlockLists;

#define ANN_NO_CHUNK PG_UINT32_MAX

/* Make the lists of n chunks from the number of each block's, or ANN_NO_CHUNK. */
extern void ann_block_lists_make(AnnBlockLists *lists, const uint32 *chunk_of,
								 BlockNumber blocks, uint32 n);

/* The blocks of a chunk; their number to *n. */
extern const BlockNumber *ann_block_list(const AnnBlockLists *lists, uint32 chunk, uint32 *n);

/*
 * 'dead' tells which nodes are dead and about to be released, with 'state'; 'ours' are
 * n pages, among which are all that have nodes of the chunk.  Pages from 'blocks' on
 * have none, of any.  In the current context.
 */
extern AnnGraphVacuum *ann_graph_vacuum_begin(AnnReshape *at, BlockNumber blocks,
											  const BlockNumber *ours, uint32 n,
											  AnnElementTest dead, void *state,
											  BufferAccessStrategy strategy);

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
 * When that has been asked for all dead entries of the tree: let other heirs become
 * entries, which have a vector, or whose place an insert that divided the leaf has left
 * out.
 */
extern void ann_graph_vacuum_orphans(AnnGraphVacuum *vacuum);

/*
 * Let something lead to each node of the graphs of some chunks that have just been
 * written: those of n chunks for which 'wanted' is set.
 */
extern void ann_graph_connect(Relation index, Relation heap, const AnnIndex *info,
							  const AnnChunk *chunks, const bool *wanted, uint32 n);

#endif							/* ANN_GRAPH_VACUUM_H */
