/*
 * code_neon.c
 *	  Scan of a block of codes with NEON, one byte of 16 rows at a time.
 */
#if defined(__aarch64__)

#include <arm_neon.h>

#include "algo/code_isa.h"

#define INLINE static inline __attribute__((always_inline))

/* The entries that a code byte of 16 rows picks, both nibbles' added. */
INLINE uint8x16_t
look_up(uint8x16_t low_table, uint8x16_t high_table, const uint8_t *codes)
{
	uint8x16_t	code = vld1q_u8(codes);

	return vaddq_u8(vqtbl1q_u8(low_table, vandq_u8(code, vdupq_n_u8(15))),
					vqtbl1q_u8(high_table, vshrq_n_u8(code, 4)));
}

/* The sums over bytes 'from' to 'end' of the codes, eight rows a register. */
INLINE void
sum_entries(const AnnCodeQuery *query, const uint8_t *codes, size_t from,
			size_t end, uint16x8_t sums[4])
{
	for (int i = 0; i < 4; i++)
		sums[i] = vdupq_n_u16(0);
	for (size_t t = from; t < end; t++)
	{
		const uint8_t *table = query->table + t / 2 * 128 + t % 2 * 32;
		uint8x16_t	low = vld1q_u8(table);
		uint8x16_t	high = vld1q_u8(table + 64);
		uint8x16_t	first = look_up(low, high, codes + 32 * t);
		uint8x16_t	second = look_up(low, high, codes + 32 * t + 16);

		sums[0] = vaddw_u8(sums[0], vget_low_u8(first));
		sums[1] = vaddw_high_u8(sums[1], first);
		sums[2] = vaddw_u8(sums[2], vget_low_u8(second));
		sums[3] = vaddw_high_u8(sums[3], second);
	}
}

/* Estimates and bounds of the four rows from 'row'; returns their mask. */
INLINE uint32_t
estimate(const AnnCodeQuery *query, const AnnCodeBlock *block, int row,
		 uint32x4_t sums, float d2, float spread, float thr, float *est, float *lb)
{
	static const uint32_t bits[4] = {1, 2, 4, 8};
	float32x4_t sq = vaddq_f32(vdupq_n_f32(query->base),
							   vmulq_f32(vdupq_n_f32(query->step),
										 vcvtq_f32_u32(sums)));
	float32x4_t a = vaddq_f32(vdupq_n_f32(d2), vld1q_f32(block->a + row));
	float32x4_t e = vaddq_f32(a, vmulq_f32(vld1q_f32(block->f + row), sq));
	float32x4_t l = vsubq_f32(e, vmulq_f32(vdupq_n_f32(spread),
										   vld1q_f32(block->e + row)));
	uint32x4_t	above = vcgtq_f32(l, vdupq_n_f32(thr));

	vst1q_f32(est + row, e);
	vst1q_f32(lb + row, l);
	return vaddvq_u32(vbicq_u32(vld1q_u32(bits), above)) << row;
}

uint32_t
ann_code_scan_neon(const AnnCodeQuery *query, const AnnCodeBlock *block,
				   float d2, float slack, float thr, float *est, float *lb)
{
	float		spread = slack * vget_lane_f32(vsqrt_f32(vdup_n_f32(d2 + query->noise)), 0);
	size_t		bytes = query->code_bytes;
	uint32_t	mask = 0;
	uint32x4_t	sums[8];		/* of four rows each */

	for (int i = 0; i < 8; i++)
		sums[i] = vdupq_n_u32(0);
	for (size_t from = 0; from < bytes; from += ANN_CODE_FLUSH)
	{
		size_t		end = bytes - from > ANN_CODE_FLUSH ? from + ANN_CODE_FLUSH : bytes;
		uint16x8_t	part[4];

		sum_entries(query, block->codes, from, end, part);
		for (int i = 0; i < 4; i++)
		{
			sums[2 * i] = vaddw_u16(sums[2 * i], vget_low_u16(part[i]));
			sums[2 * i + 1] = vaddw_high_u16(sums[2 * i + 1], part[i]);
		}
	}
	for (int i = 0; i < 8; i++)
		mask |= estimate(query, block, 4 * i, sums[i], d2, spread, thr, est, lb);
	return mask;
}

#else

/* ISO C forbids an empty translation unit. */
typedef int ann_code_neon_is_empty;

#endif							/* __aarch64__ */
