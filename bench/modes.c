/*
 * modes.c
 *	  What measurements of how queries are planned have in common.
 */
#include <math.h>
#include <string.h>

#include "modes.h"

static const char *const way_names[] = {
	[WAY_FREE] = "free",
	[WAY_INDEX] = "index",
	[WAY_FILTER] = "filter",
	[WAY_SCAN] = "scan",
};

/* Switch off what leads elsewhere. */
void
way_force(Statement *statement, Way way)
{
	static const char *const off[][3] = {
		[WAY_FREE] = {NULL},
		[WAY_INDEX] = {"enable_seqscan", "enable_bitmapscan", "enable_sort"},
		[WAY_FILTER] = {"enable_seqscan", "enable_indexscan", NULL},
		[WAY_SCAN] = {"enable_indexscan", "enable_bitmapscan", NULL},
	};

	for (int i = 0; i < 3 && off[way][i] != NULL; i++)
		statement_set(statement, off[way][i], "off");
}

const char *
way_name(Way way)
{
	return way_names[way];
}

/* The way that a plan goes. */
Way
way_taken(const Table *table, const Plan *plan)
{
	if (plan->index == NULL)
		return WAY_SCAN;
	return strcmp(plan->index, table->index_name) == 0 ? WAY_INDEX : WAY_FILTER;
}

/* The other ways are measured anyway, so that "exact" would be one twice. */
void
require_indexes(const RunOptions *options)
{
	for (int i = 0; i < options->nmethods; i++)
	{
		if (options->methods[i]->index == NULL)
			usage_error("method \"%s\": this takes only methods with an index, \"USING ...\"",
						options->methods[i]->name);
	}
}

void
require_ladders(const RunOptions *options)
{
	for (int i = 0; i < options->nmethods; i++)
	{
		if (options->methods[i]->ladder_name == NULL)
			usage_error("method \"%s\": no setting has a list of values to compare with",
						options->methods[i]->name);
	}
}

/* Which method, at which setting. */
void
cells_method(Grid *grid, const Contest *contest, int rung)
{
	const Method *method = contest->method;
	char	   *label = assignment_label(method->ladder_name, method->ladder[rung]);

	grid_row(grid);
	grid_cell(grid, "%s", method->name);
	grid_cell(grid, "%s", label);
}

void
cell_recall(Grid *grid, const Probe *probe)
{
	if (isnan(probe_recall(probe)))
		grid_cell(grid, "-");
	else
		grid_cell(grid, "%.4f", probe_recall(probe));
}

/* Rows of an answer, on average; a whole number where all have as many. */
void
cell_rows(Grid *grid, const Probe *probe)
{
	grid_cell(grid, probe->rows % probe->asked == 0 ? "%.0f" : "%.2f",
			  (double) probe->rows / (double) probe->asked);
}

/* What should not be: answers of too few rows, and out of order. */
void
cells_faults(Grid *grid, const Probe *probe)
{
	grid_cell(grid, "%lld", (long long) probe->incomplete);
	if (probe->statement.distances)
		grid_cell(grid, "%lld", (long long) probe->unsorted);
	else
		grid_cell(grid, "-");
}

double
probe_median_ms(Probe *probe)
{
	return samples_percentile_ms(&probe->latencies, 0.5);
}

void
cells_latency(Grid *grid, Probe *probe)
{
	grid_cell(grid, "%.3f", probe_median_ms(probe));
	grid_cell(grid, "%.3f", samples_percentile_ms(&probe->latencies, 0.99));
}

/* How many pages, which way, by what. */
void
cells_plan(Grid *grid, const Contest *contest, const Probe *probe)
{
	grid_cell(grid, "%lld", (long long) probe->plan.pages);
	grid_cell(grid, "%s", way_name(way_taken(contest->table, &probe->plan)));
	grid_cell(grid, "%s", probe->plan.node);
}

/* One latency as a multiple of another; NaN if there is none. */
void
cell_ratio(Grid *grid, double ms, double other_ms)
{
	if (isnan(other_ms))
		grid_cell(grid, "-");
	else
		grid_cell(grid, "%.2f", ms / other_ms);
}
