/*
 * graph_search.c
 *	  Searching a graph: from node to node along links, nearest first.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "am/graph_search.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

/* Of the entries, a search inspects the codes of so many, or of one in so many. */
#define MIN_INSPECTED 1024
#define INSPECTED_OF 8

/* It may begin at so many of them. */
#define BEGUN_AT 16

/* Nodes that are fetched ahead while one is visited. */
#define PREFETCHED 3

void
ann_graph_search_begin(AnnGraphSearch *search, Relation index, const AnnIndex *info,
					   const AnnChunk *chunk, const AnnTreeVector *v,
					   AnnNodeVisitor visit, AnnNodeVisited visited, void *state)
{
	Size		size = ann_code_query_size(info->link_bits, info->link_dim);

	memset(search, 0, sizeof(AnnGraphSearch));
	search->index = index;
	search->info = info;
	search->visit = visit;
	search->visited = visited;
	search->state = state;
	search->link_query = ann_code_query_init((void *) TYPEALIGN(64, palloc(size + 64)),
											 info->link_bits, info->link_dim, v->rotated);
	search->scratch = palloc(ann_record_scratch(info));
	ann_leaf_search_begin(&search->entries, index, info, chunk, v);
	ann_frontier_init(&search->pool, palloc(sizeof(AnnCandidate) * 512), 512);
	ann_frontier_init(&search->rejected, palloc(sizeof(AnnCandidate) * 512), 512);
	ann_seen_init(&search->seen, palloc(sizeof(uint64) * 512), 512);
	ann_seen_init(&search->met, palloc(sizeof(uint64) * 1024), 1024);
}

/* A node counts once, with the first distance that is known. */
static void
count_node(AnnGraphSearch *s, AnnCodeDistance d2, uint64 key)
{
	if (ann_note_seen(&s->met, key))
		ann_threshold_offer(&s->nearest, d2);
}

/*
 * A node that is met: it waits in the pool if its estimate is good enough, several
 * times if it is met again.  One of which nothing is known is visited in any case,
 * and counts then.
 */
static void
meet(AnnGraphSearch *s, AnnCodeDistance estimate, uint64 key)
{
	if (isnan(estimate))
	{
		ann_heap_push(&s->pool, -FLT_MAX, key);
		return;
	}
	if (estimate > ann_threshold_get(&s->nearest))
	{
		AnnFrontier *rejected = &s->rejected;

		ann_heap_reserve(rejected);
		rejected->entries[rejected->size].cost = estimate;
		rejected->entries[rejected->size++].item = key;
		return;
	}
	ann_heap_push(&s->pool, estimate, key);
	count_node(s, estimate, key);
}

/* ---- the pool ---- */

/* Make room for so many estimates, keeping those there are. */
static void
widen(AnnGraphSearch *s, size_t k)
{
	if (k > s->nearest_room)
	{
		s->nearest_room = k + 64;
		s->nearest.values = s->nearest.values == NULL
			? palloc_extended(sizeof(float) * s->nearest_room, MCXT_ALLOC_HUGE)
			: repalloc_huge(s->nearest.values, sizeof(float) * s->nearest_room);
	}
	s->nearest.k = k;
}

/* With a larger ef, what was rejected has another chance. */
static void
meet_rejected(AnnGraphSearch *s)
{
	AnnFrontier old = s->rejected;

	ann_frontier_init(&s->rejected, palloc(sizeof(AnnCandidate) * 512), 512);
	for (size_t i = 0; i < old.size; i++)
		meet(s, old.entries[i].cost, old.entries[i].item);
	pfree(old.entries);
}

/*
 * The nodes to begin at; once they are used up, there may be more.  Their codes are
 * of residuals much longer than those of links, and tell less: enough to begin with,
 * but they count by what a visit tells.
 */
static void
meet_entries(AnnGraphSearch *s)
{
	AnnLeafSearch *entries = &s->entries;
	AnnCandidate next;
	double		rows = (double) entries->chunk.rows / ANN_ROWS_PER_ENTRY / INSPECTED_OF;

	rows = Max(Max(rows, MIN_INSPECTED), 2 * entries->inspected);
	ann_leaf_search_run(entries, rows, BEGUN_AT);
	while (ann_frontier_pop(&entries->candidates, &next))
		ann_heap_push(&s->pool, next.cost, next.item);
}

/* ---- visits ---- */

/* The neighbours of the node that is being visited go to the pool. */
static void
meet_neighbours(AnnGraphSearch *s, const AnnLinks *links, float d2)
{
	for (int first = 0; first < links->count; first += ANN_CODE_ROWS)
	{
		int			n = Min(links->count - first, ANN_CODE_ROWS);
		float		estimate[ANN_CODE_ROWS];

		ann_links_scan(s->info, links, first, s->link_query, d2, estimate);
		for (int i = 0; i < n; i++)
		{
			uint64		key = ann_element_key(links->element[first + i]);

			if (!ann_seen_contains(&s->seen, key))
				meet(s, estimate[i], key);
		}
	}
}

static void
visit_record(AnnElementRef ref, const AnnElement *record, const AnnLinks *links, void *state)
{
	AnnGraphSearch *s = state;
	float		d2 = s->visit(ref, record, links, s->estimate, s->state);

	count_node(s, d2, ann_element_key(ref));
	s->counts = !ann_record_is_dead(record);
	if (s->info->meta.metric == ANN_METRIC_IP)
		d2 += links->norm2;
	meet_neighbours(s, links, Max(d2, 0));
}

/* The first entries of the heap are the ones most likely to be visited next. */
static void
prefetch_nodes(AnnGraphSearch *s)
{
	for (size_t i = 0; i < Min(s->pool.size, PREFETCHED); i++)
		ann_record_prefetch(s->index, s->info, ann_key_element(s->pool.entries[i].item));
}

static void
visit_node(AnnGraphSearch *s, AnnElementRef ref, AnnCodeDistance estimate)
{
	s->estimate = estimate;
	s->counts = false;
	if (!ann_record_visit(s->index, s->info, ref, visit_record, s, s->scratch))
		return;
	if (!s->counts)
		widen(s, s->nearest.k + 1);
	else if (s->visited != NULL)
		s->visited(ref, s->state);
}

/* Visit the nodes of the pool that are good enough. */
static void
visit_pool(AnnGraphSearch *s)
{
	AnnCandidate next;

	while (s->pool.size > 0 &&
		   ann_frontier_peek(&s->pool)->cost <= ann_threshold_get(&s->nearest))
	{
		CHECK_FOR_INTERRUPTS();
		ann_frontier_pop(&s->pool, &next);
		if (!ann_note_seen(&s->seen, next.item))
			continue;
		prefetch_nodes(s);
		visit_node(s, ann_key_element(next.item), next.cost);
	}
}

void
ann_graph_search_run(AnnGraphSearch *search, double ef)
{
	widen(search, (size_t) Min(ef, PG_INT32_MAX / 2));
	if (!search->begun)
		meet_entries(search);
	else
		meet_rejected(search);
	search->begun = true;
	visit_pool(search);

	/* whatever links lead to has been visited: there may be other entries */
	while (search->pool.size == 0 && search->rejected.size == 0 &&
		   search->seen.size < ef && !ann_leaf_search_is_over(&search->entries))
	{
		meet_entries(search);
		visit_pool(search);
	}
}
