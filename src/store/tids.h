/*
 * tids.h
 *	  Lists of heap TIDs: the further rows of an element, NULL rows, rows whose
 *	  distance is undefined.
 *
 * A list is a chain of segments, items on pages of TIDs.  Only the last one is
 * appended to, and none is ever removed, so that a list may be read with no
 * lock but that of the page at hand: what was in it when its head was read,
 * and has not been vacuumed since, is found.
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

/* Where a reader of a list is; private but for ann_tids_next. */
typedef struct AnnTidCursor
{
	ItemPointerData next;
	ItemPointerData mark;		/* to find out that a list is a circle */
	uint64		steps;
	uint64		steps_to_mark;
} AnnTidCursor;

extern void ann_tids_start(AnnTidCursor *cursor, const AnnTidList *list);

/*
 * Read the next segment to tids, which has room for ANN_MAX_SEGMENT_TIDS; their
 * number, which may be 0, to *n.  False behind the last segment.
 */
extern bool ann_tids_next(Relation index, AnnTidCursor *cursor,
						  ItemPointerData *tids, int *n);

/*
 * Append the TIDs of a list to an array in *tids of *capacity, which is
 * repalloc'd as needed; n are in it already.  Returns the new number.
 */
extern int	ann_tids_read(Relation index, const AnnTidList *list,
						  ItemPointer *tids, int *capacity, int n);

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
	uint64		dead;			/* that have none any more */
} AnnVacuum;

/*
 * Ask the callback for every TID of a list, and remove those for which it says
 * so.  The caller holds the exclusive lock of the page that has the list.
 *
 * 'known', unless NULL, is a TID that the caller has asked for and counted; it
 * may be in the list as well, and goes if known_gone.  The first TID that stays
 * goes to *survivor, else *survivor is invalid.
 */
extern void ann_tids_vacuum(AnnVacuum *vacuum, const AnnTidList *list,
							const ItemPointerData *known, bool known_gone,
							ItemPointer survivor);

/* Lists of a build, written through 'bulk'. */
typedef struct AnnTidWriter AnnTidWriter;

extern AnnTidWriter *ann_tids_begin(AnnBulk *bulk, uint32 chunk);

/* Write n > 0 TIDs as a list. */
extern AnnTidList ann_tids_write(AnnTidWriter *writer, const ItemPointerData *tids, int n);
extern void ann_tids_end(AnnTidWriter *writer);

#endif							/* ANN_TIDS_H */
