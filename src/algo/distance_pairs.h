/*
 * distance_pairs.h
 *	  Kernels of all pairs of element types, from the operations that the
 *	  including distance_ISA.c defined: pd (double accumulators), ps (float)
 *	  and pi (int32).  (No include guard: a
 *	  part of distance_ISA.c, not an interface.)
 */
#define PAIR f32
#define ACC pd
#define A f32
#define B f32
#include "algo/distance_template.h"

#define PAIR f32_f64
#define ACC pd
#define A f32
#define B f64
#include "algo/distance_template.h"

#define PAIR f64
#define ACC pd
#define A f64
#define B f64
#include "algo/distance_template.h"

#define PAIR f32_fast
#define ACC ps
#define A f32
#define B f32
#include "algo/distance_template.h"

#define PAIR f16_f32_fast
#define ACC ps
#define A f16
#define B f32
#include "algo/distance_template.h"

#define PAIR i8_fast
#define ACC pi
#define A i8
#define B i8
#include "algo/distance_template.h"

#define ANN_PAIR(pair) {l2sq_##pair, ip_##pair, cosine_##pair}

/*
 * The initialiser of a table; 'i8' names its kernels of that pair, 'width'
 * the files of its kernels of rotation and code, 'tiles' its kernel of tiles.
 */
#define ANN_KERNELS(isa, i8, width, tiles) { \
	.name = isa, \
	.pair = { \
		[ANN_PAIR_F32_F32] = ANN_PAIR(f32), \
		[ANN_PAIR_F32_F64] = ANN_PAIR(f32_f64), \
		[ANN_PAIR_F64_F64] = ANN_PAIR(f64), \
		[ANN_PAIR_F32_F32_FAST] = ANN_PAIR(f32_fast), \
		[ANN_PAIR_F16_F32_FAST] = ANN_PAIR(f16_f32_fast), \
		[ANN_PAIR_I8_I8_FAST] = ANN_PAIR(i8) \
	}, \
	.rotate = ann_rotate_##width, \
	.scan_block = ann_code_scan_##width, \
	.tile = ann_tile_##tiles, \
	.scalar = &ann_scalar_##width \
}
