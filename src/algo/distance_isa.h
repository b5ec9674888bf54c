/*
 * distance_isa.h
 *	  The kernel tables, one per instruction set; for distance.c alone.
 *
 * A table is defined on processors of its family only.  It may be used where
 * the processor has every feature that distance.c asks for.
 */
#ifndef ANN_DISTANCE_ISA_H
#define ANN_DISTANCE_ISA_H

#include <stddef.h>

#include "algo/code_isa.h"
#include "algo/distance.h"
#include "algo/rotation_isa.h"
#include "algo/scalar_isa.h"
#include "algo/tile_isa.h"

extern const AnnKernels ann_kernels_scalar;

#if defined(__x86_64__)
extern const AnnKernels ann_kernels_avx2;
extern const AnnKernels ann_kernels_avx512;
extern const AnnKernels ann_kernels_avx512vnni;
#elif defined(__aarch64__)
extern const AnnKernels ann_kernels_neon;
extern const AnnKernels ann_kernels_neondot;
#endif

/* Element types by the names that distance_template.h pastes together. */
typedef float f32;
typedef double f64;
typedef AnnHalf f16;
typedef int8_t i8;

#endif							/* ANN_DISTANCE_ISA_H */
