/*
 * calibrate.h
 *	  Finding out which settings reach which recall: at the end of a build, and when
 *	  VACUUM finds that many rows have changed.
 */
#ifndef ANN_CALIBRATE_H
#define ANN_CALIBRATE_H

#include "postgres.h"

#include "am/held_out.h"
#include "nodes/execnodes.h"
#include "storage/buffile.h"
#include "storage/bufmgr.h"
#include "store/page.h"
#include "utils/rel.h"

/* Queries that are asked, and the rows that make it worth while. */
#define ANN_CALIBRATION_QUERIES 64
#define ANN_CALIBRATION_ROWS	5000

typedef struct AnnCalibrator AnnCalibrator;

/*
 * A calibration of an index of about so many rows, by queries that are arrays of the
 * column's type, of rows that are not in the index yet.  In the current context.
 */
extern AnnCalibrator *ann_calibrator_begin(Relation index, Relation heap, const AnnIndex *info,
										   double rows, const AnnHeldOut *queries);

/* Look at an element of the index that is being written: AnnElementNote. */
extern void ann_calibrator_note(const AnnElement *element, void *calibrator);

/* Write what a member of a team has seen to a file; add it to what the leader has. */
extern void ann_calibrator_save(AnnCalibrator *calibrator, BufFile *file);
extern void ann_calibrator_load(AnnCalibrator *calibrator, BufFile *file);

/*
 * The index is complete: look at all of its elements, or rows of the table, if it has no
 * vectors.  Not to be done if they have been noted.
 */
extern void ann_calibrator_pass(AnnCalibrator *calibrator, IndexInfo *indexInfo);

/* Ask the index, and write what has been found. */
extern void ann_calibrator_end(AnnCalibrator *calibrator);

/*
 * Count the rows that have come or gone, for VACUUM, which has found 'before' elements
 * and left 'after'; and calibrate if they are many, by elements of the index: each is
 * left out of what is found for itself.  An index without vectors stays as it is.
 */
extern void ann_recalibrate(Relation index, double before, double after,
							BufferAccessStrategy strategy);

#endif							/* ANN_CALIBRATE_H */
