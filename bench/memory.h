/*
 * memory.h
 *	  Peak memory of a backend and its parallel workers.
 */
#ifndef MEMORY_H
#define MEMORY_H

#include "database.h"

typedef struct MemoryPeak
{
	bool		known;			/* false: not on this machine, or not allowed */
	int64_t		pss_kb;			/* at the moment the sum was largest */
	int64_t		shared_kb;		/* of it, shared memory: buffers and DSM */
} MemoryPeak;

typedef struct MemoryWatch MemoryWatch;

extern MemoryWatch *memory_watch(PGconn *watched, const char *conninfo);
extern MemoryPeak memory_stop(MemoryWatch *watch);

#endif							/* MEMORY_H */
