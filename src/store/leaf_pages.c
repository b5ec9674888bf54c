/*
 * leaf_pages.c
 *	  The leaves of a forest: chains of pages with blocks of 32 codes.
 *
 * A block that fits a page is read in place.  A larger one is assembled from
 * its pages.  A row is there as soon as its bit in 'live' is set, which is the
 * last thing that is written of it; so a reader never sees half a row, even
 * though the codes of a large block take several edits.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/lmgr.h"
#include "store/leaf_pages.h"
#include "store/recent.h"

/* Of the next page while one is visited; the processor finds the others. */
#define FIRST_LINES 1024

#define LEAF_HEADER(page) ((AnnLeafHeader *) ANN_PAGE_BODY(page))
#define LEAF_BLOCKS(page) (ANN_PAGE_BODY(page) + sizeof(AnnLeafHeader))

/* Block number n of a page with several. */
static AnnLeafBlock *
page_block(const AnnIndex *info, Page page, int n)
{
	return (AnnLeafBlock *) (LEAF_BLOCKS(page) + (Size) n * info->block_size);
}

/* The bytes of a large block that are on its page number i. */
static Size
part_size(const AnnIndex *info, int i)
{
	return Min(ANN_LEAF_ROOM, info->block_size - i * ANN_LEAF_ROOM);
}

/*
 * Copy the large block that begins on 'buffer' to scratch.  The buffer is
 * locked share, and released; so are the others.  *next is the page behind
 * the block.  False if the chain ends early, as it does for a block that is
 * just being added.
 */
static bool
read_large_block(Relation index, const AnnIndex *info, Buffer buffer,
				 char *scratch, BlockNumber *next)
{
	for (int i = 0;; i++)
	{
		Page		page = BufferGetPage(buffer);

		memcpy(scratch + i * ANN_LEAF_ROOM, LEAF_BLOCKS(page), part_size(info, i));
		*next = ANN_PAGE_TAIL(page)->next;
		UnlockReleaseBuffer(buffer);
		if (i + 1 == info->pages_per_block)
			return true;
		if (*next == InvalidBlockNumber ||
			!ann_page_try_read(index, *next, ANN_PAGE_LEAF, BUFFER_LOCK_SHARE, &buffer))
			return false;
	}
}

/* The blocks that a page says it has, checked. */
static int
count_blocks(Relation index, const AnnIndex *info, Buffer buffer)
{
	uint32		blocks = LEAF_HEADER(BufferGetPage(buffer))->blocks;

	if (blocks > (uint32) Max(info->blocks_per_page, 1))
		ann_page_corrupted(index, BufferGetBlockNumber(buffer),
						   "%u blocks on a leaf page", blocks);
	return (int) blocks;
}

int
ann_leaf_scan(Relation index, const AnnIndex *info, BlockNumber first,
			  AnnLeafVisitor visit, void *state, char *scratch)
{
	BlockNumber block = first;
	BlockNumber mark = InvalidBlockNumber;	/* as check_circle does in tids.c */
	int			pages_to_mark = 1;
	int			pages = 0;
	Buffer		buffer;

	while (block != InvalidBlockNumber &&
		   ann_page_try_read(index, block, ANN_PAGE_LEAF, BUFFER_LOCK_SHARE, &buffer))
	{
		int			blocks = count_blocks(index, info, buffer);

		if (block == mark)
			ann_page_corrupted(index, block, "a leaf that leads back to it");
		if (pages >= pages_to_mark)
		{
			mark = block;
			pages_to_mark *= 2;
		}
		if (info->pages_per_block > 1)
		{
			if (read_large_block(index, info, buffer, scratch, &block))
				visit((AnnLeafBlock *) scratch, state);
			pages += info->pages_per_block;
			CHECK_FOR_INTERRUPTS();
			continue;
		}
		block = ANN_PAGE_TAIL(BufferGetPage(buffer))->next;
		if (block != InvalidBlockNumber)
			ann_recent_prefetch(index, block, 0, FIRST_LINES);
		for (int i = 0; i < blocks; i++)
			visit(page_block(info, BufferGetPage(buffer), i), state);
		UnlockReleaseBuffer(buffer);
		pages++;
		CHECK_FOR_INTERRUPTS();
	}
	return pages;
}

/* ---- building ---- */

struct AnnLeafWriter
{
	AnnBulk    *bulk;
	const AnnIndex *info;
	uint32		chunk;
	AnnLeafBlock *block;		/* being filled */
	int			rows;			/* in it */
	BlockNumber first;
	Page		first_page;		/* not done before the end: has 'last' */
	BlockNumber last;
	Page		last_page;
};

AnnLeafWriter *
ann_leaf_begin(AnnBulk *bulk, const AnnIndex *info, uint32 chunk)
{
	AnnLeafWriter *writer = palloc0(sizeof(AnnLeafWriter));

	writer->bulk = bulk;
	writer->info = info;
	writer->chunk = chunk;
	writer->block = palloc0(info->block_size);
	writer->first = InvalidBlockNumber;
	return writer;
}

/* Append a page to the chain. */
static void
next_page(AnnLeafWriter *writer)
{
	BlockNumber block;
	Page		page = ann_bulk_page(writer->bulk, ANN_PAGE_LEAF, writer->chunk, &block);

	LEAF_HEADER(page)->last = InvalidBlockNumber;
	if (writer->first == InvalidBlockNumber)
	{
		writer->first = block;
		writer->first_page = page;
	}
	else
	{
		ANN_PAGE_TAIL(writer->last_page)->next = block;
		if (writer->last != writer->first)
			ann_bulk_done(writer->bulk, writer->last);
	}
	writer->last = block;
	writer->last_page = page;
}

/* Write the block that is being filled, and empty it. */
static void
write_block(AnnLeafWriter *writer)
{
	const AnnIndex *info = writer->info;
	const char *bytes = (const char *) writer->block;
	BlockNumber begin;

	if (writer->first == InvalidBlockNumber || info->pages_per_block > 1 ||
		LEAF_HEADER(writer->last_page)->blocks == (uint32) info->blocks_per_page)
		next_page(writer);
	begin = writer->last;
	if (info->pages_per_block > 1)
	{
		LEAF_HEADER(writer->last_page)->blocks = 1;
		memcpy(LEAF_BLOCKS(writer->last_page), bytes, part_size(info, 0));
		for (int i = 1; i < info->pages_per_block; i++)
		{
			next_page(writer);
			memcpy(LEAF_BLOCKS(writer->last_page), bytes + i * ANN_LEAF_ROOM,
				   part_size(info, i));
		}
	}
	else
		memcpy(page_block(info, writer->last_page,
						  LEAF_HEADER(writer->last_page)->blocks++),
			   bytes, info->block_size);
	LEAF_HEADER(writer->first_page)->last = begin;
	memset(writer->block, 0, info->block_size);
	writer->rows = 0;
}

/* Put a row into a free place of a block; its bit in 'live' is the caller's. */
static void
put_row(const AnnIndex *info, AnnLeafBlock *block, int row, AnnElementRef element,
		const uint8 *code, const AnnCodeFactors *factors)
{
	block->element[row] = element;
	block->a[row] = factors->a;
	block->f[row] = factors->f;
	block->e[row] = factors->e;
	ann_code_put(block->codes, info->code_bytes, row, code);
}

void
ann_leaf_add(AnnLeafWriter *writer, AnnElementRef element,
			 const uint8 *code, const AnnCodeFactors *factors)
{
	if (writer->rows == ANN_BLOCK_ROWS)
		write_block(writer);
	put_row(writer->info, writer->block, writer->rows, element, code, factors);
	writer->block->live |= (uint32) 1 << writer->rows++;
}

BlockNumber
ann_leaf_end(AnnLeafWriter *writer)
{
	BlockNumber first;

	if (writer->rows > 0 || writer->first == InvalidBlockNumber)
		write_block(writer);
	first = writer->first;
	if (writer->last != first)
		ann_bulk_done(writer->bulk, writer->last);
	ann_bulk_done(writer->bulk, first);
	writer->first = InvalidBlockNumber;
	return first;
}

/* ---- inserting ---- */

/* A row that is not there, -1 if all are. */
static int
free_row(const AnnLeafBlock *block)
{
	return block->live == PG_UINT32_MAX ? -1 : pg_rightmost_one_pos32(~block->live);
}

/* Add an empty page behind 'last_page', which is in the edit already. */
static Page
add_page(AnnEdit *edit, uint32 chunk, Page last_page, BlockNumber *block)
{
	Page		page = ann_edit_new(edit, ANN_PAGE_LEAF, chunk, block);

	LEAF_HEADER(page)->last = InvalidBlockNumber;
	ANN_PAGE_TAIL(last_page)->next = *block;
	return page;
}

/*
 * Where the last block's page is full: the page that a further block goes to,
 * and its number.  'first' is the leaf's first page in the edit; 'page' the one
 * with the last block, which may be the same.
 */
static AnnLeafBlock *
extend_leaf(AnnEdit *edit, const AnnIndex *info, uint32 chunk, Page first,
			Page page)
{
	BlockNumber block;

	if (LEAF_HEADER(page)->blocks == (uint32) info->blocks_per_page)
	{
		page = add_page(edit, chunk, page, &block);
		LEAF_HEADER(first)->last = block;
	}
	return page_block(info, page, LEAF_HEADER(page)->blocks++);
}

/* ann_leaf_append where blocks fit a page; first is locked exclusively. */
static void
append_small(Relation index, const AnnIndex *info, uint32 chunk, Buffer first,
			 AnnElementRef element, const uint8 *code,
			 const AnnCodeFactors *factors)
{
	BlockNumber last = LEAF_HEADER(BufferGetPage(first))->last;
	AnnEdit		edit;
	Page		first_page,
				page;
	AnnLeafBlock *block;
	int			row;

	ann_edit_begin(&edit, index);
	first_page = page = ann_edit_add(&edit, first);
	if (last != BufferGetBlockNumber(first))
		page = ann_edit_add(&edit, ann_page_read(index, last, ANN_PAGE_LEAF,
												 BUFFER_LOCK_EXCLUSIVE));
	if (count_blocks(index, info, edit.buffer[edit.num_buffers - 1]) == 0)
		ann_page_corrupted(index, last, "no blocks on a leaf page");
	block = page_block(info, page, LEAF_HEADER(page)->blocks - 1);
	row = free_row(block);
	if (row < 0)
	{
		block = extend_leaf(&edit, info, chunk, first_page, page);
		row = 0;
	}
	put_row(info, block, row, element, code, factors);
	block->live |= (uint32) 1 << row;
	ann_edit_commit(&edit);
}

/*
 * Make the pages of a further large block, empty, and link them behind 'tail',
 * the last page of the chain.  From its end to its beginning, so that the link
 * from the leaf comes last.  Returns its first page.
 */
static BlockNumber
add_large_block(Relation index, const AnnIndex *info, uint32 chunk,
				BlockNumber tail)
{
	BlockNumber next = InvalidBlockNumber;
	AnnEdit		edit;
	Page		page;

	for (int i = info->pages_per_block - 1; i >= 0; i--)
	{
		BlockNumber block;

		ann_edit_begin(&edit, index);
		page = ann_edit_new(&edit, ANN_PAGE_LEAF, chunk, &block);
		LEAF_HEADER(page)->blocks = (i == 0) ? 1 : 0;
		LEAF_HEADER(page)->last = InvalidBlockNumber;
		ANN_PAGE_TAIL(page)->next = next;
		ann_edit_commit(&edit);
		next = block;
	}
	ann_edit_begin(&edit, index);
	page = ann_edit_add(&edit, ann_page_read(index, tail, ANN_PAGE_LEAF,
											 BUFFER_LOCK_EXCLUSIVE));
	ANN_PAGE_TAIL(page)->next = next;
	ann_edit_commit(&edit);
	return next;
}

/* The page that has the last block of the leaf, by its first page. */
static BlockNumber
last_block_page(Relation index, BlockNumber first)
{
	Buffer		buffer = ann_page_read(index, first, ANN_PAGE_LEAF, BUFFER_LOCK_SHARE);
	BlockNumber last = LEAF_HEADER(BufferGetPage(buffer))->last;

	UnlockReleaseBuffer(buffer);
	return last;
}

/* Copy the large block that begins at a page to scratch, and note its pages. */
static void
read_block_pages(Relation index, const AnnIndex *info, BlockNumber begin,
				 char *scratch, BlockNumber *pages)
{
	BlockNumber block = begin;

	for (int i = 0; i < info->pages_per_block; i++)
	{
		Buffer		buffer = ann_page_read(index, block, ANN_PAGE_LEAF, BUFFER_LOCK_SHARE);
		Page		page = BufferGetPage(buffer);

		pages[i] = block;
		memcpy(scratch + i * ANN_LEAF_ROOM, LEAF_BLOCKS(page), part_size(info, i));
		block = ANN_PAGE_TAIL(page)->next;
		UnlockReleaseBuffer(buffer);
	}
}

/* Write part i of a large block to its page. */
static void
write_part(Relation index, const AnnIndex *info, BlockNumber block,
		   const char *bytes, int i)
{
	AnnEdit		edit;
	Page		page;

	ann_edit_begin(&edit, index);
	page = ann_edit_add(&edit, ann_page_read(index, block, ANN_PAGE_LEAF,
											 BUFFER_LOCK_EXCLUSIVE));
	memcpy(LEAF_BLOCKS(page), bytes + i * ANN_LEAF_ROOM, part_size(info, i));
	ann_edit_commit(&edit);
}

/* Note in the leaf's first page where its last block is. */
static void
set_last(Relation index, BlockNumber first, BlockNumber last)
{
	AnnEdit		edit;
	Page		page;

	ann_edit_begin(&edit, index);
	page = ann_edit_add(&edit, ann_page_read(index, first, ANN_PAGE_LEAF,
											 BUFFER_LOCK_EXCLUSIVE));
	LEAF_HEADER(page)->last = last;
	ann_edit_commit(&edit);
}

/*
 * ann_leaf_append where a block takes several pages, and hence several edits.
 * A heavyweight lock on the first page keeps other writers of the leaf away
 * meanwhile.  The part with 'live' is the first, and is written last.
 */
static void
append_large(Relation index, const AnnIndex *info, uint32 chunk,
			 BlockNumber first, AnnElementRef element, const uint8 *code,
			 const AnnCodeFactors *factors)
{
	AnnLeafBlock *block = palloc(info->block_size);
	BlockNumber *pages = palloc(sizeof(BlockNumber) * info->pages_per_block);
	BlockNumber begin;
	int			row;

	LockPage(index, first, ExclusiveLock);
	begin = last_block_page(index, first);
	read_block_pages(index, info, begin, (char *) block, pages);
	row = free_row(block);
	if (row < 0)
	{
		begin = add_large_block(index, info, chunk, pages[info->pages_per_block - 1]);
		set_last(index, first, begin);
		read_block_pages(index, info, begin, (char *) block, pages);
		row = 0;
	}
	put_row(info, block, row, element, code, factors);
	block->live |= (uint32) 1 << row;
	for (int i = info->pages_per_block - 1; i >= 0; i--)
		write_part(index, info, pages[i], (char *) block, i);
	UnlockPage(index, first, ExclusiveLock);
	pfree(pages);
	pfree(block);
}

void
ann_leaf_append(Relation index, const AnnIndex *info, uint32 chunk,
				BlockNumber first, AnnElementRef element,
				const uint8 *code, const AnnCodeFactors *factors)
{
	if (info->pages_per_block > 1)
		append_large(index, info, chunk, first, element, code, factors);
	else
		append_small(index, info, chunk,
					 ann_page_read(index, first, ANN_PAGE_LEAF, BUFFER_LOCK_EXCLUSIVE),
					 element, code, factors);
}
