/*
 * insert.c
 *	  INSERT: a row goes to a leaf of each tree.
 *
 * The element is written first, then a code in one leaf of each tree, each in
 * an edit of its own.  An insert that is interrupted leaves an element that
 * fewer leaves know of, which the pass over all elements finds; its row is not
 * visible anyway.
 */
#include "postgres.h"

#include "algo/code.h"
#include "algo/quantize.h"
#include "am/method.h"
#include "am/source.h"
#include "store/element.h"
#include "store/leaf_pages.h"
#include "store/tids.h"
#include "store/tree_pages.h"
#include "utils/memutils.h"

/* Add a row that has no place in a tree to the list at this offset of its entry. */
static void
insert_aside(Relation index, Size list, ItemPointer heap_tid)
{
	Size		at;
	Buffer		buffer = ann_chunk_lock(index, 0, BUFFER_LOCK_EXCLUSIVE, &at);

	ann_tids_append(index, 0, buffer, at + list, heap_tid);
}

/* The code of a row in a leaf: that of its difference from the centroid. */
static void
insert_into_leaf(Relation index, const AnnIndex *info, const AnnTreeVector *v,
				 const AnnLeafEntry *leaf, AnnElementRef element)
{
	float	   *centre = palloc(sizeof(float) * info->padded);
	float	   *residual = palloc(sizeof(float) * info->padded);
	uint8	   *code = palloc(info->code_bytes);
	AnnCodeFactors factors;

	if (!ann_leaf_centroid(index, info, leaf->node, centre))
		ann_page_corrupted(index, leaf->node.block, "no leaf in slot %u", leaf->node.slot);
	memcpy(residual, v->rotated, sizeof(float) * info->padded);
	ann_subtract(residual, centre, info->padded);
	ann_code_encode(info->meta.code_bits, info->padded, residual, centre, code, &factors);
	if (info->meta.metric == ANN_METRIC_IP)
		factors.a -= (float) v->norm2;
	ann_leaf_append(index, info, 0, leaf->first, element, code, &factors);
}

/* Add a vector that has been checked. */
static void
insert_vector(Relation index, const AnnIndex *info, const AnnVector *vector,
			  ItemPointer heap_tid)
{
	AnnTreeVector *v = ann_tree_vector_alloc(info);
	AnnElement *element = palloc(info->element_size);
	AnnElementRef ref;
	AnnChunk	chunk;
	AnnNodeRef *roots;
	int			num_roots;

	ann_tree_vector_row(info, ann_source_floats(vector, palloc(sizeof(float) * vector->dim)), v);
	if (info->meta.metric == ANN_METRIC_COSINE && v->norm2 == 0 && ann_source_is_zero(vector))
	{
		insert_aside(index, offsetof(AnnChunk, undefined), heap_tid);
		return;
	}
	ann_element_make(info, vector->data, vector->is_double, element);
	element->heap = *heap_tid;
	ref = ann_element_add(index, info, 0, element);

	ann_chunk_read(index, 0, &chunk);
	num_roots = ann_roots_read(index, &chunk, &roots);
	for (int i = 0; i < num_roots; i++)
	{
		AnnLeafEntry leaf;

		if (ann_tree_descend(index, info, v, roots[i], 0, NULL, &leaf))
			insert_into_leaf(index, info, v, &leaf, ref);
	}
}

/*
 * The first vector of an index that was created empty tells the dimensions,
 * unless another one has done so meanwhile.
 */
static void
set_dimensions(Relation index, int dim)
{
	AnnEdit		edit;
	AnnMeta    *meta;

	ann_edit_begin(&edit, index);
	meta = (AnnMeta *) ANN_PAGE_BODY(ann_edit_add(&edit,
												  ann_page_read(index, ANN_META_BLOCK, ANN_PAGE_META,
																BUFFER_LOCK_EXCLUSIVE)));
	if (meta->dim == 0)
	{
		meta->dim = dim;
		meta->code_bits = ANN_CODE_BITS(dim);
	}
	ann_edit_commit(&edit);
}

bool
ann_insert(Relation index, Datum *values, bool *isnull, ItemPointer heap_tid,
		   Relation heap, IndexUniqueCheck checkUnique, bool indexUnchanged,
		   IndexInfo *indexInfo)
{
	MemoryContext context,
				old;
	const AnnIndex *info;
	ArrayType  *array;
	AnnVector	vector;
	AnnProblem	problem;

	if (isnull[0])
	{
		insert_aside(index, offsetof(AnnChunk, nulls), heap_tid);
		return false;
	}

	context = AllocSetContextCreate(CurrentMemoryContext, "ann insert",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	array = DatumGetArrayTypeP(values[0]);
	info = ann_index(index);
	problem = ann_source_examine(array, info->meta.dim, &vector);
	if (problem != ANN_PROBLEM_NONE)
		ann_source_refuse(problem, array, info->meta.dim, RelationGetRelationName(index));
	if (info->meta.dim == 0)
	{
		set_dimensions(index, vector.dim);
		info = ann_index(index);
	}
	if ((int) info->meta.dim != vector.dim)
		ann_source_refuse(ANN_PROBLEM_DIMENSIONS, array, info->meta.dim,
						  RelationGetRelationName(index));
	insert_vector(index, info, &vector, heap_tid);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return false;
}
