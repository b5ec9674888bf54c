/*
 * calibration.h
 *	  How far a search goes, by what the calibration of its index has found
 *	  (calibrate.c), and what else that tells.
 */
#ifndef ANN_CALIBRATION_H
#define ANN_CALIBRATION_H

#include "postgres.h"

#include "store/page.h"

/* The limits that an index is calibrated for. */
extern const int ann_calibrated_limits[ANN_CALIBRATED_LIMITS];

/*
 * How many live rows a search of a forest inspects in order to return 'limit'
 * rows (0: unknown) of 'rows' in so many chunks: ann.search_k, or what reaches
 * ann.target_recall.  Both the scan and its price ask here.  calibration may be NULL.
 */
extern double ann_search_rows(const AnnCalibration *calibration, double rows, double chunks,
							  double limit, int trees);

/* The same of a graph: its ef. */
extern double ann_search_ef(const AnnCalibration *calibration, double limit);

/* What it is for the default target of an index of which nothing is known. */
extern double ann_default_ef(double limit);

/*
 * The share of the rows of an index that are within a distance of a query, in the mean
 * of queries; -1 if nothing is known.  Under inner product, 'norm' is the query's, 0 if
 * that is unknown.
 */
extern double ann_calibration_share(Relation index, double distance, double norm);

#endif							/* ANN_CALIBRATION_H */
