/*
 * centre.c
 *	  Medians, and subtraction in double.
 */
#include "algo/centre.h"

#include <float.h>
#include <math.h>
#include <stddef.h>

#include "algo/distance.h"
#include "algo/scalar.h"
#include "algo/vec4.h"

/*
 * Rows may be so many times as far from the origin as from one another.  What
 * that costs is not to be seen in the recall of a search.
 */
#define NEAR 2.0

/* As much as the squares of n numbers that underflow can hide. */
#define LOST_SQUARES(n) ((n) * 1e-161)

static inline double
element(const void *x, bool is_double, size_t i)
{
	return is_double ? ((const double *) x)[i] : (double) ((const float *) x)[i];
}

static float
to_float(double value)
{
	return (float) (value > FLT_MAX ? FLT_MAX : value < -FLT_MAX ? -FLT_MAX : value);
}


/* ---- The choice --------------------------------------------------------- */

/* The smaller one of two in the middle.  Hoare's algorithm 65, FIND (1961). */
static double
median(double *values, int n)
{
	int			middle = (n - 1) / 2;
	int			low = 0;
	int			high = n - 1;

	while (low < high)
	{
		double		pivot = values[middle];
		int			i = low;
		int			j = high;

		while (i <= j)
		{
			while (values[i] < pivot)
				i++;
			while (values[j] > pivot)
				j--;
			if (i <= j)
			{
				double		value = values[i];

				values[i++] = values[j];
				values[j--] = value;
			}
		}
		if (j < middle)
			low = i;
		if (i > middle)
			high = j;
	}
	return values[middle];
}

bool
ann_centre_choose(const void *rows, bool is_double, int n, int dim, double *scratch,
				  float *centre)
{
	double		norm2 = 0;

	for (int i = 0; i < dim; i++)
	{
		for (int row = 0; row < n; row++)
			scratch[row] = element(rows, is_double, (size_t) row * dim + i);
		centre[i] = to_float(median(scratch, n));
		norm2 += (double) centre[i] * centre[i];
	}
	for (int row = 0; row < n; row++)
	{
		scratch[row] = 0;
		for (int i = 0; i < dim; i++)
		{
			double		d = element(rows, is_double, (size_t) row * dim + i) - centre[i];

			scratch[row] += d * d;
		}
	}
	return norm2 > NEAR * NEAR * median(scratch, n);
}


/* ---- Subtraction -------------------------------------------------------- */

/* Doubles would be no better: a difference of floats rounds once either way. */
static void
subtract_floats(const float *x, const float *centre, int n, float *out)
{
	const Vec4	largest = {FLT_MAX, FLT_MAX, FLT_MAX, FLT_MAX};
	int			i = 0;

	for (; i + 4 <= n; i += 4)
	{
		Vec4		d = vec4_load(x + i) - vec4_load(centre + i);

		d = vec4_choose(d > largest, largest, d);
		vec4_store(out + i, vec4_choose(d < -largest, -largest, d));
	}
	for (; i < n; i++)
		out[i] = to_float((double) x[i] - centre[i]);
}

void
ann_centred_floats(const void *x, bool is_double, const float *centre, int n, float *out)
{
	if (!is_double)
		subtract_floats(x, centre, n, out);
	else
	{
		for (int i = 0; i < n; i++)
			out[i] = to_float(((const double *) x)[i] - centre[i]);
	}
}


/* ---- Its rounding ------------------------------------------------------- */

/*
 * A difference d of a and b is exact if a - d is b and d + b is a, as numbers of
 * the same precision (Knuth, 4.2.2).
 */
static bool
is_exact(double a, double b, double d)
{
	return a - d == b && d + b == a;
}

static bool
all_exact(const float *x, const float *centre, int n, const float *floats)
{
	Bits4		exact = {-1, -1, -1, -1};
	int			i = 0;

	for (; i + 4 <= n; i += 4)
	{
		Vec4		a = vec4_load(x + i);
		Vec4		b = vec4_load(centre + i);
		Vec4		d = vec4_load(floats + i);

		exact &= (a - d == b) & (d + b == a);
	}
	for (; i < n; i++)
	{
		float		b = x[i] - floats[i];
		float		a = floats[i] + centre[i];

		exact[0] &= -(a == x[i] && b == centre[i]);
	}
	return (exact[0] & exact[1] & exact[2] & exact[3]) != 0;
}

/* By the differences in double, which are within 2^-53 of themselves. */
static double
measured_error(const void *x, bool is_double, const float *centre, int n,
			   const float *floats)
{
	double		norm2 = 0;
	double		error2 = 0;
	bool		exact = true;

	for (int i = 0; i < n; i++)
	{
		double		a = element(x, is_double, i);
		double		d = a - centre[i];
		double		error = d - floats[i];

		norm2 += d * d;
		error2 += error * error;
		exact = exact && error == 0 && is_exact(a, centre[i], d);
	}
	if (exact)
		return 0;
	return (sqrt(error2) + sqrt(norm2) * DBL_EPSILON) * (1 + n * DBL_EPSILON) +
		2 * LOST_SQUARES(n);
}

/* Floats within their range are within 2^-24 of what they round. */
double
ann_centred_error(const void *x, bool is_double, const float *centre, int n,
				  const float *floats)
{
	if (!is_double && all_exact(x, centre, n, floats))
		return 0;
	if (!is_double && ann_max_abs(floats, n) < FLT_MAX)
		return sqrt(ann_kernels->pair[ANN_PAIR_F32_F32].ip(floats, floats, n)) * FLT_EPSILON;
	return measured_error(x, is_double, centre, n, floats);
}

/* What a centre adds to the largest double is lost in its rounding. */
double
ann_centred_doubles(const double *x, const float *centre, int n, double *out)
{
	bool		exact = true;

	for (int i = 0; i < n; i++)
	{
		out[i] = x[i] - centre[i];
		exact = exact && is_exact(x[i], centre[i], out[i]);
	}
	if (exact)
		return 0;
	return sqrt(ann_kernels->pair[ANN_PAIR_F64_F64].ip(out, out, n)) * DBL_EPSILON +
		LOST_SQUARES(n);
}
