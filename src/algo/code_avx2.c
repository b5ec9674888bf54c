/*
 * code_avx2.c
 *	  Scan of a block of codes in registers of 32 bytes: one byte of 32 rows.
 */
#if defined(__x86_64__)

#include <immintrin.h>
#include <stdbool.h>

#include "algo/code_isa.h"

#define TARGET __attribute__((target("avx2,fma,f16c")))
#define INLINE TARGET static inline __attribute__((always_inline))

/* The entries that one byte of 32 rows picks, both nibbles' added. */
INLINE __m256i
look_up(const uint8_t *table, const uint8_t *codes)
{
	const __m256i nibble = _mm256_set1_epi8(15);
	const __m256i *tables = (const __m256i *) table;
	__m256i		code = _mm256_loadu_si256((const __m256i *) codes);
	__m256i		low;
	__m256i		high;

	/* keep gcc from loading what may straddle cache lines twice */
	__asm__("" : "+x"(code));
	low = _mm256_and_si256(code, nibble);
	high = _mm256_and_si256(_mm256_srli_epi16(code, 4), nibble);
	return _mm256_add_epi8(_mm256_shuffle_epi8(tables[0], low),
						   _mm256_shuffle_epi8(tables[2], high));
}

/*
 * Sums of entries in 16 bits.  To spare widening, 'all' adds the bytes of two
 * rows as one number; what the odd row's bytes add to it, and the carries of
 * the even row's, are known from 'odd'.
 */
typedef struct Sums
{
	__m256i		all;
	__m256i		odd;
} Sums;

INLINE Sums
add_entries(Sums sums, __m256i entries)
{
	sums.all = _mm256_add_epi16(sums.all, entries);
	sums.odd = _mm256_add_epi16(sums.odd, _mm256_srli_epi16(entries, 8));
	return sums;
}

/*
 * The sums over n bytes of the codes: rows 0-7, 16-23 and rows 8-15, 24-31.
 * 'pairs' is whether the entries of two bytes may be added up in a byte.
 */
INLINE void
sum_entries(const uint8_t *table, const uint8_t *codes, size_t n, bool pairs,
			__m256i *first, __m256i *second)
{
	Sums		sums = {_mm256_setzero_si256(), _mm256_setzero_si256()};
	__m256i		even;

	for (size_t t = 0; t < n; t += 4, table += 256, codes += 128)
	{
		__m256i		e0 = look_up(table, codes);
		__m256i		e1 = look_up(table + 32, codes + 32);
		__m256i		e2 = look_up(table + 128, codes + 64);
		__m256i		e3 = look_up(table + 160, codes + 96);

		if (pairs)
		{
			sums = add_entries(sums, _mm256_add_epi8(e0, e2));
			sums = add_entries(sums, _mm256_add_epi8(e1, e3));
		}
		else
		{
			sums = add_entries(add_entries(sums, e0), e1);
			sums = add_entries(add_entries(sums, e2), e3);
		}
	}
	even = _mm256_sub_epi16(sums.all, _mm256_slli_epi16(sums.odd, 8));
	*first = _mm256_unpacklo_epi16(even, sums.odd);
	*second = _mm256_unpackhi_epi16(even, sums.odd);
}

/* Estimates and bounds of the eight rows from 'row'; returns their mask. */
INLINE uint32_t
estimate(const AnnCodeQuery *query, const AnnCodeBlock *block, int row,
		 __m256i sums, float d2, float spread, float thr, float *est, float *lb)
{
	__m256		sq = _mm256_add_ps(_mm256_set1_ps(query->base),
								   _mm256_mul_ps(_mm256_set1_ps(query->step),
												 _mm256_cvtepi32_ps(sums)));
	__m256		a = _mm256_add_ps(_mm256_set1_ps(d2), _mm256_loadu_ps(block->a + row));
	__m256		e = _mm256_add_ps(a, _mm256_mul_ps(_mm256_loadu_ps(block->f + row), sq));
	__m256		l = _mm256_sub_ps(e, _mm256_mul_ps(_mm256_set1_ps(spread),
												   _mm256_loadu_ps(block->e + row)));

	_mm256_storeu_ps(est + row, e);
	_mm256_storeu_ps(lb + row, l);
	return (uint32_t) _mm256_movemask_ps(_mm256_cmp_ps(l, _mm256_set1_ps(thr),
													   _CMP_NGT_UQ)) << row;
}

TARGET uint32_t
ann_code_scan_avx2(const AnnCodeQuery *query, const AnnCodeBlock *block,
				   float d2, float slack, float thr, float *est, float *lb)
{
	float		spread = slack * _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(d2 + query->noise)));
	size_t		bytes = query->code_bytes;
	uint32_t	mask = 0;
	__m256i		sums[4];		/* of eight rows each */

	for (int i = 0; i < 4; i++)
		sums[i] = _mm256_setzero_si256();
	for (size_t from = 0; from < bytes; from += ANN_CODE_FLUSH)
	{
		size_t		n = bytes - from < ANN_CODE_FLUSH ? bytes - from : ANN_CODE_FLUSH;
		const uint8_t *table = query->table + 64 * from;
		const uint8_t *codes = block->codes + 32 * from;
		__m256i		part[2];

		if (query->bits == 1)
			sum_entries(table, codes, n, true, &part[0], &part[1]);
		else
			sum_entries(table, codes, n, false, &part[0], &part[1]);
		for (int i = 0; i < 2; i++)
		{
			__m256i		low = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(part[i]));
			__m256i		high = _mm256_cvtepu16_epi32(_mm256_extracti128_si256(part[i], 1));

			sums[i] = _mm256_add_epi32(sums[i], low);
			sums[i + 2] = _mm256_add_epi32(sums[i + 2], high);
		}
	}
	for (int i = 0; i < 4; i++)
		mask |= estimate(query, block, 8 * i, sums[i], d2, spread, thr, est, lb);
	return mask;
}

#else

/* ISO C forbids an empty translation unit. */
typedef int ann_code_avx2_is_empty;

#endif							/* __x86_64__ */
