/*
 * limit.h
 *	  How many rows a scan will be asked for.
 *
 * The access method interface does not tell.  We find out from the executor:
 * when a query starts, its index scans are noted together with the LIMIT above
 * them, and forgotten with the query.
 */
#ifndef ANN_LIMIT_H
#define ANN_LIMIT_H

#include "postgres.h"

#include "access/genam.h"

/* What is known of how much of a scan will be read. */
typedef struct AnnDemand
{
	double		limit;			/* LIMIT plus OFFSET: rows that will be fetched; 0:
								 * unknown; infinity: all, as by LIMIT NULL */
	double		matches;		/* rows that the planner expects to pass its filter;
								 * infinity: there is none but the range that the
								 * index searches */
} AnnDemand;

/*
 * To be asked in amrescan or later, each time, as it may change from rescan to rescan.
 * More may be fetched than the limit where rows are lost on their way to it.
 */
extern AnnDemand ann_demand(IndexScanDesc scan);

/* Install the hook; when the library is loaded. */
extern void ann_limit_init(void);

#endif							/* ANN_LIMIT_H */
