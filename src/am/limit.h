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
 * The number of rows, LIMIT plus OFFSET, that will be fetched of a scan; 0 if
 * unknown.  To be asked in amrescan, each time, as it may change from rescan to
 * rescan.
 *
 * *exact tells whether the number is an upper bound.  It is not if rows can be
 * lost on their way to the LIMIT (a filter, a join, FOR UPDATE), or if more
 * can be wanted (WITH TIES, a sort of ties).  Even then more tuples may be
 * fetched: those that the snapshot does not see do not count.
 */
extern double ann_limit_for_scan(IndexScanDesc scan, bool *exact);

/* Install the hook; when the library is loaded. */
extern void ann_limit_init(void);

#endif							/* ANN_LIMIT_H */
