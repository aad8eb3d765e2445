/* SPDX-License-Identifier: PostgreSQL */
/* The table: connecting, finishing, and what a client knows of its connection. */
#include <stdio.h>
#include <sys/socket.h>

#include "support/check.h"
#include "unit/pool/fake_inside.h"
#include "unit/pool/memory.h"

/* As the pool spells the value with which it asks libpq for its options. */
#define ASKS "(libtine asks)"

/* ---- options: libpq's own ------------------------------------------------------------------- */

static PQconninfoOption *conninfo_parse(const char *conninfo, char **errmsg)
{
	fake_enter(NULL, FAKE_conninfo_parse);
	if (!fake_fails())
		return PQconninfoParse(conninfo, errmsg);
	*errmsg = NULL;
	return NULL;
}

static PQconninfoOption *conninfo(PGconn *pg)
{
	struct fake_conn *conn = fake_enter(pg, FAKE_conninfo);
	PQconninfoOption *options = fake_fails() ? NULL : PQconninfo(conn->real);

	fake_leave(conn, FAKE_conninfo);
	return options;
}

/* ---- connecting ----------------------------------------------------------------------------- */

static const char *value_of(const char *const *keywords, const char *const *values,
			    const char *keyword)
{
	const char *found = "";

	for (int i = 0; keywords[i]; i++)
		if (strcmp(keywords[i], keyword) == 0)
			found = values[i];
	return found;
}

static bool asks(const char *const *keywords, const char *const *values)
{
	for (int i = 0; keywords[i]; i++)
		if (values[i] && strcmp(values[i], ASKS) == 0)
			return true;
	return false;
}

static void begin(struct fake_conn *conn, const char *const *keywords, const char *const *values)
{
	struct fake_session *session = conn->session;

	snprintf(session->host, sizeof(session->host), "%s", value_of(keywords, values, "host"));
	snprintf(session->hostaddr, sizeof(session->hostaddr), "%s",
		 value_of(keywords, values, "hostaddr"));
	snprintf(session->sslmode, sizeof(session->sslmode), "%s",
		 value_of(keywords, values, "sslmode"));
	conn->plan = fake_usual;
	if (fake_on_connect)
		fake_on_connect(session, &conn->plan);
	conn->status = CONNECTION_STARTED;
	atomic_store(&session->began, session->id);
	if (conn->plan.refusal && conn->plan.at_start)
		fake_lose(conn, conn->plan.refusal);
}

static PGconn *connect_start_params(const char *const *keywords, const char *const *values,
				    int expand_dbname)
{
	struct fake_conn *conn;

	fake_enter(NULL, FAKE_connect_start_params);
	conn = fake_fails() ? NULL : memory_of_libpq(sizeof(*conn));
	if (!conn)
		return NULL;
	*conn = (struct fake_conn){ .magic = FAKE_MAGIC, .fd = -1, .status = CONNECTION_BAD };
	if (asks(keywords, values)) {
		conn->real = PQconnectStartParams(keywords, values, expand_dbname);
		return (PGconn *)conn;
	}
	conn->session = fake_session_open(conn);
	if (conn->session)
		begin(conn, keywords, values);
	else
		snprintf(conn->message, sizeof(conn->message),
			 "could not create socket: Too many open files\n");
	return (PGconn *)conn;
}

static PostgresPollingStatusType established(struct fake_conn *conn)
{
	struct fake_session *session = conn->session;

	atomic_store(&session->standby, conn->plan.standby);
	atomic_store(&session->read_only, conn->plan.read_only);
	conn->standby = conn->plan.standby;
	conn->read_only = conn->plan.read_only;
	conn->tls = conn->plan.tls;
	conn->status = CONNECTION_OK;
	conn->transaction = PQTRANS_IDLE;
	return PGRES_POLLING_OK;
}

/* One more round of talk, unless the test holds the server's answer back. */
static PostgresPollingStatusType ask(struct fake_conn *conn)
{
	conn->asked = true;
	conn->status = CONNECTION_AWAITING_RESPONSE;
	if (!conn->plan.held)
		fake_say(conn->session, FAKE_BYTE_ROUND);
	return PGRES_POLLING_READING;
}

static PostgresPollingStatusType go_on(struct fake_conn *conn)
{
	ssize_t got;
	char byte;

	if (conn->status == CONNECTION_OK)
		return PGRES_POLLING_OK;
	if (conn->status == CONNECTION_BAD)
		return PGRES_POLLING_FAILED;
	if (!conn->asked)
		return ask(conn);
	got = recv(conn->fd, &byte, 1, MSG_DONTWAIT);
	if (got < 0 && errno == EAGAIN)
		return PGRES_POLLING_READING;
	if (got <= 0) {
		fake_lose(conn, "server closed the connection unexpectedly\n");
		return PGRES_POLLING_FAILED;
	}
	if (++conn->rounds < conn->plan.rounds)
		return ask(conn);
	if (!conn->plan.refusal)
		return established(conn);
	fake_lose(conn, conn->plan.refusal);
	return PGRES_POLLING_FAILED;
}

static PostgresPollingStatusType connect_poll(PGconn *pg)
{
	struct fake_conn *conn = fake_enter(pg, FAKE_connect_poll);
	PostgresPollingStatusType result = PGRES_POLLING_FAILED;

	if (fake_fails())
		fake_lose(conn, "server closed the connection unexpectedly\n");
	else
		result = go_on(conn);
	fake_leave(conn, FAKE_connect_poll);
	return result;
}

/* libpq keeps the socket of a connection that it lost later than that; nobody may rely on it. */
void fake_lose(struct fake_conn *conn, const char *why)
{
	conn->status = CONNECTION_BAD;
	snprintf(conn->message, sizeof(conn->message), "%s", why);
}

static void finish(PGconn *pg)
{
	struct fake_conn *conn = fake_enter(pg, FAKE_finish);

	if (!conn)
		return;
	if (conn->status == CONNECTION_OK)
		send(conn->fd, "X", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (conn->fd >= 0)
		close(conn->fd);
	if (conn->session)
		fake_session_close(conn->session);
	PQfinish(conn->real);
	conn->magic = 0;
	memory_free_of_libpq(conn);
}

/* ---- what is known -------------------------------------------------------------------------- */

static ConnStatusType status(const PGconn *pg)
{
	struct fake_conn *conn = fake_enter(pg, FAKE_status);
	ConnStatusType found = CONNECTION_BAD;

	if (conn)
		found = conn->real ? PQstatus(conn->real) : conn->status;
	fake_leave(conn, FAKE_status);
	return found;
}

static int socket_of(const PGconn *pg)
{
	struct fake_conn *conn = fake_enter(pg, FAKE_socket);
	int fd = conn ? conn->fd : -1;

	fake_leave(conn, FAKE_socket);
	return fd;
}

static char *error_message(const PGconn *pg)
{
	static char no_connection[] = "connection pointer is NULL\n";
	struct fake_conn *conn = fake_enter(pg, FAKE_error_message);
	char *message = no_connection;

	if (conn)
		message = conn->real ? PQerrorMessage(conn->real) : conn->message;
	fake_leave(conn, FAKE_error_message);
	return message;
}

static const char *parameter_status(const PGconn *pg, const char *name)
{
	struct fake_conn *conn = fake_enter(pg, FAKE_parameter_status);
	const char *value = NULL;

	if (strcmp(name, "in_hot_standby") == 0)
		value = conn->standby ? "on" : "off";
	else if (strcmp(name, "default_transaction_read_only") == 0)
		value = conn->read_only ? "on" : "off";
	else if (strcmp(name, "server_version") == 0)
		value = conn->rounds > 0 ? "15.0" : NULL;
	fake_leave(conn, FAKE_parameter_status);
	return value;
}

static int backend_pid(const PGconn *pg)
{
	struct fake_conn *conn = fake_enter(pg, FAKE_backend_pid);
	int pid = conn->session->id;

	fake_leave(conn, FAKE_backend_pid);
	return pid;
}

static int ssl_in_use(PGconn *pg)
{
	struct fake_conn *conn = fake_enter(pg, FAKE_ssl_in_use);
	int used = conn->tls;

	fake_leave(conn, FAKE_ssl_in_use);
	return used;
}

static PGTransactionStatusType transaction_status(const PGconn *pg)
{
	struct fake_conn *conn = fake_enter(pg, FAKE_transaction_status);
	PGTransactionStatusType found = PQTRANS_UNKNOWN;

	if (conn && conn->status == CONNECTION_OK)
		found = conn->async == FAKE_ASYNC_IDLE ? conn->transaction : PQTRANS_ACTIVE;
	fake_leave(conn, FAKE_transaction_status);
	return found;
}

static PGpipelineStatus pipeline_status(const PGconn *pg)
{
	struct fake_conn *conn = fake_enter(pg, FAKE_pipeline_status);
	PGpipelineStatus found = conn ? conn->pipeline : PQ_PIPELINE_OFF;

	fake_leave(conn, FAKE_pipeline_status);
	return found;
}

/* ---- what libtine adds ---------------------------------------------------------------------- */

/* As with libpq, an event procedure can be registered once. */
static bool watch(PGconn *pg, struct tine_pq_watcher *watcher)
{
	struct fake_conn *conn = fake_enter(pg, FAKE_watch);
	bool done = !fake_fails() && !conn->watched;

	if (done) {
		conn->watched = true;
		conn->watcher = watcher;
	}
	fake_leave(conn, FAKE_watch);
	return done;
}

static void unwatch(PGconn *pg)
{
	struct fake_conn *conn = fake_enter(pg, FAKE_unwatch);

	conn->watcher = NULL;
	fake_leave(conn, FAKE_unwatch);
}

static void dress_new(PGconn *pg, struct tine_pq_dress *ret_dress)
{
	struct fake_conn *conn = fake_enter(pg, FAKE_dress_new);

	memset(ret_dress, 0, sizeof(*ret_dress));
	fake_leave(conn, FAKE_dress_new);
}

/* What a function of the program sets at CONNECT is what the connection wears from then on. */
static void dress_save(PGconn *pg, struct tine_pq_dress *dress)
{
	struct fake_conn *conn = fake_enter(pg, FAKE_dress_save);

	dress->nonblocking = conn->own_receiver;
	fake_leave(conn, FAKE_dress_save);
}

static bool dress_restore(PGconn *pg, const struct tine_pq_dress *dress)
{
	struct fake_conn *conn = fake_enter(pg, FAKE_dress_restore);
	bool same = conn->own_receiver == dress->nonblocking;

	fake_leave(conn, FAKE_dress_restore);
	return same && !fake_fails();
}

static void divert_notices(PGconn *pg, const struct tine_pq_dress *dress, PQnoticeReceiver fn,
			   void *arg)
{
	struct fake_conn *conn = fake_enter(pg, FAKE_divert_notices);

	(void)dress;
	conn->diverted = fn;
	conn->diverted_arg = arg;
	fake_leave(conn, FAKE_divert_notices);
}

/* The program's own PQreset(). */
void fake_reset(PGconn *pg)
{
	struct fake_conn *conn = (struct fake_conn *)pg;

	CHECK_INT(conn->magic, ==, FAKE_MAGIC);
	send(conn->fd, "X", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(conn->fd);
	fake_session_close(conn->session);
	conn->session = fake_session_open(conn);
	CHECK(conn->session);
	atomic_store(&conn->session->began, conn->session->id);
	conn->status = CONNECTION_OK;
	conn->transaction = PQTRANS_IDLE;
	if (conn->watcher)
		conn->watcher->was_reset(conn->watcher);
}

const struct tine_pq fake_pq = {
	.conninfo_parse = conninfo_parse,
	.conninfo = conninfo,
	.conninfo_free = PQconninfoFree,
	.freemem = PQfreemem,
	.connect_start_params = connect_start_params,
	.connect_poll = connect_poll,
	.finish = finish,
	.status = status,
	.socket = socket_of,
	.error_message = error_message,
	.parameter_status = parameter_status,
	.ssl_in_use = ssl_in_use,
	.backend_pid = backend_pid,
	.transaction_status = transaction_status,
	.pipeline_status = pipeline_status,
	.send_query = fake_send_query,
	.flush = fake_flush,
	.consume_input = fake_consume_input,
	.is_busy = fake_is_busy,
	.get_result = fake_get_result,
	.notifies = fake_notifies,
	.result_status = fake_result_status,
	.result_error_field = fake_result_error_field,
	.result_error_message = fake_result_error_message,
	.cmd_status = fake_cmd_status,
	.clear = fake_clear,
	.watch = watch,
	.unwatch = unwatch,
	.dress_new = dress_new,
	.dress_save = dress_save,
	.dress_restore = dress_restore,
	.divert_notices = divert_notices,
};
