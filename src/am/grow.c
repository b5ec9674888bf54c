/*
 * grow.c
 *	  From the rows of a build to the trees, leaves and elements of a chunk.
 *
 * Rows that fit the arena become a tree at once.  Others are divided first:
 * a tree on a sample of them sends each row to a file for its part, and the
 * parts become subtrees one after the other, each read once (as spark-annoy
 * does it on a cluster).  A part that is still too large is divided again.
 *
 * Rows that several processes work on are in memory that all of them see, and are
 * divided in the same way: the parts are ranges of the order, and each is built by
 * whoever takes it.
 *
 * The first tree decides the order of the elements on disk: each leaf's are
 * written with it, so that rows near one another share pages.  Rows that are
 * equal are one element from then on, and the other trees see that only.
 */
#include "postgres.h"

#include <math.h>

#include "algo/code.h"
#include "algo/forest.h"
#include "am/grow.h"
#include "am/leaf_make.h"
#include "am/method.h"
#include "miscadmin.h"
#include "store/leaf_pages.h"
#include "utils/memutils.h"

/* Rows of the sample for each part that rows are divided into. */
#define SAMPLE_PER_PART 1024

/* Files that are open at a time. */
#define MAX_PARTS 256

/* Parts for each member of a team, at least. */
#define PARTS_PER_MEMBER 8

/* Of the table by which equal rows are found, a row takes so many bytes at most. */
#define MERGE_BYTES 16

/* Rows that a member of a team routes at a time. */
#define PIECE 1024

typedef struct Grower
{
	/* Unchanging, set at the beginning */
	AnnTeam    *team;
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
	BufFile    *written;		/* elements of the first tree, for the others */

	uint32		first;			/* of the rows at hand in the arena's order */

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

/* A tree is complete: no page of elements or of their TIDs is to wait for the next. */
static void
finish_elements(Grower *g)
{
	finish_element_page(g);
	ann_tids_flush(g->tids);
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
	ann_bulk_note(g->bulk, element);
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
	const uint32 *rows = g->arena->order + g->first + first;
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
	if (g->number == 0)
		ann_tids_let_go(g->tids);
	leaf = ann_leaf_write_bulk(g->bulk, g->chunk, g->leaf);
	entry->u.leaf.first = leaf.first;
	entry->u.leaf.generation = leaf.generation;
	MemoryContextSwitchTo(old);
	node = ann_tree_add_leaf(g->tree, entry);
	MemoryContextReset(g->leaf_context);
	ann_team_report(g->team, n);
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

/* Grow the tree of n rows, from 'first' on in the arena's order; returns its root. */
static uint32
grow_rows(Grower *g, uint32 first, uint32 n)
{
	AnnTreeRows rows = ann_arena_tree_rows(g->arena);
	AnnGrowOptions options = grow_options(g, g->leaf_capacity);
	AnnTreeSink sink = {sink_split, sink_leaf, sink_link, g};
	AnnTreeLink root;

	g->first = first;
	root = ann_tree_grow(&rows, g->arena->order + first, n, &options, &sink,
						 ann_arena_scratch(g->arena, n));
	return root & ~ANN_LEAF;
}

/* ---- a tree in memory, and trees below its leaves ---- */

/* Grow a tree on some rows, whose leaves are about as many parts. */
static AnnSplitTree *
grow_parent(Grower *g, uint32 *order, uint32 n, uint32 parts)
{
	AnnTreeRows rows = ann_arena_tree_rows(g->arena);
	AnnGrowOptions options = grow_options(g, Max(n / parts, 1));
	AnnSplitTree *tree;

	tree = palloc_extended(ann_split_tree_size(rows.dim,
											   ann_tree_max_leaves(n, options.leaf_capacity)),
						   MCXT_ALLOC_HUGE);
	ann_split_tree_grow(tree, &rows, order, n, &options, ann_arena_scratch(g->arena, n));
	return tree;
}

/* The splits of the parent tree, over the subtrees of its leaves; returns the root. */
static uint32
add_parent(Grower *g, const AnnSplitTree *tree, const uint32 *subtrees)
{
	uint32	   *nodes = palloc(sizeof(uint32) * Max(tree->splits, 1));
	uint32		root;

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

			ann_tree_link(g->tree, nodes[i], side,
						  (child & ANN_LEAF) ? subtrees[child & ~ANN_LEAF] : nodes[child]);
		}
	}
	root = (tree->root & ANN_LEAF) ? subtrees[0] : nodes[tree->root];
	pfree(nodes);
	return root;
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
		ann_arena_augment(g->arena, 0, g->arena->count);
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
divide_part(Grower *g, const Part *part)
{
	uint64		room = Max(g->arena->max_rows / 3 * 2, 1);
	uint32		parts = (uint32) Min(part->rows / room + 2, MAX_PARTS);
	uint32		sample = (uint32) Min((uint64) g->arena->max_rows / 2,
									  (uint64) parts * SAMPLE_PER_PART);

	g->arena->count = 0;
	ann_arena_load_sample(g->arena, part->file, part->rows, sample,
						  g->info->meta.seed + g->number + part->rows);
	finish_loading(g, part);
	ann_arena_number(g->arena);
	return grow_parent(g, g->arena->order, g->arena->count, parts);
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
	ann_arena_number(g->arena);
	return g->number == 0 ? ann_arena_merge(g->arena, 0, g->arena->count) : g->arena->count;
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
	uint32	   *subtrees = palloc(sizeof(uint32) * tree->leaves);
	uint32		root;

	for (uint32 i = 0; i < tree->leaves; i++)
		subtrees[i] = grow_part(g, &parts[i]);
	root = add_parent(g, tree, subtrees);
	pfree(subtrees);
	return root;
}

/* Grow the tree of the rows of a part, whose file is closed; returns its root. */
static uint32
grow_part(Grower *g, Part *part)
{
	AnnSplitTree *tree;
	Part	   *parts;
	uint64		largest = 0;
	uint32		root;

	ann_team_phase(g->team, part->rows <= g->arena->max_rows ? ANN_PHASE_BUILD : ANN_PHASE_DIVIDE);
	if (part->rows <= g->arena->max_rows)
	{
		load_part(g, part);
		BufFileClose(part->file);
		return grow_rows(g, 0, choose_rows(g));
	}

	tree = divide_part(g, part);
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

/* ---- rows that a team shares ---- */

/* What all members know of a tree. */
typedef struct Parts
{
	uint64		rows;			/* of the tree, in arena->order */
	uint32		count;
	uint32		first[MAX_PARTS];	/* of its rows in arena->order */
	uint32		size[MAX_PARTS];	/* its rows, those that are elements once it is built */
	uint16		turn[MAX_PARTS];	/* numbers of the parts, the largest first */
} Parts;

/* Parts that a team divides rows into. */
static uint32
parts_wanted(const AnnTeam *team)
{
	return Min((uint32) team->members * PARTS_PER_MEMBER, MAX_PARTS / 2);
}

/* The most that a parent tree takes, whose leaves are no more than MAX_PARTS. */
static Size
parent_size(const AnnIndex *info)
{
	return ann_split_tree_size(info->tree_dim, MAX_PARTS);
}

/* The leader sorts the order; whoever merges equal rows has a table of them. */
Size
ann_grow_shared_size(const AnnIndex *info, uint32 rows)
{
	return ann_team_array_size(sizeof(Parts)) + ann_team_array_size(parent_size(info)) +
		(sizeof(uint32) + MERGE_BYTES) * (Size) rows;
}

/* Draw n of the rows in the order to its beginning. */
static void
draw_sample(Grower *g, uint64 rows, uint32 n)
{
	AnnRandom	random;

	ann_random_seed(&random, g->info->meta.seed + g->number);
	for (uint32 i = 0; i < n; i++)
		ann_random_draw(g->arena->order, i, (uint32) rows, &random);
}

/* The leader grows the parent tree of a tree on a sample. */
static void
divide_shared(Grower *g, Parts *parts, AnnSplitTree *parent)
{
	uint32		wanted = parts_wanted(g->team);
	uint32		n = (uint32) Min(parts->rows, (uint64) wanted * SAMPLE_PER_PART);
	AnnSplitTree *tree;

	draw_sample(g, parts->rows, n);
	tree = grow_parent(g, g->arena->order, n, wanted);
	while (tree->leaves > MAX_PARTS)
	{
		wanted /= 2;
		pfree(tree);
		tree = grow_parent(g, g->arena->order, n, wanted);
	}
	memcpy(parent, tree, ann_split_tree_size(tree->dim, tree->splits));
	pfree(tree);
	parts->count = parent->leaves;
	if (g->number == 0)
		ann_arena_number(g->arena);
}

/* Note the part that each row belongs to, as its 'next_equal'. */
static void
route_shared(Grower *g, const Parts *parts, const AnnSplitTree *parent)
{
	AnnArena   *arena = g->arena;
	uint64		first;
	uint64		n;

	while (ann_team_take(g->team, parts->rows, PIECE, &first, &n))
	{
		for (uint64 i = first; i < first + n; i++)
		{
			uint32		row = arena->order[i];

			arena->next_equal[row] =
				ann_split_tree_route(parent, arena->rows + (Size) row * g->info->row_dim,
									 arena->scales[row]);
		}
	}
}

static int
compare_sizes(const void *a, const void *b, void *arg)
{
	const Parts *parts = arg;
	uint16		x = *(const uint16 *) a;
	uint16		y = *(const uint16 *) b;

	if (parts->size[x] != parts->size[y])
		return parts->size[x] > parts->size[y] ? -1 : 1;
	return (x > y) - (x < y);
}

/* The leader puts the rows of each part together. */
static void
sort_shared(Grower *g, Parts *parts)
{
	AnnArena   *arena = g->arena;
	Size		bytes = sizeof(uint32) * (Size) parts->rows;
	uint32	   *sorted = palloc_extended(bytes, MCXT_ALLOC_HUGE);
	uint32		next[MAX_PARTS];
	uint32		at = 0;

	memset(parts->size, 0, sizeof(parts->size));
	for (uint64 i = 0; i < parts->rows; i++)
	{
		if (i % PIECE == 0)
			CHECK_FOR_INTERRUPTS();
		parts->size[arena->next_equal[arena->order[i]]]++;
	}
	for (uint32 i = 0; i < parts->count; i++)
	{
		parts->first[i] = next[i] = at;
		parts->turn[i] = (uint16) i;
		at += parts->size[i];
	}
	for (uint64 i = 0; i < parts->rows; i++)
	{
		if (i % PIECE == 0)
			CHECK_FOR_INTERRUPTS();
		sorted[next[arena->next_equal[arena->order[i]]]++] = arena->order[i];
	}
	memcpy(arena->order, sorted, bytes);
	pfree(sorted);
	qsort_arg(parts->turn, parts->count, sizeof(uint16), compare_sizes, parts);
}

/* The file for the nodes of a part of a tree. */
#define NODES_FILE "nodes.%d.%u"

/* Build the parts that this member takes; the nodes go to files. */
static void
build_shared(Grower *g, Parts *parts)
{
	uint64		turn;
	uint64		n;

	while (ann_team_take(g->team, parts->count, 1, &turn, &n))
	{
		uint32		part = parts->turn[turn];
		BufFile    *file = ann_team_create_file(g->team, NODES_FILE, g->number, part);

		if (g->number == 0)
			parts->size[part] = ann_arena_merge(g->arena, parts->first[part], parts->size[part]);
		ann_tree_save(g->tree, grow_rows(g, parts->first[part], parts->size[part]), file);
		ann_team_close_file(g->team, file);
	}
}

/* The leader gathers the subtrees of all parts under the parent tree; returns the root. */
static uint32
gather_parts(Grower *g, uint32 parts, const AnnSplitTree *parent)
{
	uint32	   *subtrees = palloc(sizeof(uint32) * parts);
	uint32		root;

	for (uint32 i = 0; i < parts; i++)
	{
		BufFile    *file = ann_team_open_file(g->team, NODES_FILE, g->number, i);

		subtrees[i] = ann_tree_load(g->tree, file);
		ann_team_close_file(g->team, file);
		ann_team_delete_file(g->team, NODES_FILE, g->number, i);
	}
	root = add_parent(g, parent, subtrees);
	pfree(subtrees);
	return root;
}

/* Only rows that are elements stay in the order; they are counted. */
static void
keep_elements(Grower *g, Parts *parts)
{
	uint32	   *order = g->arena->order;

	parts->rows = 0;
	for (uint32 i = 0; i < parts->count; i++)
	{
		memmove(order + parts->rows, order + parts->first[i], sizeof(uint32) * (Size) parts->size[i]);
		parts->rows += parts->size[i];
	}
}

/* Grow a tree together; the leader returns its root. */
static uint32
grow_shared(Grower *g, Parts *parts, AnnSplitTree *parent)
{
	uint32		root = 0;

	if (ann_team_leads(g->team))
		divide_shared(g, parts, parent);
	ann_team_wait(g->team);
	route_shared(g, parts, parent);
	ann_team_wait(g->team);
	if (ann_team_leads(g->team))
		sort_shared(g, parts);
	ann_team_wait(g->team);
	build_shared(g, parts);
	finish_elements(g);
	ann_team_wait(g->team);
	if (ann_team_leads(g->team))
	{
		root = gather_parts(g, parts->count, parent);
		keep_elements(g, parts);
	}
	return root;
}

/* Grow all trees together; the leader gets the roots. */
static void
grow_team_trees(Grower *g, AnnNodeRef *roots)
{
	Parts	   *parts = ann_team_array(g->team, sizeof(Parts));
	AnnSplitTree *parent = ann_team_array(g->team, parent_size(g->info));

	if (ann_team_leads(g->team))
	{
		ann_arena_number(g->arena);
		parts->rows = g->arena->count;
	}
	for (g->number = 0; g->number < (int) g->info->meta.trees; g->number++)
	{
		uint32		root = grow_shared(g, parts, parent);

		ann_team_report_from(g->team, 0);
		if (ann_team_leads(g->team))
			roots[g->number] = ann_tree_end(g->tree, root);
	}
	g->elements = parts->rows;
}

/* ---- rows in the files of a team ---- */

/*
 * Every member has a file of rows.  The leader grows the parent tree of a tree on a
 * sample of all, each member sends its rows to files of the parts, its own ones, and
 * whoever takes a part reads those of all members.
 */

/* Files of the team: of a tree; of a member; and of a part. */
#define PARENT_FILE "parent.%d"
#define COUNTS_FILE "counts.%d.%d"
#define PART_FILE "part.%d.%d.%u"

/* Of a member: elements that the first tree wrote. */
#define WRITTEN_FILE "written.%d"

/* The rows of a member that a tree is to be grown on. */
static BufFile *
open_rows(const Grower *g, int member)
{
	return g->number == 0 ? ann_team_open_file(g->team, ANN_ROWS_FILE, member)
		: ann_team_open_file(g->team, WRITTEN_FILE, member);
}

/* The leader draws a sample of all rows, grows the parent on it, and writes that. */
static void
divide_files(Grower *g)
{
	AnnTeam    *team = g->team;
	uint64		room = Max(g->arena->max_rows / 3 * 2, 1);
	uint64		rows = 0;
	uint64		before = 0;		/* rows of this member and those before it */
	uint32		parts;
	uint32		sample;
	AnnSplitTree *tree;
	BufFile    *file;

	for (int i = 0; i < team->members; i++)
		rows += ann_team_told(team, i);
	parts = (uint32) Min(Max(rows / room + 2, parts_wanted(team)), MAX_PARTS);
	sample = (uint32) Min(Min((uint64) g->arena->max_rows / 2,
							  (uint64) parts * SAMPLE_PER_PART), rows);
	g->arena->count = 0;
	for (int i = 0; i < team->members; i++)
	{
		uint64		n = ann_team_told(team, i);

		if (n == 0)
			continue;
		file = open_rows(g, i);
		before += n;
		ann_arena_load_sample(g->arena, file, n,
							  (uint32) (sample * before / rows) - g->arena->count,
							  g->info->meta.seed + g->number + i);
		ann_team_close_file(g->team, file);
	}
	if (g->number == 0)
		ann_arena_augment(g->arena, 0, g->arena->count);
	ann_arena_number(g->arena);
	tree = grow_parent(g, g->arena->order, g->arena->count, parts);
	file = ann_team_create_file(team, PARENT_FILE, g->number);
	BufFileWrite(file, tree, ann_split_tree_size(tree->dim, tree->splits));
	ann_team_close_file(g->team, file);
	pfree(tree);
}

/* The parent tree that the leader has written. */
static AnnSplitTree *
read_parent(Grower *g)
{
	BufFile    *file = ann_team_open_file(g->team, PARENT_FILE, g->number);
	AnnSplitTree head;
	AnnSplitTree *tree;
	Size		size;

	BufFileReadExact(file, &head, sizeof(head));
	size = ann_split_tree_size(head.dim, head.splits);
	tree = palloc_extended(size, MCXT_ALLOC_HUGE);
	*tree = head;
	BufFileReadExact(file, (char *) tree + sizeof(head), size - sizeof(head));
	ann_team_close_file(g->team, file);
	return tree;
}

/* Send the rows of this member, whose file is closed, to its files of the parts. */
static void
route_files(Grower *g, Part *own, const AnnSplitTree *parent)
{
	Part	   *parts = palloc0(sizeof(Part) * parent->leaves);
	AnnTeam    *team = g->team;
	BufFile    *counts = ann_team_create_file(team, COUNTS_FILE, g->number, team->number);

	if (own->rows > 0)
		ann_file_rewind(own->file);
	for (uint64 i = 0; i < own->rows; i++)
	{
		uint32		leaf;

		load_single_row(g, own);
		leaf = ann_split_tree_route(parent, g->arena->rows, g->arena->scales[0]);
		if (parts[leaf].file == NULL)
			parts[leaf].file = ann_team_create_file(team, PART_FILE, g->number, team->number, leaf);
		ann_arena_save(g->arena, 0, parts[leaf].file);
		parts[leaf].rows++;
	}
	for (uint32 i = 0; i < parent->leaves; i++)
	{
		BufFileWrite(counts, &parts[i].rows, sizeof(parts[i].rows));
		if (parts[i].file != NULL)
			ann_team_close_file(g->team, parts[i].file);
	}
	ann_team_close_file(g->team, counts);
	if (own->file != NULL)
	{
		BufFileClose(own->file);
		if (g->number == 0)
			ann_team_delete_file(team, ANN_ROWS_FILE, team->number);
	}
	pfree(parts);
}

/* How many rows each member has in each part: those of part 0 first. */
static uint64 *
read_counts(Grower *g, uint32 parts)
{
	int			members = g->team->members;
	uint64	   *counts = palloc(sizeof(uint64) * parts * members);

	for (int i = 0; i < members; i++)
	{
		BufFile    *file = ann_team_open_file(g->team, COUNTS_FILE, g->number, i);

		for (uint32 part = 0; part < parts; part++)
			BufFileReadExact(file, &counts[part * members + i], sizeof(uint64));
		ann_team_close_file(g->team, file);
	}
	return counts;
}

/* Read the rows of a part, of all members: into the arena, or to a file if that is given. */
static void
read_part(Grower *g, uint32 part, const uint64 *counts, BufFile *to)
{
	g->arena->count = 0;
	for (int i = 0; i < g->team->members; i++)
	{
		BufFile    *file;

		if (counts[i] == 0)
			continue;
		file = ann_team_open_file(g->team, PART_FILE, g->number, i, part);
		for (uint64 row = 0; row < counts[i]; row++)
		{
			CHECK_FOR_INTERRUPTS();
			ann_arena_load(g->arena, file);
			if (to == NULL)
				continue;
			ann_arena_save(g->arena, 0, to);
			g->arena->count = 0;
		}
		ann_team_close_file(g->team, file);
		ann_team_delete_file(g->team, PART_FILE, g->number, i, part);
	}
}

/* Grow the subtree of a part, whose rows are as many as 'counts' says; returns its root. */
static uint32
build_part(Grower *g, uint32 part, const uint64 *counts)
{
	Part		all = {NULL, 0, false};

	for (int i = 0; i < g->team->members; i++)
		all.rows += counts[i];
	if (all.rows > g->arena->max_rows)
	{
		all.file = BufFileCreateTemp(false);
		read_part(g, part, counts, all.file);
		return grow_part(g, &all);
	}
	read_part(g, part, counts, NULL);
	return grow_rows(g, 0, choose_rows(g));
}

/* Build the parts that this member takes; the nodes go to files. */
static void
build_files(Grower *g, uint32 parts, const uint64 *counts)
{
	uint64		part;
	uint64		n;

	while (ann_team_take(g->team, parts, 1, &part, &n))
	{
		uint32		root = build_part(g, (uint32) part, counts + part * g->team->members);
		BufFile    *file = ann_team_create_file(g->team, NODES_FILE, g->number, (uint32) part);

		ann_tree_save(g->tree, root, file);
		ann_team_close_file(g->team, file);
	}
}

/* Grow a tree together; the leader returns its root. */
static uint32
grow_files(Grower *g, Part *own)
{
	AnnTeam    *team = g->team;
	AnnSplitTree *parent;
	uint64	   *counts;
	uint32		root = 0;

	ann_team_phase(team, ANN_PHASE_DIVIDE);
	ann_team_tell(team, own->rows);
	ann_team_wait(team);
	if (ann_team_leads(team))
		divide_files(g);
	ann_team_wait(team);
	parent = read_parent(g);
	route_files(g, own, parent);
	ann_team_wait(team);
	ann_team_phase(team, ANN_PHASE_BUILD);
	counts = read_counts(g, parent->leaves);
	build_files(g, parent->leaves, counts);
	finish_elements(g);
	ann_team_wait(team);
	if (ann_team_leads(team))
		root = gather_parts(g, parent->leaves, parent);
	pfree(counts);
	pfree(parent);
	return root;
}

/* Grow all trees together; the leader gets the roots. */
static void
grow_team_files(Grower *g, AnnRowSource *source, AnnNodeRef *roots)
{
	AnnTeam    *team = g->team;
	int			trees = (int) g->info->meta.trees;
	Part		own = {source->file, source->rows, true};

	for (g->number = 0; g->number < trees; g->number++)
	{
		uint32		root;

		ann_team_report_from(team, 0);
		if (g->number == 0 && trees > 1)
			g->written = ann_team_create_file(team, WRITTEN_FILE, team->number);
		root = grow_files(g, &own);
		if (ann_team_leads(team))
			roots[g->number] = ann_tree_end(g->tree, root);
		if (g->number == 0 && trees > 1)
			ann_team_close_file(team, g->written);
		g->written = NULL;
		own.file = NULL;
		if (g->number + 1 < trees)
			own.file = ann_team_open_file(team, WRITTEN_FILE, team->number);
		own.rows = g->elements;
		own.raw = false;
	}
	ann_team_tell(team, g->elements);
	ann_team_wait(team);
	g->elements = 0;
	for (int i = 0; i < team->members; i++)
		g->elements += ann_team_told(team, i);
}

/* ---- all trees ---- */

/* The first tree writes the elements; a file of rows is used up by it. */
static uint32
grow_first(Grower *g, AnnRowSource *source)
{
	Part		part = {source->file, source->rows, true};

	if (!source->in_files)
		return grow_rows(g, 0, choose_rows(g));
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
		return grow_rows(g, 0, distinct);
	part.file = (g->number + 1 == (int) g->info->meta.trees) ? g->written : copy_written(g);
	part.rows = g->elements;
	part.raw = false;
	return grow_part(g, &part);
}

static void
init_grower(Grower *g, AnnTeam *team, Relation index, const AnnIndex *info, AnnBulk *bulk,
			uint32 chunk, AnnArena *arena, uint32 leaf_capacity)
{
	memset(g, 0, sizeof(Grower));
	g->team = team;
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

/* Grow all trees alone. */
static void
grow_trees(Grower *g, AnnRowSource *source, AnnNodeRef *roots)
{
	for (g->number = 0; g->number < (int) g->info->meta.trees; g->number++)
	{
		uint32		root;

		ann_team_report_from(g->team, 0);
		root = g->number == 0 ? grow_first(g, source)
			: grow_further(g, (uint32) g->elements);
		finish_elements(g);
		roots[g->number] = ann_tree_end(g->tree, root);
	}
}

BlockNumber
ann_grow_chunk(Relation index, const AnnIndex *info, AnnBulk *bulk,
			   AnnTidWriter *tids, uint32 chunk, AnnRowSource *source,
			   uint32 leaf_capacity, uint64 *elements)
{
	Grower		g;
	AnnNodeRef *roots = palloc(sizeof(AnnNodeRef) * info->meta.trees);

	init_grower(&g, source->team, index, info, bulk, chunk, source->arena, leaf_capacity);
	g.tids = tids;
	if (ann_team_is_alone(g.team))
		grow_trees(&g, source, roots);
	else if (source->in_files)
		grow_team_files(&g, source, roots);
	else
		grow_team_trees(&g, roots);
	*elements = g.elements;
	MemoryContextDelete(g.leaf_context);
	return ann_team_leads(g.team)
		? ann_roots_write(bulk, chunk, roots, info->meta.trees) : InvalidBlockNumber;
}

/* Begin the tree of entries, which are rows that have been counted already. */
static void
init_entries(Grower *g, AnnTeam *team, Relation index, const AnnIndex *info, AnnBulk *bulk,
			 uint32 chunk, AnnArena *arena, uint32 leaf_capacity)
{
	AnnTeam    *within = ann_team_within(team);

	within->share = 0;
	init_grower(g, within, index, info, bulk, chunk, arena, leaf_capacity);
	g->number = 1;				/* the first one would write the elements */
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
ann_grow_entries(AnnTeam *team, Relation index, const AnnIndex *info, AnnBulk *bulk,
				 uint32 chunk, AnnArena *arena, const uint32 *rows, uint32 n,
				 uint32 leaf_capacity)
{
	Grower		g;

	init_entries(&g, team, index, info, bulk, chunk, arena, leaf_capacity);
	memcpy(arena->order, rows, sizeof(uint32) * (Size) n);
	return write_entries(&g, grow_rows(&g, 0, n));
}

BlockNumber
ann_grow_entry_file(AnnTeam *team, Relation index, const AnnIndex *info, AnnBulk *bulk,
					uint32 chunk, AnnArena *arena, BufFile *file, uint64 rows,
					uint32 leaf_capacity)
{
	Part		part = {file, rows, false};
	Grower		g;

	init_entries(&g, team, index, info, bulk, chunk, arena, leaf_capacity);
	return write_entries(&g, grow_part(&g, &part));
}
