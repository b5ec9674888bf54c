/*
 * reach.c
 *	  Searches, and what they cannot find.
 *
 * To make a graph reachable we walk it breadth first from the entries, and note
 * for each node the parent that it was reached from.  The edges from parents
 * form a tree that leads to every reached node; any other edge can be given up
 * without losing one.
 */
#include "algo/reach.h"

#include <string.h>

#include "algo/scratch.h"

/* Fewest entries, and rows that are looked at together. */
#define MIN_ENTRIES 8
#define ENTRY_CHUNK 64

/* Candidates that may take an unreached node in. */
#define REACH_BREADTH 16

/*
 * A node is near an entry whose squared distance from it is no more times that of its
 * neighbour of this rank (or its last one).
 */
#define NEAR 9
#define NEAR_RANK 4

/* Nodes that are worked on between two checks for interrupts. */
#define NODES_PER_CHECK 64

#define NO_NODE UINT32_MAX

/* Knuth's algorithm S. */
void
ann_entries_draw(AnnEntries *entries, uint32_t nodes, uint64_t seed)
{
	uint32_t	wanted = nodes / ANN_NODES_PER_ENTRY;
	AnnRandom	random;

	wanted = wanted < MIN_ENTRIES ? MIN_ENTRIES : wanted;
	wanted = wanted > nodes ? nodes : wanted;
	ann_random_seed(&random, seed);
	entries->count = 0;
	for (uint32_t i = 0; entries->count < wanted; i++)
	{
		if (ann_random_below(&random, nodes - i) < wanted - entries->count)
			entries->nodes[entries->count++] = i;
	}
}

static inline void
check_at(const AnnGraphOptions *options, uint32_t i)
{
	if (i % NODES_PER_CHECK == 0 && options->check != NULL)
		options->check(options->check_arg);
}

/*
 * Entries
 */

typedef struct Regions
{
	const AnnGraph *graph;
	const AnnGraphRows *rows;
	const AnnGraphOptions *options;
	uint32_t   *entry;			/* that a node is near; NO_NODE: none is known */
	uint32_t   *queue;
} Regions;

size_t
ann_entries_scratch_size(uint32_t nodes)
{
	return 2 * ann_scratch_bytes(sizeof(uint32_t) * (size_t) nodes);
}

/*
 * Is a node near an entry?  Rows that are nearer to one another than bytes can tell
 * are so in any case.
 */
static bool
is_near(const Regions *regions, uint32_t node, uint32_t entry)
{
	const AnnGraphRows *rows = regions->rows;
	uint32_t	degree = regions->graph->degrees[node];
	float		scale = rows->rows.scale[node];
	float		usual = scale * scale * (float) rows->rows.dim / 6;
	float		d = ann_graph_distance(rows, node, entry);

	if (degree == 0)
		return false;
	if (d <= NEAR * usual)
		return true;
	return d <= NEAR * ann_graph_distance(rows, node, ann_graph_links(regions->graph, node)
										  [degree > NEAR_RANK ? NEAR_RANK : degree - 1]);
}

/* From a node that is near an entry, go on to others that are. */
static void
flood(Regions *regions, uint32_t node, uint32_t entry)
{
	uint32_t	head = 0;
	uint32_t	tail = 0;

	regions->entry[node] = entry;
	regions->queue[tail++] = node;
	while (head < tail)
	{
		uint32_t	from = regions->queue[head];
		const uint32_t *links = ann_graph_links(regions->graph, from);

		check_at(regions->options, head++);
		for (uint32_t i = 0; i < regions->graph->degrees[from]; i++)
		{
			if (regions->entry[links[i]] != NO_NODE || !is_near(regions, links[i], entry))
				continue;
			regions->entry[links[i]] = entry;
			regions->queue[tail++] = links[i];
		}
	}
}

/* An entry that the node is near, by what is known of its neighbours; or NO_NODE. */
static uint32_t
entry_of_neighbours(const Regions *regions, uint32_t node)
{
	const uint32_t *links = ann_graph_links(regions->graph, node);

	for (uint32_t i = 0; i < regions->graph->degrees[node]; i++)
	{
		uint32_t	entry = regions->entry[links[i]];

		if (entry != NO_NODE && is_near(regions, node, entry))
			return entry;
	}
	return NO_NODE;
}

void
ann_entries_complete(AnnEntries *entries, const AnnGraph *graph, const AnnGraphRows *rows,
					 const AnnGraphOptions *options, void *scratch)
{
	size_t		bytes = sizeof(uint32_t) * (size_t) graph->count;
	Regions		regions = {.graph = graph, .rows = rows, .options = options};
	char	   *block = scratch;
	uint32_t	drawn = entries->count;

	regions.entry = ann_scratch_take(&block, bytes);
	regions.queue = ann_scratch_take(&block, bytes);
	memset(regions.entry, 0xff, bytes);	/* NO_NODE */
	for (uint32_t i = 0; i < drawn; i++)
		flood(&regions, entries->nodes[i], entries->nodes[i]);
	for (uint32_t node = 0; node < graph->count; node++)
	{
		uint32_t	entry;

		check_at(options, node);
		if (regions.entry[node] != NO_NODE)
			continue;
		entry = entry_of_neighbours(&regions, node);
		if (entry == NO_NODE)
			entries->nodes[entries->count++] = entry = node;
		flood(&regions, node, entry);
	}
}

/*
 * Searching
 */

static uint32_t
walk_tile_rows(const AnnGraph *graph)
{
	return graph->degree > ENTRY_CHUNK ? graph->degree : ENTRY_CHUNK;
}

size_t
ann_walk_size(const AnnGraph *graph, uint32_t breadth)
{
	size_t		rows = walk_tile_rows(graph);

	return ann_scratch_bytes(sizeof(uint64_t) * ((size_t) breadth + 1)) +
		ann_scratch_bytes(ann_tile_size((uint32_t) rows)) +
		ann_scratch_bytes(sizeof(uint32_t) * rows) +
		ann_scratch_bytes(sizeof(float) * (rows + 4)) +
		ann_scratch_bytes(sizeof(uint32_t) * (size_t) graph->count);
}

void
ann_walk_init(AnnWalk *walk, const AnnGraph *graph, const AnnGraphRows *rows,
			  uint32_t breadth, void *memory)
{
	uint32_t	tile_rows = walk_tile_rows(graph);
	char	   *block = memory;

	walk->graph = graph;
	walk->rows = rows;
	walk->breadth = breadth;
	walk->candidates = ann_scratch_take(&block, sizeof(uint64_t) * ((size_t) breadth + 1));
	ann_tile_init(&walk->tile, tile_rows, ann_scratch_take(&block, ann_tile_size(tile_rows)));
	walk->numbers = ann_scratch_take(&block, sizeof(uint32_t) * tile_rows);
	walk->d = ann_scratch_take(&block, sizeof(float) * ((size_t) tile_rows + 4));
	walk->seen = ann_scratch_take(&block, sizeof(uint32_t) * (size_t) graph->count);
	walk->search = 0;
	memset(walk->seen, 0, sizeof(uint32_t) * (size_t) graph->count);
}

/* Put a node into the candidates; returns its place, 'breadth' if it has none. */
static uint32_t
add_candidate(AnnWalk *walk, float distance, uint32_t node)
{
	uint64_t	candidate = ann_candidate_make(distance, node << 1);
	uint64_t   *candidates = walk->candidates;
	uint32_t	at = walk->found;

	if (at == walk->breadth && candidate >= candidates[at - 1])
		return at;
	for (; at > 0 && candidate < candidates[at - 1]; at--)
		candidates[at] = candidates[at - 1];
	candidates[at] = candidate;
	walk->found += walk->found < walk->breadth;
	return at;
}

/* The nearest entries become the first candidates. */
static void
start(AnnWalk *walk, const AnnTile *query, const AnnEntries *entries)
{
	walk->found = 0;
	for (uint32_t first = 0; first < entries->count; first += ENTRY_CHUNK)
	{
		const uint32_t *nodes = entries->nodes + first;
		uint32_t	n = entries->count - first;

		n = n < ENTRY_CHUNK ? n : ENTRY_CHUNK;
		walk->tile.n = 0;
		for (uint32_t i = 0; i < n; i++)
			ann_tile_add_row(&walk->tile, walk->rows, nodes[i]);
		ann_tile_distances1(&walk->tile, 0, query, 0, walk->rows->rows.dim, walk->d);
		for (uint32_t i = 0; i < n; i++)
			add_candidate(walk, walk->d[i], nodes[i]);
	}
}

/* Look at those nodes that were not seen yet; returns the best place one got. */
static uint32_t
look_at(AnnWalk *walk, const AnnTile *query, const uint32_t *nodes, uint32_t n)
{
	uint32_t	best = walk->breadth;

	walk->tile.n = 0;
	for (uint32_t i = 0; i < n; i++)
	{
		if (walk->seen[nodes[i]] == walk->search)
			continue;
		walk->seen[nodes[i]] = walk->search;
		walk->numbers[walk->tile.n] = nodes[i];
		ann_tile_add_row(&walk->tile, walk->rows, nodes[i]);
	}
	ann_tile_distances1(&walk->tile, 0, query, 0, walk->rows->rows.dim, walk->d);
	for (uint32_t i = 0; i < walk->tile.n; i++)
	{
		uint32_t	at = add_candidate(walk, walk->d[i], walk->numbers[i]);

		best = at < best ? at : best;
	}
	return best;
}

/*
 * Entries that did not become candidates are not marked as seen: if they are met
 * again they are too far again.
 */
void
ann_walk_search(AnnWalk *walk, const AnnTile *query, const AnnEntries *entries)
{
	uint64_t   *candidates = walk->candidates;

	start(walk, query, entries);
	walk->search++;
	for (uint32_t i = 0; i < walk->found; i++)
		walk->seen[ann_walk_node(walk, i)] = walk->search;
	for (uint32_t i = 0; i < walk->found;)
	{
		uint32_t	node = ann_walk_node(walk, i);
		uint32_t	best;

		if (candidates[i] & 1)
		{
			i++;
			continue;
		}
		candidates[i] |= 1;
		best = look_at(walk, query, ann_graph_links(walk->graph, node),
					   walk->graph->degrees[node]);
		i = best <= i ? best : i + 1;
	}
}

/*
 * Reaching all nodes
 */

typedef struct Reach
{
	AnnGraph   *graph;
	const AnnGraphRows *rows;
	const AnnGraphOptions *options;
	uint32_t   *parent;			/* NO_NODE if not reached, itself of an entry */
	uint32_t   *queue;
	uint32_t	head;
	uint32_t	tail;
} Reach;

size_t
ann_reach_scratch_size(const AnnGraph *graph)
{
	return 2 * ann_scratch_bytes(sizeof(uint32_t) * (size_t) graph->count) +
		ann_walk_size(graph, REACH_BREADTH);
}

static void
reached(Reach *reach, uint32_t node, uint32_t parent)
{
	reach->parent[node] = parent;
	reach->queue[reach->tail++] = node;
}

/* Go on from what is in the queue. */
static void
go_on(Reach *reach)
{
	while (reach->head < reach->tail)
	{
		uint32_t	node = reach->queue[reach->head];
		const uint32_t *links = ann_graph_links(reach->graph, node);

		check_at(reach->options, reach->head++);
		for (uint32_t i = 0; i < reach->graph->degrees[node]; i++)
		{
			if (reach->parent[links[i]] == NO_NODE)
				reached(reach, links[i], node);
		}
	}
}

/*
 * Make the node a neighbour of this reached one, if it has room or an edge to
 * spare.
 */
static bool
take_in(Reach *reach, uint32_t from, uint32_t node)
{
	uint32_t   *links = ann_graph_links(reach->graph, from);
	float		d = ann_graph_distance(reach->rows, from, node);
	uint32_t	end = reach->graph->degrees[from];
	uint32_t	at;

	if (end < reach->graph->degree)
		reach->graph->degrees[from]++;
	else
	{
		while (end > 0 && reach->parent[links[end - 1]] == from)
			end--;
		if (end == 0)
			return false;
		end--;
	}

	/* links[end] is free: make room for the node where it belongs */
	for (at = end; at > 0 && ann_graph_distance(reach->rows, from, links[at - 1]) > d; at--)
		links[at] = links[at - 1];
	for (; at + 1 < reach->graph->degrees[from] &&
		 ann_graph_distance(reach->rows, from, links[at + 1]) < d; at++)
		links[at] = links[at + 1];
	links[at] = node;
	reached(reach, node, from);
	return true;
}

/* Search for a node. */
static void
search_for(AnnWalk *walk, uint32_t node, const AnnEntries *entries)
{
	const int8_t *row;
	float		scale;
	float		norm2;
	AnnTile		query = {&row, &scale, &norm2, 0};

	ann_tile_add_row(&query, walk->rows, node);
	ann_walk_search(walk, &query, entries);
}

/* Find a reached node that takes this one in; false if there is none. */
static bool
attach(Reach *reach, AnnWalk *walk, uint32_t node, const AnnEntries *entries)
{
	const uint32_t *links = ann_graph_links(reach->graph, node);

	for (uint32_t i = 0; i < reach->graph->degrees[node]; i++)
	{
		if (reach->parent[links[i]] != NO_NODE && take_in(reach, links[i], node))
			return true;
	}
	search_for(walk, node, entries);
	for (uint32_t i = 0; i < walk->found; i++)
	{
		if (take_in(reach, ann_walk_node(walk, i), node))
			return true;
	}
	return false;
}

void
ann_graph_make_reachable(AnnGraph *graph, const AnnGraphRows *rows,
						 AnnEntries *entries, const AnnGraphOptions *options,
						 void *scratch)
{
	size_t		bytes = sizeof(uint32_t) * (size_t) graph->count;
	Reach		reach = {.graph = graph, .rows = rows, .options = options};
	char	   *block = scratch;
	AnnWalk		walk;

	reach.parent = ann_scratch_take(&block, bytes);
	reach.queue = ann_scratch_take(&block, bytes);
	ann_walk_init(&walk, graph, rows, REACH_BREADTH, block);
	memset(reach.parent, 0xff, bytes);	/* NO_NODE */
	for (uint32_t i = 0; i < entries->count; i++)
		reached(&reach, entries->nodes[i], entries->nodes[i]);
	go_on(&reach);
	for (uint32_t node = 0; node < graph->count; node++)
	{
		if (reach.parent[node] != NO_NODE)
			continue;
		if (!attach(&reach, &walk, node, entries))
		{
			entries->nodes[entries->count++] = node;
			reached(&reach, node, node);
		}
		go_on(&reach);
	}
}
