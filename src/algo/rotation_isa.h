/*
 * rotation_isa.h
 *	  What a rotation is made of, and its kernels; for the rotation files and
 *	  the tables of kernels alone.
 */
#ifndef ANN_ROTATION_ISA_H
#define ANN_ROTATION_ISA_H

#include <stdbool.h>
#include <string.h>

#include "algo/rotation.h"

#define ANN_ROTATION_ROUNDS 4

struct AnnRotation
{
	int			dim;
	int			padded;			/* dimensions after the rotation */
	int			mixed;			/* largest power of two within them */
	float		factor[];		/* of each round: a sign for each of 'padded'
								 * dimensions, times the norming factors */
};

/* Where the coordinates begin that a round mixes. */
static inline size_t
ann_rotation_start(const AnnRotation *rotation, int round)
{
	return (round & 1) ? rotation->padded - rotation->mixed : 0;
}

/* Whether a round ends with the mixing of the two halves. */
static inline bool
ann_rotation_halves(const AnnRotation *rotation, int round)
{
	return (round & 1) && rotation->mixed < rotation->padded;
}

/* On vectors of four floats, which every processor has or gets emulated. */
extern void ann_rotate_plain(const AnnRotation *rotation, const float *x, float *out);

#if defined(__x86_64__)
extern void ann_rotate_avx2(const AnnRotation *rotation, const float *x, float *out);
extern void ann_rotate_avx512(const AnnRotation *rotation, const float *x, float *out);
#elif defined(__aarch64__)
#define ann_rotate_neon ann_rotate_plain	/* vectors of four are its own */
#endif

#endif							/* ANN_ROTATION_ISA_H */
