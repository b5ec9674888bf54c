/*
 * recent.h
 *	  Pages in shared buffers, found again without the buffer table.
 *
 * A search reads some hundred pages, most of them in memory, and the look-up in
 * PostgreSQL's shared hash table would cost more than the work on the page.
 * Each backend remembers in which buffer it met a block, and asks there first.
 */
#ifndef ANN_RECENT_H
#define ANN_RECENT_H

#include "postgres.h"

#include "storage/bufmgr.h"
#include "utils/rel.h"

/* As ReadBuffer: pin the page of a block, reading it if need be. */
extern Buffer ann_recent_read(Relation index, BlockNumber block);

/*
 * Bring bytes of a page, and what pinning it touches, towards the processor's
 * caches, if it is remembered.  A hint: nothing is pinned, and a page that has
 * left its buffer since costs no more than a wasted line.
 */
extern void ann_recent_prefetch(Relation index, BlockNumber block,
								Size offset, Size bytes);

/*
 * Copy bytes of a page that is remembered, without pin or lock: it may have left its
 * buffer, or be about to change, so that the bytes are good for hints only.  False
 * if the page is not remembered.
 */
extern bool ann_recent_peek(Relation index, BlockNumber block, Size offset,
							void *bytes, Size size);

#endif							/* ANN_RECENT_H */
