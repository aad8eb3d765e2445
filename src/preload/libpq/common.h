/* SPDX-License-Identifier: PostgreSQL */
/*
 * What is known of a server: how many of its connections were found dead or demoted, each of which
 * makes all older ones suspect, and the idle time after which they die without a word. Where the
 * process is on a board the whole tree knows it, else the process.
 *
 * A server is an address and a port, as libpq says that it is connected to, so several of one
 * program, and of one tree, are told apart. Two that are taken for one (a name that means another
 * machine in another container) cost a question that need not have been asked, never an error.
 *
 * Not shared is whether a server is away: see docs/design.md.
 *
 * Locks: none, all of it is atomic. Fork: the board's numbers hold in a child too.
 */
#ifndef TINE_PRELOAD_LIBPQ_COMMON_H
#define TINE_PRELOAD_LIBPQ_COMMON_H

#include "preload/libpq/record.h"

/** A session has begun: find its server, and note what is known of it so far. */
void tine_common_begin(struct tine_record *record);

/** How many of the server's connections are known to be dead. */
unsigned tine_common_deaths(const struct tine_record *record);

/** One was found dead, or to be on a server that takes no writes any more. */
void tine_common_died(const struct tine_record *record);

/** The shortest idle time after which one was found dead without a sign, in ns; 0: none was. */
int64_t tine_common_silence_ns(const struct tine_record *record);

/** One was found dead after so much idle time, or found alive. */
void tine_common_fell_silent(const struct tine_record *record, int64_t idle_ns);
void tine_common_answered(const struct tine_record *record, int64_t idle_ns);

#endif
