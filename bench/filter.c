/*
 * filter.c
 *	  Nearest rows among those that meet a condition: is the best plan chosen?
 *
 * Rows are marked by numbers below a million that have nothing to do with the
 * vectors or with the order of rows.  "f < x" selects a share of them, and is
 * part of the statement, where the planner sees it.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "modes.h"

#define MARKS		1000000
#define MARK_STEP	618033		/* no factor in common with MARKS */

static const Way ways[] = {WAY_FREE, WAY_INDEX, WAY_FILTER, WAY_SCAN};

#define NWAYS	4

typedef struct FilterMode
{
	int			k;
	NumberList	shares;
	Truth	  **truths;			/* of each share */
	int64_t    *selected;		/* rows of each share */
} FilterMode;

/* Give each row its mark: any million rows in succession have them all. */
void
filter_mark(VectorSet *data)
{
	data->marks = xalloc((size_t) data->rows, sizeof(int32_t));
	for (int64_t row = 0; row < data->rows; row++)
		data->marks[row] = (int32_t) (row % MARKS * MARK_STEP % MARKS);
}

/* A share's rows have marks below this. */
static int32_t
bound_of(double share)
{
	return (int32_t) (share * MARKS + 0.5);
}

/* The rows whose marks are below a bound.  There is one: the first's is 0. */
static VectorSet *
select_rows(const VectorSet *data, int32_t bound)
{
	VectorSet  *chosen = xalloc(1, sizeof(VectorSet));

	chosen->name = data->name;
	chosen->dim = data->dim;
	for (int64_t row = 0; row < data->rows; row++)
		chosen->rows += data->marks[row] < bound;
	chosen->values = xalloc((size_t) (chosen->rows * data->dim), sizeof(float));
	chosen->rows = 0;
	for (int64_t row = 0; row < data->rows; row++)
	{
		if (data->marks[row] < bound)
			memcpy(chosen->values + chosen->rows++ * data->dim, vectors_row(data, row),
				   (size_t) data->dim * sizeof(float));
	}
	return chosen;
}

/* The exact answers for each share. */
static void
compute_truths(FilterMode *mode, const RunOptions *options, const char *cache, int threads)
{
	mode->truths = xalloc((size_t) mode->shares.n, sizeof(Truth *));
	mode->selected = xalloc((size_t) mode->shares.n, sizeof(int64_t));
	for (int i = 0; i < mode->shares.n; i++)
	{
		VectorSet  *chosen = select_rows(options->data, bound_of(mode->shares.values[i]));

		mode->truths[i] = truth_cached(cache, chosen, options->queries, options->base.metric,
									   mode->k, threads);
		mode->selected[i] = chosen->rows;
		free(chosen->values);
		free(chosen);
	}
}

static void
prepare(Run *run, Contest *contest, void *arg)
{
	const FilterMode *mode = arg;

	for (int rung = 0; rung < contest->method->nladder; rung++)
	{
		for (int i = 0; i < mode->shares.n; i++)
		{
			char	   *condition = xprintf("f < %d", bound_of(mode->shares.values[i]));
			Goal		goal = goal_nearest(mode->truths[i], mode->k);

			for (int way = 0; way < NWAYS; way++)
			{
				Statement	statement = statement_nearest(&run->options->base, contest->table,
														  condition, mode->k);
				Probe	   *probe = contest_add(contest, statement, goal, rung);

				probe->hasty = true;
				way_force(&probe->statement, ways[way]);
			}
			free(condition);
		}
	}
}

/* The ways to answer for a share. */
static void
report_group(Grid *grid, const FilterMode *mode, const Contest *contest, int rung, int share,
			 Probe *probes)
{
	double		best_ms = INFINITY;

	for (int way = 0; way < NWAYS; way++)
		best_ms = fmin(best_ms, probe_median_ms(&probes[way]));
	for (int way = 0; way < NWAYS; way++)
	{
		Probe	   *probe = &probes[way];

		cells_method(grid, contest, rung);
		grid_cell(grid, "%s", way_name(ways[way]));
		grid_cell(grid, "%.6f", mode->shares.values[share]);
		grid_cell(grid, "%lld", (long long) mode->selected[share]);
		cell_rows(grid, probe);
		cells_faults(grid, probe);
		cell_recall(grid, probe);
		cells_latency(grid, probe);
		cell_ratio(grid, probe_median_ms(probe), best_ms);
		cells_plan(grid, contest, probe);
	}
}

static void
report(Run *run, void *arg)
{
	static const char *const titles[] = {"method", "setting", "by", "share", "selected", "rows",
		"short", "unsorted", "recall", "median ms", "p99 ms", "x best", "pages", "plan", "node"};
	const FilterMode *mode = arg;
	Grid		grid = {0};

	grid_titles(&grid, titles, 15);
	for (int c = 0; c < run->options->nmethods; c++)
	{
		Contest    *contest = &run->contests[c];

		for (int i = 0; i < contest->nprobes; i += NWAYS)
		{
			int			group = i / NWAYS;

			report_group(&grid, mode, contest, group / mode->shares.n, group % mode->shares.n,
						 &contest->probes[i]);
		}
	}
	report_grid(&run->report, run->indexes, run->options->nmethods, &grid, 3,
				run->options->csv);
}

/*
 * Ask for the nearest k rows of each share.  The data must be marked; exact
 * answers are cached as those to all rows are.
 */
void
filter_run(const RunOptions *options, int k, NumberList shares, const char *cache, int threads)
{
	FilterMode	arg = {.k = k, .shares = shares};
	Mode		mode = {prepare, NULL, report, &arg};

	compute_truths(&arg, options, cache, threads);
	run_mode(options, &mode);
}
