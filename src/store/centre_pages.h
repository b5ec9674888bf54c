/*
 * centre_pages.h
 *	  The centre of an index on disk: a chain of pages.
 */
#ifndef ANN_CENTRE_PAGES_H
#define ANN_CENTRE_PAGES_H

#include "postgres.h"

#include "store/bulk.h"
#include "store/page.h"

/*
 * Read the centre that a metapage leads to into meta->dim floats.  False if it
 * is not there, which is no damage if the metapage has changed since.
 */
extern bool ann_centre_read(Relation index, const AnnMeta *meta, float *centre);

/* Write the centre of a new index; returns its first page. */
extern BlockNumber ann_centre_write(AnnBulk *bulk, const float *centre, int dim);

/* The same in a live index, where nothing leads to it yet: under the structure lock. */
extern BlockNumber ann_centre_write_live(Relation index, const float *centre, int dim);

/*
 * Tell all pages of the centre that the index has now.  Vacuum only: nobody else
 * frees them meanwhile.
 */
extern void ann_centre_visit(Relation index, void (*visit) (BlockNumber block, void *state),
							 void *state);

#endif							/* ANN_CENTRE_PAGES_H */
