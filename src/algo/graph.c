/*
 * graph.c
 *	  Edges of leaves, reservoirs and the choice of neighbours.
 */
#include "algo/graph.h"

#include <math.h>
#include <string.h>

#include "algo/occlude.h"
#include "algo/scratch.h"
#include "algo/vec4.h"

/* The usual number of candidates, for which the other defaults hold. */
#define USUAL_EF_CONSTRUCTION 64

#define USUAL_FILL 16
#define USUAL_SKETCH 384

#define CACHE_LINE 64

/* value * factor, rounded, within these limits */
static uint32_t
scaled(double value, double factor, uint32_t least, uint32_t most)
{
	double		product = floor(value * factor + 0.5);

	return product < least ? least : product > most ? most : (uint32_t) product;
}

void
ann_graph_options_init(AnnGraphOptions *options, int dim, int m, int ef_construction)
{
	double		effort = sqrt((double) ef_construction / USUAL_EF_CONSTRUCTION);
	uint32_t	degree = 2 * (uint32_t) m;
	bool		small = dim <= 128;

	memset(options, 0, sizeof(*options));
	options->fanout = scaled(small ? 6 : 5, effort, 2, ANN_MAX_FANOUT);
	options->leaf_max = small ? 800 : 600;
	options->leaf_min = 100;
	options->sketch = dim < USUAL_SKETCH ? dim : USUAL_SKETCH;
	options->nearest = scaled(16, effort * (m > 16 ? m / 16.0 : 1), 4, ANN_MAX_NEAREST);
	options->reservoir = scaled(small ? 40 : 48, effort, degree + degree / 4, 512);
	options->degree = degree;
	options->fill = degree < USUAL_FILL ? degree : USUAL_FILL;
	options->alpha = ANN_OCCLUDE_ALPHA;
}

/*
 * Leaves
 */

typedef struct Leaf
{
	AnnTile		tile;
	float	   *matrix;			/* all distances, 'stride' in a row */
	size_t		stride;
	float	   *strip;			/* distances of four rows */
	uint8_t    *told;			/* whether the edges of a pair were told */
	uint64_t   *nearest;		/* of one row, sorted */
	uint32_t   *kept;
} Leaf;

static inline uint32_t
whole_vectors(uint32_t n)
{
	return (n + 7) / 8 * 8;
}

size_t
ann_leaf_scratch_size(const AnnGraphOptions *options)
{
	size_t		n = whole_vectors(options->leaf_max);

	return ann_scratch_bytes(ann_tile_size((uint32_t) n)) +
		ann_scratch_bytes(sizeof(float) * n * n) +
		ann_scratch_bytes(sizeof(float) * 4 * n) +
		ann_scratch_bytes(n * n / 8) +
		ann_scratch_bytes(sizeof(uint64_t) * (n + 1)) +
		ann_scratch_bytes(sizeof(uint32_t) * options->nearest);
}

static void
init_leaf(Leaf *leaf, const AnnGraphOptions *options, void *scratch)
{
	size_t		n = whole_vectors(options->leaf_max);
	char	   *block = scratch;

	ann_tile_init(&leaf->tile, (uint32_t) n, ann_scratch_take(&block, ann_tile_size((uint32_t) n)));
	leaf->matrix = ann_scratch_take(&block, sizeof(float) * n * n);
	leaf->strip = ann_scratch_take(&block, sizeof(float) * 4 * n);
	leaf->told = ann_scratch_take(&block, n * n / 8);
	leaf->nearest = ann_scratch_take(&block, sizeof(uint64_t) * (n + 1));
	leaf->kept = ann_scratch_take(&block, sizeof(uint32_t) * options->nearest);
}

/*
 * Copy a strip, the distances of four rows from 'first' on and all rows from
 * there on, to those rows of the matrix and, since it is symmetric, to those
 * columns.  What lies behind the last row and column is padding.
 */
static void
spread_strip(Leaf *leaf, uint32_t first)
{
	size_t		stride = leaf->stride;

	for (uint32_t j = first; j < leaf->tile.n; j += 4)
	{
		const float *from = leaf->strip + 4 * (size_t) (j - first);
		Vec4		a = vec4_load(from);
		Vec4		b = vec4_load(from + 4);
		Vec4		c = vec4_load(from + 8);
		Vec4		d = vec4_load(from + 12);
		float	   *column = leaf->matrix + j * stride + first;
		float	   *row = leaf->matrix + first * stride + j;

		vec4_store(column, a);
		vec4_store(column + stride, b);
		vec4_store(column + 2 * stride, c);
		vec4_store(column + 3 * stride, d);
		VEC4_TRANSPOSE(Vec4, a, b, c, d);
		vec4_store(row, a);
		vec4_store(row + stride, b);
		vec4_store(row + 2 * stride, c);
		vec4_store(row + 3 * stride, d);
	}
}

/* All distances; of a row from itself, and in the padding, infinity. */
static void
fill_matrix(Leaf *leaf, const AnnGraphOptions *options, int dim)
{
	uint32_t	n = leaf->tile.n;

	leaf->stride = whole_vectors(n);
	for (uint32_t i = 0; i < n; i += 4)
	{
		if (options->check != NULL)
			options->check(options->check_arg);
		ann_tile_distances4(&leaf->tile, i, &leaf->tile, i, dim, leaf->strip);
		spread_strip(leaf, i);
	}
	for (uint32_t i = 0; i < n; i++)
	{
		leaf->matrix[i * leaf->stride + i] = INFINITY;
		for (uint32_t j = n; j < leaf->stride; j++)
			leaf->matrix[i * leaf->stride + j] = INFINITY;
	}
}

/* Is any of eight distances below this one? */
static inline bool
any_below(const float *d, float limit)
{
	Bits4		below = (vec4_load(d) < limit) | (vec4_load(d + 4) < limit);
	uint64_t	halves[2];

	memcpy(halves, &below, sizeof(halves));
	return (halves[0] | halves[1]) != 0;
}

/*
 * A distance that at least 'most' of row d are not above.  The row is dealt out
 * to so many piles; the largest of their smallest is one.
 */
static float
bound_nearest(const Leaf *leaf, const float *d, uint32_t most)
{
	uint32_t	piles = (most + 3) / 4;
	Vec4		smallest[(ANN_MAX_NEAREST + 3) / 4];
	uint32_t	pile = 0;
	Vec4		all = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};

	for (uint32_t p = 0; p < piles; p++)
		smallest[p] = (Vec4) {INFINITY, INFINITY, INFINITY, INFINITY};
	for (uint32_t j = 0; j < leaf->stride; j += 4)
	{
		Vec4		v = vec4_load(d + j);

		smallest[pile] = vec4_choose(v < smallest[pile], v, smallest[pile]);
		pile = pile + 1 < piles ? pile + 1 : 0;
	}
	for (uint32_t p = 0; p < piles; p++)
		all = vec4_choose(all < smallest[p], smallest[p], all);
	all[0] = all[0] > all[1] ? all[0] : all[1];
	all[2] = all[2] > all[3] ? all[2] : all[3];
	return all[0] > all[2] ? all[0] : all[2];
}

/* Sort candidates by insertion, and keep at most so many; returns how many. */
static uint32_t
sort_few(uint64_t *candidates, uint32_t n, uint32_t most)
{
	uint32_t	sorted = 0;

	for (uint32_t i = 0; i < n; i++)
	{
		uint64_t	candidate = candidates[i];
		uint32_t	at = sorted;

		if (sorted == most && candidate >= candidates[most - 1])
			continue;
		at -= sorted == most;
		for (; at > 0 && candidate < candidates[at - 1]; at--)
			candidates[at] = candidates[at - 1];
		candidates[at] = candidate;
		sorted += sorted < most;
	}
	return sorted;
}

/*
 * The 'most' nearest of row i, sorted, to leaf->nearest; returns how many.  The
 * padding behind the last row is infinitely far, as is the row from itself.
 *
 * Whatever is not above the bound is written, and counted only if it is not:
 * few of many branches could be predicted.
 */
static uint32_t
find_nearest(Leaf *leaf, uint32_t i, uint32_t most)
{
	const float *d = leaf->matrix + i * leaf->stride;
	float		limit = nextafterf(bound_nearest(leaf, d, most), INFINITY);
	uint32_t	found = 0;

	for (uint32_t start = 0; start < leaf->stride; start += 8)
	{
		if (!any_below(d + start, limit))
			continue;
		for (uint32_t j = start; j < start + 8; j++)
		{
			leaf->nearest[found] = ann_candidate_make(d[j], j);
			found += d[j] < limit;
		}
	}
	return sort_few(leaf->nearest, found, most);
}

/* Were the edges between two rows told before?  They are now. */
static inline bool
was_told(Leaf *leaf, uint32_t i, uint32_t c)
{
	size_t		mine = i * leaf->stride + c;
	size_t		other = c * leaf->stride + i;

	if (leaf->told[mine / 8] >> (mine % 8) & 1)
		return true;
	leaf->told[other / 8] |= (uint8_t) (1 << (other % 8));
	return false;
}

/* Tell the edges between row i of the leaf and those that are not occluded. */
static void
tell_edges(Leaf *leaf, const uint32_t *numbers, uint32_t i, uint32_t found,
		   float alpha2, AnnEdgeFn edge, void *arg)
{
	uint32_t	kept = 0;

	for (uint32_t at = 0; at < found; at++)
	{
		uint32_t	c = (uint32_t) leaf->nearest[at];
		const float *row = leaf->matrix + c * leaf->stride;
		uint32_t	k = 0;

		while (k < kept && !(alpha2 * row[leaf->kept[k]] < row[i]))
			k++;
		if (k < kept)
			continue;
		leaf->kept[kept++] = c;
		if (was_told(leaf, i, c))
			continue;
		edge(arg, numbers[i], numbers[c], row[i]);
		edge(arg, numbers[c], numbers[i], row[i]);
	}
}

void
ann_leaf_edges(const AnnGraphRows *rows, const uint32_t *numbers, uint32_t n,
			   const AnnGraphOptions *options, AnnEdgeFn edge, void *arg,
			   void *scratch)
{
	Leaf		leaf;

	init_leaf(&leaf, options, scratch);
	for (uint32_t i = 0; i < n; i++)
		ann_tile_add_row(&leaf.tile, rows, numbers[i]);
	fill_matrix(&leaf, options, rows->rows.dim);
	memset(leaf.told, 0, leaf.stride * leaf.stride / 8);
	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t	found = find_nearest(&leaf, i, options->nearest);

		tell_edges(&leaf, numbers, i, found, options->alpha * options->alpha,
				   edge, arg);
	}
}

/*
 * Reservoirs
 */

size_t
ann_reservoirs_size(uint32_t rows, const AnnGraphOptions *options)
{
	return ann_scratch_bytes(sizeof(uint64_t) * rows * options->reservoir) +
		sizeof(uint16_t) * (size_t) rows;
}

void
ann_reservoirs_init(AnnReservoirs *reservoirs, uint32_t rows,
					const AnnGraphOptions *options, void *memory)
{
	char	   *block = memory;

	reservoirs->capacity = options->reservoir;
	reservoirs->candidates = ann_scratch_take(&block, sizeof(uint64_t) * rows * options->reservoir);
	reservoirs->counts = (uint16_t *) block;
}

void
ann_reservoirs_expect(const AnnReservoirs *reservoirs, const uint32_t *rows, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
	{
		const char *first = (const char *) (reservoirs->candidates + (size_t) rows[i] * reservoirs->capacity);

		__builtin_prefetch(&reservoirs->counts[rows[i]], 1, 2);
		for (size_t at = 0; at < sizeof(uint64_t) * reservoirs->capacity; at += CACHE_LINE)
			__builtin_prefetch(first + at, 1, 2);
	}
}

/*
 * The place of the first of n sorted candidates that is not before this one.
 * Without branches, which nobody could predict.
 */
static inline uint32_t
find_place(const uint64_t *candidates, uint32_t n, uint64_t candidate)
{
	uint32_t	low = 0;

	while (n > 1)
	{
		uint32_t	half = n / 2;

		low += (0 - (uint32_t) (candidates[low + half - 1] < candidate)) & half;
		n -= half;
	}
	return low + (n > 0 && candidates[low] < candidate);
}

void
ann_reservoirs_add(AnnReservoirs *reservoirs, uint32_t from, uint32_t to,
				   float distance)
{
	uint64_t   *candidates = reservoirs->candidates + (size_t) from * reservoirs->capacity;
	uint32_t	n = reservoirs->counts[from];
	uint64_t	candidate = ann_candidate_make(distance, to);
	uint32_t	at;

	if (n == reservoirs->capacity)
	{
		if (candidate >= candidates[n - 1])
			return;
		n--;
	}
	at = find_place(candidates, n, candidate);
	if (at < n && candidates[at] == candidate)
		return;
	memmove(candidates + at + 1, candidates + at, sizeof(*candidates) * (n - at));
	candidates[at] = candidate;
	reservoirs->counts[from] = (uint16_t) (n + 1);
}

/* Has a node this neighbour? */
static bool
has_link(const AnnGraph *graph, uint32_t node, uint32_t neighbour)
{
	const uint32_t *links = ann_graph_links(graph, node);
	uint32_t	k = 0;

	while (k < graph->degrees[node] && links[k] != neighbour)
		k++;
	return k < graph->degrees[node];
}

void
ann_reservoirs_keep_links(AnnReservoirs *reservoirs, const AnnGraph *graph, uint32_t row)
{
	uint64_t   *candidates = reservoirs->candidates + (size_t) row * reservoirs->capacity;
	uint32_t	kept = 0;

	for (uint32_t i = 0; i < reservoirs->counts[row]; i++)
	{
		if (has_link(graph, row, (uint32_t) candidates[i]))
			candidates[kept++] = candidates[i];
	}
	reservoirs->counts[row] = (uint16_t) kept;
}

void
ann_graph_return_links(const AnnGraph *graph, const AnnGraphRows *rows, uint32_t row,
					   AnnEdgeFn edge, void *arg)
{
	const uint32_t *links = ann_graph_links(graph, row);

	for (uint32_t i = 0; i < graph->degrees[row]; i++)
		edge(arg, links[i], row, ann_graph_distance(rows, row, links[i]));
}

/*
 * Neighbours
 */

/* What becomes of a candidate. */
enum
{
	OCCLUDED,
	CHOSEN
};

/* In place of the number of a candidate that is occluded. */
#define DROPPED UINT32_MAX

/*
 * Of the first four candidates and all behind them, whose distances from those
 * four are in between[4 * candidate + i]: choose what is not occluded of the
 * four, and mark in 'numbers' what they occlude.  Returns how many are chosen.
 */
static uint32_t
choose_of_four(const AnnTile *tile, const float *d, float alpha2, uint32_t most,
			   uint8_t *fate, uint32_t *numbers, const float *between)
{
	uint32_t	count = 0;

	for (uint32_t i = 0; i < ANN_TILE_ROWS && i < tile->n && count < most; i++)
	{
		if (numbers[i] == DROPPED)
			continue;
		fate[numbers[i]] = CHOSEN;
		count++;
		for (uint32_t c = i + 1; c < tile->n; c++)
		{
			if (alpha2 * between[4 * c + i] < d[c])
				numbers[c] = DROPPED;
		}
	}
	return count;
}

/* Close up the candidates behind the first four that were not dropped. */
static void
keep_others(AnnTile *tile, float *d, uint32_t *numbers)
{
	uint32_t	n = tile->n;

	tile->n = 0;
	for (uint32_t c = ANN_TILE_ROWS; c < n; c++)
	{
		if (numbers[c] == DROPPED)
			continue;
		d[tile->n] = d[c];
		numbers[tile->n] = numbers[c];
		ann_tile_add(tile, tile->row[c], tile->scale[c], tile->norm2[c]);
	}
}

uint32_t
ann_prune(AnnTile *tile, float *d, int dim, const AnnGraphOptions *options,
		  uint32_t *chosen, void *scratch)
{
	uint32_t	n = tile->n;
	char	   *block = scratch;
	float	   *between = ann_scratch_take(&block, sizeof(float) * 4 * (size_t) n);
	uint32_t   *numbers = ann_scratch_take(&block, sizeof(uint32_t) * n);
	uint8_t    *fate = (uint8_t *) block;
	uint32_t	count = 0;
	uint32_t	written = 0;

	memset(fate, OCCLUDED, n);
	for (uint32_t c = 0; c < n; c++)
		numbers[c] = c;
	while (tile->n > 0 && count < options->degree)
	{
		ann_tile_distances4(tile, 0, tile, 0, dim, between);
		count += choose_of_four(tile, d, options->alpha * options->alpha,
								options->degree - count, fate, numbers, between);
		keep_others(tile, d, numbers);
	}
	for (uint32_t c = 0; c < n && count < options->fill; c++)
	{
		if (fate[c] == OCCLUDED)
		{
			fate[c] = CHOSEN;
			count++;
		}
	}
	for (uint32_t c = 0; c < n; c++)
	{
		if (fate[c] == CHOSEN)
			chosen[written++] = c;
	}
	return written;
}

size_t
ann_prune_scratch_size(uint32_t n)
{
	return ann_scratch_bytes(sizeof(float) * 4 * (size_t) n) +
		ann_scratch_bytes(sizeof(uint32_t) * (size_t) n) + ann_scratch_bytes(n);
}

size_t
ann_graph_size(uint32_t nodes, const AnnGraphOptions *options)
{
	return ann_scratch_bytes(sizeof(uint32_t) * nodes * options->degree) +
		sizeof(uint16_t) * (size_t) nodes;
}

void
ann_graph_init(AnnGraph *graph, uint32_t nodes, const AnnGraphOptions *options,
			   void *memory)
{
	char	   *block = memory;

	graph->count = nodes;
	graph->degree = options->degree;
	graph->links = ann_scratch_take(&block, sizeof(uint32_t) * nodes * options->degree);
	graph->degrees = (uint16_t *) block;
}

size_t
ann_prune_row_scratch_size(const AnnGraphOptions *options)
{
	size_t		n = options->reservoir;

	return ann_scratch_bytes(ann_tile_size((uint32_t) n)) +
		ann_scratch_bytes(sizeof(float) * (n + 4)) +
		ann_scratch_bytes(sizeof(uint64_t) * n) +
		ann_scratch_bytes(sizeof(uint32_t) * n) + ann_prune_scratch_size((uint32_t) n);
}

/* Distances of a tile's candidates from a row, by all dimensions, sorted. */
static void
measure(AnnTile *tile, const AnnGraphRows *rows, uint32_t row, float *d,
		uint64_t *candidates, const uint64_t *from)
{
	const int8_t *one;
	float		scale;
	float		norm2;
	AnnTile		query = {&one, &scale, &norm2, 0};
	uint32_t	n = tile->n;

	ann_tile_add_row(&query, rows, row);
	ann_tile_distances1(tile, 0, &query, 0, rows->rows.dim, d);
	for (uint32_t i = 0; i < n; i++)
	{
		uint64_t	candidate = ann_candidate_make(d[i], (uint32_t) from[i]);
		uint32_t	at = i;

		for (; at > 0 && candidate < candidates[at - 1]; at--)
			candidates[at] = candidates[at - 1];
		candidates[at] = candidate;
	}
}

static void
gather(AnnTile *tile, const AnnGraphRows *rows, const uint64_t *candidates, uint32_t n)
{
	tile->n = 0;
	for (uint32_t i = 0; i < n; i++)
		ann_tile_add_row(tile, rows, (uint32_t) candidates[i]);
}

void
ann_prune_row(AnnGraph *graph, const AnnGraphRows *rows,
			  const AnnReservoirs *reservoirs, uint32_t row,
			  const AnnGraphOptions *options, void *scratch)
{
	size_t		most = options->reservoir;
	const uint64_t *candidates = reservoirs->candidates + row * most;
	uint32_t	n = reservoirs->counts[row];
	uint32_t   *links = ann_graph_links(graph, row);
	char	   *block = scratch;
	void	   *memory = ann_scratch_take(&block, ann_tile_size(options->reservoir));
	float	   *d = ann_scratch_take(&block, sizeof(float) * (most + 4));
	uint64_t   *measured = ann_scratch_take(&block, sizeof(uint64_t) * most);
	uint32_t   *chosen = ann_scratch_take(&block, sizeof(uint32_t) * most);
	AnnTile		tile;

	ann_tile_init(&tile, options->reservoir, memory);
	gather(&tile, rows, candidates, n);
	if (options->sketch < (uint32_t) rows->rows.dim)
	{
		measure(&tile, rows, row, d, measured, candidates);
		candidates = measured;
		gather(&tile, rows, candidates, n);
	}
	for (uint32_t i = 0; i < n; i++)
		d[i] = ann_candidate_distance(candidates[i]);
	n = ann_prune(&tile, d, rows->rows.dim, options, chosen, block);
	for (uint32_t i = 0; i < n; i++)
		links[i] = (uint32_t) candidates[chosen[i]];
	graph->degrees[row] = (uint16_t) n;
}
