/*
 * split.h
 *	  Splits: how a hyperplane that halves a set of rows is found, and on
 *	  which side of it a row or a query lies.
 *
 * Rows come as bytes with a scale each, coordinate = byte * scale, and are
 * given by their numbers, so that only the numbers move.  Everything that
 * depends on the metric is in what the caller passes:
 *
 *	 L2				the vectors as they are
 *	 cosine			the vectors divided by their norms, and through_origin
 *	 inner product	with one more coordinate, sqrt(M^2 - |x|^2) where M is the
 *					largest norm: the nearest by L2 then has the largest product
 *
 * A side is 0 or 1.  Most splits are hyperplanes: a row is on side 1 if its
 * margin is above 0.  Where no hyperplane separates the rows (they are equal,
 * or nearly all of them are) the split is a coin: w is all zero, every margin
 * is 0, and a search has to visit both sides, at no cost.
 */
#ifndef ANN_SPLIT_H
#define ANN_SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "algo/distance.h"
#include "algo/random.h"

/* Dimensions of rows, splits and queries are multiples of this. */
#define ANN_SPLIT_LANES 64

/* On each side of a split are less than so many per cent of the rows. */
#define ANN_SPLIT_MAX_SHARE 95

/* How many rows a hyperplane is computed from. */
#define ANN_SPLIT_SAMPLE 256

typedef struct AnnTreeRows
{
	const int8_t *data;			/* row r begins at data + r * stride */
	size_t		stride;			/* bytes, at least dim */
	const float *scale;			/* one per row, finite, not negative */
	uint32_t	count;
	int			dim;
} AnnTreeRows;

/*
 * A split.  The length of w * scale is 1, so that a margin is a distance.
 * Of a coin, w and offset are zero, and a scale below zero says what the coin
 * is tossed by: code that only computes margins need not know about coins.
 */
typedef struct AnnSplit
{
	const int8_t *w;			/* normal, points to side 1 */
	float		scale;			/* of the normal */
	float		offset;			/* subtracted before the sign is taken */
} AnnSplit;

static inline const int8_t *
ann_tree_row(const AnnTreeRows *rows, uint32_t row)
{
	return rows->data + row * rows->stride;
}

static inline bool
ann_split_is_coin(const AnnSplit *split)
{
	return split->scale <= 0;
}

/* How far a row is from the hyperplane: above 0 on side 1; of a coin 0. */
static inline double
ann_split_margin(const AnnSplit *split, const int8_t *row, float scale, int dim)
{
	double		product = ann_kernels->pair[ANN_PAIR_I8_I8_FAST].ip(split->w, row, dim);

	return (double) split->scale * scale * product - split->offset;
}

/*
 * The side of a row.  Depends on nothing but the arguments: equal rows are
 * on equal sides, also of a coin, which is tossed by a hash of the row.
 */
extern int	ann_split_side(const AnnSplit *split, const int8_t *row, float scale,
						   int dim);

/*
 * What splitting rows needs, kept from one split to the next.
 *
 * 'check' is called at least once per millisecond or so of work, and may
 * leave by longjmp: nothing is held but the caller's memory.  NULL for none.
 */
typedef struct AnnSplitter
{
	/* Unchanging, set at the beginning */
	const AnnTreeRows *rows;
	bool		through_origin;
	void		(*check) (void *arg);
	void	   *check_arg;

	/* Changing with each split */
	AnnRandom	random;
	uint32_t	unchecked;		/* work done since the last check */

	/* Scratch of one split */
	float	   *p;				/* the centroid on side 1 */
	float	   *q;				/* the centroid on side 0 */
	float	   *x;
	int8_t	   *w;
	uint32_t   *aside;			/* rows of side 1 while they are divided */
	int			sampled;
	float		unit;			/* largest scale in the sample */
	uint32_t	sample[ANN_SPLIT_SAMPLE];	/* row numbers */
} AnnSplitter;

/* Bytes of memory for splitting up to 'count' rows at a time. */
extern size_t ann_splitter_size(int dim, uint32_t count);

/*
 * Prepare to split.  'memory' is ann_splitter_size() bytes, aligned for
 * floats; it and the rows must stay as long as the splitter is used.
 */
extern void ann_splitter_init(AnnSplitter *splitter, const AnnTreeRows *rows,
							  bool through_origin, uint64_t seed,
							  void (*check) (void *arg), void *check_arg,
							  uint32_t count, void *memory);

/*
 * Split the n >= 2 rows whose numbers are in 'order'.
 *
 * Permutes 'order' so that the rows of side 0 come first, and returns how many
 * they are: neither 0 nor n, and each side below ANN_SPLIT_MAX_SHARE.
 * split->w is the splitter's memory and holds until the next call.  With
 * through_origin the offset is 0.
 *
 * ann_split_side() tells the side that each row was put on, with one
 * exception: where a coin has to separate equal rows, the first half of the
 * rows goes to side 0 whatever the coin says.
 */
extern uint32_t ann_split_rows(AnnSplitter *splitter, uint32_t *order, uint32_t n,
							   AnnSplit *split);

/*
 * A query as two planes of bytes, q = hi * scale_hi + lo * scale_lo.  One
 * plane would round away what tells near centroids apart.
 */
typedef struct AnnPlanes
{
	const int8_t *hi;
	const int8_t *lo;
	float		scale_hi;
	float		scale_lo;
	double		norm2;			/* |q|^2, of the query before rounding */
	int			dim;
} AnnPlanes;

/*
 * Make the planes of a query, in 2 * dim bytes of memory.  The query is
 * finite.  No coordinate is off by more than 1/60000 of the largest one;
 * queries below 1e-35 in every coordinate count as zero.
 */
extern void ann_planes_make(AnnPlanes *planes, const float *q, int dim,
							int8_t *memory);

/* The inner product of a query and a vector of bytes with a scale. */
static inline double
ann_planes_dot(const AnnPlanes *q, const int8_t *w, float scale_w)
{
	AnnDistanceFn ip = ann_kernels->pair[ANN_PAIR_I8_I8_FAST].ip;

	return scale_w * (q->scale_hi * ip(q->hi, w, q->dim) +
					  q->scale_lo * ip(q->lo, w, q->dim));
}

/* How far a query is from the hyperplane: above 0 on side 1; of a coin 0. */
static inline double
ann_planes_margin(const AnnPlanes *q, const AnnSplit *split)
{
	return ann_planes_dot(q, split->w, split->scale) - split->offset;
}

#endif							/* ANN_SPLIT_H */
