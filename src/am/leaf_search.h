/*
 * leaf_search.h
 *	  Searching the leaves of trees: which elements have codes near a query.
 *
 * Both methods begin with it: annoy, whose trees hold all elements, takes the
 * candidates as they are, and ann_hnsw, whose trees hold a few, goes on from them
 * along links.
 */
#ifndef ANN_LEAF_SEARCH_H
#define ANN_LEAF_SEARCH_H

#include "postgres.h"

#include "algo/code.h"
#include "algo/frontier.h"
#include "store/leaf_pages.h"
#include "store/tree_pages.h"

/* An element as an item of heaps and sets, and back. */
static inline uint64
ann_element_key(AnnElementRef ref)
{
	return (uint64) ItemPointerGetBlockNumberNoCheck(&ref) << 16 |
		ItemPointerGetOffsetNumberNoCheck(&ref);
}

static inline AnnElementRef
ann_key_element(uint64 key)
{
	AnnElementRef ref;

	ItemPointerSet(&ref, (BlockNumber) (key >> 16), (OffsetNumber) (key & 0xffff));
	return ref;
}

/* Add a key to a set, enlarged as needed.  True if it is met for the first time. */
extern bool ann_note_seen(AnnSeen *seen, uint64 key);

typedef struct AnnLeafArray
{
	AnnLeafEntry *entries;
	int			count;
	int			capacity;
	int			inspected;		/* the first so many */
} AnnLeafArray;

typedef struct AnnLeafSearch
{
	/* Unchanging, set by begin */
	Relation	index;
	const AnnIndex *info;
	const AnnTreeVector *v;		/* the query */
	AnnCodeQuery *code_query;
	char	   *block;			/* scratch for large blocks */

	/* Set before a run by who cares */
	float		slack;			/* standard deviations that bounds allow for */

	/* The chunks that are searched */
	uint32		first;			/* number of the first one */
	uint32		num_chunks;
	AnnChunk   *chunks;			/* their entries */
	double		rows;			/* in all of them */

	/* How far it has come */
	bool		begun;
	AnnFrontier nodes;
	AnnLeafArray leaves;
	double		gathered;		/* rows in leaves */
	double		inspected;		/* of these, in leaves whose codes were read */
	float		d2;				/* of the leaf that is being inspected */
	AnnThreshold threshold;		/* on upper bounds by codes */
	float		least_dropped;	/* rows that did not become candidates have bounds
								 * above this */

	/* What it has found */
	AnnFrontier candidates;		/* ann_element_key, by lower bound */
	AnnSeen		seen;			/* candidates there have ever been */
} AnnLeafSearch;

/*
 * Make ready to search the trees of n chunks from number 'first' on, whose entries in
 * the directory these are, for a query (ann_tree_vector_query), which must stay.
 * 'room' is a number of candidates that is not exceeded often.  Memory is of the
 * current context.
 */
extern void ann_leaf_search_begin(AnnLeafSearch *search, Relation index,
								  const AnnIndex *info, uint32 first,
								  const AnnChunk *chunks, uint32 n,
								  const AnnTreeVector *v, uint32 room);

/*
 * Go on until so many rows have been inspected in all, which count in each tree that
 * they are met in; a first run for infinitely many inspects every row once.
 * Candidates become those that may be among the 'wanted' nearest of them.  Nothing is
 * explored twice, but leaves are inspected again, since their thresholds were for
 * fewer rows.
 */
extern void ann_leaf_search_run(AnnLeafSearch *search, double rows, double wanted);

/* Has everything been inspected? */
static inline bool
ann_leaf_search_is_over(const AnnLeafSearch *search)
{
	return search->begun && search->nodes.size == 0 &&
		search->leaves.inspected == search->leaves.count;
}

#endif							/* ANN_LEAF_SEARCH_H */
