/*
 * limit.h
 *	  How many rows a scan will be asked for.
 *
 * The access method interface does not tell.  We find out from the executor:
 * when a query starts, its index scans below a LIMIT are noted together with
 * it, and forgotten with the query.
 */
#ifndef ANN_LIMIT_H
#define ANN_LIMIT_H

#include "postgres.h"

#include "access/genam.h"

/*
 * The number of rows, LIMIT plus OFFSET, that will be fetched of a scan: 0 if
 * unknown, infinity if it is known to be all (LIMIT NULL).  To be asked in
 * amrescan, each time, as it may change from rescan to rescan.  More may be
 * fetched where rows are lost on their way to the LIMIT.
 *
 * *matches is the number of rows that the planner expects to pass the filter of
 * the scan; infinity if it has none, or none but the range that the index searches.
 */
extern double ann_limit_for_scan(IndexScanDesc scan, double *matches);

/* Install the hook; when the library is loaded. */
extern void ann_limit_init(void);

#endif							/* ANN_LIMIT_H */
