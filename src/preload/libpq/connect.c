/* SPDX-License-Identifier: PostgreSQL */
/*
 * Wrappers of the functions that make, reset and finish connections.
 *
 * However a program asks for a connection, it is one struct login here, so that whatever has a say
 * in it is written once.
 *
 * Locks: none. Fork: a PGconn that is finished in a child is severed, so libpq's goodbye reaches
 * nobody.
 */
#include <stddef.h>

#include "base/hot.h"
#include "preload/libpq/await.h"
#include "preload/libpq/budget.h"
#include "preload/libpq/cancel.h"
#include "preload/libpq/dress.h"
#include "preload/libpq/gate.h"
#include "preload/libpq/lend.h"
#include "preload/libpq/login.h"
#include "preload/libpq/park.h"
#include "preload/libpq/wrap.h"

enum login_by { BY_TEXT, BY_PARAMETERS, BY_LEGACY };

/* What a program asks for, as it says it. Borrowed for the call. */
struct login {
	const char *function;
	enum login_by by;
	bool start; /* only begun: the program goes on with PQconnectPoll() */
	const char *conninfo;
	const char *const *keywords, *const *values;
	int expand_dbname;
	const char *legacy[7]; /* in the order of PQsetdbLogin() */
};

static PGconn *open_as_is(const struct tine_copy *copy, const struct login *login)
{
	const char *const *legacy = login->legacy;

	switch (login->by) {
	case BY_TEXT:
		return (login->start ? copy->real.PQconnectStart
				     : copy->real.PQconnectdb)(login->conninfo);
	case BY_PARAMETERS:
		return (login->start ? copy->real.PQconnectStartParams
				     : copy->real.PQconnectdbParams)(login->keywords, login->values,
								     login->expand_dbname);
	case BY_LEGACY:
		break;
	}
	return copy->real.PQsetdbLogin(legacy[0], legacy[1], legacy[2], legacy[3], legacy[4],
				       legacy[5], legacy[6]);
}

static PGconn *open_real(const struct tine_copy *copy, const struct login *login)
{
	PGconn *conn;

	tine_gate_enter();
	conn = open_as_is(copy, login);
	tine_gate_leave();
	return conn;
}

static PGconn *keep(struct tine_copy *copy, PGconn *conn)
{
	struct tine_record *record = conn ? tine_record_add(copy, conn) : NULL;

	if (record && copy->real.PQstatus(conn) == CONNECTION_OK)
		tine_session_begin(record);
	return conn;
}

/* The legacy form in the words of PQconnectdbParams(), which means the same. */
static PGconn *open_legacy(struct tine_copy *copy, const struct login *login)
{
	static const char *const names[] = { "dbname", "host",     "port", "options",
					     "user",   "password", NULL };
	const char *const *legacy = login->legacy;
	const char *const values[] = { legacy[4], legacy[0], legacy[1], legacy[2],
				       legacy[5], legacy[6], NULL };
	struct tine_login wanted = { .keywords = names, .values = values, .expand_dbname = 1 };

	return tine_login_open(copy, &wanted, false);
}

static PGconn *open_login(struct tine_copy *copy, const struct login *login)
{
	struct tine_login wanted = { .conninfo = login->conninfo,
				     .keywords = login->keywords,
				     .values = login->values,
				     .expand_dbname = login->expand_dbname };

	tine_guard_enter();
	tine_level_say_login(copy, login->function);
	if (login->by == BY_PARAMETERS && tine_login_is_libtine(&wanted))
		return open_real(copy, login);
	if (!tine_login_is_on())
		return keep(copy, open_real(copy, login));
	return login->by == BY_LEGACY ? open_legacy(copy, login)
				      : tine_login_open(copy, &wanted, login->start);
}

PGconn *tine_wrap_PQconnectdb(struct tine_copy *copy, const char *conninfo)
{
	return open_login(copy, &(struct login){ .function = "PQconnectdb", .conninfo = conninfo });
}

PGconn *tine_wrap_PQconnectStart(struct tine_copy *copy, const char *conninfo)
{
	return open_login(copy, &(struct login){ .function = "PQconnectStart",
						 .start = true,
						 .conninfo = conninfo });
}

PGconn *tine_wrap_PQconnectdbParams(struct tine_copy *copy, const char *const *keywords,
				    const char *const *values, int expand_dbname)
{
	return open_login(copy, &(struct login){ .function = "PQconnectdbParams",
						 .by = BY_PARAMETERS,
						 .keywords = keywords,
						 .values = values,
						 .expand_dbname = expand_dbname });
}

PGconn *tine_wrap_PQconnectStartParams(struct tine_copy *copy, const char *const *keywords,
				       const char *const *values, int expand_dbname)
{
	return open_login(copy, &(struct login){ .function = "PQconnectStartParams",
						 .by = BY_PARAMETERS,
						 .start = true,
						 .keywords = keywords,
						 .values = values,
						 .expand_dbname = expand_dbname });
}

PGconn *tine_wrap_PQsetdbLogin(struct tine_copy *copy, const char *host, const char *port,
			       const char *options, const char *tty, const char *dbname,
			       const char *user, const char *password)
{
	return open_login(copy, &(struct login){ .function = "PQsetdbLogin",
						 .by = BY_LEGACY,
						 .legacy = { host, port, options, tty, dbname, user,
							     password } });
}

static PostgresPollingStatusType step_real(PGconn *conn,
					   PostgresPollingStatusType (*real)(PGconn *conn))
{
	PostgresPollingStatusType next;

	tine_gate_enter();
	next = real(conn);
	tine_gate_leave();
	return next;
}

static PostgresPollingStatusType poll_telling(struct tine_record *record)
{
	PostgresPollingStatusType next;

	record->inside = true;
	next = tine_lend_poll(record);
	record->inside = false;
	if (next == PGRES_POLLING_OK)
		tine_stay_move(&record->stay, TINE_STAY_OUT);
	return next;
}

/* A connection that is made in steps is complete with the last one. */
static PostgresPollingStatusType step(struct tine_copy *copy, PGconn *conn,
				      PostgresPollingStatusType (*real)(PGconn *conn))
{
	struct tine_record *record;
	PostgresPollingStatusType next;

	tine_guard_enter();
	record = tine_record_find(conn);
	if (!record || record->copy != copy || record->inside)
		return step_real(conn, real);
	if (record->stay.place == TINE_STAY_COMING)
		return record->lending.is_telling ? poll_telling(record) : tine_park_poll(record);
	if (tine_await_is_on(record))
		return tine_await_poll(record);
	next = step_real(conn, real);
	if (!record->session.is_open &&
	    (next == PGRES_POLLING_OK || next == PGRES_POLLING_FAILED)) {
		tine_stay_move(&record->stay, TINE_STAY_OUT);
		if (!tine_login_done(record, next == PGRES_POLLING_OK, true)) {
			tine_stay_move(&record->stay, TINE_STAY_COMING);
			next = poll_telling(record);
		}
	}
	return next;
}

PostgresPollingStatusType tine_wrap_PQconnectPoll(struct tine_copy *copy, PGconn *conn)
{
	return step(copy, conn, copy->real.PQconnectPoll);
}

PostgresPollingStatusType tine_wrap_PQresetPoll(struct tine_copy *copy, PGconn *conn)
{
	return step(copy, conn, copy->real.PQresetPoll);
}

/* The record of a connection whose state libpq does not know, or NULL. */
static struct tine_record *find_apart(const struct tine_copy *copy, const PGconn *conn)
{
	struct tine_record *record = tine_stay_any_apart() ? tine_record_find(conn) : NULL;

	return record && record->copy == copy ? record : NULL;
}

/* Programs whose threads share a connection ask before they wait for their turn, as psycopg2. */
static const struct tine_record *find_held(const struct tine_copy *copy, const PGconn *conn)
{
	const struct tine_record *record =
		atomic_load_explicit(&tine_cancel_holds, memory_order_relaxed) > 0
			? tine_record_find(conn)
			: NULL;

	return record && record->copy == copy && tine_cancel_is_held(record) ? record : NULL;
}

ConnStatusType tine_wrap_PQstatus(struct tine_copy *copy, const PGconn *conn)
{
	const struct tine_record *record = find_apart(copy, conn);
	ConnStatusType status;

	/* As PQconnectStart() leaves it, until it is polled; a Unix socket is connected at once. */
	if (record && record->stay.place == TINE_STAY_COMING)
		return tine_login_is_local(record) ? CONNECTION_MADE : CONNECTION_STARTED;
	if (record && tine_await_is_on(record))
		return CONNECTION_STARTED;
	status = copy->real.PQstatus(conn);
	if (status == CONNECTION_OK)
		return status;
	/* Looked at first: that may have begun only now, or be over by the second look. */
	return find_held(copy, conn) ? CONNECTION_OK : copy->real.PQstatus(conn);
}

static int socket_of(const struct tine_copy *copy, const PGconn *conn)
{
	const struct tine_record *record = find_apart(copy, conn);

	if (record && tine_await_is_on(record))
		return record->await.fd;
	record = find_held(copy, conn);
	return record ? record->session.fd : copy->real.PQsocket(conn);
}

/* Programs ask for the socket of each connection in every round of their loops. */
TINE_HOT_CODE
int tine_wrap_PQsocket(struct tine_copy *copy, const PGconn *conn)
{
	int fd = tine_stay_any_apart() ? -1 : copy->real.PQsocket(conn);

	return fd >= 0 ? fd : socket_of(copy, conn);
}

int tine_wrap_PQsetnonblocking(struct tine_copy *copy, PGconn *conn, int on)
{
	struct tine_record *record = find_apart(copy, conn);

	if (!record || !tine_await_is_on(record))
		return copy->real.PQsetnonblocking(conn, on);
	record->await.is_nonblocking = on;
	return 0;
}

char *tine_wrap_PQerrorMessage(struct tine_copy *copy, const PGconn *conn)
{
	const struct tine_record *record = tine_record_find(conn);

	if (record && record->copy == copy && record->refusal)
		return record->refusal;
	if (record && record->copy == copy &&
	    (tine_await_is_on(record) || tine_cancel_is_held(record)))
		return (char *)"";
	return copy->real.PQerrorMessage(conn);
}

PQconninfoOption *tine_wrap_PQconninfo(struct tine_copy *copy, PGconn *conn)
{
	PQconninfoOption *options = copy->real.PQconninfo(conn);
	const struct tine_record *record = tine_record_find(conn);

	if (options && record && record->copy == copy)
		tine_login_say(record, options);
	return options;
}

PQnoticeReceiver tine_wrap_PQsetNoticeReceiver(struct tine_copy *copy, PGconn *conn,
					       PQnoticeReceiver receiver, void *argument)
{
	struct tine_record *record = tine_record_find(conn);

	/* NULL only asks. */
	if (receiver && record && record->copy == copy)
		tine_dress_hears(record, receiver, argument);
	return copy->real.PQsetNoticeReceiver(conn, receiver, argument);
}

static struct tine_record *find_ours(const struct tine_copy *copy, const PGconn *conn)
{
	struct tine_record *record;

	tine_guard_enter();
	record = tine_record_find(conn);
	return record && record->copy == copy && !record->inside ? record : NULL;
}

static void reset_real(const struct tine_copy *copy, PGconn *conn)
{
	tine_gate_enter();
	copy->real.PQreset(conn);
	tine_gate_leave();
}

/* The program opens a new session itself, which is this process's. */
void tine_wrap_PQreset(struct tine_copy *copy, PGconn *conn)
{
	struct tine_record *record = find_ours(copy, conn);
	char why[512];

	if (!record) {
		reset_real(copy, conn);
		return;
	}
	tine_await_leave(record);
	if (!tine_budget_admit_again(record, false, why, sizeof(why))) {
		tine_login_refuse(record, why);
		return;
	}
	tine_login_refuse(record, NULL);
	tine_session_end(record);
	record->forks = tine_level.forks;
	reset_real(copy, conn);
	tine_login_done(record, copy->real.PQstatus(conn) == CONNECTION_OK, false);
}

int tine_wrap_PQresetStart(struct tine_copy *copy, PGconn *conn)
{
	struct tine_record *record = find_ours(copy, conn);

	return record ? tine_await_reset(record) : tine_gate_reset_start(copy, conn);
}

void tine_wrap_PQfinish(struct tine_copy *copy, PGconn *conn)
{
	struct tine_record *record;

	tine_guard_enter();
	record = tine_record_find(conn);
	if (!record || record->copy != copy)
		tine_gate_finish(copy, conn);
	else if (!tine_park_keep(record))
		tine_park_finish(record);
}
