/*
 * tree_insert.c
 *	  A row's way down a tree, and its code in the leaf.
 *
 * Nothing is locked but pages.  A leaf that is divided while a row is on its way
 * to it is found out by its generation, and the row goes its way again.
 */
#include "postgres.h"

#include "am/leaf_make.h"
#include "am/tree_insert.h"
#include "miscadmin.h"

/* A tree that has just been changed is asked again so often before it is corrupt. */
#define MAX_TRIES 1000

void
ann_tree_insert_begin(AnnTreeInsert *t, AnnReshape *at, const AnnTreeVector *row,
					  const AnnTreeVector *stored)
{
	t->at = at;
	t->row = row;
	t->stored = stored;
	t->centre = palloc(sizeof(float) * at->info->padded);
	t->residual = palloc(sizeof(float) * at->info->padded);
	t->code = palloc(at->info->code_bytes);
}

void
ann_tree_insert_find(AnnTreeInsert *t, int tree)
{
	Relation	index = t->at->index;
	const AnnIndex *info = t->at->info;

	for (int tries = 0; tries < MAX_TRIES; tries++)
	{
		AnnNodeRef *roots;
		int			n = ann_roots_read(index, &t->at->chunk, &roots);

		CHECK_FOR_INTERRUPTS();
		if (tree >= n)
			ann_page_corrupted(index, t->at->chunk.roots, "%d roots", n);
		if (ann_tree_descend(index, info, t->row, roots[tree], 0, NULL, &t->leaf) &&
			ann_leaf_centroid(index, info, t->leaf.node, t->leaf.leaf, t->centre))
		{
			pfree(roots);
			ann_make_code(info, t->stored, t->centre, t->residual, t->code, &t->factors);
			return;
		}
		pfree(roots);
	}
	ann_page_corrupted(index, t->at->chunk.roots, "no way to a leaf of tree %d", tree);
}

/*
 * The counters, which let the leaves grow with the chunk.  Rows are counted by the
 * block; of a graph, where few are in a tree, each of these stands for many.
 */
static void
count_row(AnnTreeInsert *t, int tree, const AnnLeafFill *fill)
{
	if (fill->new_block)
		ann_tree_set_rows(t->at->index, t->at->info, t->leaf.node, t->leaf.leaf, fill->rows);
	if (ann_is_graph(t->at->info))
		ann_chunk_add_rows(t->at->index, t->at->info, t->at->number, ANN_ROWS_PER_ENTRY);
	else if (fill->new_block && tree == 0)
		ann_chunk_add_rows(t->at->index, t->at->info, t->at->number, ANN_BLOCK_ROWS);
}

void
ann_tree_insert_append(AnnTreeInsert *t, int tree, AnnElementRef element)
{
	AnnLeafFill fill;

	while (!ann_leaf_append(t->at->index, t->at->info, t->at->number, t->leaf.leaf, element,
							t->code, &t->factors, &fill))
	{
		AnnLeafId	gone = t->leaf.leaf;

		/* a leaf goes in the same edit as its entry */
		ann_tree_insert_find(t, tree);
		if (ann_same_leaf(gone, t->leaf.leaf))
			ann_leaf_corrupted(t->at->index, gone);
	}
	count_row(t, tree, &fill);
	if (fill.rows > Max(t->at->chunk.leaf_capacity, fill.split_at))
		ann_divide_leaf(t->at, tree, &t->leaf, fill.rows);
}
