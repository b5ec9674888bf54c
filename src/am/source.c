/*
 * source.c
 *	  From a Datum to a vector.
 *
 * A vector is a one-dimensional array without NULL elements and with at least
 * one element.  Lower bounds other than 1 are ignored.  NaN and infinity are
 * no errors here: arithmetic knows what to do with them.
 */
#include "postgres.h"

#include <math.h>

#include "access/tupmacs.h"
#include "algo/centre.h"
#include "algo/distance.h"
#include "algo/scalar.h"
#include "am/source.h"
#include "catalog/pg_type_d.h"
#include "compat.h"
#include "store/format.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"

/* The position, counted from 1, of the first NULL; there is one. */
static int
first_null(ArrayType *array)
{
	bits8	   *bitmap = ARR_NULLBITMAP(array);
	int			i = 0;

	while (bitmap[i / 8] & (1 << (i % 8)))
		i++;
	return i + 1;
}

int
ann_source_check(ArrayType *array)
{
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("vector must be a one-dimensional array"),
				 errdetail("The array has %d dimensions.", ARR_NDIM(array)),
				 errhint("Compare one vector at a time, for example by unnesting the outer dimension.")));
	if (ARR_NDIM(array) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("vector must not be empty"),
				 errdetail("The array has no elements."),
				 errhint("Use NULL for a vector that is missing.")));
	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("vector must not contain NULL"),
				 errdetail("Element %d of the array is NULL.", first_null(array)),
				 errhint("Give every element a value, for example by array_replace(vec, NULL, 0).")));
	return ARR_DIMS(array)[0];
}

bool
ann_source_is_float(Oid elemtype)
{
	return elemtype == FLOAT4OID || elemtype == FLOAT8OID;
}

AnnVector
ann_source_wrap(ArrayType *array, int dim)
{
	AnnVector	v;

	Assert(ann_source_is_float(ARR_ELEMTYPE(array)));
	v.dim = dim;
	v.is_double = (ARR_ELEMTYPE(array) == FLOAT8OID);
	v.data = ARR_DATA_PTR(array);
	return v;
}

/* The elements of a numeric array are of variable length. */
static void
convert_numeric(ArrayType *array, int dim, double *values)
{
	char	   *at = ARR_DATA_PTR(array);

	for (int i = 0; i < dim; i++)
	{
		Datum		element;

		at = (char *) att_align_pointer(at, TYPALIGN_INT, -1, at);
		element = PointerGetDatum(at);
		values[i] = DatumGetFloat8(DirectFunctionCall1(numeric_float8, element));
		at += VARSIZE_ANY(at);
	}
}

void
ann_source_convert(ArrayType *array, int dim, double *values)
{
	char	   *data = ARR_DATA_PTR(array);

	switch (ARR_ELEMTYPE(array))
	{
		case NUMERICOID:
			convert_numeric(array, dim, values);
			break;
		case INT8OID:
			for (int i = 0; i < dim; i++)
				values[i] = (double) ((int64 *) data)[i];
			break;
		case INT4OID:
			for (int i = 0; i < dim; i++)
				values[i] = ((int32 *) data)[i];
			break;
		case INT2OID:
			for (int i = 0; i < dim; i++)
				values[i] = ((int16 *) data)[i];
			break;
		default:
			elog(ERROR, "cannot make a vector of an array of type %u",
				 ARR_ELEMTYPE(array));
	}
}

void
ann_source_doubles(ArrayType *array, int dim, double *values)
{
	if (ARR_ELEMTYPE(array) == FLOAT8OID)
		memcpy(values, ARR_DATA_PTR(array), sizeof(double) * dim);
	else if (ARR_ELEMTYPE(array) == FLOAT4OID)
	{
		for (int i = 0; i < dim; i++)
			values[i] = ((float *) ARR_DATA_PTR(array))[i];
	}
	else
		ann_source_convert(array, dim, values);
}

const float *
ann_source_floats(const AnnVector *v, const float *centre, float *buffer)
{
	if (centre != NULL)
		ann_centred_floats(v->data, v->is_double, centre, v->dim, buffer);
	else if (v->is_double)
		ann_f32_encode(v->data, v->dim, buffer);
	else
		return v->data;
	return buffer;
}

/* The position, counted from 1, of the first NaN or infinity; 0 if none. */
static int
first_not_finite(const AnnVector *v)
{
	for (int i = 0; i < v->dim; i++)
	{
		double		value = v->is_double ? ((const double *) v->data)[i]
			: ((const float *) v->data)[i];

		if (!isfinite(value))
			return i + 1;
	}
	return 0;
}

bool
ann_source_is_zero(const AnnVector *v)
{
	AnnPair		pair = v->is_double ? ANN_PAIR_F64_F64 : ANN_PAIR_F32_F32;

	return ann_kernels->pair[pair].ip(v->data, v->data, v->dim) == 0;
}

/*
 * A sum with an infinity or a NaN in it is not finite, and a finite one proves
 * that there is none; the elements are looked at only where the sum is not,
 * which large doubles can bring about, too.
 */
static bool
all_finite(const AnnVector *v)
{
	AnnPair		pair = v->is_double ? ANN_PAIR_F64_F64 : ANN_PAIR_F32_F32;

	return isfinite(ann_kernels->pair[pair].ip(v->data, v->data, v->dim)) ||
		first_not_finite(v) == 0;
}

AnnProblem
ann_source_examine(ArrayType *array, int dim, AnnVector *v)
{
	if (ARR_NDIM(array) != 1 || array_contains_nulls(array))
		return ANN_PROBLEM_ARRAY;
	*v = ann_source_wrap(array, ARR_DIMS(array)[0]);
	if (v->dim > ANN_MAX_DIMENSIONS)
		return ANN_PROBLEM_TOO_LONG;
	if (dim != 0 && v->dim != dim)
		return ANN_PROBLEM_DIMENSIONS;
	if (!all_finite(v))
		return ANN_PROBLEM_NOT_FINITE;
	return ANN_PROBLEM_NONE;
}

/* Raise the error for a vector that an index cannot take or compare. */
static void
refuse_vector(AnnProblem problem, const AnnVector *v, int dim,
			  const char *index_name)
{
	switch (problem)
	{
		case ANN_PROBLEM_TOO_LONG:
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("vector of %d dimensions is too long for index \"%s\"",
							v->dim, index_name),
					 errdetail("An index takes vectors of up to %d dimensions.",
							   ANN_MAX_DIMENSIONS)));
			break;
		case ANN_PROBLEM_DIMENSIONS:
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("vector of %d dimensions does not fit index \"%s\"",
							v->dim, index_name),
					 errdetail("The index is on vectors of %d dimensions.", dim),
					 errhint("Keep other lengths out by CHECK (cardinality(...) = %d), "
							 "or index them apart by partial indexes.", dim)));
			break;
		case ANN_PROBLEM_NOT_FINITE:
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("vector with NaN or infinity does not fit index \"%s\"",
							index_name),
					 errdetail("Element %d of the array is not finite.",
							   first_not_finite(v)),
					 errhint("Use NULL for a vector that is missing.")));
			break;
		default:
			elog(ERROR, "unexpected problem %d of a vector", (int) problem);
	}
}

void
ann_source_refuse(AnnProblem problem, ArrayType *array, int dim,
				  const char *index_name)
{
	AnnVector	v = ann_source_wrap(array, ann_source_check(array));

	refuse_vector(problem, &v, dim, index_name);
	pg_unreachable();
}

void
ann_source_check_query(const AnnVector *query, int dim, const char *index_name)
{
	if (dim != 0 && query->dim != dim)
		refuse_vector(ANN_PROBLEM_DIMENSIONS, query, dim, index_name);
	if (!all_finite(query))
		refuse_vector(ANN_PROBLEM_NOT_FINITE, query, dim, index_name);
}

void
ann_source_dimension_mismatch(int dim_a, int dim_b)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("vectors of %d and %d dimensions have no distance", dim_a, dim_b),
			 errdetail("Both vectors must have the same number of elements."),
			 errhint("Keep other lengths out of the column by CHECK (cardinality(vec) = %d), "
					 "or out of the query by a condition on cardinality.", dim_b)));
}
