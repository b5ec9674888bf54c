/*
 * occlude.h
 *	  Which of a node's candidates become its neighbours.
 */
#ifndef ANN_OCCLUDE_H
#define ANN_OCCLUDE_H

#include <stdbool.h>

/*
 * A candidate is occluded by one that was kept if that is nearer to it, by a
 * factor, than the node is.  1.1 saves a fifth of a search's hops over 1.0 where
 * dimensions are few, and costs nothing where they are many.
 */
#define ANN_OCCLUDE_ALPHA 1.1f

/* The squared distance of two candidates. */
typedef float (*AnnPairDistance) (void *arg, int i, int j);

/*
 * Choose from n candidates, of which distance[i] are the squared distances from the
 * node.  The first 'fixed' are neighbours already, and stay so; the others are in
 * ascending order.  Of these are chosen those that none of the chosen before
 * occludes, up to 'max' in all; then the nearest of the others, as long as there
 * are fewer than 'fill'.  Sets kept[i], and returns how many are.
 *
 * Heuristic neighbour selection (Malkov and Yashunin, 2018, algorithm 4), with the
 * factor of Vamana (Subramanya et al., 2019).
 */
extern int	ann_occlude(int n, int fixed, const float *distance, AnnPairDistance pair, void *arg,
						int max, int fill, bool *kept);

#endif							/* ANN_OCCLUDE_H */
