/*
 * operators.c
 *	  The SQL functions: distances, norms, normalisation.
 *
 * One C function serves a distance in all its signatures: the arrays tell
 * their element types.  Arrays of real and of double precision go to the
 * kernels as they are.  Other numbers are converted to double first, which
 * takes long for numeric; as that operand is the query, the same for every
 * row, the conversion is kept from call to call.
 */
#include "postgres.h"

#include <math.h>

#include "algo/distance.h"
#include "am/source.h"
#include "catalog/pg_type_d.h"
#include "compat.h"
#include "utils/builtins.h"

/* A converted operand of an earlier call, and the bytes that it came from. */
typedef struct Conversion
{
	ArrayType  *source;			/* NULL: none yet */
	double	   *values;
} Conversion;

/* In fn_extra: one for each argument. */
typedef struct ConversionCache
{
	Conversion	argument[2];
} ConversionCache;

static Conversion *
get_conversion(FmgrInfo *flinfo, int argno)
{
	if (flinfo->fn_extra == NULL)
		flinfo->fn_extra = MemoryContextAllocZero(flinfo->fn_mcxt,
												  sizeof(ConversionCache));
	return &((ConversionCache *) flinfo->fn_extra)->argument[argno];
}

/*
 * The elements of 'array' as doubles, in memory of the calling function's
 * life.  They are compared byte for byte with the last array seen here, since
 * the address of a datum says nothing about its contents.
 */
static const double *
convert_cached(FmgrInfo *flinfo, int argno, ArrayType *array, int dim)
{
	Conversion *c = get_conversion(flinfo, argno);

	if (c->source == NULL || VARSIZE(c->source) != VARSIZE(array) ||
		memcmp(c->source, array, VARSIZE(array)) != 0)
	{
		if (c->source != NULL)
		{
			pfree(c->source);
			pfree(c->values);
			c->source = NULL;
		}
		c->values = MemoryContextAlloc(flinfo->fn_mcxt, sizeof(double) * dim);
		ann_source_convert(array, dim, c->values);
		c->source = MemoryContextAlloc(flinfo->fn_mcxt, VARSIZE(array));
		memcpy(c->source, array, VARSIZE(array));
	}
	return c->values;
}

/* The vector in an argument, which has been detoasted to 'array'. */
static AnnVector
read_vector(FunctionCallInfo fcinfo, int argno, ArrayType *array)
{
	AnnVector	v;
	int			dim = ann_source_check(array);

	if (ann_source_is_float(ARR_ELEMTYPE(array)))
		return ann_source_wrap(array, dim);

	v.dim = dim;
	v.is_double = true;
	if (fcinfo->flinfo != NULL)
		v.data = convert_cached(fcinfo->flinfo, argno, array, dim);
	else
	{
		double	   *values = palloc(sizeof(double) * dim);

		ann_source_convert(array, dim, values);
		v.data = values;
	}
	return v;
}

/* Both operands of a distance, in the order that 'kernels' take them. */
typedef struct Operands
{
	ArrayType  *array[2];		/* the arguments, detoasted */
	AnnVector	a;
	AnnVector	b;
	const AnnPairKernels *kernels;
} Operands;

static void
read_operands(FunctionCallInfo fcinfo, Operands *o)
{
	AnnPair		pair;

	o->array[0] = PG_GETARG_ARRAYTYPE_P(0);
	o->array[1] = PG_GETARG_ARRAYTYPE_P(1);
	o->a = read_vector(fcinfo, 0, o->array[0]);
	o->b = read_vector(fcinfo, 1, o->array[1]);
	if (o->a.dim != o->b.dim)
		ann_source_dimension_mismatch(o->a.dim, o->b.dim);

	/* every distance is symmetric: the mixed kernels take the float first */
	if (o->a.is_double && !o->b.is_double)
	{
		AnnVector	swap = o->a;

		o->a = o->b;
		o->b = swap;
	}
	if (o->a.is_double)
		pair = ANN_PAIR_F64_F64;
	else if (o->b.is_double)
		pair = ANN_PAIR_F32_F64;
	else
		pair = ANN_PAIR_F32_F32;
	o->kernels = &ann_kernels->pair[pair];
}

/* Free what detoasting made, for callers such as sorts that keep going. */
static void
free_operands(FunctionCallInfo fcinfo, Operands *o)
{
	PG_FREE_IF_COPY(o->array[0], 0);
	PG_FREE_IF_COPY(o->array[1], 1);
}

PG_FUNCTION_INFO_V1(ann_l2_distance);

/* l2_distance(a, b): sqrt(sum (a_i - b_i)^2), accumulated in double. */
Datum
ann_l2_distance(PG_FUNCTION_ARGS)
{
	Operands	o;
	double		result;

	read_operands(fcinfo, &o);
	result = sqrt(o.kernels->l2sq(o.a.data, o.b.data, o.a.dim));
	free_operands(fcinfo, &o);
	PG_RETURN_FLOAT8(result);
}

PG_FUNCTION_INFO_V1(ann_inner_product);

/* inner_product(a, b): sum a_i b_i. */
Datum
ann_inner_product(PG_FUNCTION_ARGS)
{
	Operands	o;
	double		result;

	read_operands(fcinfo, &o);
	result = o.kernels->ip(o.a.data, o.b.data, o.a.dim);
	free_operands(fcinfo, &o);
	PG_RETURN_FLOAT8(result);
}

PG_FUNCTION_INFO_V1(ann_negative_inner_product);

/* negative_inner_product(a, b): the smaller, the more alike. */
Datum
ann_negative_inner_product(PG_FUNCTION_ARGS)
{
	double		ip = DatumGetFloat8(ann_inner_product(fcinfo));

	/* subtracted, since -ip would make -0 of 0 */
	PG_RETURN_FLOAT8(0.0 - ip);
}

PG_FUNCTION_INFO_V1(ann_cosine_distance);

/* cosine_distance(a, b): 1 - cos(a, b); NaN where one of them is zero. */
Datum
ann_cosine_distance(PG_FUNCTION_ARGS)
{
	Operands	o;
	AnnCosineParts parts;

	read_operands(fcinfo, &o);
	o.kernels->cosine(o.a.data, o.b.data, o.a.dim, &parts);
	free_operands(fcinfo, &o);
	PG_RETURN_FLOAT8(ann_cosine_from_parts(&parts));
}

/* The Euclidean norm of a vector. */
static double
norm(const AnnVector *v)
{
	AnnPair		pair = v->is_double ? ANN_PAIR_F64_F64 : ANN_PAIR_F32_F32;

	return sqrt(ann_kernels->pair[pair].ip(v->data, v->data, v->dim));
}

PG_FUNCTION_INFO_V1(ann_l2_norm);

/* l2_norm(a): sqrt(sum a_i^2). */
Datum
ann_l2_norm(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	AnnVector	v = read_vector(fcinfo, 0, array);
	double		result = norm(&v);

	PG_FREE_IF_COPY(array, 0);
	PG_RETURN_FLOAT8(result);
}

/* A one-dimensional array with room for dim elements, not yet filled. */
static ArrayType *
make_array(int dim, bool is_double)
{
	Size		size = ARR_OVERHEAD_NONULLS(1) +
		dim * (is_double ? sizeof(float8) : sizeof(float4));
	ArrayType  *array = palloc0(size);

	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->dataoffset = 0;
	array->elemtype = is_double ? FLOAT8OID : FLOAT4OID;
	ARR_DIMS(array)[0] = dim;
	ARR_LBOUND(array)[0] = 1;
	return array;
}

PG_FUNCTION_INFO_V1(ann_l2_normalize);

/*
 * l2_normalize(a): a / |a|; the zero vector, which has no direction, as it is.
 * An array of real comes back as such, any other as one of double precision.
 */
Datum
ann_l2_normalize(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	AnnVector	v = read_vector(fcinfo, 0, array);
	ArrayType  *result = make_array(v.dim, v.is_double);
	double		length = norm(&v);

	if (length == 0)
		length = 1;
	for (int i = 0; i < v.dim; i++)
	{
		if (v.is_double)
			((float8 *) ARR_DATA_PTR(result))[i] = ((const double *) v.data)[i] / length;
		else
			((float4 *) ARR_DATA_PTR(result))[i] = ((const float *) v.data)[i] / length;
	}
	PG_RETURN_ARRAYTYPE_P(result);
}

PG_FUNCTION_INFO_V1(ann_simd);

/* ann_simd(): the instruction set whose kernels this server uses. */
Datum
ann_simd(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(ann_kernels->name));
}
