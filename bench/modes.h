/*
 * modes.h
 *	  Measurements of how queries are planned, and what they have in common.
 */
#ifndef MODES_H
#define MODES_H

#include "contest.h"

/* Ways to answer a query, to which the server can be forced by settings. */
typedef enum Way
{
	WAY_FREE,					/* no force: the planner chooses */
	WAY_INDEX,					/* the index on the vectors */
	WAY_FILTER,					/* another index, and a sort */
	WAY_SCAN					/* sequential scan, and a sort */
} Way;

extern void way_force(Statement *statement, Way way);
extern const char *way_name(Way way);
extern Way	way_taken(const Table *table, const Plan *plan);

extern void require_indexes(const RunOptions *options);
extern void require_ladders(const RunOptions *options);
extern void cells_method(Grid *grid, const Contest *contest, int rung);
extern void cell_recall(Grid *grid, const Probe *probe);
extern void cell_rows(Grid *grid, const Probe *probe);
extern void cells_faults(Grid *grid, const Probe *probe);
extern void cells_latency(Grid *grid, Probe *probe);
extern void cells_plan(Grid *grid, const Contest *contest, const Probe *probe);
extern void cell_ratio(Grid *grid, double ms, double other_ms);
extern double probe_median_ms(Probe *probe);

extern void target_run(const RunOptions *options, const char *setting, NumberList targets,
					   NumberList ks);
extern void limit_run(const RunOptions *options, NumberList limits);
extern void range_run(const RunOptions *options, NumberList counts);
extern void filter_run(const RunOptions *options, int k, NumberList shares, const char *cache,
					   int threads);
extern void filter_mark(VectorSet *data);

#endif							/* MODES_H */
