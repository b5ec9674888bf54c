/*
 * graph_spool.c
 *	  From more rows than memory has room for to the graph of a chunk.
 *
 *	 dividing	random rows are leaders, and each row goes to the file of the nearest;
 *				leaders near one another share a part, whose rows fit memory.  There
 *				equal rows become one, and get numbers, in an order in which near rows
 *				are near: that of the records.  Then a row goes to two other parts as
 *				well, those with the nearest leaders, if there is room: on their borders,
 *				where those are taken whose leaders here and there are about as near
 *	 building	the graph of each part and its border, as graph_make.c has it; the
 *				links go to a file of the part that their owner is at home in
 *	 linking	the links that a row got in several parts are chosen from once more,
 *				by their codes; now the size of each record is known, and its place
 *	 writing	the records, one by one; then the tree of the entries
 *
 * Whatever is in memory is of one part, but for the leaders and the places of the
 * records, 6 bytes a row.  Elements are, while rows are divided, and one by one while
 * records are written; the more rows a part has, the better is the graph.  Until there
 * are places, AnnElementRef has the number of a row: see number_ref.
 *
 * The leader of a team divides.  Graphs are built by all members together, one after the
 * other, in shared memory; where there is none, members take parts and have a share of
 * the memory each, as they take parts in the other steps.  What one step leaves to the
 * next is in files of the team, most of them a part's.
 *
 * What has lost its last link in the second choice is not noticed here: see
 * ann_graph_connect.
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "algo/forest.h"
#include "am/graph_make.h"
#include "am/graph_spool.h"
#include "am/link_make.h"
#include "am/method.h"
#include "am/record_make.h"
#include "compat.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/*
 * Of the rows of a part with its border, so many per cent are its own, at least.  With
 * more on the border a build takes longer; of few parts each has more of its rows'
 * neighbours anyway.
 */
#define HOME_SHARE 60
#define HOME_SHARE_OF_FEW 75
#define FEW_PARTS 4

/* About so many parts at most: each has up to three files open, of 8 kB of memory. */
#define MAX_PARTS 1024

/* Leaders of a part, and fewer where there are many parts. */
#define LEADERS_PER_PART 8
#define FEW_LEADERS_PER_PART 4
#define MANY_PARTS 64

/* Leaders that rows are divided by at a time. */
#define MAX_SPOOL_LEADERS 128

/* Above that, per cent, a leader's rows are not near it, but equal or alike. */
#define MAX_SHARE 90

/* Rows that are read and routed at a time. */
#define BATCH 64

/* Leaders of other parts that a part's rows are compared with. */
#define NEAR_LEADERS 128

/*
 * Parts that a row is in: at home, and on the border of up to two.  With as many rows on
 * borders, a second one for those that are near to it lets searches find more than a
 * first one for those that are not (1,000,000 rows, 15 parts, ef_search 40: .804 of the ten
 * nearest, and .781).
 */
#define PARTS_OF_ROW 3

/*
 * Levels of border rows: by the squared distance from the other part's leader, in
 * units of that from the own one, so many to the unit.
 */
#define LEVELS_PER_UNIT 32
#define LEVELS (2 * LEVELS_PER_UNIT)

/* Rows of a part with its border, whatever the memory. */
#define MIN_LINK_ROWS 256

/* Rows whose links a member writes at a time. */
#define PIECE 1024

/* Memory for the rows on borders while these are found. */
#define BORDER_MEMORY ((Size) 1024 * 1024)

/* Memory for links while they are gathered, at least. */
#define MIN_POOL ((Size) 8 * 1024 * 1024)

#define NO_PART PG_UINT32_MAX

/*
 * Files of the team: what the leader says of the parts; all rows and their elements, in
 * the order of their numbers.  Of a part: its border rows, each behind its level;
 * entries, their number first; links of its own rows that each member has found in it, in
 * the order of their owners, and in other parts; the links that were chosen, in the order
 * of their owners; places of the records, behind the number of pages.  Of a member: the
 * sizes of its files of links; the rows of entries.
 */
#define PARTS_FILE "parts"
#define ROWS_FILE "all_rows"
#define ELEMENTS_FILE "elements"
#define BORDER_FILE "border.%u"
#define ENTRIES_FILE "entries.%u"
#define HOME_LINKS_FILE "home_links.%u.%d"
#define OTHER_LINKS_FILE "other_links.%u.%d"
#define CHOSEN_FILE "chosen.%u"
#define PLACES_FILE "places.%u"
#define SIZES_FILE "sizes.%d"
#define ENTRY_ROWS_FILE "entry_rows.%d"

/* Rows in a file. */
typedef struct RowFile
{
	BufFile    *file;			/* NULL: none yet */
	uint64		rows;
	bool		raw;			/* not augmented yet (ann_arena_augment) */
	const struct RowFile *next; /* more of the same rows */
} RowFile;

typedef struct Part
{
	uint32		first;			/* number of the first row */
	uint32		rows;
	uint32		border_rows;	/* in its file */
	uint32		below;			/* of these below the top level: there is room */
	uint32		top;			/* the highest level that there is room for */
} Part;

/* While borders are found */
typedef struct BorderFile
{
	BufFile    *file;			/* NULL: none yet */
	uint32		levels[LEVELS]; /* rows that were offered, by level */
} BorderFile;

/* What is in a file of links: 'count' links follow, of s->link_size bytes. */
typedef struct LinkHead
{
	uint32		owner;
	uint32		count;
} LinkHead;

/* The link to a row: its code follows. */
typedef struct SpoolLink
{
	uint32		number;
	float		a;
	float		f;
} SpoolLink;

typedef struct Spool
{
	/* Unchanging, set at the beginning */
	const AnnIndex *info;
	AnnTeam    *team;
	AnnTidWriter *tids;
	AnnArena   *arena;			/* of the present step */
	AnnGraphOptions options;
	uint32		part_rows;		/* of a part, at most */
	uint32		leaders_per_part;
	Size		link_size;		/* of a SpoolLink with its code */
	float		unit;			/* a usual scale of rows */

	/* Known when all has been divided */
	AnnTile		leaders;
	uint32	   *leader_part;
	uint32		leader_room;
	Part	   *parts;
	uint32		num_parts;
	uint32		part_room;
	BorderFile *borders;		/* of the parts */
	BufFile    *rows;			/* in the order of their numbers, bare */
	BufFile    *elements;		/* of these */
	uint32		num_rows;
	uint32		link_rows;		/* of a part with its border, at most */
	uint32		home_share;		/* per cent of these that are its own, at least */
	bool		together;		/* graphs are built by all members */

	/* Known when all links have been chosen */
	BlockNumber *blocks;		/* where the records of each part begin, and the end */
	AnnElementRef *places;		/* of the rows */

	/* Rows that were read last, with their norms */
	AnnGraphRows batch;
	float		scale[MAX_SPOOL_LEADERS];
	float		norm2[MAX_SPOOL_LEADERS];
} Spool;

/* A number in place of a place. */
static AnnElementRef
number_ref(uint32 number)
{
	AnnElementRef ref;

	ItemPointerSet(&ref, number, FirstOffsetNumber);
	return ref;
}

static uint32
ref_number(AnnElementRef ref)
{
	return ItemPointerGetBlockNumberNoCheck(&ref);
}

/* ---- rows ---- */

/* The rows of the arena, which are from a file, as they are to be. */
static AnnTreeRows
arena_rows(Spool *s, const RowFile *from)
{
	if (from->raw)
		ann_arena_augment(s->arena, 0, s->arena->count);
	return ann_arena_tree_rows(s->arena);
}

/* The same with norms, to s->batch. */
static void
finish_batch(Spool *s, const RowFile *from)
{
	AnnTreeRows rows = arena_rows(s, from);

	ann_graph_rows_init(&s->batch, &rows, s->unit, s->scale, s->norm2);
}

/* The next n rows of a file, alone, to the arena and s->batch. */
static void
load_batch(Spool *s, const RowFile *from, uint32 n)
{
	CHECK_FOR_INTERRUPTS();
	s->arena->count = 0;
	for (uint32 i = 0; i < n; i++)
		ann_arena_load(s->arena, from->file);
	finish_batch(s, from);
}

/* Append a row of the arena to a file. */
static void
save_row(Spool *s, uint32 row, RowFile *to)
{
	if (to->file == NULL)
		to->file = BufFileCreateTemp(false);
	ann_arena_save(s->arena, row, to->file);
	to->rows++;
}

static uint64
count_rows(const RowFile *from)
{
	uint64		rows = 0;

	for (; from != NULL; from = from->next)
		rows += from->rows;
	return rows;
}

/* Replace the rows of the arena by a sample. */
static void
load_sample(Spool *s, const RowFile *from, uint32 wanted, uint64 seed)
{
	uint64		all = count_rows(from);
	uint64		before = 0;		/* rows of these files */

	s->arena->count = 0;
	for (; from != NULL; from = from->next)
	{
		before += from->rows;
		ann_arena_load_sample(s->arena, from->file, from->rows,
							  (uint32) (wanted * before / all) - s->arena->count, seed);
	}
}

/* Scales are in units of a usual one, from now on. */
static void
find_unit(Spool *s, const RowFile *from)
{
	AnnTreeRows rows;

	load_sample(s, from, Min(ANN_UNIT_SAMPLE, s->arena->max_rows - 1), s->options.seed);
	rows = arena_rows(s, from);
	s->unit = ann_graph_unit(&rows);
}

/* ---- leaders ---- */

/* A further leader, whose row stays. */
static void
add_leader(Spool *s, const int8 *row, float scale, float norm2, uint32 part)
{
	if (s->leaders.n == s->leader_room)
	{
		s->leader_room *= 2;
		s->leaders.row = repalloc(s->leaders.row, sizeof(int8 *) * s->leader_room);
		s->leaders.scale = repalloc(s->leaders.scale, sizeof(float) * s->leader_room);
		s->leaders.norm2 = repalloc(s->leaders.norm2, sizeof(float) * s->leader_room);
		s->leader_part = repalloc(s->leader_part, sizeof(uint32) * s->leader_room);
	}
	s->leader_part[s->leaders.n] = part;
	ann_tile_add(&s->leaders, row, scale, norm2);
}

/* Choose leaders for rows that are to be divided; returns how many were added. */
static uint32
choose_leaders(Spool *s, const RowFile *from)
{
	uint64		parts = count_rows(from) / s->part_rows + 1;
	uint32		n = (uint32) Min(parts * s->leaders_per_part, MAX_SPOOL_LEADERS);
	int			dim = s->info->tree_dim;

	load_sample(s, from, n, s->options.seed + s->leaders.n);
	finish_batch(s, from);
	for (uint32 i = 0; i < s->arena->count; i++)
	{
		int8	   *row = palloc(dim);

		memcpy(row, ann_tree_row(&s->batch.rows, i), dim);
		add_leader(s, row, s->scale[i], s->norm2[i], NO_PART);
	}
	return s->arena->count;
}

/* Some of the leaders, in the same memory. */
static AnnTile
some_leaders(const Spool *s, uint32 first, uint32 n)
{
	AnnTile		tile = {s->leaders.row + first, s->leaders.scale + first,
	s->leaders.norm2 + first, n};

	return tile;
}

/* ---- dividing ---- */

/* Send each row of files, which are closed, to the file of its nearest leader. */
static RowFile *
route_rows(Spool *s, const RowFile *from, uint32 first, uint32 n)
{
	RowFile    *files = palloc0(sizeof(RowFile) * n);
	AnnTile		leaders = some_leaders(s, first, n);
	uint32		numbers[BATCH];
	uint16		nearest[BATCH];

	for (uint32 i = 0; i < BATCH; i++)
		numbers[i] = i;
	for (; from != NULL; from = from->next)
	{
		ann_file_rewind(from->file);
		for (uint64 at = 0; at < from->rows; at += BATCH)
		{
			load_batch(s, from, (uint32) Min(from->rows - at, BATCH));
			ann_leaders_route(&leaders, &s->batch, numbers, s->arena->count, 1, &s->options,
							  nearest);
			for (uint32 i = 0; i < s->arena->count; i++)
				save_row(s, i, &files[nearest[i]]);
		}
		BufFileClose(from->file);
	}
	return files;
}

/* AnnLeafFn: only the order counts. */
static void
ignore_leaf(void *arg, const uint32_t *rows, uint32_t n)
{
}

/* Put the rows of the arena into arena->order so that near ones are near. */
static void
order_rows(Spool *s)
{
	AnnTreeRows rows = ann_arena_tree_rows(s->arena);
	uint32		n = rows.count;
	AnnGraphRows graph_rows;
	float	   *scale = palloc_extended(sizeof(float) * (Size) n, MCXT_ALLOC_HUGE);
	float	   *norm2 = palloc_extended(sizeof(float) * (Size) n, MCXT_ALLOC_HUGE);
	char	   *scratch = palloc_extended(ann_carve_scratch_size(n), MCXT_ALLOC_HUGE);

	ann_graph_rows_init(&graph_rows, &rows, s->unit, scale, norm2);
	for (uint32 i = 0; i < n; i++)
		s->arena->order[i] = i;
	ann_carve(&graph_rows, s->arena->order, n, &s->options, s->options.seed, ignore_leaf,
			  NULL, scratch);
	pfree(scratch);
	pfree(norm2);
	pfree(scale);
}

/* The rows of the arena are the next part. */
static void
end_part(Spool *s)
{
	AnnArena   *arena = s->arena;
	Part	   *part;

	if (arena->count == 0)
		return;
	ann_merge_rows(arena, s->tids);
	order_rows(s);
	if (s->num_parts == s->part_room)
	{
		s->part_room *= 2;
		s->parts = repalloc_huge(s->parts, sizeof(Part) * (Size) s->part_room);
	}
	part = &s->parts[s->num_parts++];
	memset(part, 0, sizeof(Part));
	part->first = s->num_rows;
	part->rows = arena->count;
	part->top = LEVELS - 1;
	for (uint32 i = 0; i < arena->count; i++)
	{
		uint32		row = arena->order[i];

		CHECK_FOR_INTERRUPTS();
		arena->refs[row] = number_ref(s->num_rows++);
		ann_arena_save_apart(arena, row, s->elements, s->rows);
	}
	arena->count = 0;
	ann_team_report_from(s->team, s->num_rows);
}

/*
 * Leaders number first + chain[0], ... so that each is followed by the nearest of
 * those that are left; only those whose rows fit a part.  Returns how many.
 */
static uint32
chain_leaders(Spool *s, const RowFile *files, uint32 first, uint32 n, uint32 *chain)
{
	AnnTile		leaders = some_leaders(s, first, n);
	float		d[MAX_SPOOL_LEADERS + ANN_TILE_ROWS];
	bool		left[MAX_SPOOL_LEADERS];
	uint32		length = 0;

	for (uint32 i = 0; i < n; i++)
		left[i] = files[i].rows > 0 && files[i].rows <= s->part_rows;
	for (;;)
	{
		uint32		next = n;

		if (length > 0)
			ann_tile_distances1(&leaders, 0, &leaders, chain[length - 1],
								s->info->tree_dim, d);
		for (uint32 i = 0; i < n; i++)
		{
			if (left[i] && (next == n || (length > 0 && d[i] < d[next])))
				next = i;
		}
		if (next == n)
			return length;
		left[next] = false;
		chain[length++] = next;
	}
}

/* The rows of leaders that have few, whose files are closed, become parts. */
static void
pack_parts(Spool *s, RowFile *files, uint32 first, uint32 n)
{
	uint32		chain[MAX_SPOOL_LEADERS];
	uint32		length = chain_leaders(s, files, first, n, chain);

	s->arena->count = 0;
	for (uint32 i = 0; i < length; i++)
	{
		RowFile    *from = &files[chain[i]];

		if (s->arena->count + from->rows > s->part_rows)
			end_part(s);
		ann_file_rewind(from->file);
		for (uint64 row = 0; row < from->rows; row++)
		{
			CHECK_FOR_INTERRUPTS();
			ann_arena_load(s->arena, from->file);
		}
		BufFileClose(from->file);
		s->leader_part[first + chain[i]] = s->num_parts;
	}
	end_part(s);
}

/* Rows that no leaders divide, since they are equal: in parts as they come. */
static void
cut_rows(Spool *s, RowFile *from, uint32 leader)
{
	ann_file_rewind(from->file);
	for (uint64 left = from->rows; left > 0;)
	{
		uint32		n = (uint32) Min(left, s->part_rows);

		s->arena->count = 0;
		for (uint32 i = 0; i < n; i++)
		{
			CHECK_FOR_INTERRUPTS();
			ann_arena_load(s->arena, from->file);
		}
		add_leader(s, s->leaders.row[leader], s->leaders.scale[leader],
				   s->leaders.norm2[leader], s->num_parts);
		end_part(s);
		left -= n;
	}
	BufFileClose(from->file);
}

/* Divide the rows of files, which are closed, into parts. */
static void
divide(Spool *s, const RowFile *from)
{
	uint64		all = count_rows(from);
	uint32		first = s->leaders.n;
	uint32		n = choose_leaders(s, from);
	RowFile    *files = route_rows(s, from, first, n);

	check_stack_depth();
	pack_parts(s, files, first, n);
	for (uint32 i = 0; i < n; i++)
	{
		if (files[i].rows <= s->part_rows)
			continue;
		if (files[i].rows * 100 > all * MAX_SHARE)
			cut_rows(s, &files[i], first + i);
		else
			divide(s, &files[i]);
	}
	pfree(files);
}

/* ---- borders ---- */

/* What a part's rows are compared with. */
typedef struct Border
{
	AnnTile		own;			/* leaders of the part */
	AnnTile		near;			/* near leaders of others */
	uint32		near_part[NEAR_LEADERS];
	uint64	   *candidates;		/* scratch: for all leaders */
	float	   *d;				/* scratch: four for each leader */
} Border;

static int
compare_candidates(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return (x > y) - (x < y);
}

static void
add_from_leaders(const Spool *s, AnnTile *tile, uint32 leader)
{
	ann_tile_add(tile, s->leaders.row[leader], s->leaders.scale[leader],
				 s->leaders.norm2[leader]);
}

/* Find the leaders of a part, and those of others that are nearest to these. */
static void
find_near_leaders(Spool *s, uint32 part, Border *border)
{
	uint32		n = 0;

	border->own.n = border->near.n = 0;
	for (uint32 i = 0; i < s->leaders.n; i++)
		border->candidates[i] = ann_candidate_make(INFINITY, i);
	for (uint32 i = 0; i < s->leaders.n; i++)
	{
		if (s->leader_part[i] != part)
			continue;
		CHECK_FOR_INTERRUPTS();
		add_from_leaders(s, &border->own, i);
		ann_tile_distances1(&s->leaders, 0, &s->leaders, i, s->info->tree_dim, border->d);
		for (uint32 k = 0; k < s->leaders.n; k++)
			border->candidates[k] = Min(border->candidates[k], ann_candidate_make(border->d[k], k));
	}
	for (uint32 i = 0; i < s->leaders.n; i++)
	{
		if (s->leader_part[i] != part && s->leader_part[i] != NO_PART)
			border->candidates[n++] = border->candidates[i];
	}
	qsort(border->candidates, n, sizeof(uint64), compare_candidates);
	for (uint32 i = 0; i < Min(n, NEAR_LEADERS); i++)
	{
		uint32		leader = (uint32) border->candidates[i];

		border->near_part[i] = s->leader_part[leader];
		add_from_leaders(s, &border->near, leader);
	}
}

/*
 * The level of a border row, from its squared distances from the nearest leader of
 * the part and from that of its own.
 */
static uint32
border_level(float other, float own)
{
	float		level = other == own ? LEVELS_PER_UNIT : other / own * LEVELS_PER_UNIT;

	return level < LEVELS ? (uint32) level : LEVELS;
}

/* How many rows there are to be on the border of a part, at most. */
static uint32
border_room(const Spool *s, const Part *part)
{
	uint64		share = (uint64) part->rows * (100 - s->home_share) / s->home_share;

	return (uint32) Min(share, s->link_rows - part->rows);
}

/*
 * Offer a row to a part, on whose border it is.  Rows of higher levels than there
 * will be room for are refused.
 */
static void
offer_row(Spool *s, uint32 row, uint32 number, uint32 level)
{
	Part	   *part = &s->parts[number];
	BorderFile *border = &s->borders[number];
	uint32		room = border_room(s, part);

	if (level > part->top)
		return;
	border->levels[level]++;
	part->below += level < part->top;
	while (part->top > 0 && part->below >= room)
		part->below -= border->levels[--part->top];
	if (level > part->top)
		return;
	if (border->file == NULL)
		border->file = ann_team_create_file(s->team, BORDER_FILE, number);
	BufFileWrite(border->file, &level, sizeof(level));
	ann_arena_save(s->arena, row, border->file);
	part->border_rows++;
}

/* The distance of one of four rows, d[4 * leader + row], from the nearest leader. */
static float
find_nearest(const float *d, uint32 leaders, uint32 row)
{
	float		least = d[row];

	for (uint32 k = 1; k < leaders; k++)
		least = Min(least, d[4 * k + row]);
	return least;
}

/*
 * The part, but for one, whose leader is the nearest near leader of a row, and the
 * distance of that, as above; NO_PART if there is none.
 */
static uint32
find_near_part(const Border *border, uint32 row, uint32 except, float *distance)
{
	uint32		part = NO_PART;

	for (uint32 k = 0; k < border->near.n; k++)
	{
		if (border->near_part[k] == except ||
			(part != NO_PART && border->d[4 * k + row] >= *distance))
			continue;
		part = border->near_part[k];
		*distance = border->d[4 * k + row];
	}
	return part;
}

/* Offer four rows of s->batch, or fewer, to the parts that are nearest. */
static void
offer_rows(Spool *s, uint32 first, Border *border)
{
	const int8 *row[ANN_TILE_ROWS];
	float		scale[ANN_TILE_ROWS];
	float		norm2[ANN_TILE_ROWS];
	AnnTile		rows = {row, scale, norm2, 0};
	float		own[ANN_TILE_ROWS];
	uint32		n = Min(s->arena->count - first, ANN_TILE_ROWS);

	for (uint32 i = 0; i < n; i++)
		ann_tile_add_row(&rows, &s->batch, first + i);
	ann_tile_distances4(&rows, 0, &border->own, 0, s->info->tree_dim, border->d);
	for (uint32 i = 0; i < n; i++)
		own[i] = find_nearest(border->d, border->own.n, i);
	ann_tile_distances4(&rows, 0, &border->near, 0, s->info->tree_dim, border->d);
	for (uint32 i = 0; i < n; i++)
	{
		uint32		part = NO_PART;
		float		other;

		/* the second one is the nearest but for the first */
		for (int k = 1; k < PARTS_OF_ROW; k++)
		{
			part = find_near_part(border, i, part, &other);
			if (part == NO_PART)
				break;
			offer_row(s, first + i, part, border_level(other, own[i]));
		}
	}
}

/* Send rows to the parts on whose border they are. */
static void
find_borders(Spool *s)
{
	Border	   *border = palloc0(sizeof(Border));
	uint32		n = s->leaders.n;
	char	   *own = palloc(ann_tile_size(n));
	char	   *near = palloc(ann_tile_size(NEAR_LEADERS));
	RowFile		rows = {s->rows, s->num_rows, false, NULL};

	s->arena = ann_arena_make(s->info, ANN_ARENA_BARE, BORDER_MEMORY, 0);
	s->borders = palloc_extended(sizeof(BorderFile) * (Size) s->num_parts,
								 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	ann_tile_init(&border->own, n, own);
	ann_tile_init(&border->near, NEAR_LEADERS, near);
	border->candidates = palloc(sizeof(uint64) * n);
	border->d = palloc(sizeof(float) * ANN_TILE_ROWS * (n + ANN_TILE_ROWS));
	ann_file_rewind(s->rows);
	for (uint32 p = 0; p < s->num_parts && s->num_parts > 1; p++)
	{
		find_near_leaders(s, p, border);
		for (uint32 at = 0; at < s->parts[p].rows; at += BATCH)
		{
			load_batch(s, &rows, Min(s->parts[p].rows - at, BATCH));
			for (uint32 i = 0; i < s->arena->count; i += ANN_TILE_ROWS)
				offer_rows(s, i, border);
		}
	}
	for (uint32 p = 0; p < s->num_parts; p++)
	{
		if (s->borders[p].file != NULL)
			ann_team_close_file(s->team, s->borders[p].file);
	}
	ann_arena_free(s->arena);
	pfree(s->borders);
	pfree(border->d);
	pfree(border->candidates);
	pfree(near);
	pfree(own);
	pfree(border);
}

/* ---- what the leader says of the parts ---- */

static void
write_parts(Spool *s)
{
	BufFile    *file = ann_team_create_file(s->team, PARTS_FILE);

	BufFileWrite(file, &s->unit, sizeof(s->unit));
	BufFileWrite(file, &s->num_rows, sizeof(s->num_rows));
	BufFileWrite(file, &s->link_rows, sizeof(s->link_rows));
	BufFileWrite(file, &s->home_share, sizeof(s->home_share));
	BufFileWrite(file, &s->together, sizeof(s->together));
	BufFileWrite(file, &s->num_parts, sizeof(s->num_parts));
	BufFileWrite(file, s->parts, sizeof(Part) * (Size) s->num_parts);
	ann_team_close_file(s->team, file);
}

static void
read_parts(Spool *s)
{
	BufFile    *file = ann_team_open_file(s->team, PARTS_FILE);

	BufFileReadExact(file, &s->unit, sizeof(s->unit));
	BufFileReadExact(file, &s->num_rows, sizeof(s->num_rows));
	BufFileReadExact(file, &s->link_rows, sizeof(s->link_rows));
	BufFileReadExact(file, &s->home_share, sizeof(s->home_share));
	BufFileReadExact(file, &s->together, sizeof(s->together));
	BufFileReadExact(file, &s->num_parts, sizeof(s->num_parts));
	s->parts = palloc_extended(sizeof(Part) * (Size) s->num_parts, MCXT_ALLOC_HUGE);
	BufFileReadExact(file, s->parts, sizeof(Part) * (Size) s->num_parts);
	ann_team_close_file(s->team, file);
}

/* ---- the graphs of the parts ---- */

/* The rows of a part, and those on its border, to the arena. */
static void
load_part(Spool *s, uint32 number)
{
	const Part *part = &s->parts[number];
	AnnArena   *arena = s->arena;
	uint32		spare = border_room(s, part) - part->below;
	BufFile    *border;

	arena->count = 0;
	ann_arena_seek(arena, s->rows, part->first);
	for (uint32 i = 0; i < part->rows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		ann_arena_load(arena, s->rows);
	}
	if (part->border_rows == 0)
		return;
	border = ann_team_open_file(s->team, BORDER_FILE, number);
	for (uint32 i = 0; i < part->border_rows && !ann_arena_is_full(arena); i++)
	{
		uint32		level;

		CHECK_FOR_INTERRUPTS();
		BufFileReadExact(border, &level, sizeof(level));
		ann_arena_load(arena, border);
		if (level > part->top || (level == part->top && spare == 0))
			arena->count--;
		else if (level == part->top)
			spare--;
	}
	ann_team_close_file(s->team, border);
	ann_team_delete_file(s->team, BORDER_FILE, number);
}

/* The number of the part that a row is at home in. */
static uint32
find_home(const Spool *s, uint32 number)
{
	uint32		low = 0;
	uint32		high = s->num_parts;

	while (high - low > 1)
	{
		uint32		middle = (low + high) / 2;

		if (s->parts[middle].first <= number)
			low = middle;
		else
			high = middle;
	}
	return low;
}

static bool
is_home(const Part *part, uint32 number)
{
	return number - part->first < part->rows;
}

/* Bytes in the files of links of a part, of one member. */
typedef struct LinkSizes
{
	uint64		home;
	uint64		other;
} LinkSizes;

/* The links that a member has found, by the parts that their owners are at home in. */
typedef struct LinkFiles
{
	BufFile    *home;			/* of the part at hand; NULL: none yet */
	BufFile   **other;			/* of each part; NULL: none yet */
	LinkSizes  *sizes;

	/* Scratch */
	AnnRowLinks links;
	char	   *buffer;			/* for those of a row */
} LinkFiles;

/* Write the links in the buffer, found in their owner's home or not. */
static void
write_links(Spool *s, LinkFiles *to, uint32 home, bool at_home, Size bytes)
{
	BufFile   **file = at_home ? &to->home : &to->other[home];
	uint64	   *size = at_home ? &to->sizes[home].home : &to->sizes[home].other;

	if (*file == NULL)
		*file = ann_team_create_file(s->team, at_home ? HOME_LINKS_FILE : OTHER_LINKS_FILE,
									 home, s->team->number);
	BufFileWrite(*file, to->buffer, bytes);
	*size += bytes;
}

/*
 * The links of a row to its file.  Rows that share the owner's home meet there, and
 * need not be told of here.
 */
static void
spool_links(Spool *s, const AnnGraphMaker *maker, uint32 at, uint32 row, LinkFiles *to)
{
	const AnnElementRef *refs = s->arena->refs;
	const uint32 *neighbours = ann_graph_links(&maker->graph, row);
	LinkHead   *head = (LinkHead *) to->buffer;
	uint32		home = find_home(s, ref_number(refs[row]));
	Size		bytes = sizeof(LinkHead);

	head->owner = ref_number(refs[row]);
	head->count = 0;
	ann_row_links_begin(&to->links, row);
	for (int i = 0; i < maker->graph.degrees[row]; i++)
	{
		SpoolLink  *out = (SpoolLink *) (to->buffer + bytes);
		AnnLink		link;

		out->number = ref_number(refs[neighbours[i]]);
		if (home != at && is_home(&s->parts[home], out->number))
			continue;
		ann_row_links_make(&to->links, neighbours[i], &link);
		out->a = link.factors.a;
		out->f = link.factors.f;
		memcpy(out + 1, link.code, s->info->link_bytes);
		head->count++;
		bytes += s->link_size;
	}
	if (head->count == 0)
		return;
	write_links(s, to, home, home == at, bytes);
}

/* Write which of a part's own rows are entries; returns how many. */
static uint32
write_entries(Spool *s, const AnnGraphMaker *maker, uint32 part)
{
	BufFile    *file = ann_team_create_file(s->team, ENTRIES_FILE, part);
	uint32		count = 0;

	for (int pass = 0; pass < 2; pass++)
	{
		if (pass == 1)
			BufFileWrite(file, &count, sizeof(count));
		for (uint32 i = 0; i < maker->entries.count; i++)
		{
			uint32		number = ref_number(s->arena->refs[maker->entries.nodes[i]]);

			if (!is_home(&s->parts[part], number))
				continue;
			if (pass == 0)
				count++;
			else
				BufFileWrite(file, &number, sizeof(number));
		}
	}
	ann_team_close_file(s->team, file);
	return count;
}

static void
init_link_files(Spool *s, LinkFiles *to)
{
	to->home = NULL;
	to->other = palloc0(sizeof(BufFile *) * s->num_parts);
	to->sizes = palloc0(sizeof(LinkSizes) * s->num_parts);
	to->buffer = palloc(sizeof(LinkHead) + s->link_size * s->options.degree);
	ann_row_links_init(&to->links, s->arena);
}

/* Others may read them. */
static void
close_link_files(Spool *s, LinkFiles *to)
{
	BufFile    *file = ann_team_create_file(s->team, SIZES_FILE, s->team->number);

	BufFileWrite(file, to->sizes, sizeof(LinkSizes) * (Size) s->num_parts);
	ann_team_close_file(s->team, file);
	for (uint32 i = 0; i < s->num_parts; i++)
	{
		if (to->other[i] != NULL)
			ann_team_close_file(s->team, to->other[i]);
	}
	pfree(to->buffer);
	pfree(to->sizes);
	pfree(to->other);
}

/* The bytes of memory that a row of a part takes while its graph is built. */
static Size
link_row_memory(const AnnIndex *info)
{
	return ann_arena_row_memory(info, ANN_ARENA_BARE) + ann_graph_row_memory(info);
}

/* What a team needs to build the graph of so many rows together. */
static Size
together_size(const AnnIndex *info, uint32 rows)
{
	return ann_arena_shared_size(info, ANN_ARENA_BARE, rows) + ann_graph_shared_size(info, rows);
}

/* The memory for that: of all, or of this member. */
static void
get_link_memory(Spool *s)
{
	if (s->together && !ann_team_leads(s->team))
		ann_team_attach_memory(s->team);
	s->arena = s->together
		? ann_arena_share(s->info, ANN_ARENA_BARE, s->team, s->link_rows)
		: ann_arena_make(s->info, ANN_ARENA_BARE, link_row_memory(s->info) * s->link_rows,
						 ann_graph_row_memory(s->info));
}

/*
 * Build the graph of a part, and write the links and the entries, whose number is added
 * to *entries.  Members of the maker's team do so together.
 */
static void
link_part(Spool *s, AnnGraphMaker *maker, uint32 number, LinkFiles *to, uint32 *entries)
{
	AnnTeam    *team = maker->team;
	char	   *mark = ann_team_mark(team);
	uint64		first;
	uint64		n;

	if (ann_team_leads(team))
	{
		load_part(s, number);
		ann_team_tell(team, s->arena->count);
	}
	ann_team_wait(team);
	s->arena->count = (uint32) ann_team_told(team, 0);
	team->share = (double) s->parts[number].rows / s->arena->count;
	ann_graph_meet(maker);
	ann_graph_choose(maker);
	ann_team_wait(team);
	while (ann_team_take(team, s->arena->count, PIECE, &first, &n))
	{
		for (uint64 row = first; row < first + n; row++)
		{
			CHECK_FOR_INTERRUPTS();
			spool_links(s, maker, number, (uint32) row, to);
		}
	}
	if (to->home != NULL)
		ann_team_close_file(s->team, to->home);
	to->home = NULL;
	if (ann_team_leads(team))
		*entries += write_entries(s, maker, number);
	ann_graph_forget(maker);
	ann_team_go_back(team, mark);
	ann_team_wait(team);
	team->share = 1;
}

/* Build the graphs of all parts, or of those that this member takes. */
static void
link_parts(Spool *s)
{
	AnnTeam    *team = s->together ? s->team : ann_team_within(s->team);
	AnnGraphMaker maker;
	LinkFiles	to;
	uint32		entries = 0;
	uint64		part;
	uint64		n;

	get_link_memory(s);
	ann_graph_maker_init(&maker, team, s->arena);
	init_link_files(s, &to);
	if (s->together)
	{
		for (part = 0; part < s->num_parts; part++)
			link_part(s, &maker, (uint32) part, &to, &entries);
	}
	else
	{
		while (ann_team_take(s->team, s->num_parts, 1, &part, &n))
			link_part(s, &maker, (uint32) part, &to, &entries);
	}
	close_link_files(s, &to);
	ann_team_tell(s->team, entries);
	MemoryContextDelete(maker.context);
	ann_arena_free(s->arena);
	if (s->together)
		ann_team_leave_memory(s->team);
}

/* ---- the choice among the links of all parts ---- */

/* Before the links of a group. */
typedef struct LinkGroup
{
	Size		next;			/* as LinkPool.first */
	LinkHead	head;
} LinkGroup;

/* Links of a part's own rows that a member has found there. */
typedef struct HomeLinks
{
	BufFile    *file;
	uint64		left;			/* bytes, without those of the head */
	LinkHead	head;			/* of the next group; of no row at the end */
} HomeLinks;

/* Links of some rows of a part, from its files. */
typedef struct LinkPool
{
	AnnRecordPlaces places;
	AnnLinkSet *set;
	BufFile    *chosen;			/* of the part */
	LinkSizes  *sizes;			/* see read_sizes */
	HomeLinks  *homes;			/* of each member */
	LinkGroup  *home;			/* what of these is the row's at hand */
	Size		pool_size;		/* that memory has room for */

	/* Groups of links that were found elsewhere, those of an owner chained */
	char	   *pool;
	Size		allocated;
	Size		used;
	Size	   *first;			/* of each owner: offset + 1 of a group, 0 if none */
} LinkPool;

#define NO_ROW PG_UINT32_MAX

/* The most bytes that a group takes. */
static Size
group_size(const Spool *s)
{
	return MAXALIGN(sizeof(LinkGroup) + s->link_size * s->options.degree);
}

/* Read the links of a group behind its head. */
static void
read_group_links(Spool *s, LinkGroup *group, BufFile *file)
{
	Assert(group->head.count <= s->options.degree);
	BufFileReadExact(file, group + 1, s->link_size * group->head.count);
}

/* Read the next group behind the pool, which has room for it afterwards. */
static LinkGroup *
read_group(Spool *s, LinkPool *g, BufFile *file)
{
	LinkGroup  *group;

	if (g->used + group_size(s) > g->allocated)
	{
		g->allocated = Max(g->allocated + g->allocated / 2, g->used + group_size(s));
		g->pool = repalloc_huge(g->pool, g->allocated);
	}
	group = (LinkGroup *) (g->pool + g->used);
	BufFileReadExact(file, &group->head, sizeof(LinkHead));
	read_group_links(s, group, file);
	return group;
}

/* What a member has found in a part. */
static const LinkSizes *
sizes_of(const Spool *s, const LinkPool *g, uint32 part, int member)
{
	return &g->sizes[(Size) member * s->num_parts + part];
}

/* Gather the links of n rows of a part, from number 'first' on, that others have. */
static void
gather_links(Spool *s, LinkPool *g, uint32 part, uint32 first, uint32 n)
{
	g->used = 0;
	memset(g->first, 0, sizeof(Size) * n);
	for (int i = 0; i < s->team->members; i++)
	{
		uint64		size = sizes_of(s, g, part, i)->other;
		BufFile    *file;

		if (size == 0)
			continue;
		file = ann_team_open_file(s->team, OTHER_LINKS_FILE, part, i);
		for (uint64 at = 0; at < size;)
		{
			LinkGroup  *group = read_group(s, g, file);
			uint32		owner = group->head.owner - first;

			CHECK_FOR_INTERRUPTS();
			at += sizeof(LinkHead) + s->link_size * group->head.count;
			if (owner >= n)
				continue;
			group->next = g->first[owner];
			g->first[owner] = g->used + 1;
			g->used += MAXALIGN(sizeof(LinkGroup) + s->link_size * group->head.count);
		}
		ann_team_close_file(s->team, file);
	}
}

/* Read the head of the next group. */
static void
next_home(HomeLinks *home)
{
	home->head.owner = NO_ROW;
	if (home->left == 0)
		return;
	BufFileReadExact(home->file, &home->head, sizeof(LinkHead));
	home->left -= sizeof(LinkHead);
}

static void
open_homes(Spool *s, LinkPool *g, uint32 part)
{
	for (int i = 0; i < s->team->members; i++)
	{
		HomeLinks  *home = &g->homes[i];

		home->left = sizes_of(s, g, part, i)->home;
		home->file = home->left == 0 ? NULL
			: ann_team_open_file(s->team, HOME_LINKS_FILE, part, i);
		next_home(home);
	}
}

/* The links that a row has at home, which one member has found; NULL if there are none. */
static LinkGroup *
take_home(Spool *s, LinkPool *g, uint32 number)
{
	for (int i = 0; i < s->team->members; i++)
	{
		HomeLinks  *home = &g->homes[i];

		if (home->head.owner != number)
			continue;
		g->home->head = home->head;
		read_group_links(s, g->home, home->file);
		home->left -= s->link_size * home->head.count;
		next_home(home);
		return g->home;
	}
	return NULL;
}

/* All files of links of a part have been read. */
static void
delete_link_files(Spool *s, LinkPool *g, uint32 part)
{
	for (int i = 0; i < s->team->members; i++)
	{
		if (g->homes[i].file != NULL)
		{
			ann_team_close_file(s->team, g->homes[i].file);
			ann_team_delete_file(s->team, HOME_LINKS_FILE, part, i);
		}
		if (sizes_of(s, g, part, i)->other > 0)
			ann_team_delete_file(s->team, OTHER_LINKS_FILE, part, i);
	}
}

/* Add the links of a group that are not there yet. */
static void
add_group(Spool *s, AnnLinkSet *set, const LinkGroup *group)
{
	const char *links = (const char *) (group + 1);

	for (uint32 i = 0; i < group->head.count; i++)
	{
		const SpoolLink *link = (const SpoolLink *) (links + i * s->link_size);
		AnnCodeFactors factors = {link->a, link->f, 0};

		if (!ann_link_set_has(set, number_ref(link->number)))
			ann_link_set_add(set, number_ref(link->number), &factors, (const uint8 *) (link + 1));
	}
}

/* Write the links of the set that were chosen; returns how many. */
static uint32
write_chosen(Spool *s, BufFile *file, const AnnLinkSet *set)
{
	uint32		count = 0;

	for (int i = 0; i < set->count; i++)
		count += set->kept[i];
	BufFileWrite(file, &count, sizeof(count));
	for (int i = 0; i < set->count; i++)
	{
		int			k = set->order[i];
		SpoolLink	link = {ref_number(set->element[k]), set->factors[k].a, set->factors[k].f};

		if (!set->kept[k])
			continue;
		BufFileWrite(file, &link, sizeof(link));
		BufFileWrite(file, ann_link_set_code(set, k), s->info->link_bytes);
	}
	return count;
}

/*
 * Choose the links of a row: those that it has at home, if it has some, and those of
 * groups from 'first' on.  Those of one part have been chosen already.
 */
static uint32
choose_links(Spool *s, LinkPool *g, const LinkGroup *home, Size first)
{
	const LinkGroup *group = first > 0 ? (LinkGroup *) (g->pool + first - 1) : NULL;
	const LinkGroup *only = home == NULL ? group : home;

	if (group == NULL || (home == NULL && group->next == 0))
	{
		uint32		count = only != NULL ? only->head.count : 0;

		BufFileWrite(g->chosen, &count, sizeof(count));
		if (count > 0)
			BufFileWrite(g->chosen, (void *) (only + 1), s->link_size * count);
		return count;
	}
	g->set->count = 0;
	if (home != NULL)
		add_group(s, g->set, home);
	for (; first > 0; first = group->next)
	{
		group = (LinkGroup *) (g->pool + first - 1);
		add_group(s, g->set, group);
	}
	ann_link_set_choose(g->set, 0, s->info->max_links, (int) s->options.fill);
	return write_chosen(s, g->chosen, g->set);
}

/* Write the places of a part's records, in blocks from 0 on. */
static void
write_places(Spool *s, uint32 part, const AnnElementRef *places, BlockNumber pages)
{
	BufFile    *file = ann_team_create_file(s->team, PLACES_FILE, part);

	BufFileWrite(file, &pages, sizeof(pages));
	BufFileWrite(file, unconstify(AnnElementRef *, places),
				 sizeof(AnnElementRef) * (Size) s->parts[part].rows);
	ann_team_close_file(s->team, file);
}

/* How many pages the records of a part take, beginning on one. */
static BlockNumber
read_pages(Spool *s, uint32 part)
{
	BufFile    *file = ann_team_open_file(s->team, PLACES_FILE, part);
	BlockNumber pages;

	BufFileReadExact(file, &pages, sizeof(pages));
	ann_team_close_file(s->team, file);
	return pages;
}

/* Read their places, in blocks from this one on; returns the one behind. */
static BlockNumber
read_places(Spool *s, uint32 part, BlockNumber first)
{
	AnnElementRef *places = s->places + s->parts[part].first;
	uint32		n = s->parts[part].rows;
	BufFile    *file = ann_team_open_file(s->team, PLACES_FILE, part);
	BlockNumber pages;

	BufFileReadExact(file, &pages, sizeof(pages));
	BufFileReadExact(file, places, sizeof(AnnElementRef) * (Size) n);
	for (uint32 i = 0; i < n; i++)
		ItemPointerSetBlockNumber(&places[i], ItemPointerGetBlockNumber(&places[i]) + first);
	ann_team_close_file(s->team, file);
	return first + pages;
}

/*
 * In how many slices of its rows the links of a part are gathered, of so many bytes from
 * elsewhere.  Those of one slice may be more than its share: rows on borders are near one
 * another.
 */
static uint32
count_slices(const LinkPool *g, const Part *part, uint64 bytes)
{
	Size		beside = (sizeof(Size) + sizeof(AnnElementRef)) * (Size) part->rows;
	Size		room = Max(g->pool_size > beside ? g->pool_size - beside : 0, MIN_POOL / 8);

	return bytes <= room ? 1 : (uint32) Min(2 * bytes / room + 1, part->rows);
}

/*
 * Choose the links of a part's rows, as many at a time as there is room for, and place
 * the records.
 */
static void
gather_part(Spool *s, LinkPool *g, uint32 number)
{
	const Part *part = &s->parts[number];
	uint64		bytes = 0;
	uint32		slice;
	AnnElementRef *places = palloc_extended(sizeof(AnnElementRef) * (Size) part->rows, MCXT_ALLOC_HUGE);

	for (int i = 0; i < s->team->members; i++)
		bytes += sizes_of(s, g, number, i)->other;
	slice = part->rows / count_slices(g, part, bytes) + 1;
	g->chosen = ann_team_create_file(s->team, CHOSEN_FILE, number);
	g->first = palloc_extended(sizeof(Size) * (Size) slice, MCXT_ALLOC_HUGE);
	ann_record_places_init(&g->places, s->info, 0);
	open_homes(s, g, number);
	for (uint32 at = 0; at < part->rows; at += slice)
	{
		uint32		n = Min(part->rows - at, slice);

		gather_links(s, g, number, part->first + at, n);
		for (uint32 i = 0; i < n; i++)
		{
			const LinkGroup *home = take_home(s, g, part->first + at + i);

			CHECK_FOR_INTERRUPTS();
			places[at + i] = ann_record_place(&g->places,
											  (int) choose_links(s, g, home, g->first[i]));
		}
	}
	ann_team_close_file(s->team, g->chosen);
	delete_link_files(s, g, number);
	write_places(s, number, places, ann_record_places_end(&g->places));
	pfree(g->first);
	pfree(places);
}

/* The sizes of all files of links: those of the first member first. */
static LinkSizes *
read_sizes(Spool *s)
{
	Size		n = s->num_parts;
	LinkSizes  *sizes = palloc_extended(sizeof(LinkSizes) * n * s->team->members, MCXT_ALLOC_HUGE);

	for (int i = 0; i < s->team->members; i++)
	{
		BufFile    *file = ann_team_open_file(s->team, SIZES_FILE, i);

		BufFileReadExact(file, sizes + n * i, sizeof(LinkSizes) * n);
		ann_team_close_file(s->team, file);
	}
	return sizes;
}

/* Choose the links of all rows of the parts that this member takes. */
static void
gather_parts(Spool *s, Size budget)
{
	LinkPool	g = {0};
	uint64		part;
	uint64		n;

	g.set = ann_link_set_make(s->info, PARTS_OF_ROW * (int) s->options.degree);
	g.sizes = read_sizes(s);
	g.homes = palloc(sizeof(HomeLinks) * s->team->members);
	g.home = palloc(group_size(s));
	g.pool_size = Max(budget, MIN_POOL / s->team->members);
	g.allocated = MIN_POOL / 8 / s->team->members;
	g.pool = palloc_extended(g.allocated, MCXT_ALLOC_HUGE);
	while (ann_team_take(s->team, s->num_parts, 1, &part, &n))
	{
		gather_part(s, &g, (uint32) part);
		ann_team_report(s->team, s->parts[part].rows);
	}
	pfree(g.pool);
	pfree(g.homes);
	pfree(g.home);
	pfree(g.sizes);
}

/* ---- writing ---- */

/*
 * Where the records of all parts will be: those of a part begin on a page.  The leader
 * gets the blocks for all of them, and writes alone where memory has no room for what
 * each member must know of that.
 */
static void
place_parts(Spool *s, AnnBulk *bulk)
{
	Size		size = sizeof(AnnElementRef) * (Size) s->num_rows;
	BlockNumber at = 0;

	s->blocks = palloc(sizeof(BlockNumber) * (s->num_parts + 1));
	if (ann_team_leads(s->team))
	{
		for (uint32 p = 0; p < s->num_parts; p++)
			at += read_pages(s, p);
		ann_team_tell(s->team, ann_bulk_claim(bulk, at));
	}
	ann_team_wait(s->team);
	at = (BlockNumber) ann_team_told(s->team, 0);
	if (ann_team_leads(s->team) || size <= s->team->memory)
		s->places = palloc_extended(size, MCXT_ALLOC_HUGE);
	for (uint32 p = 0; p < s->num_parts && s->places != NULL; p++)
	{
		s->blocks[p] = at;
		at = read_places(s, p, at);
	}
	s->blocks[s->num_parts] = at;
	ann_team_wait(s->team);
}

/* The record of the row in the arena, with the links that come next. */
static void
write_record(Spool *s, AnnRecordWriter *writer, AnnElementRef place, BufFile *chosen, char *buffer)
{
	uint32		count;

	BufFileReadExact(chosen, &count, sizeof(count));
	BufFileReadExact(chosen, buffer, s->link_size * count);
	ann_record_begin(writer, place, ann_arena_element(s->arena, 0), s->arena->norms2[0],
					 (int) count);
	for (uint32 i = 0; i < count; i++)
	{
		const SpoolLink *from = (const SpoolLink *) (buffer + i * s->link_size);
		AnnLink		link = {s->places[from->number], {from->a, from->f, 0},
		(const uint8 *) (from + 1)};

		ann_links_put(s->info, writer->links, (int) i, &link);
	}
	ann_record_end(writer);
}

/* A bit for each row of a part: is it an entry?  Row 0 is, if there is none at all. */
static uint8 *
read_entries(Spool *s, uint32 number, bool any)
{
	const Part *part = &s->parts[number];
	uint8	   *is_entry = palloc0(part->rows / 8 + 1);
	BufFile    *file = ann_team_open_file(s->team, ENTRIES_FILE, number);
	uint32		count;

	if (!any && part->first == 0)
		is_entry[0] = 1;
	BufFileReadExact(file, &count, sizeof(count));
	for (uint32 i = 0; i < count; i++)
	{
		uint32		entry;

		BufFileReadExact(file, &entry, sizeof(entry));
		is_entry[(entry - part->first) / 8] |= 1 << (entry - part->first) % 8;
	}
	ann_team_close_file(s->team, file);
	return is_entry;
}

/* Write the records of a part; those of its entries go to a file as well. */
static void
write_part(Spool *s, AnnRecordWriter *writer, uint32 number, const uint8 *is_entry,
		   RowFile *entries, char *buffer)
{
	const Part *part = &s->parts[number];
	BufFile    *chosen = ann_team_open_file(s->team, CHOSEN_FILE, number);

	ann_arena_seek_apart(s->arena, s->elements, s->rows, part->first);
	for (uint32 i = 0; i < part->rows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		s->arena->count = 0;
		ann_arena_load_apart(s->arena, s->elements, s->rows);
		write_record(s, writer, s->places[part->first + i], chosen, buffer);
		if ((is_entry[i / 8] & 1 << i % 8) == 0)
			continue;
		s->arena->refs[0] = s->places[part->first + i];
		ann_arena_save(s->arena, 0, entries->file);
		entries->rows++;
	}
	ann_record_writer_end(writer);
	ann_team_close_file(s->team, chosen);
	ann_team_delete_file(s->team, CHOSEN_FILE, number);
}

/* Write the records of the parts that this member takes; 'any': are there entries? */
static void
write_records(Spool *s, AnnBulk *bulk, uint32 chunk, bool any)
{
	AnnRecordWriter *writer = palloc(sizeof(AnnRecordWriter));
	char	   *buffer = palloc(s->link_size * s->options.degree);
	RowFile		entries = {ann_team_create_file(s->team, ENTRY_ROWS_FILE, s->team->number)};
	uint64		part;
	uint64		n;

	ann_record_writer_init(writer, s->info, bulk, chunk);
	while (s->places != NULL && ann_team_take(s->team, s->num_parts, 1, &part, &n))
	{
		uint8	   *is_entry = read_entries(s, (uint32) part, any);

		ann_bulk_go_to(bulk, s->blocks[part], s->blocks[part + 1] - s->blocks[part]);
		write_part(s, writer, (uint32) part, is_entry, &entries, buffer);
		pfree(is_entry);
	}
	ann_team_close_file(s->team, entries.file);
	ann_team_tell(s->team, entries.rows);
	ann_team_wait(s->team);
	pfree(writer);
	pfree(buffer);
}

/* The leader grows the tree of the entries of all members. */
static BlockNumber
grow_entries(Spool *s, Relation index, AnnBulk *bulk, uint32 chunk, uint32 leaf_capacity)
{
	BufFile    *all = BufFileCreateTemp(false);
	uint64		rows = 0;

	for (int i = 0; i < s->team->members; i++)
	{
		uint64		n = ann_team_told(s->team, i);
		BufFile    *file = ann_team_open_file(s->team, ENTRY_ROWS_FILE, i);

		for (uint64 row = 0; row < n; row++)
		{
			CHECK_FOR_INTERRUPTS();
			s->arena->count = 0;
			ann_arena_load(s->arena, file);
			ann_arena_save(s->arena, 0, all);
		}
		ann_team_close_file(s->team, file);
		rows += n;
	}
	return ann_grow_entry_file(s->team, index, s->info, bulk, chunk, s->arena, all, rows,
							   leaf_capacity);
}

/* ---- a chunk ---- */

static void
init_spool(Spool *s, const AnnIndex *info, AnnTidWriter *tids, AnnTeam *team)
{
	memset(s, 0, sizeof(Spool));
	s->info = info;
	s->team = team;
	s->tids = tids;
	ann_graph_options(info, &s->options);
	s->link_size = sizeof(SpoolLink) + info->link_bytes;
}

/* The rows of a part of so many, where only the number of files counts. */
static uint32
least_part_rows(uint64 rows)
{
	return (uint32) (rows / MAX_PARTS) + 1;
}

/*
 * How many rows a part of 'rows' may have with its border, in so much memory.  Rather
 * more memory than there should be than more files.
 */
static uint32
count_link_rows(const Spool *s, uint64 rows, Size memory)
{
	uint64		fits = memory / link_row_memory(s->info);
	uint64		least = (uint64) least_part_rows(rows) * 100 / HOME_SHARE + MIN_LINK_ROWS;

	return (uint32) Min(Max(fits, least), ANN_LEAF - 1);
}

/*
 * The leader decides on the memory for graphs of so many rows.  Each member has his own
 * if there is none that could be shared.
 */
static void
decide_on_memory(Spool *s, uint64 rows)
{
	s->link_rows = count_link_rows(s, rows, s->team->memory * s->team->members);
	s->together = !ann_team_is_alone(s->team) &&
		ann_team_make_memory(s->team,
							 Max(together_size(s->info, s->link_rows),
								 ann_arena_shared_size(s->info, ANN_ARENA_WHOLE, least_part_rows(rows))));
	if (!s->together)
		s->link_rows = count_link_rows(s, rows, s->team->memory);
}

/*
 * What rows are divided in: of the memory that will be that of their graphs, or of what
 * others do not use meanwhile.
 */
static AnnArena *
make_dividing_arena(Spool *s, uint64 rows)
{
	Size		further = ann_carve_scratch_size(1000) / 1000 + 2 * sizeof(float);
	Size		per_row = ann_arena_row_memory(s->info, ANN_ARENA_WHOLE) + further;
	uint32		fits = (uint32) Min(together_size(s->info, s->link_rows) / per_row, ANN_LEAF - 1);
	AnnArena   *arena;

	if (s->together)
		arena = ann_arena_share(s->info, ANN_ARENA_WHOLE, s->team, Max(fits, least_part_rows(rows)));
	else
	{
		arena = ann_arena_make(s->info, ANN_ARENA_WHOLE, s->team->memory * s->team->members, further);
		arena->max_rows = Max(arena->max_rows, least_part_rows(rows));
	}
	arena->count = 0;
	return arena;
}

/* How large parts of so many rows are. */
static void
decide_on_parts(Spool *s, uint64 rows)
{
	s->home_share = rows * 100 <= (uint64) s->link_rows * FEW_PARTS * HOME_SHARE_OF_FEW
		? HOME_SHARE_OF_FEW : HOME_SHARE;
	s->part_rows = (uint32) ((uint64) s->link_rows * s->home_share / 100);
	s->part_rows = Max(Min(s->part_rows, s->arena->max_rows), least_part_rows(rows));
	s->leaders_per_part = rows / s->part_rows > MANY_PARTS
		? FEW_LEADERS_PER_PART : LEADERS_PER_PART;
}

/*
 * The leader divides so many rows, whose files are closed.  He forgets everything but
 * what he writes to files of the team.
 */
static void
divide_rows(Spool *s, const RowFile *all, uint64 rows)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ann divide",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	char	   *mark;

	decide_on_memory(s, rows);
	mark = ann_team_mark(s->team);
	s->arena = make_dividing_arena(s, rows);
	decide_on_parts(s, rows);
	s->leader_room = MAX_SPOOL_LEADERS;
	s->leaders.row = palloc(sizeof(int8 *) * s->leader_room);
	s->leaders.scale = palloc(sizeof(float) * s->leader_room);
	s->leaders.norm2 = palloc(sizeof(float) * s->leader_room);
	s->leader_part = palloc(sizeof(uint32) * s->leader_room);
	s->part_room = 16;
	s->parts = palloc(sizeof(Part) * s->part_room);
	s->rows = ann_team_create_file(s->team, ROWS_FILE);
	s->elements = ann_team_create_file(s->team, ELEMENTS_FILE);
	find_unit(s, all);
	divide(s, all);
	ann_tids_flush(s->tids);
	ann_arena_free(s->arena);
	ann_team_go_back(s->team, mark);
	find_borders(s);
	ann_team_close_file(s->team, s->rows);
	ann_team_close_file(s->team, s->elements);
	write_parts(s);
	ann_team_report_from(s->team, 0);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* The leader has read the files of all members. */
static void
delete_rows(AnnTeam *team)
{
	for (int i = 0; i < team->members && !ann_team_is_alone(team); i++)
	{
		if (ann_team_told(team, i) > 0)
			ann_team_delete_file(team, ANN_ROWS_FILE, i);
	}
}

/* The files of all members. */
static const RowFile *
all_rows(AnnRowSource *source)
{
	AnnTeam    *team = source->team;
	RowFile    *all = NULL;

	for (int i = team->members - 1; i >= 0; i--)
	{
		RowFile    *next = all;
		uint64		n = ann_team_told(team, i);

		if (n == 0)
			continue;
		all = palloc(sizeof(RowFile));
		all->file = i == team->number ? source->file : ann_team_open_file(team, ANN_ROWS_FILE, i);
		all->rows = n;
		all->raw = true;
		all->next = next;
	}
	return all;
}

/* Divide all rows; each member knows of the parts afterwards. */
static void
divide_together(Spool *s, const AnnIndex *info, AnnTidWriter *tids, AnnRowSource *source)
{
	AnnTeam    *team = source->team;
	uint64		rows = 0;

	ann_arena_free(source->arena);
	source->arena = NULL;
	ann_team_tell(team, source->rows);
	ann_team_wait(team);
	for (int i = 0; i < team->members; i++)
		rows += ann_team_told(team, i);
	if (rows >= PG_UINT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a graph of more than %u rows cannot be built", PG_UINT32_MAX - 1),
				 errhint("Let the option \"chunk_blocks\" divide the index.")));
	init_spool(s, info, tids, team);
	if (ann_team_leads(team))
	{
		divide_rows(s, all_rows(source), rows);
		delete_rows(team);
	}
	else if (source->file != NULL)
		BufFileClose(source->file);
	ann_team_wait(team);
	read_parts(s);
	s->rows = ann_team_open_file(team, ROWS_FILE);
	s->elements = ann_team_open_file(team, ELEMENTS_FILE);
}

BlockNumber
ann_spool_chunk(Relation index, const AnnIndex *info, AnnBulk *bulk, AnnTidWriter *tids,
				uint32 chunk, AnnRowSource *source, uint32 leaf_capacity, uint64 *elements)
{
	AnnTeam    *team = source->team;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ann spool",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Spool		s;
	uint64		entries = 0;
	BlockNumber roots = InvalidBlockNumber;

	divide_together(&s, info, tids, source);
	ann_team_phase(team, ANN_PHASE_BUILD);
	link_parts(&s);
	ann_team_wait(team);
	ann_team_report_from(team, 0);
	for (int i = 0; i < team->members; i++)
		entries += ann_team_told(team, i);
	ann_team_wait(team);
	ann_team_phase(team, ANN_PHASE_LINK);
	gather_parts(&s, team->memory);
	ann_team_wait(team);
	ann_team_phase(team, ANN_PHASE_WRITE);
	s.arena = ann_arena_make(info, ANN_ARENA_WHOLE, team->memory, 0);
	place_parts(&s, bulk);
	write_records(&s, bulk, chunk, entries > 0);
	if (s.places != NULL)
		pfree(s.places);
	if (ann_team_leads(team))
		roots = grow_entries(&s, index, bulk, chunk, leaf_capacity);
	ann_team_close_file(team, s.rows);
	ann_team_close_file(team, s.elements);
	*elements = s.num_rows;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return roots;
}
