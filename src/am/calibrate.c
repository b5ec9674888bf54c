/*
 * calibrate.c
 *	  Finding out which settings reach which recall.
 *
 * The nearest rows of some queries are found by looking at all elements, when they are
 * written or afterwards: products of bytes tell which may be among them, and only these
 * are measured.  Then the index itself is asked, with one setting after the other, until
 * it finds nearly all.
 *
 * Queries are rows that were held out of the build, and are inserted afterwards: rows
 * that links lead to are found more easily than strangers.  VACUUM has but rows that are
 * in the index.  Each is looked for in the index as if it were not there.
 *
 * Of many rows that are wanted each query tells much: fewer queries will do.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "access/genam.h"
#include "access/tableam.h"
#include "algo/distance.h"
#include "algo/frontier.h"
#include "algo/quantize.h"
#include "am/calibrate.h"
#include "am/calibration.h"
#include "am/leaf_search.h"
#include "am/method.h"
#include "am/scan.h"
#include "am/source.h"
#include "commands/vacuum.h"
#include "common/pg_prng.h"
#include "compat.h"
#include "miscadmin.h"
#include "store/element.h"
#include "utils/float.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/*
 * Queries that are asked for each of ann_calibrated_limits; and of an index of many rows,
 * which takes long enough to build.
 */
static const int few_queries[ANN_CALIBRATED_LIMITS] = {ANN_CALIBRATION_QUERIES, 16, 4};
static const int many_queries[ANN_CALIBRATED_LIMITS] = {ANN_CALIBRATION_QUERIES, 24, 12};

#define MANY_ROWS 250000

/* A limit is worth trying if there are so many times as many rows. */
#define ROWS_PER_LIMIT 20

/* Steps between the rungs of a ladder, and where it ends. */
#define FOREST_STEP 2
#define GRAPH_STEP	M_SQRT2
#define HIGH_RECALL 0.993

/* It also ends where a step brings nothing any more, beyond this. */
#define FLAT_RECALL 0.98

/* A ladder of a forest begins at so many rows, or so many times the limit. */
#define FOREST_MINIMUM	128
#define FOREST_PER_LIMIT 4

/* Standard deviations of the rounding of products that are allowed for. */
#define ROUNDING_SLACK 4

/*
 * What a rung may cost, in queries times ef, for so many rows: of a setting for which all
 * queries would cost more, fewer are asked, but some.  A row that a forest inspects costs
 * a part of that.
 */
#define WORK			5000
#define WORK_ROWS		60000
#define ROWS_PER_EF		200

static const int least_queries[ANN_CALIBRATED_LIMITS] = {8, 4, 2};

/* Rows are multiplied with all queries so many at a time. */
#define BATCH 4

/* Rows of which all queries know the distance, for the shares. */
#define SAMPLED_ROWS 256

/* So many distances of the sample tell a share; and nearest ones, if there are more. */
#define ENOUGH_SAMPLED 20
#define NEAREST_PER_COUNT 4

/* The least number of rows in a mean query's range that a distance is noted for. */
#define LEAST_COUNT 0.05

/* So many pages are looked at for each element that VACUUM asks for. */
#define TRIES_PER_QUERY 20

/* A part of the rows that have changed calls for a new calibration. */
#define CHANGED_SHARE 0.2

/* A query, and what is known of its distances. */
typedef struct Asked
{
	const double *values;
	uint64		key;			/* of its own element; or ANN_SEEN_NOTHING */
	AnnQuery   *query;
	float		norm;			/* as the products have it */
	float		step;			/* of its bytes */
	AnnThreshold nearest;		/* sorted at the end */
	float	   *sample;
} Asked;

/* A row that is to be multiplied with the queries. */
typedef struct BatchRow
{
	uint64		key;
	const void *vector;			/* of an array; NULL: there is an element */
	AnnElement *element;
	float		norm;
	float		step;
	int8	   *bytes;
} BatchRow;

struct AnnCalibrator
{
	/* Unchanging */
	Relation	index;
	Relation	heap;
	const AnnIndex *info;
	BufferAccessStrategy strategy;
	double		rows;			/* of the index */
	bool		is_double;		/* arrays of the table */
	int			dim;			/* of bytes: a multiple of 64 */
	const int  *limit_queries;
	Asked	   *asked;
	int			num_asked;
	const int8 **asked_bytes;

	/* The pass */
	BatchRow	batch[BATCH];
	int			count;			/* rows of the batch */
	double		passed;
	int			sampled;
	float	   *floats;
	int32	   *products;

	/* Elements of a page */
	AnnElementRef *refs;
	char	   *elements;
	int			num_refs;

	const AnnHeldOut *held;		/* rows that the table has, but not the index */
	MemoryContext row_context;	/* of the pass over the table */
};

/* ---- queries ---- */

/* Bytes of floats that are less the centre; of norm 1 under cosine. */
static float
make_bytes(const AnnCalibrator *c, const float *floats, float *norm, int8 *bytes)
{
	int			dim = (int) c->info->meta.dim;
	float	   *padded = c->floats + dim;
	double		length = sqrt(ann_kernels->pair[ANN_PAIR_F32_F32_FAST].ip(floats, floats, dim));
	float		scale = 1;

	if (c->info->meta.metric == ANN_METRIC_COSINE && length > 0)
		scale = (float) (1 / length);
	for (int i = 0; i < dim; i++)
		padded[i] = floats[i] * scale;
	memset(padded + dim, 0, sizeof(float) * (c->dim - dim));
	*norm = (float) (length * scale);
	return ann_quantize(padded, c->dim, bytes);
}

/* Add a query, whose values stay. */
static void
add_query(AnnCalibrator *c, const double *values, uint64 key)
{
	int			number = c->num_asked++;
	Asked	   *a = &c->asked[number];
	AnnVector	vector = {(int) c->info->meta.dim, true, values};
	int8	   *bytes = palloc(c->dim);
	int			k = ann_calibrated_limits[0];

	for (int i = 1; i < ANN_CALIBRATED_LIMITS; i++)
	{
		if (number < c->limit_queries[i])
			k = ann_calibrated_limits[i];
	}
	a->values = values;
	a->key = key;
	a->query = ann_query_make(c->info, values);
	a->step = make_bytes(c, ann_source_floats(&vector, c->info->centre, c->floats), &a->norm, bytes);
	ann_threshold_init(&a->nearest, palloc(sizeof(float) * k), k);
	a->sample = palloc(sizeof(float) * SAMPLED_ROWS);
	c->asked_bytes[number] = bytes;
}

/* Is there a query that equals this one?  Many equal rows tell no more than one. */
static bool
is_asked(const AnnCalibrator *c, const double *values)
{
	for (int i = 0; i < c->num_asked; i++)
	{
		if (memcmp(c->asked[i].values, values, sizeof(double) * c->info->meta.dim) == 0)
			return true;
	}
	return false;
}

static AnnCalibrator *
begin(Relation index, Relation heap, const AnnIndex *info, double rows)
{
	AnnCalibrator *c = palloc0(sizeof(AnnCalibrator));
	int			most = ANN_CALIBRATION_QUERIES;

	c->index = index;
	c->heap = heap;
	c->info = info;
	c->rows = rows;
	c->limit_queries = rows >= MANY_ROWS ? many_queries : few_queries;
	c->dim = (int) TYPEALIGN(64, info->meta.dim);
	c->asked = palloc0(sizeof(Asked) * most);
	c->asked_bytes = palloc(sizeof(int8 *) * most);
	c->floats = palloc(sizeof(float) * (info->meta.dim + c->dim));
	c->products = palloc(sizeof(int32) * BATCH * most);
	c->refs = palloc(sizeof(AnnElementRef) * ANN_MAX_PAGE_ELEMENTS);
	c->elements = palloc(Max(BLCKSZ, info->element_size));
	for (int i = 0; i < BATCH; i++)
	{
		c->batch[i].bytes = palloc(c->dim);
		c->batch[i].element = palloc(info->element_size);
	}
	return c;
}

/* ---- the nearest rows ---- */

/*
 * May a row be nearer than the farthest one that counts?  Rounding to bytes is an error
 * of their products with a standard deviation of |q| / sqrt(12) steps of the row, and
 * the reverse.
 */
static bool
may_be_near(AnnMetric metric, const Asked *a, const BatchRow *row, int32 product)
{
	float		error = ROUNDING_SLACK * (a->step * row->norm + row->step * a->norm) * 0.29f;
	float		dot = (float) product * a->step * row->step + error;
	float		farthest = ann_threshold_get(&a->nearest);

	if (metric == ANN_METRIC_L2)
		return !(a->norm * a->norm + row->norm * row->norm - 2 * dot > farthest * farthest);
	return !((metric == ANN_METRIC_COSINE) - dot > farthest);
}

/* The distance of a row, or the middle of what its element tells. */
static float
measure(const AnnCalibrator *c, const Asked *a, const BatchRow *row)
{
	double		low,
				high;

	if (row->vector != NULL)
		low = high = ann_query_distance(a->query, row->vector, c->is_double);
	else
		ann_element_distance(c->info, a->query, row->element, &low, &high);
	return isnan(low + high) ? get_float4_infinity() : (float) ((low + high) / 2);
}

/* A row of the batch and a query. */
static void
offer_row(AnnCalibrator *c, Asked *a, const BatchRow *row, int32 product, bool sampled)
{
	float		distance;

	if (row->key == a->key || (!sampled && !may_be_near(c->info->meta.metric, a, row, product)))
		return;
	distance = measure(c, a, row);
	ann_threshold_offer(&a->nearest, distance);
	if (sampled)
		a->sample[c->sampled] = distance;
}

/* Multiply the rows of the batch with all queries. */
static void
flush_batch(AnnCalibrator *c)
{
	const int8 *rows[BATCH];
	double		stride = Max(c->rows / SAMPLED_ROWS, 1);

	if (c->count == 0)
		return;
	CHECK_FOR_INTERRUPTS();
	for (int i = 0; i < BATCH; i++)
		rows[i] = c->batch[Min(i, c->count - 1)].bytes;
	ann_kernels->tile(rows, c->asked_bytes, c->num_asked, c->dim, c->products);
	for (int i = 0; i < c->count; i++)
	{
		bool		sampled = c->sampled < SAMPLED_ROWS && c->passed >= c->sampled * stride;

		for (int j = 0; j < c->num_asked; j++)
		{
			if (sampled)
				c->asked[j].sample[c->sampled] = get_float4_infinity();
			offer_row(c, &c->asked[j], &c->batch[i], c->products[BATCH * j + i], sampled);
		}
		c->sampled += sampled;
		c->passed++;
	}
	c->count = 0;
}

/* The next row of the batch, with its floats. */
static void
add_row(AnnCalibrator *c, const float *floats)
{
	BatchRow   *row = &c->batch[c->count];

	row->step = make_bytes(c, floats, &row->norm, row->bytes);
	if (++c->count == BATCH)
		flush_batch(c);
}

/* AnnElementVisitor: copy what is to be looked at without a lock. */
static void
copy_element(AnnElementRef ref, uint32 chunk, const AnnElement *element, void *state)
{
	AnnCalibrator *c = state;
	const AnnIndex *info = c->info;

	if (c->num_refs == ANN_MAX_PAGE_ELEMENTS)
		return;
	if (info->element_size <= info->slot_size)
		memcpy(c->elements + (Size) info->element_size * c->num_refs, element, info->element_size);
	c->refs[c->num_refs++] = ref;
}

/* An element of the page that was copied last, to 'element'; false if it has gone. */
static bool
take_element(const AnnCalibrator *c, int i, AnnElement *element)
{
	const AnnIndex *info = c->info;

	if (info->element_size > info->slot_size)
		return ann_element_read(c->index, info, c->refs[i], element);
	memcpy(element, c->elements + (Size) info->element_size * i, info->element_size);
	return true;
}

static void
copy_page(AnnCalibrator *c, BlockNumber block)
{
	c->num_refs = 0;
	ann_element_page_visit(c->index, c->info, block, c->strategy, copy_element, c);
}

static void
pass_elements(AnnCalibrator *c)
{
	BlockNumber blocks = RelationGetNumberOfBlocks(c->index);

	for (BlockNumber block = ANN_DIRECTORY_BLOCK + 1; block < blocks; block++)
	{
		ann_vacuum_delay_point();
		copy_page(c, block);
		for (int i = 0; i < c->num_refs; i++)
		{
			BatchRow   *row = &c->batch[c->count];

			if (!take_element(c, i, row->element))
				continue;
			row->key = ann_element_key(c->refs[i]);
			ann_element_floats(c->info, row->element, c->floats);
			add_row(c, c->floats);
		}
	}
	flush_batch(c);
}

/* The same by the table: called for each row. */
static void
pass_row(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *state)
{
	AnnCalibrator *c = state;
	AnnVector	vector;
	MemoryContext old;

	if (isnull[0] || !alive || ann_held_out_has(c->held, tid))
		return;
	old = MemoryContextSwitchTo(c->row_context);
	if (ann_source_examine(DatumGetArrayTypeP(values[0]), (int) c->info->meta.dim,
						   &vector) == ANN_PROBLEM_NONE)
	{
		BatchRow   *row = &c->batch[c->count];

		row->key = ANN_SEEN_NOTHING - 1;
		row->vector = vector.data;
		c->is_double = vector.is_double;
		add_row(c, ann_source_floats(&vector, c->info->centre, c->floats));

		/* its vector goes with the context */
		flush_batch(c);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(c->row_context);
}

static int
compare_floats(const void *a, const void *b)
{
	float		x = *(const float *) a,
				y = *(const float *) b;

	return (x > y) - (x < y);
}

/* ---- ladders ---- */

/* A little more than a distance, to allow for its rounding to float. */
static double
a_little_more(float distance)
{
	return isinf(distance) ? distance : distance + fabs((double) distance) * FLT_EPSILON + FLT_MIN;
}

/* So many queries are asked for limit number i with a setting. */
static int
count_queries(const AnnCalibrator *c, int i, double setting)
{
	double		work = WORK * Max(c->rows / WORK_ROWS, 1) *
		(ann_is_graph(c->info) ? 1 : ROWS_PER_EF);
	double		n = Max(work / setting, least_queries[i]);

	return (int) Min(Min(n, c->limit_queries[i]), c->num_asked);
}

/* The recall of a setting for limit number i. */
static double
try_setting(AnnCalibrator *c, IndexScanDesc scan, int i, double setting)
{
	int			k = ann_calibrated_limits[i];
	int			n = count_queries(c, i, setting);
	double		found = 0;
	double		all = 0;

	for (int j = 0; j < n; j++)
	{
		const Asked *a = &c->asked[j];
		int			there = Min(k, (int) a->nearest.size);

		ann_vacuum_delay_point();
		if (there == 0)
			continue;
		found += ann_scan_probe(scan, a->values, a->key, there, setting,
								a_little_more(a->nearest.values[there - 1]));
		all += there;
	}
	return all > 0 ? found / all : 1;
}

static int
make_ladder(AnnCalibrator *c, IndexScanDesc scan, int i, AnnRung *rungs)
{
	bool		is_graph = ann_is_graph(c->info);
	double		k = ann_calibrated_limits[i];
	double		setting = is_graph ? k
		: Max(Max(FOREST_MINIMUM, FOREST_PER_LIMIT * k), c->info->meta.trees * k);
	int			n;

	for (n = 0; n < ANN_MAX_RUNGS && setting < c->rows; n++)
	{
		float		before = n > 0 ? rungs[n - 1].recall : 0;
		float		recall = (float) try_setting(c, scan, i, setting);

		rungs[n].setting = (float) setting;
		rungs[n].recall = Max(recall, before);
		if (recall >= HIGH_RECALL || (recall >= FLAT_RECALL && recall <= before))
			return n + 1;
		setting = ceil(setting * (is_graph ? GRAPH_STEP : FOREST_STEP));
	}
	return n;
}

static void
make_ladders(AnnCalibrator *c, AnnCalibration *result)
{
	IndexScanDesc scan = ann_beginscan(c->index, 0, 1);
	SnapshotData snapshot;

	/* rows that are alive: a dead one may be anything */
	InitDirtySnapshot(snapshot);
	scan->heapRelation = c->heap;
	scan->xs_snapshot = &snapshot;
	for (int i = 0; i < ANN_CALIBRATED_LIMITS; i++)
	{
		if (ann_calibrated_limits[i] * ROWS_PER_LIMIT > c->rows)
			break;
		result->num_rungs[i] = (uint16) make_ladder(c, scan, i, result->rungs[i]);
	}
	ann_endscan(scan);
}

/* ---- shares ---- */

/* Distances of several queries, sorted. */
typedef struct Pool
{
	float	   *values;
	int			count;
	double		queries;
	double		depth;			/* nearest rows of each query; 0: it is the sample */
} Pool;

static void
add_to_pool(const AnnCalibrator *c, Pool *pool, const Asked *a, const float *values, int n)
{
	double		norm = c->info->meta.metric == ANN_METRIC_IP ? a->query->norm : 1;

	for (int i = 0; i < n; i++)
	{
		double		value = norm > 0 ? values[i] / norm : values[i];

		pool->values[pool->count++] = isnan(value) ? get_float4_infinity() : (float) value;
	}
	pool->queries++;
}

/* The nearest rows of the queries that know those of limit number i; the sample if < 0. */
static Pool
make_pool(const AnnCalibrator *c, int i)
{
	int			n = i < 0 ? c->num_asked : Min(c->limit_queries[i], c->num_asked);
	int			depth = i < 0 ? c->sampled : ann_calibrated_limits[i];
	Pool		pool = {palloc(sizeof(float) * (n * depth + 1))};

	for (int j = 0; j < n; j++)
	{
		const Asked *a = &c->asked[j];

		add_to_pool(c, &pool, a, i < 0 ? a->sample : a->nearest.values,
					i < 0 ? depth : Min(depth, (int) a->nearest.size));
	}
	pool.depth = i < 0 ? 0 : depth;
	qsort(pool.values, pool.count, sizeof(float), compare_floats);
	return pool;
}

/* The distance within which a share of the rows is, by the pool that knows it best. */
static float
distance_of_share(const AnnCalibrator *c, const Pool *sample, const Pool *nearest, double share)
{
	const Pool *pool = sample;
	double		rank = share * sample->count;

	if (rank < ENOUGH_SAMPLED)
	{
		int			i = 0;

		while (i < ANN_CALIBRATED_LIMITS - 1 &&
			   nearest[i].depth < NEAREST_PER_COUNT * share * c->rows)
			i++;
		pool = &nearest[i];
		rank = share * c->rows * pool->queries;
	}
	return pool->values[Min((int) rank, pool->count - 1)];
}

static void
note_shares(const AnnCalibrator *c, AnnCalibration *result)
{
	Pool		sample = make_pool(c, -1);
	Pool		nearest[ANN_CALIBRATED_LIMITS];
	double		share = 1;

	for (int i = 0; i < ANN_CALIBRATED_LIMITS; i++)
		nearest[i] = make_pool(c, i);
	while (sample.count > 0 && nearest[0].count > 0 &&
		   result->num_shares < ANN_MAX_SHARES && share * c->rows >= LEAST_COUNT)
	{
		int			i = result->num_shares++;

		result->distance[i] = distance_of_share(c, &sample, nearest, share);
		if (i > 0)
			result->distance[i] = Min(result->distance[i], result->distance[i - 1]);
		share *= pow(10, -1.0 / ANN_SHARES_PER_DECADE);
	}
	if (c->info->meta.metric != ANN_METRIC_IP)
		return;
	for (int i = 0; i < c->num_asked; i++)
		result->norm += (float) (c->asked[i].query->norm / c->num_asked);
}

/* ---- all of it ---- */

AnnCalibrator *
ann_calibrator_begin(Relation index, Relation heap, const AnnIndex *info, double rows,
					 const AnnHeldOut *queries)
{
	AnnCalibrator *c = begin(index, heap, ann_index_copy(info), rows);
	int			dim = (int) info->meta.dim;

	c->held = queries;
	for (int i = 0; i < Min(queries->asked.count, ANN_CALIBRATION_QUERIES); i++)
	{
		double	   *values = palloc(sizeof(double) * dim);

		ann_source_doubles(DatumGetArrayTypeP(queries->asked.rows[i].array), dim, values);
		if (!is_asked(c, values))
			add_query(c, values, ANN_SEEN_NOTHING);
	}
	return c;
}

void
ann_calibrator_note(const AnnElement *element, void *calibrator)
{
	AnnCalibrator *c = calibrator;
	BatchRow   *row = &c->batch[c->count];

	row->key = 0;
	memcpy(row->element, element, c->info->element_size);
	ann_element_floats(c->info, element, c->floats);
	add_row(c, c->floats);
}

void
ann_calibrator_save(AnnCalibrator *calibrator, BufFile *file)
{
	AnnCalibrator *c = calibrator;

	flush_batch(c);
	BufFileWrite(file, &c->sampled, sizeof(c->sampled));
	for (int i = 0; i < c->num_asked; i++)
	{
		Asked	   *a = &c->asked[i];

		BufFileWrite(file, &a->nearest.size, sizeof(a->nearest.size));
		BufFileWrite(file, a->nearest.values, sizeof(float) * a->nearest.size);
		BufFileWrite(file, a->sample, sizeof(float) * c->sampled);
	}
}

void
ann_calibrator_load(AnnCalibrator *calibrator, BufFile *file)
{
	AnnCalibrator *c = calibrator;
	float	   *values = palloc(sizeof(float) * ann_calibrated_limits[ANN_CALIBRATED_LIMITS - 1]);
	int			room = SAMPLED_ROWS;
	int			sampled;

	flush_batch(c);
	BufFileReadExact(file, &sampled, sizeof(sampled));
	room = Min(SAMPLED_ROWS - c->sampled, sampled);
	for (int i = 0; i < c->num_asked; i++)
	{
		Asked	   *a = &c->asked[i];
		size_t		n;

		BufFileReadExact(file, &n, sizeof(n));
		BufFileReadExact(file, values, sizeof(float) * n);
		for (size_t j = 0; j < n; j++)
			ann_threshold_offer(&a->nearest, values[j]);
		BufFileReadExact(file, values, sizeof(float) * sampled);
		memcpy(a->sample + c->sampled, values, sizeof(float) * room);
	}
	c->sampled += room;
	pfree(values);
}

void
ann_calibrator_pass(AnnCalibrator *calibrator, IndexInfo *indexInfo)
{
	AnnCalibrator *c = calibrator;

	if (c->info->meta.scalar != ANN_SCALAR_NONE)
	{
		pass_elements(c);
		return;
	}
	c->row_context = AllocSetContextCreate(CurrentMemoryContext, "ann row",
										   ALLOCSET_DEFAULT_SIZES);
	table_index_build_scan(c->heap, c->index, indexInfo, false, false, pass_row, c, NULL);
	MemoryContextDelete(c->row_context);
}

void
ann_calibrator_end(AnnCalibrator *calibrator)
{
	AnnCalibrator *c = calibrator;
	AnnCalibration result = {0};
	AnnChunk   *chunks;
	uint32		num_chunks;

	flush_batch(c);
	(void) ann_index_chunks(c->index, &chunks, &num_chunks);
	c->rows = 0;
	for (uint32 i = 0; i < num_chunks; i++)
		c->rows += (double) chunks[i].rows;
	for (int i = 0; i < c->num_asked; i++)
		qsort(c->asked[i].nearest.values, c->asked[i].nearest.size, sizeof(float),
			  compare_floats);
	result.epoch = c->info->meta.epoch;
	result.rows = result.counted = c->rows;
	make_ladders(c, &result);
	note_shares(c, &result);

	/* of numbers that are out of the range of floats nothing is known */
	if (ann_calibration_is_valid(&result))
		ann_calibration_write(c->index, &result);
}

/* Let some elements be queries. */
static void
ask_elements(AnnCalibrator *c)
{
	BlockNumber blocks = RelationGetNumberOfBlocks(c->index);
	AnnElement *element = c->batch[0].element;
	int			dim = (int) c->info->meta.dim;
	pg_prng_state random;

	pg_prng_seed(&random, c->info->meta.seed);
	for (int i = 0; i < TRIES_PER_QUERY * ANN_CALIBRATION_QUERIES &&
		 c->num_asked < ANN_CALIBRATION_QUERIES; i++)
	{
		double	   *values;
		int			number;

		ann_vacuum_delay_point();
		copy_page(c, (BlockNumber) pg_prng_uint64_range(&random, 0, blocks - 1));
		if (c->num_refs == 0)
			continue;
		number = (int) pg_prng_uint64_range(&random, 0, c->num_refs - 1);
		if (!take_element(c, number, element))
			continue;
		ann_element_floats(c->info, element, c->floats);
		values = palloc(sizeof(double) * dim);
		for (int d = 0; d < dim; d++)
			values[d] = c->floats[d] + (c->info->centre != NULL ? c->info->centre[d] : 0);
		add_query(c, values, ann_element_key(c->refs[number]));
	}
}

void
ann_recalibrate(Relation index, double before, double after,
				BufferAccessStrategy strategy)
{
	AnnChunk   *chunks;
	uint32		num_chunks;
	const AnnIndex *info = ann_index_chunks(index, &chunks, &num_chunks);
	MemoryContext context,
				old;
	AnnCalibrator *c;

	if (info->calibration != NULL)
	{
		AnnCalibration counted = *info->calibration;

		counted.changed += Max(Max(before - counted.counted, before - after), 0);
		counted.counted = after;
		if (counted.changed < CHANGED_SHARE * after || info->meta.scalar == ANN_SCALAR_NONE)
		{
			if (counted.changed != info->calibration->changed ||
				counted.counted != info->calibration->counted)
				ann_calibration_write(index, &counted);
			return;
		}
	}
	if (after < ANN_CALIBRATION_ROWS || info->meta.scalar == ANN_SCALAR_NONE)
		return;

	context = AllocSetContextCreate(CurrentMemoryContext, "ann calibrate",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	c = begin(index, NULL, ann_index_copy(info), after);
	c->strategy = strategy;
	ask_elements(c);
	if (c->num_asked > 0)
	{
		pass_elements(c);
		ann_calibrator_end(c);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}
