/*
 * scan_forest.c
 *	  How a scan of annoy finds elements: by the codes in the leaves of its trees.
 *
 * A stage searches the leaves (leaf_search.h), and then measures
 *
 *	 candidates are read, in the order of their lower bounds, and get their exact
 *	 distance, until the next bound is beyond what is wanted
 */
#include "postgres.h"

#include <math.h>

#include "am/calibration.h"
#include "am/leaf_search.h"
#include "am/scan.h"
#include "miscadmin.h"
#include "utils/float.h"
#include "utils/memutils.h"

/*
 * Standard deviations that lower bounds allow for.  Where not all rows are inspected,
 * wider bounds cost more than to inspect more rows, which finds more; where all are,
 * nothing else is left.
 */
#define SLACK			1.9f
#define SLACK_OF_ALL	3.0f

/* There is room for so many candidates before more is asked for. */
#define ROOM 1024

/* Candidates that are fetched ahead while one is measured. */
#define PREFETCHED 3

/*
 * The pass over all elements pays when so much of them has been inspected, or would have
 * to be measured.
 */
#define REST_SHARE	0.9
#define WANTED_SHARE 0.1

/*
 * A stage inspects so many times as many rows as the one before, or more.  Who reads on
 * is shown all that is found, in order: what is missed is late, so that later stages
 * inspect so many times what reaches the target.
 */
#define GROWTH 2
#define READ_ON 2

typedef struct ForestSearch
{
	AnnLeafSearch leaves;
	double		to_inspect;		/* rows to be inspected by the end of the stage */
	bool		empty;			/* has a candidate been without a row? */
} ForestSearch;

static void *
begin(IndexScanDesc scan, AnnScan *s)
{
	ForestSearch *f = palloc0(sizeof(ForestSearch));

	ann_leaf_search_begin(&f->leaves, scan->indexRelation, &s->info, 0, s->chunks,
						  s->num_chunks, s->v, ROOM);
	f->leaves.slack = SLACK;
	return f;
}

static bool
goes_on(const AnnScan *s)
{
	const AnnLeafSearch *leaves = &((ForestSearch *) s->search)->leaves;

	return !ann_leaf_search_is_over(leaves) &&
		(leaves->inspected == 0 ||
		 (leaves->inspected < REST_SHARE * leaves->rows * s->info.meta.trees &&
		  s->wanted < WANTED_SHARE * leaves->rows));
}

/* The first entries of the heap are the ones most likely to be measured next. */
static void
prefetch_candidates(IndexScanDesc scan, AnnScan *s, const AnnFrontier *candidates)
{
	for (size_t i = 0; i < Min(candidates->size, PREFETCHED); i++)
		ann_element_prefetch(scan->indexRelation, &s->info,
							 ann_key_element(candidates->entries[i].item));
}

/*
 * Measure candidates until the next bound is above the distance of the last
 * one that is wanted, or beyond the radius.
 */
static void
measure_candidates(IndexScanDesc scan, AnnScan *s, double wanted, double radius)
{
	ForestSearch *f = s->search;
	AnnFrontier *candidates = &f->leaves.candidates;
	int			k = (int) Min(wanted, (double) candidates->size + s->results.count + 1);
	AnnThreshold nearest;
	AnnCandidate next;
	double		low,
				high;

	ann_threshold_init(&nearest,
					   MemoryContextAllocHuge(CurrentMemoryContext, sizeof(float) * k), k);
	for (int i = 0; i < s->results.count; i++)
		ann_threshold_offer(&nearest, (float) s->results.entries[i].high);
	while (ann_frontier_peek(candidates) != NULL)
	{
		AnnElementRef ref;

		CHECK_FOR_INTERRUPTS();
		s->bound = ann_scan_code_distance(s, ann_frontier_peek(candidates)->cost);
		if (s->bound > Min(ann_threshold_get(&nearest), radius))
			break;
		ann_frontier_pop(candidates, &next);
		prefetch_candidates(scan, s, candidates);
		if (next.item == s->excluded)
			continue;
		ref = ann_key_element(next.item);
		if (ann_scan_measure(scan, s, ref, &low, &high))
		{
			ann_scan_keep(scan, s, low, high, ref, s->element);
			ann_threshold_offer(&nearest, (float) high);
		}
		else
			f->empty = true;
	}
	if (ann_frontier_peek(candidates) == NULL)
		s->bound = get_float8_infinity();

	/* more than are wanted may have been measured, but not of all that are as near */
	s->bound = Min(s->bound, nextafterf(ann_threshold_get(&nearest), INFINITY));

	/* those without a row have kept others from becoming candidates */
	if (f->empty)
		s->bound = Min(s->bound, ann_scan_code_distance(s, f->leaves.least_dropped));
	pfree(nearest.values);
}

/* How many rows are to be inspected by the end of the stage. */
static void
set_rows(const AnnScan *s, ForestSearch *f)
{
	double		rows = s->setting > 0 ? s->setting
		: ann_search_rows(s->info.calibration, s->rows, s->num_chunks, s->wanted,
						  s->info.meta.trees);

	f->to_inspect = f->leaves.inspected > 0 ? Max(rows * READ_ON, f->to_inspect * GROWTH) : rows;
	if (s->stages == 1 && f->to_inspect >= s->rows)
	{
		f->to_inspect = get_float8_infinity();
		f->leaves.slack = SLACK_OF_ALL;
	}
}

static bool
stage(IndexScanDesc scan, AnnScan *s)
{
	ForestSearch *f = s->search;

	set_rows(s, f);
	ann_leaf_search_run(&f->leaves, f->to_inspect, s->wanted);
	measure_candidates(scan, s, s->wanted, s->radius);
	return true;
}

static void
finish(IndexScanDesc scan, AnnScan *s)
{
	measure_candidates(scan, s, get_float8_infinity(), get_float8_infinity());
}

/* The number of an element's page tells the chunk, too. */
static bool
seen(const AnnScan *s, uint32 chunk, uint64 key)
{
	return ann_seen_contains(&((ForestSearch *) s->search)->leaves.seen, key);
}

static Size
memory(const AnnScan *s)
{
	return ((ForestSearch *) s->search)->leaves.seen.capacity * sizeof(uint64);
}

const AnnScanSearch ann_forest_search = {begin, goes_on, stage, finish, seen, memory};
