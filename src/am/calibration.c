/*
 * calibration.c
 *	  What an index has found out about its rows.
 */
#include "postgres.h"

#include "am/calibration.h"

double
ann_calibration_share(Relation index, double distance, double norm)
{
	return -1;
}
