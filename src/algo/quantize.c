/*
 * quantize.c
 *	  Floats as int8 with one scale.
 */
#include "algo/quantize.h"

#include <float.h>

#include "algo/scalar.h"
#include "algo/scalar_isa.h"
#include "algo/vec4.h"

/* Elements that are worked on at a time. */
#define CHUNK 64

float
ann_quantize(const float *x, int n, int8_t *out)
{
	float		largest = ann_max_abs(x, n);
	float		scale = (largest > FLT_MAX ? FLT_MAX : largest) / 127;

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
