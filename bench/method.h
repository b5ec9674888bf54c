/*
 * method.h
 *	  What is measured: an index, or none, at a list of settings.
 *
 * A method is written on the command line as
 *
 *	NAME[TYPE]: USING am (vec opclass) WITH (...); setting=v1,v2,v3; other=v
 *	NAME[TYPE]: exact
 *
 * [TYPE] and, for exact, everything but the word itself may be left out.  One
 * setting may have a list of values: the ladder, measured value by value.
 */
#ifndef METHOD_H
#define METHOD_H

#include "bench.h"

typedef struct Assignment
{
	const char *name;
	const char *value;
} Assignment;

typedef struct Method
{
	const char *name;
	const char *type_name;
	const char *index;			/* "USING ..."; NULL for exact search */
	Assignment *fixed;
	int			nfixed;
	const char *ladder_name;	/* NULL: measured once, as things are */
	const char **ladder;
	int			nladder;		/* at least 1 */
} Method;

extern Assignment parse_assignment(const char *text);
extern char *assignment_label(const char *name, const char *value);
extern Method *method_parse(const char *spec, const char *default_type);

#endif							/* METHOD_H */
