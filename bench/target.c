/*
 * target.c
 *	  Is a recall that is asked for reached, and at which price?
 *
 * Each number of rows has the rungs of the method's ladder as probes and then
 * the targets.  The ladder tells what the recall got would cost with the best
 * fixed setting.
 */
#include <math.h>
#include <stdlib.h>

#include "curve.h"
#include "modes.h"

typedef struct TargetMode
{
	const char *setting;
	NumberList	targets;
	NumberList	ks;
} TargetMode;

static void
prepare(Run *run, Contest *contest, void *arg)
{
	const TargetMode *mode = arg;
	const SessionBase *base = &run->options->base;

	for (int i = 0; i < mode->ks.n; i++)
	{
		int64_t		k = (int64_t) mode->ks.values[i];
		Goal		goal = goal_nearest(run->options->truth, k);

		for (int rung = 0; rung < contest->method->nladder; rung++)
			contest_add(contest, statement_nearest(base, contest->table, NULL, k), goal, rung);
		for (int t = 0; t < mode->targets.n; t++)
		{
			Probe	   *probe = contest_add(contest, statement_nearest(base, contest->table, NULL, k),
											goal, NO_RUNG);

			statement_set(&probe->statement, mode->setting,
						  xprintf("%g", mode->targets.values[t]));
		}
	}
}

/* "14..20": between which settings of the ladder. */
static void
cell_place(Grid *grid, const Method *method, CurvePlace place)
{
	if (place.last < 0)
		grid_cell(grid, "none");
	else if (place.first < 0)
		grid_cell(grid, "..%s", method->ladder[place.last]);
	else if (place.first == place.last)
		grid_cell(grid, "%s", method->ladder[place.last]);
	else
		grid_cell(grid, "%s..%s", method->ladder[place.first], method->ladder[place.last]);
}

/* A probe and, if it is a target, what a fixed setting would do. */
static void
report_probe(Grid *grid, const Contest *contest, int64_t k, Probe *probe, const char *asked,
			 const CurvePoint *curve)
{
	const Method *method = contest->method;
	const Assignment *setting = &probe->statement.settings[0];
	CurvePlace	place = {-1, -1};
	double		fixed_ms = NAN;

	grid_row(grid);
	grid_cell(grid, "%s", method->name);
	grid_cell(grid, "%s", assignment_label(setting->name, setting->value));
	grid_cell(grid, "%lld", (long long) k);
	grid_cell(grid, "%s", asked);
	cell_recall(grid, probe);
	cells_faults(grid, probe);
	cells_latency(grid, probe);
	grid_cell(grid, "%lld", (long long) probe->plan.pages);
	if (curve != NULL)
		fixed_ms = curve_fastest(curve, method->nladder, probe_recall(probe), &place);
	if (isnan(fixed_ms))
		grid_cell(grid, "-");
	else
		grid_cell(grid, "%.3f", fixed_ms);
	cell_ratio(grid, probe_median_ms(probe), fixed_ms);
	if (curve == NULL)
		grid_cell(grid, "-");
	else
		cell_place(grid, method, place);
}

/* A number of rows: the ladder, then the targets. */
static void
report_group(Grid *grid, const TargetMode *mode, const Contest *contest, int group)
{
	int			rungs = contest->method->nladder;
	int64_t		k = (int64_t) mode->ks.values[group];
	Probe	   *probes = contest->probes + group * (rungs + mode->targets.n);
	CurvePoint *curve = xalloc((size_t) rungs, sizeof(CurvePoint));

	for (int i = 0; i < rungs; i++)
	{
		curve[i] = (CurvePoint) {probe_recall(&probes[i]), probe_median_ms(&probes[i])};
		report_probe(grid, contest, k, &probes[i], "-", NULL);
	}
	for (int i = 0; i < mode->targets.n; i++)
		report_probe(grid, contest, k, &probes[rungs + i],
					 probes[rungs + i].statement.settings[0].value, curve);
	free(curve);
}

static void
report(Run *run, void *arg)
{
	static const char *const titles[] = {"method", "setting", "k", "asked", "recall", "short",
		"unsorted", "median ms", "p99 ms", "pages", "fixed ms", "x fixed", "fixed at"};
	const TargetMode *mode = arg;
	Grid		grid = {0};

	grid_titles(&grid, titles, 13);
	for (int i = 0; i < run->options->nmethods; i++)
	{
		for (int group = 0; group < mode->ks.n; group++)
			report_group(&grid, mode, &run->contests[i], group);
	}
	report_grid(&run->report, run->indexes, run->options->nmethods, &grid, 2,
				run->options->csv);
}

/* Set 'setting' to each of the targets, and compare with the method's ladder. */
void
target_run(const RunOptions *options, const char *setting, NumberList targets, NumberList ks)
{
	TargetMode	arg = {setting, targets, ks};
	Mode		mode = {prepare, NULL, report, &arg};

	run_mode(options, &mode);
}
