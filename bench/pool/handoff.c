/* SPDX-License-Identifier: PostgreSQL */
/*
 * From the return of a connection until the thread that waits for it runs, in turns with the same
 * by a bare futex: one thread sleeps, the other one, awake, lets it go. Usage: handoff ROUNDS
 *
 * Prints the medians of each round: "tine" and "futex", "again" for the futex a second time, and
 * "release" and "wake" for what the calls that let go took by themselves.
 */
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"

#define TURNS 900

/* Long enough for the other thread to fall asleep once it is about to. */
#define SETTLE_NS (50 * BENCH_NS_PER_US)

enum way { TINE, FUTEX, AGAIN, WAYS };

struct relay {
	tine_pool *pool;
	_Atomic int ready, about_to_sleep, awake; /* the last turn that came so far */
	_Atomic uint32_t futex;
	_Atomic int64_t let_go_ns;
	struct bench_samples taken[WAYS], call[WAYS];
};

static void wait_for(_Atomic int *progress, int turn)
{
	while (atomic_load(progress) < turn)
		;
}

static void sleep_on_futex(struct relay *relay, uint32_t turn)
{
	uint32_t seen;

	while ((seen = atomic_load(&relay->futex)) != turn)
		syscall(SYS_futex, &relay->futex, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void sleeper(struct relay *relay, int turn)
{
	enum way way = (enum way)(turn % WAYS);
	tine_conn *conn = NULL;
	int64_t now_ns;

	wait_for(&relay->ready, turn);
	atomic_store(&relay->about_to_sleep, turn);
	if (way == TINE)
		conn = bench_acquire(relay->pool);
	else
		sleep_on_futex(relay, (uint32_t)turn);
	now_ns = bench_now_ns();
	bench_samples_add(&relay->taken[way], now_ns - atomic_load(&relay->let_go_ns));
	tine_conn_release(conn);
	atomic_store(&relay->awake, turn);
}

static void waker(struct relay *relay, int turn)
{
	enum way way = (enum way)(turn % WAYS);
	tine_conn *conn = way == TINE ? bench_acquire(relay->pool) : NULL;
	int64_t began_ns;

	atomic_store(&relay->ready, turn);
	wait_for(&relay->about_to_sleep, turn);
	bench_spin_ns(SETTLE_NS);
	began_ns = bench_now_ns();
	atomic_store(&relay->let_go_ns, began_ns);
	if (way == TINE) {
		tine_conn_release(conn);
	} else {
		atomic_store(&relay->futex, (uint32_t)turn);
		syscall(SYS_futex, &relay->futex, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	}
	bench_samples_add(&relay->call[way], bench_now_ns() - began_ns);
	wait_for(&relay->awake, turn);
}

static void play(int number, void *arg)
{
	for (int turn = 1; turn <= TURNS; turn++) {
		if (number == 0)
			sleeper(arg, turn);
		else
			waker(arg, turn);
	}
}

static void print_median(const char *key, struct bench_samples *samples)
{
	bench_print(key, (double)bench_samples_quantile(samples, 0.5));
	bench_samples_free(samples);
}

int main(int argc, char **argv)
{
	int rounds = argc == 2 ? bench_number(argv[1], 1) : 0;
	struct relay relay = { 0 };

	if (!rounds)
		bench_die("usage: handoff ROUNDS");
	relay.pool = bench_pool(1, TINE_PING_AUTO);
	bench_fill(relay.pool, 1);
	for (int i = 0; i < rounds; i++) {
		relay.ready = relay.about_to_sleep = relay.awake = 0;
		bench_run(2, play, &relay, 0);
		print_median("tine", &relay.taken[TINE]);
		print_median("futex", &relay.taken[FUTEX]);
		print_median("again", &relay.taken[AGAIN]);
		print_median("release", &relay.call[TINE]);
		print_median("wake", &relay.call[FUTEX]);
		bench_samples_free(&relay.call[AGAIN]);
	}
	tine_pool_free(relay.pool);
	return 0;
}
