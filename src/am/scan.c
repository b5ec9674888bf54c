/*
 * scan.c
 *	  ORDER BY distance: rows in ascending distance, all of them if one reads
 *	  on.
 *
 * A scan goes through stages.  Each inspects more rows than the one before:
 *
 *	 gather	 nodes of the trees are explored, nearest first, until the leaves
 *			 found hold twice the rows that are to be inspected
 *	 inspect the leaves are taken by the distance of their centroids; of the
 *			 rows whose codes say that they may be among the nearest, the
 *			 references become candidates
 *	 measure candidates are read, in the order of their lower bounds, and get
 *			 their exact distance, until the next bound is beyond what is
 *			 wanted
 *	 return	 what has been measured and is nearer than the next bound
 *
 * The first stage is broad enough for the LIMIT, where there is one, so that
 * most scans have only that.  When a good part of the index has been inspected,
 * the rest follows by one pass over all elements and a sort.  A row that turns
 * up when farther ones have been returned is late, and comes after all others;
 * then those without a distance, then those without a vector.
 *
 * Elements tell distances as intervals (element.h).  Where the intervals of
 * neighbours overlap, the table is asked which row is the nearer.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "access/genam.h"
#include "access/relscan.h"
#include "access/tableam.h"
#include "algo/code.h"
#include "algo/frontier.h"
#include "am/heap_source.h"
#include "am/limit.h"
#include "am/method.h"
#include "am/options.h"
#include "am/source.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type_d.h"
#include "compat.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/pg_bitutils.h"
#include "store/element.h"
#include "store/leaf_pages.h"
#include "store/tids.h"
#include "store/tree_pages.h"
#include "utils/float.h"
#include "utils/memutils.h"
#include "utils/tuplesort.h"

/* Rows that a scan is prepared to return when nothing tells how many. */
#define DEFAULT_LIMIT 100

/* Standard deviations that lower bounds allow for. */
#define SLACK 1.9f

/* Candidates that are fetched ahead while one is measured. */
#define PREFETCHED 3

/* Leaves that are inspected in place of one that has been divided meanwhile. */
#define MAX_DIVIDED 16

/* The pass over all elements pays when so much of them has been inspected. */
#define REST_SHARE 0.25

/* A row that is returned next. */
typedef struct Row
{
	double		distance;		/* where exact, or not beyond that of the next row */
	ItemPointerData tid;
} Row;

typedef struct RowArray
{
	Row		   *rows;
	int			count;
	int			capacity;
	int			next;			/* the first that has not been returned */
} RowArray;

/* A measured element and its rows. */
typedef struct Hit
{
	double		low;
	double		high;
	int			num_tids;
	ItemPointerData tid;		/* the only one ... */
	ItemPointer tids;			/* ... or all of several */
} Hit;

typedef struct HitArray
{
	Hit	   *entries;
	int			count;
	int			capacity;
} HitArray;

typedef struct LeafArray
{
	AnnLeafEntry *entries;
	int			count;
	int			capacity;
	int			inspected;		/* the first so many */
} LeafArray;

typedef enum Phase
{
	PHASE_START,
	PHASE_STAGES,				/* returning results of a stage */
	PHASE_REST,					/* returning the sorted rest */
	PHASE_LATE,					/* returning late rows from the same sort */
	PHASE_UNORDERED,			/* no distance at all: all elements */
	PHASE_UNDEFINED,			/* rows without a distance */
	PHASE_NULLS,				/* rows without a vector */
	PHASE_END
} Phase;

typedef struct AnnScan
{
	/* Unchanging, set by beginscan */
	MemoryContext context;		/* of all below; reset by rescan */
	AnnIndex	info;

	/* Set by rescan */
	Phase		phase;
	bool		null_query;
	int			dim;			/* of the query */
	const double *values;
	AnnQuery   *query;
	double		wanted;			/* rows to be returned by the end of the stage */
	double		to_inspect;		/* rows to be inspected by then */

	/* Search */
	AnnChunk	chunk;
	AnnTreeVector *v;
	AnnCodeQuery *code_query;
	AnnFrontier frontier;		/* of nodes */
	LeafArray	leaves;
	double		gathered;		/* rows in leaves */
	double		inspected;		/* of these, in leaves whose codes were read */
	float		d2;				/* of the leaf that is being inspected */
	char	   *block;			/* scratch for large blocks */
	AnnThreshold threshold;		/* on upper bounds by codes */
	AnnFrontier candidates;
	AnnSeen		seen;			/* candidates there have ever been */

	/* Results */
	AnnElement *element;		/* scratch */
	HitArray	results;		/* measured, not returned yet; sorted when returning */
	int			next_result;
	double		bound;			/* unmeasured candidates are not below */
	double		returned;		/* the largest distance that was returned */
	HitArray	late;
	AnnHeapSource *heap;		/* made when it is needed */

	/* The rest */
	Tuplesortstate *sort;
	TupleTableSlot *slot;
	double		late_below;

	/* What is returned next, one by one */
	RowArray	out;
	RowArray	nan;			/* met by the pass over the rest */
	BlockNumber heap_blocks;	/* the table has at least so many */
	BlockNumber next_block;		/* PHASE_UNORDERED */
	BlockNumber num_blocks;
} AnnScan;

/* ---- begin, rescan, end ---- */

IndexScanDesc
ann_beginscan(Relation index, int nkeys, int norderbys)
{
	IndexScanDesc scan = RelationGetIndexScan(index, nkeys, norderbys);
	AnnScan  *s = palloc0(sizeof(AnnScan));

	s->context = AllocSetContextCreate(CurrentMemoryContext, "ann scan",
									   ALLOCSET_DEFAULT_SIZES);
	scan->opaque = s;
	if (norderbys > 0)
	{
		scan->xs_orderbyvals = palloc0(sizeof(Datum) * norderbys);
		scan->xs_orderbynulls = palloc0(sizeof(bool) * norderbys);
	}
	return scan;
}

static void
free_scan(AnnScan *s)
{
	if (s->heap != NULL)
		ann_heap_source_end(s->heap);
	if (s->sort != NULL)
		tuplesort_end(s->sort);
	if (s->slot != NULL)
		ExecDropSingleTupleTableSlot(s->slot);
	MemoryContextReset(s->context);
}

/*
 * The query as doubles.  Its own life ends with the expression that made it.
 */
static void
read_query(AnnScan *s, Datum argument)
{
	ArrayType  *array = DatumGetArrayTypePCopy(argument);
	int			dim = ann_source_check(array);
	double	   *values = palloc(sizeof(double) * dim);

	ann_source_doubles(array, dim, values);
	pfree(array);
	s->dim = dim;
	s->values = values;
}

/* A query is subject to the same rules as the rows. */
static void
check_query(IndexScanDesc scan, AnnScan *s)
{
	AnnVector	v = {s->dim, true, s->values};
	int			dim = s->info.meta.dim;

	if (dim == 0)
		dim = ann_options(scan->indexRelation)->dimensions;
	ann_source_check_query(&v, dim, RelationGetRelationName(scan->indexRelation));
}

/*
 * The query as floats.  Under cosine its direction is all that counts, and not
 * to be lost where its length is out of their range.
 */
static const float *
query_floats(const AnnScan *s)
{
	double	   *scaled = palloc(sizeof(double) * s->dim);
	AnnVector	vector = {s->dim, true, scaled};
	double		norm = s->query->norm;
	double		scale = 1;

	if (s->info.meta.metric == ANN_METRIC_COSINE && norm > 0 && norm <= DBL_MAX)
		scale = 1 / norm;
	for (int i = 0; i < s->dim; i++)
		scaled[i] = s->values[i] * scale;
	return ann_source_floats(&vector, s->info.centre, palloc(sizeof(float) * s->dim));
}

/* Add an entry to a heap, enlarged as needed. */
static void
push_entry(AnnFrontier *heap, float cost, uint64 item)
{
	if (heap->size == heap->capacity)
	{
		heap->capacity *= 2;
		heap->entries = repalloc_huge(heap->entries, sizeof(AnnCandidate) * heap->capacity);
	}
	ann_frontier_push(heap, cost, item);
}

/* The roots to begin at. */
static void
push_roots(IndexScanDesc scan, AnnScan *s)
{
	AnnNodeRef *roots;
	int			n = ann_roots_read(scan->indexRelation, &s->chunk, &roots);

	for (int i = 0; i < n; i++)
		push_entry(&s->frontier, 0, ANN_NODE_ITEM(roots[i]));
}

/* What the search needs of the query, and the roots to begin at. */
static void
start_search(IndexScanDesc scan, AnnScan *s)
{
	const AnnIndex *info = &s->info;
	Size		size;

	s->query = ann_query_make(info, s->values);
	s->v = ann_tree_vector_alloc(info);
	ann_tree_vector_query(info, query_floats(s), s->v);
	size = ann_code_query_size(info->meta.code_bits, info->padded);
	s->code_query = ann_code_query_init((void *) TYPEALIGN(64, palloc(size + 64)),
										info->meta.code_bits, info->padded,
										s->v->rotated);
	s->block = palloc(info->block_size);
	s->element = palloc(info->element_size);

	ann_frontier_init(&s->frontier, palloc(sizeof(AnnCandidate) * 64), 64);
	push_roots(scan, s);
	ann_frontier_init(&s->candidates, palloc(sizeof(AnnCandidate) * 1024), 1024);
	ann_seen_init(&s->seen, palloc(sizeof(uint64) * 4096), 4096);
}

void
ann_rescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys,
		   int norderbys)
{
	AnnScan  *s = scan->opaque;
	MemoryContext old,
				context = s->context;
	ScanKey		order;

	if (orderbys != NULL && scan->numberOfOrderBys > 0)
		memmove(scan->orderByData, orderbys, sizeof(ScanKeyData) * scan->numberOfOrderBys);
	free_scan(s);
	memset(s, 0, sizeof(AnnScan));
	s->context = context;
	old = MemoryContextSwitchTo(context);

	s->phase = PHASE_START;
	s->num_blocks = InvalidBlockNumber;
	s->returned = -get_float8_infinity();
	order = scan->numberOfOrderBys > 0 ? &scan->orderByData[0] : NULL;
	s->null_query = (order == NULL || (order->sk_flags & SK_ISNULL));
	if (!s->null_query)
		read_query(s, order->sk_argument);

	/* from here on no catalog is read, which could take the numbers away */
	s->info = *ann_index_chunk(scan->indexRelation, 0, &s->chunk);
	if (!s->null_query)
	{
		check_query(scan, s);
		if (s->info.meta.dim != 0)
			start_search(scan, s);
	}
	MemoryContextSwitchTo(old);
}

void
ann_endscan(IndexScanDesc scan)
{
	AnnScan  *s = scan->opaque;

	free_scan(s);
	MemoryContextDelete(s->context);
	pfree(s);
}

/* ---- gather ---- */

static void
add_leaf(LeafArray *leaves, const AnnLeafEntry *leaf)
{
	if (leaves->count == leaves->capacity)
	{
		leaves->capacity = Max(64, leaves->capacity * 2);
		leaves->entries = leaves->entries == NULL
			? palloc(sizeof(AnnLeafEntry) * leaves->capacity)
			: repalloc_huge(leaves->entries, sizeof(AnnLeafEntry) * leaves->capacity);
	}
	leaves->entries[leaves->count++] = *leaf;
}

static int
compare_leaves(const void *a, const void *b)
{
	float		x = ((const AnnLeafEntry *) a)->priority,
				y = ((const AnnLeafEntry *) b)->priority;

	return (x > y) - (x < y);
}

/*
 * Find leaves.  False if nodes that had been seen were not there any more: their
 * tree has been flattened, or leaves been joined.
 */
static bool
explore(IndexScanDesc scan, AnnScan *s)
{
	AnnCandidate next;
	AnnLeafEntry leaf;
	bool		complete = true;

	while (s->gathered < 2 * s->to_inspect && ann_frontier_pop(&s->frontier, &next))
	{
		CHECK_FOR_INTERRUPTS();
		if (ann_tree_descend(scan->indexRelation, &s->info, s->v,
							 ANN_ITEM_NODE(next.item), next.cost, &s->frontier, &leaf))
		{
			add_leaf(&s->leaves, &leaf);
			s->gathered += leaf.rows;
		}
		else
			complete = false;
	}
	return complete;
}

/* Find leaves, and sort those that have not been inspected. */
static void
gather(IndexScanDesc scan, AnnScan *s)
{
	if (!explore(scan, s))
	{
		/* once more from the roots; rows that are met again do no harm */
		ann_chunk_read(scan->indexRelation, 0, &s->chunk);
		if (ann_is_epoch(&s->chunk, &s->info))
			push_roots(scan, s);
		s->gathered = s->inspected;
		explore(scan, s);
	}
	qsort(s->leaves.entries + s->leaves.inspected,
		  s->leaves.count - s->leaves.inspected, sizeof(AnnLeafEntry), compare_leaves);
}

/* ---- inspect ---- */

static inline uint64
element_key(AnnElementRef ref)
{
	return (uint64) ItemPointerGetBlockNumberNoCheck(&ref) << 16 |
		ItemPointerGetOffsetNumberNoCheck(&ref);
}

static inline AnnElementRef
key_element(uint64 key)
{
	AnnElementRef ref;

	ItemPointerSet(&ref, (BlockNumber) (key >> 16), (OffsetNumber) (key & 0xffff));
	return ref;
}

/* True if the element is met for the first time. */
static bool
note_seen(AnnScan *s, uint64 key)
{
	AnnSeenResult result = ann_seen_insert(&s->seen, key);

	if (result == ANN_SEEN_FULL)
	{
		uint64_t   *old = s->seen.slots;
		size_t		capacity = s->seen.capacity * 4;

		ann_seen_move(&s->seen,
					  MemoryContextAllocHuge(s->context, sizeof(uint64) * capacity), capacity);
		pfree(old);
		result = ann_seen_insert(&s->seen, key);
	}
	return result == ANN_SEEN_NEW;
}


static void
inspect_block(const AnnLeafBlock *block, void *state)
{
	AnnScan  *s = state;
	AnnCodeBlock codes = {block->codes, block->a, block->f, block->e};
	float		estimate[ANN_BLOCK_ROWS];
	float		bound[ANN_BLOCK_ROWS];
	uint32		mask;

	mask = ann_kernels->scan_block(s->code_query, &codes, s->d2, SLACK,
								   ann_threshold_get(&s->threshold), estimate, bound);
	mask &= block->live;
	while (mask != 0)
	{
		int			row = pg_rightmost_one_pos32(mask);
		uint64		key = element_key(block->element[row]);

		mask &= mask - 1;
		/* the threshold may have sunk since */
		if (bound[row] > ann_threshold_get(&s->threshold) || !note_seen(s, key))
			continue;
		push_entry(&s->candidates, isnan(bound[row]) ? -FLT_MAX : bound[row], key);
		if (!isnan(bound[row]))
			ann_threshold_offer(&s->threshold, 2 * estimate[row] - bound[row]);
	}
}

/*
 * Inspect what has come to be at the place of a leaf that was divided, which may
 * be going on.
 */
static void
inspect_again(IndexScanDesc scan, AnnScan *s, AnnNodeRef node)
{
	AnnFrontier below;
	AnnCandidate next;
	AnnLeafEntry entry;
	int			tries = MAX_DIVIDED;

	ann_frontier_init(&below, palloc(sizeof(AnnCandidate) * MAX_DIVIDED), MAX_DIVIDED);
	ann_frontier_push(&below, 0, ANN_NODE_ITEM(node));
	while (tries-- > 0 && ann_frontier_pop(&below, &next))
	{
		if (!ann_tree_descend(scan->indexRelation, &s->info, s->v,
							  ANN_ITEM_NODE(next.item), 0, &below, &entry))
			continue;
		s->d2 = entry.d2;
		if (!ann_leaf_scan(scan->indexRelation, &s->info, entry.leaf, inspect_block,
						   s, s->block))
			push_entry(&below, 0, ANN_NODE_ITEM(entry.node));
	}
	pfree(below.entries);
}

static void
inspect_leaf(IndexScanDesc scan, AnnScan *s, const AnnLeafEntry *leaf)
{
	s->d2 = leaf->d2;
	if (!ann_leaf_scan(scan->indexRelation, &s->info, leaf->leaf, inspect_block, s,
					   s->block))
		inspect_again(scan, s, leaf->node);
}

/*
 * Inspect leaves up to the number of rows of this stage.  Those of earlier
 * stages are inspected again, since their thresholds were for fewer rows.
 */
static void
inspect(IndexScanDesc scan, AnnScan *s)
{
	int			k = (int) Min(s->wanted, s->gathered + 1);
	int			before = s->leaves.inspected;

	ann_threshold_init(&s->threshold,
					   MemoryContextAllocHuge(CurrentMemoryContext, sizeof(float) * k), k);
	for (int i = 0; i < before; i++)
		inspect_leaf(scan, s, &s->leaves.entries[i]);
	while (s->inspected < s->to_inspect && s->leaves.inspected < s->leaves.count)
	{
		AnnLeafEntry *leaf = &s->leaves.entries[s->leaves.inspected++];

		inspect_leaf(scan, s, leaf);
		s->inspected += leaf->rows;
	}
	pfree(s->threshold.values);
}

/* ---- measure ---- */

/* What a bound on the codes' scale is as a distance. */
static double
bound_distance(const AnnScan *s, float bound)
{
	switch ((AnnMetric) s->info.meta.metric)
	{
		case ANN_METRIC_L2:
			return sqrt(Max(bound, 0));
		case ANN_METRIC_COSINE:
			return bound / 2;
		case ANN_METRIC_IP:
			return (bound - s->query->norm * s->query->norm) / 2;
	}
	return 0;
}

static Hit *
new_result(AnnScan *s, HitArray *array)
{
	if (array->count == array->capacity)
	{
		array->capacity = Max(64, array->capacity * 2);
		array->entries = array->entries == NULL
			? MemoryContextAlloc(s->context, sizeof(Hit) * array->capacity)
			: repalloc_huge(array->entries, sizeof(Hit) * array->capacity);
	}
	return &array->entries[array->count++];
}

/*
 * Refuse a heap TID that is noise.  Reading behind the end of the table is an
 * error without our name, or makes the table longer.
 */
static void
check_tid(IndexScanDesc scan, AnnScan *s, const ItemPointerData *tid)
{
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(tid);
	bool		valid = ItemPointerIsValid(tid);

	if (valid && block < s->heap_blocks)
		return;
	s->heap_blocks = RelationGetNumberOfBlocks(scan->heapRelation);
	if (!valid || block >= s->heap_blocks)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has a row (%u,%u) of table \"%s\", where none can be",
						RelationGetRelationName(scan->indexRelation), block,
						ItemPointerGetOffsetNumberNoCheck(tid),
						RelationGetRelationName(scan->heapRelation)),
				 errhint("Please REINDEX it.")));
}

/* The distance of a row from the table; false if the snapshot does not see it. */
static bool
row_distance(IndexScanDesc scan, AnnScan *s, const ItemPointerData *tid, double *distance)
{
	if (s->heap == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(s->context);

		s->heap = ann_heap_source_begin(scan->heapRelation, scan->indexRelation,
										scan->xs_snapshot);
		MemoryContextSwitchTo(old);
	}
	check_tid(scan, s, tid);
	return ann_heap_source_distance(s->heap, s->query, tid, distance);
}

/* Keep a result until its turn comes; late ones and NaN come last. */
static void
keep_hit(AnnScan *s, double low, double high, int num_tids, const ItemPointerData *tid,
		 ItemPointer tids)
{
	Hit		   *hit = new_result(s, low < s->returned || isnan(low) ? &s->late : &s->results);

	hit->low = low;
	hit->high = high;
	hit->num_tids = num_tids;
	hit->tid = *tid;
	hit->tids = tids;
}

/*
 * Keep a measured element.  Where its interval does not tell whether it is late,
 * its rows are kept one by one, with their own distances.
 */
static void
keep_result(IndexScanDesc scan, AnnScan *s, double low, double high,
			AnnElementRef ref, const AnnElement *element)
{
	int			num_tids = 1;
	ItemPointer tids = NULL;

	if (ItemPointerIsValid(&element->more.head))
	{
		int			capacity = 0;

		num_tids = ann_element_tids(scan->indexRelation, &s->info, ref, element, &tids,
									&capacity);
	}
	if (num_tids == 0)
		return;
	if (!(low < s->returned && s->returned <= high))
	{
		keep_hit(s, low, high, num_tids, &element->heap, tids);
		return;
	}
	for (int i = 0; i < num_tids; i++)
	{
		const ItemPointerData *tid = tids != NULL ? &tids[i] : &element->heap;

		if (row_distance(scan, s, tid, &low))
			keep_hit(s, low, low, 1, tid, NULL);
	}
	if (tids != NULL)
		pfree(tids);
}

/* The rows of a result. */
static const ItemPointerData *
result_tids(const Hit *result)
{
	return result->tids != NULL ? result->tids : &result->tid;
}

/*
 * Read a candidate and find its distance.  False if it is dead, or if the rows
 * themselves had to be asked and this snapshot sees none.
 */
static bool
measure(IndexScanDesc scan, AnnScan *s, AnnElementRef ref, double *low, double *high)
{
	if (!ann_element_read(scan->indexRelation, &s->info, ref, s->element))
		return false;
	if (s->info.meta.scalar == ANN_SCALAR_NONE)
	{
		/* rows are not merged: there is only one */
		if (!row_distance(scan, s, &s->element->heap, low))
			return false;
		*high = *low;
		return true;
	}
	ann_element_distance(&s->info, s->query, s->element, low, high);
	return true;
}

/* The first entries of the heap are the ones most likely to be measured next. */
static void
prefetch_candidates(IndexScanDesc scan, AnnScan *s)
{
	for (size_t i = 0; i < Min(s->candidates.size, PREFETCHED); i++)
		ann_element_prefetch(scan->indexRelation, &s->info,
							 key_element(s->candidates.entries[i].item));
}

/*
 * Measure candidates until the next bound is above the distance of the last
 * one that is wanted.
 */
static void
measure_candidates(IndexScanDesc scan, AnnScan *s)
{
	int			k = (int) Min(s->wanted, (double) s->candidates.size + s->results.count + 1);
	AnnThreshold nearest;
	AnnCandidate next;
	double		low,
				high;

	ann_threshold_init(&nearest,
					   MemoryContextAllocHuge(CurrentMemoryContext, sizeof(float) * k), k);
	for (int i = 0; i < s->results.count; i++)
		ann_threshold_offer(&nearest, (float) s->results.entries[i].high);
	while (ann_frontier_peek(&s->candidates) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		s->bound = bound_distance(s, ann_frontier_peek(&s->candidates)->cost);
		if (s->bound > ann_threshold_get(&nearest))
			break;
		ann_frontier_pop(&s->candidates, &next);
		prefetch_candidates(scan, s);
		if (measure(scan, s, key_element(next.item), &low, &high))
		{
			keep_result(scan, s, low, high, key_element(next.item), s->element);
			ann_threshold_offer(&nearest, (float) high);
		}
	}
	if (ann_frontier_peek(&s->candidates) == NULL)
		s->bound = get_float8_infinity();
	pfree(nearest.values);
}

static int
compare_results(const void *a, const void *b)
{
	double		x = ((const Hit *) a)->low,
				y = ((const Hit *) b)->low;

	return float8_cmp_internal(x, y);
}

/* ---- stages ---- */

/* One more stage; false when the pass over the rest is to come. */
static bool
next_stage(IndexScanDesc scan, AnnScan *s)
{
	if (s->info.meta.dim == 0 ||
		(s->frontier.size == 0 && s->leaves.inspected == s->leaves.count) ||
		(s->inspected > 0 && s->inspected >= REST_SHARE * s->chunk.rows * s->info.meta.trees) ||
		(s->inspected > 0 &&
		 s->seen.capacity * sizeof(uint64) > (Size) work_mem * 1024 / 4))
		return false;

	if (s->inspected > 0)
	{
		s->wanted *= 4;
		s->to_inspect *= 2;
	}
	gather(scan, s);
	inspect(scan, s);
	/* what was returned is gone: keep the others in front */
	if (s->next_result > 0)
		memmove(s->results.entries, s->results.entries + s->next_result,
				sizeof(Hit) * (s->results.count - s->next_result));
	s->results.count -= s->next_result;
	s->next_result = 0;
	measure_candidates(scan, s);
	qsort(s->results.entries, s->results.count, sizeof(Hit), compare_results);
	return true;
}

static void
add_row(AnnScan *s, RowArray *out, double distance, const ItemPointerData *tid)
{

	if (out->count == out->capacity)
	{
		out->capacity = Max(64, out->capacity * 2);
		out->rows = out->rows == NULL
			? MemoryContextAlloc(s->context, sizeof(Row) * out->capacity)
			: repalloc_huge(out->rows, sizeof(Row) * out->capacity);
	}
	out->rows[out->count].distance = distance;
	out->rows[out->count++].tid = *tid;
}

static void
add_out(AnnScan *s, double distance, const ItemPointerData *tid)
{
	add_row(s, &s->out, distance, tid);
}

static int
compare_rows(const void *a, const void *b)
{
	return float8_cmp_internal(((const Row *) a)->distance, ((const Row *) b)->distance);
}

/* Put the rows of a hit out, with their own distances if they may differ. */
static void
put_out(IndexScanDesc scan, AnnScan *s, const Hit *hit, bool exactly)
{
	double		distance = hit->low;

	for (int i = 0; i < hit->num_tids; i++)
	{
		const ItemPointerData *tid = &result_tids(hit)[i];

		if (exactly && hit->low != hit->high &&
			!row_distance(scan, s, tid, &distance))
			continue;
		if (isnan(distance))
			keep_hit(s, distance, distance, 1, tid, NULL);
		else
			add_out(s, distance, tid);
	}
}

/* Rows beyond what has not been measured wait among the results. */
static void
put_back(AnnScan *s)
{
	RowArray   *out = &s->out;
	HitArray   *results = &s->results;
	int			count = results->count;

	while (out->count > 0 && out->rows[out->count - 1].distance > s->bound)
	{
		const Row  *row = &out->rows[--out->count];

		keep_hit(s, row->distance, row->distance, 1, &row->tid, NULL);
	}
	if (results->count > count)
		qsort(results->entries + s->next_result, results->count - s->next_result,
			  sizeof(Hit), compare_results);
}

/*
 * Put out the results whose turn has come: the next one, and those whose
 * intervals overlap with it or with one another.  False if it is not below
 * what has not been measured.  There may be no row in it that is visible.
 */
static bool
return_results(IndexScanDesc scan, AnnScan *s)
{
	HitArray   *results = &s->results;
	int			first = s->next_result;
	double		high;
	bool		several;

	if (first >= results->count || results->entries[first].low > s->bound)
		return false;
	high = results->entries[first].high;
	for (s->next_result++; s->next_result < results->count; s->next_result++)
	{
		if (results->entries[s->next_result].low > Min(high, s->bound))
			break;
		high = Max(high, results->entries[s->next_result].high);
	}
	several = (s->next_result - first > 1 || results->entries[first].num_tids > 1 ||
			   high > s->bound);

	s->out.count = s->out.next = 0;
	for (int i = first; i < s->next_result; i++)
		put_out(scan, s, &results->entries[i], several);
	if (several)
	{
		qsort(s->out.rows, s->out.count, sizeof(Row), compare_rows);
		put_back(s);
		high = s->out.count > 0 ? s->out.rows[s->out.count - 1].distance : s->returned;
	}
	if (high > s->returned)
		s->returned = high;
	return true;
}

/* ---- the rest ---- */

/* The columns of the sort: distance and heap TID. */
static void
begin_sort(AnnScan *s)
{
	TupleDesc	desc = CreateTemplateTupleDesc(2);
	AttrNumber	column = 1;
	Oid			less = Float8LessOperator;
	Oid			collation = InvalidOid;
	bool		nulls_first = false;

	TupleDescInitEntry(desc, 1, "distance", FLOAT8OID, -1, 0);
	TupleDescInitEntry(desc, 2, "tid", INT8OID, -1, 0);
	s->sort = tuplesort_begin_heap(desc, 1, &column, &less, &collation,
								   &nulls_first, work_mem, NULL, TUPLESORT_RANDOMACCESS);
	s->slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
}

/*
 * Sort a row by its own distance, which the table tells unless the element does.
 * NaN is for behind the late rows.
 */
static void
sort_row(IndexScanDesc scan, AnnScan *s, double low, double high,
		 const ItemPointerData *tid)
{
	double		distance = low;

	if (low != high && !row_distance(scan, s, tid, &distance))
		return;
	if (isnan(distance))
	{
		add_row(s, &s->nan, distance, tid);
		return;
	}
	ExecClearTuple(s->slot);
	s->slot->tts_values[0] = Float8GetDatum(distance);
	s->slot->tts_values[1] = Int64GetDatum((int64) element_key(*tid));
	s->slot->tts_isnull[0] = s->slot->tts_isnull[1] = false;
	ExecStoreVirtualTuple(s->slot);
	tuplesort_puttupleslot(s->sort, s->slot);
}

static void
sort_results(IndexScanDesc scan, AnnScan *s, const HitArray *array, int first)
{
	for (int i = first; i < array->count; i++)
	{
		Hit		   *hit = &array->entries[i];

		for (int j = 0; j < hit->num_tids; j++)
			sort_row(scan, s, hit->low, hit->high, &result_tids(hit)[j]);
	}
}

/* The living elements of a page that no stage has measured. */
typedef struct PageElements
{
	const AnnScan *scan;
	int			count;
	AnnElementRef refs[MaxHeapTuplesPerPage * 2];
} PageElements;

static void
note_element(AnnElementRef ref, uint32 chunk, const AnnElement *element, void *state)
{
	PageElements *page = state;

	if (page->scan->seen.capacity > 0 &&
		ann_seen_contains(&page->scan->seen, element_key(ref)))
		return;
	if (page->count < (int) lengthof(page->refs))
		page->refs[page->count++] = ref;
}

static void
read_page(IndexScanDesc scan, AnnScan *s, BlockNumber block, PageElements *page)
{
	CHECK_FOR_INTERRUPTS();
	page->scan = s;
	page->count = 0;
	if (s->info.meta.dim != 0)
		ann_element_page_visit(scan->indexRelation, &s->info, block, NULL,
							   note_element, page);
}

/* Measure an element of the pass, and sort its rows. */
static void
sort_element(IndexScanDesc scan, AnnScan *s, AnnElementRef ref)
{
	double		low,
				high;
	ItemPointer tids = NULL;
	int			capacity = 0,
				n;

	if (!measure(scan, s, ref, &low, &high))
		return;
	n = ann_element_tids(scan->indexRelation, &s->info, ref, s->element, &tids, &capacity);
	for (int i = 0; i < n; i++)
		sort_row(scan, s, low, high, &tids[i]);
	if (tids != NULL)
		pfree(tids);
}

/*
 * Everything that no stage has returned: candidates left over, results, late
 * rows, and all other elements, sorted.
 */
static void
start_rest(IndexScanDesc scan, AnnScan *s)
{
	BlockNumber blocks = RelationGetNumberOfBlocks(scan->indexRelation);
	PageElements page;

	s->wanted = get_float8_infinity();
	if (s->info.meta.dim != 0)
		measure_candidates(scan, s);
	begin_sort(s);
	sort_results(scan, s, &s->results, s->next_result);
	sort_results(scan, s, &s->late, 0);
	for (BlockNumber block = ANN_DIRECTORY_BLOCK + 1; block < blocks; block++)
	{
		read_page(scan, s, block, &page);
		for (int i = 0; i < page.count; i++)
			sort_element(scan, s, page.refs[i]);
	}
	tuplesort_performsort(s->sort);
	s->late_below = s->returned;
}

/* The next row of the sort that is late, or is not. */
static bool
return_sorted(AnnScan *s, bool late)
{
	while (tuplesort_gettupleslot(s->sort, true, false, s->slot, NULL))
	{
		bool		isnull;
		double		distance = DatumGetFloat8(slot_getattr(s->slot, 1, &isnull));
		int64		key = DatumGetInt64(slot_getattr(s->slot, 2, &isnull));
		ItemPointerData tid = key_element((uint64) key);

		if ((distance < s->late_below) != late)
		{
			if (late)
				return false;
			continue;
		}
		s->out.count = s->out.next = 0;
		add_out(s, distance, &tid);
		return true;
	}
	return false;
}

/* ---- rows without order ---- */

/* Add rows to those that are returned next, without a distance. */
static void
add_out_tids(AnnScan *s, ItemPointer tids, int n)
{
	for (int i = 0; i < n; i++)
		add_out(s, get_float8_nan(), &tids[i]);
	if (tids != NULL)
		pfree(tids);
}

/* The rows of the next page of elements, whatever their distance. */
static bool
return_unordered(IndexScanDesc scan, AnnScan *s)
{
	PageElements page;

	if (s->num_blocks == InvalidBlockNumber)
	{
		s->num_blocks = RelationGetNumberOfBlocks(scan->indexRelation);
		s->next_block = ANN_DIRECTORY_BLOCK + 1;
		s->element = palloc(Max(s->info.element_size, 1));
	}
	s->out.count = s->out.next = 0;
	while (s->out.count == 0 && s->next_block < s->num_blocks)
	{
		read_page(scan, s, s->next_block++, &page);
		for (int i = 0; i < page.count; i++)
		{
			ItemPointer tids = NULL;
			int			capacity = 0;

			if (ann_element_read(scan->indexRelation, &s->info, page.refs[i], s->element))
			{
				int			n = ann_element_tids(scan->indexRelation, &s->info,
												 page.refs[i], s->element,
												 &tids, &capacity);

				add_out_tids(s, tids, n);
			}
		}
	}
	return s->out.count > 0;
}

/* All rows of a list of the chunk. */
static bool
return_list(IndexScanDesc scan, AnnScan *s, Size list)
{
	ItemPointer tids = NULL;
	int			capacity = 0,
				n;

	s->out.count = s->out.next = 0;
	n = ann_chunk_tids(scan->indexRelation, 0, list, &tids, &capacity);
	add_out_tids(s, tids, n);
	return s->out.count > 0;
}

/* Rows without a distance: those that are known for it, and those found so. */
static bool
return_undefined(IndexScanDesc scan, AnnScan *s)
{
	return_list(scan, s, offsetof(AnnChunk, undefined));
	for (int i = 0; i < s->nan.count; i++)
		add_out(s, get_float8_nan(), &s->nan.rows[i].tid);
	return s->out.count > 0;
}

/* ---- the scan as a whole ---- */

/* The zero vector has no direction, and nothing a cosine with it. */
static bool
has_distances(const AnnScan *s)
{
	return s->query == NULL || s->query->norm > 0 ||
		s->info.meta.metric != ANN_METRIC_COSINE;
}

static void
start_scan(IndexScanDesc scan, AnnScan *s)
{
	double		rows;
	double		limit = ann_limit_for_scan(scan, &rows);

	pgstat_count_index_scan(scan->indexRelation);
	ann_count_search(scan);
	if (s->null_query || !has_distances(s))
	{
		s->phase = PHASE_UNORDERED;
		return;
	}
	s->wanted = limit > 0 ? limit : DEFAULT_LIMIT;
	s->to_inspect = ann_search_rows(s->chunk.rows, s->wanted, s->info.meta.trees);
	s->phase = PHASE_STAGES;

	/* so many that late rows might be among them: no row may come before another */
	rows = Min(rows, s->chunk.rows);
	if (s->wanted * 8 > rows)
		rows = Min(rows, ann_live_rows(scan->heapRelation, rows));
	if (s->wanted * 2 > rows)
	{
		start_rest(scan, s);
		s->phase = PHASE_REST;
	}
}

/*
 * Put out the next rows; false at the end.
 */
static bool
next_rows(IndexScanDesc scan, AnnScan *s)
{
	while (true)
	{
		switch (s->phase)
		{
			case PHASE_START:
				start_scan(scan, s);
				break;
			case PHASE_STAGES:
				if (return_results(scan, s))
					return true;
				if (!next_stage(scan, s))
				{
					start_rest(scan, s);
					s->phase = PHASE_REST;
				}
				break;
			case PHASE_REST:
				if (return_sorted(s, false))
					return true;
				tuplesort_rescan(s->sort);
				s->phase = PHASE_LATE;
				break;
			case PHASE_LATE:
				if (return_sorted(s, true))
					return true;
				s->phase = PHASE_UNDEFINED;
				break;
			case PHASE_UNORDERED:
				if (return_unordered(scan, s))
					return true;
				s->phase = PHASE_UNDEFINED;
				break;
			case PHASE_UNDEFINED:
				s->phase = PHASE_NULLS;
				if (return_undefined(scan, s))
					return true;
				break;
			case PHASE_NULLS:
				s->phase = PHASE_END;
				s->null_query = true;	/* the distance of a NULL is NULL, too */
				return return_list(scan, s, offsetof(AnnChunk, nulls));
			case PHASE_END:
				return false;
		}
	}
}

bool
ann_gettuple(IndexScanDesc scan, ScanDirection direction)
{
	AnnScan    *s = scan->opaque;
	Row		   *row;

	Assert(ScanDirectionIsForward(direction));
	while (s->out.next == s->out.count)
	{
		MemoryContext old = MemoryContextSwitchTo(s->context);
		bool		found = next_rows(scan, s);

		MemoryContextSwitchTo(old);
		if (!found)
			return false;
	}
	row = &s->out.rows[s->out.next++];
	check_tid(scan, s, &row->tid);
	scan->xs_heaptid = row->tid;
	scan->xs_recheck = false;
	scan->xs_recheckorderby = false;
	if (scan->numberOfOrderBys > 0)
	{
		scan->xs_orderbyvals[0] = Float8GetDatum(row->distance);
		scan->xs_orderbynulls[0] = s->null_query;
	}
	return true;
}
