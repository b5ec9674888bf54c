/*
 * dimensions.h
 *	  The number of dimensions of an index that was created empty: taken from
 *	  its first row, and changed when no row of that is left.  Under L2 that row
 *	  becomes the centre, too.
 */
#ifndef ANN_DIMENSIONS_H
#define ANN_DIMENSIONS_H

#include "postgres.h"

#include "am/source.h"
#include "store/page.h"

/* Set the dimensions to those of a row, unless another one has done so meanwhile. */
extern void ann_dimensions_set(Relation index, const AnnVector *row);

/*
 * A row has come, and the index has other dimensions.  True if no transaction
 * can see a row of these any more, so that the index now has those of the row, or
 * none so far; waits for transactions that are about to add one.
 */
extern bool ann_dimensions_change(Relation index, Relation heap, const AnnVector *row);

/* The lock of the change: exclusively it is taken by ann_dimensions_change. */
extern void ann_dimensions_lock(Relation index, LOCKMODE mode);
extern void ann_dimensions_unlock(Relation index, LOCKMODE mode);

/*
 * Are the dimensions still those of 'epoch'?  To be asked by who has added a
 * row: if not, what was added is lost.
 */
extern bool ann_dimensions_confirm(Relation index, uint32 epoch);

#endif							/* ANN_DIMENSIONS_H */
