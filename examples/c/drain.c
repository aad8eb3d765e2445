/* SPDX-License-Identifier: PostgreSQL */
/*
 * Before a planned failover: let every unit of work come to its end, hold the next ones back, and
 *go on when the server has changed. No worker sees an error, and none has to know.
 *
 *	cc drain.c -o drain -pthread $(pkg-config --cflags --libs tine)
 *	DATABASE_URL=postgresql://app:secret@db.example.org/app ./drain
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include <libpq-fe.h>
#include <tine/tine.h>

#define WORKERS 3
#define DRAIN_MS 10000

struct program {
	tine_pool *pool;
	atomic_int done, failed;
	atomic_bool stop;
};

static void *work(void *arg)
{
	struct program *program = arg;

	while (!program->stop) {
		tine_error error;
		tine_conn *conn;
		PGresult *result;

		if (tine_pool_acquire(program->pool, -1, &conn, &error) < 0) {
			fprintf(stderr, "%s: %s\n", tine_status_name(error.status), error.text);
			program->failed++;
			continue;
		}
		result = PQexec(tine_conn_pg(conn), "select pg_sleep(0.01)");
		if (PQresultStatus(result) == PGRES_TUPLES_OK)
			program->done++;
		else
			program->failed++;
		PQclear(result);
		tine_conn_release(conn);
	}
	return NULL;
}

static void wait_for_work(struct program *program, int done)
{
	struct timespec pause = { .tv_nsec = 5 * 1000000 };

	while (program->done < done && !program->failed)
		nanosleep(&pause, NULL);
}

static int show(const struct program *program, const char *when)
{
	tine_pool_stats stats;

	if (tine_pool_status(program->pool, &stats) < 0)
		return 1;
	printf("%s: %d connections, %d opened so far\n", when, stats.open, (int)stats.opened);
	return 0;
}

static int fail_over(struct program *program)
{
	tine_error error;
	int failed;

	wait_for_work(program, 20);
	failed = show(program, "at work");
	/* Waits for what is handed out. Who asks meanwhile waits too, up to its own deadline. */
	if (tine_pool_pause(program->pool, TINE_PAUSE_BLOCK, DRAIN_MS, &error) < 0) {
		fprintf(stderr, "%s\n", error.text);
		failed = 1; /* some are still out; go on all the same, or resume and give up */
	}
	failed |= show(program, "paused");
	/* ... here the standby is promoted, the address moved, the server restarted ... */
	failed |= tine_pool_resume(program->pool) < 0;
	wait_for_work(program, program->done + 20);
	failed |= show(program, "at work again");
	return failed;
}

static int run(struct program *program)
{
	pthread_t threads[WORKERS];
	int started = 0, failed = 0;

	while (started < WORKERS && pthread_create(&threads[started], NULL, work, program) == 0)
		started++;
	if (started > 0)
		failed = fail_over(program);
	program->stop = true;
	for (int i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	printf("failed: %d\n", program->failed);
	return failed || started < WORKERS || program->failed;
}

int main(void)
{
	struct program program = { 0 };
	tine_pool_config config;
	tine_error error;
	int failed;

	tine_pool_config_init(&config);
	if (tine_pool_config_env(&config, &error) == 0)
		program.pool = tine_pool_new(&config, &error);
	if (!program.pool) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	failed = run(&program);
	tine_pool_free(program.pool);
	return failed;
}
