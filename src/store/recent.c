/*
 * recent.c
 *	  Pages in shared buffers, found again without the buffer table.
 *
 * A direct-mapped table of the backend: a block's entry is overwritten by
 * another block of the same hash.  Where that is often, a larger table takes its
 * place.  ReadRecentBuffer checks, once the buffer is pinned, that the block is
 * still there.
 */
#include "postgres.h"

#include "compat.h"
#include "pgstat.h"
#include "storage/buf_internals.h"
#include "store/recent.h"
#include "utils/memutils.h"

/*
 * So many bits of the hash: from 16,384 entries, for 128 MB of pages at best, to
 * 262,144 for 2 GB, in 3 MB.
 */
#define MIN_BITS 14
#define MAX_BITS 18

#define CACHE_LINE 64

typedef struct RecentBuffer
{
	Oid			index;
	BlockNumber block;
	Buffer		buffer;			/* InvalidBuffer: nothing known */
} RecentBuffer;

static RecentBuffer *recent = NULL;
static int	bits = 0;			/* of the table there is */
static uint32 displaced = 0;	/* entries, since it was made */

static void
make_table(int new_bits)
{
	RecentBuffer *old = recent;

	recent = MemoryContextAllocZero(TopMemoryContext, sizeof(RecentBuffer) << new_bits);
	bits = new_bits;
	displaced = 0;
	if (old != NULL)
		pfree(old);
}

static RecentBuffer *
get_entry(Relation index, BlockNumber block)
{
	uint32		hash = (block + RelationGetRelid(index) * 40503) * 2654435769u;

	if (recent == NULL)
		make_table(MIN_BITS);
	return &recent[hash >> (32 - bits)];
}

static bool
is_entry_of(const RecentBuffer *entry, Relation index, BlockNumber block)
{
	return entry->block == block && entry->index == RelationGetRelid(index) &&
		entry->buffer != InvalidBuffer;
}

Buffer
ann_recent_read(Relation index, BlockNumber block)
{
	RecentBuffer *entry = get_entry(index, block);
	Buffer		buffer;

	if (is_entry_of(entry, index, block) &&
		ReadRecentBuffer(*ANN_LOCATOR(index), MAIN_FORKNUM, block, entry->buffer))
	{
		pgstat_count_buffer_read(index);
		pgstat_count_buffer_hit(index);
		return entry->buffer;
	}
	buffer = ReadBuffer(index, block);

	/* pages that come for the second time may have been displaced */
	if (entry->buffer != InvalidBuffer && ++displaced >> bits > 0 && bits < MAX_BITS)
	{
		make_table(bits + 2);
		entry = get_entry(index, block);
	}
	entry->buffer = buffer;
	entry->index = RelationGetRelid(index);
	entry->block = block;
	return buffer;
}

void
ann_recent_prefetch(Relation index, BlockNumber block, Size offset, Size bytes)
{
	RecentBuffer *entry = get_entry(index, block);
	const char *page;

	if (!is_entry_of(entry, index, block) || BufferIsLocal(entry->buffer))
		return;
	__builtin_prefetch(GetBufferDescriptor(entry->buffer - 1));
	page = BufferBlocks + (Size) (entry->buffer - 1) * BLCKSZ;
	for (Size at = 0; at < bytes; at += CACHE_LINE)
		__builtin_prefetch(page + offset + at);
}

bool
ann_recent_peek(Relation index, BlockNumber block, Size offset, void *bytes, Size size)
{
#ifdef USE_VALGRIND
	/* which would complain of pages without a pin */
	return false;
#else
	RecentBuffer *entry = get_entry(index, block);

	if (!is_entry_of(entry, index, block) || BufferIsLocal(entry->buffer))
		return false;
	memcpy(bytes, BufferBlocks + (Size) (entry->buffer - 1) * BLCKSZ + offset, size);
	return true;
#endif
}
