/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the parts of the examination of a database share: what is known of each host, and the order
 * of the steps. A part measures into these structs and grades what it measured; grades depend on
 * the structs alone, so that tests can make them up.
 *
 * Texts of servers are kept as they came, without our secrets; the report cleans them.
 *
 * Locks: none. Fork: nothing to do.
 */
#ifndef TINE_DOCTOR_DATABASE_H
#define TINE_DOCTOR_DATABASE_H

#include <jansson.h>

#include "doctor/database_tls.h"
#include "doctor/doctor.h"
#include "doctor/session.h"

struct tine_report;

enum tine_answer { TINE_UNKNOWN, TINE_NO, TINE_YES };

/* One host of the connection string. */
struct tine_examined {
	const struct tine_dsn_host *host;
	char label[300]; /* "db.example.org:5432" */
	bool is_local;   /* this machine: what goes there is not on a network */
	json_t *facts;   /* borrowed from the report */

	char **addresses;
	struct tine_endpoint *endpoints;
	int endpoint_count;
	struct tine_endpoint *chosen; /* the first that could be reached */
	const char *hostaddr;         /* its address; NULL for a socket */

	struct tine_tls_seen tls;
	struct tine_greeting greeting; /* of a login as the connection string wants it */
	bool is_greeting_encrypted;
	struct tine_greeting clear_text; /* of one in clear text; kind 0: not tried */

	struct tine_session *session;
	int64_t login_us, first_query_us;
	int64_t p50_us, p99_us;
	int samples;

	enum tine_answer in_recovery, is_read_only;
	char started[64]; /* when the server was started, "" when not known */
};

struct tine_database {
	struct tine_report *report;
	const struct tine_doctor_options *options;
	struct tine_dsn dsn;
	const char *sslmode;
	int timeout_ms; /* of each step that waits for a server */
	time_t now;
	struct tine_examined *hosts;
	int host_count;
};

/* What pg_settings and others say, of one server. Times in ms, 0 = off. */
struct tine_server {
	char version[64];
	int major; /* 0 when not known */
	bool is_superuser;
	long long max_connections, reserved;
	long long role_limit, database_limit; /* -1 = none */
	long long used, used_by_role, used_by_database;
	long long idle_in_transaction, idle_in_transaction_s; /* how many, the longest */
	long long statement_ms, idle_transaction_ms, idle_session_ms, transaction_ms;
	long long keepalives_idle_s; /* -1 when not known */
	char user[128], database[128];
};

/* ---- one host (database_host.c, database_login.c) ------------------------------------------- */

/** Resolve, connect, TLS, how a login goes on; then log in and measure. */
void tine_host_reach(struct tine_database *database, struct tine_examined *host);
void tine_host_login(struct tine_database *database, struct tine_examined *host);
void tine_host_done(struct tine_examined *host);

/** Another session with a host that let us in. @return as tine_session_open() */
struct tine_session *tine_host_session(const struct tine_database *database,
				       const struct tine_examined *host,
				       const struct tine_parameter *parameters, tine_error *error);

/* ---- grades (database_grade.c, database_trust.c) -------------------------------------------- */

void tine_grade_lookup(struct tine_database *database, const struct tine_examined *host,
		       int addresses, int64_t us);
void tine_grade_tls(struct tine_database *database, struct tine_examined *host);
void tine_grade_authentication(struct tine_database *database, struct tine_examined *host);
void tine_grade_login_failure(struct tine_database *database, struct tine_examined *host,
			      const tine_error *error);
void tine_grade_speed(struct tine_database *database, struct tine_examined *host);
void tine_grade_client_settings(struct tine_database *database, const struct tine_examined *host);

/* ---- all hosts (database_role.c) ------------------------------------------------------------ */

/** Which hosts can be written to, and which one a program would get.
 *  @return that one, NULL when there is none */
struct tine_examined *tine_grade_roles(struct tine_database *database);

/* ---- the server (database_server.c, database_limits.c) -------------------------------------- */

void tine_server_examine(struct tine_database *database, struct tine_examined *host,
			 struct tine_server *ret_server);
void tine_grade_limits(struct tine_database *database, const char *where,
		       const struct tine_server *server);
void tine_grade_timeouts(struct tine_database *database, const char *where,
			 const struct tine_server *server);
void tine_grade_version(struct tine_database *database, const char *where,
			const struct tine_server *server);

/** How many more connections this user can have. */
long long tine_server_free(const struct tine_server *server);

/* ---- what is in between (database_pooler.c, database_idle.c) -------------------------------- */

void tine_pooler_examine(struct tine_database *database, struct tine_examined *host);

/** Hold up to count connections idle and see what becomes of them. */
void tine_idle_probe(struct tine_database *database, struct tine_examined *host, int count);

/** "a step could not be taken": a finding that says which and why. */
void tine_database_unanswered(struct tine_database *database, const char *where, const char *what,
			      const tine_error *error);

#endif
