/*
 * page.c
 *	  Pages: checked reading, edits, the free space map, metapage, directory.
 *
 * Whatever is read from disk may be noise.  A page is let through only if its
 * header and its end are as ours are; what is between is its readers' to check.
 */
#include "postgres.h"

#include <math.h>

#include "algo/code.h"
#include "miscadmin.h"
#include "storage/freespace.h"
#include "storage/lmgr.h"
#include "store/centre_pages.h"
#include "store/page.h"
#include "store/recent.h"
#include "utils/memutils.h"

/*
 * Links of a graph have 4 bits a dimension up to so many rotated dimensions, and 1
 * beyond: at 128, 1 bit makes a search visit a fifth more nodes, in an index of two
 * fifths the size.  Codes of more dimensions than the latter cost pages for no
 * fewer visits.
 */
#define MAX_FINE_DIMENSIONS 64
#define MAX_LINK_DIMENSIONS (8 * ANN_MAX_LINK_BYTES)

AnnMethod	(*ann_index_method) (Relation index);


/* ---- Checked reading ---------------------------------------------------- */

void
ann_page_init(Page page, AnnPageKind kind, uint32 chunk)
{
	AnnPageTail *tail;

	PageInit(page, BLCKSZ, sizeof(AnnPageTail));
	ann_page_set_used(page, ANN_BODY_SIZE);
	tail = ANN_PAGE_TAIL(page);
	tail->next = InvalidBlockNumber;
	tail->generation = 0;
	tail->chunk = chunk;
	tail->kind = (uint8) kind;
	tail->epoch = 0;
	tail->page_id = ANN_PAGE_ID;
}

void
ann_page_corrupted(Relation index, BlockNumber block, const char *what,...)
{
	StringInfoData description;

	initStringInfo(&description);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, what);
		needed = appendStringInfoVA(&description, what, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&description, needed);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("index \"%s\" has %s in block %u",
					RelationGetRelationName(index), description.data, block),
			 errhint("Please REINDEX it.")));
}

/* Whether header and end of a page are as ann_page_init makes them. */
static bool
page_is_ours(Page page)
{
	PageHeader	header = (PageHeader) page;

	return header->pd_special == BLCKSZ - sizeof(AnnPageTail) &&
		header->pd_lower >= SizeOfPageHeaderData &&
		header->pd_lower <= header->pd_upper &&
		header->pd_upper <= header->pd_special &&
		ANN_PAGE_TAIL(page)->page_id == ANN_PAGE_ID;
}

/*
 * A block number from a page of the index may be noise, of which
 * InvalidBlockNumber is the worst: ReadBuffer would extend the file.  To spare
 * a system call for each read, the size of the file is remembered; it never
 * shrinks while the relation is not invalidated.
 */
static inline bool
block_exists(Relation index, BlockNumber block)
{
	AnnIndex   *cache = index->rd_amcache;
	BlockNumber blocks;

	if (cache != NULL && block < cache->known_blocks)
		return true;
	blocks = RelationGetNumberOfBlocks(index);
	if (cache != NULL)
		cache->known_blocks = blocks;
	return block < blocks;
}

static void
check_block(Relation index, BlockNumber block)
{
	if (!block_exists(index, block))
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has a link to block %u, behind its last one, %u",
						RelationGetRelationName(index), block,
						RelationGetNumberOfBlocks(index) - 1),
				 errhint("ann_check tells which block has it. Please REINDEX the index.")));
}

bool
ann_page_try_read_by(Relation index, BlockNumber block, AnnPageKind kind,
					 int mode, BufferAccessStrategy strategy, Buffer *buffer)
{
	Page		page;

	check_block(index, block);
	*buffer = strategy == NULL ? ann_recent_read(index, block)
		: ReadBufferExtended(index, MAIN_FORKNUM, block, RBM_NORMAL, strategy);
	LockBuffer(*buffer, mode);
	page = BufferGetPage(*buffer);
	if (likely(page_is_ours(page) && ANN_PAGE_TAIL(page)->kind == kind))
		return true;
	if (!PageIsNew(page) && !page_is_ours(page))
		ann_page_corrupted(index, block, "a page of unknown format");
	UnlockReleaseBuffer(*buffer);
	*buffer = InvalidBuffer;
	return false;
}

bool
ann_page_try_read(Relation index, BlockNumber block, AnnPageKind kind, int mode,
				  Buffer *buffer)
{
	return ann_page_try_read_by(index, block, kind, mode, NULL, buffer);
}

Buffer
ann_page_read(Relation index, BlockNumber block, AnnPageKind kind, int mode)
{
	Buffer		buffer;

	if (!ann_page_try_read(index, block, kind, mode, &buffer))
		ann_page_corrupted(index, block, "no page of kind %d, though one is linked,",
						   (int) kind);
	return buffer;
}


/* ---- The numbers of an index -------------------------------------------- */

Size
ann_scalar_bytes(AnnScalar scalar, int dim)
{
	switch (scalar)
	{
		case ANN_SCALAR_F64:
			return sizeof(float8) * dim;
		case ANN_SCALAR_F32:
			return sizeof(float4) * dim;
		case ANN_SCALAR_F16:
			return sizeof(uint16) * dim;
		case ANN_SCALAR_I8:
			return dim;
		case ANN_SCALAR_NONE:
			break;
	}
	return 0;
}

/* Has a page room for so many records of so much of an element and so many links? */
static bool
records_fit(const AnnIndex *index, int records, Size element, int links)
{
	Size		room = MAXALIGN_DOWN(ANN_BODY_SIZE / records - sizeof(ItemIdData));

	return element + ann_links_size(index, ann_links_capacity(links)) <= room;
}

static void
set_link_code(AnnIndex *index, int bits, int dim)
{
	index->link_bits = bits;
	index->link_dim = dim;
	index->link_bytes = (int) ann_code_bytes(bits, dim);
}

/*
 * The width of the codes of links.  They leave room for all links and the beginning
 * of the vector; and where a page has room for one record, but for two with codes
 * of half the width or more, it shall have two.
 */
static void
choose_link_code(AnnIndex *index)
{
	Size		header = offsetof(AnnElement, vector);
	int			usual = index->max_links / 4 * 3;
	int			bits = index->padded <= MAX_FINE_DIMENSIONS ? 4 : 1;
	int			width = Min(index->padded, MAX_LINK_DIMENSIONS);

	set_link_code(index, bits, width);
	if (bits == 4 && !records_fit(index, 1, header, index->max_links))
		set_link_code(index, 1, width);
	while (!records_fit(index, 1, header, index->max_links) && index->link_dim > 64)
		set_link_code(index, 1, index->link_dim - 64);
	if (bits == 4 || records_fit(index, 2, index->element_size, usual))
		return;
	for (int narrow = index->link_dim - 64; narrow >= width / 2 && narrow > 0; narrow -= 64)
	{
		AnnIndex	narrowed = *index;

		set_link_code(&narrowed, 1, narrow);
		if (records_fit(&narrowed, 2, index->element_size, usual))
		{
			set_link_code(index, 1, narrow);
			return;
		}
	}
}

/* The sizes of a graph's records; a vector goes on elsewhere if need be. */
static void
derive_link_sizes(AnnIndex *index)
{
	index->max_links = 2 * index->meta.m;
	choose_link_code(index);
	index->slot_size = index->element_size;
	while (!records_fit(index, 1, index->slot_size, index->max_links))
		index->slot_size -= 8;
	index->elements_per_page = ANN_BODY_SIZE /
		(MAXALIGN(index->slot_size + ann_links_size(index, 0)) + sizeof(ItemIdData));
}

/* Splits and entries of leaves have one size, and any fits a page. */
static void
derive_node_size(AnnIndex *index)
{
	int			room = ANN_BODY_SIZE - offsetof(AnnNode, vector);
	int			centroid;

	index->centroid_bits = index->padded <= room ? 8 : 4;
	centroid = index->padded / 8 * index->centroid_bits;
	index->node_size = offsetof(AnnNode, vector) + Max(index->tree_dim, centroid);
	index->nodes_per_page = ANN_BODY_SIZE / index->node_size;
}

/* All numbers that follow from index->meta. */
static void
derive_sizes(AnnIndex *index)
{
	const AnnMeta *meta = &index->meta;
	Size		size;

	index->padded = ann_rotation_padded(meta->dim);
	index->augmented = meta->metric == ANN_METRIC_IP ? ANN_AUGMENTED_DIMENSIONS : 0;
	index->tree_dim = index->augmented + Min(index->padded, ANN_MAX_SPLIT_DIMENSIONS);
	index->row_dim = index->augmented + index->padded;
	derive_node_size(index);

	/* packed, but doubles are to be aligned */
	size = offsetof(AnnElement, vector) + ann_scalar_bytes(meta->scalar, meta->dim);
	index->element_size = TYPEALIGN(meta->scalar == ANN_SCALAR_F64 ? 8 : 4, size);
	index->slot_size = Min(index->element_size, ANN_BODY_SIZE);
	index->elements_per_page = ANN_BODY_SIZE / index->slot_size;

	index->code_bytes = index->padded / 8 * meta->code_bits;
	index->block_size = offsetof(AnnLeafBlock, codes) + ANN_BLOCK_ROWS * index->code_bytes;
	index->blocks_per_page = ANN_LEAF_ROOM / index->block_size;
	index->pages_per_block = (index->block_size + ANN_LEAF_ROOM - 1) / ANN_LEAF_ROOM;
	if (meta->method == ANN_METHOD_HNSW)
		derive_link_sizes(index);
}

/* Where a calibration is, if there is one. */
static AnnCalibration *
calibration_room(AnnIndex *index)
{
	return (AnnCalibration *) TYPEALIGN(16, index + 1);
}

/*
 * The struct, the rotation, room for a calibration, and the centre unless NULL, in one
 * chunk of memory.
 */
static AnnIndex *
make_index(const AnnMeta *meta, const float *centre, MemoryContext context)
{
	Size		size = TYPEALIGN(16, sizeof(AnnIndex)) + sizeof(AnnCalibration) + 16;
	Size		rotation_size = meta->dim != 0 ? ann_rotation_size(meta->dim) : 0;
	Size		centre_size = centre != NULL ? sizeof(float) * meta->dim : 0;
	AnnIndex   *index;

	index = MemoryContextAlloc(context, size + rotation_size + centre_size);
	memset(index, 0, sizeof(AnnIndex));
	index->meta = *meta;
	index->tids_page = InvalidBlockNumber;
	index->known_chunks = 1;
	if (meta->dim != 0)
	{
		derive_sizes(index);
		index->rotation = ann_rotation_init((void *) TYPEALIGN(16, calibration_room(index) + 1),
											meta->dim, meta->seed);
	}
	if (centre != NULL)
		index->centre = memcpy((char *) index->rotation + rotation_size, centre,
							   centre_size);
	return index;
}

AnnIndex *
ann_index_make(const AnnMeta *meta)
{
	return make_index(meta, NULL, CurrentMemoryContext);
}

AnnIndex *
ann_index_copy(const AnnIndex *info)
{
	AnnIndex   *result = make_index(&info->meta, info->centre, CurrentMemoryContext);

	if (info->calibration != NULL)
		result->calibration = memcpy(calibration_room(result), info->calibration,
									 sizeof(AnnCalibration));
	return result;
}

/* Refuse a metapage that this library cannot work with. */
static void
check_meta(Relation index, const AnnMeta *meta)
{
	if (meta->magic != ANN_MAGIC)
		ann_page_corrupted(index, ANN_META_BLOCK, "no metapage of ann");
	if (meta->version != ANN_FORMAT_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("index \"%s\" has format version %u, but this version of ann needs %u",
						RelationGetRelationName(index), meta->version,
						ANN_FORMAT_VERSION),
				 meta->version < ANN_FORMAT_VERSION ?
				 errhint("REINDEX the index.") :
				 errhint("Install the version of ann that made the index, or a later one.")));
	if (meta->method < ANN_METHOD_ANNOY || meta->method > ANN_METHOD_HNSW ||
		(meta->method == ANN_METHOD_HNSW && (meta->m < 2 || meta->m > ANN_MAX_M)) ||
		meta->metric < ANN_METRIC_L2 || meta->metric > ANN_METRIC_IP ||
		meta->scalar < ANN_SCALAR_F64 || meta->scalar > ANN_SCALAR_NONE ||
		(meta->code_bits != 1 && meta->code_bits != 4) ||
		meta->dim > ANN_MAX_DIMENSIONS ||
		(meta->centre != InvalidBlockNumber &&
		 (meta->dim == 0 || meta->metric != ANN_METRIC_L2)))
		ann_page_corrupted(index, ANN_META_BLOCK, "values out of range");
	if (meta->method != ann_index_method(index))
		ann_page_corrupted(index, ANN_META_BLOCK, "the metapage of an index of another method");
}

void
ann_meta_read(Relation index, AnnMeta *meta)
{
	Buffer		buffer = ann_page_read(index, ANN_META_BLOCK, ANN_PAGE_META,
									   BUFFER_LOCK_SHARE);

	memcpy(meta, ANN_PAGE_BODY(BufferGetPage(buffer)), sizeof(AnnMeta));
	UnlockReleaseBuffer(buffer);
	check_meta(index, meta);
}

/*
 * Read the metapage and the centre that belongs to it; NULL if there is none.
 * When the dimensions have changed meanwhile, its pages may be others'.
 */
static float *
read_head(Relation index, AnnMeta *meta)
{
	for (;;)
	{
		AnnMeta		after;
		float	   *centre;
		bool		found;

		CHECK_FOR_INTERRUPTS();
		ann_meta_read(index, meta);
		if (meta->centre == InvalidBlockNumber)
			return NULL;
		centre = palloc(sizeof(float) * meta->dim);
		found = ann_centre_read(index, meta, centre);
		ann_meta_read(index, &after);
		if (after.centre == meta->centre && after.epoch == meta->epoch)
		{
			if (!found)
				ann_page_corrupted(index, meta->centre, "no centre, though one is linked,");
			return centre;
		}
		pfree(centre);
	}
}

const AnnIndex *
ann_index(Relation index)
{
	AnnIndex   *cache = index->rd_amcache;
	AnnMeta		meta;
	float	   *centre;

	if (cache != NULL && cache->meta.dim != 0)
		return cache;

	/* The first row sets the dimensions, and nobody is told. */
	centre = read_head(index, &meta);
	if (cache != NULL && meta.dim == 0)
	{
		cache->meta = meta;
		return cache;
	}
	index->rd_amcache = NULL;
	if (cache != NULL)
		pfree(cache);
	index->rd_amcache = make_index(&meta, centre, index->rd_indexcxt);
	if (centre != NULL)
		pfree(centre);
	return index->rd_amcache;
}

/* ---- Calibration -------------------------------------------------------- */

/* Could somebody have written this ladder? */
static bool
is_ladder(const AnnRung *rungs, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (!(rungs[i].recall >= 0 && rungs[i].recall <= 1) || isinf(rungs[i].setting) ||
			!(rungs[i].setting > (i > 0 ? rungs[i - 1].setting : 0)))
			return false;
	}
	return true;
}

bool
ann_calibration_is_valid(const AnnCalibration *calibration)
{
	bool		valid = calibration->num_shares <= ANN_MAX_SHARES && calibration->rows >= 0 &&
		calibration->norm >= 0 && !isinf(calibration->norm);

	for (int i = 0; i < ANN_CALIBRATED_LIMITS && valid; i++)
		valid = calibration->num_rungs[i] <= ANN_MAX_RUNGS &&
			is_ladder(calibration->rungs[i], calibration->num_rungs[i]);
	for (int i = 1; i < calibration->num_shares && valid; i++)
		valid = calibration->distance[i] <= calibration->distance[i - 1];
	return valid;
}

/* The one of a metapage. */
static AnnCalibration *
page_calibration(Page page)
{
	return (AnnCalibration *) (ANN_PAGE_BODY(page) + ANN_CALIBRATION_OFFSET);
}

/*
 * Read the calibration, which has this number now, into the cache.  It is advice: one that
 * is noise is none.
 */
static void
refresh_calibration(Relation index, AnnIndex *cache, uint32 number)
{
	AnnCalibration *calibration = calibration_room(cache);
	Buffer		buffer = ann_page_read(index, ANN_META_BLOCK, ANN_PAGE_META,
									   BUFFER_LOCK_SHARE);

	*calibration = *page_calibration(BufferGetPage(buffer));
	UnlockReleaseBuffer(buffer);
	cache->calibrated = number;
	cache->calibration = calibration->number != 0 &&
		calibration->epoch == cache->meta.epoch && ann_calibration_is_valid(calibration)
		? calibration : NULL;
}

/* Is the metapage one that ann_index can read? */
static bool
is_readable(Relation index)
{
	Buffer		buffer;
	const AnnMeta *meta;
	bool		result;

	if (RelationGetNumberOfBlocks(index) <= ANN_META_BLOCK ||
		!ann_page_try_read(index, ANN_META_BLOCK, ANN_PAGE_META, BUFFER_LOCK_SHARE, &buffer))
		return false;
	meta = (const AnnMeta *) ANN_PAGE_BODY(BufferGetPage(buffer));
	result = meta->magic == ANN_MAGIC && meta->version == ANN_FORMAT_VERSION;
	UnlockReleaseBuffer(buffer);
	return result;
}

const AnnCalibration *
ann_calibration_peek(Relation index)
{
	AnnChunk	chunk;

	if (index->rd_amcache == NULL && !is_readable(index))
		return NULL;
	return ann_index_chunk(index, 0, &chunk)->calibration;
}

/* The metapage is locked before the first page of the directory. */
void
ann_calibration_write(Relation index, const AnnCalibration *calibration)
{
	Buffer		head = ann_page_read(index, ANN_META_BLOCK, ANN_PAGE_META, BUFFER_LOCK_EXCLUSIVE);
	Size		at;
	Buffer		directory = ann_chunk_lock(index, 0, BUFFER_LOCK_EXCLUSIVE, &at);
	AnnEdit		edit;
	AnnCalibration *stored;
	AnnChunk   *chunk;

	ann_edit_begin(&edit, index);
	stored = page_calibration(ann_edit_add(&edit, head));
	chunk = (AnnChunk *) ((char *) ann_edit_add(&edit, directory) + at);
	if (++chunk->calibration == 0)
		chunk->calibration = 1;
	*stored = *calibration;
	stored->number = chunk->calibration;
	ann_edit_commit(&edit);
}

/* ---- The numbers and a chunk -------------------------------------------- */

/*
 * Metapage and first entry change their epochs in one edit.  When they differ after
 * the metapage has been read again as they did before, it was not because of that.
 */
const AnnIndex *
ann_index_chunk(Relation index, uint32 number, AnnChunk *chunk)
{
	uint32		of_meta = 0;
	uint32		of_chunk = 0;

	for (bool again = false;; again = true)
	{
		const AnnIndex *info = ann_index(index);

		ann_chunk_read(index, 0, chunk);
		chunk->epoch &= ~ANN_EPOCH_CHANGING;
		if (chunk->epoch == info->meta.epoch)
		{
			if (chunk->calibration != info->calibrated)
				refresh_calibration(index, index->rd_amcache, chunk->calibration);
			if (number > 0)
				ann_chunk_read_as(index, info, number, chunk);
			return info;
		}
		CHECK_FOR_INTERRUPTS();
		if (again && info->meta.epoch == of_meta && chunk->epoch == of_chunk)
			ann_page_corrupted(index, ANN_META_BLOCK, "another epoch than its directory");
		of_meta = info->meta.epoch;
		of_chunk = chunk->epoch;
		pfree(index->rd_amcache);
		index->rd_amcache = NULL;
	}
}


/* ---- The free space map ------------------------------------------------- */

/*
 * The map keeps a number below BLCKSZ for each page, in steps of 32, and offers
 * any page that has at least what is asked for.  So the kinds are told apart by
 * magnitude, and a search for the smaller is offered the greater as well.
 *
 * Only free pages are therefore found for certain.  Who wants one of another kind
 * passes over what the map says to be of a greater one, without reading it, a good
 * many times: VACUUM leaves more free pages than others, and to give up would be
 * to take one of these for each list of TIDs.  The map offers its pages in turn,
 * but goes on to another part of a large file only when it knows of none in this
 * one; so a search for elements sets pages of TIDs aside, until it has ended.
 */
#define MAP_ELEMENT 32
#define MAP_TIDS	(BLCKSZ / 2)
#define MAP_FREE	(BLCKSZ - 32)	/* the most that may be asked for */
#define MAP_MAX_TIDS (MAP_FREE - 32)

/* So many offers of the map are looked at. */
#define MAP_TRIES	64

/* So many pages are put back; the map forgets more of them until VACUUM. */
#define MAX_SET_ASIDE (MAP_TRIES / 2)

/* The number that stands for so many free bytes on a page of a kind. */
static Size
map_number(AnnPageKind kind, Size bytes)
{
	if (kind == ANN_PAGE_FREE)
		return MAP_FREE;
	if (kind == ANN_PAGE_ELEMENT && bytes > 0)
		return MAP_ELEMENT + bytes / 4;
	if (kind == ANN_PAGE_TIDS && bytes >= 64)
		return Min(MAP_TIDS + bytes / 2, MAP_MAX_TIDS);
	return 0;
}

void
ann_room_note(Relation index, BlockNumber block, AnnPageKind kind, Size bytes)
{
	RecordPageWithFreeSpace(index, block, map_number(kind, bytes));
}

void
ann_room_record(Relation index, BlockNumber block, AnnPageKind kind, Size bytes)
{
	AnnIndex   *cache = index->rd_amcache;

	ann_room_note(index, block, kind, bytes);

	/* Others find it only if the upper levels of the map know. */
	if (map_number(kind, bytes) > 0)
		FreeSpaceMapVacuumRange(index, block, block + 1);
	if (kind == ANN_PAGE_TIDS && cache != NULL)
		cache->tids_page = block;
}

/* The kind of the page that has this number. */
static AnnPageKind
mapped_kind(Size number)
{
	if (number >= MAP_FREE)
		return ANN_PAGE_FREE;
	return number >= MAP_TIDS ? ANN_PAGE_TIDS : ANN_PAGE_ELEMENT;
}

/* Lock a page exclusively; InvalidBuffer if that is to wait. */
static Buffer
lock_without_waiting(Relation index, BlockNumber block)
{
	Buffer		buffer = ReadBuffer(index, block);

	if (ConditionalLockBuffer(buffer))
		return buffer;
	ReleaseBuffer(buffer);
	return InvalidBuffer;
}

static bool
is_kind(Page page, AnnPageKind kind)
{
	return page_is_ours(page) && ANN_PAGE_TAIL(page)->kind == kind;
}

bool
ann_page_try_lock(Relation index, BlockNumber block, AnnPageKind kind, Buffer *buffer)
{
	check_block(index, block);
	*buffer = lock_without_waiting(index, block);
	if (!BufferIsValid(*buffer))
		return false;
	if (is_kind(BufferGetPage(*buffer), kind))
		return true;
	UnlockReleaseBuffer(*buffer);
	return false;
}

/*
 * Lock a page that the map has offered as one of this kind, without waiting.
 * InvalidBuffer if somebody has it, or if it is of another kind, or not there:
 * then the map forgets it.
 */
static Buffer
take_offered(Relation index, BlockNumber block, AnnPageKind kind)
{
	Buffer		buffer = InvalidBuffer;
	Page		page;

	if (block_exists(index, block))
	{
		buffer = lock_without_waiting(index, block);
		if (!BufferIsValid(buffer))
			return buffer;
		page = BufferGetPage(buffer);

		/* A page of zeros: someone extended the file, and could not go on. */
		if (is_kind(page, kind) || (kind == ANN_PAGE_FREE && PageIsNew(page)))
			return buffer;
	}
	RecordPageWithFreeSpace(index, block, 0);
	if (BufferIsValid(buffer))
		UnlockReleaseBuffer(buffer);
	return InvalidBuffer;
}

/* Pages that the map does not offer for a while. */
typedef struct SetAside
{
	int			count;
	BlockNumber block[MAX_SET_ASIDE];
	Size		number[MAX_SET_ASIDE];
} SetAside;

static void
set_aside(Relation index, SetAside *aside, BlockNumber block, Size number)
{
	RecordPageWithFreeSpace(index, block, 0);
	if (aside->count == MAX_SET_ASIDE)
		return;
	aside->block[aside->count] = block;
	aside->number[aside->count++] = number;
}

static void
put_back(Relation index, const SetAside *aside)
{
	for (int i = 0; i < aside->count; i++)
	{
		RecordPageWithFreeSpace(index, aside->block[i], aside->number[i]);
		FreeSpaceMapVacuumRange(index, aside->block[i], aside->block[i] + 1);
	}
}

Buffer
ann_room_offer(Relation index, AnnPageKind kind, uint32 chunk, Size bytes)
{
	Size		number = MAP_ELEMENT + (bytes + 2) / 4;
	Buffer		buffer = InvalidBuffer;
	SetAside	aside = {0};
	int			others = 0;		/* pages of other chunks */

	if (kind == ANN_PAGE_TIDS)
		number = MAP_TIDS + (bytes + 1) / 2;
	if (number > MAP_MAX_TIDS)
		return InvalidBuffer;
	for (int try = 0; try < MAP_TRIES && others < ANN_ROOM_TRIES && !BufferIsValid(buffer); try++)
	{
		BlockNumber block = GetPageWithFreeSpace(index, number);
		Size		found;

		if (block == InvalidBlockNumber)
			break;
		found = GetRecordedFreeSpace(index, block);
		if (mapped_kind(found) == ANN_PAGE_TIDS && kind != ANN_PAGE_TIDS)
			set_aside(index, &aside, block, found);
		if (mapped_kind(found) != kind)
			continue;
		buffer = take_offered(index, block, kind);
		if (BufferIsValid(buffer) && ANN_PAGE_TAIL(BufferGetPage(buffer))->chunk != chunk)
		{
			UnlockReleaseBuffer(buffer);
			buffer = InvalidBuffer;

			/* of elements, the directory knows another page */
			others += kind == ANN_PAGE_ELEMENT;
		}
	}
	put_back(index, &aside);
	return buffer;
}

/* The page of TIDs that this backend used last, if it is one of this chunk with room. */
static Buffer
take_last_tids_page(Relation index, uint32 chunk, Size bytes)
{
	AnnIndex   *cache = index->rd_amcache;
	Buffer		buffer;
	Page		page;

	if (cache == NULL || cache->tids_page == InvalidBlockNumber ||
		!ann_page_try_lock(index, cache->tids_page, ANN_PAGE_TIDS, &buffer))
		return InvalidBuffer;
	page = BufferGetPage(buffer);
	if (ANN_PAGE_TAIL(page)->chunk == chunk && ann_page_room(page) >= bytes)
		return buffer;
	UnlockReleaseBuffer(buffer);
	return InvalidBuffer;
}

Buffer
ann_tids_room_find(Relation index, uint32 chunk, Size bytes)
{
	Buffer		buffer = take_last_tids_page(index, chunk, bytes);

	for (int try = 0; try < ANN_ROOM_TRIES && !BufferIsValid(buffer); try++)
	{
		Size		room;

		buffer = ann_room_offer(index, ANN_PAGE_TIDS, chunk, bytes);
		if (!BufferIsValid(buffer))
			break;
		room = ann_page_room(BufferGetPage(buffer));
		if (room >= bytes)
			break;
		ann_room_note(index, BufferGetBlockNumber(buffer), ANN_PAGE_TIDS, room);
		UnlockReleaseBuffer(buffer);
		buffer = InvalidBuffer;
	}
	return buffer;
}

/* A free page, locked exclusively, if the map knows one. */
static Buffer
find_free_page(Relation index)
{
	for (int try = 0; try < MAP_TRIES; try++)
	{
		BlockNumber block = GetPageWithFreeSpace(index, MAP_FREE);
		Buffer		buffer;

		if (block == InvalidBlockNumber)
			break;
		buffer = take_offered(index, block, ANN_PAGE_FREE);
		if (BufferIsValid(buffer))
		{
			RecordPageWithFreeSpace(index, block, 0);
			return buffer;
		}
	}
	return InvalidBuffer;
}


/* ---- Edits -------------------------------------------------------------- */

void
ann_edit_begin(AnnEdit *edit, Relation index)
{
	edit->index = index;
	edit->state = GenericXLogStart(index);
	edit->num_buffers = 0;
}

static Page
register_buffer(AnnEdit *edit, Buffer buffer, int flags)
{
	if (edit->num_buffers == MAX_GENERIC_XLOG_PAGES)
		elog(ERROR, "more than %d pages in an edit", MAX_GENERIC_XLOG_PAGES);
	edit->buffer[edit->num_buffers++] = buffer;
	return GenericXLogRegisterBuffer(edit->state, buffer, flags);
}

Page
ann_edit_add(AnnEdit *edit, Buffer buffer)
{
	return register_buffer(edit, buffer, 0);
}

Page
ann_edit_new(AnnEdit *edit, AnnPageKind kind, uint32 chunk, BlockNumber *block)
{
	Buffer		buffer = find_free_page(edit->index);
	uint32		generation = 0;
	Page		page;

	if (!BufferIsValid(buffer))
		buffer = ann_extend_relation(edit->index);
	*block = BufferGetBlockNumber(buffer);
	page = register_buffer(edit, buffer, GENERIC_XLOG_FULL_IMAGE);
	if (!PageIsNew(page))
		generation = ANN_PAGE_TAIL(page)->generation + 1;
	ann_page_init(page, kind, chunk);
	ANN_PAGE_TAIL(page)->generation = generation;
	return page;
}

void
ann_edit_free(Page page)
{
	AnnPageTail tail = *ANN_PAGE_TAIL(page);

	ann_page_init(page, ANN_PAGE_FREE, tail.chunk);
	ann_page_set_used(page, 0);
	ANN_PAGE_TAIL(page)->generation = tail.generation;
}

/* Unlock all buffers of an edit but one, which may be InvalidBuffer. */
static void
release_buffers(AnnEdit *edit, Buffer kept)
{
	for (int i = 0; i < edit->num_buffers; i++)
	{
		if (edit->buffer[i] != kept)
			UnlockReleaseBuffer(edit->buffer[i]);
	}
	edit->num_buffers = 0;
}

void
ann_edit_commit_keeping(AnnEdit *edit, Buffer kept)
{
	GenericXLogFinish(edit->state);
	release_buffers(edit, kept);
}

void
ann_edit_commit(AnnEdit *edit)
{
	ann_edit_commit_keeping(edit, InvalidBuffer);
}

void
ann_edit_abort(AnnEdit *edit)
{
	GenericXLogAbort(edit->state);
	release_buffers(edit, InvalidBuffer);
}

void
ann_structure_lock(Relation index, LOCKMODE mode)
{
	LockPage(index, ANN_DIRECTORY_BLOCK, mode);
}

bool
ann_structure_try_lock(Relation index, LOCKMODE mode)
{
	return ConditionalLockPage(index, ANN_DIRECTORY_BLOCK, mode);
}

void
ann_structure_unlock(Relation index, LOCKMODE mode)
{
	UnlockPage(index, ANN_DIRECTORY_BLOCK, mode);
}


/* ---- All pages ---------------------------------------------------------- */

bool
ann_page_look(Relation index, BlockNumber block, BufferAccessStrategy strategy,
			  AnnPageTail *tail, Size *room)
{
	Buffer		buffer = ReadBufferExtended(index, MAIN_FORKNUM, block, RBM_NORMAL, strategy);
	Page		page = BufferGetPage(buffer);
	bool		written;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	written = !PageIsNew(page);
	if (written && !page_is_ours(page))
		ann_page_corrupted(index, block, "a page of unknown format");
	if (written)
	{
		*tail = *ANN_PAGE_TAIL(page);
		*room = ann_page_room(page);
	}
	UnlockReleaseBuffer(buffer);
	return written;
}

bool
ann_page_reclaim(Relation index, BlockNumber block, AnnPageKind kind, uint32 generation)
{
	AnnEdit		edit;
	Buffer		buffer;

	if (!ann_page_try_read(index, block, kind, BUFFER_LOCK_EXCLUSIVE, &buffer))
		return false;
	if (ANN_PAGE_TAIL(BufferGetPage(buffer))->generation != generation)
	{
		UnlockReleaseBuffer(buffer);
		return false;
	}
	ann_edit_begin(&edit, index);
	ann_edit_free(ann_edit_add(&edit, buffer));
	ann_edit_commit(&edit);
	ann_room_note(index, block, ANN_PAGE_FREE, 0);
	return true;
}


/* ---- The directory ------------------------------------------------------ */

void
ann_chunk_empty(AnnChunk *chunk, uint32 epoch)
{
	chunk->roots = InvalidBlockNumber;
	chunk->node_page = InvalidBlockNumber;
	chunk->element_page = InvalidBlockNumber;
	chunk->leaf_capacity = 0;
	chunk->rows = chunk->dead = 0;
	chunk->max_norm = 0;
	chunk->epoch = epoch;
}

AnnChunk
ann_chunk_new(void)
{
	AnnChunk	chunk = {0};

	ann_chunk_empty(&chunk, 0);
	ItemPointerSetInvalid(&chunk.nulls.head);
	ItemPointerSetInvalid(&chunk.nulls.tail);
	chunk.undefined = chunk.nulls;
	return chunk;
}

/* The entries of a page of the directory that is locked; their number to *n. */
static AnnChunk *
page_chunks(Relation index, Buffer buffer, uint32 *n)
{
	Page		page = BufferGetPage(buffer);
	Size		used = ann_page_used(page);

	*n = (uint32) (used / sizeof(AnnChunk));
	if (*n == 0 || used % sizeof(AnnChunk) != 0 ||
		(*n < ANN_CHUNKS_PER_PAGE && ANN_PAGE_TAIL(page)->next != InvalidBlockNumber))
		ann_page_corrupted(index, BufferGetBlockNumber(buffer), "%zu bytes of entries", used);
	return (AnnChunk *) ANN_PAGE_BODY(page);
}

/*
 * Lock the page of the directory that has entry number *entry of those from 'block' on,
 * or the last one; *entry becomes its number there.
 */
static Buffer
lock_directory(Relation index, BlockNumber block, uint32 *entry, int mode)
{
	for (;;)
	{
		Buffer		buffer = ann_page_read(index, block, ANN_PAGE_DIRECTORY, mode);
		BlockNumber next = ANN_PAGE_TAIL(BufferGetPage(buffer))->next;

		if (*entry < ANN_CHUNKS_PER_PAGE || next == InvalidBlockNumber)
			return buffer;
		UnlockReleaseBuffer(buffer);
		CHECK_FOR_INTERRUPTS();
		*entry -= ANN_CHUNKS_PER_PAGE;
		block = next;
	}
}

Buffer
ann_chunk_lock(Relation index, uint32 chunk, int mode, Size *at)
{
	uint32		entry = chunk;
	Buffer		buffer = lock_directory(index, ANN_DIRECTORY_BLOCK, &entry, mode);
	uint32		n;

	*at = (char *) (page_chunks(index, buffer, &n) + entry) - (char *) BufferGetPage(buffer);
	if (entry >= n)
		ann_page_corrupted(index, BufferGetBlockNumber(buffer), "no entry of chunk %u", chunk);
	return buffer;
}

void
ann_chunk_read(Relation index, uint32 chunk, AnnChunk *result)
{
	Size		at;
	Buffer		buffer = ann_chunk_lock(index, chunk, BUFFER_LOCK_SHARE, &at);

	memcpy(result, (char *) BufferGetPage(buffer) + at, sizeof(AnnChunk));
	UnlockReleaseBuffer(buffer);
}

void
ann_chunk_read_as(Relation index, const AnnIndex *info, uint32 chunk, AnnChunk *result)
{
	ann_chunk_read(index, chunk, result);
	if (!ann_is_epoch(result, info))
		ann_chunk_empty(result, info->meta.epoch);
}

AnnChunk *
ann_chunk_edit(AnnEdit *edit, Relation index, uint32 chunk)
{
	Size		at;
	Buffer		buffer = ann_chunk_lock(index, chunk, BUFFER_LOCK_EXCLUSIVE, &at);

	ann_edit_begin(edit, index);
	return (AnnChunk *) ((char *) ann_edit_add(edit, buffer) + at);
}

void
ann_chunk_set_element_page(Relation index, uint32 chunk, BlockNumber block)
{
	AnnEdit		edit;

	ann_chunk_edit(&edit, index, chunk)->element_page = block;
	ann_edit_commit(&edit);
}

/* Add n entries to a page of an edit that has so many. */
static void
add_entries(Page page, uint32 has, uint32 n)
{
	AnnChunk   *chunks = (AnnChunk *) ANN_PAGE_BODY(page);

	for (uint32 i = 0; i < n; i++)
		chunks[has + i] = ann_chunk_new();
	ann_page_set_used(page, sizeof(AnnChunk) * (has + n));
}

/*
 * Lengthen the directory, from its last page, which is locked, and is to have entry
 * number 'entry'.  That may take more pages: as many as an edit allows are added.
 */
static void
lengthen_directory(Relation index, Buffer last, uint32 entry)
{
	AnnEdit		edit;
	uint32		has;
	Page		page;

	(void) page_chunks(index, last, &has);
	ann_edit_begin(&edit, index);
	page = ann_edit_add(&edit, last);
	while (has <= entry)
	{
		uint32		n = Min(entry + 1, (uint32) ANN_CHUNKS_PER_PAGE) - has;

		add_entries(page, has, n);
		if (entry < ANN_CHUNKS_PER_PAGE || edit.num_buffers == MAX_GENERIC_XLOG_PAGES)
			break;
		page = ann_edit_new(&edit, ANN_PAGE_DIRECTORY, 0, &ANN_PAGE_TAIL(page)->next);
		entry -= ANN_CHUNKS_PER_PAGE;
		has = 0;
	}
	ann_edit_commit(&edit);
}

/* The entries are locked one page at a time: whoever is faster has added some. */
void
ann_chunk_need(Relation index, uint32 chunk)
{
	AnnIndex   *cache = index->rd_amcache;

	if (chunk == 0 || (cache != NULL && chunk < cache->known_chunks))
		return;
	for (;;)
	{
		uint32		entry = chunk;
		Buffer		buffer = lock_directory(index, ANN_DIRECTORY_BLOCK, &entry,
											BUFFER_LOCK_SHARE);
		BlockNumber block = BufferGetBlockNumber(buffer);
		uint32		at = entry;
		uint32		n;

		(void) page_chunks(index, buffer, &n);
		UnlockReleaseBuffer(buffer);
		if (entry < n)
			break;
		buffer = lock_directory(index, block, &at, BUFFER_LOCK_EXCLUSIVE);
		(void) page_chunks(index, buffer, &n);
		if (at < n)
			UnlockReleaseBuffer(buffer);
		else
			lengthen_directory(index, buffer, at);
	}
	cache = index->rd_amcache;
	if (cache != NULL)
		cache->known_chunks = Max(cache->known_chunks, chunk + 1);
}

/* The entries of all chunks, as one who knows this of the index sees them. */
static AnnChunk *
read_directory(Relation index, const AnnIndex *info, uint32 *n)
{
	BlockNumber block = ANN_DIRECTORY_BLOCK;
	uint32		most = ann_chunk_of(&info->meta, MaxBlockNumber) + 1;
	AnnChunk   *result = NULL;

	for (*n = 0; block != InvalidBlockNumber;)
	{
		Buffer		buffer = ann_page_read(index, block, ANN_PAGE_DIRECTORY, BUFFER_LOCK_SHARE);
		uint32		more;
		const AnnChunk *chunks = page_chunks(index, buffer, &more);
		Size		size = sizeof(AnnChunk) * ((Size) *n + more);

		result = result == NULL ? palloc(size) : repalloc_huge(result, size);
		memcpy(result + *n, chunks, sizeof(AnnChunk) * more);
		*n += more;
		block = ANN_PAGE_TAIL(BufferGetPage(buffer))->next;
		UnlockReleaseBuffer(buffer);
		CHECK_FOR_INTERRUPTS();
		if (*n > most)
			ann_page_corrupted(index, ANN_DIRECTORY_BLOCK, "a directory of too many chunks");
	}
	for (uint32 i = 0; i < *n; i++)
	{
		if (!ann_is_epoch(&result[i], info))
			ann_chunk_empty(&result[i], info->meta.epoch);
	}
	return result;
}

const AnnIndex *
ann_index_chunks(Relation index, AnnChunk **chunks, uint32 *n)
{
	AnnChunk	first;
	const AnnIndex *info = ann_index_chunk(index, 0, &first);

	*chunks = read_directory(index, info, n);
	return info;
}
