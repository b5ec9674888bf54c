/*
 * forest.c
 *	  Splits and trees: their shape on easy and on degenerate rows, routing,
 *	  repeatability, queries as planes, and how many rows a search has to scan.
 *
 * The search here is the plainest one that can be written: leaves hold exact
 * vectors, so that its recall is that of the trees alone.  "forest -v" prints
 * the recall of more settings than are checked.
 */
#include <math.h>
#include <string.h>

#include "algo/forest.h"
#include "algo/frontier.h"
#include "unit.h"

#define MAX_ROWS 20000
#define MAX_DIM 64
#define MAX_LEAVES 20000
#define MAX_TREES 2

static int8_t data[MAX_ROWS * MAX_DIM];
static float scale[MAX_ROWS];
static AnnTreeRows rows = {data, MAX_DIM, scale, 0, MAX_DIM};

static bool verbose;
static long checks;

/* A tree as a sink sees it. */
typedef struct Tree
{
	uint32_t	order[MAX_ROWS];
	AnnTreeLink root;
	uint32_t	splits;
	uint32_t	leaves;
	uint32_t	coins;
	uint32_t	offsets;		/* splits whose offset is not 0 */
	int8_t		w[MAX_LEAVES][MAX_DIM];
	AnnSplit	split[MAX_LEAVES];
	AnnTreeLink child[MAX_LEAVES][2];
	uint32_t	first[MAX_LEAVES];
	uint32_t	n[MAX_LEAVES];
	float		centroid[MAX_LEAVES][MAX_DIM];
} Tree;

static Tree trees[MAX_TREES];

static uint32_t
add_split(void *arg, const AnnSplit *split)
{
	Tree	   *tree = arg;
	uint32_t	i = tree->splits++;

	memcpy(tree->w[i], split->w, rows.dim);
	tree->split[i] = *split;
	tree->split[i].w = tree->w[i];
	tree->child[i][0] = tree->child[i][1] = UINT32_MAX;
	tree->coins += ann_split_is_coin(split);
	tree->offsets += split->offset != 0;
	return i;
}

static uint32_t
add_leaf(void *arg, uint32_t first, uint32_t n)
{
	Tree	   *tree = arg;

	tree->first[tree->leaves] = first;
	tree->n[tree->leaves] = n;
	return tree->leaves++;
}

static void
link_child(void *arg, uint32_t parent, int side, AnnTreeLink child)
{
	Tree	   *tree = arg;

	tree->child[parent][side] = child;
}

static void
count_check(void *arg)
{
	++*(long *) arg;
}

static AnnGrowOptions
options(uint32_t leaf_capacity, bool through_origin, uint64_t seed)
{
	AnnGrowOptions o = {leaf_capacity, through_origin, seed, count_check, &checks};

	return o;
}

/* The scratch memory ends at a fault. */
static void *
scratch(void)
{
	static void *memory = NULL;
	static uint32_t count = 0;

	if (memory == NULL || count != rows.count)
		memory = guarded_memory(ann_tree_scratch_size(rows.dim, rows.count));
	count = rows.count;
	return memory;
}

static void
first_order(uint32_t *order)
{
	for (uint32_t i = 0; i < rows.count; i++)
		order[i] = i;
}

static void
grow(Tree *tree, AnnGrowOptions o)
{
	AnnTreeSink sink = {add_split, add_leaf, link_child, tree};

	tree->splits = tree->leaves = tree->coins = tree->offsets = 0;
	first_order(tree->order);
	tree->root = ann_tree_grow(&rows, tree->order, rows.count, &o, &sink, scratch());
}

/* The same tree in memory; never freed. */
static AnnSplitTree *
grow_in_memory(AnnGrowOptions o)
{
	static uint32_t order[MAX_ROWS];
	uint32_t	splits = ann_tree_max_leaves(rows.count, o.leaf_capacity) - 1;
	AnnSplitTree *tree = guarded_memory(ann_split_tree_size(rows.dim, splits));

	first_order(order);
	ann_split_tree_grow(tree, &rows, order, rows.count, &o, scratch());
	return tree;
}

/*
 * Rows
 */

/* Nearly normal, variance 1: the sum of the four quarters of random bits. */
static float
gauss(void)
{
	uint64_t	bits = random_bits();
	int			sum = 0;

	for (int i = 0; i < 64; i += 16)
		sum += (int) (bits >> i & 0xffff) - 0x8000;
	return (float) sum * (1.7320508f / 65536);
}

static void
set_row(uint32_t row, const float *x)
{
	float		max = 0;

	for (int i = 0; i < rows.dim; i++)
		max = fmaxf(max, fabsf(x[i]));
	scale[row] = max / 127;
	for (int i = 0; i < rows.dim; i++)
		data[row * rows.stride + i] = max > 0 ? (int8_t) lrintf(x[i] / scale[row]) : 0;
}

/* Clusters of unequal size on a curved surface of 10 dimensions, and noise. */
#define LATENT 10
#define CLUSTERS 60

typedef struct Surface
{
	float		centre[CLUSTERS][LATENT];
	float		spread[CLUSTERS];
	float		mix[MAX_DIM][LATENT];
	float		phase[MAX_DIM];
} Surface;

static void
make_surface(Surface *s)
{
	for (int c = 0; c < CLUSTERS; c++)
	{
		s->spread[c] = 0.2f + 0.6f * (float) random_unit();
		for (int k = 0; k < LATENT; k++)
			s->centre[c][k] = gauss();
	}
	for (int i = 0; i < MAX_DIM; i++)
	{
		s->phase[i] = 6.28f * (float) random_unit();
		for (int k = 0; k < LATENT; k++)
			s->mix[i][k] = gauss() / 3;
	}
}

static void
surface_point(const Surface *s, float *x)
{
	int			c = (int) (CLUSTERS * random_unit() * random_unit());
	float		z[LATENT];

	for (int k = 0; k < LATENT; k++)
		z[k] = s->centre[c][k] + s->spread[c] * gauss();
	for (int i = 0; i < MAX_DIM; i++)
	{
		float		angle = s->phase[i];

		for (int k = 0; k < LATENT; k++)
			angle += s->mix[i][k] * z[k];
		x[i] = sinf(angle) + 0.05f * gauss();
	}
}

static void
normalise(float *x)
{
	float		norm2 = 0;

	for (int i = 0; i < MAX_DIM; i++)
		norm2 += x[i] * x[i];
	for (int i = 0; i < MAX_DIM; i++)
		x[i] /= sqrtf(norm2);
}

static void
surface_rows(const Surface *s, uint32_t count, bool cosine)
{
	rows.count = count;
	for (uint32_t row = 0; row < count; row++)
	{
		float		x[MAX_DIM];

		surface_point(s, x);
		if (cosine)
			normalise(x);
		set_row(row, x);
	}
}

/* Row 0 goes on as so many copies of itself. */
static void
copy_row(uint32_t from, uint32_t count)
{
	for (uint32_t row = from; row < from + count; row++)
	{
		memcpy(data + row * rows.stride, data, rows.dim);
		scale[row] = scale[0];
	}
}

/*
 * Shape
 */

/* Is 'order' a permutation of the rows? */
static bool
is_permutation(const uint32_t *order)
{
	static bool seen[MAX_ROWS];

	memset(seen, 0, sizeof(seen));
	for (uint32_t i = 0; i < rows.count; i++)
	{
		if (order[i] >= rows.count || seen[order[i]])
			return false;
		seen[order[i]] = true;
	}
	return true;
}

/* Do the leaves follow one another, without a gap, and fit? */
static bool
leaves_fit(const Tree *tree, uint32_t capacity)
{
	uint32_t	next = 0;

	for (uint32_t i = 0; i < tree->leaves; i++)
	{
		if (tree->first[i] != next || tree->n[i] > capacity ||
			(tree->n[i] == 0 && rows.count > 0))
			return false;
		next += tree->n[i];
	}
	return next == rows.count;
}

/* Walk down from a link; is each split and leaf met once, in order? */
static bool
links_fit(const Tree *tree, AnnTreeLink link, uint32_t *splits, uint32_t *leaves,
		  int depth, int *deepest)
{
	if (depth > *deepest)
		*deepest = depth;
	if (link & ANN_LEAF)
		return (link & ~ANN_LEAF) == (*leaves)++;
	return link == (*splits)++ &&
		links_fit(tree, tree->child[link][0], splits, leaves, depth + 1, deepest) &&
		links_fit(tree, tree->child[link][1], splits, leaves, depth + 1, deepest);
}

/* Grow a tree and check all that is true of every tree. */
static Tree *
check_shape(const char *name, AnnGrowOptions o)
{
	Tree	   *tree = &trees[0];
	uint32_t	splits = 0,
				leaves = 0;
	int			depth = 0;
	bool		linked;

	grow(tree, o);
	linked = links_fit(tree, tree->root, &splits, &leaves, 0, &depth) &&
		splits == tree->splits && leaves == tree->leaves && leaves == splits + 1;
	ok(is_permutation(tree->order) && leaves_fit(tree, o.leaf_capacity) && linked &&
	   leaves <= ann_tree_max_leaves(rows.count, o.leaf_capacity) &&
	   depth <= ANN_TREE_MAX_DEPTH,
	   "%s: each row in one leaf of at most %u (%u leaves, %u coins, depth %d)",
	   name, o.leaf_capacity, leaves, tree->coins, depth);
	return tree;
}

/* How many rows do not find the leaf that they were put in? */
static uint32_t
astray(const Tree *tree, const AnnSplitTree *memory)
{
	uint32_t	result = 0;

	for (uint32_t leaf = 0; leaf < tree->leaves; leaf++)
	{
		for (uint32_t i = 0; i < tree->n[leaf]; i++)
		{
			uint32_t	row = tree->order[tree->first[leaf] + i];

			if (ann_split_tree_route(memory, ann_tree_row(&rows, row), scale[row]) != leaf)
				result++;
		}
	}
	return result;
}

static bool
same_tree(const Tree *a, const Tree *b)
{
	if (a->root != b->root || a->splits != b->splits || a->leaves != b->leaves)
		return false;
	for (uint32_t i = 0; i < a->splits; i++)
	{
		if (memcmp(a->w[i], b->w[i], rows.dim) != 0 ||
			a->split[i].scale != b->split[i].scale ||
			a->split[i].offset != b->split[i].offset)
			return false;
	}
	return memcmp(a->order, b->order, rows.count * sizeof(uint32_t)) == 0;
}

/* What the tree in memory says must be what the sink was told. */
static bool
same_in_memory(const Tree *tree, const AnnSplitTree *memory)
{
	if (memory->root != tree->root || memory->splits != tree->splits ||
		memory->leaves != tree->leaves)
		return false;
	for (uint32_t i = 0; i < tree->splits; i++)
	{
		const AnnSplitNode *node = ann_split_tree_node(memory, i);

		if (memcmp(node->w, tree->w[i], rows.dim) != 0 ||
			node->scale != tree->split[i].scale ||
			node->offset != tree->split[i].offset ||
			memcmp(node->child, tree->child[i], sizeof(node->child)) != 0)
			return false;
	}
	return true;
}

static void
test_surface(const Surface *s, bool cosine)
{
	const char *name = cosine ? "surface, cosine" : "surface";
	AnnGrowOptions o = options(128, cosine, 5);
	Tree	   *tree;
	AnnSplitTree *memory;

	surface_rows(s, 10000, cosine);
	checks = 0;
	tree = check_shape(name, o);
	ok(checks >= 5, "%s: interrupts are checked for (%ld times)", name, checks);
	ok(tree->coins == 0, "%s: no coins", name);
	if (cosine)
		ok(tree->offsets == 0, "%s: all splits go through the origin", name);
	memory = grow_in_memory(o);
	ok(same_in_memory(tree, memory), "%s: the same tree in memory", name);
	ok(astray(tree, memory) == 0, "%s: each row finds its leaf", name);
	grow(&trees[1], o);
	ok(same_tree(tree, &trees[1]), "%s: the same seed gives the same tree", name);
	o.seed++;
	grow(&trees[1], o);
	ok(!same_tree(tree, &trees[1]), "%s: another seed gives another tree", name);
}

/* Every margin is the right one, computed here in double. */
static void
test_margins(const Surface *s)
{
	double		worst = 0,
				worst_norm = 0;

	surface_rows(s, 2000, false);
	grow(&trees[0], options(64, false, 1));
	for (uint32_t i = 0; i < trees[0].splits; i++)
	{
		const AnnSplit *split = &trees[0].split[i];
		double		norm2 = 0,
					margin = -split->offset;

		for (int d = 0; d < rows.dim; d++)
		{
			double		w = (double) split->w[d] * split->scale;

			norm2 += w * w;
			margin += w * data[i * rows.stride + d] * scale[i];
		}
		worst_norm = fmax(worst_norm, fabs(norm2 - 1));
		worst = fmax(worst, fabs(margin - ann_split_margin(split, ann_tree_row(&rows, i),
														   scale[i], rows.dim)));
	}
	ok(worst_norm < 1e-6, "normals have length 1 (%g)", worst_norm);
	ok(worst < 1e-6, "margins are distances from the hyperplane (%g)", worst);
}

/*
 * Degenerate rows
 */

static void
test_equal(const Surface *s)
{
	AnnGrowOptions o = options(128, false, 1);
	Tree	   *tree;

	surface_rows(s, 1, false);
	rows.count = 10000;
	copy_row(1, 9999);
	tree = check_shape("equal rows", o);
	ok(tree->coins == tree->splits, "equal rows: all splits are coins");
	check_shape("equal rows, cosine", options(128, true, 1));

	memset(data, 0, sizeof(data));
	check_shape("zero bytes", o);
	check_shape("zero bytes, cosine", options(128, true, 1));
	memset(scale, 0, sizeof(scale));
	check_shape("zero scales", o);

	/* equal rows among others */
	surface_rows(s, 10000, false);
	copy_row(1, 4999);
	tree = check_shape("half of the rows equal", o);
	surface_rows(s, 10000, false);
	copy_row(1, 8999);
	check_shape("9 of 10 rows equal", o);
	surface_rows(s, 10000, false);
	copy_row(1, 9989);
	check_shape("all but ten rows equal", o);

	/* two kinds of rows: one hyperplane, then coins */
	surface_rows(s, 2, false);
	rows.count = 10000;
	memcpy(data + 5000 * rows.stride, data + rows.stride, rows.dim);
	scale[5000] = scale[1];
	for (uint32_t row = 1; row < 10000; row++)
	{
		uint32_t	like = row < 5000 ? 0 : 5000;

		memcpy(data + row * rows.stride, data + like * rows.stride, rows.dim);
		scale[row] = scale[like];
	}
	tree = check_shape("two kinds of rows", o);
	ok(tree->splits - tree->coins == 1 && !ann_split_is_coin(&tree->split[0]),
	   "two kinds of rows: the first split separates them");
}

static void
test_few(const Surface *s)
{
	bool		found = true;

	for (uint32_t count = 0; count < 20; count++)
	{
		surface_rows(s, count, false);
		check_shape(count == 0 ? "no rows" : "few rows", options(1, false, count));
		if (count > 0)
			found &= astray(&trees[0], grow_in_memory(options(1, false, count))) == 0;
	}
	ok(found, "few rows: each one finds its leaf");
}

/*
 * The numbers that a float can hold, and no more.  At the last of these
 * factors the lengths of rows do not fit a float, though the rows do.
 */
static void
test_range(const Surface *s)
{
	static const float factors[] = {1e-44f, 1e-38f, 1e-30f, 1e30f, 2.6e36f};

	const int	last = sizeof(factors) / sizeof(factors[0]) - 1;

	for (int i = 0; i <= last; i++)
	{
		char		name[40];
		Tree	   *tree;

		surface_rows(s, 2000, false);
		for (uint32_t row = 0; row < rows.count; row++)
			scale[row] = factors[i];
		snprintf(name, sizeof(name), "scales of %g", factors[i]);
		tree = check_shape(name, options(32, false, 1));
		ok(i == last || tree->coins == 0, "%s: no coins", name);
	}
}

/*
 * Rows that defeat two-means: 2 % very far away, and ones of which each is
 * twice as long as the one before.
 */
static void
test_outliers(const Surface *s)
{
	Tree	   *tree;

	surface_rows(s, 10000, false);
	for (uint32_t row = 0; row < rows.count; row += 50)
		scale[row] *= 1000;
	tree = check_shape("outliers", options(128, false, 1));
	ok(tree->coins == 0, "outliers: no coins");

	rows.count = 200;
	for (uint32_t row = 0; row < rows.count; row++)
	{
		memset(data + row * rows.stride, 1, rows.dim);
		scale[row] = ldexpf(1, (int) row - 110);
	}
	check_shape("doubling lengths", options(1, false, 1));
}

/*
 * Two clusters, and a third one far away that is too small to be split off:
 * the split has to be the one between the two.
 */
static void
test_small_cluster(void)
{
	static uint32_t order[MAX_ROWS];
	AnnSplitter splitter;
	int			right = 0;

	rows.count = 1000;
	for (uint32_t row = 0; row < rows.count; row++)
	{
		float		x[MAX_DIM];

		for (int i = 0; i < rows.dim; i++)
			x[i] = gauss();
		x[0] += row < 30 ? 10000 : 0;
		x[1] += row % 2 ? 20 : -20;
		set_row(row, x);
	}
	ann_splitter_init(&splitter, &rows, false, 1, NULL, NULL, rows.count, scratch());
	for (int round = 0; round < 20; round++)
	{
		AnnSplit	split;
		uint32_t	zeros;
		int			odd_zeros = 0,
					even_zeros = 0;

		first_order(order);
		zeros = ann_split_rows(&splitter, order, rows.count, &split);
		for (uint32_t i = 0; i < zeros; i++)
		{
			if (order[i] >= 30)
				*(order[i] % 2 ? &odd_zeros : &even_zeros) += 1;
		}
		right += (odd_zeros == 485 && even_zeros == 0) ||
			(odd_zeros == 0 && even_zeros == 485);
	}
	ok(right == 20, "a small cluster far away: the others are split well (%d of 20)", right);
}

/* A coin is fair, decides by the row alone, and costs a search nothing. */
static void
test_coin(const Surface *s)
{
	int8_t		zero[MAX_DIM] = {0};
	AnnSplit	coin = {zero, -5, 0};
	AnnSplit	other = {zero, -6, 0};
	int			ones = 0,
				differ = 0;
	bool		free_of_cost = true;

	surface_rows(s, 10000, false);
	for (uint32_t row = 0; row < rows.count; row++)
	{
		const int8_t *bytes = ann_tree_row(&rows, row);
		int			side = ann_split_side(&coin, bytes, scale[row], rows.dim);

		ones += side;
		differ += side != ann_split_side(&other, bytes, scale[row], rows.dim);
		free_of_cost &= ann_split_margin(&coin, bytes, scale[row], rows.dim) == 0;
	}
	ok(ones > 4800 && ones < 5200, "a coin is fair (%d of 10000)", ones);
	ok(differ > 4800 && differ < 5200, "coins do not agree (%d of 10000 differ)", differ);
	ok(free_of_cost, "margins of a coin are 0");
}

/*
 * Numbers
 */

static void
test_capacity(void)
{
	bool		monotone = true,
				multiple = true;
	uint32_t	last = 0;

	for (double n = 0; n < 1e12; n = n * 1.01 + 1)
	{
		uint32_t	capacity = ann_leaf_capacity(n);

		monotone &= capacity >= last;
		multiple &= capacity % 32 == 0;
		last = capacity;
	}
	ok(monotone && multiple, "leaf capacity is monotone, a multiple of 32");
	ok(ann_leaf_capacity(0) == 128 && ann_leaf_capacity(1e4) == 128 &&
	   ann_leaf_capacity(1e5) == 512 && ann_leaf_capacity(1e6) == 1024 &&
	   ann_leaf_capacity(1e7) == 2048 && ann_leaf_capacity(1e300) == 8192,
	   "leaf capacity goes through 128, 512, 1024");
}

static void
test_random(void)
{
	AnnRandom	random;
	int			count[7] = {0};
	double		upper = 0;
	bool		even = true;

	ann_random_seed(&random, 1);
	for (int i = 0; i < 70000; i++)
	{
		count[ann_random_below(&random, 7)]++;
		upper += ann_random_below(&random, UINT32_MAX) / 4294967295.0 / 70000;
	}
	for (int i = 0; i < 7; i++)
		even &= abs(count[i] - 10000) < 400;
	ok(even && fabs(upper - 0.5) < 0.01, "random numbers are even");
	ann_random_seed(&random, 1234567);
	ok(ann_random_bits(&random) == UINT64_C(6457827717110365317) &&
	   ann_random_bits(&random) == UINT64_C(3203168211198807973),
	   "random numbers are those of splitmix64");
}

/* The worst error of a product with planes, in parts of |q| |w|. */
static double
planes_error(int dim, float size)
{
	static float q[4160];
	static int8_t w[4160],
				memory[2 * 4160];
	double		worst = 0;

	for (int round = 0; round < 200; round++)
	{
		AnnPlanes	planes;
		double		dot = 0,
					qq = 0,
					ww = 0;

		for (int i = 0; i < dim; i++)
		{
			q[i] = size * gauss();
			w[i] = (int8_t) (random_bits() & 0xff);
			dot += (double) q[i] * w[i];
			qq += (double) q[i] * q[i];
			ww += (double) w[i] * w[i];
		}
		ann_planes_make(&planes, q, dim, memory);
		worst = fmax(worst, fabs(ann_planes_dot(&planes, w, 0.25f) - dot / 4) /
					 (sqrt(qq * ww) / 4));
		worst = fmax(worst, fabs(planes.norm2 / qq - 1));
	}
	return worst;
}

static void
test_planes(void)
{
	static const int dims[] = {64, 128, 832, 4160};
	float		zero[64] = {0};
	int8_t		w[64],
				memory[128];
	AnnPlanes	planes;

	for (int i = 0; i < 4; i++)
	{
		double		error = planes_error(dims[i], 1);

		ok(error < 2e-5, "planes in %d dimensions (error %.2g of |q||w|)", dims[i], error);
	}
	ok(planes_error(128, 1e-30f) < 2e-5 && planes_error(128, 1e36f) < 2e-5,
	   "planes of very short and very long queries");
	memset(w, 127, sizeof(w));
	ann_planes_make(&planes, zero, 64, memory);
	ok(ann_planes_dot(&planes, w, 1) == 0 && planes.norm2 == 0, "planes of zero");
	for (int i = 0; i < 64; i++)
		zero[i] = 1e-40f;
	ann_planes_make(&planes, zero, 64, memory);
	ok(ann_planes_dot(&planes, w, 1) == 0, "planes of nearly zero");
	for (int i = 0; i < 64; i++)
		zero[i] = i % 2 ? 3.4e38f : -3.4e38f;
	ann_planes_make(&planes, zero, 64, memory);
	ok(fabs(ann_planes_dot(&planes, w, 1)) < 1e34, "planes of the largest floats");
}

/*
 * Search
 */

#define QUERIES 200
#define K 10

static float queries[QUERIES][MAX_DIM];
static float exact[MAX_ROWS][MAX_DIM];	/* the rows, as floats */
static float kth[QUERIES];		/* the distance of the K-th nearest */

static float
l2sq(const float *a, const float *b)
{
	return (float) ann_kernels->pair[ANN_PAIR_F32_F32_FAST].l2sq(a, b, MAX_DIM);
}

static void
make_centroids(Tree *tree)
{
	for (uint32_t leaf = 0; leaf < tree->leaves; leaf++)
	{
		float	   *c = tree->centroid[leaf];

		memset(c, 0, sizeof(tree->centroid[leaf]));
		for (uint32_t i = 0; i < tree->n[leaf]; i++)
		{
			const float *x = exact[tree->order[tree->first[leaf] + i]];

			for (int d = 0; d < MAX_DIM; d++)
				c[d] += x[d] / (float) tree->n[leaf];
		}
	}
}

/* A place in the forest as a heap's item: tree and link. */
static uint64_t
place(int tree, AnnTreeLink link)
{
	return (uint64_t) tree << 32 | link;
}

/*
 * Follow near sides down to a leaf, which is returned; the far sides go into
 * the heap, at the cost so far and the square of the margin.
 */
static uint32_t
descend(AnnFrontier *heap, const AnnPlanes *q, int t, AnnTreeLink link, float cost)
{
	while ((link & ANN_LEAF) == 0)
	{
		float		margin = (float) ann_planes_margin(q, &trees[t].split[link]);
		int			near_side = margin > 0;

		ann_frontier_push(heap, cost + margin * margin,
						  place(t, trees[t].child[link][!near_side]));
		link = trees[t].child[link][near_side];
	}
	return link & ~ANN_LEAF;
}

/* Rows of the best leaves, 'budget' of them; returns how many are the nearest. */
static int
scan_leaves(AnnFrontier *leaves, const float *q, float limit, uint32_t budget)
{
	static uint64_t slots[1 << 16];
	AnnCandidate leaf;
	AnnSeen		seen;
	uint32_t	scanned = 0;
	int			hits = 0;

	ann_seen_init(&seen, slots, 1 << 16);
	while (scanned < budget && ann_frontier_pop(leaves, &leaf))
	{
		const Tree *tree = &trees[leaf.item >> 32];
		uint32_t	i = (uint32_t) leaf.item;

		for (uint32_t j = 0; j < tree->n[i] && scanned < budget; j++, scanned++)
		{
			uint32_t	row = tree->order[tree->first[i] + j];

			if (l2sq(q, exact[row]) <= limit && ann_seen_insert(&seen, row) == ANN_SEEN_NEW)
				hits++;
		}
	}
	return hits < K ? hits : K;
}

/* The K nearest found among 'budget' rows, by gathering twice as many. */
static int
search(int ntrees, const float *q, float limit, uint32_t budget)
{
	static AnnCandidate places[2 * MAX_LEAVES],
				found[2 * MAX_LEAVES];
	int8_t		memory[2 * MAX_DIM];
	AnnFrontier heap,
				leaves;
	AnnCandidate next;
	AnnPlanes	planes;
	uint32_t	gathered = 0;

	ann_planes_make(&planes, q, MAX_DIM, memory);
	ann_frontier_init(&heap, places, 2 * MAX_LEAVES);
	ann_frontier_init(&leaves, found, 2 * MAX_LEAVES);
	for (int t = 0; t < ntrees; t++)
		ann_frontier_push(&heap, 0, place(t, trees[t].root));
	while (gathered < 2 * budget && ann_frontier_pop(&heap, &next))
	{
		int			t = (int) (next.item >> 32);
		uint32_t	leaf = descend(&heap, &planes, t, (AnnTreeLink) next.item, next.cost);

		ann_frontier_push(&leaves, l2sq(q, trees[t].centroid[leaf]), place(t, leaf));
		gathered += trees[t].n[leaf];
	}
	return scan_leaves(&leaves, q, limit, budget);
}

static double
recall(int ntrees, double share)
{
	int			hits = 0;

	for (int i = 0; i < QUERIES; i++)
		hits += search(ntrees, queries[i], kth[i], (uint32_t) (share * rows.count));
	return (double) hits / (QUERIES * K);
}

static void
make_queries(const Surface *s, bool cosine)
{
	for (uint32_t row = 0; row < rows.count; row++)
	{
		for (int d = 0; d < MAX_DIM; d++)
			exact[row][d] = data[row * rows.stride + d] * scale[row];
	}
	for (int i = 0; i < QUERIES; i++)
	{
		float		nearest[K];
		AnnThreshold threshold;

		surface_point(s, queries[i]);
		if (cosine)
			normalise(queries[i]);
		ann_threshold_init(&threshold, nearest, K);
		for (uint32_t row = 0; row < rows.count; row++)
			ann_threshold_offer(&threshold, l2sq(queries[i], exact[row]));
		kth[i] = ann_threshold_get(&threshold);
	}
}

static void
test_recall(const Surface *s, bool cosine)
{
	static const double shares[] = {0.005, 0.01, 0.02, 0.05, 0.1};
	const char *name = cosine ? "cosine" : "L2";
	double		at5,
				at10;

	surface_rows(s, MAX_ROWS, cosine);
	make_queries(s, cosine);
	for (int t = 0; t < MAX_TREES; t++)
	{
		grow(&trees[t], options(ann_leaf_capacity(rows.count), cosine, t));
		make_centroids(&trees[t]);
	}
	for (int n = 1; verbose && n <= MAX_TREES; n++)
	{
		for (int i = 0; i < 5; i++)
			printf("# %s, %d trees, %.1f %% of the rows: recall %.4f\n",
				   name, n, 100 * shares[i], recall(n, shares[i]));
	}
	at5 = recall(1, 0.05);
	at10 = recall(1, 0.1);
	ok(at5 >= 0.92, "%s: one tree, 5 %% of the rows: recall@10 %.3f", name, at5);
	ok(at10 >= 0.97, "%s: one tree, 10 %% of the rows: recall@10 %.3f", name, at10);
	ok(recall(1, 1) == 1, "%s: all rows are reached in the end", name);
}

int
main(int argc, char **argv)
{
	static Surface surface;

	verbose = argc > 1 && strcmp(argv[1], "-v") == 0;
	test_random();
	test_capacity();
	make_surface(&surface);
	for (int i = 0; ann_kernels_usable(i) != NULL; i++)
	{
		ann_kernels = ann_kernels_usable(i);
		printf("# kernels: %s\n", ann_kernels->name);
		test_surface(&surface, false);
		test_surface(&surface, true);
		test_planes();
	}
	test_margins(&surface);
	test_equal(&surface);
	test_few(&surface);
	test_range(&surface);
	test_outliers(&surface);
	test_small_cluster();
	test_coin(&surface);
	test_recall(&surface, false);
	test_recall(&surface, true);
	return done();
}
