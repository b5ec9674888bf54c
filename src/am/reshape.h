/*
 * reshape.h
 *	  Leaves that have grown are divided, leaves that have lost rows joined.
 */
#ifndef ANN_RESHAPE_H
#define ANN_RESHAPE_H

#include "postgres.h"

#include "store/tree_edit.h"
#include "store/tree_pages.h"

/*
 * What reshaping works on: one chunk of an index.  'heap' is the table, from
 * which vectors are read where the index has none; NULL if that must not be:
 * then leaves of such an index are neither divided nor joined.
 */
typedef struct AnnReshape
{
	Relation	index;
	Relation	heap;
	const AnnIndex *info;
	uint32		number;			/* of the chunk */
	AnnChunk	chunk;			/* its entry, not long ago */
} AnnReshape;

/*
 * Divide a leaf, whose entry was found from the root of tree number 'tree' and
 * which has so many rows.  Does nothing if others are about the same, or if no
 * split divides the rows; in the latter case remembers that.
 */
extern void ann_divide_leaf(const AnnReshape *at, int tree, const AnnLeafEntry *leaf,
							uint32 rows);

/*
 * Join two leaves, the children of a split, whose claims the caller has.  False
 * if the index does not tell the vectors.
 */
extern bool ann_join_leaves(const AnnReshape *at, AnnNodeRef parent,
							const AnnNodeRef child[2], const AnnLeafId leaf[2]);

/*
 * Write a leaf anew without the places of rows that are gone.  The caller has
 * its claim.
 */
extern void ann_compact_leaf(const AnnReshape *at, AnnNodeRef node, AnnLeafId leaf);

/*
 * Give an empty chunk its trees: of one leaf each, around this vector.  Nothing
 * is done if it has trees by now, or other dimensions.
 */
extern void ann_plant_trees(Relation index, const AnnIndex *info, uint32 number,
							const AnnTreeVector *v);

#endif							/* ANN_RESHAPE_H */
