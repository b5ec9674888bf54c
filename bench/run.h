/*
 * run.h
 *	  Measuring methods against each other.
 */
#ifndef RUN_H
#define RUN_H

#include "report.h"
#include "session.h"
#include "truth.h"

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
	const int  *client_counts;
	int			nclient_counts;
	bool		keep;
	int			parallel_workers;	/* of the tables; -1: not set */
	bool		pin;			/* latencies with client and backend on one CPU */
	bool		verbose;
	const char *csv;			/* NULL: none */
} RunOptions;

extern void run_methods(const RunOptions *options);

#endif							/* RUN_H */
