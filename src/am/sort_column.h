/*
 * sort_column.h
 *	  The distance that rows are sorted by, where nobody reads it.
 *
 * "SELECT id ... ORDER BY vec <-> $1 LIMIT 10" makes the planner add the distance to
 * what the scan returns, for a sort to find it there.  An index of ours returns the
 * rows sorted; still the executor would compute the distance of each row, for which
 * it fetches the row's vector, as a rule out of the TOAST table: with vectors of 784
 * dimensions a third of the whole query.
 */
#ifndef ANN_SORT_COLUMN_H
#define ANN_SORT_COLUMN_H

/*
 * Install the hooks; when the library is loaded.  That is while the first query of a
 * session on a table with an index of ours is planned: this one time it computes the
 * distance.
 */
extern void ann_sort_column_init(void);

#endif							/* ANN_SORT_COLUMN_H */
