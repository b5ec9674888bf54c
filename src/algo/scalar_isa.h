/*
 * scalar_isa.h
 *	  The kernels of scalar.h, and their tables; for scalar.c and the tables of
 *	  kernels alone.
 *
 * All tables give the same bits, but for the payload of NaN.
 */
#ifndef ANN_SCALAR_ISA_H
#define ANN_SCALAR_ISA_H

#include "algo/distance.h"

/*
 * x has n elements, out as many, which do not overlap.  Floats are multiplied
 * by 'scale' on either side; on the way to fewer bits they are then cut to
 * -limit .. limit, and rounded to nearest, ties to even.
 */
typedef struct AnnScalarKernels
{
	float		(*max_abs) (const float *x, int n);
	void		(*f16_encode) (const float *x, int n, float scale, float limit, AnnHalf *out);
	void		(*f16_decode) (const AnnHalf *x, int n, float scale, float *out);
	void		(*i8_encode) (const float *x, int n, float scale, float limit, int8_t *out);
	void		(*i8_decode) (const int8_t *x, int n, float scale, float *out);
} AnnScalarKernels;

extern const AnnScalarKernels ann_scalar_plain;

#if defined(__x86_64__)
extern const AnnScalarKernels ann_scalar_avx2;
extern const AnnScalarKernels ann_scalar_avx512;
#elif defined(__aarch64__)
extern const AnnScalarKernels ann_scalar_neon;
#endif

#endif							/* ANN_SCALAR_ISA_H */
