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
 *
 * With parallel workers (team.h) it is the leader who looks at the first vectors,
 * before there are any.  Each member then reads a part of the table and keeps its
 * rows in a file, since nobody knows yet how many there are; when that is known, all
 * load theirs into an arena in shared memory, at the places that the order of the table
 * gives them, whoever has read them.  If it does not fit maintenance_work_mem, or the
 * machine's shared memory, they go on with the files.
 *
 * Some rows are held out, and inserted in the end, when the index has been asked for them
 * to find out which settings reach which recall (calibrate.h).
 *
 * An index of several chunks is several such builds by one process, of a range of the
 * table's blocks each, with the same centre.  Here, too, the first vectors are looked at
 * before; the members of a team take one chunk after the other.
 */
#include "postgres.h"

#include <math.h>

#include "access/tableam.h"
#include "algo/centre.h"
#include "algo/forest.h"
#include "am/arena.h"
#include "am/build.h"
#include "am/calibrate.h"
#include "am/graph_build.h"
#include "am/graph_make.h"
#include "am/graph_vacuum.h"
#include "am/grow.h"
#include "am/held_out.h"
#include "am/leaf_search.h"
#include "am/method.h"
#include "am/opclass.h"
#include "am/options.h"
#include "am/source.h"
#include "catalog/index.h"
#include "compat.h"
#include "miscadmin.h"
#include "optimizer/plancat.h"
#include "pgstat.h"
#include "postmaster/bgworker_internals.h"
#include "store/bulk.h"
#include "store/centre_pages.h"
#include "store/tids.h"
#include "utils/memutils.h"

/* Rows that the centre is taken from; fewer, if their vectors are longer. */
#define SAMPLE_ROWS 256
#define SAMPLE_BYTES (4 * 1024 * 1024)

/*
 * Blocks of the table that they are looked for in at first, before there are workers,
 * and in the end: so many, or one in so many.
 */
#define SAMPLE_BLOCKS 8
#define LOOK_BLOCKS 1024
#define LOOK_SHARE 16

/* Memory for the rows that a member of a team has read, but not put into its file. */
#define MEMBER_MEMORY ((Size) 1024 * 1024)

/* A number of rows for which each of them takes about as much as of many. */
#define USUAL_ROWS 100000

/* Rows are counted by blocks of the table unless there are more blocks to each. */
#define BLOCKS_PER_ROW 4

#define ROWS_PER_CHECK 65536

/* So many heap TIDs are kept in memory. */
#define KEPT_TIDS 8192

/* Heap TIDs, in the order in which they came. */
typedef struct TidSpool
{
	uint64		count;			/* all of them */
	uint64		taken;			/* that have been read again */
	BufFile    *file;			/* whole buffers */
	ItemPointerData *buffer;	/* what is not in the file */
	int			buffered;
} TidSpool;

/* What a member of a team has found in its part of the table. */
typedef struct Found
{
	double		heap_tuples;
	uint64		rows;			/* in its file */
	uint64		nulls;
	uint64		undefined;
	double		max_norm2;
	bool		has_broken_chain;
} Found;

/* A member's files of the rows that he has held out, and of what is near to all these. */
#define HELD_FILE "held.%d"
#define NEAREST_FILE "nearest.%d"

/* How a team goes on when the table has been read. */
typedef enum Course
{
	COURSE_END,					/* there are no rows */
	COURSE_MEMORY,				/* in shared memory */
	COURSE_FILES
} Course;

/* How far a build of several chunks has come. */
typedef struct ChunkProgress
{
	pg_atomic_uint64 blocks;	/* of the table, that have been read */
	pg_atomic_uint32 told_of_files; /* 1: the user knows of them */
} ChunkProgress;

/* A chunk that has been built. */
typedef struct BuiltChunk
{
	uint32		number;
	bool		in_files;
	AnnChunk	entry;			/* of the directory */
} BuiltChunk;

/* What the members of a team know of the build. */
typedef struct BuildShared
{
	/* Set before there are workers */
	AnnMeta		meta;
	bool		has_centre;
	BlockNumber blocks;			/* of the table, if there are several chunks, else 0 */

	ChunkProgress progress;		/* of these */

	/* Set by each member when it has read its part */
	Found		found[MAX_PARALLEL_WORKER_LIMIT + 1];

	/* Set by the leader then */
	Course		course;
	uint64		rows;
	float		max_norm;

	float		centre[];		/* meta.dim of them, if there is one */
} BuildShared;

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
	AnnTeam    *team;

	/* Of a chunk of several */
	uint32		number;
	ChunkProgress *progress;	/* NULL: there is one chunk */
	BlockNumber reported;		/* blocks before this one have been */

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
	AnnHeldOut *held;			/* rows that are inserted in the end */
	AnnCalibrator *calibrator;	/* NULL: it is made in the end, if at all */
	BufFile    *spool;			/* all rows, once the arena was full; a member's, if
								 * there are others */
	TidSpool	tids;			/* of a member's rows */
	bool		in_files;		/* are they made the index of from files? */
	uint64		rows;			/* with a place in the trees: ours, until a member
								 * knows of all */
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

/* They are going to be read. */
static void
rewind_tids(TidSpool *spool)
{
	spool->taken = 0;
	if (spool->file != NULL)
		ann_file_rewind(spool->file);
}

/* Read the next n. */
static void
read_tids(void *state, ItemPointerData *tids, int n)
{
	TidSpool   *spool = state;
	uint64		in_file = spool->count - spool->buffered;
	int			from_file = spool->taken < in_file ? (int) Min(in_file - spool->taken, n) : 0;

	if (from_file > 0)
		BufFileReadExact(spool->file, tids, sizeof(ItemPointerData) * (Size) from_file);
	spool->taken += from_file;
	if (from_file < n)
		memcpy(tids + from_file, spool->buffer + (spool->taken - in_file),
			   sizeof(ItemPointerData) * (Size) (n - from_file));
	spool->taken += n - from_file;
}

static void
close_tids(TidSpool *spool)
{
	if (spool->file != NULL)
		BufFileClose(spool->file);
	spool->file = NULL;
}

/* Write the list, if there is one. */
static void
write_tids(AnnTidWriter *writer, TidSpool *spool, AnnTidList *list)
{
	if (spool->count == 0)
		return;
	rewind_tids(spool);
	*list = ann_tids_write(writer, spool->count, read_tids, spool);
	close_tids(spool);
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
	AnnHeldRow	held;

	if (b->arena != NULL)
		ann_arena_free(b->arena);
	if (b->spool != NULL)
		BufFileClose(b->spool);
	if (b->sample != NULL)
		free_sample(b->sample);
	while (ann_held_out_pop(b->held, &held))
		pfree(DatumGetPointer(held.array));
	b->sample = NULL;
	b->arena = NULL;
	b->spool = NULL;
	b->info = NULL;
	b->meta.dim = 0;
	b->rows = 0;
}

/* An arena for the rows that the index is made of; memory is shared out evenly. */
static AnnArena *
make_arena(const Build *b)
{
	return ann_arena_make(b->info, ANN_ARENA_WHOLE, b->team->memory,
						  ann_is_graph(b->info) ? ann_graph_row_memory(b->info) : 0);
}

/* Dimensions and centre (NULL if none), which stays, tell all the rest. */
static void
set_centre(Build *b, const float *centre)
{
	b->info = ann_index_make(&b->meta);
	b->info->centre = centre;
	b->arena = ann_team_is_alone(b->team) ? make_arena(b)
		: ann_arena_make(b->info, ANN_ARENA_WHOLE, MEMBER_MEMORY, 0);
	b->element = palloc0(b->info->element_size);
	b->floats = palloc(sizeof(float) * b->meta.dim);
	b->v = ann_tree_vector_alloc(b->info);
}

/* Under other metrics than L2 there is no centre, and one vector tells the dimensions. */
static Sample *
make_sample(const Build *b, const AnnVector *first)
{
	Sample	   *sample = palloc(sizeof(Sample));
	Size		size = ANN_ELEMENT_SIZE(first) * first->dim;
	Size		rows = b->meta.metric == ANN_METRIC_L2 ? SAMPLE_ROWS : 1;

	sample->count = 0;
	sample->capacity = (int) Max(Min(SAMPLE_BYTES / size, rows), 1);
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
		b->sample = make_sample(b, first);
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

/* Memory has room for so many rows only.  Of several chunks the first one tells it. */
static void
tell_of_files(Build *b, uint64 rows)
{
	if (b->progress != NULL && pg_atomic_exchange_u32(&b->progress->told_of_files, 1) != 0)
		return;
	ereport(NOTICE,
			(errmsg("index \"%s\" is built through temporary files",
					RelationGetRelationName(b->index)),
			 errdetail("maintenance_work_mem has room for " UINT64_FORMAT " of its vectors.", rows),
			 errhint("A larger maintenance_work_mem makes the build faster.")));
}

/* Or it would have, but there is not so much that processes could share. */
static void
tell_of_shared_memory(Build *b, Size size)
{
	ereport(NOTICE,
			(errmsg("index \"%s\" is built through temporary files",
					RelationGetRelationName(b->index)),
			 errdetail("Its workers cannot share %zu MB of memory.", size / (1024 * 1024) + 1),
			 errhint("Let \"dynamic_shared_memory_type\" be \"posix\" and /dev/shm be larger, or set \"max_parallel_maintenance_workers\" to 0.")));
}

/* All rows of the arena go to the file, and the arena is empty. */
static void
spill_arena(Build *b)
{
	if (b->spool == NULL && ann_team_is_alone(b->team))
	{
		b->spool = BufFileCreateTemp(false);
		tell_of_files(b, b->arena->max_rows);
	}
	else if (b->spool == NULL)
		b->spool = ann_team_create_file(b->team, ANN_ROWS_FILE, b->team->number);
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
	if (!ann_team_is_alone(b->team))
		add_tid(&b->tids, tid);
	b->rows++;
}

/* Choose the centre from a sample; false if none is needed. */
static bool
choose_centre(const Sample *sample, float *centre)
{
	double	   *scratch = palloc(sizeof(double) * sample->count);
	bool		is_needed = ann_centre_choose(sample->vectors, sample->first.is_double,
											  sample->count, sample->first.dim, scratch, centre);

	pfree(scratch);
	return is_needed;
}

/* The sample is complete: choose the centre, and keep the rows that waited. */
static void
end_sample(Build *b)
{
	Sample	   *sample = b->sample;
	AnnVector	vector = sample->first;
	float	   *centre = palloc(sizeof(float) * vector.dim);

	b->sample = NULL;
	set_centre(b, choose_centre(sample, centre) ? centre : NULL);
	for (int i = 0; i < sample->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		vector.data = sample->vectors + i * ANN_ELEMENT_SIZE(&vector) * vector.dim;
		keep_vector(b, &sample->tids[i], &vector);
	}
	free_sample(sample);
}

static void
add_to_sample(Sample *sample, ItemPointer tid, const AnnVector *vector)
{
	Size		size = ANN_ELEMENT_SIZE(vector) * vector->dim;

	memcpy(sample->vectors + sample->count * size, vector->data, size);
	sample->tids[sample->count++] = *tid;
}

/* Let a vector that has been checked wait for the centre. */
static void
sample_vector(Build *b, ItemPointer tid, const AnnVector *vector)
{
	add_to_sample(b->sample, tid, vector);
	if (b->sample->count == b->sample->capacity)
		end_sample(b);
}

/*
 * Take a vector that has been checked to where the rows of the index are, or to where
 * they wait for the centre.
 */
static void
add_vector(Build *b, ItemPointer tid, const AnnVector *vector)
{
	if (b->sample != NULL)
		sample_vector(b, tid, vector);
	else
		keep_vector(b, tid, vector);
}

/* A row is not to be held out after all. */
static void
return_row(Build *b, const AnnHeldRow *row)
{
	AnnHeldRow	copy = *row;
	AnnVector	vector;

	/* if its chunk has been built, it is inserted in the end */
	if (ann_chunk_of(&b->meta, ItemPointerGetBlockNumber(&copy.tid)) != b->number)
	{
		ann_held_out_add(b->held, &copy);
		return;
	}
	(void) ann_source_examine(DatumGetArrayTypeP(copy.array), 0, &vector);
	add_vector(b, &copy.tid, &vector);
	pfree(DatumGetPointer(copy.array));
}

/* Let a row wait until the index is complete? */
static bool
hold_out(Build *b, ItemPointer tid, ArrayType *array, const AnnVector *vector)
{
	AnnHeldRow	evicted;

	if (b->meta.dim == 0 || ann_source_is_zero(vector) ||
		!ann_held_out_take(b->held, tid, array, &evicted))
		return false;
	if (evicted.array != 0)
		return_row(b, &evicted);
	if (b->meta.metric == ANN_METRIC_IP)
	{
		const float *floats = ann_source_floats(vector, NULL, b->floats);

		b->max_norm2 = Max(b->max_norm2, ann_kernels->pair[ANN_PAIR_F32_F32].ip(floats, floats,
																				  vector->dim));
	}
	return true;
}

/* The rows are too few for that to be worth while: they are rows as all others. */
static void
return_held(Build *b)
{
	AnnHeldRow	row;

	while (ann_held_out_pop(b->held, &row))
		return_row(b, &row);
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

	/* nobody who looked at all of the table before has found a vector that is alive */
	if (b->meta.dim == 0 && b->progress != NULL)
	{
		b->index_info->ii_BrokenHotChain = true;
		return;
	}

	old = MemoryContextSwitchTo(GetMemoryChunkContext(b));
	if (!alive || !hold_out(b, tid, array, &vector))
	{
		if (b->meta.dim == 0)
			set_dimensions(b, &vector);
		add_vector(b, tid, &vector);
	}
	b->any_alive |= alive;
	MemoryContextSwitchTo(old);
}

/*
 * All blocks before this one have been read.  The leader tells the progress view of all
 * that members have read.
 */
static void
report_blocks(Build *b, BlockNumber end)
{
	uint64		done;

	if (end <= b->reported)
		return;
	done = pg_atomic_add_fetch_u64(&b->progress->blocks, end - b->reported);
	b->reported = end;
	if (ann_team_leads(b->team->other != NULL ? b->team->other : b->team))
		pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE, (int64) done);
}

static void
build_callback(Relation index, ItemPointer tid, Datum *values, bool *isnull,
			   bool alive, void *state)
{
	Build	   *b = state;
	MemoryContext old;

	if (b->progress != NULL)
		report_blocks(b, ItemPointerGetBlockNumber(tid));
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
	meta.chunk_blocks = (uint32) options->chunk_blocks;
	meta.seed = UINT64CONST(0x616e6e6f79);
	meta.code_bits = ANN_CODE_BITS(meta.dim);
	meta.centre = InvalidBlockNumber;
	return meta;
}

/* Start a new index with room for the pages that are known last: of so many chunks. */
static AnnBulk *
begin_file(Relation index, ForkNumber fork, uint32 num_chunks)
{
	AnnBulk    *bulk = ann_bulk_begin(index, fork);

	ann_bulk_reserve(bulk, 1 + (num_chunks + ANN_CHUNKS_PER_PAGE - 1) / ANN_CHUNKS_PER_PAGE);
	return bulk;
}

/* Write these pages. */
static void
write_head(AnnBulk *bulk, const AnnMeta *meta, const AnnChunk *chunks, uint32 num_chunks)
{
	BlockNumber block = ANN_DIRECTORY_BLOCK;
	PGAlignedBlock page;

	ann_page_init((Page) page.data, ANN_PAGE_META, 0);
	memcpy(ANN_PAGE_BODY(page.data), meta, sizeof(AnnMeta));
	ann_page_set_used((Page) page.data, ANN_META_USED);
	ann_bulk_put_reserved(bulk, ANN_META_BLOCK, (Page) page.data);

	for (uint32 i = 0; i < num_chunks; i += ANN_CHUNKS_PER_PAGE, block++)
	{
		uint32		n = Min(num_chunks - i, (uint32) ANN_CHUNKS_PER_PAGE);

		ann_page_init((Page) page.data, ANN_PAGE_DIRECTORY, 0);
		memcpy(ANN_PAGE_BODY(page.data), chunks + i, sizeof(AnnChunk) * n);
		ann_page_set_used((Page) page.data, sizeof(AnnChunk) * n);
		if (i + n < num_chunks)
			ANN_PAGE_TAIL((Page) page.data)->next = block + 1;
		ann_bulk_put_reserved(bulk, block, (Page) page.data);
	}
}

/* ---- A team ------------------------------------------------------------- */

/* A row that the leader looks at before there are workers. */
static void
look_callback(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive,
			  void *state)
{
	Build	   *b = state;
	MemoryContext old;
	AnnVector	vector;
	int			dim = b->sample != NULL ? b->sample->first.dim : b->options->dimensions;

	if (isnull[0] || !alive || (b->sample != NULL && b->sample->count == b->sample->capacity))
		return;
	old = MemoryContextSwitchTo(b->row_context);
	/* who reads the row again refuses it */
	if (ann_source_examine(DatumGetArrayTypeP(values[0]), dim, &vector) == ANN_PROBLEM_NONE)
	{
		MemoryContextSwitchTo(GetMemoryChunkContext(b));
		if (b->sample == NULL)
			b->sample = make_sample(b, &vector);
		add_to_sample(b->sample, tid, &vector);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(b->row_context);
}

/* Look at the first rows of so many blocks; b->sample is NULL if none was found. */
static void
look_at_first_rows(Build *b, BlockNumber blocks)
{
	BlockNumber n = SAMPLE_BLOCKS;

	for (BlockNumber first = 0; first < blocks; first += n, n *= 2)
	{
		n = Min(n, blocks - first);
		table_index_build_range_scan(b->heap, b->index, b->index_info, false, false, false,
									 first, n, look_callback, b, NULL);
		if (b->sample != NULL && b->sample->count == b->sample->capacity)
			break;
	}
}

/* The number of rows that a table seems to have. */
static double
estimate_rows(Relation heap)
{
	BlockNumber pages;
	double		tuples;
	double		all_visible;

	estimate_rel_size(heap, NULL, &pages, &tuples, &all_visible);
	return tuples;
}

/* The centre that the leader has chosen; NULL: none. */
static const float *
copy_centre(const BuildShared *shared)
{
	Size		size = sizeof(float) * shared->meta.dim;

	/* the index is worked on when the team has gone */
	return shared->has_centre ? memcpy(palloc(size), shared->centre, size) : NULL;
}

/* The members begin with the same knowledge. */
static void
join_build(Build *b, const BuildShared *shared)
{
	b->meta = shared->meta;
	b->any_alive = true;		/* as the leader saw */
	set_centre(b, copy_centre(shared));
}

/* What can be known from the first rows, if there are any.  They are forgotten. */
static BuildShared *
learn_from_first_rows(Build *b, Size *size)
{
	int			dim = b->sample != NULL ? b->sample->first.dim : 0;
	BuildShared *shared;

	*size = offsetof(BuildShared, centre) + sizeof(float) * dim;
	shared = palloc0(*size);
	shared->meta = b->meta;
	pg_atomic_init_u64(&shared->progress.blocks, 0);
	pg_atomic_init_u32(&shared->progress.told_of_files, 0);
	if (b->sample == NULL)
		return shared;
	shared->meta.dim = dim;
	shared->meta.code_bits = ANN_CODE_BITS(dim);
	shared->has_centre = b->meta.metric == ANN_METRIC_L2 && choose_centre(b->sample, shared->centre);
	free_sample(b->sample);
	b->sample = NULL;
	return shared;
}

/*
 * Gather a team, if workers may be had and the number of dimensions can be known
 * before the table is read.
 */
static void
gather_team(Build *b)
{
	double		rows = estimate_rows(b->heap);
	BlockNumber blocks = RelationGetNumberOfBlocks(b->heap);
	Size		size;
	BuildShared *shared;
	int			workers;

	b->team = ann_team_alone(b->heap, b->index);
	if (ann_team_workers(b->heap, b->index, b->index_info, rows, ANN_MAX_DIMENSIONS) == 0)
		return;

	/* a table that has few vectors is not worth a team */
	look_at_first_rows(b, Min(blocks, Max(blocks / LOOK_SHARE, LOOK_BLOCKS)));
	if (b->sample == NULL)
		return;
	workers = ann_team_workers(b->heap, b->index, b->index_info, rows, b->sample->first.dim);
	shared = learn_from_first_rows(b, &size);
	b->team = ann_team_begin(b->heap, b->index, b->index_info->ii_Concurrent, workers,
							 shared, size);
	if (!ann_team_is_alone(b->team))
		join_build(b, b->team->state);
	pfree(shared);
}

/* Files of a member: heap TIDs of rows without a vector, or without a distance. */
#define NULLS_FILE "nulls.%d"
#define UNDEFINED_FILE "undefined.%d"

/* Give heap TIDs to the leader, in this file. */
static void
share_tids(TidSpool *spool, BufFile *file)
{
	rewind_tids(spool);
	for (uint64 i = 0; i < spool->count; i++)
	{
		ItemPointerData tid;

		CHECK_FOR_INTERRUPTS();
		read_tids(spool, &tid, 1);
		BufFileWrite(file, &tid, sizeof(tid));
	}
	close_tids(spool);
	BufFileClose(file);
}

/* The leader takes the heap TIDs of such a file. */
static void
take_tids(TidSpool *spool, BufFile *file, uint64 n)
{
	for (uint64 i = 0; i < n; i++)
	{
		ItemPointerData tid;

		CHECK_FOR_INTERRUPTS();
		BufFileReadExact(file, &tid, sizeof(tid));
		add_tid(spool, &tid);
	}
	BufFileClose(file);
}

/* The rows that a member has held out, for the others. */
static void
save_held(const Build *b)
{
	BufFile    *file = ann_team_create_file(b->team, HELD_FILE, b->team->number);

	ann_held_out_save(b->held, file);
	BufFileClose(file);
}

static void
load_held(Build *b, int member)
{
	BufFile    *file = ann_team_open_file(b->team, HELD_FILE, member);

	ann_held_out_load(b->held, file);
	ann_team_close_file(b->team, file);
}

/* A member has read its part of the table: what it found goes to files. */
static void
share_found(Build *b, double heap_tuples)
{
	BuildShared *shared = b->team->state;
	Found	   *found = &shared->found[b->team->number];

	if (b->arena->count > 0)
		spill_arena(b);
	if (b->spool != NULL)
		BufFileExportFileSet(b->spool);
	ann_arena_free(b->arena);
	b->arena = NULL;
	if (!ann_team_leads(b->team))
	{
		share_tids(&b->nulls, ann_team_create_file(b->team, NULLS_FILE, b->team->number));
		share_tids(&b->undefined,
				   ann_team_create_file(b->team, UNDEFINED_FILE, b->team->number));
	}
	save_held(b);
	found->heap_tuples = heap_tuples;
	found->rows = b->rows;
	found->nulls = b->nulls.count;
	found->undefined = b->undefined.count;
	found->max_norm2 = b->max_norm2;
	found->has_broken_chain = b->index_info->ii_BrokenHotChain;
}

/* What all members share of so many rows. */
static Size
shared_size(const AnnIndex *info, uint32 rows)
{
	return ann_arena_shared_size(info, ANN_ARENA_WHOLE, rows) +
		(ann_is_graph(info) ? ann_link_shared_size(info, rows) : ann_grow_shared_size(info, rows));
}

/* The leader sums up what all have found, and decides how to go on. */
static void
sum_up(Build *b, IndexBuildResult *result)
{
	BuildShared *shared = b->team->state;
	Size		budget = (Size) maintenance_work_mem * 1024;
	uint64		rows = 0;
	Size		size;

	for (int i = 0; i < b->team->members; i++)
	{
		const Found *found = &shared->found[i];

		rows += found->rows;
		result->heap_tuples += found->heap_tuples;
		b->max_norm2 = Max(b->max_norm2, found->max_norm2);
		b->index_info->ii_BrokenHotChain |= found->has_broken_chain;
		if (i == 0)
			continue;
		take_tids(&b->nulls, ann_team_open_file(b->team, NULLS_FILE, i), found->nulls);
		take_tids(&b->undefined, ann_team_open_file(b->team, UNDEFINED_FILE, i),
				  found->undefined);
		load_held(b, i);
	}
	b->rows = shared->rows = rows;
	shared->max_norm = (float) sqrt(b->max_norm2);
	if (rows == 0)
		return;
	size = rows < ANN_LEAF ? shared_size(b->info, (uint32) rows) : SIZE_MAX;
	shared->course = COURSE_FILES;
	if (size > budget)
		tell_of_files(b, budget / (shared_size(b->info, USUAL_ROWS) / USUAL_ROWS));
	else if (ann_team_make_memory(b->team, size))
		shared->course = COURSE_MEMORY;
	else
		tell_of_shared_memory(b, size);
}

/* For loops over all rows that do little. */
static inline void
check_at(uint32 i)
{
	if (i % ROWS_PER_CHECK == 0)
		CHECK_FOR_INTERRUPTS();
}

/* The number of the first row of a member, in the order of members. */
static uint32
first_row(const Build *b)
{
	const BuildShared *shared = b->team->state;
	uint32		first = 0;

	for (int i = 0; i < b->team->number; i++)
		first += (uint32) shared->found[i].rows;
	return first;
}

/*
 * Ranks where each block of the table, up to this one, has some rows: it was read by one
 * member, in its order, so that to count the rows of each is enough.
 */
static void
rank_by_counting(AnnArena *arena, BlockNumber last)
{
	uint32	   *next = palloc_extended(sizeof(uint32) * ((Size) last + 1),
									   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	uint32		at = 0;

	for (uint32 i = 0; i < arena->count; i++)
		next[ItemPointerGetBlockNumber(&arena->refs[i])]++;
	for (BlockNumber block = 0; block <= last; block++)
	{
		uint32		n = next[block];

		next[block] = at;
		at += n;
	}
	for (uint32 i = 0; i < arena->count; i++)
	{
		check_at(i);
		arena->order[i] = next[ItemPointerGetBlockNumber(&arena->refs[i])]++;
	}
	pfree(next);
}

typedef struct RankedRow
{
	uint64		key;			/* of the heap TID */
	uint32		row;
} RankedRow;

static int
compare_ranked(const void *a, const void *b)
{
	uint64		x = ((const RankedRow *) a)->key;
	uint64		y = ((const RankedRow *) b)->key;

	return (x > y) - (x < y);
}

/* Ranks where the table has many more blocks than rows. */
static void
rank_by_sorting(AnnArena *arena)
{
	RankedRow  *rows = palloc_extended(sizeof(RankedRow) * (Size) arena->count, MCXT_ALLOC_HUGE);

	for (uint32 i = 0; i < arena->count; i++)
	{
		rows[i].key = ann_element_key(arena->refs[i]);
		rows[i].row = i;
	}
	qsort(rows, arena->count, sizeof(RankedRow), compare_ranked);
	for (uint32 i = 0; i < arena->count; i++)
	{
		check_at(i);
		arena->order[rows[i].row] = i;
	}
	pfree(rows);
}

/* From the heap TIDs of all rows, in the order of members, their ranks to arena->order. */
static void
rank_rows(AnnArena *arena)
{
	BlockNumber last = 0;

	for (uint32 i = 0; i < arena->count; i++)
	{
		check_at(i);
		last = Max(last, ItemPointerGetBlockNumber(&arena->refs[i]));
	}
	if (last / BLOCKS_PER_ROW <= arena->count)
		rank_by_counting(arena, last);
	else
		rank_by_sorting(arena);
}

/* All members load their rows into an arena that they share. */
static void
load_rows(Build *b)
{
	const BuildShared *shared = b->team->state;
	uint32		first = first_row(b);
	uint32		n = (uint32) shared->found[b->team->number].rows;

	if (!ann_team_leads(b->team))
		ann_team_attach_memory(b->team);
	b->arena = ann_arena_share(b->info, ANN_ARENA_WHOLE, b->team, (uint32) shared->rows);
	rewind_tids(&b->tids);
	for (uint32 i = 0; i < n; i++)
		read_tids(&b->tids, &b->arena->refs[first + i], 1);
	close_tids(&b->tids);
	ann_team_wait(b->team);
	if (ann_team_leads(b->team))
		rank_rows(b->arena);
	ann_team_wait(b->team);
	if (n > 0)
		ann_file_rewind(b->spool);
	for (uint32 i = 0; i < n; i++)
	{
		uint32		row = b->arena->order[first + i];

		CHECK_FOR_INTERRUPTS();
		ann_arena_load_at(b->arena, row, b->spool);
		ann_arena_augment(b->arena, row, 1);
	}
	if (b->spool != NULL)
		BufFileClose(b->spool);
	b->spool = NULL;
}

/* Each member gets an arena of his own for what he makes of files. */
static void
share_memory(Build *b)
{
	close_tids(&b->tids);
	b->arena = make_arena(b);
}

/* There is nothing to share.  What the leader has seen has gone, if it was a vector. */
static void
dismiss_team(Build *b)
{
	close_tids(&b->tids);
	if (b->undefined.count == 0)
		b->meta = initial_meta(b->index);
	ann_team_end(b->team);
	b->team = ann_team_alone(b->heap, b->index);
}

/* ---- Writing ------------------------------------------------------------ */

/* Make a chunk of all rows; the members of a team do so together. */
static void
make_chunk(Build *b, AnnBulk *bulk, AnnTidWriter *tids, AnnChunk *chunk)
{
	AnnRowSource source = {b->team, b->arena, b->in_files, b->spool, b->rows};
	const BuildShared *shared = b->team->state;
	double		rows = (double) b->rows;
	uint64		elements = 0;

	if (shared != NULL)
	{
		rows = (double) shared->rows;
		source.rows = shared->found[b->team->number].rows;
	}
	chunk->leaf_capacity = ann_leaf_capacity(ann_rows_in_tree(b->info, rows));
	chunk->roots = (ann_is_graph(b->info) ? ann_link_chunk : ann_grow_chunk)
		(b->index, b->info, bulk, tids, b->number, &source, chunk->leaf_capacity, &elements);
	b->arena = source.arena;
	chunk->max_norm = b->info->max_norm;
	chunk->rows = elements;
}

/* The centre is written before anything that is less of it. */
static void
write_centre(Build *b, AnnBulk *bulk)
{
	if (b->info != NULL && b->info->centre != NULL)
		b->info->meta.centre = ann_centre_write(bulk, b->info->centre, b->meta.dim);
}

/* The rows that have no place in the trees. */
static void
write_lists(Build *b, AnnTidWriter *tids, AnnChunk *chunk)
{
	write_tids(tids, &b->nulls, &chunk->nulls);
	write_tids(tids, &b->undefined, &chunk->undefined);
}

/*
 * The elements are about to be written: let the calibration see them.  Without vectors
 * it asks the table.
 */
static void
observe_elements(Build *b, AnnBulk *bulk)
{
	const BuildShared *shared = b->team->state;
	double		rows = shared != NULL ? (double) shared->rows : (double) b->rows;

	if (rows < ANN_CALIBRATION_ROWS || b->meta.scalar == ANN_SCALAR_NONE)
		return;
	for (int i = 0; i < b->team->members; i++)
	{
		/* the leader has them already */
		if (i != b->team->number && !ann_team_leads(b->team))
			load_held(b, i);
	}
	ann_held_out_sort(b->held);		/* as all of them do */
	if (b->held->asked.count == 0)
		return;
	b->calibrator = ann_calibrator_begin(b->index, b->heap, b->info, rows, b->held);
	ann_bulk_observe(bulk, ann_calibrator_note, b->calibrator);
}

/* All elements have been written: the leader gets to know what the others have seen. */
static void
share_nearest(Build *b)
{
	if (ann_team_is_alone(b->team))
		return;
	if (b->calibrator != NULL && !ann_team_leads(b->team))
	{
		BufFile    *file = ann_team_create_file(b->team, NEAREST_FILE, b->team->number);

		ann_calibrator_save(b->calibrator, file);
		BufFileClose(file);
	}
	ann_team_wait(b->team);
	for (int i = 1; i < b->team->members && b->calibrator != NULL && ann_team_leads(b->team); i++)
	{
		BufFile    *file = ann_team_open_file(b->team, NEAREST_FILE, i);

		ann_calibrator_load(b->calibrator, file);
		ann_team_close_file(b->team, file);
	}
}

/* Write everything that the scan has found. */
static void
write_index(Build *b)
{
	AnnBulk    *bulk = begin_file(b->index, MAIN_FORKNUM, 1);
	AnnTidWriter *tids = ann_tids_begin(bulk, 0);
	AnnChunk	chunk = ann_chunk_new();

	write_lists(b, tids, &chunk);
	if (b->rows > 0)
	{
		write_centre(b, bulk);
		if (!ann_team_is_alone(b->team))
			ann_bulk_share(bulk);
		ann_team_wait(b->team);
		observe_elements(b, bulk);
		make_chunk(b, bulk, tids, &chunk);
		b->meta = b->info->meta;
		share_nearest(b);
	}
	ann_tids_end(tids);
	ann_team_phase(b->team, ANN_PHASE_WRITE);
	ann_team_end(b->team);
	write_head(bulk, &b->meta, &chunk, 1);
	ann_bulk_end(bulk);
	if (b->in_files && ann_is_graph(b->info))
		ann_graph_connect(b->index, b->heap, b->info, &chunk, &b->in_files, 1);
}

/* What a member of a team does of that. */
static void
help_write(Build *b)
{
	AnnBulk    *bulk;
	AnnTidWriter *tids;
	AnnChunk	chunk;

	ann_team_wait(b->team);
	bulk = ann_bulk_join(b->index);
	tids = ann_tids_begin(bulk, 0);
	observe_elements(b, bulk);
	make_chunk(b, bulk, tids, &chunk);
	ann_tids_end(tids);
	ann_bulk_leave(bulk);
	share_nearest(b);
}

/* The scan is over: what could not be known before. */
static void
finish_rows(Build *b)
{
	if (b->sample != NULL)
		end_sample(b);
	if (b->rows == 0)
		return;
	if (b->meta.metric == ANN_METRIC_IP)
		b->info->max_norm = (float) sqrt(b->max_norm2);
	b->in_files = b->spool != NULL;
	if (b->in_files)
		spill_arena(b);
	else
		ann_arena_augment(b->arena, 0, b->arena->count);
}

/* ---- Several chunks ----------------------------------------------------- */

/* A member's file of the chunks that he has built. */
#define CHUNKS_FILE "chunks.%d"

/* So many chunks has a table of so many blocks. */
static uint32
count_chunks(const Build *b, BlockNumber blocks)
{
	if (b->meta.chunk_blocks == 0 || blocks == 0)
		return 1;
	return ann_chunk_of(&b->meta, blocks - 1) + 1;
}

/* A build of chunk 'number', in the current context, by one who builds all of them. */
static Build *
begin_chunk(const Build *b, uint32 number)
{
	Build	   *c = palloc(sizeof(Build));

	*c = *b;
	c->team = ann_team_within(b->team);
	c->number = number;
	c->reported = number * b->meta.chunk_blocks;
	if (b->info != NULL)
		set_centre(c, b->info->centre);
	return c;
}

/* Build a chunk from its part of the table, and write it. */
static void
build_chunk(Build *c, AnnBulk *bulk, BlockNumber blocks, Found *found, BuiltChunk *result)
{
	BlockNumber first = c->reported;
	BlockNumber n = Min(c->meta.chunk_blocks, blocks - first);
	AnnTidWriter *tids = ann_tids_begin(bulk, c->number);

	found->heap_tuples += table_index_build_range_scan(c->heap, c->index, c->index_info, false,
													   false, false, first, n, build_callback,
													   c, NULL);
	report_blocks(c, first + n);
	finish_rows(c);

	/* through files, rows are linked in one pass and written in another */
	if (c->in_files && ann_is_graph(c->info))
		c->team->share = 0.5;
	found->rows += c->rows;
	found->nulls += c->nulls.count;
	found->undefined += c->undefined.count;
	result->number = c->number;
	result->in_files = c->in_files;
	result->entry = ann_chunk_new();
	write_lists(c, tids, &result->entry);
	if (c->rows > 0)
		make_chunk(c, bulk, tids, &result->entry);
	ann_tids_end(tids);
	ann_team_end(c->team);
}

/* Called for each chunk that has been built. */
typedef void (*KeepChunk) (const BuiltChunk *chunk, void *state);

/* Build the chunks that come our way. */
static void
build_our_chunks(Build *b, AnnBulk *bulk, BlockNumber blocks, Found *found, KeepChunk keep,
				 void *state)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ann build chunk",
												  ALLOCSET_DEFAULT_SIZES);
	uint64		number;
	uint64		n;

	while (ann_team_take(b->team, count_chunks(b, blocks), 1, &number, &n))
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		BuiltChunk	chunk;

		build_chunk(begin_chunk(b, (uint32) number), bulk, blocks, found, &chunk);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
		keep(&chunk, state);
	}
	found->has_broken_chain = b->index_info->ii_BrokenHotChain;
	MemoryContextDelete(context);
}

/* The chunks of an index, as the leader knows them in the end. */
typedef struct BuiltChunks
{
	AnnChunk   *entries;
	bool	   *in_files;
	bool		any_in_files;
} BuiltChunks;

/* KeepChunk of the leader. */
static void
note_chunk(const BuiltChunk *chunk, void *state)
{
	BuiltChunks *all = state;

	all->entries[chunk->number] = chunk->entry;
	all->in_files[chunk->number] = chunk->in_files;
	all->any_in_files |= chunk->in_files;
}

/* KeepChunk of others. */
static void
save_chunk(const BuiltChunk *chunk, void *state)
{
	BufFileWrite((BufFile *) state, unconstify(BuiltChunk *, chunk), sizeof(BuiltChunk));
}

/* What the others have built; and what all have found. */
static void
collect_chunks(Build *b, const BuildShared *shared, BuiltChunks *all, IndexBuildResult *result)
{
	for (int i = 0; i < b->team->members; i++)
	{
		const Found *found = &shared->found[i];
		BuiltChunk	chunk;
		BufFile    *file;

		result->heap_tuples += found->heap_tuples;
		result->index_tuples += (double) (found->rows + found->nulls + found->undefined);
		b->index_info->ii_BrokenHotChain |= found->has_broken_chain;
		if (i == 0)
			continue;
		file = ann_team_open_file(b->team, CHUNKS_FILE, i);
		while (BufFileRead(file, &chunk, sizeof(chunk)) == sizeof(chunk))
			note_chunk(&chunk, all);
		ann_team_close_file(b->team, file);
		load_held(b, i);
	}
}

/* What a member of a team does, and one who is alone, too. */
static void
begin_chunks(Build *b, BuildShared *shared)
{
	b->progress = &shared->progress;

	/* chunks are scanned one by one */
	if (b->team->scan != NULL)
		table_endscan(b->team->scan);
	b->meta = shared->meta;
	b->any_alive = true;
	if (b->meta.dim != 0)
	{
		b->info = ann_index_make(&b->meta);
		b->info->centre = copy_centre(shared);
	}
	ann_team_phase(b->team, ANN_PHASE_BUILD);
}

/* Gather a team of so many at most as there are chunks; what it shares, also if of one. */
static BuildShared *
gather_for_chunks(Build *b, BlockNumber blocks)
{
	double		rows = estimate_rows(b->heap);
	int			chunks = (int) Min(count_chunks(b, blocks), MAX_PARALLEL_WORKER_LIMIT);
	BuildShared *shared;
	Size		size;
	int			workers;

	look_at_first_rows(b, blocks);
	shared = learn_from_first_rows(b, &size);
	shared->blocks = blocks;
	workers = shared->meta.dim == 0 ? 0 :
		ann_team_workers(b->heap, b->index, b->index_info, rows, (int) shared->meta.dim);
	b->team = ann_team_begin(b->heap, b->index, b->index_info->ii_Concurrent,
							 Min(workers, chunks - 1), shared, size);
	pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_TOTAL, blocks);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, (int64) rows);
	return ann_team_is_alone(b->team) ? shared : b->team->state;
}

/* The build of an index of several chunks of a table of so many blocks. */
static void
build_chunks(Build *b, BlockNumber blocks, IndexBuildResult *result)
{
	uint32		n = count_chunks(b, blocks);
	AnnBulk    *bulk = begin_file(b->index, MAIN_FORKNUM, n);
	BuildShared *shared = gather_for_chunks(b, blocks);
	BuiltChunks all;

	all.entries = palloc_extended(sizeof(AnnChunk) * (Size) n, MCXT_ALLOC_HUGE);
	all.in_files = palloc(sizeof(bool) * n);
	all.any_in_files = false;
	begin_chunks(b, shared);
	write_centre(b, bulk);
	if (!ann_team_is_alone(b->team))
		ann_bulk_share(bulk);
	ann_team_wait(b->team);
	build_our_chunks(b, bulk, blocks, &shared->found[0], note_chunk, &all);
	ann_team_wait(b->team);
	collect_chunks(b, shared, &all, result);
	ann_team_phase(b->team, ANN_PHASE_WRITE);
	ann_team_end(b->team);
	write_head(bulk, b->info != NULL ? &b->info->meta : &b->meta, all.entries, n);
	ann_bulk_end(bulk);
	if (all.any_in_files && ann_is_graph(b->info))
		ann_graph_connect(b->index, b->heap, b->info, all.entries, all.in_files, n);
}

/* What a member of its team does of that. */
static void
help_build_chunks(Build *b, BuildShared *shared)
{
	BufFile    *file = ann_team_create_file(b->team, CHUNKS_FILE, b->team->number);
	AnnBulk    *bulk;

	begin_chunks(b, shared);
	ann_team_wait(b->team);
	bulk = ann_bulk_join(b->index);
	build_our_chunks(b, bulk, shared->blocks, &shared->found[b->team->number], save_chunk, file);
	ann_bulk_leave(bulk);
	BufFileClose(file);
	save_held(b);
	ann_team_wait(b->team);
}

/* ---- One chunk ---------------------------------------------------------- */

/* What members of a team do between reading the table and making the index. */
static void
share_rows(Build *b, IndexBuildResult *result)
{
	const BuildShared *shared = b->team->state;

	share_found(b, result->heap_tuples);
	result->heap_tuples = 0;
	ann_team_wait(b->team);
	if (ann_team_leads(b->team))
		sum_up(b, result);
	ann_team_wait(b->team);
	if (b->meta.metric == ANN_METRIC_IP)
		b->info->max_norm = shared->max_norm;
	b->in_files = shared->course == COURSE_FILES;
	if (shared->course == COURSE_MEMORY)
		load_rows(b);
	else if (shared->course == COURSE_FILES)
		share_memory(b);
}

/* Read the table, or a member's part of it. */
static double
scan_table(Build *b)
{
	return table_index_build_scan(b->heap, b->index, b->index_info, true,
								  ann_team_leads(b->team), build_callback, b, b->team->scan);
}

/* The build of an index of one chunk. */
static void
build_one_chunk(Build *b, IndexBuildResult *result)
{
	gather_team(b);
	ann_team_phase(b->team, ANN_PHASE_SCAN);
	result->heap_tuples = scan_table(b);
	if (!ann_team_is_alone(b->team))
	{
		share_rows(b, result);
		if (b->rows == 0)
			dismiss_team(b);
	}
	if (ann_team_is_alone(b->team))
	{
		/* a team may have held out all that there is: then there is no place for it */
		if (b->rows < ANN_CALIBRATION_ROWS && (b->arena != NULL || b->sample != NULL))
			return_held(b);
		finish_rows(b);
	}
	ann_team_phase(b->team, b->in_files ? ANN_PHASE_DIVIDE : ANN_PHASE_BUILD);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, (int64) b->rows);
	write_index(b);
	result->index_tuples = b->rows + b->nulls.count + b->undefined.count;
}

/* ---- Rows that were held out -------------------------------------------- */

/* Insert rows, counting in *added the elements that they are of each of n chunks. */
static void
insert_rows(Build *b, const AnnHeldRows *rows, uint32 *added, uint32 n)
{
	for (int i = 0; i < rows->count; i++)
	{
		AnnHeldRow	row = rows->rows[i];
		uint32		number = ann_chunk_of(&b->meta, ItemPointerGetBlockNumber(&row.tid));
		bool		is_new;

		CHECK_FOR_INTERRUPTS();
		is_new = ann_insert_array(b->index, row.array, &row.tid, b->heap);
		if (number < n)
			added[number] += is_new;
	}
}

/* Insert those that were held out: a build knows the number of elements exactly. */
static void
insert_held(Build *b)
{
	AnnChunk   *chunks;
	uint32		num_chunks;
	uint32	   *added;

	(void) ann_index_chunks(b->index, &chunks, &num_chunks);
	added = palloc0(sizeof(uint32) * num_chunks);
	insert_rows(b, &b->held->asked, added, num_chunks);
	insert_rows(b, &b->held->others, added, num_chunks);
	for (uint32 i = 0; i < num_chunks; i++)
	{
		AnnEdit		edit;

		if (added[i] == 0)
			continue;
		ann_chunk_edit(&edit, b->index, i)->rows = chunks[i].rows + added[i];
		ann_edit_commit(&edit);
	}
}

/* Ask the index, which has so many other rows, for those that were held out. */
static void
end_held(Build *b, double rows)
{
	ann_held_out_sort(b->held);
	if (b->held->asked.count == 0)
		return;
	ann_team_phase(b->team, ANN_PHASE_CALIBRATE);
	if (rows >= ANN_CALIBRATION_ROWS && b->calibrator == NULL)
	{
		b->calibrator = ann_calibrator_begin(b->index, b->heap, b->info, rows, b->held);
		ann_calibrator_pass(b->calibrator, b->index_info);
	}
	if (b->calibrator != NULL)
		ann_calibrator_end(b->calibrator);
	insert_held(b);
}

/* ---- CREATE INDEX ------------------------------------------------------- */

static Build *
begin_build(Relation heap, Relation index, IndexInfo *indexInfo)
{
	Build	   *b = palloc0(sizeof(Build));

	b->heap = heap;
	b->index = index;
	b->index_info = indexInfo;
	b->opclass = ann_opclass(index);
	b->options = ann_options(index);
	b->meta = initial_meta(index);
	b->held = ann_held_out_begin(ANN_CALIBRATION_QUERIES);
	b->row_context = AllocSetContextCreate(CurrentMemoryContext, "ann row",
										   ALLOCSET_DEFAULT_SIZES);
	return b;
}

IndexBuildResult *
ann_build(Relation heap, Relation index, IndexInfo *indexInfo)
{
	Build	   *b = begin_build(heap, index, indexInfo);
	BlockNumber blocks = RelationGetNumberOfBlocks(heap);
	IndexBuildResult *result = palloc0(sizeof(IndexBuildResult));

	if (RelationGetNumberOfBlocks(index) != 0)
		elog(ERROR, "index \"%s\" already contains data",
			 RelationGetRelationName(index));
	if (count_chunks(b, blocks) > 1)
		build_chunks(b, blocks, result);
	else
		build_one_chunk(b, result);
	end_held(b, result->index_tuples);
	result->index_tuples += b->held->asked.count + b->held->others.count;
	ann_team_phase(b->team, 0);
	return result;
}

void
ann_build_member(AnnTeam *team, bool concurrent)
{
	IndexInfo  *indexInfo = BuildIndexInfo(team->index);
	BuildShared *shared = team->state;
	Build	   *b;
	IndexBuildResult result = {0};

	indexInfo->ii_Concurrent = concurrent;
	b = begin_build(team->heap, team->index, indexInfo);
	b->team = team;
	if (shared->blocks > 0)
	{
		help_build_chunks(b, shared);
		return;
	}
	join_build(b, shared);
	result.heap_tuples = scan_table(b);
	share_rows(b, &result);
	if (b->arena != NULL)
		help_write(b);
}

/* The init fork of an unlogged index. */
void
ann_build_empty(Relation index)
{
	AnnMeta		meta = initial_meta(index);
	AnnChunk	chunk = ann_chunk_new();
	AnnBulk    *bulk = begin_file(index, INIT_FORKNUM, 1);

	write_head(bulk, &meta, &chunk, 1);
	ann_bulk_end(bulk);
}
