/*
 * memory.c
 *	  Peak memory of a backend and its parallel workers.
 *
 * A thread adds up the proportional set sizes (Pss) that the kernel reports
 * for the backend and the workers it leads: private memory in full, and of
 * shared memory each process's share.  Pages of shared_buffers that the
 * backend touched are therefore in the sum; shared_kb tells them apart.
 *
 * Only the server's own user and root may read these files.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

#define SAMPLE_SECONDS	0.05

/*
 * The kernel walks the process's page tables for an answer and holds up its
 * page faults meanwhile: spend at most a twentieth of the time on that.
 */
#define REST_FACTOR		20

struct MemoryWatch
{
	pthread_t	thread;
	PGconn	   *conn;			/* of the watching thread */
	int			pid;
	bool		stop;			/* atomic */
	MemoryPeak	peak;
};

/* Is this process, on this machine, a PostgreSQL server's? */
static bool
is_local_server(PGconn *conn, int pid)
{
	const char *host = PQhost(conn);
	char	   *path = xprintf("/proc/%d/comm", pid);
	FILE	   *file = fopen(path, "r");
	char		name[32] = "";

	free(path);
	if (file == NULL)
		return false;
	if (fgets(name, sizeof(name), file) == NULL)
		name[0] = '\0';
	fclose(file);
	return host != NULL && host[0] == '/' && strncmp(name, "postgres", 8) == 0;
}

/* Add a process's sizes; false if they cannot be read. */
static bool
add_process(int pid, MemoryPeak *sum)
{
	char	   *path = xprintf("/proc/%d/smaps_rollup", pid);
	FILE	   *file = fopen(path, "r");
	char		line[256];
	long long	kb;
	bool		found = false;

	free(path);
	if (file == NULL)
		return false;
	while (fgets(line, sizeof(line), file) != NULL)
	{
		if (sscanf(line, "Pss: %lld kB", &kb) == 1)
		{
			sum->pss_kb += kb;
			found = true;
		}
		else if (sscanf(line, "Pss_Shmem: %lld kB", &kb) == 1)
			sum->shared_kb += kb;
	}
	fclose(file);
	return found;
}

static void
take_sample(MemoryWatch *watch)
{
	PGresult   *workers = db_query(watch->conn, "SELECT pid FROM pg_stat_activity "
								   "WHERE leader_pid = %d AND pid <> %d",
								   watch->pid, watch->pid);
	MemoryPeak	sum = {0};

	sum.known = add_process(watch->pid, &sum);
	for (int i = 0; i < PQntuples(workers); i++)
		add_process(atoi(PQgetvalue(workers, i, 0)), &sum); /* may have ended */
	PQclear(workers);
	if (sum.known && sum.pss_kb > watch->peak.pss_kb)
		watch->peak = sum;
}

static void *
watch_main(void *arg)
{
	MemoryWatch *watch = arg;

	while (!__atomic_load_n(&watch->stop, __ATOMIC_ACQUIRE))
	{
		double		start = now_seconds();
		double		rest;

		take_sample(watch);
		rest = (now_seconds() - start) * REST_FACTOR;
		sleep_seconds(rest > SAMPLE_SECONDS ? rest : SAMPLE_SECONDS);
	}
	return NULL;
}

/* Start watching the backend behind 'watched'. */
MemoryWatch *
memory_watch(PGconn *watched, const char *conninfo)
{
	MemoryWatch *watch = xalloc(1, sizeof(MemoryWatch));

	watch->pid = PQbackendPID(watched);
	if (!is_local_server(watched, watch->pid))
		return watch;
	watch->conn = db_connect(conninfo);
	if (pthread_create(&watch->thread, NULL, watch_main, watch) != 0)
		fail("could not start a thread");
	return watch;
}

/* Stop, and return the peak. */
MemoryPeak
memory_stop(MemoryWatch *watch)
{
	MemoryPeak	peak;

	if (watch->conn != NULL)
	{
		__atomic_store_n(&watch->stop, true, __ATOMIC_RELEASE);
		pthread_join(watch->thread, NULL);
		PQfinish(watch->conn);
	}
	peak = watch->peak;
	free(watch);
	return peak;
}
