/*
 * source.h
 *	  From a Datum to a vector: the one place where arrays are taken apart
 *	  and where input is checked.
 */
#ifndef ANN_SOURCE_H
#define ANN_SOURCE_H

#include "compat.h"
#include "utils/array.h"

/*
 * A vector as the kernels take it.  'data' points to 'dim' elements of type
 * float, or double where is_double, and belongs to whoever made the vector.
 */
typedef struct AnnVector
{
	int			dim;			/* at least 1 */
	bool		is_double;
	const void *data;
} AnnVector;

/* The size in bytes of one element. */
#define ANN_ELEMENT_SIZE(v) ((v)->is_double ? sizeof(double) : sizeof(float))

/*
 * Check that an array of any element type can be a vector, and return its
 * number of elements.  Raises ERRCODE_ARRAY_SUBSCRIPT_ERROR for more than one
 * dimension, ERRCODE_DATA_EXCEPTION for an empty array, and
 * ERRCODE_NULL_VALUE_NOT_ALLOWED for NULL elements.
 */
extern int	ann_source_check(ArrayType *array);

/* Is an array of this element type a vector as it stands, by ann_source_wrap? */
extern bool ann_source_is_float(Oid elemtype);

/* The vector in a checked array of real or double precision; nothing is copied. */
extern AnnVector ann_source_wrap(ArrayType *array, int dim);

/*
 * Convert the elements of a checked array of numeric, integer, bigint or
 * smallint to double.  'values' has room for 'dim' of them.  A numeric out of
 * range of double raises ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE; an integer beyond
 * 2^53 is rounded.
 */
extern void ann_source_convert(ArrayType *array, int dim, double *values);

/* The elements of a checked array of any of the types as doubles. */
extern void ann_source_doubles(ArrayType *array, int dim, double *values);

/*
 * The elements, less the centre unless NULL, as floats: as they are, or rounded
 * into 'buffer', those beyond the range of float to its ends.
 */
extern const float *ann_source_floats(const AnnVector *v, const float *centre,
									  float *buffer);

/*
 * What keeps an array from being indexed.  An index holds finite vectors of
 * one number of dimensions.
 */
typedef enum AnnProblem
{
	ANN_PROBLEM_NONE,
	ANN_PROBLEM_ARRAY,			/* what ann_source_check refuses */
	ANN_PROBLEM_TOO_LONG,		/* more than ANN_MAX_DIMENSIONS */
	ANN_PROBLEM_DIMENSIONS,		/* another number than the index has */
	ANN_PROBLEM_NOT_FINITE
} AnnProblem;

/*
 * Examine an array of real or double precision for an index of 'dim'
 * dimensions, 0 if any number will do.  Raises nothing.  Sets *v if there is no
 * problem.
 */
extern AnnProblem ann_source_examine(ArrayType *array, int dim, AnnVector *v);

/*
 * Raise the error for a problem that ann_source_examine found: as
 * ann_source_check, or ERRCODE_PROGRAM_LIMIT_EXCEEDED (too long),
 * ERRCODE_DATA_EXCEPTION (dimensions, with both numbers and the name of the
 * index), ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE (not finite).
 */
pg_noreturn extern void ann_source_refuse(AnnProblem problem, ArrayType *array,
										  int dim, const char *index_name);

/* Is every element zero, or its square? Then the cosine operator gives NaN. */
extern bool ann_source_is_zero(const AnnVector *v);

/*
 * Check a query as rows are checked: raise an error if it has not the index's
 * 'dim' dimensions (0: any), or is not finite.
 */
extern void ann_source_check_query(const AnnVector *query, int dim,
								   const char *index_name);

/* Raise the error that two vectors differ in length. */
pg_noreturn extern void ann_source_dimension_mismatch(int dim_a, int dim_b);

#endif							/* ANN_SOURCE_H */
