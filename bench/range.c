/*
 * range.c
 *	  All rows nearer than a radius: found, and sooner than by a scan?
 *
 * Each query has a radius of its own, so that all have as many rows to find.
 */
#include "modes.h"

static const Way ways[] = {WAY_FREE, WAY_INDEX, WAY_SCAN};

#define NWAYS	3

static void
prepare(Run *run, Contest *contest, void *arg)
{
	const NumberList *counts = arg;
	const RunOptions *options = run->options;

	for (int rung = 0; rung < contest->method->nladder; rung++)
	{
		for (int i = 0; i < counts->n; i++)
		{
			double	   *radii = xalloc((size_t) options->queries->rows, sizeof(double));
			Goal		goal = goal_within(options->truth, (int64_t) counts->values[i], radii);

			for (int way = 0; way < NWAYS; way++)
			{
				Probe	   *probe = contest_add(contest, statement_within(&options->base,
																		  contest->table, radii),
												goal, rung);

				probe->hasty = true;
				way_force(&probe->statement, ways[way]);
			}
		}
	}
}

/* The ways to find so many rows. */
static void
report_group(Grid *grid, const Contest *contest, int rung, double count, Probe *probes)
{
	double		scan_ms = probe_median_ms(&probes[NWAYS - 1]);

	for (int way = 0; way < NWAYS; way++)
	{
		Probe	   *probe = &probes[way];

		cells_method(grid, contest, rung);
		grid_cell(grid, "%s", way_name(ways[way]));
		grid_cell(grid, "%.0f", count);
		cell_rows(grid, probe);
		cell_recall(grid, probe);
		cells_latency(grid, probe);
		cell_ratio(grid, probe_median_ms(probe), scan_ms);
		cells_plan(grid, contest, probe);
	}
}

static void
report(Run *run, void *arg)
{
	static const char *const titles[] = {"method", "setting", "by", "wanted", "rows", "recall",
		"median ms", "p99 ms", "x scan", "pages", "plan", "node"};
	const NumberList *counts = arg;
	Grid		grid = {0};

	grid_titles(&grid, titles, 12);
	for (int c = 0; c < run->options->nmethods; c++)
	{
		Contest    *contest = &run->contests[c];

		for (int i = 0; i < contest->nprobes; i += NWAYS)
		{
			int			group = i / NWAYS;

			report_group(&grid, contest, group / counts->n, counts->values[group % counts->n],
						 &contest->probes[i]);
		}
	}
	report_grid(&run->report, run->indexes, run->options->nmethods, &grid, 3,
				run->options->csv);
}

/* Ask for the rows in a radius that has so many of them. */
void
range_run(const RunOptions *options, NumberList counts)
{
	Mode		mode = {prepare, NULL, report, &counts};

	run_mode(options, &mode);
}
