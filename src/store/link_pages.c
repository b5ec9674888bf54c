/*
 * link_pages.c
 *	  Records of a graph: how they lie on pages, and how links come and go.
 */
#include "postgres.h"

#include <math.h>

#include "algo/distance.h"
#include "store/element.h"
#include "store/link_pages.h"
#include "store/recent.h"

/* ---- Records in pages --------------------------------------------------- */

bool
ann_record_is_sound(const AnnIndex *info, Page page, int slot)
{
	ItemId		item = PageGetItemId(page, slot + FirstOffsetNumber);
	Size		offset = ItemIdGetOffset(item);
	Size		length = ItemIdGetLength(item);
	AnnLinks   *links;

	if (!ItemIdIsUsed(item))
		return true;
	if (!ItemIdIsNormal(item) || offset < ((PageHeader) page)->pd_upper ||
		offset != MAXALIGN(offset) || offset + length > ((PageHeader) page)->pd_special ||
		length < ann_record_size(info, 0))
		return false;
	links = ann_record_links(info, (AnnElement *) PageGetItem(page, item));
	return links->count <= links->capacity && links->capacity % ANN_LINK_STEP == 0 &&
		links->capacity < info->max_links + ANN_LINK_STEP &&
		length == ann_record_size(info, links->capacity);
}

int
ann_records_damaged(const AnnIndex *info, Page page)
{
	int			slots = (int) PageGetMaxOffsetNumber(page);

	if (slots > info->elements_per_page)
		return info->elements_per_page;
	for (int slot = 0; slot < slots; slot++)
	{
		if (!ann_record_is_sound(info, page, slot))
			return slot;
	}
	return -1;
}

AnnElement *
ann_record_get(Page page, int slot)
{
	ItemId		item;

	if (slot < 0 || slot >= (int) PageGetMaxOffsetNumber(page))
		return NULL;
	item = PageGetItemId(page, slot + FirstOffsetNumber);
	return ItemIdIsUsed(item) ? (AnnElement *) PageGetItem(page, item) : NULL;
}

bool
ann_record_fits(Page page, Size size)
{
	return PageGetExactFreeSpace(page) >= MAXALIGN(size) + sizeof(ItemIdData);
}

int
ann_record_add(Page page, const AnnElement *record, Size size)
{
	OffsetNumber offset;

	if (!ann_record_fits(page, size))
		return -1;
	offset = PageAddItem(page, (Item) record, size, InvalidOffsetNumber, false, false);
	return (int) offset - FirstOffsetNumber;
}

void
ann_records_remove(Page page, const uint16 *slots, int n)
{
	int			last;

	for (int i = 0; i < n; i++)
		PageIndexTupleDeleteNoCompact(page, slots[i] + FirstOffsetNumber);
	last = (int) PageGetMaxOffsetNumber(page);
	while (last > 0 && !ItemIdIsUsed(PageGetItemId(page, last)))
		last--;
	ann_page_set_used(page, last * sizeof(ItemIdData));
	for (int i = 0; i < n; i++)
	{
		if (slots[i] < last)
			PageSetHasFreeLinePointers(page);
	}
}


/* ---- Links in records --------------------------------------------------- */

float4 *
ann_links_a(const AnnLinks *links)
{
	return (float4 *) (links->element + links->capacity);
}

float4 *
ann_links_f(const AnnLinks *links)
{
	return ann_links_a(links) + links->capacity;
}

/* A block of codes: how many it has, 32 but for the last one. */
static int
block_rows(const AnnLinks *links, int first)
{
	return Min(links->capacity - first, ANN_CODE_ROWS);
}

/* The codes of the block that begins with link number 'first'. */
static uint8 *
block_codes(const AnnIndex *info, const AnnLinks *links, int first)
{
	return (uint8 *) (ann_links_f(links) + links->capacity) + (Size) first * info->link_bytes;
}

void
ann_links_code(const AnnIndex *info, const AnnLinks *links, int i, uint8 *code)
{
	int			first = i / ANN_CODE_ROWS * ANN_CODE_ROWS;
	int			rows = block_rows(links, first);
	const uint8 *from = block_codes(info, links, first) + (i - first);

	for (int t = 0; t < info->link_bytes; t++)
		code[t] = from[t * rows];
}

static void
put_code(const AnnIndex *info, AnnLinks *links, int i, const uint8 *code)
{
	int			first = i / ANN_CODE_ROWS * ANN_CODE_ROWS;
	int			rows = block_rows(links, first);
	uint8	   *to = block_codes(info, links, first) + (i - first);

	for (int t = 0; t < info->link_bytes; t++)
		to[t * rows] = code[t];
}

void
ann_links_init(AnnLinks *links, int capacity, float norm2)
{
	links->count = 0;
	links->capacity = (uint16) capacity;
	links->norm2 = norm2;
}

void
ann_links_put(const AnnIndex *info, AnnLinks *links, int i, const AnnLink *link)
{
	Assert(i <= links->count && i < links->capacity);
	links->element[i] = link->element;
	ann_links_a(links)[i] = link->factors.a;
	ann_links_f(links)[i] = link->factors.f;
	put_code(info, links, i, link->code);
	links->count = Max(links->count, i + 1);
}

/* Copy link number 'from' to the place 'to', of the same record or another one. */
static void
copy_link(const AnnIndex *info, const AnnLinks *source, int from, AnnLinks *target,
		  int to, uint8 *code)
{
	AnnLink		link = {source->element[from],
		{ann_links_a(source)[from], ann_links_f(source)[from], 0},
	code};

	ann_links_code(info, source, from, code);
	ann_links_put(info, target, to, &link);
}

void
ann_links_remove(const AnnIndex *info, AnnLinks *links, const bool *gone)
{
	uint8		code[ANN_MAX_LINK_BYTES];
	int			kept = 0;

	for (int i = 0; i < links->count; i++)
	{
		if (gone[i])
			continue;
		if (i > kept)
			copy_link(info, links, i, links, kept, code);
		kept++;
	}
	links->count = (uint16) kept;
}

int
ann_links_find(const AnnLinks *links, AnnElementRef element)
{
	for (int i = 0; i < links->count; i++)
	{
		if (ann_same_tid(&links->element[i], &element))
			return i;
	}
	return -1;
}

/* A block of fewer than 32 codes, spread as the kernels want it. */
static void
spread_codes(const uint8 *codes, int rows, int bytes, uint8 *spread)
{
	switch (rows)
	{
		case 8:
			for (int t = 0; t < bytes; t++)
				memcpy(spread + t * ANN_CODE_ROWS, codes + t * 8, 8);
			break;
		case 16:
			for (int t = 0; t < bytes; t++)
				memcpy(spread + t * ANN_CODE_ROWS, codes + t * 16, 16);
			break;
		default:
			for (int t = 0; t < bytes; t++)
				memcpy(spread + t * ANN_CODE_ROWS, codes + t * 24, 24);
	}
}

void
ann_links_scan(const AnnIndex *info, const AnnLinks *links, int first,
			   const AnnCodeQuery *query, float d2, float estimate[ANN_CODE_ROWS])
{
	static const float no_errors[ANN_CODE_ROWS];
	uint8		spread[ANN_CODE_ROWS * ANN_MAX_LINK_BYTES] pg_attribute_aligned(32);
	float		a[ANN_CODE_ROWS];
	float		f[ANN_CODE_ROWS];
	float		bound[ANN_CODE_ROWS];
	int			rows = block_rows(links, first);
	AnnCodeBlock block = {block_codes(info, links, first), ann_links_a(links) + first,
	ann_links_f(links) + first, no_errors};

	if (rows < ANN_CODE_ROWS)
	{
		spread_codes(block.codes, rows, info->link_bytes, spread);
		memcpy(a, block.a, sizeof(float) * rows);
		memcpy(f, block.f, sizeof(float) * rows);
		block.codes = spread;
		block.a = a;
		block.f = f;
	}
	(void) ann_kernels->scan_block(query, &block, d2, 0, INFINITY, estimate, bound);
}

bool
ann_record_grow(const AnnIndex *info, Page page, int slot, int capacity)
{
	PGAlignedBlock copy;
	const AnnElement *record = ann_record_get(page, slot);
	const AnnLinks *links = ann_record_links(info, record);
	AnnElement *larger = (AnnElement *) copy.data;
	AnnLinks   *larger_links = ann_record_links(info, larger);
	Size		size = ann_record_size(info, capacity);
	uint8		code[ANN_MAX_LINK_BYTES];

	Assert(capacity > links->capacity && size <= ANN_BODY_SIZE);
	if (PageGetExactFreeSpace(page) <
		MAXALIGN(size) - MAXALIGN(ann_record_size(info, links->capacity)))
		return false;
	memset(copy.data, 0, size);
	memcpy(larger, record, info->slot_size);
	ann_links_init(larger_links, capacity, links->norm2);
	for (int i = 0; i < links->count; i++)
		copy_link(info, links, i, larger_links, i, code);
	if (!PageIndexTupleOverwrite(page, slot + FirstOffsetNumber, (Item) larger, size))
		elog(ERROR, "a record that fits its page does not");
	return true;
}

AnnLinks *
ann_record_make_place(const AnnIndex *info, Page page, int slot)
{
	AnnLinks   *links = ann_record_links(info, ann_record_get(page, slot));

	if (links->count >= info->max_links)
		return NULL;
	if (links->count == links->capacity &&
		!ann_record_grow(info, page, slot, links->capacity + ANN_LINK_STEP))
		return NULL;
	return ann_record_links(info, ann_record_get(page, slot));
}


/* ---- Prefetching -------------------------------------------------------- */

/*
 * The record itself is fetched if its page has come near enough to say where it is:
 * by the second time, that is.
 */
void
ann_record_prefetch(Relation index, const AnnIndex *info, AnnElementRef ref)
{
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(&ref);
	Size		at = SizeOfPageHeaderData +
		sizeof(ItemIdData) * (ItemPointerGetOffsetNumberNoCheck(&ref) - 1);
	ItemIdData	item;

	ann_recent_prefetch(index, block, 0, SizeOfPageHeaderData + sizeof(ItemIdData) * info->elements_per_page);
	if (at + sizeof(item) <= BLCKSZ && ann_recent_peek(index, block, at, &item, sizeof(item)) &&
		ItemIdGetOffset(&item) + ItemIdGetLength(&item) <= BLCKSZ)
		ann_recent_prefetch(index, block, ItemIdGetOffset(&item), ItemIdGetLength(&item));
}
