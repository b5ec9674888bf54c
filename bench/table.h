/*
 * table.h
 *	  The tables of a run: one per column type, in the schema ann_bench.
 */
#ifndef TABLE_H
#define TABLE_H

#include "database.h"
#include "memory.h"
#include "method.h"
#include "vectors.h"

/* A query vector in the binary form of the column's type. */
typedef struct Parameter
{
	const char *data;
	int			len;
} Parameter;

typedef struct Table
{
	ColumnType *type;
	char	   *name;			/* as SQL: ann_bench."real" */
	char	   *index_name;		/* that its index has while there is one */
	char	   *index;			/* the same as SQL, with the schema */
	Parameter  *parameters;		/* the queries */
	int64_t		queries;
} Table;

/* What a build took; bytes are as the server counts them. */
typedef struct BuildCost
{
	double		seconds;
	MemoryPeak	memory;
	int64_t		wal_bytes;
	int64_t		temp_bytes;
} BuildCost;

extern void tables_begin(PGconn *conn);
extern Table *table_provide(PGconn *conn, const char *type_name, const VectorSet *base,
							const VectorSet *queries, bool keep, int parallel_workers);
extern BuildCost table_build(PGconn *conn, const char *conninfo, const Table *table,
							 const Method *method);
extern int64_t table_index_bytes(PGconn *conn, const Table *table);
extern void table_drop_index(PGconn *conn, const Table *table);
extern void table_prewarm(PGconn *conn, const Table *table);
extern void table_drop(PGconn *conn, const Table *table);

#endif							/* TABLE_H */
