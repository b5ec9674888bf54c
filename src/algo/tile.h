/*
 * tile.h
 *	  Distances of many rows from many rows: what building a graph consists of.
 *
 * Rows are bytes with a scale each, as in split.h.  The squared distance of two
 * rows is that of what the bytes stand for, never below 0, and 0 for equal
 * ones:
 *
 *		d(a, b) = max(0, |a|^2 + |b|^2 - 2 scale_a scale_b <a, b>)
 *
 * computed in floats, in one way everywhere: the same two rows have the same
 * distance, in either order and on every processor.  Scales are in units of a
 * usual one, and distances in units of its square, so that neither the squares
 * of most rows vanish nor those of any overflow, whatever the rows are.
 */
#ifndef ANN_TILE_H
#define ANN_TILE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "algo/split.h"

/* All rows that a graph is made of. */
typedef struct AnnGraphRows
{
	AnnTreeRows rows;			/* scales in units of a usual one */
	const float *norm2;			/* squared norm of each row */
} AnnGraphRows;

/* Of more rows, so many tell what is usual. */
#define ANN_UNIT_SAMPLE 1024

/*
 * A usual scale: the median of those that are not 0, of all rows or a sample; 0
 * if there is none.
 */
extern float ann_graph_unit(const AnnTreeRows *rows);

/*
 * Make 'graph_rows' of 'rows', with scales in units of 'unit'; extremely large
 * ones become smaller.  'scale' and 'norm2' get a value for each row, and stay in
 * use with the rows.
 */
extern void ann_graph_rows_init(AnnGraphRows *graph_rows, const AnnTreeRows *rows,
								float unit, float *scale, float *norm2);

/* The same in parts: the values of some rows are set by themselves. */
extern void ann_graph_rows_set(AnnGraphRows *graph_rows, const AnnTreeRows *rows,
							   float *scale, float *norm2);
extern void ann_graph_rows_fill(float unit, const AnnTreeRows *rows, uint32_t first,
								uint32_t n, float *scale, float *norm2);

/*
 * The same rows, by their first 'dim' dimensions alone; 'norm2' as above, for
 * ann_graph_norms_fill to set, once the scales have been.  Of rotated rows some hundred
 * tell nearly as well as all which others are near.
 */
extern void ann_graph_rows_sketch(AnnGraphRows *sketch, const AnnGraphRows *rows,
								  int dim, float *norm2);
extern void ann_graph_norms_fill(const AnnGraphRows *rows, uint32_t first, uint32_t n,
								 float *norm2);

/* Some rows, gathered from wherever they lie. */
typedef struct AnnTile
{
	const int8_t **row;
	float	   *scale;
	float	   *norm2;
	uint32_t	n;
} AnnTile;

/* How many rows are worked on at a time. */
#define ANN_TILE_ROWS 4

/* Bytes of memory for a tile of up to n rows, aligned for pointers. */
extern size_t ann_tile_size(uint32_t n);

/* An empty tile in such memory. */
extern void ann_tile_init(AnnTile *tile, uint32_t n, void *memory);

/* Add a row to a tile that has room for it. */
static inline void
ann_tile_add(AnnTile *tile, const int8_t *row, float scale, float norm2)
{
	tile->row[tile->n] = row;
	tile->scale[tile->n] = scale;
	tile->norm2[tile->n] = norm2;
	tile->n++;
}

/* The same by its number.  The beginning of the row is asked for. */
static inline void
ann_tile_add_row(AnnTile *tile, const AnnGraphRows *rows, uint32_t number)
{
	const int8_t *row = ann_tree_row(&rows->rows, number);

	for (int i = 0; i < rows->rows.dim && i < 512; i += 64)
		__builtin_prefetch(row + i);
	ann_tile_add(tile, row, rows->rows.scale[number], rows->norm2[number]);
}

/*
 * Distances of the four rows of 'tile' from number 'first' on, and all rows of
 * 'other' from number 'from' on: out[4 * j + i] is that of tile's first + i and
 * other's from + j.  Behind the tile's last row it is repeated.
 *
 * 'out' has room for four floats for each of those rows of 'other'.
 */
extern void ann_tile_distances4(const AnnTile *tile, uint32_t first,
								const AnnTile *other, uint32_t from, int dim,
								float *out);

/*
 * Distances of one row of 'other' from all rows of 'tile' from number 'first'
 * on, to out[0], out[1] and so on.  'out' has room for a multiple of four.
 */
extern void ann_tile_distances1(const AnnTile *tile, uint32_t first,
								const AnnTile *other, uint32_t row, int dim,
								float *out);

/* Distance of two rows by their numbers. */
extern float ann_graph_distance(const AnnGraphRows *rows, uint32_t a, uint32_t b);

#endif							/* ANN_TILE_H */
