/*
 * scalar.c
 *	  Conversions to fewer bits, against their definition in long double, in
 *	  every table that this processor can run.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "algo/scalar.h"
#include "algo/scalar_isa.h"
#include "unit.h"

#define INFINITE_HALF 0x7c00
#define NUM_RANDOM 2000000
#define MAX_N 600

static bool
same_float(float a, float b)
{
	return memcmp(&a, &b, sizeof(a)) == 0 || (isnan(a) && isnan(b));
}

static float
random_float(void)
{
	uint32_t	bits = (uint32_t) random_bits();
	float		value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static float
random_finite_float(void)
{
	float		value;

	do
		value = random_float();
	while (!isfinite(value));
	return value;
}

/* The value of a half from sign, exponent and mantissa; finite ones only. */
static long double
define_half(AnnHalf half)
{
	int			exponent = half >> 10 & 31;
	int			mantissa = half & 1023;
	long double value = exponent == 0
		? ldexpl(mantissa, -24) : ldexpl(mantissa + 1024, exponent - 25);

	return half & 0x8000 ? -value : value;
}

/*
 * The half nearest to x, by search among all of them: infinity stands where
 * the half behind the largest would be, and of a tie the even pattern wins.
 */
static AnnHalf
define_rounding(float x)
{
	long double value = fabsl((long double) x);
	AnnHalf		sign = signbit(x) ? 0x8000 : 0;
	int			low = 0;
	int			high = INFINITE_HALF;
	long double middle;

	if (isinf(x) || value >= 65536)
		return sign | INFINITE_HALF;
	while (high - low > 1)
	{
		int			between = (low + high) / 2;

		if (define_half((AnnHalf) between) <= value)
			low = between;
		else
			high = between;
	}
	middle = (define_half((AnnHalf) low) +
			  (high == INFINITE_HALF ? 65536 : define_half((AnnHalf) high))) / 2;
	if (value > middle || (value == middle && low % 2 == 1))
		low = high;
	return sign | (AnnHalf) low;
}

/* What a table makes of one float, in the middle of a vector and as a tail. */
static bool
rounds_as_defined(const AnnKernels *kernels, float x)
{
	float		in[17];
	AnnHalf		out[17];
	AnnHalf		expected = define_rounding(x);

	for (int i = 0; i < 17; i++)
		in[i] = x;
	kernels->scalar->f16_encode(in, 17, 1, INFINITY, out);
	return out[0] == expected && out[16] == expected;
}

static void
test_one_by_one(void)
{
	int			wrong_value = 0;
	int			wrong_way_back = 0;
	int			wrong_rounding = 0;

	for (int half = 0; half < 65536; half++)
	{
		float		value = ann_half_to_float((AnnHalf) half);

		if ((half & 0x7fff) < INFINITE_HALF && (long double) value != define_half((AnnHalf) half))
			wrong_value++;
		if (isnan(value) ? !isnan(ann_half_to_float(ann_float_to_half(value)))
			: ann_float_to_half(value) != half)
			wrong_way_back++;
	}
	ok(wrong_value == 0, "every half has its value");
	ok(wrong_way_back == 0, "every half comes back from its float");
	for (int i = 0; i < NUM_RANDOM; i++)
	{
		float		x = random_float();

		/* every second one where halves are */
		if (i % 2 == 0)
			x = (float) ldexp(random_unit() - 0.5, (int) (random_bits() % 48) - 28);
		if (!isnan(x) && ann_float_to_half(x) != define_rounding(x))
			wrong_rounding++;
	}
	ok(wrong_rounding == 0, "random floats round to the nearest half");
}

/* Halves, and floats at, just below and just above all middles of halves. */
static void
test_tables(const AnnKernels *kernels)
{
	AnnHalf    *halves = guarded_memory(sizeof(AnnHalf) * 65536);
	float	   *floats = guarded_memory(sizeof(float) * 65536);
	int			wrong = 0;

	for (int i = 0; i < 65536; i++)
		halves[i] = (AnnHalf) i;
	kernels->scalar->f16_decode(halves, 65536, 1, floats);
	for (int i = 0; i < 65536; i++)
		wrong += !same_float(floats[i], ann_half_to_float((AnnHalf) i));
	ok(wrong == 0, "%s: all halves to floats", kernels->name);

	wrong = 0;
	for (int i = 0; i < INFINITE_HALF; i++)
	{
		float		low = ann_half_to_float((AnnHalf) i);
		float		high = i + 1 == INFINITE_HALF ? 65536 : ann_half_to_float((AnnHalf) (i + 1));
		float		middle = (low + high) / 2;

		wrong += !rounds_as_defined(kernels, middle) ||
			!rounds_as_defined(kernels, -middle) ||
			!rounds_as_defined(kernels, nextafterf(middle, 0)) ||
			!rounds_as_defined(kernels, nextafterf(middle, INFINITY)) ||
			!rounds_as_defined(kernels, low);
	}
	wrong += !rounds_as_defined(kernels, FLT_MAX) || !rounds_as_defined(kernels, INFINITY) ||
		!rounds_as_defined(kernels, 0x1p-149f) || !rounds_as_defined(kernels, -0.0f);
	ok(wrong == 0, "%s: floats round to the nearest half, ties to even", kernels->name);
}

/*
 * Any number of elements, up to the end of memory: the bits of the plain table.
 */
static void
test_lengths(const AnnKernels *kernels)
{
	const AnnScalarKernels *k = kernels->scalar;
	const AnnScalarKernels *plain = &ann_scalar_plain;
	int			wrong = 0;

	for (int n = 0; n <= 150; n++)
	{
		float	   *x = guarded_memory(sizeof(float) * n);
		float	   *floats[2] = {guarded_memory(sizeof(float) * n), malloc(sizeof(float) * n + 1)};
		AnnHalf    *halves[2] = {guarded_memory(sizeof(AnnHalf) * n), malloc(sizeof(AnnHalf) * n + 1)};
		int8_t	   *bytes[2] = {guarded_memory(n), malloc(n + 1)};

		for (int i = 0; i < n; i++)
			x[i] = (float) rint((random_unit() - 0.5) * 600) / 2;
		k->f16_encode(x, n, 3, 700, halves[0]);
		plain->f16_encode(x, n, 3, 700, halves[1]);
		wrong += memcmp(halves[0], halves[1], sizeof(AnnHalf) * n) != 0;
		k->f16_decode(halves[0], n, 0.3f, floats[0]);
		plain->f16_decode(halves[0], n, 0.3f, floats[1]);
		wrong += memcmp(floats[0], floats[1], sizeof(float) * n) != 0;
		k->i8_encode(x, n, 0.5f, 127, bytes[0]);
		plain->i8_encode(x, n, 0.5f, 127, bytes[1]);
		wrong += memcmp(bytes[0], bytes[1], n) != 0;
		k->i8_decode(bytes[0], n, 0.3f, floats[0]);
		plain->i8_decode(bytes[0], n, 0.3f, floats[1]);
		wrong += memcmp(floats[0], floats[1], sizeof(float) * n) != 0;
		wrong += k->max_abs(x, n) != plain->max_abs(x, n);
		free(floats[1]);
		free(halves[1]);
		free(bytes[1]);
	}
	ok(wrong == 0, "%s: all lengths", kernels->name);
}

/* Random values of which the largest is 'max', one of them zero. */
static void
fill(float *x, int n, float max)
{
	for (int i = 0; i < n; i++)
		x[i] = (float) (2 * random_unit() - 1) * max;
	x[random_bits() % n] = 0;
	x[random_bits() % n] = random_bits() % 2 ? max : -max;
}

/*
 * Half a step, and half a step of the floats where they are subnormal: decoding
 * rounds there.
 */
static bool
within(float x, float decoded, double step)
{
	return isfinite(decoded) && fabs((double) x - decoded) <= step / 2 + 0x1p-150;
}

static void
test_f16_exponents(void)
{
	float		x[MAX_N];
	AnnHalf		halves[MAX_N];
	float		decoded[MAX_N];
	int			wrong_exponent = 0;
	int			wrong_value = 0;

	for (int i = 0; i < 20000; i++)
	{
		int			n = 1 + (int) (random_bits() % MAX_N);
		float		max = fabsf(random_finite_float());
		int			exponent = ann_f16_exponent(max);
		double		unit = ldexp(1, exponent);
		double		top = max / unit;

		if (max >= 0x1p-14f && max <= 65504 ? exponent != 0
			: max != 0 && exponent > -126 && (top < 0x1p14 || top >= 0x1p15))
			wrong_exponent++;
		fill(x, n, max);
		ann_f16_encode(x, n, exponent, halves);
		ann_f16_decode(halves, n, exponent, decoded);
		for (int j = 0; j < n; j++)
		{
			/* the spacing of halves there; more where the largest are cut */
			double		scaled = fabs(x[j] / unit);
			double		step = ldexp(1, scaled < 0x1p-14 ? -24 : ilogb(scaled) - 10);

			if (!within(x[j], decoded[j], step * unit * (max > 0x1.ffcp127f ? 2 : 1)))
				wrong_value++;
		}
	}
	ok(wrong_exponent == 0, "halves: exponents");
	ok(wrong_value == 0, "halves: every value within half a step");
}

static void
test_i8_exponents(void)
{
	float		x[MAX_N];
	int8_t		bytes[MAX_N];
	float		decoded[MAX_N];
	int			wrong_exponent = 0;
	int			wrong_value = 0;

	for (int i = 0; i < 20000; i++)
	{
		int			n = 1 + (int) (random_bits() % MAX_N);
		float		max = fabsf(random_finite_float());
		int			exponent = ann_i8_exponent(max);
		double		unit = ldexp(1, exponent);

		if (exponent > -126 && exponent < 121 &&
			(max / unit > 127.5 || max / unit <= 63.75))
			wrong_exponent++;
		fill(x, n, max);
		ann_i8_encode(x, n, exponent, bytes);
		ann_i8_decode(bytes, n, exponent, decoded);
		for (int j = 0; j < n; j++)
		{
			/* at the very top 127 must do for 128 */
			if (bytes[j] < -127 ||
				!within(x[j], decoded[j], unit * (max > 0x1.fep127f ? 2 : 1)))
				wrong_value++;
		}
	}
	ok(wrong_exponent == 0, "bytes: exponents");
	ok(wrong_value == 0, "bytes: every value within half a step");
}

static void
test_boundaries(void)
{
	static const float edges[] = {0, 1, 1.5f, 2.5f, -0.5f, 127, -127, 127.5f};
	static const int8_t edge_bytes[] = {0, 1, 2, 2, 0, 127, -127, 127};
	static const double doubles[] = {1e300, -1e300, INFINITY, 0.1, 0x1p-149, 0x1p-151, -0.0};
	static const float floats[] = {FLT_MAX, -FLT_MAX, FLT_MAX, 0.1f, 0x1p-149f, 0, -0.0f};
	int8_t		bytes[8];
	float		out[8];
	AnnHalf		half;
	float		top = FLT_MAX;
	bool		finite = true;

	ok(ann_f16_exponent(0) == 0 && ann_f16_exponent(65504) == 0 &&
	   ann_f16_exponent(65505) == 1 && ann_f16_exponent(0x1p-14f) == 0 &&
	   ann_f16_exponent(0x1.fffp-15f) == -29 && ann_f16_exponent(0x1p-149f) == -126 &&
	   ann_f16_exponent(FLT_MAX) == 113, "halves: exponents at the boundaries");
	ok(ann_i8_exponent(0) == 0 && ann_i8_exponent(127) == 0 && ann_i8_exponent(127.5f) == 0 &&
	   ann_i8_exponent(255) == 1 && ann_i8_exponent(63.75f) == -1 &&
	   ann_i8_exponent(63.8f) == 0 && ann_i8_exponent(FLT_MAX) == 121 &&
	   ann_i8_exponent(0x1p-149f) == -126, "bytes: exponents at the boundaries");
	ann_i8_encode(edges, 8, 0, bytes);
	ok(memcmp(bytes, edge_bytes, 8) == 0, "bytes: ties to even, and cut at 127");
	ann_f32_encode(doubles, 7, out);
	ok(memcmp(out, floats, sizeof(floats)) == 0, "floats of doubles: nearest, cut at the largest");
	for (int exponent = 100; exponent < 128 && finite; exponent++)
	{
		ann_f16_encode(&top, 1, exponent, &half);
		ann_f16_decode(&half, 1, exponent, out);
		ann_i8_encode(&top, 1, exponent, bytes);
		ann_i8_decode(bytes, 1, exponent, out + 1);
		finite = isfinite(out[0]) && isfinite(out[1]);
	}
	ok(finite, "no exponent carries a value beyond floats");
}

static void
test_max_abs(void)
{
	int			wrong = 0;

	for (int n = 0; n <= 70; n++)
	{
		float	   *x = guarded_memory(sizeof(float) * n);

		for (int i = 0; i < n; i++)
			x[i] = (float) random_unit();
		for (int i = 0; i < n; i++)
		{
			float		before = x[i];

			x[i] = -2;
			wrong += ann_max_abs(x, n) != 2;
			x[i] = before;
		}
	}
	ok(wrong == 0 && ann_max_abs(NULL, 0) == 0, "the largest absolute value, wherever it is");
}

int
main(void)
{
	const AnnKernels *kernels;

	test_one_by_one();
	for (int i = 0; (kernels = ann_kernels_usable(i)) != NULL; i++)
	{
		test_tables(kernels);
		test_lengths(kernels);
	}
	ann_kernels_choose();
	test_f16_exponents();
	test_i8_exponents();
	test_boundaries();
	test_max_abs();
	return done();
}
