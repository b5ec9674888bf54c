/*
 * check_set.c
 *	  Sets of places: blocks with small numbers.
 *
 * A hash table from blocks to bitmaps that grow with the largest number, so
 * that a set of all rows of a table takes about one hundredth of it.
 */
#include "postgres.h"

#include "am/check.h"
#include "common/hashfn.h"
#include "utils/memutils.h"

#define WORD_BITS 64

typedef struct PlaceEntry
{
	BlockNumber block;
	char		status;			/* simplehash's */
	uint16		words;
	uint64	   *bits;
} PlaceEntry;

#define SH_PREFIX place
#define SH_ELEMENT_TYPE PlaceEntry
#define SH_KEY_TYPE BlockNumber
#define SH_KEY block
#define SH_HASH_KEY(table, key) murmurhash32(key)
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
/* the simplehash of PostgreSQL 15 shadows a variable of its own */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#include "lib/simplehash.h"
#pragma GCC diagnostic pop

struct AnnPlaceSet
{
	MemoryContext context;
	place_hash *entries;
	PlaceEntry *last;			/* the one asked for last, as is likely again */
};

AnnPlaceSet *
ann_place_set_make(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ann check set",
												  ALLOCSET_DEFAULT_SIZES);
	AnnPlaceSet *set = MemoryContextAlloc(context, sizeof(AnnPlaceSet));

	set->context = context;
	set->entries = place_create(context, 256, NULL);
	set->last = NULL;
	return set;
}

void
ann_place_set_free(AnnPlaceSet *set)
{
	MemoryContextDelete(set->context);
}

/* Make room for a number. */
static void
grow_entry(AnnPlaceSet *set, PlaceEntry *entry, int words)
{
	uint64	   *bits = MemoryContextAllocZero(set->context, sizeof(uint64) * (Size) words);

	if (entry->words > 0)
	{
		memcpy(bits, entry->bits, sizeof(uint64) * entry->words);
		pfree(entry->bits);
	}
	entry->bits = bits;
	entry->words = (uint16) words;
}

bool
ann_place_set_add(AnnPlaceSet *set, BlockNumber block, uint16 number)
{
	int			word = number / WORD_BITS;
	uint64		bit = UINT64CONST(1) << (number % WORD_BITS);
	PlaceEntry *entry = set->last;

	if (entry == NULL || entry->block != block)
	{
		bool		found;

		entry = place_insert(set->entries, block, &found);
		if (!found)
			entry->words = 0;
		set->last = entry;
	}
	if (word >= entry->words)
		grow_entry(set, entry, word + 1);
	if (entry->bits[word] & bit)
		return false;
	entry->bits[word] |= bit;
	return true;
}

bool
ann_place_set_has(AnnPlaceSet *set, BlockNumber block, uint16 number)
{
	int			word = number / WORD_BITS;
	PlaceEntry *entry = set->last;

	if (entry == NULL || entry->block != block)
	{
		entry = place_lookup(set->entries, block);
		if (entry == NULL)
			return false;
		set->last = entry;
	}
	return word < entry->words &&
		(entry->bits[word] & (UINT64CONST(1) << (number % WORD_BITS))) != 0;
}
