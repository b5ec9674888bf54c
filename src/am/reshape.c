/*
 * reshape.c
 *	  Leaves that have grown are divided, leaves that have lost rows joined.
 *
 * All of it goes the same way.  The rows of the old leaves are read and the new
 * leaves written while others append to the old ones.  Then the first pages of
 * the old leaves are locked, what has been appended meanwhile is brought after,
 * and one edit puts the new leaves in the place of the old.  An interruption
 * before it leaves pages that nothing leads to, for vacuum to find.
 */
#include "postgres.h"

#include <math.h>

#include "algo/forest.h"
#include "am/heap_source.h"
#include "am/leaf_make.h"
#include "am/reshape.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "store/element.h"
#include "utils/memutils.h"

/* So often rows are brought after from the table, while others append more. */
#define MAX_CATCHES 10

/* Splits of the way to a leaf, beyond those of a tree twice as deep as need be. */
#define SPARE_DEPTH 24

/* References of rows, some of which may be dead by now. */
typedef struct RefArray
{
	AnnElementRef *refs;
	uint32		count;
	uint32		capacity;
} RefArray;

typedef struct Reshape
{
	const AnnReshape *at;
	int			tree;
	AnnHeapSource *source;		/* NULL where the index has the vectors */
	bool		unreadable;		/* a row was not dead, but could not be read */

	/* The rows of the old leaves, as trees see them */
	RefArray	refs;			/* sorted */
	AnnTreeRows rows;			/* of those that are alive: see row_refs */
	AnnElementRef *row_refs;
	int8	   *data;
	float	   *scales;

	/* The new leaves: one, or one for each side of the split */
	int			num_leaves;
	AnnSplit	split;
	AnnNode    *entry[2];
	float	   *centre[2];
	AnnLeafId	leaf[2];

	/* Scratch of one row */
	AnnTreeVector *v;
	AnnElement *element;
	float	   *vector;
	float	   *residual;
	uint8	   *code;
} Reshape;

/* ---- rows ---- */

static int
compare_refs(const void *a, const void *b)
{
	return ItemPointerCompare((ItemPointer) a, (ItemPointer) b);
}

/* Make room for so many more. */
static void
reserve_refs(RefArray *array, uint32 n)
{
	if (array->count + n <= array->capacity)
		return;
	array->capacity = Max(Max(array->capacity * 2, array->count + n), 256);
	array->refs = array->refs == NULL
		? palloc(sizeof(AnnElementRef) * array->capacity)
		: repalloc_huge(array->refs, sizeof(AnnElementRef) * array->capacity);
}

static void
note_refs(const AnnLeafBlock *block, void *state)
{
	RefArray   *array = state;

	reserve_refs(array, ANN_BLOCK_ROWS);
	for (uint32 live = block->live; live != 0; live &= live - 1)
		array->refs[array->count++] = block->element[pg_rightmost_one_pos32(live)];
}

/* VACUUM must not ask the table for vectors, and so cannot grow leaves without. */
static bool
has_vectors(const AnnReshape *at)
{
	return at->info->meta.scalar != ANN_SCALAR_NONE || at->heap != NULL;
}

/* In a context of its own, which is the current one; has_vectors. */
static Reshape *
begin(const AnnReshape *at)
{
	const AnnIndex *info = at->info;
	Reshape    *r = palloc0(sizeof(Reshape));

	r->at = at;
	if (info->meta.scalar == ANN_SCALAR_NONE)
		r->source = ann_heap_source_begin_dirty(at->heap, at->index);
	r->v = ann_tree_vector_alloc(info);
	r->element = palloc(info->element_size);
	r->vector = palloc(sizeof(float) * info->meta.dim);
	r->residual = palloc(sizeof(float) * info->padded);
	r->code = palloc(info->code_bytes);
	for (int i = 0; i < 2; i++)
	{
		r->entry[i] = palloc0(info->node_size);
		r->centre[i] = palloc(sizeof(float) * info->padded);
	}
	return r;
}

static void
end(Reshape *r)
{
	if (r->source != NULL)
		ann_heap_source_end(r->source);
}

/*
 * Read a row to r->v.  False if it is dead.
 *
 * Where the table has to be asked, it may not tell of a row that somebody sees,
 * or will again: we have deleted it and may roll back, or it is committed dead but
 * visible to older snapshots, and its TOAST may go any time.  Then the leaf must
 * stay as it is.
 */
static bool
load_row(Reshape *r, AnnElementRef ref)
{
	const AnnIndex *info = r->at->info;

	if (!ann_element_read(r->at->index, info, ref, r->element))
		return false;
	if (r->source == NULL)
		ann_element_floats(info, r->element, r->vector);
	else if (!ann_heap_source_floats(r->source, info, &r->element->heap, r->vector))
	{
		r->unreadable = true;
		return false;
	}
	ann_tree_vector_row(info, r->vector, r->v);
	return true;
}

/* Read the rows of leaves; false if one of these is not there any more. */
static bool
load_rows(Reshape *r, const AnnLeafId *old, int num_old)
{
	const AnnIndex *info = r->at->info;
	char	   *scratch = palloc(info->block_size);
	uint32		n = 0;

	for (int i = 0; i < num_old; i++)
	{
		if (!ann_leaf_scan(r->at->index, info, old[i], note_refs, &r->refs, scratch))
			return false;
	}
	qsort(r->refs.refs, r->refs.count, sizeof(AnnElementRef), compare_refs);
	r->data = palloc_extended((Size) info->row_dim * Max(r->refs.count, 1), MCXT_ALLOC_HUGE);
	r->scales = palloc_extended(sizeof(float) * Max(r->refs.count, 1), MCXT_ALLOC_HUGE);
	r->row_refs = palloc_extended(sizeof(AnnElementRef) * Max(r->refs.count, 1), MCXT_ALLOC_HUGE);
	for (uint32 i = 0; i < r->refs.count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!load_row(r, r->refs.refs[i]))
			continue;
		memcpy(r->data + (Size) n * info->row_dim, r->v->row, info->row_dim);
		r->scales[n] = r->v->scale;
		r->row_refs[n++] = r->refs.refs[i];
	}
	r->rows.data = r->data;
	r->rows.stride = info->row_dim;
	r->rows.scale = r->scales;
	r->rows.count = n;
	r->rows.dim = info->tree_dim;
	return true;
}

/* ---- new leaves ---- */

/* Write one of the new leaves, of the n rows whose numbers are in 'order'. */
static void
write_leaf(Reshape *r, int side, const uint32 *order, uint32 n)
{
	const AnnIndex *info = r->at->info;
	AnnLeafImage *image = ann_leaf_image_make(info);
	AnnNode    *entry = r->entry[side];
	AnnCodeFactors factors;

	ann_make_entry(info, &r->rows, order, n, entry);
	ann_node_centre(info, entry, r->centre[side]);
	for (uint32 i = 0; i < n; i++)
	{
		AnnElementRef ref = r->row_refs[order[i]];

		CHECK_FOR_INTERRUPTS();
		if (!load_row(r, ref))
			continue;
		ann_make_code(info, r->v, r->centre[side], r->residual, r->code, &factors);
		ann_leaf_image_add(image, ref, r->code, &factors);
	}
	r->leaf[side] = ann_leaf_write(r->at->index, r->at->number, image);
	entry->u.leaf.first = r->leaf[side].first;
	entry->u.leaf.generation = r->leaf[side].generation;
	pfree(image->blocks);
	pfree(image);
}

/* Bring a row after that was appended while the new leaves were written. */
static void
append_late(Reshape *r, AnnElementRef ref)
{
	const AnnIndex *info = r->at->info;
	AnnCodeFactors factors;
	AnnLeafFill fill;
	int			side = 0;

	if (!load_row(r, ref))
		return;
	if (r->num_leaves == 2)
		side = ann_split_side(&r->split, r->v->row, r->v->scale, info->tree_dim);
	ann_make_code(info, r->v, r->centre[side], r->residual, r->code, &factors);
	ann_leaf_append(r->at->index, info, r->at->number, r->leaf[side], ref, r->code,
					&factors, &fill);
	r->entry[side]->u.leaf.rows++;
}

/* Lock the first pages of n old leaves, the lower one first; none if one has gone. */
static bool
lock_leaves(const Reshape *r, const AnnLeafId *old, int n, Buffer *first)
{
	int			lower = n == 2 && old[1].first < old[0].first ? 1 : 0;

	if (!ann_leaf_lock(r->at->index, old[lower], &first[lower]))
		return false;
	if (n == 1 || ann_leaf_lock(r->at->index, old[1 - lower], &first[1 - lower]))
		return true;
	UnlockReleaseBuffer(first[lower]);
	return false;
}

/* Add the rows of a locked leaf that have been appended since to 'late'. */
static void
find_late(const Reshape *r, Buffer first, RefArray *late)
{
	RefArray	now = {0};

	/* who appends to a leaf of large blocks needs the claim that we have */
	if (r->at->info->pages_per_block > 1)
		return;
	ann_leaf_scan_locked(r->at->index, r->at->info, first, note_refs, &now);
	reserve_refs(late, now.count);
	for (uint32 i = 0; i < now.count; i++)
	{
		if (bsearch(&now.refs[i], r->refs.refs, r->refs.count, sizeof(AnnElementRef),
					compare_refs) == NULL)
			late->refs[late->count++] = now.refs[i];
	}
	if (now.refs != NULL)
		pfree(now.refs);
}

/* Late rows have been brought after: know them from then on. */
static void
note_brought(Reshape *r, const RefArray *late)
{
	reserve_refs(&r->refs, late->count);
	for (uint32 i = 0; i < late->count; i++)
		r->refs.refs[r->refs.count++] = late->refs[i];
	qsort(r->refs.refs, r->refs.count, sizeof(AnnElementRef), compare_refs);
}

/*
 * Lock the first pages of the old leaves, so that no row is appended any more, and
 * bring after what has been.  False, and nothing locked, if that cannot be.
 *
 * Where vectors come from the table, this is not done under the locks: an expression
 * may take its time, or wait for somebody who waits for them.
 */
static bool
catch_up(Reshape *r, const AnnLeafId *old, int n, Buffer *first)
{
	for (int try = 0; try < MAX_CATCHES && !r->unreadable; try++)
	{
		RefArray	late = {0};
		bool		keep;

		CHECK_FOR_INTERRUPTS();
		if (!lock_leaves(r, old, n, first))
			return false;
		for (int i = 0; i < n; i++)
			find_late(r, first[i], &late);
		keep = r->source == NULL || late.count == 0;
		for (int i = 0; i < n && !keep; i++)
			UnlockReleaseBuffer(first[i]);
		for (uint32 i = 0; i < late.count; i++)
			append_late(r, late.refs[i]);
		if (!keep)
			note_brought(r, &late);
		if (late.refs != NULL)
			pfree(late.refs);
		if (keep)
			return true;
	}
	return false;
}

/* Nothing leads to the new leaves: take them back. */
static void
drop_new_leaves(Reshape *r)
{
	for (int i = 0; i < r->num_leaves; i++)
		ann_leaf_free(r->at->index, r->leaf[i], r->leaf[i].first);
}

static uint32 *
identity(uint32 n)
{
	uint32	   *order = palloc(sizeof(uint32) * Max(n, 1));

	for (uint32 i = 0; i < n; i++)
		order[i] = i;
	return order;
}

/* ---- dividing ---- */

/* The entry of a leaf that is divided becomes this split. */
static AnnNode *
split_node(Reshape *r)
{
	AnnNode    *node = palloc0(r->at->info->node_size);

	node->kind = ANN_NODE_SPLIT;
	node->scale = r->split.scale;
	node->u.split.offset = r->split.offset;
	memcpy(node->vector, r->split.w, r->at->info->tree_dim);
	return node;
}

static void
check_interrupts(void *arg)
{
	CHECK_FOR_INTERRUPTS();
}

/*
 * Trees that divide the same rows must not do it in the same way, or one of them
 * would be of no use.
 */
static uint64
split_seed(const Reshape *r)
{
	return r->at->info->meta.seed + ((uint64) (r->tree + 1) << 32) +
		ItemPointerGetBlockNumberNoCheck(&r->row_refs[0]);
}

/*
 * Divide the rows, and write both leaves; false if no hyperplane divides them.
 */
static bool
divide_rows(Reshape *r)
{
	const AnnIndex *info = r->at->info;
	uint32		n = r->rows.count;
	uint32	   *order = identity(n);
	AnnSplitter splitter;
	uint32		left;

	if (n < 2)
		return false;
	ann_splitter_init(&splitter, &r->rows, info->meta.metric == ANN_METRIC_COSINE,
					  split_seed(r), check_interrupts, NULL, n,
					  palloc_extended(ann_splitter_size(info->tree_dim, n),
									  MCXT_ALLOC_HUGE));
	left = ann_split_rows(&splitter, order, n, &r->split);
	if (ann_split_is_coin(&r->split))
		return false;
	r->num_leaves = 2;
	write_leaf(r, 0, order, left);
	write_leaf(r, 1, order + left, n - left);
	return true;
}

/*
 * The page of nodes that may have room.  What was read of it before the structure
 * lock is no good: a vacuum may have passed its barrier since, and be about to free
 * the page.
 */
static BlockNumber
read_node_page(const AnnReshape *at)
{
	AnnChunk	chunk;

	ann_chunk_read(at->index, at->number, &chunk);
	return ann_is_epoch(&chunk, at->info) ? chunk.node_page : InvalidBlockNumber;
}

/*
 * Divide a leaf of which we have the claim, under the structure lock.  One that
 * has lost most of its rows is written anew instead.
 */
static void
divide(Reshape *r, const AnnLeafEntry *leaf, uint32 rows)
{
	const AnnReshape *at = r->at;
	BlockNumber node_page = read_node_page(at);
	Buffer		first;
	bool		done;

	if (!load_rows(r, &leaf->leaf, 1))
		return;
	if (r->unreadable)
	{
		ann_leaf_set_split_at(at->index, leaf->leaf, rows + rows / 4);
		return;
	}
	if (r->rows.count < at->chunk.leaf_capacity / 2)
	{
		r->num_leaves = 1;
		write_leaf(r, 0, identity(r->rows.count), r->rows.count);
	}
	else if (!divide_rows(r))
	{
		ann_leaf_set_split_at(at->index, leaf->leaf, 2 * rows);
		return;
	}
	done = catch_up(r, &leaf->leaf, 1, &first);
	if (done && r->num_leaves == 2)
		done = ann_tree_split_leaf(at->index, at->info, at->number, leaf->node,
								   leaf->leaf, first, split_node(r), r->entry, node_page);
	else if (done)
		done = ann_tree_replace_leaf(at->index, at->info, leaf->node, leaf->leaf,
									 first, r->entry[0]);
	if (!done)
		drop_new_leaves(r);
}

/* ---- trees that have become too deep ---- */

/* All entries of leaves of a tree, and where all of its nodes are. */
typedef struct Entries
{
	const AnnReshape *at;
	char	   *nodes;			/* one after the other */
	uint32		count;
	uint32		capacity;
	AnnNodeRef *refs;
	uint32		num_refs;
	uint32		refs_capacity;
} Entries;

static void
collect_entries(Entries *e, AnnNodeRef ref)
{
	const AnnIndex *info = e->at->info;
	AnnNode    *node;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (e->count == e->capacity)
	{
		e->capacity *= 2;
		e->nodes = repalloc_huge(e->nodes, (Size) info->node_size * e->capacity);
	}
	node = (AnnNode *) (e->nodes + (Size) info->node_size * e->count);
	if (!ann_node_read(e->at->index, info, ref, node))
		return;
	if (e->num_refs == e->refs_capacity)
	{
		e->refs_capacity *= 2;
		e->refs = repalloc_huge(e->refs, sizeof(AnnNodeRef) * e->refs_capacity);
	}
	e->refs[e->num_refs++] = ref;
	if (node->kind == ANN_NODE_LEAF)
		e->count++;
	else
	{
		AnnNodeRef	child[2] = {node->u.split.child[0], node->u.split.child[1]};

		collect_entries(e, child[0]);
		collect_entries(e, child[1]);
	}
}

static const AnnNode *
entry_node(const Entries *e, uint32 i)
{
	return (const AnnNode *) (e->nodes + (Size) i * e->at->info->node_size);
}

/* The centroids of the leaves as rows. */
static AnnTreeRows
centroid_rows(const Entries *e)
{
	const AnnIndex *info = e->at->info;
	AnnTreeVector *v = ann_tree_vector_alloc(info);
	int8	   *data = palloc_extended((Size) info->tree_dim * e->count, MCXT_ALLOC_HUGE);
	float	   *scales = palloc_extended(sizeof(float) * e->count, MCXT_ALLOC_HUGE);

	for (uint32 i = 0; i < e->count; i++)
	{
		ann_tree_vector_centroid(info, entry_node(e, i), v);
		memcpy(data + (Size) i * info->tree_dim, v->row, info->tree_dim);
		scales[i] = v->scale;
	}
	return (AnnTreeRows) {data, info->tree_dim, scales, e->count, info->tree_dim};
}

/* Grow a tree over the centroids of the leaves; returns its root. */
static AnnNodeRef
grow_over(const Entries *e)
{
	const AnnIndex *info = e->at->info;
	uint32	   *order = identity(e->count);
	uint32	   *splits;
	AnnTreeRows rows = centroid_rows(e);
	AnnGrowOptions options = {1, info->meta.metric == ANN_METRIC_COSINE,
	info->meta.seed, check_interrupts, NULL};
	AnnSplitTree *tree = palloc_extended(ann_split_tree_size(info->tree_dim, e->count),
										 MCXT_ALLOC_HUGE);
	AnnTreeWriter *writer = ann_tree_begin(NULL, info, e->at->number);

	ann_split_tree_grow(tree, &rows, order, e->count, &options,
						palloc_extended(ann_tree_scratch_size(info->tree_dim, e->count),
										MCXT_ALLOC_HUGE));

	/* leaf number i of it has the row order[i], and that alone */
	for (uint32 i = 0; i < e->count; i++)
		ann_tree_add_leaf(writer, entry_node(e, order[i]));
	splits = palloc(sizeof(uint32) * Max(tree->splits, 1));
	for (uint32 i = 0; i < tree->splits; i++)
	{
		AnnSplit	split = ann_split_tree_split(tree, i);

		splits[i] = ann_tree_add_split(writer, split.w, split.scale, split.offset);
	}
	for (uint32 i = 0; i < tree->splits; i++)
	{
		for (int side = 0; side < 2; side++)
		{
			AnnTreeLink child = ann_split_tree_node(tree, i)->child[side];

			ann_tree_link(writer, splits[i], side,
						  (child & ANN_LEAF) ? (child & ~ANN_LEAF) : splits[child]);
		}
	}
	return ann_tree_end_live(writer, e->at->index,
							 (tree->root & ANN_LEAF) ? 0 : splits[tree->root]);
}

/*
 * Replace all splits of a tree by those of a tree over the centroids of its
 * leaves, which stay as they are.  Rows that come in order make trees that have
 * a path as long as they are many; this keeps paths short.
 *
 * A row may be on the other side of a new split than its leaf is.  Searches
 * find it as they find all rows near a hyperplane.
 */
static void
flatten_tree(const AnnReshape *at, int number)
{
	Entries		e;
	AnnNodeRef *roots;
	AnnNodeRef	root;

	if (!ann_structure_try_lock(at->index, ExclusiveLock))
		return;
	memset(&e, 0, sizeof(e));
	e.at = at;
	e.capacity = e.refs_capacity = 1024;
	e.nodes = palloc_extended((Size) at->info->node_size * e.capacity, MCXT_ALLOC_HUGE);
	e.refs = palloc(sizeof(AnnNodeRef) * e.refs_capacity);
	if (number < ann_roots_read(at->index, &at->chunk, &roots))
	{
		collect_entries(&e, roots[number]);
		if (e.count > 0)
		{
			root = grow_over(&e);

			/* the page that new nodes go to may be one of those that go */
			ann_chunk_set_node_page(at->index, at->info, at->number, InvalidBlockNumber);
			ann_root_replace(at->index, &at->chunk, number, root);
			ann_tree_drop_nodes(at->index, at->info, e.refs, e.num_refs);
		}
	}
	ann_structure_unlock(at->index, ExclusiveLock);
}

/*
 * Is a path so long that the tree is better flattened first?  That is not tried
 * at every split, should it be of no use.
 */
static bool
is_too_deep(const AnnReshape *at, int depth)
{
	double		leaves = 2 * ann_rows_in_tree(at->info, (double) at->chunk.rows) / Max(at->chunk.leaf_capacity, 1) + 2;

	return depth > SPARE_DEPTH + 2 * log2(leaves) && depth % 16 == 0;
}

void
ann_divide_leaf(const AnnReshape *at, int tree, const AnnLeafEntry *leaf, uint32 rows)
{
	MemoryContext context;
	MemoryContext old;

	/* the next insert will */
	if (!has_vectors(at))
		return;
	context = AllocSetContextCreate(CurrentMemoryContext, "ann reshape",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	if (is_too_deep(at, leaf->depth))
	{
		flatten_tree(at, tree);
		ann_leaf_set_split_at(at->index, leaf->leaf, rows + ANN_BLOCK_ROWS);
	}
	else if (leaf->depth < ANN_TREE_MAX_DEPTH && ann_structure_try_lock(at->index, ShareLock))
	{
		if (ann_leaf_try_claim(at->index, leaf->leaf))
		{
			Reshape    *r = begin(at);

			r->tree = tree;
			divide(r, leaf, rows);
			end(r);
			ann_leaf_unclaim(at->index, leaf->leaf);
		}
		ann_structure_unlock(at->index, ShareLock);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* ---- joining ---- */

bool
ann_join_leaves(const AnnReshape *at, AnnNodeRef parent, const AnnNodeRef child[2],
				const AnnLeafId leaf[2])
{
	MemoryContext context,
				old;
	Reshape    *r;
	Buffer		first[2];

	if (!has_vectors(at))
		return false;
	context = AllocSetContextCreate(CurrentMemoryContext, "ann reshape",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	r = begin(at);
	if (load_rows(r, leaf, 2))
	{
		r->num_leaves = 1;
		write_leaf(r, 0, identity(r->rows.count), r->rows.count);
		if (!catch_up(r, leaf, 2, first) ||
			!ann_tree_join_leaves(at->index, at->info, parent, child, leaf, first, r->entry[0]))
			drop_new_leaves(r);
	}
	end(r);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return true;
}

/* ---- compacting ---- */

typedef struct Compact
{
	AnnLeafImage *image;
	uint8	   *code;
} Compact;

static void
copy_rows(const AnnLeafBlock *block, void *state)
{
	Compact    *c = state;

	for (uint32 live = block->live; live != 0; live &= live - 1)
	{
		int			row = pg_rightmost_one_pos32(live);
		AnnCodeFactors factors = {block->a[row], block->f[row], block->e[row]};

		ann_code_get(block->codes, c->image->info->code_bytes, row, c->code);
		ann_leaf_image_add(c->image, block->element[row], c->code, &factors);
	}
}

void
ann_compact_leaf(const AnnReshape *at, AnnNodeRef ref, AnnLeafId leaf)
{
	const AnnIndex *info = at->info;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ann reshape",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	AnnNode    *entry = palloc(info->node_size);
	Compact		c = {ann_leaf_image_make(info), palloc(info->code_bytes)};
	bool		complete = true;
	Buffer		first;
	AnnLeafId	new_leaf;

	/* who appends to a leaf of large blocks needs the claim that we have */
	if (info->pages_per_block > 1)
		complete = ann_leaf_scan(at->index, info, leaf, copy_rows, &c, palloc(info->block_size));
	if (complete && ann_node_read(at->index, info, ref, entry) &&
		ann_leaf_lock(at->index, leaf, &first))
	{
		if (info->pages_per_block == 1)
			ann_leaf_scan_locked(at->index, info, first, copy_rows, &c);
		new_leaf = ann_leaf_write(at->index, at->number, c.image);
		entry->u.leaf.first = new_leaf.first;
		entry->u.leaf.generation = new_leaf.generation;
		entry->u.leaf.rows = c.image->rows;
		if (!ann_tree_replace_leaf(at->index, info, ref, leaf, first, entry))
			ann_leaf_free(at->index, new_leaf, new_leaf.first);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* ---- planting ---- */

/* An entry and a leaf without rows for each tree; returns the page of roots. */
static BlockNumber
plant(Relation index, const AnnIndex *info, uint32 number, const AnnTreeVector *v)
{
	AnnNodeRef *roots = palloc(sizeof(AnnNodeRef) * info->meta.trees);
	AnnLeafImage *image = ann_leaf_image_make(info);
	AnnNode    *entry = palloc(info->node_size);
	const float scale = v->scale;
	const uint32 order = 0;
	AnnTreeRows rows = {v->row, info->row_dim, &scale, 1, info->tree_dim};

	ann_make_entry(info, &rows, &order, 1, entry);
	entry->u.leaf.rows = 0;
	for (uint32 i = 0; i < info->meta.trees; i++)
	{
		AnnTreeWriter *writer = ann_tree_begin(NULL, info, number);
		AnnLeafId	leaf = ann_leaf_write(index, number, image);

		CHECK_FOR_INTERRUPTS();
		entry->u.leaf.first = leaf.first;
		entry->u.leaf.generation = leaf.generation;
		roots[i] = ann_tree_end_live(writer, index, ann_tree_add_leaf(writer, entry));
	}
	return ann_roots_write_live(index, number, roots, info->meta.trees);
}

/* Has a chunk no trees, in this epoch?  Trees of an earlier one are none. */
static bool
is_plantable(const AnnChunk *chunk, const AnnIndex *info)
{
	uint32		epoch = chunk->epoch & ~ANN_EPOCH_CHANGING;

	return epoch < info->meta.epoch ||
		(epoch == info->meta.epoch && chunk->roots == InvalidBlockNumber);
}

void
ann_plant_trees(Relation index, const AnnIndex *info, uint32 number,
				const AnnTreeVector *v)
{
	AnnChunk	chunk;
	AnnChunk   *entry;
	AnnEdit		edit;
	BlockNumber roots;
	Buffer		buffer;
	Size		at;

	ann_structure_lock(index, ExclusiveLock);
	ann_chunk_read(index, number, &chunk);
	if (is_plantable(&chunk, info))
	{
		roots = plant(index, info, number, v);
		buffer = ann_chunk_lock(index, number, BUFFER_LOCK_EXCLUSIVE, &at);
		ann_edit_begin(&edit, index);
		entry = (AnnChunk *) ((char *) ann_edit_add(&edit, buffer) + at);
		if (number > 0)
			ann_chunk_empty(entry, info->meta.epoch);
		entry->roots = roots;
		entry->leaf_capacity = ann_leaf_capacity(0);
		entry->rows = 0;
		if (info->meta.metric == ANN_METRIC_IP)
			entry->max_norm = info->max_norm;
		ann_edit_commit(&edit);
	}
	ann_structure_unlock(index, ExclusiveLock);
}
