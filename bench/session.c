/*
 * session.c
 *	  A connection that asks a method's queries.
 *
 * Two statements are prepared: "asked", which is measured, and "floor", which
 * returns as many constant rows for the same parameter and so costs what no
 * method can avoid.  Parameters and results are binary.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "session.h"

#define FLOAT8_OID	701

static const char *const operators[] = {
	[METRIC_L2] = "<->",
	[METRIC_COSINE] = "<=>",
	[METRIC_IP] = "<#>",
};

/* SET, with name and value from outside; NULL is the default. */
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

/*
 * The nearest rows, of those that meet a condition (NULL: of all).  The
 * distance is selected as well, so that the order can be judged, or it is not.
 */
Statement
statement_nearest(const SessionBase *base, const Table *table, const char *condition,
				  int64_t limit)
{
	const char *operator = operators[base->metric];
	char	   *distance = xprintf(", (vec %s $1)::float8", operator);
	Statement	statement = {.distances = !base->ids_only};

	statement.sql = xprintf("SELECT id%s FROM %s %s%s ORDER BY vec %s $1 LIMIT %lld",
							base->ids_only ? "" : distance, table->name,
							condition != NULL ? "WHERE " : "",
							condition != NULL ? condition : "", operator, (long long) limit);
	free(distance);
	return statement;
}

/* The rows nearer than a query's radius, in any order. */
Statement
statement_within(const SessionBase *base, const Table *table, const double *radii)
{
	Statement	statement = {.numbers = radii};

	statement.sql = xprintf("SELECT id FROM %s WHERE vec %s $1 < $2", table->name,
							operators[base->metric]);
	return statement;
}

/* Let the statement be asked under a setting as well. */
void
statement_set(Statement *statement, const char *name, const char *value)
{
	statement->settings = xrealloc(statement->settings, (size_t) statement->nsettings + 1,
								   sizeof(Assignment));
	statement->settings[statement->nsettings++] = (Assignment) {name, value};
}

static char *
floor_sql(bool ids_only, int rows)
{
	char	   *sql = xprintf("SELECT %s FROM (VALUES (1::bigint, 1::float8)",
							  ids_only ? "id" : "id, distance");

	for (int i = 1; i < rows; i++)
	{
		size_t		len = strlen(sql);

		sql = xrealloc(sql, len + 32, 1);
		strcpy(sql + len, ", (1, 1)");
	}
	return xprintf("%s) v (id, distance) WHERE $1 IS NOT NULL", sql);
}

/* Prepare a statement of a vector and, perhaps, a number. */
static void
prepare(Session *session, const char *name, const char *sql, bool number)
{
	Oid			types[2] = {session->table->type->oid, FLOAT8_OID};
	PGresult   *result = PQprepare(session->conn, name, sql, number ? 2 : 1, types);

	db_check(session->conn, result, sql);
	PQclear(result);
}

/* The run's own settings. */
static void
set_base(PGconn *conn, const SessionBase *base)
{
	for (int i = 0; i < base->nsettings; i++)
		set(conn, base->settings[i].name, base->settings[i].value);
}

/* A connection with the run's own settings. */
PGconn *
session_connect(const SessionBase *base)
{
	PGconn	   *conn = db_connect(base->conninfo);

	set_base(conn, base);
	return conn;
}

/* The settings that hold for all of a method's statements. */
static void
set_method(Session *session)
{
	const Method *method = session->method;

	if (method->index == NULL)
		set(session->conn, "enable_indexscan", "off");
	for (int i = 0; i < method->nfixed; i++)
		set(session->conn, method->fixed[i].name, method->fixed[i].value);
}

/* Connect for a method's statements on a table. */
Session *
session_open(const SessionBase *base, const Method *method, const Table *table)
{
	Session    *session = xalloc(1, sizeof(Session));

	session->base = base;
	session->method = method;
	session->table = table;
	session->conn = session_connect(base);
	set_method(session);
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
 * Turn to a statement, which must stay where it is, and to its settings in
 * place of the last one's.  It is prepared anew, so that its plan is one for
 * these settings.
 */
void
session_set(Session *session, const Statement *statement)
{
	const Statement *last = session->statement;

	if (last != NULL)
	{
		for (int i = 0; i < last->nsettings; i++)
			set(session->conn, last->settings[i].name, NULL);
		set_base(session->conn, session->base);
		set_method(session);
		db_execute(session->conn, "DEALLOCATE asked");
	}
	for (int i = 0; i < statement->nsettings; i++)
		set(session->conn, statement->settings[i].name, statement->settings[i].value);
	prepare(session, "asked", statement->sql, statement->numbers != NULL);
	session->statement = statement;
	PQclear(session_ask(session, 0));	/* loads the method's library */

	for (int i = 0; i < statement->nsettings; i++)
		check_setting(session->conn, statement->settings[i].name);
	for (int i = 0; i < session->method->nfixed; i++)
		check_setting(session->conn, session->method->fixed[i].name);
}

/* Execute a prepared statement for a query and, unless NULL, its number. */
static PGresult *
ask(Session *session, const char *name, int64_t query, const double *number)
{
	const Parameter *vector = &session->table->parameters[query];
	char		bytes[8];
	const char *values[2] = {vector->data, bytes};
	int			lengths[2] = {vector->len, sizeof(bytes)};
	int			binary[2] = {1, 1};
	PGresult   *result;

	if (number != NULL)
		wire_set_double(bytes, *number);
	result = PQexecPrepared(session->conn, name, number != NULL ? 2 : 1, values, lengths,
							binary, 1);
	db_check(session->conn, result, name);
	return result;
}

/* The rows the statement finds for a query, which the caller clears. */
PGresult *
session_ask(Session *session, int64_t query)
{
	const double *numbers = session->statement->numbers;

	return ask(session, "asked", query, numbers != NULL ? &numbers[query] : NULL);
}

/* The statement that returns so many constant rows. */
void
session_prepare_floor(Session *session, int rows)
{
	char	   *sql = floor_sql(session->base->ids_only, rows);

	prepare(session, "floor", sql, false);
	free(sql);
}

void
session_floor(Session *session, int64_t query)
{
	PQclear(ask(session, "floor", query, NULL));
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

/* A query's parameters as EXECUTE takes them: it has no others than literals. */
static char *
literals(Session *session, int64_t query)
{
	const Parameter *vector = &session->table->parameters[query];
	const double *numbers = session->statement->numbers;
	int			binary = 1;
	PGresult   *result = PQexecParams(session->conn, "SELECT $1::text", 1,
									  &session->table->type->oid, &vector->data, &vector->len,
									  &binary, 0);
	char	   *text;

	db_check(session->conn, result, "the query as text");
	if (numbers != NULL)
		text = xprintf("'%s', %.17g", PQgetvalue(result, 0, 0), numbers[query]);
	else
		text = xprintf("'%s'", PQgetvalue(result, 0, 0));
	PQclear(result);
	return text;
}

/* How a query is answered, by the very plan that session_ask uses. */
void
session_explain(Session *session, int64_t query, Plan *plan)
{
	char	   *parameters = literals(session, query);
	PGresult   *result = db_query(session->conn, "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, "
								  "FORMAT JSON) EXECUTE asked(%s)", parameters);
	const char *json = PQgetvalue(result, 0, 0);
	int64_t		workers = json_number(json, "Workers Launched");

	/* The first occurrence is that of the plan's top node: the whole query. */
	plan->pages = json_number(json, "Shared Hit Blocks") + json_number(json, "Shared Read Blocks");
	plan->node = json_last_string(json, "Node Type");
	plan->index = json_last_string(json, "Index Name");
	if (workers > 0)
		plan->node = xprintf("%s, %lld workers", plan->node, (long long) workers);
	PQclear(result);
	free(parameters);
}
