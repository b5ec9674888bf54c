/*
 * leaf_pages.c
 *	  The leaves of a forest: chains of pages with blocks of 32 codes.
 *
 * A block that fits a page is read in place.  A larger one is assembled from
 * its pages.  A row is there as soon as its bit in 'live' is set, which is the
 * last thing that is written of it; so a reader never sees half a row, even
 * though the codes of a large block take several edits.
 *
 * Rows are appended, and their bits are cleared; nothing moves within a leaf.
 * Who wants it otherwise writes another leaf and frees this one, whose pages
 * then are of another kind or another leaf: each reader looks at what a page
 * says it belongs to.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/lmgr.h"
#include "store/leaf_pages.h"
#include "store/recent.h"
#include "store/tids.h"

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

/* Is this a page of the leaf? */
static bool
belongs_to(Page page, AnnLeafId leaf)
{
	return LEAF_HEADER(page)->first == leaf.first &&
		LEAF_HEADER(page)->generation == leaf.generation;
}

/* Pin and lock a page, if it is one of the leaf. */
static bool
read_leaf_page(Relation index, AnnLeafId leaf, BlockNumber block, int mode,
			   BufferAccessStrategy strategy, Buffer *buffer)
{
	if (!ann_page_try_read_by(index, block, ANN_PAGE_LEAF, mode, strategy, buffer))
		return false;
	if (belongs_to(BufferGetPage(*buffer), leaf))
		return true;
	UnlockReleaseBuffer(*buffer);
	return false;
}

void
ann_leaf_corrupted(Relation index, AnnLeafId leaf)
{
	ann_page_corrupted(index, leaf.first, "no leaf of generation %u, though one is linked,",
					   leaf.generation);
}

bool
ann_leaf_lock(Relation index, AnnLeafId leaf, Buffer *buffer)
{
	return read_leaf_page(index, leaf, leaf.first, BUFFER_LOCK_EXCLUSIVE, NULL, buffer);
}

/* ---- reading ---- */

/* To find out that a leaf is a circle, as check_circle does in tids.c. */
typedef struct Circle
{
	BlockNumber mark;
	uint32		steps;
	uint32		steps_to_mark;
} Circle;

static void
check_circle(Relation index, Circle *circle, BlockNumber block)
{
	if (circle->steps == 0)
		circle->mark = InvalidBlockNumber;
	if (block == circle->mark)
		ann_page_corrupted(index, block, "a leaf that leads back to it");
	if (circle->steps++ >= circle->steps_to_mark)
	{
		circle->mark = block;
		circle->steps_to_mark = 2 * circle->steps_to_mark + 1;
	}
}

/*
 * Copy the large block that begins on 'buffer' to scratch.  The buffer is
 * locked share, and released; so are the others.  *next is the page behind
 * the block.  False if a page is not of the leaf.
 */
static bool
read_large_block(Relation index, const AnnIndex *info, AnnLeafId leaf,
				 Buffer buffer, char *scratch, BlockNumber *next)
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
			!read_leaf_page(index, leaf, *next, BUFFER_LOCK_SHARE, NULL, &buffer))
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

/* Visit the blocks of a page, and tell which one comes next. */
static BlockNumber
visit_page(Relation index, const AnnIndex *info, Buffer buffer,
		   AnnLeafVisitor visit, void *state)
{
	Page		page = BufferGetPage(buffer);
	BlockNumber next = ANN_PAGE_TAIL(page)->next;
	int			blocks = count_blocks(index, info, buffer);

	if (next != InvalidBlockNumber)
		ann_recent_prefetch(index, next, 0, FIRST_LINES);
	for (int i = 0; i < blocks; i++)
		visit(page_block(info, page, i), state);
	return next;
}

bool
ann_leaf_scan(Relation index, const AnnIndex *info, AnnLeafId leaf,
			  AnnLeafVisitor visit, void *state, char *scratch)
{
	BlockNumber block = leaf.first;
	Circle		circle = {0};
	Buffer		buffer;

	while (block != InvalidBlockNumber)
	{
		CHECK_FOR_INTERRUPTS();
		if (!read_leaf_page(index, leaf, block, BUFFER_LOCK_SHARE, NULL, &buffer))
			return false;
		check_circle(index, &circle, block);
		if (info->pages_per_block > 1)
		{
			if (!read_large_block(index, info, leaf, buffer, scratch, &block))
				return false;
			visit((AnnLeafBlock *) scratch, state);
			continue;
		}
		block = visit_page(index, info, buffer, visit, state);
		UnlockReleaseBuffer(buffer);
	}
	return true;
}

void
ann_leaf_scan_locked(Relation index, const AnnIndex *info, Buffer first,
					 AnnLeafVisitor visit, void *state)
{
	AnnLeafId	leaf = {BufferGetBlockNumber(first),
		LEAF_HEADER(BufferGetPage(first))->generation};
	BlockNumber block;
	Circle		circle = {0};
	Buffer		buffer;

	Assert(info->pages_per_block == 1);
	block = visit_page(index, info, first, visit, state);
	while (block != InvalidBlockNumber)
	{
		check_circle(index, &circle, block);
		if (block == leaf.first ||
			!read_leaf_page(index, leaf, block, BUFFER_LOCK_SHARE, NULL, &buffer))
			ann_page_corrupted(index, block, "no page of leaf %u, though one is linked,",
							   leaf.first);
		block = visit_page(index, info, buffer, visit, state);
		UnlockReleaseBuffer(buffer);
	}
}

/* ---- a leaf in memory ---- */

AnnLeafImage *
ann_leaf_image_make(const AnnIndex *info)
{
	AnnLeafImage *image = palloc(sizeof(AnnLeafImage));

	image->info = info;
	image->capacity = 4;
	image->blocks = palloc_extended((Size) info->block_size * image->capacity, MCXT_ALLOC_HUGE);
	ann_leaf_image_reset(image);
	return image;
}

/* A leaf has one block at least. */
void
ann_leaf_image_reset(AnnLeafImage *image)
{
	memset(image->blocks, 0, image->info->block_size);
	image->num_blocks = 1;
	image->rows = 0;
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
ann_leaf_image_add(AnnLeafImage *image, AnnElementRef element,
				   const uint8 *code, const AnnCodeFactors *factors)
{
	Size		size = image->info->block_size;
	AnnLeafBlock *block;

	if (image->rows == image->num_blocks * ANN_BLOCK_ROWS)
	{
		if (image->num_blocks == image->capacity)
		{
			image->capacity *= 2;
			image->blocks = repalloc_huge(image->blocks, size * image->capacity);
		}
		memset(image->blocks + size * image->num_blocks++, 0, size);
	}
	block = (AnnLeafBlock *) (image->blocks + size * (image->num_blocks - 1));
	put_row(image->info, block, image->rows % ANN_BLOCK_ROWS, element, code, factors);
	block->live |= (uint32) 1 << (image->rows++ % ANN_BLOCK_ROWS);
}

/* How many pages the image takes. */
static uint32
image_pages(const AnnLeafImage *image)
{
	const AnnIndex *info = image->info;

	if (info->pages_per_block > 1)
		return image->num_blocks * info->pages_per_block;
	return (image->num_blocks + info->blocks_per_page - 1) / info->blocks_per_page;
}

/* Fill page number i of the image, all but the links. */
static void
fill_page(const AnnLeafImage *image, uint32 i, AnnLeafId leaf, Page page)
{
	const AnnIndex *info = image->info;
	AnnLeafHeader *header = LEAF_HEADER(page);
	uint32		block,
				blocks = 0;
	Size		start,
				bytes;

	if (info->pages_per_block > 1)
	{
		uint32		part = i % info->pages_per_block;

		block = i / info->pages_per_block;
		if (part == 0)
			blocks = 1;
		start = (Size) block * info->block_size + part * ANN_LEAF_ROOM;
		bytes = part_size(info, part);
	}
	else
	{
		block = i * info->blocks_per_page;
		blocks = Min(image->num_blocks - block, (uint32) info->blocks_per_page);
		start = (Size) block * info->block_size;
		bytes = (Size) blocks * info->block_size;
	}
	header->blocks = blocks;
	header->before = block * ANN_BLOCK_ROWS;
	header->first = leaf.first;
	header->generation = leaf.generation;
	header->last = InvalidBlockNumber;
	header->split_at = 0;
	memcpy(LEAF_BLOCKS(page), image->blocks + start, bytes);
	ann_page_set_used(page, sizeof(AnnLeafHeader) + bytes);
}

/* The page on which the last block of the image begins. */
static uint32
last_block_page(const AnnLeafImage *image)
{
	return image_pages(image) - image->info->pages_per_block;
}

AnnLeafId
ann_leaf_write_bulk(AnnBulk *bulk, uint32 chunk, const AnnLeafImage *image)
{
	uint32		n = image_pages(image);
	BlockNumber *blocks = palloc(sizeof(BlockNumber) * n);
	Page	   *pages = palloc(sizeof(Page) * n);
	AnnLeafId	leaf;

	for (uint32 i = 0; i < n; i++)
		pages[i] = ann_bulk_page(bulk, ANN_PAGE_LEAF, chunk, &blocks[i]);
	leaf.first = blocks[0];
	leaf.generation = ANN_PAGE_TAIL(pages[0])->generation;
	for (uint32 i = 0; i < n; i++)
	{
		fill_page(image, i, leaf, pages[i]);
		if (i + 1 < n)
			ANN_PAGE_TAIL(pages[i])->next = blocks[i + 1];
	}
	LEAF_HEADER(pages[0])->last = blocks[last_block_page(image)];
	for (uint32 i = 0; i < n; i++)
		ann_bulk_done(bulk, blocks[i]);
	pfree(pages);
	pfree(blocks);
	return leaf;
}

/* ---- a new leaf in a live index ---- */

/* Note in the leaf's first page where its last block is. */
static void
set_last(Relation index, AnnLeafId leaf, BlockNumber last)
{
	AnnEdit		edit;
	Page		page;

	ann_edit_begin(&edit, index);
	page = ann_edit_add(&edit, ann_page_read(index, leaf.first, ANN_PAGE_LEAF,
											 BUFFER_LOCK_EXCLUSIVE));
	LEAF_HEADER(page)->last = last;
	ann_edit_commit(&edit);
}

/*
 * Several pages go into one edit, together with the one before, which is to
 * have a link to the first of them.
 */
AnnLeafId
ann_leaf_write(Relation index, uint32 chunk, const AnnLeafImage *image)
{
	uint32		n = image_pages(image);
	uint32		last = last_block_page(image);
	BlockNumber previous = InvalidBlockNumber;
	BlockNumber last_block = InvalidBlockNumber;
	AnnLeafId	leaf = {InvalidBlockNumber, 0};

	for (uint32 i = 0; i < n;)
	{
		AnnEdit		edit;
		Page		tail = NULL;

		ann_edit_begin(&edit, index);
		if (previous != InvalidBlockNumber)
			tail = ann_edit_add(&edit, ann_page_read(index, previous, ANN_PAGE_LEAF,
													 BUFFER_LOCK_EXCLUSIVE));
		while (i < n && edit.num_buffers < MAX_GENERIC_XLOG_PAGES)
		{
			BlockNumber block;
			Page		page = ann_edit_new(&edit, ANN_PAGE_LEAF, chunk, &block);

			if (leaf.first == InvalidBlockNumber)
			{
				leaf.first = block;
				leaf.generation = ANN_PAGE_TAIL(page)->generation;
			}
			fill_page(image, i, leaf, page);
			if (tail != NULL)
				ANN_PAGE_TAIL(tail)->next = block;
			if (i == last)
				last_block = block;
			tail = page;
			previous = block;
			i++;
		}
		ann_edit_commit(&edit);
	}
	set_last(index, leaf, last_block);
	return leaf;
}

/*
 * What is freed is found from page to page, each of which is read before it is
 * made empty.
 */
void
ann_leaf_free(Relation index, AnnLeafId leaf, BlockNumber block)
{
	while (block != InvalidBlockNumber)
	{
		BlockNumber freed[MAX_GENERIC_XLOG_PAGES];
		int			n = 0;
		AnnEdit		edit;
		Buffer		buffer;

		CHECK_FOR_INTERRUPTS();
		ann_edit_begin(&edit, index);
		while (n < MAX_GENERIC_XLOG_PAGES && block != InvalidBlockNumber)
		{
			Page		page;

			if (!read_leaf_page(index, leaf, block, BUFFER_LOCK_EXCLUSIVE, NULL, &buffer))
				break;
			page = ann_edit_add(&edit, buffer);
			freed[n++] = block;
			block = ANN_PAGE_TAIL(page)->next;
			ann_edit_free(page);
		}
		if (n == 0)
		{
			ann_edit_abort(&edit);
			return;
		}
		ann_edit_commit(&edit);
		for (int i = 0; i < n; i++)
			ann_room_record(index, freed[i], ANN_PAGE_FREE, 0);
	}
}

/* ---- appending ---- */

/* A row that is not there, -1 if all are. */
static int
free_row(const AnnLeafBlock *block)
{
	return block->live == PG_UINT32_MAX ? -1 : pg_rightmost_one_pos32(~block->live);
}

/* Add an empty page behind 'last', the last one of the leaf, which is in the edit. */
static Page
add_page(AnnEdit *edit, uint32 chunk, Page last, BlockNumber *block)
{
	Page		page = ann_edit_new(edit, ANN_PAGE_LEAF, chunk, block);

	*LEAF_HEADER(page) = *LEAF_HEADER(last);
	LEAF_HEADER(page)->before += LEAF_HEADER(last)->blocks * ANN_BLOCK_ROWS;
	LEAF_HEADER(page)->blocks = 0;
	LEAF_HEADER(page)->last = InvalidBlockNumber;
	LEAF_HEADER(page)->split_at = 0;
	ANN_PAGE_TAIL(last)->next = *block;
	return page;
}

/*
 * A further block on 'page', the last one of the leaf, or on a new page where
 * that is full.  'first' is the buffer of the leaf's first page, which has to
 * know; it may be that of 'page'.
 */
static AnnLeafBlock *
extend_leaf(AnnEdit *edit, const AnnIndex *info, uint32 chunk, Buffer first,
			Page *page)
{
	AnnLeafBlock *result;

	if (LEAF_HEADER(*page)->blocks == (uint32) info->blocks_per_page)
	{
		Page		last = *page;
		Page		first_page = last;
		BlockNumber block;

		if (first != edit->buffer[0])
			first_page = ann_edit_add(edit, first);
		*page = add_page(edit, chunk, last, &block);
		LEAF_HEADER(first_page)->last = block;
	}
	result = page_block(info, *page, LEAF_HEADER(*page)->blocks++);
	memset(result, 0, info->block_size);
	ann_page_set_used(*page, sizeof(AnnLeafHeader) +
					  (Size) LEAF_HEADER(*page)->blocks * info->block_size);
	return result;
}

/*
 * ann_leaf_append where blocks fit a page; first is locked exclusively, which
 * keeps others from appending, and changed only when a page is added.
 */
static void
append_small(Relation index, const AnnIndex *info, uint32 chunk, Buffer first,
			 AnnElementRef element, const uint8 *code,
			 const AnnCodeFactors *factors, AnnLeafFill *fill)
{
	BlockNumber last = LEAF_HEADER(BufferGetPage(first))->last;
	Buffer		buffer = first;
	AnnEdit		edit;
	Page		page;
	AnnLeafBlock *block;
	int			row;

	fill->split_at = LEAF_HEADER(BufferGetPage(first))->split_at;
	fill->new_block = false;
	if (last != BufferGetBlockNumber(first))
		buffer = ann_page_read(index, last, ANN_PAGE_LEAF, BUFFER_LOCK_EXCLUSIVE);
	if (count_blocks(index, info, buffer) == 0)
		ann_page_corrupted(index, last, "no blocks on a leaf page");
	ann_edit_begin(&edit, index);
	page = ann_edit_add(&edit, buffer);
	block = page_block(info, page, LEAF_HEADER(page)->blocks - 1);
	row = free_row(block);
	if (row < 0)
	{
		block = extend_leaf(&edit, info, chunk, first, &page);
		row = 0;
		fill->new_block = true;
	}
	put_row(info, block, row, element, code, factors);
	block->live |= (uint32) 1 << row;
	fill->rows = LEAF_HEADER(page)->before +
		(LEAF_HEADER(page)->blocks - 1) * ANN_BLOCK_ROWS + row + 1;

	/* whether or not the first page is in the edit, it is still ours */
	ann_edit_commit_keeping(&edit, first);
	UnlockReleaseBuffer(first);
}

/*
 * Make the pages of a further large block, empty, and link them behind 'tail',
 * the last page of the chain.  From its end to its beginning, so that the link
 * from the leaf comes last.  Returns its first page.
 */
static BlockNumber
add_large_block(Relation index, const AnnIndex *info, uint32 chunk,
				AnnLeafId leaf, uint32 before, BlockNumber tail)
{
	BlockNumber next = InvalidBlockNumber;
	AnnEdit		edit;
	Page		page;

	for (int i = info->pages_per_block - 1; i >= 0; i--)
	{
		BlockNumber block;
		AnnLeafHeader *header;

		ann_edit_begin(&edit, index);
		page = ann_edit_new(&edit, ANN_PAGE_LEAF, chunk, &block);
		header = LEAF_HEADER(page);
		memset(header, 0, sizeof(AnnLeafHeader));
		header->blocks = (i == 0) ? 1 : 0;
		header->before = before;
		header->first = leaf.first;
		header->generation = leaf.generation;
		header->last = InvalidBlockNumber;
		ann_page_set_used(page, sizeof(AnnLeafHeader) + part_size(info, i));
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

/*
 * Copy the large block that begins at a page to scratch, and note its pages.
 * Returns the number of rows before it.
 */
static uint32
read_block_pages(Relation index, const AnnIndex *info, BlockNumber begin,
				 char *scratch, BlockNumber *pages)
{
	BlockNumber block = begin;
	uint32		before = 0;

	for (int i = 0; i < info->pages_per_block; i++)
	{
		Buffer		buffer = ann_page_read(index, block, ANN_PAGE_LEAF, BUFFER_LOCK_SHARE);
		Page		page = BufferGetPage(buffer);

		pages[i] = block;
		before = LEAF_HEADER(page)->before;
		memcpy(scratch + i * ANN_LEAF_ROOM, LEAF_BLOCKS(page), part_size(info, i));
		block = ANN_PAGE_TAIL(page)->next;
		UnlockReleaseBuffer(buffer);
	}
	return before;
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

/*
 * ann_leaf_append where a block takes several pages, and hence several edits.
 * The caller has the structure lock, and the heavyweight lock on the first page,
 * which keeps other writers of the leaf away.  The part with 'live' is the first, and is written
 * last.
 */
static void
append_large(Relation index, const AnnIndex *info, uint32 chunk, AnnLeafId leaf,
			 BlockNumber begin, AnnElementRef element, const uint8 *code,
			 const AnnCodeFactors *factors, AnnLeafFill *fill)
{
	AnnLeafBlock *block = palloc(info->block_size);
	BlockNumber *pages = palloc(sizeof(BlockNumber) * info->pages_per_block);
	uint32		before = read_block_pages(index, info, begin, (char *) block, pages);
	int			row = free_row(block);

	fill->new_block = (row < 0);
	if (row < 0)
	{
		before += ANN_BLOCK_ROWS;
		begin = add_large_block(index, info, chunk, leaf, before,
								pages[info->pages_per_block - 1]);
		set_last(index, leaf, begin);
		read_block_pages(index, info, begin, (char *) block, pages);
		row = 0;
	}
	put_row(info, block, row, element, code, factors);
	block->live |= (uint32) 1 << row;
	for (int i = info->pages_per_block - 1; i >= 0; i--)
		write_part(index, info, pages[i], (char *) block, i);
	fill->rows = before + row + 1;
	pfree(pages);
	pfree(block);
}

bool
ann_leaf_append(Relation index, const AnnIndex *info, uint32 chunk,
				AnnLeafId leaf, AnnElementRef element,
				const uint8 *code, const AnnCodeFactors *factors,
				AnnLeafFill *fill)
{
	Buffer		first;
	bool		found;

	if (info->pages_per_block == 1)
	{
		found = ann_leaf_lock(index, leaf, &first);
		if (found)
			append_small(index, info, chunk, first, element, code, factors, fill);
		return found;
	}
	ann_structure_lock(index, ShareLock);
	LockPage(index, leaf.first, ExclusiveLock);
	found = ann_leaf_lock(index, leaf, &first);
	if (found)
	{
		BlockNumber last = LEAF_HEADER(BufferGetPage(first))->last;

		fill->split_at = LEAF_HEADER(BufferGetPage(first))->split_at;
		UnlockReleaseBuffer(first);
		append_large(index, info, chunk, leaf, last, element, code, factors, fill);
	}
	UnlockPage(index, leaf.first, ExclusiveLock);
	ann_structure_unlock(index, ShareLock);
	return found;
}

void
ann_leaf_set_split_at(Relation index, AnnLeafId leaf, uint32 split_at)
{
	Buffer		buffer;
	AnnEdit		edit;

	if (!ann_leaf_lock(index, leaf, &buffer))
		return;
	ann_edit_begin(&edit, index);
	LEAF_HEADER(ann_edit_add(&edit, buffer))->split_at = split_at;
	ann_edit_commit(&edit);
}

/* ---- vacuum ---- */

/* Are there rows in a block that are to go or to have another element? */
static bool
has_heirs(const AnnLeafBlock *block, AnnElementHeir heir, void *state)
{
	bool		result = false;

	for (uint32 live = block->live; live != 0; live &= live - 1)
	{
		AnnElementRef element = block->element[pg_rightmost_one_pos32(live)];
		AnnElementRef next = heir(element, state);

		result |= !ann_same_tid(&element, &next);
	}
	return result;
}

static void
put_heirs(AnnLeafBlock *block, AnnElementHeir heir, void *state)
{
	for (uint32 live = block->live; live != 0; live &= live - 1)
	{
		int			row = pg_rightmost_one_pos32(live);
		AnnElementRef next = heir(block->element[row], state);

		if (ItemPointerIsValid(&next))
			block->element[row] = next;
		else
			block->live &= ~((uint32) 1 << row);
	}
}

/*
 * Bring the rows of a page, which is locked, up to date, and unlock it.  'live' and
 * the references of a large block are on its first page.
 */
static int64
vacuum_page(Relation index, const AnnIndex *info, Buffer buffer,
			AnnElementHeir heir, void *state)
{
	int			blocks = count_blocks(index, info, buffer);
	bool		changed = false;
	int64		rows = 0;
	AnnEdit		edit;
	Page		page = BufferGetPage(buffer);

	for (int i = 0; i < blocks; i++)
	{
		changed |= has_heirs(page_block(info, page, i), heir, state);
		rows += pg_popcount32(page_block(info, page, i)->live);
	}
	if (!changed)
	{
		UnlockReleaseBuffer(buffer);
		return rows;
	}
	ann_edit_begin(&edit, index);
	page = ann_edit_add(&edit, buffer);
	rows = 0;
	for (int i = 0; i < blocks; i++)
	{
		put_heirs(page_block(info, page, i), heir, state);
		rows += pg_popcount32(page_block(info, page, i)->live);
	}
	ann_edit_commit(&edit);
	return rows;
}

int64
ann_leaf_vacuum(Relation index, const AnnIndex *info, AnnLeafId leaf,
				AnnElementHeir heir, AnnPageNote note, void *state,
				BufferAccessStrategy strategy, uint32 *places)
{
	BlockNumber block = leaf.first;
	Circle		circle = {0};
	int64		rows = 0;
	Buffer		buffer;

	while (block != InvalidBlockNumber)
	{
		BlockNumber next;
		AnnLeafHeader *header;

		CHECK_FOR_INTERRUPTS();
		if (!read_leaf_page(index, leaf, block, BUFFER_LOCK_EXCLUSIVE, strategy, &buffer))
			return -1;
		check_circle(index, &circle, block);
		header = LEAF_HEADER(BufferGetPage(buffer));
		*places = header->before + Max(header->blocks, 1) * ANN_BLOCK_ROWS;
		next = ANN_PAGE_TAIL(BufferGetPage(buffer))->next;
		note(block, state);
		rows += vacuum_page(index, info, buffer, heir, state);
		block = next;
	}
	return rows;
}
