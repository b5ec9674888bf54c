/*
 * contest.c
 *	  Methods that take turns at being measured.
 *
 * Machines are noisy, so methods take turns: their indexes are all built
 * first, then each round gives a turn to every probe of every method.  Two
 * indexes on one table cannot take turns, as the planner would choose between
 * them; methods are therefore gathered in batches in which each has a table to
 * itself.  Exact search uses no index and fits in everywhere.
 */
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contest.h"

/* With --verbose, say what is being done. */
void
progress(const Run *run, const char *fmt,...)
{
	va_list		args;

	if (!run->options->verbose)
		return;
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
}

/* Let this thread run on the last CPU alone; returns where it could before. */
static cpu_set_t
pin_client(void)
{
	cpu_set_t	before;
	cpu_set_t	last;

	if (sched_getaffinity(0, sizeof(before), &before) != 0)
		fail("sched_getaffinity: %s", strerror(errno));
	CPU_ZERO(&last);
	CPU_SET(cpu_count() - 1, &last);
	if (sched_setaffinity(0, sizeof(last), &last) != 0)
		fail("--pin: %s", strerror(errno));
	return before;
}

/* Build the batch's indexes, and open its sessions. */
static void
begin_batch(Run *run, Contest **batch, int n)
{
	for (int i = 0; i < n; i++)
	{
		Contest    *contest = batch[i];
		IndexReport *index = contest->index;

		if (contest->method->index == NULL)
			continue;
		progress(run, "building %s", contest->method->name);
		index->cost = table_build(run->conn, run->options->base.conninfo, contest->table,
								  contest->method);
		index->bytes = table_index_bytes(run->conn, contest->table);
	}
	for (int i = 0; i < n; i++)
	{
		table_prewarm(run->conn, batch[i]->table);
		batch[i]->session = session_open(&run->options->base, batch[i]->method,
										 batch[i]->table);
		if (run->options->floor > 0)
			session_prepare_floor(batch[i]->session, run->options->floor);
		if (run->options->pin)
			session_pin(batch[i]->session);
	}
}

/* Close the sessions, and make room for the next batch's indexes. */
static void
end_batch(Run *run, Contest **batch, int n)
{
	for (int i = 0; i < n; i++)
	{
		Contest    *contest = batch[i];

		session_close(contest->session);
		contest->done = true;
		if (contest->floor.count > 0)
			contest->index->floor_ms = samples_percentile_ms(&contest->floor, 0.5);
		if (contest->method->index != NULL)
			table_drop_index(run->conn, contest->table);
	}
}

/* A turn for each of a method's probes. */
static void
take_turns(Run *run, Contest *contest, int round)
{
	Samples    *floor = run->options->floor > 0 ? &contest->floor : NULL;

	for (int i = 0; i < contest->nprobes; i++)
	{
		Probe	   *probe = &contest->probes[i];

		probe_turn(probe, contest->session, &run->judge, floor, round == 0,
				   run->options->seconds);
		if (round == 0)
			progress(run, "%s probe %d of %d: recall %.4f", contest->method->name, i + 1,
					 contest->nprobes, probe_recall(probe));
	}
}

/*
 * Latencies first, in rounds; then plans and whatever else the mode wants,
 * whose many queries would be in each other's way.
 */
static void
measure_batch(Run *run, const Mode *mode, Contest **batch, int n)
{
	const RunOptions *options = run->options;
	cpu_set_t	unpinned;

	begin_batch(run, batch, n);
	if (options->pin)
		unpinned = pin_client();
	for (int round = 0; round < options->rounds; round++)
	{
		progress(run, "round %d", round + 1);
		for (int i = 0; i < n; i++)
			take_turns(run, batch[i], round);
	}
	if (options->pin)
		sched_setaffinity(0, sizeof(unpinned), &unpinned);
	for (int i = 0; i < n; i++)
	{
		for (int p = 0; p < batch[i]->nprobes; p++)
			probe_explain(&batch[i]->probes[p], batch[i]->session);
		if (mode->finish != NULL)
			mode->finish(run, batch[i], mode->arg);
	}
	end_batch(run, batch, n);
}

/*
 * Take the next batch out of the contests not done: in order, those whose
 * table has no other index in it.
 */
static int
next_batch(Run *run, Contest **batch)
{
	int			n = 0;

	for (int i = 0; i < run->options->nmethods; i++)
	{
		Contest    *contest = &run->contests[i];
		bool		taken = contest->done;

		for (int j = 0; j < n; j++)
			taken = taken || (contest->method->index != NULL &&
							  batch[j]->method->index != NULL &&
							  batch[j]->table == contest->table);
		if (!taken)
			batch[n++] = contest;
	}
	return n;
}

/* The run's table for a column type, loaded at its first use. */
static Table *
table_for(Run *run, const char *type_name)
{
	const RunOptions *options = run->options;

	for (int i = 0; i < run->ntables; i++)
	{
		if (strcmp(run->tables[i]->type->name, type_name) == 0)
			return run->tables[i];
	}
	progress(run, "loading %s", type_name);
	run->tables[run->ntables] = table_provide(run->conn, type_name, options->data,
											  options->queries, options->keep,
											  options->parallel_workers);
	return run->tables[run->ntables++];
}

/* Fill in the conditions, and make room for the figures. */
static void
begin_run(Run *run)
{
	const RunOptions *options = run->options;
	RunReport  *report = &run->report;

	report->data = options->data->name;
	report->rows = options->data->rows;
	report->queries = options->queries->rows;
	report->dim = options->data->dim;
	report->metric = options->base.metric;
	report->k = options->floor;
	report->rounds = options->rounds;
	report->pinned = options->pin;
	report->server = db_value(run->conn, "SELECT 'PostgreSQL ' || current_setting('server_version')");
	report->shared_buffers = db_value(run->conn, "SHOW shared_buffers");

	run->judge = (Judge) {.data = options->data, .queries = options->queries,
		.metric = options->base.metric};
	run->judge.returned_by = xalloc((size_t) options->data->rows, sizeof(int64_t));
	run->tables = xalloc((size_t) options->nmethods, sizeof(Table *));
	run->contests = xalloc((size_t) options->nmethods, sizeof(Contest));
	run->indexes = xalloc((size_t) options->nmethods, sizeof(IndexReport));
}

/* Tie methods to their tables, and let the mode say what it will ask. */
static void
begin_contests(Run *run, const Mode *mode)
{
	for (int i = 0; i < run->options->nmethods; i++)
	{
		Contest    *contest = &run->contests[i];

		contest->method = run->options->methods[i];
		contest->table = table_for(run, contest->method->type_name);
		contest->index = &run->indexes[i];
		contest->index->method = contest->method;
		mode->prepare(run, contest, mode->arg);
	}
}

/* Build, ask, and print. */
void
run_mode(const RunOptions *options, const Mode *mode)
{
	Run			run = {.options = options};
	Contest   **batch = xalloc((size_t) options->nmethods, sizeof(Contest *));
	int			n;

	run.conn = session_connect(&options->base);
	tables_begin(run.conn);
	begin_run(&run);
	begin_contests(&run, mode);
	while ((n = next_batch(&run, batch)) > 0)
		measure_batch(&run, mode, batch, n);

	mode->report(&run, mode->arg);
	for (int i = 0; i < run.ntables && !options->keep; i++)
		table_drop(run.conn, run.tables[i]);
	PQfinish(run.conn);
	free(batch);
}

/* Add a probe to those of a method: a statement, to be asked at a rung of the ladder. */
Probe *
contest_add(Contest *contest, Statement statement, Goal goal, int rung)
{
	const Method *method = contest->method;
	Probe	   *probe;

	contest->probes = xrealloc(contest->probes, (size_t) contest->nprobes + 1, sizeof(Probe));
	probe = &contest->probes[contest->nprobes++];
	*probe = (Probe) {.statement = statement, .goal = goal};
	if (rung != NO_RUNG && method->ladder_name != NULL)
		statement_set(&probe->statement, method->ladder_name, method->ladder[rung]);
	return probe;
}
