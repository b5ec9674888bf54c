/*
 * rotation.h
 *	  A seeded random orthogonal transform: codes and splits live behind it.
 *
 * It spreads whatever a vector has in few coordinates evenly over all of
 * them, which the error bounds of code.h rest on, and keeps norms and inner
 * products up to float rounding (1e-5 relative to the norms at most).
 *
 * The result is a function of seed, dimensions and vector alone: the same
 * bits come back on every machine with IEEE 754 floats, since nothing but
 * multiplications, additions and subtractions in a fixed order is done.  It
 * is part of what an index means; changing it invalidates indexes.
 */
#ifndef ANN_ROTATION_H
#define ANN_ROTATION_H

#include <stddef.h>
#include <stdint.h>

typedef struct AnnRotation AnnRotation;

/*
 * The number of dimensions of a rotated vector: 'dim' rounded up to the next
 * multiple of 64.  'dim' is at least 1.
 */
extern int	ann_rotation_padded(int dim);

/* How many bytes ann_rotation_init needs; 16 per rotated dimension. */
extern size_t ann_rotation_size(int dim);

/*
 * Make the rotation of 'dim' dimensions that belongs to 'seed'.
 *
 * 'memory' has ann_rotation_size(dim) bytes, aligned as malloc does; the
 * rotation lies there and is not to be moved into memory of less alignment.
 * Constant from then on, so that threads may share it.
 */
extern AnnRotation *ann_rotation_init(void *memory, int dim, uint64_t seed);

/*
 * Rotate x of 'dim' floats to 'out' of ann_rotation_padded(dim) floats.  The
 * two must not overlap; neither needs alignment beyond a float's, though 64
 * bytes of it for 'out' save a fifth of the time.
 *
 * No intermediate value exceeds the norm of x, so that finite vectors of a
 * finite norm stay finite.
 */
extern void ann_rotate(const AnnRotation *rotation, const float *x, float *out);

/* The same as a kernel of a table (distance.h). */
typedef void (*AnnRotateFn) (const AnnRotation *rotation, const float *x,
							 float *out);

/*
 * Rotate x back in place: ann_rotation_padded(dim) floats, of which the first
 * 'dim' are the original vector afterwards, and the others are zero but for
 * rounding.  Intermediate values may exceed the norm of x by a factor of up
 * to the square root of twice the padded dimensions.
 */
extern void ann_unrotate(const AnnRotation *rotation, float *x);

#endif							/* ANN_ROTATION_H */
