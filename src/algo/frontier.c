/*
 * frontier.c
 *	  The heaps, the set and the map of a search.
 *
 * Both heaps sift a hole instead of swapping entries: the entry on its way is
 * written once, where it comes to rest.
 */
#include <math.h>
#include <string.h>

#include "algo/frontier.h"
#include "algo/random.h"

static inline bool
before(const AnnCandidate *a, const AnnCandidate *b)
{
	return a->cost < b->cost || (a->cost == b->cost && a->item < b->item);
}

void
ann_frontier_init(AnnFrontier *frontier, AnnCandidate *entries, size_t capacity)
{
	frontier->entries = entries;
	frontier->size = 0;
	frontier->capacity = capacity;
}

bool
ann_frontier_push(AnnFrontier *frontier, float cost, uint64_t item)
{
	AnnCandidate *entries = frontier->entries;
	AnnCandidate added = {cost, item};
	size_t		hole = frontier->size;

	if (frontier->size == frontier->capacity)
		return false;
	frontier->size++;
	while (hole > 0 && before(&added, &entries[(hole - 1) / 2]))
	{
		entries[hole] = entries[(hole - 1) / 2];
		hole = (hole - 1) / 2;
	}
	entries[hole] = added;
	return true;
}

bool
ann_frontier_pop(AnnFrontier *frontier, AnnCandidate *cheapest)
{
	AnnCandidate *entries = frontier->entries;
	AnnCandidate last;
	size_t		size,
				hole = 0,
				child;

	if (frontier->size == 0)
		return false;
	*cheapest = entries[0];
	size = --frontier->size;
	last = entries[size];
	while ((child = 2 * hole + 1) < size)
	{
		if (child + 1 < size && before(&entries[child + 1], &entries[child]))
			child++;
		if (!before(&entries[child], &last))
			break;
		entries[hole] = entries[child];
		hole = child;
	}
	entries[hole] = last;
	return true;
}

void
ann_threshold_init(AnnThreshold *threshold, float *values, size_t k)
{
	threshold->values = values;
	threshold->size = 0;
	threshold->k = k;
}

/* Put a value into the heap while it is not full. */
static void
add_value(AnnThreshold *threshold, float value)
{
	float	   *values = threshold->values;
	size_t		hole = threshold->size++;

	while (hole > 0 && values[(hole - 1) / 2] < value)
	{
		values[hole] = values[(hole - 1) / 2];
		hole = (hole - 1) / 2;
	}
	values[hole] = value;
}

/* Put a value into the full heap in place of the largest. */
static void
replace_largest(AnnThreshold *threshold, float value)
{
	float	   *values = threshold->values;
	size_t		hole = 0,
				child;

	while ((child = 2 * hole + 1) < threshold->k)
	{
		if (child + 1 < threshold->k && values[child + 1] > values[child])
			child++;
		if (values[child] <= value)
			break;
		values[hole] = values[child];
		hole = child;
	}
	values[hole] = value;
}

void
ann_threshold_offer(AnnThreshold *threshold, float value)
{
	if (threshold->size < threshold->k)
		add_value(threshold, value);
	else if (value < threshold->values[0])
		replace_largest(threshold, value);
}

float
ann_threshold_get(const AnnThreshold *threshold)
{
	return threshold->size < threshold->k ? INFINITY : threshold->values[0];
}

void
ann_seen_init(AnnSeen *seen, uint64_t *slots, size_t capacity)
{
	/* every byte of ANN_SEEN_NOTHING is 0xff */
	memset(slots, 0xff, capacity * sizeof(*slots));
	seen->slots = slots;
	seen->size = 0;
	seen->capacity = capacity;
}

/* The slot that holds the key, or the empty one where it belongs. */
static inline uint64_t *
find_slot(const AnnSeen *seen, uint64_t key)
{
	size_t		mask = seen->capacity - 1;
	size_t		i = (size_t) ann_mix64(key) & mask;

	while (seen->slots[i] != key && seen->slots[i] != ANN_SEEN_NOTHING)
		i = (i + 1) & mask;
	return &seen->slots[i];
}

AnnSeenResult
ann_seen_insert(AnnSeen *seen, uint64_t key)
{
	uint64_t   *slot = find_slot(seen, key);

	if (*slot == key)
		return ANN_SEEN_BEFORE;
	if (seen->size >= seen->capacity / 4 * 3)
		return ANN_SEEN_FULL;
	*slot = key;
	seen->size++;
	return ANN_SEEN_NEW;
}

bool
ann_seen_contains(const AnnSeen *seen, uint64_t key)
{
	return *find_slot(seen, key) == key;
}

void
ann_seen_move(AnnSeen *seen, uint64_t *slots, size_t capacity)
{
	AnnSeen		old = *seen;

	ann_seen_init(seen, slots, capacity);
	for (size_t i = 0; i < old.capacity; i++)
	{
		if (old.slots[i] != ANN_SEEN_NOTHING)
			ann_seen_insert(seen, old.slots[i]);
	}
}

void
ann_met_init(AnnMet *met, AnnMetItem *items, size_t capacity)
{
	for (size_t i = 0; i < capacity; i++)
		items[i].key = ANN_SEEN_NOTHING;
	met->items = items;
	met->size = 0;
	met->capacity = capacity;
}

/* The item of the key, or the empty one where it belongs. */
static inline AnnMetItem *
find_item(const AnnMet *met, uint64_t key)
{
	size_t		mask = met->capacity - 1;
	size_t		i = (size_t) ann_mix64(key) & mask;

	while (met->items[i].key != key && met->items[i].key != ANN_SEEN_NOTHING)
		i = (i + 1) & mask;
	return &met->items[i];
}

AnnMetItem *
ann_met_find(AnnMet *met, uint64_t key)
{
	AnnMetItem *item = find_item(met, key);
	AnnMetItem	none = {key, 0, 0, 0};

	if (item->key == key)
		return item;
	if (met->size >= met->capacity / 4 * 3)
		return NULL;
	*item = none;
	met->size++;
	return item;
}

void
ann_met_move(AnnMet *met, AnnMetItem *items, size_t capacity)
{
	AnnMet		old = *met;

	ann_met_init(met, items, capacity);
	for (size_t i = 0; i < old.capacity; i++)
	{
		if (old.items[i].key != ANN_SEEN_NOTHING)
			*find_item(met, old.items[i].key) = old.items[i];
	}
	met->size = old.size;
}
