/*
 * graph_build.h
 *	  From the rows of a build to the graph of a chunk.
 */
#ifndef ANN_GRAPH_BUILD_H
#define ANN_GRAPH_BUILD_H

#include "postgres.h"

#include "am/grow.h"

/*
 * Build the graph of a chunk and write it; arguments and result are as of
 * ann_grow_chunk.  Where the rows are in a file, nothing may lead to some nodes:
 * see ann_graph_connect.
 */
extern BlockNumber ann_link_chunk(Relation index, const AnnIndex *info, AnnBulk *bulk,
								  AnnTidWriter *tids, uint32 chunk,
								  AnnRowSource *source, uint32 leaf_capacity,
								  uint64 *elements);

/* What memory a team needs for it beside the arena, the leader's own included. */
extern Size ann_link_shared_size(const AnnIndex *info, uint32 rows);

#endif							/* ANN_GRAPH_BUILD_H */
