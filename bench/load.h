/*
 * load.h
 *	  Filling a table (id bigint PRIMARY KEY, vec ...) with vectors.
 */
#ifndef LOAD_H
#define LOAD_H

#include "database.h"
#include "vectors.h"

extern void load_create(PGconn *conn, const char *table, const ColumnType *type,
						bool marked);
extern void load_begin(PGconn *conn, const char *table, bool marked);
extern void load_row(PGconn *conn, WireBuffer *buffer, const ColumnType *type,
					 int64_t id, const float *values, const int32_t *mark);
extern void load_end(PGconn *conn, WireBuffer *buffer);
extern void load_vacuum(PGconn *conn, const char *table);
extern void load_set(PGconn *conn, const char *table, const ColumnType *type,
					 const VectorSet *set);
extern int64_t load_file(PGconn *conn, const char *table, const char *type_name,
						 const char *path, int64_t limit);

#endif							/* LOAD_H */
