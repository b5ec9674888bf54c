/*
 * leaf_make.h
 *	  From rows to what a leaf says of them: its centroid, and a code each.
 */
#ifndef ANN_LEAF_MAKE_H
#define ANN_LEAF_MAKE_H

#include "postgres.h"

#include "algo/code.h"
#include "algo/split.h"
#include "store/page.h"
#include "store/tree_pages.h"

/*
 * Make the entry of a leaf, info->node_size bytes, all but which leaf it is:
 * the centroid of the rows whose numbers are in 'order', n of them, which have
 * info->row_dim bytes.
 */
extern void ann_make_entry(const AnnIndex *info, const AnnTreeRows *rows,
						   const uint32 *order, uint32 n, AnnNode *node);

/*
 * The code of a row in a leaf whose centre is 'centre' (ann_node_centre):
 * info->code_bytes, and factors.  'v' has 'rotated' and norm2; 'residual' is
 * scratch of info->padded floats.
 */
extern void ann_make_code(const AnnIndex *info, const AnnTreeVector *v,
						  const float *centre, float *residual,
						  uint8 *code, AnnCodeFactors *factors);

#endif							/* ANN_LEAF_MAKE_H */
