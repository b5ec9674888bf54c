/*
 * graph_search.c
 *	  Searching a graph: from node to node along links, nearest first.
 *
 *	SEARCH(q, ef)
 *		while the estimate of the nearest node of the pool is below the ef-th
 *		distance of those that have been visited:
 *			visit it: its distance; an estimate for each of its neighbours
 *
 * A neighbour is estimated by each node that leads to it, and the errors are
 * independent, as the codes are of different residuals: the mean of the estimates
 * is what counts.  A node is in the pool with the least mean that it has had, and
 * put back when it comes out too early.  Estimates that are hopeless are not looked
 * at, which most of them are; a larger ef comes back to them.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "am/graph_search.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

/* Of the entries, a search inspects the codes of so many, or of one in so many. */
#define MIN_INSPECTED 64
#define INSPECTED_OF 32

/* It begins at so many of them. */
#define BEGUN_AT 16

/*
 * An estimate is hopeless if it is above the threshold by this share of the distance
 * of the node that it comes from, to which its error is proportional.
 */
#define HOPELESS 0.2f

/*
 * A search takes a few visits for each of ef (counted as so many at least).  More than
 * this many are to no purpose: rows are equally far, as far as floats tell.
 */
#define VISITS_PER_EF 64
#define MINIMUM_EF 64

/* Items of the map for each of ef, in the beginning. */
#define MET_PER_EF 16

/* The map does not begin larger than this; it grows. */
#define MET_MOST (1 << 17)

/* Rejected estimates, several for each node, that are kept before they are met. */
#define REJECTED_MOST (1 << 18)

/* There is room for so many entries before more is asked for. */
#define ROOM_FOR_ENTRIES 64

/* Nodes that are fetched ahead while one is visited. */
#define PREFETCHED 2

void
ann_graph_search_begin(AnnGraphSearch *search, Relation index, const AnnIndex *info,
					   uint32 number, const AnnChunk *chunk, const AnnTreeVector *v,
					   AnnNodeVisitor visit, AnnNodeVisited visited, void *state)
{
	Size		size = ann_code_query_size(info->link_bits, info->link_dim);

	memset(search, 0, sizeof(AnnGraphSearch));
	search->index = index;
	search->info = info;
	search->visit = visit;
	search->visited = visited;
	search->state = state;
	search->excluded = ANN_SEEN_NOTHING;
	search->link_query = ann_code_query_init((void *) TYPEALIGN(64, palloc(size + 64)),
											 info->link_bits, info->link_dim, v->rotated);
	search->scratch = palloc(ann_record_scratch(info));
	ann_leaf_search_begin(&search->entries, index, info, number, chunk, 1, v, ROOM_FOR_ENTRIES);
	ann_frontier_init(&search->pool, palloc(sizeof(AnnCandidate) * 512), 512);
	ann_frontier_init(&search->rejected, palloc(sizeof(AnnCandidate) * 512), 512);
	ann_seen_init(&search->seen, palloc(sizeof(uint64) * 512), 512);
	memset(search->fetched, 0xff, sizeof(search->fetched));
}

/* ---- nodes that have been met ---- */

/* AnnMetItem.state: whether a node has been visited, and counts as found. */
enum
{
	WAITING,
	FOUND,
	PASSED						/* it has no row */
};

/* Of a node that is to be visited in any case. */
#define UNKNOWN (-FLT_MAX)

/*
 * Distances and estimates are no farther than this from 0.  Where they leave the range
 * of floats, a search would take all nodes to be among the nearest, or have means
 * that are no numbers.
 */
#define FARTHEST (FLT_MAX / 8)

static inline float
in_range(float d)
{
	return Max(Min(d, FARTHEST), -FARTHEST);
}

static AnnMetItem *
find_node(AnnGraphSearch *s, uint64 key)
{
	size_t		before = s->met.size;
	AnnMetItem *result = ann_met_find(&s->met, key);

	if (result == NULL)
	{
		AnnMetItem *old = s->met.items;
		size_t		capacity = s->met.capacity * 2;

		ann_met_move(&s->met, MemoryContextAllocHuge(GetMemoryChunkContext(old),
													 sizeof(AnnMetItem) * capacity), capacity);
		pfree(old);
		result = ann_met_find(&s->met, key);
	}
	s->waiting += s->met.size - before;
	return result;
}

/* A node that is met: it goes to the pool if it is good enough. */
static void
meet(AnnGraphSearch *s, AnnCodeDistance estimate, uint64 key)
{
	AnnMetItem *node = find_node(s, key);
	bool		better;

	if (node->state != WAITING)
		return;
	if (node->estimates == 0)
		ann_threshold_offer(&s->promising, estimate);
	better = ann_met_estimate(node, estimate);
	if (better && node->distance <= ann_threshold_get(&s->nearest))
		ann_heap_push(&s->pool, node->distance, key);
}

static float *
allocate_values(float *old, size_t n)
{
	if (old != NULL)
		pfree(old);
	return palloc_extended(sizeof(float) * n, MCXT_ALLOC_HUGE);
}

static void
begin_search(AnnGraphSearch *s, size_t ef)
{
	size_t		capacity = pg_nextpower2_64(Min(MET_PER_EF * Max(ef, MINIMUM_EF), MET_MOST));

	ann_met_init(&s->met, palloc_extended(sizeof(AnnMetItem) * capacity, MCXT_ALLOC_HUGE),
				 capacity);
	if (s->excluded != ANN_SEEN_NOTHING)
	{
		find_node(s, s->excluded)->state = PASSED;
		s->waiting--;
	}
}

/* What was not good enough is met after all. */
static void
meet_rejected(AnnGraphSearch *s)
{
	AnnFrontier *rejected = &s->rejected;

	while (rejected->size > 0)
	{
		AnnCandidate next = rejected->entries[--rejected->size];

		meet(s, next.cost, next.item);
	}
}

/* With a larger ef, what was not good enough has another chance. */
static void
go_on(AnnGraphSearch *s)
{
	const AnnMetItem *end;

	for (size_t i = 0; i < s->rejected.size; i++)
	{
		AnnMetItem *node = find_node(s, s->rejected.entries[i].item);

		if (node->state == WAITING)
			(void) ann_met_estimate(node, s->rejected.entries[i].cost);
	}
	s->rejected.size = 0;
	end = s->met.items + s->met.capacity;
	for (const AnnMetItem *node = s->met.items; node < end; node++)
	{
		if (node->key == ANN_SEEN_NOTHING || node->distance == UNKNOWN)
			continue;
		if (node->state == FOUND)
			ann_threshold_offer(&s->nearest, node->distance);
		if (node->estimates > 0)
			ann_threshold_offer(&s->promising, node->distance);
	}
	for (const AnnMetItem *node = s->met.items; node < end; node++)
	{
		if (node->key != ANN_SEEN_NOTHING && node->state == WAITING &&
			node->distance <= ann_threshold_get(&s->nearest))
			ann_heap_push(&s->pool, node->distance, node->key);
	}
}

static void
set_ef(AnnGraphSearch *s, size_t ef)
{
	if (ef > s->room)
	{
		s->room = ef;
		s->nearest.values = allocate_values(s->nearest.values, ef);
		s->promising.values = allocate_values(s->promising.values, ef);
	}
	ann_threshold_init(&s->nearest, s->nearest.values, ef);
	ann_threshold_init(&s->promising, s->promising.values, ef);
	s->most = s->seen.size + VISITS_PER_EF * Max(ef, MINIMUM_EF);
	s->pool.size = 0;
	if (s->begun)
		go_on(s);
	else
		begin_search(s, ef);
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
	double		rows = entries->rows / ANN_ROWS_PER_ENTRY / INSPECTED_OF;

	rows = Max(Max(rows, MIN_INSPECTED), 2 * entries->inspected);
	if (entries->candidates.size == 0)
		ann_leaf_search_run(entries, rows, BEGUN_AT);
	for (int i = 0; i < BEGUN_AT && ann_frontier_pop(&entries->candidates, &next); i++)
	{
		AnnMetItem *node = find_node(s, next.item);

		if (node->state != WAITING || node->estimates > 0)
			continue;
		node->distance = next.cost == UNKNOWN ? UNKNOWN : in_range(next.cost);
		ann_heap_push(&s->pool, node->distance, next.item);
	}
}

/* ---- visits ---- */

/* Meet some neighbours of the node that is being visited, d2 from the query. */
static void
meet_block(AnnGraphSearch *s, const AnnElementRef *element, const float *estimate, int n,
		   float d2)
{
	AnnFrontier *rejected = &s->rejected;
	float		limit = ann_threshold_get(&s->nearest);
	uint8		hopeful[ANN_CODE_ROWS];
	int			count = 0;

	if (!s->passed)
		limit = Min(limit, ann_threshold_get(&s->promising));
	limit += HOPELESS * d2;
	ann_heap_reserve(rejected, n);

	/* without branches, which nobody could predict */
	for (int i = 0; i < n; i++)
	{
		bool		hopeless = estimate[i] > limit;

		hopeful[count] = (uint8) i;
		count += !hopeless;
		rejected->entries[rejected->size].cost = estimate[i];
		rejected->entries[rejected->size].item = ann_element_key(element[i]);
		rejected->size += hopeless;
	}
	for (int i = 0; i < count; i++)
		meet(s, estimate[hopeful[i]], ann_element_key(element[hopeful[i]]));
}

static void
meet_neighbours(AnnGraphSearch *s, const AnnLinks *links, float d2)
{
	for (int first = 0; first < links->count; first += ANN_CODE_ROWS)
	{
		int			n = Min(links->count - first, ANN_CODE_ROWS);
		float		estimate[ANN_CODE_ROWS];

		ann_links_scan(s->info, links, first, s->link_query, d2, estimate);
		for (int i = 0; i < n; i++)
			estimate[i] = isnan(estimate[i]) ? d2 : in_range(estimate[i]);
		meet_block(s, links->element + first, estimate, n, d2);
	}
}

static void
visit_record(AnnElementRef ref, const AnnElement *record, const AnnLinks *links, void *state)
{
	AnnGraphSearch *s = state;
	float		d2 = s->visit(ref, record, links, s->estimate, s->state);

	s->distance = d2;
	s->counts = !ann_record_is_dead(record);
	if (s->info->meta.metric == ANN_METRIC_IP)
		d2 += links->norm2;
	meet_neighbours(s, links, in_range(Max(d2, 0)));
}

static bool
is_fetched(const AnnGraphSearch *s, uint64 key)
{
	for (int i = 0; i < ANN_NODES_FETCHED; i++)
	{
		if (s->fetched[i] == key)
			return true;
	}
	return false;
}

/* The first entries of the heap are the ones most likely to be visited next. */
static void
prefetch_nodes(AnnGraphSearch *s)
{
	for (size_t i = 0; i < Min(s->pool.size, PREFETCHED); i++)
	{
		uint64		key = s->pool.entries[i].item;

		if (is_fetched(s, key))
			continue;
		ann_record_prefetch(s->index, s->info, ann_key_element(key));
		s->fetched[s->next_fetched++ % ANN_NODES_FETCHED] = key;
	}
}

static void
visit_node(AnnGraphSearch *s, uint64 key, AnnCodeDistance estimate)
{
	AnnElementRef ref = ann_key_element(key);
	AnnMetItem *node;
	bool		found;

	(void) ann_note_seen(&s->seen, key);
	s->estimate = estimate;
	s->counts = false;
	s->distance = estimate;
	found = ann_record_visit(s->index, s->info, s->entries.first, ref, visit_record, s, s->scratch);
	if (s->counts && s->visited != NULL)
	{
		AnnCodeDistance distance = s->visited(ref, s->state);

		if (isinf(distance))
			s->counts = false;
		else if (!isnan(distance))
			s->distance = distance;
	}
	if (found && !s->counts && !s->passed)
	{
		s->passed = true;
		meet_rejected(s);
	}
	if (s->distance != UNKNOWN)
		s->distance = in_range(s->distance);
	node = find_node(s, key);
	node->distance = s->distance;
	node->state = s->counts ? FOUND : PASSED;
	s->waiting--;
	if (s->counts && s->distance != UNKNOWN)
		ann_threshold_offer(&s->nearest, s->distance);
}

/* Visit the nodes of the pool that are good enough. */
static void
visit_pool(AnnGraphSearch *s)
{
	AnnCandidate next;

	while (s->pool.size > 0 &&
		   ann_frontier_peek(&s->pool)->cost <= ann_threshold_get(&s->nearest))
	{
		const AnnMetItem *node;

		if (s->seen.size >= s->most && ann_threshold_get(&s->nearest) < INFINITY)
			break;

		CHECK_FOR_INTERRUPTS();
		ann_frontier_pop(&s->pool, &next);
		node = find_node(s, next.item);
		if (node->state != WAITING)
			continue;
		if (node->distance > next.cost)
		{
			if (node->distance <= ann_threshold_get(&s->nearest))
				ann_heap_push(&s->pool, node->distance, next.item);
			continue;
		}
		prefetch_nodes(s);
		visit_node(s, next.item, next.cost);
		if (s->rejected.size > REJECTED_MOST)
			meet_rejected(s);
	}
}

void
ann_graph_search_run(AnnGraphSearch *search, double ef)
{
	set_ef(search, (size_t) Min(ef, PG_INT32_MAX / 2));
	if (!search->begun)
		meet_entries(search);
	search->begun = true;
	visit_pool(search);

	/* too few: whatever links lead to is visited, then there may be other entries */
	while (ann_threshold_get(&search->nearest) == INFINITY &&
		   (search->rejected.size > 0 || ann_graph_search_has_entries(search)))
	{
		if (search->rejected.size > 0)
			meet_rejected(search);
		else
			meet_entries(search);
		visit_pool(search);
	}
}
