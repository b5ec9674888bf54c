/*
 * inspect.h
 *	  What the SQL functions that look inside an index share.
 */
#ifndef ANN_INSPECT_H
#define ANN_INSPECT_H

#include "postgres.h"

#include "utils/rel.h"

/*
 * Open an index of ours with AccessShareLock.  Raises an error for one of
 * another method, a partitioned one, one of another session's temporary tables,
 * and if the user may not read the table.
 */
extern Relation ann_open_index(Oid oid);

#endif							/* ANN_INSPECT_H */
