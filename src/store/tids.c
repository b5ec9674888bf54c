/*
 * tids.c
 *	  Lists of heap TIDs: read, append, vacuum, and write in a build.
 *
 * Segments grow with their list, by doubling, so that a list of n TIDs has
 * about log(n) small segments and then whole pages of them.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "store/tids.h"

/* TIDs that the first segment of a list has room for. */
#define FIRST_SEGMENT_TIDS 4

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
 * and how many TIDs it has room for.
 */
static AnnTidSegment *
get_segment(Relation index, BlockNumber block, Page page, OffsetNumber offset,
			int *capacity)
{
	AnnTidSegment *segment;
	ItemId		item;

	if (offset == InvalidOffsetNumber || offset > PageGetMaxOffsetNumber(page))
		ann_page_corrupted(index, block, "a link to item %u, which is not there,", offset);
	item = PageGetItemId(page, offset);
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


/* ---- Reading ------------------------------------------------------------ */

void
ann_tids_start(AnnTidCursor *cursor, const AnnTidList *list)
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
static void
check_circle(Relation index, AnnTidCursor *cursor)
{
	if (ann_same_tid(&cursor->next, &cursor->mark))
		ann_page_corrupted(index, ItemPointerGetBlockNumberNoCheck(&cursor->next),
						   "a list of TIDs that leads back to item %u",
						   ItemPointerGetOffsetNumberNoCheck(&cursor->next));
	if (++cursor->steps == cursor->steps_to_mark)
	{
		cursor->mark = cursor->next;
		cursor->steps_to_mark *= 2;
	}
}

bool
ann_tids_next(Relation index, AnnTidCursor *cursor, ItemPointerData *tids, int *n)
{
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(&cursor->next);
	AnnTidSegment *segment;
	Buffer		buffer;
	int			capacity;

	*n = 0;
	if (!ItemPointerIsValid(&cursor->next))
		return false;
	CHECK_FOR_INTERRUPTS();
	check_circle(index, cursor);
	buffer = ann_page_read(index, block, ANN_PAGE_TIDS, BUFFER_LOCK_SHARE);
	segment = get_segment(index, block, BufferGetPage(buffer),
						  ItemPointerGetOffsetNumberNoCheck(&cursor->next), &capacity);
	*n = Min(segment->used, ANN_MAX_SEGMENT_TIDS);
	memcpy(tids, segment->tid, sizeof(ItemPointerData) * (Size) *n);
	cursor->next = segment->next;
	UnlockReleaseBuffer(buffer);
	return true;
}

int
ann_tids_read(Relation index, const AnnTidList *list, ItemPointer *tids,
			  int *capacity, int n)
{
	AnnTidCursor cursor;
	int			found;

	ann_tids_start(&cursor, list);
	while (ItemPointerIsValid(&cursor.next))
	{
		if (n > *capacity - ANN_MAX_SEGMENT_TIDS)
		{
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
		ann_tids_next(index, &cursor, *tids + n, &found);
		n += found;
	}
	return n;
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
	buffer = ann_room_find(edit->index, ANN_PAGE_TIDS, chunk, room);
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


/* ---- Vacuum ------------------------------------------------------------- */

/* Ask for one TID of a list; true if it is to go. */
static bool
is_gone(AnnVacuum *vacuum, ItemPointer tid, const ItemPointerData *known,
		bool known_gone)
{
	bool		gone;

	if (known != NULL && ann_same_tid(tid, known))
		return known_gone;
	gone = vacuum->callback(tid, vacuum->state);
	if (gone)
		vacuum->removed++;
	else
		vacuum->kept++;
	return gone;
}

/* Vacuum one segment, in 'buffer', which is unlocked and released. */
static void
vacuum_segment(AnnVacuum *vacuum, Buffer buffer, OffsetNumber offset,
			   const ItemPointerData *known, bool known_gone,
			   ItemPointer survivor, ItemPointer next)
{
	BlockNumber block = BufferGetBlockNumber(buffer);
	AnnTidSegment *segment;
	ItemPointerData kept[ANN_MAX_SEGMENT_TIDS];
	AnnEdit		edit;
	int			capacity;
	int			n = 0;

	segment = get_segment(vacuum->index, block, BufferGetPage(buffer), offset, &capacity);
	*next = segment->next;
	for (int i = 0; i < segment->used; i++)
	{
		if (!ItemPointerIsValid(&segment->tid[i]))
			ann_page_corrupted(vacuum->index, block, "an invalid TID in item %u", offset);
		if (!is_gone(vacuum, &segment->tid[i], known, known_gone))
			kept[n++] = segment->tid[i];
	}
	if (n > 0 && !ItemPointerIsValid(survivor))
		*survivor = kept[0];
	if (n == segment->used)
	{
		UnlockReleaseBuffer(buffer);
		return;
	}
	ann_edit_begin(&edit, vacuum->index);
	segment = get_segment(vacuum->index, block, ann_edit_add(&edit, buffer), offset,
						  &capacity);
	memcpy(segment->tid, kept, sizeof(ItemPointerData) * (Size) n);
	memset(segment->tid + n, 0, sizeof(ItemPointerData) * (Size) (segment->used - n));
	segment->used = (uint16) n;
	ann_edit_commit(&edit);
}

void
ann_tids_vacuum(AnnVacuum *vacuum, const AnnTidList *list,
				const ItemPointerData *known, bool known_gone,
				ItemPointer survivor)
{
	AnnTidCursor cursor;

	ItemPointerSetInvalid(survivor);
	ann_tids_start(&cursor, list);
	while (ItemPointerIsValid(&cursor.next))
	{
		Buffer		buffer;

		check_circle(vacuum->index, &cursor);
		if (!ann_page_try_read_by(vacuum->index,
								  ItemPointerGetBlockNumberNoCheck(&cursor.next),
								  ANN_PAGE_TIDS, BUFFER_LOCK_EXCLUSIVE,
								  vacuum->strategy, &buffer))
			ann_page_corrupted(vacuum->index,
							   ItemPointerGetBlockNumberNoCheck(&cursor.next),
							   "no page of TIDs, though one is linked,");
		vacuum_segment(vacuum, buffer, ItemPointerGetOffsetNumberNoCheck(&cursor.next),
					   known, known_gone, survivor, &cursor.next);
	}
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

/* A segment of less than a page, on the shared page. */
static ItemPointerData
write_last_segment(AnnTidWriter *writer, const ItemPointerData *tids, int n)
{
	ItemPointerData none;

	if (writer->page != NULL && ann_page_room(writer->page) < segment_room(n))
	{
		ann_bulk_done(writer->bulk, writer->block);
		writer->page = NULL;
	}
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
ann_tids_write(AnnTidWriter *writer, const ItemPointerData *tids, int n)
{
	int			whole = (n - 1) / ANN_MAX_SEGMENT_TIDS;
	int			rest = n - whole * ANN_MAX_SEGMENT_TIDS;
	AnnTidList	list;
	BlockNumber block = InvalidBlockNumber;
	Page		page = NULL;

	Assert(n > 0);
	list.tail = write_last_segment(writer, tids + (n - rest), rest);
	list.head = list.tail;
	if (whole > 0)
	{
		page = new_page(writer, &block);
		ItemPointerSet(&list.head, block, FirstOffsetNumber);
	}
	for (int i = 0; i < whole; i++)
	{
		ItemPointerData next = list.tail;
		BlockNumber next_block = InvalidBlockNumber;
		Page		next_page = NULL;

		if (i + 1 < whole)
		{
			next_page = new_page(writer, &next_block);
			ItemPointerSet(&next, next_block, FirstOffsetNumber);
		}
		write_segment(page, block, tids, ANN_MAX_SEGMENT_TIDS, next);
		ann_bulk_done(writer->bulk, block);
		tids += ANN_MAX_SEGMENT_TIDS;
		page = next_page;
		block = next_block;
	}
	return list;
}

void
ann_tids_end(AnnTidWriter *writer)
{
	if (writer->page != NULL)
		ann_bulk_done(writer->bulk, writer->block);
	pfree(writer);
}
