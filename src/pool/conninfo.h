/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a pool connects to: the parameters of every attempt, and the hosts that are tried. Made once
 * from the program's conninfo, the service file, the environment and the pool's settings, without
 * opening a socket or looking up a name (but for libpq's own look-up of a service in LDAP where its
 * file says so), and immutable from then on.
 *
 * Only what conninfo itself says is kept here. A password that comes from the environment, a
 * service file or a password file is read by libpq at each connect, so that a changed one is used.
 *
 * TLS: config->tls when it is not TINE_TLS_DEFAULT; else the sslmode that conninfo, the service
 * file or PGSSLMODE name; else "require". (That a service file says "prefer", which is libpq's
 * default, cannot be seen and counts for nothing.) Encryption by GSS, which libpq by itself prefers
 * over TLS whatever sslmode says, is turned off unless gssencmode is named: "require" is TLS, and
 * "verify-full" does look at a certificate.
 *
 * Locks: none. Fork: plain data, valid in the child.
 */
#ifndef TINE_POOL_CONNINFO_H
#define TINE_POOL_CONNINFO_H

#include <stdbool.h>

#include "pool/pq.h"
#include "tine/tine.h"

/* Entries of the arrays for one attempt, the NULL at the end included: above twice what any libpq
 * knows. */
#define TINE_CONNINFO_MAX 128

/* target_session_attrs */
enum tine_session_attrs {
	TINE_ATTRS_ANY,
	TINE_ATTRS_READ_WRITE,
	TINE_ATTRS_READ_ONLY,
	TINE_ATTRS_PRIMARY,
	TINE_ATTRS_STANDBY,
	TINE_ATTRS_PREFER_STANDBY,
};

struct tine_host {
	char *host;     /* a name, an address, the directory of a socket, or "": libpq's default */
	char *hostaddr; /* a numeric address, or "" */
	char *port;     /* never empty */
};

struct tine_conninfo {
	char **keywords; /* without those that an attempt or the pool itself decides: host, */
	char **values; /* hostaddr, port, target_session_attrs, load_balance_hosts, connect_timeout
			*/
	int count;
	struct tine_host *hosts; /* in the order in which they were given */
	int host_count;          /* at least 1 */
	enum tine_session_attrs session_attrs;
	bool shuffle;           /* load_balance_hosts=random */
	int connect_timeout_ms; /* connect_timeout as the user has it; 0 = nothing said, or no limit
				 */
};

struct tine_address;

/** Find out what a pool connects to.
 *  @param info    filled on success only; the caller's, for tine_conninfo_done()
 *  @param config  full and checked: from tine_pool_config_check(). Nothing of it is kept
 *  @return 0; TINE_E_INVALID with the cause, also libpq's own, and no secret in the text;
 *  TINE_E_NOMEM */
int tine_conninfo_new(struct tine_conninfo *info, const struct tine_pq *pq,
		      const tine_pool_config *config, tine_error *error);

/** Free what tine_conninfo_new() made and erase the passwords in it. Zeroes are allowed. */
void tine_conninfo_done(struct tine_conninfo *info);

/** The parameters of one attempt, for connect_start_params(..., expand_dbname = 0).
 *  @param ret_keywords, ret_values  arrays of TINE_CONNINFO_MAX; filled with texts of info and
 *  address, and a NULL at the end
 *  @return the number of parameters */
int tine_conninfo_params(const struct tine_conninfo *info, const struct tine_address *address,
			 const char **ret_keywords, const char **ret_values);

#endif
