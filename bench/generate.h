/*
 * generate.h
 *	  Seeded vectors that are as hard to search as real ones.
 *
 * A source is named by a spec that can stand wherever a file can:
 * gen:rows=100000,dim=128,metric=l2,seed=1,queries=1000
 */
#ifndef GENERATE_H
#define GENERATE_H

#include "vectors.h"

typedef struct GeneratorSpec
{
	int64_t		rows;
	int64_t		queries;
	int			dim;
	Metric		metric;
	uint64_t	seed;
} GeneratorSpec;

typedef enum GeneratorStream
{
	STREAM_ROWS,
	STREAM_QUERIES
} GeneratorStream;

extern bool generate_is_spec(const char *source);
extern GeneratorSpec generate_defaults(void);
extern GeneratorSpec generate_parse(const char *source, GeneratorSpec defaults);
extern VectorSet *generate_vectors(const GeneratorSpec *spec, GeneratorStream stream,
								   int threads);

#endif							/* GENERATE_H */
