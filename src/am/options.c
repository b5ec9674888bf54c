/*
 * options.c
 *	  The options of an index and the settings ann.*.
 */
#include "postgres.h"

#include <limits.h>

#include "access/reloptions.h"
#include "am/options.h"
#include "storage/lock.h"
#include "utils/guc.h"

int			ann_search_k = 0;
int			ann_ef_search = 0;
double		ann_target_recall = ANN_DEFAULT_TARGET_RECALL;
int			ann_max_limit = ANN_DEFAULT_MAX_LIMIT;
int			ann_max_scan_tuples = 0;

static relopt_kind annoy_relopt_kind;
static relopt_kind hnsw_relopt_kind;

static relopt_enum_elt_def scalar_values[] =
{
	{"f64", ANN_SCALAR_F64},
	{"f32", ANN_SCALAR_F32},
	{"f16", ANN_SCALAR_F16},
	{"i8", ANN_SCALAR_I8},
	{"none", ANN_SCALAR_NONE},
	{NULL}
};

static const relopt_parse_elt annoy_relopts[] =
{
	{"trees", RELOPT_TYPE_INT, offsetof(AnnOptions, trees)},
	{"scalar", RELOPT_TYPE_ENUM, offsetof(AnnOptions, scalar)},
	{"dimensions", RELOPT_TYPE_INT, offsetof(AnnOptions, dimensions)},
	{"chunk_blocks", RELOPT_TYPE_INT, offsetof(AnnOptions, chunk_blocks)}
};

static const relopt_parse_elt hnsw_relopts[] =
{
	{"m", RELOPT_TYPE_INT, offsetof(AnnOptions, m)},
	{"ef_construction", RELOPT_TYPE_INT, offsetof(AnnOptions, ef_construction)},
	{"scalar", RELOPT_TYPE_ENUM, offsetof(AnnOptions, scalar)},
	{"dimensions", RELOPT_TYPE_INT, offsetof(AnnOptions, dimensions)},
	{"chunk_blocks", RELOPT_TYPE_INT, offsetof(AnnOptions, chunk_blocks)}
};

const AnnOptions ann_default_options = {
	.trees = ANN_DEFAULT_TREES,
	.m = ANN_DEFAULT_M,
	.ef_construction = ANN_DEFAULT_EF_CONSTRUCTION,
	.scalar = ANN_DEFAULT_SCALAR,
	.dimensions = 0,
	.chunk_blocks = 0
};

const AnnOptions *
ann_options(Relation index)
{
	/* without a WITH clause there is nothing in the relation */
	if (index->rd_options == NULL)
		return &ann_default_options;
	return (const AnnOptions *) index->rd_options;
}

/* 0, or enough blocks for a sub-index to be worth it. */
static void
check_chunk_blocks(const AnnOptions *options)
{
	if (options == NULL || options->chunk_blocks == 0 ||
		options->chunk_blocks >= ANN_MIN_CHUNK_BLOCKS)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("value %d out of bounds for option \"chunk_blocks\"", options->chunk_blocks),
			 errdetail("Valid values are 0 and those from \"%d\" to \"%d\".",
					   ANN_MIN_CHUNK_BLOCKS, INT_MAX)));
}

bytea *
ann_annoy_options_parse(Datum reloptions, bool validate)
{
	AnnOptions *options = build_reloptions(reloptions, validate,
										   annoy_relopt_kind,
										   sizeof(AnnOptions),
										   annoy_relopts,
										   lengthof(annoy_relopts));

	if (validate)
		check_chunk_blocks(options);
	return (bytea *) options;
}

bytea *
ann_hnsw_options_parse(Datum reloptions, bool validate)
{
	AnnOptions *options = build_reloptions(reloptions, validate,
										   hnsw_relopt_kind,
										   sizeof(AnnOptions),
										   hnsw_relopts,
										   lengthof(hnsw_relopts));

	if (validate)
		check_chunk_blocks(options);
	if (validate && options != NULL && options->ef_construction < 2 * options->m)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ef_construction must be at least 2 * m"),
				 errdetail("ef_construction is %d, and m is %d.",
						   options->ef_construction, options->m),
				 errhint("A node has up to 2 * m links, which are chosen from ef_construction candidates.")));
	return (bytea *) options;
}

/* The options that both methods have. */
static void
define_common_reloptions(relopt_kind kind)
{
	add_enum_reloption(kind,
					   "scalar",
					   "How the index stores an element of a vector.",
					   scalar_values,
					   ANN_DEFAULT_SCALAR,
					   "Valid values are \"f64\", \"f32\", \"f16\", \"i8\" and \"none\".",
					   AccessExclusiveLock);
	add_int_reloption(kind,
					  "dimensions",
					  "Number of dimensions of the vectors; 0 takes it from the first row.",
					  0,
					  0,
					  ANN_MAX_DIMENSIONS,
					  AccessExclusiveLock);
	add_int_reloption(kind,
					  "chunk_blocks",
					  "Blocks of the table whose rows form a sub-index of their own; 0 is all of them.",
					  0,
					  0,
					  INT_MAX,
					  AccessExclusiveLock);
}

/* The options of CREATE INDEX ... USING annoy ... WITH. */
static void
define_annoy_reloptions(void)
{
	annoy_relopt_kind = add_reloption_kind();
	define_common_reloptions(annoy_relopt_kind);
	add_int_reloption(annoy_relopt_kind,
					  "trees",
					  "Number of trees. More trees give better recall for the same search_k, a slower build and a larger index.",
					  ANN_DEFAULT_TREES,
					  ANN_MIN_TREES,
					  ANN_MAX_TREES,
					  AccessExclusiveLock);
}

/* The options of CREATE INDEX ... USING ann_hnsw ... WITH. */
static void
define_hnsw_reloptions(void)
{
	hnsw_relopt_kind = add_reloption_kind();
	define_common_reloptions(hnsw_relopt_kind);
	add_int_reloption(hnsw_relopt_kind,
					  "m",
					  "Half of the links of a node, at most. More links give better recall, a slower build and a larger index.",
					  ANN_DEFAULT_M,
					  ANN_MIN_M,
					  ANN_MAX_M,
					  AccessExclusiveLock);
	add_int_reloption(hnsw_relopt_kind,
					  "ef_construction",
					  "How many candidates a node's links are chosen from. More give better recall and a slower build.",
					  ANN_DEFAULT_EF_CONSTRUCTION,
					  ANN_MIN_EF_CONSTRUCTION,
					  ANN_MAX_EF_CONSTRUCTION,
					  AccessExclusiveLock);
}

/* The settings, which users may change in a session. */
static void
define_settings(void)
{
	DefineCustomIntVariable("ann.search_k",
							"Number of rows that a search of an annoy index inspects.",
							"A larger value gives better recall and slower searches. "
							"0 lets the index choose.",
							&ann_search_k,
							0,
							0,
							INT_MAX,
							PGC_USERSET,
							0,
							NULL,
							NULL,
							NULL);
	DefineCustomIntVariable("ann.ef_search",
							"Number of nodes that a search of an ann_hnsw index keeps in view.",
							"A larger value gives better recall and slower searches. "
							"0 lets the index choose.",
							&ann_ef_search,
							0,
							0,
							INT_MAX,
							PGC_USERSET,
							0,
							NULL,
							NULL,
							NULL);
	DefineCustomRealVariable("ann.target_recall",
							 "Share of the nearest rows that a search is to find.",
							 "Where ann.search_k or ann.ef_search lets the index choose, "
							 "it takes the least value that has been found to reach this.",
							 &ann_target_recall,
							 ANN_DEFAULT_TARGET_RECALL,
							 ANN_MIN_TARGET_RECALL,
							 ANN_MAX_TARGET_RECALL,
							 PGC_USERSET,
							 0,
							 NULL,
							 NULL,
							 NULL);
	DefineCustomIntVariable("ann.max_limit",
							"Largest LIMIT for which an approximate index is used.",
							"A query that asks for more rows sorts the table, "
							"which is exact and then often as fast.",
							&ann_max_limit,
							ANN_DEFAULT_MAX_LIMIT,
							1,
							INT_MAX,
							PGC_USERSET,
							0,
							NULL,
							NULL,
							NULL);
	DefineCustomIntVariable("ann.max_scan_tuples",
							"Number of rows after which a scan that a filter asks for more ends.",
							"A filter that few rows pass then gets fewer rows than the query's LIMIT. "
							"0 lets it read on to the end.",
							&ann_max_scan_tuples,
							0,
							0,
							INT_MAX,
							PGC_USERSET,
							0,
							NULL,
							NULL,
							NULL);
	MarkGUCPrefixReserved("ann");
}

void
ann_options_init(void)
{
	define_annoy_reloptions();
	define_hnsw_reloptions();
	define_settings();
}
