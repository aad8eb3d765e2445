/* SPDX-License-Identifier: PostgreSQL */
/*
 * A tree of processes that share a budget. Usage:
 * tree WORKERS THREADS HOLD_MS SECONDS [STATEMENT]
 *
 * Each thread takes a connection, asks the server something with a number in it, keeps the
 * connection for a time that varies up to HOLD_MS, and returns it. The settings are those of the
 * environment (TINE_CONNINFO, TINE_BUDGET, ...). A worker that is sent SIGTERM ends early. Prints a
 * line for each worker that ended by itself: "worker=N pid=P served=N timeouts=N errors=N wrong=N
 * slowest_ms=N", and the errors.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libpq-fe.h>
#include <tine/tine.h>

static tine_pool *pool;
static int hold_ms;
static double ends_at;
static volatile sig_atomic_t over;
static const char *statement; /* to be sent instead; the answer is not looked at */
static _Atomic long served, timeouts, errors, wrong, slowest_ms;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void stop(int unused)
{
	(void)unused;
	over = 1;
}

static void ask(tine_conn *conn, unsigned *seed)
{
	char sql[64], want[16];
	PGresult *result;

	snprintf(want, sizeof(want), "%u", rand_r(seed));
	snprintf(sql, sizeof(sql), "SELECT '%s'", want);
	result = PQexec(tine_conn_pg(conn), statement ? statement : sql);
	if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		fprintf(stderr, "error: %s", PQresultErrorMessage(result));
		errors++;
	} else if (!statement && strcmp(PQgetvalue(result, 0, 0), want) != 0) {
		wrong++;
	}
	PQclear(result);
}

static void note_wait(double began)
{
	long ms = (long)((now() - began) * 1000), most = slowest_ms;

	while (ms > most && !atomic_compare_exchange_weak(&slowest_ms, &most, ms))
		continue;
}

static void *work(void *arg)
{
	unsigned seed = (unsigned)getpid() * 1000 + (unsigned)(intptr_t)arg;

	while (!over && now() < ends_at) {
		double began = now();
		tine_error error;
		tine_conn *conn;
		int rc = tine_pool_acquire(pool, -1, &conn, &error);

		if (rc < 0) {
			fprintf(stderr, "%d: %s\n", (int)getpid(), error.text);
			*(rc == TINE_E_TIMEOUT ? &timeouts : &errors) += 1;
			if (rc != TINE_E_TIMEOUT)
				usleep(10000);
			continue;
		}
		note_wait(began);
		ask(conn, &seed);
		if (hold_ms)
			usleep((useconds_t)(rand_r(&seed) % (hold_ms * 1000)));
		tine_conn_release(conn);
		served++;
	}
	return NULL;
}

static void be_worker(int number, int threads)
{
	pthread_t *ids = calloc((size_t)threads, sizeof(*ids));

	for (int i = 0; i < threads; i++)
		pthread_create(&ids[i], NULL, work, (void *)(intptr_t)i);
	for (int i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	printf("worker=%d pid=%d served=%ld timeouts=%ld errors=%ld wrong=%ld slowest_ms=%ld\n",
	       number, (int)getpid(), served, timeouts, errors, wrong, slowest_ms);
	tine_pool_free(pool);
	free(ids);
	exit(0);
}

int main(int argc, char **argv)
{
	tine_pool_config config;
	tine_error error;
	int workers;

	if (argc < 5 || argc > 6) {
		fprintf(stderr, "usage: tree WORKERS THREADS HOLD_MS SECONDS [STATEMENT]\n");
		return 2;
	}
	workers = atoi(argv[1]);
	statement = argv[5];
	hold_ms = atoi(argv[3]);
	ends_at = now() + atof(argv[4]);
	tine_pool_config_init(&config);
	if (tine_pool_config_env(&config, &error) < 0 || !(pool = tine_pool_new(&config, &error))) {
		fprintf(stderr, "%s\n", error.text);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1; i <= workers; i++)
		if (fork() == 0) {
			/* A test that fails kills only the one that it started. */
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			signal(SIGTERM, stop);
			be_worker(i, atoi(argv[2]));
		}
	while (wait(NULL) > 0)
		continue;
	tine_pool_free(pool);
	return 0;
}
