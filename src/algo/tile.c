/*
 * tile.c
 *	  Rows with their norms, the plain kernel of tiles, and distances.
 */
#include "algo/tile.h"

#include <stdbool.h>
#include <stdlib.h>

#include "algo/tile_isa.h"
#include "algo/vec4.h"

/* Rows whose products are in work between two conversions. */
#define CHUNK 64

/*
 * The largest scale, in units.  Distances of rows that have it are still finite, in
 * as many dimensions as there may be.
 */
#define MAX_SCALE 1e13f

void
ann_tile_plain(const int8_t *const a[4], const int8_t *const *b, uint32_t n,
			   int dim, int32_t *out)
{
	for (uint32_t j = 0; j < n; j++)
	{
		for (int k = 0; k < 4; k++)
		{
			int32_t		sum = 0;

			for (int i = 0; i < dim; i++)
				sum += a[k][i] * b[j][i];
			out[4 * j + k] = sum;
		}
	}
}

static int
compare_scales(const void *a, const void *b)
{
	float		x = *(const float *) a;
	float		y = *(const float *) b;

	return (x > y) - (x < y);
}

float
ann_graph_unit(const AnnTreeRows *rows)
{
	uint64_t	wanted = rows->count < ANN_UNIT_SAMPLE ? rows->count : ANN_UNIT_SAMPLE;
	float		scale[ANN_UNIT_SAMPLE];
	uint32_t	n = 0;

	for (uint64_t i = 0; i < wanted; i++)
	{
		scale[n] = rows->scale[i * rows->count / wanted];
		n += scale[n] > 0;
	}
	if (n == 0)
		return 0;
	qsort(scale, n, sizeof(float), compare_scales);
	return scale[n / 2];
}

/*
 * Norms are computed as the product term of a distance is, so that equal rows
 * are 0 apart, exactly.
 */
void
ann_graph_norms_fill(const AnnGraphRows *rows, uint32_t first, uint32_t n, float *norm2)
{
	AnnDistanceFn ip = ann_kernels->pair[ANN_PAIR_I8_I8_FAST].ip;

	for (uint32_t i = first; i < first + n; i++)
	{
		const int8_t *row = ann_tree_row(&rows->rows, i);

		norm2[i] = rows->rows.scale[i] * rows->rows.scale[i] *
			(float) ip(row, row, rows->rows.dim);
	}
}

void
ann_graph_rows_set(AnnGraphRows *graph_rows, const AnnTreeRows *rows, float *scale,
				   float *norm2)
{
	graph_rows->rows = *rows;
	graph_rows->rows.scale = scale;
	graph_rows->norm2 = norm2;
}

void
ann_graph_rows_fill(float unit, const AnnTreeRows *rows, uint32_t first, uint32_t n,
					float *scale, float *norm2)
{
	AnnGraphRows graph_rows;

	for (uint32_t i = first; i < first + n; i++)
	{
		scale[i] = unit > 0 ? rows->scale[i] / unit : 0;
		scale[i] = scale[i] < MAX_SCALE ? scale[i] : MAX_SCALE;
	}
	ann_graph_rows_set(&graph_rows, rows, scale, norm2);
	ann_graph_norms_fill(&graph_rows, first, n, norm2);
}

void
ann_graph_rows_init(AnnGraphRows *graph_rows, const AnnTreeRows *rows, float unit,
					float *scale, float *norm2)
{
	ann_graph_rows_fill(unit, rows, 0, rows->count, scale, norm2);
	ann_graph_rows_set(graph_rows, rows, scale, norm2);
}

void
ann_graph_rows_sketch(AnnGraphRows *sketch, const AnnGraphRows *rows, int dim,
					  float *norm2)
{
	sketch->rows = rows->rows;
	sketch->rows.dim = dim;
	sketch->norm2 = norm2;
}

/* Tiles are multiples of four rows, as Vec4 reads them. */
static inline size_t
whole_tile(uint32_t n)
{
	return ((size_t) n + ANN_TILE_ROWS - 1) / ANN_TILE_ROWS * ANN_TILE_ROWS;
}

size_t
ann_tile_size(uint32_t n)
{
	return whole_tile(n) * (sizeof(int8_t *) + 2 * sizeof(float));
}

void
ann_tile_init(AnnTile *tile, uint32_t n, void *memory)
{
	tile->row = memory;
	tile->scale = (float *) (tile->row + whole_tile(n));
	tile->norm2 = tile->scale + whole_tile(n);
	tile->n = 0;
}

/* Scales or norms of four rows of a tile, the last one repeated. */
static inline Vec4
four(const float *values, uint32_t first, uint32_t n)
{
	uint32_t	last = n - 1;

	if (first + 4 <= n)
		return vec4_load(values + first);
	return (Vec4) {values[first], values[first + 1 < last ? first + 1 : last],
		values[first + 2 < last ? first + 2 : last], values[last]};
}

/* Four rows as kernels take them. */
typedef struct Four
{
	const int8_t *row[4];
	Vec4		scale;
	Vec4		norm2;
} Four;

static inline Four
take_four(const AnnTile *tile, uint32_t first)
{
	Four		rows;

	for (uint32_t i = 0; i < 4; i++)
		rows.row[i] = tile->row[first + i < tile->n ? first + i : tile->n - 1];
	rows.scale = four(tile->scale, first, tile->n);
	rows.norm2 = four(tile->norm2, first, tile->n);
	return rows;
}

/* Distances of four rows and one from their products. */
static inline Vec4
distances(const Four *rows, float scale, float norm2, const int32_t *products)
{
	Bits4		bits;
	Vec4		product;
	Vec4		d;

	memcpy(&bits, products, sizeof(bits));
	product = __builtin_convertvector(bits, Vec4);
	d = (rows->norm2 + norm2) - (rows->scale * scale * product) * 2;
	return vec4_choose(d > 0, d, (Vec4) {0, 0, 0, 0});
}

void
ann_tile_distances4(const AnnTile *tile, uint32_t first, const AnnTile *other,
					uint32_t from, int dim, float *out)
{
	Four		rows = take_four(tile, first);
	int32_t		products[4 * CHUNK];

	for (uint32_t start = from; start < other->n; start += CHUNK)
	{
		uint32_t	n = other->n - start < CHUNK ? other->n - start : CHUNK;

		ann_kernels->tile(rows.row, other->row + start, n, dim, products);
		for (uint32_t j = 0; j < n; j++)
			vec4_store(out + 4 * (start - from + j),
					   distances(&rows, other->scale[start + j],
								 other->norm2[start + j], products + 4 * j));
	}
}

void
ann_tile_distances1(const AnnTile *tile, uint32_t first, const AnnTile *other,
					uint32_t row, int dim, float *out)
{
	for (uint32_t i = first; i < tile->n; i += 4)
	{
		Four		rows = take_four(tile, i);
		int32_t		products[4];

		ann_kernels->tile(rows.row, other->row + row, 1, dim, products);
		vec4_store(out + (i - first),
				   distances(&rows, other->scale[row], other->norm2[row], products));
	}
}

float
ann_graph_distance(const AnnGraphRows *rows, uint32_t a, uint32_t b)
{
	const AnnTreeRows *r = &rows->rows;
	float		product = (float) ann_kernels->pair[ANN_PAIR_I8_I8_FAST].ip(ann_tree_row(r, a), ann_tree_row(r, b), r->dim);
	float		d = (rows->norm2[a] + rows->norm2[b]) - (r->scale[a] * r->scale[b] * product) * 2;

	return d > 0 ? d : 0;
}
