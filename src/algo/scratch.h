/*
 * scratch.h
 *	  Arrays that share one block of scratch memory.
 */
#ifndef ANN_SCRATCH_H
#define ANN_SCRATCH_H

#include <stddef.h>

/* Each begins at a multiple of so many bytes from the start of the block. */
#define ANN_SCRATCH_ALIGN 16

/* What an array of so many bytes takes of the block. */
static inline size_t
ann_scratch_bytes(size_t bytes)
{
	return (bytes + ANN_SCRATCH_ALIGN - 1) / ANN_SCRATCH_ALIGN * ANN_SCRATCH_ALIGN;
}

/* Take that from what 'block' points to. */
static inline void *
ann_scratch_take(char **block, size_t bytes)
{
	void	   *taken = *block;

	*block += ann_scratch_bytes(bytes);
	return taken;
}

#endif							/* ANN_SCRATCH_H */
