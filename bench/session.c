/*
 * session.c
 *	  A connection that asks a method's queries.
 *
 * Two statements are prepared: "nearest", which is measured, and "floor",
 * which returns as many constant rows for the same parameter and so costs what
 * no method can avoid.  Parameters and results are binary.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "session.h"

static const char *const operators[] = {
	[METRIC_L2] = "<->",
	[METRIC_COSINE] = "<=>",
	[METRIC_IP] = "<#>",
};

/* SET, with name and value from outside. */
static void
set(PGconn *conn, const char *name, const char *value)
{
	const char *params[2] = {name, value};
	PGresult   *result = PQexecParams(conn, "SELECT set_config($1, $2, false)", 2, NULL,
									  params, NULL, NULL, 0);

	db_check(conn, result, name);
	PQclear(result);
}

/*
 * An extension's setting can be given before the extension is loaded, under
 * any name.  Afterwards it must be one that the server really has.
 */
static void
check_setting(PGconn *conn, const char *name)
{
	char	   *literal = PQescapeLiteral(conn, name, strlen(name));
	char	   *found = db_value(conn, "SELECT 1 FROM pg_settings WHERE lower(name) = lower(%s)",
								 literal);

	if (found == NULL)
		fail("the server has no setting \"%s\"", name);
	free(found);
	PQfreemem(literal);
}

/* The distance is selected as well, so that the order can be judged, or it is not. */
static char *
nearest_sql(const Session *session)
{
	const char *operator = operators[session->base->metric];

	if (session->base->ids_only)
		return xprintf("SELECT id FROM %s ORDER BY vec %s $1 LIMIT %d",
					   session->table->name, operator, session->base->k);
	return xprintf("SELECT id, (vec %s $1)::float8 FROM %s ORDER BY vec %s $1 LIMIT %d",
				   operator, session->table->name, operator, session->base->k);
}

static char *
floor_sql(const Session *session)
{
	char	   *sql = xprintf("SELECT %s FROM (VALUES (1::bigint, 1::float8)",
							  session->base->ids_only ? "id" : "id, distance");

	for (int i = 1; i < session->base->k; i++)
	{
		size_t		len = strlen(sql);

		sql = xrealloc(sql, len + 32, 1);
		strcpy(sql + len, ", (1, 1)");
	}
	return xprintf("%s) v (id, distance) WHERE $1 IS NOT NULL", sql);
}

/* Prepare a statement of one parameter of the column's type; frees 'sql'. */
static void
prepare(Session *session, const char *name, char *sql)
{
	Oid			type = session->table->type->oid;
	PGresult   *result = PQprepare(session->conn, name, sql, 1, &type);

	db_check(session->conn, result, sql);
	PQclear(result);
	free(sql);
}

/* A connection with the run's own settings. */
PGconn *
session_connect(const SessionBase *base)
{
	PGconn	   *conn = db_connect(base->conninfo);

	for (int i = 0; i < base->nsettings; i++)
		set(conn, base->settings[i].name, base->settings[i].value);
	return conn;
}

/* Connect, apply the method's fixed settings, and prepare. */
Session *
session_open(const SessionBase *base, const Method *method, const Table *table)
{
	Session    *session = xalloc(1, sizeof(Session));

	session->base = base;
	session->method = method;
	session->table = table;
	session->conn = session_connect(base);
	if (method->index == NULL)
		set(session->conn, "enable_indexscan", "off");
	for (int i = 0; i < method->nfixed; i++)
		set(session->conn, method->fixed[i].name, method->fixed[i].value);
	prepare(session, "floor", floor_sql(session));
	return session;
}

void
session_close(Session *session)
{
	PQfinish(session->conn);
	free(session);
}

/*
 * Keep the backend on one CPU, the last.  Client and backend then hand over to
 * each other without waking a CPU, as they do on a busy machine, and every
 * method is spared the same noise.
 */
void
session_pin(Session *session)
{
	cpu_set_t	cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu_count() - 1, &cpus);
	if (sched_setaffinity(PQbackendPID(session->conn), sizeof(cpus), &cpus) != 0)
		fail("--pin: %s: only root and the server's own user may, on the server's machine",
			 strerror(errno));
}

/*
 * Go to a rung of the method's ladder.  The statement is prepared anew, so
 * that its plan is one for this setting.
 */
void
session_set(Session *session, int rung)
{
	const Method *method = session->method;

	if (method->ladder_name != NULL)
		set(session->conn, method->ladder_name, method->ladder[rung]);
	db_try(session->conn, "DEALLOCATE nearest");
	prepare(session, "nearest", nearest_sql(session));
	PQclear(session_ask(session, 0));	/* loads the method's library */

	if (method->ladder_name != NULL)
		check_setting(session->conn, method->ladder_name);
	for (int i = 0; i < method->nfixed; i++)
		check_setting(session->conn, method->fixed[i].name);
}

static PGresult *
ask(Session *session, const char *statement, int64_t query)
{
	const Parameter *parameter = &session->table->parameters[query];
	int			binary = 1;
	PGresult   *result = PQexecPrepared(session->conn, statement, 1, &parameter->data,
										&parameter->len, &binary, 1);

	db_check(session->conn, result, statement);
	return result;
}

/* The nearest rows (id, distance, or id only) of a query, which the caller clears. */
PGresult *
session_ask(Session *session, int64_t query)
{
	return ask(session, "nearest", query);
}

void
session_floor(Session *session, int64_t query)
{
	PQclear(ask(session, "floor", query));
}

/* The number after the first "name": in JSON, or 0. */
static int64_t
json_number(const char *json, const char *name)
{
	char	   *key = xprintf("\"%s\":", name);
	const char *found = strstr(json, key);
	int64_t		value = found != NULL ? atoll(found + strlen(key)) : 0;

	free(key);
	return value;
}

/* The string after the last "name": in JSON, or NULL. */
static char *
json_last_string(const char *json, const char *name)
{
	char	   *key = xprintf("\"%s\": \"", name);
	const char *found = NULL;

	for (const char *p = strstr(json, key); p != NULL; p = strstr(p, key))
		found = p = p + strlen(key);
	free(key);
	return found != NULL ? xstrndup(found, strcspn(found, "\"")) : NULL;
}

/*
 * How many pages a query touches.  *plan becomes the plan's innermost node,
 * the scan, and the workers that took part.
 */
int64_t
session_explain(Session *session, int64_t query, char **plan)
{
	const Parameter *parameter = &session->table->parameters[query];
	char	   *nearest = nearest_sql(session);
	char	   *sql = xprintf("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) %s", nearest);
	int			binary = 1;
	PGresult   *result = PQexecParams(session->conn, sql, 1, &session->table->type->oid,
									  &parameter->data, &parameter->len, &binary, 0);
	const char *json;
	int64_t		workers;
	int64_t		pages;

	db_check(session->conn, result, sql);
	json = PQgetvalue(result, 0, 0);
	/* The first occurrence is that of the plan's top node: the whole query. */
	pages = json_number(json, "Shared Hit Blocks") + json_number(json, "Shared Read Blocks");
	workers = json_number(json, "Workers Launched");
	*plan = json_last_string(json, "Node Type");
	if (workers > 0)
		*plan = xprintf("%s, %lld workers", *plan, (long long) workers);
	PQclear(result);
	free(sql);
	free(nearest);
	return pages;
}
