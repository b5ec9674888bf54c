/*
 * leaf_make.c
 *	  From rows to what a leaf says of them.
 */
#include "postgres.h"

#include "algo/quantize.h"
#include "am/leaf_make.h"

/*
 * The centroid of the rows as the trees see them, as bytes.  Codes refer to what
 * the bytes say, so that their rounding adds no error.
 */
void
ann_make_entry(const AnnIndex *info, const AnnTreeRows *rows,
			   const uint32 *order, uint32 n, AnnNode *node)
{
	float	   *mean = palloc0(sizeof(float) * info->tree_dim);
	double		sum = 0;

	memset(node, 0, info->node_size);
	node->kind = ANN_NODE_LEAF;
	for (uint32 i = 0; i < n; i++)
		ann_add_quantized(mean, ann_tree_row(rows, order[i]), info->tree_dim,
						  rows->scale[order[i]] / n);
	node->scale = ann_quantize(mean, info->tree_dim, node->vector);
	for (int i = 0; i < info->tree_dim; i++)
	{
		float		value = node->vector[i] * node->scale;

		sum += (double) value * value;
	}
	node->u.leaf.norm2 = (float) sum;
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
