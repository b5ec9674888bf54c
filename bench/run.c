/*
 * run.c
 *	  Measuring methods against each other.
 *
 * Machines are noisy, so methods take turns: their indexes are all built
 * first, then each round asks every method at every setting once.  Two indexes
 * on one table cannot take turns, as the planner would choose between them;
 * methods are therefore gathered in batches in which each has a table to
 * itself.  Exact search uses no index and fits in everywhere.
 *
 * The first round asks all queries and judges the answers; later ones only add
 * latencies, and stop after a while where a query is slow.
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

#define WARMUP_QUERIES	50
#define WARMUP_SECONDS	0.5
#define FLOOR_INTERVAL	4		/* queries between two measurements of the floor */
#define EXPLAIN_QUERIES 20

/* Latencies, in seconds. */
typedef struct Samples
{
	double	   *values;
	int64_t		count;
	int64_t		capacity;
} Samples;

/* A method while it is measured. */
typedef struct Contest
{
	const Method *method;
	const Table *table;
	IndexReport *index;
	SettingReport *settings;	/* one per rung */
	Samples    *latencies;		/* one per rung */
	Samples		floor;			/* asked between the queries */
	Session    *session;
	bool		done;			/* in an earlier batch */
} Contest;

typedef struct Run
{
	/* Unchanging. */
	const RunOptions *options;
	PGconn	   *conn;			/* for everything but queries */
	RunReport	report;
	IndexReport *indexes;		/* one per method */
	SettingReport *settings;	/* of all methods, one after another */
	int			nsettings;
	Contest    *contests;		/* one per method */
	Table	  **tables;			/* one per column type */
	int			ntables;

	/* For judging: the query that last returned a row, plus one. */
	int64_t    *returned_by;
} Run;

/* With --verbose, say what is being done. */
static void __attribute__((format(printf, 2, 3)))
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

static void
add_sample(Samples *samples, double value)
{
	if (samples->count == samples->capacity)
	{
		samples->capacity = samples->capacity ? samples->capacity * 2 : 1024;
		samples->values = xrealloc(samples->values, (size_t) samples->capacity, sizeof(double));
	}
	samples->values[samples->count++] = value;
}

static int
compare_doubles(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

/* The smallest sample that a share of all does not exceed, in milliseconds. */
static double
percentile_ms(Samples *samples, double share)
{
	int64_t		rank = (int64_t) ceil(share * (double) samples->count);

	qsort(samples->values, (size_t) samples->count, sizeof(double), compare_doubles);
	return samples->values[rank < 1 ? 0 : rank - 1] * 1000;
}

/*
 * Judge an answer: how many of its rows are right.  A row is right if it is no
 * farther than the k-th of the truth, by our own computation from its id, so
 * that ties count and the server's rounding does not.
 */
static int
judge(Run *run, SettingReport *setting, int64_t query, const PGresult *answer)
{
	const RunOptions *options = run->options;
	const Truth *truth = options->truth;
	const VectorSet *data = options->data;
	int			wanted = options->base.k < data->rows ? options->base.k : (int) data->rows;
	double		limit = truth->distances[query * truth->found.k + wanted - 1];
	double		previous = -INFINITY;
	int			right = 0;

	for (int i = 0; i < PQntuples(answer); i++)
	{
		int64_t		row = vectors_find(data, wire_get_int64(PQgetvalue(answer, i, 0)));
		double		distance = options->base.ids_only ? 0 : wire_get_double(PQgetvalue(answer, i, 1));

		if (distance < previous)
			previous = NAN;		/* stays so */
		else if (!isnan(previous))
			previous = distance;
		if (row < 0 || run->returned_by[row] == query + 1)
			continue;			/* not a row of ours, or a second time */
		run->returned_by[row] = query + 1;
		right += exact_distance(truth->metric, vectors_row(data, row),
								vectors_row(options->queries, query), data->dim) <= limit;
	}
	setting->unsorted += isnan(previous);
	setting->incomplete += PQntuples(answer) < wanted;
	return right;
}

/* A few queries whose time does not count. */
static void
warm_up(Session *session)
{
	double		deadline = now_seconds() + WARMUP_SECONDS;

	for (int64_t i = 0; i < WARMUP_QUERIES && now_seconds() < deadline; i++)
		PQclear(session_ask(session, i % session->table->queries));
}

/*
 * The floor, once.  It is asked between a method's own queries, so that caches
 * and scheduler are in the same mood for both.
 */
static void
measure_floor(Contest *contest, int64_t query)
{
	double		start = now_seconds();

	session_floor(contest->session, query);
	add_sample(&contest->floor, now_seconds() - start);
}

/* Ask all queries at one rung, in the first round judging the answers. */
static void
measure_rung(Run *run, Contest *contest, int rung, int round)
{
	SettingReport *setting = &contest->settings[rung];
	double		deadline = now_seconds() + run->options->seconds;
	int64_t		right = 0;
	int64_t		asked = 0;

	session_set(contest->session, rung);
	warm_up(contest->session);
	memset(run->returned_by, 0, (size_t) run->options->data->rows * sizeof(int64_t));
	for (; asked < run->options->queries->rows; asked++)
	{
		double		start = now_seconds();
		PGresult   *answer;

		if (round > 0 && start > deadline)
			break;
		answer = session_ask(contest->session, asked);
		add_sample(&contest->latencies[rung], now_seconds() - start);
		if (round == 0)
			right += judge(run, setting, asked, answer);
		PQclear(answer);
		if (asked % FLOOR_INTERVAL == 0)
			measure_floor(contest, asked);
	}
	if (round == 0)
	{
		int64_t		wanted = run->report.k < run->report.rows ? run->report.k : run->report.rows;

		setting->recall = (double) right / ((double) asked * (double) wanted);
		progress(run, "%s rung %d: recall %.4f", contest->method->name, rung + 1,
				 setting->recall);
	}
}

/* Throughput: each client is a thread with a connection of its own. */
typedef struct Crowd
{
	const Run  *run;
	const Contest *contest;
	int			rung;
	int			clients;
	pthread_barrier_t ready;
	double	   *rates;			/* queries per second, of each client */
} Crowd;

/*
 * A client: get ready, wait for the others, then ask without pause.  Clients
 * start at different queries, so that they do not share fresh caches.
 */
static void
client_work(void *arg, int client)
{
	Crowd	   *crowd = arg;
	const RunOptions *options = crowd->run->options;
	Session    *session = session_open(&options->base, crowd->contest->method,
									   crowd->contest->table);
	int64_t		queries = options->queries->rows;
	int64_t		query = queries * client / crowd->clients;
	int64_t		asked = 0;
	double		start;
	double		now;

	session_set(session, crowd->rung);
	warm_up(session);
	pthread_barrier_wait(&crowd->ready);
	start = now_seconds();
	do
	{
		PQclear(session_ask(session, query));
		query = (query + 1) % queries;
		asked++;
		now = now_seconds();
	} while (now - start < options->seconds);
	crowd->rates[client] = (double) asked / (now - start);
	session_close(session);
}

/* Queries per second of so many clients together. */
static double
measure_throughput(const Run *run, const Contest *contest, int rung, int clients)
{
	Crowd		crowd = {.run = run, .contest = contest, .rung = rung, .clients = clients};
	double		sum = 0;

	crowd.rates = xalloc((size_t) clients, sizeof(double));
	pthread_barrier_init(&crowd.ready, NULL, (unsigned) clients);
	run_threads(clients, client_work, &crowd);
	pthread_barrier_destroy(&crowd.ready);
	for (int i = 0; i < clients; i++)
		sum += crowd.rates[i];
	free(crowd.rates);
	return sum;
}

/* The median number of pages of a few queries, and their plan. */
static void
measure_pages(Contest *contest, int rung)
{
	SettingReport *setting = &contest->settings[rung];
	double		deadline = now_seconds() + 4 * WARMUP_SECONDS;
	Samples		pages = {0};
	char	   *plan = NULL;

	session_set(contest->session, rung);
	for (int64_t i = 0; i < EXPLAIN_QUERIES && i < contest->table->queries; i++)
	{
		if (i > 0 && now_seconds() > deadline)
			break;
		add_sample(&pages, (double) session_explain(contest->session, i, &plan) / 1000);
	}
	setting->pages = (int64_t) (percentile_ms(&pages, 0.5) + 0.5);
	setting->plan = plan;
	free(pages.values);
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
		if (run->options->pin)
			session_pin(batch[i]->session);
	}
}

/* Sum up the latencies, and make room for the next batch's indexes. */
static void
end_batch(Run *run, Contest **batch, int n)
{
	for (int i = 0; i < n; i++)
	{
		Contest    *contest = batch[i];

		session_close(contest->session);
		contest->done = true;
		contest->index->floor_ms = percentile_ms(&contest->floor, 0.5);
		for (int rung = 0; rung < contest->method->nladder; rung++)
		{
			SettingReport *setting = &contest->settings[rung];

			setting->median_ms = percentile_ms(&contest->latencies[rung], 0.5);
			setting->p99_ms = percentile_ms(&contest->latencies[rung], 0.99);
		}
		if (contest->method->index != NULL)
			table_drop_index(run->conn, contest->table);
	}
}

/*
 * Latencies first, in rounds; then pages and throughput, whose many queries
 * would be in each other's way.
 */
static void
measure_batch(Run *run, Contest **batch, int n)
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
		{
			for (int rung = 0; rung < batch[i]->method->nladder; rung++)
				measure_rung(run, batch[i], rung, round);
		}
	}
	if (options->pin)
		sched_setaffinity(0, sizeof(unpinned), &unpinned);
	for (int i = 0; i < n; i++)
	{
		for (int rung = 0; rung < batch[i]->method->nladder; rung++)
		{
			SettingReport *setting = &batch[i]->settings[rung];

			measure_pages(batch[i], rung);
			for (int c = 0; c < options->nclient_counts; c++)
				setting->qps[c] = measure_throughput(run, batch[i], rung,
													 options->client_counts[c]);
		}
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
	report->k = options->base.k;
	report->rounds = options->rounds;
	report->pinned = options->pin;
	report->nclient_counts = options->nclient_counts;
	for (int i = 0; i < options->nclient_counts; i++)
		report->client_counts[i] = options->client_counts[i];
	report->server = db_value(run->conn, "SELECT 'PostgreSQL ' || current_setting('server_version')");
	report->shared_buffers = db_value(run->conn, "SHOW shared_buffers");

	run->returned_by = xalloc((size_t) options->data->rows, sizeof(int64_t));
	run->tables = xalloc((size_t) options->nmethods, sizeof(Table *));
	run->contests = xalloc((size_t) options->nmethods, sizeof(Contest));
	run->indexes = xalloc((size_t) options->nmethods, sizeof(IndexReport));
	for (int i = 0; i < options->nmethods; i++)
		run->nsettings += options->methods[i]->nladder;
	run->settings = xalloc((size_t) run->nsettings, sizeof(SettingReport));
}

/* Tie methods to their tables and to their places in the report. */
static void
begin_contests(Run *run)
{
	SettingReport *next = run->settings;

	for (int i = 0; i < run->options->nmethods; i++)
	{
		const Method *method = run->options->methods[i];
		Contest    *contest = &run->contests[i];

		contest->method = method;
		contest->table = table_for(run, method->type_name);
		contest->index = &run->indexes[i];
		contest->index->method = method;
		contest->settings = next;
		contest->latencies = xalloc((size_t) method->nladder, sizeof(Samples));
		for (int rung = 0; rung < method->nladder; rung++, next++)
		{
			next->index = contest->index;
			next->setting = method->ladder[rung];
		}
	}
}

/* Build, ask, and print. */
void
run_methods(const RunOptions *options)
{
	Run			run = {.options = options};
	Contest   **batch = xalloc((size_t) options->nmethods, sizeof(Contest *));
	int			n;

	run.conn = session_connect(&options->base);
	tables_begin(run.conn);
	begin_run(&run);
	begin_contests(&run);
	while ((n = next_batch(&run, batch)) > 0)
		measure_batch(&run, batch, n);

	report_table(&run.report, run.indexes, options->nmethods, run.settings, run.nsettings);
	if (options->csv != NULL)
		report_csv(options->csv, &run.report, run.settings, run.nsettings);
	for (int i = 0; i < run.ntables && !options->keep; i++)
		table_drop(run.conn, run.tables[i]);
	PQfinish(run.conn);
	free(batch);
}
