/*
 * tile_avx512.c
 *	  Tiles with AVX-512 (BW), and with VNNI, which multiplies bytes.
 *
 * VNNI takes bytes without sign on one side: 128 is added to them there.
 */
#if defined(__x86_64__)

#include <immintrin.h>
#include <stdbool.h>

#include "algo/tile_isa.h"

#define FEATURES "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"
#define TARGET __attribute__((target(FEATURES)))
#define INLINE TARGET static inline __attribute__((always_inline))

enum
{
	pi_LANES = 32,
	pi_biased = 0
};
typedef __m512i pi_acc;
typedef __m512i pi_vec;

#define pi_zero _mm512_setzero_si512
#define pi_load_a pi_load_b
#define pi_bias _mm512_setzero_si512

INLINE pi_vec
pi_load_b(const int8_t *p)
{
	return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *) p));
}

INLINE pi_acc
pi_dot(pi_acc s, pi_vec a, pi_vec b)
{
	return _mm512_add_epi32(s, _mm512_madd_epi16(a, b));
}

/* Half of the lanes of s - t. */
INLINE __m256i
halve(pi_acc s, pi_acc t)
{
	__m512i		d = _mm512_sub_epi32(s, t);

	return _mm256_add_epi32(_mm512_castsi512_si256(d), _mm512_extracti64x4_epi64(d, 1));
}

INLINE void
pi_store(pi_acc s0, pi_acc s1, pi_acc s2, pi_acc s3, pi_acc t, int32_t *out)
{
	__m256i		s = _mm256_hadd_epi32(_mm256_hadd_epi32(halve(s0, t), halve(s1, t)),
									  _mm256_hadd_epi32(halve(s2, t), halve(s3, t)));

	_mm_storeu_si128((__m128i *) out,
					 _mm_add_epi32(_mm256_castsi256_si128(s),
								   _mm256_extracti128_si256(s, 1)));
}

#define KERNEL ann_tile_avx512
#define OP pi
#include "algo/tile_template.h"

#undef TARGET
#define TARGET __attribute__((target(FEATURES ",avx512vnni")))

enum
{
	pv_LANES = 64,
	pv_biased = 1
};
typedef __m512i pv_acc;
typedef __m512i pv_vec;

#define pv_zero pi_zero
#define pv_store pi_store

INLINE pv_vec
pv_bias(void)
{
	return _mm512_set1_epi8(-128);
}

INLINE pv_vec
pv_load_b(const int8_t *p)
{
	return _mm512_loadu_si512(p);
}

INLINE pv_vec
pv_load_a(const int8_t *p)
{
	return _mm512_xor_si512(pv_load_b(p), pv_bias());
}

INLINE pv_acc
pv_dot(pv_acc s, pv_vec a, pv_vec b)
{
	return _mm512_dpbusd_epi32(s, a, b);
}

#define KERNEL ann_tile_avx512vnni
#define OP pv
#include "algo/tile_template.h"

#else

/* ISO C forbids an empty translation unit. */
typedef int ann_tile_avx512_is_empty;

#endif							/* __x86_64__ */
