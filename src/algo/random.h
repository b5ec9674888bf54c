/*
 * random.h
 *	  Seeded random numbers that are the same on every machine.
 *
 * The generator is splitmix64 (Steele, Lea and Flood, "Fast splittable
 * pseudorandom number generators", OOPSLA 2014): a counter and a mixing
 * function.  Any seed is as good as any other, neighbouring ones included, so
 * a caller may seed its n-th generator with seed + n.  Not for secrets.
 */
#ifndef ANN_RANDOM_H
#define ANN_RANDOM_H

#include <stdint.h>

typedef struct AnnRandom
{
	uint64_t	state;
} AnnRandom;

/*
 * A bijection of 64-bit numbers after which every bit of the result depends
 * on every bit of the argument.
 */
static inline uint64_t
ann_mix64(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static inline void
ann_random_seed(AnnRandom *random, uint64_t seed)
{
	random->state = seed;
}

/* 64 random bits. */
static inline uint64_t
ann_random_bits(AnnRandom *random)
{
	return ann_mix64(random->state += UINT64_C(0x9e3779b97f4a7c15));
}

/*
 * A random number below n; n > 0.  It is the integer part of n times a random
 * 64-bit fraction: no value is more likely than another by more than n/2^64.
 */
static inline uint32_t
ann_random_below(AnnRandom *random, uint32_t n)
{
	uint64_t	bits = ann_random_bits(random);
	uint64_t	high = (bits >> 32) * n;
	uint64_t	low = ((bits & UINT32_MAX) * n) >> 32;

	return (uint32_t) ((high + low) >> 32);
}

/* Exchange order[i] for a random one of the count - i from there on. */
static inline void
ann_random_draw(uint32_t *order, uint32_t i, uint32_t count, AnnRandom *random)
{
	uint32_t	j = i + ann_random_below(random, count - i);
	uint32_t	drawn = order[j];

	order[j] = order[i];
	order[i] = drawn;
}

#endif							/* ANN_RANDOM_H */
