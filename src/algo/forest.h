/*
 * forest.h
 *	  Growing trees over rows, and routing rows through a tree in memory.
 *
 * A tree divides rows by splits (see split.h) until each part, a leaf, is no
 * larger than the leaf capacity.  Growing keeps no tree: it tells a sink what
 * it made, and the sink builds whatever its owner wants.  One such sink is
 * here, a tree in one block of memory; the other one writes index pages.
 *
 * To divide a large build: grow a tree in memory on a sample, its leaves are
 * groups; route all rows to groups; grow a tree over each group.
 */
#ifndef ANN_FOREST_H
#define ANN_FOREST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "algo/split.h"

/*
 * What a split leads to on one side: the number of a split, or ANN_LEAF and
 * the number of a leaf.  Numbers are given out by the sink, below ANN_LEAF.
 */
typedef uint32_t AnnTreeLink;

#define ANN_LEAF UINT32_C(0x80000000)

/* No path from the root is longer, whatever the rows are: see forest.c. */
#define ANN_TREE_MAX_DEPTH 440

/*
 * How large leaves should be in a tree over so many rows: about 128 at 10^4
 * and below, 512 at 10^5, 1024 at 10^6, and twice as much for each further
 * factor of ten, up to 8192.  A multiple of 32, never less for more rows.
 */
extern uint32_t ann_leaf_capacity(double rows);

/*
 * What is told of a tree that is growing, in depth-first order: a split comes
 * before what is below it, and side 0 before side 1.
 */
typedef struct AnnTreeSink
{
	/* A split; returns its number.  split->w is to be copied. */
	uint32_t	(*add_split) (void *arg, const AnnSplit *split);

	/*
	 * A leaf; returns its number.  Its rows are order[first] and the n - 1
	 * after it, and stay there.  Leaves come in ascending order of 'first'.
	 */
	uint32_t	(*add_leaf) (void *arg, uint32_t first, uint32_t n);

	/* Split 'parent' leads to 'child' on this side. */
	void		(*link) (void *arg, uint32_t parent, int side, AnnTreeLink child);

	void	   *arg;
} AnnTreeSink;

typedef struct AnnGrowOptions
{
	uint32_t	leaf_capacity;	/* at least 1 */
	bool		through_origin; /* for cosine: all offsets are 0 */
	uint64_t	seed;
	void		(*check) (void *arg);	/* for interrupts, see AnnSplitter */
	void	   *check_arg;
} AnnGrowOptions;

/* Bytes of scratch memory for growing a tree over 'count' rows. */
extern size_t ann_tree_scratch_size(int dim, uint32_t count);

/*
 * Grow a tree over the rows whose numbers are in order[0 .. count - 1], each
 * once.  Permutes 'order', so that the rows of every leaf are adjacent.
 *
 * Returns the root, a leaf if the rows fit one (none at all included).
 * 'scratch' is ann_tree_scratch_size() bytes, aligned for floats.  The same
 * arguments give the same tree on machines with the same kernels.
 */
extern AnnTreeLink ann_tree_grow(const AnnTreeRows *rows, uint32_t *order,
								 uint32_t count, const AnnGrowOptions *options,
								 const AnnTreeSink *sink, void *scratch);

/*
 * No tree over 'count' rows has more leaves; its splits are one fewer.  This
 * is the worst case, usual trees have about a tenth of it.
 */
extern uint32_t ann_tree_max_leaves(uint32_t count, uint32_t leaf_capacity);

/*
 * A tree in one block of memory: this header, and a node for each split.  It
 * holds no pointers, so it can be copied, shared between processes or written
 * to a file as it is.
 */
typedef struct AnnSplitTree
{
	int			dim;
	AnnTreeLink root;
	uint32_t	splits;			/* number of nodes */
	uint32_t	leaves;			/* leaves are numbered from 0, in order */
} AnnSplitTree;

typedef struct AnnSplitNode
{
	AnnTreeLink child[2];
	float		scale;
	float		offset;
	int8_t		w[];			/* dim of them */
} AnnSplitNode;

/* Bytes of a tree with so many splits. */
extern size_t ann_split_tree_size(int dim, uint32_t splits);

/*
 * Grow a tree into memory; arguments as of ann_tree_grow.  'tree' has room
 * for ann_tree_max_leaves() - 1 splits; it needs ann_split_tree_size() of
 * tree->splits once it is grown.
 */
extern void ann_split_tree_grow(AnnSplitTree *tree, const AnnTreeRows *rows,
								uint32_t *order, uint32_t count,
								const AnnGrowOptions *options, void *scratch);

/* A node, and its split; both are the tree's memory. */
extern const AnnSplitNode *ann_split_tree_node(const AnnSplitTree *tree, uint32_t i);
extern AnnSplit ann_split_tree_split(const AnnSplitTree *tree, uint32_t i);

/*
 * The number of the leaf that a row belongs to.  Depends on the tree and the
 * row alone, so equal rows are together.  A row that the tree was grown on
 * finds its own leaf, unless growing had to separate equal rows above it (see
 * ann_split_rows).
 */
extern uint32_t ann_split_tree_route(const AnnSplitTree *tree, const int8_t *row,
									 float scale);

#endif							/* ANN_FOREST_H */
