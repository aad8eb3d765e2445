/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a connection string means to libpq, which is what the program that uses it gets: with the
 * service file, the PG... variables and libpq's defaults, not with the pool's own
 * (pool/conninfo.h). SQLAlchemy's URLs are understood.
 *
 * Locks: none. Fork: plain data.
 */
#ifndef TINE_DOCTOR_DSN_H
#define TINE_DOCTOR_DSN_H

#include <stdbool.h>

#include "pool/pq.h"
#include "tine/tine.h"

struct tine_dsn_host {
	char *host;     /* a name, an address, or the directory of a socket; never "" */
	char *hostaddr; /* a numeric address, or "" */
	char *port;
	bool is_socket; /* a unix socket in the directory host */
};

struct tine_dsn {
	PQconninfoOption *given;     /* by the string */
	PQconninfoOption *effective; /* with everything else */
	struct tine_dsn_host *hosts;
	int host_count; /* at least 1 */
};

/** Read a connection string; nothing is opened or looked up.
 *  @param dsn    filled on success only, for tine_dsn_done()
 *  @param error  the cause without any secret of the string
 *  @return 0 or a negative TINE_E_* */
int tine_dsn_read(struct tine_dsn *dsn, const char *conninfo, tine_error *error);

/** Frees, and erases passwords. Zeroes are allowed. */
void tine_dsn_done(struct tine_dsn *dsn);

/** The value that libpq uses for a parameter, "" for none. */
const char *tine_dsn_value(const struct tine_dsn *dsn, const char *keyword);

/** Does a URL name a driver, "postgresql+asyncpg://"? */
bool tine_dsn_has_driver(const char *conninfo);

/** Copy such a URL, plain by now, without the parameters that only the driver or SQLAlchemy knows,
 *  and with libpq's names for those that libpq knows by another.
 *  @param options  all that libpq knows
 *  @param ret_url  of at least 3 * strlen(url) + 1 bytes */
void tine_dsn_url_translate(const char *url, const PQconninfoOption *options, char *ret_url);

/** Replace what is secret in a text by '***', in place. A password that is also the name of the
 *  user or database is none. */
void tine_dsn_hide(const struct tine_dsn *dsn, char *text);

/** The same for one secret, which may be NULL: the one that libpq found in a password file. */
void tine_dsn_hide_one(const struct tine_dsn *dsn, char *text, const char *secret);

#endif
