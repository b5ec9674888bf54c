/*
 * tids.h
 *	  Lists of heap TIDs: the further rows of an element, NULL rows, rows whose
 *	  distance is undefined.
 *
 * A list is a chain of segments, items on pages of TIDs.  It belongs to an
 * element, or to a chunk in the directory, and is changed only under the
 * exclusive lock of that page, its owner's.
 *
 * It is read with no lock but that of the page at hand.  Rows appended at the
 * end harm no reader, and neither do dead ones that vanish from their segment.
 * What would, TIDs that move and segments that go, changes the owner in the same
 * edit: its version, and often the head of the list or the heap TID.  So a
 * reader looks at the owner before and after.
 */
#ifndef ANN_TIDS_H
#define ANN_TIDS_H

#include "postgres.h"

#include "access/genam.h"
#include "store/bulk.h"
#include "store/page.h"

/* Equal TIDs; invalid ones too, which ItemPointerEquals does not allow. */
static inline bool
ann_same_tid(const ItemPointerData *a, const ItemPointerData *b)
{
	return memcmp(a, b, sizeof(ItemPointerData)) == 0;
}

/* As many TIDs as fit a page; no segment has more. */
#define ANN_MAX_SEGMENT_TIDS 1356

/* Where the links of a list led to nothing, or back; invalid: nowhere. */
typedef struct AnnTidBreak
{
	ItemPointerData at;
	bool		is_circle;
} AnnTidBreak;

/*
 * Append the TIDs of a list to an array in *tids of *capacity, which is
 * repalloc'd as needed; n are in it already.  Returns the new number.
 *
 * What was read is the list, and a break an error, only if its owner is
 * afterwards what it was before: see ann_chunk_tids and ann_element_tids.
 */
extern int	ann_tids_read(Relation index, const AnnTidList *list,
						  ItemPointer *tids, int *capacity, int n,
						  AnnTidBreak *broken);

/* Raise ERRCODE_INDEX_CORRUPTED for a break. */
pg_noreturn extern void ann_tids_broken(Relation index, const AnnTidBreak *broken);

/*
 * All TIDs of a list of a directory's entry, at offset 'list' of AnnChunk, to
 * an array in *tids of *capacity, which is repalloc'd as needed.  Returns how
 * many.  Caller must hold no lock on pages.
 */
extern int	ann_chunk_tids(Relation index, uint32 chunk, Size list,
						   ItemPointer *tids, int *capacity);

/*
 * Append one TID.  'owner' is the buffer, pinned and locked exclusively, of the
 * page that has the list, at offset 'list_at' of that page; it is unlocked and
 * released.  Takes constant time.
 */
extern void ann_tids_append(Relation index, uint32 chunk, Buffer owner,
							Size list_at, ItemPointer tid);

/* A vacuum on its way through the index. */
typedef struct AnnVacuum
{
	Relation	index;
	IndexBulkDeleteCallback callback;
	void	   *state;			/* of the callback */
	BufferAccessStrategy strategy;
	uint64		kept;			/* heap TIDs that stay */
	uint64		removed;		/* heap TIDs that went */
	uint64		elements;		/* that have heap TIDs */
	uint64		dead;			/* that have none, and whose slots are not free */
	uint32		chunk;			/* of the page of elements that was last */
} AnnVacuum;

/* Ask the callback for a TID, and count it. */
extern bool ann_vacuum_is_gone(AnnVacuum *vacuum, ItemPointer tid);

/* Whose list is vacuumed: there is one vacuum of an index at a time. */
typedef struct AnnTidOwner
{
	Buffer		buffer;			/* his page: pinned and locked exclusively, as it
								 * stays */
	Size		at;				/* of the AnnElement or AnnChunk in the page */
	Size		list;			/* of the list in that */
	bool		is_element;
} AnnTidOwner;

/*
 * A list is vacuumed in two parts.  The first asks the callback for every TID, and
 * removes those for which it says so.  True if there is something to be tidied up.
 * It may be long: then no lock is to be held, and it lets others go first as vacuum
 * should.  'owner' is given by who has a short one, and keeps it locked; else NULL.
 */
extern bool ann_tids_remove(AnnVacuum *vacuum, const AnnTidList *list,
							const AnnTidOwner *owner);

/* How far the second part has come. */
typedef struct AnnTidying
{
	bool		heap_gone;
	bool		head_done;
	ItemPointerData at;			/* the segment to be merged with those behind it */
	int			merges;
} AnnTidying;

/*
 * The second part gives back segments that are not needed any more.
 *
 * heap_gone: the element's heap TID is dead as well.  Then a TID of the list
 * takes its place, or it becomes invalid if there is none; so it stays as it is
 * if the list was empty already.
 */
extern void ann_tidying_begin(AnnTidying *tidying, bool heap_gone);

/*
 * Do some of it, and return true when all is done.  The owner may be unlocked in
 * between.  The free space map is told by ann_room_note.
 */
extern bool ann_tidying_go_on(AnnTidying *tidying, AnnVacuum *vacuum,
							  const AnnTidOwner *owner);

/* Vacuum both lists of a directory's entry.  Caller holds no lock on pages. */
extern void ann_chunk_lists_vacuum(AnnVacuum *vacuum, uint32 chunk);

/* Lists of a build, written through 'bulk'. */
typedef struct AnnTidWriter AnnTidWriter;

extern AnnTidWriter *ann_tids_begin(AnnBulk *bulk, uint32 chunk);

/* Called for the next n TIDs of a list, of which there are as many. */
typedef void (*AnnTidReader) (void *state, ItemPointerData *tids, int n);

/* Write n > 0 TIDs as a list. */
extern AnnTidList ann_tids_write(AnnTidWriter *writer, uint64 n, AnnTidReader read,
								 void *state);

/*
 * A page that has been begun keeps all pages behind it in memory.  Let it go: before
 * many others are written, or if there are many.
 */
extern void ann_tids_flush(AnnTidWriter *writer);
extern void ann_tids_let_go(AnnTidWriter *writer);

extern void ann_tids_end(AnnTidWriter *writer);

#endif							/* ANN_TIDS_H */
