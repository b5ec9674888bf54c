/*
 * partition.c
 *	  Leaders, and what joins them.
 *
 * Carving permutes one array of row numbers.  The ranges that it divides into
 * follow one another and are worked on from left to right; ends[i] is where the
 * range that begins at i ends, so there is no stack of them.
 */
#include "algo/partition.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "algo/scratch.h"

/* A leader has about so many rows of a leaf's, per cent, before pooling. */
#define BUCKET_SHARE 50

/* Fewest leaders that rows are divided by. */
#define MIN_LEADERS 4

/* Above that, per cent, a leader's rows are not near it, but equal or alike. */
#define MAX_SHARE 90

/* Rows that are routed between two checks for interrupts, and that are sorted. */
#define ROUTE_ROWS 64
#define SORTED_ROWS 65536

static uint32_t
leaders_for(double rows, uint32_t fewest, const AnnGraphOptions *options)
{
	double		wanted = rows / (options->leaf_max * BUCKET_SHARE / 100.0);

	if (wanted > ANN_MAX_LEADERS)
		return ANN_MAX_LEADERS;
	return wanted < fewest ? fewest : (uint32_t) wanted;
}

uint32_t
ann_leaders_wanted(double rows, const AnnGraphOptions *options)
{
	if (rows <= options->leaf_max)
		return 0;
	return leaders_for(rows, 2 * options->fanout, options);
}

void
ann_leaders_choose(const AnnGraphRows *rows, uint32_t *order, uint32_t count,
				   uint32_t n, AnnRandom *random, AnnTile *leaders)
{
	leaders->n = 0;
	for (uint32_t i = 0; i < n; i++)
	{
		ann_random_draw(order, i, count, random);
		ann_tile_add_row(leaders, rows, order[i]);
	}
}

/*
 * The nearest of four rows' leaders from their distances, d[4 * leader + row].
 * A list is kept sorted; most leaders are farther than its last.
 */
static void
choose_nearest(const float *d, uint32_t leaders, uint32_t row, uint32_t fanout,
			   uint16_t *nearest)
{
	float		best[ANN_MAX_FANOUT];

	for (uint32_t f = 0; f < fanout; f++)
		best[f] = INFINITY;
	for (uint32_t j = 0; j < leaders; j++)
	{
		float		distance = d[4 * j + row];
		uint32_t	f = fanout - 1;

		if (!(distance < best[f]))
			continue;
		for (; f > 0 && distance < best[f - 1]; f--)
		{
			best[f] = best[f - 1];
			nearest[f] = nearest[f - 1];
		}
		best[f] = distance;
		nearest[f] = (uint16_t) j;
	}
}

void
ann_leaders_route(const AnnTile *leaders, const AnnGraphRows *rows,
				  const uint32_t *numbers, uint32_t n, uint32_t fanout,
				  const AnnGraphOptions *options, uint16_t *nearest)
{
	float		d[4 * ANN_MAX_LEADERS];
	const int8_t *row[4];
	float		scale[4];
	float		norm2[4];
	AnnTile		four = {row, scale, norm2, 0};

	for (uint32_t i = 0; i < n; i += 4)
	{
		if (i % ROUTE_ROWS == 0 && options->check != NULL)
			options->check(options->check_arg);
		four.n = 0;
		for (uint32_t k = i; k < n && k < i + 4; k++)
			ann_tile_add_row(&four, rows, numbers[k]);
		ann_tile_distances4(&four, 0, leaders, 0, rows->rows.dim, d);
		for (uint32_t k = 0; k < four.n; k++)
			choose_nearest(d, leaders->n, k, fanout, nearest + (size_t) (i + k) * fanout);
	}
}

/*
 * Carving
 */

typedef struct Carve
{
	const AnnGraphRows *rows;
	const AnnGraphOptions *options;
	AnnRandom	random;
	uint32_t   *ends;			/* of ranges, by their beginnings */
	uint32_t   *aside;			/* numbers while they are moved */
	uint16_t   *nearest;		/* leader of each */
	AnnTile		leaders;
	uint32_t	sizes[ANN_MAX_LEADERS];
} Carve;

size_t
ann_carve_scratch_size(uint32_t n)
{
	return 2 * ann_scratch_bytes(sizeof(uint32_t) * (size_t) n) +
		ann_scratch_bytes(sizeof(uint16_t) * (size_t) n) +
		ann_scratch_bytes(ann_tile_size(ANN_MAX_LEADERS));
}

/* Cut the range into pieces of random rows that fit leaves. */
static void
cut_randomly(Carve *carve, uint32_t *numbers, uint32_t first, uint32_t end)
{
	uint32_t	n = end - first;
	uint32_t	pieces = (n - 1) / carve->options->leaf_max + 1;

	for (uint32_t i = first; i < end; i++)
		ann_random_draw(numbers, i, end, &carve->random);
	for (uint32_t i = 0; i < pieces; i++)
	{
		uint32_t	begin = first + (uint32_t) ((uint64_t) n * i / pieces);

		carve->ends[begin] = first + (uint32_t) ((uint64_t) n * (i + 1) / pieces);
	}
}

/*
 * Move the rows of each leader together, the large buckets first, then the
 * small ones, so that these can be pooled.  Returns where those begin; starts
 * of buckets go to 'starts'.
 */
static uint32_t
gather_buckets(Carve *carve, uint32_t *numbers, uint32_t first, uint32_t end,
			   uint32_t *starts)
{
	uint32_t	n = end - first;
	uint32_t	at = 0;
	uint32_t	small = 0;
	uint32_t	next[ANN_MAX_LEADERS];

	for (int pass = 0; pass < 2; pass++)
	{
		small = pass == 0 ? small : at;
		for (uint32_t j = 0; j < carve->leaders.n; j++)
		{
			if ((carve->sizes[j] < carve->options->leaf_min) != (pass == 1))
				continue;
			starts[j] = next[j] = at;
			at += carve->sizes[j];
		}
	}
	memcpy(carve->aside, numbers + first, sizeof(uint32_t) * (size_t) n);
	for (uint32_t i = 0; i < n; i++)
		numbers[first + next[carve->nearest[i]]++] = carve->aside[i];
	return first + small;
}

/* Join the small buckets from 'first' on until what they make is not small. */
static void
pool_small(Carve *carve, uint32_t first, uint32_t end)
{
	uint32_t	least = carve->options->leaf_min;
	uint32_t	begin = first;
	uint32_t	at = first;
	uint32_t	previous = end;

	for (uint32_t j = 0; j < carve->leaders.n; j++)
	{
		if (carve->sizes[j] >= least)
			continue;
		at += carve->sizes[j];
		if (at - begin >= least)
		{
			carve->ends[begin] = at;
			previous = begin;
			begin = at;
		}
	}
	if (begin < end)
		carve->ends[previous < end ? previous : begin] = end;
}

/* Divide a range that is larger than a leaf into smaller ones. */
static void
carve_range(Carve *carve, uint32_t *numbers, uint32_t first, uint32_t end)
{
	uint32_t	n = end - first;
	uint32_t	wanted = leaders_for(n, MIN_LEADERS, carve->options);
	uint32_t	starts[ANN_MAX_LEADERS];
	uint32_t	small;

	ann_leaders_choose(carve->rows, numbers + first, n, wanted, &carve->random,
					   &carve->leaders);
	ann_leaders_route(&carve->leaders, carve->rows, numbers + first, n, 1,
					  carve->options, carve->nearest);
	memset(carve->sizes, 0, sizeof(carve->sizes));
	for (uint32_t i = 0; i < n; i++)
		carve->sizes[carve->nearest[i]]++;
	small = gather_buckets(carve, numbers, first, end, starts);
	pool_small(carve, small, end);
	for (uint32_t j = 0; j < carve->leaders.n; j++)
	{
		uint32_t	begin = first + starts[j];
		uint32_t	size = carve->sizes[j];

		if (size < carve->options->leaf_min)
			continue;
		if ((uint64_t) size * 100 > (uint64_t) n * MAX_SHARE)
			cut_randomly(carve, numbers, begin, begin + size);
		else
			carve->ends[begin] = begin + size;
	}
}

void
ann_carve(const AnnGraphRows *rows, uint32_t *numbers, uint32_t n,
		  const AnnGraphOptions *options, uint64_t seed, AnnLeafFn leaf,
		  void *arg, void *scratch)
{
	Carve		carve = {.rows = rows, .options = options};
	char	   *block = scratch;

	if (n == 0)
		return;
	carve.ends = ann_scratch_take(&block, sizeof(uint32_t) * (size_t) n);
	carve.aside = ann_scratch_take(&block, sizeof(uint32_t) * (size_t) n);
	carve.nearest = ann_scratch_take(&block, sizeof(uint16_t) * (size_t) n);
	ann_tile_init(&carve.leaders, ANN_MAX_LEADERS, block);
	ann_random_seed(&carve.random, seed);
	carve.ends[0] = n;
	for (uint32_t at = 0; at < n;)
	{
		uint32_t	end = carve.ends[at];

		if (end - at > options->leaf_max)
			carve_range(&carve, numbers, at, end);
		else
		{
			leaf(arg, numbers + at, end - at);
			at = end;
		}
	}
}

/*
 * All rows
 */

size_t
ann_partition_size(uint32_t n, const AnnGraphOptions *options)
{
	size_t		joined = (size_t) n * options->fanout;

	return ann_scratch_bytes(sizeof(uint32_t) * (size_t) n) +
		ann_scratch_bytes(sizeof(uint16_t) * joined) +
		ann_scratch_bytes(sizeof(size_t) * (ANN_MAX_LEADERS + 1)) +
		ann_scratch_bytes(sizeof(uint32_t) * joined);
}

void
ann_partition_init(AnnPartition *partition, const AnnGraphRows *rows,
				   const AnnGraphOptions *options, void *memory)
{
	uint32_t	n = rows->rows.count;
	size_t		joined = (size_t) n * options->fanout;
	char	   *block = memory;

	partition->rows = rows;
	partition->options = options;
	partition->wanted = ann_leaders_wanted(n, options);
	partition->numbers = ann_scratch_take(&block, sizeof(uint32_t) * (size_t) n);
	partition->nearest = ann_scratch_take(&block, sizeof(uint16_t) * joined);
	partition->starts = ann_scratch_take(&block, sizeof(size_t) * (ANN_MAX_LEADERS + 1));
	partition->joined = ann_scratch_take(&block, sizeof(uint32_t) * joined);
}

void
ann_partition_lead(AnnPartition *partition)
{
	uint32_t	n = partition->rows->rows.count;
	AnnRandom	random;

	ann_random_seed(&random, partition->options->seed);
	for (uint32_t i = 0; i < n; i++)
		partition->numbers[i] = i;
	for (uint32_t i = 0; i < partition->wanted; i++)
		ann_random_draw(partition->numbers, i, n, &random);
}

void
ann_partition_leaders(const AnnPartition *partition, AnnTile *leaders)
{
	leaders->n = 0;
	for (uint32_t i = 0; i < partition->wanted; i++)
		ann_tile_add_row(leaders, partition->rows, partition->numbers[i]);
}

void
ann_partition_route(AnnPartition *partition, const AnnTile *leaders, uint32_t first,
					uint32_t n)
{
	uint32_t	fanout = partition->options->fanout;
	uint32_t	numbers[ROUTE_ROWS];

	for (uint32_t at = first; at < first + n && partition->wanted > 0; at += ROUTE_ROWS)
	{
		uint32_t	some = first + n - at < ROUTE_ROWS ? first + n - at : ROUTE_ROWS;

		for (uint32_t i = 0; i < some; i++)
			numbers[i] = at + i;
		ann_leaders_route(leaders, partition->rows, numbers, some, fanout,
						  partition->options, partition->nearest + (size_t) at * fanout);
	}
}

/*
 * Row numbers by leader, from nearest[] of 'fanout' for each row; starts[j] is
 * where those of leader j begin, and starts[leaders] the end of all.
 */
static void
sort_by_leader(const uint16_t *nearest, uint32_t n, const AnnGraphOptions *options,
			   uint32_t leaders, size_t *starts, uint32_t *joined)
{
	uint32_t	fanout = options->fanout;
	size_t		next[ANN_MAX_LEADERS];
	size_t		all = (size_t) n * fanout;

	memset(starts, 0, sizeof(*starts) * (leaders + 1));
	for (size_t i = 0; i < all; i++)
		starts[nearest[i] + 1]++;
	for (uint32_t j = 0; j < leaders; j++)
	{
		starts[j + 1] += starts[j];
		next[j] = starts[j];
	}
	for (size_t i = 0; i < all; i++)
	{
		if (i % SORTED_ROWS == 0 && options->check != NULL)
			options->check(options->check_arg);
		joined[next[nearest[i]]++] = (uint32_t) (i / fanout);
	}
}

void
ann_partition_sort(AnnPartition *partition)
{
	if (partition->wanted > 0)
		sort_by_leader(partition->nearest, partition->rows->rows.count,
					   partition->options, partition->wanted, partition->starts,
					   partition->joined);
}

uint32_t
ann_partition_groups(const AnnPartition *partition)
{
	return partition->wanted > 0 ? partition->wanted : 1;
}

uint32_t
ann_partition_group_size(const AnnPartition *partition, uint32_t group)
{
	if (partition->wanted == 0)
		return partition->rows->rows.count;
	return (uint32_t) (partition->starts[group + 1] - partition->starts[group]);
}

void
ann_partition_carve(AnnPartition *partition, uint32_t group, AnnLeafFn leaf, void *arg,
					void *scratch)
{
	const AnnGraphOptions *options = partition->options;
	uint32_t	n = ann_partition_group_size(partition, group);

	if (partition->wanted == 0)
		ann_carve(partition->rows, partition->numbers, n, options, options->seed, leaf, arg,
				  scratch);
	else
		ann_carve(partition->rows, partition->joined + partition->starts[group], n, options,
				  options->seed + 1 + group, leaf, arg, scratch);
}

size_t
ann_partition_leaves(const AnnPartition *partition, const uint32_t **rows)
{
	*rows = partition->wanted > 0 ? partition->joined : partition->numbers;
	return partition->wanted > 0 ? partition->starts[partition->wanted]
		: partition->rows->rows.count;
}

void
ann_visits_init(AnnVisits *visits, uint32_t rows, uint32_t *order, uint8_t *seen)
{
	visits->order = order;
	visits->count = 0;
	visits->seen = seen;
	memset(seen, 0, rows);
}

void
ann_visits_add(AnnVisits *visits, const uint32_t *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		if (!visits->seen[rows[i]])
		{
			visits->seen[rows[i]] = 1;
			visits->order[visits->count++] = rows[i];
		}
	}
}
