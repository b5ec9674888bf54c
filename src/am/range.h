/*
 * range.h
 *	  Range queries: WHERE distance < radius as a scan of an index.
 *
 * The planner matches conditions that are an operator of the index on its column.
 * Here there is a distance between the two: core asks nobody about it, so that we
 * add the paths ourselves when it has made its own.
 */
#ifndef ANN_RANGE_H
#define ANN_RANGE_H

#include "postgres.h"

#include "nodes/primnodes.h"

/* Is this condition a distance below another number? */
extern bool ann_range_is_condition(Expr *clause);

/* Install the hook; when the library is loaded. */
extern void ann_range_init(void);

#endif							/* ANN_RANGE_H */
