/*
 * graph_make.c
 *	  The graph of the rows of an arena, in memory.
 *
 * The algorithms are algo/partition.c's, graph.c's and reach.c's.
 */
#include "postgres.h"

#include "am/graph_make.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* Rows that a member of a team takes at a time. */
#define PIECE 1024

/* Rows whose visit is noted between two checks for interrupts. */
#define VISITS 65536

static void
check_interrupts(void *arg)
{
	CHECK_FOR_INTERRUPTS();
}

void
ann_graph_options(const AnnIndex *info, AnnGraphOptions *options)
{
	ann_graph_options_init(options, info->tree_dim, info->meta.m,
						   info->meta.ef_construction);
	options->seed = info->meta.seed;
	options->check = check_interrupts;
	options->check_arg = NULL;

	/* of a part of the dimensions, the augmentation would be too much */
	if (info->meta.metric == ANN_METRIC_IP)
		options->sketch = info->tree_dim;
}

/* Memory for the partition, later for reaching all nodes. */
static Size
memory_size(const AnnIndex *info, uint32 rows)
{
	AnnGraphOptions options;
	AnnGraph	graph = {.count = rows};

	ann_graph_options(info, &options);
	graph.degree = options.degree;
	return Max(ann_partition_size(rows, &options),
			   Max(ann_reach_scratch_size(&graph), ann_entries_scratch_size(rows)));
}

Size
ann_graph_shared_size(const AnnIndex *info, uint32 rows)
{
	AnnGraphOptions options;

	ann_graph_options(info, &options);
	return 3 * ann_team_array_size(sizeof(float) * (Size) rows) +
		ann_team_array_size(ann_reservoirs_size(rows, &options)) +
		ann_team_array_size(sizeof(uint32) * (Size) rows) + ann_team_array_size(rows) +
		ann_team_array_size(memory_size(info, rows)) +
		ann_team_array_size(sizeof(slock_t) * (Size) rows) +
		ann_team_array_size(ann_graph_size(rows, &options));
}

/* The entries are not shared; carving takes most where all rows are one leader's. */
Size
ann_graph_row_memory(const AnnIndex *info)
{
	const uint32 n = 1000;

	return (ann_graph_shared_size(info, n) + ann_carve_scratch_size(n)) / n + sizeof(uint32);
}

void
ann_merge_rows(AnnArena *arena, AnnTidWriter *tids)
{
	uint32		distinct;

	ann_arena_number(arena);
	distinct = ann_arena_merge(arena, 0, arena->count);
	for (uint32 i = 0; i < distinct; i++)
	{
		CHECK_FOR_INTERRUPTS();
		ann_arena_write_equal(arena, arena->order[i], tids);
	}
	ann_arena_compact(arena, distinct);
}

void
ann_graph_maker_init(AnnGraphMaker *maker, AnnTeam *team, AnnArena *arena)
{
	memset(maker, 0, sizeof(AnnGraphMaker));
	maker->team = team;
	maker->arena = arena;
	maker->context = AllocSetContextCreate(CurrentMemoryContext, "ann graph",
										   ALLOCSET_DEFAULT_SIZES);
	ann_graph_options(arena->info, &maker->options);
}

static void *
allocate(AnnGraphMaker *maker, Size size)
{
	return MemoryContextAllocHuge(maker->context, Max(size, 1));
}

/* ---- Rows meet ---------------------------------------------------------- */

/* The arrays that all members see, each asking for them in this order. */
static void
share_arrays(AnnGraphMaker *maker)
{
	AnnTeam    *team = maker->team;
	AnnTreeRows rows = ann_arena_tree_rows(maker->arena);
	uint32		n = rows.count;
	const AnnGraphOptions *options = &maker->options;
	MemoryContext old = MemoryContextSwitchTo(maker->context);

	float	   *scale = ann_team_array(team, sizeof(float) * (Size) n);
	float	   *norm2 = ann_team_array(team, sizeof(float) * (Size) n);
	float	   *sketch_norm2 = ann_team_array(team, sizeof(float) * (Size) n);

	ann_graph_rows_set(&maker->rows, &rows, scale, norm2);
	ann_graph_rows_sketch(&maker->sketch, &maker->rows, Min((int) options->sketch, rows.dim),
						  sketch_norm2);
	ann_reservoirs_init(&maker->reservoirs, n, options,
						ann_team_array(team, ann_reservoirs_size(n, options)));
	maker->visits.order = ann_team_array(team, sizeof(uint32) * (Size) n);
	maker->visits.seen = ann_team_array(team, n);
	maker->memory = ann_team_array(team, memory_size(maker->arena->info, n));
	maker->locks = ann_team_is_alone(team) ? NULL
		: ann_team_array(team, sizeof(slock_t) * (Size) n);
	ann_graph_init(&maker->graph, n, options,
				   ann_team_array(team, ann_graph_size(n, options)));
	MemoryContextSwitchTo(old);
}

/* Set what must be set of each row. */
static void
begin_rows(AnnGraphMaker *maker)
{
	AnnTreeRows rows = ann_arena_tree_rows(maker->arena);
	float		unit = ann_graph_unit(&rows);
	uint64		first;
	uint64		n;

	while (ann_team_take(maker->team, rows.count, PIECE, &first, &n))
	{
		ann_graph_rows_fill(unit, &rows, (uint32) first, (uint32) n,
							unconstify(float *, maker->rows.rows.scale),
							unconstify(float *, maker->rows.norm2));
		ann_graph_norms_fill(&maker->sketch, (uint32) first, (uint32) n,
							 unconstify(float *, maker->sketch.norm2));
		ann_reservoirs_empty(&maker->reservoirs, (uint32) first, (uint32) n);
		for (uint64 i = first; i < first + n && maker->locks != NULL; i++)
			SpinLockInit(&maker->locks[i]);
	}
}

static void
add_edge(void *arg, uint32_t from, uint32_t to, float distance)
{
	AnnGraphMaker *maker = arg;

	if (maker->locks == NULL)
		ann_reservoirs_add(&maker->reservoirs, from, to, distance);
	else
	{
		SpinLockAcquire(&maker->locks[from]);
		ann_reservoirs_add(&maker->reservoirs, from, to, distance);
		SpinLockRelease(&maker->locks[from]);
	}
}

static void
link_leaf(void *arg, const uint32_t *rows, uint32_t n)
{
	AnnGraphMaker *maker = arg;

	ann_reservoirs_expect(&maker->reservoirs, rows, n);
	ann_leaf_edges(&maker->sketch, rows, n, &maker->options, add_edge, maker,
				   maker->leaf_scratch);
	maker->joined += n;
	ann_team_report(maker->team, maker->joined / maker->options.fanout);
	maker->joined %= maker->options.fanout;
}

/* Tell each row's nearest leaders. */
static void
route_rows(AnnGraphMaker *maker, AnnPartition *partition)
{
	char	   *memory = palloc(ann_tile_size(ANN_MAX_LEADERS));
	AnnTile		leaders;
	uint64		first;
	uint64		n;

	ann_tile_init(&leaders, ANN_MAX_LEADERS, memory);
	ann_partition_leaders(partition, &leaders);
	while (ann_team_take(maker->team, maker->arena->count, PIECE, &first, &n))
		ann_partition_route(partition, &leaders, (uint32) first, (uint32) n);
	pfree(memory);
}

/* Compare rows that have a leader in common. */
static void
carve_groups(AnnGraphMaker *maker, AnnPartition *partition)
{
	uint32		groups = ann_partition_groups(partition);
	uint32		largest = 0;
	char	   *scratch;
	uint64		group;
	uint64		n;

	for (uint32 i = 0; i < groups; i++)
		largest = Max(largest, ann_partition_group_size(partition, i));
	scratch = allocate(maker, ann_carve_scratch_size(largest));
	maker->leaf_scratch = allocate(maker, ann_leaf_scratch_size(&maker->options));
	while (ann_team_take(maker->team, groups, 1, &group, &n))
		ann_partition_carve(partition, (uint32) group, link_leaf, maker, scratch);
	pfree(maker->leaf_scratch);
	pfree(scratch);
}

/* The leader tells in which order rows came. */
static void
order_visits(AnnGraphMaker *maker, const AnnPartition *partition)
{
	const uint32 *rows;
	size_t		n = ann_partition_leaves(partition, &rows);

	ann_visits_init(&maker->visits, maker->arena->count, maker->visits.order,
					maker->visits.seen);
	for (size_t i = 0; i < n; i += VISITS)
	{
		CHECK_FOR_INTERRUPTS();
		ann_visits_add(&maker->visits, rows + i, Min(n - i, VISITS));
	}
}

void
ann_graph_meet(AnnGraphMaker *maker)
{
	AnnTeam    *team = maker->team;
	AnnPartition partition;

	share_arrays(maker);
	begin_rows(maker);
	ann_partition_init(&partition, &maker->sketch, &maker->options, maker->memory);
	if (ann_team_leads(team))
		ann_partition_lead(&partition);
	ann_team_wait(team);
	route_rows(maker, &partition);
	ann_team_wait(team);
	if (ann_team_leads(team))
		ann_partition_sort(&partition);
	ann_team_wait(team);
	carve_groups(maker, &partition);
	ann_team_wait(team);
	if (ann_team_leads(team))
		order_visits(maker, &partition);
	ann_team_wait(team);
}

/* ---- Rows choose -------------------------------------------------------- */

/* Choose the neighbours of all rows from their reservoirs. */
static void
prune_rows(AnnGraphMaker *maker)
{
	char	   *scratch = allocate(maker, ann_prune_row_scratch_size(&maker->options));
	uint64		first;
	uint64		n;

	while (ann_team_take(maker->team, maker->arena->count, PIECE, &first, &n))
	{
		for (uint64 i = first; i < first + n; i++)
		{
			CHECK_FOR_INTERRUPTS();
			ann_prune_row(&maker->graph, &maker->rows, &maker->reservoirs,
						  maker->visits.order[i], &maker->options, scratch);
		}
	}
	pfree(scratch);
}

/*
 * The reservoirs become the neighbours that rows have, and the rows whose neighbours
 * they are.  What a row is chosen by is rarely what it chooses: in a dense region
 * others are nearer to it, and searches would have no way out.
 */
static void
meet_again(AnnGraphMaker *maker)
{
	uint64		first;
	uint64		n;

	while (ann_team_take(maker->team, maker->arena->count, PIECE, &first, &n))
	{
		for (uint64 i = first; i < first + n; i++)
			ann_reservoirs_keep_links(&maker->reservoirs, &maker->graph, maker->visits.order[i]);
	}
	ann_team_wait(maker->team);
	while (ann_team_take(maker->team, maker->arena->count, PIECE, &first, &n))
	{
		for (uint64 i = first; i < first + n; i++)
			ann_graph_return_links(&maker->graph, &maker->sketch, maker->visits.order[i],
								   add_edge, maker);
	}
}

/* The leader makes all nodes reachable. */
static void
reach_rows(AnnGraphMaker *maker)
{
	uint32		n = maker->arena->count;
	const AnnGraphOptions *options = &maker->options;

	maker->entries.nodes = allocate(maker, sizeof(uint32) * (Size) n);
	ann_entries_draw(&maker->entries, n, options->seed);
	ann_entries_complete(&maker->entries, &maker->graph, &maker->sketch, options, maker->memory);
	ann_graph_make_reachable(&maker->graph, &maker->rows, &maker->entries, options, maker->memory);
}

void
ann_graph_choose(AnnGraphMaker *maker)
{
	AnnTeam    *team = maker->team;

	prune_rows(maker);
	ann_team_wait(team);
	meet_again(maker);
	ann_team_wait(team);
	prune_rows(maker);
	ann_team_wait(team);
	if (ann_team_leads(team))
		reach_rows(maker);
}

void
ann_graph_forget(AnnGraphMaker *maker)
{
	MemoryContextReset(maker->context);
}
