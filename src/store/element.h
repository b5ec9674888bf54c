/*
 * element.h
 *	  Elements: the one place where an indexed vector is stored.
 *
 * Makes, reads, adds and kills elements.  Does not know how elements are
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
 * Its heap TID is invalid and its list empty.  Bytes that mean nothing are
 * zero, so that equal vectors make equal elements.  All of the vector must be
 * finite; under cosine its distance must be defined.
 */
extern void ann_element_make(const AnnIndex *index, const void *vector,
							 bool is_double, AnnElement *element);

/*
 * The vector of an element as floats; exact but for stored doubles, which are
 * rounded.  'scalar' must not be ANN_SCALAR_NONE.
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

/*
 * Read the element at ref, into 'element' (index->element_size bytes), its
 * rest pages included.  False if there is none (killed, page used anew).
 */
extern bool ann_element_read(Relation index, const AnnIndex *info,
							 AnnElementRef ref, AnnElement *element);

/* Hint that an element will be read soon. */
extern void ann_element_prefetch(Relation index, const AnnIndex *info, AnnElementRef ref);

/*
 * Append all heap TIDs of an element, each once, to tids (an array in *tids of
 * *capacity, repalloc'd as needed); returns how many.  None is missing, though
 * a vacuum may have been at the element since it was read.
 */
extern int	ann_element_tids(Relation index, const AnnElement *element,
							 ItemPointer *tids, int *capacity);

/*
 * The elements of one page, for who walks over the whole file: how many slots
 * there are, 0 if the block is no page of elements.  Those that are not dead
 * are visited, under a share lock, so that the visitor must not read other
 * pages of the index; a long one is without its rest.
 */
typedef void (*AnnElementVisitor) (AnnElementRef ref, uint32 chunk,
								   const AnnElement *element, void *state);

extern int	ann_element_page_visit(Relation index, const AnnIndex *info,
								   BlockNumber block, BufferAccessStrategy strategy,
								   AnnElementVisitor visit, void *state);

/*
 * Add an element; the caller has set its heap TID.  Returns where it is.
 * Takes constant time.  Caller must hold no lock on pages.
 */
extern AnnElementRef ann_element_add(Relation index, const AnnIndex *info,
									 uint32 chunk, const AnnElement *element);

/*
 * Add a row to an element.  'rounding' is that of the row's own vector
 * (AnnElement.error of an element made of it).  False if the element is dead:
 * then the row needs a new one.
 */
extern bool ann_element_add_row(Relation index, const AnnIndex *info,
								uint32 chunk, AnnElementRef ref,
								ItemPointer tid, float rounding);

/*
 * Remove those heap TIDs of the elements of a page for which the vacuum's
 * callback says so.  An element that has none left is dead: its bytes remain,
 * and its slot is not used again.  Does nothing if the block is no page of
 * elements.
 */
extern void ann_element_page_vacuum(AnnVacuum *vacuum, const AnnIndex *info,
									BlockNumber block);

#endif							/* ANN_ELEMENT_H */
