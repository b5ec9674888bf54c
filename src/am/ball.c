/*
 * ball.c
 *	  Balls: made, taken apart, and asked whether a vector is in them.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "am/ball.h"
#include "am/source.h"
#include "catalog/pg_type_d.h"
#include "compat.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"
#include "utils/typcache.h"

/* The fields of a ball. */
#define CENTRE 0
#define RADIUS 1
#define NUM_FIELDS 2

/* The C functions of operators.c, which are SQL's, too. */
extern Datum ann_l2_distance(PG_FUNCTION_ARGS);
extern Datum ann_cosine_distance(PG_FUNCTION_ARGS);
extern Datum ann_negative_inner_product(PG_FUNCTION_ARGS);

/* An ALTER TYPE may have changed the fields. */
static void
check_fields(TupleDesc desc)
{
	if (desc->natts == NUM_FIELDS &&
		TupleDescAttr(desc, CENTRE)->atttypid == FLOAT8ARRAYOID &&
		TupleDescAttr(desc, RADIUS)->atttypid == FLOAT8OID)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("type %s is not a ball", format_type_be(desc->tdtypeid)),
			 errdetail("A ball has two fields, of the types double precision[] and double precision."),
			 errhint("Use the types of the extension ann as they are.")));
}

bool
ann_ball_read(Datum datum, AnnBall *ball)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(datum);
	TupleDesc	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header),
											  HeapTupleHeaderGetTypMod(header));
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(header), .t_data = header};
	bool		centre_is_null,
				radius_is_null;
	Datum		radius;

	check_fields(desc);
	ball->centre = heap_getattr(&tuple, CENTRE + 1, desc, &centre_is_null);
	radius = heap_getattr(&tuple, RADIUS + 1, desc, &radius_is_null);
	ReleaseTupleDesc(desc);
	if (centre_is_null || radius_is_null)
		return false;
	ball->radius = DatumGetFloat8(radius);
	return true;
}

PG_FUNCTION_INFO_V1(ann_ball);

/* l2_ball(centre, radius), and its siblings: the result type tells which. */
Datum
ann_ball(PG_FUNCTION_ARGS)
{
	ArrayType  *centre = PG_GETARG_ARRAYTYPE_P(0);
	Datum		values[NUM_FIELDS] = {PointerGetDatum(centre), PG_GETARG_DATUM(1)};
	bool		nulls[NUM_FIELDS] = {false, false};
	TupleDesc	desc;

	ann_source_check(centre);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "function that makes balls does not return a composite type");
	check_fields(desc);
	return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
}

/* Is the vector in the first argument in the ball in the second? */
static Datum
is_in_ball(FunctionCallInfo fcinfo, PGFunction distance)
{
	AnnBall		ball;

	if (!ann_ball_read(PG_GETARG_DATUM(1), &ball))
		PG_RETURN_NULL();
	PG_RETURN_BOOL(float8_le(DatumGetFloat8(DirectFunctionCall2(distance, PG_GETARG_DATUM(0),
																ball.centre)),
							 ball.radius));
}

PG_FUNCTION_INFO_V1(ann_in_l2_ball);

/* vector <@~ l2_ball */
Datum
ann_in_l2_ball(PG_FUNCTION_ARGS)
{
	return is_in_ball(fcinfo, ann_l2_distance);
}

PG_FUNCTION_INFO_V1(ann_in_cosine_ball);

/* vector <@~ cosine_ball */
Datum
ann_in_cosine_ball(PG_FUNCTION_ARGS)
{
	return is_in_ball(fcinfo, ann_cosine_distance);
}

PG_FUNCTION_INFO_V1(ann_in_ip_ball);

/* vector <@~ ip_ball */
Datum
ann_in_ip_ball(PG_FUNCTION_ARGS)
{
	return is_in_ball(fcinfo, ann_negative_inner_product);
}

bool
ann_is_ball_key(const ScanKeyData *key)
{
	PGFunction	function = key->sk_func.fn_addr;

	return function == ann_in_l2_ball || function == ann_in_cosine_ball ||
		function == ann_in_ip_ball;
}
