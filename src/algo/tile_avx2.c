/*
 * tile_avx2.c
 *	  Tiles with AVX2: 16 bytes widened to 16-bit lanes, multiplied and added in
 *	  pairs.
 *
 * Products of bytes as they are would overflow the 16 bits that AVX2 has for
 * the sum of two of them.
 */
#if defined(__x86_64__)

#include <immintrin.h>
#include <stdbool.h>

#include "algo/tile_isa.h"

#define TARGET __attribute__((target("avx2,fma,f16c")))
#define INLINE TARGET static inline __attribute__((always_inline))

enum
{
	pi_LANES = 16,
	pi_biased = 0
};
typedef __m256i pi_acc;
typedef __m256i pi_vec;

#define pi_zero _mm256_setzero_si256
#define pi_load_a pi_load_b
#define pi_bias _mm256_setzero_si256

INLINE pi_vec
pi_load_b(const int8_t *p)
{
	return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *) p));
}

INLINE pi_acc
pi_dot(pi_acc s, pi_vec a, pi_vec b)
{
	return _mm256_add_epi32(s, _mm256_madd_epi16(a, b));
}

INLINE void
pi_store(pi_acc s0, pi_acc s1, pi_acc s2, pi_acc s3, pi_acc t, int32_t *out)
{
	__m256i		s = _mm256_hadd_epi32(_mm256_hadd_epi32(s0, s1),
									  _mm256_hadd_epi32(s2, s3));

	(void) t;
	_mm_storeu_si128((__m128i *) out,
					 _mm_add_epi32(_mm256_castsi256_si128(s),
								   _mm256_extracti128_si256(s, 1)));
}

#define KERNEL ann_tile_avx2
#define OP pi
#include "algo/tile_template.h"

#else

/* ISO C forbids an empty translation unit. */
typedef int ann_tile_avx2_is_empty;

#endif							/* __x86_64__ */
