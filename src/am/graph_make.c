/*
 * graph_make.c
 *	  The graph of the rows of an arena, in memory.
 *
 * The algorithms are algo/partition.c's, graph.c's and reach.c's.
 */
#include "postgres.h"

#include "access/genam.h"
#include "am/graph_make.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"

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

Size
ann_graph_row_memory(const AnnIndex *info)
{
	const uint32 n = 1000;
	AnnGraphOptions options;
	AnnGraph	graph = {.count = n};
	Size		divide;

	/* dividing is over when reaching begins */
	ann_graph_options(info, &options);
	graph.degree = options.degree;
	divide = ann_partition_scratch_size(n, &options);
	return (ann_reservoirs_size(n, &options) + ann_graph_size(n, &options) +
			Max(divide, ann_reach_scratch_size(&graph))) / n +
		3 * sizeof(float) + 2 * sizeof(uint32) + 1;
}

void
ann_merge_rows(AnnArena *arena, AnnTidWriter *tids)
{
	uint32		distinct = ann_arena_merge(arena);

	for (uint32 i = 0; i < distinct; i++)
	{
		CHECK_FOR_INTERRUPTS();
		ann_arena_write_equal(arena, arena->order[i], tids);
	}
	ann_arena_compact(arena, distinct);
}

void
ann_graph_maker_init(AnnGraphMaker *maker, AnnArena *arena)
{
	memset(maker, 0, sizeof(AnnGraphMaker));
	maker->most = PG_UINT64_MAX;
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

static void
add_edge(void *arg, uint32_t from, uint32_t to, float distance)
{
	ann_reservoirs_add(&((AnnGraphMaker *) arg)->reservoirs, from, to, distance);
}

static void
link_leaf(void *arg, const uint32_t *rows, uint32_t n)
{
	AnnGraphMaker *maker = arg;

	ann_visits_add(&maker->visits, rows, n);
	ann_reservoirs_expect(&maker->reservoirs, rows, n);
	ann_leaf_edges(&maker->sketch, rows, n, &maker->options, add_edge, maker,
				   maker->leaf_scratch);
	maker->joined += n;
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE,
								 (int64) Min(maker->joined / maker->options.fanout, maker->most));
}

void
ann_graph_meet(AnnGraphMaker *maker)
{
	AnnTreeRows rows = ann_arena_tree_rows(maker->arena);
	uint32		n = rows.count;
	const AnnGraphOptions *options = &maker->options;
	char	   *scratch;

	ann_graph_rows_init(&maker->rows, &rows, ann_graph_unit(&rows),
						allocate(maker, sizeof(float) * n), allocate(maker, sizeof(float) * n));
	ann_graph_rows_sketch(&maker->sketch, &maker->rows, Min((int) options->sketch, rows.dim),
						  allocate(maker, sizeof(float) * n));
	ann_reservoirs_init(&maker->reservoirs, n, options,
						allocate(maker, ann_reservoirs_size(n, options)));
	ann_visits_init(&maker->visits, n, allocate(maker, sizeof(uint32) * n), allocate(maker, n));
	maker->leaf_scratch = allocate(maker, ann_leaf_scratch_size(options));
	scratch = allocate(maker, ann_partition_scratch_size(n, options));
	ann_partition(&maker->sketch, options, link_leaf, maker, scratch);
	pfree(scratch);
	pfree(maker->leaf_scratch);
}

/* Choose the neighbours of all rows from their reservoirs. */
static void
prune_rows(AnnGraphMaker *maker)
{
	char	   *scratch = allocate(maker, ann_prune_row_scratch_size(&maker->options));

	for (uint32 i = 0; i < maker->arena->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		ann_prune_row(&maker->graph, &maker->rows, &maker->reservoirs,
					  maker->visits.order[i], &maker->options, scratch);
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
	for (uint32 i = 0; i < maker->arena->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		ann_reservoirs_keep_links(&maker->reservoirs, &maker->graph, maker->visits.order[i]);
	}
	for (uint32 i = 0; i < maker->arena->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		ann_reservoirs_return_links(&maker->reservoirs, &maker->graph, maker->visits.order[i]);
	}
}

void
ann_graph_choose(AnnGraphMaker *maker)
{
	uint32		n = maker->arena->count;
	const AnnGraphOptions *options = &maker->options;
	void	   *scratch;

	ann_graph_init(&maker->graph, n, options, allocate(maker, ann_graph_size(n, options)));
	prune_rows(maker);
	meet_again(maker);
	prune_rows(maker);
	pfree(maker->reservoirs.candidates);

	maker->entries.nodes = allocate(maker, sizeof(uint32) * n);
	ann_entries_draw(&maker->entries, n, options->seed);
	scratch = allocate(maker, Max(ann_reach_scratch_size(&maker->graph),
								  ann_entries_scratch_size(n)));
	ann_entries_complete(&maker->entries, &maker->graph, &maker->sketch, options, scratch);
	ann_graph_make_reachable(&maker->graph, &maker->rows, &maker->entries, options, scratch);
	pfree(scratch);
}

void
ann_graph_forget(AnnGraphMaker *maker)
{
	MemoryContextReset(maker->context);
}
