/*
 * frontier.c
 *	  The heaps, the set and the map of a search, against naive ones, by random
 *	  operations.
 *
 * The arrays end at a fault, so that one entry too many is a crash.
 */
#include <math.h>
#include <string.h>

#include "algo/frontier.h"
#include "unit.h"

#define MAX_SIZE 2000

/* A float of few different values, infinities included, so that many tie. */
static float
random_cost(void)
{
	uint64_t	bits = random_bits();

	if (bits % 50 == 0)
		return INFINITY;
	if (bits % 50 == 1)
		return -INFINITY;
	return (float) (bits >> 8 & 63) - 20;
}

static void *
array(size_t n, size_t size)
{
	return guarded_memory(n * size);
}

/*
 * The heap, against an array that is searched from end to end
 */

static AnnCandidate naive[MAX_SIZE];
static size_t naive_size;

static size_t
naive_cheapest(void)
{
	size_t		best = 0;

	for (size_t i = 1; i < naive_size; i++)
	{
		if (naive[i].cost < naive[best].cost ||
			(naive[i].cost == naive[best].cost && naive[i].item < naive[best].item))
			best = i;
	}
	return best;
}

static bool
push_both(AnnFrontier *heap, size_t capacity)
{
	float		cost = random_cost();
	uint64_t	item = random_bits() >> (random_bits() % 64);
	bool		room = naive_size < capacity;

	if (room)
	{
		naive[naive_size].cost = cost;
		naive[naive_size].item = item;
		naive_size++;
	}
	return ann_frontier_push(heap, cost, item) == room;
}

static bool
pop_both(AnnFrontier *heap)
{
	AnnCandidate wanted,
				got;
	size_t		best;

	if (naive_size == 0)
		return ann_frontier_peek(heap) == NULL && !ann_frontier_pop(heap, &got);
	best = naive_cheapest();
	wanted = naive[best];
	naive[best] = naive[--naive_size];
	return ann_frontier_peek(heap)->item == wanted.item &&
		ann_frontier_pop(heap, &got) &&
		got.cost == wanted.cost && got.item == wanted.item;
}

static void
test_frontier(size_t capacity)
{
	AnnFrontier heap;
	bool		same = true;

	naive_size = 0;
	ann_frontier_init(&heap, array(capacity, sizeof(AnnCandidate)), capacity);
	for (int i = 0; i < 20000; i++)
	{
		/* mostly growing for a while, then mostly shrinking */
		if ((int) (random_bits() % 100) < (i / 1000 % 2 ? 30 : 70))
			same &= push_both(&heap, capacity);
		else
			same &= pop_both(&heap);
		same &= heap.size == naive_size;
	}
	while (naive_size > 0)
		same &= pop_both(&heap);
	ok(same && pop_both(&heap), "heap of %zu: pushes and pops", capacity);
}

static void
test_frontier_growth(void)
{
	AnnFrontier heap;
	bool		same = true;
	size_t		capacity = 1;

	naive_size = 0;
	ann_frontier_init(&heap, array(capacity, sizeof(AnnCandidate)), capacity);
	while (naive_size < MAX_SIZE / 2)
	{
		if (heap.size == capacity)
		{
			AnnCandidate *larger = array(2 * capacity, sizeof(AnnCandidate));

			same &= push_both(&heap, capacity);
			memcpy(larger, heap.entries, capacity * sizeof(AnnCandidate));
			heap.entries = larger;
			heap.capacity = capacity *= 2;
		}
		same &= push_both(&heap, capacity);
	}
	while (naive_size > 0)
		same &= pop_both(&heap);
	ok(same, "heap: enlarged by the caller");
}

/*
 * The threshold, against sorting
 */

static int
compare_floats(const void *a, const void *b)
{
	float		x = *(const float *) a,
				y = *(const float *) b;

	return (x > y) - (x < y);
}

static void
test_threshold(size_t k)
{
	static float all[MAX_SIZE];
	AnnThreshold threshold;
	bool		same = true;

	for (int round = 0; round < 10; round++)
	{
		ann_threshold_init(&threshold, array(k, sizeof(float)), k);
		same &= ann_threshold_get(&threshold) == INFINITY;
		for (size_t n = 1; n <= 300; n++)
		{
			float		value = round % 2 ? random_cost() : (float) random_unit();

			ann_threshold_offer(&threshold, value);
			all[n - 1] = value;
			qsort(all, n, sizeof(float), compare_floats);
			same &= ann_threshold_get(&threshold) == (n < k ? INFINITY : all[k - 1]);
		}
	}
	ok(same, "threshold: value %zu of those offered", k);
}

/*
 * The set, against an array
 */

static uint64_t keys[MAX_SIZE];
static size_t num_keys;

static bool
naive_contains(uint64_t key)
{
	for (size_t i = 0; i < num_keys; i++)
	{
		if (keys[i] == key)
			return true;
	}
	return false;
}

/* Insert into both; the set has to refuse at three quarters. */
static bool
insert_both(AnnSeen *seen, uint64_t key)
{
	bool		before = naive_contains(key);
	bool		full = num_keys >= seen->capacity / 4 * 3;
	AnnSeenResult wanted = before ? ANN_SEEN_BEFORE : full ? ANN_SEEN_FULL : ANN_SEEN_NEW;

	if (wanted == ANN_SEEN_NEW)
		keys[num_keys++] = key;
	return ann_seen_contains(seen, key) == before &&
		ann_seen_insert(seen, key) == wanted &&
		ann_seen_contains(seen, key) == (wanted != ANN_SEEN_FULL) &&
		seen->size == num_keys;
}

/* Keys as they come: small numbers, addresses of pages, anything. */
static uint64_t
random_key(int kind)
{
	switch (kind)
	{
		case 0:
			return random_bits() % 1000;
		case 1:
			return (random_bits() % 1000) << 48;
		default:
			return random_bits() % 4 ? (random_bits() % 100) << 16 : random_bits() >> 1;
	}
}

static void
test_seen(int kind, size_t capacity)
{
	AnnSeen		seen;
	bool		same = true;

	num_keys = 0;
	ann_seen_init(&seen, array(capacity, sizeof(uint64_t)), capacity);
	for (int i = 0; i < 1500; i++)
		same &= insert_both(&seen, random_key(kind));
	ok(same, "set of %zu, keys of kind %d: inserts until full", capacity, kind);

	while (seen.capacity < 4096)
	{
		ann_seen_move(&seen, array(2 * seen.capacity, sizeof(uint64_t)), 2 * seen.capacity);
		for (size_t i = 0; i < num_keys; i++)
			same &= ann_seen_contains(&seen, keys[i]);
		for (int i = 0; i < 100; i++)
			same &= insert_both(&seen, random_key(kind));
	}
	ok(same, "set of %zu, keys of kind %d: moved to more room", capacity, kind);

	ann_seen_init(&seen, seen.slots, seen.capacity);
	same = seen.size == 0;
	for (size_t i = 0; i < num_keys; i++)
		same &= !ann_seen_contains(&seen, keys[i]);
	ok(same, "set of %zu, keys of kind %d: emptied", capacity, kind);
}

/*
 * The map, against sums in the order of the keys
 */

static double sums[MAX_SIZE];
static int	estimates[MAX_SIZE];

static size_t
find_key(uint64_t key)
{
	size_t		i = 0;

	while (i < num_keys && keys[i] != key)
		i++;
	return i;
}

/* One more estimate of an item; false if it goes wrong. */
static bool
estimate_both(AnnMet *met, uint64_t key)
{
	size_t		i = find_key(key);
	bool		full = i == num_keys && met->size >= met->capacity / 4 * 3;
	float		estimate = (float) (random_bits() % 1000);
	AnnMetItem *item = ann_met_find(met, key);
	float		before;
	bool		sank;

	if (full || item == NULL)
		return full && item == NULL && met->size == num_keys;
	if (i == num_keys)
	{
		if (item->estimates != 0 || item->state != 0)
			return false;
		item->state = (uint16_t) (key % 1000);
		keys[num_keys++] = key;
		sums[i] = 0;
		estimates[i] = 0;
	}
	before = item->distance;
	sank = ann_met_estimate(item, estimate);
	sums[i] += estimate;
	estimates[i]++;
	return item->key == key && item->state == key % 1000 &&
		item->estimates == estimates[i] &&
		fabs(item->distance - sums[i] / estimates[i]) < 0.01 &&
		sank == (estimates[i] == 1 || item->distance < before) && met->size == num_keys;
}

static void
test_met(int kind, size_t capacity)
{
	AnnMet		met;
	bool		same = true;

	num_keys = 0;
	ann_met_init(&met, array(capacity, sizeof(AnnMetItem)), capacity);
	for (int i = 0; i < 1500; i++)
		same &= estimate_both(&met, random_key(kind));
	ok(same, "map of %zu, keys of kind %d: means until full", capacity, kind);

	while (met.capacity < 2048)
	{
		ann_met_move(&met, array(2 * met.capacity, sizeof(AnnMetItem)), 2 * met.capacity);
		for (int i = 0; i < 100; i++)
			same &= estimate_both(&met, random_key(kind));
	}
	ok(same, "map of %zu, keys of kind %d: moved to more room", capacity, kind);
}

int
main(void)
{
	test_frontier(1);
	test_frontier(2);
	test_frontier(100);
	test_frontier(MAX_SIZE);
	test_frontier_growth();
	test_threshold(1);
	test_threshold(2);
	test_threshold(10);
	test_threshold(100);
	test_threshold(301);
	for (int kind = 0; kind < 3; kind++)
	{
		test_seen(kind, 4);
		test_seen(kind, 1024);
		test_met(kind, 4);
		test_met(kind, 1024);
	}
	return done();
}
