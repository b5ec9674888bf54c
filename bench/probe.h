/*
 * probe.h
 *	  A statement that is timed and whose answers are judged.
 */
#ifndef PROBE_H
#define PROBE_H

#include "samples.h"
#include "session.h"
#include "truth.h"

/* What a query's answer shall be: so many rows, none of them farther. */
typedef struct Goal
{
	double	   *farthest;		/* of each query */
	int		   *rows;
} Goal;

extern Goal goal_nearest(const Truth *truth, int64_t k);
extern Goal goal_within(const Truth *truth, int64_t rows, double *radii);

/* What answers are judged by. */
typedef struct Judge
{
	/* Unchanging. */
	const VectorSet *data;
	const VectorSet *queries;
	Metric		metric;

	/* Mutable: which answer a row was last in, and the number of this one. */
	int64_t    *returned_by;
	int64_t		answer;
} Judge;

typedef struct Probe
{
	/* Unchanging. */
	Statement	statement;
	Goal		goal;
	bool		hasty;			/* the first round ends early, too, if it is slow */

	/* What came of it. */
	Samples		latencies;		/* seconds */
	int64_t		asked;			/* answers that were judged */
	int64_t		wanted;			/* rows they should have had */
	int64_t		rows;			/* rows they had */
	int64_t		right;
	int64_t		unsorted;		/* answers out of order */
	int64_t		incomplete;		/* answers of too few rows */
	Plan		plan;			/* pages: the median */
} Probe;

extern double probe_recall(const Probe *probe);
extern void probe_warm_up(Session *session);
extern void probe_turn(Probe *probe, Session *session, Judge *judge, Samples *floor,
					   bool first, double seconds);
extern void probe_explain(Probe *probe, Session *session);

#endif							/* PROBE_H */
