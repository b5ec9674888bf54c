/*
 * quantize.h
 *	  Floats as int8 with one scale: what splits, centroids and rows are in
 *	  while a tree is grown and walked.  Long centroids are in 4 bits.
 *
 * Numbers of elements are multiples of 64, as rotated dimensions are.
 */
#ifndef ANN_QUANTIZE_H
#define ANN_QUANTIZE_H

#include <stdint.h>

/*
 * Round n finite floats to int8, so that x[i] is about out[i] * scale, and
 * return the scale.  The largest magnitude becomes 127; all zero, or nothing
 * but subnormals, gives zeros and scale 0.
 */
extern float ann_quantize(const float *x, int n, int8_t *out);

/* The floats that quantised ones stand for. */
extern void ann_dequantize(const int8_t *x, int n, float scale, float *out);

/*
 * The same in 4 bits, -7 .. 7, two to a byte, the first one in its low half; and as
 * bytes again.  What is many times larger than the others is cut: the rounding of
 * normally distributed floats is least so, 0.11 of their norm.
 */
extern float ann_quantize_4bit(const float *x, int n, uint8_t *out);
extern void ann_unpack_4bit(const uint8_t *x, int n, int8_t *out);

/* sum[i] += x[i] * scale */
extern void ann_add_quantized(float *sum, const int8_t *x, int n, float scale);

/* x[i] -= y[i] */
extern void ann_subtract(float *x, const float *y, int n);

#endif							/* ANN_QUANTIZE_H */
