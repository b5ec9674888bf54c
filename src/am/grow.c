/*
 * grow.c
 *	  From the rows of a build to the trees, leaves and elements of a chunk.
 *
 * Rows that fit the arena become a tree at once.  Others are divided first:
 * a tree on a sample of them sends each row to a file for its part, and the
 * parts become subtrees one after the other, each read once (as spark-annoy
 * does it on a cluster).  A part that is still too large is divided again.
 *
 * The first tree decides the order of the elements on disk: each leaf's are
 * written with it, so that rows near one another share pages.  Rows that are
 * equal are one element from then on, and the other trees see that only.
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "algo/code.h"
#include "algo/forest.h"
#include "am/grow.h"
#include "am/leaf_make.h"
#include "am/method.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "store/leaf_pages.h"
#include "utils/memutils.h"

/* Rows of the sample for each part that rows are divided into. */
#define SAMPLE_PER_PART 50

/* Files that are open at a time. */
#define MAX_PARTS 256

typedef struct Grower
{
	/* Unchanging, set at the beginning */
	Relation	index;
	const AnnIndex *info;
	AnnBulk    *bulk;
	AnnTidWriter *tids;
	AnnArena   *arena;
	uint32		chunk;
	uint32		leaf_capacity;

	/* Changing with each tree */
	int			number;			/* of the tree */
	AnnTreeWriter *tree;
	uint64		done;			/* rows in its leaves */
	BufFile    *written;		/* elements of the first tree, for the others */

	/* Changing with each leaf */
	AnnLeafImage *leaf;			/* scratch */
	uint64		elements;		/* written so far */
	Page		page;			/* of elements, being filled; or NULL */
	BlockNumber block;
	int			slots;			/* in use on it */
	MemoryContext leaf_context;
	AnnTreeVector *v;
	float	   *vector;			/* scratch */
} Grower;

/* ---- elements ---- */

static void
finish_element_page(Grower *g)
{
	if (g->page != NULL)
	{
		ann_page_set_used(g->page, (Size) g->slots * g->info->element_size);
		ann_bulk_done(g->bulk, g->block);
	}
	g->page = NULL;
	g->slots = 0;
}

/* Write an element larger than a page. */
static AnnElementRef
write_long_element(Grower *g, const AnnElement *element)
{
	const char *bytes = (const char *) element;
	Size		left = g->info->element_size;
	AnnPageKind kind = ANN_PAGE_ELEMENT;
	Page		previous = NULL;
	BlockNumber previous_block = InvalidBlockNumber;
	AnnElementRef ref;

	while (left > 0)
	{
		Size		part = Min(left, ANN_BODY_SIZE);
		BlockNumber block;
		Page		page = ann_bulk_page(g->bulk, kind, g->chunk, &block);

		memcpy(ANN_PAGE_BODY(page), bytes, part);
		if (previous == NULL)
			ItemPointerSet(&ref, block, FirstOffsetNumber);
		else
		{
			ANN_PAGE_TAIL(previous)->next = block;
			ann_bulk_done(g->bulk, previous_block);
		}
		previous = page;
		previous_block = block;
		kind = ANN_PAGE_REST;
		bytes += part;
		left -= part;
	}
	ann_bulk_done(g->bulk, previous_block);
	return ref;
}

static AnnElementRef
write_short_element(Grower *g, const AnnElement *element)
{
	AnnElementRef ref;

	if (g->slots == g->info->elements_per_page)
		finish_element_page(g);
	if (g->page == NULL)
		g->page = ann_bulk_page(g->bulk, ANN_PAGE_ELEMENT, g->chunk, &g->block);
	memcpy(ANN_PAGE_BODY(g->page) + (Size) g->slots * g->info->element_size,
		   element, g->info->element_size);
	ItemPointerSet(&ref, g->block, FirstOffsetNumber + g->slots++);
	return ref;
}

/* Write the element of a row, with the heap TIDs of all rows equal to it. */
static void
write_element(Grower *g, uint32 row)
{
	AnnArena   *arena = g->arena;
	AnnElement *element = ann_arena_element(arena, row);

	ann_arena_write_equal(arena, row, g->tids);
	arena->refs[row] = g->info->element_size > ANN_BODY_SIZE
		? write_long_element(g, element) : write_short_element(g, element);
	if (g->written != NULL)
		ann_arena_save(arena, row, g->written);
	g->elements++;
}

/* ---- leaves ---- */

/*
 * What the codes see of a row.  The element tells it exactly; where it has no
 * vector, the bytes that the trees see must do.
 */
static void
code_vector(Grower *g, uint32 row)
{
	const AnnIndex *info = g->info;
	AnnArena   *arena = g->arena;

	if (info->meta.scalar == ANN_SCALAR_NONE)
	{
		ann_arena_rotated(arena, row, g->v->rotated);
		g->v->norm2 = arena->norms2[row];
		return;
	}
	ann_element_floats(info, ann_arena_element(arena, row), g->vector);
	ann_tree_vector_rotate(info, g->vector, g->v);
}

/* ---- trees: what growing calls ---- */

static void
check_interrupts(void *arg)
{
	CHECK_FOR_INTERRUPTS();
}

static uint32_t
sink_split(void *arg, const AnnSplit *split)
{
	return ann_tree_add_split(((Grower *) arg)->tree, split->w, split->scale,
							  split->offset);
}

static uint32_t
sink_leaf(void *arg, uint32_t first, uint32_t n)
{
	Grower	   *g = arg;
	const AnnIndex *info = g->info;
	const uint32 *rows = g->arena->order + first;
	AnnTreeRows tree_rows = ann_arena_tree_rows(g->arena);
	MemoryContext old = MemoryContextSwitchTo(g->leaf_context);
	AnnNode    *entry = palloc(info->node_size);
	float	   *centre = palloc(sizeof(float) * info->padded);
	float	   *residual = palloc(sizeof(float) * info->padded);
	uint8	   *code = palloc(info->code_bytes);
	AnnLeafId	leaf;
	uint32		node;

	ann_make_entry(info, &tree_rows, rows, n, entry);
	ann_node_centre(info, entry, centre);
	ann_leaf_image_reset(g->leaf);
	for (uint32 i = 0; i < n; i++)
	{
		AnnCodeFactors factors;

		CHECK_FOR_INTERRUPTS();
		if (g->number == 0)
			write_element(g, rows[i]);
		code_vector(g, rows[i]);
		ann_make_code(info, g->v, centre, residual, code, &factors);
		ann_leaf_image_add(g->leaf, g->arena->refs[rows[i]], code, &factors);
	}
	leaf = ann_leaf_write_bulk(g->bulk, g->chunk, g->leaf);
	entry->u.leaf.first = leaf.first;
	entry->u.leaf.generation = leaf.generation;
	MemoryContextSwitchTo(old);
	node = ann_tree_add_leaf(g->tree, entry);
	MemoryContextReset(g->leaf_context);
	g->done += n;
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, (int64) g->done);
	return node;
}

static void
sink_link(void *arg, uint32_t parent, int side, AnnTreeLink child)
{
	ann_tree_link(((Grower *) arg)->tree, parent, side, child & ~ANN_LEAF);
}

static AnnGrowOptions
grow_options(const Grower *g, uint32 leaf_capacity)
{
	AnnGrowOptions options;

	options.leaf_capacity = leaf_capacity;
	options.through_origin = (g->info->meta.metric == ANN_METRIC_COSINE);
	options.seed = g->info->meta.seed + g->number;
	options.check = check_interrupts;
	options.check_arg = NULL;
	return options;
}

/* Grow the tree of the rows in the arena; returns its root. */
static uint32
grow_arena(Grower *g, uint32 distinct)
{
	AnnTreeRows rows = ann_arena_tree_rows(g->arena);
	AnnGrowOptions options = grow_options(g, g->leaf_capacity);
	AnnTreeSink sink = {sink_split, sink_leaf, sink_link, g};
	AnnTreeLink root;

	root = ann_tree_grow(&rows, g->arena->order, distinct, &options, &sink,
						 ann_arena_scratch(g->arena, distinct));
	return root & ~ANN_LEAF;
}

/* ---- more rows than memory ---- */

/* The rows of a part, in a file. */
typedef struct Part
{
	BufFile    *file;
	uint64		rows;
	bool		raw;			/* not augmented yet (ann_arena_augment) */
} Part;

/* The next row of a part to the arena. */
static void
load_row(Grower *g, const Part *part)
{
	CHECK_FOR_INTERRUPTS();
	ann_arena_load(g->arena, part->file);
}

/* The arena holds rows of a part: as they are to be from here on. */
static void
finish_loading(Grower *g, const Part *part)
{
	if (part->raw)
		ann_arena_augment(g->arena);
}

/* The next row of a part to the arena, alone. */
static void
load_single_row(Grower *g, const Part *part)
{
	g->arena->count = 0;
	load_row(g, part);
	finish_loading(g, part);
}

/* All rows of a part into the arena. */
static void
load_part(Grower *g, const Part *part)
{
	g->arena->count = 0;
	ann_file_rewind(part->file);
	for (uint64 i = 0; i < part->rows; i++)
		load_row(g, part);
	finish_loading(g, part);
}

/* Grow a tree on a sample, whose leaves are as many parts as are needed. */
static AnnSplitTree *
grow_parent(Grower *g, const Part *part)
{
	uint64		room = Max(g->arena->max_rows / 3 * 2, 1);
	uint32		parts = (uint32) Min(part->rows / room + 2, MAX_PARTS);
	uint32		sample = (uint32) Min((uint64) g->arena->max_rows / 2,
									  (uint64) parts * SAMPLE_PER_PART);
	AnnGrowOptions options;
	AnnTreeRows rows;
	AnnSplitTree *tree;

	ann_arena_load_sample(g->arena, part->file, part->rows, sample,
						  g->info->meta.seed + part->rows);
	finish_loading(g, part);
	rows = ann_arena_tree_rows(g->arena);
	for (uint32 i = 0; i < rows.count; i++)
		g->arena->order[i] = i;
	options = grow_options(g, Max(rows.count / parts, 1));
	tree = palloc_extended(ann_split_tree_size(rows.dim,
											   ann_tree_max_leaves(rows.count, options.leaf_capacity)),
						   MCXT_ALLOC_HUGE);
	ann_split_tree_grow(tree, &rows, g->arena->order, rows.count, &options,
						ann_arena_scratch(g->arena, rows.count));
	return tree;
}

/* Send each row of a part to the file of the leaf of 'tree' that it belongs to. */
static Part *
route_rows(Grower *g, const Part *part, const AnnSplitTree *tree)
{
	Part	   *parts = palloc0(sizeof(Part) * tree->leaves);

	for (uint32 i = 0; i < tree->leaves; i++)
		parts[i].file = BufFileCreateTemp(false);
	ann_file_rewind(part->file);
	for (uint64 i = 0; i < part->rows; i++)
	{
		uint32		leaf;

		load_single_row(g, part);
		leaf = ann_split_tree_route(tree, g->arena->rows, g->arena->scales[0]);
		ann_arena_save(g->arena, 0, parts[leaf].file);
		parts[leaf].rows++;
	}
	return parts;
}

/*
 * The rows of the arena that a tree is to have: their number, theirs in its order.
 * The first tree makes one element of rows that are equal; the others are to lead
 * to all elements, of which some are equal that were in different parts.
 */
static uint32
choose_rows(Grower *g)
{
	if (g->number == 0)
		return ann_arena_merge(g->arena);
	for (uint32 i = 0; i < g->arena->count; i++)
		g->arena->order[i] = i;
	return g->arena->count;
}

static uint32 grow_part(Grower *g, Part *part);

/*
 * Rows that no split separates, since they are equal: by halves, under a coin.
 */
static uint32
grow_halves(Grower *g, Part *part)
{
	int8	   *zero = palloc0(g->info->tree_dim);
	uint32		node = ann_tree_add_split(g->tree, zero, -1, 0);
	uint64		half = part->rows / 2;
	Part		halves[2] = {{NULL, half}, {NULL, part->rows - half}};

	pfree(zero);
	ann_file_rewind(part->file);
	for (int side = 0; side < 2; side++)
	{
		halves[side].file = BufFileCreateTemp(false);
		for (uint64 i = 0; i < halves[side].rows; i++)
		{
			load_single_row(g, part);
			ann_arena_save(g->arena, 0, halves[side].file);
		}
	}
	BufFileClose(part->file);
	for (int side = 0; side < 2; side++)
		ann_tree_link(g->tree, node, side, grow_part(g, &halves[side]));
	return node;
}

/* The splits of the parent tree, and a subtree for each of its leaves. */
static uint32
grow_under_parent(Grower *g, const AnnSplitTree *tree, Part *parts)
{
	uint32	   *nodes = palloc(sizeof(uint32) * Max(tree->splits, 1));

	for (uint32 i = 0; i < tree->splits; i++)
	{
		AnnSplit	split = ann_split_tree_split(tree, i);

		nodes[i] = ann_tree_add_split(g->tree, split.w, split.scale, split.offset);
	}
	for (uint32 i = 0; i < tree->splits; i++)
	{
		const AnnSplitNode *node = ann_split_tree_node(tree, i);

		for (int side = 0; side < 2; side++)
		{
			AnnTreeLink child = node->child[side];

			ann_tree_link(g->tree, nodes[i], side, (child & ANN_LEAF)
						  ? grow_part(g, &parts[child & ~ANN_LEAF]) : nodes[child]);
		}
	}
	return nodes[tree->root];
}

/* Grow the tree of the rows of a part, whose file is closed; returns its root. */
static uint32
grow_part(Grower *g, Part *part)
{
	AnnSplitTree *tree;
	Part	   *parts;
	uint64		largest = 0;
	uint32		root;

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE,
								 part->rows <= g->arena->max_rows ? ANN_PHASE_BUILD : ANN_PHASE_DIVIDE);
	if (part->rows <= g->arena->max_rows)
	{
		load_part(g, part);
		BufFileClose(part->file);
		return grow_arena(g, choose_rows(g));
	}

	tree = grow_parent(g, part);
	parts = route_rows(g, part, tree);
	for (uint32 i = 0; i < tree->leaves; i++)
		largest = Max(largest, parts[i].rows);
	if (largest > part->rows - part->rows / 20)
	{
		for (uint32 i = 0; i < tree->leaves; i++)
			BufFileClose(parts[i].file);
		root = grow_halves(g, part);
	}
	else
	{
		BufFileClose(part->file);
		root = grow_under_parent(g, tree, parts);
	}
	pfree(parts);
	pfree(tree);
	return root;
}

/* ---- all trees ---- */

/* The first tree writes the elements; a file of rows is used up by it. */
static uint32
grow_first(Grower *g, AnnRowSource *source)
{
	Part		part = {source->file, source->rows, true};

	if (source->file == NULL)
		return grow_arena(g, choose_rows(g));
	if (g->info->meta.trees > 1)
		g->written = BufFileCreateTemp(false);
	return grow_part(g, &part);
}

/* Copy the rows that were written, since growing a tree uses its file up. */
static BufFile *
copy_written(Grower *g)
{
	Part		part = {g->written, g->elements, false};
	BufFile    *copy = BufFileCreateTemp(false);

	ann_file_rewind(part.file);
	for (uint64 i = 0; i < part.rows; i++)
	{
		load_single_row(g, &part);
		ann_arena_save(g->arena, 0, copy);
	}
	return copy;
}

/* A further tree refers to the elements that the first one wrote. */
static uint32
grow_further(Grower *g, uint32 distinct)
{
	Part		part;

	if (g->written == NULL)
		return grow_arena(g, distinct);
	part.file = (g->number + 1 == (int) g->info->meta.trees) ? g->written : copy_written(g);
	part.rows = g->elements;
	part.raw = false;
	return grow_part(g, &part);
}

static void
init_grower(Grower *g, Relation index, const AnnIndex *info, AnnBulk *bulk,
			uint32 chunk, AnnArena *arena, uint32 leaf_capacity)
{
	memset(g, 0, sizeof(Grower));
	g->index = index;
	g->info = info;
	g->bulk = bulk;
	g->arena = arena;
	g->chunk = chunk;
	g->leaf_capacity = leaf_capacity;
	g->tree = ann_tree_begin(bulk, info, chunk);
	g->leaf = ann_leaf_image_make(info);
	g->leaf_context = AllocSetContextCreate(CurrentMemoryContext, "ann leaf",
											ALLOCSET_DEFAULT_SIZES);
	g->v = ann_tree_vector_alloc(info);
	g->vector = palloc(sizeof(float) * info->meta.dim);
}

BlockNumber
ann_grow_chunk(Relation index, const AnnIndex *info, AnnBulk *bulk,
			   AnnTidWriter *tids, uint32 chunk, AnnRowSource *source,
			   uint32 leaf_capacity, uint64 *elements)
{
	Grower		g;
	AnnNodeRef *roots = palloc(sizeof(AnnNodeRef) * info->meta.trees);

	init_grower(&g, index, info, bulk, chunk, source->arena, leaf_capacity);
	g.tids = tids;
	for (g.number = 0; g.number < (int) info->meta.trees; g.number++)
	{
		uint32		root;

		g.done = 0;
		root = g.number == 0 ? grow_first(&g, source)
			: grow_further(&g, (uint32) g.elements);
		finish_element_page(&g);
		roots[g.number] = ann_tree_end(g.tree, root);
	}
	*elements = g.elements;
	MemoryContextDelete(g.leaf_context);
	return ann_roots_write(bulk, chunk, roots, info->meta.trees);
}

/* Write the tree of entries with this root. */
static BlockNumber
write_entries(Grower *g, uint32 root)
{
	AnnNodeRef	ref = ann_tree_end(g->tree, root);

	MemoryContextDelete(g->leaf_context);
	return ann_roots_write(g->bulk, g->chunk, &ref, 1);
}

BlockNumber
ann_grow_entries(Relation index, const AnnIndex *info, AnnBulk *bulk, uint32 chunk,
				 AnnArena *arena, const uint32 *rows, uint32 n, uint32 leaf_capacity)
{
	Grower		g;

	init_grower(&g, index, info, bulk, chunk, arena, leaf_capacity);
	g.number = 1;				/* the first one would write the elements */
	memcpy(arena->order, rows, sizeof(uint32) * (Size) n);
	return write_entries(&g, grow_arena(&g, n));
}

BlockNumber
ann_grow_entry_file(Relation index, const AnnIndex *info, AnnBulk *bulk, uint32 chunk,
					AnnArena *arena, BufFile *file, uint64 rows, uint32 leaf_capacity)
{
	Part		part = {file, rows, false};
	Grower		g;

	init_grower(&g, index, info, bulk, chunk, arena, leaf_capacity);
	g.number = 1;
	return write_entries(&g, grow_part(&g, &part));
}
