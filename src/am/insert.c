/*
 * insert.c
 *	  INSERT: a row goes to a leaf of each tree.
 *
 * A row that is equal to others joins their element, which is found in the leaf
 * that the first tree leads to.  Else its own element is written first, then a
 * code in one leaf of each tree, each in an edit of its own.  An insert that is
 * interrupted leaves an element that fewer leaves know of, which the pass over
 * all elements finds; its row is not visible anyway.
 *
 * Nothing is locked but pages.  A leaf that is divided while a row is on its way
 * to it is found out by its generation, and the row goes its way again.
 */
#include "postgres.h"

#include <math.h>

#include "algo/code.h"
#include "am/dimensions.h"
#include "am/leaf_make.h"
#include "am/method.h"
#include "am/options.h"
#include "am/reshape.h"
#include "am/source.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "store/element.h"
#include "store/tids.h"
#include "utils/memutils.h"

/* A tree that has just been changed is asked again so often before it is corrupt. */
#define MAX_TRIES 1000

/* Rows of one leaf that are compared with a new one, after their codes were. */
#define MAX_EQUAL 8

/* The first row tells little of the norms of others. */
#define NORM_RESERVE 2

typedef struct Insert
{
	AnnReshape	at;
	AnnIndex	info;
	ItemPointerData tid;
	AnnTreeVector *v;			/* of the row, for the way down */
	AnnTreeVector *stored;		/* of what its element says, for the codes */
	AnnElement *element;

	/* In the leaf of the tree at hand */
	AnnLeafEntry leaf;
	float	   *centre;
	float	   *residual;
	uint8	   *code;
	AnnCodeFactors factors;

	/* Rows with the same code */
	uint8	   *other;
	int			num_equal;
	AnnElementRef equal[MAX_EQUAL];
} Insert;

/* Add a row that has no place in a tree to the list at this offset of its entry. */
static void
insert_aside(Relation index, Size list, ItemPointer heap_tid)
{
	Size		at;
	Buffer		buffer = ann_chunk_lock(index, 0, BUFFER_LOCK_EXCLUSIVE, &at);

	ann_tids_append(index, 0, buffer, at + list, heap_tid);
}

/* ---- the way to a leaf ---- */

/* Find the leaf of a tree, and the row's code in it. */
static void
find_leaf(Insert *i, int tree)
{
	Relation	index = i->at.index;

	for (int tries = 0; tries < MAX_TRIES; tries++)
	{
		AnnNodeRef *roots;
		int			n = ann_roots_read(index, &i->at.chunk, &roots);

		CHECK_FOR_INTERRUPTS();
		if (tree >= n)
			ann_page_corrupted(index, i->at.chunk.roots, "%d roots", n);
		if (ann_tree_descend(index, &i->info, i->v, roots[tree], 0, NULL, &i->leaf) &&
			ann_leaf_centroid(index, &i->info, i->leaf.node, i->leaf.leaf, i->centre))
		{
			pfree(roots);
			ann_make_code(&i->info, i->stored, i->centre, i->residual, i->code, &i->factors);
			return;
		}
		pfree(roots);
	}
	ann_page_corrupted(index, i->at.chunk.roots, "no way to a leaf of tree %d", tree);
}

/* ---- equal rows ---- */

/* Note rows that have the code of the new one. */
static void
note_equal(const AnnLeafBlock *block, void *state)
{
	Insert	   *i = state;

	for (uint32 live = block->live; live != 0; live &= live - 1)
	{
		int			row = pg_rightmost_one_pos32(live);

		if (block->a[row] != i->factors.a || block->f[row] != i->factors.f ||
			block->e[row] != i->factors.e || i->num_equal == MAX_EQUAL)
			continue;
		ann_code_get(block->codes, i->info.code_bytes, row, i->other);
		if (memcmp(i->other, i->code, i->info.code_bytes) == 0)
			i->equal[i->num_equal++] = block->element[row];
	}
}

/* Add the row to the element of rows that are equal, if there is one. */
static bool
join_equal(Insert *i)
{
	if (i->info.meta.scalar == ANN_SCALAR_NONE)
		return false;
	i->num_equal = 0;
	ann_leaf_scan(i->at.index, &i->info, i->leaf.leaf, note_equal, i,
				  palloc(i->info.block_size));
	for (int n = 0; n < i->num_equal; n++)
	{
		if (ann_element_add_row(i->at.index, &i->info, i->at.number, i->equal[n], i->element))
			return true;
	}
	return false;
}

/* ---- codes ---- */

/*
 * The counters, which are right by a block; they let the leaves grow with the
 * chunk.
 */
static void
count_block(Insert *i, int tree, uint32 rows)
{
	ann_tree_set_rows(i->at.index, &i->info, i->leaf.node, i->leaf.leaf, rows);
	if (tree == 0)
		ann_chunk_add_rows(i->at.index, &i->info, i->at.number, ANN_BLOCK_ROWS);
}

/* Append the row to its leaf of a tree, which find_leaf has found. */
static void
append_row(Insert *i, int tree, AnnElementRef element)
{
	AnnLeafFill fill;

	while (!ann_leaf_append(i->at.index, &i->info, i->at.number, i->leaf.leaf, element,
							i->code, &i->factors, &fill))
	{
		AnnLeafId	gone = i->leaf.leaf;

		/* a leaf goes in the same edit as its entry */
		find_leaf(i, tree);
		if (ann_same_leaf(gone, i->leaf.leaf))
			ann_leaf_corrupted(i->at.index, gone);
	}
	if (fill.new_block)
		count_block(i, tree, fill.rows);
	if (fill.rows > Max(i->at.chunk.leaf_capacity, fill.split_at))
		ann_divide_leaf(&i->at, tree, &i->leaf, fill.rows);
}

/* ---- a row ---- */

static AnnTreeVector *
stored_vector(Insert *i, const float *floats)
{
	AnnTreeVector *v;

	if (i->info.meta.scalar == ANN_SCALAR_NONE)
		return i->v;
	v = ann_tree_vector_alloc(&i->info);
	ann_element_floats(&i->info, i->element, (float *) floats);
	ann_tree_vector_rotate(&i->info, floats, v);
	return v;
}

/*
 * The trees of the chunk, which its first row plants.  False if the dimensions
 * have changed.
 */
static bool
need_trees(Insert *i)
{
	if (i->at.chunk.roots != InvalidBlockNumber)
		return true;
	i->info.max_norm = NORM_RESERVE * (float) sqrt(i->v->norm2);
	ann_tree_vector_project_row(&i->info, i->v);
	ann_plant_trees(i->at.index, &i->info, i->at.number, i->v);
	ann_chunk_read(i->at.index, i->at.number, &i->at.chunk);
	i->info.max_norm = i->at.chunk.max_norm;
	ann_tree_vector_project_row(&i->info, i->v);
	return ann_is_epoch(&i->at.chunk, &i->info);
}

/* Add a vector that has been checked. */
static void
insert_vector(Insert *i, const AnnVector *vector)
{
	const AnnIndex *info = &i->info;
	float	   *buffer = palloc(sizeof(float) * vector->dim);
	AnnElementRef ref;

	i->v = ann_tree_vector_alloc(info);
	ann_tree_vector_row(info, ann_source_floats(vector, info->centre, buffer), i->v);
	if (info->meta.metric == ANN_METRIC_COSINE && i->v->norm2 == 0 && ann_source_is_zero(vector))
	{
		insert_aside(i->at.index, offsetof(AnnChunk, undefined), &i->tid);
		return;
	}
	i->element = palloc(info->element_size);
	ann_element_make(info, vector->data, vector->is_double, i->element);
	i->element->heap = i->tid;
	i->stored = stored_vector(i, palloc(sizeof(float) * vector->dim));
	i->centre = palloc(sizeof(float) * info->padded);
	i->residual = palloc(sizeof(float) * info->padded);
	i->code = palloc(info->code_bytes);
	i->other = palloc(info->code_bytes);

	if (!need_trees(i))
		return;					/* ann_dimensions_confirm will say so, too */
	find_leaf(i, 0);
	if (join_equal(i))
		return;
	ref = ann_element_add(i->at.index, info, i->at.number, i->element);

	/* the first tree last: what join_equal finds there is in all others, too */
	for (int tree = (int) info->meta.trees - 1; tree >= 0; tree--)
	{
		if (info->meta.trees > 1)
			find_leaf(i, tree);
		append_row(i, tree, ref);
	}
}

/* Check an array for an index of 'dim' dimensions, 0 if it has none so far. */
static bool
examine(Relation index, ArrayType *array, int dim, AnnVector *vector)
{
	AnnProblem	problem = ann_source_examine(array, dim, vector);

	if (problem == ANN_PROBLEM_NONE)
		return true;
	if (problem != ANN_PROBLEM_DIMENSIONS)
		ann_source_refuse(problem, array, dim, RelationGetRelationName(index));
	return false;
}

/*
 * What is known of the index, which has the dimensions of the array: if it had
 * none, or others that no row needs any more, it has now.
 */
static void
prepare(Insert *i, ArrayType *array, AnnVector *vector)
{
	Relation	index = i->at.index;

	for (;;)
	{
		const AnnIndex *info = ann_index_chunk(index, 0, &i->at.chunk);
		int			fixed = ann_options(index)->dimensions;
		int			dim = info->meta.dim != 0 ? (int) info->meta.dim : fixed;

		if (!examine(index, array, dim, vector))
		{
			if (examine(index, array, 0, vector) && info->meta.dim != 0 &&
				ann_dimensions_change(index, i->at.heap, vector))
				continue;
			ann_source_refuse(ANN_PROBLEM_DIMENSIONS, array, dim, RelationGetRelationName(index));
		}
		if (info->meta.dim == 0)
		{
			ann_dimensions_set(index, vector);
			continue;
		}

		/* where dividing a leaf reads the table, the cache may be taken away */
		i->info = info->meta.scalar == ANN_SCALAR_NONE
			? *ann_index_copy(info) : *info;
		i->info.max_norm = i->at.chunk.max_norm;
		i->at.info = &i->info;
		return;
	}
}

bool
ann_insert(Relation index, Datum *values, bool *isnull, ItemPointer heap_tid,
		   Relation heap, IndexUniqueCheck checkUnique, bool indexUnchanged,
		   IndexInfo *indexInfo)
{
	MemoryContext context,
				old;
	Insert		i = {{index, heap}};
	ArrayType  *array;
	AnnVector	vector;

	if (isnull[0])
	{
		(void) ann_index(index);	/* is it one that we know? */
		insert_aside(index, offsetof(AnnChunk, nulls), heap_tid);
		return false;
	}

	context = AllocSetContextCreate(CurrentMemoryContext, "ann insert",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	array = DatumGetArrayTypeP(values[0]);
	i.tid = *heap_tid;
	do
	{
		prepare(&i, array, &vector);
		insert_vector(&i, &vector);
	}
	while (!ann_dimensions_confirm(index, i.info.meta.epoch));
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return false;
}
