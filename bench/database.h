/*
 * database.h
 *	  Connections, and what the bench knows about column types.
 */
#ifndef DATABASE_H
#define DATABASE_H

#include <libpq-fe.h>

#include "bench.h"

/* How a type's values travel in binary. */
typedef enum WireFormat
{
	WIRE_FLOAT4_ARRAY,			/* real[] */
	WIRE_FLOAT8_ARRAY,			/* double precision[] */
	WIRE_VECTOR,				/* int16 dimension, int16 zero, float4s */
	WIRE_HALFVEC				/* the same with 2-byte floats */
} WireFormat;

typedef struct ColumnType
{
	const char *name;			/* as the user says: real, double, vector, ... */
	const char *sql_type;		/* of a column: real[], vector(784) */
	const char *base_type;		/* without the modifier: real[], vector */
	Oid			oid;
	WireFormat	wire;
	int			dim;
} ColumnType;

/* A growing buffer of bytes in network order. */
typedef struct WireBuffer
{
	char	   *data;
	size_t		used;
	size_t		size;
} WireBuffer;

extern PGconn *db_connect(const char *conninfo);
extern PGresult *db_query(PGconn *conn, const char *fmt,...) __attribute__((format(printf, 2, 3)));
extern void db_execute(PGconn *conn, const char *fmt,...) __attribute__((format(printf, 2, 3)));
extern bool db_try(PGconn *conn, const char *sql);
extern char *db_value(PGconn *conn, const char *fmt,...) __attribute__((format(printf, 2, 3)));
extern void db_check(PGconn *conn, const PGresult *result, const char *doing);

extern ColumnType *db_column_type(PGconn *conn, const char *name, int dim);

extern void wire_put16(WireBuffer *buffer, uint16_t value);
extern void wire_put32(WireBuffer *buffer, uint32_t value);
extern void wire_put64(WireBuffer *buffer, uint64_t value);
extern void wire_put_vector(WireBuffer *buffer, const ColumnType *type, const float *values);
extern void wire_set_double(char *data, double value);
extern int64_t wire_get_int64(const char *data);
extern double wire_get_double(const char *data);

#endif							/* DATABASE_H */
