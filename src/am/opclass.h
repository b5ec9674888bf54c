/*
 * opclass.h
 *	  What an index measures, by its operator class.
 *
 * An operator class of ours has the strategy ANN_DISTANCE_STRATEGY, the
 * distance to order by, for each type that a query may have; ANN_RANGE_STRATEGY,
 * whether the column is in a ball (ball.h), to search by; and the support
 * function ANN_DISTANCE_PROC, the distance of two values of the column's type.
 * The support function tells the metric: by the name of the C function behind
 * it, which neither renaming nor moving the extension changes.
 */
#ifndef ANN_OPCLASS_H
#define ANN_OPCLASS_H

#include "postgres.h"

#include "store/format.h"
#include "utils/rel.h"

typedef struct AnnOpclass
{
	AnnMetric	metric;
	bool		is_double;		/* double precision[], else real[] */
} AnnOpclass;

/*
 * The metric and the type of an index, from the catalogs.  Raises
 * ERRCODE_INVALID_OBJECT_DEFINITION for an operator class of foreign make.
 */
extern AnnOpclass ann_opclass(Relation index);

/* The metric that an SQL function computes; ANN_NO_METRIC if it is none of ours. */
#define ANN_NO_METRIC ((AnnMetric) 0)

extern AnnMetric ann_function_metric(Oid function);

/* What an operator family offers for ranges of a column of one type. */
typedef struct AnnRange
{
	AnnMetric	metric;
	Oid			oper;			/* column <@~ ball */
	Oid			ball;			/* the type of its right operand ... */
	Oid			make_ball;		/* ... and the function (query, radius) that makes one */
} AnnRange;

/* False if it has none: an operator class of foreign make. */
extern bool ann_opclass_range(Oid family, Oid type, AnnRange *range);

/* Is this an index of one of our methods? */
extern bool ann_is_index(Relation index);

/*
 * amvalidate: true if the operator class can work; else false, and an INFO
 * for each thing that is wrong.
 */
extern bool ann_validate(Oid opclass);

#endif							/* ANN_OPCLASS_H */
