/*
 * rotation.c
 *	  Random signs and fast Hadamard transforms, four rounds of them.
 *
 * A round multiplies every coordinate by a random sign and mixes as many
 * coordinates as the largest power of two allows, the leading ones in even
 * rounds and the trailing ones in odd rounds.  Where that leaves some out, an
 * odd round also replaces the two halves a, b of the vector by (a + b, a - b)
 * / sqrt 2.  An even round must not: with the halves mixed in every round, a
 * coordinate and the one that it is paired with can take turns in being left
 * out, and a quarter of a unit vector never spreads.  The norming factors are
 * folded into the signs.
 *
 * The steps are in rotation_template.h, here on vectors of four floats.
 */
#include "algo/distance.h"
#include "algo/random.h"
#include "algo/rotation_isa.h"
#include "algo/vec4.h"

#define SQRT_HALF 0.70710678118654752440

#define TARGET
#define LANES 4

typedef Vec4 Vec;

#define load vec4_load
#define store vec4_store
#define load_blocks load
#define store_blocks(p, a, b, c, d) \
	(store(p, a), store((p) + 4, b), store((p) + 8, c), store((p) + 12, d))
#define low_pairs(x, y) VEC4_SHUFFLE(x, y, 0, 4, 1, 5)
#define high_pairs(x, y) VEC4_SHUFFLE(x, y, 2, 6, 3, 7)
#define low_halves(x, y) VEC4_SHUFFLE(x, y, 0, 1, 4, 5)
#define high_halves(x, y) VEC4_SHUFFLE(x, y, 2, 3, 6, 7)

#include "algo/rotation_template.h"

void
ann_rotate_plain(const AnnRotation *rotation, const float *x, float *out)
{
	rotate(rotation, x, out);
}

int
ann_rotation_padded(int dim)
{
	return (dim + 63) / 64 * 64;
}

size_t
ann_rotation_size(int dim)
{
	return offsetof(AnnRotation, factor) +
		sizeof(float) * ANN_ROTATION_ROUNDS * (size_t) ann_rotation_padded(dim);
}

AnnRotation *
ann_rotation_init(void *memory, int dim, uint64_t seed)
{
	AnnRotation *rotation = memory;
	double		mixed_norm = 1;
	AnnRandom	random;

	ann_random_seed(&random, seed);
	rotation->dim = dim;
	rotation->padded = ann_rotation_padded(dim);
	rotation->mixed = 64;
	while (rotation->mixed * 2 <= rotation->padded)
		rotation->mixed *= 2;
	for (int power = 1; power < rotation->mixed; power *= 2)
		mixed_norm *= SQRT_HALF;

	for (int round = 0; round < ANN_ROTATION_ROUNDS; round++)
	{
		float	   *factor = rotation->factor + (size_t) round * rotation->padded;
		size_t		start = ann_rotation_start(rotation, round);
		uint64_t	bits = 0;

		for (size_t i = 0; i < (size_t) rotation->padded; i++)
		{
			double		norm = ann_rotation_halves(rotation, round) ? SQRT_HALF : 1;

			if (i % 64 == 0)
				bits = ann_random_bits(&random);
			if (i >= start && i < start + rotation->mixed)
				norm *= mixed_norm;
			factor[i] = (float) ((bits >> (i % 64)) & 1 ? -norm : norm);
		}
	}
	return rotation;
}

void
ann_rotate(const AnnRotation *rotation, const float *x, float *out)
{
	ann_kernels->rotate(rotation, x, out);
}

/*
 * Each step is its own inverse up to the norming factors, and these commute
 * with it; so the steps are taken backwards and the factors stay.
 */
void
ann_unrotate(const AnnRotation *rotation, float *x)
{
	size_t		n = rotation->padded;

	for (int round = ANN_ROTATION_ROUNDS - 1; round >= 0; round--)
	{
		if (ann_rotation_halves(rotation, round))
			mix_halves(x, n);
		mix(x + ann_rotation_start(rotation, round), rotation->mixed);
		multiply(x, rotation->factor + round * n, n);
	}
}
