/*
 * rotation_template.h
 *	  The steps of a rotation on vectors of some width; included once by each
 *	  rotation file.  (No include guard: it is a template.)
 *
 * The including file defines:
 *
 *	 TARGET			function attribute that allows the instruction set
 *	 Vec			a vector of LANES floats; LANES is 4, 8 or 16
 *	 load(p), store(p, v)	LANES floats at p, unaligned
 *	 load_blocks(p)	four floats each at p, p + 16, p + 32, ...
 *	 store_blocks(p, a, b, c, d)
 *					likewise a at p, b at p + 4, c at p + 8, d at p + 12; in
 *					whole vectors, as loads behind narrower stores have to wait
 *	 low_pairs(a, b)		within each four lanes: a0 b0 a1 b1
 *	 high_pairs(a, b)		a2 b2 a3 b3
 *	 low_halves(a, b)		a0 a1 b0 b1
 *	 high_halves(a, b)		a2 a3 b2 b3
 *
 * The same operations are done on the same numbers in the same order whatever
 * the width, so that the results are equal to the last bit.
 */
#include "algo/rotation_isa.h"

/* x and y become their sum and their difference. */
#define BUTTERFLY(x, y) \
	do { \
		Vec			sum_ = (x) + (y); \
		(y) = (x) - (y); \
		(x) = sum_; \
	} while (0)

/* Transform across four vectors. */
#define MIX4(a, b, c, d) \
	do { \
		BUTTERFLY(a, b); \
		BUTTERFLY(c, d); \
		BUTTERFLY(a, c); \
		BUTTERFLY(b, d); \
	} while (0)

/*
 * Transform each 16 coordinates, and transpose them as a 4 x 4 matrix.  The
 * transposition saves a second one, and is harmless: the transform is as
 * orthogonal as before, and still its own inverse, since both commute.
 */
TARGET static void
mix_low(float *x, size_t n)
{
	for (float *end = x + n; x < end; x += 4 * LANES)
	{
		Vec			a = load_blocks(x),
					b = load_blocks(x + 4),
					c = load_blocks(x + 8),
					d = load_blocks(x + 12),
					ab,
					AB,
					cd,
					CD;

		MIX4(a, b, c, d);
		ab = low_pairs(a, b);
		AB = high_pairs(a, b);
		cd = low_pairs(c, d);
		CD = high_pairs(c, d);
		a = low_halves(ab, cd);
		b = high_halves(ab, cd);
		c = low_halves(AB, CD);
		d = high_halves(AB, CD);
		MIX4(a, b, c, d);
		store_blocks(x, a, b, c, d);
	}
}

/* Transform across the four that are 'stride' apart. */
TARGET static void
mix_by_4(float *x, size_t n, size_t stride)
{
	for (float *end = x + n; x < end; x += 4 * stride)
	{
		for (float *p = x; p < x + stride; p += LANES)
		{
			Vec			a = load(p),
						b = load(p + stride),
						c = load(p + 2 * stride),
						d = load(p + 3 * stride);

			MIX4(a, b, c, d);
			store(p, a);
			store(p + stride, b);
			store(p + 2 * stride, c);
			store(p + 3 * stride, d);
		}
	}
}

/* Transform across the eight that are 'stride' apart. */
TARGET static void
mix_by_8(float *x, size_t n, size_t stride)
{
	for (float *end = x + n; x < end; x += 8 * stride)
	{
		for (float *p = x; p < x + stride; p += LANES)
		{
			float	   *q = p + 4 * stride;
			Vec			a = load(p),
						b = load(p + stride),
						c = load(p + 2 * stride),
						d = load(p + 3 * stride),
						e = load(q),
						f = load(q + stride),
						g = load(q + 2 * stride),
						h = load(q + 3 * stride);

			MIX4(a, b, c, d);
			MIX4(e, f, g, h);
			BUTTERFLY(a, e);
			BUTTERFLY(b, f);
			BUTTERFLY(c, g);
			BUTTERFLY(d, h);
			store(p, a);
			store(p + stride, b);
			store(p + 2 * stride, c);
			store(p + 3 * stride, d);
			store(q, e);
			store(q + stride, f);
			store(q + 2 * stride, g);
			store(q + 3 * stride, h);
		}
	}
}

/*
 * Hadamard transform of n coordinates, n a power of two and at least 64, not
 * normed.  Passes by eight touch memory least; those by four come first, as
 * many as it takes for the rest to be a power of eight.
 */
TARGET static void
mix(float *x, size_t n)
{
	size_t		stride = 16;

	mix_low(x, n);
	while ((n / stride) % 7 != 1)	/* a power of eight is 1 modulo 7 */
	{
		mix_by_4(x, n, stride);
		stride *= 4;
	}
	for (; stride < n; stride *= 8)
		mix_by_8(x, n, stride);
}

/* The two halves a, b become a + b and a - b. */
TARGET static void
mix_halves(float *x, size_t n)
{
	for (size_t i = 0; i < n / 2; i += LANES)
	{
		Vec			a = load(x + i),
					b = load(x + n / 2 + i);

		store(x + i, a + b);
		store(x + n / 2 + i, a - b);
	}
}

/* The same, and then each coordinate times its factor. */
TARGET static void
mix_halves_and_multiply(float *x, const float *factor, size_t n)
{
	for (size_t i = 0; i < n / 2; i += LANES)
	{
		Vec			a = load(x + i),
					b = load(x + n / 2 + i);

		store(x + i, (a + b) * load(factor + i));
		store(x + n / 2 + i, (a - b) * load(factor + n / 2 + i));
	}
}

TARGET static void
multiply(float *x, const float *factor, size_t n)
{
	for (size_t i = 0; i < n; i += LANES)
		store(x + i, load(x + i) * load(factor + i));
}

/* Each coordinate of x times its first factor, and zeros up to 'padded'. */
TARGET static void
multiply_first(const AnnRotation *rotation, const float *x, float *out)
{
	size_t		dim = rotation->dim;
	size_t		i = 0;

	for (; i + LANES <= dim; i += LANES)
		store(out + i, load(x + i) * load(rotation->factor + i));
	for (; i < dim; i++)
		out[i] = x[i] * rotation->factor[i];
	memset(out + dim, 0, (rotation->padded - dim) * sizeof(float));
}

/* What ann_rotate does. */
TARGET static void
rotate(const AnnRotation *rotation, const float *x, float *out)
{
	size_t		n = rotation->padded;
	const float *factor = rotation->factor;

	multiply_first(rotation, x, out);
	for (int round = 0; round < ANN_ROTATION_ROUNDS; round++)
	{
		bool		last = round == ANN_ROTATION_ROUNDS - 1;

		factor += n;
		mix(out + ann_rotation_start(rotation, round), rotation->mixed);
		if (!ann_rotation_halves(rotation, round))
		{
			if (!last)
				multiply(out, factor, n);
		}
		else if (last)
			mix_halves(out, n);
		else
			mix_halves_and_multiply(out, factor, n);
	}
}
