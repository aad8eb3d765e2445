/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the soak is good for: connections of libpq in a pool that knows nothing of fork, opened by
 * the master and used by all of its workers. Run like this the soak must fail.
 *
 * Locks: a flag for each connection, which is good within one process. Fork: unprotected on
 * purpose.
 */
#include "soak.h"

#include <poll.h>

static struct {
	PGconn *pg;
	_Atomic bool busy;
} shared[LIMIT];

void bare_open(void)
{
	for (int i = 0; i < LIMIT; i++) {
		shared[i].pg = PQconnectdb(options.conninfo);
		if (PQstatus(shared[i].pg) != CONNECTION_OK)
			fail("cannot connect: %s", PQerrorMessage(shared[i].pg));
		session_opened(shared[i].pg, true);
	}
}

void bare_turn(void)
{
	int at = (int)random_below(LIMIT);
	struct held held;

	step("takes a bare connection");
	if (atomic_exchange(&shared[at].busy, true)) {
		poll(NULL, 0, 1);
		return;
	}
	hold(&held, NULL, shared[at].pg);
	ask_once(&held);
	atomic_store(&shared[at].busy, false);
}
