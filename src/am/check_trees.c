/*
 * check_trees.c
 *	  ann_check: from the roots of a chunk down to its elements.
 *
 * A tree is walked depth first, and no lock is held: leaves are divided and
 * joined meanwhile, and a root may be replaced.  Whatever looks wrong is
 * therefore looked at with all that leads to it.  If a link on the way is not
 * what it was, the walk goes on from there; if all of them are, it is wrong.
 */
#include "postgres.h"

#include <math.h>

#include "algo/forest.h"
#include "am/check.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"

/* So many times a node or a leaf is looked at before it is wrong. */
#define TRIES 3

/* A tree that changes more often under the walk is not followed to its end. */
#define MAX_RETURNS 10000

/* A node on the way from the root. */
typedef struct Step
{
	AnnNodeRef	ref;
	int			side;			/* to go to next; -1: not examined yet; 2: done */
	int			tries;
	AnnNodeRef	child[2];		/* as they were when it was examined */
} Step;

typedef struct TreeWalk
{
	AnnCheck   *check;
	uint32		chunk;
	int			tree;

	/* Where the root is */
	BlockNumber root_block;
	int			root_offset;

	/* The way so far: path[0 .. depth] */
	int			depth;
	Step		path[ANN_TREE_MAX_DEPTH + 1];

	/* What has been seen */
	AnnPlaceSet *places;		/* nodes; first pages of leaves, as (block, 0) */
	AnnPlaceSet *elements;		/* that a code leads to; NULL if not needed */
	int			again;			/* from this depth on nodes may be seen again */
	int			returns;
	uint64		steps;
	bool		whole;			/* nothing was wrong or left out */
} TreeWalk;


/* ---- Leaves ------------------------------------------------------------- */

/* A leaf that is looked at. */
typedef struct LeafWalk
{
	TreeWalk   *walk;
	BlockNumber first;
	uint32		generation;
	BlockNumber block;			/* the page at hand */
	uint32		page_number;	/* in the leaf, from 0 */
	uint32		blocks;			/* that began on the pages before it */
	BlockNumber last;			/* what the first page says */
	BlockNumber begin[2];		/* where the last block begins, and the one before */
} LeafWalk;

static const AnnLeafHeader *
leaf_header(Page page)
{
	return (const AnnLeafHeader *) ANN_PAGE_BODY(page);
}

/* Elements in use on a page that may have come to have more since it was seen. */
static int
count_slots_again(AnnCheck *check, BlockNumber block, uint32 chunk)
{
	PGAlignedBlock copy;

	if (ann_check_linked(check, block, ANN_PAGE_ELEMENT, chunk, &copy) != NULL)
		return 0;
	return ann_check_slots(check, (Page) copy.data);
}

/* Is an element, which was free, still so? */
static bool
is_still_free(AnnCheck *check, BlockNumber block, int slot, uint32 chunk)
{
	PGAlignedBlock copy;

	return ann_check_linked(check, block, ANN_PAGE_ELEMENT, chunk, &copy) == NULL &&
		slot < ann_check_slots(check, (Page) copy.data) &&
		(ann_check_slot(check, (Page) copy.data, slot)->state & ANN_ELEMENT_FREE) != 0;
}

/*
 * What a row of a leaf leads to.  Dead elements are in order, as their codes
 * wait for VACUUM; one that is free is not, as another vector may take its
 * place.
 */
static void
check_row_element(const LeafWalk *leaf, int offset, AnnElementRef ref)
{
	TreeWalk   *walk = leaf->walk;
	AnnCheck   *check = walk->check;
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(&ref);
	OffsetNumber number = ItemPointerGetOffsetNumberNoCheck(&ref);
	bool		known = number != InvalidOffsetNumber && block < check->blocks &&
		number <= check->slots[block] && check->chunk_of[block] == walk->chunk;

	if (!known && (number == InvalidOffsetNumber ||
				   number > count_slots_again(check, block, walk->chunk)))
	{
		ann_check_report(check, leaf->block, offset, "leaf_element",
						 "a row of the leaf leads to (%u,%u), which is no element",
						 block, number);
		return;
	}
	if (ann_place_set_has(check->freed, block, number) &&
		is_still_free(check, block, number - 1, walk->chunk))
	{
		ann_check_report(check, leaf->block, offset, "leaf_freed",
						 "a row of the leaf leads to (%u,%u), which is a free element",
						 block, number);
		return;
	}
	if (walk->elements != NULL)
		ann_place_set_add(walk->elements, block, number);
}

/* The rows of a block, number n of the page; all that is used is on the page. */
static void
check_block(const LeafWalk *leaf, Page page, int n)
{
	AnnCheck   *check = leaf->walk->check;
	const AnnLeafBlock *block = (const AnnLeafBlock *)
		(ANN_PAGE_BODY(page) + sizeof(AnnLeafHeader) + (Size) n * check->info->block_size);

	for (uint32 live = block->live; live != 0; live &= live - 1)
	{
		int			row = pg_rightmost_one_pos32(live);
		int			offset = n * ANN_BLOCK_ROWS + row;

		if (isnan(block->a[row]) || !(block->f[row] <= 0) || !(block->e[row] >= 0))
			ann_check_report(check, leaf->block, offset, "leaf_factors",
							 "the factors of a code are %g, %g and %g",
							 block->a[row], block->f[row], block->e[row]);
		check_row_element(leaf, offset, block->element[row]);
	}
}

/* The number of blocks of a page; false if the leaf cannot be followed. */
static bool
check_page_blocks(const LeafWalk *leaf, Page page)
{
	AnnCheck   *check = leaf->walk->check;
	const AnnIndex *info = check->info;
	uint32		blocks = leaf_header(page)->blocks;
	bool		is_last = ANN_PAGE_TAIL(page)->next == InvalidBlockNumber;
	bool		right;
	Size		bytes;

	if (info->pages_per_block > 1)
	{
		int			part = leaf->page_number % info->pages_per_block;

		right = blocks == (part == 0 ? 1 : 0);
		bytes = Min(ANN_LEAF_ROOM, info->block_size - part * ANN_LEAF_ROOM);
	}
	else
	{
		right = blocks >= 1 && blocks <= (uint32) info->blocks_per_page &&
			(is_last || blocks == (uint32) info->blocks_per_page);
		bytes = (Size) blocks * info->block_size;
	}
	if (right && ann_page_used(page) >= sizeof(AnnLeafHeader) + bytes)
		return true;
	ann_check_report(check, leaf->block, -1, "leaf_blocks",
					 "page %u of leaf %u has %u blocks in %zu bytes",
					 leaf->page_number, leaf->first, blocks, ann_page_used(page));
	return false;
}

/* The place of a page in its leaf; false if the leaf cannot be followed. */
static bool
check_leaf_page(const LeafWalk *leaf, Page page)
{
	AnnCheck   *check = leaf->walk->check;
	const AnnLeafHeader *header = leaf_header(page);
	int			pages_per_block = check->info->pages_per_block;
	uint32		before = leaf->blocks * ANN_BLOCK_ROWS;

	if (pages_per_block > 1)
		before = leaf->page_number / pages_per_block * ANN_BLOCK_ROWS;
	if (header->first != leaf->first || header->generation != leaf->generation)
	{
		ann_check_report(check, leaf->block, -1, "leaf_chain",
						 "the page belongs to leaf %u, generation %u, not to leaf %u, generation %u, that leads to it",
						 header->first, header->generation, leaf->first, leaf->generation);
		return false;
	}
	if (!check_page_blocks(leaf, page))
		return false;
	if (header->before != before)
	{
		ann_check_report(check, leaf->block, -1, "leaf_before",
						 "page %u of leaf %u says that %u rows are before it, not %u",
						 leaf->page_number, leaf->first, header->before, before);
		return false;
	}
	return true;
}

/* Go on to the next page of a leaf. */
static void
next_leaf_page(LeafWalk *leaf, Page page)
{
	uint32		blocks = leaf_header(page)->blocks;

	if (leaf->page_number == 0)
		leaf->last = leaf_header(page)->last;
	if (blocks > 0)
	{
		leaf->begin[1] = leaf->begin[0];
		leaf->begin[0] = leaf->block;
	}
	leaf->blocks += blocks;
	leaf->page_number++;
	leaf->block = ANN_PAGE_TAIL(page)->next;
}

/*
 * The whole chain was there: does it end as it should?  A block of several
 * pages is linked first, and then said to be the last; a crash may come between.
 */
static void
check_leaf_end(const LeafWalk *leaf)
{
	AnnCheck   *check = leaf->walk->check;
	int			pages_per_block = check->info->pages_per_block;

	if (leaf->page_number % pages_per_block != 0)
		ann_check_report(check, leaf->first, -1, "leaf_chain",
						 "leaf %u ends within a block, after %u pages",
						 leaf->first, leaf->page_number);
	else if (leaf->last != leaf->begin[0] &&
			 (pages_per_block == 1 || leaf->last != leaf->begin[1]))
		ann_check_report(check, leaf->first, -1, "leaf_last",
						 "leaf %u says that its last block begins in block %u, not %u",
						 leaf->first, leaf->last, leaf->begin[0]);
}

/*
 * Note a place on the way.  False if it was there already, and should not have
 * been: after a change the way leads over some places again.
 */
static bool
note_place(TreeWalk *walk, BlockNumber block, uint16 number)
{
	return ann_place_set_add(walk->places, block, number) ||
		walk->path[walk->depth].tries > 0 || walk->depth >= walk->again;
}

/*
 * All pages of a leaf.  Each has to say how many rows are before it, so that a
 * chain that leads back to itself is found out.
 */
static void
check_leaf(TreeWalk *walk, const AnnNode *node)
{
	AnnCheck   *check = walk->check;
	LeafWalk	leaf = {
		.walk = walk,
		.first = node->u.leaf.first,
		.generation = node->u.leaf.generation,
		.block = node->u.leaf.first,
		.begin = {InvalidBlockNumber, InvalidBlockNumber}
	};
	PGAlignedBlock copy;
	Page		page = (Page) copy.data;

	do
	{
		const char *what = ann_check_linked(check, leaf.block, ANN_PAGE_LEAF, walk->chunk, &copy);

		CHECK_FOR_INTERRUPTS();
		if (what != NULL)
		{
			ann_check_report(check, leaf.block, -1, "leaf_chain",
							 "page %u of leaf %u is %s", leaf.page_number, leaf.first, what);
			return;
		}
		if (leaf.page_number == 0 && ANN_PAGE_TAIL(page)->generation != leaf.generation)
		{
			ann_check_report(check, leaf.block, -1, "leaf_chain",
							 "the first page of leaf %u has generation %u, not %u",
							 leaf.first, ANN_PAGE_TAIL(page)->generation, leaf.generation);
			return;
		}
		if (!check_leaf_page(&leaf, page))
			return;
		if (leaf.page_number == 0 && !note_place(walk, leaf.first, 0))
		{
			ann_check_report(check, leaf.first, -1, "leaf_twice",
							 "two nodes lead to leaf %u", leaf.first);
			return;
		}
		for (uint32 i = 0; i < leaf_header(page)->blocks; i++)
			check_block(&leaf, page, (int) i);
		next_leaf_page(&leaf, page);
	} while (leaf.block != InvalidBlockNumber);
	check_leaf_end(&leaf);
}


/* ---- Nodes -------------------------------------------------------------- */

/*
 * Copy the page of a node.  NULL, and the node in the copy; or what is there
 * instead.
 */
static const char *
read_node(TreeWalk *walk, AnnNodeRef ref, PGAlignedBlock *copy, const AnnNode **node)
{
	const AnnIndex *info = walk->check->info;
	const char *what = ann_check_linked(walk->check, ref.block, ANN_PAGE_NODE, walk->chunk,
										copy);

	*node = NULL;
	if (what != NULL)
		return what;
	if ((uint16) ANN_PAGE_TAIL(copy->data)->generation != ref.generation)
		return "on a page of another generation";
	if (ref.slot >= info->nodes_per_page)
		return "behind the end of its page";
	*node = (const AnnNode *) (ANN_PAGE_BODY(copy->data) + (Size) ref.slot * info->node_size);
	if ((*node)->kind == ANN_NODE_NONE)
		return "a free slot";
	return NULL;
}

static bool
same_node(AnnNodeRef a, AnnNodeRef b)
{
	return a.block == b.block && a.slot == b.slot && a.generation == b.generation;
}

/* Report about the link to the last node of the path. */
static void
report_link(TreeWalk *walk, const char *what)
{
	AnnNodeRef	ref = walk->path[walk->depth].ref;

	if (walk->depth == 0)
		ann_check_report(walk->check, walk->root_block, walk->root_offset, "node_link",
						 "the root of tree %d of chunk %u is (%u,%u), which is %s",
						 walk->tree, walk->chunk, ref.block, ref.slot, what);
	else
	{
		AnnNodeRef	parent = walk->path[walk->depth - 1].ref;

		ann_check_report(walk->check, parent.block, parent.slot, "node_link",
						 "a split of tree %d of chunk %u leads to (%u,%u), which is %s",
						 walk->tree, walk->chunk, ref.block, ref.slot, what);
	}
}

/* A node that is there: its values, and what it leads to. */
static void
check_node(TreeWalk *walk, Step *step, const AnnNode *node)
{
	AnnCheck   *check = walk->check;
	float		value = node->kind == ANN_NODE_SPLIT ? node->u.split.offset :
		node->u.leaf.norm2 + node->u.leaf.augmented;

	if (node->kind != ANN_NODE_SPLIT && node->kind != ANN_NODE_LEAF)
	{
		ann_check_report(check, step->ref.block, step->ref.slot, "node",
						 "the node is of kind %u, which is none", node->kind);
		return;
	}
	if (isnan(node->scale) || isnan(value))
		ann_check_report(check, step->ref.block, step->ref.slot, "node",
						 "the node has values that are no numbers");
	if (node->kind == ANN_NODE_LEAF)
		check_leaf(walk, node);
	else if (walk->depth == ANN_TREE_MAX_DEPTH)
		ann_check_report(check, step->ref.block, step->ref.slot, "node_depth",
						 "a path of more than %d splits leads to the node",
						 ANN_TREE_MAX_DEPTH);
	else
	{
		step->child[0] = node->u.split.child[0];
		step->child[1] = node->u.split.child[1];
		step->side = 0;
	}
}

/* Look at the last node of the path, and report what is wrong. */
static void
look_at_node(TreeWalk *walk, Step *step)
{
	PGAlignedBlock copy;
	const AnnNode *node;
	const char *what = read_node(walk, step->ref, &copy, &node);

	step->side = 2;
	if (what != NULL)
		report_link(walk, what);
	else if (!note_place(walk, step->ref.block, (uint16) (step->ref.slot + 1)))
		ann_check_report(walk->check, step->ref.block, step->ref.slot, "node_twice",
						 "two ways lead to the node, or it leads to itself");
	else
		check_node(walk, step, node);
}

/* Go on from a node of the path, which is to be examined anew. */
static void
return_to(TreeWalk *walk, int depth)
{
	walk->depth = depth;
	walk->again = Min(walk->again, depth);
	walk->path[depth].side = -1;
	walk->path[depth].tries = 0;
}

/* Read where the root of the tree is now.  False if it has none. */
static bool
read_root(TreeWalk *walk, AnnNodeRef *root)
{
	AnnCheck   *check = walk->check;
	int			per_page = ANN_BODY_SIZE / sizeof(AnnNodeRef);
	int			entry = walk->tree;
	PGAlignedBlock copy;
	AnnChunk	chunk;

	if (!ann_check_read_chunk(check, walk->chunk, &chunk) ||
		chunk.roots == InvalidBlockNumber)
		return false;
	for (walk->root_block = chunk.roots;; walk->root_block = ANN_PAGE_TAIL(copy.data)->next)
	{
		if (ann_check_linked(check, walk->root_block, ANN_PAGE_ROOTS, walk->chunk, &copy) != NULL)
			return false;
		if (entry < per_page)
			break;
		entry -= per_page;
	}
	walk->root_offset = entry;
	if (ann_page_used((Page) copy.data) < (entry + 1) * sizeof(AnnNodeRef))
		return false;
	*root = ((const AnnNodeRef *) ANN_PAGE_BODY(copy.data))[entry];
	return true;
}

/*
 * If a link of the path is not any more what it was, go on from there.  False
 * if all of them are.
 */
static bool
return_to_change(TreeWalk *walk)
{
	AnnNodeRef	root;

	if (!read_root(walk, &root))
	{
		walk->depth = -1;
		walk->whole = false;
		return true;
	}
	if (!same_node(root, walk->path[0].ref))
	{
		walk->path[0].ref = root;
		return_to(walk, 0);
		return true;
	}
	for (int i = 1; i <= walk->depth; i++)
	{
		const Step *parent = &walk->path[i - 1];
		PGAlignedBlock copy;
		const AnnNode *node;

		if (read_node(walk, parent->ref, &copy, &node) != NULL ||
			node->kind != ANN_NODE_SPLIT ||
			!same_node(node->u.split.child[parent->side - 1], walk->path[i].ref))
		{
			return_to(walk, i - 1);
			return true;
		}
	}
	return false;
}

/* Examine the last node of the path. */
static void
examine_node(TreeWalk *walk)
{
	AnnCheck   *check = walk->check;
	Step	   *step = &walk->path[walk->depth];
	int			count = check->count;

	look_at_node(walk, step);
	if (check->count == count)
		return;
	if (++step->tries < TRIES)
	{
		ann_check_truncate(check, count);
		if (!return_to_change(walk))
			step->side = -1;
		else if (++walk->returns > MAX_RETURNS)
		{
			walk->depth = -1;
			walk->whole = false;
		}
		return;
	}
	walk->whole = false;
}

/* Go down to a child of the last node of the path. */
static void
push_node(TreeWalk *walk, AnnNodeRef ref)
{
	Step	   *step = &walk->path[++walk->depth];

	step->ref = ref;
	step->side = -1;
	step->tries = 0;
}

/* Walk over a tree, from its root. */
static void
walk_tree(TreeWalk *walk, AnnNodeRef root)
{
	uint64		limit = 8 * ((uint64) walk->check->blocks + 1000) *
		walk->check->info->nodes_per_page;

	walk->depth = -1;
	walk->again = INT_MAX;
	push_node(walk, root);
	while (walk->depth >= 0)
	{
		Step	   *step = &walk->path[walk->depth];

		CHECK_FOR_INTERRUPTS();
		if (++walk->steps > limit)
		{
			/* a circle that another walk is to find, where nothing has changed */
			walk->whole = false;
			return;
		}
		if (step->side < 0)
			examine_node(walk);
		else if (step->side < 2)
			push_node(walk, step->child[step->side++]);
		else if (--walk->depth < walk->again)
			walk->again = INT_MAX;
	}
}


/* ---- Trees -------------------------------------------------------------- */

/*
 * Elements with a visible row that no code of the tree leads to, nor links from
 * these.  Others may be on their way into the tree, or have been given up on it.
 */
static void
check_unreferenced(TreeWalk *walk)
{
	AnnCheck   *check = walk->check;

	for (BlockNumber block = 0; block < check->blocks; block++)
	{
		PGAlignedBlock copy;
		bool		is_read = false;

		CHECK_FOR_INTERRUPTS();
		if (check->chunk_of[block] != walk->chunk)
			continue;
		for (int slot = 0; slot < check->slots[block]; slot++)
		{
			if (ann_place_set_has(walk->elements, block, (uint16) (slot + 1)) ||
				!ann_place_set_has(check->living, block, (uint16) (slot + 1)))
				continue;
			if (!is_read && ann_check_linked(check, block, ANN_PAGE_ELEMENT, walk->chunk,
											 &copy) != NULL)
				break;
			is_read = true;
			if (ann_check_element_visible(check, block, (Page) copy.data, slot))
				ann_check_report(check, block, slot + 1, "element_unreferenced",
								 "the element has a visible row, but nothing in tree %d leads to it",
								 walk->tree);
		}
	}
}

/* Is a VACUUM between taking links to dead nodes away and mending what that cut off? */
static bool
may_be_mending(AnnCheck *check, uint32 number)
{
	AnnChunk	chunk;

	return ann_is_graph(check->info) &&
		ann_check_read_chunk(check, number, &chunk) && chunk.dead > 0;
}

/* One tree of a chunk; 'places' are those of all its trees. */
static void
check_tree(AnnCheck *check, uint32 chunk, int tree, AnnPlaceSet *places)
{
	TreeWalk   *walk = palloc0(sizeof(TreeWalk));
	AnnNodeRef	root;

	walk->check = check;
	walk->chunk = chunk;
	walk->tree = tree;
	walk->whole = true;
	walk->places = places;
	if (read_root(walk, &root))
	{
		if (check->rows != NULL)
			walk->elements = ann_place_set_make();
		walk_tree(walk, root);
		if (walk->whole && walk->elements != NULL)
		{
			if (ann_is_graph(check->info))
				ann_check_reach(check, chunk, walk->elements);
			if (!may_be_mending(check, chunk))
				check_unreferenced(walk);
		}
		if (walk->elements != NULL)
			ann_place_set_free(walk->elements);
	}
	pfree(walk);
}

/* The pages of roots of a chunk; their number to *state. */
typedef struct RootsWalk
{
	uint32		chunk;
	uint32		count;
} RootsWalk;

static void
check_roots(AnnCheck *check, void *state)
{
	RootsWalk  *walk = state;
	uint32		per_page = ANN_BODY_SIZE / sizeof(AnnNodeRef);
	BlockNumber block;
	AnnChunk	chunk;

	walk->count = 0;
	if (!ann_check_read_chunk(check, walk->chunk, &chunk) ||
		chunk.roots == InvalidBlockNumber)
		return;
	for (block = chunk.roots; block != InvalidBlockNumber;)
	{
		PGAlignedBlock copy;
		const char *what = ann_check_linked(check, block, ANN_PAGE_ROOTS, walk->chunk, &copy);
		Size		used;

		CHECK_FOR_INTERRUPTS();
		if (what != NULL)
		{
			ann_check_report(check, block, -1, "roots",
							 "block %u of the roots of chunk %u is %s", block, walk->chunk, what);
			return;
		}
		used = ann_page_used((Page) copy.data);
		walk->count += used / sizeof(AnnNodeRef);
		block = ANN_PAGE_TAIL(copy.data)->next;
		if (used % sizeof(AnnNodeRef) != 0 || used == 0 || walk->count > ANN_MAX_ROOTS ||
			(block != InvalidBlockNumber && used != per_page * sizeof(AnnNodeRef)))
			break;
	}
	if (walk->count != check->meta.trees)
		ann_check_report(check, chunk.roots, -1, "roots",
						 "chunk %u has %u roots, not %u as the metapage says",
						 walk->chunk, walk->count, check->meta.trees);
}

void
ann_check_trees(AnnCheck *check)
{
	if (check->meta.dim == 0)
		return;
	for (uint32 chunk = 0; chunk < check->num_chunks; chunk++)
	{
		RootsWalk	walk = {chunk, 0};
		AnnPlaceSet *places;

		if (!ann_check_confirm(check, check_roots, &walk))
			continue;
		places = ann_place_set_make();
		for (uint32 tree = 0; tree < walk.count; tree++)
			check_tree(check, chunk, (int) tree, places);
		ann_place_set_free(places);
	}
}
