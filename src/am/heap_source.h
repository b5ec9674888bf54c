/*
 * heap_source.h
 *	  Distances from the table: where an index stores no vectors, or not
 *	  exactly enough to tell which of two rows is the nearer.
 */
#ifndef ANN_HEAP_SOURCE_H
#define ANN_HEAP_SOURCE_H

#include "postgres.h"

#include "access/genam.h"
#include "store/element.h"

typedef struct AnnHeapSource AnnHeapSource;

/* For a scan and its query, which must live as long; in the current context. */
extern AnnHeapSource *ann_heap_source_begin(IndexScanDesc scan, const AnnQuery *query);

/*
 * The distance of the row that the scan's snapshot sees at a heap TID, as the
 * SQL operator has it; false if it sees none.
 */
extern bool ann_heap_source_distance(AnnHeapSource *source,
									 const ItemPointerData *tid, double *distance);

extern void ann_heap_source_end(AnnHeapSource *source);

#endif							/* ANN_HEAP_SOURCE_H */
