/*
 * element_pages.c
 *	  Elements on pages: read, added, vacuumed, used again.
 *
 * Those of a forest are in slots of one size, those of a graph are the first parts
 * of records (link_pages.h).
 */
#include "postgres.h"

#include "commands/vacuum.h"
#include "miscadmin.h"
#include "store/element.h"
#include "store/link_pages.h"
#include "store/recent.h"


/* ---- Slots -------------------------------------------------------------- */

/* Does it go on in other pages than the one that it begins on? */
static bool
is_long(const AnnIndex *info)
{
	return info->element_size > info->slot_size;
}

/* How many slots of a page have been in use, dead and free ones included. */
static int
count_slots(const AnnIndex *info, Page page)
{
	if (ann_is_graph(info))
		return (int) PageGetMaxOffsetNumber(page);
	return Min((int) (ann_page_used(page) / info->slot_size), info->elements_per_page);
}

/* What is in a slot; an element that is free where there is no record. */
static AnnElement *
get_slot(const AnnIndex *info, Page page, int slot)
{
	static AnnElement none = {.state = ANN_ELEMENT_FREE};
	AnnElement *record;

	if (!ann_is_graph(info))
		return (AnnElement *) (ANN_PAGE_BODY(page) + slot * info->slot_size);
	record = ann_record_get(page, slot);
	return record != NULL ? record : &none;
}

/* Without rows, but its codes may not be gone. */
static bool
is_dead(const AnnElement *element)
{
	return !ItemPointerIsValid(&element->heap) && !(element->state & ANN_ELEMENT_FREE);
}

/* A page of another epoch has elements of another size, which nobody wants. */
static bool
is_current(const AnnIndex *info, Page page)
{
	return info->element_size > 0 &&
		ANN_PAGE_TAIL(page)->epoch == (uint8) info->meta.epoch;
}

/* Pin and lock a page of elements.  False if it is none, or not current. */
static bool
lock_page(Relation index, const AnnIndex *info, BlockNumber block, int mode,
		  BufferAccessStrategy strategy, Buffer *buffer)
{
	if (!ann_page_try_read_by(index, block, ANN_PAGE_ELEMENT, mode, strategy, buffer))
		return false;
	if (is_current(info, BufferGetPage(*buffer)))
		return true;
	UnlockReleaseBuffer(*buffer);
	return false;
}

/* Refuse a damaged record. */
static void
record_damaged(Relation index, Buffer buffer, int slot)
{
	ann_page_corrupted(index, BufferGetBlockNumber(buffer), "a damaged record %d",
					   slot + FirstOffsetNumber);
}

/* The same as lock_page, for who looks at all slots or adds one. */
static bool
lock_whole_page(Relation index, const AnnIndex *info, BlockNumber block, int mode,
				BufferAccessStrategy strategy, Buffer *buffer)
{
	if (!lock_page(index, info, block, mode, strategy, buffer))
		return false;
	if (ann_is_graph(info))
	{
		int			slot = ann_records_damaged(info, BufferGetPage(*buffer));

		if (slot >= 0)
			record_damaged(index, *buffer, slot);
	}
	return true;
}

/*
 * Pin and lock the page of a ref; its slot to *slot.  False if there is no such
 * element any more.
 */
static bool
lock_slot(Relation index, const AnnIndex *info, AnnElementRef ref, int mode,
		  Buffer *buffer, int *slot)
{
	*slot = ItemPointerGetOffsetNumberNoCheck(&ref) - 1;
	if (!lock_page(index, info, ItemPointerGetBlockNumberNoCheck(&ref), mode, NULL, buffer))
		return false;
	if (*slot >= 0 && *slot < count_slots(info, BufferGetPage(*buffer)))
	{
		if (ann_is_graph(info) && !ann_record_is_sound(info, BufferGetPage(*buffer), *slot))
			record_damaged(index, *buffer, *slot);
		return true;
	}
	UnlockReleaseBuffer(*buffer);
	return false;
}


/* ---- Reading ------------------------------------------------------------ */

/*
 * Read what is left of the long element in 'block', from the page 'next' on.
 * False if a page is not there.
 */
static bool
read_pages(Relation index, BlockNumber block, BlockNumber next, char *bytes, Size left)
{
	while (left > 0)
	{
		Size		part = Min(left, ANN_BODY_SIZE);
		Buffer		buffer;
		Page		page;

		/* the caller may have locked 'block' */
		if (next == InvalidBlockNumber || next == block ||
			!ann_page_try_read(index, next, ANN_PAGE_REST, BUFFER_LOCK_SHARE, &buffer))
			return false;
		page = BufferGetPage(buffer);
		memcpy(bytes, ANN_PAGE_BODY(page), part);
		next = ANN_PAGE_TAIL(page)->next;
		UnlockReleaseBuffer(buffer);
		bytes += part;
		left -= part;
	}
	return true;
}

/*
 * Whether the long element of this generation is still there, so that its rest
 * was while we read it: a page whose element has died comes to have another one
 * only with another generation.
 */
static bool
is_still_there(Relation index, const AnnIndex *info, AnnElementRef ref, uint32 generation)
{
	bool		result;
	Buffer		buffer;
	int			slot;

	if (!lock_slot(index, info, ref, BUFFER_LOCK_SHARE, &buffer, &slot))
		return false;
	result = ANN_PAGE_TAIL(BufferGetPage(buffer))->generation == generation &&
		ItemPointerIsValid(&get_slot(info, BufferGetPage(buffer), slot)->heap);
	UnlockReleaseBuffer(buffer);
	return result;
}

/* Read the rest of a long element, on whose first page 'tail' was. */
static bool
read_rest(Relation index, const AnnIndex *info, AnnElementRef ref,
		  const AnnPageTail *tail, AnnElement *element)
{
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(&ref);
	bool		complete = read_pages(index, block, tail->next,
									  (char *) element + info->slot_size,
									  info->element_size - info->slot_size);

	if (!is_still_there(index, info, ref, tail->generation))
		return false;
	if (!complete)
		ann_page_corrupted(index, block, "an element without its rest");
	return true;
}

bool
ann_element_read(Relation index, const AnnIndex *info, AnnElementRef ref,
				 AnnElement *element)
{
	AnnPageTail tail;
	Buffer		buffer;
	Page		page;
	int			slot;

	if (!lock_slot(index, info, ref, BUFFER_LOCK_SHARE, &buffer, &slot))
		return false;
	page = BufferGetPage(buffer);
	memcpy(element, get_slot(info, page, slot), info->slot_size);
	tail = *ANN_PAGE_TAIL(page);
	UnlockReleaseBuffer(buffer);
	if (!ItemPointerIsValid(&element->heap))
		return false;
	return !is_long(info) || read_rest(index, info, ref, &tail, element);
}

void
ann_element_prefetch(Relation index, const AnnIndex *info, AnnElementRef ref)
{
	Size		size = info->slot_size;
	Size		slot = ItemPointerGetOffsetNumberNoCheck(&ref) - FirstOffsetNumber;

	ann_recent_prefetch(index, ItemPointerGetBlockNumberNoCheck(&ref), 0,
						SizeOfPageHeaderData);
	ann_recent_prefetch(index, ItemPointerGetBlockNumberNoCheck(&ref),
						SizeOfPageHeaderData + slot * size, size);
}

/* Read an element without its vector.  False if it is dead or gone. */
static bool
read_header(Relation index, const AnnIndex *info, AnnElementRef ref, AnnElement *header)
{
	Buffer		buffer;
	int			slot;

	if (!lock_slot(index, info, ref, BUFFER_LOCK_SHARE, &buffer, &slot))
		return false;
	memcpy(header, get_slot(info, BufferGetPage(buffer), slot),
		   offsetof(AnnElement, vector));
	UnlockReleaseBuffer(buffer);
	return ItemPointerIsValid(&header->heap);
}

/* Whether no TID has moved between two readings of an element. */
static bool
same_list(const AnnElement *a, const AnnElement *b)
{
	return ann_same_tid(&a->heap, &b->heap) &&
		ann_same_tid(&a->more.head, &b->more.head) &&
		((a->state ^ b->state) & ANN_ELEMENT_VERSION) == 0;
}

/*
 * An element that comes back with other rows, because its slot is used again,
 * does no harm: a snapshot that was there before sees none of them.
 */
int
ann_element_tids(Relation index, const AnnIndex *info, AnnElementRef ref,
				 const AnnElement *element, ItemPointer *tids, int *capacity)
{
	AnnElement	before;
	AnnElement	after;

	memcpy(&before, element, offsetof(AnnElement, vector));
	if (*capacity < 1)
	{
		*capacity = 16;
		*tids = *tids == NULL ? palloc(sizeof(ItemPointerData) * *capacity)
			: repalloc(*tids, sizeof(ItemPointerData) * *capacity);
	}
	for (;;)
	{
		AnnTidBreak broken;
		int			n;

		(*tids)[0] = before.heap;
		if (!ItemPointerIsValid(&before.more.head))
			return 1;
		n = ann_tids_read(index, &before.more, tids, capacity, 1, &broken);
		if (!read_header(index, info, ref, &after))
			return 0;
		if (same_list(&before, &after))
		{
			if (ItemPointerIsValid(&broken.at))
				ann_tids_broken(index, &broken);
			return n;
		}
		before = after;
	}
}

int
ann_element_page_visit(Relation index, const AnnIndex *info, BlockNumber block,
					   BufferAccessStrategy strategy, AnnElementVisitor visit,
					   void *state)
{
	Buffer		buffer;
	Page		page;
	int			slots;

	if (!lock_whole_page(index, info, block, BUFFER_LOCK_SHARE, strategy, &buffer))
		return 0;
	page = BufferGetPage(buffer);
	slots = count_slots(info, page);
	for (int slot = 0; slot < slots; slot++)
	{
		AnnElement *element = get_slot(info, page, slot);
		AnnElementRef ref;

		if (!ItemPointerIsValid(&element->heap))
			continue;
		ItemPointerSet(&ref, block, (OffsetNumber) (slot + 1));
		visit(ref, ANN_PAGE_TAIL(page)->chunk, element, state);
	}
	UnlockReleaseBuffer(buffer);
	return slots;
}


/* ---- Adding ------------------------------------------------------------- */

/* What an element takes on its page; with 'links' it is a record. */
static Size
added_size(const AnnIndex *info, const AnnLinks *links)
{
	return info->slot_size + (links != NULL ? ann_links_size(info, links->capacity) : 0);
}

/*
 * What the free space map is told of a page, or asked for: slots of one size are
 * there or not, while records need so many bytes.
 */
static Size
mapped_size(Size size, const AnnLinks *links)
{
	return links != NULL ? MAXALIGN(size) + sizeof(ItemIdData) : 1;
}

/* The room of a page in the same terms; 0: none for an element. */
static Size
mapped_room(const AnnIndex *info, Page page, int free_slot)
{
	if (ann_is_graph(info))
		return PageGetExactFreeSpace(page);
	return free_slot >= 0 ? 1 : 0;
}

/*
 * The slot for a new element of a forest: behind the last one; where there is no
 * room, the first that is free.  Only then are they looked at.  -1 if there is
 * none.
 */
static int
choose_slot(const AnnIndex *info, Page page)
{
	int			slots = count_slots(info, page);

	if (ann_is_graph(info))
		return -1;
	if (slots < info->elements_per_page)
		return slots;
	for (int slot = 0; slot < slots; slot++)
	{
		if (get_slot(info, page, slot)->state & ANN_ELEMENT_FREE)
			return slot;
	}
	return -1;
}

/* Whether a page of elements is one to add so many bytes to. */
static bool
has_room(const AnnIndex *info, Page page, uint32 chunk, Size size)
{
	if (!is_current(info, page) || ANN_PAGE_TAIL(page)->chunk != chunk)
		return false;
	return ann_is_graph(info) ? ann_record_fits(page, size) : choose_slot(info, page) >= 0;
}

/* Whether a page that the map has offered is one to be used at all; others report it. */
static bool
is_sound(const AnnIndex *info, Page page)
{
	return is_current(info, page) &&
		(!ann_is_graph(info) || ann_records_damaged(info, page) < 0);
}

/* A page, locked exclusively, if it is one with room, and sound. */
static bool
try_room(Relation index, const AnnIndex *info, uint32 chunk, Size size, BlockNumber block,
		 Buffer *buffer)
{
	if (block == InvalidBlockNumber ||
		!lock_page(index, info, block, BUFFER_LOCK_EXCLUSIVE, NULL, buffer))
		return false;
	if (is_sound(info, BufferGetPage(*buffer)) &&
		has_room(info, BufferGetPage(*buffer), chunk, size))
		return true;
	UnlockReleaseBuffer(*buffer);
	return false;
}

/* The page that the directory knows of a chunk of several. */
static BlockNumber
known_page(Relation index, const AnnIndex *info, uint32 chunk)
{
	AnnChunk	entry;

	if (info->meta.chunk_blocks == 0)
		return InvalidBlockNumber;
	ann_chunk_read_as(index, info, chunk, &entry);
	return entry.element_page;
}

/*
 * A page with room for an element, locked exclusively; InvalidBuffer if none is
 * known.  First the one that this backend used last, which costs nothing.
 */
static Buffer
find_room(Relation index, const AnnIndex *info, uint32 chunk, Size size,
		  const AnnLinks *links)
{
	Buffer		buffer;
	Page		page;

	if (try_room(index, info, chunk, size, RelationGetTargetBlock(index), &buffer) ||
		try_room(index, info, chunk, size, known_page(index, info, chunk), &buffer))
		return buffer;
	for (int try = 0; try < ANN_ROOM_TRIES; try++)
	{
		bool		sound;

		buffer = ann_room_offer(index, ANN_PAGE_ELEMENT, chunk, mapped_size(size, links));
		if (!BufferIsValid(buffer))
			break;
		page = BufferGetPage(buffer);
		sound = is_sound(info, page);
		if (sound && has_room(info, page, chunk, size))
			return buffer;
		ann_room_note(index, BufferGetBlockNumber(buffer), ANN_PAGE_ELEMENT,
					  sound ? mapped_room(info, page, -1) : 0);
		UnlockReleaseBuffer(buffer);
	}
	return InvalidBuffer;
}

/*
 * A node that was to be linked to may have gone, and the new one have come to its
 * place: that is not to link to itself.
 */
static void
remove_own_link(const AnnIndex *info, AnnElement *record, BlockNumber block, int slot)
{
	AnnLinks   *links = ann_record_links(info, record);
	bool		gone[ANN_MAX_LINKS + ANN_LINK_STEP] = {false};
	AnnElementRef ref;
	int			i;

	ItemPointerSet(&ref, block, (OffsetNumber) (slot + 1));
	i = ann_links_find(links, ref);
	if (i < 0)
		return;
	gone[i] = true;
	ann_links_remove(info, links, gone);
}

/*
 * Write an element, or what fits its page, which has room.  Its version is another
 * one than that of whatever was there before.  Returns the slot.
 */
static int
write_slot(const AnnIndex *info, Page page, BlockNumber block, const AnnElement *element,
		   const AnnLinks *links)
{
	uint32		version = ANN_PAGE_TAIL(page)->generation;
	PGAlignedBlock record;
	AnnElement *place;
	int			slot;

	if (links != NULL)
	{
		memcpy(record.data, element, info->slot_size);
		memcpy(record.data + info->slot_size, links, ann_links_size(info, links->capacity));
		slot = ann_record_add(page, (AnnElement *) record.data, added_size(info, links));
	}
	else
		slot = choose_slot(info, page);
	if (slot < 0)
		elog(ERROR, "a page with room for an element has none");
	place = get_slot(info, page, slot);
	if (links == NULL)
	{
		if (slot < count_slots(info, page))
			version = place->state + 1;
		else
			ann_page_set_used(page, (slot + 1) * info->slot_size);
		memcpy(place, element, info->slot_size);
	}
	else
		remove_own_link(info, place, block, slot);
	place->state = (uint8) (version & ANN_ELEMENT_VERSION);
	return slot;
}

/* Add a new, empty page of elements to an edit. */
static Page
new_page(AnnEdit *edit, const AnnIndex *info, uint32 chunk, BlockNumber *block)
{
	Page		page = ann_edit_new(edit, ANN_PAGE_ELEMENT, chunk, block);

	ann_page_set_used(page, 0);
	ANN_PAGE_TAIL(page)->epoch = (uint8) info->meta.epoch;
	return page;
}

static AnnElementRef
add_short(Relation index, const AnnIndex *info, uint32 chunk,
		  const AnnElement *element, const AnnLinks *links)
{
	Size		size = added_size(info, links);
	Buffer		buffer = find_room(index, info, chunk, size, links);
	bool		is_new = !BufferIsValid(buffer);
	AnnElementRef ref;
	AnnEdit		edit;
	BlockNumber block;
	Page		page;
	bool		has_more;
	Size		room;
	int			slot;

	ann_edit_begin(&edit, index);
	if (is_new)
		page = new_page(&edit, info, chunk, &block);
	else
	{
		block = BufferGetBlockNumber(buffer);
		page = ann_edit_add(&edit, buffer);
	}
	slot = write_slot(info, page, block, element, links);
	has_more = has_room(info, page, chunk, size);
	room = mapped_room(info, page, has_more ? 0 : -1);
	ann_edit_commit(&edit);

	/* The map is told when a page comes to have room, and when it has none. */
	RelationSetTargetBlock(index, has_more ? block : InvalidBlockNumber);
	if (is_new || !has_more)
		ann_room_record(index, block, ANN_PAGE_ELEMENT, room);
	if (is_new && has_more && info->meta.chunk_blocks != 0)
		ann_chunk_set_element_page(index, chunk, block);
	ItemPointerSet(&ref, block, (OffsetNumber) (slot + 1));
	return ref;
}

/* Pages of the rest are written from the last to the first, then the element. */
static AnnElementRef
add_long(Relation index, const AnnIndex *info, uint32 chunk,
		 const AnnElement *element, const AnnLinks *links)
{
	Size		left = info->element_size;
	BlockNumber next = InvalidBlockNumber;
	AnnElementRef ref;

	ann_structure_lock(index, ShareLock);
	while (left > 0)
	{
		Size		start = 0;
		AnnEdit		edit;
		BlockNumber block;
		Page		page;

		if (left > (Size) info->slot_size)
			start = left - ((left - info->slot_size - 1) % ANN_BODY_SIZE + 1);
		CHECK_FOR_INTERRUPTS();
		ann_edit_begin(&edit, index);
		if (start > 0)
		{
			page = ann_edit_new(&edit, ANN_PAGE_REST, chunk, &block);
			memcpy(ANN_PAGE_BODY(page), (const char *) element + start, left - start);
			ann_page_set_used(page, left - start);
		}
		else
		{
			page = new_page(&edit, info, chunk, &block);
			write_slot(info, page, block, element, links);
		}
		ANN_PAGE_TAIL(page)->next = next;
		ann_edit_commit(&edit);
		next = block;
		left = start;
	}
	ann_structure_unlock(index, ShareLock);
	ItemPointerSet(&ref, next, FirstOffsetNumber);
	return ref;
}

AnnElementRef
ann_element_add(Relation index, const AnnIndex *info, uint32 chunk,
				const AnnElement *element, const AnnLinks *links)
{
	Assert(ItemPointerIsValid(&element->heap));
	Assert(ann_is_graph(info) == (links != NULL));
	if (is_long(info))
		return add_long(index, info, chunk, element, links);
	return add_short(index, info, chunk, element, links);
}

/* Raise the error of an element, whose page is locked and stays so. */
static void
raise_error(Relation index, const AnnIndex *info, Buffer buffer, int slot,
			float error)
{
	AnnEdit		edit;

	ann_edit_begin(&edit, index);
	get_slot(info, ann_edit_add(&edit, buffer), slot)->error = error;
	ann_edit_commit_keeping(&edit, buffer);
}

/* The same for what an element has in its rest; its page is locked. */
static bool
same_rest(Relation index, const AnnIndex *info, Buffer buffer, const AnnElement *row)
{
	Size		size = info->element_size - info->slot_size;
	BlockNumber block = BufferGetBlockNumber(buffer);
	BlockNumber next = ANN_PAGE_TAIL(BufferGetPage(buffer))->next;
	char	   *rest = palloc(size);
	bool		result;

	if (!read_pages(index, block, next, rest, size))
		ann_page_corrupted(index, block, "an element without its rest");
	result = memcmp(rest, (const char *) row + info->slot_size, size) == 0;
	pfree(rest);
	return result;
}

/* Whether a stored element, whose page is locked, has the vector of a row. */
static bool
same_vector(Relation index, const AnnIndex *info, Buffer buffer,
			const AnnElement *stored, const AnnElement *row)
{
	if (stored->exponent != row->exponent ||
		memcmp(stored->vector, row->vector,
			   info->slot_size - offsetof(AnnElement, vector)) != 0)
		return false;
	return !is_long(info) || same_rest(index, info, buffer, row);
}

bool
ann_element_add_row(Relation index, const AnnIndex *info, uint32 chunk,
					AnnElementRef ref, const AnnElement *row)
{
	ItemPointerData tid = row->heap;
	AnnElement *element;
	Buffer		buffer;
	Page		page;
	int			slot;

	Assert(ItemPointerIsValid(&tid));
	if (info->meta.scalar == ANN_SCALAR_NONE ||
		!lock_slot(index, info, ref, BUFFER_LOCK_EXCLUSIVE, &buffer, &slot))
		return false;
	page = BufferGetPage(buffer);
	element = get_slot(info, page, slot);
	if (!ItemPointerIsValid(&element->heap) || ANN_PAGE_TAIL(page)->chunk != chunk ||
		!same_vector(index, info, buffer, element, row))
	{
		UnlockReleaseBuffer(buffer);
		return false;
	}

	/* The error first: too large a one does no harm if the row fails to come. */
	if (element->error < row->error)
		raise_error(index, info, buffer, slot, row->error);
	ann_tids_append(index, chunk, buffer, (char *) &element->more - (char *) page, &tid);
	return true;
}


/* ---- Vacuum: removing TIDs ---------------------------------------------- */

/* An element whose list is too long to be vacuumed under the lock of its page. */
typedef struct LongList
{
	int			slot;
	AnnTidList	list;
} LongList;

/* Does a list go on beyond the page it begins on, by all appearances? */
static bool
is_long_list(const AnnTidList *list)
{
	return ItemPointerGetBlockNumberNoCheck(&list->head) !=
		ItemPointerGetBlockNumberNoCheck(&list->tail);
}

/* The owner of the list of an element on a locked page. */
static AnnTidOwner
list_owner(Buffer buffer, const AnnElement *element)
{
	AnnTidOwner owner = {buffer, (const char *) element - (char *) BufferGetPage(buffer),
	offsetof(AnnElement, more), true};

	return owner;
}

static void
count_element(AnnVacuum *vacuum, const AnnElement *element, bool dies)
{
	if (dies || is_dead(element))
		vacuum->dead++;
	else if (ItemPointerIsValid(&element->heap))
		vacuum->elements++;
}

/*
 * Vacuum an element with a short list, and count it.  Returns whether it is to be
 * declared dead.
 */
static bool
vacuum_element(AnnVacuum *vacuum, Buffer buffer, AnnElement *element)
{
	bool		dies = false;

	if (ItemPointerIsValid(&element->heap))
	{
		bool		gone = ann_vacuum_is_gone(vacuum, &element->heap);

		dies = gone && !ItemPointerIsValid(&element->more.head);
		if (ItemPointerIsValid(&element->more.head))
		{
			AnnTidOwner owner = list_owner(buffer, element);
			AnnTidying	tidying;

			ann_tidying_begin(&tidying, gone);
			if (ann_tids_remove(vacuum, &element->more, &owner) || gone)
				while (!ann_tidying_go_on(&tidying, vacuum, &owner))
					;
		}
	}
	count_element(vacuum, element, dies);
	return dies;
}

/*
 * Vacuum an element with a long list, and count it.  Its page is locked for the heap
 * TID and for tidying up only, each time for a while.
 */
static void
vacuum_long_list(AnnVacuum *vacuum, const AnnIndex *info, BlockNumber block,
				 const LongList *l)
{
	bool		untidy = ann_tids_remove(vacuum, &l->list, NULL);
	bool		done = false;
	AnnTidying	tidying;

	for (bool first = true; !done; first = false)
	{
		AnnElement *element;
		AnnTidOwner owner;
		Buffer		buffer;

		ann_vacuum_delay_point();
		if (!lock_whole_page(vacuum->index, info, block, BUFFER_LOCK_EXCLUSIVE,
							 vacuum->strategy, &buffer))
			return;
		element = get_slot(info, BufferGetPage(buffer), l->slot);
		owner = list_owner(buffer, element);
		if (first && ItemPointerIsValid(&element->heap))
		{
			ann_tidying_begin(&tidying, ann_vacuum_is_gone(vacuum, &element->heap));
			done = !untidy && !tidying.heap_gone;
		}
		done = done || !ItemPointerIsValid(&element->heap) ||
			ann_tidying_go_on(&tidying, vacuum, &owner);
		if (done)
			count_element(vacuum, element, false);
		UnlockReleaseBuffer(buffer);
	}
}

/* Declare elements without a list dead, in one edit; their page stays locked. */
static void
kill_elements(Relation index, const AnnIndex *info, Buffer buffer, const bool *dies,
			  int slots)
{
	AnnEdit		edit;
	Page		page;

	ann_edit_begin(&edit, index);
	page = ann_edit_add(&edit, buffer);
	for (int slot = 0; slot < slots; slot++)
	{
		if (dies[slot])
			ItemPointerSetInvalid(&get_slot(info, page, slot)->heap);
	}
	ann_edit_commit_keeping(&edit, buffer);
}

/*
 * The page stays locked while the short lists of its elements are vacuumed, so that
 * no row is added to one that is about to be declared dead.
 */
void
ann_element_page_vacuum(AnnVacuum *vacuum, const AnnIndex *info, BlockNumber block)
{
	bool		dies[ANN_MAX_PAGE_ELEMENTS];
	LongList	long_list[ANN_MAX_PAGE_ELEMENTS];
	int			num_long = 0;
	bool		any = false;
	Size		room;
	Buffer		buffer;
	Page		page;
	int			slots;

	if (!lock_whole_page(vacuum->index, info, block, BUFFER_LOCK_EXCLUSIVE, vacuum->strategy,
						 &buffer))
		return;
	page = BufferGetPage(buffer);
	vacuum->chunk = ANN_PAGE_TAIL(page)->chunk;
	slots = count_slots(info, page);
	for (int slot = 0; slot < slots; slot++)
	{
		AnnElement *element = get_slot(info, page, slot);

		dies[slot] = false;
		if (ItemPointerIsValid(&element->heap) && is_long_list(&element->more))
			long_list[num_long++] = (LongList) {slot, element->more};
		else
			dies[slot] = vacuum_element(vacuum, buffer, element);
		any |= dies[slot];
	}
	if (any)
		kill_elements(vacuum->index, info, buffer, dies, slots);

	/* The map forgets in a crash; this is where it learns again. */
	room = mapped_room(info, page, choose_slot(info, page));
	UnlockReleaseBuffer(buffer);
	if (room > 0)
		ann_room_note(vacuum->index, block, ANN_PAGE_ELEMENT, room);
	for (int i = 0; i < num_long; i++)
		vacuum_long_list(vacuum, info, block, &long_list[i]);
}


/* ---- Vacuum: giving back slots ------------------------------------------ */

int
ann_element_page_dead(Relation index, const AnnIndex *info, BlockNumber block,
					  BufferAccessStrategy strategy, uint16 *slots, int *live)
{
	Buffer		buffer;
	Page		page;
	int			count;
	int			n = 0;

	*live = 0;
	if (!lock_whole_page(index, info, block, BUFFER_LOCK_SHARE, strategy, &buffer))
		return 0;
	page = BufferGetPage(buffer);
	count = count_slots(info, page);
	for (int slot = 0; slot < count; slot++)
	{
		const AnnElement *element = get_slot(info, page, slot);

		if (is_dead(element))
			slots[n++] = (uint16) slot;
		else if (ItemPointerIsValid(&element->heap))
			(*live)++;
	}
	UnlockReleaseBuffer(buffer);
	return n;
}

/* The first page of the rest of the long element in a page, or none. */
static BlockNumber
first_rest_page(Relation index, const AnnIndex *info, BlockNumber block)
{
	BlockNumber next = InvalidBlockNumber;
	Buffer		buffer;

	if (!is_long(info) ||
		!lock_whole_page(index, info, block, BUFFER_LOCK_SHARE, NULL, &buffer))
		return next;
	if (count_slots(info, BufferGetPage(buffer)) > 0)
		next = ANN_PAGE_TAIL(BufferGetPage(buffer))->next;
	UnlockReleaseBuffer(buffer);
	return next;
}

static bool
contains(const BlockNumber *pages, int n, BlockNumber page)
{
	for (int i = 0; i < n; i++)
	{
		if (pages[i] == page)
			return true;
	}
	return false;
}

int
ann_element_rest_pages(Relation index, const AnnIndex *info, BlockNumber block,
					   BlockNumber *pages)
{
	int			needed = (int) ((info->element_size - info->slot_size + ANN_BODY_SIZE - 1) / ANN_BODY_SIZE);
	BlockNumber next = first_rest_page(index, info, block);
	int			n = 0;

	while (n < needed && next != InvalidBlockNumber)
	{
		Buffer		buffer;

		if (contains(pages, n, next))
			ann_page_corrupted(index, block, "an element whose rest leads back to block %u,",
							   next);
		if (!ann_page_try_read(index, next, ANN_PAGE_REST, BUFFER_LOCK_SHARE, &buffer))
			break;
		pages[n++] = next;
		next = ANN_PAGE_TAIL(BufferGetPage(buffer))->next;
		UnlockReleaseBuffer(buffer);
	}
	return n;
}

/* Free the rest of an element that is no more.  The pages are all different. */
static void
free_rest(Relation index, const BlockNumber *pages, int n)
{
	while (n > 0)
	{
		int			part = Min(n, MAX_GENERIC_XLOG_PAGES);
		AnnEdit		edit;

		ann_edit_begin(&edit, index);
		for (int i = 0; i < part; i++)
			ann_edit_free(ann_edit_add(&edit, ann_page_read(index, pages[i], ANN_PAGE_REST,
															BUFFER_LOCK_EXCLUSIVE)));
		ann_edit_commit(&edit);
		for (int i = 0; i < part; i++)
			ann_room_note(index, pages[i], ANN_PAGE_FREE, BLCKSZ);
		pages += part;
		n -= part;
	}
}

/* Is an element dead, without a list of TIDs that would be lost with it? */
static bool
is_releasable(const AnnElement *element)
{
	return is_dead(element) && !ItemPointerIsValid(&element->more.head);
}

/*
 * Free those of the given slots that are dead, on a page of an edit.  Returns
 * how many.
 */
static int
free_slots(const AnnIndex *info, Page page, const uint16 *slots, int n)
{
	int			count = count_slots(info, page);
	uint16		freed[ANN_MAX_PAGE_ELEMENTS];
	int			num_freed = 0;

	for (int i = 0; i < n; i++)
	{
		if (slots[i] < count && is_releasable(get_slot(info, page, slots[i])))
			freed[num_freed++] = slots[i];
	}
	if (ann_is_graph(info) && num_freed > 0)
	{
		ann_records_remove(page, freed, num_freed);

		/* whoever comes to these slots is to have another version */
		ANN_PAGE_TAIL(page)->generation++;
		return num_freed;
	}
	for (int i = 0; i < num_freed; i++)
		get_slot(info, page, freed[i])->state |= ANN_ELEMENT_FREE;
	return num_freed;
}

static bool
all_free(const AnnIndex *info, Page page)
{
	int			count = count_slots(info, page);

	for (int slot = 0; slot < count; slot++)
	{
		if (!(get_slot(info, page, slot)->state & ANN_ELEMENT_FREE))
			return false;
	}
	return true;
}

Size
ann_element_page_release(Relation index, const AnnIndex *info, BlockNumber block,
						 BufferAccessStrategy strategy, const uint16 *slots, int n)
{
	BlockNumber rest[ANN_MAX_REST_PAGES];
	int			rest_pages = ann_element_rest_pages(index, info, block, rest);
	bool		is_free;
	Size		room;
	AnnEdit		edit;
	Buffer		buffer;
	Page		page;

	if (!lock_whole_page(index, info, block, BUFFER_LOCK_EXCLUSIVE, strategy, &buffer))
		return 0;
	ann_edit_begin(&edit, index);
	page = ann_edit_add(&edit, buffer);
	if (free_slots(info, page, slots, n) == 0)
	{
		ann_edit_abort(&edit);
		return 0;
	}
	is_free = all_free(info, page);
	room = mapped_room(info, page, 0);
	if (is_free)
		ann_edit_free(page);
	ann_edit_commit(&edit);
	ann_room_note(index, block, is_free ? ANN_PAGE_FREE : ANN_PAGE_ELEMENT, room);
	if (is_free)
		free_rest(index, rest, rest_pages);
	return is_free ? 0 : room;
}


/* ---- Records of a graph ------------------------------------------------- */

Size
ann_record_scratch(const AnnIndex *info)
{
	return MAXALIGN(info->element_size) + ann_links_size(info, info->max_links + ANN_LINK_STEP);
}

/*
 * Copy a record that goes on in other pages, whose page is locked, and unlock it.
 * The element comes first and whole, the links behind it.  False if it has gone
 * while its rest was read.
 */
static bool
copy_long_record(Relation index, const AnnIndex *info, AnnElementRef ref, Buffer buffer,
				 const AnnElement *record, char *scratch)
{
	AnnPageTail tail = *ANN_PAGE_TAIL(BufferGetPage(buffer));
	const AnnLinks *links = ann_record_links(info, record);
	AnnElement *copy = (AnnElement *) scratch;

	memcpy(copy, record, info->slot_size);
	memcpy(scratch + MAXALIGN(info->element_size), links, ann_links_size(info, links->capacity));
	UnlockReleaseBuffer(buffer);
	if (ItemPointerIsValid(&copy->heap))
		return read_rest(index, info, ref, &tail, copy);
	return read_pages(index, ItemPointerGetBlockNumberNoCheck(&ref), tail.next,
					  scratch + info->slot_size, info->element_size - info->slot_size);
}

bool
ann_record_visit(Relation index, const AnnIndex *info, uint32 chunk, AnnElementRef ref,
				 AnnRecordVisitor visit, void *state, char *scratch)
{
	const AnnElement *record;
	Buffer		buffer;
	int			slot;

	if (!lock_slot(index, info, ref, BUFFER_LOCK_SHARE, &buffer, &slot))
		return false;
	record = get_slot(info, BufferGetPage(buffer), slot);
	if ((record->state & ANN_ELEMENT_FREE) ||
		ANN_PAGE_TAIL(BufferGetPage(buffer))->chunk != chunk)
	{
		UnlockReleaseBuffer(buffer);
		return false;
	}
	if (is_long(info))
	{
		if (!copy_long_record(index, info, ref, buffer, record, scratch))
			return false;
		visit(ref, (AnnElement *) scratch,
			  (AnnLinks *) (scratch + MAXALIGN(info->element_size)), state);
		return true;
	}
	visit(ref, record, ann_record_links(info, record), state);
	UnlockReleaseBuffer(buffer);
	return true;
}

bool
ann_record_lock(Relation index, const AnnIndex *info, uint32 chunk, AnnElementRef ref,
				BufferAccessStrategy strategy, Buffer *buffer, int *slot)
{
	*slot = ItemPointerGetOffsetNumberNoCheck(&ref) - 1;
	if (!lock_whole_page(index, info, ItemPointerGetBlockNumberNoCheck(&ref),
				   BUFFER_LOCK_EXCLUSIVE, strategy, buffer))
		return false;
	if (ANN_PAGE_TAIL(BufferGetPage(*buffer))->chunk == chunk &&
		ann_record_get(BufferGetPage(*buffer), *slot) != NULL)
		return true;
	UnlockReleaseBuffer(*buffer);
	return false;
}

bool
ann_record_hold_link(Relation index, const AnnIndex *info, AnnElementRef from,
					 AnnElementRef to, Buffer held, Buffer *buffer)
{
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(&from);
	int			slot = ItemPointerGetOffsetNumberNoCheck(&from) - 1;
	bool		same_page = block == BufferGetBlockNumber(held);
	Buffer		at = held;
	AnnElement *record;

	*buffer = InvalidBuffer;
	if (!same_page)
	{
		if (!ann_page_try_lock(index, block, ANN_PAGE_ELEMENT, buffer))
			return false;
		at = *buffer;
	}
	record = ANN_PAGE_TAIL(BufferGetPage(at))->chunk == ANN_PAGE_TAIL(BufferGetPage(held))->chunk
		? ann_record_get(BufferGetPage(at), slot) : NULL;
	if (record != NULL && !ann_record_is_sound(info, BufferGetPage(at), slot))
		record_damaged(index, at, slot);
	if (record != NULL && ann_links_find(ann_record_links(info, record), to) >= 0)
		return true;
	if (!same_page)
		UnlockReleaseBuffer(*buffer);
	*buffer = InvalidBuffer;
	return false;
}
