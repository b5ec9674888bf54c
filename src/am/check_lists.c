/*
 * check_lists.c
 *	  ann_check: lists of TIDs, by who has them.
 *
 * A list is read with no lock but that of the page at hand, while others append
 * to it and VACUUM gives segments back: what seems wrong is followed again from
 * its owner.
 */
#include "postgres.h"

#include "am/check.h"
#include "miscadmin.h"
#include "store/tids.h"
#include "utils/memutils.h"

#define SEGMENT_BYTES(n) \
	(offsetof(AnnTidSegment, tid) + sizeof(ItemPointerData) * (Size) (n))

/* Where problems of a list as a whole are reported. */
static void
owner_place(const AnnCheck *check, const AnnListOwner *owner, BlockNumber *block,
			int *offset)
{
	*block = owner->is_chunk ? check->directory[owner->chunk / ANN_CHUNKS_PER_PAGE]
		: owner->block;
	*offset = owner->is_chunk ? (int) (owner->chunk % ANN_CHUNKS_PER_PAGE)
		: owner->slot + 1;
}

/* Read a list; false if its owner has none any more. */
static bool
read_owner(AnnCheck *check, const AnnListOwner *owner, AnnTidList *list)
{
	PGAlignedBlock copy;
	const AnnElement *element;

	if (owner->is_chunk)
	{
		AnnChunk	chunk;

		if (!ann_check_read_chunk(check, owner->chunk, &chunk))
			return false;
		memcpy(list, (char *) &chunk + owner->list, sizeof(AnnTidList));
		return true;
	}
	if (ann_check_linked(check, owner->block, ANN_PAGE_ELEMENT, owner->chunk, &copy) != NULL ||
		owner->slot >= ann_check_slots(check, (Page) copy.data))
		return false;
	element = ann_check_slot(check, (Page) copy.data, owner->slot);
	if (element->state & ANN_ELEMENT_FREE)
		return false;
	*list = element->more;
	return true;
}

/* Where a list is followed. */
typedef struct ListWalk
{
	const AnnListOwner *owner;
	AnnTidList	list;			/* as it was at the beginning */
	ItemPointerData *segments;
	int			count;
	int			capacity;
} ListWalk;

/*
 * The segment in item 'offset' of a copied page; NULL, and what is wrong, if
 * there is none.
 */
static const AnnTidSegment *
segment_of(Page page, OffsetNumber offset, const char **what)
{
	const AnnTidSegment *segment;
	ItemId		item;

	*what = "an item that is not there";
	if (offset == InvalidOffsetNumber || offset > PageGetMaxOffsetNumber(page))
		return NULL;
	item = PageGetItemId(page, offset);
	if (!ItemIdIsNormal(item))
		return NULL;
	*what = "an item out of its page's bounds";
	if (ItemIdGetOffset(item) < ((PageHeader) page)->pd_upper ||
		ItemIdGetOffset(item) != MAXALIGN(ItemIdGetOffset(item)) ||
		ItemIdGetOffset(item) + ItemIdGetLength(item) > ((PageHeader) page)->pd_special ||
		ItemIdGetLength(item) < SEGMENT_BYTES(0))
		return NULL;
	segment = (const AnnTidSegment *) PageGetItem(page, item);
	*what = "a segment with more TIDs than it has room for";
	if (SEGMENT_BYTES(segment->used) > ItemIdGetLength(item))
		return NULL;
	return segment;
}

/* The TIDs of a segment must be ones. */
static void
check_segment_tids(AnnCheck *check, const ItemPointerData *at, const AnnTidSegment *segment)
{
	for (int i = 0; i < segment->used; i++)
	{
		if (!ItemPointerIsValid(&segment->tid[i]) ||
			ItemPointerGetBlockNumberNoCheck(&segment->tid[i]) == InvalidBlockNumber)
		{
			ann_check_report(check, ItemPointerGetBlockNumberNoCheck(at),
							 ItemPointerGetOffsetNumberNoCheck(at), "tids_segment",
							 "TID %d of the segment is none", i);
			return;
		}
	}
}

/* Note a segment; false if the list has come back to one that it had. */
static bool
note_segment(ListWalk *walk, const ItemPointerData *at)
{
	/* Brent (1980): compare with those of which the number is a power of two */
	if (walk->count > 0)
	{
		int			mark = 1;

		while (mark <= walk->count / 2)
			mark *= 2;
		if (ann_same_tid(&walk->segments[mark - 1], at))
			return false;
	}
	if (walk->count == walk->capacity)
	{
		walk->capacity = Max(8, walk->capacity * 2);
		walk->segments = walk->segments == NULL
			? palloc(sizeof(ItemPointerData) * walk->capacity)
			: repalloc_huge(walk->segments, sizeof(ItemPointerData) * (Size) walk->capacity);
	}
	walk->segments[walk->count++] = *at;
	return true;
}

/*
 * Follow a list from segment to segment.  False, and a report, if it leads to
 * something else.
 */
static bool
follow_links(AnnCheck *check, ListWalk *walk)
{
	ItemPointerData at = walk->list.head;
	BlockNumber block;
	int			offset;

	owner_place(check, walk->owner, &block, &offset);
	while (ItemPointerIsValid(&at))
	{
		BlockNumber next_block = ItemPointerGetBlockNumberNoCheck(&at);
		OffsetNumber item = ItemPointerGetOffsetNumberNoCheck(&at);
		const AnnTidSegment *segment = NULL;
		PGAlignedBlock copy;
		const char *what;

		CHECK_FOR_INTERRUPTS();
		what = ann_check_linked(check, next_block, ANN_PAGE_TIDS, walk->owner->chunk, &copy);
		if (what == NULL)
			segment = segment_of((Page) copy.data, item, &what);
		if (segment == NULL || !note_segment(walk, &at))
		{
			ann_check_report(check, block, offset, "tids_link",
							 "a list of TIDs leads to (%u,%u), which is %s", next_block, item,
							 segment == NULL ? what : "on the way to itself");
			return false;
		}
		check_segment_tids(check, &at, segment);
		block = next_block;
		offset = item;
		at = segment->next;
	}
	return true;
}

/* Has a list been appended to, so that its end was on the way? */
static bool
has_grown(AnnCheck *check, const ListWalk *walk)
{
	AnnTidList	now;

	if (!read_owner(check, walk->owner, &now) || ann_same_tid(&now.tail, &walk->list.tail))
		return false;
	for (int i = 0; i < walk->count; i++)
	{
		if (ann_same_tid(&walk->segments[i], &walk->list.tail))
			return true;
	}
	return false;
}

/* Follow a list, and see whether it ends where it says. */
static void
follow_list(AnnCheck *check, void *state)
{
	ListWalk   *walk = state;
	ItemPointerData last;
	BlockNumber block;
	int			offset;

	walk->count = 0;
	if (!read_owner(check, walk->owner, &walk->list) || !follow_links(check, walk))
		return;
	ItemPointerSetInvalid(&last);
	if (walk->count > 0)
		last = walk->segments[walk->count - 1];
	if (ItemPointerIsValid(&last) ? ann_same_tid(&last, &walk->list.tail)
		: !ItemPointerIsValid(&walk->list.tail))
		return;
	if (has_grown(check, walk))
		return;
	owner_place(check, walk->owner, &block, &offset);
	ann_check_report(check, block, offset, "tids_list",
					 "a list of TIDs ends at (%u,%u), not at (%u,%u) as it says",
					 ItemPointerGetBlockNumberNoCheck(&last),
					 ItemPointerGetOffsetNumberNoCheck(&last),
					 ItemPointerGetBlockNumberNoCheck(&walk->list.tail),
					 ItemPointerGetOffsetNumberNoCheck(&walk->list.tail));
}

/* Whether a segment is another list's as well, another walk will tell. */
static void
mark_segments(AnnCheck *check, const ListWalk *walk)
{
	for (int i = 0; i < walk->count; i++)
	{
		BlockNumber block = ItemPointerGetBlockNumberNoCheck(&walk->segments[i]);
		OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(&walk->segments[i]);

		if (!ann_place_set_add(check->segments, block, offset))
			ann_check_report(check, block, offset, "tids_twice",
							 "two lists of TIDs, or one list twice, lead to the segment");
	}
}

bool
ann_check_list(AnnCheck *check, AnnListOwner *owner, bool mark)
{
	ListWalk	walk = {.owner = owner};
	bool		sound = ann_check_confirm(check, follow_list, &walk);

	if (mark)
	{
		check->lists_whole &= sound;
		mark_segments(check, &walk);
	}
	if (walk.segments != NULL)
		pfree(walk.segments);
	return sound;
}

void
ann_check_chunk_lists(AnnCheck *check)
{
	for (uint32 i = 0; i < check->num_chunks; i++)
	{
		AnnListOwner nulls = {.chunk = i, .is_chunk = true,
			.list = offsetof(AnnChunk, nulls)};
		AnnListOwner undefined = {.chunk = i, .is_chunk = true,
			.list = offsetof(AnnChunk, undefined)};

		ann_check_list(check, &nulls, true);
		ann_check_list(check, &undefined, true);
	}
}

/* Segments of one page that no list leads to. */
static void
check_page_orphans(AnnCheck *check, BlockNumber block)
{
	PGAlignedBlock copy;
	Page		page = (Page) copy.data;

	if (ann_check_linked(check, block, ANN_PAGE_TIDS, check->chunk_of[block], &copy) != NULL ||
		((PageHeader) page)->pd_lower > ((PageHeader) page)->pd_upper)
		return;
	for (OffsetNumber offset = FirstOffsetNumber;
		 offset <= PageGetMaxOffsetNumber(page); offset++)
	{
		if (ItemIdIsUsed(PageGetItemId(page, offset)) &&
			!ann_place_set_has(check->segments, block, offset))
			ann_check_report(check, block, offset, "tids_orphan",
							 "no list of TIDs leads to the segment");
	}
}

/*
 * Elements of another epoch, which are not read, may have lists; so may what is
 * behind a broken link.
 */
void
ann_check_orphans(AnnCheck *check)
{
	if (check->garbage || !check->lists_whole)
		return;
	for (BlockNumber block = 0; block < check->blocks; block++)
	{
		CHECK_FOR_INTERRUPTS();
		if (check->kind[block] == ANN_PAGE_TIDS)
			check_page_orphans(check, block);
	}
}
