/*
 * rotation_avx2.c
 *	  Rotation on vectors of eight floats.
 */
#if defined(__x86_64__)

#include <immintrin.h>

#include "algo/rotation_isa.h"

#define TARGET __attribute__((target("avx2,fma,f16c")))
#define INLINE TARGET static inline __attribute__((always_inline))
#define LANES 8

typedef __m256 Vec;

#define load _mm256_loadu_ps
#define store _mm256_storeu_ps
#define low_pairs _mm256_unpacklo_ps
#define high_pairs _mm256_unpackhi_ps

INLINE Vec
load_blocks(const float *p)
{
	return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)),
								_mm_loadu_ps(p + 16), 1);
}

INLINE void
store_blocks(float *p, Vec a, Vec b, Vec c, Vec d)
{
	store(p, _mm256_permute2f128_ps(a, b, 0x20));
	store(p + 8, _mm256_permute2f128_ps(c, d, 0x20));
	store(p + 16, _mm256_permute2f128_ps(a, b, 0x31));
	store(p + 24, _mm256_permute2f128_ps(c, d, 0x31));
}

INLINE Vec
low_halves(Vec a, Vec b)
{
	return _mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(a),
											   _mm256_castps_pd(b)));
}

INLINE Vec
high_halves(Vec a, Vec b)
{
	return _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(a),
											   _mm256_castps_pd(b)));
}

#include "algo/rotation_template.h"

TARGET void
ann_rotate_avx2(const AnnRotation *rotation, const float *x, float *out)
{
	rotate(rotation, x, out);
}

#else

/* ISO C forbids an empty translation unit. */
typedef int ann_rotation_avx2_is_empty;

#endif							/* __x86_64__ */
