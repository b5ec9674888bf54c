/*
 * grow.h
 *	  From the rows of a build to the trees, leaves and elements of a chunk.
 */
#ifndef ANN_GROW_H
#define ANN_GROW_H

#include "postgres.h"

#include "am/arena.h"
#include "store/bulk.h"
#include "store/tids.h"

/*
 * Where the rows of a chunk are: in an arena, or all of them in files.  A team shares
 * the arena; or each member has an arena of its own, and some of the rows in a file
 * that the others can open as well.
 */
typedef struct AnnRowSource
{
	AnnTeam    *team;
	AnnArena   *arena;
	bool		in_files;
	BufFile    *file;			/* ours; NULL: no row */
	uint64		rows;			/* in the file, or in the arena */
} AnnRowSource;

/* What a member's file is called. */
#define ANN_ROWS_FILE "rows.%d"

/*
 * Build all trees of a chunk and write them; returns the first page of its
 * roots, InvalidBlockNumber for no rows.  *elements becomes their number.
 * The rows are used up, and a file closed.
 *
 * All members of a team call it, each with a 'bulk' and 'tids' of its own; only the
 * leader gets the results.
 */
extern BlockNumber ann_grow_chunk(Relation index, const AnnIndex *info,
								  AnnBulk *bulk, AnnTidWriter *tids, uint32 chunk,
								  AnnRowSource *source, uint32 leaf_capacity,
								  uint64 *elements);

/* What memory a team needs for it beside the arena, the leader's own included. */
extern Size ann_grow_shared_size(const AnnIndex *info, uint32 rows);

/*
 * Build one tree of n > 0 rows of an arena, whose elements have been written, and
 * write it; returns the first page of the roots.  The leader alone does so.
 */
extern BlockNumber ann_grow_entries(AnnTeam *team, Relation index, const AnnIndex *info,
									AnnBulk *bulk, uint32 chunk, AnnArena *arena,
									const uint32 *rows, uint32 n,
									uint32 leaf_capacity);

/*
 * The same of rows that were saved to a file, which is closed.  None is equal to
 * another one.
 */
extern BlockNumber ann_grow_entry_file(AnnTeam *team, Relation index,
									   const AnnIndex *info, AnnBulk *bulk, uint32 chunk,
									   AnnArena *arena, BufFile *file, uint64 rows,
									   uint32 leaf_capacity);

#endif							/* ANN_GROW_H */
