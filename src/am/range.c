/*
 * range.c
 *	  Range queries: paths for WHERE distance < radius, and how many rows they
 *	  return.
 *
 * A condition "key <-> query < radius" (or <=, or turned round) becomes an index
 * condition "key <@~ l2_ball(query, radius)".  The user's own condition stays as the
 * filter of the scan, since the ball has its surface, too.
 *
 * Core takes any such condition to be true of a third of the rows.  So before there
 * are paths we note a better share with the condition, and correct what core has
 * computed by then.
 */
#include "postgres.h"

#include <math.h>

#include "access/stratnum.h"
#include "algo/distance.h"
#include "am/calibration.h"
#include "am/method.h"
#include "am/opclass.h"
#include "am/range.h"
#include "am/source.h"
#include "catalog/pg_type_d.h"
#include "compat.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "parser/parse_coerce.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

/*
 * Where nothing tells how many rows are in a range: this share of them, and so many
 * rows at least.  Who asks for a range means few of many.
 */
#define UNKNOWN_SHARE 0.001
#define UNKNOWN_ROWS 100

/* A condition that an index can search by. */
typedef struct Range
{
	RestrictInfo *rinfo;		/* as the user wrote it */
	IndexOptInfo *index;
	AnnRange	family;
	Node	   *key;			/* the indexed column or expression ... */
	Node	   *query;			/* ... is not farther from this ... */
	Node	   *centre;			/* ... which is so as a double precision[] ... */
	Node	   *radius;			/* ... than that, a double precision */
	double		share;			/* of the rows; -1: unknown */
} Range;

static set_rel_pathlist_hook_type previous_set_rel_pathlist = NULL;

/* ---- recognise ---- */

/* Take "smaller < larger" apart, as float8 has it; false if it is another condition. */
static bool
split_comparison(Expr *clause, Node **smaller, Node **larger)
{
	const TypeCacheEntry *type = lookup_type_cache(FLOAT8OID, TYPECACHE_BTREE_OPFAMILY);
	List	   *args;

	if (!is_opclause(clause) || list_length(((OpExpr *) clause)->args) != 2)
		return false;
	args = ((OpExpr *) clause)->args;
	switch (get_op_opfamily_strategy(((OpExpr *) clause)->opno, type->btree_opf))
	{
		case BTLessStrategyNumber:
		case BTLessEqualStrategyNumber:
			*smaller = linitial(args);
			*larger = lsecond(args);
			return true;
		case BTGreaterStrategyNumber:
		case BTGreaterEqualStrategyNumber:
			*smaller = lsecond(args);
			*larger = linitial(args);
			return true;
		default:
			return false;
	}
}

/*
 * A function of two double precision[] has the column cast: as the distances of a
 * real and of the double precision of the same value are the same, we look at what is
 * cast.
 */
static Node *
strip_cast(Node *node)
{
	if (IsA(node, ArrayCoerceExpr) && exprType(node) == FLOAT8ARRAYOID)
	{
		Node	   *arg = (Node *) ((ArrayCoerceExpr *) node)->arg;

		if (exprType(arg) == FLOAT4ARRAYOID)
			return arg;
	}
	return node;
}

/* The two operands of a distance and its metric; NIL if it is something else. */
static List *
distance_operands(Node *node, AnnMetric *metric)
{
	Oid			function = InvalidOid;
	List	   *args = NIL;

	if (IsA(node, OpExpr))
	{
		function = get_opcode(((OpExpr *) node)->opno);
		args = ((OpExpr *) node)->args;
	}
	else if (IsA(node, FuncExpr))
	{
		function = ((FuncExpr *) node)->funcid;
		args = ((FuncExpr *) node)->args;
	}
	if (list_length(args) != 2)
		return NIL;
	*metric = ann_function_metric(function);
	return *metric == ANN_NO_METRIC ? NIL : args;
}

bool
ann_range_is_condition(Expr *clause)
{
	Node	   *distance;
	Node	   *radius;
	AnnMetric	metric;

	return split_comparison(clause, &distance, &radius) &&
		distance_operands(distance, &metric) != NIL;
}

/* Is this node a distance of the index's key from something that is not of its table? */
static bool
match_distance(PlannerInfo *root, Node *node, Range *range)
{
	AnnMetric	metric;
	List	   *operands = distance_operands(node, &metric);

	if (operands == NIL || metric != range->family.metric)
		return false;
	for (int i = 0; i < 2; i++)
	{
		range->key = list_nth(operands, i);
		if (!match_index_to_operand(range->key, 0, range->index))
			range->key = strip_cast(range->key);
		range->query = list_nth(operands, 1 - i);
		if (match_index_to_operand(range->key, 0, range->index) &&
			is_pseudo_constant_for_index(root, range->query, range->index))
			return true;
	}
	return false;
}

/* An operand as a field of a ball is; NULL if there is no cast. */
static Node *
cast_operand(PlannerInfo *root, Node *node, Oid type)
{
	Node	   *result = coerce_to_target_type(NULL, copyObject(node), exprType(node),
											   type, -1, COERCION_IMPLICIT,
											   COERCE_IMPLICIT_CAST, -1);

	return result == NULL ? NULL : eval_const_expressions(root, result);
}

/* May the user call what we are going to write for him? */
static bool
may_execute(const Range *range)
{
	return ann_may_execute(range->family.make_ball) &&
		ann_may_execute(get_opcode(range->family.oper));
}

/* The range that a condition is for an index; NULL if it is none. */
static Range *
match_clause(PlannerInfo *root, IndexOptInfo *index, RestrictInfo *rinfo)
{
	Range	   *range;
	Node	   *distance;
	Node	   *radius;

	if (rinfo->pseudoconstant ||
		!split_comparison(rinfo->clause, &distance, &radius) ||
		!restriction_is_securely_promotable(rinfo, index->rel))
		return NULL;

	range = palloc0(sizeof(Range));
	range->rinfo = rinfo;
	range->index = index;
	if (!ann_opclass_range(index->opfamily[0], index->opcintype[0], &range->family) ||
		!match_distance(root, distance, range) ||
		!is_pseudo_constant_for_index(root, radius, index))
		return NULL;
	range->centre = cast_operand(root, range->query, FLOAT8ARRAYOID);
	range->radius = cast_operand(root, radius, FLOAT8OID);
	if (range->centre == NULL || range->radius == NULL || !may_execute(range))
		return NULL;
	return range;
}

static List *
match_clauses(PlannerInfo *root, IndexOptInfo *index, List *ranges)
{
	ListCell   *cell;

	foreach(cell, index->rel->baserestrictinfo)
	{
		Range	   *range = match_clause(root, index, lfirst(cell));

		if (range != NULL)
			ranges = lappend(ranges, range);
	}
	foreach(cell, index->rel->joininfo)
	{
		RestrictInfo *rinfo = lfirst(cell);
		Range	   *range = join_clause_is_movable_to(rinfo, index->rel) ?
			match_clause(root, index, rinfo) : NULL;

		if (range != NULL)
			ranges = lappend(ranges, range);
	}
	return ranges;
}

/* Every range of every index of ours that the query may use. */
static List *
find_ranges(PlannerInfo *root, RelOptInfo *rel)
{
	List	   *ranges = NIL;
	ListCell   *cell;

	foreach(cell, rel->indexlist)
	{
		IndexOptInfo *index = lfirst(cell);

		if ((amcostestimate_function) index->amcostestimate == ann_cost_estimate &&
			!index->hypothetical && (index->indpred == NIL || index->predOK))
			ranges = match_clauses(root, index, ranges);
	}
	return ranges;
}

/* ---- how many rows ---- */

/* The norm of a query that is known; 0 if it is not, or is no vector. */
static double
query_norm(PlannerInfo *root, Node *query)
{
	Node	   *value = estimate_expression_value(root, query);
	ArrayType  *array;
	double	   *values;
	int			dim;

	if (!IsA(value, Const) || ((Const *) value)->constisnull)
		return 0;
	array = DatumGetArrayTypeP(((Const *) value)->constvalue);
	if (ARR_NDIM(array) != 1 || array_contains_nulls(array))
		return 0;
	dim = ARR_DIMS(array)[0];
	values = palloc(sizeof(double) * dim);
	ann_source_doubles(array, dim, values);
	return sqrt(ann_kernels->pair[ANN_PAIR_F64_F64].ip(values, values, dim));
}

/* What the index knows of a radius. */
static double
sampled_share(PlannerInfo *root, const Range *range, double radius)
{
	double		norm = 0;
	Relation	index;
	double		result;

	if (range->family.metric == ANN_METRIC_IP)
		norm = query_norm(root, range->query);
	index = index_open(range->index->indexoid, NoLock);	/* the planner's lock is held */
	result = ann_calibration_share(index, radius, norm);
	index_close(index, NoLock);
	return result;
}

/* The share of the rows that are in a range, -1 if nothing tells. */
static double
estimate_share(PlannerInfo *root, const Range *range)
{
	Node	   *value = estimate_expression_value(root, range->radius);
	double		radius;

	if (!IsA(value, Const))
		return -1;
	if (((Const *) value)->constisnull)
		return 0;
	radius = exprType(value) == FLOAT4OID ?
		DatumGetFloat4(((Const *) value)->constvalue) :
		DatumGetFloat8(((Const *) value)->constvalue);
	if (isnan(radius) || radius == get_float8_infinity())
		return 1;
	if (radius < 0 && range->family.metric != ANN_METRIC_IP)
		return 0;
	return sampled_share(root, range, radius);
}

/* The share of a condition, which any index on it may know. */
static double
share_of_clause(const RestrictInfo *rinfo, List *ranges, double unknown)
{
	ListCell   *cell;

	foreach(cell, ranges)
	{
		const Range *range = lfirst(cell);

		if (range->rinfo == rinfo && range->share >= 0)
			return range->share;
	}
	return unknown;
}

/* Note shares with the conditions, where all other estimates go by them. */
static void
estimate_shares(PlannerInfo *root, RelOptInfo *rel, List *ranges)
{
	double		unknown = Max(UNKNOWN_SHARE, UNKNOWN_ROWS / Max(rel->tuples, UNKNOWN_ROWS));
	ListCell   *cell;

	foreach(cell, ranges)
	{
		Range	   *range = lfirst(cell);

		range->share = estimate_share(root, range);
	}
	foreach(cell, ranges)
	{
		Range	   *range = lfirst(cell);

		range->share = share_of_clause(range->rinfo, ranges, unknown);
		range->rinfo->norm_selec = range->rinfo->outer_selec = range->share;
	}
}

/* Is the condition one of the ranges? */
static bool
is_range(const RestrictInfo *rinfo, List *ranges)
{
	return share_of_clause(rinfo, ranges, -1) >= 0;
}

/*
 * The rows of a parameterized scan.  Core does not look at what is noted with a join
 * condition here.
 */
static double
parameterized_rows(PlannerInfo *root, RelOptInfo *rel, List *clauses, List *ranges)
{
	List	   *others = NIL;
	double		share = 1;
	ListCell   *cell;

	foreach(cell, clauses)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, cell);

		if (is_range(rinfo, ranges))
			share *= rinfo->norm_selec;
		else
			others = lappend(others, rinfo);
	}
	return clamp_row_est(share * get_parameterized_baserel_size(root, rel, others));
}

/* The sets of other tables that the conditions need; NULL if none. */
static Relids
outer_relids(const Range *range)
{
	const RelOptInfo *rel = range->index->rel;
	Relids		result = bms_union(range->rinfo->clause_relids, rel->lateral_relids);

	result = bms_del_member(result, rel->relid);
	return bms_is_empty(result) ? NULL : result;
}

static void
correct_paths(List *paths, double ratio)
{
	ListCell   *cell;

	foreach(cell, paths)
	{
		Path	   *path = lfirst(cell);

		path->rows = path->param_info != NULL ? path->param_info->ppi_rows
			: clamp_row_est(path->rows * ratio);
	}
}

/* Compute the rows of the table, and of the paths that are there, once more. */
static void
correct_rows(PlannerInfo *root, RelOptInfo *rel, List *ranges)
{
	double		before = rel->rows;
	ListCell   *cell;

	set_baserel_size_estimates(root, rel);

	/* core shares them by set of tables: those that we need are now among them */
	foreach(cell, ranges)
		get_baserel_parampathinfo(root, rel, outer_relids(lfirst(cell)));
	foreach(cell, rel->ppilist)
	{
		ParamPathInfo *info = lfirst(cell);

		info->ppi_rows = parameterized_rows(root, rel, info->ppi_clauses, ranges);
	}
	correct_paths(rel->pathlist, rel->rows / before);
	correct_paths(rel->partial_pathlist, rel->rows / before);
}

/* The rows of a table are those of its partitions, which come first. */
static void
sum_partitions(PlannerInfo *root, RelOptInfo *rel)
{
	double		rows = 0;
	ListCell   *cell;

	foreach(cell, root->append_rel_list)
	{
		const AppendRelInfo *info = lfirst(cell);
		RelOptInfo *child = root->simple_rel_array[info->child_relid];

		if (info->parent_relid == rel->relid && child != NULL && !IS_DUMMY_REL(child))
			rows += child->rows;
	}
	rel->rows = Min(rel->rows, clamp_row_est(rows));
}

/* ---- paths ---- */

/* The condition that the index searches by. */
static IndexClause *
make_index_clause(PlannerInfo *root, const Range *range)
{
	Expr	   *ball = (Expr *) makeFuncExpr(range->family.make_ball, range->family.ball,
											 list_make2(range->centre, range->radius),
											 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
	Expr	   *qual = make_opclause(range->family.oper, BOOLOID, false,
									 copyObject((Expr *) range->key), ball,
									 InvalidOid, InvalidOid);
	RestrictInfo *rinfo = make_simple_restrictinfo(root, qual);
	IndexClause *result = makeNode(IndexClause);

	/* for ann_cost_estimate */
	rinfo->norm_selec = rinfo->outer_selec = range->share;

	result->rinfo = range->rinfo;
	result->indexquals = list_make1(rinfo);
	result->lossy = true;
	result->indexcol = 0;
	result->indexcols = NIL;
	return result;
}

/*
 * The expression as an ordering of the index by the distance that the range is of,
 * the key to the left; else NULL.  As match_clause_to_ordering_op in indxpath.c.
 */
static Expr *
match_order(const Range *range, Expr *expr, Oid sort_family)
{
	OpExpr	   *order = (OpExpr *) expr;
	Oid			operator;
	int			key;

	if (!is_opclause(expr) || list_length(order->args) != 2)
		return NULL;
	key = match_index_to_operand(linitial(order->args), 0, range->index) ? 0 : 1;
	operator = key == 0 ? order->opno : get_commutator(order->opno);
	if (!match_index_to_operand(list_nth(order->args, key), 0, range->index) ||
		!equal(list_nth(order->args, 1 - key), range->query) ||
		get_op_opfamily_sortfamily(operator, range->index->opfamily[0]) != sort_family)
		return NULL;
	if (key == 0)
		return expr;

	order = makeNode(OpExpr);
	*order = *(OpExpr *) expr;
	order->opno = operator;
	order->opfuncid = InvalidOid;
	order->args = list_make2(lsecond(order->args), linitial(order->args));
	return (Expr *) order;
}

/* What the query orders by, if it is the distance that the range is of; else NULL. */
static Expr *
find_order(PlannerInfo *root, const Range *range)
{
	RelOptInfo *rel = range->index->rel;
	PathKey    *pathkey;
	EquivalenceMember *member;

	if (list_length(root->query_pathkeys) != 1)
		return NULL;
	pathkey = linitial_node(PathKey, root->query_pathkeys);
	if (!ann_pathkey_ascends(pathkey) || pathkey->pk_nulls_first ||
		pathkey->pk_eclass->ec_has_volatile)
		return NULL;

	ANN_FOREACH_MEMBER(member, pathkey->pk_eclass, rel->relids)
	{
		Expr	   *order;

		if (!bms_equal(member->em_relids, rel->relids))
			continue;
		order = match_order(range, member->em_expr, pathkey->pk_opfamily);
		if (order != NULL)
			return order;
	}
	return NULL;
}

/* How often a scan is started: once for each row of the smallest of these tables. */
static double
loop_count(PlannerInfo *root, Relids outer)
{
	double		result = 0;
	int			i = -1;

	while ((i = bms_next_member(outer, i)) >= 0)
	{
		RelOptInfo *rel = i < root->simple_rel_array_size ? root->simple_rel_array[i] : NULL;

		if (rel != NULL && !IS_DUMMY_REL(rel) && (result == 0 || rel->rows < result))
			result = rel->rows;
	}
	return Max(result, 1);
}

static void
add_index_path(PlannerInfo *root, const Range *range, IndexClause *clause, Expr *order)
{
	Relids		outer = outer_relids(range);

	add_path(range->index->rel, (Path *)
			 create_index_path(root, range->index, list_make1(clause),
							   order != NULL ? list_make1(order) : NIL,
							   order != NULL ? list_make1_int(0) : NIL,
							   order != NULL ? root->query_pathkeys : NIL,
							   ForwardScanDirection, false, outer,
							   loop_count(root, outer), false));
}

/* The scan of a range, and that of a range in order. */
static void
add_paths(PlannerInfo *root, const Range *range)
{
	IndexClause *clause = make_index_clause(root, range);
	Expr	   *order = find_order(root, range);

	add_index_path(root, range, clause, NULL);
	if (order != NULL)
		add_index_path(root, range, clause, order);
}

static void
set_rel_pathlist(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte)
{
	List	   *ranges;
	ListCell   *cell;

	if (previous_set_rel_pathlist != NULL)
		previous_set_rel_pathlist(root, rel, rti, rte);

	if (rte->rtekind != RTE_RELATION || IS_DUMMY_REL(rel))
		return;
	if (rte->inh)
	{
		sum_partitions(root, rel);
		return;
	}
	if (rte->tablesample != NULL || (ranges = find_ranges(root, rel)) == NIL)
		return;
	estimate_shares(root, rel, ranges);
	correct_rows(root, rel, ranges);
	foreach(cell, ranges)
		add_paths(root, lfirst(cell));
}

void
ann_range_init(void)
{
	previous_set_rel_pathlist = set_rel_pathlist_hook;
	set_rel_pathlist_hook = set_rel_pathlist;
}
