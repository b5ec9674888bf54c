/*
 * link_make.h
 *	  The links of a node while they are chosen, in memory.
 */
#ifndef ANN_LINK_MAKE_H
#define ANN_LINK_MAKE_H

#include "postgres.h"

#include "store/link_pages.h"
#include "store/tree_pages.h"

/*
 * The code of a neighbour, by its residual from the node.  'node' and 'neighbour'
 * are info->padded floats, as codes see vectors, 'norm2' is the neighbour's;
 * 'residual' is scratch as long.  Writes info->link_bytes to 'code'.
 */
extern void ann_make_link(const AnnIndex *info, const float *node, const float *neighbour,
						  float norm2, float *residual, uint8 *code,
						  AnnCodeFactors *factors);

/*
 * Turn the link of a node to a neighbour into that of the neighbour to the node:
 * 'code' and 'factors' become those that ann_make_link makes with the two changing
 * places, from which the residual differs by its sign only.  'norm2' are those of
 * the node and of the neighbour.
 */
extern void ann_reverse_link(const AnnIndex *info, float node_norm2,
							 float neighbour_norm2, uint8 *code,
							 AnnCodeFactors *factors);

/*
 * Out of the links from a node to another one and from that to a third, make one
 * from the first to the third, when none of the vectors is known: the residuals that
 * the codes stand for are added.  'code' and 'factors' are of the first link, and
 * become the result; norm2 is that of the node between.  'sum' is scratch of
 * info->link_dim floats.
 */
extern void ann_join_links(const AnnIndex *info, float norm2, const uint8 *next_code,
						   const AnnCodeFactors *next, float *sum, uint8 *code,
						   AnnCodeFactors *factors);

/* Links of one node, plain, and where they are. */
typedef struct AnnLinkSet
{
	const AnnIndex *info;
	int			capacity;
	int			count;
	AnnElementRef *element;
	AnnCodeFactors *factors;
	uint8	   *codes;			/* info->link_bytes each */
	int8	   *grids;			/* ann_code_grid of each, and their squared norms */
	float	   *norm2;
	float	   *length2;		/* squared distances from the node, by the codes */
	int		   *order;			/* scratch */
	float	   *distance;		/* scratch */
	bool	   *kept;			/* set by ann_link_set_choose */
} AnnLinkSet;

/* An empty one with room for so many, in the current context. */
extern AnnLinkSet *ann_link_set_make(const AnnIndex *info, int capacity);

/* The code of link number i. */
static inline uint8 *
ann_link_set_code(const AnnLinkSet *set, int i)
{
	return set->codes + (Size) i * set->info->link_bytes;
}

/* Add a link; there must be room. */
extern void ann_link_set_add(AnnLinkSet *set, AnnElementRef element,
							 const AnnCodeFactors *factors, const uint8 *code);

/* Forget all, and take the links of a record. */
extern void ann_link_set_load(AnnLinkSet *set, const AnnLinks *links);

/* Is there a link to the element? */
extern bool ann_link_set_has(const AnnLinkSet *set, AnnElementRef element);

/* The number of the link whose element is nearest to that of another one; -1: none. */
extern int	ann_link_set_nearest(const AnnLinkSet *set, AnnElementRef element);

/*
 * Choose up to 'max' of them by the codes alone (ann_occlude), the first 'fixed' in
 * any case, filling up to 'fill'; sets set->kept.  Measured to be as good as choosing by the distances
 * themselves, for which each neighbour would have to be read.
 */
extern void ann_link_set_choose(AnnLinkSet *set, int fixed, int max, int fill);

#endif							/* ANN_LINK_MAKE_H */
