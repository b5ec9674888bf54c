/*
 * insert.c
 *	  INSERT: a row goes to a leaf of each tree, or into the graph.
 *
 * The graph is graph_insert.c's.  In a forest, a row that is equal to others joins
 * their element, which is found in the leaf that the first tree leads to.  Else its
 * own element is written first, then a code in one leaf of each tree, each in an edit
 * of its own.  An insert that is interrupted leaves an element that fewer leaves know
 * of, which the pass over all elements finds; its row is not visible anyway.
 */
#include "postgres.h"

#include <math.h>

#include "am/dimensions.h"
#include "am/graph_insert.h"
#include "am/method.h"
#include "am/options.h"
#include "am/reshape.h"
#include "am/source.h"
#include "am/tree_insert.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "store/element.h"
#include "store/tids.h"
#include "utils/memutils.h"

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
	AnnTreeInsert tree;			/* in the leaf of the tree at hand */

	/* Rows with the same code */
	uint8	   *other;
	int			num_equal;
	AnnElementRef equal[MAX_EQUAL];
} Insert;

/* The number of the chunk of a row, which becomes one if it is not there yet. */
static uint32
need_chunk(Relation index, const AnnMeta *meta, ItemPointer heap_tid)
{
	uint32		number = ann_chunk_of(meta, ItemPointerGetBlockNumber(heap_tid));

	ann_chunk_need(index, number);
	return number;
}

/*
 * Add a row that has no place in a tree to the list of its chunk at this offset of the
 * entry.
 */
static void
insert_aside(Relation index, uint32 number, Size list, ItemPointer heap_tid)
{
	Size		at;
	Buffer		buffer = ann_chunk_lock(index, number, BUFFER_LOCK_EXCLUSIVE, &at);

	ann_tids_append(index, number, buffer, at + list, heap_tid);
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

		if (block->a[row] != i->tree.factors.a || block->f[row] != i->tree.factors.f ||
			block->e[row] != i->tree.factors.e || i->num_equal == MAX_EQUAL)
			continue;
		ann_code_get(block->codes, i->info.code_bytes, row, i->other);
		if (memcmp(i->other, i->tree.code, i->info.code_bytes) == 0)
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
	ann_leaf_scan(i->at.index, &i->info, i->tree.leaf.leaf, note_equal, i,
				  palloc(i->info.block_size));
	for (int n = 0; n < i->num_equal; n++)
	{
		if (ann_element_add_row(i->at.index, &i->info, i->at.number, i->equal[n], i->element))
			return true;
	}
	return false;
}

/* ---- a row ---- */

/*
 * The vector of the row's element as codes see it.  *floats is the row's own less
 * the centre, and becomes the element's, where that has one, in 'buffer'.
 */
static AnnTreeVector *
stored_vector(Insert *i, const float **floats, float *buffer)
{
	AnnTreeVector *v;

	if (i->info.meta.scalar == ANN_SCALAR_NONE)
		return i->v;
	v = ann_tree_vector_alloc(&i->info);
	ann_element_floats(&i->info, i->element, buffer);
	ann_tree_vector_rotate(&i->info, buffer, v);
	*floats = buffer;
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

/* A row of a forest has a code in each tree.  False if an element had its vector. */
static bool
add_to_forest(Insert *i)
{
	int			trees = (int) i->info.meta.trees;
	AnnElementRef ref;

	ann_tree_insert_find(&i->tree, 0);
	if (join_equal(i))
		return false;
	ref = ann_element_add(i->at.index, &i->info, i->at.number, i->element, NULL);

	/* the first tree last: what join_equal finds there is in all others, too */
	for (int tree = trees - 1; tree >= 0; tree--)
	{
		if (trees > 1)
			ann_tree_insert_find(&i->tree, tree);
		ann_tree_insert_append(&i->tree, tree, ref);
	}
	return true;
}

/*
 * A row of a graph has links, and if the dice say so, or nothing leads to it, a code
 * in the tree of those that searches begin at.  False as above.
 */
static bool
add_to_graph(Insert *i, const float *floats)
{
	uint32		dice = murmurhash32(ItemPointerGetBlockNumber(&i->tid) * 521 +
									ItemPointerGetOffsetNumber(&i->tid));
	AnnElementRef ref;
	bool		alone;

	if (!ann_graph_insert(&i->at, i->element, i->stored, floats, &ref, &alone))
		return false;
	if (!alone && dice % ANN_ROWS_PER_ENTRY != 0)
		return true;
	ann_tree_insert_find(&i->tree, 0);
	ann_tree_insert_append(&i->tree, 0, ref);
	return true;
}

/* Add a vector that has been checked; false if there is no new element. */
static bool
insert_vector(Insert *i, const AnnVector *vector)
{
	const AnnIndex *info = &i->info;
	const float *floats;

	floats = ann_source_floats(vector, info->centre, palloc(sizeof(float) * vector->dim));
	i->v = ann_tree_vector_alloc(info);
	ann_tree_vector_row(info, floats, i->v);
	if (info->meta.metric == ANN_METRIC_COSINE && i->v->norm2 == 0 && ann_source_is_zero(vector))
	{
		insert_aside(i->at.index, i->at.number, offsetof(AnnChunk, undefined), &i->tid);
		return false;
	}
	i->element = palloc(info->element_size);
	ann_element_make(info, vector->data, vector->is_double, i->element);
	i->element->heap = i->tid;
	i->stored = stored_vector(i, &floats, palloc(sizeof(float) * vector->dim));
	ann_tree_insert_begin(&i->tree, &i->at, i->v, i->stored);
	i->other = palloc(info->code_bytes);

	if (!need_trees(i))
		return false;			/* ann_dimensions_confirm will say so, too */
	return ann_is_graph(info) ? add_to_graph(i, floats) : add_to_forest(i);
}

/* Check an array, which must have 'dim' dimensions, if that is not 0: false if not. */
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
 * Refuse a vector for its dimensions.  'present' are those of the index, and 'fixed'
 * those of its option, 0 if there are none.
 */
pg_noreturn static void
refuse_dimensions(Relation index, ArrayType *array, int present, int fixed)
{
	if (present != 0 && fixed != 0 && present != fixed)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("vector of %d dimensions does not fit index \"%s\"",
						ann_source_check(array), RelationGetRelationName(index)),
				 errdetail("The index was made of vectors of %d dimensions, but its option dimensions is %d.",
						   present, fixed),
				 errhint("Take the option back by ALTER INDEX ... RESET (dimensions), or delete the rows of other dimensions.")));
	ann_source_refuse(ANN_PROBLEM_DIMENSIONS, array, fixed != 0 ? fixed : present,
					  RelationGetRelationName(index));
}

/*
 * What is known of the index, which has the dimensions of the array: if it had
 * none, or others that no row needs any more, it has now.
 *
 * An option that has been changed since the index was built holds for each new row,
 * as a constraint that is not valid yet would.
 */
static void
prepare(Insert *i, ArrayType *array, AnnVector *vector)
{
	Relation	index = i->at.index;

	for (;;)
	{
		const AnnIndex *info = ann_index_chunk(index, i->at.number, &i->at.chunk);
		int			present = (int) info->meta.dim;
		int			fixed = ann_options(index)->dimensions;

		if (!examine(index, array, fixed, vector))
			refuse_dimensions(index, array, present, fixed);
		if (present == 0)
		{
			ann_dimensions_set(index, vector);
			continue;
		}
		if (vector->dim != present)
		{
			if (ann_dimensions_change(index, i->at.heap, vector))
				continue;
			refuse_dimensions(index, array, present, fixed);
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
ann_insert_array(Relation index, Datum value, ItemPointer heap_tid, Relation heap)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ann insert",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Insert		i = {{index, heap}};
	ArrayType  *array = DatumGetArrayTypeP(value);
	AnnVector	vector;
	bool		is_new;

	i.tid = *heap_tid;
	i.at.number = need_chunk(index, &ann_index(index)->meta, heap_tid);
	do
	{
		prepare(&i, array, &vector);
		is_new = insert_vector(&i, &vector);
	}
	while (!ann_dimensions_confirm(index, i.info.meta.epoch));
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return is_new;
}

bool
ann_insert(Relation index, Datum *values, bool *isnull, ItemPointer heap_tid,
		   Relation heap, IndexUniqueCheck checkUnique, bool indexUnchanged,
		   IndexInfo *indexInfo)
{
	if (isnull[0])
		insert_aside(index, need_chunk(index, &ann_index(index)->meta, heap_tid),
					 offsetof(AnnChunk, nulls), heap_tid);
	else
		(void) ann_insert_array(index, values[0], heap_tid, heap);
	return false;
}
