/*
 * quantize.c
 *	  Floats as int8 or 4 bits with one scale.
 */
#include "algo/quantize.h"

#include <float.h>
#include <math.h>

#include "algo/scalar.h"
#include "algo/scalar_isa.h"
#include "algo/vec4.h"

/* Elements that are worked on at a time. */
#define CHUNK 64

/* The best step of 4 bits, in units of the root mean square. */
#define STEP_4BIT 0.35

static float
largest_of(const float *x, int n)
{
	float		largest = ann_max_abs(x, n);

	return largest > FLT_MAX ? FLT_MAX : largest;
}

float
ann_quantize(const float *x, int n, int8_t *out)
{
	float		scale = largest_of(x, n) / 127;

	if (scale < FLT_MIN)
	{
		memset(out, 0, n);
		return 0;
	}
	ann_kernels->scalar->i8_encode(x, n, 1 / scale, 127, out);
	return scale;
}

void
ann_dequantize(const int8_t *x, int n, float scale, float *out)
{
	ann_kernels->scalar->i8_decode(x, n, scale, out);
}

float
ann_quantize_4bit(const float *x, int n, uint8_t *out)
{
	double		norm2 = ann_kernels->pair[ANN_PAIR_F32_F32].ip(x, x, n);
	float		step = (float) (STEP_4BIT * sqrt(norm2 / n));
	float		scale = largest_of(x, n) / 7;
	int8_t		part[CHUNK];

	if (scale > step)
		scale = step;
	if (scale < FLT_MIN)
	{
		memset(out, 0, n / 2);
		return 0;
	}
	for (int start = 0; start < n; start += CHUNK)
	{
		ann_kernels->scalar->i8_encode(x + start, CHUNK, 1 / scale, 7, part);
		for (int i = 0; i < CHUNK; i += 2)
			out[(start + i) / 2] = (uint8_t) ((part[i] & 15) | (part[i + 1] & 15) << 4);
	}
	return scale;
}

/* Half a byte is a number of two's complement. */
void
ann_unpack_4bit(const uint8_t *x, int n, int8_t *out)
{
	for (int i = 0; i < n; i += 2)
	{
		out[i] = (int8_t) (((x[i / 2] & 15) ^ 8) - 8);
		out[i + 1] = (int8_t) (((x[i / 2] >> 4) ^ 8) - 8);
	}
}

void
ann_add_quantized(float *sum, const int8_t *x, int n, float scale)
{
	float		part[CHUNK];

	for (int start = 0; start < n; start += CHUNK)
	{
		ann_dequantize(x + start, CHUNK, scale, part);
		for (int i = 0; i < CHUNK; i += 4)
			vec4_store(sum + start + i, vec4_load(sum + start + i) + vec4_load(part + i));
	}
}

void
ann_subtract(float *x, const float *y, int n)
{
	for (int i = 0; i < n; i += 4)
		vec4_store(x + i, vec4_load(x + i) - vec4_load(y + i));
}
