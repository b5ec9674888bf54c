/*
 * run.c
 *	  Measuring methods against each other at a number of rows.
 *
 * Each rung of a method's ladder is a probe; throughput comes in addition.
 */
#include <pthread.h>
#include <stdlib.h>

#include "run.h"

typedef struct RunMode
{
	int			k;
	NumberList	clients;
	SettingReport *settings;	/* of all methods, one after another */
	int			nsettings;
} RunMode;

/* A probe for each rung, and its place in the report. */
static void
prepare(Run *run, Contest *contest, void *arg)
{
	RunMode    *mode = arg;
	int			n = contest->method->nladder;
	Goal		goal = goal_nearest(run->options->truth, mode->k);

	mode->settings = xrealloc(mode->settings, (size_t) (mode->nsettings + n),
							  sizeof(SettingReport));
	for (int rung = 0; rung < n; rung++)
	{
		contest_add(contest, statement_nearest(&run->options->base, contest->table, NULL,
											   mode->k), goal, rung);
		mode->settings[mode->nsettings++] = (SettingReport) {.index = contest->index,
			.setting = contest->method->ladder[rung]};
	}
}

/* Throughput: each client is a thread with a connection of its own. */
typedef struct Crowd
{
	const Run  *run;
	const Contest *contest;
	const Probe *probe;
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

	session_set(session, &crowd->probe->statement);
	probe_warm_up(session);
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
measure_throughput(const Run *run, const Contest *contest, const Probe *probe, int clients)
{
	Crowd		crowd = {.run = run, .contest = contest, .probe = probe, .clients = clients};
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

/* Where a method's figures begin in the report. */
static SettingReport *
settings_of(const RunMode *mode, const Contest *contest)
{
	SettingReport *setting = mode->settings;

	while (setting->index != contest->index)
		setting++;
	return setting;
}

/* Throughput, and what the rounds found. */
static void
finish(Run *run, Contest *contest, void *arg)
{
	RunMode    *mode = arg;
	SettingReport *setting = settings_of(mode, contest);

	for (int i = 0; i < contest->nprobes; i++, setting++)
	{
		Probe	   *probe = &contest->probes[i];

		setting->recall = probe_recall(probe);
		setting->unsorted = probe->unsorted;
		setting->incomplete = probe->incomplete;
		setting->median_ms = samples_percentile_ms(&probe->latencies, 0.5);
		setting->p99_ms = samples_percentile_ms(&probe->latencies, 0.99);
		setting->pages = probe->plan.pages;
		setting->plan = probe->plan.node;
		for (int c = 0; c < mode->clients.n; c++)
			setting->qps[c] = measure_throughput(run, contest, probe,
												 (int) mode->clients.values[c]);
	}
}

static void
report(Run *run, void *arg)
{
	RunMode    *mode = arg;

	run->report.nclient_counts = mode->clients.n;
	for (int i = 0; i < mode->clients.n; i++)
		run->report.client_counts[i] = (int) mode->clients.values[i];
	report_table(&run->report, run->indexes, run->options->nmethods, mode->settings,
				 mode->nsettings);
	if (run->options->csv != NULL)
		report_csv(run->options->csv, &run->report, mode->settings, mode->nsettings);
}

/* Measure each method at each of its settings; print what was found. */
void
run_methods(const RunOptions *options, int k, NumberList clients)
{
	RunMode		arg = {.k = k, .clients = clients};
	Mode		mode = {prepare, finish, report, &arg};

	run_mode(options, &mode);
}
