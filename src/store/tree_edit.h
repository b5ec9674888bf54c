/*
 * tree_edit.h
 *	  Trees that change: leaves divided and joined, in single edits.
 *
 * All of these need the structure lock, in share mode at least, and the
 * heavyweight lock on the first page of each leaf that goes (ann_leaf_claim).
 * Leaves that come have been written already (ann_leaf_write).
 *
 * A leaf that goes is given by the buffer of its first page, locked
 * exclusively, so that no row is appended to it any more; the buffer is
 * unlocked and released, whatever happens.
 */
#ifndef ANN_TREE_EDIT_H
#define ANN_TREE_EDIT_H

#include "postgres.h"

#include "store/leaf_pages.h"
#include "store/page.h"

/*
 * The right to divide or join a leaf; others may append to it meanwhile, unless
 * its blocks are larger than pages.
 */
extern bool ann_leaf_try_claim(Relation index, AnnLeafId leaf);
extern void ann_leaf_claim(Relation index, AnnLeafId leaf);
extern void ann_leaf_unclaim(Relation index, AnnLeafId leaf);

/*
 * The entry of leaf 'old' at 'ref' becomes a split with two leaves below it.
 * 'hint' is a page of nodes that may have room.  The links of 'split' are set.
 */
extern bool ann_tree_split_leaf(Relation index, const AnnIndex *info, uint32 chunk,
								AnnNodeRef ref, AnnLeafId old, Buffer old_first,
								AnnNode *split, AnnNode *const child[2],
								BlockNumber hint);

/*
 * The entry of leaf 'old' at 'ref' becomes that of another leaf.  This and the
 * others: false, and nothing done, if the tree is not as the caller has read it.
 */
extern bool ann_tree_replace_leaf(Relation index, const AnnIndex *info,
								  AnnNodeRef ref, AnnLeafId old, Buffer old_first,
								  const AnnNode *node);

/* A split whose children are two leaves becomes the entry of another leaf. */
extern bool ann_tree_join_leaves(Relation index, const AnnIndex *info,
								 AnnNodeRef parent, const AnnNodeRef child[2],
								 const AnnLeafId old[2], const Buffer old_first[2],
								 const AnnNode *node);

/*
 * A split one of whose children is a leaf without rows becomes what its other
 * child, on side 'other', is.
 */
extern bool ann_tree_drop_leaf(Relation index, const AnnIndex *info,
							   AnnNodeRef parent, const AnnNodeRef child[2],
							   int other, AnnLeafId empty, Buffer empty_first);

/* Note how many rows a leaf has, if its entry is still there. */
extern void ann_tree_set_rows(Relation index, const AnnIndex *info, AnnNodeRef ref,
							  AnnLeafId leaf, uint32 rows);

/*
 * Empty the slots of nodes that nothing leads to any more, and free the pages
 * that have no others.  Sorts the refs.
 */
extern void ann_tree_drop_nodes(Relation index, const AnnIndex *info,
								AnnNodeRef *refs, uint32 n);

/*
 * Count rows that were added to a chunk; its leaves may become larger for it.
 * This and the next: nothing is done if the chunk has other dimensions by now.
 */
extern void ann_chunk_add_rows(Relation index, const AnnIndex *info, uint32 chunk,
							   uint32 rows);

/* Remember a page of nodes that may have room; InvalidBlockNumber: none. */
extern void ann_chunk_set_node_page(Relation index, const AnnIndex *info, uint32 chunk,
									BlockNumber block);

#endif							/* ANN_TREE_EDIT_H */
