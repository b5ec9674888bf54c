/*
 * build.c
 *	  CREATE INDEX.
 *
 * The table is read once.  Under L2 the first vectors wait until the centre has
 * been taken from them.  Each vector is checked, brought to its stored form,
 * rotated, and kept as an element and a row of bytes in the arena, which has
 * maintenance_work_mem to itself; rows that it has no room for go to a
 * temporary file, and those that it had follow them.  Then grow.c makes the
 * trees, and all pages are written once, in order.
 */
#include "postgres.h"

#include <math.h>

#include "access/tableam.h"
#include "algo/centre.h"
#include "algo/forest.h"
#include "am/arena.h"
#include "am/graph_build.h"
#include "am/graph_make.h"
#include "am/graph_vacuum.h"
#include "am/grow.h"
#include "am/method.h"
#include "am/opclass.h"
#include "am/options.h"
#include "am/source.h"
#include "catalog/index.h"
#include "compat.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "store/bulk.h"
#include "store/centre_pages.h"
#include "store/tids.h"
#include "utils/memutils.h"

/* Rows that the centre is taken from; fewer, if their vectors are longer. */
#define SAMPLE_ROWS 256
#define SAMPLE_BYTES (4 * 1024 * 1024)

/* So many of them are kept in memory. */
#define KEPT_TIDS 8192

/* Heap TIDs of rows without a place in a tree. */
typedef struct TidSpool
{
	uint64		count;			/* all of them */
	BufFile    *file;			/* whole buffers */
	ItemPointerData *buffer;	/* what is not in the file */
	int			buffered;
} TidSpool;

/* The first rows, which wait for the centre. */
typedef struct Sample
{
	int			count;
	int			capacity;
	AnnVector	first;			/* of 'vectors' */
	char	   *vectors;		/* one behind the other */
	ItemPointerData *tids;
} Sample;

typedef struct Build
{
	/* Unchanging, set at the beginning */
	Relation	heap;
	Relation	index;
	IndexInfo  *index_info;
	AnnOpclass	opclass;
	const AnnOptions *options;

	/* Known from the first vector on */
	AnnMeta		meta;
	Sample	   *sample;			/* NULL but while the centre is not known */

	/* Known from then on */
	AnnIndex   *info;			/* NULL before */
	AnnArena   *arena;
	AnnElement *element;		/* scratch */
	float	   *floats;			/* scratch: a vector of doubles as floats */
	AnnTreeVector *v;

	/* Changing with each row */
	MemoryContext row_context;
	BufFile    *spool;			/* all rows, once the arena was full */
	uint64		rows;			/* with a place in the trees */
	bool		any_alive;		/* is one of them not dead? */
	double		max_norm2;
	TidSpool	nulls;
	TidSpool	undefined;
} Build;

static void
add_tid(TidSpool *spool, ItemPointer tid)
{
	if (spool->buffer == NULL)
		spool->buffer = palloc(sizeof(ItemPointerData) * KEPT_TIDS);
	if (spool->buffered == KEPT_TIDS)
	{
		if (spool->file == NULL)
			spool->file = BufFileCreateTemp(false);
		BufFileWrite(spool->file, spool->buffer, sizeof(ItemPointerData) * KEPT_TIDS);
		spool->buffered = 0;
	}
	spool->buffer[spool->buffered++] = *tid;
	spool->count++;
}

/* Read the next TIDs, those in memory first. */
static void
read_tids(void *state, ItemPointerData *tids, int n)
{
	TidSpool   *spool = state;
	int			kept = Min(n, spool->buffered);

	spool->buffered -= kept;
	memcpy(tids, spool->buffer + spool->buffered, sizeof(ItemPointerData) * (Size) kept);
	if (kept < n)
		BufFileReadExact(spool->file, tids + kept, sizeof(ItemPointerData) * (Size) (n - kept));
}

/* Write the list, if there is one. */
static void
write_tids(AnnTidWriter *writer, TidSpool *spool, AnnTidList *list)
{
	if (spool->count == 0)
		return;
	if (spool->file != NULL)
		ann_file_rewind(spool->file);
	*list = ann_tids_write(writer, spool->count, read_tids, spool);
	if (spool->file != NULL)
		BufFileClose(spool->file);
}


static void
free_sample(Sample *sample)
{
	pfree(sample->vectors);
	pfree(sample->tids);
	pfree(sample);
}

/* Forget the vectors so far, so that others may set the dimensions. */
static void
forget_vectors(Build *b)
{
	if (b->arena != NULL)
		ann_arena_free(b->arena);
	if (b->spool != NULL)
		BufFileClose(b->spool);
	if (b->sample != NULL)
		free_sample(b->sample);
	b->sample = NULL;
	b->arena = NULL;
	b->spool = NULL;
	b->info = NULL;
	b->meta.dim = 0;
	b->rows = 0;
}

/* Dimensions and centre (NULL if none), which stays, tell all the rest. */
static void
set_centre(Build *b, const float *centre)
{
	b->info = ann_index_make(&b->meta);
	b->info->centre = centre;
	b->arena = ann_arena_make(b->info, (Size) maintenance_work_mem * 1024,
							  ann_is_graph(b->info) ? ann_graph_row_memory(b->info) : 0);
	b->element = palloc0(b->info->element_size);
	b->floats = palloc(sizeof(float) * b->meta.dim);
	b->v = ann_tree_vector_alloc(b->info);
}

static Sample *
make_sample(const AnnVector *first)
{
	Sample	   *sample = palloc(sizeof(Sample));
	Size		size = ANN_ELEMENT_SIZE(first) * first->dim;

	sample->count = 0;
	sample->capacity = (int) Max(Min(SAMPLE_BYTES / size, SAMPLE_ROWS), 1);
	sample->vectors = palloc(size * sample->capacity);
	sample->tids = palloc(sizeof(ItemPointerData) * sample->capacity);
	sample->first = *first;
	sample->first.data = sample->vectors;
	return sample;
}

/* The first vector tells the dimensions. */
static void
set_dimensions(Build *b, const AnnVector *first)
{
	b->meta.dim = first->dim;
	b->meta.code_bits = ANN_CODE_BITS(first->dim);
	if (b->meta.metric == ANN_METRIC_L2)
		b->sample = make_sample(first);
	else
		set_centre(b, NULL);
}

/* The dimensions that a vector must have; 0 if any will do. */
static int
known_dimensions(const Build *b)
{
	return b->meta.dim != 0 ? (int) b->meta.dim : b->options->dimensions;
}

/* Name the row in whatever error is raised about it. */
typedef struct RowContext
{
	Relation	heap;
	Relation	index;
	ItemPointer tid;
} RowContext;

static void
row_error_context(void *arg)
{
	RowContext *row = arg;
	Form_pg_attribute column = TupleDescAttr(RelationGetDescr(row->index), 0);

	errcontext("row (%u,%u) of table \"%s\", column \"%s\"",
			   ItemPointerGetBlockNumber(row->tid),
			   ItemPointerGetOffsetNumber(row->tid),
			   RelationGetRelationName(row->heap), NameStr(column->attname));
}

/* Refuse a row, with its place in the table. */
static void
refuse_row(Build *b, ItemPointer tid, AnnProblem problem, ArrayType *array)
{
	RowContext	row = {b->heap, b->index, tid};
	ErrorContextCallback callback;

	callback.callback = row_error_context;
	callback.arg = &row;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	ann_source_refuse(problem, array, known_dimensions(b),
					  RelationGetRelationName(b->index));
}

/* All rows of the arena go to the file, and the arena is empty. */
static void
spill_arena(Build *b)
{
	if (b->spool == NULL)
	{
		b->spool = BufFileCreateTemp(false);
		ereport(NOTICE,
				(errmsg("index \"%s\" is built through temporary files",
						RelationGetRelationName(b->index)),
				 errdetail("maintenance_work_mem has room for %u of its vectors.",
						   b->arena->max_rows),
				 errhint("A larger maintenance_work_mem makes the build faster.")));
	}
	for (uint32 row = 0; row < b->arena->count; row++)
	{
		CHECK_FOR_INTERRUPTS();
		ann_arena_save(b->arena, row, b->spool);
	}
	b->arena->count = 0;
}

/* Keep a vector that has been checked. */
static void
keep_vector(Build *b, ItemPointer tid, const AnnVector *vector)
{
	const float *floats = ann_source_floats(vector, b->info->centre, b->floats);

	ann_tree_vector_row(b->info, floats, b->v);
	if (b->meta.metric == ANN_METRIC_COSINE && b->v->norm2 == 0 && ann_source_is_zero(vector))
	{
		add_tid(&b->undefined, tid);
		return;
	}
	ann_element_make(b->info, vector->data, vector->is_double, b->element);
	b->element->heap = *tid;
	b->max_norm2 = Max(b->max_norm2, b->v->norm2);
	if (ann_arena_is_full(b->arena))
		spill_arena(b);
	ann_arena_add(b->arena, b->element, b->v);
	b->rows++;
}

/* The sample is complete: choose the centre, and keep the rows that waited. */
static void
end_sample(Build *b)
{
	Sample	   *sample = b->sample;
	AnnVector	vector = sample->first;
	float	   *centre = palloc(sizeof(float) * vector.dim);
	double	   *scratch = palloc(sizeof(double) * sample->count);
	bool		is_needed = ann_centre_choose(vector.data, vector.is_double, sample->count,
											  vector.dim, scratch, centre);

	b->sample = NULL;
	set_centre(b, is_needed ? centre : NULL);
	for (int i = 0; i < sample->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		vector.data = sample->vectors + i * ANN_ELEMENT_SIZE(&vector) * vector.dim;
		keep_vector(b, &sample->tids[i], &vector);
	}
	free_sample(sample);
	pfree(scratch);
}

/* Let a vector that has been checked wait for the centre. */
static void
sample_vector(Build *b, ItemPointer tid, const AnnVector *vector)
{
	Sample	   *sample = b->sample;
	Size		size = ANN_ELEMENT_SIZE(vector) * vector->dim;

	memcpy(sample->vectors + sample->count * size, vector->data, size);
	sample->tids[sample->count++] = *tid;
	if (sample->count == sample->capacity)
		end_sample(b);
}

/*
 * Take a row of the table.  A dead one may be visible to others still, and is
 * indexed if it can be; it neither blocks the build nor decides on the number
 * of dimensions.
 */
static void
take_row(Build *b, ItemPointer tid, Datum value, bool alive)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	AnnVector	vector;
	AnnProblem	problem = ann_source_examine(array, known_dimensions(b), &vector);
	MemoryContext old;

	if (problem == ANN_PROBLEM_DIMENSIONS && alive && !b->any_alive &&
		b->options->dimensions == 0)
	{
		forget_vectors(b);
		b->index_info->ii_BrokenHotChain = true;
		problem = ann_source_examine(array, 0, &vector);
	}
	if (problem != ANN_PROBLEM_NONE)
	{
		if (alive)
			refuse_row(b, tid, problem, array);

		/* who may see the row still must not use the index */
		b->index_info->ii_BrokenHotChain = true;
		return;
	}

	old = MemoryContextSwitchTo(GetMemoryChunkContext(b));
	if (b->meta.dim == 0)
		set_dimensions(b, &vector);
	b->any_alive |= alive;
	if (b->sample != NULL)
		sample_vector(b, tid, &vector);
	else
		keep_vector(b, tid, &vector);
	MemoryContextSwitchTo(old);
}

static void
build_callback(Relation index, ItemPointer tid, Datum *values, bool *isnull,
			   bool alive, void *state)
{
	Build	   *b = state;
	MemoryContext old;

	if (isnull[0])
	{
		old = MemoryContextSwitchTo(GetMemoryChunkContext(b));
		add_tid(&b->nulls, tid);
		MemoryContextSwitchTo(old);
		return;
	}
	old = MemoryContextSwitchTo(b->row_context);
	take_row(b, tid, values[0], alive);
	MemoryContextSwitchTo(old);
	MemoryContextReset(b->row_context);
}

/*
 * The metapage of an index before anything is known of its rows.  Dimensions that
 * are an option are set by the first row, too, for it brings the centre.
 */
static AnnMeta
initial_meta(Relation index)
{
	const AnnOptions *options = ann_options(index);
	AnnMeta		meta = {0};

	meta.magic = ANN_MAGIC;
	meta.version = ANN_FORMAT_VERSION;
	meta.method = ann_method(index);
	meta.metric = ann_opclass(index).metric;
	meta.scalar = options->scalar;
	meta.trees = options->trees;
	if (meta.method == ANN_METHOD_HNSW)
	{
		meta.trees = 1;
		meta.m = (uint16) options->m;
		meta.ef_construction = (uint16) options->ef_construction;
	}
	meta.chunks = 1;
	meta.seed = UINT64CONST(0x616e6e6f79);
	meta.code_bits = ANN_CODE_BITS(meta.dim);
	meta.centre = InvalidBlockNumber;
	return meta;
}

/* Write the pages that are known last. */
static void
write_head(AnnBulk *bulk, const AnnMeta *meta, const AnnChunk *chunk)
{
	PGAlignedBlock page;

	ann_page_init((Page) page.data, ANN_PAGE_META, 0);
	memcpy(ANN_PAGE_BODY(page.data), meta, sizeof(AnnMeta));
	ann_page_set_used((Page) page.data, sizeof(AnnMeta));
	ann_bulk_put_reserved(bulk, ANN_META_BLOCK, (Page) page.data);

	ann_page_init((Page) page.data, ANN_PAGE_DIRECTORY, 0);
	memcpy(ANN_PAGE_BODY(page.data), chunk, sizeof(AnnChunk));
	ann_page_set_used((Page) page.data, sizeof(AnnChunk));
	ann_bulk_put_reserved(bulk, ANN_DIRECTORY_BLOCK, (Page) page.data);
}

static AnnChunk
empty_chunk(void)
{
	AnnChunk	chunk = {0};

	chunk.roots = InvalidBlockNumber;
	chunk.node_page = InvalidBlockNumber;
	ItemPointerSetInvalid(&chunk.nulls.head);
	ItemPointerSetInvalid(&chunk.nulls.tail);
	chunk.undefined = chunk.nulls;
	return chunk;
}

/* Write everything that the scan has found. */
static void
write_index(Build *b)
{
	AnnBulk    *bulk = ann_bulk_begin(b->index, MAIN_FORKNUM);
	AnnTidWriter *tids;
	AnnChunk	chunk = empty_chunk();
	uint64		elements = 0;

	ann_bulk_reserve(bulk, 2);
	tids = ann_tids_begin(bulk, 0);
	write_tids(tids, &b->nulls, &chunk.nulls);
	write_tids(tids, &b->undefined, &chunk.undefined);
	if (b->rows > 0)
	{
		AnnRowSource source = {b->arena, b->spool, b->rows};

		if (b->info->centre != NULL)
			b->info->meta.centre = ann_centre_write(bulk, b->info->centre, b->meta.dim);
		chunk.leaf_capacity = ann_leaf_capacity(ann_rows_in_tree(b->info, (double) b->rows));
		chunk.roots = (ann_is_graph(b->info) ? ann_link_chunk : ann_grow_chunk)
			(b->index, b->info, bulk, tids, 0, &source, chunk.leaf_capacity, &elements);
		chunk.max_norm = b->info->max_norm;
		b->meta = b->info->meta;
	}
	chunk.rows = elements;
	ann_tids_end(tids);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, ANN_PHASE_WRITE);
	write_head(bulk, &b->meta, &chunk);
	ann_bulk_end(bulk);
	if (b->spool != NULL && ann_is_graph(b->info))
		ann_graph_connect(b->index, b->heap, b->info, &chunk);
}

/* The scan is over: what could not be known before. */
static void
finish_rows(Build *b)
{
	if (b->sample != NULL)
		end_sample(b);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE,
								 b->spool ? ANN_PHASE_DIVIDE : ANN_PHASE_BUILD);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, (int64) b->rows);
	if (b->rows == 0)
		return;
	if (b->meta.metric == ANN_METRIC_IP)
		b->info->max_norm = (float) sqrt(b->max_norm2);
	if (b->spool != NULL)
		spill_arena(b);
	else
		ann_arena_augment(b->arena);
}

IndexBuildResult *
ann_build(Relation heap, Relation index, IndexInfo *indexInfo)
{
	Build	   *b = palloc0(sizeof(Build));
	IndexBuildResult *result = palloc(sizeof(IndexBuildResult));

	if (RelationGetNumberOfBlocks(index) != 0)
		elog(ERROR, "index \"%s\" already contains data",
			 RelationGetRelationName(index));
	b->heap = heap;
	b->index = index;
	b->opclass = ann_opclass(index);
	b->options = ann_options(index);
	b->meta = initial_meta(index);
	b->row_context = AllocSetContextCreate(CurrentMemoryContext, "ann row",
										   ALLOCSET_DEFAULT_SIZES);

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, ANN_PHASE_SCAN);
	b->index_info = indexInfo;
	result->heap_tuples = table_index_build_scan(heap, index, indexInfo, true, true,
												 build_callback, b, NULL);
	finish_rows(b);
	write_index(b);
	result->index_tuples = b->rows + b->nulls.count + b->undefined.count;
	return result;
}

/* The init fork of an unlogged index. */
void
ann_build_empty(Relation index)
{
	AnnMeta		meta = initial_meta(index);
	AnnChunk	chunk = empty_chunk();
	AnnBulk    *bulk = ann_bulk_begin(index, INIT_FORKNUM);

	ann_bulk_reserve(bulk, 2);
	write_head(bulk, &meta, &chunk);
	ann_bulk_end(bulk);
}
