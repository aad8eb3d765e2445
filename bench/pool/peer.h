/* SPDX-License-Identifier: PostgreSQL */
/*
 * Pools that can be measured side by side. Which are there is decided when the programs are built.
 *
 * Threads: a pool is for any number of them. A pool stays until the program ends.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

struct peer {
	const char *name;
	/** A pool with so many idle connections, and room for `most`. */
	void *(*open)(int connections, int most);
	/** Take a connection out of the pool, ready to be used, and give it back, so many times. */
	void (*cycle)(void *pool, long cycles);
	/** Take a connection, run a query that returns rows, give the connection back. */
	void (*query)(void *pool, const char *sql);
	/** How many connections are open now, or on their way. */
	int (*count)(void *pool);
};

/** The pool of that name: "tine", "tine-unused" (whose cycles leave the PGconn alone), "libzdb".
 *  Ends the program when it was not built. */
const struct peer *peer_find(const char *name);

extern const struct peer peer_zdb; /* peer_zdb.c, where HAVE_ZDB is defined */

#endif
