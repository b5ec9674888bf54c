/*
 * method.h
 *	  What PostgreSQL calls of an access method, and the numbers that the
 *	  catalogs and the progress view know it by.
 *
 * Each callback is in the file of its name.  Contracts: "Index Access Method
 * Interface Definition" of PostgreSQL's documentation.
 */
#ifndef ANN_METHOD_H
#define ANN_METHOD_H

#include "postgres.h"

#include "access/amapi.h"
#include "access/genam.h"
#include "commands/progress.h"
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"
#include "store/format.h"
#include "utils/rel.h"

/*
 * The strategies: the distance of the column to a query, to order by; and whether
 * the column is in a ball, to search by.
 */
#define ANN_DISTANCE_STRATEGY	1
#define ANN_RANGE_STRATEGY		2
#define ANN_NUM_STRATEGIES		2

/* The one support function: the same distance between two values of the column. */
#define ANN_DISTANCE_PROC		1
#define ANN_NUM_PROCS			1

/*
 * Values of PROGRESS_CREATEIDX_SUBPHASE; PostgreSQL sets the first one itself.
 * Their names are in method.c.
 */
#define ANN_PHASE_INITIALIZE	PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE
#define ANN_PHASE_SCAN			2
#define ANN_PHASE_DIVIDE		3
#define ANN_PHASE_BUILD			4
#define ANN_PHASE_LINK			5
#define ANN_PHASE_WRITE			6
#define ANN_PHASE_CALIBRATE		7

/* NULL if there is no such phase. */
extern char *ann_phase_name(int64 phase);

/* The access method of an index, whether it has been built or not. */
extern AnnMethod ann_method(Relation index);

/* build.c */
extern IndexBuildResult *ann_build(Relation heap, Relation index,
								   IndexInfo *indexInfo);
extern void ann_build_empty(Relation index);

/* insert.c */
extern bool ann_insert(Relation index, Datum *values, bool *isnull,
					   ItemPointer heap_tid, Relation heap,
					   IndexUniqueCheck checkUnique, bool indexUnchanged,
					   IndexInfo *indexInfo);

/* The same of a row that has a vector; false if an element had it already. */
extern bool ann_insert_array(Relation index, Datum value, ItemPointer heap_tid,
							 Relation heap);

/* scan.c */
extern IndexScanDesc ann_beginscan(Relation index, int nkeys, int norderbys);
extern void ann_rescan(IndexScanDesc scan, ScanKey keys, int nkeys,
					   ScanKey orderbys, int norderbys);
extern bool ann_gettuple(IndexScanDesc scan, ScanDirection direction);
extern void ann_endscan(IndexScanDesc scan);

/* vacuum.c */
extern IndexBulkDeleteResult *ann_bulkdelete(IndexVacuumInfo *info,
											 IndexBulkDeleteResult *stats,
											 IndexBulkDeleteCallback callback,
											 void *callback_state);
extern IndexBulkDeleteResult *ann_vacuumcleanup(IndexVacuumInfo *info,
												IndexBulkDeleteResult *stats);

/* cost.c */
extern void ann_cost_estimate(PlannerInfo *root, IndexPath *path,
							  double loop_count, Cost *startup_cost,
							  Cost *total_cost, Selectivity *selectivity,
							  double *correlation, double *pages);

/* opclass.c: ann_validate; options.c: ann_annoy_options_parse, ann_hnsw_options_parse */

#endif							/* ANN_METHOD_H */
