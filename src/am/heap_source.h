/*
 * heap_source.h
 *	  Vectors and distances from the table: where an index stores no vectors, or not
 *	  exactly enough to tell which of two rows is the nearer.
 */
#ifndef ANN_HEAP_SOURCE_H
#define ANN_HEAP_SOURCE_H

#include "postgres.h"

#include "access/genam.h"
#include "am/source.h"
#include "store/element.h"
#include "utils/snapshot.h"

typedef struct AnnHeapSource AnnHeapSource;

/*
 * For the rows of a table that a snapshot sees, which must live as long; in the
 * current context.
 */
extern AnnHeapSource *ann_heap_source_begin(Relation heap, Relation index,
											Snapshot snapshot);

/*
 * The same for rows that are alive to us, or that others are about to insert or
 * delete.
 */
extern AnnHeapSource *ann_heap_source_begin_dirty(Relation heap, Relation index);

/*
 * The vector of the row that the snapshot sees at a heap TID, less the centre of the
 * index, as info->meta.dim floats.  False if it sees none, or one of other dimensions:
 * an expression may have come to mean something else.
 */
extern bool ann_heap_source_floats(AnnHeapSource *source, const AnnIndex *info,
								   const ItemPointerData *tid, float *floats);

/* The distance of that row from a query, as the SQL operator has it. */
extern bool ann_heap_source_distance(AnnHeapSource *source, const AnnQuery *query,
									 const ItemPointerData *tid, double *distance);

extern void ann_heap_source_end(AnnHeapSource *source);

#endif							/* ANN_HEAP_SOURCE_H */
