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

#include "access/genam.h"
#include "am/graph_build.h"
#include "am/graph_make.h"
#include "am/graph_spool.h"
#include "am/method.h"
#include "am/record_make.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"

/* Say where each record will be, before one is written. */
static void
place_records(const AnnGraphMaker *maker, const AnnBulk *bulk)
{
	AnnRecordPlaces places;

	ann_record_places_init(&places, maker->arena->info, bulk);
	for (uint32 i = 0; i < maker->visits.count; i++)
	{
		uint32		row = maker->visits.order[i];

		maker->arena->refs[row] = ann_record_place(&places, maker->graph.degrees[row]);
	}
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

static void
write_records(const AnnGraphMaker *maker, AnnBulk *bulk, uint32 chunk)
{
	AnnRowLinks links;
	AnnRecordWriter *writer = palloc(sizeof(AnnRecordWriter));

	ann_row_links_init(&links, maker->arena);
	ann_record_writer_init(writer, maker->arena->info, bulk, chunk);
	for (uint32 i = 0; i < maker->visits.count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		write_record(maker, maker->visits.order[i], &links, writer);
	}
	ann_record_writer_end(writer);
}

BlockNumber
ann_link_chunk(Relation index, const AnnIndex *info, AnnBulk *bulk, AnnTidWriter *tids,
			   uint32 chunk, AnnRowSource *source, uint32 leaf_capacity, uint64 *elements)
{
	AnnGraphMaker maker;
	BlockNumber roots;

	if (source->file != NULL)
		return ann_spool_chunk(index, info, bulk, tids, chunk, source, leaf_capacity, elements);

	ann_graph_maker_init(&maker, source->arena);
	ann_merge_rows(source->arena, tids);
	ann_tids_flush(tids);
	ann_graph_meet(&maker);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, ANN_PHASE_LINK);
	ann_graph_choose(&maker);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, ANN_PHASE_WRITE);
	place_records(&maker, bulk);
	write_records(&maker, bulk, chunk);
	*elements = source->arena->count;
	roots = ann_grow_entries(index, info, bulk, chunk, source->arena, maker.entries.nodes,
							 maker.entries.count, leaf_capacity);
	MemoryContextDelete(maker.context);
	return roots;
}
