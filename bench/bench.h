/*
 * bench.h
 *	  What every part of ann_bench shares: failing, memory, time, threads.
 *
 * The program is short-lived and single-minded, so the first thing that goes
 * wrong ends it with one line on stderr; nothing returns an error code.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_MAX_DIM	16000

/*
 * Sixteen floats that are added and multiplied lane by lane.  Writing the
 * lanes out fixes the order of every sum, whatever width the machine has:
 * generated data is equal everywhere, and the error of a sum has a bound.
 */
#define LANES	16
typedef float FloatLanes __attribute__((vector_size(LANES * sizeof(float)),
										 aligned(sizeof(float)), may_alias));

/* Compile a hot function once per instruction set, where the tools can. */
#if defined(__x86_64__) && defined(__linux__) && defined(__has_attribute)
#if __has_attribute(target_clones)
#define BENCH_CLONES	__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
#endif
#ifndef BENCH_CLONES
#define BENCH_CLONES
#endif

typedef enum Metric
{
	METRIC_L2,
	METRIC_COSINE,
	METRIC_IP
} Metric;

/* Numbers, as in --clients 1,2,8. */
typedef struct NumberList
{
	double	   *values;
	int			n;				/* at least 1 */
} NumberList;

extern void fail(const char *fmt,...) __attribute__((noreturn, format(printf, 1, 2)));
extern void usage_error(const char *fmt,...) __attribute__((noreturn, format(printf, 1, 2)));

extern void *xalloc(size_t count, size_t size);
extern void *xrealloc(void *ptr, size_t count, size_t size);
extern char *xstrdup(const char *text);
extern char *xstrndup(const char *text, size_t len);
extern char *xprintf(const char *fmt,...) __attribute__((format(printf, 1, 2)));

extern double now_seconds(void);
extern void sleep_seconds(double seconds);

extern int	cpu_count(void);
extern void run_threads(int threads, void (*work) (void *arg, int thread), void *arg);

extern Metric parse_metric(const char *name);
extern const char *metric_name(Metric metric);
extern int64_t parse_integer(const char *what, const char *text, int64_t min, int64_t max);
extern double parse_number(const char *what, const char *text, double min, double max);
extern NumberList parse_numbers(const char *what, const char *text, double min, double max);
extern NumberList parse_integers(const char *what, const char *text, int64_t min, int64_t max);
extern double numbers_largest(NumberList list);

#endif							/* BENCH_H */
