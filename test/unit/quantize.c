/*
 * quantize.c
 *	  Floats in 8 and in 4 bits with one scale: how far they are off, and the
 *	  numbers that have no scale.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "algo/distance.h"
#include "algo/quantize.h"
#include "unit.h"

#define DIM 4096

static float x[DIM],
			back[DIM];
static int8_t bytes[DIM];
static uint8_t packed[DIM / 2];

/* The error of x in so many bits, relative to its norm; -1 if a number is cut. */
static double
relative_error(int bits)
{
	float		scale;
	double		error2 = 0;
	double		norm2 = 0;

	if (bits == 8)
		scale = ann_quantize(x, DIM, bytes);
	else
	{
		scale = ann_quantize_4bit(x, DIM, packed);
		ann_unpack_4bit(packed, DIM, bytes);
	}
	ann_dequantize(bytes, DIM, scale, back);
	for (int i = 0; i < DIM; i++)
	{
		error2 += ((double) x[i] - back[i]) * ((double) x[i] - back[i]);
		norm2 += (double) x[i] * x[i];
		if (bits == 4 && (bytes[i] > 7 || bytes[i] < -7))
			return -1;
	}
	return sqrt(error2 / norm2);
}

static void
fill(float value)
{
	for (int i = 0; i < DIM; i++)
		x[i] = value;
}

static void
test_errors(void)
{
	double		error;

	for (int i = 0; i < DIM; i++)
		x[i] = random_normal();
	error = relative_error(8);
	ok(error > 0 && error < 0.01, "8 bits: an error of %.4f of the norm", error);
	error = relative_error(4);
	ok(error > 0 && error < 0.12, "4 bits: an error of %.4f of the norm", error);
	x[7] *= 100;
	error = relative_error(4);
	ok(error > 0 && fabsf(back[0] - x[0]) < 1, "4 bits: a number that stands out is cut");
	for (int i = 0; i < DIM; i++)
		x[i] = (float) ((i * 5) % 15 - 7) * 0x1p-10f;
	error = relative_error(4);
	ok(error >= 0 && error < 0.15, "4 bits: both ends and every value between are kept apart");
}

static void
test_extremes(void)
{
	double		error;

	fill(0);
	ok(ann_quantize(x, DIM, bytes) == 0 && ann_quantize_4bit(x, DIM, packed) == 0 &&
	   packed[0] == 0 && memcmp(packed, packed + 1, DIM / 2 - 1) == 0,
	   "zero has no scale, and zeros");
	fill(0x1p-140f);
	ok(ann_quantize(x, DIM, bytes) == 0 && ann_quantize_4bit(x, DIM, packed) == 0,
	   "nor have subnormals");
	fill(-FLT_MAX);
	ok(isfinite(ann_quantize(x, DIM, bytes)) && bytes[0] == -127 &&
	   isfinite(ann_quantize_4bit(x, DIM, packed)) && packed[0] == 0x99,
	   "the largest floats have one");
	fill(3);
	error = relative_error(4);
	ok(error >= 0 && error < 1e-6, "equal numbers are exact");
}

int
main(void)
{
	ann_kernels_choose();
	test_errors();
	test_extremes();
	return done();
}
