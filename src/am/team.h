/*
 * team.h
 *	  The processes that build an index together: the leader, whom the user's
 *	  session is, and parallel workers.
 *
 * All of them go through the same steps of the work.  Within a step each member
 * takes the next piece until none is left (ann_team_take); between two steps each
 * waits for the others (ann_team_wait).  A team of one does the same without
 * shared memory, so that steps are written once.
 *
 * An error of a worker becomes one of the leader while it waits, and an error of the
 * leader ends the workers.
 */
#ifndef ANN_TEAM_H
#define ANN_TEAM_H

#include "postgres.h"

#include "access/parallel.h"
#include "access/relscan.h"
#include "nodes/execnodes.h"
#include "portability/instr_time.h"
#include "storage/buffile.h"
#include "utils/rel.h"

typedef struct AnnTeamShared AnnTeamShared;

typedef struct AnnTeam
{
	/* Unchanging, set when it is made */
	int			number;			/* ours; 0: the leader */
	int			members;
	Size		memory;			/* bytes that each member may use */
	Relation	heap;
	Relation	index;
	AnnTeamShared *shared;		/* NULL: a team of one */
	ParallelContext *context;	/* of the leader */
	void	   *state;			/* of the owner, seen by all; NULL: a team of one */
	TableScanDesc scan;			/* of the heap, of which each member reads a part */

	/* Of a team of one within another one, to which it reports */
	struct AnnTeam *other;		/* NULL: none */

	/* Set by who reports of tuples that others report of as well */
	double		share;			/* of them that counts ... */
	double		rest;			/* ... of which some is still to be reported */

	/* Of a team of one */
	HTAB	   *files;			/* by name; NULL: none yet */
	uint64		told;
	uint64		taken;			/* in the present step */
	uint64		done;
	uint64		temp_blocks;

	/* Changing with each step */
	uint32		step;
	int64		temp_counted;	/* blocks of temporary files that the team knows of */

	/* Changing with each phase */
	int			phase;
	instr_time	begun;
	BlockNumber pages;			/* that the index had then */
	uint64		temp_before;	/* blocks of temporary files that had been written */

	/* Memory that all members see, once there is some */
	dsm_segment *segment;
	char	   *next;
} AnnTeam;

/* How many workers a build may have; 0 if it cannot have any. */
extern int	ann_team_workers(Relation heap, Relation index, IndexInfo *indexInfo,
							 double rows, int dim);

/*
 * Gather a team with up to so many workers, each of which calls ann_build_member.
 * 'state' of 'size' bytes is copied to team->state.  May be a team of one if no
 * worker can be had.
 */
extern AnnTeam *ann_team_begin(Relation heap, Relation index, bool concurrent,
							   int workers, const void *state, Size size);

/* A team of one; and one of a member, for a piece of work that nobody shares. */
extern AnnTeam *ann_team_alone(Relation heap, Relation index);
extern AnnTeam *ann_team_within(AnnTeam *team);

/* The leader waits until all workers are done, and forgets the team and its files. */
extern void ann_team_end(AnnTeam *team);

static inline bool
ann_team_leads(const AnnTeam *team)
{
	return team->number == 0;
}

static inline bool
ann_team_is_alone(const AnnTeam *team)
{
	return team->shared == NULL;
}

/* Wait until all members have come to the end of the step. */
extern void ann_team_wait(AnnTeam *team);

/*
 * Take a piece of this step's work, 'total' items in pieces of 'size': items *first
 * to *first + *n - 1.  False if nothing is left.  Checks for interrupts.
 */
extern bool ann_team_take(AnnTeam *team, uint64 total, uint64 size, uint64 *first,
						  uint64 *n);

/*
 * The leader tells the progress view that a phase (ANN_PHASE_...; 0: none) begins, and
 * the log at level DEBUG1 how long the one before it took, and what it wrote.
 */
extern void ann_team_phase(AnnTeam *team, int phase);

/* Tell the others a number, which they can ask for after the next ann_team_wait. */
extern void ann_team_tell(AnnTeam *team, uint64 number);
extern uint64 ann_team_told(const AnnTeam *team, int member);

/* So many tuples more are done; the leader tells the progress view. */
extern void ann_team_report(AnnTeam *team, uint64 tuples);

/* The leader says how many are done already. */
extern void ann_team_report_from(AnnTeam *team, uint64 tuples);

/*
 * Temporary files that all members see, by their names: made by one; once he has closed
 * it, opened for reading from its beginning by any, who closes it again; deleted by the
 * last one, or with the team.
 */
extern BufFile *ann_team_create_file(AnnTeam *team, const char *format,...) pg_attribute_printf(2, 3);
extern BufFile *ann_team_open_file(AnnTeam *team, const char *format,...) pg_attribute_printf(2, 3);
extern void ann_team_close_file(AnnTeam *team, BufFile *file);
extern void ann_team_delete_file(AnnTeam *team, const char *format,...) pg_attribute_printf(2, 3);

/* Go to the beginning of a temporary file, whoever has it. */
extern void ann_file_rewind(BufFile *file);

/*
 * The leader makes memory of so many bytes; after the next ann_team_wait others
 * attach to it.  Then each takes the same arrays in the same order.  False if there
 * is not so much.
 */
extern bool ann_team_make_memory(AnnTeam *team, Size size);
extern void ann_team_attach_memory(AnnTeam *team);

/* Give it back; each does so, and takes no array any more. */
extern void ann_team_leave_memory(AnnTeam *team);

/*
 * Memory for an array that all members see, of the present context in a team of one.
 * It is not set to anything.
 */
extern void *ann_team_array(AnnTeam *team, Size size);

/*
 * Arrays that are taken from here on have their places again, when all members have
 * gone back to 'mark'.  In a team of one memory is the context's to forget.
 */
static inline char *
ann_team_mark(const AnnTeam *team)
{
	return team->next;
}

static inline void
ann_team_go_back(AnnTeam *team, char *mark)
{
	team->next = mark;
}

/* What such an array takes of the memory. */
extern Size ann_team_array_size(Size size);

extern PGDLLEXPORT void ann_build_worker(dsm_segment *segment, shm_toc *toc);

#endif							/* ANN_TEAM_H */
