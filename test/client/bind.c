/*
 * bind.c
 *	  Sends one parameter to a query in text or in binary, as drivers do.
 *
 * Usage: bind CONNINFO TYPE FORMAT QUERY ELEMENT...
 *
 * TYPE is real, double, integer, bigint or smallint, the element type of the
 * array that is $1 of QUERY, or "untyped", for which the server finds the type
 * and the elements are sent as for real.  FORMAT is text or binary.  Prints
 * the first column of each row.
 */
#include <libpq-fe.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct ElementType
{
	const char *name;
	int			size;
	Oid			oid;
	Oid			array_oid;
}			types[] = {
	{"smallint", 2, 21, 1005},
	{"integer", 4, 23, 1007},
	{"bigint", 8, 20, 1016},
	{"real", 4, 700, 1021},
	{"double", 8, 701, 1022},
	{"untyped", 4, 700, 0}
};

static void
fail(const char *what, const char *why)
{
	fprintf(stderr, "bind: %s: %s\n", what, why);
	exit(1);
}

static const struct ElementType *
find_type(const char *name)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
	{
		if (strcmp(types[i].name, name) == 0)
			return &types[i];
	}
	fail(name, "unknown type");
	return NULL;
}

/* Append the low 'size' bytes of 'bits', most significant first. */
static char *
put_bits(char *at, uint64_t bits, int size)
{
	for (int shift = 8 * (size - 1); shift >= 0; shift -= 8)
		*at++ = (char) (bits >> shift);
	return at;
}

static uint64_t
element_bits(const struct ElementType *type, double value)
{
	uint64_t	bits;
	uint32_t	bits32;
	float		single = (float) value;

	if (type->oid == 701)
		memcpy(&bits, &value, sizeof(bits));
	else if (type->oid == 700)
	{
		memcpy(&bits32, &single, sizeof(bits32));
		bits = bits32;
	}
	else
		bits = (uint64_t) (int64_t) value;
	return bits;
}

/* The wire format of a one-dimensional array, as array_recv reads it. */
static char *
binary_array(const struct ElementType *type, char **elements, int n, int *length)
{
	char	   *array = malloc(20 + (size_t) n * (4 + type->size));
	char	   *at = array;

	if (array == NULL)
		fail("malloc", "out of memory");
	at = put_bits(at, 1, 4);	/* dimensions */
	at = put_bits(at, 0, 4);	/* no NULLs */
	at = put_bits(at, type->oid, 4);
	at = put_bits(at, n, 4);
	at = put_bits(at, 1, 4);	/* lower bound */
	for (int i = 0; i < n; i++)
	{
		at = put_bits(at, type->size, 4);
		at = put_bits(at, element_bits(type, atof(elements[i])), type->size);
	}
	*length = (int) (at - array);
	return array;
}

static char *
text_array(char **elements, int n)
{
	size_t		room = 3;
	char	   *array;

	for (int i = 0; i < n; i++)
		room += strlen(elements[i]) + 1;
	array = malloc(room);
	if (array == NULL)
		fail("malloc", "out of memory");
	strcpy(array, "{");
	for (int i = 0; i < n; i++)
	{
		strcat(array, i > 0 ? "," : "");
		strcat(array, elements[i]);
	}
	return strcat(array, "}");
}

int
main(int argc, char **argv)
{
	const struct ElementType *type;
	PGconn	   *conn;
	PGresult   *result;
	char	   *value;
	int			length = 0,
				binary;

	if (argc < 6)
		fail("usage", "bind CONNINFO TYPE FORMAT QUERY ELEMENT...");
	type = find_type(argv[2]);
	binary = strcmp(argv[3], "binary") == 0;
	value = binary ? binary_array(type, argv + 5, argc - 5, &length)
		: text_array(argv + 5, argc - 5);

	conn = PQconnectdb(argv[1]);
	if (PQstatus(conn) != CONNECTION_OK)
		fail("connection", PQerrorMessage(conn));
	result = PQprepare(conn, "q", argv[4], 1, &type->array_oid);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		fail("prepare", PQerrorMessage(conn));
	PQclear(result);
	result = PQexecPrepared(conn, "q", 1, (const char *const *) &value, &length,
							&binary, 0);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		fail("execute", PQerrorMessage(conn));
	for (int i = 0; i < PQntuples(result); i++)
		puts(PQgetvalue(result, i, 0));
	PQclear(result);
	PQfinish(conn);
	free(value);
	return 0;
}
