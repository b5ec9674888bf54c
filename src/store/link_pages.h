/*
 * link_pages.h
 *	  Records of a graph: elements with the links of their nodes.
 *
 * How they lie on pages, and how links come and go.  What elements are, and how
 * one is added, read and vacuumed, is in element.h, which works on records as
 * well.  Does not know which links are good ones.
 */
#ifndef ANN_LINK_PAGES_H
#define ANN_LINK_PAGES_H

#include "postgres.h"

#include "algo/code.h"
#include "store/page.h"

/* ---- Records in pages --------------------------------------------------- */

/* Bytes of a record with room for so many links. */
static inline Size
ann_record_size(const AnnIndex *info, int capacity)
{
	return info->slot_size + ann_links_size(info, capacity);
}

/* The links of a record. */
static inline AnnLinks *
ann_record_links(const AnnIndex *info, const AnnElement *record)
{
	return (AnnLinks *) ((char *) record + info->slot_size);
}

/*
 * Is a slot of a page, which has so many, unused or a whole record?  Links may lead
 * anywhere.
 */
extern bool ann_record_is_sound(const AnnIndex *info, Page page, int slot);

/* The number of the first slot of a page of which that is not so; -1 if there is none. */
extern int	ann_records_damaged(const AnnIndex *info, Page page);

/* The record at a line pointer; NULL if that is unused, or there is none. */
extern AnnElement *ann_record_get(Page page, int slot);

/*
 * Put a record of 'size' bytes on a page, at an unused line pointer or behind the
 * last one.  Returns the slot, -1 if there is no room.
 */
extern int	ann_record_add(Page page, const AnnElement *record, Size size);

/* Would it have room?  Changes nothing. */
extern bool ann_record_fits(Page page, Size size);

/* Take records away, whose line pointers become unused. */
extern void ann_records_remove(Page page, const uint16 *slots, int n);


/* ---- Links in records --------------------------------------------------- */

/* A link as it is made: what a node says of a neighbour. */
typedef struct AnnLink
{
	AnnElementRef element;
	AnnCodeFactors factors;		/* e is not kept */
	const uint8 *code;			/* plain, info->link_bytes */
} AnnLink;

/* Where arrays of a record's links begin. */
extern float4 *ann_links_a(const AnnLinks *links);
extern float4 *ann_links_f(const AnnLinks *links);

/* The code of one link, plain. */
extern void ann_links_code(const AnnIndex *info, const AnnLinks *links, int i, uint8 *code);

/* No links, but room for so many. */
extern void ann_links_init(AnnLinks *links, int capacity, float norm2);

/* Put a link in place number i, which is in use, or the first that is not. */
extern void ann_links_put(const AnnIndex *info, AnnLinks *links, int i, const AnnLink *link);

/* Take those links out for which 'gone' is true; the others keep their order. */
extern void ann_links_remove(const AnnIndex *info, AnnLinks *links, const bool *gone);

/* The number of the link to an element; -1 if there is none. */
extern int	ann_links_find(const AnnLinks *links, AnnElementRef element);

/*
 * Estimate the squared distances of a query from the neighbours number 'first' and
 * the 31 after it, by d2, that from the node.
 */
extern void ann_links_scan(const AnnIndex *info, const AnnLinks *links, int first,
						   const AnnCodeQuery *query, float d2,
						   float estimate[ANN_CODE_ROWS]);

/*
 * Give a record, in place, room for more links: 'capacity' in all.  False, and
 * nothing done, if its page has no room for that.
 */
extern bool ann_record_grow(const AnnIndex *info, Page page, int slot, int capacity);

/*
 * The links of the record at a slot of an edit's page, which have a place for one
 * more: the record is given it if need be.  NULL if it has all that there may be, or
 * its page has no room.
 */
extern AnnLinks *ann_record_make_place(const AnnIndex *info, Page page, int slot);


/* ---- Reading ------------------------------------------------------------ */

/*
 * Called with a record, whose page is locked share unless it is a copy: to be
 * quick, to read no page, and to keep no pointer.  A dead one (without heap TIDs)
 * is visited, too.
 */
typedef void (*AnnRecordVisitor) (AnnElementRef ref, const AnnElement *record,
								  const AnnLinks *links, void *state);

/* Bytes of the scratch memory for ann_record_visit. */
extern Size ann_record_scratch(const AnnIndex *info);

/*
 * A page that VACUUM has freed may have become one of another chunk, and a link that an
 * insert was about to make lead there: whoever follows links says which chunk he is in,
 * and finds no record in others.
 *
 * Visit the record at ref, its whole vector included; one that is longer than a
 * page is copied to 'scratch'.  False if there is none any more.
 */
extern bool ann_record_visit(Relation index, const AnnIndex *info, uint32 chunk,
							 AnnElementRef ref, AnnRecordVisitor visit, void *state,
							 char *scratch);

/*
 * Pin a record's page and lock it exclusively, by a strategy unless that is NULL.
 * False if there is no record any more.
 */
extern bool ann_record_lock(Relation index, const AnnIndex *info, uint32 chunk,
							AnnElementRef ref, BufferAccessStrategy strategy,
							Buffer *buffer, int *slot);

/*
 * Keep the record at 'from' as it is, if it links to 'to', for a caller that has locked
 * the page 'held': its page is pinned and locked, too, unless it is that one (*buffer
 * becomes invalid).  False if there is no such link, or the page is busy: we do not
 * wait for one page with another one locked.
 */
extern bool ann_record_hold_link(Relation index, const AnnIndex *info, AnnElementRef from,
								 AnnElementRef to, Buffer held, Buffer *buffer);

/* Hint that a record will be visited soon. */
extern void ann_record_prefetch(Relation index, const AnnIndex *info, AnnElementRef ref);

#endif							/* ANN_LINK_PAGES_H */
