/*
 * arena.c
 *	  The rows of a build.
 */
#include "postgres.h"

#include <math.h>

#include "algo/forest.h"
#include "algo/quantize.h"
#include "am/arena.h"
#include "common/hashfn.h"
#include "compat.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "port/pg_crc32c.h"
#include "utils/memutils.h"

/* Whatever the budget, so that long vectors can be built at all. */
#define MIN_ROWS 256

/* The arrays begin with room for so many. */
#define FIRST_ROWS 4096

static Size
element_size(const AnnIndex *info, AnnArenaKind kind)
{
	return kind == ANN_ARENA_WHOLE ? info->element_size : 0;
}

/* Bytes of a row in a file. */
static Size
file_row_bytes(const AnnIndex *info, AnnArenaKind kind)
{
	return element_size(info, kind) + info->row_dim + 2 * sizeof(float) + sizeof(AnnElementRef);
}

/*
 * Beside the row: its number and its link, twice 4 bytes for growing, and up to 16 in the
 * table by which equal rows are found.
 */
Size
ann_arena_row_memory(const AnnIndex *info, AnnArenaKind kind)
{
	return file_row_bytes(info, kind) + 4 * sizeof(uint32) + 16;
}

/* Enlarge an array of the arena; the allocator moves large ones without copying. */
static void *
enlarge(AnnArena *arena, void *array, Size item)
{
	Size		size = item * arena->capacity;

	return array == NULL ? MemoryContextAllocHuge(arena->context, size)
		: repalloc_huge(array, size);
}

static void
enlarge_arena(AnnArena *arena, uint32 capacity)
{
	arena->capacity = capacity;
	if (arena->element_size > 0)
		arena->elements = enlarge(arena, arena->elements, arena->element_size);
	arena->rows = enlarge(arena, arena->rows, arena->info->row_dim);
	arena->scales = enlarge(arena, arena->scales, sizeof(float));
	arena->norms2 = enlarge(arena, arena->norms2, sizeof(float));
	arena->refs = enlarge(arena, arena->refs, sizeof(AnnElementRef));
	arena->next_equal = enlarge(arena, arena->next_equal, sizeof(uint32));
	arena->order = enlarge(arena, arena->order, sizeof(uint32));
}

AnnArena *
ann_arena_make(const AnnIndex *info, AnnArenaKind kind, Size budget, Size further)
{
	AnnArena   *arena = palloc0(sizeof(AnnArena));
	Size		per_row = ann_arena_row_memory(info, kind) + further;

	arena->info = info;
	arena->element_size = element_size(info, kind);
	arena->context = AllocSetContextCreate(CurrentMemoryContext, "ann arena",
										   ALLOCSET_DEFAULT_SIZES);
	arena->max_rows = (uint32) Max(MIN_ROWS, Min(budget / per_row, ANN_LEAF - 1));
	enlarge_arena(arena, Min(arena->max_rows, FIRST_ROWS));
	return arena;
}

/* The arrays, in the order in which each member asks for them. */
AnnArena *
ann_arena_share(const AnnIndex *info, AnnArenaKind kind, AnnTeam *team, uint32 rows)
{
	AnnArena   *arena = palloc0(sizeof(AnnArena));

	arena->info = info;
	arena->element_size = element_size(info, kind);
	arena->context = AllocSetContextCreate(CurrentMemoryContext, "ann arena",
										   ALLOCSET_DEFAULT_SIZES);
	arena->max_rows = arena->capacity = arena->count = rows;
	arena->elements = ann_team_array(team, arena->element_size * (Size) rows);
	arena->rows = ann_team_array(team, info->row_dim * (Size) rows);
	arena->scales = ann_team_array(team, sizeof(float) * (Size) rows);
	arena->norms2 = ann_team_array(team, sizeof(float) * (Size) rows);
	arena->refs = ann_team_array(team, sizeof(AnnElementRef) * (Size) rows);
	arena->next_equal = ann_team_array(team, sizeof(uint32) * (Size) rows);
	arena->order = ann_team_array(team, sizeof(uint32) * (Size) rows);
	return arena;
}

Size
ann_arena_shared_size(const AnnIndex *info, AnnArenaKind kind, uint32 rows)
{
	return ann_team_array_size(element_size(info, kind) * (Size) rows) +
		ann_team_array_size(info->row_dim * (Size) rows) +
		2 * ann_team_array_size(sizeof(float) * (Size) rows) +
		ann_team_array_size(sizeof(AnnElementRef) * (Size) rows) +
		2 * ann_team_array_size(sizeof(uint32) * (Size) rows);
}

/* The number of a further row. */
static uint32
new_row(AnnArena *arena)
{
	Assert(!ann_arena_is_full(arena));
	if (arena->count == arena->capacity)
		enlarge_arena(arena, arena->capacity > arena->max_rows / 2
					  ? arena->max_rows : arena->capacity * 2);
	return arena->count++;
}

void
ann_arena_free(AnnArena *arena)
{
	MemoryContextDelete(arena->context);
	pfree(arena);
}

static int8 *
row_bytes(const AnnArena *arena, uint32 row)
{
	return arena->rows + (Size) row * arena->info->row_dim;
}

void
ann_arena_rotated(const AnnArena *arena, uint32 row, float *rotated)
{
	const AnnIndex *info = arena->info;

	ann_dequantize(row_bytes(arena, row) + info->augmented, info->padded,
				   arena->scales[row], rotated);
}

void
ann_arena_add(AnnArena *arena, const AnnElement *element,
			  const AnnTreeVector *v)
{
	uint32		row = new_row(arena);

	memcpy(ann_arena_element(arena, row), element, arena->info->element_size);
	memcpy(row_bytes(arena, row), v->row, arena->info->row_dim);
	arena->scales[row] = v->scale;
	arena->norms2[row] = (float) v->norm2;
	ItemPointerSetInvalid(&arena->refs[row]);
}

AnnTreeRows
ann_arena_tree_rows(const AnnArena *arena)
{
	AnnTreeRows rows;

	rows.data = arena->rows;
	rows.stride = arena->info->row_dim;
	rows.scale = arena->scales;
	rows.count = arena->count;
	rows.dim = arena->info->tree_dim;
	return rows;
}

/* Are the stored vectors of two elements the same bytes? */
static bool
equal_elements(const AnnArena *arena, uint32 a, uint32 b)
{
	const AnnElement *x = ann_arena_element(arena, a);
	const AnnElement *y = ann_arena_element(arena, b);

	return x->exponent == y->exponent &&
		memcmp(x->vector, y->vector,
			   arena->info->element_size - offsetof(AnnElement, vector)) == 0;
}

/* A hash of the stored vector; bits are needed everywhere, hence the mixing. */
static uint32
hash_element(const AnnArena *arena, uint32 row)
{
	const AnnElement *element = ann_arena_element(arena, row);
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, element->vector,
				arena->info->element_size - offsetof(AnnElement, vector));
	FIN_CRC32C(crc);
	return murmurhash32(crc);
}

/* Chain a row to an earlier one that it equals. */
static void
merge_row(AnnArena *arena, uint32 row, uint32 earlier)
{
	AnnElement *element = ann_arena_element(arena, earlier);

	element->error = Max(element->error, ann_arena_element(arena, row)->error);
	arena->next_equal[row] = arena->next_equal[earlier];
	arena->next_equal[earlier] = row;
}

void
ann_arena_number(AnnArena *arena)
{
	for (uint32 i = 0; i < arena->count; i++)
		arena->order[i] = i;
}

uint32
ann_arena_merge(AnnArena *arena, uint32 first, uint32 n)
{
	bool		merges = arena->info->meta.scalar != ANN_SCALAR_NONE;
	uint32	   *order = arena->order + first;
	uint32		size = pg_nextpower2_32(Max(n, 8) * 2);
	uint32	   *table = palloc_extended(sizeof(uint32) * (Size) size, MCXT_ALLOC_HUGE);
	uint32		distinct = 0;

	memset(table, 0xff, sizeof(uint32) * (Size) size);
	for (uint32 i = 0; i < n; i++)
	{
		uint32		row = order[i];
		uint32		at;

		CHECK_FOR_INTERRUPTS();
		arena->next_equal[row] = ANN_NO_ROW;
		at = hash_element(arena, row) & (size - 1);
		while (merges && table[at] != ANN_NO_ROW && !equal_elements(arena, table[at], row))
			at = (at + 1) & (size - 1);
		if (merges && table[at] != ANN_NO_ROW)
		{
			merge_row(arena, row, table[at]);
			continue;
		}
		table[at] = row;
		order[distinct++] = row;
	}
	pfree(table);
	return distinct;
}

/* The rows equal to another one that are left to be read. */
typedef struct EqualRows
{
	const AnnArena *arena;
	uint32		next;
} EqualRows;

static void
read_equal(void *state, ItemPointerData *tids, int n)
{
	EqualRows  *equal = state;

	for (int i = 0; i < n; i++)
	{
		tids[i] = ann_arena_element(equal->arena, equal->next)->heap;
		equal->next = equal->arena->next_equal[equal->next];
	}
}

void
ann_arena_write_equal(AnnArena *arena, uint32 row, AnnTidWriter *tids)
{
	EqualRows	equal = {arena, arena->next_equal[row]};
	uint64		n = 0;

	for (uint32 r = equal.next; r != ANN_NO_ROW; r = arena->next_equal[r])
		n++;
	if (n > 0)
		ann_arena_element(arena, row)->more = ann_tids_write(tids, n, read_equal, &equal);
}

void
ann_arena_compact(AnnArena *arena, uint32 n)
{
	for (uint32 i = 0; i < n; i++)
	{
		uint32		row = arena->order[i];

		CHECK_FOR_INTERRUPTS();
		Assert(row >= i);
		if (row > i)
		{
			memcpy(ann_arena_element(arena, i), ann_arena_element(arena, row),
				   arena->info->element_size);
			memcpy(row_bytes(arena, i), row_bytes(arena, row), arena->info->row_dim);
			arena->scales[i] = arena->scales[row];
			arena->norms2[i] = arena->norms2[row];
			arena->refs[i] = arena->refs[row];
		}
		arena->next_equal[i] = ANN_NO_ROW;
		arena->order[i] = i;
	}
	arena->count = n;
}

char *
ann_arena_scratch(AnnArena *arena, uint32 rows)
{
	if (arena->scratch == NULL || arena->scratch_rows < rows)
	{
		if (arena->scratch != NULL)
			pfree(arena->scratch);
		arena->scratch = MemoryContextAllocHuge(arena->context,
												ann_tree_scratch_size(arena->info->tree_dim, rows));
		arena->scratch_rows = rows;
	}
	return arena->scratch;
}

/*
 * The augmentation is spread over the coordinates in front of the rotated ones.
 * Where it is the largest, the others are rounded once more to the new scale.
 */
void
ann_arena_augment(AnnArena *arena, uint32 first, uint32 n)
{
	const AnnIndex *info = arena->info;
	int			augmented = info->augmented;
	double		max_norm = info->max_norm;

	if (augmented == 0)
		return;
	for (uint32 row = first; row < first + n; row++)
	{
		int8	   *bytes = row_bytes(arena, row);
		double		missing = max_norm * max_norm - arena->norms2[row];
		float		share = missing > 0 ? (float) sqrt(missing / augmented) : 0;
		float		scale = Max(arena->scales[row], share / 127);

		CHECK_FOR_INTERRUPTS();
		if (scale == 0)
			continue;
		for (int i = augmented; i < info->row_dim; i++)
			bytes[i] = (int8) rintf(bytes[i] * (arena->scales[row] / scale));
		memset(bytes, (int8) rintf(share / scale), augmented);
		arena->scales[row] = scale;
	}
}

void
ann_arena_save_apart(const AnnArena *arena, uint32 row, BufFile *elements, BufFile *file)
{
	if (arena->element_size > 0)
		BufFileWrite(elements, ann_arena_element(arena, row), arena->element_size);
	BufFileWrite(file, row_bytes(arena, row), arena->info->row_dim);
	BufFileWrite(file, &arena->scales[row], sizeof(float));
	BufFileWrite(file, &arena->norms2[row], sizeof(float));
	BufFileWrite(file, &arena->refs[row], sizeof(AnnElementRef));
}

void
ann_arena_save(const AnnArena *arena, uint32 row, BufFile *file)
{
	ann_arena_save_apart(arena, row, file, file);
}

static void
load_row(AnnArena *arena, uint32 row, BufFile *elements, BufFile *file)
{
	if (arena->element_size > 0)
		BufFileReadExact(elements, ann_arena_element(arena, row), arena->element_size);
	BufFileReadExact(file, row_bytes(arena, row), arena->info->row_dim);
	BufFileReadExact(file, &arena->scales[row], sizeof(float));
	BufFileReadExact(file, &arena->norms2[row], sizeof(float));
	BufFileReadExact(file, &arena->refs[row], sizeof(AnnElementRef));
}

void
ann_arena_load_at(AnnArena *arena, uint32 row, BufFile *file)
{
	load_row(arena, row, file, file);
}

void
ann_arena_load(AnnArena *arena, BufFile *file)
{
	load_row(arena, new_row(arena), file, file);
}

void
ann_arena_load_apart(AnnArena *arena, BufFile *elements, BufFile *file)
{
	load_row(arena, new_row(arena), elements, file);
}

/* Go to an item of so many bytes. */
static void
seek_item(BufFile *file, Size size, uint64 number)
{
	if (BufFileSeek(file, 0, (off_t) (number * size), SEEK_SET) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not find a row in a temporary file of an index build")));
}

void
ann_arena_seek(const AnnArena *arena, BufFile *file, uint64 row)
{
	seek_item(file, arena->element_size + file_row_bytes(arena->info, ANN_ARENA_BARE), row);
}

void
ann_arena_seek_apart(const AnnArena *arena, BufFile *elements, BufFile *file, uint64 row)
{
	seek_item(elements, arena->info->element_size, row);
	seek_item(file, file_row_bytes(arena->info, ANN_ARENA_BARE), row);
}

void
ann_arena_load_sample(AnnArena *arena, BufFile *file, uint64 rows, uint32 wanted,
					  uint64 seed)
{
	AnnRandom	random;

	ann_random_seed(&random, seed);
	for (uint64 row = 0; row < rows && wanted > 0; row++)
	{
		CHECK_FOR_INTERRUPTS();
		if (ann_random_below(&random, (uint32) Min(rows - row, PG_UINT32_MAX)) >= wanted)
			continue;
		ann_arena_seek(arena, file, row);
		ann_arena_load(arena, file);
		wanted--;
	}
}
