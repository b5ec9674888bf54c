/*
 * code.c
 *	  Codes and their factors, tables of queries, and the kernel in plain C.
 *
 * Sums run over 64 dimensions in four float lanes, and over these sums in
 * double, so that they are exact to about 1e-7 at any length.
 */
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "algo/code_isa.h"
#include "algo/distance.h"
#include "algo/vec4.h"

#define INLINE static inline __attribute__((always_inline))

/*
 * Shifts byte i of a word to its address; and bit i of each byte, by address.
 */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define BYTE_SHIFT(i) (24 - 8 * (i))
#define FIRST_TO_LAST_BIT UINT64_C(0x0102040810204080)
#else
#define BYTE_SHIFT(i) (8 * (i))
#define FIRST_TO_LAST_BIT UINT64_C(0x8040201008040201)
#endif

/*
 * Added to a number within 0 .. 2^22, it leaves the nearest integer in the low
 * bits of the sum, and in the sum less itself.
 */
#define ROUNDER 0x1p23f

/* The squared norm below which a residual counts as zero. */
#define NO_RESIDUAL 1e-36

/*
 * Steps of the 4-bit grid tried, in units of the root mean square of the
 * residual's coordinates.  The best for normally distributed ones is 0.335.
 */
static const float grid_steps[] = {0.26f, 0.30f, 0.34f, 0.39f, 0.50f};

#define NUM_GRID_STEPS ((int) (sizeof(grid_steps) / sizeof(grid_steps[0])))

/* What the factors are made of. */
typedef struct Sums
{
	double		rr;				/* |r|^2 */
	double		sr;				/* <s,r> */
	double		ss;				/* |s|^2 */
	double		sc;				/* <s,c> */
} Sums;

static void
set_factors(AnnCodeFactors *factors, int dim, const Sums *sums)
{
	double		k = sums->rr / sums->sr;
	double		cos2 = sums->sr * sums->sr / (sums->rr * sums->ss);
	double		sin2 = cos2 < 1 ? 1 - cos2 : 0;

	factors->a = (float) (sums->rr + 2 * k * sums->sc);
	factors->f = (float) (-2 * k);
	factors->e = (float) (2 * sqrt(sums->rr) * sqrt(sin2 / cos2 / (dim - 1)));

	if (!(fabsf(factors->a) <= FLT_MAX && fabsf(factors->f) <= FLT_MAX &&
		  factors->e <= FLT_MAX))
		*factors = (AnnCodeFactors) {0, 0, INFINITY};
}

/* Store the 32 signs that lane l, bit 4 j + l has of dimension 4 j + l. */
INLINE void
store_signs(uint8_t *code, Bits4 signs)
{
	uint32_t	word = (uint32_t) (signs[0] | signs[1] | signs[2] | signs[3]);

	for (int byte = 0; byte < 4; byte++)
		code[byte] = (uint8_t) (word >> (8 * byte));
}

/* 1 bit: the signs, and the sums in passing. */
static void
encode_signs(int dim, const float *r, const float *c, uint8_t *code, Sums *sums)
{
	memset(sums, 0, sizeof(*sums));
	sums->ss = dim / 4.0;
	for (int i = 0; i < dim; i += 64)
	{
		Vec4			rr = {0},
					sr = {0},
					sc = {0};

		for (int part = 0; part < 64; part += 32)
		{
			Bits4		signs = {0};
			Bits4		bit = {1, 2, 4, 8};

			for (int j = i + part; j < i + part + 32; j += 4)
			{
				Vec4			v = vec4_load(r + j);
				Bits4		plus = v >= 0;
				Bits4		flip = ~plus & INT32_MIN;

				signs |= plus & bit;
				bit <<= 4;
				rr += v * v;
				sr += vec4_abs(v);
				sc += (Vec4) ((Bits4) vec4_load(c + j) ^ flip);
			}
			store_signs(code + (i + part) / 8, signs);
		}
		sums->rr += vec4_sum(rr);
		sums->sr += vec4_sum(sr) / 2;
		sums->sc += vec4_sum(sc) / 2;
	}
}

static double
squared_norm(int dim, const float *r)
{
	double		norm = 0;

	for (int i = 0; i < dim; i += 64)
	{
		Vec4			rr = {0};

		for (int j = i; j < i + 64; j += 4)
			rr += vec4_load(r + j) * vec4_load(r + j);
		norm += vec4_sum(rr);
	}
	return norm;
}

/*
 * u of four coordinates given in steps, as ROUNDER + u.  Rounding u's middle
 * to the nearest integer is rounding its lower end down.
 */
INLINE Vec4
grid_place(Vec4 steps)
{
	Vec4			least = {-7.5f, -7.5f, -7.5f, -7.5f};

	steps = vec4_choose(steps > least, steps, least);
	steps = vec4_choose(steps < -least, steps, -least);
	return steps + 7.5f + ROUNDER;
}

/* <s,r> and |s|^2 on the grid of 'inverse' steps in a unit. */
static void
try_grid(int dim, const float *r, float inverse, double *sr, double *ss)
{
	*sr = *ss = 0;
	for (int i = 0; i < dim; i += 64)
	{
		Vec4			sr4 = {0},
					ss4 = {0};

		for (int j = i; j < i + 64; j += 4)
		{
			Vec4			v = vec4_load(r + j);
			Vec4			s = grid_place(v * inverse) - ROUNDER - 7.5f;

			sr4 += s * v;
			ss4 += s * s;
		}
		*sr += vec4_sum(sr4);
		*ss += vec4_sum(ss4);
	}
}

/*
 * 4 bits: the grid of the largest cosine.  The squared norm is known, and
 * large enough for the steps to have a finite inverse.
 */
static void
encode_grid(int dim, const float *r, const float *c, uint8_t *code, Sums *sums)
{
	double		rms = sqrt(sums->rr / dim);
	double		best = -1;
	float		inverse = 0;

	for (int step = 0; step < NUM_GRID_STEPS; step++)
	{
		float		tried = (float) (1 / (rms * grid_steps[step]));
		double		sr,
					ss;

		try_grid(dim, r, tried, &sr, &ss);
		if (sr * sr / ss > best)
		{
			best = sr * sr / ss;
			inverse = tried;
			sums->sr = sr;
			sums->ss = ss;
		}
	}

	sums->sc = 0;
	for (int i = 0; i < dim; i += 64)
	{
		Vec4			sc = {0};

		for (int j = i; j < i + 64; j += 4)
		{
			Vec4			place = grid_place(vec4_load(r + j) * inverse);
			Bits4		u = (Bits4) place & 15;

			code[j / 2] = (uint8_t) (u[0] | u[1] << 4);
			code[j / 2 + 1] = (uint8_t) (u[2] | u[3] << 4);
			sc += (place - ROUNDER - 7.5f) * vec4_load(c + j);
		}
		sums->sc += vec4_sum(sc);
	}
}

void
ann_code_encode(int bits, int dim, int width, const float *r, const float *c,
				uint8_t *code, AnnCodeFactors *factors)
{
	Sums		sums;

	if (bits == 1)
		encode_signs(width, r, c, code, &sums);
	else
	{
		memset(code, 0, ann_code_bytes(bits, width));
		sums.rr = squared_norm(width, r);
		/* what overflows gets no code, but the factors that say so */
		sums.sr = sums.ss = sums.sc = NAN;
		if (sums.rr >= NO_RESIDUAL && sums.rr <= DBL_MAX)
			encode_grid(width, r, c, code, &sums);
	}
	if (width < dim)
		sums.rr += squared_norm(dim - width, r + width);

	if (sums.rr < NO_RESIDUAL)
		*factors = (AnnCodeFactors) {0, 0, 0};
	else
		set_factors(factors, dim, &sums);
}

/* The eight bits of a byte as eight bytes, -1 or 1, the lowest one first. */
INLINE uint64_t
spread_signs(uint8_t byte)
{
	uint64_t	bits = byte * UINT64_C(0x0101010101010101) & FIRST_TO_LAST_BIT;
	uint64_t	ones = (bits + UINT64_C(0x7f7f7f7f7f7f7f7f)) >> 7 & UINT64_C(0x0101010101010101);

	return ~(ones * 0xfe);
}

void
ann_code_grid(int bits, int width, const uint8_t *code, int8_t *grid)
{
	if (bits == 1)
	{
		for (int t = 0; t < width / 8; t++)
		{
			uint64_t	signs = spread_signs(code[t]);

			memcpy(grid + 8 * t, &signs, 8);
		}
		return;
	}
	for (int i = 0; i < width; i += 2)
	{
		grid[i] = (int8_t) (2 * (code[i / 2] & 15) - 15);
		grid[i + 1] = (int8_t) (2 * (code[i / 2] >> 4) - 15);
	}
}

/* sin(x) for -pi/2 .. pi/2, to 2e-4. */
static float
rough_sine(float x)
{
	float		x2 = x * x;

	return x * (1 - x2 * (1 / 6.0f - x2 * (1 / 120.0f - x2 * (1 / 5040.0f))));
}

float
ann_code_cosine(int bits, int width, const int8_t *a, float a_norm2,
				const int8_t *b, float b_norm2)
{
	float		product = (float) ann_kernels->pair[ANN_PAIR_I8_I8_FAST].ip(a, b, width);

	/* signs differ in as large a share of the dimensions as the angle is of pi */
	if (bits == 1)
		return rough_sine((float) M_PI / 2 * product / width);
	return product / sqrtf(a_norm2 * b_norm2);
}

/*
 * f is -2 |r|^2 / <s,r>, and <s,r> is |s||r| times the cosine of the two: close to
 * 1 on the grid, sqrt(2/pi) of signs, both less for the dimensions that the code
 * does not know.
 */
float
ann_code_length(int bits, int dim, int width, float norm2, float f)
{
	double		cosine = sqrt((double) width / dim);

	if (bits == 1)
		cosine *= sqrt(2 / M_PI);
	return (float) (-f / 2 * sqrt(norm2) / 2 * cosine);
}

void
ann_code_put(uint8_t *block, size_t code_bytes, int row, const uint8_t *code)
{
	for (size_t t = 0; t < code_bytes; t++)
		block[t * ANN_CODE_ROWS + row] = code[t];
}

void
ann_code_get(const uint8_t *block, size_t code_bytes, int row, uint8_t *code)
{
	for (size_t t = 0; t < code_bytes; t++)
		code[t] = block[t * ANN_CODE_ROWS + row];
}

/* Where the table of a nibble of byte t begins; see AnnCodeQuery. */
INLINE size_t
table_offset(size_t t, bool high)
{
	return t / 2 * 128 + (high ? 64 : 0) + t % 2 * 32;
}


/* Four entries, rounded, of each of four tables. */
INLINE Bits4
four_entries(Vec4 u0, Vec4 u1, Vec4 u2, Vec4 u3)
{
	return ((Bits4) (u0 + ROUNDER) & 255) << BYTE_SHIFT(0) |
		((Bits4) (u1 + ROUNDER) & 255) << BYTE_SHIFT(1) |
		((Bits4) (u2 + ROUNDER) & 255) << BYTE_SHIFT(2) |
		((Bits4) (u3 + ROUNDER) & 255) << BYTE_SHIFT(3);
}

/*
 * The tables of two bytes of a code, 128 bytes.  Each lane is a nibble, in
 * the order of the code.  Entry u is 'least' plus bit[j] for each bit j that
 * u has.
 */
INLINE void
write_tables(uint8_t *table, Vec4 least, const Vec4 bit[4])
{
	static const int offset[4] = {0, 64, 32, 96};
	Bits4		rows[4];

	for (int i = 0; i < 4; i++)
	{
		Vec4		u = least;

		if (i & 1)
			u += bit[2];
		if (i & 2)
			u += bit[3];
		rows[i] = four_entries(u, u + bit[0], u + bit[1], u + bit[0] + bit[1]);
	}
	VEC4_TRANSPOSE(Bits4, rows[0], rows[1], rows[2], rows[3]);
	for (int i = 0; i < 4; i++)
	{
		memcpy(table + offset[i], &rows[i], 16);
		memcpy(table + offset[i] + 16, &rows[i], 16);
	}
}

/* What to subtract for the least entry to be zero. */
INLINE Vec4
negative_part(Vec4 v)
{
	return (Vec4) ((Bits4) v & (v < 0));
}

/* At 1 bit: from 16 dimensions, of which each nibble has four. */
INLINE void
write_sign_tables(uint8_t *table, const float *q, float scale)
{
	Vec4		bit[4];
	Vec4		least = {0};

	for (int i = 0; i < 4; i++)
		bit[i] = vec4_load(q + 4 * i) * scale;
	VEC4_TRANSPOSE(Vec4, bit[0], bit[1], bit[2], bit[3]);
	for (int i = 0; i < 4; i++)
		least -= negative_part(bit[i]);
	write_tables(table, least, bit);
}

/* At 4 bits: from four dimensions, one for each nibble. */
INLINE void
write_grid_tables(uint8_t *table, const float *q, float scale)
{
	Vec4		v = vec4_load(q) * scale;
	Vec4		bit[4] = {v, 2 * v, 4 * v, 8 * v};

	write_tables(table, -15 * negative_part(v), bit);
}

size_t
ann_code_query_size(int bits, int dim)
{
	return sizeof(AnnCodeQuery) + 64 * ann_code_bytes(bits, dim);
}

/* The larger one; NaN if b is NaN. */
INLINE float
larger(float a, float b)
{
	return b <= a ? a : b;
}

/*
 * The largest range of the sums that must fit a byte, in units of what u = 1
 * stands for; and the sum of |q|.  See AnnCodeQuery on what is summed up.
 */
static float
largest_range(int bits, int dim, const float *q, double *total)
{
	float		largest = 0;

	*total = 0;
	for (int i = 0; i < dim; i += 32)
	{
		float		eight[4];	/* |q| summed up over eight dimensions each */

		for (int j = 0; j < 4; j++)
		{
			Vec4		v = vec4_abs(vec4_load(q + i + 8 * j));
			Vec4		w = vec4_abs(vec4_load(q + i + 8 * j + 4));

			eight[j] = vec4_sum(v + w);
			if (bits == 4)
			{
				largest = larger(largest, larger(v[0] + v[1], v[2] + v[3]));
				largest = larger(largest, larger(w[0] + w[1], w[2] + w[3]));
			}
		}
		if (bits == 1)
			largest = larger(largest, larger(eight[0] + eight[2], eight[1] + eight[3]));
		*total += (eight[0] + eight[1]) + (eight[2] + eight[3]);
	}
	return largest;
}

AnnCodeQuery *
ann_code_query_init(void *memory, int bits, int dim, const float *q)
{
	AnnCodeQuery *query = memory;
	int			top = (1 << bits) - 1;	/* the largest u */
	float		scale = 0;
	double		total;

	/* 253, since four entries may be rounded up by half a step each */
	query->step = top * largest_range(bits, dim, q, &total) / 253;
	if (query->step >= FLT_MIN * 4)
		scale = 1 / query->step;
	query->bits = bits;
	query->code_bytes = (uint32_t) ann_code_bytes(bits, dim);
	/* sum of least contributions - off * sum of q: min(q, 0) - q/2 = -|q|/2 */
	query->base = (float) (-0.5 * top * total);
	query->noise = query->step * query->step * (float) (2 * query->code_bytes);

	if (bits == 1)
	{
		for (int i = 0; i < dim; i += 16)
			write_sign_tables(query->table + 8 * (size_t) i, q + i, scale);
	}
	else
	{
		for (int i = 0; i < dim; i += 4)
			write_grid_tables(query->table + 32 * (size_t) i, q + i, scale);
	}
	return query;
}

/* The measure of the other kernels: one look-up at a time. */
uint32_t
ann_code_scan_plain(const AnnCodeQuery *query, const AnnCodeBlock *block,
					float d2, float slack, float thr, float *est, float *lb)
{
	float		spread = slack * sqrtf(d2 + query->noise);
	uint32_t	mask = 0;
	uint32_t	sums[ANN_CODE_ROWS] = {0};

	for (size_t t = 0; t < query->code_bytes; t++)
	{
		const uint8_t *codes = block->codes + t * ANN_CODE_ROWS;
		const uint8_t *low = query->table + table_offset(t, false);
		const uint8_t *high = query->table + table_offset(t, true);

		for (int row = 0; row < ANN_CODE_ROWS; row++)
			sums[row] += low[codes[row] & 15] + high[codes[row] >> 4];
	}

	for (int row = 0; row < ANN_CODE_ROWS; row++)
	{
		float		sq = query->base + query->step * (float) (int32_t) sums[row];

		est[row] = d2 + block->a[row] + block->f[row] * sq;
		lb[row] = est[row] - spread * block->e[row];
		if (!(lb[row] > thr))
			mask |= UINT32_C(1) << row;
	}
	return mask;
}
