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

/*
 * Called for each block of a leaf, with its page locked share: to be quick, to
 * read no page, and to keep no pointer.
 */
typedef void (*AnnLeafVisitor) (const AnnLeafBlock *block, void *state);

/*
 * Visit the blocks of the leaf that begins at a page.  'scratch' has
 * info->block_size bytes and serves blocks larger than a page.  Returns the
 * number of pages read; 0 if there is no leaf (a stale link).
 */
extern int	ann_leaf_scan(Relation index, const AnnIndex *info, BlockNumber first,
						  AnnLeafVisitor visit, void *state, char *scratch);

/* Append a row to a leaf; takes a constant number of pages. */
extern void ann_leaf_append(Relation index, const AnnIndex *info, uint32 chunk,
							BlockNumber first, AnnElementRef element,
							const uint8 *code, const AnnCodeFactors *factors);

/* A leaf while it is built. */
typedef struct AnnLeafWriter AnnLeafWriter;

extern AnnLeafWriter *ann_leaf_begin(AnnBulk *bulk, const AnnIndex *info, uint32 chunk);
extern void ann_leaf_add(AnnLeafWriter *writer, AnnElementRef element,
						 const uint8 *code, const AnnCodeFactors *factors);

/* Write the leaf, and return its first page.  The writer can begin another. */
extern BlockNumber ann_leaf_end(AnnLeafWriter *writer);

#endif							/* ANN_LEAF_PAGES_H */
