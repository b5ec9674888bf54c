/*
 * leaf_make.c
 *	  From rows to what a leaf says of them.
 */
#include "postgres.h"

#include "algo/quantize.h"
#include "am/leaf_make.h"

/*
 * The centroid of the rows as the trees were grown on them.  Codes refer to what the
 * entry says of it, so that its rounding adds no error.
 */
void
ann_make_entry(const AnnIndex *info, const AnnTreeRows *rows,
			   const uint32 *order, uint32 n, AnnNode *node)
{
	float	   *mean = palloc0(sizeof(float) * info->row_dim);

	for (uint32 i = 0; i < n; i++)
		ann_add_quantized(mean, ann_tree_row(rows, order[i]), info->row_dim,
						  rows->scale[order[i]] / n);
	ann_node_set_centroid(info, mean, node);
	node->u.leaf.rows = n;
	pfree(mean);
}

/*
 * For inner product the estimate is to be of -2 <q,x>, of which |q - x|^2
 * differs by |q|^2, which the search knows, and |x|^2.
 */
void
ann_make_code(const AnnIndex *info, const AnnTreeVector *v, const float *centre,
			  float *residual, uint8 *code, AnnCodeFactors *factors)
{
	memcpy(residual, v->rotated, sizeof(float) * info->padded);
	ann_subtract(residual, centre, info->padded);
	ann_code_encode(info->meta.code_bits, info->padded, info->padded, residual, centre,
					code, factors);
	if (info->meta.metric == ANN_METRIC_IP)
		factors->a -= (float) v->norm2;
}
