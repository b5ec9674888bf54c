/*
 * curve.c
 *	  Latency as a function of recall, from a ladder of settings.
 */
#include <math.h>
#include <stdbool.h>

#include "curve.h"

/* The latency where the line between two rungs, of its logarithm, meets a recall. */
static double
between(const CurvePoint *a, const CurvePoint *b, double recall)
{
	double		share = (recall - a->recall) / (b->recall - a->recall);

	return a->ms * pow(b->ms / a->ms, share);
}

/*
 * The least latency with which some fixed setting has at least this recall: of
 * the rungs that have it, and of what lies between a rung that has and its
 * neighbour that has not.  NaN if no rung has it.
 *
 * Where even the lowest rung has it, a lower one might be faster: 'place' says so.
 */
double
curve_fastest(const CurvePoint *rungs, int n, double recall, CurvePlace *place)
{
	double		best = NAN;
	bool		below = true;

	*place = (CurvePlace) {-1, -1};
	for (int i = 0; i < n; i++)
	{
		if (rungs[i].recall < recall)
		{
			below = false;
			continue;
		}
		if (!(rungs[i].ms >= best))
		{
			best = rungs[i].ms;
			*place = (CurvePlace) {i, i};
		}
		for (int j = i - 1; j <= i + 1; j += 2)
		{
			double		ms;

			if (j < 0 || j >= n || rungs[j].recall >= recall)
				continue;
			ms = between(&rungs[j], &rungs[i], recall);
			if (ms < best)
			{
				best = ms;
				*place = (CurvePlace) {j < i ? j : i, j < i ? i : j};
			}
		}
	}
	if (below)
		place->first = -1;
	return best;
}
