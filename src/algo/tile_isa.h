/*
 * tile_isa.h
 *	  The kernels of tiles; for the tables of kernels alone.
 */
#ifndef ANN_TILE_ISA_H
#define ANN_TILE_ISA_H

#include "algo/distance.h"

#define ANN_TILE(name) \
	extern void name(const int8_t *const a[4], const int8_t *const *b, \
					 uint32_t n, int dim, int32_t *out)

ANN_TILE(ann_tile_plain);

#if defined(__x86_64__)
ANN_TILE(ann_tile_avx2);
ANN_TILE(ann_tile_avx512);
ANN_TILE(ann_tile_avx512vnni);
#elif defined(__aarch64__)
ANN_TILE(ann_tile_neon);
ANN_TILE(ann_tile_neondot);
#endif

#endif							/* ANN_TILE_ISA_H */
