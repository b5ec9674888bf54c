/*
 * curve.h
 *	  Latency as a function of recall, from a ladder of settings.
 */
#ifndef CURVE_H
#define CURVE_H

typedef struct CurvePoint
{
	double		recall;
	double		ms;
} CurvePoint;

/* Where on the ladder: on a rung (first = last), between two, or off it. */
typedef struct CurvePlace
{
	int			first;			/* -1: below the ladder, whose lowest rung is 'last' */
	int			last;			/* -1: above it */
} CurvePlace;

extern double curve_fastest(const CurvePoint *rungs, int n, double recall, CurvePlace *place);

#endif							/* CURVE_H */
