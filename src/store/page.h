/*
 * page.h
 *	  Pages: reading them checked, changing them through the one door to
 *	  generic WAL, and the numbers that follow from the metapage.
 */
#ifndef ANN_PAGE_H
#define ANN_PAGE_H

#include "postgres.h"

#include "access/generic_xlog.h"
#include "algo/graph_options.h"
#include "algo/rotation.h"
#include "compat.h"
#include "store/format.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"

/*
 * What is true of a whole index: its metapage, and what follows from it.
 * While the dimensions are not known (meta.dim = 0), all but meta is zero.
 *
 * The one that ann_index returns lives in rd_amcache: it is good until the
 * relation is closed or invalidated (any access to a catalog or a toast table
 * may do that), or ann_index is called again.  Who needs it for longer makes
 * his own.
 */
typedef struct AnnIndex
{
	AnnMeta		meta;
	int			padded;			/* rotated dimensions, a multiple of 64 */
	int			augmented;		/* dimensions of the augmentation, 0 if there is none */
	int			tree_dim;		/* what splits know: it, and rotated dimensions */
	int			row_dim;		/* of rows while a tree is grown: it, and all of these */
	int			centroid_bits;	/* of a leaf's centroid, per dimension */
	int			node_size;		/* of a slot of a node page */
	int			nodes_per_page;
	int			element_size;	/* AnnElement with its vector */
	int			slot_size;		/* what of it is on the page that it begins on */
	int			elements_per_page;	/* 1 where an element needs several pages; of
								 * records of a graph: at most */
	int			code_bytes;		/* of one code */
	int			block_size;		/* of a leaf's block */
	int			blocks_per_page;	/* 0 where a block needs several pages */
	int			pages_per_block;	/* 1 where blocks fit a page */
	int			max_links;		/* of a graph's node, else 0 */
	int			link_bits;		/* of the codes of links, per dimension */
	int			link_dim;		/* rotated dimensions that these know */
	int			link_bytes;		/* of one such code */
	float		max_norm;		/* inner product: the M of the chunk at hand, set
								 * by who works on it */
	const AnnRotation *rotation;	/* behind this struct; NULL if dim is 0 */
	const float *centre;		/* L2: dim floats, subtracted from rows and
								 * queries; NULL if zero */
	const AnnCalibration *calibration;	/* behind this struct; NULL if none.  Of a
										 * cache: as of the directory's number */
	uint32		calibrated;		/* that number; private */
	BlockNumber known_blocks;	/* the file has at least so many; private */
	BlockNumber tids_page;		/* this backend's last page of TIDs; private */
	uint32		known_chunks;	/* the directory has at least so many; private */
} AnnIndex;

/*
 * The method of an index as the catalogs have it, which this layer does not know.
 * To be set when the library is loaded.
 */
extern AnnMethod (*ann_index_method) (Relation index);

/*
 * The numbers of the index.  Raises an error if the metapage is not one, or of
 * another method or version of the format.
 */
extern const AnnIndex *ann_index(Relation index);

/*
 * The same, and the entry of a chunk that belongs to it: what the cache holds
 * is read again if the dimensions have changed since.
 */
extern const AnnIndex *ann_index_chunk(Relation index, uint32 number, AnnChunk *chunk);

/*
 * The same, and the entries of all chunks, of the current memory context; their number
 * to *n.
 */
extern const AnnIndex *ann_index_chunks(Relation index, AnnChunk **chunks, uint32 *n);

/* The number of the chunk that rows in a block of the table belong to. */
static inline uint32
ann_chunk_of(const AnnMeta *meta, BlockNumber heap_block)
{
	return meta->chunk_blocks == 0 ? 0 : heap_block / meta->chunk_blocks;
}

/* Of a graph, one row in so many is in the trees, where searches begin at it. */
#define ANN_ROWS_PER_ENTRY ANN_NODES_PER_ENTRY

static inline bool
ann_is_graph(const AnnIndex *info)
{
	return info->meta.method == ANN_METHOD_HNSW;
}

/* How many rows a tree has of a chunk of so many. */
static inline double
ann_rows_in_tree(const AnnIndex *info, double rows)
{
	return ann_is_graph(info) ? rows / ANN_ROWS_PER_ENTRY : rows;
}

/* Bytes of a code of a link, at most. */
#define ANN_MAX_LINK_BYTES 128

/* The room that so many links are given. */
static inline int
ann_links_capacity(int links)
{
	return (links + ANN_LINK_STEP - 1) / ANN_LINK_STEP * ANN_LINK_STEP;
}

/* Bytes of AnnLinks with room for so many. */
static inline Size
ann_links_size(const AnnIndex *info, int capacity)
{
	return offsetof(AnnLinks, element) +
		(Size) capacity * (sizeof(AnnElementRef) + 2 * sizeof(float4) + info->link_bytes);
}

/* Is the entry of a chunk of the dimensions that are known? */
static inline bool
ann_is_epoch(const AnnChunk *chunk, const AnnIndex *info)
{
	return (chunk->epoch & ~ANN_EPOCH_CHANGING) == info->meta.epoch;
}

/*
 * The same from a metapage that is not on disk yet: one chunk in the current
 * memory context.  Without a centre, which the caller may set.
 */
extern AnnIndex *ann_index_make(const AnnMeta *meta);

/* The same for longer than the cache lives, in one chunk as well. */
extern AnnIndex *ann_index_copy(const AnnIndex *info);

/* The metapage as it is now; checked as by ann_index. */
extern void ann_meta_read(Relation index, AnnMeta *meta);

/*
 * The calibration of an index as ann_index_chunk tells it, for the planner: NULL also if
 * the index is of another version of the format, which only who uses it must care about.
 */
extern const AnnCalibration *ann_calibration_peek(Relation index);

/* Is it one that a search can go by? */
extern bool ann_calibration_is_valid(const AnnCalibration *calibration);

/* Write a calibration of the present epoch; its number is given here. */
extern void ann_calibration_write(Relation index, const AnnCalibration *calibration);

/* Bytes of a vector of 'dim' elements in a scalar kind. */
extern Size ann_scalar_bytes(AnnScalar scalar, int dim);

/*
 * Pin and lock a page that must be of this kind.  mode is BUFFER_LOCK_SHARE or
 * BUFFER_LOCK_EXCLUSIVE.  A page of another kind, or of none, or behind the
 * end of the file raises ERRCODE_INDEX_CORRUPTED with the block's number.
 */
extern Buffer ann_page_read(Relation index, BlockNumber block, AnnPageKind kind,
							int mode);

/* The same for a page that may be of another kind by now: true if it is not. */
extern bool ann_page_try_read(Relation index, BlockNumber block,
							  AnnPageKind kind, int mode, Buffer *buffer);

/*
 * The same, locked exclusively without waiting: false also if somebody has the
 * page.
 */
extern bool ann_page_try_lock(Relation index, BlockNumber block, AnnPageKind kind,
							  Buffer *buffer);

/* The same by a strategy, for who reads the whole file.  NULL is none. */
extern bool ann_page_try_read_by(Relation index, BlockNumber block,
								 AnnPageKind kind, int mode,
								 BufferAccessStrategy strategy, Buffer *buffer);

/*
 * What the end of a page says, whatever its kind, by a strategy, and its free
 * bytes.  False for a page that has never been written.
 */
extern bool ann_page_look(Relation index, BlockNumber block,
						  BufferAccessStrategy strategy, AnnPageTail *tail,
						  Size *room);

/*
 * Free a page that nothing leads to, unless it has become another since; true
 * if it is free now.  For who records many pages (ann_room_note).
 */
extern bool ann_page_reclaim(Relation index, BlockNumber block, AnnPageKind kind,
							 uint32 generation);

/* Raise ERRCODE_INDEX_CORRUPTED: "index ... has ... in block ..." */
pg_noreturn extern void ann_page_corrupted(Relation index, BlockNumber block,
										   const char *what,...)
			pg_attribute_printf(3, 4);

/* Make an empty page in memory.  pd_lower is at the end of the body. */
extern void ann_page_init(Page page, AnnPageKind kind, uint32 chunk);

/* Say that the first so many bytes of the body are in use. */
static inline void
ann_page_set_used(Page page, Size bytes)
{
	((PageHeader) page)->pd_lower = (uint16) (SizeOfPageHeaderData + bytes);
}

/* How many are. */
static inline Size
ann_page_used(Page page)
{
	return ((PageHeader) page)->pd_lower - SizeOfPageHeaderData;
}

/* How many bytes are free behind them. */
static inline Size
ann_page_room(Page page)
{
	return ((PageHeader) page)->pd_upper - ((PageHeader) page)->pd_lower;
}

/*
 * The free space map of the index knows pages of elements with a free slot,
 * pages of TIDs by their room, and free pages.  It only hints: it may have
 * forgotten a page, or tell what is no longer so.
 *
 * Record how many bytes of a page are free; kind is ANN_PAGE_ELEMENT (only
 * whether there are any is kept), ANN_PAGE_TIDS or ANN_PAGE_FREE.
 */
extern void ann_room_record(Relation index, BlockNumber block, AnnPageKind kind,
							Size bytes);

/*
 * The same for who records many and calls IndexFreeSpaceMapVacuum at the end:
 * others find the page from then on.
 */
extern void ann_room_note(Relation index, BlockNumber block, AnnPageKind kind,
						  Size bytes);

/*
 * A page of kind ANN_PAGE_ELEMENT or ANN_PAGE_TIDS and of this chunk that the
 * map offers, locked exclusively; else InvalidBuffer.  Waits for no lock, so
 * that the caller may hold some.  Whether there is room is the caller's to see,
 * and to record if there is none.
 */
extern Buffer ann_room_offer(Relation index, AnnPageKind kind, uint32 chunk,
							 Size bytes);

/*
 * The same, for a page of TIDs with so many bytes between pd_lower and pd_upper;
 * gives up after a few tries.
 */
extern Buffer ann_tids_room_find(Relation index, uint32 chunk, Size bytes);

/* So many offers without room are looked at; of several chunks, of another one too. */
#define ANN_ROOM_TRIES 4

/*
 * An edit: up to four pages changed together, or not at all.  Pages are
 * added with their buffers locked exclusively; what add returns is a copy to
 * change.  Commit logs and unlocks them all.  An error before commit changes
 * nothing.
 */
typedef struct AnnEdit
{
	Relation	index;
	GenericXLogState *state;
	int			num_buffers;
	Buffer		buffer[MAX_GENERIC_XLOG_PAGES];
} AnnEdit;

extern void ann_edit_begin(AnnEdit *edit, Relation index);

/*
 * Add a page that is pinned and locked already, and not in the edit yet; the
 * edit unlocks it.
 */
extern Page ann_edit_add(AnnEdit *edit, Buffer buffer);

/*
 * Add a new page, from the free space map or behind the end of the file.
 * It is as ann_page_init makes it, but for its generation.
 */
extern Page ann_edit_new(AnnEdit *edit, AnnPageKind kind, uint32 chunk,
						 BlockNumber *block);

/* Make a page of the edit a free one.  The map is to be told after commit. */
extern void ann_edit_free(Page page);
extern void ann_edit_commit(AnnEdit *edit);

/* The same, but one of the buffers stays pinned and locked. */
extern void ann_edit_commit_keeping(AnnEdit *edit, Buffer kept);

/* Drop an edit: nothing changes, all its pages are unlocked. */
extern void ann_edit_abort(AnnEdit *edit);

/*
 * What takes several edits, in which pages come to exist before anything leads
 * to them, does so under the structure lock in share mode.  Who has had it
 * exclusively knows that a page which was there before, and to which nothing
 * leads, is lost.  Exclusively it also keeps trees from changing their shape.
 * A heavyweight lock: held by the transaction, released when that aborts; no
 * lock on a page may be held when it is taken.
 */
extern void ann_structure_lock(Relation index, LOCKMODE mode);
extern bool ann_structure_try_lock(Relation index, LOCKMODE mode);
extern void ann_structure_unlock(Relation index, LOCKMODE mode);

/*
 * Lock the page of the directory that has the entry of a chunk, which is at
 * offset *at of it.
 */
extern Buffer ann_chunk_lock(Relation index, uint32 chunk, int mode, Size *at);

/* Begin an edit of the entry of a chunk; returns the copy to change. */
extern AnnChunk *ann_chunk_edit(AnnEdit *edit, Relation index, uint32 chunk);

/* Read the directory's entry of a chunk; as it is, and as one of this epoch sees it. */
extern void ann_chunk_read(Relation index, uint32 chunk, AnnChunk *result);
extern void ann_chunk_read_as(Relation index, const AnnIndex *info, uint32 chunk,
							  AnnChunk *result);

/*
 * Of several chunks: remember a page of elements that has room, or did, since the free
 * space map, which knows no chunks, offers pages of others.
 */
extern void ann_chunk_set_element_page(Relation index, uint32 chunk, BlockNumber block);

/* Let an entry be of no element, but with the lists that it has, in this epoch. */
extern void ann_chunk_empty(AnnChunk *chunk, uint32 epoch);

/* The entry of a chunk without any row. */
extern AnnChunk ann_chunk_new(void);

/* Let the directory have the entry of a chunk, and all before it. */
extern void ann_chunk_need(Relation index, uint32 chunk);

#endif							/* ANN_PAGE_H */
