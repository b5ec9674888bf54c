/*
 * check.h
 *	  What the parts of ann_check share.
 *
 * check.c has the function, the order of things and the findings; check_pages.c
 * metapage, directory, elements and all pages as such; check_lists.c the lists of
 * TIDs; check_trees.c the way from the roots to the elements, check_graph.c that
 * along links; check_heap.c the comparison with the table; check_set.c sets of places.
 *
 * Nothing that is read is trusted, and no lock is held between two pages.  So
 * what looks wrong may be at work: it counts as found only if it is there again
 * when looked at anew, which is done twice:
 *
 *	 ann_check_confirm	repeats a small examination, three times
 *	 check.c			repeats the walk over the whole index, three times, and
 *						keeps what all of them have found
 */
#ifndef ANN_CHECK_H
#define ANN_CHECK_H

#include "postgres.h"

#include "storage/bufmgr.h"
#include "store/format.h"
#include "store/page.h"
#include "utils/rel.h"
#include "utils/snapshot.h"


/* ---- Sets of places: blocks with small numbers (check_set.c) ------------ */

/*
 * A set of (block, number) with a bitmap per block: some 50 bytes and one bit
 * per number up to the largest, for each block of which it has any.
 */
typedef struct AnnPlaceSet AnnPlaceSet;

/* An empty set, in a memory context of its own below the current one. */
extern AnnPlaceSet *ann_place_set_make(void);
extern void ann_place_set_free(AnnPlaceSet *set);

/* Add a place; false if the set had it already. */
extern bool ann_place_set_add(AnnPlaceSet *set, BlockNumber block, uint16 number);
extern bool ann_place_set_has(AnnPlaceSet *set, BlockNumber block, uint16 number);


/* ---- The check as a whole (check.c) ------------------------------------- */

/* Something that is wrong. */
typedef struct AnnFinding
{
	BlockNumber block;			/* of the index; invalid where there is none */
	int			offset;			/* below 0 where there is none */
	const char *code;			/* a constant */
	char	   *problem;
} AnnFinding;

/* More are not kept. */
#define ANN_MAX_FINDINGS 10000

typedef struct AnnCheckRows AnnCheckRows;

typedef struct AnnCheck
{
	/* Unchanging, set at the beginning */
	Relation	index;
	AnnCheckRows *rows;			/* NULL: without the table */
	BufferAccessStrategy strategy;	/* for what is read once a walk */
	MemoryContext context;		/* of the findings */

	/* What has been found; changed by the functions below only */
	AnnFinding *findings;
	int			count;
	int			capacity;

	/* What the index is, as of the beginning of a walk */
	AnnMeta		meta;
	AnnIndex   *info;			/* NULL if the metapage is of no use */
	AnnChunk   *chunks;
	uint32		num_chunks;
	BlockNumber *directory;		/* blocks of the directory */
	uint32		num_directory;
	bool		directory_whole;	/* it was followed to its end */

	/* Of each block, as the walk has seen it */
	BlockNumber blocks;
	uint8	   *kind;			/* 0: none */
	uint16	   *slots;			/* in use; 0 but for elements of the epoch */
	uint32	   *chunk_of;

	/* Places that the walk has seen */
	AnnPlaceSet *segments;		/* segments of TIDs that lists lead to */
	AnnPlaceSet *freed;			/* elements that are free */
	AnnPlaceSet *living;		/* that have a row; NULL unless 'rows' is set */
	bool		garbage;		/* elements of another epoch were there */
	bool		lists_whole;	/* all lists were followed to their ends */
} AnnCheck;

/* Add a finding. */
extern void ann_check_report(AnnCheck *check, BlockNumber block, int offset,
							 const char *code, const char *problem,...)
			pg_attribute_printf(5, 6);

/* Forget all findings but the first 'count'. */
extern void ann_check_truncate(AnnCheck *check, int count);

/*
 * Call examine until it reports nothing, but three times at most; what it
 * reports then stays reported, and the result is false.
 */
typedef void (*AnnExamine) (AnnCheck *check, void *state);
extern bool ann_check_confirm(AnnCheck *check, AnnExamine examine, void *state);

/* Copy a block that is in the file.  The kind of the page; 0 if it is empty, -1 if noise. */
extern int	ann_check_page(AnnCheck *check, BlockNumber block,
						   BufferAccessStrategy strategy, PGAlignedBlock *copy);

/*
 * Copy a page that must be of this kind and chunk.  NULL, or what it is instead,
 * to be put behind "block ... is".
 */
extern const char *ann_check_linked(AnnCheck *check, BlockNumber block,
									AnnPageKind kind, uint32 chunk,
									PGAlignedBlock *copy);


/* ---- Pages (check_pages.c) ---------------------------------------------- */

/*
 * Read metapage and directory to the check, and report what is wrong with them.
 * False if the metapage is of no use.
 */
extern bool ann_check_head(AnnCheck *check);

/* Read a metapage; false if there is none. */
extern bool ann_check_read_meta(AnnCheck *check, AnnMeta *meta);

/* Read the entry of a chunk again; false if it is not there any more. */
extern bool ann_check_read_chunk(AnnCheck *check, uint32 number, AnnChunk *chunk);

/* Look at each page; at elements and their lists. */
extern void ann_check_pages(AnnCheck *check);

/* How many slots of a copied page of elements are in use; 0 if of another epoch. */
extern int	ann_check_slots(AnnCheck *check, Page page);

/* The part of an element that is on the copied page it begins on. */
extern const AnnElement *ann_check_slot(AnnCheck *check, Page page, int slot);

/*
 * Copy a whole element to 'result', which has info->element_size bytes, from
 * the copy of the page it begins on and those that follow.  NULL, or what is
 * wrong, about block *where.
 */
extern const char *ann_check_assemble(AnnCheck *check, Page page, int slot,
									  AnnElement *result, BlockNumber *where);


/* ---- Lists of TIDs (check_lists.c) -------------------------------------- */

/* A list of TIDs, by who has it: an element, or a chunk's entry. */
typedef struct AnnListOwner
{
	uint32		chunk;
	bool		is_chunk;
	Size		list;			/* is_chunk: its offset in AnnChunk */
	BlockNumber block;			/* else: of the element ... */
	int			slot;			/* ... and its slot */
} AnnListOwner;

/*
 * Follow a list to its end, and report what is wrong on the way.  False if
 * something is.  'mark' adds its segments to those that lists lead to.
 */
extern bool ann_check_list(AnnCheck *check, AnnListOwner *owner, bool mark);

/* The two lists of each chunk; then segments that no list leads to. */
extern void ann_check_chunk_lists(AnnCheck *check);
extern void ann_check_orphans(AnnCheck *check);


/* ---- Trees (check_trees.c) ---------------------------------------------- */

/* All trees of all chunks. */
extern void ann_check_trees(AnnCheck *check);


/* ---- Graphs (check_graph.c) --------------------------------------------- */

/* The links of a record on a copied page. */
extern void ann_check_links(AnnCheck *check, BlockNumber block, int slot,
							const AnnElement *record);

/* Add to the places of elements all that links lead to from them. */
extern void ann_check_reach(AnnCheck *check, uint32 chunk, AnnPlaceSet *reached);


/* ---- Rows of the table (check_heap.c) ----------------------------------- */

extern AnnCheckRows *ann_check_rows_begin(Relation heap, Relation index, Snapshot snapshot);
extern void ann_check_rows_end(AnnCheckRows *rows);

/* Compare all entries of the index with the table, and the table with them. */
extern void ann_check_rows(AnnCheck *check);

/* Is a row of an element visible?  The page it is on has been copied. */
extern bool ann_check_element_visible(AnnCheck *check, BlockNumber block, Page page,
									  int slot);

#endif							/* ANN_CHECK_H */
