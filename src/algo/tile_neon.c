/*
 * tile_neon.c
 *	  Tiles with NEON, and with the dot product instructions of ARMv8.2.
 */
#if defined(__aarch64__)

#include <arm_neon.h>
#include <stdbool.h>

#include "algo/tile_isa.h"

#define TARGET
#define INLINE TARGET static inline __attribute__((always_inline))

enum
{
	pi_LANES = 16,
	pi_biased = 0
};
typedef int32x4_t pi_acc;
typedef int8x16_t pi_vec;

#define pi_load_a vld1q_s8
#define pi_load_b vld1q_s8

INLINE pi_acc
pi_zero(void)
{
	return vdupq_n_s32(0);
}

INLINE pi_vec
pi_bias(void)
{
	return vdupq_n_s8(0);
}

INLINE pi_acc
pi_dot(pi_acc s, pi_vec a, pi_vec b)
{
	s = vpadalq_s16(s, vmull_s8(vget_low_s8(a), vget_low_s8(b)));
	return vpadalq_s16(s, vmull_high_s8(a, b));
}

INLINE void
pi_store(pi_acc s0, pi_acc s1, pi_acc s2, pi_acc s3, pi_acc t, int32_t *out)
{
	(void) t;
	vst1q_s32(out, vpaddq_s32(vpaddq_s32(s0, s1), vpaddq_s32(s2, s3)));
}

#define KERNEL ann_tile_neon
#define OP pi
#include "algo/tile_template.h"

#undef TARGET
#ifdef __clang__
#define TARGET __attribute__((target("dotprod")))
#else
#define TARGET __attribute__((target("arch=armv8.2-a+dotprod")))
#endif

enum
{
	pv_LANES = pi_LANES,
	pv_biased = 0
};
typedef pi_acc pv_acc;
typedef pi_vec pv_vec;

#define pv_zero pi_zero
#define pv_load_a vld1q_s8
#define pv_load_b vld1q_s8
#define pv_bias pi_bias
#define pv_store pi_store

INLINE pv_acc
pv_dot(pv_acc s, pv_vec a, pv_vec b)
{
	return vdotq_s32(s, a, b);
}

#define KERNEL ann_tile_neondot
#define OP pv
#include "algo/tile_template.h"

#else

/* ISO C forbids an empty translation unit. */
typedef int ann_tile_neon_is_empty;

#endif							/* __aarch64__ */
