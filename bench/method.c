/*
 * method.c
 *	  What is measured: an index, or none, at a list of settings.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "method.h"

/* A copy of text[0 .. len) without the blanks around it. */
static char *
trimmed(const char *text, size_t len)
{
	while (len > 0 && isspace((unsigned char) *text))
	{
		text++;
		len--;
	}
	while (len > 0 && isspace((unsigned char) text[len - 1]))
		len--;
	return xstrndup(text, len);
}

/* name=value */
Assignment
parse_assignment(const char *text)
{
	const char *equals = strchr(text, '=');
	Assignment	assignment;

	if (equals == NULL || equals == text)
		usage_error("\"%s\" is not setting=value", text);
	assignment.name = trimmed(text, (size_t) (equals - text));
	assignment.value = trimmed(equals + 1, strlen(equals + 1));
	return assignment;
}

/* "ef_search=40", without the prefix that repeats the method's name; "-" for none. */
char *
assignment_label(const char *name, const char *value)
{
	const char *dot;

	if (value == NULL)
		return xstrdup("-");
	dot = strrchr(name, '.');
	return xprintf("%s=%s", dot != NULL ? dot + 1 : name, value);
}

/* A setting with commas in its value is the ladder. */
static void
add_setting(Method *method, const char *text)
{
	Assignment	setting = parse_assignment(text);
	const char *value = setting.value;

	if (strchr(value, ',') == NULL)
	{
		method->fixed = xrealloc(method->fixed, (size_t) method->nfixed + 1, sizeof(Assignment));
		method->fixed[method->nfixed++] = setting;
		return;
	}
	if (method->ladder_name != NULL)
		usage_error("method \"%s\": both %s and %s have a list of values", method->name,
					method->ladder_name, setting.name);
	method->ladder_name = setting.name;
	for (;;)
	{
		size_t		len = strcspn(value, ",");

		method->ladder = xrealloc(method->ladder, (size_t) method->nladder + 1,
								  sizeof(char *));
		method->ladder[method->nladder++] = trimmed(value, len);
		if (value[len] == '\0')
			break;
		value += len + 1;
	}
}

/* The name, and the type in brackets after it. */
static void
parse_head(Method *method, const char *head)
{
	size_t		len = strcspn(head, "[");

	method->name = trimmed(head, len);
	if (method->name[0] == '\0')
		usage_error("a method needs a name before the colon");
	if (head[len] == '\0')
		return;
	if (head[strlen(head) - 1] != ']')
		usage_error("method \"%s\": the type's bracket is not closed", method->name);
	method->type_name = trimmed(head + len + 1, strlen(head + len + 1) - 1);
}

/*
 * The parts after the colon, separated by semicolons: the index first, then
 * settings.
 */
static void
parse_parts(Method *method, const char *parts)
{
	size_t		len = strcspn(parts, ";");
	char	   *index = trimmed(parts, len);

	if (strncasecmp(index, "USING ", 6) == 0)
		method->index = index;
	else if (strcmp(index, "exact") != 0)
		usage_error("method \"%s\": expected \"USING ...\" or \"exact\" after the colon",
					method->name);
	while (parts[len] == ';')
	{
		char	   *setting;

		parts += len + 1;
		len = strcspn(parts, ";");
		setting = trimmed(parts, len);
		if (setting[0] != '\0')
			add_setting(method, setting);
		free(setting);
	}
}

Method *
method_parse(const char *spec, const char *default_type)
{
	Method	   *method = xalloc(1, sizeof(Method));
	size_t		len = strcspn(spec, ":");
	char	   *head = trimmed(spec, len);

	method->type_name = default_type;
	parse_head(method, head);
	if (spec[len] == ':')
		parse_parts(method, spec + len + 1);
	else if (strcmp(method->name, "exact") != 0)
		usage_error("method \"%s\": expected \"NAME: USING ...\", \"NAME: exact\" or \"exact\"",
					spec);
	if (method->nladder == 0)
	{
		method->ladder = xalloc(1, sizeof(char *));
		method->nladder = 1;
	}
	free(head);
	return method;
}
