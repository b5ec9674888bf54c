/*
 * held_out.h
 *	  Rows that a build leaves out, to ask the index for them before they are inserted.
 */
#ifndef ANN_HELD_OUT_H
#define ANN_HELD_OUT_H

#include "postgres.h"

#include "am/source.h"
#include "storage/buffile.h"
#include "storage/itemptr.h"

typedef struct AnnHeldRow
{
	uint32		hash;			/* of its place in the table */
	ItemPointerData tid;
	Datum		array;			/* 0: it is none */
} AnnHeldRow;

typedef struct AnnHeldRows
{
	AnnHeldRow *rows;
	int			count;
	int			capacity;
} AnnHeldRows;

/* Rows that are asked for, those of the least hashes, and others that wait like them. */
typedef struct AnnHeldOut
{
	MemoryContext context;		/* of the arrays */
	int			most;			/* rows that are asked for */
	AnnHeldRows asked;
	AnnHeldRows others;
	int			largest;		/* of those asked for, once there are so many; else -1 */
} AnnHeldOut;

/* None yet, and so many at most.  In the current context. */
extern AnnHeldOut *ann_held_out_begin(int most);

/*
 * Hold a row out, if it is one that should be.  Then another one may have to go, whose
 * array the caller frees; else evicted->array is 0.
 */
extern bool ann_held_out_take(AnnHeldOut *held, ItemPointer tid, ArrayType *array,
							  AnnHeldRow *evicted);

/* Add a row to the others. */
extern void ann_held_out_add(AnnHeldOut *held, const AnnHeldRow *row);

/* Take a row out of those asked for; false if there is none.  The caller frees its array. */
extern bool ann_held_out_pop(AnnHeldOut *held, AnnHeldRow *row);

/* Is the row held out? */
extern bool ann_held_out_has(const AnnHeldOut *held, const ItemPointerData *tid);

/* Write them to a file, and add those of another process's. */
extern void ann_held_out_save(const AnnHeldOut *held, BufFile *file);
extern void ann_held_out_load(AnnHeldOut *held, BufFile *file);

/* Ask for those of the least hashes of all, in the order of these. */
extern void ann_held_out_sort(AnnHeldOut *held);

#endif							/* ANN_HELD_OUT_H */
