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
	held->largest = -1;
	return held;
}

static uint32
hash_place(const ItemPointerData *tid)
{
	return murmurhash32(hash_combine(murmurhash32(ItemPointerGetBlockNumber(tid)),
									 ItemPointerGetOffsetNumber(tid)));
}

static void
append(const AnnHeldOut *held, AnnHeldRows *list, const AnnHeldRow *row)
{
	if (list->count == list->capacity)
	{
		list->capacity = Max(64, list->capacity * 2);
		list->rows = list->rows == NULL
			? MemoryContextAlloc(held->context, sizeof(AnnHeldRow) * list->capacity)
			: repalloc(list->rows, sizeof(AnnHeldRow) * list->capacity);
	}
	list->rows[list->count++] = *row;
}

/* No more rows are asked for: which one goes next? */
static void
find_largest(AnnHeldOut *held)
{
	held->largest = 0;
	for (int i = 1; i < held->asked.count; i++)
	{
		if (held->asked.rows[i].hash > held->asked.rows[held->largest].hash)
			held->largest = i;
	}
}

bool
ann_held_out_take(AnnHeldOut *held, ItemPointer tid, ArrayType *array, AnnHeldRow *evicted)
{
	AnnHeldRow	row = {hash_place(tid), *tid};
	Size		size = VARSIZE(array);

	evicted->array = 0;
	if (held->largest >= 0 && row.hash >= held->asked.rows[held->largest].hash)
		return false;
	row.array = PointerGetDatum(memcpy(MemoryContextAlloc(held->context, size), array, size));
	if (held->largest < 0)
		append(held, &held->asked, &row);
	else
	{
		*evicted = held->asked.rows[held->largest];
		held->asked.rows[held->largest] = row;
	}
	if (held->asked.count >= held->most || (Size) held->asked.count * size > MEMORY)
		find_largest(held);
	return true;
}

void
ann_held_out_add(AnnHeldOut *held, const AnnHeldRow *row)
{
	append(held, &held->others, row);
}

bool
ann_held_out_pop(AnnHeldOut *held, AnnHeldRow *row)
{
	held->largest = -1;
	if (held->asked.count == 0)
		return false;
	*row = held->asked.rows[--held->asked.count];
	return true;
}

static bool
has_row(const AnnHeldRows *list, const ItemPointerData *tid)
{
	for (int i = 0; i < list->count; i++)
	{
		if (ItemPointerEquals(&list->rows[i].tid, unconstify(ItemPointerData *, tid)))
			return true;
	}
	return false;
}

bool
ann_held_out_has(const AnnHeldOut *held, const ItemPointerData *tid)
{
	return has_row(&held->asked, tid) || has_row(&held->others, tid);
}

static void
save_rows(const AnnHeldRows *list, BufFile *file)
{
	for (int i = 0; i < list->count; i++)
	{
		char	   *array = DatumGetPointer(list->rows[i].array);
		Size		size = VARSIZE(array);

		BufFileWrite(file, &list->rows[i].tid, sizeof(ItemPointerData));
		BufFileWrite(file, &size, sizeof(size));
		BufFileWrite(file, array, size);
	}
}

void
ann_held_out_save(const AnnHeldOut *held, BufFile *file)
{
	save_rows(&held->asked, file);
	save_rows(&held->others, file);
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
		append(held, &held->others, &row);
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
	AnnHeldRows all = held->asked;

	for (int i = 0; i < held->others.count; i++)
		append(held, &all, &held->others.rows[i]);
	qsort(all.rows, all.count, sizeof(AnnHeldRow), compare_rows);
	held->others.count = 0;
	for (int i = held->most; i < all.count; i++)
		append(held, &held->others, &all.rows[i]);
	held->asked = all;
	held->asked.count = Min(all.count, held->most);
	held->largest = -1;
}
