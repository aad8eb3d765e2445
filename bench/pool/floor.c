/* SPDX-License-Identifier: PostgreSQL */
/*
 * What this machine can do at all: the rows that every other row is read beside. Usage:
 * floor ROUNDS
 */
#include <linux/futex.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

#define TIMES 100000
#define PING_PONGS 2000
#define ROUND_TRIPS 300

static _Atomic uint32_t ball;

static void measure_mutex(void)
{
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	int64_t began_ns = bench_now_ns();

	for (int i = 0; i < TIMES; i++) {
		pthread_mutex_lock(&mutex);
		pthread_mutex_unlock(&mutex);
	}
	bench_print("mutex", (double)(bench_now_ns() - began_ns) / TIMES);
}

static void measure_clock(void)
{
	struct timespec now;
	int64_t began_ns = bench_now_ns();

	for (int i = 0; i < TIMES; i++)
		clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	bench_print("clock", (double)(bench_now_ns() - began_ns) / TIMES);
}

static void measure_peek(int fd)
{
	int64_t began_ns = bench_now_ns();
	char byte;

	for (int i = 0; i < TIMES; i++)
		if (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0)
			bench_die("an idle connection is readable");
	bench_print("peek", (double)(bench_now_ns() - began_ns) / TIMES);
}

/* Two threads wait for each other's number, odd and even. */
static void play(int number, void *arg)
{
	(void)arg;
	for (uint32_t mine = (uint32_t)number; mine < 2 * PING_PONGS; mine += 2) {
		uint32_t seen;

		while ((seen = atomic_load(&ball)) != mine)
			syscall(SYS_futex, &ball, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
		atomic_store(&ball, mine + 1);
		syscall(SYS_futex, &ball, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	}
}

static void measure_futex(void)
{
	int64_t elapsed_ns;

	atomic_store(&ball, 0);
	elapsed_ns = bench_run(2, play, NULL, 0);
	bench_print("futex", (double)elapsed_ns / (2 * PING_PONGS));
}

static void measure_round_trip(PGconn *pg)
{
	struct bench_samples samples = { 0 };

	for (int i = 0; i < ROUND_TRIPS; i++) {
		int64_t began_ns = bench_now_ns();

		bench_exec(pg, "");
		bench_samples_add(&samples, bench_now_ns() - began_ns);
	}
	bench_print("round_trip", (double)bench_samples_quantile(&samples, 0.5));
	bench_samples_free(&samples);
}

static void measure_connect(void)
{
	int64_t began_ns = bench_now_ns();
	PGconn *pg = bench_connect();

	bench_print("connect", (double)(bench_now_ns() - began_ns));
	PQfinish(pg);
}

int main(int argc, char **argv)
{
	int rounds = argc == 2 ? bench_number(argv[1], 1) : 0;
	PGconn *pg;

	if (!rounds)
		bench_die("usage: floor ROUNDS");
	pg = bench_connect();
	bench_exec(pg, "");
	for (int i = 0; i < rounds; i++) {
		measure_mutex();
		measure_clock();
		measure_peek(PQsocket(pg));
		measure_futex();
		measure_round_trip(pg);
		measure_connect();
	}
	PQfinish(pg);
	return 0;
}
