/* SPDX-License-Identifier: PostgreSQL */
/*
 * Cases that need C: threads that fork, signals, cancelled threads. Each is played in a process of
 * its own (support/check.h) by the Python test of the same name, on the server that TINE_CONNINFO
 * names.
 */
#ifndef TINE_TESTS_POOL_CASE_H
#define TINE_TESTS_POOL_CASE_H

#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>

#include "support/check.h"
#include "tine/tine.h"

/* How long a child may take for a connection of its own, on a busy machine. */
#define CHILD_SECONDS 30

#define MOST_THREADS 32

/** A pool on TINE_CONNINFO. */
tine_pool *new_pool(int kind, int pool_size, int max_overflow);

/** Acquire, which must not fail. */
tine_conn *take(tine_pool *pool);

/** Ask for a number and compare. Another answer ends the process.
 *  @return false when the connection is lost */
bool answers(PGconn *pg);

/** One acquire, one question, one release, all good. */
void use(tine_pool *pool);

/** The number of a result's only value; ends the process when there is none. */
long long number(PGconn *pg, const char *query);

/** A statement that must succeed. */
void execute(PGconn *pg, const char *statement);

/** Wait until a condition holds, or fail after CHILD_SECONDS. */
#define WAIT_FOR(condition)                                                                        \
	do {                                                                                       \
		for (int tries_ = 0; !(condition); tries_++) {                                     \
			CHECK_INT(tries_, <, CHILD_SECONDS * 1000);                                \
			usleep(1000);                                                              \
		}                                                                                  \
	} while (0)

/* Threads that do the same over and over until stop is set. */
struct crew {
	tine_pool *pool;
	void (*work)(tine_pool *pool);
	int size;
	pthread_t thread[MOST_THREADS];
	_Atomic bool stop;
	_Atomic long rounds;
};

void crew_start(struct crew *crew, tine_pool *pool, int size, void (*work)(tine_pool *pool));
void crew_stop(struct crew *crew);

void fork_while_busy(void);
void fork_while_connecting(void);
void fork_without_handlers(void);
void exit_of_a_child(void);
void spawn_in_traffic(void);
void signal_storm(void);
void broken_pipe(void);
void cancelled_while_waiting(void);
void cancelled_while_holding(void);
void cancelled_while_sending(void);
void cancelled_in_a_scope(void);
void cancelled_in_transact(void);
void cancelled_in_back_off(void);
void leaks_are_told(void);
void ended_while_holding(void);
void ended_in_transact(void);
void clock_jumps(void);
void suspend(void);

#endif
