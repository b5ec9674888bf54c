/*
 * limit.c
 *	  How many rows a scan will be asked for.
 *
 * Follows ExecSetTupleBound (execProcnode.c), by which LIMIT tells a sort how
 * many rows it needs: the same nodes pass the bound on.  A few more are passed
 * that may lose rows, since also then the LIMIT says better than nothing how
 * far to look at first; a sort, which reads its input to the end, is not.
 */
#include "postgres.h"

#include "access/relscan.h"
#include "am/limit.h"
#include "am/opclass.h"
#include "am/range.h"
#include "executor/executor.h"
#include "lib/ilist.h"
#include "nodes/execnodes.h"
#include "nodes/nodeFuncs.h"
#include "utils/float.h"

/* A scan of an index of ours, and the LIMIT above it, if there is one. */
typedef struct LimitedScan
{
	dlist_node	node;
	const IndexScanState *scan;
	const LimitState *limit;	/* or NULL */
	double		matches;
	MemoryContextCallback forget;
} LimitedScan;

/* Those of all queries in execution: cursors and nested queries have theirs. */
static dlist_head limited_scans = DLIST_STATIC_INIT(limited_scans);

static ExecutorStart_hook_type previous_executor_start = NULL;

static void
forget_scan(void *arg)
{
	dlist_delete(&((LimitedScan *) arg)->node);
}

/* Does a scan drop rows by anything else than the range that its index searches? */
static bool
has_filter(const IndexScanState *scan)
{
	const IndexScan *plan = (const IndexScan *) scan->ss.ps.plan;
	ListCell   *cell;

	foreach(cell, plan->scan.plan.qual)
	{
		if (!ann_range_is_condition(lfirst(cell)))
			return true;
	}
	return list_length(plan->scan.plan.qual) > list_length(plan->indexqual);
}

/* Note a scan for as long as its query lives; caller's context is the query's. */
static void
note_scan(const IndexScanState *scan, const LimitState *limit)
{
	LimitedScan *noted;

	/* EXPLAIN without ANALYZE opens no index */
	if (scan->iss_RelationDesc == NULL || !ann_is_index(scan->iss_RelationDesc))
		return;

	noted = palloc0(sizeof(LimitedScan));
	noted->scan = scan;
	noted->limit = limit;
	noted->matches = has_filter(scan) ? scan->ss.ps.plan->plan_rows : get_float8_infinity();
	noted->forget.func = forget_scan;
	noted->forget.arg = noted;
	dlist_push_head(&limited_scans, &noted->node);
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &noted->forget);
}

static void descend(const LimitState *limit, PlanState *state);

static void
descend_all(const LimitState *limit, PlanState **states, int n)
{
	for (int i = 0; i < n; i++)
		descend(limit, states[i]);
}

/* Note the scans that a LIMIT bounds, from one of the nodes below it on. */
static void
descend(const LimitState *limit, PlanState *state)
{
	if (state == NULL)
		return;

	switch (nodeTag(state))
	{
		case T_IndexScanState:
			note_scan((IndexScanState *) state, limit);
			break;

			/* nodes that return rows of their input, in their order */
		case T_ResultState:
		case T_GatherState:
		case T_GatherMergeState:
		case T_IncrementalSortState:
		case T_LockRowsState:
		case T_NestLoopState:
		case T_ProjectSetState:
			descend(limit, outerPlanState(state));
			break;
		case T_AppendState:
			descend_all(limit, ((AppendState *) state)->appendplans,
						((AppendState *) state)->as_nplans);
			break;
		case T_MergeAppendState:
			descend_all(limit, ((MergeAppendState *) state)->mergeplans,
						((MergeAppendState *) state)->ms_nplans);
			break;
		case T_SubqueryScanState:
			descend(limit, ((SubqueryScanState *) state)->subplan);
			break;
		default:
			break;
	}
}

static LimitedScan *
find_scan(const IndexScanState *scan)
{
	dlist_iter	iter;

	dlist_foreach(iter, &limited_scans)
	{
		LimitedScan *noted = dlist_container(LimitedScan, node, iter.cur);

		if (noted->scan == scan)
			return noted;
	}
	return NULL;
}

/* Find each LIMIT of a plan, also in subplans, then the scans that have none. */
static bool
find_limits(PlanState *state, void *context)
{
	if (IsA(state, LimitState))
	{
		LimitState *limit = (LimitState *) state;

		descend(limit, outerPlanState(limit));
	}
	else if (IsA(state, IndexScanState) && find_scan((IndexScanState *) state) == NULL)
		note_scan((IndexScanState *) state, NULL);
	return planstate_tree_walker(state, find_limits, context);
}

static void
executor_start(QueryDesc *query, int eflags)
{
	MemoryContext old;

	if (previous_executor_start != NULL)
		previous_executor_start(query, eflags);
	else
		standard_ExecutorStart(query, eflags);

	if (query->planstate == NULL)
		return;
	old = MemoryContextSwitchTo(query->estate->es_query_cxt);
	find_limits(query->planstate, NULL);
	MemoryContextSwitchTo(old);
}

AnnDemand
ann_demand(IndexScanDesc scan)
{
	AnnDemand	result = {0, get_float8_infinity()};
	dlist_iter	iter;

	dlist_foreach(iter, &limited_scans)
	{
		LimitedScan *noted = dlist_container(LimitedScan, node, iter.cur);
		const LimitState *limit = noted->limit;

		if (noted->scan->iss_ScanDesc != scan)
			continue;

		/*
		 * nodeLimit.c has computed count and offset already: it does so
		 * before it starts or restarts the nodes below it.
		 */
		result.matches = noted->matches;
		if (limit != NULL)
			result.limit = limit->noCount ? get_float8_infinity()
				: (double) limit->count + (double) limit->offset +
				(limit->limitOption == LIMIT_OPTION_WITH_TIES);
		break;
	}
	return result;
}

void
ann_limit_init(void)
{
	previous_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = executor_start;
}
