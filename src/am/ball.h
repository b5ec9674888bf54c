/*
 * ball.h
 *	  Balls: what is within a distance of a query.
 *
 * The SQL types l2_ball, cosine_ball and ip_ball are composites of a centre and a
 * radius.  A range scan of an index is a search of one.  A vector is in a ball if
 * its distance is not larger than the radius, as the order of float8 has it: NaN
 * is larger than all numbers, and a ball of radius NaN has everything in it.
 */
#ifndef ANN_BALL_H
#define ANN_BALL_H

#include "postgres.h"

#include "access/skey.h"

typedef struct AnnBall
{
	Datum		centre;			/* double precision[]; may be toasted */
	double		radius;
} AnnBall;

/*
 * Does this key of a scan search a ball?  An operator class of foreign make may have
 * another operator in that place.
 */
extern bool ann_is_ball_key(const ScanKeyData *key);

/*
 * Take a ball apart; false if its centre or its radius is NULL.  The centre points
 * into the datum, or a copy of it in the current context if that is toasted.
 * Raises ERRCODE_DATATYPE_MISMATCH for a composite of other fields.
 */
extern bool ann_ball_read(Datum datum, AnnBall *ball);

#endif							/* ANN_BALL_H */
