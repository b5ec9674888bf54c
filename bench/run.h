/*
 * run.h
 *	  Measuring methods against each other at a number of rows.
 */
#ifndef RUN_H
#define RUN_H

#include "contest.h"

extern void run_methods(const RunOptions *options, int k, NumberList clients);

#endif							/* RUN_H */
