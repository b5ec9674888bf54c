/*
 * report.h
 *	  What a run found, and how it is printed.
 */
#ifndef REPORT_H
#define REPORT_H

#include "grid.h"
#include "method.h"
#include "table.h"

#define MAX_CLIENT_COUNTS	8

/* The data and the conditions, the same for all methods. */
typedef struct RunReport
{
	const char *data;
	int64_t		rows;
	int64_t		queries;
	int			dim;
	Metric		metric;
	int			k;
	const char *server;
	const char *shared_buffers;
	int			rounds;
	bool		pinned;
	int			client_counts[MAX_CLIENT_COUNTS];
	int			nclient_counts;
} RunReport;

typedef struct IndexReport
{
	const Method *method;
	BuildCost	cost;
	int64_t		bytes;
	double		floor_ms;
} IndexReport;

/* One method at one setting. */
typedef struct SettingReport
{
	const IndexReport *index;
	const char *setting;		/* NULL if the method has no ladder */
	double		recall;
	int64_t		unsorted;		/* answers out of order */
	int64_t		incomplete;		/* answers of fewer than k rows */
	double		median_ms;
	double		p99_ms;
	double		qps[MAX_CLIENT_COUNTS];
	int64_t		pages;
	const char *plan;
} SettingReport;

extern void report_table(const RunReport *run, const IndexReport *indexes, int nindexes,
						 const SettingReport *settings, int nsettings);
extern void report_csv(const char *path, const RunReport *run,
					   const SettingReport *settings, int nsettings);
extern void report_grid(const RunReport *run, const IndexReport *indexes, int nindexes,
						Grid *grid, int left, const char *path);

#endif							/* REPORT_H */
