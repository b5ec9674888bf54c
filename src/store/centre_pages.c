/*
 * centre_pages.c
 *	  The centre of an index on disk.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "store/centre_pages.h"

/* How many floats of a centre are on the page that begins with number 'start'. */
static int
floats_on_page(int dim, int start)
{
	return Min(dim - start, ANN_CENTRE_PER_PAGE);
}

static void
fill_page(Page page, const float *centre, int dim, int start)
{
	Size		size = sizeof(float4) * floats_on_page(dim, start);

	memcpy(ANN_PAGE_BODY(page), centre + start, size);
	ann_page_set_used(page, size);
}

static bool
all_finite(const float *x, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (!isfinite(x[i]))
			return false;
	}
	return true;
}

bool
ann_centre_read(Relation index, const AnnMeta *meta, float *centre)
{
	BlockNumber block = meta->centre;
	int			dim = meta->dim;

	for (int start = 0; start < dim; start += ANN_CENTRE_PER_PAGE)
	{
		Size		size = sizeof(float4) * floats_on_page(dim, start);
		bool		fits;
		Buffer		buffer;
		Page		page;

		if (block == InvalidBlockNumber ||
			!ann_page_try_read(index, block, ANN_PAGE_CENTRE, BUFFER_LOCK_SHARE, &buffer))
			return false;
		page = BufferGetPage(buffer);
		fits = ann_page_used(page) == size;
		if (fits)
			memcpy(centre + start, ANN_PAGE_BODY(page), size);
		block = ANN_PAGE_TAIL(page)->next;
		UnlockReleaseBuffer(buffer);
		if (!fits)
			return false;
	}
	return all_finite(centre, dim);
}

BlockNumber
ann_centre_write(AnnBulk *bulk, const float *centre, int dim)
{
	BlockNumber first = InvalidBlockNumber;
	BlockNumber previous_block = InvalidBlockNumber;
	Page		previous = NULL;

	for (int start = 0; start < dim; start += ANN_CENTRE_PER_PAGE)
	{
		BlockNumber block;
		Page		page = ann_bulk_page(bulk, ANN_PAGE_CENTRE, 0, &block);

		fill_page(page, centre, dim, start);
		if (previous == NULL)
			first = block;
		else
		{
			ANN_PAGE_TAIL(previous)->next = block;
			ann_bulk_done(bulk, previous_block);
		}
		previous = page;
		previous_block = block;
	}
	ann_bulk_done(bulk, previous_block);
	return first;
}

/* From its end, so that each page can tell the next one. */
BlockNumber
ann_centre_write_live(Relation index, const float *centre, int dim)
{
	BlockNumber next = InvalidBlockNumber;

	for (int start = (dim - 1) / ANN_CENTRE_PER_PAGE * ANN_CENTRE_PER_PAGE; start >= 0;
		 start -= ANN_CENTRE_PER_PAGE)
	{
		AnnEdit		edit;
		BlockNumber block;
		Page		page;

		CHECK_FOR_INTERRUPTS();
		ann_edit_begin(&edit, index);
		page = ann_edit_new(&edit, ANN_PAGE_CENTRE, 0, &block);
		fill_page(page, centre, dim, start);
		ANN_PAGE_TAIL(page)->next = next;
		ann_edit_commit(&edit);
		next = block;
	}
	return next;
}

void
ann_centre_visit(Relation index, void (*visit) (BlockNumber block, void *state),
				 void *state)
{
	AnnMeta		meta;
	BlockNumber block;

	ann_meta_read(index, &meta);
	block = meta.centre;
	for (int left = meta.dim; left > 0 && block != InvalidBlockNumber;
		 left -= ANN_CENTRE_PER_PAGE)
	{
		Buffer		buffer = ann_page_read(index, block, ANN_PAGE_CENTRE, BUFFER_LOCK_SHARE);

		visit(block, state);
		block = ANN_PAGE_TAIL(BufferGetPage(buffer))->next;
		UnlockReleaseBuffer(buffer);
	}
}
