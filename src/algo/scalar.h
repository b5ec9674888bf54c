/*
 * scalar.h
 *	  Vectors in fewer bits: conversions between float and the element types
 *	  that an index stores, each with its rounding fixed.
 *
 * A vector of halves or of bytes has one exponent: its elements stand for
 * their value times 2^exponent.  The exponent is what the caller found by
 * ann_f16_exponent or ann_i8_exponent; any other within -126 .. 127 is
 * correct, but loses more.  Decoding multiplies once and rounds where a float
 * has no such value, so that what an encoded vector stands for is what decoding
 * makes of it: always finite, the same on every processor.
 *
 * All arguments are finite; no array needs alignment beyond its element's.
 */
#ifndef ANN_SCALAR_H
#define ANN_SCALAR_H

#include "algo/distance.h"

/* The largest absolute value of n floats; 0 if n is 0. */
extern float ann_max_abs(const float *x, int n);

/*
 * Doubles to the nearest floats, ties to even.  Beyond the largest float,
 * infinity included, comes the largest float.
 */
extern void ann_f32_encode(const double *x, int n, float *out);

/*
 * The exponent for halves of a vector whose largest absolute value is 'max'.
 * 0 wherever halves have room for it: from 2^-14 to 65,504; else so that the
 * largest element comes to lie from 2^14 to 2^15, as far as exponents reach.
 */
extern int	ann_f16_exponent(float max);

/*
 * Floats over 2^exponent to the nearest halves, ties to even.  Values too
 * large for a half, or whose decoding would be too large for a float, become
 * the largest that is not.
 */
extern void ann_f16_encode(const float *x, int n, int exponent, AnnHalf *out);
extern void ann_f16_decode(const AnnHalf *halves, int n, int exponent, float *out);

/*
 * The smallest exponent with which 'max' becomes 127.5 at most, so that it
 * rounds, or is cut, to 127.
 */
extern int	ann_i8_exponent(float max);

/* Floats over 2^exponent to the nearest integers within -127 .. 127. */
extern void ann_i8_encode(const float *x, int n, int exponent, int8_t *out);
extern void ann_i8_decode(const int8_t *bytes, int n, int exponent, float *out);

/*
 * The half nearest to a float, ties to even; infinite from 65,520 on.  NaN
 * remains NaN.
 */
extern AnnHalf ann_float_to_half(float value);

#endif							/* ANN_SCALAR_H */
