/*
 * database.c
 *	  Connections, and what the bench knows about column types.
 *
 * A statement that fails ends the program with the server's message, its
 * detail, and what was being done.  A further column type needs its WireFormat, a line
 * in wire_formats and a case in wire_put_vector.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "database.h"

static const struct
{
	const char *typname;		/* in pg_type */
	WireFormat	wire;
}			wire_formats[] = {
	{"_float4", WIRE_FLOAT4_ARRAY},
	{"_float8", WIRE_FLOAT8_ARRAY},
	{"vector", WIRE_VECTOR},
	{"halfvec", WIRE_HALFVEC},
};

/* A message of libpq or the server as one line. */
static char *
one_line(const char *message)
{
	char	   *line = xstrdup(message);
	size_t		len = strlen(line);

	while (len > 0 && line[len - 1] == '\n')
		line[--len] = '\0';
	for (char *p = line; *p != '\0'; p++)
	{
		if (*p == '\n' || *p == '\t')
			*p = ' ';
	}
	return line;
}

/* Connect by libpq's environment, or by 'conninfo' where given. */
PGconn *
db_connect(const char *conninfo)
{
	PGconn	   *conn = PQconnectdb(conninfo != NULL ? conninfo : "");

	if (PQstatus(conn) != CONNECTION_OK)
		fail("%s", one_line(PQerrorMessage(conn)));
	return conn;
}

/* End the program unless the server did what it was asked. */
void
db_check(PGconn *conn, const PGresult *result, const char *doing)
{
	ExecStatusType status = PQresultStatus(result);
	const char *message;
	const char *detail;

	if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_COPY_IN)
		return;
	message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
	fail("%s: %s%s%s", one_line(doing), one_line(message ? message : PQerrorMessage(conn)),
		 detail != NULL ? ": " : "", detail != NULL ? one_line(detail) : "");
}

static PGresult *
query_checked(PGconn *conn, char *sql)
{
	PGresult   *result = PQexec(conn, sql);

	db_check(conn, result, sql);
	free(sql);
	return result;
}

/* Format the arguments that follow 'fmt' into 'sql'. */
#define FORMAT_SQL(sql, fmt) \
	do { \
		va_list		args_; \
		va_start(args_, fmt); \
		if (vasprintf(&(sql), fmt, args_) < 0) \
			fail("out of memory"); \
		va_end(args_); \
	} while (0)

/* Run a query and return its result, which the caller clears. */
PGresult *
db_query(PGconn *conn, const char *fmt,...)
{
	char	   *sql;

	FORMAT_SQL(sql, fmt);
	return query_checked(conn, sql);
}

/* Run a statement for its effect. */
void
db_execute(PGconn *conn, const char *fmt,...)
{
	char	   *sql;

	FORMAT_SQL(sql, fmt);
	PQclear(query_checked(conn, sql));
}

/* Run a statement that may well fail; says whether it did not. */
bool
db_try(PGconn *conn, const char *sql)
{
	PGresult   *result = PQexec(conn, sql);
	ExecStatusType status = PQresultStatus(result);

	PQclear(result);
	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

/* The first column of the first row; NULL if there is none or it is null. */
char *
db_value(PGconn *conn, const char *fmt,...)
{
	char	   *sql;
	char	   *value = NULL;
	PGresult   *result;

	FORMAT_SQL(sql, fmt);
	result = query_checked(conn, sql);
	if (PQntuples(result) > 0 && !PQgetisnull(result, 0, 0))
		value = xstrdup(PQgetvalue(result, 0, 0));
	PQclear(result);
	return value;
}

/* Look up a type by the name users know: real and double are arrays. */
ColumnType *
db_column_type(PGconn *conn, const char *name, int dim)
{
	ColumnType *type = xalloc(1, sizeof(ColumnType));
	const char *params[1];
	PGresult   *result;
	const char *typname;

	type->name = name;
	type->dim = dim;
	if (strcmp(name, "real") == 0)
		type->base_type = type->sql_type = "real[]";
	else if (strcmp(name, "double") == 0)
		type->base_type = type->sql_type = "double precision[]";
	else
	{
		type->base_type = name;
		type->sql_type = xprintf("%s(%d)", name, dim);
	}

	params[0] = type->base_type;
	result = PQexecParams(conn, "SELECT oid, typname FROM pg_type WHERE oid = to_regtype($1)",
						  1, NULL, params, NULL, NULL, 0);
	db_check(conn, result, "looking up the column type");
	if (PQntuples(result) == 0)
		fail("the database has no type \"%s\"", name);
	type->oid = (Oid) strtoul(PQgetvalue(result, 0, 0), NULL, 10);
	typname = PQgetvalue(result, 0, 1);
	for (size_t i = 0; i < sizeof(wire_formats) / sizeof(wire_formats[0]); i++)
	{
		if (strcmp(typname, wire_formats[i].typname) == 0)
		{
			type->wire = wire_formats[i].wire;
			PQclear(result);
			return type;
		}
	}
	fail("the binary form of type \"%s\" is not known: expected real, double, vector or halfvec",
		 name);
}

/* Room for so many bytes at the buffer's end. */
static char *
wire_reserve(WireBuffer *buffer, size_t bytes)
{
	char	   *place;

	if (buffer->used + bytes > buffer->size)
	{
		buffer->size = (buffer->used + bytes) * 2;
		buffer->data = xrealloc(buffer->data, buffer->size, 1);
	}
	place = buffer->data + buffer->used;
	buffer->used += bytes;
	return place;
}

static void
wire_put(WireBuffer *buffer, uint64_t value, int bytes)
{
	char	   *place = wire_reserve(buffer, (size_t) bytes);

	for (int i = 0; i < bytes; i++)
		place[i] = (char) (value >> (8 * (bytes - 1 - i)));
}

void
wire_put16(WireBuffer *buffer, uint16_t value)
{
	wire_put(buffer, value, 2);
}

void
wire_put32(WireBuffer *buffer, uint32_t value)
{
	wire_put(buffer, value, 4);
}

void
wire_put64(WireBuffer *buffer, uint64_t value)
{
	wire_put(buffer, value, 8);
}

static uint32_t
float_bits(float value)
{
	uint32_t	bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

static uint64_t
double_bits(double value)
{
	uint64_t	bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

/*
 * IEEE binary16, rounded to nearest even.  Adding a float whose unit in the
 * last place is the target's lets the hardware round, for normal numbers and
 * subnormal ones alike.
 */
static uint16_t
half_bits(float value)
{
	uint16_t	sign = (uint16_t) (float_bits(value) >> 16 & 0x8000);
	uint32_t	bits = float_bits(value) & 0x7FFFFFFF;
	float		magnitude;

	memcpy(&magnitude, &bits, sizeof(magnitude));
	if (magnitude >= 65520.0f)
		fail("%g does not fit a 2-byte float", (double) value);
	if (magnitude < 0x1p-14f)
		return (uint16_t) (sign | (float_bits(magnitude + 0.5f) - float_bits(0.5f)));
	bits += 0xFFF + (bits >> 13 & 1);
	return (uint16_t) (sign | ((bits >> 13) - (112 << 10)));
}

/* Append the value with no length before it. */
static void
put_value(WireBuffer *buffer, const ColumnType *type, const float *values)
{
	if (type->wire == WIRE_FLOAT4_ARRAY || type->wire == WIRE_FLOAT8_ARRAY)
	{
		wire_put32(buffer, 1);	/* array dimensions */
		wire_put32(buffer, 0);	/* no nulls */
		wire_put32(buffer, type->wire == WIRE_FLOAT4_ARRAY ? 700 : 701);
		wire_put32(buffer, (uint32_t) type->dim);
		wire_put32(buffer, 1);	/* lower bound */
	}
	else
	{
		wire_put16(buffer, (uint16_t) type->dim);
		wire_put16(buffer, 0);
	}
	for (int i = 0; i < type->dim; i++)
	{
		switch (type->wire)
		{
			case WIRE_FLOAT4_ARRAY:
				wire_put32(buffer, 4);
				wire_put32(buffer, float_bits(values[i]));
				break;
			case WIRE_FLOAT8_ARRAY:
				wire_put32(buffer, 8);
				wire_put64(buffer, double_bits(values[i]));
				break;
			case WIRE_VECTOR:
				wire_put32(buffer, float_bits(values[i]));
				break;
			case WIRE_HALFVEC:
				wire_put16(buffer, half_bits(values[i]));
				break;
		}
	}
}

/* Append a vector as COPY and parameters have it: its length, its bytes. */
void
wire_put_vector(WireBuffer *buffer, const ColumnType *type, const float *values)
{
	size_t		start = buffer->used;
	uint32_t	len;

	wire_put32(buffer, 0);
	put_value(buffer, type, values);
	len = (uint32_t) (buffer->used - start - 4);
	for (int i = 0; i < 4; i++)
		buffer->data[start + (size_t) i] = (char) (len >> (24 - 8 * i));
}

/* Write a number of eight bytes. */
void
wire_set_double(char *data, double value)
{
	uint64_t	bits = double_bits(value);

	for (int i = 0; i < 8; i++)
		data[i] = (char) (bits >> (56 - 8 * i));
}

int64_t
wire_get_int64(const char *data)
{
	uint64_t	value = 0;

	for (int i = 0; i < 8; i++)
		value = value << 8 | (unsigned char) data[i];
	return (int64_t) value;
}

double
wire_get_double(const char *data)
{
	uint64_t	bits = (uint64_t) wire_get_int64(data);
	double		value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}
