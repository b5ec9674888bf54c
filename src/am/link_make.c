/*
 * link_make.c
 *	  The links of a node while they are chosen, in memory.
 */
#include "postgres.h"

#include <math.h>

#include "algo/distance.h"
#include "algo/occlude.h"
#include "algo/quantize.h"
#include "am/link_make.h"
#include "store/tids.h"

/*
 * For inner product the estimate is to be of |q|^2 - 2 <q,x>, of which |q - x|^2
 * differs by |x|^2.
 */
void
ann_make_link(const AnnIndex *info, const float *node, const float *neighbour,
			  float norm2, float *residual, uint8 *code, AnnCodeFactors *factors)
{
	memcpy(residual, neighbour, sizeof(float) * info->padded);
	ann_subtract(residual, node, info->padded);
	ann_code_encode(info->link_bits, info->padded, info->link_dim, residual, node, code,
					factors);
	if (info->meta.metric == ANN_METRIC_IP)
		factors->a -= norm2;
}

/*
 * With r = y - x, s and k = |r|^2 / <s,r> of the link from x to y, the reverse has
 * -r, -s and the same k; hence F stays, and with y = x + r
 *
 *		A' = |r|^2 - 2k <s,y> = |r|^2 - 2k <s,x> - 2k <s,r> = -|r|^2 - 2k <s,x> = -A
 */
void
ann_reverse_link(const AnnIndex *info, float node_norm2, float neighbour_norm2,
				 uint8 *code, AnnCodeFactors *factors)
{
	/* at 4 bits, the grid is symmetrical as well: 15 - u */
	for (int t = 0; t < info->link_bytes; t++)
		code[t] = ~code[t];
	factors->a = -factors->a;
	if (info->meta.metric == ANN_METRIC_IP)
		factors->a -= node_norm2 + neighbour_norm2;
}

/* Add what a code stands for, of its dimensions: k s scaled to the part they are. */
static void
add_residual(const AnnIndex *info, const uint8 *code, float f, float *sum)
{
	int8		grid[8 * ANN_MAX_LINK_BYTES];
	float		scale = -f / 4 * info->link_dim / info->padded;

	ann_code_grid(info->link_bits, info->link_dim, code, grid);
	for (int i = 0; i < info->link_dim; i++)
		sum[i] += grid[i] * scale;
}

void
ann_join_links(const AnnIndex *info, float norm2, const uint8 *next_code,
			   const AnnCodeFactors *next, float *sum, uint8 *code,
			   AnnCodeFactors *factors)
{
	static const float zero[8 * ANN_MAX_LINK_BYTES];
	float		a = factors->a + next->a;

	/* A of a link from x to y is |y|^2 - |x|^2, and with inner product less |y|^2 */
	if (info->meta.metric == ANN_METRIC_IP)
		a += norm2;
	memset(sum, 0, sizeof(float) * info->link_dim);
	add_residual(info, code, factors->f, sum);
	add_residual(info, next_code, next->f, sum);
	ann_code_encode(info->link_bits, info->link_dim, info->link_dim, sum, zero, code, factors);
	factors->f *= (float) info->padded / info->link_dim;
	factors->a = a;
}

AnnLinkSet *
ann_link_set_make(const AnnIndex *info, int capacity)
{
	AnnLinkSet *set = palloc(sizeof(AnnLinkSet));

	set->info = info;
	set->capacity = capacity;
	set->count = 0;
	set->element = palloc(sizeof(AnnElementRef) * capacity);
	set->factors = palloc(sizeof(AnnCodeFactors) * capacity);
	set->codes = palloc((Size) info->link_bytes * capacity);
	set->grids = palloc((Size) info->link_dim * capacity);
	set->norm2 = palloc(sizeof(float) * capacity);
	set->length2 = palloc(sizeof(float) * capacity);
	set->order = palloc(sizeof(int) * capacity);
	set->distance = palloc(sizeof(float) * capacity);
	set->kept = palloc0(sizeof(bool) * capacity);
	return set;
}

void
ann_link_set_add(AnnLinkSet *set, AnnElementRef element, const AnnCodeFactors *factors,
				 const uint8 *code)
{
	const AnnIndex *info = set->info;
	int			i = set->count++;
	int8	   *grid = set->grids + (Size) i * info->link_dim;
	float		length;

	Assert(i < set->capacity);
	set->element[i] = element;
	set->factors[i] = *factors;
	memcpy(ann_link_set_code(set, i), code, info->link_bytes);
	ann_code_grid(info->link_bits, info->link_dim, code, grid);
	set->norm2[i] = (float) ann_kernels->pair[ANN_PAIR_I8_I8_FAST].ip(grid, grid, info->link_dim);
	length = ann_code_length(info->link_bits, info->padded, info->link_dim, set->norm2[i],
							 factors->f);
	set->length2[i] = length * length;
	set->kept[i] = true;
}

void
ann_link_set_load(AnnLinkSet *set, const AnnLinks *links)
{
	uint8		code[ANN_MAX_LINK_BYTES];

	set->count = 0;
	for (int i = 0; i < links->count; i++)
	{
		AnnCodeFactors factors = {ann_links_a(links)[i], ann_links_f(links)[i], 0};

		ann_links_code(set->info, links, i, code);
		ann_link_set_add(set, links->element[i], &factors, code);
	}
}

/* The squared distance of neighbours a and b, by the law of cosines. */
static float
neighbour_distance(const AnnLinkSet *set, int a, int b)
{
	int			dim = set->info->link_dim;
	float		cosine = ann_code_cosine(set->info->link_bits, dim,
										 set->grids + (Size) a * dim, set->norm2[a],
										 set->grids + (Size) b * dim, set->norm2[b]);

	return set->length2[a] + set->length2[b] -
		2 * sqrtf(set->length2[a] * set->length2[b]) * cosine;
}

/* AnnPairDistance, of neighbours in the order of their distances. */
static float
pair_distance(void *arg, int i, int j)
{
	const AnnLinkSet *set = arg;

	return neighbour_distance(set, set->order[i], set->order[j]);
}

/* The number of the link to an element; -1 if there is none. */
static int
find_link(const AnnLinkSet *set, AnnElementRef element)
{
	for (int i = 0; i < set->count; i++)
	{
		if (ann_same_tid(&set->element[i], &element))
			return i;
	}
	return -1;
}

bool
ann_link_set_has(const AnnLinkSet *set, AnnElementRef element)
{
	return find_link(set, element) >= 0;
}

int
ann_link_set_nearest(const AnnLinkSet *set, AnnElementRef element)
{
	int			from = find_link(set, element);
	float		least = INFINITY;
	int			result = -1;

	for (int i = 0; i < set->count && from >= 0; i++)
	{
		float		d = i != from ? neighbour_distance(set, from, i) : INFINITY;

		if (d < least)
		{
			least = d;
			result = i;
		}
	}
	return result;
}

static int
compare_length(const void *a, const void *b, void *arg)
{
	const float *length2 = arg;
	float		x = length2[*(const int *) a];
	float		y = length2[*(const int *) b];

	return x != y ? (x > y) - (x < y) : *(const int *) a - *(const int *) b;
}

void
ann_link_set_choose(AnnLinkSet *set, int fixed, int max, int fill)
{
	bool	   *chosen = palloc(sizeof(bool) * Max(set->count, 1));

	for (int i = 0; i < set->count; i++)
		set->order[i] = i;
	qsort_arg(set->order + fixed, set->count - fixed, sizeof(int), compare_length,
			  set->length2);
	for (int i = 0; i < set->count; i++)
		set->distance[i] = set->length2[set->order[i]];
	ann_occlude(set->count, fixed, set->distance, pair_distance, set, max, fill, chosen);
	for (int i = 0; i < set->count; i++)
		set->kept[set->order[i]] = chosen[i];
	pfree(chosen);
}
