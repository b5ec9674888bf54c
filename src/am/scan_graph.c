/*
 * scan_graph.c
 *	  How a scan of ann_hnsw finds elements: along the links of its graph.
 *
 * Each node that the search visits is measured there and then.  Its heap TIDs are
 * looked at when its page has been unlocked.
 */
#include "postgres.h"

#include <math.h>

#include "am/graph_search.h"
#include "am/options.h"
#include "am/scan.h"
#include "utils/float.h"

/* The pass over all elements pays when so much of them has been visited. */
#define REST_SHARE 0.1

typedef struct GraphSearch
{
	AnnGraphSearch graph;
	IndexScanDesc scan;
	AnnScan    *s;
	double		ef;				/* of the stage */

	/* The node that is being visited */
	double		low;
	double		high;
} GraphSearch;

/* Where the element has no vector, the estimate is what there is. */
static AnnCodeDistance
visit(AnnElementRef ref, const AnnElement *record, const AnnLinks *links,
	  AnnCodeDistance estimate, void *state)
{
	GraphSearch *g = state;
	AnnScan    *s = g->s;

	memcpy(s->element, record, offsetof(AnnElement, vector));
	if (s->info.meta.scalar == ANN_SCALAR_NONE)
		return estimate;
	ann_element_distance(&s->info, s->query, record, &g->low, &g->high);
	if (isnan(g->low) || isinf(g->high))
		return estimate;
	return ann_scan_distance_code(s, (g->low + g->high) / 2);
}

static void
visited(AnnElementRef ref, void *state)
{
	GraphSearch *g = state;
	AnnScan    *s = g->s;

	if (s->info.meta.scalar == ANN_SCALAR_NONE)
	{
		if (!ann_scan_row_distance(g->scan, s, &s->element->heap, &g->low))
			return;
		g->high = g->low;
	}
	ann_scan_keep(g->scan, s, g->low, g->high, ref, s->element);
}

static void *
begin(IndexScanDesc scan, AnnScan *s)
{
	GraphSearch *g = palloc0(sizeof(GraphSearch));

	g->scan = scan;
	g->s = s;
	ann_graph_search_begin(&g->graph, scan->indexRelation, &s->info, &s->chunk, s->v,
						   visit, visited, g);
	return g;
}

static bool
goes_on(const AnnScan *s)
{
	const AnnGraphSearch *graph = &((GraphSearch *) s->search)->graph;

	return !ann_graph_search_is_over(graph) &&
		(s->stages == 0 || graph->seen.size < REST_SHARE * s->chunk.rows);
}

static int
compare_high(const void *a, const void *b)
{
	return float8_cmp_internal(*(const double *) a, *(const double *) b);
}

/*
 * The distance within which the wanted results are, as far as they are known.  A
 * later stage goes by the estimates: what is as near as those that are still in view
 * has been visited, while other results are where the search came by.
 */
static double
farthest_wanted(const AnnScan *s)
{
	float		in_view = ann_threshold_get(&((GraphSearch *) s->search)->graph.nearest);
	int			count = s->results.count;
	double	   *high = palloc_extended(sizeof(double) * Max(count, 1), MCXT_ALLOC_HUGE);
	double		result = -get_float8_infinity();
	int			known = 0;
	int			wanted;

	for (int i = 0; i < count; i++)
	{
		high[i] = s->results.entries[i].high;
		if (ann_scan_distance_code(s, s->results.entries[i].low) <= in_view)
			known++;
	}
	wanted = s->stages == 1 && count > s->wanted ? count : known;
	wanted = (int) Min(wanted, s->wanted);
	if (wanted > 0)
	{
		qsort(high, count, sizeof(double), compare_high);
		result = high[wanted - 1];
	}
	pfree(high);
	return result;
}

static void
stage(IndexScanDesc scan, AnnScan *s)
{
	GraphSearch *g = s->search;

	g->ef = s->stages == 1 ? ann_search_ef(s->wanted) : g->ef * 2;
	g->ef = Max(g->ef, s->wanted);
	ann_graph_search_run(&g->graph, g->ef);
	s->bound = ann_graph_search_is_over(&g->graph) ? get_float8_infinity() : farthest_wanted(s);
}

/* What has been visited has been kept. */
static void
finish(IndexScanDesc scan, AnnScan *s)
{
}

static const AnnSeen *
seen(const AnnScan *s)
{
	return &((GraphSearch *) s->search)->graph.seen;
}

const AnnScanSearch ann_graph_search = {begin, goes_on, stage, finish, seen};
