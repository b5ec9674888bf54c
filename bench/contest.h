/*
 * contest.h
 *	  Methods that take turns at being measured.
 */
#ifndef CONTEST_H
#define CONTEST_H

#include "probe.h"
#include "report.h"

#define NO_RUNG	(-1)

typedef struct RunOptions
{
	SessionBase base;
	const VectorSet *data;
	const VectorSet *queries;
	const Truth *truth;
	const Method **methods;
	int			nmethods;
	int			rounds;
	double		seconds;		/* limit of a later round; of a throughput test */
	int			floor;			/* rows of the floor; 0: it is not measured */
	bool		keep;
	int			parallel_workers;	/* of the tables; -1: not set */
	bool		pin;			/* latencies with client and backend on one CPU */
	bool		verbose;
	const char *csv;			/* NULL: none */
} RunOptions;

/* A method while it is measured. */
typedef struct Contest
{
	const Method *method;
	const Table *table;
	IndexReport *index;
	Probe	   *probes;			/* made by the mode */
	int			nprobes;
	Samples		floor;			/* asked between the queries */
	Session    *session;		/* open while its batch is measured */
	bool		done;			/* in an earlier batch */
} Contest;

typedef struct Run
{
	/* Unchanging. */
	const RunOptions *options;
	PGconn	   *conn;			/* for everything but queries */
	RunReport	report;
	IndexReport *indexes;		/* one per method */
	Contest    *contests;		/* one per method */
	Table	  **tables;			/* one per column type */
	int			ntables;

	Judge		judge;
} Run;

/* The parts of a measurement that differ; 'arg' is passed through. */
typedef struct Mode
{
	void		(*prepare) (Run *run, Contest *contest, void *arg); /* make the probes */
	void		(*finish) (Run *run, Contest *contest, void *arg);	/* after the rounds; or NULL */
	void		(*report) (Run *run, void *arg);
	void	   *arg;
} Mode;

extern void run_mode(const RunOptions *options, const Mode *mode);
extern Probe *contest_add(Contest *contest, Statement statement, Goal goal, int rung);
extern void __attribute__((format(printf, 2, 3))) progress(const Run *run, const char *fmt,...);

#endif							/* CONTEST_H */
