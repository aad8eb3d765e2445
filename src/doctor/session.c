/* SPDX-License-Identifier: PostgreSQL */
/*
 * libpq with time limits. The connect runs in a thread that can be left behind: libpq does not wait
 * for the network in it, but the arithmetic of a login (SCRAM's iterations are the server's
 * choice), a password file that is a pipe, or Kerberos may take for ever.
 *
 * Owns the PGconn. Locks: none. Fork: see the header.
 */
#include "doctor/session.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "doctor/bounded.h"
#include "pool/error.h"

#define PARAMETERS_MAX 128
#define GRACE_MS 1000 /* for the thread to see by itself that its time is over */

static const struct tine_pq *const pq = &tine_pq_linked;

struct tine_session {
	const struct tine_dsn *dsn;
	PGconn *pg;
	bool is_lost;
	int timeout_ms, backend_pid;
	char last_notice[256], last_notice_sqlstate[6];
	char parameter[256];
};

/* ---- connecting ----------------------------------------------------------------------------- */

struct connect {
	char *keywords[PARAMETERS_MAX], *values[PARAMETERS_MAX];
	int count;
	int64_t until_ns;
	PGconn *pg;
	ConnStatusType reached;
	bool is_late;
};

static bool put(struct connect *connect, const char *keyword, const char *value)
{
	int at = 0;
	char *copy = strdup(value);

	while (at < connect->count && strcmp(connect->keywords[at], keyword) != 0)
		at++;
	if (!copy || at >= PARAMETERS_MAX - 1)
		goto fail;
	if (at == connect->count) {
		connect->keywords[at] = strdup(keyword);
		if (!connect->keywords[at])
			goto fail;
		connect->count++;
	}
	free(connect->values[at]);
	connect->values[at] = copy;
	return true;
fail:
	free(copy);
	return false;
}

static void connect_free(struct connect *connect)
{
	if (connect->pg)
		pq->finish(connect->pg);
	for (int i = 0; i < connect->count; i++) {
		free(connect->keywords[i]);
		explicit_bzero(connect->values[i], strlen(connect->values[i]));
		free(connect->values[i]);
	}
	free(connect);
}

static struct connect *connect_new(const struct tine_dsn *dsn, const struct tine_dsn_host *host,
				   const char *hostaddr, const struct tine_parameter *parameters)
{
	struct connect *connect = calloc(1, sizeof(*connect));
	bool good = connect;

	for (const PQconninfoOption *option = dsn->given; good && option->keyword; option++)
		if (option->val && strcmp(option->keyword, "load_balance_hosts") != 0)
			good = put(connect, option->keyword, option->val);
	good = good && put(connect, "host", host->host) && put(connect, "port", host->port) &&
	       put(connect, "hostaddr", hostaddr ? hostaddr : "") &&
	       put(connect, "target_session_attrs", "any") &&
	       put(connect, "application_name", "tine doctor");
	/* Kerberos waits for its own servers, and is used before TLS when a ticket is there. */
	if (good && strcmp(tine_dsn_value(dsn, "gssencmode"), "require") != 0)
		good = put(connect, "gssencmode", "disable");
	for (; good && parameters && parameters->keyword; parameters++)
		good = put(connect, parameters->keyword, parameters->value);
	if (!good && connect) {
		connect_free(connect);
		connect = NULL;
	}
	return connect;
}

static void ignore_notice(void *arg, const PGresult *result)
{
	(void)arg;
	(void)result;
}

/* Waits until the socket is ready. @return false when time is up */
static bool await(int fd, short events, int64_t until_ns)
{
	struct pollfd slot = { .fd = fd, .events = events };
	int64_t now_ns = tine_clock_ns();
	int rc;

	do
		rc = poll(&slot, 1, tine_clock_poll_ms(until_ns, now_ns));
	while (rc < 0 && errno == EINTR);
	return rc != 0 && tine_clock_ns() < until_ns;
}

/* In the thread. */
static void connect_run(void *arg)
{
	struct connect *connect = arg;
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;

	connect->pg = pq->connect_start_params((const char *const *)connect->keywords,
					       (const char *const *)connect->values, 0);
	if (!connect->pg || pq->status(connect->pg) == CONNECTION_BAD)
		return;
	PQsetNoticeReceiver(connect->pg, ignore_notice, NULL);
	while (state == PGRES_POLLING_READING || state == PGRES_POLLING_WRITING) {
		connect->reached = pq->status(connect->pg);
		connect->is_late = !await(pq->socket(connect->pg),
					  state == PGRES_POLLING_READING ? POLLIN : POLLOUT,
					  connect->until_ns);
		if (connect->is_late)
			return;
		state = pq->connect_poll(connect->pg);
	}
}

static const char *waited_for(ConnStatusType reached)
{
	switch (reached) {
	case CONNECTION_STARTED:
		return "the connection";
	case CONNECTION_SSL_STARTUP:
		return "TLS";
	case CONNECTION_MADE:
	case CONNECTION_AWAITING_RESPONSE:
	case CONNECTION_AUTH_OK:
		return "the login";
	default:
		return "the server";
	}
}

static int connect_error(const struct tine_dsn *dsn, const struct connect *connect, int timeout_ms,
			 tine_error *error)
{
	int status;

	if (!connect->pg)
		return tine_error_set(error, TINE_E_NOMEM, "no memory for the connection");
	if (connect->is_late)
		return tine_error_set(error, TINE_E_CONNECT_TIMEOUT,
				      "waited %.1f s for %s, in vain", timeout_ms / 1e3,
				      waited_for(connect->reached));
	status = tine_error_set_connect_at(error, pq, connect->pg, connect->reached);
	tine_dsn_hide(dsn, error->text);
	tine_dsn_hide_one(dsn, error->text, PQpass(connect->pg));
	return status;
}

static void keep_notice(void *arg, const PGresult *result)
{
	struct tine_session *session = arg;
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	snprintf(session->last_notice, sizeof(session->last_notice), "%s", text ? text : "");
	snprintf(session->last_notice_sqlstate, sizeof(session->last_notice_sqlstate), "%s",
		 sqlstate ? sqlstate : "");
}

static struct tine_session *session_new(const struct tine_dsn *dsn, struct connect *connect,
					int timeout_ms)
{
	struct tine_session *session = calloc(1, sizeof(*session));

	if (!session)
		return NULL;
	session->dsn = dsn;
	session->pg = connect->pg;
	session->timeout_ms = timeout_ms;
	session->backend_pid = PQbackendPID(connect->pg);
	connect->pg = NULL;
	PQsetNoticeReceiver(session->pg, keep_notice, session);
	PQsetnonblocking(session->pg, 1);
	PQsetErrorVerbosity(session->pg, PQERRORS_DEFAULT);
	return session;
}

int tine_session_connect_ms(const struct tine_dsn *dsn)
{
	long seconds = strtol(tine_dsn_value(dsn, "connect_timeout"), NULL, 10);

	if (seconds <= 0)
		return TINE_SESSION_CONNECT_MS;
	/* Two seconds are libpq's own least. */
	return 1000 * (int)(seconds < 2 ? 2 : seconds > 30 ? 30 : seconds);
}

struct tine_session *tine_session_open(const struct tine_dsn *dsn, const struct tine_dsn_host *host,
				       const char *hostaddr,
				       const struct tine_parameter *parameters, int timeout_ms,
				       tine_error *error)
{
	struct connect *connect = connect_new(dsn, host, hostaddr, parameters);
	struct tine_session *session = NULL;
	bool has_started;

	if (!connect) {
		tine_error_set(error, TINE_E_NOMEM, "no memory for the connection");
		return NULL;
	}
	connect->until_ns = tine_clock_ns() + (int64_t)timeout_ms * TINE_NS_PER_MS;
	if (!tine_bounded_call(connect_run, connect, timeout_ms + GRACE_MS, &has_started)) {
		if (has_started)
			tine_error_set(error, TINE_E_CONNECT_TIMEOUT,
				       "the login needed more than %.1f s of this machine's work",
				       timeout_ms / 1e3);
		else
			tine_error_set(error, TINE_E_SYSTEM, "no thread for the connection");
		if (!has_started)
			connect_free(connect);
		return NULL;
	}
	if (!connect->pg || connect->is_late || pq->status(connect->pg) != CONNECTION_OK)
		connect_error(dsn, connect, timeout_ms, error);
	else if ((session = session_new(dsn, connect, timeout_ms)) == NULL)
		tine_error_set(error, TINE_E_NOMEM, "no memory for the connection");
	connect_free(connect);
	return session;
}

struct tine_session *tine_session_open_any(const struct tine_dsn *dsn, tine_error *error)
{
	int timeout_ms = tine_session_connect_ms(dsn);
	struct tine_session *session = NULL;

	for (int i = 0; i < dsn->host_count && !session; i++) {
		const struct tine_dsn_host *host = &dsn->hosts[i];
		char **addresses = NULL;
		int count = tine_session_resolve(host, timeout_ms, &addresses, error);

		if (host->is_socket)
			session = tine_session_open(dsn, host, NULL, NULL, timeout_ms, error);
		for (int at = 0; at < count; at++) {
			if (!session)
				session = tine_session_open(dsn, host, addresses[at], NULL,
							    timeout_ms, error);
			free(addresses[at]);
		}
		free(addresses);
	}
	return session;
}

void tine_session_close(struct tine_session *session)
{
	if (!session)
		return;
	if (session->pg)
		pq->finish(session->pg);
	free(session);
}

/* What libpq keeps of a connection, notifications and parameters without an end perhaps, goes. */
static void give_up_if_lost(struct tine_session *session)
{
	if (session->is_lost && session->pg) {
		pq->finish(session->pg);
		session->pg = NULL;
	}
}

/* ---- asking --------------------------------------------------------------------------------- */

static int lost(struct tine_session *session, tine_error *error)
{
	session->is_lost = true;
	tine_error_set_message(error, TINE_E_LOST, pq->error_message(session->pg));
	tine_dsn_hide(session->dsn, error->text);
	tine_dsn_hide_one(session->dsn, error->text, PQpass(session->pg));
	return TINE_E_LOST;
}

static int late(struct tine_session *session, int64_t began_ns, tine_error *error)
{
	session->is_lost = true;
	return tine_error_set(error, TINE_E_CONNECT_TIMEOUT, "no answer to a query within %.1f s",
			      (double)(tine_clock_ns() - began_ns) / TINE_NS_PER_S);
}

/* Every secret out of a cell. A number cannot hold one that is worth hiding. */
static char *cell(const struct tine_session *session, const PGresult *result, int column)
{
	char *text = strdup(PQgetvalue(result, 0, column));

	if (text && strspn(text, "0123456789.-") < strlen(text)) {
		tine_dsn_hide(session->dsn, text);
		tine_dsn_hide_one(session->dsn, text, PQpass(session->pg));
	}
	return text;
}

static bool keep_names(const PGresult *result, struct tine_rows *rows)
{
	rows->columns = PQnfields(result);
	rows->names = calloc((size_t)rows->columns, sizeof(char *));
	for (int i = 0; rows->names && i < rows->columns; i++)
		rows->names[i] = strdup(PQfname(result, i));
	return rows->names != NULL;
}

static bool keep_row(const struct tine_session *session, const PGresult *result,
		     struct tine_rows *rows)
{
	int columns = PQnfields(result);
	char **cells;

	if (!rows->names && !keep_names(result, rows))
		return false;
	if (columns != rows->columns)
		return false;
	cells = realloc(rows->cells, (size_t)(rows->count + 1) * (size_t)columns * sizeof(char *));
	if (!cells)
		return false;
	rows->cells = cells;
	for (int i = 0; i < columns; i++)
		rows->cells[rows->count * columns + i] =
			PQgetisnull(result, 0, i) ? NULL : cell(session, result, i);
	rows->count++;
	return true;
}

/* One result of an answer: a row, the end of the rows, an error. What it is not asked for, such as
 * the start of a COPY, ends the session. */
static int take(struct tine_session *session, const PGresult *result, struct tine_rows *rows,
		tine_error *error)
{
	switch (pq->result_status(result)) {
	case PGRES_SINGLE_TUPLE:
		if (!rows || PQnfields(result) == 0)
			return 0;
		if (rows->count < TINE_SESSION_ROWS_MAX && keep_row(session, result, rows))
			return 0;
		session->is_lost = true;
		return tine_error_set(error, TINE_E_LOST,
				      "the answer to a query has more rows than it can have");
	case PGRES_TUPLES_OK:
	case PGRES_COMMAND_OK:
	case PGRES_EMPTY_QUERY:
		return 0;
	case PGRES_FATAL_ERROR:
		tine_error_set_result(error, pq, session->pg, result);
		tine_dsn_hide(session->dsn, error->text);
		tine_dsn_hide_one(session->dsn, error->text, PQpass(session->pg));
		session->is_lost = error->status == TINE_E_LOST;
		return error->status;
	default:
		session->is_lost = true;
		return tine_error_set(error, TINE_E_LOST,
				      "the server answered a query with something else");
	}
}

static void drop_notifications(struct tine_session *session)
{
	PGnotify *notification;

	while ((notification = pq->notifies(session->pg)) != NULL)
		pq->freemem(notification);
}

/* The next result, or NULL at the end. */
static int next(struct tine_session *session, int64_t began_ns, int64_t until_ns, PGresult **ret,
		tine_error *error)
{
	while (pq->is_busy(session->pg)) {
		pq->flush(session->pg);
		if (!await(pq->socket(session->pg), POLLIN, until_ns))
			return late(session, began_ns, error);
		if (!pq->consume_input(session->pg))
			return lost(session, error);
	}
	*ret = pq->get_result(session->pg);
	return tine_clock_ns() < until_ns ? 0 : late(session, began_ns, error);
}

static int collect(struct tine_session *session, int64_t began_ns, int64_t until_ns,
		   struct tine_rows *rows, tine_error *error)
{
	PGresult *result = NULL;
	int rc = 0;

	while (!session->is_lost) {
		int status = next(session, began_ns, until_ns, &result, error);

		if (status == 0 && !result)
			break;
		if (status == 0)
			status = take(session, result, rows, error);
		pq->clear(result);
		result = NULL;
		if (rc == 0)
			rc = status;
	}
	return rc;
}

int tine_session_query(struct tine_session *session, const char *sql, int timeout_ms,
		       struct tine_rows *ret_rows, tine_error *error)
{
	int64_t began_ns = tine_clock_ns();
	int limit_ms = timeout_ms == TINE_SESSION_USUAL_MS ? session->timeout_ms : timeout_ms;
	int64_t until_ns = began_ns + (int64_t)limit_ms * TINE_NS_PER_MS;
	int rc;

	if (ret_rows)
		*ret_rows = (struct tine_rows){ 0 };
	if (session->is_lost)
		return tine_error_set(error, TINE_E_LOST, "the connection is lost");
	if (pq->send_query(session->pg, sql)) {
		PQsetSingleRowMode(session->pg);
		rc = collect(session, began_ns, until_ns, ret_rows, error);
	} else
		rc = lost(session, error);
	if (rc < 0 && ret_rows)
		tine_rows_done(ret_rows);
	give_up_if_lost(session);
	return rc;
}

/* ---- what came ------------------------------------------------------------------------------ */

void tine_rows_done(struct tine_rows *rows)
{
	for (int i = 0; i < rows->count * rows->columns; i++)
		free(rows->cells[i]);
	free(rows->cells);
	for (int i = 0; rows->names && i < rows->columns; i++)
		free(rows->names[i]);
	free(rows->names);
	*rows = (struct tine_rows){ 0 };
}

int tine_rows_column(const struct tine_rows *rows, const char *name)
{
	for (int i = 0; rows->names && i < rows->columns; i++)
		if (rows->names[i] && strcmp(rows->names[i], name) == 0)
			return i;
	return -1;
}

const char *tine_rows_text(const struct tine_rows *rows, int row, int column)
{
	const char *text = NULL;

	if (row < rows->count && column >= 0 && column < rows->columns)
		text = rows->cells[row * rows->columns + column];
	return text ? text : "";
}

long long tine_rows_number(const struct tine_rows *rows, int row, int column)
{
	return strtoll(tine_rows_text(rows, row, column), NULL, 10);
}

const char *tine_session_parameter(struct tine_session *session, const char *name)
{
	const char *value = session->pg ? pq->parameter_status(session->pg, name) : NULL;

	snprintf(session->parameter, sizeof(session->parameter), "%s", value ? value : "");
	tine_dsn_hide(session->dsn, session->parameter);
	if (session->pg)
		tine_dsn_hide_one(session->dsn, session->parameter, PQpass(session->pg));
	return session->parameter;
}

int tine_session_backend_pid(const struct tine_session *session)
{
	return session->backend_pid;
}

int tine_session_socket(const struct tine_session *session)
{
	return session->pg ? pq->socket(session->pg) : -1;
}

bool tine_session_is_encrypted(const struct tine_session *session)
{
	return session->pg && pq->ssl_in_use(session->pg);
}

bool tine_session_listen(struct tine_session *session, tine_error *error)
{
	session->last_notice_sqlstate[0] = '\0';
	if (session->is_lost)
		return false;
	if (pq->consume_input(session->pg))
		drop_notifications(session);
	else
		session->is_lost = true;
	if (session->last_notice_sqlstate[0]) {
		tine_error_set_message(error, TINE_E_LOST, session->last_notice);
		snprintf(error->sqlstate, sizeof(error->sqlstate), "%s",
			 session->last_notice_sqlstate);
		tine_dsn_hide(session->dsn, error->text);
		tine_dsn_hide_one(session->dsn, error->text, PQpass(session->pg));
	}
	session->is_lost |= pq->status(session->pg) != CONNECTION_OK;
	give_up_if_lost(session);
	return !session->is_lost;
}
