/*
 * centre.h
 *	  A vector that others lie around, and what they are less it.
 *
 * Whatever rounds a vector does so relative to its norm.  Vectors that are far
 * from the origin, compared with the distances between them, are therefore
 * rounded less the centre, which changes no Euclidean distance.  The centre is
 * subtracted in double.
 *
 * All arguments are finite.  Vectors are floats, or doubles where is_double.
 */
#ifndef ANN_CENTRE_H
#define ANN_CENTRE_H

#include <stdbool.h>

/*
 * Choose a centre of n >= 1 rows of 'dim' elements, one behind the other: the
 * median of each dimension, as the nearest float.  False if none is needed, since
 * it is no more than twice as far from the origin as from half of the rows.
 * 'scratch' has room for n doubles.
 *
 * An outlier does not move a median, and whole numbers less their medians are
 * whole numbers.
 */
extern bool ann_centre_choose(const void *rows, bool is_double, int n, int dim,
							  double *scratch, float *centre);

/* n elements less the centre as the nearest floats, within their range. */
extern void ann_centred_floats(const void *x, bool is_double, const float *centre,
							   int n, float *out);

/*
 * An upper bound of the distance between these floats and what they should be; 0
 * if they are just that.
 */
extern double ann_centred_error(const void *x, bool is_double, const float *centre,
								int n, const float *floats);

/*
 * n doubles less the centre, which cannot overflow.  Returns an upper bound as
 * above.
 */
extern double ann_centred_doubles(const double *x, const float *centre, int n,
								  double *out);

#endif							/* ANN_CENTRE_H */
