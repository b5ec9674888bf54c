/*
 * inspect.c
 *	  SQL functions that tell what is in an index.
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "algo/distance.h"
#include "am/calibration.h"
#include "am/inspect.h"
#include "am/opclass.h"
#include "catalog/index.h"
#include "compat.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "store/page.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

Relation
ann_open_index(Oid oid)
{
	Relation	index = index_open(oid, AccessShareLock);
	Oid			heap = index->rd_index->indrelid;

	if (!ann_is_index(index))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("index \"%s\" is not of a method of ann",
						RelationGetRelationName(index))));
	if (index->rd_rel->relkind == RELKIND_PARTITIONED_INDEX)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("index \"%s\" is partitioned", RelationGetRelationName(index)),
				 errhint("Ask for the index of a partition.")));
	if (pg_class_aclcheck(heap, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(heap));
	if (RELATION_IS_OTHER_TEMP(index))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot read temporary indexes of other sessions")));
	return index;
}

/* Called for each page with its end; NULL if it is not one of ours. */
typedef void (*PageVisitor) (const AnnPageTail *tail, void *state);

static void
visit_pages(Relation index, PageVisitor visit, void *state)
{
	BlockNumber blocks = RelationGetNumberOfBlocks(index);
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);

	for (BlockNumber block = 0; block < blocks; block++)
	{
		Buffer		buffer;
		Page		page;

		CHECK_FOR_INTERRUPTS();
		buffer = ReadBufferExtended(index, MAIN_FORKNUM, block, RBM_NORMAL, strategy);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		page = BufferGetPage(buffer);
		visit(!PageIsNew(page) && PageGetSpecialSize(page) == sizeof(AnnPageTail)
			  ? ANN_PAGE_TAIL(page) : NULL, state);
		UnlockReleaseBuffer(buffer);
	}
	FreeAccessStrategy(strategy);
}

/* Pages of an index, by kind. */
typedef struct PageCounts
{
	int64		kind[ANN_PAGE_FREE + 1];	/* by AnnPageKind; 0: none of them */
	int64		pages;
} PageCounts;

/* PageVisitor. */
static void
count_kind(const AnnPageTail *tail, void *state)
{
	PageCounts *counts = state;

	counts->kind[tail != NULL && tail->kind <= ANN_PAGE_FREE ? tail->kind : 0]++;
	counts->pages++;
}

/* Pages of an index, by chunk. */
typedef struct ChunkPages
{
	uint32		num_chunks;
	int64	   *pages;
} ChunkPages;

/* PageVisitor. */
static void
count_chunk(const AnnPageTail *tail, void *state)
{
	ChunkPages *counts = state;

	if (tail == NULL || tail->chunk >= counts->num_chunks)
		return;
	if ((tail->kind >= ANN_PAGE_ROOTS && tail->kind <= ANN_PAGE_TIDS))
		counts->pages[tail->chunk]++;
}

static const char *
metric_name(int metric)
{
	static const char *const names[] = {NULL, "l2", "cosine", "ip"};

	return metric >= ANN_METRIC_L2 && metric <= ANN_METRIC_IP ? names[metric] : "unknown";
}

static const char *
scalar_name(int scalar)
{
	static const char *const names[] = {NULL, "f64", "f32", "f16", "i8", "none"};

	return scalar >= ANN_SCALAR_F64 && scalar <= ANN_SCALAR_NONE ? names[scalar] : "unknown";
}

/* Directory and lists share a column, as neither is much. */
static int64
other_pages(const PageCounts *counts)
{
	return counts->kind[ANN_PAGE_META] + counts->kind[ANN_PAGE_DIRECTORY] +
		counts->kind[ANN_PAGE_ROOTS] + counts->kind[ANN_PAGE_TIDS] +
		counts->kind[ANN_PAGE_CENTRE];
}

PG_FUNCTION_INFO_V1(ann_index_info);

/* ann_index_info(index): one row about the index as a whole. */
Datum
ann_index_info(PG_FUNCTION_ARGS)
{
	Relation	index = ann_open_index(PG_GETARG_OID(0));
	AnnMeta		meta = ann_index(index)->meta;
	PageCounts	counts = {{0}};
	AnnOpclass	opclass = ann_opclass(index);
	AnnChunk   *chunks;
	uint32		num_chunks;
	uint64		rows = 0;
	TupleDesc	desc;
	Datum		values[20];
	bool		nulls[20] = {false};
	int			n = 0;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	(void) ann_index_chunks(index, &chunks, &num_chunks);
	for (uint32 i = 0; i < num_chunks; i++)
		rows += chunks[i].rows;
	visit_pages(index, count_kind, &counts);
	values[n++] = CStringGetTextDatum(meta.method == ANN_METHOD_HNSW ? "ann_hnsw" : "annoy");
	values[n++] = CStringGetTextDatum(metric_name(meta.metric));
	values[n++] = CStringGetTextDatum(opclass.is_double ? "double precision[]" : "real[]");
	nulls[n] = (meta.dim == 0);
	values[n++] = Int32GetDatum((int32) meta.dim);
	values[n++] = CStringGetTextDatum(scalar_name(meta.scalar));
	nulls[n] = (meta.dim == 0);
	values[n++] = Int32GetDatum(meta.code_bits);
	values[n++] = Int64GetDatum((int64) rows);
	values[n++] = Int32GetDatum((int32) num_chunks);
	values[n++] = Int32GetDatum((int32) meta.trees);
	nulls[n] = nulls[n + 1] = (meta.method != ANN_METHOD_HNSW);
	values[n++] = Int32GetDatum(meta.m);
	values[n++] = Int32GetDatum(meta.ef_construction);
	values[n++] = Int64GetDatum(counts.pages);
	values[n++] = Int64GetDatum(counts.kind[ANN_PAGE_NODE]);
	values[n++] = Int64GetDatum(counts.kind[ANN_PAGE_LEAF]);
	values[n++] = Int64GetDatum(counts.kind[ANN_PAGE_ELEMENT] + counts.kind[ANN_PAGE_REST]);
	values[n++] = Int64GetDatum(other_pages(&counts));
	values[n++] = Int64GetDatum(counts.kind[ANN_PAGE_FREE] + counts.kind[0]);
	values[n++] = Int32GetDatum((int32) meta.version);
	values[n++] = Int64GetDatum((int64) meta.seed);
	values[n++] = CStringGetTextDatum(ann_kernels->name);
	Assert(n == lengthof(values));

	index_close(index, AccessShareLock);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

PG_FUNCTION_INFO_V1(ann_chunks);

/* ann_chunks(index): a row for each chunk of the directory. */
Datum
ann_chunks(PG_FUNCTION_ARGS)
{
	Relation	index = ann_open_index(PG_GETARG_OID(0));
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	uint32		chunk_blocks = ann_index(index)->meta.chunk_blocks;
	ChunkPages	counts;
	AnnChunk   *chunks;

	InitMaterializedSRF(fcinfo, 0);
	(void) ann_index_chunks(index, &chunks, &counts.num_chunks);
	counts.pages = palloc0(sizeof(int64) * counts.num_chunks);
	visit_pages(index, count_chunk, &counts);
	for (uint32 i = 0; i < counts.num_chunks; i++)
	{
		int64		first = (int64) i * chunk_blocks;
		Datum		values[8];
		bool		nulls[8] = {false};

		values[0] = Int32GetDatum((int32) i);
		values[1] = Int64GetDatum(first);
		nulls[2] = (chunk_blocks == 0);
		values[2] = Int64GetDatum(first + chunk_blocks - 1);
		values[3] = Int64GetDatum((int64) chunks[i].rows);
		values[4] = Int64GetDatum((int64) chunks[i].dead);
		values[5] = Int32GetDatum((int32) chunks[i].leaf_capacity);
		values[6] = Int64GetDatum(counts.pages[i]);
		values[7] = Int64GetDatum(counts.pages[i] * BLCKSZ);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	index_close(index, AccessShareLock);
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(ann_calibration);

/* ann_calibration(index): the rungs of its ladders; none if it is not calibrated. */
Datum
ann_calibration(PG_FUNCTION_ARGS)
{
	Relation	index = ann_open_index(PG_GETARG_OID(0));
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	const AnnCalibration *calibration;
	AnnChunk	chunk;

	InitMaterializedSRF(fcinfo, 0);
	calibration = ann_index_chunk(index, 0, &chunk)->calibration;
	for (int i = 0; calibration != NULL && i < ANN_CALIBRATED_LIMITS; i++)
	{
		for (int j = 0; j < calibration->num_rungs[i]; j++)
		{
			Datum		values[3];
			bool		nulls[3] = {false};

			values[0] = Int32GetDatum(ann_calibrated_limits[i]);
			values[1] = Int64GetDatum((int64) ceil(calibration->rungs[i][j].setting));
			values[2] = Float8GetDatum(calibration->rungs[i][j].recall);
			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		}
	}
	index_close(index, AccessShareLock);
	return (Datum) 0;
}
