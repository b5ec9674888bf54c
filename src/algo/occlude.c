/*
 * occlude.c
 *	  Which of a node's candidates become its neighbours.
 */
#include "algo/occlude.h"

/* Is candidate i nearer to one that is kept than to the node?  Equals are not. */
static bool
is_occluded(int i, const float *distance, AnnPairDistance pair, void *arg,
			const bool *kept)
{
	for (int k = 0; k < i; k++)
	{
		if (kept[k] &&
			ANN_OCCLUDE_ALPHA * ANN_OCCLUDE_ALPHA * pair(arg, k, i) < distance[i])
			return true;
	}
	return false;
}

int
ann_occlude(int n, int fixed, const float *distance, AnnPairDistance pair, void *arg,
			int max, int fill, bool *kept)
{
	int			count = fixed;

	for (int i = 0; i < fixed; i++)
		kept[i] = true;
	for (int i = fixed; i < n; i++)
	{
		kept[i] = count < max && !is_occluded(i, distance, pair, arg, kept);
		count += kept[i];
	}
	for (int i = 0; i < n && count < fill; i++)
	{
		count += !kept[i];
		kept[i] = true;
	}
	return count;
}
