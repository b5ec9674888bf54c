/*
 * graph_spool.c
 *	  From more rows than memory has room for to the graph of a chunk.
 *
 *	 dividing	random rows are leaders, and each row goes to the file of the nearest;
 *				leaders near one another share a part, whose rows fit memory.  There
 *				equal rows become one, and get numbers, in an order in which near rows
 *				are near: that of the records.  Then a row goes to one other part as well,
 *				the one with the nearest leader, if there is room: on its border, where
 *				those are taken whose two leaders are about as near
 *	 building	the graph of each part and its border, as graph_make.c has it; the
 *				links go to a file of the part that their owner is at home in
 *	 linking	the links that a row got in several parts are chosen from once more,
 *				by their codes; now the size of each record is known, and its place
 *	 writing	the records, one by one; then the tree of the entries
 *
 * Whatever is in memory is of one part, but for the leaders and the places of the
 * records, 6 bytes a row.  Until there are places, AnnElementRef has the number of a
 * row: see number_ref.
 *
 * What has lost its last link in the second choice is not noticed here: see
 * ann_graph_connect.
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "am/graph_make.h"
#include "am/graph_spool.h"
#include "am/link_make.h"
#include "am/method.h"
#include "am/record_make.h"
#include "commands/progress.h"
#include "compat.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"

/* Of the rows that memory has room for, so many per cent are the part's own. */
#define HOME_SHARE 70

/* No more parts: each has two files open, of 8 kB of memory. */
#define MAX_PARTS 2048

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

/* Parts that a row is in: at home, and on the border of one. */
#define PARTS_OF_ROW 2

/*
 * Levels of border rows: by the squared distance from the other part's leader, in
 * units of that from the own one, so many to the unit.
 */
#define LEVELS_PER_UNIT 32
#define LEVELS (2 * LEVELS_PER_UNIT)

/* Memory for links while they are gathered, at least. */
#define MIN_POOL ((Size) 8 * 1024 * 1024)

#define NO_PART PG_UINT32_MAX

/* Rows in a file. */
typedef struct RowFile
{
	BufFile    *file;			/* NULL: none yet */
	uint64		rows;
	bool		raw;			/* not augmented yet (ann_arena_augment) */
} RowFile;

typedef struct Part
{
	uint32		first;			/* number of the first row */
	uint32		rows;
	RowFile		border;
	uint32		levels[LEVELS]; /* border rows that were offered, by level */
	uint32		below;			/* of these below the top level: there is room */
	uint32		top;			/* the highest level that there is room for */
	BufFile    *links;
	Size		link_bytes;		/* in that file */
} Part;

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
	AnnArena   *arena;
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
	BufFile    *rows;			/* in the order of their numbers */
	uint32		num_rows;
	uint8	   *is_entry;		/* a bit for each */
	uint32		num_entries;

	/* Known when all links have been chosen */
	BufFile    *links;			/* in the order of their owners */
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

/* Scales are in units of a usual one, from now on. */
static void
find_unit(Spool *s, const RowFile *from)
{
	AnnTreeRows rows;

	ann_arena_load_sample(s->arena, from->file, from->rows,
						  Min(ANN_UNIT_SAMPLE, s->arena->max_rows - 1), s->options.seed);
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
	uint64		parts = from->rows / s->part_rows + 1;
	uint32		n = (uint32) Min(parts * s->leaders_per_part, MAX_SPOOL_LEADERS);
	int			dim = s->info->tree_dim;

	ann_arena_load_sample(s->arena, from->file, from->rows, n,
						  s->options.seed + s->leaders.n);
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

/* Send each row of a file, which is closed, to the file of its nearest leader. */
static RowFile *
route_rows(Spool *s, RowFile *from, uint32 first, uint32 n)
{
	RowFile    *files = palloc0(sizeof(RowFile) * n);
	AnnTile		leaders = some_leaders(s, first, n);
	uint32		numbers[BATCH];
	uint16		nearest[BATCH];

	for (uint32 i = 0; i < BATCH; i++)
		numbers[i] = i;
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
		ann_arena_save(arena, row, s->rows);
	}
	arena->count = 0;
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, (int64) s->num_rows);
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

/* Divide the rows of a file, which is closed, into parts. */
static void
divide(Spool *s, RowFile *from)
{
	uint32		first = s->leaders.n;
	uint32		n = choose_leaders(s, from);
	RowFile    *files = route_rows(s, from, first, n);

	check_stack_depth();
	pack_parts(s, files, first, n);
	for (uint32 i = 0; i < n; i++)
	{
		if (files[i].rows <= s->part_rows)
			continue;
		if (files[i].rows > from->rows / 100 * MAX_SHARE)
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

/*
 * Offer a row to a part, on whose border it is.  Rows of higher levels than there
 * will be room for are refused.
 */
static void
offer_row(Spool *s, uint32 row, Part *part, uint32 level)
{
	uint32		room = s->arena->max_rows - part->rows;

	if (level > part->top)
		return;
	part->levels[level]++;
	part->below += level < part->top;
	while (part->top > 0 && part->below >= room)
		part->below -= part->levels[--part->top];
	if (level > part->top)
		return;
	if (part->border.file == NULL)
		part->border.file = BufFileCreateTemp(false);
	BufFileWrite(part->border.file, &level, sizeof(level));
	save_row(s, row, &part->border);
}

/*
 * The nearest leader of four rows, whose distances are d[4 * leader + row]; its
 * distance goes to 'least'.
 */
static uint32
find_nearest(const float *d, uint32 leaders, uint32 row, float *least)
{
	uint32		nearest = 0;

	for (uint32 k = 1; k < leaders; k++)
	{
		if (d[4 * k + row] < d[4 * nearest + row])
			nearest = k;
	}
	*least = d[4 * nearest + row];
	return nearest;
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
		find_nearest(border->d, border->own.n, i, &own[i]);
	ann_tile_distances4(&rows, 0, &border->near, 0, s->info->tree_dim, border->d);
	for (uint32 i = 0; i < n; i++)
	{
		float		other;
		uint32		leader = find_nearest(border->d, border->near.n, i, &other);

		offer_row(s, first + i, &s->parts[border->near_part[leader]],
				  border_level(other, own[i]));
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
	RowFile		rows = {s->rows, s->num_rows, false};

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
	pfree(border->d);
	pfree(border->candidates);
	pfree(near);
	pfree(own);
	pfree(border);
}

/* ---- the graphs of the parts ---- */

/* The rows of a part, and those on its border, to the arena. */
static void
load_part(Spool *s, Part *part)
{
	AnnArena   *arena = s->arena;
	uint32		spare = arena->max_rows - part->rows - part->below;

	arena->count = 0;
	for (uint32 i = 0; i < part->rows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		ann_arena_load(arena, s->rows);
	}
	if (part->border.file == NULL)
		return;
	ann_file_rewind(part->border.file);
	for (uint64 i = 0; i < part->border.rows && !ann_arena_is_full(arena); i++)
	{
		uint32		level;

		CHECK_FOR_INTERRUPTS();
		BufFileReadExact(part->border.file, &level, sizeof(level));
		ann_arena_load(arena, part->border.file);
		if (level > part->top || (level == part->top && spare == 0))
			arena->count--;
		else if (level == part->top)
			spare--;
	}
	BufFileClose(part->border.file);
}

/* The part that a row is at home in. */
static Part *
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
	return &s->parts[low];
}

static bool
is_home(const Part *part, uint32 number)
{
	return number - part->first < part->rows;
}

/*
 * The links of a row to its file; 'buffer' has room for them.  Rows that share the
 * owner's home meet there, and need not be told of here.
 */
static void
spool_links(Spool *s, const AnnGraphMaker *maker, const Part *at, uint32 row,
			AnnRowLinks *links, char *buffer)
{
	const AnnElementRef *refs = s->arena->refs;
	const uint32 *neighbours = ann_graph_links(&maker->graph, row);
	LinkHead   *head = (LinkHead *) buffer;
	Part	   *home = find_home(s, ref_number(refs[row]));
	Size		bytes = sizeof(LinkHead);

	head->owner = ref_number(refs[row]);
	head->count = 0;
	ann_row_links_begin(links, row);
	for (int i = 0; i < maker->graph.degrees[row]; i++)
	{
		SpoolLink  *to = (SpoolLink *) (buffer + bytes);
		AnnLink		link;

		to->number = ref_number(refs[neighbours[i]]);
		if (home != at && is_home(home, to->number))
			continue;
		ann_row_links_make(links, neighbours[i], &link);
		to->a = link.factors.a;
		to->f = link.factors.f;
		memcpy(to + 1, link.code, s->info->link_bytes);
		head->count++;
		bytes += s->link_size;
	}
	if (head->count == 0)
		return;
	if (home->links == NULL)
		home->links = BufFileCreateTemp(false);
	BufFileWrite(home->links, buffer, bytes);
	home->link_bytes += bytes;
}

/* The entries among a part's own rows. */
static void
note_entries(Spool *s, const AnnGraphMaker *maker, const Part *part)
{
	for (uint32 i = 0; i < maker->entries.count; i++)
	{
		uint32		number = ref_number(s->arena->refs[maker->entries.nodes[i]]);
		uint8		bit = (uint8) (1 << number % 8);

		if (!is_home(part, number) || (s->is_entry[number / 8] & bit) != 0)
			continue;
		s->is_entry[number / 8] |= bit;
		s->num_entries++;
	}
}

/* Build the graphs of all parts. */
static void
link_parts(Spool *s)
{
	AnnGraphMaker maker;
	AnnRowLinks links;
	char	   *buffer = palloc(sizeof(LinkHead) + s->link_size * s->options.degree);

	ann_graph_maker_init(&maker, s->team, s->arena);
	ann_row_links_init(&links, s->arena);
	ann_file_rewind(s->rows);
	for (uint32 p = 0; p < s->num_parts; p++)
	{
		Part	   *part = &s->parts[p];

		load_part(s, part);
		ann_team_report_from(s->team, part->first);
		ann_graph_meet(&maker);
		ann_graph_choose(&maker);
		for (uint32 row = 0; row < s->arena->count; row++)
		{
			CHECK_FOR_INTERRUPTS();
			spool_links(s, &maker, part, row, &links, buffer);
		}
		note_entries(s, &maker, part);
		ann_graph_forget(&maker);
	}
	if (s->num_entries == 0)
		s->num_entries = s->is_entry[0] = 1;
	MemoryContextDelete(maker.context);
	pfree(buffer);
}

/* ---- the choice among the links of all parts ---- */

/* Links of some rows of a part, from its file. */
typedef struct LinkPool
{
	AnnRecordPlaces places;
	AnnLinkSet *set;
	Size		pool_size;		/* that memory has room for */

	/* Groups of links one behind the other, those of an owner chained */
	char	   *pool;
	Size		allocated;
	Size		used;
	Size	   *first;			/* of each owner: offset + 1 of a group, 0 if none */
} LinkPool;

/* Before the links of a group. */
typedef struct LinkGroup
{
	Size		next;			/* as LinkPool.first */
	LinkHead	head;
} LinkGroup;

/* Read the next group behind the pool, which has room for it afterwards. */
static LinkGroup *
read_group(Spool *s, LinkPool *g, BufFile *file)
{
	Size		most = MAXALIGN(sizeof(LinkGroup) + s->link_size * s->options.degree);
	LinkGroup  *group;

	if (g->used + most > g->allocated)
	{
		g->allocated = Max(g->allocated + g->allocated / 2, g->used + most);
		g->pool = repalloc_huge(g->pool, g->allocated);
	}
	group = (LinkGroup *) (g->pool + g->used);
	BufFileReadExact(file, &group->head, sizeof(LinkHead));
	Assert(group->head.count <= s->options.degree);
	BufFileReadExact(file, group + 1, s->link_size * group->head.count);
	return group;
}

/* Gather the links of n rows of a part, from number 'first' on. */
static void
gather_links(Spool *s, LinkPool *g, const Part *part, uint32 first, uint32 n)
{
	g->used = 0;
	memset(g->first, 0, sizeof(Size) * n);
	ann_file_rewind(part->links);
	for (Size at = 0; at < part->link_bytes;)
	{
		LinkGroup  *group = read_group(s, g, part->links);
		uint32		owner = group->head.owner - first;

		CHECK_FOR_INTERRUPTS();
		at += sizeof(LinkHead) + s->link_size * group->head.count;
		if (owner >= n)
			continue;
		group->next = g->first[owner];
		g->first[owner] = g->used + 1;
		g->used += MAXALIGN(sizeof(LinkGroup) + s->link_size * group->head.count);
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
write_chosen(Spool *s, const AnnLinkSet *set)
{
	uint32		count = 0;

	for (int i = 0; i < set->count; i++)
		count += set->kept[i];
	BufFileWrite(s->links, &count, sizeof(count));
	for (int i = 0; i < set->count; i++)
	{
		int			k = set->order[i];
		SpoolLink	link = {ref_number(set->element[k]), set->factors[k].a, set->factors[k].f};

		if (!set->kept[k])
			continue;
		BufFileWrite(s->links, &link, sizeof(link));
		BufFileWrite(s->links, ann_link_set_code(set, k), s->info->link_bytes);
	}
	return count;
}

/*
 * Choose the links of a row, of which there are groups from 'first' on.  Those of
 * one part have been chosen already.
 */
static uint32
choose_links(Spool *s, LinkPool *g, Size first)
{
	const LinkGroup *group = first > 0 ? (LinkGroup *) (g->pool + first - 1) : NULL;
	uint32		count = group != NULL ? group->head.count : 0;

	if (group == NULL || group->next == 0)
	{
		BufFileWrite(s->links, &count, sizeof(count));
		if (count > 0)
			BufFileWrite(s->links, (void *) (group + 1), s->link_size * count);
		return count;
	}
	g->set->count = 0;
	for (; first > 0; first = group->next)
	{
		group = (LinkGroup *) (g->pool + first - 1);
		add_group(s, g->set, group);
	}
	ann_link_set_choose(g->set, 0, s->info->max_links, (int) s->options.fill);
	return write_chosen(s, g->set);
}

/* Choose the links of a part's rows, as many at a time as there is room for. */
static void
gather_part(Spool *s, LinkPool *g, Part *part)
{
	uint32		slices = (uint32) (part->link_bytes / g->pool_size + 1);
	uint32		rows = part->rows / slices + 1;

	g->first = palloc_extended(sizeof(Size) * (Size) rows, MCXT_ALLOC_HUGE);
	for (uint32 at = 0; at < part->rows; at += rows)
	{
		uint32		n = Min(part->rows - at, rows);

		if (part->links != NULL)
			gather_links(s, g, part, part->first + at, n);
		else
			memset(g->first, 0, sizeof(Size) * n);
		for (uint32 i = 0; i < n; i++)
		{
			CHECK_FOR_INTERRUPTS();
			s->places[part->first + at + i] =
				ann_record_place(&g->places, (int) choose_links(s, g, g->first[i]));
		}
	}
	pfree(g->first);
	if (part->links != NULL)
		BufFileClose(part->links);
}

/* Choose the links of all rows, and place the records. */
static void
gather_parts(Spool *s, const AnnBulk *bulk, Size budget)
{
	LinkPool	g = {0};
	Size		places = sizeof(AnnElementRef) * (Size) s->num_rows;

	s->links = BufFileCreateTemp(false);
	s->places = palloc_extended(places, MCXT_ALLOC_HUGE);
	ann_record_places_init(&g.places, s->info, ann_bulk_pages(bulk));
	g.set = ann_link_set_make(s->info, PARTS_OF_ROW * (int) s->options.degree);
	g.pool_size = budget > places + MIN_POOL ? budget - places : MIN_POOL;
	g.allocated = MIN_POOL / 8;
	g.pool = palloc_extended(g.allocated, MCXT_ALLOC_HUGE);
	for (uint32 p = 0; p < s->num_parts; p++)
	{
		gather_part(s, &g, &s->parts[p]);
		pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE,
									 (int64) s->parts[p].first + s->parts[p].rows);
	}
	pfree(g.pool);
}

/* ---- writing ---- */

/* The record of the row in the arena, with the links that come next. */
static void
write_record(Spool *s, AnnRecordWriter *writer, AnnElementRef place, char *buffer)
{
	uint32		count;

	BufFileReadExact(s->links, &count, sizeof(count));
	BufFileReadExact(s->links, buffer, s->link_size * count);
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

/* Write all records; those of the entries go to a file as well. */
static BufFile *
write_records(Spool *s, AnnBulk *bulk, uint32 chunk)
{
	AnnRecordWriter *writer = palloc(sizeof(AnnRecordWriter));
	char	   *buffer = palloc(s->link_size * s->options.degree);
	BufFile    *entries = BufFileCreateTemp(false);

	ann_record_writer_init(writer, s->info, bulk, chunk);
	ann_file_rewind(s->rows);
	ann_file_rewind(s->links);
	for (uint32 i = 0; i < s->num_rows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		s->arena->count = 0;
		ann_arena_load(s->arena, s->rows);
		write_record(s, writer, s->places[i], buffer);
		if ((s->is_entry[i / 8] & 1 << i % 8) == 0)
			continue;
		s->arena->refs[0] = s->places[i];
		ann_arena_save(s->arena, 0, entries);
	}
	ann_record_writer_end(writer);
	BufFileClose(s->rows);
	BufFileClose(s->links);
	return entries;
}

/* ---- a chunk ---- */

static void
init_spool(Spool *s, const AnnIndex *info, AnnTidWriter *tids, AnnRowSource *source)
{
	AnnArena   *arena = source->arena;

	memset(s, 0, sizeof(Spool));
	s->info = info;
	s->team = source->team;
	s->tids = tids;
	s->arena = arena;
	ann_graph_options(info, &s->options);
	s->part_rows = (uint32) ((uint64) arena->max_rows * HOME_SHARE / 100);
	if (source->rows / s->part_rows > MAX_PARTS)
	{
		/* more memory than there should be, rather than more files */
		s->part_rows = (uint32) (source->rows / MAX_PARTS);
		arena->max_rows = (uint32) ((uint64) s->part_rows * 100 / HOME_SHARE);
	}
	s->leaders_per_part = source->rows / s->part_rows > MANY_PARTS
		? FEW_LEADERS_PER_PART : LEADERS_PER_PART;
	s->link_size = sizeof(SpoolLink) + info->link_bytes;
	s->leader_room = MAX_SPOOL_LEADERS;
	s->leaders.row = palloc(sizeof(int8 *) * s->leader_room);
	s->leaders.scale = palloc(sizeof(float) * s->leader_room);
	s->leaders.norm2 = palloc(sizeof(float) * s->leader_room);
	s->leader_part = palloc(sizeof(uint32) * s->leader_room);
	s->part_room = 16;
	s->parts = palloc(sizeof(Part) * s->part_room);
	s->rows = BufFileCreateTemp(false);
}

/* Divide all rows, whose file is closed. */
static void
divide_rows(Spool *s, AnnRowSource *source)
{
	RowFile		all = {source->file, source->rows, true};

	find_unit(s, &all);
	divide(s, &all);
	ann_tids_flush(s->tids);
	s->is_entry = palloc_extended(s->num_rows / 8 + 1, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	find_borders(s);
}

BlockNumber
ann_spool_chunk(Relation index, const AnnIndex *info, AnnBulk *bulk, AnnTidWriter *tids,
				uint32 chunk, AnnRowSource *source, uint32 leaf_capacity, uint64 *elements)
{
	Size		budget = (Size) maintenance_work_mem * 1024;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ann spool",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Spool		s;
	BufFile    *entries;
	BlockNumber roots;

	init_spool(&s, info, tids, source);
	divide_rows(&s, source);
	ann_team_phase(s.team, ANN_PHASE_BUILD);
	link_parts(&s);
	ann_arena_free(source->arena);
	source->arena = NULL;
	ann_team_phase(s.team, ANN_PHASE_LINK);
	gather_parts(&s, bulk, budget);
	ann_team_phase(s.team, ANN_PHASE_WRITE);
	s.arena = ann_arena_make(info, budget, 0);
	entries = write_records(&s, bulk, chunk);
	pfree(s.places);
	roots = ann_grow_entry_file(s.team, index, info, bulk, chunk, s.arena, entries, s.num_entries,
								leaf_capacity);
	*elements = s.num_rows;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return roots;
}
