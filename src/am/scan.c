/*
 * scan.c
 *	  ORDER BY distance: rows in ascending distance, all of them if one reads
 *	  on.  WHERE distance < radius: those that are within it.
 *
 * A scan goes through stages.  Each finds and measures more elements than the one
 * before, in the way of the method (scan_forest.c, scan_graph.c); then those are
 * returned that are nearer than what may not have been found.
 *
 * The first stage is broad enough for the LIMIT, where there is one, so that
 * most scans have only that.  When a good part of the index has been inspected,
 * the rest follows by one pass over all elements and a sort.  A row that turns
 * up when farther ones have been returned is late, and comes after all others;
 * then those without a distance, then those without a vector.
 *
 * Elements tell distances as intervals (element.h).  Where the intervals of
 * neighbours overlap, the table is asked which row is the nearer.
 *
 * A range is a ball around the query (ball.h).  When a stage has found fewer rows in
 * it than it was broad enough for, these are all, and the scan ends with them.  Unless
 * a LIMIT is met before, nothing of a range in order is returned until then, so
 * that no row of it is late.  Without an order, rows are returned as they are found.
 * Those that may be outside by their interval are to be rechecked.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "access/genam.h"
#include "access/tableam.h"
#include "am/ball.h"
#include "am/calibration.h"
#include "am/leaf_search.h"
#include "am/limit.h"
#include "am/method.h"
#include "am/options.h"
#include "am/scan.h"
#include "am/source.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type_d.h"
#include "compat.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "store/tids.h"
#include "utils/float.h"
#include "utils/memutils.h"

/* Rows that a scan is prepared to return when nothing tells how many. */
#define DEFAULT_LIMIT 100

/*
 * The first stage of a range is broad enough for so many times the rows that are
 * expected in it, and so many more.
 */
#define RANGE_MARGIN 1.25
#define RANGE_MINIMUM 10

/* But not for more than this: around a query that is far from all rows there are fewer. */
#define RANGE_MAXIMUM 256

/*
 * Where a filter refuses rows, the first stage finds so many times as many as are expected
 * to be needed, but no more than this.
 */
#define FILTER_MARGIN 1.25
#define FILTER_MAXIMUM 2048

/*
 * Among so many times the rows wanted, counting those that are dead and have not
 * been vacuumed, there may be too few that are visible.
 */
#define DEAD_SHARE 100

/*
 * Under inner product, a query is searched for with a length of so many times that of
 * the longest row, which may be much longer than all others.
 */
#define MIN_NORMS 0.25
#define MAX_NORMS 16

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

/* The elements of an array as doubles: its own life ends with the expression. */
static const double *
read_vector(Datum argument, int *dim)
{
	ArrayType  *array = DatumGetArrayTypePCopy(argument);
	double	   *values;

	*dim = ann_source_check(array);
	values = palloc(sizeof(double) * *dim);
	ann_source_doubles(array, *dim, values);
	pfree(array);
	return values;
}

/* The query that rows are ordered by. */
static void
read_order(IndexScanDesc scan, AnnScan *s)
{
	ScanKey		order = scan->numberOfOrderBys > 0 ? &scan->orderByData[0] : NULL;

	s->ordered = (order != NULL);
	s->null_query = (order == NULL || (order->sk_flags & SK_ISNULL));
	if (!s->null_query)
		s->values = read_vector(order->sk_argument, &s->dim);
}

/*
 * A ball that rows are to be in.  Without an order its centre is the query; with one
 * around the same query the scan ends at the radius.  Another ball than that
 * one is left to the recheck.  False if it is NULL: then nothing is in it.
 */
static bool
read_range(IndexScanDesc scan, AnnScan *s, const ScanKeyData *key)
{
	AnnBall		ball;
	const double *centre;
	int			dim;

	if (!ann_is_ball_key(key))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("index \"%s\" cannot search by the operator of its strategy %d",
						RelationGetRelationName(scan->indexRelation), key->sk_strategy),
				 errdetail("The operator is not of the extension ann."),
				 errhint("Use an operator class that comes with the extension, for example real_l2_ops.")));
	if ((key->sk_flags & SK_ISNULL) || !ann_ball_read(key->sk_argument, &ball))
		return false;
	centre = read_vector(ball.centre, &dim);
	if (!s->ordered && !s->has_range)
	{
		s->values = centre;
		s->dim = dim;
		s->null_query = false;
	}
	s->has_range = true;
	if (s->null_query || dim != s->dim ||
		memcmp(centre, s->values, sizeof(double) * dim) != 0)
		s->recheck = true;
	else if (!isnan(ball.radius))
	{
		s->has_end = true;
		s->radius = Min(s->radius, ball.radius);
	}
	return true;
}

/* What is asked for.  False if that is nothing. */
static bool
read_keys(IndexScanDesc scan, AnnScan *s)
{
	read_order(scan, s);
	for (int i = 0; i < scan->numberOfKeys; i++)
	{
		if (!read_range(scan, s, &scan->keyData[i]))
			return false;
	}
	return true;
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
 * What the query is multiplied by for the search.  Under cosine and inner product its
 * direction is all that counts, and not to be lost where its length is out of the range
 * of floats.  Under inner product estimates are of distances: those from a query that
 * is much longer or shorter than the rows tell nothing of it.
 */
static double
query_scale(const AnnScan *s)
{
	double		norm = s->query->norm;
	double		most = s->max_norm;

	if (!(norm > 0 && norm <= DBL_MAX))
		return 1;
	if (s->info.meta.metric == ANN_METRIC_COSINE)
		return 1 / norm;
	if (s->info.meta.metric == ANN_METRIC_IP && most > 0)
		return Max(Min(norm, most * MAX_NORMS), most * MIN_NORMS) / norm;
	return 1;
}

/* The query as floats. */
static const float *
query_floats(const AnnScan *s)
{
	double	   *scaled = palloc(sizeof(double) * s->dim);
	AnnVector	vector = {s->dim, true, scaled};

	for (int i = 0; i < s->dim; i++)
		scaled[i] = s->values[i] * s->scale;
	return ann_source_floats(&vector, s->info.centre, palloc(sizeof(float) * s->dim));
}

/* What the search needs of the query. */
static void
start_search(IndexScanDesc scan, AnnScan *s)
{
	s->query = ann_query_make(&s->info, s->values);
	s->scale = query_scale(s);
	s->v = ann_tree_vector_alloc(&s->info);
	ann_tree_vector_query(&s->info, query_floats(s), s->v);
	s->element = palloc(s->info.element_size);
	s->method = s->info.meta.method == ANN_METHOD_HNSW ? &ann_graph_search : &ann_forest_search;
	s->search = s->method->begin(scan, s);
}

/* Forget the query, and be ready for the next one. */
static void
reset_scan(AnnScan *s)
{
	MemoryContext context = s->context;

	free_scan(s);
	memset(s, 0, sizeof(AnnScan));
	s->context = context;
	s->phase = ANN_SCAN_START;
	s->num_blocks = InvalidBlockNumber;
	s->returned = -get_float8_infinity();
	s->excluded = ANN_SEEN_NOTHING;
	s->radius = get_float8_infinity();
	s->left = get_float8_infinity();
}

/* What is known of the index; from here on its cache may be taken away. */
static void
read_numbers(IndexScanDesc scan, AnnScan *s)
{
	s->info = *ann_index_chunks(scan->indexRelation, &s->chunks, &s->num_chunks);
	if (s->info.calibration != NULL)
		s->info.calibration = memcpy(palloc(sizeof(AnnCalibration)), s->info.calibration,
									 sizeof(AnnCalibration));
	for (uint32 i = 0; i < s->num_chunks; i++)
	{
		s->rows += (double) s->chunks[i].rows;
		s->max_norm = Max(s->max_norm, s->chunks[i].max_norm);
	}
}

void
ann_rescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys,
		   int norderbys)
{
	AnnScan  *s = scan->opaque;
	MemoryContext old;

	if (keys != NULL && scan->numberOfKeys > 0)
		memmove(scan->keyData, keys, sizeof(ScanKeyData) * scan->numberOfKeys);
	if (orderbys != NULL && scan->numberOfOrderBys > 0)
		memmove(scan->orderByData, orderbys, sizeof(ScanKeyData) * scan->numberOfOrderBys);
	reset_scan(s);
	old = MemoryContextSwitchTo(s->context);

	s->phase = read_keys(scan, s) ? ANN_SCAN_START : ANN_SCAN_END;

	/* from here on no catalog is read, which could take the numbers away */
	read_numbers(scan, s);
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

/* ---- measure ---- */

/* The squared norm of the query as the search has it. */
static double
scaled_norm2(const AnnScan *s)
{
	double		norm = s->query->norm * s->scale;

	return norm * norm;
}

double
ann_scan_code_distance(const AnnScan *s, float code)
{
	switch ((AnnMetric) s->info.meta.metric)
	{
		case ANN_METRIC_L2:
			return sqrt(Max(code, 0));
		case ANN_METRIC_COSINE:
			return code / 2;
		case ANN_METRIC_IP:
			return (code - scaled_norm2(s)) / 2 / s->scale;
	}
	return 0;
}

float
ann_scan_distance_code(const AnnScan *s, double distance)
{
	switch ((AnnMetric) s->info.meta.metric)
	{
		case ANN_METRIC_L2:
			return (float) (distance * distance);
		case ANN_METRIC_COSINE:
			return (float) (distance * 2);
		case ANN_METRIC_IP:
			return (float) (distance * 2 * s->scale + scaled_norm2(s));
	}
	return 0;
}

static AnnHit *
new_result(AnnScan *s, AnnHitArray *array)
{
	if (array->count == array->capacity)
	{
		array->capacity = Max(64, array->capacity * 2);
		array->entries = array->entries == NULL
			? MemoryContextAlloc(s->context, sizeof(AnnHit) * array->capacity)
			: repalloc_huge(array->entries, sizeof(AnnHit) * array->capacity);
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

bool
ann_scan_row_distance(IndexScanDesc scan, AnnScan *s, const ItemPointerData *tid,
					  double *distance)
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
	AnnHit		   *hit = new_result(s, low < s->returned || isnan(low) ? &s->late : &s->results);

	hit->low = low;
	hit->high = high;
	hit->num_tids = num_tids;
	hit->tid = *tid;
	hit->tids = tids;
}

/*
 * Where the interval does not tell whether the element is late, its rows are kept
 * one by one, with their own distances.
 */
void
ann_scan_keep(IndexScanDesc scan, AnnScan *s, double low, double high,
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

		if (ann_scan_row_distance(scan, s, tid, &low))
			keep_hit(s, low, low, 1, tid, NULL);
	}
	if (tids != NULL)
		pfree(tids);
}

/* The rows of a result. */
static const ItemPointerData *
result_tids(const AnnHit *result)
{
	return result->tids != NULL ? result->tids : &result->tid;
}

bool
ann_scan_measure(IndexScanDesc scan, AnnScan *s, AnnElementRef ref, double *low,
				 double *high)
{
	if (!ann_element_read(scan->indexRelation, &s->info, ref, s->element))
		return false;
	if (s->info.meta.scalar == ANN_SCALAR_NONE)
	{
		/* rows are not merged: there is only one */
		if (!ann_scan_row_distance(scan, s, &s->element->heap, low))
			return false;
		*high = *low;
		return true;
	}
	ann_element_distance(&s->info, s->query, s->element, low, high);
	return true;
}

static int
compare_results(const void *a, const void *b)
{
	double		x = ((const AnnHit *) a)->low,
				y = ((const AnnHit *) b)->low;

	return float8_cmp_internal(x, y);
}

/* ---- stages ---- */

/* What was returned is gone: keep the others in front. */
static void
drop_returned(AnnScan *s)
{
	if (s->next_result > 0)
		memmove(s->results.entries, s->results.entries + s->next_result,
				sizeof(AnnHit) * (s->results.count - s->next_result));
	s->results.count -= s->next_result;
	s->next_result = 0;
}

/* Has the first stage found as many rows as are wanted that the snapshot sees? */
static bool
enough_visible(IndexScanDesc scan, AnnScan *s)
{
	double		visible = 0;

	for (int i = 0; i < s->results.count && visible < s->wanted; i++)
	{
		const AnnHit *hit = &s->results.entries[i];

		for (int j = 0; j < hit->num_tids && visible < s->wanted; j++)
		{
			ItemPointerData tid = result_tids(hit)[j];

			CHECK_FOR_INTERRUPTS();
			check_tid(scan, s, &tid);
			if (table_index_fetch_tuple_check(scan->heapRelation, &tid, scan->xs_snapshot, NULL))
				visible++;
		}
	}
	return visible >= s->wanted;
}

/* One more stage; false when the pass over the rest is to come. */
static bool
search_stage(IndexScanDesc scan, AnnScan *s)
{
	bool		found;

	if (s->info.meta.dim == 0 || !s->method->goes_on(s))
		return false;
	if (s->stages > 0)
	{
		if (s->method->memory(s) > (Size) work_mem * 1024 / 4)
			return false;
		s->wanted *= 4;
	}
	s->stages++;
	drop_returned(s);
	found = s->method->stage(scan, s);
	qsort(s->results.entries, s->results.count, sizeof(AnnHit), compare_results);
	return found;
}

/*
 * Has the stage been broad enough for all that is in the range?  Rows that have been
 * returned, and those that nobody sees, have been wanted, too: the bound tells.
 */
static bool
found_range(const AnnScan *s)
{
	int			inside = 0;

	while (inside < s->results.count && s->results.entries[inside].low <= s->radius)
		inside++;
	return inside < s->wanted && s->bound > s->radius;
}

/*
 * Stages until there may be something to return; false when the pass over the rest
 * is to come.  It comes after a stage that says so, and after the first one where
 * late rows would have to make up the LIMIT.
 */
static bool
next_stage(IndexScanDesc scan, AnnScan *s)
{
	do
	{
		if (!search_stage(scan, s))
			return false;
		s->complete = s->has_end && found_range(s);
	} while (s->has_end && !s->complete && s->wanted < s->limit);

	if (s->complete)
		s->bound = get_float8_infinity();
	return s->complete || s->stages > 1 || s->wanted * DEAD_SHARE <= s->rows ||
		enough_visible(scan, s);
}

static void
add_row(AnnScan *s, AnnRowArray *out, double distance, const ItemPointerData *tid)
{

	if (out->count == out->capacity)
	{
		out->capacity = Max(64, out->capacity * 2);
		out->rows = out->rows == NULL
			? MemoryContextAlloc(s->context, sizeof(AnnRow) * out->capacity)
			: repalloc_huge(out->rows, sizeof(AnnRow) * out->capacity);
	}
	out->rows[out->count].distance = distance;
	out->rows[out->count].recheck = false;
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
	return float8_cmp_internal(((const AnnRow *) a)->distance, ((const AnnRow *) b)->distance);
}

/* Is this distance beyond the end of the scan? */
static bool
is_beyond(const AnnScan *s, double distance)
{
	return s->has_end && !(distance <= s->radius);
}

/* Put the rows of a hit out, with their own distances if they may differ. */
static void
put_out(IndexScanDesc scan, AnnScan *s, const AnnHit *hit, bool exactly)
{
	double		distance = hit->low;

	for (int i = 0; i < hit->num_tids; i++)
	{
		const ItemPointerData *tid = &result_tids(hit)[i];

		if (exactly && hit->low != hit->high &&
			!ann_scan_row_distance(scan, s, tid, &distance))
			continue;
		if (is_beyond(s, distance))
			continue;
		if (isnan(distance))
			keep_hit(s, distance, distance, 1, tid, NULL);
		else
		{
			add_out(s, distance, tid);
			s->out.rows[s->out.count - 1].recheck = !exactly && hit->high > s->radius;
		}
	}
}

/* Rows beyond what has not been measured wait among the results. */
static void
put_back(AnnScan *s)
{
	AnnRowArray   *out = &s->out;
	AnnHitArray   *results = &s->results;
	int			count = results->count;

	while (out->count > 0 && out->rows[out->count - 1].distance > s->bound)
	{
		const AnnRow  *row = &out->rows[--out->count];

		keep_hit(s, row->distance, row->distance, 1, &row->tid, NULL);
	}
	if (results->count > count)
		qsort(results->entries + s->next_result, results->count - s->next_result,
			  sizeof(AnnHit), compare_results);
}

/*
 * Put out the results whose turn has come: the next one, and those whose
 * intervals overlap with it or with one another.  False if it is not below
 * what has not been measured.  There may be no row in it that is visible.
 */
static bool
return_results(IndexScanDesc scan, AnnScan *s)
{
	AnnHitArray   *results = &s->results;
	int			first = s->next_result;
	double		end = Min(s->bound, s->radius);
	double		high;
	bool		several;

	if (first >= results->count || results->entries[first].low > end)
		return false;
	high = results->entries[first].high;
	for (s->next_result++; s->next_result < results->count; s->next_result++)
	{
		if (results->entries[s->next_result].low > Min(high, end))
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
		qsort(s->out.rows, s->out.count, sizeof(AnnRow), compare_rows);
		put_back(s);
		high = s->out.count > 0 ? s->out.rows[s->out.count - 1].distance : s->returned;
	}
	if (high > s->returned)
		s->returned = high;
	return true;
}

/* Put out all of the range that the stage has found, in no order. */
static bool
return_range(IndexScanDesc scan, AnnScan *s)
{
	s->out.count = s->out.next = 0;
	while (s->next_result < s->results.count &&
		   s->results.entries[s->next_result].low <= s->radius)
		put_out(scan, s, &s->results.entries[s->next_result++], false);
	return s->out.count > 0;
}

/* Put out the late rows of a range, of which there is nothing else. */
static bool
return_late(IndexScanDesc scan, AnnScan *s)
{
	int			count = s->late.count;

	s->out.count = s->out.next = 0;
	for (int i = 0; i < count; i++)
	{
		AnnHit		hit = s->late.entries[i];

		put_out(scan, s, &hit, true);
	}
	s->late.count = 0;
	qsort(s->out.rows, s->out.count, sizeof(AnnRow), compare_rows);
	return s->out.count > 0;
}

/* ---- the rest ---- */

/* The columns of the sort: what is known of the distance, and the heap TID. */
enum
{
	SORT_LOW = 1,
	SORT_HIGH,
	SORT_TID
};

static void
begin_sort(AnnScan *s)
{
	TupleDesc	desc = CreateTemplateTupleDesc(SORT_TID);
	AttrNumber	column = SORT_LOW;
	Oid			less = Float8LessOperator;
	Oid			collation = InvalidOid;
	bool		nulls_first = false;

	TupleDescInitEntry(desc, SORT_LOW, "low", FLOAT8OID, -1, 0);
	TupleDescInitEntry(desc, SORT_HIGH, "high", FLOAT8OID, -1, 0);
	TupleDescInitEntry(desc, SORT_TID, "tid", INT8OID, -1, 0);
	s->sort = tuplesort_begin_heap(desc, 1, &column, &less, &collation,
								   &nulls_first, work_mem, NULL, TUPLESORT_RANDOMACCESS);
	s->slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
}

/*
 * Sort a row by what is known of its distance.  NaN is for behind the late rows; what is
 * beyond the end is not for any place.
 */
static void
sort_row(AnnScan *s, double low, double high, const ItemPointerData *tid)
{
	if (is_beyond(s, low))
		return;
	if (isnan(low))
	{
		add_row(s, &s->nan, low, tid);
		return;
	}
	ExecClearTuple(s->slot);
	s->slot->tts_values[SORT_LOW - 1] = Float8GetDatum(low);
	s->slot->tts_values[SORT_HIGH - 1] = Float8GetDatum(high);
	s->slot->tts_values[SORT_TID - 1] = Int64GetDatum((int64) ann_element_key(*tid));
	memset(s->slot->tts_isnull, 0, sizeof(bool) * SORT_TID);
	ExecStoreVirtualTuple(s->slot);
	tuplesort_puttupleslot(s->sort, s->slot);
}

static void
sort_results(AnnScan *s, const AnnHitArray *array, int first)
{
	for (int i = first; i < array->count; i++)
	{
		AnnHit		   *hit = &array->entries[i];

		for (int j = 0; j < hit->num_tids; j++)
			sort_row(s, hit->low, hit->high, &result_tids(hit)[j]);
	}
}

/* An element of a page, without its vector, and its distance if that is known. */
typedef struct PageElement
{
	AnnElementRef ref;
	bool		measured;
	double		low;
	double		high;
	AnnElement	element;
} PageElement;

/* The living elements of a page that no stage has measured. */
typedef struct PageElements
{
	const AnnScan *scan;
	int			count;
	PageElement elements[ANN_MAX_PAGE_ELEMENTS];
} PageElements;

/* AnnElementVisitor.  What is there as a whole is measured there and then. */
static void
note_element(AnnElementRef ref, uint32 chunk, const AnnElement *element, void *state)
{
	PageElements *page = state;
	const AnnScan *s = page->scan;
	const AnnIndex *info = &s->info;
	PageElement *noted = &page->elements[page->count];

	if (page->count == ANN_MAX_PAGE_ELEMENTS ||
		(s->method != NULL && s->method->seen(s, chunk, ann_element_key(ref))))
		return;
	page->count++;
	noted->ref = ref;
	memcpy(&noted->element, element, offsetof(AnnElement, vector));
	noted->measured = s->method != NULL && info->meta.scalar != ANN_SCALAR_NONE &&
		info->element_size <= info->slot_size;
	if (noted->measured)
		ann_element_distance(info, s->query, element, &noted->low, &noted->high);
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
sort_element(IndexScanDesc scan, AnnScan *s, PageElement *noted)
{
	const AnnElement *element = &noted->element;
	ItemPointer tids = NULL;
	int			capacity = 0,
				n;

	if (!noted->measured)
	{
		if (!ann_scan_measure(scan, s, noted->ref, &noted->low, &noted->high))
			return;
		element = s->element;
	}
	if (is_beyond(s, noted->low))
		return;
	if (!ItemPointerIsValid(&element->more.head))
	{
		sort_row(s, noted->low, noted->high, &element->heap);
		return;
	}
	n = ann_element_tids(scan->indexRelation, &s->info, noted->ref, element, &tids, &capacity);
	for (int i = 0; i < n; i++)
		sort_row(s, noted->low, noted->high, &tids[i]);
	if (tids != NULL)
		pfree(tids);
}

/* A row of the sort whose distance is known. */
typedef struct RestRow
{
	pairingheap_node node;
	double		distance;
	ItemPointerData tid;
} RestRow;

/* pairingheap_comparator: the least distance comes first. */
static int
compare_rest(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	return float8_cmp_internal(pairingheap_const_container(RestRow, node, b)->distance,
							   pairingheap_const_container(RestRow, node, a)->distance);
}

/* Read the sort from its beginning. */
static void
read_sorted(AnnScan *s)
{
	s->rest = pairingheap_allocate(compare_rest, NULL);
	s->has_next = tuplesort_gettupleslot(s->sort, true, false, s->slot, NULL);
}

/*
 * Everything that no stage has returned: candidates left over, results, late
 * rows, and all other elements, sorted.
 */
static void
start_rest(IndexScanDesc scan, AnnScan *s)
{
	BlockNumber blocks = RelationGetNumberOfBlocks(scan->indexRelation);
	PageElements *page = palloc(sizeof(PageElements));

	if (s->info.meta.dim != 0)
		s->method->finish(scan, s);
	begin_sort(s);
	sort_results(s, &s->results, s->next_result);
	sort_results(s, &s->late, 0);
	for (BlockNumber block = ANN_DIRECTORY_BLOCK + 1; block < blocks; block++)
	{
		read_page(scan, s, block, page);
		for (int i = 0; i < page->count; i++)
			sort_element(scan, s, &page->elements[i]);
	}
	pfree(page);
	tuplesort_performsort(s->sort);
	s->late_below = s->returned;
	read_sorted(s);
}

static double
sorted_distance(AnnScan *s, AttrNumber column)
{
	bool		isnull;

	return DatumGetFloat8(slot_getattr(s->slot, column, &isnull));
}

/* Find the distance of the next row of the sort; it is left out unless it is late, or not. */
static void
know_next(IndexScanDesc scan, AnnScan *s, bool late)
{
	double		distance = sorted_distance(s, SORT_LOW);
	double		high = sorted_distance(s, SORT_HIGH);
	bool		isnull;
	int64		key = DatumGetInt64(slot_getattr(s->slot, SORT_TID, &isnull));
	ItemPointerData tid = ann_key_element((uint64) key);
	RestRow    *row;

	s->has_next = tuplesort_gettupleslot(s->sort, true, false, s->slot, NULL);
	if (!late && high < s->late_below)
		return;
	if (distance != high && !ann_scan_row_distance(scan, s, &tid, &distance))
		return;
	if (isnan(distance) && !late)
		add_row(s, &s->nan, distance, &tid);
	if (isnan(distance) || is_beyond(s, distance) || (distance < s->late_below) != late)
		return;
	row = palloc(sizeof(RestRow));
	row->distance = distance;
	row->tid = tid;
	pairingheap_add(s->rest, &row->node);
}

/*
 * The next row that is late, or is not.  The table is asked for the distances of those
 * only that may be nearer than what is returned.
 */
static bool
return_sorted(IndexScanDesc scan, AnnScan *s, bool late)
{
	for (;;)
	{
		double		next = s->has_next ? sorted_distance(s, SORT_LOW) : get_float8_infinity();
		bool		ends = !s->has_next || (late && next >= s->late_below);
		RestRow    *row = pairingheap_is_empty(s->rest) ? NULL
			: pairingheap_container(RestRow, node, pairingheap_first(s->rest));

		CHECK_FOR_INTERRUPTS();
		if (row != NULL && (ends || row->distance <= next))
		{
			s->out.count = s->out.next = 0;
			add_out(s, row->distance, &row->tid);
			pairingheap_remove_first(s->rest);
			pfree(row);
			return true;
		}
		if (ends)
			return false;
		know_next(scan, s, late);
	}
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
	PageElements *page = palloc(sizeof(PageElements));

	if (s->num_blocks == InvalidBlockNumber)
	{
		s->num_blocks = RelationGetNumberOfBlocks(scan->indexRelation);
		s->next_block = ANN_DIRECTORY_BLOCK + 1;
	}
	s->out.count = s->out.next = 0;
	while (s->out.count == 0 && s->next_block < s->num_blocks)
	{
		read_page(scan, s, s->next_block++, page);
		for (int i = 0; i < page->count; i++)
		{
			ItemPointer tids = NULL;
			int			capacity = 0;
			int			n = ann_element_tids(scan->indexRelation, &s->info, page->elements[i].ref,
											 &page->elements[i].element, &tids, &capacity);

			add_out_tids(s, tids, n);
		}
	}
	pfree(page);
	return s->out.count > 0;
}

/* All rows of the next chunk that has some in this list; false at the end. */
static bool
return_list(IndexScanDesc scan, AnnScan *s, Size list)
{
	s->out.count = s->out.next = 0;
	while (s->out.count == 0 && s->next_list < s->num_chunks)
	{
		ItemPointer tids = NULL;
		int			capacity = 0;
		int			n = ann_chunk_tids(scan->indexRelation, s->next_list++, list, &tids,
									   &capacity);

		CHECK_FOR_INTERRUPTS();
		add_out_tids(s, tids, n);
	}
	return s->out.count > 0;
}

/* Rows that have been found to have no distance. */
static bool
return_nan(AnnScan *s)
{
	s->out.count = s->out.next = 0;
	for (int i = 0; i < s->nan.count; i++)
		add_out(s, get_float8_nan(), &s->nan.rows[i].tid);
	s->nan.count = 0;
	return s->out.count > 0;
}

/* ---- calibration ---- */

int
ann_scan_probe(IndexScanDesc scan, const double *values, uint64 excluded, int wanted,
			   double setting, double distance)
{
	AnnScan    *s = scan->opaque;
	MemoryContext old;
	int			n = 0;

	reset_scan(s);
	old = MemoryContextSwitchTo(s->context);
	read_numbers(scan, s);
	s->dim = (int) s->info.meta.dim;
	s->values = values;
	s->excluded = excluded;
	s->setting = setting;
	s->wanted = wanted;
	start_search(scan, s);
	s->stages = 1;
	(void) s->method->stage(scan, s);
	for (int i = 0; i < s->results.count; i++)
		n += (s->results.entries[i].low + s->results.entries[i].high) / 2 <= distance;
	MemoryContextSwitchTo(old);
	return Min(n, wanted);
}

/* ---- the scan as a whole ---- */

/* The zero vector has no direction, and nothing a cosine with it. */
static bool
has_distances(const AnnScan *s)
{
	return s->query == NULL || s->query->norm > 0 ||
		s->info.meta.metric != ANN_METRIC_COSINE;
}

/*
 * How broad the first stage is to be for what is in the range, up to the LIMIT.  If
 * there is a filter beside the range, what is in order goes on to its end
 * unless the LIMIT is sure to be met before.
 */
static void
start_range(IndexScanDesc scan, AnnScan *s, double limit, double matches)
{
	double		share = -1;

	if (s->query != NULL)
		share = ann_calibration_share(scan->indexRelation, s->radius, s->query->norm);
	s->wanted = share < 0 ? DEFAULT_LIMIT
		: ceil(share * s->rows * RANGE_MARGIN) + RANGE_MINIMUM;
	if (s->wanted * 2 <= s->rows)
		s->wanted = Min(s->wanted, RANGE_MAXIMUM);
	s->limit = get_float8_infinity();
	if (limit > 0 && (!s->ordered || limit * 2 <= matches))
		s->limit = limit;
	s->wanted = Min(s->wanted, s->limit);
}

/*
 * Let the first stage find what the filter refuses, too, as the planner expects it; it
 * may be wrong.
 */
static void
allow_for_filter(AnnScan *s, double matches)
{
	double		refused = s->rows / Max(matches, 1);

	if (refused > 1)
		s->wanted = Max(s->wanted, Min(ceil(s->wanted * refused * FILTER_MARGIN), FILTER_MAXIMUM));
}

static void
start_scan(IndexScanDesc scan, AnnScan *s)
{
	AnnDemand	demand = ann_demand(scan);

	pgstat_count_index_scan(scan->indexRelation);
	ann_count_search(scan);

	/* no distances, or none that are asked for */
	if (s->null_query || !has_distances(s) || !(s->ordered || s->has_end))
	{
		s->phase = s->has_end ? ANN_SCAN_END : ANN_SCAN_UNORDERED;
		return;
	}
	s->wanted = demand.limit > 0 ? demand.limit : DEFAULT_LIMIT;
	s->phase = ANN_SCAN_STAGES;
	if (!isinf(demand.matches) && ann_max_scan_tuples > 0 && !s->has_end)
		s->left = Max(ann_max_scan_tuples, isinf(demand.limit) ? 0 : demand.limit);
	if (s->has_end)
		start_range(scan, s, demand.limit, demand.matches);

	/* so many that late rows might be among them: no row may come before another */
	if (s->wanted * 2 > (s->has_end ? s->rows : Min(demand.matches, s->rows)))
	{
		start_rest(scan, s);
		s->phase = ANN_SCAN_REST;
	}
	else if (!s->has_end)
		allow_for_filter(s, demand.matches);
}

/* The next of what the stages have found. */
static bool
return_found(IndexScanDesc scan, AnnScan *s)
{
	return s->ordered ? return_results(scan, s) : return_range(scan, s);
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
			case ANN_SCAN_START:
				start_scan(scan, s);
				break;
			case ANN_SCAN_STAGES:
				if (return_found(scan, s))
					return true;
				if (s->complete)
					s->phase = ANN_SCAN_LATE_HITS;
				else if (!next_stage(scan, s))
				{
					start_rest(scan, s);
					s->phase = ANN_SCAN_REST;
				}
				break;
			case ANN_SCAN_REST:
				if (return_sorted(scan, s, false))
					return true;
				tuplesort_rescan(s->sort);
				read_sorted(s);
				s->phase = ANN_SCAN_LATE;
				break;
			case ANN_SCAN_LATE:
				if (return_sorted(scan, s, true))
					return true;
				s->phase = s->has_end ? ANN_SCAN_END : ANN_SCAN_UNDEFINED;
				break;
			case ANN_SCAN_LATE_HITS:
				if (return_late(scan, s))
					return true;
				s->phase = ANN_SCAN_END;
				break;
			case ANN_SCAN_UNORDERED:
				if (return_unordered(scan, s))
					return true;
				s->phase = ANN_SCAN_UNDEFINED;
				break;
			case ANN_SCAN_UNDEFINED:
				if (return_list(scan, s, offsetof(AnnChunk, undefined)) || return_nan(s))
					return true;
				s->next_list = 0;
				s->phase = s->has_range ? ANN_SCAN_END : ANN_SCAN_NULLS;
				break;
			case ANN_SCAN_NULLS:
				s->null_query = true;	/* the distance of a NULL is NULL, too */
				if (return_list(scan, s, offsetof(AnnChunk, nulls)))
					return true;
				s->phase = ANN_SCAN_END;
				break;
			case ANN_SCAN_END:
				return false;
		}
	}
}

bool
ann_gettuple(IndexScanDesc scan, ScanDirection direction)
{
	AnnScan    *s = scan->opaque;
	AnnRow		   *row;

	Assert(ScanDirectionIsForward(direction));
	if (s->left <= 0)
		return false;
	while (s->out.next == s->out.count)
	{
		MemoryContext old = MemoryContextSwitchTo(s->context);
		bool		found = next_rows(scan, s);

		MemoryContextSwitchTo(old);
		if (!found)
			return false;
	}
	row = &s->out.rows[s->out.next++];
	s->left--;
	check_tid(scan, s, &row->tid);
	scan->xs_heaptid = row->tid;
	scan->xs_recheck = s->recheck || row->recheck;
	scan->xs_recheckorderby = false;
	if (scan->numberOfOrderBys > 0)
	{
		scan->xs_orderbyvals[0] = Float8GetDatum(row->distance);
		scan->xs_orderbynulls[0] = s->null_query;
	}
	return true;
}
