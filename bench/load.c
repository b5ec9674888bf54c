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
 * and no statistics on them, which nothing would use.
 */
void
load_create(PGconn *conn, const char *table, const ColumnType *type)
{
	db_execute(conn, "CREATE TABLE %s (id bigint, vec %s)", table, type->sql_type);
	db_execute(conn, "ALTER TABLE %s ALTER vec SET STORAGE EXTERNAL, ALTER vec SET STATISTICS 0",
			   table);
}

void
load_begin(PGconn *conn, const char *table)
{
	PGresult   *result = db_query(conn, "COPY %s (id, vec) FROM STDIN (FORMAT binary)", table);

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
		 const float *values)
{
	wire_put16(buffer, 2);
	wire_put32(buffer, 8);
	wire_put64(buffer, (uint64_t) id);
	wire_put_vector(buffer, type, values);
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
	WireBuffer	buffer = {0};

	load_create(conn, table, type);
	load_begin(conn, table);
	for (int64_t row = 0; row < set->rows; row++)
		load_row(conn, &buffer, type, set->ids != NULL ? set->ids[row] : row,
				 vectors_row(set, row));
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
	load_create(conn, table, type);
	load_begin(conn, table);
	while (row != NULL)
	{
		load_row(conn, &buffer, type, id, row);
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
