/* SPDX-License-Identifier: PostgreSQL */
/*
 * One short statement after the other: each on a connection that is acquired and released for it,
 * in turns with a connection of libpq's own that is held. Usage:
 *
 *	statement time simple|prepared ROUNDS
 *
 * Prints for each round, which has new connections, the time of one statement: "tine", "bare", and
 * "again" for a second bare connection.
 *
 *	statement count tine|bare simple|prepared STATEMENTS
 *
 * runs so many and nothing else, for tools that count.
 */
#include <string.h>

#include "harness.h"

#define SLICES 30
#define SLICE_STATEMENTS 50

enum way { TINE, BARE, AGAIN, WAYS };

struct stage {
	tine_pool *pool;
	PGconn *bare[WAYS];
	void (*run)(PGconn *pg);
};

static void check(PGconn *pg, PGresult *result)
{
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		bench_die("select 1: %s", PQerrorMessage(pg));
	PQclear(result);
}

static void run_simple(PGconn *pg)
{
	check(pg, PQexec(pg, "select 1"));
}

static void run_prepared(PGconn *pg)
{
	check(pg, PQexecPrepared(pg, "one", 0, NULL, NULL, NULL, 0));
}

static void prepare(PGconn *pg)
{
	bench_exec(pg, "prepare one as select 1");
	run_simple(pg);
}

void bench_statements_tine(struct stage *stage, int statements);
void bench_statements_bare(PGconn *pg, void (*run)(PGconn *pg), int statements);

/* Not static, and not in line, so that a counting tool can be told to look at nothing else. */
__attribute__((noinline)) void bench_statements_tine(struct stage *stage, int statements)
{
	while (statements-- > 0) {
		tine_conn *conn = bench_acquire(stage->pool);

		stage->run(tine_conn_pg(conn));
		tine_conn_release(conn);
	}
}

__attribute__((noinline)) void bench_statements_bare(PGconn *pg, void (*run)(PGconn *pg),
						     int statements)
{
	while (statements-- > 0)
		run(pg);
}

static void open_stage(struct stage *stage, const char *kind)
{
	tine_conn *conn;

	stage->run = strcmp(kind, "prepared") == 0 ? run_prepared : run_simple;
	stage->pool = bench_pool(1, TINE_PING_AUTO);
	conn = bench_acquire(stage->pool);
	prepare(tine_conn_pg(conn));
	tine_conn_release(conn);
	for (int way = BARE; way < WAYS; way++)
		prepare(stage->bare[way] = bench_connect());
}

static void close_stage(struct stage *stage)
{
	for (int way = BARE; way < WAYS; way++)
		PQfinish(stage->bare[way]);
	tine_pool_free(stage->pool);
}

static void take_slice(struct stage *stage, enum way way, struct bench_samples *samples)
{
	int64_t began_ns = bench_now_ns();

	if (way == TINE)
		bench_statements_tine(stage, SLICE_STATEMENTS);
	else
		bench_statements_bare(stage->bare[way], stage->run, SLICE_STATEMENTS);
	bench_samples_add(samples, (bench_now_ns() - began_ns) / SLICE_STATEMENTS);
}

static void take_round(const char *kind)
{
	static const char *const keys[WAYS] = { "tine", "bare", "again" };
	struct bench_samples samples[WAYS] = { 0 };
	struct stage stage;

	open_stage(&stage, kind);
	for (int i = 0; i < SLICES * WAYS; i++) {
		/* Every order of the three comes as often as any other. */
		int way = (i / WAYS % 2 ? WAYS - 1 - i % WAYS : i % WAYS) + i / WAYS;

		take_slice(&stage, (enum way)(way % WAYS), &samples[way % WAYS]);
	}
	for (int way = 0; way < WAYS; way++) {
		bench_print(keys[way], (double)bench_samples_quantile(&samples[way], 0.5));
		bench_samples_free(&samples[way]);
	}
	close_stage(&stage);
}

static void count(const char *way, const char *kind, int statements)
{
	struct stage stage;

	open_stage(&stage, kind);
	if (strcmp(way, "tine") == 0)
		bench_statements_tine(&stage, statements);
	else
		bench_statements_bare(stage.bare[BARE], stage.run, statements);
	close_stage(&stage);
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "time") == 0)
		for (int rounds = bench_number(argv[3], 1); rounds > 0; rounds--)
			take_round(argv[2]);
	else if (argc == 5 && strcmp(argv[1], "count") == 0)
		count(argv[2], argv[3], bench_number(argv[4], 0));
	else
		bench_die("usage: statement time simple|prepared ROUNDS | "
			  "count tine|bare simple|prepared STATEMENTS");
	return 0;
}
