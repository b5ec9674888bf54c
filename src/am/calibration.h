/*
 * calibration.h
 *	  What an index has found out about its rows.
 */
#ifndef ANN_CALIBRATION_H
#define ANN_CALIBRATION_H

#include "postgres.h"

#include "utils/rel.h"

/*
 * The share of the rows that are within a distance of a query, on average.  Under
 * inner product the norm of the query counts; 0 if it is not known.  Returns -1 if
 * the index has no sample.
 */
extern double ann_calibration_share(Relation index, double distance, double norm);

#endif							/* ANN_CALIBRATION_H */
