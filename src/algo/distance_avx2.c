/*
 * distance_avx2.c
 *	  Kernels for x86-64 processors with AVX2, FMA and F16C (from 2013 on).
 */
#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#include "algo/distance_isa.h"

#define TARGET __attribute__((target("avx2,fma,f16c")))
#define INLINE TARGET static inline __attribute__((always_inline))

/* The first n of eight 32-bit lanes are set in the 8 words from 8 - n. */
static const int32_t tail_mask[16] = {
	-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0
};

INLINE __m256i
tail_mask32(int n)
{
	return _mm256_loadu_si256((const __m256i *) (tail_mask + 8 - n));
}

/* Double accumulators, four lanes. */

enum
{
	pd_LANES = 4
};
typedef __m256d pd_acc;
typedef __m256d pd_vec;

INLINE pd_acc
pd_zero(void)
{
	return _mm256_setzero_pd();
}

INLINE pd_vec
pd_load_f32(const f32 *p)
{
	return _mm256_cvtps_pd(_mm_loadu_ps(p));
}

INLINE pd_vec
pd_load_f32_tail(const f32 *p, int n)
{
	return _mm256_cvtps_pd(_mm_maskload_ps(p, _mm256_castsi256_si128(tail_mask32(n))));
}

INLINE pd_vec
pd_load_f64(const f64 *p)
{
	return _mm256_loadu_pd(p);
}

INLINE pd_vec
pd_load_f64_tail(const f64 *p, int n)
{
	__m128i		mask = _mm256_castsi256_si128(tail_mask32(n));

	return _mm256_maskload_pd(p, _mm256_cvtepi32_epi64(mask));
}

INLINE pd_acc
pd_ip(pd_acc s, pd_vec a, pd_vec b)
{
	return _mm256_fmadd_pd(a, b, s);
}

INLINE pd_acc
pd_l2sq(pd_acc s, pd_vec a, pd_vec b)
{
	__m256d		d = _mm256_sub_pd(a, b);

	return _mm256_fmadd_pd(d, d, s);
}

INLINE double
pd_sum(pd_acc s0, pd_acc s1, pd_acc s2, pd_acc s3)
{
	__m256d		s = _mm256_add_pd(_mm256_add_pd(s0, s1), _mm256_add_pd(s2, s3));
	__m128d		half = _mm_add_pd(_mm256_castpd256_pd128(s),
								  _mm256_extractf128_pd(s, 1));

	return _mm_cvtsd_f64(half) + _mm_cvtsd_f64(_mm_unpackhi_pd(half, half));
}

/* Float accumulators, eight lanes. */

enum
{
	ps_LANES = 8
};
typedef __m256 ps_acc;
typedef __m256 ps_vec;

INLINE ps_acc
ps_zero(void)
{
	return _mm256_setzero_ps();
}

INLINE ps_vec
ps_load_f32(const f32 *p)
{
	return _mm256_loadu_ps(p);
}

INLINE ps_vec
ps_load_f32_tail(const f32 *p, int n)
{
	return _mm256_maskload_ps(p, tail_mask32(n));
}

INLINE ps_vec
ps_load_f16(const f16 *p)
{
	return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) p));
}

INLINE ps_vec
ps_load_f16_tail(const f16 *p, int n)
{
	f16			copy[8] = {0};

	memcpy(copy, p, n * sizeof(f16));
	return ps_load_f16(copy);
}

INLINE ps_acc
ps_ip(ps_acc s, ps_vec a, ps_vec b)
{
	return _mm256_fmadd_ps(a, b, s);
}

INLINE ps_acc
ps_l2sq(ps_acc s, ps_vec a, ps_vec b)
{
	__m256		d = _mm256_sub_ps(a, b);

	return _mm256_fmadd_ps(d, d, s);
}

INLINE double
ps_sum(ps_acc s0, ps_acc s1, ps_acc s2, ps_acc s3)
{
	__m256		s = _mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3));
	__m128		half = _mm_add_ps(_mm256_castps256_ps128(s),
								  _mm256_extractf128_ps(s, 1));

	half = _mm_add_ps(half, _mm_movehl_ps(half, half));
	return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

/* Integers: 16 bytes widened to 16-bit lanes, summed in eight 32-bit lanes. */

enum
{
	pi_LANES = 16
};
typedef __m256i pi_acc;
typedef __m256i pi_vec;

INLINE pi_acc
pi_zero(void)
{
	return _mm256_setzero_si256();
}

INLINE pi_vec
pi_load_i8(const i8 *p)
{
	return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *) p));
}

INLINE pi_vec
pi_load_i8_tail(const i8 *p, int n)
{
	i8			copy[16] = {0};

	memcpy(copy, p, n);
	return pi_load_i8(copy);
}

INLINE pi_acc
pi_ip(pi_acc s, pi_vec a, pi_vec b)
{
	return _mm256_add_epi32(s, _mm256_madd_epi16(a, b));
}

INLINE pi_acc
pi_l2sq(pi_acc s, pi_vec a, pi_vec b)
{
	__m256i		d = _mm256_sub_epi16(a, b);

	return _mm256_add_epi32(s, _mm256_madd_epi16(d, d));
}

INLINE double
pi_sum(pi_acc s0, pi_acc s1, pi_acc s2, pi_acc s3)
{
	__m256i		s = _mm256_add_epi32(_mm256_add_epi32(s0, s1),
									 _mm256_add_epi32(s2, s3));
	__m128i		half = _mm_add_epi32(_mm256_castsi256_si128(s),
									 _mm256_extracti128_si256(s, 1));

	half = _mm_add_epi32(half, _mm_shuffle_epi32(half, _MM_SHUFFLE(1, 0, 3, 2)));
	half = _mm_add_epi32(half, _mm_shuffle_epi32(half, _MM_SHUFFLE(2, 3, 0, 1)));
	return _mm_cvtsi128_si32(half);
}

#include "algo/distance_pairs.h"

const AnnKernels ann_kernels_avx2 = ANN_KERNELS("avx2", i8_fast, avx2, avx2);

#else

/* ISO C forbids an empty translation unit. */
typedef int ann_distance_avx2_is_empty;

#endif							/* __x86_64__ */
