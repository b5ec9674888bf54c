/*
 * truth.c
 *	  Exact nearest neighbours, and the cache that keeps them.
 *
 * Every row is compared with every query in single precision first.  Such a
 * distance comes with a bound on its own error; only when the row could be
 * among the nearest despite the bound is the distance computed again in double
 * precision, and that one alone decides.  The answer is therefore that of a
 * plain loop in double precision, found much sooner.
 *
 * The bound: a sum of n terms in LANES running sums, added up at the end, has
 * at most n / LANES + 2 * LANES roundings in a row, each of relative size
 * 2^-24 at most, to which a term adds three (a difference, twice, and their
 * product).  ERROR_TERMS rounds that up.  For squared differences the bound is relative to the sum;
 * for products it is relative to |a| |b| (Cauchy and Schwarz).  A sum that
 * overflows or underflows proves nothing and is always computed again.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "truth.h"

#define QUERY_BLOCK		32		/* queries a thread takes at a time */
#define BASE_BLOCK		(128 * 1024)	/* bytes of rows that stay in cache */
#define ERROR_TERMS(dim)	((dim) / LANES + 2 * LANES + 8)
#define FLOAT_ROUNDING		0x1p-24
#define TINY_SUM			1e-30	/* below, terms may have underflowed */

#define ORDER_TOLERANCE		1e-5	/* for truth that others computed */

#define CACHE_MAGIC		"ann_bench truth 1\n"

typedef struct Neighbour
{
	double		distance;
	int64_t		row;
} Neighbour;

/* The k nearest rows of one query so far: a heap with the worst on top. */
typedef struct Nearest
{
	Neighbour  *heap;
	int			used;
	double		threshold;		/* the worst distance once full, else infinite */
} Nearest;

typedef struct TruthJob
{
	/* Unchanging. */
	const VectorSet *base;
	const VectorSet *queries;
	Metric		metric;
	int			k;
	double		relative_error;
	double	   *base_norms;		/* not for l2 */
	double	   *query_norms;
	Truth	   *result;

	/* Work left. */
	int64_t		next_query;		/* taken atomically */
} TruthJob;

static double
dot_product(const float *a, const float *b, int dim)
{
	double		sum = 0;

	for (int i = 0; i < dim; i++)
		sum += (double) a[i] * (double) b[i];
	return sum;
}

/*
 * The distance that decides, in double precision.  Where cosine distance is
 * undefined (a zero vector) it is infinite: such rows come last.
 */
double
exact_distance(Metric metric, const float *a, const float *b, int dim)
{
	double		sum = 0;
	double		cosine;

	switch (metric)
	{
		case METRIC_IP:
			return -dot_product(a, b, dim);
		case METRIC_COSINE:
			cosine = dot_product(a, b, dim) /
				sqrt(dot_product(a, a, dim) * dot_product(b, b, dim));
			return isnan(cosine) ? INFINITY : 1 - cosine;
		case METRIC_L2:
			break;
	}
	for (int i = 0; i < dim; i++)
	{
		double		difference = (double) a[i] - (double) b[i];

		sum += difference * difference;
	}
	return sqrt(sum);
}

/* The order of neighbours: by distance, then by row. */
static bool
farther(const Neighbour *a, const Neighbour *b)
{
	return a->distance > b->distance || (a->distance == b->distance && a->row > b->row);
}

/* Put 'item' in place of the top and restore the heap. */
static void
sift_down(Neighbour *heap, int used, Neighbour item)
{
	int			hole = 0;
	int			child;

	while ((child = 2 * hole + 1) < used)
	{
		if (child + 1 < used && farther(&heap[child + 1], &heap[child]))
			child++;
		if (!farther(&heap[child], &item))
			break;
		heap[hole] = heap[child];
		hole = child;
	}
	heap[hole] = item;
}

/* Put 'item' at the end of the heap, 'hole', and restore it. */
static void
sift_up(Neighbour *heap, int hole, Neighbour item)
{
	while (hole > 0 && farther(&item, &heap[(hole - 1) / 2]))
	{
		heap[hole] = heap[(hole - 1) / 2];
		hole = (hole - 1) / 2;
	}
	heap[hole] = item;
}

/* Offer a row with its exact distance. */
static void
offer(Nearest *nearest, int k, Neighbour item)
{
	if (nearest->used < k)
		sift_up(nearest->heap, nearest->used++, item);
	else if (farther(&nearest->heap[0], &item))
		sift_down(nearest->heap, k, item);
	if (nearest->used == k)
		nearest->threshold = nearest->heap[0].distance;
}

/*
 * Sums over two vectors: of squared differences for l2, else of products.
 * Single precision, four rows against one query, so that the query's lanes
 * are loaded once.
 */
BENCH_CLONES
static void
four_squared_differences(const float *query, const float *rows, int dim, float *sums)
{
	FloatLanes	lanes[4] = {{0}, {0}, {0}, {0}};
	int			i = 0;

	for (; i + LANES <= dim; i += LANES)
	{
		FloatLanes	q = *(const FloatLanes *) (query + i);

		for (int r = 0; r < 4; r++)
		{
			FloatLanes	difference = *(const FloatLanes *) (rows + r * dim + i) - q;

			lanes[r] += difference * difference;
		}
	}
	for (int r = 0; r < 4; r++)
	{
		sums[r] = 0;
		for (int j = i; j < dim; j++)
		{
			float		difference = rows[r * dim + j] - query[j];

			sums[r] += difference * difference;
		}
		for (int lane = 0; lane < LANES; lane++)
			sums[r] += lanes[r][lane];
	}
}

/* As above, but products. */
BENCH_CLONES
static void
four_products(const float *query, const float *rows, int dim, float *sums)
{
	FloatLanes	lanes[4] = {{0}, {0}, {0}, {0}};
	int			i = 0;

	for (; i + LANES <= dim; i += LANES)
	{
		FloatLanes	q = *(const FloatLanes *) (query + i);

		for (int r = 0; r < 4; r++)
			lanes[r] += *(const FloatLanes *) (rows + r * dim + i) * q;
	}
	for (int r = 0; r < 4; r++)
	{
		sums[r] = 0;
		for (int j = i; j < dim; j++)
			sums[r] += rows[r * dim + j] * query[j];
		for (int lane = 0; lane < LANES; lane++)
			sums[r] += lanes[r][lane];
	}
}

/*
 * Can a row whose single-precision sum is 'sum' be nearer than 'threshold'?
 * True when in doubt.
 */
static bool
may_be_near(const TruthJob *job, float sum, double threshold, double norms)
{
	double		error = job->relative_error;

	if (!isfinite(sum) || threshold == INFINITY)
		return true;
	switch (job->metric)
	{
		case METRIC_L2:
			return sum < TINY_SUM || sum * (1 - error) <= threshold * threshold * (1 + 1e-12);
		case METRIC_IP:
			return norms < TINY_SUM || -sum - error * norms <= threshold;
		case METRIC_COSINE:
			return norms < TINY_SUM || sum + error * norms >= (1 - threshold) * norms;
	}
	return true;
}

/* Compare one query with the 'n' (at most four) rows from 'first' on. */
static void
compare_rows(const TruthJob *job, int64_t query, int64_t first, int n, Nearest *nearest)
{
	const float *q = vectors_row(job->queries, query);
	float		sums[4] = {NAN, NAN, NAN, NAN};

	/* Fewer than four are the very last rows: computed exactly, unfiltered. */
	if (n == 4 && job->metric == METRIC_L2)
		four_squared_differences(q, vectors_row(job->base, first), job->base->dim, sums);
	else if (n == 4)
		four_products(q, vectors_row(job->base, first), job->base->dim, sums);

	for (int r = 0; r < n; r++)
	{
		double		norms = 0;
		Neighbour	item;

		if (job->metric != METRIC_L2)
			norms = job->query_norms[query] * job->base_norms[first + r];
		if (!may_be_near(job, sums[r], nearest->threshold, norms))
			continue;
		item.row = first + r;
		item.distance = exact_distance(job->metric, vectors_row(job->base, item.row), q,
									   job->base->dim);
		offer(nearest, job->k, item);
	}
}

static int
compare_neighbours(const void *a, const void *b)
{
	return farther(a, b) ? 1 : -1;	/* no two are equal: rows differ */
}

/* Find the neighbours of queries first .. end - 1, a block of rows at a time. */
static void
search_block(const TruthJob *job, int64_t first, int64_t end, Nearest *nearest)
{
	int64_t		step = BASE_BLOCK / ((int64_t) job->base->dim * (int64_t) sizeof(float));

	step = step < 4 ? 4 : step / 4 * 4;
	for (int64_t block = 0; block < job->base->rows; block += step)
	{
		int64_t		block_end = block + step < job->base->rows ? block + step : job->base->rows;

		for (int64_t q = first; q < end; q++)
		{
			for (int64_t row = block; row < block_end; row += 4)
				compare_rows(job, q, row, row + 4 <= block_end ? 4 : (int) (block_end - row),
							 &nearest[q - first]);
		}
	}
}

/* A thread: take blocks of queries until there are none left. */
static void
truth_work(void *arg, int thread)
{
	TruthJob   *job = arg;
	Nearest		nearest[QUERY_BLOCK];
	int64_t		first;

	(void) thread;
	for (int i = 0; i < QUERY_BLOCK; i++)
		nearest[i].heap = xalloc((size_t) job->k, sizeof(Neighbour));
	while ((first = __atomic_fetch_add(&job->next_query, QUERY_BLOCK, __ATOMIC_RELAXED)) <
		   job->queries->rows)
	{
		int64_t		end = first + QUERY_BLOCK;

		if (end > job->queries->rows)
			end = job->queries->rows;
		for (int i = 0; i < QUERY_BLOCK; i++)
		{
			nearest[i].used = 0;
			nearest[i].threshold = INFINITY;
		}
		search_block(job, first, end, nearest);
		for (int64_t q = first; q < end; q++)
		{
			Neighbour  *heap = nearest[q - first].heap;

			qsort(heap, (size_t) job->k, sizeof(Neighbour), compare_neighbours);
			for (int i = 0; i < job->k; i++)
			{
				job->result->found.rows[q * job->k + i] = (int32_t) heap[i].row;
				job->result->distances[q * job->k + i] = heap[i].distance;
			}
		}
	}
	for (int i = 0; i < QUERY_BLOCK; i++)
		free(nearest[i].heap);
}

static double *
norms_of(const VectorSet *set)
{
	double	   *norms = xalloc((size_t) set->rows, sizeof(double));

	for (int64_t i = 0; i < set->rows; i++)
	{
		const float *v = vectors_row(set, i);

		norms[i] = sqrt(dot_product(v, v, set->dim));
	}
	return norms;
}

static Truth *
truth_alloc(Metric metric, int64_t queries, int k)
{
	Truth	   *truth = xalloc(1, sizeof(Truth));

	truth->metric = metric;
	truth->found.queries = queries;
	truth->found.k = k;
	truth->found.rows = xalloc((size_t) queries * (size_t) k, sizeof(int32_t));
	truth->distances = xalloc((size_t) queries * (size_t) k, sizeof(double));
	return truth;
}

/* The exact nearest k rows (fewer if there are fewer) of every query. */
Truth *
truth_compute(const VectorSet *base, const VectorSet *queries, Metric metric, int k, int threads)
{
	TruthJob	job = {.base = base, .queries = queries, .metric = metric};

	if (base->dim != queries->dim)
		fail("%s: dimension %d differs from that of %s, %d", queries->name, queries->dim,
			 base->name, base->dim);
	if (base->rows > INT32_MAX)
		fail("%s: more than %d rows", base->name, INT32_MAX);
	job.k = k < base->rows ? k : (int) base->rows;
	job.relative_error = ERROR_TERMS(base->dim) * FLOAT_ROUNDING;
	job.result = truth_alloc(metric, queries->rows, job.k);
	if (metric != METRIC_L2)
	{
		job.base_norms = norms_of(base);
		job.query_norms = norms_of(queries);
	}
	run_threads(threads, truth_work, &job);
	free(job.base_norms);
	free(job.query_norms);
	return job.result;
}

/*
 * Take ground truth from a file instead.  It must fit the data: rows that
 * exist, at least 'k' a query, in the order of their distances.
 */
Truth *
truth_read(const char *path, const VectorSet *base, const VectorSet *queries, Metric metric,
		   int k)
{
	Neighbours *found = ivecs_read(path);
	Truth	   *truth;

	if (found->queries < queries->rows)
		fail("%s: %lld rows for %lld queries", path, (long long) found->queries,
			 (long long) queries->rows);
	if (found->k < k && found->k < base->rows)
		fail("%s: %d neighbours a query, fewer than k = %d", path, found->k, k);
	truth = truth_alloc(metric, queries->rows, found->k);
	for (int64_t i = 0; i < queries->rows * found->k; i++)
	{
		int64_t		query = i / found->k;
		int32_t		row = found->rows[i];

		if (row >= base->rows)
			fail("%s: row %lld: neighbour %d is not among %lld rows", path, (long long) query,
				 row, (long long) base->rows);
		truth->found.rows[i] = row;
		truth->distances[i] = exact_distance(metric, vectors_row(base, row),
											 vectors_row(queries, query), base->dim);
		if (i % found->k > 0 && truth->distances[i - 1] - truth->distances[i] >
			ORDER_TOLERANCE * (1 + fabs(truth->distances[i])))
			fail("%s: row %lld: neighbours are not in order of their distance; other data or "
				 "another metric?", path, (long long) query);
	}
	free(found->rows);
	free(found);
	return truth;
}

/*
 * A radius in which there are 'rows' of 'n' ascending distances, or the next
 * number that equal distances allow; *within is told how many.  It is in the middle
 * between two of them, so that nobody's rounding moves a row across.
 */
double
truth_radius(const double *distances, int n, int64_t rows, int *within)
{
	int			i = rows < n ? (int) rows : n;

	while (i < n && distances[i] <= distances[i - 1])
		i++;
	*within = i;
	if (i < n)
		return (distances[i - 1] + distances[i]) / 2;
	/* None farther is known; so take in all of these, and no more than must be. */
	return distances[n - 1] + 1e-9 * (1 + fabs(distances[n - 1]));
}

/*
 * Intrinsic dimension around the queries: the maximum likelihood estimate of
 * Levina and Bickel (2004) from each query's neighbours, averaged as MacKay
 * and Ghahramani proposed, by its inverse.  0 if there is too little to go by.
 */
double
truth_intrinsic_dimension(const Truth *truth)
{
	double		sum = 0;
	int64_t		terms = 0;
	int			k = truth->found.k;

	for (int64_t q = 0; truth->metric != METRIC_IP && q < truth->found.queries; q++)
	{
		const double *d = truth->distances + q * k;

		for (int i = 0; i < k - 1; i++)
		{
			if (d[i] <= 0 || !(d[k - 1] < INFINITY))
				continue;
			sum += log(d[k - 1] / d[i]);
			terms++;
		}
	}
	/* 1 - cos grows as the square of a length. */
	if (sum <= 0)
		return 0;
	return (double) terms / sum * (truth->metric == METRIC_COSINE ? 2 : 1);
}

/* The cache's directory, made if it is missing. */
static char *
cache_directory(const char *directory)
{
	const char *home = getenv("HOME");
	const char *cache = getenv("XDG_CACHE_HOME");
	char	   *path;

	if (directory != NULL)
		path = xstrdup(directory);
	else if (cache != NULL && cache[0] != '\0')
		path = xprintf("%s/ann_bench", cache);
	else
		path = xprintf("%s/.cache/ann_bench", home != NULL && home[0] != '\0' ? home : ".");

	for (char *p = path + 1; *p != '\0'; p++)
	{
		if (*p != '/')
			continue;
		*p = '\0';
		mkdir(path, 0777);
		*p = '/';
	}
	if (mkdir(path, 0777) != 0 && errno != EEXIST)
		fail("%s: %s", path, strerror(errno));
	return path;
}

/*
 * A cache file is its header and the two arrays.  A header that does not match
 * in full, or a file of another length, counts as no cache.
 */
static bool
read_cache(const char *path, const char *header, Truth *truth)
{
	FILE	   *file = fopen(path, "rb");
	size_t		cells = (size_t) truth->found.queries * (size_t) truth->found.k;
	size_t		len = strlen(header);
	char	   *found = xalloc(len + 1, 1);
	bool		valid;

	valid = file != NULL &&
		fread(found, 1, len, file) == len && strcmp(found, header) == 0 &&
		fread(truth->found.rows, sizeof(int32_t), cells, file) == cells &&
		fread(truth->distances, sizeof(double), cells, file) == cells &&
		fgetc(file) == EOF;
	if (file != NULL)
		fclose(file);
	free(found);
	return valid;
}

/* Written under another name first: a half-written file is never found. */
static void
write_cache(const char *path, const char *header, const Truth *truth)
{
	char	   *temporary = xprintf("%s.%ld", path, (long) getpid());
	FILE	   *file = fopen(temporary, "wb");
	size_t		cells = (size_t) truth->found.queries * (size_t) truth->found.k;
	bool		written;

	if (file == NULL)
		fail("%s: %s", temporary, strerror(errno));
	written = fputs(header, file) >= 0 &&
		fwrite(truth->found.rows, sizeof(int32_t), cells, file) == cells &&
		fwrite(truth->distances, sizeof(double), cells, file) == cells;
	if (fclose(file) != 0 || !written || rename(temporary, path) != 0)
		fail("%s: %s", temporary, strerror(errno));
	free(temporary);
}

/* As truth_compute, but remembered under the hash of both sets. */
Truth *
truth_cached(const char *directory, const VectorSet *base, const VectorSet *queries,
			 Metric metric, int k, int threads)
{
	int			width = k < base->rows ? k : (int) base->rows;
	uint64_t	base_hash = vectors_hash(base);
	uint64_t	query_hash = vectors_hash(queries);
	char	   *folder = cache_directory(directory);
	char	   *path = xprintf("%s/%016llx-%016llx-%s-%d.truth", folder,
							   (unsigned long long) base_hash, (unsigned long long) query_hash,
							   metric_name(metric), width);
	char	   *header = xprintf(CACHE_MAGIC "rows %lld queries %lld k %d metric %s\n",
								 (long long) base->rows, (long long) queries->rows, width,
								 metric_name(metric));
	Truth	   *truth = truth_alloc(metric, queries->rows, width);

	if (!read_cache(path, header, truth))
	{
		free(truth->found.rows);
		free(truth->distances);
		free(truth);
		truth = truth_compute(base, queries, metric, k, threads);
		write_cache(path, header, truth);
	}
	free(folder);
	free(path);
	free(header);
	return truth;
}
