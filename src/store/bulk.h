/*
 * bulk.h
 *	  Writing a new index: whole pages past the buffer manager, each logged
 *	  once.
 *
 * Pages are numbered in the order in which they are asked for, and may be
 * filled in any order; they are written when all before them are done.  The
 * first pages (metapage and directory) are asked for first and finished last:
 * they are written as zeros and then once more.
 *
 * One process begins and ends.  In between it may share the file with others, who
 * join it and leave it again.
 */
#ifndef ANN_BULK_H
#define ANN_BULK_H

#include "postgres.h"

#include "store/format.h"
#include "utils/rel.h"

typedef struct AnnBulk AnnBulk;

/* Start writing a fork that is empty. */
extern AnnBulk *ann_bulk_begin(Relation index, ForkNumber fork);

/* The next page, initialised; its number is *block.  Stays until done. */
extern Page ann_bulk_page(AnnBulk *bulk, AnnPageKind kind, uint32 chunk,
						  BlockNumber *block);

/* A page is complete: it may be written, and its memory used again. */
extern void ann_bulk_done(AnnBulk *bulk, BlockNumber block);

/* Reserve the first 'n' blocks of the file, for ann_bulk_put_reserved. */
extern void ann_bulk_reserve(AnnBulk *bulk, int n);

/* Write one of the reserved blocks. */
extern void ann_bulk_put_reserved(AnnBulk *bulk, BlockNumber block, Page page);

/* How many pages there are. */
extern BlockNumber ann_bulk_pages(const AnnBulk *bulk);

/* Write what is left, and bring it to disk where that must be.  All have left. */
extern void ann_bulk_end(AnnBulk *bulk);

/* From now on others may join. */
extern void ann_bulk_share(AnnBulk *bulk);

/* Write a main fork that another process began, and shares; and stop doing so. */
extern AnnBulk *ann_bulk_join(Relation index);
extern void ann_bulk_leave(AnnBulk *bulk);

/*
 * The first of n blocks for whoever goes there: a shared file is extended by them.  Who
 * writes alone goes there next.
 */
extern BlockNumber ann_bulk_claim(AnnBulk *bulk, BlockNumber n);

/* The next n pages of ours are to be these blocks. */
extern void ann_bulk_go_to(AnnBulk *bulk, BlockNumber first, BlockNumber n);

/*
 * Let somebody look at each element that is written; those who write them tell
 * (ann_bulk_note).  The vector is complete.
 */
typedef void (*AnnElementNote) (const AnnElement *element, void *state);

extern void ann_bulk_observe(AnnBulk *bulk, AnnElementNote note, void *state);
extern void ann_bulk_note(AnnBulk *bulk, const AnnElement *element);

#endif							/* ANN_BULK_H */
