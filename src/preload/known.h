/* SPDX-License-Identifier: PostgreSQL */
/*
 * Which addresses are PostgreSQL's: unix sockets by their name, TCP by port (5432, 6432, PGPORT,
 * URLs in the environment, --port), and the exact addresses where a connection was recognised by
 * its first bytes.
 *
 * Written by the constructor and, for learned addresses, by any thread without a lock; read in fork
 * handlers. Plain memory, so a child has its parent's knowledge.
 */
#ifndef TINE_PRELOAD_KNOWN_H
#define TINE_PRELOAD_KNOWN_H

#include <stdbool.h>
#include <sys/socket.h>

/** Learn the ports that the environment names. Not in a handler: reads environ.
 *  @param extra_ports a list (the value of --port) or NULL; a wrong list is ignored, since `tine
 * run` has checked it and a library must not stop a program */
void tine_known_init(const char *extra_ports);

/** Does this peer address say PostgreSQL? TCP needs a look at the direction besides: the peer of an
 *  accepted connection can have any port. */
bool tine_known_address(const struct sockaddr *address, socklen_t length);

/** Remember the exact address of a recognised connection. Forgets nothing; keeps the first 64. */
void tine_known_learn(const struct sockaddr *address, socklen_t length);

#endif
