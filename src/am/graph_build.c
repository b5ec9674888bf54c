/*
 * graph_build.c
 *	  From the rows of a build to the graph of a chunk, in memory.
 *
 *	 building	the rows are divided into small leaves that overlap; each pair of
 *				rows in a leaf is compared, and each row keeps the nearest others it
 *				has met
 *	 linking	each row chooses its neighbours among these; then every node is made
 *				reachable from the entries
 *	 writing	records get their places, in the order in which leaves came, so that
 *				near rows share pages; then they are written, with the codes of
 *				their neighbours; then the tree of the entries
 *
 * Where the rows are in a file, graph_spool.c does the same part by part.
 */
#include "postgres.h"

#include "am/graph_build.h"
#include "am/graph_make.h"
#include "am/graph_spool.h"
#include "am/method.h"
#include "am/record_make.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* Records that a member of a team writes at a time. */
#define PIECE 4096

/* What the leader tells the others. */
typedef struct GraphShared
{
	uint32		rows;			/* none is equal to another one */
	BlockNumber end;			/* the block behind those of the records */
} GraphShared;

/* Say where each record will be; returns the block behind them. */
static BlockNumber
place_records(const AnnGraphMaker *maker, AnnBulk *bulk)
{
	ItemPointer refs = maker->arena->refs;
	AnnRecordPlaces places;
	BlockNumber pages;
	BlockNumber first;

	ann_record_places_init(&places, maker->arena->info, 0);
	for (uint32 i = 0; i < maker->arena->count; i++)
	{
		uint32		row = maker->visits.order[i];

		if (i % PIECE == 0)
			CHECK_FOR_INTERRUPTS();
		refs[row] = ann_record_place(&places, maker->graph.degrees[row]);
	}
	pages = ann_record_places_end(&places);
	first = ann_bulk_claim(bulk, pages);
	for (uint32 i = 0; i < maker->arena->count; i++)
		ItemPointerSetBlockNumber(&refs[i], ItemPointerGetBlockNumber(&refs[i]) + first);
	return first + pages;
}

/* Write the record of a row. */
static void
write_record(const AnnGraphMaker *maker, uint32 row, AnnRowLinks *links,
			 AnnRecordWriter *writer)
{
	const AnnArena *arena = maker->arena;
	const uint32 *neighbours = ann_graph_links(&maker->graph, row);
	int			degree = maker->graph.degrees[row];

	ann_record_begin(writer, arena->refs[row], ann_arena_element(arena, row),
					 arena->norms2[row], degree);
	ann_row_links_begin(links, row);
	for (int i = 0; i < degree; i++)
	{
		AnnLink		link;

		ann_row_links_make(links, neighbours[i], &link);
		ann_links_put(arena->info, writer->links, i, &link);
	}
	ann_record_end(writer);
}

/* The first row from the i-th on that begins a page. */
static uint32
next_page(const AnnGraphMaker *maker, uint32 i)
{
	while (i < maker->arena->count &&
		   ItemPointerGetOffsetNumber(&maker->arena->refs[maker->visits.order[i]]) != FirstOffsetNumber)
		i++;
	return i;
}

/* The page of the i-th row, which begins it; or the end. */
static BlockNumber
page_of(const AnnGraphMaker *maker, uint32 i, BlockNumber end)
{
	return i == maker->arena->count ? end
		: ItemPointerGetBlockNumber(&maker->arena->refs[maker->visits.order[i]]);
}

/* All records that begin on the pages that this member takes. */
static void
write_records(const AnnGraphMaker *maker, AnnBulk *bulk, uint32 chunk, BlockNumber end)
{
	AnnRowLinks links;
	AnnRecordWriter *writer = palloc(sizeof(AnnRecordWriter));
	uint64		taken;
	uint64		n;

	ann_row_links_init(&links, maker->arena);
	while (ann_team_take(maker->team, maker->arena->count, PIECE, &taken, &n))
	{
		uint32		first = next_page(maker, (uint32) taken);
		uint32		behind = next_page(maker, (uint32) (taken + n));
		BlockNumber block = page_of(maker, first, end);

		ann_bulk_go_to(bulk, block, page_of(maker, behind, end) - block);
		ann_record_writer_init(writer, maker->arena->info, bulk, chunk);
		for (uint32 i = first; i < behind; i++)
		{
			CHECK_FOR_INTERRUPTS();
			write_record(maker, maker->visits.order[i], &links, writer);
		}
		ann_record_writer_end(writer);
	}
}

/* The leader makes equal rows one, and tells how many there are. */
static void
merge_rows(AnnTeam *team, AnnArena *arena, AnnTidWriter *tids, GraphShared *shared)
{
	if (ann_team_leads(team))
	{
		ann_merge_rows(arena, tids);
		ann_tids_flush(tids);
		shared->rows = arena->count;
	}
	ann_team_wait(team);
	arena->count = shared->rows;
}

/* The leader finds a place for each record. */
static void
find_places(const AnnGraphMaker *maker, AnnBulk *bulk, GraphShared *shared)
{
	if (ann_team_leads(maker->team))
		shared->end = place_records(maker, bulk);
}

Size
ann_link_shared_size(const AnnIndex *info, uint32 rows)
{
	return ann_team_array_size(sizeof(GraphShared)) + ann_graph_shared_size(info, rows) +
		sizeof(uint32) * (Size) rows;	/* the leader's entries */
}

BlockNumber
ann_link_chunk(Relation index, const AnnIndex *info, AnnBulk *bulk, AnnTidWriter *tids,
			   uint32 chunk, AnnRowSource *source, uint32 leaf_capacity, uint64 *elements)
{
	AnnTeam    *team = source->team;
	AnnGraphMaker maker;
	GraphShared *shared;
	BlockNumber roots = InvalidBlockNumber;

	if (source->in_files)
		return ann_spool_chunk(index, info, bulk, tids, chunk, source, leaf_capacity, elements);

	shared = ann_team_array(team, sizeof(GraphShared));
	ann_graph_maker_init(&maker, team, source->arena);
	merge_rows(team, source->arena, tids, shared);
	ann_graph_meet(&maker);
	ann_team_phase(team, ANN_PHASE_LINK);
	ann_graph_choose(&maker);
	ann_team_phase(team, ANN_PHASE_WRITE);
	find_places(&maker, bulk, shared);
	ann_team_wait(team);
	write_records(&maker, bulk, chunk, shared->end);
	*elements = source->arena->count;
	if (ann_team_leads(team))
		roots = ann_grow_entries(team, index, info, bulk, chunk, source->arena, maker.entries.nodes,
								 maker.entries.count, leaf_capacity);
	MemoryContextDelete(maker.context);
	return roots;
}
