/*
 * distance.c
 *	  Every kernel of every table that this processor can run, against a
 *	  computation in long double that shares nothing with the kernels.
 *
 * The kernels of other processors are reached by running this program under
 * an emulator.
 */
#include <math.h>
#include <string.h>

#include "algo/distance.h"
#include "unit.h"

#define MAX_DIM 16000
#define MAX_ELEMENT 8			/* bytes */

static const int dims[] = {
	0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 63, 64, 65, 96,
	100, 127, 128, 129, 255, 384, 511, 784, 1000, 1536, 3072, 4097, MAX_DIM
};

#define NUM_DIMS ((int) (sizeof(dims) / sizeof(dims[0])))

typedef enum Kind
{
	F16, F32, F64, I8
} Kind;

static const int kind_size[] = {2, 4, 8, 1};

static const struct
{
	const char *name;
	Kind		a;
	Kind		b;
	long double epsilon;		/* rounding unit of the accumulator */
}			pairs[ANN_NUM_PAIRS] = {
	[ANN_PAIR_F32_F32] = {"f32 x f32", F32, F32, 0x1p-53L},
	[ANN_PAIR_F32_F64] = {"f32 x f64", F32, F64, 0x1p-53L},
	[ANN_PAIR_F64_F64] = {"f64 x f64", F64, F64, 0x1p-53L},
	[ANN_PAIR_F32_F32_FAST] = {"f32 x f32 fast", F32, F32, 0x1p-24L},
	[ANN_PAIR_F16_F32_FAST] = {"f16 x f32 fast", F16, F32, 0x1p-24L},
	[ANN_PAIR_I8_I8_FAST] = {"i8 x i8 fast", I8, I8, 0},
};

/* One operand: its bytes as the kernel sees them, and its values. */
typedef struct Operand
{
	Kind		kind;
	char	   *end;			/* of the bytes; behind it lies a fault */
	long double value[MAX_DIM];
} Operand;

static Operand a,
			b;

/* What a half means, by the definition of the format. */
static long double
half_value(AnnHalf half)
{
	int			exponent = (half >> 10) & 0x1f;
	int			mantissa = half & 0x3ff;
	long double magnitude;

	if (exponent == 31)
		magnitude = mantissa ? (long double) NAN : (long double) INFINITY;
	else if (exponent == 0)
		magnitude = ldexpl(mantissa, -24);
	else
		magnitude = ldexpl(mantissa + 1024, exponent - 25);
	return (half & 0x8000) ? -magnitude : magnitude;
}

static char *
operand_data(const Operand *o, int dim)
{
	return o->end - (size_t) dim * kind_size[o->kind];
}

/* Make element i of 'dim' what 'bits' say, and note the value. */
static void
set_random(Operand *o, int dim, int i)
{
	char	   *at = operand_data(o, dim) + (size_t) i * kind_size[o->kind];
	float		f = (float) ((random_unit() - 0.5) * 100);
	double		d = (random_unit() - 0.5) * 100;
	AnnHalf		h = (random_bits() & 0x83ff) | (10 + random_bits() % 10) << 10;
	int8_t		c = (int8_t) (random_bits() & 0xff);

	switch (o->kind)
	{
		case F16:
			memcpy(at, &h, sizeof(h));
			o->value[i] = half_value(h);
			break;
		case F32:
			memcpy(at, &f, sizeof(f));
			o->value[i] = f;
			break;
		case F64:
			memcpy(at, &d, sizeof(d));
			o->value[i] = d;
			break;
		case I8:
			memcpy(at, &c, sizeof(c));
			o->value[i] = c;
			break;
	}
}

static void
fill(Operand *o, Kind kind, int dim)
{
	o->kind = kind;
	for (int i = 0; i < dim; i++)
		set_random(o, dim, i);
}

static bool
close_to(double got, long double wanted, long double magnitude,
		 long double tolerance)
{
	return fabsl(got - wanted) <= tolerance * magnitude;
}

/*
 * One random pair of vectors through the three kernels.  A sum in four or
 * more accumulators is off by at most so many roundings of its terms' sizes.
 */
static bool
one_pair(const AnnPairKernels *k, int p, int dim)
{
	long double l2sq = 0,
				ab = 0,
				ab_abs = 0,
				aa = 0,
				bb = 0,
				tolerance = pairs[p].epsilon * (dim / 4 + 8);
	AnnCosineParts parts;
	char	   *da,
			   *db;

	fill(&a, pairs[p].a, dim);
	fill(&b, pairs[p].b, dim);
	for (int i = 0; i < dim; i++)
	{
		long double x = a.value[i],
					y = b.value[i];

		l2sq += (x - y) * (x - y);
		ab += x * y;
		ab_abs += fabsl(x * y);
		aa += x * x;
		bb += y * y;
	}
	da = operand_data(&a, dim);
	db = operand_data(&b, dim);
	k->cosine(da, db, dim, &parts);
	return close_to(k->l2sq(da, db, dim), l2sq, l2sq, tolerance) &&
		close_to(k->ip(da, db, dim), ab, ab_abs, tolerance) &&
		close_to(parts.ab, ab, ab_abs, tolerance) &&
		close_to(parts.aa, aa, aa, tolerance) &&
		close_to(parts.bb, bb, bb, tolerance);
}

static void
test_values(const AnnKernels *t)
{
	for (int p = 0; p < ANN_NUM_PAIRS; p++)
	{
		int			bad = -1;

		for (int d = 0; d < NUM_DIMS; d++)
		{
			for (int round = 0; round < 20; round++)
			{
				if (!one_pair(&t->pair[p], p, dims[d]))
					bad = dims[d];
			}
		}
		ok(bad < 0, "%s, %s: values (dimension %d)", t->name, pairs[p].name, bad);
	}
}

static bool
same_bits(double x, double y)
{
	return memcmp(&x, &y, sizeof(x)) == 0;
}

/* Swapped operands, and equal values in another exact pair: the same bits. */
static void
test_bits(const AnnKernels *t)
{
	const AnnPairKernels *f32 = &t->pair[ANN_PAIR_F32_F32];
	const AnnPairKernels *mixed = &t->pair[ANN_PAIR_F32_F64];
	const AnnPairKernels *f64 = &t->pair[ANN_PAIR_F64_F64];
	static float x[MAX_DIM],
				y[MAX_DIM];
	static double xd[MAX_DIM],
				yd[MAX_DIM];
	bool		symmetric = true,
				equal = true;

	for (int round = 0; round < 500; round++)
	{
		int			dim = dims[round % NUM_DIMS];
		AnnCosineParts c32,
					c64,
					cmixed;

		for (int i = 0; i < dim; i++)
		{
			xd[i] = x[i] = (float) (random_unit() - 0.5);
			yd[i] = y[i] = (float) (random_unit() - 0.5);
		}
		symmetric &= same_bits(f32->l2sq(x, y, dim), f32->l2sq(y, x, dim)) &&
			same_bits(f32->ip(x, y, dim), f32->ip(y, x, dim)) &&
			same_bits(f64->l2sq(xd, yd, dim), f64->l2sq(yd, xd, dim));
		f32->cosine(x, y, dim, &c32);
		f64->cosine(xd, yd, dim, &c64);
		mixed->cosine(x, yd, dim, &cmixed);
		equal &= same_bits(f32->l2sq(x, y, dim), f64->l2sq(xd, yd, dim)) &&
			same_bits(f32->l2sq(x, y, dim), mixed->l2sq(x, yd, dim)) &&
			same_bits(f32->ip(x, y, dim), f64->ip(xd, yd, dim)) &&
			same_bits(f32->ip(x, y, dim), mixed->ip(x, yd, dim)) &&
			memcmp(&c32, &c64, sizeof(c32)) == 0 &&
			memcmp(&c32, &cmixed, sizeof(c32)) == 0;
	}
	ok(symmetric, "%s: swapped operands give the same bits", t->name);
	ok(equal, "%s: float and double give the same bits for equal values", t->name);
}

/* One special element at every place of the vector, main loop and tail. */
static void
test_special(const AnnKernels *t)
{
	const AnnPairKernels *f32 = &t->pair[ANN_PAIR_F32_F32];
	const AnnPairKernels *fast = &t->pair[ANN_PAIR_F32_F32_FAST];
	float		x[100],
				y[100];
	bool		nan = true,
				inf = true,
				overflow = true;

	for (int i = 0; i < 100; i++)
		x[i] = y[i] = 1;
	for (int i = 0; i < 100; i++)
	{
		x[i] = NAN;
		nan &= isnan(f32->l2sq(x, y, 100)) && isnan(f32->ip(x, y, 100)) &&
			isnan(fast->l2sq(x, y, 100)) && isnan(fast->ip(x, y, 100));
		x[i] = -INFINITY;
		inf &= f32->l2sq(x, y, 100) == INFINITY && f32->ip(x, y, 100) == -INFINITY &&
			fast->l2sq(x, y, 100) == INFINITY && fast->ip(x, y, 100) == -INFINITY;
		x[i] = 3e38f;
		y[i] = -3e38f;
		overflow &= f32->l2sq(x, y, 100) > 1e76 && f32->l2sq(x, y, 100) < INFINITY &&
			fast->l2sq(x, y, 100) == INFINITY;
		x[i] = y[i] = 1;
	}
	ok(nan, "%s: NaN at any place gives NaN", t->name);
	ok(inf, "%s: infinity at any place gives infinity", t->name);
	ok(overflow, "%s: float range does not overflow in double", t->name);
}

/* The largest sums of bytes that can occur. */
static void
test_extreme_bytes(const AnnKernels *t)
{
	const AnnPairKernels *i8 = &t->pair[ANN_PAIR_I8_I8_FAST];
	static int8_t x[MAX_DIM],
				y[MAX_DIM];

	memset(x, -128, sizeof(x));
	memset(y, 127, sizeof(y));
	ok(i8->l2sq(x, y, MAX_DIM) == 255.0 * 255 * MAX_DIM &&
	   i8->ip(x, x, MAX_DIM) == 128.0 * 128 * MAX_DIM &&
	   i8->ip(x, y, MAX_DIM) == -128.0 * 127 * MAX_DIM,
	   "%s: extreme bytes in %d dimensions", t->name, MAX_DIM);
}

/* Each of the 65,536 halfs, by the conversion and by the kernel. */
static void
test_halfs(const AnnKernels *t)
{
	const AnnPairKernels *f16 = &t->pair[ANN_PAIR_F16_F32_FAST];
	float		one = 1;
	int			wrong = 0;

	for (int bits = 0; bits < 65536; bits++)
	{
		AnnHalf		half = (AnnHalf) bits;
		long double wanted = half_value(half);
		double		got = f16->ip(&half, &one, 1);
		float		converted = ann_half_to_float(half);

		if (isnan(wanted) ? !isnan(got) || !isnan(converted)
			: got != wanted || converted != wanted)
			wrong++;
	}
	ok(wrong == 0, "%s: all halfs (%d wrong)", t->name, wrong);
}

static double
cosine(const AnnKernels *t, const double *x, const double *y, int dim)
{
	AnnCosineParts parts;

	t->pair[ANN_PAIR_F64_F64].cosine(x, y, dim, &parts);
	return ann_cosine_from_parts(&parts);
}

static void
test_cosine(const AnnKernels *t)
{
	double		zero[3] = {0, 0, 0},
				x[3],
				minus[3],
				huge[3],
				tiny[3];
	bool		self = true,
				opposite = true,
				scaled = true;

	for (int round = 0; round < 1000; round++)
	{
		for (int i = 0; i < 3; i++)
		{
			x[i] = random_unit() - 0.5;
			minus[i] = -x[i];
			huge[i] = x[i] * 1e140;
			tiny[i] = x[i] * 1e-140;
		}
		self &= cosine(t, x, x, 3) == 0;
		opposite &= cosine(t, x, minus, 3) == 2;
		scaled &= fabs(cosine(t, huge, tiny, 3)) < 1e-15 &&
			fabs(cosine(t, huge, huge, 3)) < 1e-15 &&
			fabs(cosine(t, tiny, tiny, 3)) < 1e-15;
	}
	ok(self, "%s: cosine distance of a vector from itself is 0", t->name);
	ok(opposite, "%s: cosine distance of opposite vectors is 2", t->name);
	ok(scaled, "%s: cosine distance does not depend on the norms", t->name);
	ok(isnan(cosine(t, zero, x, 3)) && isnan(cosine(t, zero, zero, 3)),
	   "%s: cosine distance from the zero vector is NaN", t->name);
	for (int i = 0; i < 3; i++)
	{
		huge[i] = 1e200;
		tiny[i] = 1e-200;
	}
	ok(isnan(cosine(t, huge, x, 3)) && isnan(cosine(t, x, tiny, 3)),
	   "%s: cosine distance is NaN where a squared norm overflows or underflows", t->name);
}

int
main(void)
{
	const AnnKernels *t = NULL;

	a.end = (char *) guarded_memory(MAX_DIM * MAX_ELEMENT) + MAX_DIM * MAX_ELEMENT;
	b.end = (char *) guarded_memory(MAX_DIM * MAX_ELEMENT) + MAX_DIM * MAX_ELEMENT;

	for (int i = 0; ann_kernels_usable(i) != NULL; i++)
	{
		t = ann_kernels_usable(i);
		test_values(t);
		test_bits(t);
		test_special(t);
		test_extreme_bytes(t);
		test_halfs(t);
		test_cosine(t);
	}
	ok(strcmp(ann_kernels_usable(0)->name, "scalar") == 0, "the scalar table comes first");
	ann_kernels_choose();
	ok(ann_kernels == t, "the best table is chosen: %s", t->name);
	return done();
}
