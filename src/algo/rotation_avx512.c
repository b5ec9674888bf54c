/*
 * rotation_avx512.c
 *	  Rotation on vectors of sixteen floats.
 */
#if defined(__x86_64__)

#include <immintrin.h>

#include "algo/rotation_isa.h"

#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")))
#define INLINE TARGET static inline __attribute__((always_inline))
#define LANES 16

typedef __m512 Vec;

#define load _mm512_loadu_ps
#define store _mm512_storeu_ps
#define low_pairs _mm512_unpacklo_ps
#define high_pairs _mm512_unpackhi_ps

INLINE Vec
load_blocks(const float *p)
{
	Vec			v = _mm512_castps128_ps512(_mm_loadu_ps(p));

	v = _mm512_insertf32x4(v, _mm_loadu_ps(p + 16), 1);
	v = _mm512_insertf32x4(v, _mm_loadu_ps(p + 32), 2);
	return _mm512_insertf32x4(v, _mm_loadu_ps(p + 48), 3);
}

/* A transposition of a 4 x 4 matrix whose elements are four floats. */
INLINE void
store_blocks(float *p, Vec a, Vec b, Vec c, Vec d)
{
	Vec			ab = _mm512_shuffle_f32x4(a, b, _MM_SHUFFLE(1, 0, 1, 0));
	Vec			AB = _mm512_shuffle_f32x4(a, b, _MM_SHUFFLE(3, 2, 3, 2));
	Vec			cd = _mm512_shuffle_f32x4(c, d, _MM_SHUFFLE(1, 0, 1, 0));
	Vec			CD = _mm512_shuffle_f32x4(c, d, _MM_SHUFFLE(3, 2, 3, 2));

	store(p, _mm512_shuffle_f32x4(ab, cd, _MM_SHUFFLE(2, 0, 2, 0)));
	store(p + 16, _mm512_shuffle_f32x4(ab, cd, _MM_SHUFFLE(3, 1, 3, 1)));
	store(p + 32, _mm512_shuffle_f32x4(AB, CD, _MM_SHUFFLE(2, 0, 2, 0)));
	store(p + 48, _mm512_shuffle_f32x4(AB, CD, _MM_SHUFFLE(3, 1, 3, 1)));
}

INLINE Vec
low_halves(Vec a, Vec b)
{
	return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a),
											   _mm512_castps_pd(b)));
}

INLINE Vec
high_halves(Vec a, Vec b)
{
	return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a),
											   _mm512_castps_pd(b)));
}

#include "algo/rotation_template.h"

TARGET void
ann_rotate_avx512(const AnnRotation *rotation, const float *x, float *out)
{
	rotate(rotation, x, out);
}

#else

/* ISO C forbids an empty translation unit. */
typedef int ann_rotation_avx512_is_empty;

#endif							/* __x86_64__ */
