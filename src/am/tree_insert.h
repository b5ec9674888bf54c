/*
 * tree_insert.h
 *	  A row's way down a tree, and its code in the leaf.
 */
#ifndef ANN_TREE_INSERT_H
#define ANN_TREE_INSERT_H

#include "postgres.h"

#include "algo/code.h"
#include "am/reshape.h"
#include "store/tree_pages.h"

typedef struct AnnTreeInsert
{
	/* Unchanging, set by begin */
	AnnReshape *at;
	const AnnTreeVector *row;	/* for the way down (ann_tree_vector_row) */
	const AnnTreeVector *stored;	/* what its element says, for the codes */

	/* Of the leaf that was found last */
	AnnLeafEntry leaf;
	float	   *centre;
	float	   *residual;
	uint8	   *code;
	AnnCodeFactors factors;
} AnnTreeInsert;

/* Everything in the current context. */
extern void ann_tree_insert_begin(AnnTreeInsert *insert, AnnReshape *at,
								  const AnnTreeVector *row, const AnnTreeVector *stored);

/* Find the leaf of a tree, and the row's code in it. */
extern void ann_tree_insert_find(AnnTreeInsert *insert, int tree);

/*
 * Append the row, whose element is at 'element', to the leaf of a tree that was
 * found.  The leaf is divided if it has become too large.
 */
extern void ann_tree_insert_append(AnnTreeInsert *insert, int tree, AnnElementRef element);

#endif							/* ANN_TREE_INSERT_H */
