/*
 * sort_column.c
 *	  The distance that rows are sorted by, where nobody reads it.
 *
 * A LIMIT ends its level of a query: nothing above it sees a column that is only
 * there to sort by (resjunk).  Where it stands right on a scan of an index of ours,
 * that column becomes NULL, which EXPLAIN (VERBOSE) shows.
 */
#include "postgres.h"

#include "access/genam.h"
#include "am/opclass.h"
#include "am/sort_column.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
#include "optimizer/planner.h"
#include "utils/plancache.h"

static planner_hook_type previous_planner = NULL;
static ExecutorStart_hook_type previous_executor_start = NULL;

static bool
scans_ours(const IndexScan *scan)
{
	Relation	index;
	bool		result;

	if (scan->indexorderby == NIL)
		return false;
	index = index_open(scan->indexid, NoLock);	/* the planner's lock is held */
	result = ann_is_index(index);
	index_close(index, NoLock);
	return result;
}

/* The scan does not compute what it sorts by, unless it is asked for, too. */
static void
drop_sort_column(IndexScan *scan)
{
	ListCell   *cell;

	foreach(cell, scan->scan.plan.targetlist)
	{
		TargetEntry *column = lfirst_node(TargetEntry, cell);

		if (column->resjunk && equal(column->expr, linitial(scan->indexorderbyorig)))
			column->expr = (Expr *) makeNullConst(exprType((Node *) column->expr), -1,
												  InvalidOid);
	}
}

static void visit(Plan *plan);

static void
visit_all(List *plans)
{
	ListCell   *cell;

	foreach(cell, plans)
		visit(lfirst(cell));
}

/* Find each LIMIT of a plan. */
static void
visit(Plan *plan)
{
	if (plan == NULL)
		return;
	check_stack_depth();

	/* WITH TIES compares the column */
	if (IsA(plan, Limit) && ((Limit *) plan)->limitOption == LIMIT_OPTION_COUNT &&
		outerPlan(plan) != NULL && IsA(outerPlan(plan), IndexScan) &&
		scans_ours((IndexScan *) outerPlan(plan)))
		drop_sort_column((IndexScan *) outerPlan(plan));

	visit(outerPlan(plan));
	visit(innerPlan(plan));
	if (IsA(plan, Append))
		visit_all(((Append *) plan)->appendplans);
	else if (IsA(plan, MergeAppend))
		visit_all(((MergeAppend *) plan)->mergeplans);
	else if (IsA(plan, SubqueryScan))
		visit(((SubqueryScan *) plan)->subplan);
	else if (IsA(plan, CustomScan))
		visit_all(((CustomScan *) plan)->custom_plans);
}

static PlannedStmt *
plan_query(Query *parse, const char *query_string, int cursor_options, ParamListInfo params)
{
	PlannedStmt *result = previous_planner != NULL ?
		previous_planner(parse, query_string, cursor_options, params) :
		standard_planner(parse, query_string, cursor_options, params);

	visit(result->planTree);
	visit_all(result->subplans);
	return result;
}

/*
 * The library is loaded while a query is planned, too late for the hook to see that
 * plan.  It shall not stay in the plan cache, as that of a function's first query
 * would: whatever was planned by then is planned anew when it is used next.
 */
static void
forget_plans(QueryDesc *query, int eflags)
{
	static bool forgotten = false;

	if (!forgotten)
		ResetPlanCache();
	forgotten = true;
	if (previous_executor_start != NULL)
		previous_executor_start(query, eflags);
	else
		standard_ExecutorStart(query, eflags);
}

void
ann_sort_column_init(void)
{
	previous_planner = planner_hook;
	planner_hook = plan_query;
	previous_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = forget_plans;
}
