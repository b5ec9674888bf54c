/*
 * graph_search.h
 *	  Searching a graph: from node to node along links, nearest first.
 *
 * Serves scans, and inserts, which look for neighbours in the same way.
 *
 * Nodes wait in a pool by the estimates that the codes of links give.  The
 * nearest one is visited: its record tells its own distance, and codes of its
 * neighbours, which go to the pool.  A visit reads one page.  The search is over
 * when no node waits whose estimate is among the 'ef' least there have been; with
 * a larger ef it goes on where it was (Malkov and Yashunin, 2018, algorithm 2,
 * with estimates in place of the neighbours' distances).
 */
#ifndef ANN_GRAPH_SEARCH_H
#define ANN_GRAPH_SEARCH_H

#include "postgres.h"

#include "am/leaf_search.h"
#include "store/element.h"
#include "store/link_pages.h"

/*
 * Squared distances as codes estimate them: |q - x|^2, under cosine of vectors
 * scaled to norm 1; inner product: |q|^2 - 2 <q,x>.
 */
typedef float AnnCodeDistance;

/*
 * Called for each node that is visited, with its page locked unless the record is
 * a copy (AnnRecordVisitor).  'estimate' is what it was found by; the distance
 * itself is returned, or the estimate if there is nothing better.  A node that has
 * no row (ann_record_is_dead) leads on to others, but does not count.
 */
typedef AnnCodeDistance (*AnnNodeVisitor) (AnnElementRef ref, const AnnElement *record,
										   const AnnLinks *links,
										   AnnCodeDistance estimate, void *state);

/*
 * Called behind it for each that has a row, without a lock.  Returns the distance if
 * it is known by now, or NaN; infinity if the row does not count.
 */
typedef AnnCodeDistance (*AnnNodeVisited) (AnnElementRef ref, void *state);

/* Nodes that have been fetched ahead and need not be again. */
#define ANN_NODES_FETCHED 8

typedef struct AnnGraphSearch
{
	/* Unchanging, set by begin */
	Relation	index;
	const AnnIndex *info;
	AnnNodeVisitor visit;
	AnnNodeVisited visited;		/* or NULL */
	void	   *state;
	AnnCodeQuery *link_query;
	char	   *scratch;

	/* Set by the caller, if it is to be */
	uint64		excluded;		/* a node that is not to be visited; or ANN_SEEN_NOTHING */

	/* How far it has come */
	AnnLeafSearch entries;		/* the nodes that a search begins at */
	AnnMet		met;			/* nodes that visited ones have links to */
	size_t		waiting;		/* of these have not been visited */
	AnnFrontier pool;			/* those of them that are good enough, by estimates
								 * that their means may have left behind */
	AnnFrontier rejected;		/* estimates that are too large for ef; no heap */
	AnnThreshold nearest;		/* the ef least distances of visited nodes */
	AnnThreshold promising;		/* the ef least first estimates */
	bool		passed;			/* nodes without a row are about: what promises may
								 * be one of them */
	size_t		room;			/* for values of each */
	AnnSeen		seen;			/* nodes that have been visited */
	size_t		most;			/* so many visits are enough for ef */
	bool		begun;
	uint64		fetched[ANN_NODES_FETCHED]; /* nodes that were fetched ahead lately */
	uint32		next_fetched;

	/* The node that is being visited */
	AnnCodeDistance estimate;
	AnnCodeDistance distance;
	bool		counts;
} AnnGraphSearch;

/* Has the record no row any more? */
static inline bool
ann_record_is_dead(const AnnElement *record)
{
	return !ItemPointerIsValid(&record->heap);
}

/*
 * Make ready to search chunk 'number', whose entry in the directory this is, for a
 * query (ann_tree_vector_query), which must stay.  Memory is of the current context.
 */
extern void ann_graph_search_begin(AnnGraphSearch *search, Relation index,
								   const AnnIndex *info, uint32 number,
								   const AnnChunk *chunk, const AnnTreeVector *v,
								   AnnNodeVisitor visit, AnnNodeVisited visited,
								   void *state);

/* Visit nodes until the ef nearest of them have been found. */
extern void ann_graph_search_run(AnnGraphSearch *search, double ef);

/* Are there entries that it has not begun at? */
static inline bool
ann_graph_search_has_entries(const AnnGraphSearch *search)
{
	return search->entries.candidates.size > 0 || !ann_leaf_search_is_over(&search->entries);
}

/* Has every node been visited that can be reached? */
static inline bool
ann_graph_search_is_over(const AnnGraphSearch *search)
{
	return search->begun && search->waiting == 0 && search->rejected.size == 0 &&
		!ann_graph_search_has_entries(search);
}

#endif							/* ANN_GRAPH_SEARCH_H */
