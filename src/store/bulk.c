/*
 * bulk.c
 *	  Writing a new index: pages wait in a window until all before them are
 *	  done, and go to disk and to WAL in batches.
 *
 * The window is as wide as the build needs it: a page of elements and the
 * pages of one leaf, say.  Memory of written pages is used again.
 *
 * Who writes alone extends the file by each page.  Processes that share it extend
 * it by runs of blocks, under the lock for that, and write pages into their own;
 * what is left of a run in the end remains zero, and is free.
 */
#include "postgres.h"

#include "access/xloginsert.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/smgr.h"
#include "store/bulk.h"
#include "store/page.h"

/* As many pages as fit a WAL record. */
#define BATCH XLR_MAX_BLOCK_ID

/* Blocks of a run. */
#define RUN 16

typedef struct WindowPage
{
	Page		page;
	BlockNumber block;
	bool		done;
} WindowPage;

struct AnnBulk
{
	/* Unchanging */
	Relation	index;
	ForkNumber	fork;
	bool		use_wal;
	MemoryContext memory;

	BlockNumber next;			/* block of the page to be asked for next */
	bool		is_shared;		/* others write this file, too */
	BlockNumber end;			/* of our run, if it is shared */

	WindowPage *window;			/* pages that were asked for, until written */
	uint32		window_size;	/* how many there is room for */
	uint32		asked;			/* how many there are */
	uint32		ready;			/* how many are done, with all before them */
	Page		spare[BATCH];	/* memory to use again */
	int			num_spare;

	/* Who looks at elements */
	AnnElementNote note;		/* NULL: nobody */
	void	   *note_state;
};

AnnBulk *
ann_bulk_begin(Relation index, ForkNumber fork)
{
	AnnBulk    *bulk = palloc0(sizeof(AnnBulk));

	bulk->index = index;
	bulk->fork = fork;

	/* An init fork is what recovery makes an unlogged index of. */
	bulk->use_wal = RelationNeedsWAL(index) || fork == INIT_FORKNUM;
	bulk->memory = CurrentMemoryContext;
	bulk->window_size = 2 * BATCH;
	bulk->window = palloc(sizeof(WindowPage) * bulk->window_size);
	return bulk;
}

AnnBulk *
ann_bulk_join(Relation index)
{
	AnnBulk    *bulk = ann_bulk_begin(index, MAIN_FORKNUM);

	bulk->is_shared = true;
	return bulk;
}

void
ann_bulk_observe(AnnBulk *bulk, AnnElementNote note, void *state)
{
	bulk->note = note;
	bulk->note_state = state;
}

void
ann_bulk_note(AnnBulk *bulk, const AnnElement *element)
{
	if (bulk->note != NULL)
		bulk->note(element, bulk->note_state);
}

static Page
get_memory(AnnBulk *bulk)
{
	if (bulk->num_spare > 0)
		return bulk->spare[--bulk->num_spare];
	return ann_alloc_io_page(bulk->memory);
}

static void
put_memory(AnnBulk *bulk, Page page)
{
	if (bulk->num_spare < BATCH)
		bulk->spare[bulk->num_spare++] = page;
	else
		pfree(page);
}

/* Extend the file to this block, by zeros. */
static void
extend_to(AnnBulk *bulk, BlockNumber block)
{
	Page		zeros = get_memory(bulk);

	memset(zeros, 0, BLCKSZ);
	smgrextend(RelationGetSmgr(bulk->index), bulk->fork, block, (char *) zeros, true);
	put_memory(bulk, zeros);
}

BlockNumber
ann_bulk_claim(AnnBulk *bulk, BlockNumber n)
{
	BlockNumber first;

	if (!bulk->is_shared)
		return bulk->next;
	LockRelationForExtension(bulk->index, ExclusiveLock);
	first = smgrnblocks(RelationGetSmgr(bulk->index), bulk->fork);
	if (n >= MaxBlockNumber - first)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("index \"%s\" is larger than %u blocks",
						RelationGetRelationName(bulk->index), MaxBlockNumber)));
	if (n > 0)
		extend_to(bulk, first + n - 1);
	UnlockRelationForExtension(bulk->index, ExclusiveLock);
	return first;
}

/* Whoever looks for room will find what is left of a run. */
static void
leave_run(AnnBulk *bulk)
{
	for (; bulk->next < bulk->end; bulk->next++)
		ann_room_record(bulk->index, bulk->next, ANN_PAGE_FREE, 0);
}

void
ann_bulk_go_to(AnnBulk *bulk, BlockNumber first, BlockNumber n)
{
	Assert(bulk->is_shared || first == bulk->next);
	leave_run(bulk);
	bulk->next = first;
	bulk->end = first + n;
}

/* The block of the next page. */
static BlockNumber
next_block(AnnBulk *bulk)
{
	if (bulk->is_shared && bulk->next == bulk->end)
		ann_bulk_go_to(bulk, ann_bulk_claim(bulk, RUN), RUN);
	if (bulk->next == MaxBlockNumber)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("index \"%s\" is larger than %u blocks",
						RelationGetRelationName(bulk->index), MaxBlockNumber)));
	return bulk->next++;
}

Page
ann_bulk_page(AnnBulk *bulk, AnnPageKind kind, uint32 chunk, BlockNumber *block)
{
	WindowPage *entry;

	if (bulk->asked == bulk->window_size)
	{
		bulk->window_size *= 2;
		bulk->window = repalloc_huge(bulk->window,
									 sizeof(WindowPage) * (Size) bulk->window_size);
	}
	*block = next_block(bulk);
	entry = &bulk->window[bulk->asked++];
	entry->page = get_memory(bulk);
	entry->block = *block;
	entry->done = false;
	ann_page_init(entry->page, kind, chunk);
	return entry->page;
}

/* Write the first n <= BATCH pages of the window. */
static void
flush(AnnBulk *bulk, uint32 n)
{
	BlockNumber blocks[BATCH];
	Page		pages[BATCH];

	CHECK_FOR_INTERRUPTS();
	for (uint32 i = 0; i < n; i++)
	{
		blocks[i] = bulk->window[i].block;
		pages[i] = bulk->window[i].page;
	}
	if (bulk->use_wal)
		log_newpages(ANN_LOCATOR(bulk->index), bulk->fork, (int) n, blocks, pages, true);
	for (uint32 i = 0; i < n; i++)
	{
		PageSetChecksumInplace(pages[i], blocks[i]);
		(bulk->is_shared ? smgrwrite : smgrextend)
			(RelationGetSmgr(bulk->index), bulk->fork, blocks[i], (char *) pages[i], true);
		put_memory(bulk, pages[i]);
	}
	bulk->asked -= n;
	bulk->ready -= n;
	memmove(bulk->window, bulk->window + n, sizeof(WindowPage) * (Size) bulk->asked);
}

void
ann_bulk_done(AnnBulk *bulk, BlockNumber block)
{
	uint32		i = bulk->ready;

	/* mostly among the first of those that are not done, or the last ones */
	while (i < bulk->asked && bulk->window[i].block != block)
		i++;
	Assert(i < bulk->asked);
	bulk->window[i].done = true;
	while (bulk->ready < bulk->asked && bulk->window[bulk->ready].done)
		bulk->ready++;
	while (bulk->ready >= BATCH)
		flush(bulk, BATCH);
}

/*
 * Zeros are not logged: where a page behind them is replayed, recovery
 * extends the file by them.
 */
void
ann_bulk_reserve(AnnBulk *bulk, int n)
{
	Assert(bulk->next == 0);
	for (int i = 0; i < n; i++)
		extend_to(bulk, (BlockNumber) i);
	bulk->next = (BlockNumber) n;
}

void
ann_bulk_share(AnnBulk *bulk)
{
	Assert(!bulk->is_shared);
	if (bulk->asked > 0)
		extend_to(bulk, bulk->next - 1);
	bulk->is_shared = true;
	bulk->end = bulk->next;
}

void
ann_bulk_put_reserved(AnnBulk *bulk, BlockNumber block, Page page)
{
	Page		copy = get_memory(bulk);

	memcpy(copy, page, BLCKSZ);
	if (bulk->use_wal)
		log_newpage(ANN_LOCATOR(bulk->index), bulk->fork, block, copy, true);
	PageSetChecksumInplace(copy, block);
	smgrwrite(RelationGetSmgr(bulk->index), bulk->fork, block, (char *) copy, true);
	put_memory(bulk, copy);
}

BlockNumber
ann_bulk_pages(const AnnBulk *bulk)
{
	return bulk->next;
}

/* Write what is left. */
static void
finish(AnnBulk *bulk)
{
	if (bulk->ready < bulk->asked)
		elog(ERROR, "page %u of a new index is not finished",
			 bulk->window[bulk->ready].block);
	while (bulk->asked > 0)
		flush(bulk, Min(bulk->asked, BATCH));
	if (bulk->is_shared)
		leave_run(bulk);
}

static void
forget(AnnBulk *bulk)
{
	while (bulk->num_spare > 0)
		pfree(bulk->spare[--bulk->num_spare]);
	pfree(bulk->window);
	pfree(bulk);
}

void
ann_bulk_leave(AnnBulk *bulk)
{
	finish(bulk);
	forget(bulk);
}

void
ann_bulk_end(AnnBulk *bulk)
{
	finish(bulk);

	/*
	 * We wrote past the buffer manager, so that no checkpoint knows of these
	 * pages.  One that began after our first WAL record would let a crash
	 * replay too little of them; an unlogged index, too, must survive a clean
	 * shutdown.  Temporary ones survive nothing.
	 */
	if (!RelationUsesLocalBuffers(bulk->index))
		smgrimmedsync(RelationGetSmgr(bulk->index), bulk->fork);
	forget(bulk);
}
