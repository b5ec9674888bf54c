/*
 * conflict.c
 *	  Conflicts of changes with what standbys see.
 *
 * Generic WAL can raise no conflict, and a record of our own would need a library
 * that is loaded when a standby starts.  But PostgreSQL has a record that does
 * nothing else: that of a btree about to use a page again.  What it says of the page
 * is for people who read WAL.
 */
#include "postgres.h"

#include "access/nbtxlog.h"
#include "access/transam.h"
#include "access/xlog.h"
#include "access/xloginsert.h"
#include "compat.h"
#include "store/conflict.h"
#include "store/format.h"

void
ann_conflict_log(Relation index, TransactionId horizon)
{
	FullTransactionId next = ReadNextFullTransactionId();
	xl_btree_reuse_page record = {0};
	uint32		age;

	if (!RelationNeedsWAL(index) || !XLogStandbyInfoActive())
		return;
	TransactionIdRetreat(horizon);
	age = XidFromFullTransactionId(next) - horizon;
	record.ANN_REUSE_LOCATOR = *ANN_LOCATOR(index);
	record.block = ANN_META_BLOCK;
	record.ANN_REUSE_HORIZON = FullTransactionIdFromU64(U64FromFullTransactionId(next) - age);
	XLogBeginInsert();
	XLogRegisterData((char *) &record, SizeOfBtreeReusePage);
	XLogInsert(RM_BTREE_ID, XLOG_BTREE_REUSE_PAGE);
}
