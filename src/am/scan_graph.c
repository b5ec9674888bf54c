/*
 * scan_graph.c
 *	  How a scan of ann_hnsw finds elements: along the links of its graph.
 *
 * Each node that the search visits is measured there and then.  Its heap TIDs are
 * looked at when its page has been unlocked.
 *
 * Several chunks are several graphs: each is searched as if it were the only one, since
 * all the nearest rows may be in it.
 */
#include "postgres.h"

#include <math.h>

#include "am/calibration.h"
#include "am/graph_search.h"
#include "am/link_make.h"
#include "am/options.h"
#include "am/scan.h"
#include "utils/float.h"

/* The pass over all elements pays when so much of them has been visited. */
#define REST_SHARE 0.1

/* The ef of a stage is so many times that of the one before, or more. */
#define GROWTH 2

/*
 * A query is far from the rows if its nearest one is so many times as far from it as
 * from its own neighbour of this rank (or its last one).
 */
#define FAR 2
#define FAR_RANK 4

/*
 * The first stage of a query that is far goes on until twice the ef brings nothing new
 * among so many times what is wanted, and so many rows at least; or until ef is so many
 * times what it was.
 */
#define SETTLED_TIMES 3
#define SETTLED_MINIMUM 10
#define FAR_EF 32

typedef struct GraphSearch
{
	AnnGraphSearch *graphs;		/* of the chunks that have nodes */
	uint32		num_graphs;
	int32	   *graph_of;		/* by number of the chunk; -1: it has none */
	IndexScanDesc scan;
	AnnScan    *s;
	double		ef;				/* of the stage */

	/* The node that is being visited, and its chunk */
	uint32		chunk;
	double		low;
	double		high;

	/* The nearest one so far */
	AnnElementRef nearest;
	double		nearest_distance;
	uint32		nearest_chunk;
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

static AnnCodeDistance
visited(AnnElementRef ref, void *state)
{
	GraphSearch *g = state;
	AnnScan    *s = g->s;
	AnnCodeDistance distance = get_float4_nan();

	if (s->info.meta.scalar == ANN_SCALAR_NONE)
	{
		if (!ann_scan_row_distance(g->scan, s, &s->element->heap, &g->low))
			return get_float4_infinity();
		g->high = g->low;
		distance = ann_scan_distance_code(s, g->low);
	}
	if (g->high < g->nearest_distance)
	{
		g->nearest_distance = g->high;
		g->nearest = ref;
		g->nearest_chunk = g->chunk;
	}
	ann_scan_keep(g->scan, s, g->low, g->high, ref, s->element);
	return distance;
}

static void *
begin(IndexScanDesc scan, AnnScan *s)
{
	GraphSearch *g = palloc0(sizeof(GraphSearch));

	g->scan = scan;
	g->s = s;
	g->nearest_distance = get_float8_infinity();
	g->graphs = palloc_extended(sizeof(AnnGraphSearch) * s->num_chunks, MCXT_ALLOC_HUGE);
	g->graph_of = palloc(sizeof(int32) * s->num_chunks);
	for (uint32 i = 0; i < s->num_chunks; i++)
	{
		g->graph_of[i] = -1;
		if (s->chunks[i].roots == InvalidBlockNumber)
			continue;
		g->graph_of[i] = (int32) g->num_graphs;
		ann_graph_search_begin(&g->graphs[g->num_graphs++], scan->indexRelation, &s->info, i,
							   &s->chunks[i], s->v, visit, visited, g);
		g->graphs[g->num_graphs - 1].excluded = s->excluded;
	}
	return g;
}

/* Has every node been visited that can be reached? */
static bool
is_over(const GraphSearch *g)
{
	for (uint32 i = 0; i < g->num_graphs; i++)
	{
		if (!ann_graph_search_is_over(&g->graphs[i]))
			return false;
	}
	return true;
}

/* Visit nodes until the ef nearest of each graph have been found. */
static void
run(GraphSearch *g, double ef)
{
	for (uint32 i = 0; i < g->num_graphs; i++)
	{
		g->chunk = g->graphs[i].entries.first;
		ann_graph_search_run(&g->graphs[i], ef);
	}
}

static bool
goes_on(const AnnScan *s)
{
	const GraphSearch *g = s->search;
	double		visits = 0;

	for (uint32 i = 0; i < g->num_graphs; i++)
		visits += (double) g->graphs[i].seen.size;
	return !is_over(g) && (s->stages == 0 || visits < REST_SHARE * s->rows);
}

/* The distance of the n-th nearest result, which there is, or a little more. */
static double
nth_distance(const AnnScan *s, int n)
{
	float	   *values = palloc_extended(sizeof(float) * n, MCXT_ALLOC_HUGE);
	AnnThreshold nearest;
	double		result;

	ann_threshold_init(&nearest, values, n);
	for (int i = 0; i < s->results.count; i++)
		ann_threshold_offer(&nearest, nextafterf((float) s->results.entries[i].high, INFINITY));
	result = ann_threshold_get(&nearest);
	pfree(values);
	return result;
}

/*
 * The distance within which the wanted results are, as far as they are known.  A
 * later stage goes by the estimates: what is as near as those that are still in view
 * has been visited, while other results are where the search came by.
 */
static double
farthest_wanted(const AnnScan *s)
{
	const GraphSearch *g = s->search;
	float		in_view = INFINITY;
	int			known = 0;
	int			wanted;

	for (uint32 i = 0; i < g->num_graphs; i++)
		in_view = Min(in_view, ann_threshold_get(&g->graphs[i].nearest));
	for (int i = 0; i < s->results.count; i++)
	{
		if (ann_scan_distance_code(s, s->results.entries[i].low) <= in_view)
			known++;
	}
	wanted = s->stages == 1 && s->results.count > s->wanted ? s->results.count : known;
	wanted = (int) Min(wanted, s->wanted);
	return wanted > 0 ? nth_distance(s, wanted) : -get_float8_infinity();
}

/* ---- queries far from the rows ---- */

/* AnnRecordVisitor. */
static void
load_links(AnnElementRef ref, const AnnElement *record, const AnnLinks *links, void *state)
{
	ann_link_set_load(state, links);
}

static int
compare_length(const void *a, const void *b)
{
	return float4_cmp_internal(*(const float *) a, *(const float *) b);
}

/*
 * The squared distance of the query from the nearest node, as the graph has them.
 * Under inner product the length of the query does not matter: it is that of the
 * node, of norm max_norm in the space of the trees, from the query's direction.
 */
static double
nearest_distance2(const GraphSearch *g)
{
	const AnnScan *s = g->s;
	double		norm = s->chunks[g->nearest_chunk].max_norm;
	double		along;

	if (s->info.meta.metric != ANN_METRIC_IP)
		return ann_scan_distance_code(s, g->nearest_distance);
	along = s->query->norm > 0 ? Max(-g->nearest_distance / s->query->norm, 0) : 0;
	return norm * norm - along * along;
}

static bool
is_far(const GraphSearch *g)
{
	const AnnIndex *info = &g->s->info;
	AnnLinkSet *set;
	float	   *length2;

	if (isinf(g->nearest_distance))
		return false;
	set = ann_link_set_make(info, info->max_links + ANN_LINK_STEP);
	if (!ann_record_visit(g->scan->indexRelation, info, g->nearest_chunk, g->nearest, load_links,
						  set, g->graphs[0].scratch) || set->count == 0)
		return false;
	length2 = set->length2;
	qsort(length2, set->count, sizeof(float), compare_length);
	return nearest_distance2(g) > FAR * FAR * length2[Min(set->count - 1, FAR_RANK)];
}

/*
 * Seen from afar, the rows differ by how far they reach towards the query, and those
 * that reach farthest may have nothing else in common: links, which lead to rows that
 * are near one another, lead to some of them only.  So we look for more until there
 * are none.  Returns false if it is not over when the pass over all elements pays.
 */
static bool
search_from_afar(AnnScan *s, GraphSearch *g)
{
	double		before = get_float8_infinity();
	double		most;

	/* a small ef that is enough for others would seem to settle at once */
	g->ef = Max(g->ef, ann_default_ef(s->wanted));
	most = g->ef * FAR_EF;
	while (g->ef < most && !is_over(g))
	{
		double		rows = Max(SETTLED_TIMES * s->wanted, SETTLED_MINIMUM);
		double		now = s->results.count < rows ? get_float8_infinity()
			: nth_distance(s, (int) rows);

		if (now < get_float8_infinity() && now >= before)
			break;
		if (!goes_on(s))
			return false;
		before = now;
		g->ef *= 2;
		run(g, g->ef);
	}
	return true;
}

static bool
stage(IndexScanDesc scan, AnnScan *s)
{
	GraphSearch *g = s->search;
	double		ef = s->setting > 0 ? s->setting
		: ann_search_ef(s->info.calibration, s->wanted);
	bool		found = true;

	g->ef = Max(ef, g->ef * GROWTH);
	run(g, g->ef);
	if (s->stages == 1 && (ann_ef_search == 0 || s->setting > 0) && is_far(g))
		found = search_from_afar(s, g);
	s->bound = is_over(g) ? get_float8_infinity() : farthest_wanted(s);
	return found;
}

/* What has been visited has been kept. */
static void
finish(IndexScanDesc scan, AnnScan *s)
{
}

static bool
seen(const AnnScan *s, uint32 chunk, uint64 key)
{
	const GraphSearch *g = s->search;

	return chunk < s->num_chunks && g->graph_of[chunk] >= 0 &&
		ann_seen_contains(&g->graphs[g->graph_of[chunk]].seen, key);
}

static Size
memory(const AnnScan *s)
{
	const GraphSearch *g = s->search;
	Size		result = 0;

	for (uint32 i = 0; i < g->num_graphs; i++)
		result += 2 * g->graphs[i].seen.size * sizeof(uint64);
	return result;
}

const AnnScanSearch ann_graph_search = {begin, goes_on, stage, finish, seen, memory};
