/*
 * vectors.h
 *	  Vectors from files: .fvecs, .bvecs, .csv, each also gzipped; .ivecs.
 *
 *	fvecs	per row: int32 dimension, then that many float32
 *	bvecs	per row: int32 dimension, then that many unsigned bytes
 *	ivecs	per row: int32 length, then that many int32 (ground truth)
 *	csv		per row: id,"{0.1,0.2,...}"
 *
 * All binary numbers are little-endian.  Rows are counted from 0 and, but for
 * CSV, a row's number is its id.  Lines of CSV are counted from 1.
 */
#ifndef VECTORS_H
#define VECTORS_H

#include "bench.h"

typedef struct VectorReader VectorReader;

extern VectorReader *vectors_open(const char *path);
extern const float *vectors_next(VectorReader *reader, int64_t *id, int *dim);
extern void vectors_close(VectorReader *reader);

/* A whole set in memory. */
typedef struct VectorSet
{
	const char *name;			/* path or generator's spec, for messages */
	int64_t		rows;
	int			dim;
	float	   *values;			/* rows * dim */
	int64_t    *ids;			/* NULL: a row's id is its number */
	int64_t    *by_id;			/* row numbers in order of id; NULL as ids */
	int32_t    *marks;			/* of each row, for a filter; NULL: none */
} VectorSet;

extern VectorSet *vectors_read(const char *path, int64_t limit);
extern void vectors_write(const char *path, const VectorSet *set);
extern void vectors_truncate(VectorSet *set, int64_t rows);
extern uint64_t vectors_hash(const VectorSet *set);
extern int64_t vectors_find(const VectorSet *set, int64_t id);

static inline const float *
vectors_row(const VectorSet *set, int64_t row)
{
	return set->values + row * set->dim;
}

/* Ground truth as row numbers, nearest first. */
typedef struct Neighbours
{
	int64_t		queries;
	int			k;
	int32_t    *rows;			/* queries * k */
} Neighbours;

extern Neighbours *ivecs_read(const char *path);
extern void ivecs_write(const char *path, const Neighbours *neighbours);

#endif							/* VECTORS_H */
