/*
 * held_out.c
 *	  Rows that a build leaves out.
 *
 * They are those with the least hashes of their places in the table: nobody need know
 * how many rows there are, nor does it matter which process comes by.
 */
#include "postgres.h"

#include "am/held_out.h"
#include "common/hashfn.h"
#include "compat.h"
#include "utils/memutils.h"

/* Their arrays take no more memory than this. */
#define MEMORY ((Size) 4 * 1024 * 1024)

AnnHeldOut *
ann_held_out_begin(int most)
{
	AnnHeldOut *held = palloc0(sizeof(AnnHeldOut));

	held->context = CurrentMemoryContext;
	held->most = most;
	held->capacity = most;
	held->rows = palloc(sizeof(AnnHeldRow) * held->capacity);
	return held;
}

static uint32
hash_place(const ItemPointerData *tid)
{
	return murmurhash32(hash_combine(murmurhash32(ItemPointerGetBlockNumber(tid)),
									 ItemPointerGetOffsetNumber(tid)));
}

static Datum
copy_array(const AnnHeldOut *held, const void *array, Size size)
{
	return PointerGetDatum(memcpy(MemoryContextAlloc(held->context, size), array, size));
}

/* The row that goes first. */
static int
find_largest(const AnnHeldOut *held)
{
	int			result = 0;

	for (int i = 1; i < held->count; i++)
	{
		if (held->rows[i].hash > held->rows[result].hash)
			result = i;
	}
	return result;
}

bool
ann_held_out_take(AnnHeldOut *held, ItemPointer tid, ArrayType *array, AnnHeldRow *evicted)
{
	AnnHeldRow	row = {hash_place(tid), *tid};
	bool		full = held->count >= held->most ||
		(Size) held->count * VARSIZE(array) > MEMORY;
	int			place = held->count;

	evicted->array = 0;
	if (full)
	{
		place = find_largest(held);
		if (row.hash >= held->rows[place].hash)
			return false;
		*evicted = held->rows[place];
	}
	row.array = copy_array(held, array, VARSIZE(array));
	held->rows[place] = row;
	held->count += !full;
	return true;
}

void
ann_held_out_add(AnnHeldOut *held, const AnnHeldRow *row)
{
	if (held->count == held->capacity)
	{
		held->capacity *= 2;
		held->rows = repalloc(held->rows, sizeof(AnnHeldRow) * held->capacity);
	}
	held->rows[held->count++] = *row;
}

AnnHeldRow
ann_held_out_pop(AnnHeldOut *held)
{
	return held->rows[--held->count];
}

void
ann_held_out_save(const AnnHeldOut *held, BufFile *file)
{
	for (int i = 0; i < held->count; i++)
	{
		char	   *array = DatumGetPointer(held->rows[i].array);
		Size		size = VARSIZE(array);

		BufFileWrite(file, &held->rows[i].tid, sizeof(ItemPointerData));
		BufFileWrite(file, &size, sizeof(size));
		BufFileWrite(file, array, size);
	}
}

void
ann_held_out_load(AnnHeldOut *held, BufFile *file)
{
	AnnHeldRow	row;

	while (BufFileRead(file, &row.tid, sizeof(row.tid)) == sizeof(row.tid))
	{
		Size		size;
		char	   *array;

		BufFileReadExact(file, &size, sizeof(size));
		array = MemoryContextAlloc(held->context, size);
		BufFileReadExact(file, array, size);
		row.hash = hash_place(&row.tid);
		row.array = PointerGetDatum(array);
		ann_held_out_add(held, &row);
	}
}

static int
compare_rows(const void *a, const void *b)
{
	const AnnHeldRow *x = a;
	const AnnHeldRow *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return ItemPointerCompare(unconstify(ItemPointerData *, &x->tid),
							  unconstify(ItemPointerData *, &y->tid));
}

void
ann_held_out_sort(AnnHeldOut *held)
{
	qsort(held->rows, held->count, sizeof(AnnHeldRow), compare_rows);
}
