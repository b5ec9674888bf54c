/*
 * session.h
 *	  A connection that asks a method's queries.
 */
#ifndef SESSION_H
#define SESSION_H

#include "method.h"
#include "table.h"

/* What every connection of a run has in common. */
typedef struct SessionBase
{
	const char *conninfo;		/* NULL: libpq's environment */
	const Assignment *settings; /* --set */
	int			nsettings;
	Metric		metric;
	bool		ids_only;		/* rows are selected without their distances */
} SessionBase;

/* What is asked, and under which settings. */
typedef struct Statement
{
	char	   *sql;			/* $1 is the query's vector */
	bool		distances;		/* rows are (id, distance), else (id) */
	const double *numbers;		/* $2 of each query; NULL: there is no $2 */
	Assignment *settings;		/* in addition to those of the method */
	int			nsettings;
} Statement;

/* How the server went about a query. */
typedef struct Plan
{
	char	   *node;			/* the innermost, and workers that took part */
	char	   *index;			/* NULL: it uses none */
	int64_t		pages;			/* hit or read */
} Plan;

typedef struct Session
{
	const SessionBase *base;
	const Method *method;
	const Table *table;
	PGconn	   *conn;
	const Statement *statement; /* what is asked now */
} Session;

extern Statement statement_nearest(const SessionBase *base, const Table *table,
								   const char *condition, int64_t limit);
extern Statement statement_within(const SessionBase *base, const Table *table,
								  const double *radii);
extern void statement_set(Statement *statement, const char *name, const char *value);

extern PGconn *session_connect(const SessionBase *base);
extern Session *session_open(const SessionBase *base, const Method *method, const Table *table);
extern void session_close(Session *session);
extern void session_pin(Session *session);
extern void session_set(Session *session, const Statement *statement);
extern PGresult *session_ask(Session *session, int64_t query);
extern void session_prepare_floor(Session *session, int rows);
extern void session_floor(Session *session, int64_t query);
extern void session_explain(Session *session, int64_t query, Plan *plan);

#endif							/* SESSION_H */
