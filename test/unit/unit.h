/*
 * unit.h
 *	  The least that a unit test needs: checks that print TAP, random numbers
 *	  that are the same everywhere, and memory that faults past its end.
 *
 * A test is a program: it calls ok() for each thing it claims and ends with
 * "return done();".  prove reads what it prints.
 */
#ifndef ANN_UNIT_H
#define ANN_UNIT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static int	unit_tests = 0;
static int	unit_failures = 0;

/* Report one claim, named as by printf.  Returns whether it held. */
static bool __attribute__((format(printf, 2, 3)))
ok(bool held, const char *format,...)
{
	va_list		args;

	unit_tests++;
	if (!held)
		unit_failures++;
	printf("%s %d - ", held ? "ok" : "not ok", unit_tests);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	return held;
}

/* Print the plan; returns what main() returns. */
static int
done(void)
{
	printf("1..%d\n", unit_tests);
	return unit_failures > 0;
}

/* Random numbers: splitmix64 (Steele, Lea and Flood, 2014). */
static uint64_t unit_seed = 1;

static inline uint64_t
random_bits(void)
{
	uint64_t	z = (unit_seed += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* Uniform in [0, 1). */
static inline double
random_unit(void)
{
	return (double) (random_bits() >> 11) * 0x1p-53;
}

/* Near enough to the standard normal distribution: a sum of twelve of these. */
static inline float
random_normal(void)
{
	double		sum = -6;

	for (int i = 0; i < 12; i++)
		sum += random_unit();
	return (float) sum;
}

/*
 * 'size' bytes that end where an inaccessible page begins, so that reading
 * one byte too many is a crash.  Never freed.
 */
static inline void *
guarded_memory(size_t size)
{
	size_t		page = sysconf(_SC_PAGESIZE);
	size_t		room = (size + page - 1) / page * page;
	char	   *start = mmap(NULL, room + page, PROT_READ | PROT_WRITE,
							 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (start == MAP_FAILED || mprotect(start + room, page, PROT_NONE) != 0)
	{
		perror("guarded_memory");
		exit(1);
	}
	return start + room - size;
}

#endif							/* ANN_UNIT_H */
