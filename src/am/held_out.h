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

/* A set of rows; those of the least hashes are asked for. */
typedef struct AnnHeldOut
{
	MemoryContext context;		/* of the arrays */
	int			most;			/* rows that are held out on purpose */
	int			count;
	int			capacity;
	AnnHeldRow *rows;
} AnnHeldOut;

/* None yet, and so many at most.  In the current context. */
extern AnnHeldOut *ann_held_out_begin(int most);

/*
 * Hold a row out, if it is one that should be.  Then another one may have to go, whose
 * array the caller frees; else evicted->array is 0.
 */
extern bool ann_held_out_take(AnnHeldOut *held, ItemPointer tid, ArrayType *array,
							  AnnHeldRow *evicted);

/* Add a row, however many there are. */
extern void ann_held_out_add(AnnHeldOut *held, const AnnHeldRow *row);

/* Take one out of the set: the last one.  The caller frees its array. */
extern AnnHeldRow ann_held_out_pop(AnnHeldOut *held);

/* Write them to a file, and add those of another process's. */
extern void ann_held_out_save(const AnnHeldOut *held, BufFile *file);
extern void ann_held_out_load(AnnHeldOut *held, BufFile *file);

/* Let those of the least hashes be the first ones. */
extern void ann_held_out_sort(AnnHeldOut *held);

#endif							/* ANN_HELD_OUT_H */
