/*
 * samples.c
 *	  Figures that are measured many times, and what is told of them.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "samples.h"

void
samples_add(Samples *samples, double value)
{
	if (samples->count == samples->capacity)
	{
		samples->capacity = samples->capacity ? samples->capacity * 2 : 1024;
		samples->values = xrealloc(samples->values, (size_t) samples->capacity, sizeof(double));
	}
	samples->values[samples->count++] = value;
}

static int
compare_doubles(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

/* The smallest sample that a share of all does not exceed; there must be one. */
double
samples_percentile(Samples *samples, double share)
{
	int64_t		rank = (int64_t) ceil(share * (double) samples->count);

	qsort(samples->values, (size_t) samples->count, sizeof(double), compare_doubles);
	return samples->values[rank < 1 ? 0 : rank - 1];
}

/* The same of samples in seconds, in milliseconds. */
double
samples_percentile_ms(Samples *samples, double share)
{
	return samples_percentile(samples, share) * 1000;
}

void
samples_free(Samples *samples)
{
	free(samples->values);
	memset(samples, 0, sizeof(*samples));
}
