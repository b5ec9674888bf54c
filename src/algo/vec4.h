/*
 * vec4.h
 *	  Vectors of four floats that gcc and clang have on every processor: in
 *	  registers on x86-64 and 64-bit ARM, emulated elsewhere.
 *
 * For code that is not worth a kernel for each instruction set.  Included by
 * .c files alone.
 */
#ifndef ANN_VEC4_H
#define ANN_VEC4_H

#include <stdint.h>
#include <string.h>

typedef float Vec4 __attribute__((vector_size(16)));
typedef int32_t Bits4 __attribute__((vector_size(16)));

/* Four lanes of two vectors, which are numbered 0 to 7. */
#ifdef __clang__
#define VEC4_SHUFFLE(x, y, a, b, c, d) __builtin_shufflevector(x, y, a, b, c, d)
#else
#define VEC4_SHUFFLE(x, y, a, b, c, d) __builtin_shuffle(x, y, (Bits4) {a, b, c, d})
#endif

/* Unaligned. */
static inline Vec4
vec4_load(const float *p)
{
	Vec4		v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline void
vec4_store(float *p, Vec4 v)
{
	memcpy(p, &v, sizeof(v));
}

/* a where the bits of 'which' are set, else b. */
static inline Vec4
vec4_choose(Bits4 which, Vec4 a, Vec4 b)
{
	return (Vec4) ((which & (Bits4) a) | (~which & (Bits4) b));
}

static inline Vec4
vec4_abs(Vec4 v)
{
	return (Vec4) ((Bits4) v & INT32_MAX);
}

static inline float
vec4_sum(Vec4 v)
{
	return (v[0] + v[1]) + (v[2] + v[3]);
}

/* Transpose a 4 x 4 matrix of rows a, b, c, d, of either type of vector. */
#define VEC4_TRANSPOSE(Type, a, b, c, d) \
	do { \
		Type		ab_ = VEC4_SHUFFLE(a, b, 0, 4, 1, 5); \
		Type		AB_ = VEC4_SHUFFLE(a, b, 2, 6, 3, 7); \
		Type		cd_ = VEC4_SHUFFLE(c, d, 0, 4, 1, 5); \
		Type		CD_ = VEC4_SHUFFLE(c, d, 2, 6, 3, 7); \
		(a) = VEC4_SHUFFLE(ab_, cd_, 0, 1, 4, 5); \
		(b) = VEC4_SHUFFLE(ab_, cd_, 2, 3, 6, 7); \
		(c) = VEC4_SHUFFLE(AB_, CD_, 0, 1, 4, 5); \
		(d) = VEC4_SHUFFLE(AB_, CD_, 2, 3, 6, 7); \
	} while (0)

#endif							/* ANN_VEC4_H */
