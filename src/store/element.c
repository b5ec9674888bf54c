/*
 * element.c
 *	  Elements: made of vectors, and measured.
 *
 * An element that was rounded knows how much: 'error' is an upper bound of the
 * distance between its vector and the row's (both less the centre, where there
 * is one), so that distances come as intervals.  The SQL operator computes in
 * double, on the row's own vector, and rounds as well; its rounding is within the
 * intervals, too.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "algo/centre.h"
#include "algo/distance.h"
#include "algo/scalar.h"
#include "store/element.h"

/* Vectors are encoded and compared in parts of so many dimensions. */
#define PART_DIMENSIONS 256

/*
 * A bound of the relative rounding error of a sum over 'dim' products of the
 * same sign, of two such sums, and of what is done with them.
 */
#define SUM_ROUNDING(dim) (((dim) + 32) * DBL_EPSILON)

/* Where squares may be lost to underflow, or sums to overflow. */
#define LOST_SQUARES(dim) ((dim) * 1e-161)
#define MAX_EXACT_DISTANCE 1e154
#define MIN_EXACT_NORM2 1e-290
#define MAX_EXACT_NORM2 1e290


/* ---- Encoding ----------------------------------------------------------- */

/*
 * Are vectors stored less the centre?  Those that keep the precision of the table
 * are not: their distances are to be the operator's to the last bit.
 */
static bool
is_centred(const AnnIndex *index)
{
	return index->centre != NULL &&
		(index->meta.scalar == ANN_SCALAR_F16 || index->meta.scalar == ANN_SCALAR_I8);
}

/* A part of a vector as floats: the vector itself, or rounded to 'room'. */
static const float *
part_floats(const void *vector, bool is_double, int start, int count, float *room)
{
	if (!is_double)
		return (const float *) vector + start;
	ann_f32_encode((const double *) vector + start, count, room);
	return room;
}

/* The exponent that a vector is to be stored with. */
static int
choose_exponent(AnnScalar scalar, const void *vector, bool is_double, int dim)
{
	float		room[PART_DIMENSIONS];
	float		max = 0;

	if (scalar != ANN_SCALAR_F16 && scalar != ANN_SCALAR_I8)
		return 0;
	for (int start = 0; start < dim; start += PART_DIMENSIONS)
	{
		int			count = Min(dim - start, PART_DIMENSIONS);
		float		part_max = ann_max_abs(part_floats(vector, is_double, start,
													   count, room), count);

		max = Max(max, part_max);
	}
	return scalar == ANN_SCALAR_F16 ? ann_f16_exponent(max) : ann_i8_exponent(max);
}

/* Store 'count' dimensions from 'start' on. */
static void
encode_part(AnnScalar scalar, const void *vector, bool is_double, int start,
			int count, AnnElement *element)
{
	float		room[PART_DIMENSIONS];
	const float *x;

	if (scalar == ANN_SCALAR_F64 && is_double)
	{
		memcpy((float8 *) element->vector + start, (const float8 *) vector + start,
			   sizeof(float8) * count);
		return;
	}
	x = part_floats(vector, is_double, start, count, room);
	switch (scalar)
	{
		case ANN_SCALAR_F64:
			for (int i = 0; i < count; i++)
				((float8 *) element->vector)[start + i] = x[i];
			break;
		case ANN_SCALAR_F32:
			memcpy((float4 *) element->vector + start, x, sizeof(float4) * count);
			break;
		case ANN_SCALAR_F16:
			ann_f16_encode(x, count, element->exponent,
						   (AnnHalf *) element->vector + start);
			break;
		case ANN_SCALAR_I8:
			ann_i8_encode(x, count, element->exponent,
						  (int8_t *) element->vector + start);
			break;
		case ANN_SCALAR_NONE:
			break;
	}
}

/*
 * 'count' dimensions from 'start' on, as floats: where they are stored as such,
 * or decoded to 'room'.
 */
static const float *
decode_part(AnnScalar scalar, const AnnElement *element, int start, int count,
			float *room)
{
	switch (scalar)
	{
		case ANN_SCALAR_F64:
			ann_f32_encode((const double *) element->vector + start, count, room);
			break;
		case ANN_SCALAR_F32:
			return (const float *) element->vector + start;
		case ANN_SCALAR_F16:
			ann_f16_decode((const AnnHalf *) element->vector + start, count,
						   element->exponent, room);
			break;
		case ANN_SCALAR_I8:
			ann_i8_decode((const int8_t *) element->vector + start, count,
						  element->exponent, room);
			break;
		case ANN_SCALAR_NONE:
			elog(ERROR, "an element without vector was read");
	}
	return room;
}

void
ann_element_floats(const AnnIndex *index, const AnnElement *element, float *result)
{
	AnnScalar	scalar = index->meta.scalar;
	int			dim = index->meta.dim;
	const float *floats;

	if (index->centre != NULL && !is_centred(index))
	{
		ann_centred_floats(element->vector, scalar == ANN_SCALAR_F64, index->centre, dim,
						   result);
		return;
	}
	floats = decode_part(scalar, element, 0, dim, result);
	if (floats != result)
		memcpy(result, floats, sizeof(float) * dim);
}


/* ---- Rounding errors ---------------------------------------------------- */

/* How a row's vector x and the stored one s lie to one another. */
typedef struct Rounding
{
	bool		exact;			/* equal in every dimension */
	double		difference2;	/* |x - s|^2 */
	double		row2;			/* |x|^2 */
	double		stored2;		/* |s|^2 */
} Rounding;

/* Squares of tiny differences may be zero though the differences are not. */
static bool
all_equal(const float *stored, const double *x, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (stored[i] != x[i])
			return false;
	}
	return true;
}

static void
measure_rounding(const AnnIndex *index, const void *vector, bool is_double,
				 const AnnElement *element, Rounding *r)
{
	AnnPair		mixed = is_double ? ANN_PAIR_F32_F64 : ANN_PAIR_F32_F32;
	AnnPair		row = is_double ? ANN_PAIR_F64_F64 : ANN_PAIR_F32_F32;
	Size		size = is_double ? sizeof(double) : sizeof(float);

	r->exact = true;
	r->difference2 = r->row2 = r->stored2 = 0;
	for (int start = 0; start < (int) index->meta.dim; start += PART_DIMENSIONS)
	{
		float		room[PART_DIMENSIONS];
		int			count = Min((int) index->meta.dim - start, PART_DIMENSIONS);
		const char *x = (const char *) vector + start * size;
		const float *s = decode_part(index->meta.scalar, element, start, count, room);
		double		difference2 = ann_kernels->pair[mixed].l2sq(s, x, count);

		if (difference2 != 0 ||
			(is_double && !all_equal(s, (const double *) x, count)))
			r->exact = false;
		r->difference2 += difference2;
		if (index->meta.metric == ANN_METRIC_L2)
			continue;
		r->row2 += ann_kernels->pair[row].ip(x, x, count);
		r->stored2 += ann_kernels->pair[ANN_PAIR_F32_F32].ip(s, s, count);
	}
}

/* The next float that is not below. */
static float
round_up(double value)
{
	float		result = value > FLT_MAX ? INFINITY : (float) value;

	return result < value ? nextafterf(result, INFINITY) : result;
}

/*
 * AnnElement.error.  Under inner product and cosine it covers the rounding of
 * the operator and of ann_element_distance as well, which is relative to the
 * norms and not to the distance.
 *
 * For directions: |x - s|^2 = (|x| - |s|)^2 + |x||s| |x/|x| - s/|s||^2.
 */
static float
error_bound(const AnnIndex *index, const Rounding *r)
{
	double		rounding = SUM_ROUNDING(index->meta.dim);
	double		error;

	if (r->exact)
		return 0;
	error = sqrt(r->difference2) * (1 + rounding) + LOST_SQUARES(index->meta.dim);
	switch ((AnnMetric) index->meta.metric)
	{
		case ANN_METRIC_L2:
			break;
		case ANN_METRIC_IP:
			error += (sqrt(r->row2) + sqrt(r->stored2)) * rounding;
			break;
		case ANN_METRIC_COSINE:
			/* no two directions are further apart than 2 */
			if (!(Min(r->row2, r->stored2) >= MIN_EXACT_NORM2 &&
				  Max(r->row2, r->stored2) <= MAX_EXACT_NORM2))
				return 2;
			error = error / sqrt(sqrt(r->row2) * sqrt(r->stored2)) * (1 + rounding);
			error = Min(error + rounding, 2);
			break;
	}
	return round_up(error);
}

/* Store a vector as it is. */
static void
store_vector(const AnnIndex *index, const void *vector, bool is_double,
			 AnnElement *element)
{
	AnnScalar	scalar = index->meta.scalar;
	int			dim = index->meta.dim;
	Rounding	rounding;

	element->exponent = choose_exponent(scalar, vector, is_double, dim);
	for (int start = 0; start < dim; start += PART_DIMENSIONS)
		encode_part(scalar, vector, is_double, start,
					Min(dim - start, PART_DIMENSIONS), element);
	if (scalar == ANN_SCALAR_F64 || (scalar == ANN_SCALAR_F32 && !is_double))
		return;
	measure_rounding(index, vector, is_double, element, &rounding);
	element->error = error_bound(index, &rounding);
}

/* Store a vector less the centre, as floats, which may be rounded then. */
static void
store_centred(const AnnIndex *index, const void *vector, bool is_double,
			  AnnElement *element)
{
	int			dim = index->meta.dim;
	float	   *floats = palloc(sizeof(float) * dim);
	double		error;

	ann_centred_floats(vector, is_double, index->centre, dim, floats);
	error = ann_centred_error(vector, is_double, index->centre, dim, floats);
	store_vector(index, floats, false, element);
	if (error > 0)
		element->error = round_up((element->error + error) * (1 + DBL_EPSILON));
	pfree(floats);
}

void
ann_element_make(const AnnIndex *index, const void *vector, bool is_double,
				 AnnElement *element)
{
	memset(element, 0, index->element_size);
	ItemPointerSetInvalid(&element->heap);
	ItemPointerSetInvalid(&element->more.head);
	ItemPointerSetInvalid(&element->more.tail);
	if (is_centred(index))
		store_centred(index, vector, is_double, element);
	else if (index->meta.scalar != ANN_SCALAR_NONE)
		store_vector(index, vector, is_double, element);
}


/* ---- Distances ---------------------------------------------------------- */

/* Where elements are less the centre, so is the query. */
static void
centre_query(const AnnIndex *index, AnnQuery *query)
{
	double	   *centred;

	query->centred = NULL;
	query->error = 0;
	if (!is_centred(index))
		return;
	centred = palloc(sizeof(double) * query->dim);
	query->error = ann_centred_doubles(query->values, index->centre, query->dim, centred);
	query->centred = centred;
}

AnnQuery *
ann_query_make(const AnnIndex *index, const double *values)
{
	AnnQuery   *query = palloc(sizeof(AnnQuery));
	AnnCosineParts parts;

	/* by the kernel of the operator, so that it is zero where it is there */
	ann_kernels->pair[ANN_PAIR_F64_F64].cosine(values, values, index->meta.dim, &parts);
	query->metric = index->meta.metric;
	query->dim = index->meta.dim;
	query->values = values;
	query->norm = sqrt(parts.bb);
	query->decoded = palloc(sizeof(float) * query->dim);
	centre_query(index, query);
	return query;
}

/* The operators' own formulas. */
double
ann_query_distance(const AnnQuery *query, const void *vector, bool is_double)
{
	AnnPair		pair = is_double ? ANN_PAIR_F64_F64 : ANN_PAIR_F32_F64;
	const AnnPairKernels *kernels = &ann_kernels->pair[pair];
	AnnCosineParts parts;

	switch (query->metric)
	{
		case ANN_METRIC_L2:
			return sqrt(kernels->l2sq(vector, query->values, query->dim));
		case ANN_METRIC_COSINE:
			kernels->cosine(vector, query->values, query->dim, &parts);
			return ann_cosine_from_parts(&parts);
		case ANN_METRIC_IP:
			break;
	}
	return 0.0 - kernels->ip(vector, query->values, query->dim);
}

/* The distance of the stored vector. */
static double
stored_distance(const AnnIndex *index, const AnnQuery *query,
				const AnnElement *element)
{
	const float *stored;

	if (index->meta.scalar == ANN_SCALAR_F64)
		return ann_query_distance(query, element->vector, true);
	stored = decode_part(index->meta.scalar, element, 0, query->dim, query->decoded);
	if (query->centred != NULL)
		return sqrt(ann_kernels->pair[ANN_PAIR_F32_F64].l2sq(stored, query->centred,
															 query->dim));
	return ann_query_distance(query, stored, false);
}

/*
 * The operator's distance of a row that is at most 'error' from a stored vector
 * of distance d.  Squares that overflow or underflow are lost to either, so
 * that distances that large or small prove less.
 */
static void
l2_interval(const AnnQuery *query, double d, double error, double *low, double *high)
{
	double		rounding = SUM_ROUNDING(query->dim);
	double		lost = LOST_SQUARES(query->dim);

	*low = Max(Min(d, MAX_EXACT_DISTANCE) * (1 - rounding) - error - lost, 0);
	*high = (d + error) * (1 + 2 * rounding) + lost;
	if (*high > MAX_EXACT_DISTANCE)
		*high = INFINITY;
}

static void
cosine_interval(const AnnQuery *query, double d, double error, double *low, double *high)
{
	if (!(query->norm > 0 && query->norm <= DBL_MAX))
	{
		*low = *high = NAN;
		return;
	}

	/* d is NaN where all of the row was rounded to zero; error is 2 then */
	if (query->norm < sqrt(MIN_EXACT_NORM2) || query->norm > sqrt(MAX_EXACT_NORM2) ||
		isnan(d))
		error = d = 2;
	*low = Max(d - error, 0);
	*high = Min(d + error, 2);
}

static void
ip_interval(const AnnQuery *query, double d, double error, double *low, double *high)
{
	double		norm = query->norm * (1 + SUM_ROUNDING(query->dim)) +
		LOST_SQUARES(query->dim);
	double		radius = norm * error + DBL_MIN;

	if (!(radius <= DBL_MAX) || !(fabs(d) <= DBL_MAX))
	{
		*low = -INFINITY;
		*high = INFINITY;
		return;
	}
	*low = d - radius;
	*high = d + radius;
}

void
ann_element_distance(const AnnIndex *index, const AnnQuery *query,
					 const AnnElement *element, double *low, double *high)
{
	double		d = stored_distance(index, query, element);
	double		error = element->error + query->error;

	if (error == 0)
		*low = *high = d;
	else if (query->metric == ANN_METRIC_L2)
		l2_interval(query, d, error, low, high);
	else if (query->metric == ANN_METRIC_COSINE)
		cosine_interval(query, d, error, low, high);
	else
		ip_interval(query, d, error, low, high);
}
