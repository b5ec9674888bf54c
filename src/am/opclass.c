/*
 * opclass.c
 *	  Operator classes: what they say of an index, and whether they are sound.
 */
#include "postgres.h"

#include "access/amvalidate.h"
#include "access/htup_details.h"
#include "am/method.h"
#include "am/opclass.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_amproc.h"
#include "catalog/pg_language_d.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

/* Types that a query may have: see operators.c, which compares them all. */
static const Oid query_types[] = {
	FLOAT4ARRAYOID, FLOAT8ARRAYOID, NUMERICARRAYOID,
	INT4ARRAYOID, INT8ARRAYOID, INT2ARRAYOID
};

/* A C function of operators.c or ball.c, and the metric that it computes. */
typedef struct MetricSymbol
{
	const char *symbol;
	AnnMetric	metric;
} MetricSymbol;

static const MetricSymbol distances[] = {
	{"ann_l2_distance", ANN_METRIC_L2},
	{"ann_cosine_distance", ANN_METRIC_COSINE},
	{"ann_negative_inner_product", ANN_METRIC_IP}
};

static const MetricSymbol balls[] = {
	{"ann_in_l2_ball", ANN_METRIC_L2},
	{"ann_in_cosine_ball", ANN_METRIC_COSINE},
	{"ann_in_ip_ball", ANN_METRIC_IP}
};

StaticAssertDecl(lengthof(distances) == lengthof(balls), "a ball for each distance");

/* The metric of an SQL function if it is one of these, else ANN_NO_METRIC. */
static AnnMetric
look_up_metric(Oid function, const MetricSymbol *metrics)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	AnnMetric	result = ANN_NO_METRIC;
	Datum		source;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		return ANN_NO_METRIC;

	source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull);
	if (((Form_pg_proc) GETSTRUCT(tuple))->prolang == ClanguageId && !isnull)
	{
		char	   *symbol = TextDatumGetCString(source);

		for (int i = 0; i < lengthof(distances); i++)
			if (strcmp(symbol, metrics[i].symbol) == 0)
				result = metrics[i].metric;
		pfree(symbol);
	}
	ReleaseSysCache(tuple);
	return result;
}

AnnMetric
ann_function_metric(Oid function)
{
	return look_up_metric(function, distances);
}

static bool
is_column_type(Oid type)
{
	return type == FLOAT4ARRAYOID || type == FLOAT8ARRAYOID;
}

static bool
is_query_type(Oid type)
{
	for (int i = 0; i < lengthof(query_types); i++)
		if (query_types[i] == type)
			return true;
	return false;
}

AnnOpclass
ann_opclass(Relation index)
{
	AnnOpclass	result;
	Oid			type = index->rd_opcintype[0];

	result.metric = ann_function_metric(index_getprocid(index, 1, ANN_DISTANCE_PROC));
	result.is_double = (type == FLOAT8ARRAYOID);
	if (result.metric == ANN_NO_METRIC || !is_column_type(type))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("operator class of index \"%s\" has no distance that the index could compute",
						RelationGetRelationName(index)),
				 is_column_type(type) ?
				 errdetail("Its support function %d is not a distance of the extension ann.",
						   ANN_DISTANCE_PROC) :
				 errdetail("It is for the type %s.", format_type_be(type)),
				 errhint("Use an operator class that comes with the extension, for example real_l2_ops.")));
	return result;
}

bool
ann_is_index(Relation index)
{
	/* no two methods of others share a validator of ours */
	return index->rd_indam != NULL && index->rd_indam->amvalidate == ann_validate;
}

/* The function that makes a ball has the name and schema of its type. */
static Oid
find_ball_function(Oid ball)
{
	const Oid	types[] = {FLOAT8ARRAYOID, FLOAT8OID};
	oidvector  *arguments = buildoidvector(types, lengthof(types));
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(ball));
	Form_pg_type type;
	Oid			result;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	type = (Form_pg_type) GETSTRUCT(tuple);

	/* without asking whether the user may look into the schema: he need not name it */
	result = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
							 CStringGetDatum(NameStr(type->typname)),
							 PointerGetDatum(arguments),
							 ObjectIdGetDatum(type->typnamespace));
	ReleaseSysCache(tuple);
	pfree(arguments);
	if (OidIsValid(result) && get_func_rettype(result) != ball)
		return InvalidOid;
	return result;
}

bool
ann_opclass_range(Oid family, Oid type, AnnRange *range)
{
	CatCList   *operators = SearchSysCacheList2(AMOPSTRATEGY, ObjectIdGetDatum(family),
												ObjectIdGetDatum(type));

	range->metric = ann_function_metric(get_opfamily_proc(family, type, type,
														  ANN_DISTANCE_PROC));
	range->oper = InvalidOid;
	for (int i = 0; i < operators->n_members; i++)
	{
		Form_pg_amop member = (Form_pg_amop) GETSTRUCT(&operators->members[i]->tuple);

		if (member->amopstrategy != ANN_RANGE_STRATEGY)
			continue;
		range->oper = member->amopopr;
		range->ball = member->amoprighttype;
	}
	ReleaseCatCacheList(operators);
	if (range->metric == ANN_NO_METRIC || !OidIsValid(range->oper))
		return false;
	range->make_ball = find_ball_function(range->ball);
	return OidIsValid(range->make_ball);
}

/* What is being validated, and what is known of it. */
typedef struct Validation
{
	const char *method;
	const char *opclass;
	const char *family;
	Oid			type;			/* the column's */
	AnnMetric	metric;			/* by the support function, or ANN_NO_METRIC */
	bool		has_operator;	/* distance of two values of the column's type */
	bool		valid;
} Validation;

/* Report that a member of the family is at fault; 'fault' is a sentence. */
static void
complain_of_member(Validation *v, const char *member, const char *fault)
{
	v->valid = false;
	ereport(INFO,
			(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
			 errmsg("operator family \"%s\" of access method %s contains invalid member %s",
					v->family, v->method, member),
			 errdetail_internal("%s", fault)));
}

/* What is wrong with a support function; NULL if nothing. */
static const char *
find_function_fault(Form_pg_amproc member, AnnMetric metric)
{
	Oid			type = member->amproclefttype;

	if (member->amprocnum != ANN_DISTANCE_PROC)
		return "The method has no support function of this number.";
	if (member->amprocrighttype != type)
		return "A support function must have equal left and right input types.";
	if (!check_amproc_signature(member->amproc, FLOAT8OID, true, 2, 2, type, type))
		return "The support function must take two values of the column's type, and return double precision.";
	if (metric == ANN_NO_METRIC)
		return "The support function must be a distance of the extension ann.";
	return NULL;
}

static void
validate_function(Validation *v, Form_pg_amproc member)
{
	AnnMetric	metric = ann_function_metric(member->amproc);
	const char *fault = find_function_fault(member, metric);

	if (fault != NULL)
		complain_of_member(v, format_procedure(member->amproc), fault);
	else if (member->amproclefttype == v->type)
		v->metric = metric;
}

/*
 * What is wrong with an operator; NULL if nothing.  'metric' is that of the
 * operator class, or ANN_NO_METRIC if it has none.
 */
static const char *
find_distance_fault(Form_pg_amop member, AnnMetric metric)
{
	Oid			float_ops = get_opclass_family(GetDefaultOpClass(FLOAT8OID, BTREE_AM_OID));

	if (member->amoppurpose != AMOP_ORDER)
		return "The method can order by operators of this strategy, but not search by them.";
	if (member->amopsortfamily != float_ops)
		return "Distances must be sorted by the operator family float_ops.";
	if (!check_amop_signature(member->amopopr, FLOAT8OID,
							  member->amoplefttype, member->amoprighttype))
		return "The operator must have the types of its entry, and return double precision.";
	if (!is_column_type(member->amoplefttype) || !is_query_type(member->amoprighttype))
		return "The method does not support these types.";
	if (metric != ANN_NO_METRIC &&
		ann_function_metric(get_opcode(member->amopopr)) != metric)
		return "The operator must measure the same as the support function.";
	return NULL;
}

/* The same of one that searches balls. */
static const char *
find_range_fault(Form_pg_amop member, AnnMetric metric)
{
	AnnMetric	ball = look_up_metric(get_opcode(member->amopopr), balls);

	if (member->amoppurpose != AMOP_SEARCH)
		return "The method can search by operators of this strategy, but not order by them.";
	if (!check_amop_signature(member->amopopr, BOOLOID,
							  member->amoplefttype, member->amoprighttype))
		return "The operator must have the types of its entry, and return boolean.";
	if (!is_column_type(member->amoplefttype) || ball == ANN_NO_METRIC)
		return "The method does not support these types.";
	if (metric != ANN_NO_METRIC && ball != metric)
		return "The operator must measure the same as the support function.";
	return NULL;
}

static const char *
find_operator_fault(Form_pg_amop member, AnnMetric metric)
{
	switch (member->amopstrategy)
	{
		case ANN_DISTANCE_STRATEGY:
			return find_distance_fault(member, metric);
		case ANN_RANGE_STRATEGY:
			return find_range_fault(member, metric);
		default:
			return "The method has no strategy of this number.";
	}
}

/* Must come after the support function, which tells the metric. */
static void
validate_operator(Validation *v, Form_pg_amop member)
{
	const char *fault = find_operator_fault(member, v->metric);

	if (fault != NULL)
		complain_of_member(v, format_operator(member->amopopr), fault);
	else if (member->amoplefttype == v->type && member->amoprighttype == v->type)
		v->has_operator = true;
}

static void
validate_members(Validation *v, Oid family)
{
	CatCList   *functions = SearchSysCacheList1(AMPROCNUM, ObjectIdGetDatum(family));
	CatCList   *operators = SearchSysCacheList1(AMOPSTRATEGY, ObjectIdGetDatum(family));

	for (int i = 0; i < functions->n_members; i++)
		validate_function(v, (Form_pg_amproc) GETSTRUCT(&functions->members[i]->tuple));
	for (int i = 0; i < operators->n_members; i++)
		validate_operator(v, (Form_pg_amop) GETSTRUCT(&operators->members[i]->tuple));

	ReleaseCatCacheList(operators);
	ReleaseCatCacheList(functions);
}

/* What the operator class itself must have. */
static void
validate_completeness(Validation *v)
{
	const char *fault;

	if (!is_column_type(v->type))
		fault = "The method does not support its type.";
	else if (v->metric == ANN_NO_METRIC)
		fault = "It has no valid support function.";
	else if (!v->has_operator)
		fault = "It has no valid operator for two values of its type.";
	else
		return;

	v->valid = false;
	ereport(INFO,
			(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
			 errmsg("operator class \"%s\" of access method %s is invalid",
					v->opclass, v->method),
			 errdetail_internal("%s", fault)));
}

bool
ann_validate(Oid opclass)
{
	Validation	v = {.metric = ANN_NO_METRIC, .has_operator = false, .valid = true};
	HeapTuple	class_tuple;
	HeapTuple	family_tuple;
	Form_pg_opclass class_form;
	Form_pg_opfamily family_form;

	class_tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclass));
	if (!HeapTupleIsValid(class_tuple))
		elog(ERROR, "cache lookup failed for operator class %u", opclass);
	class_form = (Form_pg_opclass) GETSTRUCT(class_tuple);
	family_tuple = SearchSysCache1(OPFAMILYOID, ObjectIdGetDatum(class_form->opcfamily));
	if (!HeapTupleIsValid(family_tuple))
		elog(ERROR, "cache lookup failed for operator family %u", class_form->opcfamily);
	family_form = (Form_pg_opfamily) GETSTRUCT(family_tuple);

	v.method = get_am_name(class_form->opcmethod);
	v.opclass = NameStr(class_form->opcname);
	v.family = NameStr(family_form->opfname);
	v.type = class_form->opcintype;
	validate_members(&v, class_form->opcfamily);
	validate_completeness(&v);

	ReleaseSysCache(family_tuple);
	ReleaseSysCache(class_tuple);
	return v.valid;
}
