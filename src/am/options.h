/*
 * options.h
 *	  What a user may set: the options of an index (WITH) and the settings
 *	  ann.*, with their limits, and what follows from them.
 */
#ifndef ANN_OPTIONS_H
#define ANN_OPTIONS_H

#include "postgres.h"

#include "store/format.h"
#include "utils/rel.h"

#define ANN_MIN_TREES			1
#define ANN_MAX_TREES			ANN_MAX_ROOTS
#define ANN_DEFAULT_TREES		2
#define ANN_DEFAULT_SCALAR		ANN_SCALAR_F16
#define ANN_DEFAULT_MAX_LIMIT	1000000

#define ANN_MIN_TARGET_RECALL	0.5
#define ANN_MAX_TARGET_RECALL	0.999
#define ANN_DEFAULT_TARGET_RECALL 0.95

#define ANN_MIN_M				2
#define ANN_DEFAULT_M			16
#define ANN_MIN_EF_CONSTRUCTION	4
#define ANN_MAX_EF_CONSTRUCTION	1000
#define ANN_DEFAULT_EF_CONSTRUCTION 64

#define ANN_MIN_CHUNK_BLOCKS	1024

/*
 * The options of an index, as in rd_options.  They say how the next build is
 * to be done: what the present content was built with is in the metapage.
 */
typedef struct AnnOptions
{
	int32		vl_len_;		/* varlena header, not for direct use */
	int			trees;			/* annoy */
	int			m;				/* ann_hnsw: a node has up to 2m links ... */
	int			ef_construction;	/* ... chosen from so many candidates */
	AnnScalar	scalar;
	int			dimensions;		/* 0: taken from the first row */
	int			chunk_blocks;	/* blocks of the table to a chunk; 0: all of them */
} AnnOptions;

/* Those of an index without a WITH clause. */
extern const AnnOptions ann_default_options;

/* The options of an index; good until the relation is closed or invalidated. */
extern const AnnOptions *ann_options(Relation index);

/* amoptions: parse the WITH clause; raises PostgreSQL's own errors. */
extern bytea *ann_annoy_options_parse(Datum reloptions, bool validate);
extern bytea *ann_hnsw_options_parse(Datum reloptions, bool validate);

/* ann.search_k: candidates that a search of a forest inspects; 0 = automatic. */
extern int	ann_search_k;

/* ann.ef_search: nodes that a search of a graph keeps in view; 0 = automatic. */
extern int	ann_ef_search;

/* ann.target_recall: the recall that these two, where automatic, are to reach. */
extern double ann_target_recall;

/*
 * ann.max_scan_tuples: a scan with a filter returns no more rows than that, unless its
 * LIMIT asks for more, or it is of a range; 0: all of them.
 */
extern int	ann_max_scan_tuples;

/* ann.max_limit: a query with a larger LIMIT is not served by an index. */
extern int	ann_max_limit;

/* Make the options and settings known; when the library is loaded. */
extern void ann_options_init(void);

#endif							/* ANN_OPTIONS_H */
