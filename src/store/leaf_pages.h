/*
 * leaf_pages.h
 *	  The leaves of a forest: blocks of codes.
 */
#ifndef ANN_LEAF_PAGES_H
#define ANN_LEAF_PAGES_H

#include "postgres.h"

#include "algo/code.h"
#include "store/bulk.h"
#include "store/page.h"

/* Which leaf: its first page, and the generation of that. */
typedef struct AnnLeafId
{
	BlockNumber first;
	uint32		generation;
} AnnLeafId;

static inline bool
ann_same_leaf(AnnLeafId a, AnnLeafId b)
{
	return a.first == b.first && a.generation == b.generation;
}

/* Raise ERRCODE_INDEX_CORRUPTED: the leaf has an entry, but is not there. */
pg_noreturn extern void ann_leaf_corrupted(Relation index, AnnLeafId leaf);

/*
 * Called for each block of a leaf, with its page locked share: to be quick, to
 * read no page, and to keep no pointer.
 */
typedef void (*AnnLeafVisitor) (const AnnLeafBlock *block, void *state);

/*
 * Visit the blocks of a leaf.  'scratch' has info->block_size bytes and serves
 * blocks larger than a page.  False if there is no such leaf any more, which
 * may turn out when some blocks have been visited.
 */
extern bool ann_leaf_scan(Relation index, const AnnIndex *info, AnnLeafId leaf,
						  AnnLeafVisitor visit, void *state, char *scratch);

/* The same for who has its first page locked; blocks are no larger than pages. */
extern void ann_leaf_scan_locked(Relation index, const AnnIndex *info, Buffer first,
								 AnnLeafVisitor visit, void *state);

/* How full a leaf is after a row was appended. */
typedef struct AnnLeafFill
{
	uint32		rows;			/* that have been appended, dead ones included */
	uint32		split_at;		/* no split is worth trying before so many */
	bool		new_block;		/* the row begins one, as every 32nd does */
} AnnLeafFill;

/*
 * Append a row to a leaf, in a constant number of pages.  False, and nothing
 * done, if there is no such leaf any more.
 */
extern bool ann_leaf_append(Relation index, const AnnIndex *info, uint32 chunk,
							AnnLeafId leaf, AnnElementRef element,
							const uint8 *code, const AnnCodeFactors *factors,
							AnnLeafFill *fill);

/* Note that no split is to be tried before the leaf has so many rows. */
extern void ann_leaf_set_split_at(Relation index, AnnLeafId leaf, uint32 split_at);

/* A leaf in memory: whole blocks, the last of which may have free places. */
typedef struct AnnLeafImage
{
	const AnnIndex *info;
	char	   *blocks;
	uint32		num_blocks;
	uint32		capacity;		/* of 'blocks', in blocks */
	uint32		rows;
} AnnLeafImage;

/* An empty one, in the current context. */
extern AnnLeafImage *ann_leaf_image_make(const AnnIndex *info);
extern void ann_leaf_image_add(AnnLeafImage *image, AnnElementRef element,
							   const uint8 *code, const AnnCodeFactors *factors);

/* Forget the rows, and keep the memory. */
extern void ann_leaf_image_reset(AnnLeafImage *image);

/* Write the leaf in a build. */
extern AnnLeafId ann_leaf_write_bulk(AnnBulk *bulk, uint32 chunk, const AnnLeafImage *image);

/*
 * Write the leaf to a live index, where nothing leads to it yet: under the
 * structure lock.
 */
extern AnnLeafId ann_leaf_write(Relation index, uint32 chunk, const AnnLeafImage *image);

/*
 * Pin and lock the first page of a leaf exclusively; false if there is no such
 * leaf any more.
 */
extern bool ann_leaf_lock(Relation index, AnnLeafId leaf, Buffer *buffer);

/*
 * Free the pages of a leaf from 'block' on, which is one of its pages; those
 * that belong to it no more are left alone.
 */
extern void ann_leaf_free(Relation index, AnnLeafId leaf, BlockNumber block);

/*
 * Ask 'heir' what the element of each row is to be from now on, perhaps twice: the
 * same, another one that takes over its code, or none (invalid), and the row goes.
 * Returns the number of rows that are left; -1 if there is no such leaf any more.
 * *places becomes the number of rows that its blocks have room for.  'note' is told
 * of each page.
 */
typedef bool (*AnnElementTest) (AnnElementRef element, void *state);
typedef AnnElementRef (*AnnElementHeir) (AnnElementRef element, void *state);
typedef void (*AnnPageNote) (BlockNumber block, void *state);
extern int64 ann_leaf_vacuum(Relation index, const AnnIndex *info, AnnLeafId leaf,
							 AnnElementHeir heir, AnnPageNote note, void *state,
							 BufferAccessStrategy strategy, uint32 *places);

#endif							/* ANN_LEAF_PAGES_H */
