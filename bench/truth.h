/*
 * truth.h
 *	  Exact nearest neighbours, and the cache that keeps them.
 */
#ifndef TRUTH_H
#define TRUTH_H

#include "vectors.h"

typedef struct Truth
{
	Metric		metric;
	Neighbours	found;			/* row numbers; ties by the smaller one */
	double	   *distances;		/* found.queries * found.k, ascending */
} Truth;

extern double exact_distance(Metric metric, const float *a, const float *b, int dim);
extern Truth *truth_compute(const VectorSet *base, const VectorSet *queries, Metric metric,
							int k, int threads);
extern Truth *truth_cached(const char *directory, const VectorSet *base,
						   const VectorSet *queries, Metric metric, int k, int threads);
extern Truth *truth_read(const char *path, const VectorSet *base, const VectorSet *queries,
						 Metric metric, int k);
extern double truth_radius(const double *distances, int n, int64_t rows, int *within);
extern double truth_intrinsic_dimension(const Truth *truth);

#endif							/* TRUTH_H */
