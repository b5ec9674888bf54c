/*
 * limit.c
 *	  Does every LIMIT get its rows, and what are they worth?
 */
#include "modes.h"

static void
prepare(Run *run, Contest *contest, void *arg)
{
	const NumberList *limits = arg;

	for (int rung = 0; rung < contest->method->nladder; rung++)
	{
		for (int i = 0; i < limits->n; i++)
		{
			int64_t		limit = (int64_t) limits->values[i];

			contest_add(contest, statement_nearest(&run->options->base, contest->table, NULL,
												   limit),
						goal_nearest(run->options->truth, limit), rung);
		}
	}
}

static void
report(Run *run, void *arg)
{
	static const char *const titles[] = {"method", "setting", "limit", "rows", "short", "unsorted",
		"recall", "median ms", "p99 ms", "pages", "plan", "node"};
	const NumberList *limits = arg;
	Grid		grid = {0};

	grid_titles(&grid, titles, 12);
	for (int c = 0; c < run->options->nmethods; c++)
	{
		Contest    *contest = &run->contests[c];

		for (int i = 0; i < contest->nprobes; i++)
		{
			Probe	   *probe = &contest->probes[i];

			cells_method(&grid, contest, i / limits->n);
			grid_cell(&grid, "%.0f", limits->values[i % limits->n]);
			cell_rows(&grid, probe);
			cells_faults(&grid, probe);
			cell_recall(&grid, probe);
			cells_latency(&grid, probe);
			cells_plan(&grid, contest, probe);
		}
	}
	report_grid(&run->report, run->indexes, run->options->nmethods, &grid, 2,
				run->options->csv);
}

/* Ask for so many rows, with nothing set but what the method says. */
void
limit_run(const RunOptions *options, NumberList limits)
{
	Mode		mode = {prepare, NULL, report, &limits};

	run_mode(options, &mode);
}
