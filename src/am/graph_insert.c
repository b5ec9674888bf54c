/*
 * graph_insert.c
 *	  A new node of a graph: its neighbours, and links from these to it.
 *
 *	INSERT(x)  candidates = nodes visited by a search for x (ef_construction)
 *		neighbours = ann_occlude(the 2m nearest of them, filled up to m)
 *		write the record of x with links to these
 *		for each of the first m neighbours y: LINK(y, x)
 *		if none accepted: LINK(nearest, x), by force
 *
 *	LINK(y, x)  if y has room: add x
 *		else choose among y's neighbours and x by their codes; if x is not chosen,
 *		refuse; else let v be the farthest that was not chosen; if the neighbour of
 *		y that is nearest to v has no link to it, let x have one; and only then,
 *		while nobody can take that away, let x take the place of v
 *
 * So whatever x pushes out of the list of y can be reached from y by way of another
 * neighbour, at any moment: inserts leave nothing unreachable, together or
 * interrupted (Malkov and Yashunin, 2018, do not see to that).  Each step is an edit
 * of one page.
 *
 * Candidates beyond the 2m nearest do harm: those that nothing occludes are far, and
 * crowd out near neighbours of the nodes that are to link back.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "algo/distance.h"
#include "algo/occlude.h"
#include "am/graph_insert.h"
#include "am/graph_search.h"
#include "am/heap_source.h"
#include "am/link_make.h"
#include "am/source.h"
#include "miscadmin.h"
#include "store/tids.h"
#include "utils/float.h"

/* Candidates that are compared with a new row, the nearest first. */
#define MAX_EQUAL 8

/* So often a neighbour is asked again whose links others change meanwhile. */
#define MAX_TRIES 3

/* Rounding lets equal vectors be so far apart, of their squared norm. */
#define EQUAL_DISTANCE 1e-5f

/* A node that the search has visited. */
typedef struct Candidate
{
	AnnElementRef ref;
	float		distance;		/* squared, as of AnnTreeRows */
	float		norm2;			/* of the vector */
	float	   *vector;			/* less the centre, dim floats */
} Candidate;

typedef struct GraphInsert
{
	const AnnReshape *at;
	const AnnElement *element;
	const AnnTreeVector *stored;
	Candidate	x;				/* the new row */
	AnnHeapSource *heap;		/* where elements have no vectors */
	ItemPointerData tid;		/* of the node that is being visited */

	/* Nodes visited; those that become neighbours come first in the end */
	Candidate  *candidates;
	int			count;
	int			capacity;
	int			neighbours;

	/* What the new node links to */
	AnnElementRef *own;
	int			num_own;
	AnnNodeReader *reader;

	/* Scratch */
	AnnLinkSet *set;
	AnnLinks   *links;
	AnnTreeVector *v;
	float	   *residual;
	uint8	   *code;
	uint8	   *other_code;
} GraphInsert;

/* ---- distances ---- */

/* What inner product adds to make all norms equal. */
static float
augmentation(const AnnIndex *info, float norm2)
{
	float		missing = info->max_norm * info->max_norm - norm2;

	return missing > 0 ? sqrtf(missing) : 0;
}

/* The squared distance of two vectors in the space of the trees. */
static float
distance(const AnnIndex *info, const Candidate *a, const Candidate *b)
{
	const AnnPairKernels *kernels = &ann_kernels->pair[ANN_PAIR_F32_F32_FAST];
	int			dim = info->meta.dim;
	double		ip;
	float		difference;

	if (info->meta.metric == ANN_METRIC_L2)
		return (float) kernels->l2sq(a->vector, b->vector, dim);
	ip = kernels->ip(a->vector, b->vector, dim);
	if (info->meta.metric == ANN_METRIC_COSINE)
		return a->norm2 > 0 && b->norm2 > 0
			? (float) (2 - 2 * ip / sqrt((double) a->norm2 * b->norm2)) : 2;
	difference = augmentation(info, a->norm2) - augmentation(info, b->norm2);
	return (float) (a->norm2 + b->norm2 - 2 * ip) + difference * difference;
}

/* The same in the terms of codes, where x is the query. */
static AnnCodeDistance
code_distance(const GraphInsert *g, const Candidate *c)
{
	const AnnIndex *info = g->at->info;
	double		ip;

	if (info->meta.metric != ANN_METRIC_IP)
		return c->distance;
	ip = ann_kernels->pair[ANN_PAIR_F32_F32_FAST].ip(g->x.vector, c->vector, info->meta.dim);
	return (float) (g->x.norm2 - 2 * ip);
}

static void
set_vector(const AnnIndex *info, Candidate *c, float *vector)
{
	c->vector = vector;
	c->norm2 = (float) ann_kernels->pair[ANN_PAIR_F32_F32_FAST].ip(vector, vector,
																  info->meta.dim);
}

/* ---- the search ---- */

/* A further candidate, whose distance is known once its vector is. */
static Candidate *
new_candidate(GraphInsert *g, AnnElementRef ref)
{
	Candidate  *c;

	if (g->count == g->capacity)
	{
		g->capacity = Max(2 * g->capacity, 128);
		g->candidates = g->candidates == NULL ? palloc(sizeof(Candidate) * g->capacity)
			: repalloc(g->candidates, sizeof(Candidate) * g->capacity);
	}
	c = &g->candidates[g->count++];
	c->ref = ref;
	return c;
}

/* AnnNodeVisitor. */
static AnnCodeDistance
visit(AnnElementRef ref, const AnnElement *record, const AnnLinks *links,
	  AnnCodeDistance estimate, void *state)
{
	GraphInsert *g = state;
	const AnnIndex *info = g->at->info;
	AnnCodeDistance result;
	Candidate  *c;

	g->tid = record->heap;
	if (info->meta.scalar == ANN_SCALAR_NONE)
		return estimate;
	c = new_candidate(g, ref);
	c->vector = palloc(sizeof(float) * info->meta.dim);
	ann_element_floats(info, record, c->vector);
	set_vector(info, c, c->vector);
	c->distance = distance(info, &g->x, c);
	result = code_distance(g, c);
	if (ann_record_is_dead(record))
	{
		pfree(c->vector);
		g->count--;
	}
	return result;
}

/* AnnNodeVisited, where the table has the vectors. */
static AnnCodeDistance
visited(AnnElementRef ref, void *state)
{
	GraphInsert *g = state;
	const AnnIndex *info = g->at->info;
	float	   *floats = palloc(sizeof(float) * info->meta.dim);
	Candidate  *c;

	if (g->heap == NULL || !ann_heap_source_floats(g->heap, info, &g->tid, floats))
	{
		pfree(floats);
		return get_float4_nan();
	}
	c = new_candidate(g, ref);
	set_vector(info, c, floats);
	c->distance = distance(info, &g->x, c);
	return code_distance(g, c);
}

static int
compare_candidates(const void *a, const void *b)
{
	const Candidate *x = a;
	const Candidate *y = b;

	if (x->distance != y->distance)
		return x->distance < y->distance ? -1 : 1;
	return ItemPointerCompare((ItemPointer) &x->ref, (ItemPointer) &y->ref);
}

static void
find_candidates(GraphInsert *g, float *floats)
{
	const AnnIndex *info = g->at->info;
	AnnTreeVector *query = ann_tree_vector_alloc(info);
	AnnGraphSearch search;

	ann_tree_vector_query(info, floats, query);
	ann_graph_search_begin(&search, g->at->index, info, g->at->number, &g->at->chunk, query,
						   visit, info->meta.scalar == ANN_SCALAR_NONE ? visited : NULL, g);
	ann_graph_search_run(&search, info->meta.ef_construction);
	qsort(g->candidates, g->count, sizeof(Candidate), compare_candidates);
}

/* ---- equal rows ---- */

/* Add the row to the element of rows that are equal, if one was visited. */
static bool
join_equal(const GraphInsert *g)
{
	float		near = g->at->info->meta.metric == ANN_METRIC_COSINE ? 1 : g->x.norm2;

	near = near * EQUAL_DISTANCE + FLT_MIN;
	for (int i = 0; i < Min(g->count, MAX_EQUAL); i++)
	{
		if (g->candidates[i].distance > near)
			break;
		if (ann_element_add_row(g->at->index, g->at->info, g->at->number,
								g->candidates[i].ref, g->element))
			return true;
	}
	return false;
}

/* ---- neighbours ---- */

static float
pair_distance(void *arg, int i, int j)
{
	const GraphInsert *g = arg;

	return distance(g->at->info, &g->candidates[i], &g->candidates[j]);
}

/* Bring the candidates that become neighbours to the front. */
static void
choose_neighbours(GraphInsert *g)
{
	int			n = Min(g->count, g->at->info->max_links);
	float	   *distances = palloc(sizeof(float) * Max(n, 1));
	bool	   *kept = palloc(sizeof(bool) * Max(n, 1));

	for (int i = 0; i < n; i++)
		distances[i] = g->candidates[i].distance;
	ann_occlude(n, 0, distances, pair_distance, g, g->at->info->max_links,
				g->at->info->meta.m, kept);
	g->neighbours = 0;
	for (int i = 0; i < n; i++)
	{
		if (kept[i])
			g->candidates[g->neighbours++] = g->candidates[i];
	}
	pfree(distances);
	pfree(kept);
}

/*
 * A neighbour may have gone since it was visited, and the new node be in its place:
 * then it is none.
 */
static void
forget_neighbour(GraphInsert *g, AnnElementRef x)
{
	int			kept = 0;

	for (int i = 0; i < g->neighbours; i++)
	{
		if (!ann_same_tid(&g->candidates[i].ref, &x))
			g->candidates[kept++] = g->candidates[i];
	}
	g->neighbours = kept;
}

/* The record of the new node. */
static AnnElementRef
add_node(GraphInsert *g)
{
	const AnnIndex *info = g->at->info;
	int			capacity = ann_links_capacity(Max(g->neighbours, (int) info->meta.m));
	AnnLinks   *links = palloc0(ann_links_size(info, capacity));

	ann_links_init(links, capacity, (float) g->stored->norm2);
	for (int i = 0; i < g->neighbours; i++)
	{
		AnnLink		link = {g->candidates[i].ref, {0}, g->code};

		ann_tree_vector_rotate(info, g->candidates[i].vector, g->v);
		ann_make_link(info, g->stored->rotated, g->v->rotated, (float) g->v->norm2,
					  g->residual, g->code, &link.factors);
		ann_links_put(info, links, i, &link);
	}
	return ann_element_add(g->at->index, info, g->at->number, g->element, links);
}

/* ---- links to the new node ---- */

bool
ann_link_add(const AnnReshape *at, AnnElementRef ref, const AnnLink *link)
{
	const AnnIndex *info = at->info;
	AnnLinks   *links;
	Buffer		buffer;
	AnnEdit		edit;
	Page		page;
	int			slot;

	if (!ann_record_lock(at->index, info, at->number, ref, NULL, &buffer, &slot))
		return false;
	ann_edit_begin(&edit, at->index);
	page = ann_edit_add(&edit, buffer);
	links = ann_record_is_dead(ann_record_get(page, slot)) ? NULL
		: ann_record_make_place(info, page, slot);
	if (links == NULL || ann_links_find(links, link->element) >= 0)
	{
		ann_edit_abort(&edit);
		return false;
	}
	ann_links_put(info, links, links->count, link);
	ann_edit_commit(&edit);
	return true;
}

/*
 * Which link of a full record gives way to a new one; -1 for none.  The new one is
 * the last of the set.
 */
static int
choose_victim(AnnLinkSet *set, bool force)
{
	int			last = set->count - 1;
	int			victim = -1;

	ann_link_set_choose(set, 0, last, 0);
	if (!set->kept[last] && !force)
		return -1;
	for (int i = 0; i < last; i++)
	{
		bool		worse = victim < 0 || (set->kept[victim] && !set->kept[i]) ||
			(set->kept[victim] == set->kept[i] && set->length2[i] > set->length2[victim]);

		if (worse)
			victim = i;
	}
	/* where all are wanted, the farthest goes, and that may be the new one */
	if (!force && victim >= 0 && set->kept[victim] &&
		set->length2[victim] <= set->length2[last])
		return -1;
	return victim;
}

/* What is to be pushed out of a list, and the node that leads to it then. */
typedef struct Detour
{
	AnnElementRef victim;		/* invalid: there is none */
	AnnElementRef by;			/* the new node, or one that stays in the list */
} Detour;

/*
 * See to it that 'beside', if it is valid, or else the new node leads to the victim,
 * unless that has no room.
 */
static bool
make_detour(GraphInsert *g, AnnElementRef x, AnnElementRef beside, Detour *detour)
{
	AnnLink		link = {detour->victim, {0}, g->other_code};

	detour->by = x;
	for (int i = 0; i < g->num_own; i++)
	{
		if (ann_same_tid(&g->own[i], &detour->victim))
			return true;
	}
	if (ItemPointerIsValid(&beside) && ann_node_vector(g->reader, beside, NULL, g->links) &&
		ann_links_find(g->links, detour->victim) >= 0)
	{
		detour->by = beside;
		return true;
	}
	if (!ann_node_vector(g->reader, detour->victim, g->v, NULL))
		return false;
	ann_make_link(g->at->info, g->stored->rotated, g->v->rotated, (float) g->v->norm2,
				  g->residual, g->other_code, &link.factors);
	if (!ann_link_add(g->at, x, &link))
		return false;
	g->own[g->num_own++] = detour->victim;
	return true;
}

/*
 * Where a link goes in the record at a slot of an edit's page: behind the others, or
 * in the place of *victim; -1 if it is refused.  One that led to a former element in
 * the slot of the new one is replaced.
 */
static int
find_place(GraphInsert *g, Page page, int slot, const AnnLink *link, bool force,
		   AnnElementRef *victim)
{
	const AnnIndex *info = g->at->info;
	AnnLinks   *links = ann_record_links(info, ann_record_get(page, slot));
	int			place = ann_links_find(links, link->element);

	ItemPointerSetInvalid(victim);
	if (place >= 0)
		return place;
	if (ann_record_make_place(info, page, slot) != NULL)
		return ann_record_links(info, ann_record_get(page, slot))->count;
	ann_link_set_load(g->set, links);
	ann_link_set_add(g->set, link->element, &link->factors, link->code);
	place = choose_victim(g->set, force);
	if (place >= 0)
		*victim = g->set->element[place];
	return place;
}

/*
 * Is the detour for the victim of y, whose page is locked and whose links are in
 * g->set?  Its page stays locked, so that the detour lasts until the victim is gone:
 * another insert may be about to push it out there, because y has it.
 */
static bool
hold_detour(GraphInsert *g, AnnElementRef victim, const Detour *detour, AnnElementRef x,
			Buffer held, Buffer *buffer)
{
	*buffer = InvalidBuffer;
	return ann_same_tid(&victim, &detour->victim) &&
		(ann_same_tid(&detour->by, &x) || ann_link_set_has(g->set, detour->by)) &&
		ann_record_hold_link(g->at->index, g->at->info, detour->by, victim, held, buffer);
}

/*
 * LINK(y, x).  False if y does not link to x; then the detour's victim, if valid, is
 * what there has to be one for first.
 */
static bool
try_link(GraphInsert *g, AnnElementRef y, const AnnLink *link, bool force, Detour *detour)
{
	const AnnIndex *info = g->at->info;
	AnnElementRef victim;
	AnnEdit		edit;
	Buffer		buffer;
	Buffer		other = InvalidBuffer;
	Page		page;
	int			slot;
	int			place = -1;

	ItemPointerSetInvalid(&victim);
	if (!ann_record_lock(g->at->index, info, g->at->number, y, NULL, &buffer, &slot))
	{
		detour->victim = victim;
		return false;
	}
	ann_edit_begin(&edit, g->at->index);
	page = ann_edit_add(&edit, buffer);
	if (!ann_record_is_dead(ann_record_get(page, slot)))
		place = find_place(g, page, slot, link, force, &victim);
	if (place < 0 || (ItemPointerIsValid(&victim) &&
					  !hold_detour(g, victim, detour, link->element, buffer, &other)))
	{
		ann_edit_abort(&edit);
		detour->victim = victim;
		return false;
	}
	ann_links_put(info, ann_record_links(info, ann_record_get(page, slot)), place, link);
	ann_edit_commit(&edit);
	if (BufferIsValid(other))
		UnlockReleaseBuffer(other);
	return true;
}

/* The one of the links that were looked at last that is nearest to one of them. */
static AnnElementRef
nearest_beside(GraphInsert *g, AnnElementRef victim, AnnElementRef x)
{
	AnnElementRef result;
	int			i = ann_link_set_nearest(g->set, victim);

	ItemPointerSetInvalid(&result);
	if (i >= 0 && !ann_same_tid(&g->set->element[i], &x))
		result = g->set->element[i];
	return result;
}

/* Let neighbour number i link to the new node. */
static bool
link_back(GraphInsert *g, int i, AnnElementRef x, bool force)
{
	AnnLink		link = {x, {0}, g->code};
	Detour		detour;

	ann_tree_vector_rotate(g->at->info, g->candidates[i].vector, g->v);
	ann_make_link(g->at->info, g->v->rotated, g->stored->rotated,
				  (float) g->stored->norm2, g->residual, g->code, &link.factors);
	ItemPointerSetInvalid(&detour.victim);
	for (int try = 0; try < MAX_TRIES; try++)
	{
		if (try_link(g, g->candidates[i].ref, &link, force, &detour))
			return true;
		if (!ItemPointerIsValid(&detour.victim) ||
			!make_detour(g, x, nearest_beside(g, detour.victim, x), &detour))
			return false;
	}
	return false;
}

/* Neighbours link to the new node; returns whether one does. */
static bool
link_neighbours(GraphInsert *g, AnnElementRef x)
{
	int			n = Min(g->neighbours, (int) g->at->info->meta.m);
	bool		linked = false;

	g->reader = ann_node_reader_begin(g->at);
	g->own = palloc(sizeof(AnnElementRef) * (g->neighbours + MAX_TRIES * 2 * (n + 1)));
	for (int i = 0; i < g->neighbours; i++)
		g->own[g->num_own++] = g->candidates[i].ref;
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		linked |= link_back(g, i, x, false);
	}
	for (int i = 0; i < n && !linked; i++)
		linked = link_back(g, i, x, true);
	ann_node_reader_end(g->reader);
	return linked;
}

/* ---- a row ---- */

bool
ann_graph_insert(const AnnReshape *at, const AnnElement *element,
				 const AnnTreeVector *stored, const float *floats, AnnElementRef *ref,
				 bool *alone)
{
	const AnnIndex *info = at->info;
	GraphInsert g = {at, element, stored};

	if (info->meta.scalar == ANN_SCALAR_NONE)
		g.heap = ann_heap_source_begin_dirty(at->heap, at->index);
	g.set = ann_link_set_make(info, info->max_links + ANN_LINK_STEP + 1);
	g.links = palloc(ann_links_size(info, info->max_links + ANN_LINK_STEP));
	g.v = ann_tree_vector_alloc(info);
	g.residual = palloc(sizeof(float) * info->padded);
	g.code = palloc(info->link_bytes);
	g.other_code = palloc(info->link_bytes);
	set_vector(info, &g.x, (float *) floats);
	find_candidates(&g, (float *) floats);
	if (g.heap != NULL)
		ann_heap_source_end(g.heap);
	if (join_equal(&g))
		return false;
	choose_neighbours(&g);
	*ref = add_node(&g);
	forget_neighbour(&g, *ref);
	*alone = !link_neighbours(&g, *ref);
	return true;
}

/* ---- reading nodes ---- */

struct AnnNodeReader
{
	const AnnReshape *at;
	AnnHeapSource *heap;
	float	   *floats;
	char	   *scratch;

	/* Of the node that is being read */
	ItemPointerData tid;
	AnnLinks   *links;			/* NULL: not wanted */
	bool		wants_vector;
};

AnnNodeReader *
ann_node_reader_begin(const AnnReshape *at)
{
	AnnNodeReader *reader = palloc0(sizeof(AnnNodeReader));

	reader->at = at;
	if (at->info->meta.scalar == ANN_SCALAR_NONE && at->heap != NULL)
		reader->heap = ann_heap_source_begin_dirty(at->heap, at->index);
	reader->floats = palloc(sizeof(float) * at->info->meta.dim);
	reader->scratch = palloc(ann_record_scratch(at->info));
	return reader;
}

void
ann_node_reader_end(AnnNodeReader *reader)
{
	if (reader->heap != NULL)
		ann_heap_source_end(reader->heap);
	pfree(reader->floats);
	pfree(reader->scratch);
	pfree(reader);
}

/* AnnRecordVisitor. */
static void
note_node(AnnElementRef ref, const AnnElement *record, const AnnLinks *links, void *state)
{
	AnnNodeReader *reader = state;
	const AnnIndex *info = reader->at->info;

	reader->tid = record->heap;
	if (info->meta.scalar != ANN_SCALAR_NONE && reader->wants_vector)
		ann_element_floats(info, record, reader->floats);
	if (reader->links != NULL)
		memcpy(reader->links, links, ann_links_size(info, links->capacity));
}

bool
ann_node_vector(AnnNodeReader *reader, AnnElementRef ref, AnnTreeVector *result,
				AnnLinks *links)
{
	const AnnIndex *info = reader->at->info;

	reader->links = links;
	reader->wants_vector = (result != NULL);
	if (!ann_record_visit(reader->at->index, info, reader->at->number, ref, note_node, reader,
						  reader->scratch))
		return false;
	if (result == NULL)
		return true;
	if (info->meta.scalar == ANN_SCALAR_NONE &&
		(reader->heap == NULL || !ItemPointerIsValid(&reader->tid) ||
		 !ann_heap_source_floats(reader->heap, info, &reader->tid, reader->floats)))
		return false;
	ann_tree_vector_rotate(info, reader->floats, result);
	return true;
}
