/*
 * distance_avx512.c
 *	  Kernels for x86-64 processors with AVX-512 (F, BW, DQ, VL), and a second
 *	  table for those that have VNNI too.
 *
 * The last few elements come by masked loads, which touch no byte behind the
 * vector.
 */
#if defined(__x86_64__)

#include <immintrin.h>

#include "algo/distance_isa.h"

#define FEATURES "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"
#define TARGET __attribute__((target(FEATURES)))
#define INLINE TARGET static inline __attribute__((always_inline))

/* Double accumulators, eight lanes. */

enum
{
	pd_LANES = 8
};
typedef __m512d pd_acc;
typedef __m512d pd_vec;

INLINE pd_acc
pd_zero(void)
{
	return _mm512_setzero_pd();
}

INLINE pd_vec
pd_load_f32(const f32 *p)
{
	return _mm512_cvtps_pd(_mm256_loadu_ps(p));
}

INLINE pd_vec
pd_load_f32_tail(const f32 *p, int n)
{
	return _mm512_cvtps_pd(_mm256_maskz_loadu_ps((1u << n) - 1, p));
}

INLINE pd_vec
pd_load_f64(const f64 *p)
{
	return _mm512_loadu_pd(p);
}

INLINE pd_vec
pd_load_f64_tail(const f64 *p, int n)
{
	return _mm512_maskz_loadu_pd((1u << n) - 1, p);
}

INLINE pd_acc
pd_ip(pd_acc s, pd_vec a, pd_vec b)
{
	return _mm512_fmadd_pd(a, b, s);
}

INLINE pd_acc
pd_l2sq(pd_acc s, pd_vec a, pd_vec b)
{
	__m512d		d = _mm512_sub_pd(a, b);

	return _mm512_fmadd_pd(d, d, s);
}

INLINE double
pd_sum(pd_acc s0, pd_acc s1, pd_acc s2, pd_acc s3)
{
	return _mm512_reduce_add_pd(_mm512_add_pd(_mm512_add_pd(s0, s1),
											  _mm512_add_pd(s2, s3)));
}

/* Float accumulators, sixteen lanes. */

enum
{
	ps_LANES = 16
};
typedef __m512 ps_acc;
typedef __m512 ps_vec;

INLINE ps_acc
ps_zero(void)
{
	return _mm512_setzero_ps();
}

INLINE ps_vec
ps_load_f32(const f32 *p)
{
	return _mm512_loadu_ps(p);
}

INLINE ps_vec
ps_load_f32_tail(const f32 *p, int n)
{
	return _mm512_maskz_loadu_ps((1u << n) - 1, p);
}

INLINE ps_vec
ps_load_f16(const f16 *p)
{
	return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) p));
}

INLINE ps_vec
ps_load_f16_tail(const f16 *p, int n)
{
	return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16((1u << n) - 1, p));
}

INLINE ps_acc
ps_ip(ps_acc s, ps_vec a, ps_vec b)
{
	return _mm512_fmadd_ps(a, b, s);
}

INLINE ps_acc
ps_l2sq(ps_acc s, ps_vec a, ps_vec b)
{
	__m512		d = _mm512_sub_ps(a, b);

	return _mm512_fmadd_ps(d, d, s);
}

INLINE double
ps_sum(ps_acc s0, ps_acc s1, ps_acc s2, ps_acc s3)
{
	return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(s0, s1),
											  _mm512_add_ps(s2, s3)));
}

/* Integers: 32 bytes widened to 16-bit lanes, summed in sixteen 32-bit lanes. */

enum
{
	pi_LANES = 32
};
typedef __m512i pi_acc;
typedef __m512i pi_vec;

INLINE pi_acc
pi_zero(void)
{
	return _mm512_setzero_si512();
}

INLINE pi_vec
pi_load_i8(const i8 *p)
{
	return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *) p));
}

INLINE pi_vec
pi_load_i8_tail(const i8 *p, int n)
{
	return _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8((1u << n) - 1, p));
}

INLINE pi_acc
pi_ip(pi_acc s, pi_vec a, pi_vec b)
{
	return _mm512_add_epi32(s, _mm512_madd_epi16(a, b));
}

INLINE pi_acc
pi_l2sq(pi_acc s, pi_vec a, pi_vec b)
{
	__m512i		d = _mm512_sub_epi16(a, b);

	return _mm512_add_epi32(s, _mm512_madd_epi16(d, d));
}

INLINE double
pi_sum(pi_acc s0, pi_acc s1, pi_acc s2, pi_acc s3)
{
	return _mm512_reduce_add_epi32(_mm512_add_epi32(_mm512_add_epi32(s0, s1),
													_mm512_add_epi32(s2, s3)));
}

#include "algo/distance_pairs.h"

/*
 * The same with VNNI, which multiplies and adds at once.  The forms on bytes
 * take one signed and one unsigned operand, which a difference does not fit;
 * the form on 16-bit lanes is already bound by the loads.
 */
#undef TARGET
#define TARGET __attribute__((target(FEATURES ",avx512vnni")))

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
	return _mm512_dpwssd_epi32(s, a, b);
}

INLINE pv_acc
pv_l2sq(pv_acc s, pv_vec a, pv_vec b)
{
	__m512i		d = _mm512_sub_epi16(a, b);

	return _mm512_dpwssd_epi32(s, d, d);
}

#define PAIR i8_vnni
#define ACC pv
#define A i8
#define B i8
#include "algo/distance_template.h"

const AnnKernels ann_kernels_avx512 = ANN_KERNELS("avx512", i8_fast, avx512, avx512);
const AnnKernels ann_kernels_avx512vnni = ANN_KERNELS("avx512vnni", i8_vnni, avx512, avx512vnni);

#else

/* ISO C forbids an empty translation unit. */
typedef int ann_distance_avx512_is_empty;

#endif							/* __x86_64__ */
