/*
 * scan.h
 *	  What scans of both methods share: measured elements waiting for their turn.
 *
 * For scan.c, which owns it, and for scan_forest.c and scan_graph.c, which find
 * the elements.
 */
#ifndef ANN_SCAN_H
#define ANN_SCAN_H

#include "postgres.h"

#include "access/relscan.h"
#include "algo/frontier.h"
#include "am/heap_source.h"
#include "executor/tuptable.h"
#include "lib/pairingheap.h"
#include "store/element.h"
#include "store/tree_pages.h"
#include "utils/tuplesort.h"

/* A row that is returned next. */
typedef struct AnnRow
{
	double		distance;		/* where exact, or not beyond that of the next row */
	ItemPointerData tid;
	bool		recheck;		/* it may be outside of the range */
} AnnRow;

typedef struct AnnRowArray
{
	AnnRow	   *rows;
	int			count;
	int			capacity;
	int			next;			/* the first that has not been returned */
} AnnRowArray;

/* A measured element and its rows. */
typedef struct AnnHit
{
	double		low;
	double		high;
	int			num_tids;
	ItemPointerData tid;		/* the only one ... */
	ItemPointer tids;			/* ... or all of several */
} AnnHit;

typedef struct AnnHitArray
{
	AnnHit	   *entries;
	int			count;
	int			capacity;
} AnnHitArray;

typedef enum AnnScanPhase
{
	ANN_SCAN_START,
	ANN_SCAN_STAGES,			/* returning results of a stage */
	ANN_SCAN_REST,				/* returning the sorted rest */
	ANN_SCAN_LATE,				/* returning late rows from the same sort */
	ANN_SCAN_LATE_HITS,			/* returning late results, all that is left of a range */
	ANN_SCAN_UNORDERED,			/* no distance at all: all elements */
	ANN_SCAN_UNDEFINED,			/* rows without a distance */
	ANN_SCAN_NULLS,				/* rows without a vector */
	ANN_SCAN_END
} AnnScanPhase;

typedef struct AnnScan AnnScan;

/* How a method finds elements; memory is of the current context, the scan's. */
typedef struct AnnScanSearch
{
	/* Make ready, for s->query and s->v; returns what becomes s->search. */
	void	   *(*begin) (IndexScanDesc scan, AnnScan *s);

	/* Should there be one more stage, rather than the pass over the rest? */
	bool		(*goes_on) (const AnnScan *s);

	/*
	 * A stage: find and keep (ann_scan_keep) elements, until s->results has the
	 * s->wanted nearest, and set s->bound.  Each stage is broader than the one
	 * before.  False if it has become clear that only the pass over the rest will
	 * find them.
	 */
	bool		(*stage) (IndexScanDesc scan, AnnScan *s);

	/* Keep whatever is in the set below and has not been kept. */
	void		(*finish) (IndexScanDesc scan, AnnScan *s);

	/* Is it an element of this chunk that no pass over the rest needs to look at? */
	bool		(*seen) (const AnnScan *s, uint32 chunk, uint64 key);

	/* Bytes of memory that know these. */
	Size		(*memory) (const AnnScan *s);
} AnnScanSearch;

extern const AnnScanSearch ann_forest_search;	/* scan_forest.c */
extern const AnnScanSearch ann_graph_search;	/* scan_graph.c */

struct AnnScan
{
	/* Unchanging, set by beginscan */
	MemoryContext context;		/* of all below; reset by rescan */
	AnnIndex	info;

	/* Set by rescan */
	AnnScanPhase phase;
	bool		null_query;
	bool		ordered;		/* by the distance of the query */
	bool		has_range;		/* what has no vector is not in it */
	bool		has_end;		/* nor what is beyond a radius ... */
	double		radius;			/* ... of so much; else infinity */
	bool		recheck;		/* there is another range, not around the query */
	int			dim;			/* of the query */
	const double *values;
	AnnQuery   *query;
	double		scale;			/* of the query as the search has it */
	AnnChunk   *chunks;
	uint32		num_chunks;
	double		rows;			/* elements in all of them */
	float		max_norm;		/* the largest of theirs */
	AnnTreeVector *v;
	const AnnScanSearch *method;
	double		setting;		/* search_k or ef_search of the first stage; 0: what the
								 * user or the calibration says */
	uint64		excluded;		/* an element that is not to be found, or
								 * ANN_SEEN_NOTHING */
	void	   *search;			/* the method's */
	int			stages;			/* so many there have been */
	double		wanted;			/* results by the end of the stage */
	double		limit;			/* a range may end with so many */
	bool		complete;		/* all of the range has been found */

	/* Results */
	AnnElement *element;		/* scratch */
	AnnHitArray results;		/* measured, not returned yet; sorted when returning */
	int			next_result;
	double		bound;			/* what has not been measured is not below */
	double		returned;		/* the largest distance that was returned */
	AnnHitArray late;
	AnnHeapSource *heap;		/* made when it is needed */

	/* The rest */
	Tuplesortstate *sort;
	TupleTableSlot *slot;
	bool		has_next;		/* there is a next row of the sort, in the slot */
	pairingheap *rest;			/* rows before it whose distance is known */
	double		late_below;

	/* What is returned next, one by one */
	AnnRowArray out;
	double		left;			/* so many rows may be returned */
	AnnRowArray nan;			/* met by the pass over the rest */
	BlockNumber heap_blocks;	/* the table has at least so many */
	uint32		next_list;		/* number of the chunk whose list is returned next */
	BlockNumber next_block;		/* ANN_SCAN_UNORDERED */
	BlockNumber num_blocks;
};

/*
 * Keep a measured element, whose rows are at distances from low to high.  Of
 * 'element', which was read from ref, the vector is not looked at.  No lock on a
 * page may be held.
 */
extern void ann_scan_keep(IndexScanDesc scan, AnnScan *s, double low, double high,
						  AnnElementRef ref, const AnnElement *element);

/* The distance of a row from the table; false if the snapshot does not see it. */
extern bool ann_scan_row_distance(IndexScanDesc scan, AnnScan *s,
								  const ItemPointerData *tid, double *distance);

/*
 * Read an element to s->element and find its distance.  False if it is dead, or if
 * the rows themselves had to be asked and this snapshot sees none.
 */
extern bool ann_scan_measure(IndexScanDesc scan, AnnScan *s, AnnElementRef ref,
							 double *low, double *high);

/*
 * For calibration: search for the 'wanted' nearest with this setting, as the first stage
 * of a scan does.  'values' is the query; the element 'excluded', unless it is
 * ANN_SEEN_NOTHING, is taken to be none.  How many of those it finds are within a
 * distance, by the middle of what elements tell, is returned.  'scan' is of
 * ann_beginscan; its former query is forgotten.
 */
extern int	ann_scan_probe(IndexScanDesc scan, const double *values, uint64 excluded,
						   int wanted, double setting, double distance);

/* What an estimate or a bound by codes is as a distance, and the reverse. */
extern double ann_scan_code_distance(const AnnScan *s, float code);
extern float ann_scan_distance_code(const AnnScan *s, double distance);

#endif							/* ANN_SCAN_H */
