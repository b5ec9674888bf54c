/*
 * record_make.h
 *	  The records of a new graph: their links, their places, and writing them.
 */
#ifndef ANN_RECORD_MAKE_H
#define ANN_RECORD_MAKE_H

#include "postgres.h"

#include "am/arena.h"
#include "store/bulk.h"
#include "store/link_pages.h"

/* ---- Links between rows of an arena ------------------------------------- */

typedef struct AnnRowLinks
{
	const AnnArena *arena;
	float	   *node;			/* the row whose links are made, as codes see it */

	/* Scratch */
	AnnTreeVector *v;
	float	   *residual;
	uint8	   *code;
} AnnRowLinks;

/* In the current context. */
extern void ann_row_links_init(AnnRowLinks *links, const AnnArena *arena);

/* The links of this row are to be made. */
extern void ann_row_links_begin(AnnRowLinks *links, uint32 row);

/*
 * The link to another row, whose place is what the arena says.  Its code is good
 * until the next one is made.
 */
extern void ann_row_links_make(AnnRowLinks *links, uint32 row, AnnLink *link);

/* ---- Places ------------------------------------------------------------- */

/* Where records will be that are written one behind the other. */
typedef struct AnnRecordPlaces
{
	const AnnIndex *info;
	BlockNumber rest_pages;		/* of each record */
	BlockNumber block;
	Size		room;			/* left on it */
	int			slot;
} AnnRecordPlaces;

/* The first one is to be on this page. */
extern void ann_record_places_init(AnnRecordPlaces *places, const AnnIndex *info,
								   BlockNumber first);

/* The page behind those of all records that have a place. */
static inline BlockNumber
ann_record_places_end(const AnnRecordPlaces *places)
{
	return places->block + (places->slot > 0 ? 1 + places->rest_pages : 0);
}

/* The place of the next record, which has so many links. */
extern AnnElementRef ann_record_place(AnnRecordPlaces *places, int links);

/* ---- Writing ------------------------------------------------------------ */

typedef struct AnnRecordWriter
{
	/* Unchanging, set at the beginning */
	const AnnIndex *info;
	AnnBulk    *bulk;
	uint32		chunk;

	/* The page that is being filled, or NULL */
	Page		page;
	BlockNumber block;

	/* The record that is being made */
	const AnnElement *element;
	AnnElementRef ref;
	Size		size;
	AnnLinks   *links;
	PGAlignedBlock record;
} AnnRecordWriter;

extern void ann_record_writer_init(AnnRecordWriter *writer, const AnnIndex *info,
								   AnnBulk *bulk, uint32 chunk);

/*
 * Make the next record, whose place is 'ref', with room for so many links in
 * writer->links, but none yet; 'norm2' is of the vector.
 */
extern void ann_record_begin(AnnRecordWriter *writer, AnnElementRef ref,
							 const AnnElement *element, float norm2, int links);

/* Write it. */
extern void ann_record_end(AnnRecordWriter *writer);

/* All have been written. */
extern void ann_record_writer_end(AnnRecordWriter *writer);

#endif							/* ANN_RECORD_MAKE_H */
