/*
 * heap_source.c
 *	  Distances from the table.
 *
 * The executor could be asked to compute them (xs_recheckorderby), but rows
 * that pass through its reorder queue lose their ctid, on which FOR UPDATE and
 * others depend.
 *
 * The value of the indexed column or expression is computed from the row, as
 * the executor would do it, and compared with the query by the kernels that the
 * SQL operator uses.
 */
#include "postgres.h"

#include "access/relscan.h"
#include "access/tableam.h"
#include "am/heap_source.h"
#include "am/source.h"
#include "catalog/index.h"
#include "executor/executor.h"

struct AnnHeapSource
{
	IndexScanDesc scan;
	const AnnQuery *query;
	IndexFetchTableData *fetch;
	TupleTableSlot *slot;
	IndexInfo  *index_info;
	EState	   *estate;
};

AnnHeapSource *
ann_heap_source_begin(IndexScanDesc scan, const AnnQuery *query)
{
	AnnHeapSource *source = palloc(sizeof(AnnHeapSource));

	source->scan = scan;
	source->query = query;
	source->fetch = table_index_fetch_begin(scan->heapRelation);
	source->slot = table_slot_create(scan->heapRelation, NULL);
	source->index_info = BuildIndexInfo(scan->indexRelation);
	source->estate = CreateExecutorState();
	GetPerTupleExprContext(source->estate)->ecxt_scantuple = source->slot;
	return source;
}

bool
ann_heap_source_distance(AnnHeapSource *source, const ItemPointerData *tid,
						 double *distance)
{
	ItemPointerData row = *tid;	/* becomes that of the visible version */
	bool		call_again = false;
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];
	bool		found;

	if (!table_index_fetch_tuple(source->fetch, &row, source->scan->xs_snapshot,
								 source->slot, &call_again, NULL))
		return false;
	FormIndexDatum(source->index_info, source->slot, source->estate, values, isnull);
	found = !isnull[0];
	if (found)
	{
		MemoryContext old = MemoryContextSwitchTo(GetPerTupleMemoryContext(source->estate));
		ArrayType  *array = DatumGetArrayTypeP(values[0]);
		AnnVector	vector = ann_source_wrap(array, ann_source_check(array));

		*distance = ann_query_distance(source->query, vector.data, vector.is_double);
		MemoryContextSwitchTo(old);
	}
	ResetPerTupleExprContext(source->estate);
	ExecClearTuple(source->slot);
	table_index_fetch_reset(source->fetch);
	return found;
}

void
ann_heap_source_end(AnnHeapSource *source)
{
	table_index_fetch_end(source->fetch);
	ExecDropSingleTupleTableSlot(source->slot);
	FreeExecutorState(source->estate);
}
