/*
 * code_avx512.c
 *	  Scan of a block of codes in registers of 64 bytes: two bytes of 32 rows.
 */
#if defined(__x86_64__)

#include <immintrin.h>
#include <stdbool.h>

#include "algo/code_isa.h"

#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")))
#define INLINE TARGET static inline __attribute__((always_inline))

/* The entries that two bytes of 32 rows pick, both nibbles' added. */
INLINE __m512i
look_up(const uint8_t *table, const uint8_t *codes)
{
	const __m512i nibble = _mm512_set1_epi8(15);
	const __m512i *tables = (const __m512i *) table;
	__m512i		code = _mm512_loadu_si512(codes);
	__m512i		low;
	__m512i		high;

	/* keep gcc from loading what may straddle cache lines twice */
	__asm__("" : "+v"(code));
	low = _mm512_and_si512(code, nibble);
	high = _mm512_and_si512(_mm512_srli_epi16(code, 4), nibble);
	return _mm512_add_epi8(_mm512_shuffle_epi8(tables[0], low),
						   _mm512_shuffle_epi8(tables[1], high));
}

/*
 * Sums of entries in 16 bits.  To spare widening, 'all' adds the bytes of two
 * rows as one number; what the odd row's bytes add to it, and the carries of
 * the even row's, are known from 'odd'.
 */
typedef struct Sums
{
	__m512i		all;
	__m512i		odd;
} Sums;

INLINE Sums
add_entries(Sums sums, __m512i entries)
{
	sums.all = _mm512_add_epi16(sums.all, entries);
	sums.odd = _mm512_add_epi16(sums.odd, _mm512_srli_epi16(entries, 8));
	return sums;
}

INLINE __m256i
add_halves(__m512i v)
{
	return _mm256_add_epi16(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
}

/*
 * The sums over n bytes of the codes, row i in lane i.  'pairs' is whether
 * the entries of two bytes may be added up in a byte.
 */
INLINE __m512i
sum_entries(const uint8_t *table, const uint8_t *codes, size_t n, bool pairs)
{
	const __m512i interleave = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12,
												43, 11, 42, 10, 41, 9, 40, 8,
												39, 7, 38, 6, 37, 5, 36, 4,
												35, 3, 34, 2, 33, 1, 32, 0);
	Sums		sums = {_mm512_setzero_si512(), _mm512_setzero_si512()};
	__m256i		odd,
				even;

	for (size_t t = 0; t < n; t += 4, table += 256, codes += 128)
	{
		__m512i		e01 = look_up(table, codes);
		__m512i		e23 = look_up(table + 128, codes + 64);

		if (pairs)
			sums = add_entries(sums, _mm512_add_epi8(e01, e23));
		else
			sums = add_entries(add_entries(sums, e01), e23);
	}
	odd = add_halves(sums.odd);
	even = _mm256_sub_epi16(add_halves(sums.all), _mm256_slli_epi16(odd, 8));
	return _mm512_permutex2var_epi16(_mm512_castsi256_si512(even), interleave,
									 _mm512_castsi256_si512(odd));
}

/* Estimates and bounds of the sixteen rows from 'row'; returns their mask. */
INLINE uint32_t
estimate(const AnnCodeQuery *query, const AnnCodeBlock *block, int row,
		 __m512i sums, float d2, float spread, float thr, float *est, float *lb)
{
	__m512		sq = _mm512_add_ps(_mm512_set1_ps(query->base),
								   _mm512_mul_ps(_mm512_set1_ps(query->step),
												 _mm512_cvtepi32_ps(sums)));
	__m512		a = _mm512_add_ps(_mm512_set1_ps(d2), _mm512_loadu_ps(block->a + row));
	__m512		e = _mm512_add_ps(a, _mm512_mul_ps(_mm512_loadu_ps(block->f + row), sq));
	__m512		l = _mm512_sub_ps(e, _mm512_mul_ps(_mm512_set1_ps(spread),
												   _mm512_loadu_ps(block->e + row)));

	_mm512_storeu_ps(est + row, e);
	_mm512_storeu_ps(lb + row, l);
	return (uint32_t) _mm512_cmp_ps_mask(l, _mm512_set1_ps(thr), _CMP_NGT_UQ) << row;
}

TARGET uint32_t
ann_code_scan_avx512(const AnnCodeQuery *query, const AnnCodeBlock *block,
					 float d2, float slack, float thr, float *est, float *lb)
{
	float		spread = slack * _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(d2 + query->noise)));
	size_t		bytes = query->code_bytes;
	__m512i		first = _mm512_setzero_si512();
	__m512i		second = first;

	for (size_t from = 0; from < bytes; from += ANN_CODE_FLUSH)
	{
		size_t		n = bytes - from < ANN_CODE_FLUSH ? bytes - from : ANN_CODE_FLUSH;
		const uint8_t *table = query->table + 64 * from;
		const uint8_t *codes = block->codes + 32 * from;
		__m512i		part = query->bits == 1 ?
			sum_entries(table, codes, n, true) : sum_entries(table, codes, n, false);
		__m256i		low = _mm512_castsi512_si256(part);
		__m256i		high = _mm512_extracti64x4_epi64(part, 1);

		first = _mm512_add_epi32(first, _mm512_cvtepu16_epi32(low));
		second = _mm512_add_epi32(second, _mm512_cvtepu16_epi32(high));
	}
	return estimate(query, block, 0, first, d2, spread, thr, est, lb) |
		estimate(query, block, 16, second, d2, spread, thr, est, lb);
}

#else

/* ISO C forbids an empty translation unit. */
typedef int ann_code_avx512_is_empty;

#endif							/* __x86_64__ */
