/*
 * arena.h
 *	  The rows of a build: in memory as far as the budget goes, and in
 *	  temporary files beyond it.
 */
#ifndef ANN_ARENA_H
#define ANN_ARENA_H

#include "postgres.h"

#include "algo/split.h"
#include "am/team.h"
#include "storage/buffile.h"
#include "store/element.h"
#include "store/tids.h"
#include "store/tree_pages.h"

/*
 * Rows in memory, in parallel arrays that grow with them as far as the budget
 * allows.
 */
typedef struct AnnArena
{
	/* Unchanging, set when it is made */
	const AnnIndex *info;
	MemoryContext context;		/* of everything here */
	Size		element_size;	/* 0: there are no elements, here and in files */
	uint32		max_rows;		/* that the budget has room for */

	/* Changing with each row */
	uint32		capacity;		/* of the arrays, in rows */
	uint32		count;
	char	   *elements;		/* AnnElement with the row's heap TID */
	int8	   *rows;			/* as trees see the rows, and more, row_dim bytes */
	float	   *scales;			/* of the bytes */
	float	   *norms2;			/* squared norms of the vectors */
	AnnElementRef *refs;		/* where elements are, once written */
	uint32	   *next_equal;		/* the next row with the same element */

	/* For growing */
	uint32	   *order;
	uint32		scratch_rows;	/* that 'scratch' is enough for */
	char	   *scratch;
} AnnArena;

#define ANN_NO_ROW PG_UINT32_MAX

/* Rows with their elements, or only what trees see of them. */
typedef enum AnnArenaKind
{
	ANN_ARENA_WHOLE,
	ANN_ARENA_BARE
} AnnArenaKind;

/*
 * An arena of 'budget' bytes, everything included, but of a few rows at least.
 * 'further' are bytes that its owner needs for each row.
 */
extern AnnArena *ann_arena_make(const AnnIndex *info, AnnArenaKind kind, Size budget,
								Size further);

/*
 * An arena of so many rows in memory that all members of a team see, each with an
 * AnnArena of its own.  The rows are to be loaded.
 */
extern AnnArena *ann_arena_share(const AnnIndex *info, AnnArenaKind kind, AnnTeam *team,
								 uint32 rows);

/* What it needs of that memory. */
extern Size ann_arena_shared_size(const AnnIndex *info, AnnArenaKind kind, uint32 rows);

extern void ann_arena_free(AnnArena *arena);

static inline AnnElement *
ann_arena_element(const AnnArena *arena, uint32 row)
{
	return (AnnElement *) (arena->elements + (Size) row * arena->element_size);
}

static inline bool
ann_arena_is_full(const AnnArena *arena)
{
	return arena->count == arena->max_rows;
}

/* Add a row; there must be room.  'v' is a row's (ann_tree_vector_row). */
extern void ann_arena_add(AnnArena *arena, const AnnElement *element,
						  const AnnTreeVector *v);

/* The rows as the growing of trees takes them. */
extern AnnTreeRows ann_arena_tree_rows(const AnnArena *arena);

/* The numbers of all rows to arena->order. */
extern void ann_arena_number(AnnArena *arena);

/*
 * Of the n rows whose numbers are in arena->order from 'first' on, leave those there
 * whose element equals that of none before it, and return how many they are.  The
 * others are chained to the earlier one by next_equal; its error becomes the largest.
 */
extern uint32 ann_arena_merge(AnnArena *arena, uint32 first, uint32 n);

/*
 * Write the heap TIDs of the rows that are chained to a row as further ones of its
 * element.
 */
extern void ann_arena_write_equal(AnnArena *arena, uint32 row, AnnTidWriter *tids);

/* Keep only the first n rows of arena->order, in this order, which is ascending. */
extern void ann_arena_compact(AnnArena *arena, uint32 n);

/* Scratch memory for growing a tree over so many rows. */
extern char *ann_arena_scratch(AnnArena *arena, uint32 rows);

/*
 * Inner product: give n rows the coordinates that make all equal in norm, now that
 * info->max_norm is known.
 */
extern void ann_arena_augment(AnnArena *arena, uint32 first, uint32 n);

/*
 * Append a row of the arena to a file, and the next row of a file to the arena; or
 * put it in the place of this row.
 */
extern void ann_arena_save(const AnnArena *arena, uint32 row, BufFile *file);
extern void ann_arena_load(AnnArena *arena, BufFile *file);
extern void ann_arena_load_at(AnnArena *arena, uint32 row, BufFile *file);

/* The same with two files, of elements and of the rest; a bare arena loads the latter. */
extern void ann_arena_save_apart(const AnnArena *arena, uint32 row, BufFile *elements,
								 BufFile *file);
extern void ann_arena_load_apart(AnnArena *arena, BufFile *elements, BufFile *file);

/* Go to a row of a file; or to that of one of elements, or of what is without them. */
extern void ann_arena_seek(const AnnArena *arena, BufFile *file, uint64 row);
extern void ann_arena_seek_apart(const AnnArena *arena, BufFile *elements, BufFile *file,
								 uint64 row);

/* The rotated dimensions of a row, as its bytes tell them, in info->padded floats. */
extern void ann_arena_rotated(const AnnArena *arena, uint32 row, float *rotated);

/*
 * Add a random sample of the 'rows' of a file to the arena, which has room for them;
 * at most so many, in the order of the file (Knuth, Algorithm S).
 */
extern void ann_arena_load_sample(AnnArena *arena, BufFile *file, uint64 rows,
								  uint32 wanted, uint64 seed);

/* Bytes of a row in memory. */
extern Size ann_arena_row_memory(const AnnIndex *info, AnnArenaKind kind);

#endif							/* ANN_ARENA_H */
