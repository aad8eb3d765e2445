/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the board itself costs, without a pool and without a server. Usage: permit ROUNDS SLICE_MS
 *
 * Prints for each round the time of one cycle, in nanoseconds: "take_give" with a budget of 20 and
 * nobody else, "all_taken" when none is free, "beside" with seven other processes that do the same,
 * "queue" for entering and leaving the queue, and "floor", two compare-and-swaps.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "board/board.h"
#include "harness.h"

#define BUDGET 20
#define OTHERS 7
#define AT_ONCE 1000

static struct tine_board board;

static void take_and_give(void)
{
	tine_permit_give(&board, tine_permit_take(&board, -1), 0);
}

static void enter_and_leave(void)
{
	tine_waiter_leave(&board, tine_waiter_enter(&board));
}

static void swap_twice(void)
{
	static _Atomic uint64_t word;
	uint64_t none = 0, one = 1;

	atomic_compare_exchange_strong(&word, &none, 1);
	atomic_compare_exchange_strong(&word, &one, 0);
}

static void measure(const char *key, void (*cycle)(void), int slice_ms)
{
	int64_t began_ns = bench_now_ns(), now_ns = began_ns;
	long cycles = 0;

	for (; now_ns - began_ns < slice_ms * BENCH_NS_PER_MS; cycles += AT_ONCE) {
		for (int i = 0; i < AT_ONCE; i++)
			cycle();
		now_ns = bench_now_ns();
	}
	bench_print(key, (double)(now_ns - began_ns) / (double)cycles);
}

static void measure_all_taken(int slice_ms)
{
	int permits[BUDGET];

	for (int i = 0; i < BUDGET; i++)
		permits[i] = tine_permit_take(&board, -1);
	measure("all_taken", take_and_give, slice_ms);
	for (int i = 0; i < BUDGET; i++)
		tine_permit_give(&board, permits[i], 0);
}

static pid_t start_other(void)
{
	pid_t pid = fork();

	if (pid < 0)
		bench_die("cannot fork");
	if (pid)
		return pid;
	tine_board_left(&board);
	if (tine_board_enlist(&board) < 0)
		_exit(1);
	for (;;)
		take_and_give();
}

/* Processor time, since they have to share the processors. */
static void measure_beside_others(int slice_ms)
{
	pid_t pids[OTHERS];
	int64_t cpu_ns;
	long cycles = 0;

	for (int i = 0; i < OTHERS; i++)
		pids[i] = start_other();
	cpu_ns = bench_cpu_ns();
	for (; bench_cpu_ns() - cpu_ns < slice_ms * BENCH_NS_PER_MS; cycles += AT_ONCE)
		for (int i = 0; i < AT_ONCE; i++)
			take_and_give();
	bench_print("beside", (double)(bench_cpu_ns() - cpu_ns) / (double)cycles);
	for (int i = 0; i < OTHERS; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	tine_board_reap(&board, true);
}

int main(int argc, char **argv)
{
	struct tine_board_spec spec = { .name = "bench-permit", .budget = BUDGET };
	char error[300];
	int rounds, slice_ms;

	if (argc != 3)
		bench_die("usage: permit ROUNDS SLICE_MS");
	rounds = bench_number(argv[1], 1);
	slice_ms = bench_number(argv[2], 1);
	if (tine_board_open(&board, &spec, error, sizeof(error)) < 0)
		bench_die("%s", error);
	if (tine_board_enlist(&board) < 0)
		bench_die("cannot join the board");
	for (int i = 0; i < rounds; i++) {
		measure("floor", swap_twice, slice_ms);
		measure("take_give", take_and_give, slice_ms);
		measure("queue", enter_and_leave, slice_ms);
		measure_all_taken(slice_ms);
		measure_beside_others(slice_ms);
	}
	tine_board_close(&board);
	return 0;
}
