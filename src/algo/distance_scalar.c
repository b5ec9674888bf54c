/*
 * distance_scalar.c
 *	  Kernels in plain C, for every processor, and the measure of the others.
 *
 * One element at a time in the plainest way, because the tests take this
 * table as the truth for the others.  It is what runs on processors that
 * have no table of their own.
 */
#include <stddef.h>
#include <string.h>

#include "algo/distance_isa.h"

#define TARGET

/*
 * Shifted into place, exponent and mantissa make a float that is too small by
 * 2^(127 - 15), whether the half is normal or subnormal; the multiplication is
 * exact.  What it carries beyond the largest half had the exponent of infinity
 * and NaN, and gets that of a float.
 */
float
ann_half_to_float(AnnHalf half)
{
	uint32_t	sign = (uint32_t) (half & 0x8000) << 16;
	uint32_t	bits = (uint32_t) (half & 0x7fff) << 13;
	float		value;

	memcpy(&value, &bits, sizeof(value));
	value *= 0x1p112f;
	memcpy(&bits, &value, sizeof(bits));
	if (value >= 65536.0f)
		bits |= 0x7f800000;
	bits |= sign;
	memcpy(&value, &bits, sizeof(value));
	return value;
}

/*
 * Operations of one kind, a single lane wide: the accumulator is a 'type'.
 * No tail can occur, but distance_template.h names it.
 */
#define SCALAR_OPERATIONS(acc, type) \
	enum {acc##_LANES = 1}; \
	typedef type acc##_acc; \
	typedef type acc##_vec; \
	static inline type acc##_zero(void) { return 0; } \
	static inline type acc##_ip(type s, type a, type b) { return s + a * b; } \
	static inline type acc##_l2sq(type s, type a, type b) \
	{ \
		return s + (a - b) * (a - b); \
	} \
	static inline double acc##_sum(type s0, type s1, type s2, type s3) \
	{ \
		return (double) ((s0 + s1) + (s2 + s3)); \
	}

#define SCALAR_LOAD(acc, type, element, convert) \
	static inline type acc##_load_##element(const element *p) \
	{ \
		return convert(*p); \
	} \
	static inline type acc##_load_##element##_tail(const element *p, int n) \
	{ \
		(void) n; \
		return convert(*p); \
	}

SCALAR_OPERATIONS(pd, double)
SCALAR_LOAD(pd, double, f32, (double))
SCALAR_LOAD(pd, double, f64,)

SCALAR_OPERATIONS(ps, float)
SCALAR_LOAD(ps, float, f32,)
SCALAR_LOAD(ps, float, f16, ann_half_to_float)

SCALAR_OPERATIONS(pi, int32_t)
SCALAR_LOAD(pi, int32_t, i8, (int32_t))

#include "algo/distance_pairs.h"

const AnnKernels ann_kernels_scalar = ANN_KERNELS("scalar", i8_fast, plain, plain);
