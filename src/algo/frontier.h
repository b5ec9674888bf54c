/*
 * frontier.h
 *	  What a search keeps while it runs: the candidates still to be explored,
 *	  the threshold that a candidate must beat, the items already seen, and what
 *	  is known of those that were met.
 *
 * All of them work in arrays that the caller allocates and enlarges; none of
 * them allocates.  Costs are floats, never NaN; infinity is allowed.  Equal
 * inputs give equal results: nothing depends on addresses or on capacities.
 */
#ifndef ANN_FRONTIER_H
#define ANN_FRONTIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Candidates: a binary min-heap.  Equal costs come out by the smaller item,
 * so that the order is that of the values alone.
 */
typedef struct AnnCandidate
{
	float		cost;
	uint64_t	item;			/* whatever the caller finds it again by */
} AnnCandidate;

/*
 * To enlarge a heap, move 'entries' to a larger array and set 'entries' and
 * 'capacity': the order of the entries is all there is.
 */
typedef struct AnnFrontier
{
	AnnCandidate *entries;
	size_t		size;
	size_t		capacity;
} AnnFrontier;

/* An empty heap in an array of 'capacity' entries. */
extern void ann_frontier_init(AnnFrontier *frontier, AnnCandidate *entries,
							  size_t capacity);

/* Add a candidate; false, and nothing done, when full.  O(log size). */
extern bool ann_frontier_push(AnnFrontier *frontier, float cost, uint64_t item);

/* Take the cheapest candidate out; false when there is none.  O(log size). */
extern bool ann_frontier_pop(AnnFrontier *frontier, AnnCandidate *cheapest);

/* The cheapest candidate, left where it is; NULL when there is none.  O(1). */
static inline const AnnCandidate *
ann_frontier_peek(const AnnFrontier *frontier)
{
	return frontier->size > 0 ? &frontier->entries[0] : NULL;
}

/*
 * Threshold: the k-th smallest of the values offered so far, by a max-heap of
 * the k smallest.
 */
typedef struct AnnThreshold
{
	float	   *values;			/* a max-heap */
	size_t		size;
	size_t		k;
} AnnThreshold;

/* No values yet; 'values' has room for k of them, k > 0. */
extern void ann_threshold_init(AnnThreshold *threshold, float *values, size_t k);

/* Take a value into account.  O(1) when it is not below the threshold, else
 * O(log k). */
extern void ann_threshold_offer(AnnThreshold *threshold, float value);

/* The k-th smallest value so far; infinity while there are fewer.  O(1). */
extern float ann_threshold_get(const AnnThreshold *threshold);

/*
 * Seen: a set of 64-bit keys by open addressing with linear probing.  Any key
 * but ANN_SEEN_NOTHING.  It refuses keys rather than grow above 3/4 full, so
 * that an operation takes a few probes on average.
 */
#define ANN_SEEN_NOTHING UINT64_MAX

typedef struct AnnSeen
{
	uint64_t   *slots;			/* ANN_SEEN_NOTHING where there is no key */
	size_t		size;			/* number of keys */
	size_t		capacity;		/* number of slots, a power of two */
} AnnSeen;

typedef enum AnnSeenResult
{
	ANN_SEEN_NEW,				/* it was not there, and is now */
	ANN_SEEN_BEFORE,			/* it is there already */
	ANN_SEEN_FULL				/* it is not there, and there is no room */
} AnnSeenResult;

/*
 * An empty set in 'capacity' slots, a power of two >= 4; the slots may hold
 * anything.  O(capacity), also to empty a set again.
 */
extern void ann_seen_init(AnnSeen *seen, uint64_t *slots, size_t capacity);

/* Look for a key, and add it if it is new.  O(1) on average. */
extern AnnSeenResult ann_seen_insert(AnnSeen *seen, uint64_t key);

/* Is the key in the set?  O(1) on average. */
extern bool ann_seen_contains(const AnnSeen *seen, uint64_t key);

/*
 * Move the keys to 'capacity' other slots, a power of two above the present
 * capacity.  The old slots are the caller's again.  O(capacity).
 */
extern void ann_seen_move(AnnSeen *seen, uint64_t *slots, size_t capacity);

/*
 * Met: a map of 64-bit keys, any but ANN_SEEN_NOTHING, to what a search knows of
 * the items, in the same way.
 */
typedef struct AnnMetItem
{
	uint64_t	key;			/* ANN_SEEN_NOTHING where there is none */
	float		distance;		/* or the mean of estimates of it */
	uint16_t	estimates;		/* that this is the mean of */
	uint16_t	state;			/* the caller's; 0 at first */
} AnnMetItem;

typedef struct AnnMet
{
	AnnMetItem *items;
	size_t		size;			/* number of keys */
	size_t		capacity;		/* number of items, a power of two */
} AnnMet;

/* An empty map in 'capacity' items, a power of two >= 4, which may hold anything. */
extern void ann_met_init(AnnMet *met, AnnMetItem *items, size_t capacity);

/*
 * The item of a key, which is added if it is new, all else 0; NULL if there is no
 * room for it.  It stays where it is until the map is moved.  O(1) on average.
 */
extern AnnMetItem *ann_met_find(AnnMet *met, uint64_t key);

/* Take one more estimate into account; false if the mean has not sunk by it. */
static inline bool
ann_met_estimate(AnnMetItem *item, float estimate)
{
	float		before = item->distance;

	if (item->estimates == 0)
	{
		item->distance = estimate;
		item->estimates = 1;
		return true;
	}
	if (item->estimates < UINT16_MAX)
		item->estimates++;
	item->distance += (estimate - before) / item->estimates;
	return item->distance < before;
}

/* As ann_seen_move. */
extern void ann_met_move(AnnMet *met, AnnMetItem *items, size_t capacity);

#endif							/* ANN_FRONTIER_H */
