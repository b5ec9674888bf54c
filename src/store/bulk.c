/*
 * bulk.c
 *	  Writing a new index: pages wait in a window until all before them are
 *	  done, and go to disk and to WAL in batches.
 *
 * The window is as wide as the build needs it: a page of elements and the
 * pages of one leaf, say.  Memory of written pages is used again.
 */
#include "postgres.h"

#include "access/xloginsert.h"
#include "miscadmin.h"
#include "storage/smgr.h"
#include "store/bulk.h"
#include "store/page.h"

/* As many pages as fit a WAL record. */
#define BATCH XLR_MAX_BLOCK_ID

typedef struct WindowPage
{
	Page		page;
	bool		done;
} WindowPage;

struct AnnBulk
{
	/* Unchanging */
	Relation	index;
	ForkNumber	fork;
	bool		use_wal;
	MemoryContext memory;

	/* Blocks below are: in the file; done, all of them; asked for. */
	BlockNumber written;
	BlockNumber ready;
	BlockNumber next;

	WindowPage *window;			/* of blocks written .. next - 1 */
	uint32		window_size;	/* how many there is room for */
	Page		spare[BATCH];	/* memory to use again */
	int			num_spare;
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

Page
ann_bulk_page(AnnBulk *bulk, AnnPageKind kind, uint32 chunk, BlockNumber *block)
{
	uint32		n = bulk->next - bulk->written;
	Page		page;

	if (bulk->next == MaxBlockNumber)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("index \"%s\" is larger than %u blocks",
						RelationGetRelationName(bulk->index), MaxBlockNumber)));
	if (n == bulk->window_size)
	{
		bulk->window_size *= 2;
		bulk->window = repalloc_huge(bulk->window,
									 sizeof(WindowPage) * (Size) bulk->window_size);
	}
	page = get_memory(bulk);
	ann_page_init(page, kind, chunk);
	bulk->window[n].page = page;
	bulk->window[n].done = false;
	*block = bulk->next++;
	return page;
}

/* Write the first n <= BATCH pages of the window. */
static void
flush(AnnBulk *bulk, uint32 n)
{
	BlockNumber blocks[BATCH];
	Page		pages[BATCH];
	uint32		left = bulk->next - bulk->written - n;

	CHECK_FOR_INTERRUPTS();
	for (uint32 i = 0; i < n; i++)
	{
		blocks[i] = bulk->written + i;
		pages[i] = bulk->window[i].page;
	}
	if (bulk->use_wal)
		log_newpages(ANN_LOCATOR(bulk->index), bulk->fork, (int) n, blocks, pages, true);
	for (uint32 i = 0; i < n; i++)
	{
		PageSetChecksumInplace(pages[i], blocks[i]);
		smgrextend(RelationGetSmgr(bulk->index), bulk->fork, blocks[i],
				   (char *) pages[i], true);
		put_memory(bulk, pages[i]);
	}
	bulk->written += n;
	memmove(bulk->window, bulk->window + n, sizeof(WindowPage) * (Size) left);
}

void
ann_bulk_done(AnnBulk *bulk, BlockNumber block)
{
	Assert(block >= bulk->written && block < bulk->next);
	bulk->window[block - bulk->written].done = true;
	while (bulk->ready < bulk->next &&
		   bulk->window[bulk->ready - bulk->written].done)
		bulk->ready++;
	while (bulk->ready - bulk->written >= BATCH)
		flush(bulk, BATCH);
}

/*
 * Zeros are not logged: where a page behind them is replayed, recovery
 * extends the file by them.
 */
void
ann_bulk_reserve(AnnBulk *bulk, int n)
{
	Page		zeros = get_memory(bulk);

	Assert(bulk->next == 0);
	memset(zeros, 0, BLCKSZ);
	for (int i = 0; i < n; i++)
		smgrextend(RelationGetSmgr(bulk->index), bulk->fork, (BlockNumber) i,
				   (char *) zeros, true);
	put_memory(bulk, zeros);
	bulk->written = bulk->ready = bulk->next = (BlockNumber) n;
}

void
ann_bulk_put_reserved(AnnBulk *bulk, BlockNumber block, Page page)
{
	Page		copy = get_memory(bulk);

	Assert(block < bulk->written);
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

void
ann_bulk_end(AnnBulk *bulk)
{
	if (bulk->ready < bulk->next)
		elog(ERROR, "page %u of a new index is not finished", bulk->ready);
	while (bulk->written < bulk->next)
		flush(bulk, Min(bulk->next - bulk->written, BATCH));

	/*
	 * We wrote past the buffer manager, so that no checkpoint knows of these
	 * pages.  One that began after our first WAL record would let a crash
	 * replay too little of them; an unlogged index, too, must survive a clean
	 * shutdown.  Temporary ones survive nothing.
	 */
	if (!RelationUsesLocalBuffers(bulk->index))
		smgrimmedsync(RelationGetSmgr(bulk->index), bulk->fork);

	while (bulk->num_spare > 0)
		pfree(bulk->spare[--bulk->num_spare]);
	pfree(bulk->window);
	pfree(bulk);
}
