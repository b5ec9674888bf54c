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
#include "access/sysattr.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "am/heap_source.h"
#include "am/source.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "storage/procarray.h"
#include "utils/snapmgr.h"

struct AnnHeapSource
{
	Snapshot	snapshot;
	SnapshotData any;			/* of ann_heap_source_begin_any ... */
	SnapshotData own;			/* ... together with this, if wants_own */
	bool		wants_own;
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
	source->wants_own = false;
	source->fetch = table_index_fetch_begin(heap);
	source->slot = table_slot_create(heap, NULL);
	source->index_info = BuildIndexInfo(index);
	source->estate = CreateExecutorState();
	GetPerTupleExprContext(source->estate)->ecxt_scantuple = source->slot;
	return source;
}

AnnHeapSource *
ann_heap_source_begin_any(Relation heap, Relation index)
{
	AnnHeapSource *source = ann_heap_source_begin(heap, index, NULL);

	InitDirtySnapshot(source->any);
	InitNonVacuumableSnapshot(source->own, GlobalVisTestFor(heap));
	source->snapshot = &source->any;
	source->wants_own = true;
	return source;
}

/*
 * Fetch the row at a heap TID into the slot.  A dirty snapshot sees all but what
 * our own transaction has deleted.  Rows that others have deleted are not asked
 * for, though someone may see them still: their TOAST may be gone.
 */
static bool
fetch_row(AnnHeapSource *source, const ItemPointerData *tid)
{
	ItemPointerData row = *tid;	/* becomes that of the visible version */
	bool		call_again = false;
	bool		isnull;
	TransactionId deleter;

	if (table_index_fetch_tuple(source->fetch, &row, source->snapshot, source->slot,
								&call_again, NULL))
		return true;
	if (!source->wants_own)
		return false;
	row = *tid;
	call_again = false;
	if (!table_index_fetch_tuple(source->fetch, &row, &source->own, source->slot,
								 &call_again, NULL))
		return false;
	deleter = DatumGetTransactionId(slot_getsysattr(source->slot,
													MaxTransactionIdAttributeNumber,
													&isnull));
	return TransactionIdIsCurrentTransactionId(deleter);
}

bool
ann_heap_source_vector(AnnHeapSource *source, const ItemPointerData *tid,
					   AnnVector *vector)
{
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];

	ResetPerTupleExprContext(source->estate);
	if (!fetch_row(source, tid))
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
ann_heap_source_distance(AnnHeapSource *source, const AnnQuery *query,
						 const ItemPointerData *tid, double *distance)
{
	AnnVector	vector;

	if (!ann_heap_source_vector(source, tid, &vector))
		return false;
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
