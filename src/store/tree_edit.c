/*
 * tree_edit.c
 *	  Trees that change: leaves divided and joined, in single edits.
 *
 * What a scan has read of a tree stays good or turns out stale: a node's slot
 * is changed in place, a slot that is freed is empty before it is used again,
 * and leaves are known by their generation.
 */
#include "postgres.h"

#include "algo/forest.h"
#include "storage/lmgr.h"
#include "store/tree_edit.h"
#include "store/tree_pages.h"

bool
ann_leaf_try_claim(Relation index, AnnLeafId leaf)
{
	return ConditionalLockPage(index, leaf.first, ExclusiveLock);
}

void
ann_leaf_claim(Relation index, AnnLeafId leaf)
{
	LockPage(index, leaf.first, ExclusiveLock);
}

void
ann_leaf_unclaim(Relation index, AnnLeafId leaf)
{
	UnlockPage(index, leaf.first, ExclusiveLock);
}

/* ---- nodes ---- */

static bool
is_entry_of(const AnnNode *node, AnnLeafId leaf)
{
	return node->kind == ANN_NODE_LEAF && node->u.leaf.first == leaf.first &&
		node->u.leaf.generation == leaf.generation;
}

/*
 * Lock the page of a node that the caller has read before.  False if the page
 * has been freed since.
 */
static bool
lock_node(Relation index, const AnnIndex *info, AnnNodeRef ref, Buffer *buffer)
{
	if (ref.slot >= info->nodes_per_page ||
		!ann_page_try_read(index, ref.block, ANN_PAGE_NODE, BUFFER_LOCK_EXCLUSIVE, buffer))
		return false;
	if ((uint16) ANN_PAGE_TAIL(BufferGetPage(*buffer))->generation == ref.generation)
		return true;
	UnlockReleaseBuffer(*buffer);
	return false;
}

/* Pages of nodes that belong to an edit. */
typedef struct NodePages
{
	AnnEdit    *edit;
	int			count;
	Page		page[MAX_GENERIC_XLOG_PAGES];
	BlockNumber block[MAX_GENERIC_XLOG_PAGES];
} NodePages;

static Page
add_node_page(NodePages *pages, Buffer buffer)
{
	pages->block[pages->count] = BufferGetBlockNumber(buffer);
	pages->page[pages->count] = ann_edit_add(pages->edit, buffer);
	return pages->page[pages->count++];
}

/* The page of a ref in the edit, to which it is added unless it is there. */
static Page
get_node_page(NodePages *pages, BlockNumber block)
{
	for (int i = 0; i < pages->count; i++)
	{
		if (pages->block[i] == block)
			return pages->page[i];
	}
	return add_node_page(pages, ann_page_read(pages->edit->index, block, ANN_PAGE_NODE,
											  BUFFER_LOCK_EXCLUSIVE));
}

/* Put a node into a free slot of the pages in the edit, if there is one. */
static bool
put_into_pages(const AnnIndex *info, NodePages *pages, const AnnNode *node,
			   AnnNodeRef *ref)
{
	for (int i = 0; i < pages->count; i++)
	{
		for (int slot = 0; slot < info->nodes_per_page; slot++)
		{
			if (ann_node_slot(info, pages->page[i], slot)->kind != ANN_NODE_NONE)
				continue;
			memcpy(ann_node_slot(info, pages->page[i], slot), node, info->node_size);
			ref->block = pages->block[i];
			ref->slot = (uint16) slot;
			ref->generation = (uint16) ANN_PAGE_TAIL(pages->page[i])->generation;
			return true;
		}
	}
	return false;
}

/*
 * Put a node somewhere: near its parent if that has room, else on the page that
 * the hint says, else on a new one, which is the next hint.
 */
static AnnNodeRef
place_node(const AnnIndex *info, NodePages *pages, uint32 chunk,
		   const AnnNode *node, BlockNumber *hint, bool *is_new)
{
	AnnNodeRef	ref;
	Buffer		buffer;

	if (put_into_pages(info, pages, node, &ref))
		return ref;
	if (*hint != InvalidBlockNumber && *hint != pages->block[0] &&
		ann_page_try_lock(pages->edit->index, *hint, ANN_PAGE_NODE, &buffer))
	{
		if (ANN_PAGE_TAIL(BufferGetPage(buffer))->chunk == chunk)
			add_node_page(pages, buffer);
		else
			UnlockReleaseBuffer(buffer);
		*hint = InvalidBlockNumber;
		if (put_into_pages(info, pages, node, &ref))
			return ref;
	}
	pages->page[pages->count] = ann_edit_new(pages->edit, ANN_PAGE_NODE, chunk,
											 &pages->block[pages->count]);
	pages->count++;
	*hint = pages->block[pages->count - 1];
	*is_new = true;
	put_into_pages(info, pages, node, &ref);
	return ref;
}

/* Add the first page of a leaf that goes to the edit; what follows it is returned. */
static BlockNumber
free_first(AnnEdit *edit, Buffer first)
{
	Page		page = ann_edit_add(edit, first);
	BlockNumber next = ANN_PAGE_TAIL(page)->next;

	ann_edit_free(page);
	return next;
}

/* The edit has been committed: tell the map, and free what is left of a leaf. */
static void
free_others(Relation index, AnnLeafId old, BlockNumber next)
{
	ann_room_record(index, old.first, ANN_PAGE_FREE, 0);
	ann_leaf_free(index, old, next);
}

/* ---- one leaf ---- */

/*
 * Lock the page of the entry of a leaf; false if it is not there, and then the
 * leaf's first page is unlocked.
 */
static bool
lock_entry(Relation index, const AnnIndex *info, AnnNodeRef ref, AnnLeafId old,
		   Buffer old_first, Buffer *buffer)
{
	if (lock_node(index, info, ref, buffer))
	{
		if (is_entry_of(ann_node_slot(info, BufferGetPage(*buffer), ref.slot), old))
			return true;
		UnlockReleaseBuffer(*buffer);
	}
	UnlockReleaseBuffer(old_first);
	return false;
}

bool
ann_tree_split_leaf(Relation index, const AnnIndex *info, uint32 chunk,
					AnnNodeRef ref, AnnLeafId old, Buffer old_first,
					AnnNode *split, AnnNode *const child[2], BlockNumber hint)
{
	AnnEdit		edit;
	NodePages	pages;
	BlockNumber next;
	Buffer		buffer;
	Page		page;
	bool		is_new = false;

	if (!lock_entry(index, info, ref, old, old_first, &buffer))
		return false;
	ann_edit_begin(&edit, index);
	next = free_first(&edit, old_first);
	pages.edit = &edit;
	pages.count = 0;
	page = add_node_page(&pages, buffer);

	/* where a page has one node, either child takes one, and no hint is of use */
	if (info->nodes_per_page == 1)
		hint = InvalidBlockNumber;
	for (int side = 0; side < 2; side++)
		split->u.split.child[side] = place_node(info, &pages, chunk, child[side],
												&hint, &is_new);
	memcpy(ann_node_slot(info, page, ref.slot), split, info->node_size);
	ann_edit_commit(&edit);
	if (is_new)
		ann_chunk_set_node_page(index, info, chunk, hint);
	free_others(index, old, next);
	return true;
}

bool
ann_tree_replace_leaf(Relation index, const AnnIndex *info, AnnNodeRef ref,
					  AnnLeafId old, Buffer old_first, const AnnNode *node)
{
	AnnEdit		edit;
	BlockNumber next;
	Buffer		buffer;

	if (!lock_entry(index, info, ref, old, old_first, &buffer))
		return false;
	ann_edit_begin(&edit, index);
	next = free_first(&edit, old_first);
	memcpy(ann_node_slot(info, ann_edit_add(&edit, buffer), ref.slot), node, info->node_size);
	ann_edit_commit(&edit);
	free_others(index, old, next);
	return true;
}

/* ---- two children ---- */

/* Is this a split with these children? */
static bool
is_split_of(const AnnNode *node, const AnnNodeRef child[2])
{
	return node->kind == ANN_NODE_SPLIT &&
		memcmp(node->u.split.child, child, 2 * sizeof(AnnNodeRef)) == 0;
}

/* Lock the page of a split; false if it is not there with these children. */
static bool
lock_split(Relation index, const AnnIndex *info, AnnNodeRef parent,
		   const AnnNodeRef child[2], Buffer *buffer)
{
	if (!lock_node(index, info, parent, buffer))
		return false;
	if (is_split_of(ann_node_slot(info, BufferGetPage(*buffer), parent.slot), child))
		return true;
	UnlockReleaseBuffer(*buffer);
	return false;
}

static int
compare_blocks(const void *a, const void *b)
{
	BlockNumber x = ((const AnnNodeRef *) a)->block;
	BlockNumber y = ((const AnnNodeRef *) b)->block;

	return (x > y) - (x < y);
}

/* Empty slots of one page. */
static void
drop_on_page(Relation index, const AnnIndex *info, const AnnNodeRef *refs, uint32 n)
{
	AnnEdit		edit;
	Buffer		buffer;
	Page		page;
	bool		empty = true;

	if (!lock_node(index, info, refs[0], &buffer))
		return;
	ann_edit_begin(&edit, index);
	page = ann_edit_add(&edit, buffer);
	for (uint32 i = 0; i < n; i++)
		memset(ann_node_slot(info, page, refs[i].slot), 0, info->node_size);
	for (int slot = 0; slot < info->nodes_per_page; slot++)
		empty &= ann_node_slot(info, page, slot)->kind == ANN_NODE_NONE;
	if (empty)
		ann_edit_free(page);
	ann_edit_commit(&edit);
	if (empty)
		ann_room_record(index, refs[0].block, ANN_PAGE_FREE, 0);
}

void
ann_tree_drop_nodes(Relation index, const AnnIndex *info, AnnNodeRef *refs, uint32 n)
{
	uint32		first = 0;

	qsort(refs, n, sizeof(AnnNodeRef), compare_blocks);
	for (uint32 i = 1; i <= n; i++)
	{
		if (i < n && refs[i].block == refs[first].block)
			continue;
		drop_on_page(index, info, refs + first, i - first);
		first = i;
	}
}

bool
ann_tree_join_leaves(Relation index, const AnnIndex *info, AnnNodeRef parent,
					 const AnnNodeRef child[2], const AnnLeafId old[2],
					 const Buffer old_first[2], const AnnNode *node)
{
	AnnEdit		edit;
	BlockNumber next[2];
	Buffer		buffer;

	if (!lock_split(index, info, parent, child, &buffer))
	{
		UnlockReleaseBuffer(old_first[0]);
		UnlockReleaseBuffer(old_first[1]);
		return false;
	}
	ann_edit_begin(&edit, index);
	for (int i = 0; i < 2; i++)
		next[i] = free_first(&edit, old_first[i]);
	memcpy(ann_node_slot(info, ann_edit_add(&edit, buffer), parent.slot), node, info->node_size);
	ann_edit_commit(&edit);
	for (int i = 0; i < 2; i++)
	{
		free_others(index, old[i], next[i]);
		drop_on_page(index, info, &child[i], 1);
	}
	return true;
}

bool
ann_tree_drop_leaf(Relation index, const AnnIndex *info, AnnNodeRef parent,
				   const AnnNodeRef child[2], int other, AnnLeafId empty,
				   Buffer empty_first)
{
	AnnEdit		edit;
	NodePages	pages;
	BlockNumber next;
	AnnNode    *node;
	AnnNode    *upper;
	Buffer		buffer;

	if (!lock_split(index, info, parent, child, &buffer))
	{
		UnlockReleaseBuffer(empty_first);
		return false;
	}
	ann_edit_begin(&edit, index);
	pages.edit = &edit;
	pages.count = 0;
	next = free_first(&edit, empty_first);
	upper = ann_node_slot(info, add_node_page(&pages, buffer), parent.slot);
	node = ann_node_slot(info, get_node_page(&pages, child[other].block), child[other].slot);
	memcpy(upper, node, info->node_size);

	/* in the same edit, or a scan would find what is below it twice */
	memset(node, 0, info->node_size);
	ann_edit_commit(&edit);
	free_others(index, empty, next);
	drop_on_page(index, info, &child[1 - other], 1);
	drop_on_page(index, info, &child[other], 1);
	return true;
}

/* ---- counters ---- */

void
ann_tree_set_rows(Relation index, const AnnIndex *info, AnnNodeRef ref,
				  AnnLeafId leaf, uint32 rows)
{
	AnnEdit		edit;
	Buffer		buffer;

	if (!lock_node(index, info, ref, &buffer))
		return;
	if (!is_entry_of(ann_node_slot(info, BufferGetPage(buffer), ref.slot), leaf))
	{
		UnlockReleaseBuffer(buffer);
		return;
	}
	ann_edit_begin(&edit, index);
	ann_node_slot(info, ann_edit_add(&edit, buffer), ref.slot)->u.leaf.rows = rows;
	ann_edit_commit(&edit);
}

/*
 * Lock the entry of a chunk for an edit; NULL if it has other dimensions by now,
 * and then nothing is locked.
 */
static AnnChunk *
edit_chunk(AnnEdit *edit, Relation index, const AnnIndex *info, uint32 chunk)
{
	Size		at;
	Buffer		buffer = ann_chunk_lock(index, chunk, BUFFER_LOCK_EXCLUSIVE, &at);

	if (!ann_is_epoch((AnnChunk *) ((char *) BufferGetPage(buffer) + at), info))
	{
		UnlockReleaseBuffer(buffer);
		return NULL;
	}
	ann_edit_begin(edit, index);
	return (AnnChunk *) ((char *) ann_edit_add(edit, buffer) + at);
}

void
ann_chunk_add_rows(Relation index, const AnnIndex *info, uint32 chunk, uint32 rows)
{
	AnnEdit		edit;
	AnnChunk   *entry = edit_chunk(&edit, index, info, chunk);

	if (entry == NULL)
		return;
	entry->rows += rows;
	entry->leaf_capacity = Max(entry->leaf_capacity,
							   ann_leaf_capacity(ann_rows_in_tree(info, (double) entry->rows)));
	ann_edit_commit(&edit);
}

void
ann_chunk_set_node_page(Relation index, const AnnIndex *info, uint32 chunk,
						BlockNumber block)
{
	AnnEdit		edit;
	AnnChunk   *entry = edit_chunk(&edit, index, info, chunk);

	if (entry == NULL)
		return;
	entry->node_page = block;
	ann_edit_commit(&edit);
}
