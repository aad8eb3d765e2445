/* SPDX-License-Identifier: PostgreSQL */
/* What the files of the supervisor's test program share. */
#ifndef TINE_TESTS_PREFORK_CREW_H
#define TINE_TESTS_PREFORK_CREW_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include <tine/tine.h>

/** Append a line to CREW_TRACE in one write. */
void crew_trace(const char *line);

/** With CREW_POOL: a pool made and used in the master, looked at in each worker by a hook. */
void crew_pool_begin(tine_master *master);
void crew_pool_end(void);

/** Ask for this worker's own server process, in a transaction that stays open for a moment. */
void crew_pool_query(int fd);

#endif
