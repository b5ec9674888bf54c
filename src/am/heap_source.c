/*
 * heap_source.c
 *	  Vectors and distances from the table.
 *
 * The executor could be asked to compute them (xs_recheckorderby), but rows
 * that pass through its reorder queue lose their ctid, on which FOR UPDATE and
 * others depend.
 *
 * The value of the indexed column or expression is computed from the row, as
 * the executor would do it, and compared with a query by the kernels that the
 * SQL operator uses.
 */
#include "postgres.h"

#include "access/relscan.h"
#include "access/tableam.h"
#include "am/heap_source.h"
#include "am/source.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "utils/snapmgr.h"

struct AnnHeapSource
{
	Snapshot	snapshot;
	SnapshotData dirty;			/* of ann_heap_source_begin_dirty */
	IndexFetchTableData *fetch;
	TupleTableSlot *slot;
	IndexInfo  *index_info;
	EState	   *estate;
};

AnnHeapSource *
ann_heap_source_begin(Relation heap, Relation index, Snapshot snapshot)
{
	AnnHeapSource *source = palloc(sizeof(AnnHeapSource));

	source->snapshot = snapshot;
	source->fetch = table_index_fetch_begin(heap);
	source->slot = table_slot_create(heap, NULL);
	source->index_info = BuildIndexInfo(index);
	source->estate = CreateExecutorState();
	GetPerTupleExprContext(source->estate)->ecxt_scantuple = source->slot;
	return source;
}

AnnHeapSource *
ann_heap_source_begin_dirty(Relation heap, Relation index)
{
	AnnHeapSource *source = ann_heap_source_begin(heap, index, NULL);

	InitDirtySnapshot(source->dirty);
	source->snapshot = &source->dirty;
	return source;
}

/*
 * The vector of the row that the snapshot sees at a heap TID; false if it sees
 * none.  Good until the next call.
 */
static bool
read_vector(AnnHeapSource *source, const ItemPointerData *tid, AnnVector *vector)
{
	ItemPointerData row = *tid;	/* becomes that of the visible version */
	bool		call_again = false;
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];

	ResetPerTupleExprContext(source->estate);
	if (!table_index_fetch_tuple(source->fetch, &row, source->snapshot,
								 source->slot, &call_again, NULL))
		return false;
	FormIndexDatum(source->index_info, source->slot, source->estate, values, isnull);
	if (!isnull[0])
	{
		MemoryContext old = MemoryContextSwitchTo(GetPerTupleMemoryContext(source->estate));
		ArrayType  *array = DatumGetArrayTypePCopy(values[0]);

		*vector = ann_source_wrap(array, ann_source_check(array));
		MemoryContextSwitchTo(old);
	}
	ExecClearTuple(source->slot);
	table_index_fetch_reset(source->fetch);
	return !isnull[0];
}

bool
ann_heap_source_floats(AnnHeapSource *source, const AnnIndex *info,
					   const ItemPointerData *tid, float *floats)
{
	AnnVector	vector;
	const float *found;

	if (!read_vector(source, tid, &vector) || vector.dim != (int) info->meta.dim)
		return false;
	found = ann_source_floats(&vector, info->centre, floats);
	if (found != floats)
		memcpy(floats, found, sizeof(float) * vector.dim);
	return true;
}

bool
ann_heap_source_distance(AnnHeapSource *source, const AnnQuery *query,
						 const ItemPointerData *tid, double *distance)
{
	AnnVector	vector;

	if (!read_vector(source, tid, &vector))
		return false;

	/* an expression may have come to mean something else */
	if (vector.dim != query->dim)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("row (%u,%u) has a vector of %d dimensions, but its index has %d",
						ItemPointerGetBlockNumber(tid), ItemPointerGetOffsetNumber(tid),
						vector.dim, query->dim),
				 errhint("REINDEX the index if its expression has changed.")));
	*distance = ann_query_distance(query, vector.data, vector.is_double);
	return true;
}

void
ann_heap_source_end(AnnHeapSource *source)
{
	table_index_fetch_end(source->fetch);
	ExecDropSingleTupleTableSlot(source->slot);
	FreeExecutorState(source->estate);
}
