/*
 * kernels.c
 *	  How far each distance kernel is from what the machine allows.
 *
 * One query is compared with vectors that follow one another in memory, many
 * more than the caches hold.  Lines are prefetched some vectors ahead, as the
 * searches do, which know their next candidates.  Two floors bound the time
 * of a vector, and the larger one counts:
 *
 *	 bytes	its bytes over the bandwidth of a loop that only reads and adds
 *			up the same memory, taken in turn with the kernel
 *	 fma	its multiply-adds (one per dimension, three for the cosine) over the
 *			rate of a loop that does nothing else, in the same element type
 *			and instruction set, from registers
 *
 * Usage: kernels [MEGABYTES]	(default 512)
 * Prints a line per instruction set, pair, kernel and dimension; the last
 * column is the time over the larger floor.  All times are medians.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "algo/distance.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define ROUNDS 9
#define ACCUMULATORS 12			/* enough to hide the latency of any FMA */
#define MAX_DIM 1536
#define CACHE_LINE 64
#define PREFETCH_AHEAD 4096		/* bytes */
#define FILLER 0x3c				/* makes a harmless number of every type */

static const int dims[] = {64, 128, 384, 784, MAX_DIM};

static const struct
{
	const char *name;
	int			bytes;			/* of a stored element */
	enum
	{
		DOUBLE, FLOAT, INTEGER
	}			accumulator;
}			pairs[ANN_NUM_PAIRS] = {
	[ANN_PAIR_F32_F32] = {"f32 exact", 4, DOUBLE},
	[ANN_PAIR_F32_F64] = {"f32 x f64 exact", 4, DOUBLE},
	[ANN_PAIR_F64_F64] = {"f64 exact", 8, DOUBLE},
	[ANN_PAIR_F32_F32_FAST] = {"f32 fast", 4, FLOAT},
	[ANN_PAIR_F16_F32_FAST] = {"f16 fast", 2, FLOAT},
	[ANN_PAIR_I8_I8_FAST] = {"i8 fast", 1, INTEGER},
};

static volatile double sink;	/* results go here, lest they be optimised away */

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static int
compare_doubles(const void *a, const void *b)
{
	double		x = *(const double *) a,
				y = *(const double *) b;

	return (x > y) - (x < y);
}

static double
median(double *values, int n)
{
	qsort(values, n, sizeof(double), compare_doubles);
	return values[n / 2];
}

/*
 * Multiply-adds a second.  PEAK defines a loop over independent accumulators
 * of one vector type; the empty asm keeps them in registers and in place.
 */
#define PEAK_LOOPS 2000000

#define PEAK(name, attributes, type, lanes, step, constraint) \
	attributes static double \
	name(void) \
	{ \
		type acc[ACCUMULATORS], x; \
		double start; \
		memset(acc, 0, sizeof(acc)); \
		memset(&x, FILLER, sizeof(x)); \
		start = now(); \
		for (int i = 0; i < PEAK_LOOPS; i++) \
		{ \
			_Pragma("GCC unroll 12") \
			for (int k = 0; k < ACCUMULATORS; k++) \
			{ \
				acc[k] = step; \
				__asm__ volatile ("" : "+" constraint (acc[k]), "+" constraint (x)); \
			} \
		} \
		return (double) PEAK_LOOPS * ACCUMULATORS * (lanes) / (now() - start); \
	}

#define SCALAR __attribute__((optimize("no-tree-vectorize")))

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f,avx512bw")))
#define VNNI __attribute__((target("avx512f,avx512bw,avx512vnni")))

PEAK(scalar_double, SCALAR, double, 1, acc[k] + x * x, "x")
PEAK(scalar_float, SCALAR, float, 1, acc[k] + x * x, "x")
PEAK(scalar_integer, SCALAR, int, 1, acc[k] + x * x, "r")
PEAK(avx2_double, AVX2, __m256d, 4, _mm256_fmadd_pd(x, x, acc[k]), "x")
PEAK(avx2_float, AVX2, __m256, 8, _mm256_fmadd_ps(x, x, acc[k]), "x")
PEAK(avx2_integer, AVX2, __m256i, 16,
	 _mm256_add_epi32(acc[k], _mm256_madd_epi16(x, x)), "x")
PEAK(avx512_double, AVX512, __m512d, 8, _mm512_fmadd_pd(x, x, acc[k]), "v")
PEAK(avx512_float, AVX512, __m512, 16, _mm512_fmadd_ps(x, x, acc[k]), "v")
PEAK(avx512_integer, AVX512, __m512i, 32,
	 _mm512_add_epi32(acc[k], _mm512_madd_epi16(x, x)), "v")
PEAK(vnni_integer, VNNI, __m512i, 32, _mm512_dpwssd_epi32(acc[k], x, x), "v")
#elif defined(__aarch64__)
#include <arm_neon.h>

PEAK(scalar_double, SCALAR, double, 1, acc[k] + x * x, "w")
PEAK(scalar_float, SCALAR, float, 1, acc[k] + x * x, "w")
PEAK(scalar_integer, SCALAR, int, 1, acc[k] + x * x, "r")
PEAK(neon_double, , float64x2_t, 2, vfmaq_f64(acc[k], x, x), "w")
PEAK(neon_float, , float32x4_t, 4, vfmaq_f32(acc[k], x, x), "w")
PEAK(neon_integer, , int16x8_t, 8, vmlaq_s16(acc[k], x, x), "w")
PEAK(neondot_integer, __attribute__((target("arch=armv8.2-a+dotprod"))), int32x4_t, 16,
	 vdotq_s32(acc[k], vreinterpretq_s8_s32(x), vreinterpretq_s8_s32(x)), "w")
#else
#error "no measure of multiply-adds for this processor"
#endif

typedef double (*PeakFn) (void);

static const struct
{
	const char *isa;
	PeakFn		peak[3];		/* DOUBLE, FLOAT, INTEGER */
}			peaks[] = {
	{"scalar", {scalar_double, scalar_float, scalar_integer}},
#if defined(__x86_64__)
	{"avx2", {avx2_double, avx2_float, avx2_integer}},
	{"avx512", {avx512_double, avx512_float, avx512_integer}},
	{"avx512vnni", {avx512_double, avx512_float, vnni_integer}},
#elif defined(__aarch64__)
	{"neon", {neon_double, neon_float, neon_integer}},
	{"neondot", {neon_double, neon_float, neondot_integer}},
#endif
};

static double
measure_peak(const char *isa, int accumulator)
{
	double		rates[ROUNDS];

	for (size_t i = 0; i < sizeof(peaks) / sizeof(peaks[0]); i++)
	{
		if (strcmp(peaks[i].isa, isa) != 0)
			continue;
		for (int r = 0; r < ROUNDS; r++)
			rates[r] = peaks[i].peak[accumulator] ();
		return median(rates, ROUNDS);
	}
	fprintf(stderr, "kernels: no measure of multiply-adds for \"%s\"\n", isa);
	exit(1);
}

/* Read 'bytes' once, in the widest registers there are; returns seconds. */
#if defined(__x86_64__)
__attribute__((target_clones("default", "avx2", "avx512f")))
#endif
static double
read_memory(const char *memory, size_t bytes)
{
	typedef long long wide __attribute__((vector_size(64)));
	const wide *at = (const wide *) memory;
	wide		sum[4] = {{0}, {0}, {0}, {0}};
	double		start = now();

	for (size_t i = 0; i + 4 <= bytes / sizeof(wide); i += 4)
	{
		__builtin_prefetch((const char *) (at + i) + PREFETCH_AHEAD);
		__builtin_prefetch((const char *) (at + i + 1) + PREFETCH_AHEAD);
		__builtin_prefetch((const char *) (at + i + 2) + PREFETCH_AHEAD);
		__builtin_prefetch((const char *) (at + i + 3) + PREFETCH_AHEAD);
		sum[0] += at[i];
		sum[1] += at[i + 1];
		sum[2] += at[i + 2];
		sum[3] += at[i + 3];
	}
	sum[0] += sum[1] + sum[2] + sum[3];
	start = now() - start;
	sink = sum[0][0] + sum[0][7];
	return start;
}

static const char *const kernel_names[] = {"l2sq", "ip", "cosine"};

/* The k-th kernel over all vectors; returns seconds. */
static double
run_kernel(const AnnPairKernels *kernels, int k, const char *memory,
		   size_t vectors, size_t stride, const void *query, int dim)
{
	double		sum = 0;
	double		start = now();
	AnnCosineParts parts;

	for (size_t i = 0; i < vectors; i++)
	{
		const char *v = memory + i * stride;

		for (size_t o = 0; o < stride; o += CACHE_LINE)
			__builtin_prefetch(v + PREFETCH_AHEAD + o);
		if (k == 0)
			sum += kernels->l2sq(v, query, dim);
		else if (k == 1)
			sum += kernels->ip(v, query, dim);
		else
		{
			kernels->cosine(v, query, dim, &parts);
			sum += parts.ab;
		}
	}
	start = now() - start;
	sink = sum;
	return start;
}

static void
report(const AnnKernels *table, int p, int k, int dim, double rate,
	   const char *memory, size_t bytes)
{
	static double query[MAX_DIM];
	size_t		stride = (size_t) dim * pairs[p].bytes;
	size_t		vectors = bytes / stride;
	double		times[ROUNDS],
				reads[ROUNDS];
	double		ns,
				floor_bytes,
				floor_fma = dim * (k == 2 ? 3 : 1) / rate * 1e9;

	memset(query, FILLER, sizeof(query));
	for (int r = 0; r < ROUNDS; r++)
	{
		reads[r] = read_memory(memory, vectors * stride);
		times[r] = run_kernel(&table->pair[p], k, memory, vectors, stride, query, dim);
	}
	ns = median(times, ROUNDS) / vectors * 1e9;
	floor_bytes = median(reads, ROUNDS) / vectors * 1e9;
	printf("%-11s %-16s %-6s %5d %9.1f %9.1f %9.1f %7.2f\n",
		   table->name, pairs[p].name, kernel_names[k], dim, ns, floor_bytes,
		   floor_fma, ns / (floor_bytes > floor_fma ? floor_bytes : floor_fma));
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	size_t		bytes = (size_t) (argc > 1 ? atoi(argv[1]) : 512) << 20;
	char	   *memory = aligned_alloc(64, bytes);
	const AnnKernels *table;

	if (bytes == 0 || memory == NULL)
	{
		fprintf(stderr, "usage: kernels [MEGABYTES]\n");
		return 2;
	}
	memset(memory, FILLER, bytes);
	printf("%-11s %-16s %-6s %5s %9s %9s %9s %7s\n", "isa", "pair", "kernel",
		   "dim", "ns", "bytes ns", "fma ns", "x floor");
	for (int i = 0; (table = ann_kernels_usable(i)) != NULL; i++)
	{
		for (int p = 0; p < ANN_NUM_PAIRS; p++)
		{
			double		rate = measure_peak(table->name, pairs[p].accumulator);

			for (int k = 0; k < 3; k++)
			{
				for (size_t d = 0; d < sizeof(dims) / sizeof(dims[0]); d++)
					report(table, p, k, dims[d], rate, memory, bytes);
			}
		}
	}
	return 0;
}
