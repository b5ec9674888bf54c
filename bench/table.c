/*
 * table.c
 *	  The tables of a run: one per column type, in the schema ann_bench.
 *
 * A table's comment names the data in it by hash, so that a later run can tell
 * whether it may use the table again.
 */
#include <stdlib.h>
#include <string.h>

#include "load.h"
#include "table.h"

/* A schema of our own, and pg_prewarm if it can be had. */
void
tables_begin(PGconn *conn)
{
	db_execute(conn, "SET client_min_messages = warning");
	db_execute(conn, "CREATE SCHEMA IF NOT EXISTS ann_bench");
	db_try(conn, "CREATE EXTENSION IF NOT EXISTS pg_prewarm");
}

static Parameter *
encode_queries(const ColumnType *type, const VectorSet *queries)
{
	Parameter  *parameters = xalloc((size_t) queries->rows, sizeof(Parameter));

	for (int64_t i = 0; i < queries->rows; i++)
	{
		WireBuffer	buffer = {0};

		wire_put_vector(&buffer, type, vectors_row(queries, i));
		parameters[i].data = buffer.data + 4;	/* the length goes separately */
		parameters[i].len = (int) buffer.used - 4;
	}
	return parameters;
}

static void
fill(PGconn *conn, const Table *table, const VectorSet *base, const char *comment)
{
	db_execute(conn, "BEGIN");
	db_execute(conn, "DROP TABLE IF EXISTS %s", table->name);
	load_set(conn, table->name, table->type, base);
	if (base->marks != NULL)
		db_execute(conn, "CREATE INDEX ON %s (f)", table->name);
	db_execute(conn, "COMMENT ON TABLE %s IS '%s'", table->name, comment);
	db_execute(conn, "COMMIT");
	load_vacuum(conn, table->name);
}

/*
 * The table for a column type, loaded, with no index but its primary key.
 * Marked rows have a table of their own, with an index on the marks as well.
 * With 'keep', one that an earlier run left with the same data will do.  Its
 * builds have so many parallel workers; -1: as many as the method wants.
 */
Table *
table_provide(PGconn *conn, const char *type_name, const VectorSet *base,
			  const VectorSet *queries, bool keep, int parallel_workers)
{
	Table	   *table = xalloc(1, sizeof(Table));
	char	   *name = xprintf(base->marks != NULL ? "%s_filter" : "%s", type_name);
	char	   *quoted = PQescapeIdentifier(conn, name, strlen(name));
	char	   *index = xprintf("%s_index", name);
	char	   *quoted_index = PQescapeIdentifier(conn, index, strlen(index));
	char	   *comment = xprintf("ann_bench data %016llx", (unsigned long long) vectors_hash(base));
	char	   *found;

	table->type = db_column_type(conn, type_name, base->dim);
	table->name = xprintf("ann_bench.%s", quoted);
	table->index_name = index;
	table->index = xprintf("ann_bench.%s", quoted_index);
	table->parameters = encode_queries(table->type, queries);
	table->queries = queries->rows;

	found = db_value(conn, "SELECT obj_description(to_regclass('%s'), 'pg_class')", table->name);
	if (!keep || found == NULL || strcmp(found, comment) != 0)
		fill(conn, table, base, comment);
	table_drop_index(conn, table);
	if (parallel_workers >= 0)
		db_execute(conn, "ALTER TABLE %s SET (parallel_workers = %d)", table->name, parallel_workers);
	free(name);
	PQfreemem(quoted);
	PQfreemem(quoted_index);
	free(comment);
	free(found);
	return table;
}

/* A number that the server counts. */
static int64_t
counter(PGconn *conn, const char *expression)
{
	char	   *value = db_value(conn, "SELECT (%s)::bigint", expression);
	int64_t		number = atoll(value);

	free(value);
	return number;
}

static int64_t
wal_position(PGconn *conn)
{
	return counter(conn, "pg_current_wal_insert_lsn() - '0/0'");
}

/* Bytes of temporary files so far; a process tells of its own when it is idle. */
static int64_t
temp_bytes(PGconn *conn)
{
	db_try(conn, "SELECT pg_stat_force_next_flush()");
	return counter(conn, "SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()");
}

/* Build the index, with the settings of the method. */
BuildCost
table_build(PGconn *conn, const char *conninfo, const Table *table, const Method *method)
{
	const char *name = strchr(table->index, '.') + 1;	/* no schema in CREATE INDEX */
	MemoryWatch *watch;
	BuildCost	cost;
	double		start;

	db_try(conn, "CHECKPOINT");	/* earlier writes are not this build's */
	cost.temp_bytes = temp_bytes(conn);
	cost.wal_bytes = wal_position(conn);
	watch = memory_watch(conn, conninfo);
	db_execute(conn, "BEGIN");
	for (int i = 0; i < method->nfixed; i++)
		db_execute(conn, "SET LOCAL %s = '%s'", method->fixed[i].name, method->fixed[i].value);
	start = now_seconds();
	db_execute(conn, "CREATE INDEX %s ON %s %s", name, table->name, method->index);
	db_execute(conn, "COMMIT");
	cost.seconds = now_seconds() - start;
	cost.memory = memory_stop(watch);
	cost.wal_bytes = wal_position(conn) - cost.wal_bytes;
	cost.temp_bytes = temp_bytes(conn) - cost.temp_bytes;
	return cost;
}

int64_t
table_index_bytes(PGconn *conn, const Table *table)
{
	char	   *value = db_value(conn, "SELECT pg_relation_size('%s')", table->index);
	int64_t		bytes = atoll(value);

	free(value);
	return bytes;
}

void
table_drop_index(PGconn *conn, const Table *table)
{
	db_execute(conn, "DROP INDEX IF EXISTS %s", table->index);
}

/* Bring table, TOAST and indexes into shared buffers, if there is a way. */
void
table_prewarm(PGconn *conn, const Table *table)
{
	char	   *sql;

	sql = xprintf("SELECT sum(pg_prewarm(r)) FROM ("
				  "SELECT c.oid::regclass AS r FROM pg_class c WHERE c.oid = '%s'::regclass "
				  "UNION ALL "
				  "SELECT c.reltoastrelid FROM pg_class c WHERE c.oid = '%s'::regclass "
				  "AND c.reltoastrelid <> 0 "
				  "UNION ALL "
				  "SELECT i.indexrelid FROM pg_index i JOIN pg_class c "
				  "ON i.indrelid IN (c.oid, c.reltoastrelid) WHERE c.oid = '%s'::regclass) s",
				  table->name, table->name, table->name);
	db_try(conn, sql);
	free(sql);
}

void
table_drop(PGconn *conn, const Table *table)
{
	db_execute(conn, "DROP TABLE %s", table->name);
}
