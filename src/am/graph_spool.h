/*
 * graph_spool.h
 *	  From more rows than memory has room for to the graph of a chunk.
 */
#ifndef ANN_GRAPH_SPOOL_H
#define ANN_GRAPH_SPOOL_H

#include "postgres.h"

#include "am/grow.h"

/*
 * As ann_link_chunk, of rows in a file.  The arena is used up, too.
 */
extern BlockNumber ann_spool_chunk(Relation index, const AnnIndex *info, AnnBulk *bulk,
								   AnnTidWriter *tids, uint32 chunk,
								   AnnRowSource *source, uint32 leaf_capacity,
								   uint64 *elements);

#endif							/* ANN_GRAPH_SPOOL_H */
