/*
 * conflict.h
 *	  Conflicts of changes with what standbys see.
 */
#ifndef ANN_CONFLICT_H
#define ANN_CONFLICT_H

#include "postgres.h"

#include "utils/rel.h"

/*
 * Say in WAL that rows may vanish from the index which transactions before
 * 'horizon' have deleted, and which nobody here sees any more.  A standby waits for
 * its snapshots that may see them, or cancels these, before it goes on.
 *
 * Only for what no record of the table has said before, as it does when VACUUM
 * removes rows.
 */
extern void ann_conflict_log(Relation index, TransactionId horizon);

#endif							/* ANN_CONFLICT_H */
