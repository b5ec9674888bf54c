/*
 * distance.h
 *	  Distance kernels: what every method and every SQL operator computes with.
 *
 * A kernel works on two vectors of the same number of dimensions, given as
 * plain arrays without any alignment.  Kernels come in one table per
 * instruction set; ann_kernels points to the best one this processor has,
 * chosen once when the library is loaded.  Nothing else in the project may
 * ask what the processor is.
 *
 * Guarantees of every kernel, on any processor:
 *	 - the result is symmetric: swapping operands of one kind changes no bit;
 *	 - the same bits come back for the same input on the same instruction set
 *	   (no FP contraction by the compiler, a fixed order of summation);
 *	 - the three exact pairs give the same bits for the same values, whether
 *	   they are stored as float or as double;
 *	 - NaN, infinity and overflow follow IEEE 754; nothing is raised.
 *
 * This layer knows nothing of PostgreSQL.
 */
#ifndef ANN_DISTANCE_H
#define ANN_DISTANCE_H

#include <stdint.h>

#include "algo/code.h"
#include "algo/rotation.h"

/* The bits of an IEEE 754 binary16 number. */
typedef uint16_t AnnHalf;

/*
 * The pairs of element types that there are kernels for, first operand first.
 *
 * The exact pairs convert each element to double and accumulate in double:
 * they define the values of the SQL functions, and hence the order of every
 * answer.  The fast pairs accumulate in float, or in int32 which is exact up
 * to 32,000 dimensions; what uses them must allow for their rounding.
 */
typedef enum AnnPair
{
	ANN_PAIR_F32_F32,			/* exact */
	ANN_PAIR_F32_F64,			/* exact */
	ANN_PAIR_F64_F64,			/* exact */
	ANN_PAIR_F32_F32_FAST,
	ANN_PAIR_F16_F32_FAST,
	ANN_PAIR_I8_I8_FAST
} AnnPair;

#define ANN_NUM_PAIRS (ANN_PAIR_I8_I8_FAST + 1)

/* What a cosine is made of: cos = ab / sqrt(aa * bb). */
typedef struct AnnCosineParts
{
	double		ab;				/* inner product */
	double		aa;				/* squared norm of the first operand */
	double		bb;				/* squared norm of the second operand */
} AnnCosineParts;

/* a and b point to 'dim' elements of the pair's types; dim may be 0. */
typedef double (*AnnDistanceFn) (const void *a, const void *b, int dim);
typedef void (*AnnCosineFn) (const void *a, const void *b, int dim,
							 AnnCosineParts *parts);

typedef struct AnnPairKernels
{
	AnnDistanceFn l2sq;			/* sum of (a_i - b_i)^2 */
	AnnDistanceFn ip;			/* sum of a_i * b_i */
	AnnCosineFn cosine;			/* ip and both squared norms in one pass */
} AnnPairKernels;

/*
 * Inner products of four rows of bytes and n others, out[4 * j + i] =
 * <a[i], b[j]>.  'dim' is a multiple of 64, up to 32,000.
 */
typedef void (*AnnTileFn) (const int8_t *const a[4], const int8_t *const *b,
						   uint32_t n, int dim, int32_t *out);

typedef struct AnnKernels
{
	const char *name;			/* as ann_simd() reports it */
	AnnPairKernels pair[ANN_NUM_PAIRS];
	AnnRotateFn rotate;			/* see ann_rotate */
	AnnCodeScanFn scan_block;	/* see code.h */
	AnnTileFn	tile;
	const struct AnnScalarKernels *scalar;	/* see scalar_isa.h */
} AnnKernels;

/* The table in use.  Set by ann_kernels_choose, constant from then on. */
extern const AnnKernels *ann_kernels;

/*
 * Point ann_kernels to the best table that this processor can run.  Called
 * once at load; calling it again is harmless.
 */
extern void ann_kernels_choose(void);

/*
 * The i-th table that this processor can run, worst first, starting with the
 * scalar one at 0; NULL behind the last.  For tests and benchmarks.
 */
extern const AnnKernels *ann_kernels_usable(int i);

/* Distances made of the kernels, in the precision of the exact pairs. */

/* 1 - cosine, within [0, 2]; NaN where a norm is zero or not finite. */
extern double ann_cosine_from_parts(const AnnCosineParts *parts);

/* The value of a half as a float: exact, NaN and infinity included. */
extern float ann_half_to_float(AnnHalf half);

#endif							/* ANN_DISTANCE_H */
