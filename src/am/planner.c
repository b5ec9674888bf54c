/*
 * planner.c
 *	  What the planner is told about our functions.
 *
 * Core prices a function by procost alone and knows nothing of TOAST, so that
 * a distance over long vectors would look as cheap as an addition.
 */
#include "postgres.h"

#include <math.h>

#include "access/detoast.h"
#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "am/source.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type_d.h"
#include "compat.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "nodes/supportnodes.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

/* Dimensions assumed where nothing is known. */
#define DEFAULT_DIMENSIONS 256

/* Dimensions that cost as much as one cheap operator. */
#define DIMENSIONS_PER_OPERATOR 64

/* As selfuncs.c: CPU cost of one page of an index descent, in operators. */
#define PAGE_CPU_MULTIPLIER 50

/* Bytes of an array of so many elements of this type. */
static double
array_width(double dim, Oid arraytype)
{
	return ARR_OVERHEAD_NONULLS(1) +
		dim * (arraytype == FLOAT8ARRAYOID ? sizeof(float8) : sizeof(float4));
}

/*
 * Bytes of TOAST per row of a table, 0 if unknown.  A column whose values are
 * stored out of line is sized by it: statistics know the width of the pointers
 * only, and ANALYZE of long vectors is so slow that users are advised to
 * switch it off.
 */
static double
toast_bytes_per_row(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	double		rows = 0;
	double		pages = 0;
	Oid			toastrelid = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		rows = ((Form_pg_class) GETSTRUCT(tuple))->reltuples;
		toastrelid = ((Form_pg_class) GETSTRUCT(tuple))->reltoastrelid;
		ReleaseSysCache(tuple);
	}
	if (OidIsValid(toastrelid))
	{
		tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(toastrelid));
		if (HeapTupleIsValid(tuple))
		{
			pages = ((Form_pg_class) GETSTRUCT(tuple))->relpages;
			ReleaseSysCache(tuple);
		}
	}
	return rows > 0 ? pages * BLCKSZ / rows : 0;
}

/* Where a column keeps long values: pg_attribute.attstorage. */
static char
column_storage(Oid relid, AttrNumber attno)
{
	HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid),
										Int16GetDatum(attno));
	char		storage = TYPSTORAGE_EXTENDED;

	if (HeapTupleIsValid(tuple))
	{
		storage = ((Form_pg_attribute) GETSTRUCT(tuple))->attstorage;
		ReleaseSysCache(tuple);
	}
	return storage;
}

/* What an operand of a distance is, as far as the planner can see. */
typedef struct Operand
{
	double		dim;			/* 0: unknown */
	Oid			type;
	bool		toastable;		/* a column whose long values are toasted */
} Operand;

static void
examine_const(Const *c, Operand *o)
{
	ArrayType  *array;

	if (c->constisnull)
		return;
	array = DatumGetArrayTypeP(c->constvalue);
	o->dim = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	if ((Pointer) array != DatumGetPointer(c->constvalue))
		pfree(array);
}

static void
examine_var(PlannerInfo *root, Var *var, Operand *o)
{
	RangeTblEntry *rte;
	double		width;
	char		storage;

	if (root == NULL || var->varlevelsup != 0 ||
		var->varno >= root->simple_rel_array_size || IS_SPECIAL_VARNO(var->varno))
		return;
	rte = root->simple_rte_array[var->varno];
	if (rte == NULL || rte->rtekind != RTE_RELATION || var->varattno <= 0)
		return;

	storage = column_storage(rte->relid, var->varattno);
	o->toastable = (storage == TYPSTORAGE_EXTENDED || storage == TYPSTORAGE_EXTERNAL);
	width = get_attavgwidth(rte->relid, var->varattno);
	if (width <= TOAST_POINTER_SIZE)
		width = toast_bytes_per_row(rte->relid);
	if (width > 0)
		o->dim = Max(1, (width - array_width(0, o->type)) /
					 (array_width(1, o->type) - array_width(0, o->type)));
}

static Operand
examine_operand(PlannerInfo *root, Node *node)
{
	Operand		o = {0, exprType(node), false};

	while (IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	o.type = getBaseType(o.type);
	if (IsA(node, Const) && OidIsValid(get_element_type(o.type)))
		examine_const((Const *) node, &o);
	else if (IsA(node, Var))
		examine_var(root, (Var *) node, &o);
	return o;
}

/*
 * Cost of fetching one value of so many bytes out of line: a descent of the
 * TOAST table's index, its chunks, and its share of the table's pages, which
 * a scan reads about in order.
 */
static Cost
detoast_cost(double width)
{
	double		chunks = ceil(width / TOAST_MAX_CHUNK_SIZE);

	return 2 * PAGE_CPU_MULTIPLIER * cpu_operator_cost +
		chunks * (cpu_index_tuple_cost + cpu_tuple_cost) +
		seq_page_cost * width / BLCKSZ;
}

/*
 * Cost of one call with these arguments.  The number of dimensions is best
 * known from a constant, as both operands must have the same; else from what
 * is known of a column.
 */
static Cost
distance_cost(PlannerInfo *root, List *args)
{
	Operand		operands[2];
	int			n = 0;
	double		dim = 0;
	Cost		cost;
	ListCell   *lc;

	foreach(lc, args)
	{
		Node	   *arg = lfirst(lc);

		if (n == lengthof(operands))
			break;
		operands[n] = examine_operand(root, arg);
		if (operands[n].dim > 0 && (dim == 0 || IsA(arg, Const)))
			dim = operands[n].dim;
		n++;
	}
	if (dim == 0)
		dim = DEFAULT_DIMENSIONS;

	cost = cpu_operator_cost * (1 + dim / DIMENSIONS_PER_OPERATOR);
	for (int i = 0; i < n; i++)
	{
		double		width = array_width(dim, operands[i].type);

		if (operands[i].toastable && width > TOAST_TUPLE_THRESHOLD)
			cost += detoast_cost(width);
	}
	return cost;
}

PG_FUNCTION_INFO_V1(ann_distance_support);

/* Planner support of the distances and norms: SupportRequestCost. */
Datum
ann_distance_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);
	SupportRequestCost *cost;
	List	   *args = NIL;

	if (!IsA(request, SupportRequestCost))
		PG_RETURN_POINTER(NULL);

	cost = (SupportRequestCost *) request;
	if (cost->node != NULL && IsA(cost->node, OpExpr))
		args = ((OpExpr *) cost->node)->args;
	else if (cost->node != NULL && IsA(cost->node, FuncExpr))
		args = ((FuncExpr *) cost->node)->args;
	cost->startup = 0;
	cost->per_tuple = distance_cost(cost->root, args);
	PG_RETURN_POINTER(cost);
}
