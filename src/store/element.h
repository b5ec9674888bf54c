/*
 * element.h
 *	  Elements: the one place where an indexed vector is stored.
 *
 * Makes, reads, adds, kills and reuses elements.  Does not know how elements are
 * connected: see leaf_pages.h.
 */
#ifndef ANN_ELEMENT_H
#define ANN_ELEMENT_H

#include "postgres.h"

#include "store/page.h"
#include "store/tids.h"

/*
 * Make the element of a vector of index->meta.dim elements, of type double if
 * is_double, else float, in 'element', which has index->element_size bytes.
 * Halves and bytes are of what the vector is less the centre of the index.  The
 * heap TID is invalid and the list empty.  Bytes that mean nothing are
 * zero, so that equal vectors make equal elements.  All of the vector must be
 * finite; under cosine its distance must be defined.
 */
extern void ann_element_make(const AnnIndex *index, const void *vector,
							 bool is_double, AnnElement *element);

/*
 * The vector of an element less the centre, as trees and codes want it; exact but
 * for doubles and differences, which are rounded.  'scalar' must not be
 * ANN_SCALAR_NONE.
 */
extern void ann_element_floats(const AnnIndex *index, const AnnElement *element,
							   float *result);

/* What distances are measured from; made once a scan. */
typedef struct AnnQuery
{
	AnnMetric	metric;
	int			dim;
	const double *values;
	double		norm;			/* Euclidean */
	const double *centred;		/* values less the centre, where elements are
								 * stored so; else NULL */
	double		error;			/* upper bound of the distance of these from
								 * what they should be */
	float	   *decoded;		/* scratch: dim floats */
} AnnQuery;

/*
 * Make a query of index->meta.dim doubles, which are not copied, in the current
 * memory context.
 */
extern AnnQuery *ann_query_make(const AnnIndex *index, const double *values);

/* The distance of a vector of floats or doubles, bit for bit the operator's. */
extern double ann_query_distance(const AnnQuery *query, const void *vector,
								 bool is_double);

/*
 * The distance of an element, as the SQL operator has it: the distances of
 * its rows lie within [*low, *high].  Equal if the distance is exact, to the
 * last bit.  NaN, both, where the distance is undefined.  'scalar' must not be
 * ANN_SCALAR_NONE.
 */
extern void ann_element_distance(const AnnIndex *index, const AnnQuery *query,
								 const AnnElement *element,
								 double *low, double *high);

/* As many elements as a page can have, without a vector; and pages of a rest. */
#define ANN_MAX_PAGE_ELEMENTS \
	((int) (ANN_BODY_SIZE / offsetof(AnnElement, vector)))
#define ANN_MAX_REST_PAGES \
	((int) ((offsetof(AnnElement, vector) + sizeof(float8) * ANN_MAX_DIMENSIONS - 1) / ANN_BODY_SIZE) + 1)

/*
 * Read the element at ref, into 'element' (index->element_size bytes), its
 * rest pages included.  False if there is none (dead, page used anew).
 */
extern bool ann_element_read(Relation index, const AnnIndex *info,
							 AnnElementRef ref, AnnElement *element);

/* Hint that an element will be read soon. */
extern void ann_element_prefetch(Relation index, const AnnIndex *info, AnnElementRef ref);

/*
 * All heap TIDs of an element that was read from ref, each once, to an array in
 * *tids of *capacity, which is repalloc'd as needed.  Returns how many: none is
 * missing, though a vacuum may have been at the element since it was read, and
 * there are 0 if it has died.  Caller must hold no lock on pages.
 */
extern int	ann_element_tids(Relation index, const AnnIndex *info, AnnElementRef ref,
							 const AnnElement *element, ItemPointer *tids,
							 int *capacity);

/*
 * The elements of one page, for who walks over the whole file: how many slots
 * there are, 0 if the block is no page of elements of this epoch.  Those that
 * are not dead are visited, under a share lock, so that the visitor must not
 * read other pages of the index; a long one is without its rest.
 */
typedef void (*AnnElementVisitor) (AnnElementRef ref, uint32 chunk,
								   const AnnElement *element, void *state);

extern int	ann_element_page_visit(Relation index, const AnnIndex *info,
								   BlockNumber block, BufferAccessStrategy strategy,
								   AnnElementVisitor visit, void *state);

/*
 * Add an element; the caller has set its heap TID.  'links' are those of its
 * node in a graph, else NULL.  Returns where it is.  Caller must hold no lock on
 * pages.
 */
extern AnnElementRef ann_element_add(Relation index, const AnnIndex *info,
									 uint32 chunk, const AnnElement *element,
									 const AnnLinks *links);

/*
 * Add a row to the element at ref: 'row' is the element made of it, with its
 * heap TID.  False, and nothing is done, unless that element is alive and its
 * vector is that of 'row', byte for byte: then the row needs another one.
 * Caller must hold no lock on pages.
 */
extern bool ann_element_add_row(Relation index, const AnnIndex *info,
								uint32 chunk, AnnElementRef ref,
								const AnnElement *row);

/*
 * Remove those heap TIDs of the elements of a page for which the vacuum's
 * callback says so.  An element that has none left is dead: it keeps its slot.
 * Does nothing if the block is no page of elements of this epoch.  The free
 * space map is told by ann_room_note.  Nobody else may do so at the same time.
 */
extern void ann_element_page_vacuum(AnnVacuum *vacuum, const AnnIndex *info,
									BlockNumber block);

/*
 * The dead elements of a page whose slots are not free yet: these, from 0 on, to
 * slots, which has room for ANN_MAX_PAGE_ELEMENTS, and their number returned.
 * How many elements have heap TIDs, to *live.  Both are 0 if the block is no
 * page of elements of this epoch.
 */
extern int	ann_element_page_dead(Relation index, const AnnIndex *info,
								  BlockNumber block, BufferAccessStrategy strategy,
								  uint16 *slots, int *live);

/*
 * Let n slots, of those that ann_element_page_dead has told, be used again; the
 * caller knows that nothing refers to them any more.  A page that has only free
 * ones becomes a free page, and so do those of a long element's rest.  The free
 * space map is told by ann_room_note.  Returns the room that the page has then, 0 if it
 * is free, or nothing was to be done.  Vacuum only.
 */
extern Size ann_element_page_release(Relation index, const AnnIndex *info,
									 BlockNumber block, BufferAccessStrategy strategy,
									 const uint16 *slots, int n);

/*
 * The pages of the rest of the long element on a page, dead or alive, to pages,
 * which has room for ANN_MAX_REST_PAGES; their number is returned, 0 if there is
 * no long element of this epoch.  Vacuum only: nobody else frees them meanwhile.
 */
extern int	ann_element_rest_pages(Relation index, const AnnIndex *info,
								   BlockNumber block, BlockNumber *pages);

#endif							/* ANN_ELEMENT_H */
