/*
 * distance.c
 *	  Choice of the kernel table, and distances made of kernels.
 */
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "algo/distance_isa.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

const AnnKernels *ann_kernels = &ann_kernels_scalar;

/* A table and the question whether this processor can run it. */
typedef struct Candidate
{
	const AnnKernels *kernels;
	bool		(*usable) (void);
} Candidate;

static bool
always(void)
{
	return true;
}

#if defined(__x86_64__)

/*
 * The compiler's own test, which also asks whether the operating system
 * saves the wide registers.  Some compilers do not know F16C by name.
 */
static bool
has_avx2(void)
{
	unsigned int eax,
				ebx,
				ecx,
				edx;

	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
		__get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C) != 0;
}

static bool
has_avx512(void)
{
	return has_avx2() &&
		__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

static bool
has_avx512vnni(void)
{
	return has_avx512() && __builtin_cpu_supports("avx512vnni");
}

#elif defined(__aarch64__)

/* Dot product: asked of the kernel where there is a way, else not used. */
static bool
has_dotprod(void)
{
#if defined(__linux__)
	return (getauxval(AT_HWCAP) & (1ul << 20)) != 0;	/* HWCAP_ASIMDDP */
#elif defined(__ARM_FEATURE_DOTPROD)
	return true;
#else
	return false;
#endif
}

#endif

/* Worst first. */
static const Candidate candidates[] = {
	{&ann_kernels_scalar, always},
#if defined(__x86_64__)
	{&ann_kernels_avx2, has_avx2},
	{&ann_kernels_avx512, has_avx512},
	{&ann_kernels_avx512vnni, has_avx512vnni},
#elif defined(__aarch64__)
	{&ann_kernels_neon, always},
	{&ann_kernels_neondot, has_dotprod},
#endif
};

#define NUM_CANDIDATES ((int) (sizeof(candidates) / sizeof(candidates[0])))

void
ann_kernels_choose(void)
{
	for (int i = 0; i < NUM_CANDIDATES; i++)
	{
		if (candidates[i].usable())
			ann_kernels = candidates[i].kernels;
	}
}

const AnnKernels *
ann_kernels_usable(int i)
{
	for (int c = 0; c < NUM_CANDIDATES; c++)
	{
		if (candidates[c].usable() && i-- == 0)
			return candidates[c].kernels;
	}
	return NULL;
}

/*
 * The root of the product is exact for equal norms, so that a vector has the
 * distance 0 from itself.  Where the product overflows or underflows though
 * the norms do not, the roots are multiplied instead.  Rounding may carry the
 * quotient a little beyond 1, hence the clamp, which lets NaN pass.
 */
double
ann_cosine_from_parts(const AnnCosineParts *parts)
{
	double		norms = parts->aa * parts->bb;
	double		similarity;

	if (norms >= 1e-290 && norms <= 1e290)
		norms = sqrt(norms);
	else
		norms = sqrt(parts->aa) * sqrt(parts->bb);
	if (!(norms > 0 && norms <= DBL_MAX))
		return NAN;
	similarity = parts->ab / norms;

	if (similarity > 1)
		similarity = 1;
	else if (similarity < -1)
		similarity = -1;
	return 1 - similarity;
}
