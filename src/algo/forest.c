/*
 * forest.c
 *	  Growing trees, and the tree in memory.
 *
 * Growing is a loop over a stack of ranges of 'order' that are still to be
 * divided.  The stack has a fixed size, since each side of a split has less
 * than 95 % of the rows: a path has at most log(2^32) / log(1 / 0.95), that
 * is 433, splits.  For the same reason a leaf below a split has more than 5 %
 * of a range that was larger than a leaf may be, which bounds their number.
 */
#include <math.h>
#include <string.h>

#include "algo/forest.h"

#define ROWS_PER_BLOCK 32		/* leaves are stored in blocks of codes */
#define MAX_LEAF_CAPACITY 8192
#define MIN_SHARE (100 - ANN_SPLIT_MAX_SHARE)	/* of a side, per cent */
#define NO_PARENT UINT32_MAX

/* A range of 'order' to be grown, and where it hangs. */
typedef struct Pending
{
	uint32_t	first;
	uint32_t	n;
	uint32_t	parent;
	int			side;
} Pending;

/*
 * Straight lines in doubly logarithmic scale through the measured points.
 */
uint32_t
ann_leaf_capacity(double rows)
{
	double		capacity;

	if (rows <= 1e4)
		capacity = 128;
	else if (rows <= 1e5)
		capacity = 128 * pow(rows / 1e4, log10(4));
	else
		capacity = 512 * pow(rows / 1e5, log10(2));
	if (capacity > MAX_LEAF_CAPACITY)
		capacity = MAX_LEAF_CAPACITY;
	return (uint32_t) (capacity / ROWS_PER_BLOCK + 0.5) * ROWS_PER_BLOCK;
}

size_t
ann_tree_scratch_size(int dim, uint32_t count)
{
	return ann_splitter_size(dim, count);
}

uint32_t
ann_tree_max_leaves(uint32_t count, uint32_t leaf_capacity)
{
	uint64_t	least = ((uint64_t) leaf_capacity + 1) * MIN_SHARE;	/* per cent */
	uint64_t	most = (uint64_t) count * 100 / least + 1;

	if (most > count)
		most = count;
	return most > 0 ? (uint32_t) most : 1;
}

/* Split a range, and put its sides on the stack, side 0 on top. */
static uint32_t
grow_split(AnnSplitter *splitter, uint32_t *order, const Pending *range,
		   const AnnTreeSink *sink, Pending *stack)
{
	AnnSplit	split;
	uint32_t	zeros = ann_split_rows(splitter, order + range->first, range->n, &split);
	uint32_t	number = sink->add_split(sink->arg, &split);
	Pending		side0 = {range->first, zeros, number, 0};
	Pending		side1 = {range->first + zeros, range->n - zeros, number, 1};

	stack[0] = side1;
	stack[1] = side0;
	return number;
}

AnnTreeLink
ann_tree_grow(const AnnTreeRows *rows, uint32_t *order, uint32_t count,
			  const AnnGrowOptions *options, const AnnTreeSink *sink, void *scratch)
{
	Pending		stack[ANN_TREE_MAX_DEPTH + 1] = {{0, count, NO_PARENT, 0}};
	int			pending = 1;
	AnnTreeLink root = 0;
	AnnSplitter splitter;

	ann_splitter_init(&splitter, rows, options->through_origin, options->seed,
					  options->check, options->check_arg, count, scratch);
	while (pending > 0)
	{
		Pending		range = stack[--pending];
		AnnTreeLink link;

		if (range.n <= options->leaf_capacity)
			link = ANN_LEAF | sink->add_leaf(sink->arg, range.first, range.n);
		else
		{
			link = grow_split(&splitter, order, &range, sink, stack + pending);
			pending += 2;
		}
		if (range.parent == NO_PARENT)
			root = link;
		else
			sink->link(sink->arg, range.parent, range.side, link);
	}
	return root;
}

/*
 * The tree in memory
 */

static inline size_t
node_size(int dim)
{
	return offsetof(AnnSplitNode, w) + dim;
}

static inline AnnSplitNode *
node_at(const AnnSplitTree *tree, uint32_t i)
{
	return (AnnSplitNode *) ((char *) (tree + 1) + i * node_size(tree->dim));
}

size_t
ann_split_tree_size(int dim, uint32_t splits)
{
	return sizeof(AnnSplitTree) + splits * node_size(dim);
}

static uint32_t
add_node(void *arg, const AnnSplit *split)
{
	AnnSplitTree *tree = arg;
	AnnSplitNode *node = node_at(tree, tree->splits);

	node->scale = split->scale;
	node->offset = split->offset;
	memcpy(node->w, split->w, tree->dim);
	return tree->splits++;
}

static uint32_t
add_leaf(void *arg, uint32_t first, uint32_t n)
{
	AnnSplitTree *tree = arg;

	(void) first;
	(void) n;
	return tree->leaves++;
}

static void
link_node(void *arg, uint32_t parent, int side, AnnTreeLink child)
{
	node_at(arg, parent)->child[side] = child;
}

void
ann_split_tree_grow(AnnSplitTree *tree, const AnnTreeRows *rows, uint32_t *order,
					uint32_t count, const AnnGrowOptions *options, void *scratch)
{
	AnnTreeSink sink = {add_node, add_leaf, link_node, tree};

	tree->dim = rows->dim;
	tree->splits = 0;
	tree->leaves = 0;
	tree->root = ann_tree_grow(rows, order, count, options, &sink, scratch);
}

const AnnSplitNode *
ann_split_tree_node(const AnnSplitTree *tree, uint32_t i)
{
	return node_at(tree, i);
}

AnnSplit
ann_split_tree_split(const AnnSplitTree *tree, uint32_t i)
{
	const AnnSplitNode *node = node_at(tree, i);
	AnnSplit	split = {node->w, node->scale, node->offset};

	return split;
}

uint32_t
ann_split_tree_route(const AnnSplitTree *tree, const int8_t *row, float scale)
{
	AnnTreeLink link = tree->root;

	while ((link & ANN_LEAF) == 0)
	{
		AnnSplit	split = ann_split_tree_split(tree, link);
		int			side = ann_split_side(&split, row, scale, tree->dim);

		link = node_at(tree, link)->child[side];
	}
	return link & ~ANN_LEAF;
}
