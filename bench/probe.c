/*
 * probe.c
 *	  A statement that is timed and whose answers are judged.
 *
 * The first round asks all queries and judges the answers; later ones only add
 * latencies, and stop after a while where a query is slow.
 */
#include <math.h>
#include <stdlib.h>

#include "probe.h"

#define WARMUP_QUERIES	50
#define WARMUP_SECONDS	0.5
#define FLOOR_INTERVAL	4		/* queries between two measurements of the floor */
#define EXPLAIN_QUERIES 20
#define FEWEST_QUERIES	5		/* of a hasty round */

static Goal
goal_alloc(const Truth *truth)
{
	Goal		goal;

	goal.farthest = xalloc((size_t) truth->found.queries, sizeof(double));
	goal.rows = xalloc((size_t) truth->found.queries, sizeof(int));
	return goal;
}

/* The k nearest rows; fewer if there are fewer. */
Goal
goal_nearest(const Truth *truth, int64_t k)
{
	Goal		goal = goal_alloc(truth);
	int			width = truth->found.k;
	int			rows = k < width ? (int) k : width;

	for (int64_t q = 0; q < truth->found.queries; q++)
	{
		goal.rows[q] = rows;
		goal.farthest[q] = rows > 0 ? truth->distances[q * width + rows - 1] : -INFINITY;
	}
	return goal;
}

/* The rows in a radius that is chosen, to hold as many rows or the next number possible. */
Goal
goal_within(const Truth *truth, int64_t rows, double *radii)
{
	Goal		goal = goal_alloc(truth);
	int			width = truth->found.k;

	for (int64_t q = 0; q < truth->found.queries; q++)
	{
		radii[q] = truth_radius(truth->distances + q * width, width, rows, &goal.rows[q]);
		goal.farthest[q] = radii[q];
	}
	return goal;
}

/*
 * Judge an answer.  A row is right if it is no farther than the goal says, by
 * our own computation from its id, so that ties count and the server's
 * rounding does not.
 */
static void
judge_answer(Judge *judge, Probe *probe, int64_t query, const PGresult *answer)
{
	const VectorSet *data = judge->data;
	double		previous = -INFINITY;

	judge->answer++;
	for (int i = 0; i < PQntuples(answer); i++)
	{
		int64_t		row = vectors_find(data, wire_get_int64(PQgetvalue(answer, i, 0)));
		double		distance = probe->statement.distances ?
			wire_get_double(PQgetvalue(answer, i, 1)) : 0;

		if (distance < previous)
			previous = NAN;		/* stays so */
		else if (!isnan(previous))
			previous = distance;
		if (row < 0 || judge->returned_by[row] == judge->answer)
			continue;			/* not a row of ours, or a second time */
		judge->returned_by[row] = judge->answer;
		probe->right += exact_distance(judge->metric, vectors_row(data, row),
									   vectors_row(judge->queries, query), data->dim) <=
			probe->goal.farthest[query];
	}
	probe->asked++;
	probe->wanted += probe->goal.rows[query];
	probe->rows += PQntuples(answer);
	probe->unsorted += isnan(previous);
	probe->incomplete += PQntuples(answer) < probe->goal.rows[query];
}

/* The share of the wanted rows that were returned; NaN if none was wanted. */
double
probe_recall(const Probe *probe)
{
	return probe->wanted > 0 ? (double) probe->right / (double) probe->wanted : NAN;
}

/* A few queries whose time does not count. */
void
probe_warm_up(Session *session)
{
	double		deadline = now_seconds() + WARMUP_SECONDS;

	for (int64_t i = 0; i < WARMUP_QUERIES && now_seconds() < deadline; i++)
		PQclear(session_ask(session, i % session->table->queries));
}

/*
 * The floor, once.  It is asked between a probe's own queries, so that caches
 * and scheduler are in the same mood for both.
 */
static void
measure_floor(Samples *floor, Session *session, int64_t query)
{
	double		start = now_seconds();

	session_floor(session, query);
	samples_add(floor, now_seconds() - start);
}

/*
 * Ask all queries, or those for which there is time; judge the answers of the
 * first round.  The floor is measured unless it is NULL.
 */
void
probe_turn(Probe *probe, Session *session, Judge *judge, Samples *floor, bool first,
		   double seconds)
{
	double		deadline;

	session_set(session, &probe->statement);
	probe_warm_up(session);
	deadline = now_seconds() + seconds;
	for (int64_t query = 0; query < session->table->queries; query++)
	{
		double		start = now_seconds();
		PGresult   *answer;

		if (start > deadline && (!first || (probe->hasty && query >= FEWEST_QUERIES)))
			break;
		answer = session_ask(session, query);
		samples_add(&probe->latencies, now_seconds() - start);
		if (first)
			judge_answer(judge, probe, query, answer);
		PQclear(answer);
		if (floor != NULL && query % FLOOR_INTERVAL == 0)
			measure_floor(floor, session, query);
	}
}

/* The plan, and the median number of pages of a few queries. */
void
probe_explain(Probe *probe, Session *session)
{
	double		deadline = now_seconds() + 4 * WARMUP_SECONDS;
	Samples		pages = {0};

	session_set(session, &probe->statement);
	for (int64_t i = 0; i < EXPLAIN_QUERIES && i < session->table->queries; i++)
	{
		if (i > 0 && now_seconds() > deadline)
			break;
		session_explain(session, i, &probe->plan);
		samples_add(&pages, (double) probe->plan.pages);
	}
	probe->plan.pages = (int64_t) samples_percentile(&pages, 0.5);
	samples_free(&pages);
}
