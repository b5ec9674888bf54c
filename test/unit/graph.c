/*
 * graph.c
 *	  Graphs: the kernels of tiles, the partition, lists of neighbours, and
 *	  whether all of a graph is reached and found.
 *
 * Exact answers, occlusion and breadth-first walks are computed here once more,
 * in the plainest way.
 */
#include <math.h>
#include <string.h>

#include "algo/partition.h"
#include "algo/quantize.h"
#include "algo/reach.h"
#include "unit.h"

#define QUERIES 200
#define K 10

/* Rows of a data set, the last QUERIES of which are no part of the graph. */
typedef struct Data
{
	const char *name;
	uint32_t	count;			/* without the queries */
	int			dim;
	AnnTreeRows tree_rows;
	AnnGraphRows all;			/* with the queries */
	AnnGraphRows rows;
} Data;

static double
gaussian(void)
{
	return sqrt(-2 * log(1 - random_unit())) * cos(6.283185307179586 * random_unit());
}

/*
 * Clusters whose rows differ from the centres in a few directions alone, which
 * are the same for some of the clusters.  'spread' is how far rows are from
 * their centres, compared with the centres' distances; 'intrinsic' 0 gives
 * copies of the centres.
 */
static Data
make_data(const char *name, uint32_t count, int dim, int clusters, int intrinsic,
		  double spread)
{
	uint32_t	all = count + QUERIES;
	Data		data = {.name = name, .count = count, .dim = dim};
	float	   *centres = calloc((size_t) clusters * dim, sizeof(float));
	float	   *basis = calloc((size_t) (intrinsic + 1) * 4 * dim, sizeof(float));
	float	   *x = calloc(dim, sizeof(float));
	int8_t	   *bytes = guarded_memory((size_t) all * dim);
	float	   *scale = calloc(all, sizeof(float));
	float	   *relative = calloc(all, sizeof(float));
	float	   *norm2 = calloc(all, sizeof(float));

	for (int i = 0; i < clusters * dim; i++)
		centres[i] = (float) gaussian();
	for (int i = 0; i < intrinsic * 4 * dim; i++)
		basis[i] = (float) (gaussian() * spread / sqrt(intrinsic));
	for (uint32_t r = 0; r < all; r++)
	{
		int			cluster = (int) (random_bits() % clusters);

		memcpy(x, centres + (size_t) cluster * dim, sizeof(float) * dim);
		for (int k = 0; k < intrinsic; k++)
		{
			const float *direction = basis + (size_t) (cluster % 4 * intrinsic + k) * dim;
			float		g = (float) gaussian();

			for (int i = 0; i < dim; i++)
				x[i] += g * direction[i];
		}
		scale[r] = ann_quantize(x, dim, bytes + (size_t) r * dim);
	}
	data.tree_rows = (AnnTreeRows) {bytes, dim, scale, all, dim};
	ann_graph_rows_init(&data.all, &data.tree_rows, ann_graph_unit(&data.tree_rows),
						relative, norm2);
	data.rows = data.all;
	data.rows.rows.count = count;
	free(centres);
	free(basis);
	free(x);
	return data;
}

/*
 * Kernels and distances
 */

static void
test_tile_kernel(const AnnKernels *t, int dim, uint32_t n)
{
	const int8_t *a[4];
	const int8_t *b[9];
	int32_t    *out = guarded_memory(sizeof(int32_t) * 4 * n);
	bool		same = true;

	for (uint32_t r = 0; r < 4 + n; r++)
	{
		int8_t	   *row = guarded_memory(dim);

		for (int i = 0; i < dim; i++)
			row[i] = r == 0 ? -128 : r == 4 ? -128 : (int8_t) random_bits();
		if (r < 4)
			a[r] = row;
		else
			b[r - 4] = row;
	}
	t->tile(a, b, n, dim, out);
	for (uint32_t j = 0; j < n; j++)
	{
		for (int k = 0; k < 4; k++)
		{
			int64_t		sum = 0;

			for (int i = 0; i < dim; i++)
				sum += a[k][i] * b[j][i];
			same = same && out[4 * j + k] == sum;
		}
	}
	ok(same, "%s: products of four rows and %u of %d dimensions", t->name, n, dim);
}

static void
test_distances(const Data *data)
{
	AnnTile		tile;
	float		d[4 * 7];
	bool		same = true;

	ann_tile_init(&tile, 7, calloc(1, ann_tile_size(7)));
	for (uint32_t i = 0; i < 7; i++)
		ann_tile_add_row(&tile, &data->rows, i);
	for (uint32_t first = 0; first < 7; first++)
	{
		ann_tile_distances4(&tile, first, &tile, first, data->dim, d);
		for (uint32_t j = first; j < 7; j++)
		{
			for (uint32_t i = 0; i < 4; i++)
			{
				uint32_t	row = first + i < 7 ? first + i : 6;

				same = same && d[4 * (j - first) + i] == ann_graph_distance(&data->rows, row, j);
			}
		}
		ann_tile_distances1(&tile, first, &tile, 0, data->dim, d);
		for (uint32_t i = first; i < 7; i++)
			same = same && d[i - first] == ann_graph_distance(&data->rows, i, 0);
	}
	ok(same, "%s: tiles and pairs have the same distances", data->name);
	same = true;
	for (uint32_t i = 0; i < 100 && i < data->count; i++)
	{
		for (uint32_t j = 0; j < 100 && j < data->count; j++)
		{
			const int8_t *x = ann_tree_row(&data->tree_rows, i);
			const int8_t *y = ann_tree_row(&data->tree_rows, j);
			double		unit = ann_graph_unit(&data->tree_rows);
			double		sum = 0;
			double		size = 0;

			for (int k = 0; k < data->dim; k++)
			{
				double		u = x[k] * (double) data->tree_rows.scale[i] / unit;
				double		v = y[k] * (double) data->tree_rows.scale[j] / unit;

				sum += (u - v) * (u - v);
				size += u * u + v * v;
			}
			same = same && fabs(sum - ann_graph_distance(&data->rows, i, j)) <= 1e-6 * size;
			same = same && (i != j || ann_graph_distance(&data->rows, i, j) == 0);
		}
	}
	ok(same, "%s: distances are what they should be", data->name);
}

/*
 * Rows whose squares no float could hold, beside others that vanish; and usual rows
 * beside one that is larger than any two of them are different.
 */
static void
test_extremes(void)
{
	static int8_t bytes[4 * 64];
	static const float scales[4] = {2e36f, 1e36f, 1e-30f, 0};
	static const float one_huge[4] = {1e36f, 1, 1, 2};
	AnnTreeRows rows = {bytes, 64, scales, 4, 64};
	AnnGraphRows graph_rows;
	float		scale[4];
	float		norm2[4];
	bool		negative = false;

	memset(bytes, 127, sizeof(bytes));
	ann_graph_rows_init(&graph_rows, &rows, ann_graph_unit(&rows), scale, norm2);
	ok(ann_graph_distance(&graph_rows, 0, 1) == 127 * 127 * 64 &&
	   ann_graph_distance(&graph_rows, 0, 2) == 127 * 127 * 64 * 4.0f &&
	   ann_graph_distance(&graph_rows, 2, 3) == 0, "distances do not overflow");
	rows.scale = one_huge;
	ann_graph_rows_init(&graph_rows, &rows, ann_graph_unit(&rows), scale, norm2);
	ok(ann_graph_distance(&graph_rows, 1, 2) == 0 &&
	   ann_graph_distance(&graph_rows, 2, 3) == 127 * 127 * 64 / 4.0f &&
	   ann_graph_distance(&graph_rows, 0, 1) > 1e20f &&
	   isfinite(ann_graph_distance(&graph_rows, 0, 1)), "a huge row does no harm to others");
	for (int round = 0; round < 1000; round++)
	{
		const float nearly[4] = {1, 0.99999994f, 0.9999999f, 0.9999998f};

		for (int i = 0; i < 64; i++)
			bytes[i] = bytes[64 + i] = bytes[128 + i] = bytes[192 + i] = (int8_t) random_bits();
		rows.scale = nearly;
		ann_graph_rows_init(&graph_rows, &rows, 1, scale, norm2);
		for (uint32_t i = 1; i < 4; i++)
		{
			float		d[4];
			AnnTile		tile;
			char		memory[256];

			ann_tile_init(&tile, 4, memory);
			ann_tile_add_row(&tile, &graph_rows, 0);
			ann_tile_add_row(&tile, &graph_rows, i);
			ann_tile_distances1(&tile, 0, &tile, 1, 64, d);
			negative |= d[0] < 0 || ann_graph_distance(&graph_rows, 0, i) < 0;
		}
	}
	ok(!negative, "distances are not negative");
	memset(bytes, 127, sizeof(bytes));
	memset(scale, 0, sizeof(scale));
	rows.scale = scale;
	ann_graph_rows_init(&graph_rows, &rows, ann_graph_unit(&rows), scale, norm2);
	ok(ann_graph_distance(&graph_rows, 0, 3) == 0, "rows of zeros");
}

/*
 * Building
 */

typedef struct Build
{
	const AnnGraphRows *rows;
	AnnGraphRows sketch;
	AnnGraphOptions options;
	AnnReservoirs reservoirs;
	AnnVisits	visits;
	AnnGraph	graph;
	AnnEntries	entries;
	void	   *scratch;
	uint32_t	leaves;
	uint32_t	largest;
	uint32_t	smallest;
	uint64_t	in_leaves;
	uint32_t   *in_leaf;		/* number of the last leaf of each row */
	bool		repeated;		/* a row twice in a leaf */
	uint8_t    *met;			/* whether it was in a leaf with one of them */
	int			checks;
} Build;

static void
note_check(void *arg)
{
	((Build *) arg)->checks++;
}

static void
take_edge(void *arg, uint32_t from, uint32_t to, float distance)
{
	ann_reservoirs_add(&((Build *) arg)->reservoirs, from, to, distance);
}

static void
take_leaf(void *arg, const uint32_t *rows, uint32_t n)
{
	Build	   *build = arg;

	build->leaves++;
	build->in_leaves += n;
	build->largest = n > build->largest ? n : build->largest;
	build->smallest = n < build->smallest ? n : build->smallest;
	for (uint32_t i = 0; i < n; i++)
	{
		build->repeated |= build->in_leaf[rows[i]] == build->leaves;
		build->in_leaf[rows[i]] = build->leaves;
	}
	for (uint32_t i = 0; i < n && build->in_leaf[build->rows->rows.count / 3] == build->leaves; i++)
		build->met[rows[i]] = 1;
	ann_visits_add(&build->visits, rows, n);
	ann_reservoirs_expect(&build->reservoirs, rows, n);
	ann_leaf_edges(&build->sketch, rows, n, &build->options, take_edge, build,
				   build->scratch);
}

/* Divide the rows into leaves; rows are routed in two parts, as two processes would. */
static void
divide(Build *build)
{
	uint32_t	n = build->sketch.rows.count;
	void	   *memory = malloc(ann_partition_size(n, &build->options) + 16);
	void	   *tile = malloc(ann_tile_size(ANN_MAX_LEADERS));
	void	   *scratch = malloc(ann_carve_scratch_size(n) + 16);
	AnnPartition partition;
	AnnTile		leaders;

	ann_tile_init(&leaders, ANN_MAX_LEADERS, tile);
	ann_partition_init(&partition, &build->sketch, &build->options, memory);
	ann_partition_lead(&partition);
	ann_partition_leaders(&partition, &leaders);
	ann_partition_route(&partition, &leaders, n / 3, n - n / 3);
	ann_partition_route(&partition, &leaders, 0, n / 3);
	ann_partition_sort(&partition);
	for (uint32_t i = 0; i < ann_partition_groups(&partition); i++)
		ann_partition_carve(&partition, i, take_leaf, build, scratch);
	free(scratch);
	free(tile);
	free(memory);
}

/* Everything up to the lists of neighbours, and the entries. */
static Build *
build_lists(const Data *data, const AnnGraphOptions *options)
{
	Build	   *build = calloc(1, sizeof(Build));
	uint32_t	n = data->count;
	float	   *norm2 = calloc(n + 1, sizeof(float));

	build->rows = &data->rows;
	ann_graph_rows_sketch(&build->sketch, &data->rows, options->sketch, norm2);
	ann_graph_norms_fill(&build->sketch, 0, n, norm2);
	build->options = *options;
	build->options.check = note_check;
	build->options.check_arg = build;
	build->smallest = UINT32_MAX;
	build->in_leaf = calloc(n + 1, sizeof(uint32_t));
	build->met = calloc(n + 1, 1);
	build->scratch = malloc(ann_leaf_scratch_size(options));
	ann_reservoirs_init(&build->reservoirs, n, options,
						malloc(ann_reservoirs_size(n, options) + 16));
	ann_visits_init(&build->visits, n, calloc(n + 1, sizeof(uint32_t)), calloc(n + 1, 1));
	ann_reservoirs_empty(&build->reservoirs, 0, n);
	divide(build);
	free(build->scratch);
	build->scratch = malloc(ann_prune_row_scratch_size(options));
	ann_graph_init(&build->graph, n, options, malloc(ann_graph_size(n, options) + 16));
	for (uint32_t row = 0; row < n; row++)
		ann_prune_row(&build->graph, build->rows, &build->reservoirs, row,
					  &build->options, build->scratch);
	build->entries.nodes = calloc(n + 1, sizeof(uint32_t));
	ann_entries_draw(&build->entries, n, options->seed);
	free(build->scratch);
	return build;
}

static void
finish(Build *build)
{
	void	   *scratch = malloc(ann_entries_scratch_size(build->graph.count));

	ann_entries_complete(&build->entries, &build->graph, &build->sketch, &build->options,
						 scratch);
	free(scratch);
	scratch = malloc(ann_reach_scratch_size(&build->graph));
	ann_graph_make_reachable(&build->graph, build->rows, &build->entries,
							 &build->options, scratch);
	free(scratch);
}

static Build *
build_graph(const Data *data, const AnnGraphOptions *options)
{
	Build	   *build = build_lists(data, options);

	finish(build);
	return build;
}

static void
free_build(Build *build)
{
	free((void *) build->sketch.norm2);
	free(build->in_leaf);
	free(build->met);
	free(build->reservoirs.candidates);
	free(build->visits.order);
	free(build->visits.seen);
	free(build->graph.links);
	free(build->entries.nodes);
	free(build);
}

static AnnGraphOptions
usual_options(int dim)
{
	AnnGraphOptions options;

	ann_graph_options_init(&options, dim, 16, 64);
	options.seed = 42;
	return options;
}

/*
 * What must hold of every graph
 */

static uint32_t
count_unreachable(const AnnGraph *graph, const AnnEntries *entries)
{
	uint8_t    *reached = calloc(graph->count + 1, 1);
	uint32_t   *queue = calloc(graph->count + 1, sizeof(uint32_t));
	uint32_t	tail = 0;
	uint32_t	count = graph->count;

	for (uint32_t i = 0; i < entries->count; i++)
	{
		if (!reached[entries->nodes[i]])
			queue[tail++] = entries->nodes[i];
		reached[entries->nodes[i]] = 1;
	}
	for (uint32_t head = 0; head < tail; head++)
	{
		for (uint32_t i = 0; i < graph->degrees[queue[head]]; i++)
		{
			uint32_t	node = ann_graph_links(graph, queue[head])[i];

			if (!reached[node])
				queue[tail++] = node;
			reached[node] = 1;
		}
	}
	free(reached);
	free(queue);
	return count - tail;
}

/* Lists are short enough, sorted, and without the node or anything twice. */
static bool
lists_hold(const AnnGraph *graph, const AnnGraphRows *rows, uint32_t most)
{
	for (uint32_t node = 0; node < graph->count; node++)
	{
		const uint32_t *links = ann_graph_links(graph, node);
		uint32_t	n = graph->degrees[node];

		if (n > most)
			return false;
		for (uint32_t i = 0; i < n; i++)
		{
			if (links[i] == node || links[i] >= graph->count)
				return false;
			for (uint32_t j = 0; j < i; j++)
			{
				if (links[j] == links[i] ||
					ann_graph_distance(rows, node, links[j]) >
					ann_graph_distance(rows, node, links[i]))
					return false;
			}
		}
	}
	return true;
}

static bool
is_permutation(const uint32_t *order, uint32_t n, uint32_t count)
{
	uint8_t    *seen = calloc(n + 1, 1);
	bool		held = count == n;

	for (uint32_t i = 0; i < count; i++)
	{
		held = held && order[i] < n && !seen[order[i]];
		seen[order[i]] = 1;
	}
	free(seen);
	return held;
}

static double
average_degree(const AnnGraph *graph)
{
	double		sum = 0;

	for (uint32_t i = 0; i < graph->count; i++)
		sum += graph->degrees[i];
	return sum / graph->count;
}

/* Recall of the K nearest of the queries; ties count as found. */
static double
recall(const Data *data, const Build *build, uint32_t breadth)
{
	AnnWalk		walk;
	uint64_t	found = 0;
	float	   *d = calloc(data->count, sizeof(float));
	void	   *memory = malloc(ann_walk_size(&build->graph, breadth));

	ann_walk_init(&walk, &build->graph, &data->rows, breadth, memory);
	for (uint32_t q = data->count; q < data->count + QUERIES; q++)
	{
		char		one[64];
		AnnTile		query;
		float		nearest[K + 1];
		uint32_t	n = 0;

		ann_tile_init(&query, 1, one);
		ann_tile_add_row(&query, &data->all, q);
		for (uint32_t i = 0; i < data->count; i++)
		{
			uint32_t	at = n;

			d[i] = ann_graph_distance(&data->all, q, i);
			for (; at > 0 && nearest[at - 1] > d[i]; at--)
				nearest[at] = nearest[at - 1];
			nearest[at] = d[i];
			n = n < K ? n + 1 : K;
		}
		ann_walk_search(&walk, &query, &build->entries);
		for (uint32_t i = 0; i < K && i < walk.found; i++)
			found += d[ann_walk_node(&walk, i)] <= nearest[K - 1];
	}
	free(memory);
	free(d);
	return (double) found / (K * QUERIES);
}

static void
test_graph(const Data *data, uint32_t breadth, double least)
{
	AnnGraphOptions options = usual_options(data->dim);
	Build	   *build = build_graph(data, &options);
	uint32_t	unreachable = count_unreachable(&build->graph, &build->entries);
	double		share;

	ok(build->largest <= options.leaf_max && !build->repeated,
	   "%s: leaves have up to %u rows, each once (%u leaves, %u - %u rows)",
	   data->name, options.leaf_max, build->leaves, build->smallest, build->largest);
	ok(is_permutation(build->visits.order, data->count, build->visits.count),
	   "%s: every row is in a leaf, first visits are a permutation", data->name);
	ok(build->in_leaves >= data->count &&
	   build->in_leaves <= (uint64_t) data->count * options.fanout,
	   "%s: rows are in %.2f leaves", data->name,
	   (double) build->in_leaves / data->count);
	ok(lists_hold(&build->graph, &data->rows, options.degree),
	   "%s: lists of neighbours (%.1f on average)", data->name,
	   average_degree(&build->graph));
	ok(unreachable == 0, "%s: %u nodes are unreachable", data->name, unreachable);
	ok(build->checks > 0, "%s: interrupts are checked", data->name);
	share = recall(data, build, breadth);
	ok(share >= least, "%s: recall %.4f with %u candidates and %u entries",
	   data->name, share, breadth, build->entries.count);
	free_build(build);
}

static bool
same_graph(const Build *a, const Build *b)
{
	bool		same = a->entries.count == b->entries.count &&
		memcmp(a->visits.order, b->visits.order, sizeof(uint32_t) * a->graph.count) == 0;

	for (uint32_t i = 0; same && i < a->graph.count; i++)
		same = a->graph.degrees[i] == b->graph.degrees[i] &&
			memcmp(ann_graph_links(&a->graph, i), ann_graph_links(&b->graph, i),
				   sizeof(uint32_t) * a->graph.degrees[i]) == 0;
	return same;
}

/* The same graph again, with every table; another one with another seed. */
static void
test_same(const Data *data)
{
	AnnGraphOptions options = usual_options(data->dim);
	Build	   *build = build_graph(data, &options);
	const AnnKernels *chosen = ann_kernels;
	Build	   *other;

	for (int i = 0; (ann_kernels = ann_kernels_usable(i)) != NULL; i++)
	{
		other = build_graph(data, &options);
		ok(same_graph(build, other), "%s: the same graph with %s", data->name,
		   ann_kernels->name);
		free_build(other);
	}
	ann_kernels = chosen;
	options.seed++;
	other = build_graph(data, &options);
	ok(!same_graph(build, other), "%s: another graph with another seed", data->name);
	free_build(other);
	free_build(build);
}

static void
test_tiny(void)
{
	for (uint32_t n = 0; n <= 3; n++)
	{
		Data		data = make_data("tiny", n, 64, 3, 2, 1);
		AnnGraphOptions options = usual_options(64);
		Build	   *build = build_graph(&data, &options);
		uint32_t	links = 0;

		for (uint32_t i = 0; i < n; i++)
			links += build->graph.degrees[i];
		ok(build->leaves == (n > 0) && build->visits.count == n &&
		   build->entries.count == n && links >= 2 * (n - (n > 0)) &&
		   lists_hold(&build->graph, &data.rows, options.degree),
		   "%u rows: %u leaves, %u entries, %u links", n, build->leaves,
		   build->entries.count, links);
		free_build(build);
	}
}

/*
 * Parts
 */

/* Rows of equal values are together at random, not the same ones each time. */
static void
test_equal(const Data *data)
{
	AnnGraphOptions options = usual_options(data->dim);
	Build	   *build = build_lists(data, &options);
	uint32_t	met = 0;

	for (uint32_t i = 0; i < data->count; i++)
		met += build->met[i];
	ok(met > build->largest * 3 / 2, "%s: in leaves of up to %u rows one meets %u",
	   data->name, build->largest, met);
	free_build(build);
}

/* Every row of a carved set is in one leaf, few leaves are small. */
typedef struct Carved
{
	uint8_t    *times;
	uint32_t	largest;
	uint32_t	small;
	uint32_t	leaf_min;
	uint32_t	count;
} Carved;

static void
take_carved(void *arg, const uint32_t *rows, uint32_t n)
{
	Carved	   *carved = arg;

	for (uint32_t i = 0; i < n; i++)
		carved->times[rows[i]]++;
	carved->count += n;
	carved->largest = n > carved->largest ? n : carved->largest;
	carved->small += n < carved->leaf_min;
}

static void
test_carve(const Data *data, uint32_t leaf_max)
{
	AnnGraphOptions options = usual_options(data->dim);
	uint32_t	n = data->count;
	uint32_t   *numbers = malloc(sizeof(uint32_t) * n);
	void	   *scratch = malloc(ann_carve_scratch_size(n));
	Carved		carved = {calloc(n, 1), 0, 0, leaf_max / 3, 0};
	bool		right = true;

	options.leaf_max = leaf_max;
	options.leaf_min = leaf_max / 3;
	for (uint64_t seed = 0; seed < 20; seed++)
	{
		memset(carved.times, 0, n);
		carved.count = 0;
		for (uint32_t i = 0; i < n; i++)
			numbers[i] = i;
		ann_carve(&data->rows, numbers, n, &options, seed, take_carved, &carved, scratch);
		right = right && carved.count == n;
		for (uint32_t i = 0; i < n; i++)
			right = right && carved.times[i] == 1 && numbers[i] < n;
	}
	ok(right && carved.largest <= leaf_max,
	   "%s: carved into leaves of up to %u rows, each in one (%u leaves were small)",
	   data->name, leaf_max, carved.small);
	free(carved.times);
	free(numbers);
	free(scratch);
}

/* The edges of a leaf, once more without anything clever. */
typedef struct Told
{
	uint8_t		times[256][256];
	bool		wrong;
	const Data *data;
} Told;

static void
take_told(void *arg, uint32_t from, uint32_t to, float distance)
{
	Told	   *told = arg;

	told->times[from][to]++;
	told->wrong |= distance != ann_graph_distance(&told->data->rows, from, to);
}

static void
tell_plainly(const Data *data, uint32_t n, const AnnGraphOptions *options,
			 uint8_t told[256][256])
{
	float		alpha2 = options->alpha * options->alpha;

	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t	order[256];
		uint32_t	kept[256];
		uint32_t	count = 0;

		for (uint32_t j = 0; j < n; j++)
		{
			uint32_t	at = j;

			for (; at > 0 && (order[at - 1] == i ||
							  (j != i && ann_graph_distance(&data->rows, i, order[at - 1]) >
							   ann_graph_distance(&data->rows, i, j))); at--)
				order[at] = order[at - 1];
			order[at] = j;
		}
		for (uint32_t c = 0; c < options->nearest && c < n - 1; c++)
		{
			float		d = ann_graph_distance(&data->rows, i, order[c]);
			bool		occluded = false;

			for (uint32_t k = 0; k < count; k++)
				occluded |= alpha2 * ann_graph_distance(&data->rows, kept[k], order[c]) < d;
			if (!occluded)
			{
				kept[count++] = order[c];
				told[i][order[c]] = told[order[c]][i] = 1;
			}
		}
	}
}

static void
test_leaf(const Data *data, uint32_t n, uint32_t nearest)
{
	AnnGraphOptions options = usual_options(data->dim);
	uint32_t	numbers[256];
	Told	   *told = calloc(1, sizeof(Told));
	Told	   *plain = calloc(1, sizeof(Told));
	void	   *scratch;

	options.nearest = nearest;
	scratch = malloc(ann_leaf_scratch_size(&options));
	told->data = data;
	for (uint32_t i = 0; i < n; i++)
		numbers[i] = i;
	ann_leaf_edges(&data->rows, numbers, n, &options, take_told, told, scratch);
	tell_plainly(data, n, &options, plain->times);
	ok(!told->wrong && memcmp(told->times, plain->times, sizeof(told->times)) == 0,
	   "%s: edges of a leaf of %u rows, %u considered", data->name, n, nearest);
	free(scratch);
	free(told);
	free(plain);
}

/* The nearest leaders, one row at a time. */
static void
test_route(const Data *data)
{
	AnnGraphOptions options = usual_options(data->dim);
	uint32_t   *numbers = calloc(data->count, sizeof(uint32_t));
	uint16_t   *nearest = calloc((size_t) data->count * options.fanout, sizeof(uint16_t));
	uint32_t	wanted = ann_leaders_wanted(data->count, &options);
	AnnRandom	random;
	AnnTile		leaders;
	bool		right = true;

	ann_random_seed(&random, 1);
	for (uint32_t i = 0; i < data->count; i++)
		numbers[i] = i;
	ann_tile_init(&leaders, wanted, malloc(ann_tile_size(wanted)));
	ann_leaders_choose(&data->rows, numbers, data->count, wanted, &random, &leaders);
	ok(is_permutation(numbers, data->count, data->count) && leaders.n == wanted,
	   "%s: %u leaders", data->name, wanted);
	ann_leaders_route(&leaders, &data->rows, numbers, data->count, options.fanout,
					  &options, nearest);
	for (uint32_t i = 0; i < data->count; i++)
	{
		const uint16_t *mine = nearest + (size_t) i * options.fanout;

		for (uint32_t f = 0; f < options.fanout; f++)
		{
			float		d = ann_graph_distance(&data->rows, numbers[i], numbers[mine[f]]);
			uint32_t	before = 0;

			for (uint32_t j = 0; j < wanted; j++)
			{
				float		other = ann_graph_distance(&data->rows, numbers[i], numbers[j]);

				before += other < d || (other == d && j < mine[f]);
			}
			right = right && before == f;
		}
	}
	ok(right, "%s: rows are routed to their nearest leaders", data->name);
	free(numbers);
	free(nearest);
}

/* Reservoirs against sorting all candidates. */
static void
test_reservoirs(void)
{
	AnnGraphOptions options = usual_options(64);
	AnnReservoirs reservoirs;
	uint32_t	numbers[300];
	bool		right = true;

	ann_reservoirs_init(&reservoirs, 3, &options, malloc(ann_reservoirs_size(3, &options)));
	ann_reservoirs_empty(&reservoirs, 0, 3);
	for (uint32_t i = 0; i < 300; i++)
		numbers[i] = random_bits() % 150;
	for (uint32_t i = 0; i < 300; i++)
		ann_reservoirs_add(&reservoirs, 1, numbers[i], (float) (numbers[i] * 7919 % 150 / 3));
	for (uint32_t rank = 0; rank < reservoirs.counts[1]; rank++)
	{
		uint64_t	candidate = reservoirs.candidates[options.reservoir + rank];
		uint8_t		before[150] = {0};
		uint32_t	count = 0;

		for (uint32_t i = 0; i < 300; i++)
		{
			if (ann_candidate_make((float) (numbers[i] * 7919 % 150 / 3), numbers[i]) < candidate)
				before[numbers[i]] = 1;
		}
		for (uint32_t i = 0; i < 150; i++)
			count += before[i];
		right = right && count == rank;
	}
	ok(right && reservoirs.counts[1] == options.reservoir && reservoirs.counts[0] == 0 &&
	   reservoirs.counts[2] == 0, "reservoirs keep the nearest ones, each once");
	free(reservoirs.candidates);
}

/* The rule as the textbook has it. */
static uint32_t
plain_prune(const AnnGraphRows *rows, const uint32_t *numbers, const float *d,
			uint32_t n, const AnnGraphOptions *options, uint32_t *chosen)
{
	bool		kept[64] = {false};
	uint32_t	count = 0;
	uint32_t	written = 0;
	float		alpha2 = options->alpha * options->alpha;

	for (uint32_t c = 0; c < n && count < options->degree; c++)
	{
		bool		occluded = false;

		for (uint32_t k = 0; k < c; k++)
			occluded |= kept[k] && alpha2 * ann_graph_distance(rows, numbers[k], numbers[c]) < d[c];
		kept[c] = !occluded;
		count += !occluded;
	}
	for (uint32_t c = 0; c < n; c++)
	{
		if (!kept[c] && count < options->fill)
		{
			kept[c] = true;
			count++;
		}
		if (kept[c])
			chosen[written++] = c;
	}
	return written;
}

static void
test_prune(const Data *data, uint32_t n, uint32_t degree, uint32_t fill)
{
	AnnGraphOptions options = usual_options(data->dim);
	uint64_t	candidates[64];
	uint32_t	numbers[64];
	uint32_t	chosen[64];
	uint32_t	wanted[64];
	float		d[64];
	void	   *scratch = malloc(ann_prune_scratch_size(n));
	uint32_t	count = 0;
	uint32_t	wrong = 0;
	AnnTile		tile;

	options.degree = degree;
	options.fill = fill;
	ann_tile_init(&tile, n, malloc(ann_tile_size(n)));
	for (uint32_t row = 0; row < 100; row++)
	{
		tile.n = 0;
		for (uint32_t i = 0; i < n; i++)
		{
			uint32_t	other = row + 1 + i * 3;
			uint32_t	at = i;
			uint64_t	candidate = ann_candidate_make(ann_graph_distance(&data->rows, row, other), other);

			for (; at > 0 && candidates[at - 1] > candidate; at--)
				candidates[at] = candidates[at - 1];
			candidates[at] = candidate;
		}
		for (uint32_t i = 0; i < n; i++)
		{
			numbers[i] = (uint32_t) candidates[i];
			d[i] = ann_candidate_distance(candidates[i]);
			ann_tile_add_row(&tile, &data->rows, numbers[i]);
		}
		count = plain_prune(&data->rows, numbers, d, n, &options, wanted);
		wrong += ann_prune(&tile, d, data->dim, &options, chosen, scratch) != count ||
			memcmp(chosen, wanted, sizeof(uint32_t) * count) != 0;
	}
	ok(wrong == 0, "%s: %u candidates, %u neighbours, filled up to %u", data->name, n,
	   degree, fill);
	free(scratch);
}

/* A graph without most of its edges, or any, is made reachable again. */
static void
test_repair(const Data *data, uint32_t keep, uint32_t degree)
{
	AnnGraphOptions options = usual_options(data->dim);
	Build	   *build;
	uint32_t	before;

	options.degree = degree;
	options.fill = degree;
	build = build_lists(data, &options);
	for (uint32_t i = 0; i < data->count; i++)
	{
		if (build->graph.degrees[i] > keep)
			build->graph.degrees[i] = (uint16_t) keep;
	}
	before = count_unreachable(&build->graph, &build->entries);
	finish(build);
	ok(before > 0 && count_unreachable(&build->graph, &build->entries) == 0 &&
	   lists_hold(&build->graph, &data->rows, degree),
	   "%s: %u unreachable nodes are linked, %u of %u neighbours kept, %u entries",
	   data->name, before, keep, degree, build->entries.count);
	free_build(build);
}

static void
test_options(void)
{
	AnnGraphOptions small;
	AnnGraphOptions usual;
	AnnGraphOptions large;

	ann_graph_options_init(&small, 832, 16, 16);
	ann_graph_options_init(&usual, 832, 16, 64);
	ann_graph_options_init(&large, 832, 16, 256);
	ok(usual.fanout == 5 && usual.nearest == 16 && usual.reservoir == 48 &&
	   usual.leaf_max == 600 && usual.leaf_min == 100 && usual.degree == 32,
	   "usual options");
	ok(small.fanout < 5 && small.nearest < 16 && small.reservoir < 48 &&
	   large.fanout > 5 && large.nearest > 16 && large.reservoir > 48,
	   "options grow with ef_construction");
	ann_graph_options_init(&usual, 128, 16, 64);
	ok(usual.fanout == 6 && usual.nearest == 16 && usual.reservoir == 40 &&
	   usual.leaf_max == 800, "options of few dimensions");
	ann_graph_options_init(&small, 64, 2, 4);
	ann_graph_options_init(&large, 4096, 100, 1000);
	ok(small.degree == 4 && small.fill <= 4 && small.fanout >= 2 &&
	   large.fanout <= ANN_MAX_FANOUT && large.reservoir >= large.degree,
	   "options at the limits");
}

int
main(void)
{
	static const int dims[] = {64, 128, 192, 832, 4160};
	Data		clustered = make_data("clustered", 5000, 128, 20, 12, 1);
	Data		wide = make_data("wide", 3000, 832, 10, 24, 1.5);
	Data		separate = make_data("separate", 4000, 64, 100, 8, 0.02);
	Data		equal = make_data("equal", 1000, 64, 1, 0, 0);
	Data		few = make_data("few values", 3000, 64, 50, 0, 0);

	ann_kernels_choose();
	for (int i = 0; ann_kernels_usable(i) != NULL; i++)
	{
		for (size_t d = 0; d < sizeof(dims) / sizeof(dims[0]); d++)
			for (uint32_t n = 1; n <= 9; n += d == 0 ? 1 : 4)
				test_tile_kernel(ann_kernels_usable(i), dims[d], n);
	}
	test_distances(&clustered);
	test_distances(&equal);
	test_extremes();
	test_options();
	test_route(&clustered);
	test_carve(&clustered, 60);
	test_carve(&separate, 300);
	test_carve(&equal, 64);
	test_equal(&equal);
	test_leaf(&clustered, 250, 12);
	test_leaf(&clustered, 3, 12);
	test_leaf(&wide, 101, 7);
	test_leaf(&few, 200, 33);
	test_leaf(&equal, 90, 12);
	test_reservoirs();
	test_prune(&clustered, 48, 32, 16);
	test_prune(&clustered, 48, 5, 5);
	test_prune(&wide, 33, 32, 32);
	test_prune(&few, 40, 16, 8);
	test_graph(&clustered, 40, 0.99);
	test_graph(&wide, 40, 0.99);
	test_graph(&separate, 40, 0.99);
	test_graph(&equal, 40, 1);
	test_graph(&few, 40, 1);
	test_same(&clustered);
	test_tiny();
	test_repair(&clustered, 0, 32);
	test_repair(&clustered, 1, 32);
	test_repair(&separate, 3, 3);
	test_repair(&equal, 1, 2);
	return done();
}
