/*
 * cost.c
 *	  What the planner is told about scans of our indexes: amcostestimate.
 *
 * An index finds nearest rows, nearly all of them, and gives up the order of
 * the few that it finds late.  That serves ORDER BY ... LIMIT, whose user has
 * asked for nothing else; not what needs the whole of the rows in order, or
 * makes one value of them all.  Hence a price by what stands above the scan.
 *
 * A range ends by itself, and is worth its price whatever stands above.
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "am/calibration.h"
#include "am/method.h"
#include "am/options.h"
#include "compat.h"
#include "nodes/parsenodes.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "utils/spccache.h"

/*
 * No plan has this: for paths that cannot work.  Not infinity, since core
 * subtracts the start-up cost from the total.
 */
#define IMPOSSIBLE_COST 1.0e100

/* Added to the price of an unwanted plan: less than of a disabled one. */
#define PENALTY (disable_cost / 2)

/* As selfuncs.c: CPU cost of one page of an index, in operators. */
#define PAGE_CPU_MULTIPLIER 50

/*
 * An index is searched again and again, so that most of what a search reads
 * is in memory.  Pages are priced as if so many searches found it empty.
 */
#define SEARCHES_PER_CACHE 12

/* Estimates from codes, 32 at once, that cost as much as one operator. */
#define CODES_PER_OPERATOR 8

/* An element is about so many times as large as its code. */
#define ELEMENT_TO_CODE 6

/*
 * Reading a row in order to measure it, and its vector from where it is kept
 * apart, in terms of the tuples that core counts.
 */
#define MEASURED_TWICE 4

/* Vectors that a search compares exactly, beside some for each row wanted. */
#define RERANKED_MINIMUM 32
#define RERANKED_PER_ROW 4

/*
 * A row that is read on for costs as much as so many rows of a sequential scan, times the
 * logarithm of the number of rows: the larger the index, the fewer of its pages are in a
 * processor's cache.  Few rows that a filter refuses are nothing.
 */
#define ROWS_PER_ROW 8
#define ROWS_NEARBY 1024
#define FILTER_SHARE 0.99

/* What LIMIT $1 is taken to be when a filter makes a scan read on. */
#define USUAL_LIMIT 10

/* A range that is so large a share of the table is searched by a pass over all. */
#define PASS_SHARE 0.5

/* Pages of a graph's entries that a search reads, and codes on such a page. */
#define ENTRY_PAGES 3
#define CODES_PER_PAGE 64

/* What is known of an index. */
typedef struct Known
{
	AnnMethod	method;
	AnnOptions	options;
	bool		is_calibrated;
	AnnCalibration calibration;
} Known;

/* An index that the planner has locked. */
static void
read_index(Oid oid, Known *known)
{
	Relation	index = index_open(oid, NoLock);
	const AnnCalibration *calibration = ann_calibration_peek(index);

	known->method = ann_method(index);
	known->options = *ann_options(index);
	known->is_calibrated = calibration != NULL;
	if (calibration != NULL)
		known->calibration = *calibration;
	index_close(index, NoLock);
}

static const AnnCalibration *
calibration_of(const Known *known)
{
	return known->is_calibrated ? &known->calibration : NULL;
}

/*
 * Is this the query that core makes of an aggregate like min(vec <-> $1)?  It
 * has LIMIT 1, but its user has not: they want the minimum itself, which the
 * index may miss.  The query bears no mark other than the name of its column
 * (build_minmax_path in planagg.c).
 */
static bool
is_minmax_aggregate(PlannerInfo *root)
{
	TargetEntry *target;

	if (root->parent_root == NULL || !root->parent_root->parse->hasAggs ||
		list_length(root->parse->targetList) != 1)
		return false;
	target = linitial_node(TargetEntry, root->parse->targetList);
	return target->resname != NULL && strcmp(target->resname, "agg_target") == 0;
}

/* Does anything in the query need all rows, or their order to the end? */
static bool
needs_all(PlannerInfo *root, IndexPath *path)
{
	Query	   *parse = root->parse;
	PathKey    *pathkey;

	if (parse->hasAggs || parse->hasWindowFuncs || parse->hasDistinctOn ||
		parse->groupClause != NIL || parse->groupingSets != NIL ||
		parse->havingQual != NULL || parse->distinctClause != NIL ||
		parse->setOperations != NULL)
		return true;

	/* a distance that equals a column of another table may be merge-joined */
	if (path->path.pathkeys == NIL)
		return false;
	pathkey = linitial_node(PathKey, path->path.pathkeys);
	return bms_membership(pathkey->pk_eclass->ec_relids) == BMS_MULTIPLE;
}

/*
 * How many rows the query wants of the scan, as far as LIMIT or the caller
 * tells; 0 if that is unknown, as with LIMIT $1.
 */
static double
rows_wanted(PlannerInfo *root)
{
	if (root->limit_tuples > 0)
		return root->limit_tuples;
	return root->tuple_fraction >= 1 ? root->tuple_fraction : 0;
}

/*
 * May the index serve this query?  A tuple fraction stands for a LIMIT, also
 * one that is a parameter, and for a cursor.
 */
static bool
is_wanted(PlannerInfo *root, IndexPath *path)
{
	return root->tuple_fraction > 0 &&
		rows_wanted(root) <= ann_max_limit &&
		!needs_all(root, path);
}

/* What a search for the first rows does. */
typedef struct SearchWork
{
	double		pages;			/* read at random */
	double		codes;			/* estimated */
	double		measured;		/* vectors compared exactly */
} SearchWork;

/* The chunks of an index that has been built with its options. */
static double
count_chunks(const IndexOptInfo *index, const AnnOptions *options)
{
	if (options->chunk_blocks == 0)
		return 1;
	return Max(ceil((double) index->rel->pages / options->chunk_blocks), 1);
}

/* A forest: leaf pages with the codes, and a page for each vector. */
static SearchWork
forest_work(IndexOptInfo *index, const Known *known, double rows, double wanted)
{
	const AnnOptions *options = &known->options;
	SearchWork	work;

	work.codes = ann_search_rows(calibration_of(known), rows, count_chunks(index, options), wanted,
								 options->trees);
	work.measured = Min(work.codes, RERANKED_MINIMUM + RERANKED_PER_ROW * wanted);
	work.pages = index->pages / (ELEMENT_TO_CODE + (double) options->trees) *
		work.codes / rows + work.measured;
	return work;
}

/* Graphs: a page for each node that is visited, and those of the entries. */
static SearchWork
graph_work(IndexOptInfo *index, const Known *known, double rows, double wanted)
{
	double		chunks = count_chunks(index, &known->options);
	SearchWork	work;

	work.measured = Min(chunks * ann_search_ef(calibration_of(known), wanted), rows);
	work.codes = work.measured * 2 * known->options.m + chunks * ENTRY_PAGES * CODES_PER_PAGE;
	work.pages = work.measured + chunks * ENTRY_PAGES;
	return work;
}

/* Cost of the search that finds the first rows. */
static Cost
search_cost(PlannerInfo *root, IndexOptInfo *index, double wanted,
			double loop_count, Cost random_page, double *pages_read)
{
	Known		known;
	double		rows = Max(index->tuples, 1);
	double		searches = SEARCHES_PER_CACHE * Max(loop_count, 1);
	SearchWork	work;
	double		pages;

	read_index(index->indexoid, &known);
	work = known.method == ANN_METHOD_HNSW ? graph_work(index, &known, rows, wanted)
		: forest_work(index, &known, rows, wanted);
	pages = Min(ceil(work.pages), Max(index->pages, 1));
	*pages_read = pages;

	return random_page / searches *
		index_pages_fetched(pages * searches, index->pages, index->pages, root) +
		pages * PAGE_CPU_MULTIPLIER * cpu_operator_cost +
		work.codes / CODES_PER_OPERATOR * cpu_operator_cost +
		work.measured * cpu_index_tuple_cost;
}

/*
 * Cost of reading on to the end: a pass over the index, a sort, and the rows of
 * the table, which most of them are compared by.
 */
static Cost
rest_cost(IndexOptInfo *index, Cost seq_page)
{
	double		rows = Max(index->tuples, 2);

	return index->pages * (seq_page + PAGE_CPU_MULTIPLIER * cpu_operator_cost) +
		rows * (cpu_index_tuple_cost + MEASURED_TWICE * cpu_tuple_cost) +
		2.0 * cpu_operator_cost * rows * log2(rows);
}

/* Cost of reading on for so many rows, from one to the next. */
static Cost
read_on_cost(const IndexOptInfo *index, double wanted, Cost seq_page)
{
	double		rows = Max(index->tuples, 1);
	Cost		row = seq_page * index->rel->pages / Max(index->rel->tuples, 1) +
		cpu_tuple_cost + cpu_operator_cost;

	return wanted * row * ROWS_PER_ROW * log2(Max(rows / ROWS_NEARBY, 2));
}

/*
 * Cost of reading on to the end where a filter refuses rows.  Core takes the share of it
 * that the LIMIT is of the rows that pass, or, of one that it does not know, the tuple
 * fraction: so it is as much as makes that share be what the rows for the LIMIT cost.
 */
static Cost
filtered_cost(PlannerInfo *root, IndexPath *path, double loop_count, Cost random_page,
			  Cost seq_page, Cost startup_cost)
{
	IndexOptInfo *index = path->indexinfo;
	Cost		rest = rest_cost(index, seq_page);
	double		rows = Max(index->tuples, 1);
	double		pass = Min(Max(path->path.rows, 1), rows);
	double		limit = rows_wanted(root);
	double		fraction = limit > 0 ? limit / pass : root->tuple_fraction;
	double		wanted;
	double		pages;
	Cost		search;

	if (pass > FILTER_SHARE * rows || fraction <= 0)
		return rest;
	fraction = Min(fraction, 1);
	wanted = Min((limit > 0 ? limit : USUAL_LIMIT) * rows / pass, rows);
	search = search_cost(root, index, wanted, loop_count, random_page, &pages) - startup_cost;

	/* half of the pages that a broader search reads are where the narrow one has been */
	return Max(rest, (Max(search, 0) / 2 + read_on_cost(index, wanted, seq_page)) / fraction);
}

/* The share of the rows that is in the range of a path: see range.c. */
static double
range_share(PlannerInfo *root, IndexPath *path)
{
	double		result = 1;
	ListCell   *cell;

	foreach(cell, path->indexclauses)
	{
		IndexClause *clause = lfirst_node(IndexClause, cell);
		RestrictInfo *qual = linitial_node(RestrictInfo, clause->indexquals);

		result *= qual->norm_selec >= 0 ? qual->norm_selec
			: clause_selectivity(root, (Node *) qual, path->indexinfo->rel->relid,
								 JOIN_INNER, NULL);
	}
	return result;
}

/*
 * How many rows of a range are searched for at first: all, unless there is a LIMIT
 * that fewer are enough for, as far as the other conditions on the table let them pass.
 */
static double
range_wanted(PlannerInfo *root, IndexPath *path, double in_range)
{
	double		limit = rows_wanted(root);
	double		pass = Max(path->path.rows, 1);

	if (limit <= 0 || limit >= pass)
		return in_range;
	return Min(in_range * limit / pass, in_range);
}

/* The search for the first rows, then for all of the range. */
static void
range_cost(PlannerInfo *root, IndexPath *path, double loop_count, double share,
		   Cost *startup_cost, Cost *total_cost, double *pages)
{
	IndexOptInfo *index = path->indexinfo;
	double		rows = Max(index->tuples, 1);
	double		in_range = Max(share * rows, 1);
	double		random_page;
	double		seq_page;

	get_tablespace_page_costs(index->reltablespace, &random_page, &seq_page);
	if (share > PASS_SHARE)
	{
		*startup_cost = *total_cost = rest_cost(index, seq_page);
		*pages = index->pages;
		return;
	}
	*startup_cost = search_cost(root, index, range_wanted(root, path, in_range), loop_count,
								random_page, pages);
	*total_cost = search_cost(root, index, in_range, loop_count, random_page, pages) +
		in_range * cpu_index_tuple_cost;
	*total_cost = Max(*total_cost, *startup_cost);
}

/*
 * Does the path search a range that core has matched, but order by a distance?  It may
 * be one of another query: then the scan reads on to the end.  Those that we have
 * matched are around the same query (range.c).
 */
static bool
is_order_of_another(const IndexPath *path)
{
	return path->indexorderbys != NIL && path->indexclauses != NIL &&
		!linitial_node(IndexClause, path->indexclauses)->lossy;
}

void
ann_cost_estimate(PlannerInfo *root, IndexPath *path, double loop_count,
				  Cost *startup_cost, Cost *total_cost,
				  Selectivity *selectivity, double *correlation, double *pages)
{
	IndexOptInfo *index = path->indexinfo;
	double		random_page;
	double		seq_page;

	*correlation = 0;
	*selectivity = 1;
	*pages = 0;

	/* a second distance would have to break the ties of the first */
	if (list_length(path->indexorderbys) > 1 ||
		(path->indexorderbys == NIL && path->indexclauses == NIL) ||
		(path->indexorderbys != NIL && is_minmax_aggregate(root)))
	{
		*startup_cost = *total_cost = IMPOSSIBLE_COST;
		ann_path_disable(&path->path);
		return;
	}
	if (path->indexclauses != NIL && !is_order_of_another(path))
	{
		*selectivity = range_share(root, path);
		range_cost(root, path, loop_count, *selectivity, startup_cost, total_cost, pages);
		return;
	}

	get_tablespace_page_costs(index->reltablespace, &random_page, &seq_page);
	*startup_cost = search_cost(root, index, rows_wanted(root), loop_count,
								random_page, pages);
	*total_cost = *startup_cost +
		filtered_cost(root, path, loop_count, random_page, seq_page, *startup_cost);
	if (!is_wanted(root, path))
	{
		*startup_cost += PENALTY;
		*total_cost += PENALTY;
	}
}
