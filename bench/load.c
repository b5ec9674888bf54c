/*
 * load.c
 *	  Filling a table (id bigint PRIMARY KEY, vec ...) with vectors.
 *
 * Rows go in by one binary COPY in one transaction, so a file that turns out
 * to be bad leaves no table behind.  'table' is SQL: quoted, perhaps with a
 * schema.
 */
#include <stdlib.h>
#include <string.h>

#include "load.h"

#define COPY_CHUNK	(1 << 18)

/*
 * Create the table as the documentation advises: vectors stored uncompressed,
 * and no statistics on them, which nothing would use.  Marked rows have a column
 * f for filters, too.
 */
void
load_create(PGconn *conn, const char *table, const ColumnType *type, bool marked)
{
	db_execute(conn, "CREATE TABLE %s (id bigint, vec %s%s)", table, type->sql_type,
			   marked ? ", f integer" : "");
	db_execute(conn, "ALTER TABLE %s ALTER vec SET STORAGE EXTERNAL, ALTER vec SET STATISTICS 0",
			   table);
}

void
load_begin(PGconn *conn, const char *table, bool marked)
{
	PGresult   *result = db_query(conn, "COPY %s (id, vec%s) FROM STDIN (FORMAT binary)", table,
								  marked ? ", f" : "");

	PQclear(result);
	/* Signature, flags, length of the header's extension. */
	if (PQputCopyData(conn, "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19) != 1)
		fail("COPY: %s", PQerrorMessage(conn));
}

static void
send_buffer(PGconn *conn, WireBuffer *buffer)
{
	if (PQputCopyData(conn, buffer->data, (int) buffer->used) != 1)
		fail("COPY: %s", PQerrorMessage(conn));
	buffer->used = 0;
}

void
load_row(PGconn *conn, WireBuffer *buffer, const ColumnType *type, int64_t id,
		 const float *values, const int32_t *mark)
{
	wire_put16(buffer, mark != NULL ? 3 : 2);
	wire_put32(buffer, 8);
	wire_put64(buffer, (uint64_t) id);
	wire_put_vector(buffer, type, values);
	if (mark != NULL)
	{
		wire_put32(buffer, 4);
		wire_put32(buffer, (uint32_t) *mark);
	}
	if (buffer->used >= COPY_CHUNK)
		send_buffer(conn, buffer);
}

void
load_end(PGconn *conn, WireBuffer *buffer)
{
	PGresult   *result;

	wire_put16(buffer, 0xFFFF);
	send_buffer(conn, buffer);
	free(buffer->data);
	memset(buffer, 0, sizeof(*buffer));
	if (PQputCopyEnd(conn, NULL) != 1)
		fail("COPY: %s", PQerrorMessage(conn));
	while ((result = PQgetResult(conn)) != NULL)
	{
		db_check(conn, result, "COPY");
		PQclear(result);
	}
}

/* Visibility map and row counts as on a table in use. */
void
load_vacuum(PGconn *conn, const char *table)
{
	db_execute(conn, "VACUUM (FREEZE, ANALYZE) %s", table);
}

/* Create the table and fill it from memory, in the caller's transaction. */
void
load_set(PGconn *conn, const char *table, const ColumnType *type, const VectorSet *set)
{
	bool		marked = set->marks != NULL;
	WireBuffer	buffer = {0};

	load_create(conn, table, type, marked);
	load_begin(conn, table, marked);
	for (int64_t row = 0; row < set->rows; row++)
		load_row(conn, &buffer, type, set->ids != NULL ? set->ids[row] : row,
				 vectors_row(set, row), marked ? &set->marks[row] : NULL);
	load_end(conn, &buffer);
	db_execute(conn, "ALTER TABLE %s ADD PRIMARY KEY (id)", table);
}

/*
 * The same from a file, row by row, so that the file may be larger than
 * memory.  Returns how many rows were loaded.
 */
int64_t
load_file(PGconn *conn, const char *table, const char *type_name, const char *path,
		  int64_t limit)
{
	VectorReader *reader = vectors_open(path);
	WireBuffer	buffer = {0};
	ColumnType *type;
	const float *row;
	int64_t		rows = 0;
	int64_t		id;
	int			dim;

	row = vectors_next(reader, &id, &dim);
	type = db_column_type(conn, type_name, dim);
	load_create(conn, table, type, false);
	load_begin(conn, table, false);
	while (row != NULL)
	{
		load_row(conn, &buffer, type, id, row, NULL);
		if (++rows == limit)
			break;
		row = vectors_next(reader, &id, &dim);
	}
	load_end(conn, &buffer);
	db_execute(conn, "ALTER TABLE %s ADD PRIMARY KEY (id)", table);
	vectors_close(reader);
	free(type);
	return rows;
}
