/*
 * code_isa.h
 *	  The kernels that scan a block of codes; for the tables of kernels alone.
 */
#ifndef ANN_CODE_ISA_H
#define ANN_CODE_ISA_H

#include "algo/code.h"

/*
 * How many bytes of a code may be summed up in 16 bits: the two entries of a
 * byte are 255 at most.  A multiple of four, as is the length of a code.
 */
#define ANN_CODE_FLUSH 256

#define ANN_CODE_SCAN(name) \
	extern uint32_t name(const AnnCodeQuery *query, const AnnCodeBlock *block, \
						 float d2, float slack, float thr, \
						 float *est, float *lb)

ANN_CODE_SCAN(ann_code_scan_plain);

#if defined(__x86_64__)
ANN_CODE_SCAN(ann_code_scan_avx2);
ANN_CODE_SCAN(ann_code_scan_avx512);
#elif defined(__aarch64__)
ANN_CODE_SCAN(ann_code_scan_neon);
#endif

#endif							/* ANN_CODE_ISA_H */
