/*
 * partition.h
 *	  Dividing rows into small leaves that overlap: rows that are near each
 *	  other are together in at least one of them, with luck.
 *
 * The partition of PiPNN (Rubel et al., 2025), which is that of HCNNG and of
 * ball carving: random rows are leaders, and each row joins those that are
 * nearest to it.  At the first level a row joins several of them, which is what
 * makes the leaves overlap; further down it joins one.
 *
 * Rows that fit memory are divided by an AnnPartition.  For others the caller
 * does what it does: choose leaders from a sample, route each row to the
 * nearest ones and keep it where the leader's other rows are, then carve what
 * each leader has got, one after the other.
 */
#ifndef ANN_PARTITION_H
#define ANN_PARTITION_H

#include "algo/graph_options.h"
#include "algo/tile.h"

#define ANN_MAX_LEADERS 256

/*
 * Takes a leaf: n rows of these numbers, at most options->leaf_max, each once.
 * It may leave by longjmp, as options->check may.
 */
typedef void (*AnnLeafFn) (void *arg, const uint32_t *rows, uint32_t n);

/* How many leaders so many rows need at the first level; 0 if one leaf will do. */
extern uint32_t ann_leaders_wanted(double rows, const AnnGraphOptions *options);

/*
 * Choose n leaders, at random, from at least as many rows: at the numbers
 * order[0 .. count - 1], which are permuted so that the leaders come first.
 * They go to a tile that has room for them.
 */
extern void ann_leaders_choose(const AnnGraphRows *rows, uint32_t *order,
							   uint32_t count, uint32_t n, AnnRandom *random,
							   AnnTile *leaders);

/*
 * The 'fanout' nearest leaders of each of n rows, nearest first, to
 * nearest[i * fanout] and the following; there are at least so many leaders.
 * Of equally near ones the first come first.  Checks for interrupts.
 */
extern void ann_leaders_route(const AnnTile *leaders, const AnnGraphRows *rows,
							  const uint32_t *numbers, uint32_t n,
							  uint32_t fanout, const AnnGraphOptions *options,
							  uint16_t *nearest);

/* Bytes of scratch memory to carve n rows. */
extern size_t ann_carve_scratch_size(uint32_t n);

/*
 * Divide n rows into leaves, each row into one.  Permutes 'numbers'; the leaves
 * are told in the order they have there.  Nothing is told of no rows.
 */
extern void ann_carve(const AnnGraphRows *rows, uint32_t *numbers, uint32_t n,
					  const AnnGraphOptions *options, uint64_t seed,
					  AnnLeafFn leaf, void *arg, void *scratch);

/*
 * Dividing all rows into leaves, each row into up to options->fanout, in steps:
 *
 *		lead	choose the leaders
 *		route	find the nearest leaders of some of the rows; of all in the end
 *		sort	gather the rows of each leader
 *		carve	divide these; of each leader in the end
 *
 * Several processes may share the work, each with an AnnPartition of its own over
 * the same memory: 'route' and 'carve' are for all of them, the others for one, who
 * begins when the step before has ended.
 */
typedef struct AnnPartition
{
	/* Unchanging */
	const AnnGraphRows *rows;
	const AnnGraphOptions *options;
	uint32_t	wanted;			/* leaders; 0: one leaf, or carved at once */

	/* In the memory */
	uint32_t   *numbers;		/* of all rows, the leaders' first */
	uint16_t   *nearest;		/* 'fanout' leaders of each row */
	size_t	   *starts;			/* where each leader's rows begin, and the end */
	uint32_t   *joined;			/* rows by leader, then by leaf */
} AnnPartition;

/* Bytes of memory to divide n rows. */
extern size_t ann_partition_size(uint32_t n, const AnnGraphOptions *options);

/* In such memory, aligned as malloc does. */
extern void ann_partition_init(AnnPartition *partition, const AnnGraphRows *rows,
							   const AnnGraphOptions *options, void *memory);

extern void ann_partition_lead(AnnPartition *partition);

/* 'leaders' has room for ANN_MAX_LEADERS: they are in it afterwards. */
extern void ann_partition_leaders(const AnnPartition *partition, AnnTile *leaders);
extern void ann_partition_route(AnnPartition *partition, const AnnTile *leaders,
								uint32_t first, uint32_t n);
extern void ann_partition_sort(AnnPartition *partition);

/* How many leaders' rows are to be carved, one at least, and how many rows they have. */
extern uint32_t ann_partition_groups(const AnnPartition *partition);
extern uint32_t ann_partition_group_size(const AnnPartition *partition, uint32_t group);

/* 'scratch' is enough to carve the group. */
extern void ann_partition_carve(AnnPartition *partition, uint32_t group, AnnLeafFn leaf,
								void *arg, void *scratch);

/* All leaves one behind the other, in the order of the groups; returns their length. */
extern size_t ann_partition_leaves(const AnnPartition *partition, const uint32_t **rows);

/*
 * The order of first visits: rows in the order that the leaves came in that
 * brought them.  Near rows are near in it.
 */
typedef struct AnnVisits
{
	uint32_t   *order;			/* the rows that came */
	uint32_t	count;			/* of them */
	uint8_t    *seen;			/* whether a row came, one byte each */
} AnnVisits;

/* Nobody came yet, of so many rows; 'order' and 'seen' have room for all. */
extern void ann_visits_init(AnnVisits *visits, uint32_t rows, uint32_t *order,
							uint8_t *seen);

extern void ann_visits_add(AnnVisits *visits, const uint32_t *rows, size_t n);

#endif							/* ANN_PARTITION_H */
