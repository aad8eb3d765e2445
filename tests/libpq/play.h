/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the C tests of the libpq level share: connections to CONNINFO, statements, and the ends that
 * sessions come to.
 */
#ifndef TINE_TESTS_LIBPQ_PLAY_H
#define TINE_TESTS_LIBPQ_PLAY_H

#include <libpq-events.h>
#include <libpq-fe.h>
#include <stdbool.h>

#include "support/check.h"

/** A connection to CONNINFO, or the test fails. */
PGconn *play_open(void);

/** The first column of the first row of a statement's answer; "" where it has none. Fails the test
 *  when the statement fails. Valid until the second next call. */
const char *play_ask(PGconn *conn, const char *sql);

/** A number that a statement gives. */
int play_number(PGconn *conn, const char *sql);

/** The statement fails and the connection is lost, as libpq tells it. */
void play_expect_lost(PGconn *conn, const char *sql);

/** End the session of conn from another one, and wait until that has arrived here. */
void play_end_session(PGconn *conn);

/** Wait with a deadline for fd. */
bool play_wait(int fd, short events);
bool play_wait_ms(int fd, short events, int wait_ms);

/* A child that is forked while another thread allocates hangs in AddressSanitizer's own allocator,
 * whose locks gcc 12's runtime does not take before a fork. */
#ifdef __SANITIZE_ADDRESS__
#define PLAY_FORKS_WITH_THREADS() SKIP("this AddressSanitizer's allocator does not survive it")
#else
#define PLAY_FORKS_WITH_THREADS()
#endif

/** Monotonic time. */
int64_t play_now_ms(void);

/** How many descriptors are open. */
int play_count_fds(void);

#endif
