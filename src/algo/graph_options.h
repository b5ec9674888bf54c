/*
 * graph_options.h
 *	  What a graph is built with.
 */
#ifndef ANN_GRAPH_OPTIONS_H
#define ANN_GRAPH_OPTIONS_H

#include <stdint.h>

/* One node in so many is an entry, at which searches begin. */
#define ANN_NODES_PER_ENTRY 128

/* No row is in more partitions of the first level. */
#define ANN_MAX_FANOUT 16

/* No row of a leaf considers more. */
#define ANN_MAX_NEAREST 100

typedef struct AnnGraphOptions
{
	/*
	 * How many leading dimensions rows should have in the partition and its
	 * leaves, see ann_graph_rows_sketch.
	 */
	uint32_t	sketch;

	/* The partition */
	uint32_t	fanout;			/* leaders that a row joins at the first level */
	uint32_t	leaf_max;		/* no leaf has more rows */
	uint32_t	leaf_min;		/* smaller ones are pooled; <= leaf_max / 3 */

	/* The lists */
	uint32_t	nearest;		/* of a leaf's rows that may become neighbours */
	uint32_t	reservoir;		/* candidates that a row keeps */
	uint32_t	degree;			/* no list of neighbours is longer */
	uint32_t	fill;			/* lists are filled up to here with occluded ones */
	float		alpha;			/* of the occlusion rule */

	uint64_t	seed;
	void		(*check) (void *arg);	/* for interrupts, see AnnSplitter */
	void	   *check_arg;
} AnnGraphOptions;

/*
 * What to build a graph with that has up to 2 m neighbours a node, over rows
 * of 'dim' dimensions.  More 'ef_construction' (64 is usual) takes more time
 * and makes searches find more: every row is in more partitions, and more rows
 * of each are considered.
 */
extern void ann_graph_options_init(AnnGraphOptions *options, int dim, int m,
								   int ef_construction);

#endif							/* ANN_GRAPH_OPTIONS_H */
