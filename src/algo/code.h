/*
 * code.h
 *	  Quantised residuals: a distance estimated from one or four bits a
 *	  dimension, with a bound on the error.
 *
 * RaBitQ (Gao and Long, 2024) at 1 bit, its extension (Gao et al., 2025) at 4.
 * A row x belongs to a centre c and is known by its residual r = x - c, all
 * in rotated space (rotation.h), where D, the number of dimensions, is a
 * multiple of 64.  Dimension i has the code u_i in 0 .. 2^bits - 1, which
 * stands for the grid point
 *
 *		s_i = u_i - off,  off = (2^bits - 1) / 2
 *
 * At 1 bit, u_i = [r_i >= 0].  At 4 bits, u_i = r_i / step + 8 rounded down
 * and cut to 0 .. 15, with the step that of a few gives the largest cosine of
 * s and r.  The scale of s cancels out of what follows, so no step is kept.
 *
 * A row's three factors, with cos = <s,r> / (|s| |r|), k = |r|^2 / <s,r>:
 *
 *		A = |r|^2 + 2 k <s,c>
 *		F = -2 k
 *		E = 2 |r| sqrt((1 - cos^2) / cos^2 / (D - 1))
 *
 * From d2 = |q - c|^2 of a query q the squared distance of q and x is then
 *
 *		est = d2 + A + F <s,q>
 *
 * with an error of about E * sqrt(d2) (one standard deviation).  F is never
 * positive, E never negative.
 *
 * The table of a query (below) rounds what it holds, which adds an error of
 * its own, negligible unless |q| is many times |q - c|: data far from the
 * origin are better moved to it, all by the same vector, before they are
 * rotated.  The kernels allow for it in their bound, see 'noise'; but not for
 * residuals that lie on the grid, whose E is 0, and which no rotation yields.
 *
 * Vectors of norms up to 1e18 cannot overflow the floats.  Where a row's own
 * factors do, they become A = F = 0, E = infinity, which makes its bound
 * -infinity or NaN and scan_block report it always.  Residuals of a norm below
 * 1e-18 count as zero.
 */
#ifndef ANN_CODE_H
#define ANN_CODE_H

#include <stddef.h>
#include <stdint.h>

/* Rows of a block. */
#define ANN_CODE_ROWS 32

typedef struct AnnCodeFactors
{
	float		a;
	float		f;
	float		e;
} AnnCodeFactors;

/* How many bytes the code of one row has. */
static inline size_t
ann_code_bytes(int bits, int dim)
{
	return (size_t) dim * bits / 8;
}

/*
 * Encode the residual r of a row whose centre is c; 'bits' is 1 or 4, 'dim' a
 * multiple of 64.  The code knows the first 'width' dimensions, a multiple of 64
 * as well: as the rotation spreads a residual evenly over all dimensions, a part of
 * them tells about the whole, with a larger error.  |r|^2 is of all, and s, c and
 * q in <s,c> and <s,q> are of those that the code knows.
 *
 * The code is written plain, ann_code_bytes() long.  A byte holds two nibbles,
 * the low one first, and a nibble is one look-up: at 1 bit four dimensions,
 * dimension i in bit i % 8 of byte i / 8; at 4 bits one dimension, the even
 * ones in the low nibbles.
 *
 * r = 0 gives the factors 0, 0, 0, for which the estimate is d2, exactly.
 */
extern void ann_code_encode(int bits, int dim, int width, const float *r,
							const float *c, uint8_t *code, AnnCodeFactors *factors);

/*
 * What a code tells by itself, without a centre or a query: its grid point in half
 * steps, 2 s_i, as 'width' bytes.
 */
extern void ann_code_grid(int bits, int width, const uint8_t *code, int8_t *grid);

/*
 * The cosine of the angle between the residuals of two codes of one centre, given
 * as grid points of these squared norms; and the length of the residual of a code
 * with the factor f.  Both are estimates.
 */
extern float ann_code_cosine(int bits, int width, const int8_t *a, float a_norm2,
							 const int8_t *b, float b_norm2);
extern float ann_code_length(int bits, int dim, int width, float norm2, float f);

/*
 * Blocks: byte t of all 32 rows, then byte t + 1 of all rows, and so on;
 * 32 * code_bytes in all.  These write and read the code of one row.
 */
extern void ann_code_put(uint8_t *block, size_t code_bytes, int row,
						 const uint8_t *code);
extern void ann_code_get(const uint8_t *block, size_t code_bytes, int row,
						 uint8_t *code);

/*
 * A query, made ready for any number of blocks.
 *
 * The table has 16 entries for each nibble of a code: what the nibble's
 * dimensions add to <u,q>, less the least of the 16, in whole steps.  So
 *
 *		<s,q> = base + step * sum of the entries that the code picks
 *
 * up to rounding.  Since E is close to |F| / sqrt(12) for every row, the
 * standard deviation of that rounding amounts to the one that d2 increased by
 * 'noise' has.
 *
 * The step is such that sums of a few entries fit a byte: at 4 bits the two
 * that one byte of a code picks, at 1 bit, where precision matters less, the
 * four that bytes t and t + 2 pick (t % 4 < 2).
 *
 * Bytes t and t + 1 of a code (t even) share 128 bytes of the table, so that
 * wide registers load what they need: tables of their low nibbles, t, t,
 * t + 1, t + 1, then likewise of their high nibbles.
 */
typedef struct AnnCodeQuery
{
	int32_t		bits;
	uint32_t	code_bytes;
	float		step;
	float		base;
	float		noise;
	uint8_t		table[] __attribute__((aligned(64)));
} AnnCodeQuery;

/* How many bytes ann_code_query_init needs; to be aligned to 64. */
extern size_t ann_code_query_size(int bits, int dim);

/* Prepare q of 'dim' rotated dimensions.  Uses nothing of q afterwards. */
extern AnnCodeQuery *ann_code_query_init(void *memory, int bits, int dim,
										 const float *q);

/* A block as a kernel sees it; nothing need be aligned beyond a float. */
typedef struct AnnCodeBlock
{
	const uint8_t *codes;		/* 32 * code_bytes */
	const float *a;				/* the factors of 32 rows */
	const float *f;
	const float *e;
} AnnCodeBlock;

/*
 * The kernel of a table (distance.h): estimates for the 32 rows of a block.
 *
 * d2 = |q - c|^2 for the block's centre; 'slack' tells how many standard
 * deviations the bound allows for (1.9 is met by 97 % of the rows).  Writes
 *
 *		est[i] = d2 + A + F <s,q>
 *		lb[i]  = est[i] - slack * E * sqrt(d2 + noise)
 *
 * (the upper bound is 2 * est[i] - lb[i]), and returns a mask, row i in bit i,
 * of the rows for which lb[i] > thr does not hold: those that may be within
 * thr, and any of which nothing is known because of an overflow.
 *
 * All 32 rows are read and estimated.  The caller masks rows that do not
 * exist or are dead, whose codes and factors may be anything.
 *
 * Every table gives the same bits.
 */
typedef uint32_t (*AnnCodeScanFn) (const AnnCodeQuery *query,
								   const AnnCodeBlock *block,
								   float d2, float slack, float thr,
								   float *est, float *lb);

#endif							/* ANN_CODE_H */
