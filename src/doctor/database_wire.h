/* SPDX-License-Identifier: PostgreSQL */
/*
 * The beginning of PostgreSQL's protocol by hand, for what libpq does not tell: how long TCP takes,
 * whether the server has TLS, how it wants a login to be made. No password is ever sent here.
 *
 * The server is not trusted: every wait has a limit, every length is checked.
 *
 * Locks: none. Fork: descriptors are closed on exec.
 */
#ifndef TINE_DOCTOR_DATABASE_WIRE_H
#define TINE_DOCTOR_DATABASE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

/* One place where a host listens. */
struct tine_endpoint {
	const char *address; /* numeric, or the directory of a socket; borrowed */
	int fd;              /* connected and not blocking, or -1 */
	int os_errno;        /* why not */
	int64_t us;          /* how long that took */
};

/* A connection while it is looked at. */
struct tine_wire {
	int fd;
	SSL *ssl;   /* NULL: clear text */
	bool is_in; /* the server let us in without asking for anything */
	int64_t until_ns;
};

/* What a server answers to the start of a login. */
struct tine_greeting {
	char kind;            /* 'R' asks for a login, 'E' refuses, 0: something else or nothing */
	unsigned method;      /* of 'R': the protocol's number, 0 = nothing is asked */
	char mechanisms[128]; /* of method 10 (SASL), with ", " between them */
	char sqlstate[6];     /* of 'E' */
	char message[256];    /* of 'E', or what went wrong here */
};

/** Connect to all places at once and fill fd, os_errno and us of each.
 *  @param is_socket  the address is a directory */
void tine_endpoints_connect(struct tine_endpoint *endpoints, int count, const char *port,
			    bool is_socket, int timeout_ms);

/** Close what is still open. */
void tine_endpoints_close(struct tine_endpoint *endpoints, int count);

/** Read exactly so many bytes, or write them. @return 0, -ETIMEDOUT, -ECONNRESET or what else */
int tine_wire_read(struct tine_wire *wire, void *bytes, size_t length);
int tine_wire_write(struct tine_wire *wire, const void *bytes, size_t length);

/** What an SSL call that failed waits for: waits. @return 0 to call again, -errno when it is over
 */
int tine_wire_wait_ssl(struct tine_wire *wire, int result);

/** Ask for TLS. @param ret_answer 'S' yes, 'N' no; all else is no PostgreSQL, or a very old one
 *  @return 0 or -errno; -EPROTO when more came than was asked for */
int tine_wire_ask_tls(struct tine_wire *wire, char *ret_answer);

/** Begin a login and see how the server goes on.
 *  @param keyword  one more parameter, to see what a server makes of it; NULL: none */
void tine_wire_greet(struct tine_wire *wire, const char *user, const char *dbname,
		     const char *keyword, struct tine_greeting *ret_greeting);

/** End it. The server is told when it let us in. */
void tine_wire_close(struct tine_wire *wire);

#endif
