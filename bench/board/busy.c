/* SPDX-License-Identifier: PostgreSQL */
/*
 * One busy process of several that share a budget: how much of it does it get while the others are
 * idle, and how long does the next one wait that comes? Usage:
 *
 *	busy fresh|parked|lent PROCESSES BUDGET HOLD_MS ROUNDS
 *
 * The idle processes have never used a connection; or each has used its fair share and gave it
 * back, just now; or longer ago than lend_after_ms. A checkout lasts HOLD_MS on average. Prints for
 * each round, on a new board: "open", the connections that the busy one had after a while,
 * "parked", those that the others had when it began, "wait", how long another process waited for
 * its first connection meanwhile, "beside", how long a connect took then that needs no permit,
 * "lent", how many connections the busy one closed for the other, and "alone", a first connection
 * that nothing delays.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define BUSY_MS 2000
#define SETTLE_MS 1000
#define LEND_AFTER_MS 1000

enum order { USE_SHARE = 1, BE_BUSY, TELL_LENT, TAKE_ONE };

struct worker {
	pid_t pid;
	int fd; /* orders go there, and a number comes back for each */
};

static tine_pool *pool;
static int budget, fair_share, hold_ms;
static bool parks, lends;
static int64_t lent; /* by the busy one, of its connections */

static void open_pool(int round)
{
	tine_pool_config config;
	tine_error error;
	char name[32];

	snprintf(name, sizeof(name), "bench-busy-%d", round);
	tine_pool_config_init(&config);
	config.conninfo = bench_env("BENCH_CONNINFO");
	config.pool_size = budget;
	config.acquire_timeout_ms = 60000;
	config.name = name;
	config.budget = budget;
	config.lend_after_ms = lends ? LEND_AFTER_MS : 0;
	pool = tine_pool_new(&config, &error);
	if (!pool)
		bench_die("tine_pool_new: %s", error.text);
}

/* ---- a process of the tree ------------------------------------------------------------------- */

static void hold(int number, void *arg)
{
	unsigned seed = (unsigned)number;

	(void)arg;
	while (!atomic_load(&bench_stop)) {
		tine_conn *conn = bench_acquire(pool);

		bench_exec(tine_conn_pg(conn), "SELECT 1");
		/* Not all at the same time. */
		bench_sleep_ns(hold_ms * BENCH_NS_PER_MS / 2 +
			       rand_r(&seed) % hold_ms * BENCH_NS_PER_MS);
		tine_conn_release(conn);
	}
}

static void take_samples(struct bench_samples *open)
{
	int64_t began_ns = bench_now_ns();

	/* Until another comes, who is told to when this much has passed. */
	bench_sleep_ns(SETTLE_MS / 2 * BENCH_NS_PER_MS);
	while (bench_now_ns() < began_ns + SETTLE_MS * BENCH_NS_PER_MS) {
		bench_samples_add(open, bench_status(pool).open);
		bench_sleep_ns(5 * BENCH_NS_PER_MS);
	}
	/* When all are done it gives back what is not its share, which nobody waits for. */
	while (!atomic_load(&bench_stop)) {
		lent = (int64_t)bench_status(pool).closed[TINE_CAUSE_LENT];
		bench_sleep_ns(5 * BENCH_NS_PER_MS);
	}
}

/* One thread looks, the others work. */
static void hold_or_look(int number, void *arg)
{
	if (number > 0)
		hold(number, NULL);
	else
		take_samples(arg);
}

static int64_t be_busy(void)
{
	struct bench_samples open = { 0 };
	int64_t found;

	bench_run(budget + 5, hold_or_look, &open, BUSY_MS * BENCH_NS_PER_MS);
	found = bench_samples_quantile(&open, 0.5);
	bench_samples_free(&open);
	return found;
}

static int64_t take_one(void)
{
	int64_t began_ns = bench_now_ns(), took_ns;
	tine_conn *conn = bench_acquire(pool);

	took_ns = bench_now_ns() - began_ns;
	tine_conn_release(conn);
	return took_ns;
}

/* Outside the budget, and where the other comes: the processors and the server are as busy. */
static int64_t connect_beside(void)
{
	int64_t began_ns = bench_now_ns(), took_ns;
	PGconn *pg = bench_connect();

	took_ns = bench_now_ns() - began_ns;
	PQfinish(pg);
	return took_ns;
}

static int64_t obey(enum order order)
{
	switch (order) {
	case USE_SHARE:
		bench_fill(pool, fair_share);
		return bench_status(pool).open;
	case BE_BUSY:
		return be_busy();
	case TELL_LENT:
		return lent;
	default:
		return take_one();
	}
}

static void be_worker(int fd)
{
	char order;

	while (read(fd, &order, 1) == 1) {
		int64_t answer = obey((enum order)order);

		if (write(fd, &answer, sizeof(answer)) != sizeof(answer))
			bench_die("answer: %m");
	}
	tine_pool_free(pool);
	exit(0);
}

/* ---- the first process ----------------------------------------------------------------------- */

static void start(struct worker *workers, int count)
{
	for (int i = 0; i < count; i++) {
		int ends[2];

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
			bench_die("socketpair: %m");
		workers[i] = (struct worker){ .pid = fork(), .fd = ends[0] };
		if (workers[i].pid < 0)
			bench_die("fork: %m");
		if (workers[i].pid == 0) {
			for (int j = 0; j <= i; j++)
				close(workers[j].fd);
			be_worker(ends[1]);
		}
		close(ends[1]);
	}
}

static void tell(const struct worker *worker, enum order order)
{
	char byte = (char)order;

	if (write(worker->fd, &byte, 1) != 1)
		bench_die("order: %m");
}

static int64_t hear(const struct worker *worker)
{
	int64_t answer;

	if (read(worker->fd, &answer, sizeof(answer)) != sizeof(answer))
		bench_die("a process of the tree failed");
	return answer;
}

static void end(struct worker *workers, int count)
{
	int status;

	for (int i = 0; i < count; i++)
		close(workers[i].fd);
	for (int i = 0; i < count; i++)
		if (waitpid(workers[i].pid, &status, 0) < 0 || status != 0)
			bench_die("a process of the tree failed");
}

/* The first is busy, the last comes while it is, the others are idle. */
static void take_round(int processes, int round)
{
	struct worker *workers = calloc((size_t)processes + 1, sizeof(*workers));
	int64_t kept = 0;

	if (!workers)
		bench_die("out of memory");
	open_pool(round);
	start(workers, processes + 1);
	for (int i = 1; parks && i < processes; i++) {
		tell(&workers[i], USE_SHARE);
		kept += hear(&workers[i]);
	}
	if (lends)
		bench_sleep_ns(2 * LEND_AFTER_MS * BENCH_NS_PER_MS);
	tell(&workers[0], BE_BUSY);
	bench_sleep_ns(SETTLE_MS * BENCH_NS_PER_MS);
	bench_print("beside", (double)connect_beside());
	tell(&workers[processes], TAKE_ONE);
	bench_print("wait", (double)hear(&workers[processes]));
	bench_print("open", (double)hear(&workers[0]));
	tell(&workers[0], TELL_LENT);
	bench_print("lent", (double)hear(&workers[0]));
	bench_print("parked", (double)kept);
	end(workers, processes + 1);
	bench_print("alone", (double)take_one());
	tine_pool_free(pool);
	free(workers);
}

int main(int argc, char **argv)
{
	int processes, rounds;

	if (argc != 6)
		bench_die("usage: busy fresh|parked|lent PROCESSES BUDGET HOLD_MS ROUNDS");
	processes = bench_number(argv[2], 2);
	budget = bench_number(argv[3], 1);
	fair_share = budget / processes;
	hold_ms = bench_number(argv[4], 1);
	rounds = bench_number(argv[5], 1);
	lends = strcmp(argv[1], "lent") == 0;
	parks = lends || strcmp(argv[1], "parked") == 0;
	for (int round = 0; round < rounds; round++)
		take_round(processes, round);
	return 0;
}
