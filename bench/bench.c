/*
 * bench.c
 *	  What every part of ann_bench shares: failing, memory, time, threads.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

static const char *const metric_names[] = {"l2", "cosine", "ip"};

/*
 * Print one line to stderr and end the program with 'status'.
 *
 * _exit rather than exit: a worker thread may be the one that fails, while
 * others still use what an exit handler would tear down.
 */
static void __attribute__((noreturn, format(printf, 2, 0)))
leave(int status, const char *fmt, va_list args)
{
	char		line[4096];

	vsnprintf(line, sizeof(line), fmt, args);
	fflush(stdout);
	fprintf(stderr, "ann_bench: %s\n", line);
	fflush(stderr);
	_exit(status);
}

/* Bad input, or the server refused: status 1. */
void
fail(const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	leave(1, fmt, args);
}

/* The command line itself is wrong: status 2. */
void
usage_error(const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	leave(2, fmt, args);
}

/* Zeroed memory for 'count' things of 'size' bytes; never NULL. */
void *
xalloc(size_t count, size_t size)
{
	void	   *ptr = calloc(count ? count : 1, size);

	if (ptr == NULL)
		fail("out of memory: %zu times %zu bytes", count, size);
	return ptr;
}

void *
xrealloc(void *ptr, size_t count, size_t size)
{
	void	   *bigger;

	if (size > 0 && count > SIZE_MAX / size)
		fail("out of memory: %zu times %zu bytes", count, size);
	bigger = realloc(ptr, count * size);
	if (bigger == NULL)
		fail("out of memory: %zu times %zu bytes", count, size);
	return bigger;
}

char *
xstrndup(const char *text, size_t len)
{
	char	   *copy = xalloc(len + 1, 1);

	memcpy(copy, text, len);
	return copy;
}

char *
xstrdup(const char *text)
{
	return xstrndup(text, strlen(text));
}

char *
xprintf(const char *fmt,...)
{
	va_list		args;
	int			len;
	char	   *text;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	text = xalloc((size_t) len + 1, 1);
	va_start(args, fmt);
	vsnprintf(text, (size_t) len + 1, fmt, args);
	va_end(args);
	return text;
}

double
now_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double) ts.tv_sec + 1e-9 * (double) ts.tv_nsec;
}

void
sleep_seconds(double seconds)
{
	struct timespec ts;

	ts.tv_sec = (time_t) seconds;
	ts.tv_nsec = (long) ((seconds - (double) ts.tv_sec) * 1e9);
	while (nanosleep(&ts, &ts) != 0 && errno == EINTR)
		;
}

int
cpu_count(void)
{
	long		n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : (int) n;
}

typedef struct ThreadStart
{
	void		(*work) (void *arg, int thread);
	void	   *arg;
	int			thread;
} ThreadStart;

static void *
thread_main(void *arg)
{
	ThreadStart *start = arg;

	start->work(start->arg, start->thread);
	return NULL;
}

/* Call work(arg, 0 .. threads - 1), each in its own thread, and wait. */
void
run_threads(int threads, void (*work) (void *arg, int thread), void *arg)
{
	pthread_t  *handles = xalloc((size_t) threads, sizeof(pthread_t));
	ThreadStart *starts = xalloc((size_t) threads, sizeof(ThreadStart));

	for (int i = 0; i < threads; i++)
	{
		starts[i] = (ThreadStart) {work, arg, i};
		if (pthread_create(&handles[i], NULL, thread_main, &starts[i]) != 0)
			fail("could not start thread %d", i + 1);
	}
	for (int i = 0; i < threads; i++)
		pthread_join(handles[i], NULL);
	free(starts);
	free(handles);
}

Metric
parse_metric(const char *name)
{
	for (int i = 0; i < 3; i++)
	{
		if (strcmp(name, metric_names[i]) == 0)
			return (Metric) i;
	}
	usage_error("unknown metric \"%s\": expected l2, cosine or ip", name);
}

const char *
metric_name(Metric metric)
{
	return metric_names[metric];
}

int64_t
parse_integer(const char *what, const char *text, int64_t min, int64_t max)
{
	char	   *end;
	long long	value;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0 || value < min || value > max)
		usage_error("%s \"%s\" is not a whole number from %lld to %lld",
					what, text, (long long) min, (long long) max);
	return value;
}

double
parse_number(const char *what, const char *text, double min, double max)
{
	char	   *end;
	double		value = strtod(text, &end);

	if (end == text || *end != '\0' || !(value >= min && value <= max))
		usage_error("%s \"%s\" is not a number from %g to %g", what, text, min, max);
	return value;
}

/* A list of numbers with commas between them, each from 'min' to 'max'. */
NumberList
parse_numbers(const char *what, const char *text, double min, double max)
{
	NumberList	list = {0};
	char	   *copy = xstrdup(text);
	char	   *rest = copy;
	char	   *item;

	while ((item = strsep(&rest, ",")) != NULL)
	{
		list.values = xrealloc(list.values, (size_t) list.n + 1, sizeof(double));
		list.values[list.n++] = parse_number(what, item, min, max);
	}
	free(copy);
	return list;
}

/* The same of whole numbers. */
NumberList
parse_integers(const char *what, const char *text, int64_t min, int64_t max)
{
	NumberList	list = parse_numbers(what, text, (double) min, (double) max);

	for (int i = 0; i < list.n; i++)
	{
		if (list.values[i] != (double) (int64_t) list.values[i])
			usage_error("%s \"%s\": %g is not a whole number", what, text, list.values[i]);
	}
	return list;
}

double
numbers_largest(NumberList list)
{
	double		largest = list.values[0];

	for (int i = 1; i < list.n; i++)
		largest = list.values[i] > largest ? list.values[i] : largest;
	return largest;
}
