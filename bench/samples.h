/*
 * samples.h
 *	  Figures that are measured many times, and what is told of them.
 */
#ifndef SAMPLES_H
#define SAMPLES_H

#include "bench.h"

typedef struct Samples
{
	double	   *values;
	int64_t		count;
	int64_t		capacity;
} Samples;

extern void samples_add(Samples *samples, double value);
extern double samples_percentile(Samples *samples, double share);
extern double samples_percentile_ms(Samples *samples, double share);
extern void samples_free(Samples *samples);

#endif							/* SAMPLES_H */
