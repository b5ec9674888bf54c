/*
 * distance_neon.c
 *	  Kernels for 64-bit ARM, which always has NEON, and a second table for
 *	  processors with the dot product instructions of ARMv8.2.
 */
#if defined(__aarch64__)

#include <arm_neon.h>
#include <string.h>

#include "algo/distance_isa.h"

#define TARGET
#define INLINE TARGET static inline __attribute__((always_inline))

/* A copy of the n elements at p in a buffer of zeros, for a whole load. */
#define TAIL(type, lanes, p, n) \
	type		copy[lanes] = {0}; \
	memcpy(copy, p, (n) * sizeof(type))

/* Double accumulators, two registers of two lanes. */

enum
{
	pd_LANES = 4
};
typedef float64x2x2_t pd_acc;
typedef float64x2x2_t pd_vec;

INLINE pd_acc
pd_zero(void)
{
	return (pd_acc) {{vdupq_n_f64(0), vdupq_n_f64(0)}};
}

INLINE pd_vec
pd_load_f32(const f32 *p)
{
	float32x4_t v = vld1q_f32(p);

	return (pd_vec) {{vcvt_f64_f32(vget_low_f32(v)), vcvt_high_f64_f32(v)}};
}

INLINE pd_vec
pd_load_f32_tail(const f32 *p, int n)
{
	TAIL(f32, 4, p, n);
	return pd_load_f32(copy);
}

INLINE pd_vec
pd_load_f64(const f64 *p)
{
	return (pd_vec) {{vld1q_f64(p), vld1q_f64(p + 2)}};
}

INLINE pd_vec
pd_load_f64_tail(const f64 *p, int n)
{
	TAIL(f64, 4, p, n);
	return pd_load_f64(copy);
}

INLINE pd_acc
pd_ip(pd_acc s, pd_vec a, pd_vec b)
{
	return (pd_acc) {{vfmaq_f64(s.val[0], a.val[0], b.val[0]),
	vfmaq_f64(s.val[1], a.val[1], b.val[1])}};
}

INLINE pd_acc
pd_l2sq(pd_acc s, pd_vec a, pd_vec b)
{
	pd_vec		d = {{vsubq_f64(a.val[0], b.val[0]),
	vsubq_f64(a.val[1], b.val[1])}};

	return pd_ip(s, d, d);
}

INLINE double
pd_sum(pd_acc s0, pd_acc s1, pd_acc s2, pd_acc s3)
{
	float64x2_t low = vaddq_f64(vaddq_f64(s0.val[0], s1.val[0]),
								vaddq_f64(s2.val[0], s3.val[0]));
	float64x2_t high = vaddq_f64(vaddq_f64(s0.val[1], s1.val[1]),
								 vaddq_f64(s2.val[1], s3.val[1]));

	return vaddvq_f64(vaddq_f64(low, high));
}

/* Float accumulators, four lanes. */

enum
{
	ps_LANES = 4
};
typedef float32x4_t ps_acc;
typedef float32x4_t ps_vec;

INLINE ps_acc
ps_zero(void)
{
	return vdupq_n_f32(0);
}

INLINE ps_vec
ps_load_f32(const f32 *p)
{
	return vld1q_f32(p);
}

INLINE ps_vec
ps_load_f32_tail(const f32 *p, int n)
{
	TAIL(f32, 4, p, n);
	return ps_load_f32(copy);
}

INLINE ps_vec
ps_load_f16(const f16 *p)
{
	return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}

INLINE ps_vec
ps_load_f16_tail(const f16 *p, int n)
{
	TAIL(f16, 4, p, n);
	return ps_load_f16(copy);
}

INLINE ps_acc
ps_ip(ps_acc s, ps_vec a, ps_vec b)
{
	return vfmaq_f32(s, a, b);
}

INLINE ps_acc
ps_l2sq(ps_acc s, ps_vec a, ps_vec b)
{
	float32x4_t d = vsubq_f32(a, b);

	return vfmaq_f32(s, d, d);
}

INLINE double
ps_sum(ps_acc s0, ps_acc s1, ps_acc s2, ps_acc s3)
{
	return vaddvq_f32(vaddq_f32(vaddq_f32(s0, s1), vaddq_f32(s2, s3)));
}

/* Integers: 16 bytes, multiplied into 16-bit lanes, summed in four of 32. */

enum
{
	pi_LANES = 16
};
typedef int32x4_t pi_acc;
typedef int8x16_t pi_vec;

INLINE pi_acc
pi_zero(void)
{
	return vdupq_n_s32(0);
}

INLINE pi_vec
pi_load_i8(const i8 *p)
{
	return vld1q_s8(p);
}

INLINE pi_vec
pi_load_i8_tail(const i8 *p, int n)
{
	TAIL(i8, 16, p, n);
	return pi_load_i8(copy);
}

INLINE pi_acc
pi_ip(pi_acc s, pi_vec a, pi_vec b)
{
	s = vpadalq_s16(s, vmull_s8(vget_low_s8(a), vget_low_s8(b)));
	return vpadalq_s16(s, vmull_high_s8(a, b));
}

/* The absolute difference of two bytes fits an unsigned byte. */
INLINE pi_acc
pi_l2sq(pi_acc s, pi_vec a, pi_vec b)
{
	uint8x16_t	d = vreinterpretq_u8_s8(vabdq_s8(a, b));
	uint32x4_t	sum = vreinterpretq_u32_s32(s);

	sum = vpadalq_u16(sum, vmull_u8(vget_low_u8(d), vget_low_u8(d)));
	return vreinterpretq_s32_u32(vpadalq_u16(sum, vmull_high_u8(d, d)));
}

INLINE double
pi_sum(pi_acc s0, pi_acc s1, pi_acc s2, pi_acc s3)
{
	return vaddvq_s32(vaddq_s32(vaddq_s32(s0, s1), vaddq_s32(s2, s3)));
}

#include "algo/distance_pairs.h"

/* The same with dot products of four bytes into each 32-bit lane. */
#undef TARGET
#ifdef __clang__
#define TARGET __attribute__((target("dotprod")))
#else
#define TARGET __attribute__((target("arch=armv8.2-a+dotprod")))
#endif

enum
{
	pv_LANES = pi_LANES
};
typedef pi_acc pv_acc;
typedef pi_vec pv_vec;

#define pv_zero pi_zero
#define pv_load_i8 pi_load_i8
#define pv_load_i8_tail pi_load_i8_tail
#define pv_sum pi_sum

INLINE pv_acc
pv_ip(pv_acc s, pv_vec a, pv_vec b)
{
	return vdotq_s32(s, a, b);
}

INLINE pv_acc
pv_l2sq(pv_acc s, pv_vec a, pv_vec b)
{
	uint8x16_t	d = vreinterpretq_u8_s8(vabdq_s8(a, b));

	return vreinterpretq_s32_u32(vdotq_u32(vreinterpretq_u32_s32(s), d, d));
}

#define PAIR i8_dot
#define ACC pv
#define A i8
#define B i8
#include "algo/distance_template.h"

const AnnKernels ann_kernels_neon = ANN_KERNELS("neon", i8_fast, neon, neon);
const AnnKernels ann_kernels_neondot = ANN_KERNELS("neondot", i8_dot, neon, neondot);

#else

/* ISO C forbids an empty translation unit. */
typedef int ann_distance_neon_is_empty;

#endif							/* __aarch64__ */
