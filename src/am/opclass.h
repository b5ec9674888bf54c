/*
 * opclass.h
 *	  What an index measures, by its operator class.
 *
 * An operator class of ours has the strategy ANN_DISTANCE_STRATEGY, the
 * distance to order by, for each type that a query may have; and the support
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

/* Is this an index of one of our methods? */
extern bool ann_is_index(Relation index);

/*
 * amvalidate: true if the operator class can work; else false, and an INFO
 * for each thing that is wrong.
 */
extern bool ann_validate(Oid opclass);

#endif							/* ANN_OPCLASS_H */
