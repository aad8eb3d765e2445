/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a pool tells: functions that it calls at events, a report of a connection that is not given
 * back, and its status with histograms.
 *
 *	cc events.c -o events $(pkg-config --cflags --libs tine)
 *	DATABASE_URL=postgresql://app:secret@db.example.org/app ./events
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include <libpq-fe.h>
#include <tine/tine.h>

#define LEAK_AFTER_MS 50

/* One function for all events that are written down. It may be called by any thread that uses the
 * pool, so a program with threads needs a log that can take that; stdio can. */
static int on_event(const tine_event *event, void *user_data)
{
	int *leaks = user_data;

	switch (event->kind) {
	case TINE_EVENT_CONNECT:
		printf("connect: server process %d in %" PRIu64 " us, %s\n",
		       PQbackendPID(event->pg), event->time_us,
		       PQsslInUse(event->pg) ? "TLS" : "no TLS");
		break;
	case TINE_EVENT_CLOSE:
		printf("close: %s%s%s\n", tine_cause_name(event->cause), event->error ? ": " : "",
		       event->error ? event->error->text : "");
		break;
	case TINE_EVENT_LEAK:
		printf("leak: %s\n", event->error->text);
		++*leaks;
		break;
	case TINE_EVENT_TIMEOUT:
		printf("timeout: %s\n", event->error->text);
		break;
	default:
		break;
	}
	return 0; /* for CONNECT, anything else would refuse the connection */
}

static int listen_to(tine_pool *pool, int *leaks)
{
	static const int kinds[] = { TINE_EVENT_CONNECT, TINE_EVENT_CLOSE, TINE_EVENT_LEAK,
				     TINE_EVENT_TIMEOUT };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (tine_pool_on(pool, kinds[i], on_event, leaks) < 0)
			return 1;
	return 0;
}

static void show_histogram(const char *name, const tine_histogram *histogram)
{
	printf("%-8s %4" PRIu64 " times, half under %" PRIu64 " us, 99 %% under %" PRIu64 " us\n",
	       name, histogram->count, tine_histogram_quantile_us(histogram, 0.5),
	       tine_histogram_quantile_us(histogram, 0.99));
	for (int i = 0; i < TINE_HISTOGRAM_BUCKETS; i++)
		if (histogram->bucket[i])
			printf("    under %8ld us: %" PRIu64 "\n", 1L << i, histogram->bucket[i]);
}

static int show_status(tine_pool *pool)
{
	tine_pool_stats stats;

	if (tine_pool_status(pool, &stats) < 0)
		return 1;
	printf("%d open of %d + %d: %d idle, %d in use, %d waiting\n", stats.open, stats.pool_size,
	       stats.max_overflow, stats.idle, stats.busy, stats.waiting);
	for (int i = 0; i < TINE_CAUSE_COUNT; i++)
		if (stats.closed[i])
			printf("closed (%s): %" PRIu64 "\n", tine_cause_name(i), stats.closed[i]);
	show_histogram("connect", &stats.connect);
	show_histogram("wait", &stats.wait);
	show_histogram("hold", &stats.hold);
	return 0;
}

static int fail(const tine_error *error)
{
	fprintf(stderr, "%s: %s\n", tine_status_name(error->status), error->text);
	return 1;
}

static int work(tine_pool *pool)
{
	tine_error error;
	tine_conn *conn;

	for (int i = 0; i < 100; i++) {
		if (tine_pool_acquire(pool, -1, &conn, &error) < 0)
			return fail(&error);
		PQclear(PQexec(tine_conn_pg(conn), "select 1"));
		tine_conn_release(conn);
	}
	return 0;
}

/* Hold a connection for too long. Calls on the pool notice it by themselves, at most once a second;
 * a program that may be idle sweeps from a timer of its own. */
static int hold(tine_pool *pool, const int *leaks)
{
	struct timespec pause = { .tv_nsec = 10 * 1000000 };
	tine_error error;
	tine_conn *conn;

	if (tine_pool_acquire(pool, -1, &conn, &error) < 0)
		return fail(&error);
	tine_conn_label(conn, "GET /report");
	while (*leaks == 0) {
		nanosleep(&pause, NULL);
		tine_pool_sweep(pool);
	}
	tine_conn_invalidate(conn);
	return 0;
}

int main(void)
{
	tine_pool_config config;
	tine_error error;
	tine_pool *pool;
	int leaks = 0, failed;

	tine_pool_config_init(&config);
	if (tine_pool_config_env(&config, &error) < 0)
		return fail(&error);
	config.leak_after_ms = LEAK_AFTER_MS;
	pool = tine_pool_new(&config, &error);
	if (!pool)
		return fail(&error);
	failed = listen_to(pool, &leaks) || work(pool) || hold(pool, &leaks) || work(pool) ||
		 show_status(pool);
	tine_pool_free(pool);
	return failed;
}
