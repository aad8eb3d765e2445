/* SPDX-License-Identifier: PostgreSQL */
/*
 * The same job by a tree of processes, through libtine's pools or on connections that are held. The
 * latter is what a program has behind a proxy that pools. Usage:
 *
 *	job tine|held transaction|select|pause PROCESSES THREADS SECONDS
 *
 * A transaction is BEGIN, SELECT 1 and COMMIT, each with an answer of its own; a select is one
 * statement; in a pause the server sleeps for 5 ms, and processors are not what is short. Settings
 * come from the environment (TINE_CONNINFO, TINE_BUDGET, ...). What is done until all have begun is
 * not counted. Prints "per_second", and "p50", "p99" and "max" of the time one took, from before
 * the acquire until after the release.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define SAMPLES_EACH (1 << 20)
#define WARM 20

/* What the processes share. The samples follow, SAMPLES_EACH for each thread. */
struct stage {
	_Atomic int ready;
	_Atomic int64_t began_ns, ends_ns;
	size_t size_bytes;
	_Atomic uint32_t *samples_ns;
	_Atomic uint32_t *counts; /* of each thread */
};

static struct stage *stage;
static tine_pool *pool;
static bool is_transaction;
static const char *statement = "SELECT 1";
static int process_number, thread_count;

static void work_once(PGconn *pg)
{
	if (is_transaction)
		bench_exec(pg, "BEGIN");
	bench_exec(pg, statement);
	if (is_transaction)
		bench_exec(pg, "COMMIT");
}

static void cycle(PGconn *held)
{
	tine_conn *conn;

	if (held) {
		work_once(held);
		return;
	}
	conn = bench_acquire(pool);
	work_once(tine_conn_pg(conn));
	tine_conn_release(conn);
}

static void work(int number, void *arg)
{
	int place = process_number * thread_count + number;
	_Atomic uint32_t *samples = stage->samples_ns + (size_t)place * SAMPLES_EACH;
	PGconn *held = pool ? NULL : PQconnectdb(getenv("TINE_CONNINFO"));
	uint32_t count = 0;

	(void)arg;
	if (held && PQstatus(held) != CONNECTION_OK)
		bench_die("cannot connect: %s", PQerrorMessage(held));
	for (int i = 0; i < WARM; i++)
		cycle(held);
	atomic_fetch_add(&stage->ready, 1);
	while (!atomic_load(&stage->began_ns))
		cycle(held);
	for (int64_t now_ns = bench_now_ns(); now_ns < stage->ends_ns && count < SAMPLES_EACH;) {
		int64_t before_ns = now_ns;

		cycle(held);
		now_ns = bench_now_ns();
		atomic_store_explicit(&samples[count++], (uint32_t)(now_ns - before_ns),
				      memory_order_relaxed);
	}
	atomic_store(&stage->counts[place], count);
	PQfinish(held);
}

static void open_stage(int threads)
{
	size_t counts_bytes = (size_t)threads * sizeof(uint32_t);
	size_t bytes = sizeof(*stage) + counts_bytes * (SAMPLES_EACH + 1);

	stage = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (stage == MAP_FAILED)
		bench_die("mmap: %m");
	stage->size_bytes = bytes;
	stage->counts = (_Atomic uint32_t *)(stage + 1);
	stage->samples_ns = stage->counts + threads;
}

static void open_pool(void)
{
	tine_pool_config config;
	tine_error error;

	tine_pool_config_init(&config);
	config.acquire_timeout_ms = 60000;
	if (tine_pool_config_env(&config, &error) < 0 || !(pool = tine_pool_new(&config, &error)))
		bench_die("%s", error.text);
}

static void start_processes(int processes)
{
	for (process_number = 0; process_number < processes; process_number++) {
		pid_t pid = fork();

		if (pid < 0)
			bench_die("fork: %m");
		if (pid > 0)
			continue;
		/* Else they would work for ever for somebody who is gone. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		bench_run(thread_count, work, NULL, 0);
		tine_pool_free(pool);
		exit(0);
	}
}

/* Ends the program when a process fails, before it began or later. */
static void reap(int flags)
{
	int status;

	while (waitpid(-1, &status, flags) > 0)
		if (status != 0)
			bench_die("a process of the tree failed");
}

static void show(int threads, double seconds)
{
	struct bench_samples all = { 0 };

	for (int i = 0; i < threads; i++)
		for (uint32_t j = 0; j < stage->counts[i]; j++)
			bench_samples_add(&all, stage->samples_ns[(size_t)i * SAMPLES_EACH + j]);
	bench_print("per_second", (double)all.count / seconds);
	bench_print("p50", (double)bench_samples_quantile(&all, 0.5));
	bench_print("p99", (double)bench_samples_quantile(&all, 0.99));
	bench_print("max", (double)bench_samples_quantile(&all, 1));
	bench_samples_free(&all);
}

int main(int argc, char **argv)
{
	int processes, threads, seconds;

	if (argc != 6)
		bench_die(
			"usage: job tine|held transaction|select|pause PROCESSES THREADS SECONDS");
	is_transaction = strcmp(argv[2], "transaction") == 0;
	if (strcmp(argv[2], "pause") == 0)
		statement = "SELECT pg_sleep(0.005)";
	processes = bench_number(argv[3], 1);
	thread_count = bench_number(argv[4], 1);
	seconds = bench_number(argv[5], 1);
	threads = processes * thread_count;
	open_stage(threads);
	if (strcmp(argv[1], "tine") == 0)
		open_pool();
	start_processes(processes);
	while (stage->ready < threads) {
		reap(WNOHANG);
		bench_sleep_ns(BENCH_NS_PER_MS);
	}
	stage->ends_ns = bench_now_ns() + seconds * BENCH_NS_PER_S;
	stage->began_ns = bench_now_ns();
	reap(0);
	show(threads, seconds);
	munmap(stage, stage->size_bytes);
	tine_pool_free(pool);
	return 0;
}
