/*
 * scalar.c
 *	  Vectors in fewer bits: exponents, and the operations of each instruction
 *	  set that scalar_template.h makes kernels of.
 *
 * Scaling by a power of two is exact but for results below 1e-38.  On the way
 * to fewer bits these round to zero anyway.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "algo/scalar.h"
#include "algo/scalar_isa.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define INLINE TARGET static inline __attribute__((always_inline))

#define MAX_HALF 65504.0f
#define MAX_BYTE 127.0f

/* Both 2^-exponent and 2^exponent must be floats. */
#define MIN_EXPONENT (-126)

/* With more, the largest half, or byte, would exceed a float. */
#define MAX_F16_EXPONENT 112
#define MAX_I8_EXPONENT 121


/* ---- Plain C ------------------------------------------------------------ */

/*
 * A normal half: the float's exponent is rebased, and what is cut off rounds
 * by an addition that may carry into the exponent, up to infinity.  A subnormal
 * half: adding 1/2 makes the processor round to multiples of 2^-24.
 */
AnnHalf
ann_float_to_half(float value)
{
	uint32_t	bits;
	uint32_t	sign;

	memcpy(&bits, &value, sizeof(bits));
	sign = bits >> 16 & 0x8000;
	bits &= 0x7fffffff;
	if (bits > 0x7f800000)
		return (AnnHalf) (sign | 0x7e00);
	if (bits >= 0x47800000)
		return (AnnHalf) (sign | 0x7c00);
	if (bits < 0x38800000)
	{
		float		rounded = fabsf(value) + 0.5f;

		memcpy(&bits, &rounded, sizeof(bits));
		return (AnnHalf) (sign | (bits - 0x3f000000));
	}
	bits += 0xfff + (bits >> 13 & 1);
	return (AnnHalf) (sign | ((bits - 0x38000000) >> 13));
}

#define WIDTH plain
#define TARGET
#define LANES 1
#define Floats float
#define set_plain(x) (x)
#define load_f32_plain(p) (*(p))
#define load_f16_plain(p) ann_half_to_float(*(p))
#define load_i8_plain(p) ((float) *(p))
#define store_f32_plain(p, v) (*(p) = (v))
#define store_f16_plain(p, v) (*(p) = ann_float_to_half(v))
/* adding 1.5 * 2^23 makes the processor round to integers */
#define store_i8_plain(p, v) (*(p) = (int8_t) (((v) + 0x1.8p23f) - 0x1.8p23f))
#define mul_plain(v, w) ((v) * (w))
#define abs_plain(v) fabsf(v)

INLINE float
min_plain(float v, float w)
{
	return v < w ? v : w;
}

INLINE float
max_plain(float v, float w)
{
	return v > w ? v : w;
}

#include "algo/scalar_template.h"

#if defined(__x86_64__)


/* ---- AVX2 --------------------------------------------------------------- */

#define WIDTH avx2
#define TARGET __attribute__((target("avx2,f16c")))
#define LANES 8
#define Floats __m256
#define set_avx2(x) _mm256_set1_ps(x)
#define load_f32_avx2(p) _mm256_loadu_ps(p)
#define load_f16_avx2(p) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) (p)))
#define load_i8_avx2(p) \
	_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *) (p))))
#define store_f32_avx2(p, v) _mm256_storeu_ps(p, v)
#define store_f16_avx2(p, v) \
	_mm_storeu_si128((__m128i *) (p), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT))
#define mul_avx2(v, w) _mm256_mul_ps(v, w)
#define min_avx2(v, w) _mm256_min_ps(v, w)
#define max_avx2(v, w) _mm256_max_ps(v, w)
#define abs_avx2(v) _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v)

INLINE void
store_i8_avx2(int8_t *p, __m256 v)
{
	__m256i		wide = _mm256_cvtps_epi32(v);
	__m128i		words = _mm_packs_epi32(_mm256_castsi256_si128(wide),
										_mm256_extracti128_si256(wide, 1));

	_mm_storel_epi64((__m128i *) p, _mm_packs_epi16(words, words));
}

#include "algo/scalar_template.h"


/* ---- AVX-512 ------------------------------------------------------------ */

#define WIDTH avx512
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,f16c")))
#define LANES 16
#define Floats __m512
#define set_avx512(x) _mm512_set1_ps(x)
#define load_f32_avx512(p) _mm512_loadu_ps(p)
#define load_f16_avx512(p) _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) (p)))
#define load_i8_avx512(p) \
	_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *) (p))))
#define store_f32_avx512(p, v) _mm512_storeu_ps(p, v)
#define store_f16_avx512(p, v) \
	_mm256_storeu_si256((__m256i *) (p), _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT))
#define store_i8_avx512(p, v) \
	_mm_storeu_si128((__m128i *) (p), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(v)))
#define mul_avx512(v, w) _mm512_mul_ps(v, w)
#define min_avx512(v, w) _mm512_min_ps(v, w)
#define max_avx512(v, w) _mm512_max_ps(v, w)
#define abs_avx512(v) _mm512_abs_ps(v)
#include "algo/scalar_template.h"

#elif defined(__aarch64__)


/* ---- NEON --------------------------------------------------------------- */

#define WIDTH neon
#define TARGET
#define LANES 4
#define Floats float32x4_t
#define set_neon(x) vdupq_n_f32(x)
#define load_f32_neon(p) vld1q_f32(p)
#define load_f16_neon(p) vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)))
#define store_f32_neon(p, v) vst1q_f32(p, v)
#define store_f16_neon(p, v) vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(v)))
#define mul_neon(v, w) vmulq_f32(v, w)
#define min_neon(v, w) vminq_f32(v, w)
#define max_neon(v, w) vmaxq_f32(v, w)
#define abs_neon(v) vabsq_f32(v)

INLINE float32x4_t
load_i8_neon(const int8_t *p)
{
	int8x8_t	bytes = vdup_n_s8(0);

	memcpy(&bytes, p, 4);
	return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))));
}

INLINE void
store_i8_neon(int8_t *p, float32x4_t v)
{
	int16x4_t	words = vmovn_s32(vcvtnq_s32_f32(v));
	int8x8_t	bytes = vmovn_s16(vcombine_s16(words, words));

	memcpy(p, &bytes, 4);
}

#include "algo/scalar_template.h"

#endif


/* ---- Exponents ---------------------------------------------------------- */

float
ann_max_abs(const float *x, int n)
{
	return ann_kernels->scalar->max_abs(x, n);
}

void
ann_f32_encode(const double *x, int n, float *out)
{
	for (int i = 0; i < n; i++)
	{
		double		value = x[i];

		value = value > FLT_MAX ? FLT_MAX : value;
		value = value < -FLT_MAX ? -FLT_MAX : value;
		out[i] = (float) value;
	}
}

int
ann_f16_exponent(float max)
{
	int			exponent;

	if (max == 0 || (max >= 0x1p-14f && max <= MAX_HALF))
		return 0;
	exponent = ilogbf(max) - 14;
	return exponent < MIN_EXPONENT ? MIN_EXPONENT : exponent;
}

void
ann_f16_encode(const float *x, int n, int exponent, AnnHalf *out)
{
	int			excess = exponent > MAX_F16_EXPONENT ? exponent - MAX_F16_EXPONENT : 0;

	ann_kernels->scalar->f16_encode(x, n, ldexpf(1, -exponent),
									ldexpf(MAX_HALF, -excess), out);
}

void
ann_f16_decode(const AnnHalf *halves, int n, int exponent, float *out)
{
	ann_kernels->scalar->f16_decode(halves, n, ldexpf(1, exponent), out);
}

int
ann_i8_exponent(float max)
{
	int			exponent;

	if (max == 0)
		return 0;
	exponent = ilogbf(max) - 6;
	if (ldexp(max, -exponent) > MAX_BYTE + 0.5)
		exponent++;
	return exponent < MIN_EXPONENT ? MIN_EXPONENT :
		exponent > MAX_I8_EXPONENT ? MAX_I8_EXPONENT : exponent;
}

void
ann_i8_encode(const float *x, int n, int exponent, int8_t *out)
{
	int			excess = exponent > MAX_I8_EXPONENT ? exponent - MAX_I8_EXPONENT : 0;

	ann_kernels->scalar->i8_encode(x, n, ldexpf(1, -exponent),
								   floorf(ldexpf(MAX_BYTE, -excess)), out);
}

void
ann_i8_decode(const int8_t *bytes, int n, int exponent, float *out)
{
	ann_kernels->scalar->i8_decode(bytes, n, ldexpf(1, exponent), out);
}
