/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the programs of make bench-pool share: clocks, threads that begin at once, samples, and the
 * server, which tools/bench-pool names in the environment:
 *
 *	BENCH_CONNINFO  for libpq and libtine    BENCH_ZDB_URL  for libzdb
 *
 * They print one "key value" for each round, in nanoseconds where the key says nothing else; the
 * driver makes medians and ratios of them. A failure ends the program with a line on stderr.
 *
 * Locks: none. Fork: the programs do not.
 */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include <libpq-fe.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "tine/tine.h"

#define BENCH_NS_PER_US INT64_C(1000)
#define BENCH_NS_PER_MS INT64_C(1000000)
#define BENCH_NS_PER_S INT64_C(1000000000)

/** Say why on stderr and end the program. */
void bench_die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/** Monotonic time, and the processor time of the calling thread. */
int64_t bench_now_ns(void);
int64_t bench_cpu_ns(void);

/** Keep the processor busy, and leave it alone, for so long. */
void bench_spin_ns(int64_t ns);
void bench_sleep_ns(int64_t ns);

void bench_print(const char *key, double value);

/** A whole number from the command line, at least `least`; ends the program otherwise. */
int bench_number(const char *text, int least);

/* ---- threads -------------------------------------------------------------------------------- */

/* Set when the time of bench_run() is over. */
extern _Atomic bool bench_stop;

/** Call fn in so many threads, which begin at once, and wait until all have returned.
 *  @param time_ns  after which bench_stop is set; 0 = never
 *  @return how long it took, from the beginning until the last one was done, or bench_stop was set
 */
int64_t bench_run(int threads, void (*fn)(int number, void *arg), void *arg, int64_t time_ns);

/* ---- samples: one thread at a time ----------------------------------------------------------- */

struct bench_samples {
	int64_t *ns; /* owned; bench_samples_free() */
	size_t count, room;
};

void bench_samples_add(struct bench_samples *samples, int64_t ns);
void bench_samples_join(struct bench_samples *samples, const struct bench_samples *more);
void bench_samples_free(struct bench_samples *samples);

/** Sorts them. @param quantile 0.0 to 1.0 @return 0 without samples */
int64_t bench_samples_quantile(struct bench_samples *samples, double quantile);

/* ---- the server ------------------------------------------------------------------------------ */

/** An environment variable that has to be there. */
const char *bench_env(const char *name);

/** A connection of libpq's own, for PQfinish(). */
PGconn *bench_connect(void);

/** Run a statement that has to succeed. */
void bench_exec(PGconn *pg, const char *sql);

/** A pool on the server with room for so many connections, none open yet. */
tine_pool *bench_pool(int size, enum tine_ping ping);

/** Acquire, or end the program with the reason. */
tine_conn *bench_acquire(tine_pool *pool);

/** Open so many connections and leave them idle. */
void bench_fill(tine_pool *pool, int connections);

tine_pool_stats bench_status(tine_pool *pool);

#endif
