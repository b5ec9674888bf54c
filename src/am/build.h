/*
 * build.h
 *	  A worker's part in CREATE INDEX.
 */
#ifndef ANN_BUILD_H
#define ANN_BUILD_H

#include "am/team.h"

/* Do what a member of a team does who does not lead it; team->state is build.c's. */
extern void ann_build_member(AnnTeam *team, bool concurrent);

#endif							/* ANN_BUILD_H */
