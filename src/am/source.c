/*
 * source.c
 *	  From a Datum to a vector.
 *
 * A vector is a one-dimensional array without NULL elements and with at least
 * one element.  Lower bounds other than 1 are ignored.  NaN and infinity are
 * no errors here: arithmetic knows what to do with them.
 */
#include "postgres.h"

#include "access/tupmacs.h"
#include "am/source.h"
#include "catalog/pg_type_d.h"
#include "compat.h"
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
ann_source_dimension_mismatch(int dim_a, int dim_b)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("vectors of %d and %d dimensions have no distance", dim_a, dim_b),
			 errdetail("Both vectors must have the same number of elements."),
			 errhint("Keep other lengths out of the column by CHECK (cardinality(vec) = %d), "
					 "or out of the query by a condition on cardinality.", dim_b)));
}
