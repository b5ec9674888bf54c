/*
 * tids.c
 *	  Lists of heap TIDs: read, append, vacuum, and write in a build.
 *
 * Segments grow with their list, by doubling, so that a list of n TIDs has
 * about log(n) small segments and then whole pages of them.
 *
 * A page of TIDs has segments of many lists.  Nobody waits for anything while
 * he has one locked: who needs a second one takes it only if it is free.
 */
#include "postgres.h"

#include "commands/vacuum.h"
#include "miscadmin.h"
#include "store/tids.h"

/* A page of segments is finished, full or not, when so many others follow it. */
#define MAX_PAGES_BEHIND 256

/* TIDs that the first segment of a list has room for. */
#define FIRST_SEGMENT_TIDS 4

/*
 * An element's version has 7 bits.  Merges in one vacuum are too few to bring it
 * round, so that a reader notices any number of them; all other steps change
 * the head of the list or the heap TID, which readers compare as well.
 */
#define MAX_ELEMENT_MERGES ANN_ELEMENT_VERSION

/* So many segments are looked at while the owner of a list is locked. */
#define TIDIED_AT_ONCE 64

#define SEGMENT_BYTES(n) \
	(offsetof(AnnTidSegment, tid) + sizeof(ItemPointerData) * (Size) (n))

StaticAssertDecl(sizeof(ItemIdData) + MAXALIGN(SEGMENT_BYTES(ANN_MAX_SEGMENT_TIDS)) <= ANN_BODY_SIZE,
				 "the largest segment fits a page");
StaticAssertDecl(sizeof(ItemIdData) + MAXALIGN(SEGMENT_BYTES(ANN_MAX_SEGMENT_TIDS + 1)) > ANN_BODY_SIZE,
				 "the largest segment fills a page");

/* What a segment of n TIDs takes of a page's room. */
static Size
segment_room(int n)
{
	return sizeof(ItemIdData) + MAXALIGN(SEGMENT_BYTES(n));
}

/*
 * The segment at 'offset' of a page, which is that of 'block' or a copy of it,
 * and how many TIDs it has room for.  NULL if there is none.
 */
static AnnTidSegment *
find_segment(Relation index, BlockNumber block, Page page, OffsetNumber offset,
			 int *capacity)
{
	AnnTidSegment *segment;
	ItemId		item;

	if (offset == InvalidOffsetNumber || offset > PageGetMaxOffsetNumber(page))
		return NULL;
	item = PageGetItemId(page, offset);
	if (!ItemIdIsUsed(item))
		return NULL;
	if (!ItemIdIsNormal(item) ||
		ItemIdGetOffset(item) < ((PageHeader) page)->pd_upper ||
		ItemIdGetOffset(item) != MAXALIGN(ItemIdGetOffset(item)) ||
		ItemIdGetOffset(item) + ItemIdGetLength(item) > ((PageHeader) page)->pd_special ||
		ItemIdGetLength(item) < SEGMENT_BYTES(0))
		ann_page_corrupted(index, block, "a bad item %u", offset);
	segment = (AnnTidSegment *) PageGetItem(page, item);
	*capacity = (int) ((ItemIdGetLength(item) - SEGMENT_BYTES(0)) / sizeof(ItemPointerData));
	if (segment->used > *capacity)
		ann_page_corrupted(index, block, "a bad list of TIDs in item %u", offset);
	return segment;
}

/* The same for who knows that there is one. */
static AnnTidSegment *
get_segment(Relation index, BlockNumber block, Page page, OffsetNumber offset,
			int *capacity)
{
	AnnTidSegment *segment = find_segment(index, block, page, offset, capacity);

	if (segment == NULL)
		ann_page_corrupted(index, block, "a link to item %u, which is not there,", offset);
	return segment;
}

/*
 * Put an empty segment for n TIDs on a page that has room for it; returns
 * where it is.
 */
static ItemPointerData
put_segment(Page page, BlockNumber block, int n, AnnTidSegment **segment)
{
	PGAlignedBlock item;
	ItemPointerData result;
	OffsetNumber offset;

	memset(item.data, 0, SEGMENT_BYTES(n));
	ItemPointerSetInvalid(&((AnnTidSegment *) item.data)->next);
	offset = PageAddItem(page, (Item) item.data, SEGMENT_BYTES(n),
						 InvalidOffsetNumber, false, false);
	if (offset == InvalidOffsetNumber)
		elog(ERROR, "no room for %d TIDs in block %u", n, block);
	*segment = (AnnTidSegment *) PageGetItem(page, PageGetItemId(page, offset));
	ItemPointerSet(&result, block, offset);
	return result;
}

/*
 * Remove a segment, which get_segment has checked, from a page of an edit.  The
 * others keep their numbers.  A page without any becomes a free one.
 *
 * Not by PageRepairFragmentation: that takes no more items than a page of a
 * table has.
 */
static void
remove_segment(Page page, OffsetNumber offset)
{
	OffsetNumber last;

	PageIndexTupleDeleteNoCompact(page, offset);
	last = PageGetMaxOffsetNumber(page);
	while (last > 0 && !ItemIdIsUsed(PageGetItemId(page, last)))
		last--;
	ann_page_set_used(page, last * sizeof(ItemIdData));
	if (last == 0)
		ann_edit_free(page);
	else if (offset < last)
		PageSetHasFreeLinePointers(page);
}


/* ---- Reading ------------------------------------------------------------ */

/* Where a reader or a vacuum of a list is. */
typedef struct Cursor
{
	ItemPointerData next;
	ItemPointerData mark;		/* to find out that a list is a circle */
	uint64		steps;
	uint64		steps_to_mark;
} Cursor;

static void
start_list(Cursor *cursor, const AnnTidList *list)
{
	cursor->next = list->head;
	ItemPointerSetInvalid(&cursor->mark);
	cursor->steps = 0;
	cursor->steps_to_mark = 1;
}

/*
 * Links that lead in a circle are found as Brent does (1980): a mark that jumps
 * to where we are, ever more seldom, is met again.
 */
static bool
is_circle(Cursor *cursor)
{
	if (ann_same_tid(&cursor->next, &cursor->mark))
		return true;
	if (++cursor->steps == cursor->steps_to_mark)
	{
		cursor->mark = cursor->next;
		cursor->steps_to_mark *= 2;
	}
	return false;
}

void
ann_tids_broken(Relation index, const AnnTidBreak *broken)
{
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(&broken->at);
	OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(&broken->at);

	if (broken->is_circle)
		ann_page_corrupted(index, block, "a list of TIDs that leads back to item %u", offset);
	ann_page_corrupted(index, block, "no TIDs in item %u, though a list leads there,", offset);
}

/*
 * Read the next segment to tids, which has room for ANN_MAX_SEGMENT_TIDS; their
 * number, which may be 0, to *n.  False if it is not there.
 */
static bool
read_segment(Relation index, Cursor *cursor, ItemPointerData *tids, int *n)
{
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(&cursor->next);
	AnnTidSegment *segment;
	Buffer		buffer;
	int			capacity;

	if (!ann_page_try_read(index, block, ANN_PAGE_TIDS, BUFFER_LOCK_SHARE, &buffer))
		return false;
	segment = find_segment(index, block, BufferGetPage(buffer),
						   ItemPointerGetOffsetNumberNoCheck(&cursor->next), &capacity);
	if (segment != NULL)
	{
		*n = Min(segment->used, ANN_MAX_SEGMENT_TIDS);
		memcpy(tids, segment->tid, sizeof(ItemPointerData) * (Size) *n);
		cursor->next = segment->next;
	}
	UnlockReleaseBuffer(buffer);
	return segment != NULL;
}

/* Make room for one more segment behind n TIDs. */
static void
reserve_segment(Relation index, ItemPointer *tids, int *capacity, int n)
{
	if (n <= *capacity - ANN_MAX_SEGMENT_TIDS)
		return;
	if (n > INT_MAX / 2 - ANN_MAX_SEGMENT_TIDS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a list of more than %d rows in index \"%s\"",
						n, RelationGetRelationName(index))));
	*capacity = Max(2 * n, n + ANN_MAX_SEGMENT_TIDS);
	*tids = *tids == NULL
		? palloc_extended(sizeof(ItemPointerData) * (Size) *capacity, MCXT_ALLOC_HUGE)
		: repalloc_huge(*tids, sizeof(ItemPointerData) * (Size) *capacity);
}

int
ann_tids_read(Relation index, const AnnTidList *list, ItemPointer *tids,
			  int *capacity, int n, AnnTidBreak *broken)
{
	Cursor		cursor;

	ItemPointerSetInvalid(&broken->at);
	start_list(&cursor, list);
	while (ItemPointerIsValid(&cursor.next))
	{
		int			found = 0;

		CHECK_FOR_INTERRUPTS();
		reserve_segment(index, tids, capacity, n);
		broken->is_circle = is_circle(&cursor);
		if (broken->is_circle || !read_segment(index, &cursor, *tids + n, &found))
		{
			broken->at = cursor.next;
			break;
		}
		n += found;
	}
	return n;
}

/* The list at offset 'list' of an entry of the directory. */
static const AnnTidList *
chunk_list(const AnnChunk *chunk, Size list)
{
	Assert(list == offsetof(AnnChunk, nulls) || list == offsetof(AnnChunk, undefined));
	return (const AnnTidList *) ((const char *) chunk + list);
}

int
ann_chunk_tids(Relation index, uint32 chunk, Size list, ItemPointer *tids,
			   int *capacity)
{
	AnnChunk	before,
				after;

	ann_chunk_read(index, chunk, &before);
	for (;;)
	{
		const AnnTidList *head = chunk_list(&before, list);
		AnnTidBreak broken;
		int			n = ann_tids_read(index, head, tids, capacity, 0, &broken);

		if (!ItemPointerIsValid(&head->head))
			return 0;
		ann_chunk_read(index, chunk, &after);
		if (after.version == before.version &&
			ann_same_tid(&chunk_list(&after, list)->head, &head->head))
		{
			if (ItemPointerIsValid(&broken.at))
				ann_tids_broken(index, &broken);
			return n;
		}
		before = after;
	}
}


/* ---- Appending ---------------------------------------------------------- */

/*
 * The page that the next segment goes to, a part of the edit: that of the tail,
 * whose number is in *block, if there is one and it has room; else one that the
 * map knows, or a new one, whose number goes to *block.
 */
static Page
add_segment_page(AnnEdit *edit, uint32 chunk, Page tail_page, Size room,
				 BlockNumber *block)
{
	Buffer		buffer;
	Page		page;

	if (tail_page != NULL && ann_page_room(tail_page) >= room)
		return tail_page;
	buffer = ann_tids_room_find(edit->index, chunk, room);
	if (BufferIsValid(buffer))
	{
		*block = BufferGetBlockNumber(buffer);
		return ann_edit_add(edit, buffer);
	}
	page = ann_edit_new(edit, ANN_PAGE_TIDS, chunk, block);
	ann_page_set_used(page, 0);
	return page;
}

/*
 * Append a segment of 'capacity', with tid in it, to the list at list_at of the
 * owner.  tail, unless NULL, is its last segment so far, in tail_page, both of
 * which belong to the edit.  Commits the edit.
 */
static void
append_segment(AnnEdit *edit, uint32 chunk, Buffer owner, Size list_at,
			   Page tail_page, AnnTidSegment *tail, BlockNumber tail_block,
			   int capacity, ItemPointer tid)
{
	Relation	index = edit->index;
	BlockNumber block = tail_block;
	AnnTidList *list;
	AnnTidSegment *segment;
	ItemPointerData at;
	Page		page;
	Size		left;

	list = (AnnTidList *) ((char *) ann_edit_add(edit, owner) + list_at);
	page = add_segment_page(edit, chunk, tail_page, segment_room(capacity), &block);
	at = put_segment(page, block, capacity, &segment);
	segment->tid[segment->used++] = *tid;
	left = ann_page_room(page);

	if (tail != NULL)
		tail->next = at;
	else
		list->head = at;
	list->tail = at;
	ann_edit_commit(edit);
	ann_room_record(index, block, ANN_PAGE_TIDS, left);
}

void
ann_tids_append(Relation index, uint32 chunk, Buffer owner, Size list_at,
				ItemPointer tid)
{
	AnnTidList	list = *(AnnTidList *) ((char *) BufferGetPage(owner) + list_at);
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(&list.tail);
	AnnEdit		edit;
	AnnTidSegment *tail;
	Page		page;
	int			capacity;

	ann_edit_begin(&edit, index);
	if (!ItemPointerIsValid(&list.tail))
	{
		append_segment(&edit, chunk, owner, list_at, NULL, NULL,
					   InvalidBlockNumber, FIRST_SEGMENT_TIDS, tid);
		return;
	}

	/* to lock the owner's page again would be to wait forever */
	if (block == BufferGetBlockNumber(owner))
		ann_page_corrupted(index, block, "a list of TIDs that leads to its own page");
	page = ann_edit_add(&edit, ann_page_read(index, block, ANN_PAGE_TIDS,
											 BUFFER_LOCK_EXCLUSIVE));
	tail = get_segment(index, block, page,
					   ItemPointerGetOffsetNumberNoCheck(&list.tail), &capacity);
	if (tail->used < capacity)
	{
		tail->tid[tail->used++] = *tid;
		ann_edit_commit(&edit);
		UnlockReleaseBuffer(owner);
		return;
	}
	capacity = Max(2 * capacity, FIRST_SEGMENT_TIDS);
	append_segment(&edit, chunk, owner, list_at, page, tail, block,
				   Min(capacity, ANN_MAX_SEGMENT_TIDS), tid);
}


/* ---- Vacuum: removing TIDs ---------------------------------------------- */

/* A segment of the list at hand; its page is locked exclusively. */
typedef struct Segment
{
	BlockNumber block;
	OffsetNumber offset;
	Buffer		buffer;
	AnnTidSegment *content;		/* in the buffer */
	int			capacity;
} Segment;

/* The list of an owner, in his page or a copy of it. */
static AnnTidList *
owner_list(const AnnTidOwner *owner, Page page)
{
	return (AnnTidList *) ((char *) page + owner->at + owner->list);
}

static void
lock_segment(AnnVacuum *vacuum, const AnnTidOwner *owner, const ItemPointerData *at,
			 Segment *segment)
{
	segment->block = ItemPointerGetBlockNumberNoCheck(at);
	segment->offset = ItemPointerGetOffsetNumberNoCheck(at);
	if (owner != NULL && segment->block == BufferGetBlockNumber(owner->buffer))
		ann_page_corrupted(vacuum->index, segment->block,
						   "a list of TIDs that leads to its own page");
	if (!ann_page_try_read_by(vacuum->index, segment->block, ANN_PAGE_TIDS,
							  BUFFER_LOCK_EXCLUSIVE, vacuum->strategy,
							  &segment->buffer))
		ann_page_corrupted(vacuum->index, segment->block,
						   "no page of TIDs, though one is linked,");
	segment->content = get_segment(vacuum->index, segment->block,
								   BufferGetPage(segment->buffer), segment->offset,
								   &segment->capacity);
}

/* Add the page of a segment to an edit: the page's copy, and the segment there. */
static Page
edit_segment(AnnEdit *edit, const Segment *segment, AnnTidSegment **content)
{
	Page		page = ann_edit_add(edit, segment->buffer);
	int			capacity;

	*content = get_segment(edit->index, segment->block, page, segment->offset, &capacity);
	return page;
}

bool
ann_vacuum_is_gone(AnnVacuum *vacuum, ItemPointer tid)
{
	bool		gone = vacuum->callback(tid, vacuum->state);

	if (gone)
		vacuum->removed++;
	else
		vacuum->kept++;
	return gone;
}

/* Remove the dead from a segment, and unlock it.  Returns how many stay. */
static int
vacuum_segment(AnnVacuum *vacuum, Segment *segment)
{
	ItemPointerData kept[ANN_MAX_SEGMENT_TIDS];
	AnnTidSegment *content = segment->content;
	AnnEdit		edit;
	int			n = 0;

	for (int i = 0; i < content->used; i++)
	{
		if (!ItemPointerIsValid(&content->tid[i]))
			ann_page_corrupted(vacuum->index, segment->block,
							   "an invalid TID in item %u", segment->offset);
		if (!ann_vacuum_is_gone(vacuum, &content->tid[i]))
			kept[n++] = content->tid[i];
	}
	if (n == content->used)
	{
		UnlockReleaseBuffer(segment->buffer);
		return n;
	}
	ann_edit_begin(&edit, vacuum->index);
	edit_segment(&edit, segment, &content);
	memcpy(content->tid, kept, sizeof(ItemPointerData) * (Size) n);
	memset(content->tid + n, 0, sizeof(ItemPointerData) * (Size) (content->used - n));
	content->used = (uint16) n;
	ann_edit_commit(&edit);
	return n;
}

/*
 * There is something to tidy up if the head is empty, or the TIDs of a segment fit
 * the one before.  The owner need not be locked, since nothing but a vacuum removes
 * segments.
 */
bool
ann_tids_remove(AnnVacuum *vacuum, const AnnTidList *list, const AnnTidOwner *owner)
{
	bool		untidy = false;
	int			room = 0;
	Cursor		cursor;

	start_list(&cursor, list);
	while (ItemPointerIsValid(&cursor.next))
	{
		Segment		segment;
		int			n;

		if (owner == NULL)
			ann_vacuum_delay_point();
		if (is_circle(&cursor))
		{
			AnnTidBreak broken = {cursor.next, true};

			ann_tids_broken(vacuum->index, &broken);
		}
		lock_segment(vacuum, owner, &cursor.next, &segment);
		cursor.next = segment.content->next;
		n = vacuum_segment(vacuum, &segment);
		if (n <= room)
			untidy = true;
		room = segment.capacity - n;
	}
	return untidy;
}


/* ---- Vacuum: giving back segments --------------------------------------- */

/* The version of an owner that is about to change. */
static void
count_version(const AnnTidOwner *owner, Page page)
{
	if (owner->is_element)
	{
		AnnElement *element = (AnnElement *) ((char *) page + owner->at);

		element->state = (element->state & ~ANN_ELEMENT_VERSION) |
			((element->state + 1) & ANN_ELEMENT_VERSION);
	}
	else
		((AnnChunk *) ((char *) page + owner->at))->version++;
}

/*
 * Begin a step: an edit that moves TIDs or removes segments.  The owner, a copy
 * of whose page is returned, belongs to all of them.
 */
static Page
begin_step(AnnEdit *edit, Relation index, const AnnTidOwner *owner)
{
	Page		page;

	ann_edit_begin(edit, index);
	page = ann_edit_add(edit, owner->buffer);
	count_version(owner, page);
	return page;
}

/* End it: the owner stays locked.  Room was won on 'page' of the edit. */
static void
end_step(AnnEdit *edit, const AnnTidOwner *owner, BlockNumber block, Page page)
{
	AnnPageKind kind = (AnnPageKind) ANN_PAGE_TAIL(page)->kind;
	Size		room = ann_page_room(page);

	ann_edit_commit_keeping(edit, owner->buffer);
	ann_room_note(edit->index, block, kind, room);
}

/* Remove the head, which is empty.  With the last one may go the heap TID. */
static void
unlink_head(AnnVacuum *vacuum, const AnnTidOwner *owner, const Segment *head,
			bool heap_gone)
{
	AnnTidSegment *content;
	AnnEdit		edit;
	Page		owner_page = begin_step(&edit, vacuum->index, owner);
	Page		page = edit_segment(&edit, head, &content);
	AnnTidList *list = owner_list(owner, owner_page);

	list->head = content->next;
	if (!ItemPointerIsValid(&list->head))
	{
		ItemPointerSetInvalid(&list->head);
		ItemPointerSetInvalid(&list->tail);
		if (heap_gone)
			ItemPointerSetInvalid(&((AnnElement *) ((char *) owner_page + owner->at))->heap);
	}
	remove_segment(page, head->offset);
	end_step(&edit, owner, head->block, page);
}

/* Put a TID of the head in the place of the heap TID, which is dead. */
static void
promote_tid(AnnVacuum *vacuum, const AnnTidOwner *owner, const Segment *head)
{
	AnnTidSegment *content;
	AnnEdit		edit;
	Page		owner_page = begin_step(&edit, vacuum->index, owner);
	Page		page = edit_segment(&edit, head, &content);
	ItemPointer last = &content->tid[--content->used];

	((AnnElement *) ((char *) owner_page + owner->at))->heap = *last;
	memset(last, 0, sizeof(ItemPointerData));
	end_step(&edit, owner, head->block, page);
}

/*
 * Do so until the heap TID is alive, or none is left, and the head not empty; or for
 * so many steps.  Returns how many are left.
 */
static int
tidy_head(AnnTidying *t, AnnVacuum *vacuum, const AnnTidOwner *owner, int steps)
{
	AnnTidList *list = owner_list(owner, BufferGetPage(owner->buffer));

	for (; steps > 0 && ItemPointerIsValid(&list->head); steps--)
	{
		Segment		head;

		lock_segment(vacuum, owner, &list->head, &head);
		if (head.content->used == 0)
			unlink_head(vacuum, owner, &head, t->heap_gone);
		else if (t->heap_gone)
		{
			promote_tid(vacuum, owner, &head);
			t->heap_gone = false;
		}
		else
		{
			UnlockReleaseBuffer(head.buffer);
			break;
		}
	}
	t->head_done = steps > 0;
	t->at = list->head;
	return steps;
}

/*
 * Lock the segment behind another one, too, if its TIDs fit that.  Does not wait
 * for its page, which may be the same.
 */
static bool
lock_mergeable(AnnVacuum *vacuum, const Segment *segment, Segment *next)
{
	const ItemPointerData *at = &segment->content->next;

	if (!ItemPointerIsValid(at))
		return false;
	next->block = ItemPointerGetBlockNumberNoCheck(at);
	next->offset = ItemPointerGetOffsetNumberNoCheck(at);
	next->buffer = segment->buffer;
	if (next->block != segment->block)
	{
		next->buffer = ReadBufferExtended(vacuum->index, MAIN_FORKNUM, next->block,
										  RBM_NORMAL, vacuum->strategy);
		if (!ConditionalLockBuffer(next->buffer))
		{
			ReleaseBuffer(next->buffer);
			return false;
		}
	}

	/* vacuum_segments was here, so it is a page of TIDs */
	next->content = get_segment(vacuum->index, next->block, BufferGetPage(next->buffer),
								next->offset, &next->capacity);
	if (segment->content->used + next->content->used <= segment->capacity)
		return true;
	if (next->buffer != segment->buffer)
		UnlockReleaseBuffer(next->buffer);
	return false;
}

/* Move all TIDs of a segment to the one before, and remove it.  Unlocks both. */
static void
merge_next(AnnVacuum *vacuum, const AnnTidOwner *owner, const Segment *segment,
		   const Segment *next)
{
	AnnEdit		edit;
	AnnTidList *list = owner_list(owner, begin_step(&edit, vacuum->index, owner));
	AnnTidSegment *into;
	AnnTidSegment *from;
	Page		page = edit_segment(&edit, segment, &into);
	int			capacity;

	if (next->buffer == segment->buffer)
		from = get_segment(vacuum->index, next->block, page, next->offset, &capacity);
	else
		page = edit_segment(&edit, next, &from);
	memcpy(into->tid + into->used, from->tid, sizeof(ItemPointerData) * from->used);
	into->used += from->used;
	into->next = from->next;
	if (!ItemPointerIsValid(&from->next))
		ItemPointerSet(&list->tail, segment->block, segment->offset);
	remove_segment(page, next->offset);
	end_step(&edit, owner, next->block, page);
}

/*
 * Merge neighbours, so that of two at least half of the first one's room is in
 * use.  What cannot be locked is left to the next vacuum.  False if there is more to
 * do after so many steps.
 */
static bool
merge_segments(AnnTidying *t, AnnVacuum *vacuum, const AnnTidOwner *owner, int steps)
{
	while (ItemPointerIsValid(&t->at) &&
		   !(owner->is_element && t->merges == MAX_ELEMENT_MERGES))
	{
		Segment		segment;
		Segment		next;

		if (steps-- == 0)
			return false;
		lock_segment(vacuum, owner, &t->at, &segment);
		if (lock_mergeable(vacuum, &segment, &next))
		{
			merge_next(vacuum, owner, &segment, &next);
			t->merges++;
			continue;
		}
		t->at = segment.content->next;
		UnlockReleaseBuffer(segment.buffer);
	}
	return true;
}

void
ann_tidying_begin(AnnTidying *tidying, bool heap_gone)
{
	memset(tidying, 0, sizeof(AnnTidying));
	tidying->heap_gone = heap_gone;
}

bool
ann_tidying_go_on(AnnTidying *tidying, AnnVacuum *vacuum, const AnnTidOwner *owner)
{
	int			steps = TIDIED_AT_ONCE;

	Assert(owner->is_element || !tidying->heap_gone);
	if (!tidying->head_done)
		steps = tidy_head(tidying, vacuum, owner, steps);
	return tidying->head_done && merge_segments(tidying, vacuum, owner, steps);
}

/* Every search reads the directory: it is locked for tidying up only, and not for long. */
static void
vacuum_chunk_list(AnnVacuum *vacuum, uint32 chunk, Size list)
{
	AnnTidOwner owner = {InvalidBuffer, 0, list, false};
	AnnTidying	tidying;
	AnnChunk	entry;
	bool		done;

	ann_chunk_read(vacuum->index, chunk, &entry);
	done = !ann_tids_remove(vacuum, chunk_list(&entry, list), NULL);
	ann_tidying_begin(&tidying, false);
	while (!done)
	{
		ann_vacuum_delay_point();
		owner.buffer = ann_chunk_lock(vacuum->index, chunk, BUFFER_LOCK_EXCLUSIVE, &owner.at);
		done = ann_tidying_go_on(&tidying, vacuum, &owner);
		UnlockReleaseBuffer(owner.buffer);
	}
}

void
ann_chunk_lists_vacuum(AnnVacuum *vacuum, uint32 chunk)
{
	vacuum_chunk_list(vacuum, chunk, offsetof(AnnChunk, nulls));
	vacuum_chunk_list(vacuum, chunk, offsetof(AnnChunk, undefined));
}


/* ---- Writing in a build ------------------------------------------------- */

/* A page is shared by the last segments of many lists. */
struct AnnTidWriter
{
	AnnBulk    *bulk;
	uint32		chunk;
	Page		page;			/* the shared page being filled, or NULL */
	BlockNumber block;
};

AnnTidWriter *
ann_tids_begin(AnnBulk *bulk, uint32 chunk)
{
	AnnTidWriter *writer = palloc(sizeof(AnnTidWriter));

	writer->bulk = bulk;
	writer->chunk = chunk;
	writer->page = NULL;
	writer->block = InvalidBlockNumber;
	return writer;
}

static Page
new_page(AnnTidWriter *writer, BlockNumber *block)
{
	Page		page = ann_bulk_page(writer->bulk, ANN_PAGE_TIDS, writer->chunk, block);

	ann_page_set_used(page, 0);
	return page;
}

static ItemPointerData
write_segment(Page page, BlockNumber block, const ItemPointerData *tids, int n,
			  ItemPointerData next)
{
	AnnTidSegment *segment;
	ItemPointerData at = put_segment(page, block, n, &segment);

	memcpy(segment->tid, tids, sizeof(ItemPointerData) * (Size) n);
	segment->used = (uint16) n;
	segment->next = next;
	return at;
}

void
ann_tids_flush(AnnTidWriter *writer)
{
	if (writer->page != NULL)
		ann_bulk_done(writer->bulk, writer->block);
	writer->page = NULL;
}

void
ann_tids_let_go(AnnTidWriter *writer)
{
	if (writer->page != NULL &&
		ann_bulk_pages(writer->bulk) - writer->block > MAX_PAGES_BEHIND)
		ann_tids_flush(writer);
}

/* A segment of less than a page, on the shared page. */
static ItemPointerData
write_last_segment(AnnTidWriter *writer, const ItemPointerData *tids, int n)
{
	ItemPointerData none;

	ann_tids_let_go(writer);
	if (writer->page != NULL && ann_page_room(writer->page) < segment_room(n))
		ann_tids_flush(writer);
	if (writer->page == NULL)
		writer->page = new_page(writer, &writer->block);
	ItemPointerSetInvalid(&none);
	return write_segment(writer->page, writer->block, tids, n, none);
}

/*
 * What fills no page is written first, as the last segment, then whole pages
 * from first to last, each with the next one's number.
 */
AnnTidList
ann_tids_write(AnnTidWriter *writer, uint64 n, AnnTidReader read, void *state)
{
	uint64		whole = (n - 1) / ANN_MAX_SEGMENT_TIDS;
	int			rest = (int) (n - whole * ANN_MAX_SEGMENT_TIDS);
	ItemPointerData tids[ANN_MAX_SEGMENT_TIDS];
	AnnTidList	list;
	BlockNumber block = InvalidBlockNumber;
	Page		page = NULL;

	Assert(n > 0);
	read(state, tids, rest);
	list.tail = write_last_segment(writer, tids, rest);
	list.head = list.tail;
	if (whole > 0)
	{
		page = new_page(writer, &block);
		ItemPointerSet(&list.head, block, FirstOffsetNumber);
	}
	for (uint64 i = 0; i < whole; i++)
	{
		ItemPointerData next = list.tail;
		BlockNumber next_block = InvalidBlockNumber;
		Page		next_page = NULL;

		CHECK_FOR_INTERRUPTS();
		if (i + 1 < whole)
		{
			next_page = new_page(writer, &next_block);
			ItemPointerSet(&next, next_block, FirstOffsetNumber);
		}
		read(state, tids, ANN_MAX_SEGMENT_TIDS);
		write_segment(page, block, tids, ANN_MAX_SEGMENT_TIDS, next);
		ann_bulk_done(writer->bulk, block);
		page = next_page;
		block = next_block;
	}
	return list;
}

void
ann_tids_end(AnnTidWriter *writer)
{
	ann_tids_flush(writer);
	pfree(writer);
}
