/*
 * recent.c
 *	  Pages in shared buffers, found again without the buffer table.
 *
 * A direct-mapped table of the backend: a block's entry is overwritten by
 * another block of the same hash.  ReadRecentBuffer checks, once the buffer is
 * pinned, that the block is still there.
 */
#include "postgres.h"

#include "compat.h"
#include "pgstat.h"
#include "storage/buf_internals.h"
#include "store/recent.h"
#include "utils/memutils.h"

/* So many bits of the hash: 65,536 entries, for 512 MB of pages at best. */
#define HASH_BITS 16

#define CACHE_LINE 64

typedef struct RecentBuffer
{
	Oid			index;
	BlockNumber block;
	Buffer		buffer;			/* InvalidBuffer: nothing known */
} RecentBuffer;

static RecentBuffer *recent = NULL;

static RecentBuffer *
get_entry(Relation index, BlockNumber block)
{
	uint32		hash = (block + RelationGetRelid(index) * 40503) * 2654435769u;

	if (recent == NULL)
		recent = MemoryContextAllocZero(TopMemoryContext, sizeof(RecentBuffer) << HASH_BITS);
	return &recent[hash >> (32 - HASH_BITS)];
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

	if (is_entry_of(entry, index, block) &&
		ReadRecentBuffer(*ANN_LOCATOR(index), MAIN_FORKNUM, block, entry->buffer))
	{
		pgstat_count_buffer_read(index);
		pgstat_count_buffer_hit(index);
		return entry->buffer;
	}
	entry->buffer = ReadBuffer(index, block);
	entry->index = RelationGetRelid(index);
	entry->block = block;
	return entry->buffer;
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
