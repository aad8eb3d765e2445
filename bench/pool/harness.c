/* SPDX-License-Identifier: PostgreSQL */
#include "harness.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

_Atomic bool bench_stop;

struct member {
	pthread_t thread;
	pthread_barrier_t *begin;
	void (*fn)(int number, void *arg);
	void *arg;
	int number;
	int64_t ended_ns;
};

void bench_die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static int64_t read_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * BENCH_NS_PER_S + now.tv_nsec;
}

int64_t bench_now_ns(void)
{
	return read_ns(CLOCK_MONOTONIC);
}

int64_t bench_cpu_ns(void)
{
	return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

void bench_spin_ns(int64_t ns)
{
	int64_t until_ns = bench_now_ns() + ns;

	while (bench_now_ns() < until_ns)
		;
}

void bench_sleep_ns(int64_t ns)
{
	struct timespec left = { .tv_sec = ns / BENCH_NS_PER_S, .tv_nsec = ns % BENCH_NS_PER_S };

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
		;
}

void bench_print(const char *key, double value)
{
	printf("%s %.3f\n", key, value);
	fflush(stdout);
}

int bench_number(const char *text, int least)
{
	char *end;
	long number = strtol(text, &end, 10);

	if (*end || end == text || number < least || number > INT_MAX)
		bench_die("'%s' is no whole number from %d", text, least);
	return (int)number;
}

static void *member_main(void *arg)
{
	struct member *member = arg;

	pthread_barrier_wait(member->begin);
	member->fn(member->number, member->arg);
	member->ended_ns = bench_now_ns();
	return NULL;
}

int64_t bench_run(int threads, void (*fn)(int number, void *arg), void *arg, int64_t time_ns)
{
	struct member *members = calloc((size_t)threads, sizeof(*members));
	pthread_barrier_t begin;
	int64_t began_ns, ended_ns = 0;

	if (!members || pthread_barrier_init(&begin, NULL, (unsigned)threads + 1) != 0)
		bench_die("out of memory");
	atomic_store(&bench_stop, false);
	for (int i = 0; i < threads; i++) {
		members[i] = (struct member){ .begin = &begin, .fn = fn, .arg = arg, .number = i };
		if (pthread_create(&members[i].thread, NULL, member_main, &members[i]) != 0)
			bench_die("cannot start thread %d", i);
	}
	pthread_barrier_wait(&begin);
	began_ns = bench_now_ns();
	if (time_ns) {
		bench_sleep_ns(time_ns);
		atomic_store(&bench_stop, true);
		ended_ns = bench_now_ns();
	}
	for (int i = 0; i < threads; i++) {
		pthread_join(members[i].thread, NULL);
		if (!time_ns && members[i].ended_ns > ended_ns)
			ended_ns = members[i].ended_ns;
	}
	pthread_barrier_destroy(&begin);
	free(members);
	return ended_ns - began_ns;
}

/* ---- samples -------------------------------------------------------------------------------- */

void bench_samples_add(struct bench_samples *samples, int64_t ns)
{
	if (samples->count == samples->room) {
		samples->room = samples->room ? samples->room * 2 : 1024;
		samples->ns = realloc(samples->ns, samples->room * sizeof(*samples->ns));
		if (!samples->ns)
			bench_die("out of memory");
	}
	samples->ns[samples->count++] = ns;
}

void bench_samples_join(struct bench_samples *samples, const struct bench_samples *more)
{
	for (size_t i = 0; i < more->count; i++)
		bench_samples_add(samples, more->ns[i]);
}

void bench_samples_free(struct bench_samples *samples)
{
	free(samples->ns);
	*samples = (struct bench_samples){ 0 };
}

static int by_value(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

	return (left > right) - (left < right);
}

int64_t bench_samples_quantile(struct bench_samples *samples, double quantile)
{
	if (!samples->count)
		return 0;
	qsort(samples->ns, samples->count, sizeof(*samples->ns), by_value);
	return samples->ns[(size_t)(quantile * (double)(samples->count - 1) + 0.5)];
}

/* ---- the server ----------------------------------------------------------------------------- */

const char *bench_env(const char *name)
{
	const char *value = getenv(name);

	if (!value)
		bench_die("%s is not set; tools/bench-pool does that", name);
	return value;
}

PGconn *bench_connect(void)
{
	PGconn *pg = PQconnectdb(bench_env("BENCH_CONNINFO"));

	if (PQstatus(pg) != CONNECTION_OK)
		bench_die("cannot connect: %s", PQerrorMessage(pg));
	return pg;
}

void bench_exec(PGconn *pg, const char *sql)
{
	PGresult *result = PQexec(pg, sql);
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && status != PGRES_EMPTY_QUERY)
		bench_die("%s: %s", sql, PQerrorMessage(pg));
	PQclear(result);
}

tine_pool *bench_pool(int size, enum tine_ping ping)
{
	tine_pool_config config;
	tine_error error;
	tine_pool *pool;

	tine_pool_config_init(&config);
	config.conninfo = bench_env("BENCH_CONNINFO");
	config.pool_size = size;
	config.max_overflow = 0;
	config.ping = ping;
	config.connect_timeout_ms = 60000; /* under valgrind a connect takes long */
	config.acquire_timeout_ms = 60000;
	pool = tine_pool_new(&config, &error);
	if (!pool)
		bench_die("tine_pool_new: %s", error.text);
	return pool;
}

tine_conn *bench_acquire(tine_pool *pool)
{
	tine_conn *conn;
	tine_error error;

	if (tine_pool_acquire(pool, -1, &conn, &error) < 0)
		bench_die("tine_pool_acquire: %s", error.text);
	return conn;
}

void bench_fill(tine_pool *pool, int connections)
{
	tine_conn **conns = calloc((size_t)connections, sizeof(tine_conn *));

	if (!conns)
		bench_die("out of memory");
	for (int i = 0; i < connections; i++)
		conns[i] = bench_acquire(pool);
	for (int i = 0; i < connections; i++)
		tine_conn_release(conns[i]);
	free(conns);
}

tine_pool_stats bench_status(tine_pool *pool)
{
	tine_pool_stats stats = { 0 };

	if (tine_pool_status(pool, &stats) < 0)
		bench_die("tine_pool_status failed");
	return stats;
}
