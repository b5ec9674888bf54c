/*
 * check_pages.c
 *	  ann_check: metapage, directory, elements, and every page of the file.
 *
 * Pages are copied, so that no lock is held while one thing is compared with
 * another.  See check.c for the codes.
 */
#include "postgres.h"

#include <math.h>

#include "algo/forest.h"
#include "am/check.h"
#include "am/method.h"
#include "am/opclass.h"
#include "miscadmin.h"
#include "store/element.h"
#include "store/link_pages.h"
#include "utils/memutils.h"


/* ---- Metapage ----------------------------------------------------------- */

bool
ann_check_read_meta(AnnCheck *check, AnnMeta *meta)
{
	PGAlignedBlock copy;

	if (ann_check_linked(check, ANN_META_BLOCK, ANN_PAGE_META, 0, &copy) != NULL ||
		ann_page_used((Page) copy.data) < sizeof(AnnMeta))
		return false;
	memcpy(meta, ANN_PAGE_BODY(copy.data), sizeof(AnnMeta));
	return true;
}

/* What is wrong with a metapage so that nothing else can be read; else NULL. */
static const char *
unusable_meta(const AnnMeta *meta)
{
	if (meta->magic != ANN_MAGIC)
		return "the metapage is not one of ann";
	if (meta->version != ANN_FORMAT_VERSION)
		return "the format is of another version of ann";
	if (meta->metric < ANN_METRIC_L2 || meta->metric > ANN_METRIC_IP)
		return "the metric is none";
	if (meta->scalar < ANN_SCALAR_F64 || meta->scalar > ANN_SCALAR_NONE)
		return "the scalar kind is none";
	if (meta->dim > ANN_MAX_DIMENSIONS)
		return "the number of dimensions is out of range";
	if (meta->dim > 0 && meta->code_bits != ANN_CODE_BITS(meta->dim))
		return "the bits of a code do not go with the dimensions";
	return NULL;
}

/* The rest of the metapage. */
static void
check_meta_values(AnnCheck *check)
{
	const AnnMeta *meta = &check->meta;

	if (meta->method < ANN_METHOD_ANNOY || meta->method > ANN_METHOD_HNSW)
		ann_check_report(check, ANN_META_BLOCK, -1, "meta",
						 "the method is %d, which is none", meta->method);
	else if (meta->method != ann_method(check->index))
		ann_check_report(check, ANN_META_BLOCK, -1, "meta",
						 "the method is %d, that of the index is %d",
						 meta->method, (int) ann_method(check->index));
	if (meta->metric != ann_opclass(check->index).metric)
		ann_check_report(check, ANN_META_BLOCK, -1, "meta",
						 "the metric is %d, that of the operator class is %d",
						 meta->metric, (int) ann_opclass(check->index).metric);
	if (meta->method == ANN_METHOD_HNSW && (meta->m < 2 || meta->m > ANN_MAX_M))
		ann_check_report(check, ANN_META_BLOCK, -1, "meta",
						 "m is %u, which is not within 2 and %d", meta->m, ANN_MAX_M);
	if (meta->trees < 1 || meta->trees > ANN_MAX_ROOTS)
		ann_check_report(check, ANN_META_BLOCK, -1, "meta",
						 "the number of trees is %u, which is not within 1 and %d",
						 meta->trees, ANN_MAX_ROOTS);
	if (meta->chunk_blocks > PG_INT32_MAX)
		ann_check_report(check, ANN_META_BLOCK, -1, "meta", "a chunk has %u blocks of the table",
						 meta->chunk_blocks);
	if (meta->epoch & ANN_EPOCH_CHANGING)
		ann_check_report(check, ANN_META_BLOCK, -1, "meta",
						 "the epoch is %u, which is out of range", meta->epoch);
}

/*
 * Read the centre, without which no vector can be told.  False if it is not
 * there.
 */
static bool
check_centre(AnnCheck *check)
{
	int			dim = check->meta.dim;
	float	   *centre = palloc(sizeof(float) * Max(dim, 1));
	BlockNumber block = check->meta.centre;

	if (dim == 0 || block == InvalidBlockNumber)
		return true;
	for (int start = 0; start < dim; start += ANN_CENTRE_PER_PAGE)
	{
		Size		size = sizeof(float4) * Min(dim - start, ANN_CENTRE_PER_PAGE);
		PGAlignedBlock copy;
		const char *what = "missing";

		CHECK_FOR_INTERRUPTS();
		if (block != InvalidBlockNumber)
			what = ann_check_linked(check, block, ANN_PAGE_CENTRE, 0, &copy);
		if (what == NULL && ann_page_used((Page) copy.data) != size)
			what = "of another length";
		if (what != NULL)
		{
			ann_check_report(check, block != InvalidBlockNumber ? block : ANN_META_BLOCK, -1,
							 "centre", "the centre, from element %d on, is %s", start, what);
			return false;
		}
		memcpy(centre + start, ANN_PAGE_BODY(copy.data), size);
		block = ANN_PAGE_TAIL(copy.data)->next;
	}
	for (int i = 0; i < dim; i++)
	{
		if (!isfinite(centre[i]))
		{
			ann_check_report(check, check->meta.centre, -1, "centre",
							 "element %d of the centre is not finite", i);
			return false;
		}
	}
	check->info->centre = centre;
	return true;
}

/* Read the metapage; leaves check->info NULL if it is of no use. */
static void
check_meta(AnnCheck *check)
{
	const char *problem;

	check->info = NULL;
	memset(&check->meta, 0, sizeof(AnnMeta));
	if (!ann_check_read_meta(check, &check->meta))
	{
		ann_check_report(check, ANN_META_BLOCK, -1, "meta", "there is no metapage");
		return;
	}
	problem = unusable_meta(&check->meta);
	if (problem != NULL)
	{
		ann_check_report(check, ANN_META_BLOCK, -1, "meta", "%s", problem);
		return;
	}
	check_meta_values(check);
	check->info = ann_index_make(&check->meta);
	if (check->meta.dim > 0 && (check->info->nodes_per_page < 1 ||
								check->info->pages_per_block < 1))
	{
		ann_check_report(check, ANN_META_BLOCK, -1, "meta",
						 "a node of %d bytes does not fit a page", check->info->node_size);
		check->info = NULL;
	}
	else if (!check_centre(check))
		check->info = NULL;
}


/* ---- Directory ---------------------------------------------------------- */

/* Is a page of the directory on the way to itself? */
static bool
is_in_directory(const AnnCheck *check, BlockNumber block)
{
	for (uint32 i = 0; i < check->num_directory; i++)
	{
		if (check->directory[i] == block)
			return true;
	}
	return false;
}

/* Append the entries of a page of the directory to the check's. */
static void
add_entries(AnnCheck *check, BlockNumber block, Page page)
{
	Size		used = ann_page_used(page);
	uint32		n = (uint32) (used / sizeof(AnnChunk));

	if (used % sizeof(AnnChunk) != 0 || n == 0 ||
		(n < ANN_CHUNKS_PER_PAGE && ANN_PAGE_TAIL(page)->next != InvalidBlockNumber))
		ann_check_report(check, block, -1, "directory",
						 "%zu bytes of the page are in use, which are not the entries it should have",
						 used);
	check->directory = repalloc_huge(check->directory,
									 sizeof(BlockNumber) * (check->num_directory + 1));
	check->directory[check->num_directory++] = block;
	check->chunks = repalloc_huge(check->chunks,
								  sizeof(AnnChunk) * ((Size) check->num_chunks + n + 1));
	memcpy(check->chunks + check->num_chunks, ANN_PAGE_BODY(page), sizeof(AnnChunk) * n);
	check->num_chunks += n;
}

/* Read the directory, as far as it goes. */
static void
read_directory(AnnCheck *check)
{
	BlockNumber block = ANN_DIRECTORY_BLOCK;
	PGAlignedBlock copy;

	check->num_directory = check->num_chunks = 0;
	check->directory_whole = false;
	check->directory = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(BlockNumber));
	check->chunks = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(AnnChunk));
	while (block != InvalidBlockNumber)
	{
		const char *what = ann_check_linked(check, block, ANN_PAGE_DIRECTORY, 0, &copy);

		CHECK_FOR_INTERRUPTS();
		if (what != NULL || is_in_directory(check, block))
		{
			ann_check_report(check, block, -1, "directory",
							 "block %u of the directory is %s", block,
							 what != NULL ? what : "linked twice");
			return;
		}
		add_entries(check, block, (Page) copy.data);
		block = ANN_PAGE_TAIL(copy.data)->next;
	}
	check->directory_whole = true;
	if (check->num_chunks > 1 && check->meta.chunk_blocks == 0)
		ann_check_report(check, ANN_DIRECTORY_BLOCK, -1, "directory",
						 "the directory has %u entries, though there is one chunk",
						 check->num_chunks);
}

/* The values of an entry, but for what they lead to. */
static void
check_chunk(AnnCheck *check, uint32 number)
{
	const AnnChunk *chunk = &check->chunks[number];
	BlockNumber block = check->directory[number / ANN_CHUNKS_PER_PAGE];
	int			offset = number % ANN_CHUNKS_PER_PAGE;

	/* another one that is of an earlier epoch is empty */
	if (number == 0 ? (chunk->epoch & ~ANN_EPOCH_CHANGING) != check->meta.epoch
		: chunk->epoch > check->meta.epoch)
		ann_check_report(check, block, offset, "chunk",
						 "chunk %u is of epoch %u, the index of %u", number,
						 chunk->epoch & ~ANN_EPOCH_CHANGING, check->meta.epoch);
	if (chunk->roots != InvalidBlockNumber && check->meta.dim == 0)
		ann_check_report(check, block, offset, "chunk",
						 "chunk %u has trees, though the dimensions are not known", number);
	if (chunk->leaf_capacity > ann_leaf_capacity(1e18) ||
		(chunk->leaf_capacity == 0 && chunk->roots != InvalidBlockNumber))
		ann_check_report(check, block, offset, "chunk",
						 "the leaves of chunk %u have room for %u rows", number,
						 chunk->leaf_capacity);
	if (chunk->node_page != InvalidBlockNumber &&
		chunk->node_page >= RelationGetNumberOfBlocks(check->index))
		ann_check_report(check, block, offset, "chunk",
						 "chunk %u has nodes in block %u, behind the end of the file",
						 number, chunk->node_page);
	if (chunk->element_page != InvalidBlockNumber &&
		chunk->element_page >= RelationGetNumberOfBlocks(check->index))
		ann_check_report(check, block, offset, "chunk",
						 "chunk %u has elements in block %u, behind the end of the file",
						 number, chunk->element_page);
	if (!(chunk->max_norm >= 0))
		ann_check_report(check, block, offset, "chunk",
						 "the largest norm of chunk %u is %g", number, chunk->max_norm);
}

/* Metapage and directory together, which may change together. */
static void
check_head(AnnCheck *check, void *state)
{
	check->blocks = RelationGetNumberOfBlocks(check->index);
	check->num_chunks = 0;
	check->directory_whole = false;
	check_meta(check);
	if (check->info == NULL)
		return;
	read_directory(check);
	for (uint32 i = 0; i < check->num_chunks; i++)
		check_chunk(check, i);
}

bool
ann_check_head(AnnCheck *check)
{
	ann_check_confirm(check, check_head, NULL);
	return check->info != NULL;
}

/*
 * The blocks of the directory never change, so that an entry is found where it
 * was.
 */
bool
ann_check_read_chunk(AnnCheck *check, uint32 number, AnnChunk *chunk)
{
	BlockNumber block = check->directory[number / ANN_CHUNKS_PER_PAGE];
	Size		at = number % ANN_CHUNKS_PER_PAGE * sizeof(AnnChunk);
	PGAlignedBlock copy;

	if (ann_check_linked(check, block, ANN_PAGE_DIRECTORY, 0, &copy) != NULL ||
		ann_page_used((Page) copy.data) < at + sizeof(AnnChunk))
		return false;
	memcpy(chunk, ANN_PAGE_BODY(copy.data) + at, sizeof(AnnChunk));
	if (number > 0 && chunk->epoch < check->meta.epoch)
		ann_chunk_empty(chunk, check->meta.epoch);
	return true;
}


/* ---- Elements ----------------------------------------------------------- */

int
ann_check_slots(AnnCheck *check, Page page)
{
	if (check->meta.dim == 0 || ANN_PAGE_TAIL(page)->epoch != (uint8) check->meta.epoch)
		return 0;
	if (ann_is_graph(check->info))
	{
		int			damaged = ann_records_damaged(check->info, page);

		return damaged >= 0 ? damaged : (int) PageGetMaxOffsetNumber(page);
	}
	return Min((int) (ann_page_used(page) / check->info->slot_size),
			   check->info->elements_per_page);
}

const AnnElement *
ann_check_slot(AnnCheck *check, Page page, int slot)
{
	static const AnnElement none = {.state = ANN_ELEMENT_FREE};
	const AnnElement *record;

	if (!ann_is_graph(check->info))
		return (const AnnElement *) (ANN_PAGE_BODY(page) + slot * check->info->slot_size);
	record = ann_record_get(page, slot);
	return record != NULL ? record : &none;
}

const char *
ann_check_assemble(AnnCheck *check, Page page, int slot, AnnElement *result,
				   BlockNumber *where)
{
	Size		done = check->info->slot_size;
	Size		size = check->info->element_size;

	memcpy(result, ann_check_slot(check, page, slot), done);
	*where = ANN_PAGE_TAIL(page)->next;
	while (done < size)
	{
		Size		part = Min(size - done, ANN_BODY_SIZE);
		PGAlignedBlock copy;
		const char *what;

		CHECK_FOR_INTERRUPTS();
		if (*where == InvalidBlockNumber)
			return "missing";
		what = ann_check_linked(check, *where, ANN_PAGE_REST, ANN_PAGE_TAIL(page)->chunk, &copy);
		if (what == NULL && ann_page_used((Page) copy.data) < part)
			what = "shorter than it should be";
		if (what != NULL)
			return what;
		memcpy((char *) result + done, ANN_PAGE_BODY(copy.data), part);
		*where = ANN_PAGE_TAIL(copy.data)->next;
		done += part;
	}
	if (size > (Size) check->info->slot_size && *where != InvalidBlockNumber)
		return "beyond the end of the vector";
	return NULL;
}

/* Are all stored numbers finite? */
static bool
is_vector_finite(const AnnIndex *info, const AnnElement *element, float *floats)
{
	if (info->meta.scalar == ANN_SCALAR_NONE)
		return true;
	if (info->meta.scalar == ANN_SCALAR_F64)
	{
		for (uint32 i = 0; i < info->meta.dim; i++)
		{
			if (!isfinite(((const float8 *) element->vector)[i]))
				return false;
		}
		return true;
	}
	ann_element_floats(info, element, floats);
	for (uint32 i = 0; i < info->meta.dim; i++)
	{
		if (!isfinite(floats[i]))
			return false;
	}
	return true;
}

/* A page of elements that is looked at. */
typedef struct ElementWalk
{
	BlockNumber block;
	int			slot;
	Page		page;			/* a copy */
	AnnElement *element;		/* scratch: a whole element */
	float	   *floats;			/* scratch: its vector */
} ElementWalk;

/*
 * The vector of a living element.  What follows its page is read later than
 * that, and may have gone with it.
 */
static void
check_vector(AnnCheck *check, ElementWalk *walk)
{
	BlockNumber where;
	const char *what = ann_check_assemble(check, walk->page, walk->slot, walk->element,
										  &where);

	if (what != NULL && where == InvalidBlockNumber)
		ann_check_report(check, walk->block, walk->slot + 1, "element_rest",
						 "a page of the rest of the element is %s", what);
	else if (what != NULL)
		ann_check_report(check, walk->block, walk->slot + 1, "element_rest",
						 "block %u of the rest of the element is %s", where, what);
	else if (!is_vector_finite(check->info, walk->element, walk->floats))
		ann_check_report(check, walk->block, walk->slot + 1, "element_vector",
						 "the vector is not finite");
}

/* The same, of a page that is read again for it. */
static void
check_vector_again(AnnCheck *check, void *state)
{
	ElementWalk walk = *(ElementWalk *) state;
	uint32		chunk = check->chunk_of[walk.block];
	PGAlignedBlock copy;

	walk.page = (Page) copy.data;
	if (ann_check_linked(check, walk.block, ANN_PAGE_ELEMENT, chunk, &copy) == NULL &&
		walk.slot < ann_check_slots(check, walk.page) &&
		ItemPointerIsValid(&ann_check_slot(check, walk.page, walk.slot)->heap))
		check_vector(check, &walk);
}

/*
 * What is on the page itself of a living element.  A rounding error may be
 * infinite, where doubles are beyond the range of floats.
 */
static void
check_element_values(AnnCheck *check, BlockNumber block, int slot, const AnnElement *element)
{
	AnnScalar	scalar = check->meta.scalar;
	bool		scaled = scalar == ANN_SCALAR_F16 || scalar == ANN_SCALAR_I8;

	if (!(element->error >= 0))
		ann_check_report(check, block, slot + 1, "element",
						 "the rounding error is %g", element->error);
	if (scaled ? element->exponent < -126 : element->exponent != 0)
		ann_check_report(check, block, slot + 1, "element",
						 "the exponent is %d", element->exponent);
	if (ItemPointerGetBlockNumberNoCheck(&element->heap) == InvalidBlockNumber)
		ann_check_report(check, block, slot + 1, "element", "the TID is none");
}

/* An element that has a row. */
static void
check_living(AnnCheck *check, ElementWalk *walk, const AnnElement *element)
{
	int			count;

	if (check->living != NULL)
		ann_place_set_add(check->living, walk->block, (uint16) (walk->slot + 1));
	check_element_values(check, walk->block, walk->slot, element);
	count = check->count;
	check_vector(check, walk);
	if (check->count > count)
	{
		ann_check_truncate(check, count);
		ann_check_confirm(check, check_vector_again, walk);
	}
}

/* One slot of a copied page. */
static void
check_slot(AnnCheck *check, ElementWalk *walk)
{
	const AnnElement *element = ann_check_slot(check, walk->page, walk->slot);
	AnnListOwner owner = {.chunk = check->chunk_of[walk->block], .block = walk->block,
		.slot = walk->slot};

	if (element->state & ANN_ELEMENT_FREE)
	{
		if (ItemPointerIsValid(&element->heap))
			ann_check_report(check, walk->block, walk->slot + 1, "element",
							 "the element is free, but has a row");
		ann_place_set_add(check->freed, walk->block, (uint16) (walk->slot + 1));
		return;
	}
	if (ann_is_graph(check->info))
		ann_check_links(check, walk->block, walk->slot, element);
	if (ItemPointerIsValid(&element->heap))
		check_living(check, walk, element);
	if (ItemPointerIsValid(&element->more.head) || ItemPointerIsValid(&element->more.tail))
		ann_check_list(check, &owner, true);
}

/* Is the part of a page in use what its elements take? */
static void
check_used(AnnCheck *check, const ElementWalk *walk, int slots)
{
	Size		used = ann_page_used(walk->page);

	if (ann_is_graph(check->info))
	{
		if (ann_records_damaged(check->info, walk->page) >= 0)
			ann_check_report(check, walk->block, slots + 1, "element_slots",
							 "the record is damaged");
	}
	else if (used != (Size) slots * check->info->slot_size)
		ann_check_report(check, walk->block, -1, "element_slots",
						 "%zu bytes of the page are in use, which are not %d elements",
						 used, slots);
}

/* A copied page of elements. */
static void
check_elements(AnnCheck *check, ElementWalk *walk)
{
	int			slots = ann_check_slots(check, walk->page);

	if (ANN_PAGE_TAIL(walk->page)->epoch != (uint8) check->meta.epoch || check->meta.dim == 0)
	{
		check->garbage = true;
		return;
	}
	check_used(check, walk, slots);
	check->slots[walk->block] = (uint16) slots;
	for (walk->slot = 0; walk->slot < slots; walk->slot++)
	{
		CHECK_FOR_INTERRUPTS();
		check_slot(check, walk);
	}
}


/* ---- All pages ---------------------------------------------------------- */

/* Note what a block is, and report what is nothing. */
static int
note_page(AnnCheck *check, BlockNumber block, PGAlignedBlock *copy)
{
	int			kind = ann_check_page(check, block, check->strategy, copy);
	uint32		chunk;

	if (kind < 0)
	{
		/* what it has been may have led to segments of TIDs */
		check->lists_whole = false;
		ann_check_report(check, block, -1, "page", "the page is not one of ann");
	}
	if (kind <= 0)
		return kind;
	chunk = ANN_PAGE_TAIL(copy->data)->chunk;
	check->kind[block] = (uint8) kind;
	check->chunk_of[block] = chunk;
	if (check->info != NULL && kind != ANN_PAGE_FREE && chunk >= check->num_chunks)
		ann_check_report(check, block, -1, "page",
						 "the page belongs to chunk %u, which is not there", chunk);
	return kind;
}

void
ann_check_pages(AnnCheck *check)
{
	PGAlignedBlock copy;
	ElementWalk walk = {0};

	check->blocks = RelationGetNumberOfBlocks(check->index);
	check->kind = palloc_extended((Size) check->blocks + 1, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	check->slots = palloc_extended(sizeof(uint16) * ((Size) check->blocks + 1),
								   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	check->chunk_of = palloc_extended(sizeof(uint32) * ((Size) check->blocks + 1),
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	walk.page = (Page) copy.data;
	if (check->info != NULL && check->meta.dim > 0)
	{
		walk.element = palloc(check->info->element_size);
		walk.floats = palloc(sizeof(float) * check->meta.dim);
	}
	for (BlockNumber block = 0; block < check->blocks; block++)
	{
		CHECK_FOR_INTERRUPTS();
		if (note_page(check, block, &copy) != ANN_PAGE_ELEMENT || check->info == NULL)
			continue;
		walk.block = block;
		check_elements(check, &walk);
	}
}
