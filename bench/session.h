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
	int			k;
	bool		ids_only;		/* rows are selected without their distances */
} SessionBase;

typedef struct Session
{
	const SessionBase *base;
	const Method *method;
	const Table *table;
	PGconn	   *conn;
} Session;

extern PGconn *session_connect(const SessionBase *base);
extern Session *session_open(const SessionBase *base, const Method *method, const Table *table);
extern void session_close(Session *session);
extern void session_pin(Session *session);
extern void session_set(Session *session, int rung);
extern PGresult *session_ask(Session *session, int64_t query);
extern void session_floor(Session *session, int64_t query);
extern int64_t session_explain(Session *session, int64_t query, char **plan);

#endif							/* SESSION_H */
