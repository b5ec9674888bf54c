/*
 * dimensions.h
 *	  The number of dimensions of an index that was created empty: taken from
 *	  its first row, and changed when no row of that is left.
 */
#ifndef ANN_DIMENSIONS_H
#define ANN_DIMENSIONS_H

#include "postgres.h"

#include "store/page.h"

/* Set the dimensions, unless another one has done so meanwhile. */
extern void ann_dimensions_set(Relation index, int dim);

/*
 * A row of 'dim' dimensions has come, and the index has others.  True if no
 * transaction can see a row of these any more, so that the index now has 'dim',
 * or none so far; waits for transactions that are about to add one.
 */
extern bool ann_dimensions_change(Relation index, Relation heap, int dim);

/*
 * Are the dimensions still those of 'epoch'?  To be asked by who has added a
 * row: if not, what was added is lost.
 */
extern bool ann_dimensions_confirm(Relation index, uint32 epoch);

#endif							/* ANN_DIMENSIONS_H */
