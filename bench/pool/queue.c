/* SPDX-License-Identifier: PostgreSQL */
/*
 * More threads than connections: how long each waits, in turns with what programs write by hand, a
 * counter under a mutex with a condition variable. Usage:
 *
 *	queue THREADS CONNECTIONS HOLD_US busy|asleep ROUND_MS ROUNDS
 *
 * Prints for each round, for "tine" and "condvar": quantiles of the waits ("tine_p50", "tine_p99",
 * "tine_max"), and how many others were served during a wait ("tine_turns_p50", "tine_turns_max"),
 * which does not depend on how busy the machine is. Waits that begin before everybody is in the
 * queue, or end after the time is over, do not count.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

#define SKIPPED_WAITS 2

/* What waits are for: a connection or a place. */
struct source {
	const char *name;
	tine_pool *pool;
	pthread_mutex_t lock;
	pthread_cond_t returned;
	int free; /* under the lock */
};

struct queue {
	struct source *source;
	int threads;
	int64_t hold_ns;
	void (*hold)(int64_t ns);
	_Atomic int64_t served;
	struct bench_samples *waits, *turns; /* of each thread */
};

static tine_conn *take(struct source *source)
{
	if (source->pool)
		return bench_acquire(source->pool);
	pthread_mutex_lock(&source->lock);
	while (source->free == 0)
		pthread_cond_wait(&source->returned, &source->lock);
	source->free--;
	pthread_mutex_unlock(&source->lock);
	return NULL;
}

static void give(struct source *source, tine_conn *conn)
{
	if (source->pool) {
		tine_conn_release(conn);
		return;
	}
	pthread_mutex_lock(&source->lock);
	source->free++;
	pthread_cond_signal(&source->returned);
	pthread_mutex_unlock(&source->lock);
}

static void work(int number, void *arg)
{
	struct queue *queue = arg;

	for (int i = 0; !atomic_load(&bench_stop); i++) {
		int64_t served = atomic_load(&queue->served), began_ns = bench_now_ns();
		tine_conn *conn = take(queue->source);
		int64_t wait_ns = bench_now_ns() - began_ns;

		served = atomic_fetch_add(&queue->served, 1) - served;
		if (i >= SKIPPED_WAITS && !atomic_load(&bench_stop)) {
			bench_samples_add(&queue->waits[number], wait_ns);
			bench_samples_add(&queue->turns[number], served);
		}
		queue->hold(queue->hold_ns);
		give(queue->source, conn);
	}
}

static void print_quantile(const char *name, const char *key, struct bench_samples *samples,
			   double quantile)
{
	char full[64];

	snprintf(full, sizeof(full), "%s_%s", name, key);
	bench_print(full, (double)bench_samples_quantile(samples, quantile));
}

static void take_round(struct queue *queue, int64_t round_ns)
{
	struct bench_samples waits = { 0 }, turns = { 0 };
	const char *name = queue->source->name;

	bench_run(queue->threads, work, queue, round_ns);
	for (int i = 0; i < queue->threads; i++) {
		bench_samples_join(&waits, &queue->waits[i]);
		bench_samples_join(&turns, &queue->turns[i]);
		bench_samples_free(&queue->waits[i]);
		bench_samples_free(&queue->turns[i]);
	}
	print_quantile(name, "p50", &waits, 0.5);
	print_quantile(name, "p99", &waits, 0.99);
	print_quantile(name, "max", &waits, 1);
	print_quantile(name, "turns_p50", &turns, 0.5);
	print_quantile(name, "turns_max", &turns, 1);
	bench_samples_free(&waits);
	bench_samples_free(&turns);
}

static void open_queue(struct queue *queue, char **argv)
{
	*queue = (struct queue){ .threads = bench_number(argv[1], 1) };
	queue->hold_ns = bench_number(argv[3], 0) * BENCH_NS_PER_US;
	queue->hold = strcmp(argv[4], "busy") == 0 ? bench_spin_ns : bench_sleep_ns;
	queue->waits = calloc((size_t)queue->threads, sizeof(*queue->waits));
	queue->turns = calloc((size_t)queue->threads, sizeof(*queue->turns));
	if (!queue->waits || !queue->turns)
		bench_die("out of memory");
}

int main(int argc, char **argv)
{
	struct source tine = { .name = "tine" };
	struct source condvar = { .name = "condvar",
				  .lock = PTHREAD_MUTEX_INITIALIZER,
				  .returned = PTHREAD_COND_INITIALIZER };
	struct queue queue;
	int64_t round_ns;

	if (argc != 7)
		bench_die("usage: queue THREADS CONNECTIONS HOLD_US busy|asleep ROUND_MS ROUNDS");
	open_queue(&queue, argv);
	condvar.free = bench_number(argv[2], 1);
	round_ns = bench_number(argv[5], 1) * BENCH_NS_PER_MS;
	tine.pool = bench_pool(condvar.free, TINE_PING_AUTO);
	bench_fill(tine.pool, condvar.free);
	for (int rounds = bench_number(argv[6], 1); rounds > 0; rounds--) {
		queue.source = &tine;
		take_round(&queue, round_ns);
		queue.source = &condvar;
		take_round(&queue, round_ns);
	}
	free(queue.waits);
	free(queue.turns);
	tine_pool_free(tine.pool);
	return 0;
}
