/*
 * record_make.c
 *	  The records of a new graph: their links, their places, and writing them.
 *
 * Links need the places of all neighbours, so that places are told before anything
 * is written.
 */
#include "postgres.h"

#include "am/link_make.h"
#include "am/record_make.h"
#include "store/tree_pages.h"

/* ---- Links between rows of an arena ------------------------------------- */

void
ann_row_links_init(AnnRowLinks *links, const AnnArena *arena)
{
	const AnnIndex *info = arena->info;

	links->arena = arena;
	links->v = ann_tree_vector_alloc(info);
	links->node = palloc(sizeof(float) * info->padded);
	links->residual = palloc(sizeof(float) * info->padded);
	links->code = palloc(info->link_bytes);
}

void
ann_row_links_begin(AnnRowLinks *links, uint32 row)
{
	ann_arena_rotated(links->arena, row, links->v->rotated);
	memcpy(links->node, links->v->rotated, sizeof(float) * links->arena->info->padded);
}

void
ann_row_links_make(AnnRowLinks *links, uint32 row, AnnLink *link)
{
	ann_arena_rotated(links->arena, row, links->v->rotated);
	link->element = links->arena->refs[row];
	link->code = links->code;
	ann_make_link(links->arena->info, links->node, links->v->rotated,
				  links->arena->norms2[row], links->residual, links->code, &link->factors);
}

/* ---- Places ------------------------------------------------------------- */

void
ann_record_places_init(AnnRecordPlaces *places, const AnnIndex *info, BlockNumber first)
{
	places->info = info;
	places->rest_pages = (info->element_size - info->slot_size + ANN_BODY_SIZE - 1) / ANN_BODY_SIZE;
	places->block = first;
	places->room = ANN_BODY_SIZE;
	places->slot = 0;
}

static Size
record_size(const AnnIndex *info, int links)
{
	return ann_record_size(info, ann_links_capacity(links));
}

AnnElementRef
ann_record_place(AnnRecordPlaces *places, int links)
{
	Size		size = MAXALIGN(record_size(places->info, links)) + sizeof(ItemIdData);
	AnnElementRef ref;

	if (places->slot > 0 && (size > places->room || places->rest_pages > 0))
	{
		places->block += 1 + places->rest_pages;
		places->room = ANN_BODY_SIZE;
		places->slot = 0;
	}
	places->slot++;
	places->room -= size;
	ItemPointerSet(&ref, places->block, (OffsetNumber) places->slot);
	return ref;
}

/* ---- Writing ------------------------------------------------------------ */

void
ann_record_writer_init(AnnRecordWriter *writer, const AnnIndex *info, AnnBulk *bulk,
					   uint32 chunk)
{
	writer->info = info;
	writer->bulk = bulk;
	writer->chunk = chunk;
	writer->page = NULL;
}

void
ann_record_writer_end(AnnRecordWriter *writer)
{
	if (writer->page != NULL)
		ann_bulk_done(writer->bulk, writer->block);
	writer->page = NULL;
}

void
ann_record_begin(AnnRecordWriter *writer, AnnElementRef ref, const AnnElement *element,
				 float norm2, int links)
{
	const AnnIndex *info = writer->info;
	AnnElement *record = (AnnElement *) writer->record.data;

	writer->element = element;
	writer->ref = ref;
	writer->size = record_size(info, links);
	writer->links = ann_record_links(info, record);
	memset(record, 0, writer->size);
	memcpy(record, element, info->slot_size);
	ann_links_init(writer->links, ann_links_capacity(links), norm2);
}

static void
new_page(AnnRecordWriter *writer)
{
	ann_record_writer_end(writer);
	writer->page = ann_bulk_page(writer->bulk, ANN_PAGE_ELEMENT, writer->chunk, &writer->block);
	ann_page_set_used(writer->page, 0);
}

/* What of an element does not fit its page goes to the pages behind it. */
static void
write_rest(AnnRecordWriter *writer)
{
	const char *bytes = (const char *) writer->element + writer->info->slot_size;
	Size		left = writer->info->element_size - writer->info->slot_size;

	while (left > 0)
	{
		Size		part = Min(left, ANN_BODY_SIZE);
		BlockNumber block;
		Page		page = ann_bulk_page(writer->bulk, ANN_PAGE_REST, writer->chunk, &block);

		ANN_PAGE_TAIL(writer->page)->next = block;
		ann_record_writer_end(writer);
		writer->page = page;
		writer->block = block;
		memcpy(ANN_PAGE_BODY(page), bytes, part);
		bytes += part;
		left -= part;
	}
}

void
ann_record_end(AnnRecordWriter *writer)
{
	BlockNumber block = ItemPointerGetBlockNumber(&writer->ref);
	OffsetNumber offset = ItemPointerGetOffsetNumber(&writer->ref);

	if (offset == FirstOffsetNumber)
		new_page(writer);
	if (writer->block != block ||
		ann_record_add(writer->page, (AnnElement *) writer->record.data, writer->size) !=
		offset - FirstOffsetNumber)
		elog(ERROR, "a record of a new index has no place at (%u,%u)", block, offset);
	ann_bulk_note(writer->bulk, writer->element);
	write_rest(writer);
}
