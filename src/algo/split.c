/*
 * split.c
 *	  Finding splits by two-means, dividing rows by them, and queries as two
 *	  planes of bytes.
 *
 * The centroids are started as Annoy does it (Bernhardsson, annoylib.h,
 * two_means): two rows, to which random rows are added one by one.  Unlike
 * Annoy we go on with a few rounds of Lloyd's algorithm, which makes better
 * halves for less than the cost of routing, and we round the normal to bytes
 * before any row is divided by it, so that rounding loses nothing: the rows
 * lie where the rounded hyperplane says.
 *
 * Within the search for a hyperplane all lengths are in units of the largest
 * scale of the sample.  Nothing overflows then, whatever the rows are.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "algo/split.h"

#define ATTEMPTS 8
#define CLUSTERED_ATTEMPTS 2	/* the others split between two rows */
#define DRAWS 200				/* of rows added to the first centroids */
#define START_TRIES 8			/* to start from two rows that differ */
#define LLOYD_ROUNDS 4
#define BYTE_MAX 127			/* -128 is not used */
#define SMALLEST (FLT_MIN * BYTE_MAX)	/* of what BYTE_MAX can be divided by */

/*
 * Elements that are processed between two checks for interrupts: the slowest
 * kernels take about a nanosecond for each.
 */
#define WORK_UNIT (512 * 1024)

/* Rows that are asked for ahead of their use, and how much of each. */
#define PREFETCH_ROWS 12
#define PREFETCH_BYTES 512
#define CACHE_LINE 64

/*
 * Loops over the elements of vectors.  They run to a bound that the compiler
 * can see to be a multiple of its own vectors, and stay functions of their
 * own, where it believes "restrict": so it vectorises them at -O2.
 */
#define LOOP static __attribute__((noinline))

static inline size_t
whole_lanes(int dim)
{
	return (size_t) dim & ~(size_t) (ANN_SPLIT_LANES - 1);
}

/*
 * The nearest integer of a float between -2^22 and 2^22: floats as large as
 * the number that is added have no fractions.  rintf() would be a call.
 */
static inline float
nearest_integer(float x)
{
	const float big = 0x1.8p23f;

	return (x + big) - big;
}

/* to = row * scale */
LOOP void
dequantise(float *restrict to, const int8_t *restrict row, float scale, int dim)
{
	size_t		n = whole_lanes(dim);

	for (size_t i = 0; i < n; i++)
		to[i] = scale * row[i];
}

/* sum += row * scale */
LOOP void
add_row(float *restrict sum, const int8_t *restrict row, float scale, int dim)
{
	size_t		n = whole_lanes(dim);

	for (size_t i = 0; i < n; i++)
		sum[i] += scale * row[i];
}

/* a += (b - a) * share */
LOOP void
move_towards(float *restrict a, const float *restrict b, float share, int dim)
{
	size_t		n = whole_lanes(dim);

	for (size_t i = 0; i < n; i++)
		a[i] += (b[i] - a[i]) * share;
}

/* to = a * a_factor + b * b_factor */
LOOP void
combine(float *restrict to, const float *restrict a, float a_factor,
		const float *restrict b, float b_factor, int dim)
{
	size_t		n = whole_lanes(dim);

	for (size_t i = 0; i < n; i++)
		to[i] = a[i] * a_factor + b[i] * b_factor;
}

LOOP void
multiply(float *restrict a, float factor, int dim)
{
	size_t		n = whole_lanes(dim);

	for (size_t i = 0; i < n; i++)
		a[i] *= factor;
}

/* The largest absolute value, by way of several, one for each lane. */
LOOP float
largest(const float *restrict a, int dim)
{
	size_t		n = whole_lanes(dim);
	float		lanes[ANN_SPLIT_LANES] = {0};
	float		max = 0;

	for (size_t start = 0; start < n; start += ANN_SPLIT_LANES)
	{
		for (size_t i = 0; i < ANN_SPLIT_LANES; i++)
		{
			float		size = fabsf(a[start + i]);

			lanes[i] = size > lanes[i] ? size : lanes[i];
		}
	}
	for (int i = 0; i < ANN_SPLIT_LANES; i++)
		max = lanes[i] > max ? lanes[i] : max;
	return max;
}

/* to = a * factor, rounded to bytes, which it must fit. */
LOOP void
round_to_bytes(int8_t *restrict to, const float *restrict a, float factor, int dim)
{
	size_t		n = whole_lanes(dim);

	for (size_t i = 0; i < n; i++)
		to[i] = (int8_t) (int32_t) nearest_integer(a[i] * factor);
}

/* The same, and what rounding leaves in 2 * BYTE_MAX parts of a step. */
LOOP void
round_to_planes(int8_t *restrict hi, int8_t *restrict lo, const float *restrict a,
				float factor, int dim)
{
	size_t		n = whole_lanes(dim);

	for (size_t i = 0; i < n; i++)
	{
		float		steps = a[i] * factor;
		float		whole = nearest_integer(steps);

		hi[i] = (int8_t) (int32_t) whole;
		lo[i] = (int8_t) (int32_t) nearest_integer((steps - whole) * (2 * BYTE_MAX));
	}
}

/* Products and squared distances of floats, and products of bytes. */
static inline double
product(const float *a, const float *b, int dim)
{
	return ann_kernels->pair[ANN_PAIR_F32_F32_FAST].ip(a, b, dim);
}

static inline double
distance2(const float *a, const float *b, int dim)
{
	return ann_kernels->pair[ANN_PAIR_F32_F32_FAST].l2sq(a, b, dim);
}

static inline double
byte_product(const int8_t *a, const int8_t *b, int dim)
{
	return ann_kernels->pair[ANN_PAIR_I8_I8_FAST].ip(a, b, dim);
}

/* Note that so many rows were processed; check for interrupts now and then. */
static inline void
did_work(AnnSplitter *s, uint32_t rows)
{
	s->unchecked += rows * (uint32_t) s->rows->dim;
	if (s->unchecked >= WORK_UNIT)
	{
		s->unchecked = 0;
		if (s->check != NULL)
			s->check(s->check_arg);
	}
}

/*
 * Tossing a coin
 */

/* A hash of a row; 'salt' makes one hash function of many. */
static uint64_t
hash_row(const int8_t *row, float scale, int dim, float salt)
{
	uint32_t	scale_bits,
				salt_bits;
	uint64_t	hash;

	memcpy(&scale_bits, &scale, sizeof(scale_bits));
	memcpy(&salt_bits, &salt, sizeof(salt_bits));
	hash = (uint64_t) scale_bits << 32 | salt_bits;
	for (int i = 0; i < dim; i += (int) sizeof(uint64_t))
	{
		uint64_t	word;

		memcpy(&word, row + i, sizeof(word));
		hash = ann_mix64(hash ^ word);
	}
	return ann_mix64(hash);
}

int
ann_split_side(const AnnSplit *split, const int8_t *row, float scale, int dim)
{
	if (ann_split_is_coin(split))
		return hash_row(row, scale, dim, split->scale) & 1;
	return ann_split_margin(split, row, scale, dim) > 0;
}

static void
make_coin(AnnSplitter *s, AnnSplit *split)
{
	memset(s->w, 0, s->rows->dim);
	split->w = s->w;
	split->scale = -1 - (float) ann_random_below(&s->random, 1 << 23);
	split->offset = 0;
}

/*
 * Finding a hyperplane
 */

/* The scale of a sampled row, in units of the largest. */
static inline float
relative_scale(const AnnSplitter *s, int sampled)
{
	return s->rows->scale[s->sample[sampled]] / s->unit;
}

static inline const int8_t *
sampled_row(const AnnSplitter *s, int sampled)
{
	return ann_tree_row(s->rows, s->sample[sampled]);
}

/*
 * Sample rows, all of them if they are few.  False if they are all zero, and
 * there is no unit to measure them by.
 */
static bool
draw_sample(AnnSplitter *s, const uint32_t *order, uint32_t n)
{
	bool		all = n <= ANN_SPLIT_SAMPLE;

	s->sampled = all ? (int) n : ANN_SPLIT_SAMPLE;
	s->unit = 0;
	for (int i = 0; i < s->sampled; i++)
	{
		float		scale;

		s->sample[i] = order[all ? (uint32_t) i : ann_random_below(&s->random, n)];
		scale = s->rows->scale[s->sample[i]];
		if (scale > s->unit)
			s->unit = scale;
	}
	return s->unit > 0;
}

/* Start the centroids at two random rows, different ones if it can be. */
static void
start_centroids(AnnSplitter *s)
{
	int			dim = s->rows->dim;
	int			first = (int) ann_random_below(&s->random, s->sampled);

	dequantise(s->p, sampled_row(s, first), relative_scale(s, first), dim);
	for (int i = 0; i < START_TRIES; i++)
	{
		int			second = (int) ann_random_below(&s->random, s->sampled);

		dequantise(s->q, sampled_row(s, second), relative_scale(s, second), dim);
		did_work(s, 1);
		if (distance2(s->p, s->q, dim) > 0)
			break;
	}
}

/*
 * Add random rows to the nearer centroid.  Distances are weighted by how many
 * rows a centroid is the mean of, which keeps the two of similar weight.
 */
static void
two_means(AnnSplitter *s)
{
	int			dim = s->rows->dim;
	int			p_count = 1,
				q_count = 1;

	for (int i = 0; i < DRAWS; i++)
	{
		int			drawn = (int) ann_random_below(&s->random, s->sampled);
		double		to_p,
					to_q;

		dequantise(s->x, sampled_row(s, drawn), relative_scale(s, drawn), dim);
		to_p = p_count * distance2(s->x, s->p, dim);
		to_q = q_count * distance2(s->x, s->q, dim);
		if (to_p < to_q)
			move_towards(s->p, s->x, 1.0f / (float) ++p_count, dim);
		else if (to_q < to_p)
			move_towards(s->q, s->x, 1.0f / (float) ++q_count, dim);
		did_work(s, 4);
	}
}

/* 1 / |a|, and 0 of a zero vector. */
static float
inverse_norm(const float *a, int dim)
{
	double		norm2 = product(a, a, dim);

	return norm2 > 0 ? (float) (1 / sqrt(norm2)) : 0;
}

/* The offset that puts the hyperplane halfway between the centroids. */
static float
halfway(AnnSplitter *s, const AnnSplit *split)
{
	int			dim = s->rows->dim;

	dequantise(s->x, split->w, split->scale, dim);
	return (float) ((product(s->x, s->p, dim) + product(s->x, s->q, dim)) / 2 * s->unit);
}

/*
 * The hyperplane between the centroids; false, and the split as it was, if
 * they are the same.  Through the origin, it is the one between directions.
 */
static bool
bisect(AnnSplitter *s, AnnSplit *split)
{
	int			dim = s->rows->dim;
	float		max;

	if (s->through_origin)
		combine(s->x, s->p, inverse_norm(s->p, dim), s->q, -inverse_norm(s->q, dim), dim);
	else
		combine(s->x, s->p, 1, s->q, -1, dim);
	max = largest(s->x, dim);
	if (max < SMALLEST)
		return false;
	round_to_bytes(s->w, s->x, BYTE_MAX / max, dim);
	split->w = s->w;
	split->scale = (float) (1 / sqrt(byte_product(s->w, s->w, dim)));
	split->offset = s->through_origin ? 0 : halfway(s, split);
	return true;
}

/* Move the centroids to the means of their sides; false if a side is empty. */
static bool
lloyd_round(AnnSplitter *s, const AnnSplit *split)
{
	int			dim = s->rows->dim;
	int			p_count = 0,
				q_count = 0;

	memset(s->p, 0, dim * sizeof(float));
	memset(s->q, 0, dim * sizeof(float));
	for (int i = 0; i < s->sampled; i++)
	{
		const int8_t *row = sampled_row(s, i);
		float		scale = s->rows->scale[s->sample[i]];
		bool		at_p = ann_split_margin(split, row, scale, dim) > 0;

		add_row(at_p ? s->p : s->q, row, relative_scale(s, i), dim);
		if (at_p)
			p_count++;
		else
			q_count++;
		did_work(s, 2);
	}
	if (p_count == 0 || q_count == 0)
		return false;
	multiply(s->p, 1.0f / (float) p_count, dim);
	multiply(s->q, 1.0f / (float) q_count, dim);
	return true;
}

/*
 * A hyperplane between two clusters of the rows, or else just between two
 * rows; false if none was found.
 */
static bool
find_hyperplane(AnnSplitter *s, const uint32_t *order, uint32_t n, bool clustered,
				AnnSplit *split)
{
	if (!draw_sample(s, order, n))
		return false;
	start_centroids(s);
	if (clustered)
		two_means(s);
	if (!bisect(s, split))
		return false;
	for (int round = 0; clustered && round < LLOYD_ROUNDS; round++)
	{
		if (!lloyd_round(s, split) || !bisect(s, split))
			break;
	}
	return true;
}

/*
 * Dividing rows
 */

size_t
ann_splitter_size(int dim, uint32_t count)
{
	return 3 * dim * sizeof(float) + count * sizeof(uint32_t) + dim;
}

void
ann_splitter_init(AnnSplitter *splitter, const AnnTreeRows *rows,
				  bool through_origin, uint64_t seed,
				  void (*check) (void *arg), void *check_arg,
				  uint32_t count, void *memory)
{
	splitter->rows = rows;
	splitter->through_origin = through_origin;
	splitter->check = check;
	splitter->check_arg = check_arg;
	ann_random_seed(&splitter->random, seed);
	splitter->unchecked = 0;
	splitter->p = memory;
	splitter->q = splitter->p + rows->dim;
	splitter->x = splitter->q + rows->dim;
	splitter->aside = (uint32_t *) (splitter->x + rows->dim);
	splitter->w = (int8_t *) (splitter->aside + count);
}

/* Ask for the beginning of a row; the processor itself goes on from there. */
static inline void
prefetch_row(const AnnTreeRows *rows, uint32_t row)
{
	const int8_t *data = ann_tree_row(rows, row);

	for (int i = 0; i < rows->dim && i < PREFETCH_BYTES; i += CACHE_LINE)
		__builtin_prefetch(data + i);
}

/* Bring the rows of side 0 to the front; returns how many they are. */
static uint32_t
divide(AnnSplitter *s, uint32_t *order, uint32_t n, const AnnSplit *split)
{
	const AnnTreeRows *rows = s->rows;
	uint32_t	zeros = 0;
	uint32_t	ones = 0;

	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t	row = order[i];
		int			side;

		if (i + PREFETCH_ROWS < n)
			prefetch_row(rows, order[i + PREFETCH_ROWS]);
		side = ann_split_side(split, ann_tree_row(rows, row), rows->scale[row], rows->dim);
		order[zeros] = row;		/* no branch: the side is hard to guess */
		s->aside[ones] = row;
		zeros += 1 - side;
		ones += side;
		did_work(s, 1);
	}
	memcpy(order + zeros, s->aside, ones * sizeof(*order));
	return zeros;
}

static bool
is_balanced(uint32_t zeros, uint32_t n)
{
	uint64_t	larger = zeros > n - zeros ? zeros : n - zeros;

	return larger * 100 < (uint64_t) n * ANN_SPLIT_MAX_SHARE;
}

/*
 * A few rows far from all others catch one of the centroids, and cut off
 * hardly anything.  The next attempt therefore looks only at the larger side
 * of the last one, which parts what those rows were kept from.  Where there
 * are many such rows, in many places, two rows are likelier to be ordinary
 * ones than the means of clusters are.
 */
uint32_t
ann_split_rows(AnnSplitter *splitter, uint32_t *order, uint32_t n, AnnSplit *split)
{
	uint32_t	from = 0;
	uint32_t	among = n;
	uint32_t	zeros;

	for (int attempt = 0; attempt < ATTEMPTS; attempt++)
	{
		if (!find_hyperplane(splitter, order + from, among,
							 attempt < CLUSTERED_ATTEMPTS, split))
			continue;
		zeros = divide(splitter, order, n, split);
		if (is_balanced(zeros, n))
			return zeros;
		from = zeros > n - zeros ? 0 : zeros;
		among = zeros > n - zeros ? zeros : n - zeros;
	}
	make_coin(splitter, split);
	zeros = divide(splitter, order, n, split);
	return is_balanced(zeros, n) ? zeros : n / 2;
}

/*
 * Queries
 */

/*
 * The first plane rounds to 1/127 of the largest coordinate, and the second
 * one rounds what that leaves, at most half a step, to 1/127 of half a step.
 */
void
ann_planes_make(AnnPlanes *planes, const float *q, int dim, int8_t *memory)
{
	int8_t	   *hi = memory;
	int8_t	   *lo = memory + dim;
	float		max = largest(q, dim);
	float		factor = max < SMALLEST ? 0 : BYTE_MAX / max;

	round_to_planes(hi, lo, q, factor, dim);
	planes->hi = hi;
	planes->lo = lo;
	planes->scale_hi = factor > 0 ? max / BYTE_MAX : 0;
	planes->scale_lo = planes->scale_hi / (2 * BYTE_MAX);
	planes->norm2 = ann_kernels->pair[ANN_PAIR_F32_F32].ip(q, q, dim);
	planes->dim = dim;
}
