/*
 * calibration.c
 *	  How far a search goes, by what the calibration of its index has found.
 */
#include "postgres.h"

#include <math.h>

#include "am/calibration.h"
#include "am/options.h"

/*
 * Of an index that has not been calibrated, search_k for a recall of 0.95: so many rows,
 * the largest of the three.  Of several chunks each has some of the nearest rows, in
 * leaves of its own: so many rows more as the fourth root of their number (measured with
 * 4 chunks).
 */
#define DEFAULT_MINIMUM		2048
#define DEFAULT_PER_ROOT	48	/* times the square root of the rows */
#define DEFAULT_PER_LIMIT	20	/* times the limit */

/* The same for ef_search: so many, or so many for each row wanted. */
#define DEFAULT_EF_MINIMUM	64
#define DEFAULT_EF_PER_LIMIT 1.5

/* Beyond the last rung of a ladder, a setting is at most so many times that of it. */
#define MAX_BEYOND 4

/* A share of rows that are not found that is as good as none. */
#define NOTHING_MISSED 1e-4

/*
 * Some tens of queries tell a recall to a hundredth or so, and those to come should
 * rather find more than less: of what may be missed, so much is left alone at the default
 * target, and more at higher ones, where fewer misses are counted.
 */
#define MARGIN		0.25
#define MAX_MARGIN	0.6

const int	ann_calibrated_limits[ANN_CALIBRATED_LIMITS] = {10, 100, 1000};

/* ---- from a ladder ---- */

/* The logarithm of what is not found: about linear in that of the setting. */
static double
log_missed(double recall)
{
	return log(Max(1 - recall, NOTHING_MISSED));
}

/* The logarithm of the setting that reaches the target, on the line through two rungs. */
static double
between_rungs(const AnnRung *low, const AnnRung *high, double target)
{
	double		rise = log_missed(low->recall) - log_missed(high->recall);
	double		share = rise > 0 ? (log_missed(low->recall) - log_missed(target)) / rise : 1;

	return log(low->setting) + share * (log(high->setting) - log(low->setting));
}

/* The logarithm of the least setting that reaches the target. */
static double
climb(const AnnRung *rungs, int n, double target)
{
	double		result;

	for (int i = 0; i < n; i++)
	{
		if (rungs[i].recall >= target)
			return i == 0 ? log(rungs[0].setting) : between_rungs(&rungs[i - 1], &rungs[i], target);
	}
	result = log(rungs[n - 1].setting * MAX_BEYOND);
	if (n > 1)
		result = Min(result, between_rungs(&rungs[n - 2], &rungs[n - 1], target));
	return Max(result, log(rungs[n - 1].setting));
}

/* The recall to aim at. */
static double
aim(void)
{
	double		missed = 1 - ann_target_recall;
	double		margin = MARGIN * sqrt((1 - ANN_DEFAULT_TARGET_RECALL) / missed);

	return 1 - missed * (1 - Min(margin, MAX_MARGIN));
}

/*
 * The setting for a limit, between those of the limits that were tried; 0 if there is
 * none.  For more rows than these it is in proportion.
 */
static double
calibrated_setting(const AnnCalibration *c, double limit)
{
	double		last = 0;
	int			last_limit = 0;

	for (int i = 0; i < ANN_CALIBRATED_LIMITS && c->num_rungs[i] > 0; i++)
	{
		int			next_limit = ann_calibrated_limits[i];
		double		next = climb(c->rungs[i], c->num_rungs[i], aim());

		if (limit <= next_limit && last_limit == 0)
			return exp(next);
		if (limit <= next_limit)
			return exp(last + (next - last) * log(limit / last_limit) /
					   log((double) next_limit / last_limit));
		last = next;
		last_limit = next_limit;
	}
	return last_limit == 0 ? 0 : exp(last) * limit / last_limit;
}

/* ---- settings ---- */

/* What a recall takes, of what 0.95 does, where nothing is known. */
static double
effort(void)
{
	return log_missed(ann_target_recall) / log_missed(ANN_DEFAULT_TARGET_RECALL);
}

static double
default_rows(double rows, double chunks, double limit)
{
	double		result = Max(DEFAULT_MINIMUM, DEFAULT_PER_ROOT * sqrt(rows * sqrt(chunks)));

	return Max(result, DEFAULT_PER_LIMIT * limit) * effort();
}

double
ann_search_rows(const AnnCalibration *calibration, double rows, double chunks, double limit,
				int trees)
{
	double		result = ann_search_k;

	/* with more rows there are more leaves that the nearest may be in */
	if (ann_search_k == 0 && calibration != NULL)
		result = calibrated_setting(calibration, limit) *
			sqrt(Max(rows / Max(calibration->rows, 1), 1));
	if (result == 0)
		result = default_rows(rows, chunks, limit);

	/* as in the Annoy library: each tree may contribute a whole answer */
	result = Max(result, trees * limit);
	return Min(result, rows);
}

double
ann_default_ef(double limit)
{
	return Max(DEFAULT_EF_MINIMUM, DEFAULT_EF_PER_LIMIT * limit);
}

double
ann_search_ef(const AnnCalibration *calibration, double limit)
{
	double		result = ann_ef_search;

	if (ann_ef_search == 0 && calibration != NULL)
		result = calibrated_setting(calibration, limit);
	if (result == 0)
		result = ann_default_ef(limit) * effort();
	return Max(ceil(result), limit);
}

/* ---- distances ---- */

/* The logarithm of the share number i. */
static double
log_share(double i)
{
	return -i * M_LN10 / ANN_SHARES_PER_DECADE;
}

double
ann_calibration_share(Relation index, double distance, double norm)
{
	const AnnCalibration *c = ann_calibration_peek(index);
	int			n = c != NULL ? c->num_shares : 0;
	int			i = 0;

	if (n < 2)
		return -1;
	if (c->norm > 0)
		distance /= norm > 0 ? norm : c->norm;
	if (isnan(distance))
		return 1;
	while (i < n && c->distance[i] > distance)
		i++;
	if (i == 0)
		return 1;
	if (i == n)
		return exp(log_share(n));
	if (c->distance[i - 1] > c->distance[i] && !isinf(c->distance[i - 1]) &&
		!isinf(c->distance[i]))
		return exp(log_share(i - (distance - c->distance[i]) /
							 ((double) c->distance[i - 1] - c->distance[i])));
	return exp(log_share(i - 1));
}
