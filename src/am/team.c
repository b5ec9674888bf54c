/*
 * team.c
 *	  The processes that build an index together.
 *
 * The segment of the ParallelContext is small.  What the rows need is another one,
 * made when their number is known, and only if there is room in the file system that
 * it would be a file of: to run out of it is an error that nobody could catch, since
 * parallel mode knows no subtransactions.
 */
#include "postgres.h"

#include <math.h>
#include <sys/statvfs.h>

#include "access/parallel.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "am/build.h"
#include "am/method.h"
#include "am/team.h"
#include "catalog/index.h"
#include "catalog/pg_proc.h"
#include "executor/instrument.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "pgstat.h"
#include "storage/barrier.h"
#include "storage/bufmgr.h"
#include "storage/condition_variable.h"
#include "storage/dsm_impl.h"
#include "storage/lock.h"
#include "storage/sharedfileset.h"
#include "tcop/tcopprot.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* Keys of the segment's parts. */
#define KEY_SHARED		UINT64CONST(0xA22E000000000001)
#define KEY_STATE		UINT64CONST(0xA22E000000000002)
#define KEY_SCAN		UINT64CONST(0xA22E000000000003)
#define KEY_QUERY		UINT64CONST(0xA22E000000000004)
#define KEY_WAL_USAGE	UINT64CONST(0xA22E000000000005)
#define KEY_BUFFER_USAGE UINT64CONST(0xA22E000000000006)

/* A worker for each so many coordinates: some tenths of a second of work. */
#define WORKER_SHARE 4.0e6

/* Where POSIX shared memory is, and what is to be left of it for others. */
#define SHM_DIRECTORY "/dev/shm"
#define SHM_RESERVE ((Size) 8 * 1024 * 1024)

struct AnnTeamShared
{
	/* Unchanging */
	Oid			heap;
	Oid			index;
	bool		concurrent;

	/* Known when all workers have begun */
	ConditionVariable begun;
	pg_atomic_uint32 members;	/* 0: not yet */
	Barrier		barrier;

	/* Changing with each step; there is one for the next step, too */
	pg_atomic_uint64 taken[2];
	pg_atomic_uint64 done;
	pg_atomic_uint64 temp_blocks;	/* of temporary files, that were written */

	dsm_handle	memory;			/* set by the leader before a wait */
	SharedFileSet files;
	uint64		told[FLEXIBLE_ARRAY_MEMBER];	/* by each member */
};

static Size
shared_size(const ParallelContext *context)
{
	return offsetof(AnnTeamShared, told) + sizeof(uint64) * (Size) (context->nworkers + 1);
}

/* Has the file system of shared memory room for more than so many bytes? */
static bool
has_room(Size size)
{
	struct statvfs fs;

	return statvfs(SHM_DIRECTORY, &fs) == 0 && (uint64) fs.f_bavail * fs.f_frsize > size;
}

/* What each of so many may use of maintenance_work_mem. */
static Size
share_of_memory(int members)
{
	return (Size) maintenance_work_mem * 1024 / members;
}

/* ---- Who ---------------------------------------------------------------- */

/* May workers evaluate what the index is of? */
static bool
expressions_are_safe(IndexInfo *indexInfo)
{
	Query	   *query = makeNode(Query);
	List	   *exprs = list_concat_copy(indexInfo->ii_Expressions, indexInfo->ii_Predicate);
	ListCell   *lc;

	query->commandType = CMD_SELECT;
	foreach(lc, exprs)
		query->targetList = lappend(query->targetList,
									makeTargetEntry(lfirst(lc), foreach_current_index(lc) + 1, NULL, false));
	return max_parallel_hazard(query) == PROPARALLEL_SAFE;
}

/*
 * PostgreSQL's own rule counts pages of the table, where vectors are not if they are
 * long enough to be toasted, and wants 32 MB for each.
 */
int
ann_team_workers(Relation heap, Relation index, IndexInfo *indexInfo, double rows, int dim)
{
	int			most = max_parallel_maintenance_workers;
	int			wanted = RelationGetParallelWorkers(heap, -1);

	if (most == 0 || wanted == 0 || !IsNormalProcessingMode() || IsParallelWorker() ||
		RelationUsesLocalBuffers(heap) || !expressions_are_safe(indexInfo))
		return 0;
	if (wanted > 0)
		return Min(wanted, most);
	return (int) Min(rows * dim / WORKER_SHARE, most);
}

AnnTeam *
ann_team_alone(Relation heap, Relation index)
{
	AnnTeam    *team = palloc0(sizeof(AnnTeam));

	team->members = 1;
	team->share = 1;
	team->memory = share_of_memory(1);
	team->temp_counted = pgBufferUsage.temp_blks_written;
	team->heap = heap;
	team->index = index;
	return team;
}

AnnTeam *
ann_team_within(AnnTeam *team)
{
	AnnTeam    *within = ann_team_alone(team->heap, team->index);

	within->memory = team->memory;
	within->other = team;
	return within;
}

/* ---- Files -------------------------------------------------------------- */

/* Set 'name' from a format and what follows it. */
#define FORMAT_NAME(name, format) \
	do { \
		va_list		args; \
		va_start(args, format); \
		vsnprintf(name, sizeof(name), format, args); \
		va_end(args); \
	} while (0)

void
ann_file_rewind(BufFile *file)
{
	if (BufFileSeek(file, 0, 0, SEEK_SET) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not rewind temporary file of an index build")));
}

/* A file of a team of one, which stays open. */
typedef struct OwnFile
{
	char		name[NAMEDATALEN];
	BufFile    *file;
} OwnFile;

static OwnFile *
own_file(AnnTeam *team, const char *name, HASHACTION action)
{
	HASHCTL		control = {.keysize = NAMEDATALEN,.entrysize = sizeof(OwnFile),
	.hcxt = GetMemoryChunkContext(team)};
	OwnFile    *file;

	if (team->files == NULL)
		team->files = hash_create("files of an index build", 64, &control,
								  HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	file = hash_search(team->files, name, action, NULL);
	if (file == NULL)
		elog(ERROR, "an index build has no file \"%s\"", name);
	return file;
}

static void
close_own_files(AnnTeam *team)
{
	HASH_SEQ_STATUS status;
	OwnFile    *file;

	if (team->files == NULL)
		return;
	hash_seq_init(&status, team->files);
	while ((file = hash_seq_search(&status)) != NULL)
		BufFileClose(file->file);
	hash_destroy(team->files);
	team->files = NULL;
}

BufFile *
ann_team_create_file(AnnTeam *team, const char *format,...)
{
	char		name[NAMEDATALEN];
	MemoryContext old;
	BufFile    *file;

	FORMAT_NAME(name, format);
	if (team->shared != NULL)
		return BufFileCreateFileSet(&team->shared->files.fs, name);

	/* it is to last as long as the team */
	old = MemoryContextSwitchTo(GetMemoryChunkContext(team));
	file = own_file(team, name, HASH_ENTER)->file = BufFileCreateTemp(false);
	MemoryContextSwitchTo(old);
	return file;
}

BufFile *
ann_team_open_file(AnnTeam *team, const char *format,...)
{
	char		name[NAMEDATALEN];
	BufFile    *file;

	FORMAT_NAME(name, format);
	if (team->shared != NULL)
		return BufFileOpenFileSet(&team->shared->files.fs, name, O_RDONLY, false);
	file = own_file(team, name, HASH_FIND)->file;
	ann_file_rewind(file);
	return file;
}

void
ann_team_close_file(AnnTeam *team, BufFile *file)
{
	if (team->shared != NULL)
		BufFileClose(file);
}

void
ann_team_delete_file(AnnTeam *team, const char *format,...)
{
	char		name[NAMEDATALEN];

	FORMAT_NAME(name, format);
	if (team->shared != NULL)
		BufFileDeleteFileSet(&team->shared->files.fs, name, false);
	else
	{
		BufFileClose(own_file(team, name, HASH_FIND)->file);
		hash_search(team->files, name, HASH_REMOVE, NULL);
	}
}

/* ---- The leader begins and ends ----------------------------------------- */

/* Put the parts into the segment. */
static void
fill_segment(AnnTeam *team, bool concurrent, Snapshot snapshot, const void *state, Size size,
			 Size scan_size)
{
	ParallelContext *context = team->context;
	shm_toc    *toc = context->toc;
	AnnTeamShared *shared = shm_toc_allocate(toc, shared_size(context));
	ParallelTableScanDesc scan = shm_toc_allocate(toc, scan_size);
	Size		length = debug_query_string ? strlen(debug_query_string) : 0;
	char	   *query = shm_toc_allocate(toc, length + 1);

	memset(shared, 0, shared_size(context));
	shared->heap = RelationGetRelid(team->heap);
	shared->index = RelationGetRelid(team->index);
	shared->concurrent = concurrent;
	ConditionVariableInit(&shared->begun);
	pg_atomic_init_u32(&shared->members, 0);
	for (int i = 0; i < 2; i++)
		pg_atomic_init_u64(&shared->taken[i], 0);
	pg_atomic_init_u64(&shared->done, 0);
	pg_atomic_init_u64(&shared->temp_blocks, 0);
	shared->memory = DSM_HANDLE_INVALID;
	SharedFileSetInit(&shared->files, context->seg);
	table_parallelscan_initialize(team->heap, scan, snapshot);
	memcpy(query, debug_query_string ? debug_query_string : "", length + 1);
	team->shared = shared;
	team->state = shm_toc_allocate(toc, size);
	memcpy(team->state, state, size);

	shm_toc_insert(toc, KEY_SHARED, shared);
	shm_toc_insert(toc, KEY_STATE, team->state);
	shm_toc_insert(toc, KEY_SCAN, scan);
	shm_toc_insert(toc, KEY_QUERY, query);
	shm_toc_insert(toc, KEY_WAL_USAGE,
				   shm_toc_allocate(toc, mul_size(sizeof(WalUsage), context->nworkers)));
	shm_toc_insert(toc, KEY_BUFFER_USAGE,
				   shm_toc_allocate(toc, mul_size(sizeof(BufferUsage), context->nworkers)));
	team->scan = table_beginscan_parallel(team->heap, scan);
}

static void
estimate_segment(ParallelContext *context, Size size, Size scan_size)
{
	shm_toc_estimator *e = &context->estimator;

	shm_toc_estimate_chunk(e, shared_size(context));
	shm_toc_estimate_chunk(e, size);
	shm_toc_estimate_chunk(e, scan_size);
	shm_toc_estimate_chunk(e, debug_query_string ? strlen(debug_query_string) + 1 : 1);
	shm_toc_estimate_chunk(e, mul_size(sizeof(WalUsage), context->nworkers));
	shm_toc_estimate_chunk(e, mul_size(sizeof(BufferUsage), context->nworkers));
	shm_toc_estimate_keys(e, 6);
}

static void
forget(AnnTeam *team)
{
	ann_team_leave_memory(team);
	if (team->shared != NULL)
		team->temp_blocks = pg_atomic_read_u64(&team->shared->temp_blocks);
	team->shared = NULL;
	DestroyParallelContext(team->context);
	ExitParallelMode();
}

AnnTeam *
ann_team_begin(Relation heap, Relation index, bool concurrent, int workers,
			   const void *state, Size size)
{
	AnnTeam    *team = ann_team_alone(heap, index);
	Snapshot	snapshot;
	Size		scan_size;

	/* it would be an error to find no room for the small segment either */
	if (workers == 0 ||
		(dynamic_shared_memory_type == DSM_IMPL_POSIX && !has_room(SHM_RESERVE)))
		return team;
	EnterParallelMode();
	team->context = CreateParallelContext("ann", "ann_build_worker", workers);
	snapshot = concurrent ? RegisterSnapshot(GetTransactionSnapshot()) : SnapshotAny;
	scan_size = table_parallelscan_estimate(heap, snapshot);
	estimate_segment(team->context, size, scan_size);
	InitializeParallelDSM(team->context);
	if (team->context->seg != NULL)
	{
		fill_segment(team, concurrent, snapshot, state, size, scan_size);
		LaunchParallelWorkers(team->context);
		team->members += team->context->nworkers_launched;
	}
	if (concurrent)
		UnregisterSnapshot(snapshot);
	if (team->members == 1)
	{
		if (team->scan != NULL)
			table_endscan(team->scan);
		forget(team);
		return ann_team_alone(heap, index);
	}

	/* a worker that does not come would be waited for in vain */
	WaitForParallelWorkersToAttach(team->context);
	team->memory = share_of_memory(team->members);
	BarrierInit(&team->shared->barrier, team->members);
	pg_atomic_write_u32(&team->shared->members, (uint32) team->members);
	ConditionVariableBroadcast(&team->shared->begun);
	ereport(DEBUG1,
			(errmsg_internal("index \"%s\" is built by %d processes",
							 RelationGetRelationName(index), team->members)));
	return team;
}

/* Count what we have written to temporary files since we did so last; returns all. */
static uint64
count_temp_blocks(AnnTeam *team)
{
	int64		more = pgBufferUsage.temp_blks_written - team->temp_counted;

	team->temp_counted += more;
	if (team->shared != NULL)
		return pg_atomic_add_fetch_u64(&team->shared->temp_blocks, more);
	team->temp_blocks += more;
	return team->temp_blocks;
}

void
ann_team_end(AnnTeam *team)
{
	WalUsage   *wal;
	BufferUsage *buffers;

	if (ann_team_is_alone(team))
	{
		close_own_files(team);
		return;
	}
	(void) count_temp_blocks(team);
	WaitForParallelWorkersToFinish(team->context);
	wal = shm_toc_lookup(team->context->toc, KEY_WAL_USAGE, false);
	buffers = shm_toc_lookup(team->context->toc, KEY_BUFFER_USAGE, false);
	for (int i = 0; i < team->context->nworkers_launched; i++)
		InstrAccumParallelQuery(&buffers[i], &wal[i]);
	team->temp_counted = pgBufferUsage.temp_blks_written;
	forget(team);
}

/* ---- A worker ----------------------------------------------------------- */

/* Wait until it is known how many we are. */
static int
wait_for_members(AnnTeamShared *shared)
{
	uint32		members;

	ConditionVariablePrepareToSleep(&shared->begun);
	while ((members = pg_atomic_read_u32(&shared->members)) == 0)
		ConditionVariableSleep(&shared->begun, WAIT_EVENT_PARALLEL_CREATE_INDEX_SCAN);
	ConditionVariableCancelSleep();
	return (int) members;
}

static void
work(dsm_segment *segment, shm_toc *toc, AnnTeamShared *shared)
{
	AnnTeam		team = {.number = ParallelWorkerNumber + 1, .shared = shared, .share = 1};
	LOCKMODE	heap_lock = shared->concurrent ? ShareUpdateExclusiveLock : ShareLock;
	LOCKMODE	index_lock = shared->concurrent ? RowExclusiveLock : AccessExclusiveLock;

	SharedFileSetAttach(&shared->files, segment);
	team.heap = table_open(shared->heap, heap_lock);
	team.index = index_open(shared->index, index_lock);
	team.state = shm_toc_lookup(toc, KEY_STATE, false);
	team.members = wait_for_members(shared);
	team.memory = share_of_memory(team.members);
	team.scan = table_beginscan_parallel(team.heap, shm_toc_lookup(toc, KEY_SCAN, false));
	ann_build_member(&team, shared->concurrent);
	ann_team_leave_memory(&team);
	index_close(team.index, index_lock);
	table_close(team.heap, heap_lock);
}

void
ann_build_worker(dsm_segment *segment, shm_toc *toc)
{
	AnnTeamShared *shared = shm_toc_lookup(toc, KEY_SHARED, false);
	WalUsage   *wal = shm_toc_lookup(toc, KEY_WAL_USAGE, false);
	BufferUsage *buffers = shm_toc_lookup(toc, KEY_BUFFER_USAGE, false);

	debug_query_string = shm_toc_lookup(toc, KEY_QUERY, false);
	pgstat_report_activity(STATE_RUNNING, debug_query_string);
	InstrStartParallelQuery();
	work(segment, toc, shared);
	InstrEndParallelQuery(&buffers[ParallelWorkerNumber], &wal[ParallelWorkerNumber]);
}

/* ---- Steps -------------------------------------------------------------- */

void
ann_team_wait(AnnTeam *team)
{
	AnnTeamShared *shared = team->shared;

	(void) count_temp_blocks(team);
	team->taken = 0;
	if (shared == NULL)
		return;
	/* the counter of the step after the next one: nobody is there yet */
	if (BarrierArriveAndWait(&shared->barrier, WAIT_EVENT_PARALLEL_CREATE_INDEX_SCAN))
		pg_atomic_write_u64(&shared->taken[team->step % 2], 0);
	team->step++;
}

bool
ann_team_take(AnnTeam *team, uint64 total, uint64 size, uint64 *first, uint64 *n)
{
	CHECK_FOR_INTERRUPTS();
	if (team->shared != NULL)
		*first = pg_atomic_fetch_add_u64(&team->shared->taken[team->step % 2], size);
	else
	{
		*first = team->taken;
		team->taken += size;
	}
	if (*first >= total)
		return false;
	*n = Min(size, total - *first);
	return true;
}

void
ann_team_tell(AnnTeam *team, uint64 number)
{
	if (team->shared != NULL)
		team->shared->told[team->number] = number;
	else
		team->told = number;
}

uint64
ann_team_told(const AnnTeam *team, int member)
{
	return team->shared != NULL ? team->shared->told[member] : team->told;
}

void
ann_team_phase(AnnTeam *team, int phase)
{
	instr_time	now;
	instr_time	elapsed;
	BlockNumber pages;
	uint64		temp;

	if (!ann_team_leads(team) || team->other != NULL || phase == team->phase)
		return;
	INSTR_TIME_SET_CURRENT(now);
	elapsed = now;
	INSTR_TIME_SUBTRACT(elapsed, team->begun);
	pages = RelationGetNumberOfBlocks(team->index);
	temp = count_temp_blocks(team);
	if (team->phase != 0)
		ereport(DEBUG1,
				(errmsg_internal("index \"%s\": %s took %.3f s, and wrote " UINT64_FORMAT
								 " kB, and " UINT64_FORMAT " kB of temporary files",
								 RelationGetRelationName(team->index),
								 ann_phase_name(team->phase), INSTR_TIME_GET_DOUBLE(elapsed),
								 (uint64) (pages - team->pages) * (BLCKSZ / 1024),
								 (temp - team->temp_before) * (BLCKSZ / 1024))));
	team->phase = phase;
	team->begun = now;
	team->pages = pages;
	team->temp_before = temp;
	if (phase != 0)
		pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, phase);
}

void
ann_team_report_from(AnnTeam *team, uint64 tuples)
{
	if (!ann_team_leads(team) || team->other != NULL)
		return;
	if (team->shared != NULL)
		pg_atomic_write_u64(&team->shared->done, tuples);
	team->done = tuples;
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, (int64) tuples);
}

void
ann_team_report(AnnTeam *team, uint64 tuples)
{
	double		due = team->rest + tuples * team->share;

	tuples = (uint64) due;
	team->rest = due - tuples;
	if (team->other != NULL)
	{
		ann_team_report(team->other, tuples);
		return;
	}
	team->done += tuples;
	if (team->shared != NULL)
		team->done = pg_atomic_add_fetch_u64(&team->shared->done, (int64) tuples);
	if (ann_team_leads(team))
		pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, (int64) team->done);
}

/* ---- Memory ------------------------------------------------------------- */

/*
 * Builds that look for room at the same time would all find it.  No user can take a
 * lock like this one: theirs are of a database.
 */
bool
ann_team_make_memory(AnnTeam *team, Size size)
{
	LOCKTAG		tag;

	if (dynamic_shared_memory_type != DSM_IMPL_POSIX)
		return false;
	SET_LOCKTAG_ADVISORY(tag, InvalidOid, (uint32) (KEY_SHARED >> 32), 0, 0);
	LockAcquire(&tag, ExclusiveLock, false, false);
	if (has_room(size + SHM_RESERVE))
		team->segment = dsm_create(size, DSM_CREATE_NULL_IF_MAXSEGMENTS);
	LockRelease(&tag, ExclusiveLock, false);
	if (team->segment == NULL)
		return false;
	team->shared->memory = dsm_segment_handle(team->segment);
	team->next = dsm_segment_address(team->segment);
	return true;
}

void
ann_team_attach_memory(AnnTeam *team)
{
	team->segment = dsm_attach(team->shared->memory);
	if (team->segment == NULL)
		elog(ERROR, "could not attach to the shared memory of an index build");
	team->next = dsm_segment_address(team->segment);
}

void
ann_team_leave_memory(AnnTeam *team)
{
	if (team->segment != NULL)
		dsm_detach(team->segment);
	team->segment = NULL;
	team->next = NULL;
}

Size
ann_team_array_size(Size size)
{
	return CACHELINEALIGN(size);
}

void *
ann_team_array(AnnTeam *team, Size size)
{
	void	   *array = team->next;

	if (ann_team_is_alone(team))
		return palloc_extended(Max(size, 1), MCXT_ALLOC_HUGE);
	team->next += ann_team_array_size(size);
	if (team->next > (char *) dsm_segment_address(team->segment) + dsm_segment_map_length(team->segment))
		elog(ERROR, "the shared memory of an index build is too small");
	return array;
}
