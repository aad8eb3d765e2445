/* SPDX-License-Identifier: PostgreSQL */
#include "db.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <libpq-events.h>

#include "text.h"

#define NS_PER_MS 1000000
#define READ_ATTEMPTS 10
#define WRITE_ATTEMPTS 9
#define PAUSE_MS 20

static const struct {
	const char *name, *sql;
} statements[STATEMENT_COUNT] = {
	[STATEMENT_LOT] = { "records_lot", "select l.number, l.year, l.title, "
					   "to_char(l.created_at, 'YYYY-MM-DD HH24:MI'), n.text "
					   "from lots l left join notes n on n.lot_id = l.id "
					   "where l.number = $1 order by n.id" },
	[STATEMENT_USER] = { "records_user", "select u.id, u.name, u.role from sessions s "
					     "join users u on u.id = s.user_id "
					     "where s.id_hash = $1 and s.expires_at > now()" },
	[STATEMENT_SETTINGS] = { "records_settings",
				 "select title, notice, upload_limit_bytes from settings" },
};

int64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * (int64_t)1000000000 + now.tv_nsec;
}

int db_left_ms(const struct db *db)
{
	int64_t left_ns = db->deadline_ns - clock_ns();

	return left_ns > 0 ? (int)((left_ns + NS_PER_MS - 1) / NS_PER_MS) : 0;
}

bool db_is_away(const tine_error *error)
{
	return error->status != TINE_E_SQL && error->status != TINE_E_ABORTED;
}

bool db_is_for_now(const tine_error *error)
{
	static const char *const states[] = { "25006", "40001", "40P01", "55P03",
					      "57014", "57P01", "57P02", "57P03" };

	if (strncmp(error->sqlstate, "53", 2) == 0)
		return true;
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (strcmp(error->sqlstate, states[i]) == 0)
			return true;
	return false;
}

/* ---- failures ------------------------------------------------------------------------------- */

#define KINDS 256

/* Two kinds may share a number, and then the second. */
static unsigned kind_of(const tine_error *error)
{
	unsigned kind = (unsigned)-error->status;

	for (const char *c = error->sqlstate; *c; c++)
		kind = kind * 37 + (unsigned char)*c;
	return kind % KINDS;
}

void db_tell(const struct db *db)
{
	static _Atomic int64_t told_s[KINDS];
	static _Atomic int untold[KINDS];
	const tine_error *error = &db->error;
	unsigned kind = kind_of(error);
	int64_t now_s = clock_ns() / INT64_C(1000000000);
	char more[40] = "";
	int others;

	if (atomic_exchange(&told_s[kind], now_s) == now_s) {
		atomic_fetch_add(&untold[kind], 1);
		return;
	}
	others = atomic_exchange(&untold[kind], 0);
	if (others > 0)
		snprintf(more, sizeof(more), "; %d more before", others);
	fprintf(stderr, "records: %s: %s%s%s: %s (attempt %d%s)\n", db->label,
		tine_status_name(error->status), *error->sqlstate ? " " : "", error->sqlstate,
		error->text, db->attempts, more);
}

static int fail(struct db *db, int status, const char *sqlstate, const char *text)
{
	db->error = (tine_error){ .status = status };
	snprintf(db->error.sqlstate, sizeof(db->error.sqlstate), "%s", sqlstate ? sqlstate : "");
	snprintf(db->error.text, sizeof(db->error.text), "%.*s", (int)strcspn(text, "\r\n"), text);
	db->error.text[text_fit(db->error.text, sizeof(db->error.text))] = '\0';
	return status;
}

static int fail_of_result(struct db *db, const PGconn *pg, const PGresult *result)
{
	int status = PQstatus(pg) == CONNECTION_BAD ? TINE_E_LOST : TINE_E_SQL;

	return fail(db, status, result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL,
		    PQerrorMessage(pg));
}

/* ---- one statement -------------------------------------------------------------------------- */

/* Wait until the connection can be read or, while something is left to send, written. */
static int wait_for(struct db *db, PGconn *pg, bool sending)
{
	struct pollfd fd = { .fd = PQsocket(pg),
			     .events = (short)(sending ? POLLIN | POLLOUT : POLLIN) };
	int left_ms = db_left_ms(db);

	if (fd.fd < 0 || left_ms == 0 || poll(&fd, 1, left_ms) == 0)
		return -1;
	return PQconsumeInput(pg) ? 0 : -1;
}

/* The last result of what was sent. What is silent for too long is given up, and the connection
 * with it: it is closed when it is returned in such a state. */
static PGresult *collect(struct db *db, PGconn *pg)
{
	PGresult *result = NULL, *next;

	while (PQflush(pg) == 1)
		if (wait_for(db, pg, true) < 0)
			break;
	for (;;) {
		while (PQisBusy(pg))
			if (wait_for(db, pg, false) < 0) {
				if (PQstatus(pg) == CONNECTION_BAD)
					break;
				PQclear(result);
				fail(db, TINE_E_TIMEOUT, NULL, "the server did not answer in time");
				return NULL;
			}
		next = PQgetResult(pg);
		if (!next)
			return result;
		PQclear(result);
		result = next;
	}
}

static PGresult *finish(struct db *db, PGconn *pg, int sent)
{
	PGresult *result;

	if (!sent) {
		fail_of_result(db, pg, NULL);
		return NULL;
	}
	db->error.status = 0;
	result = collect(db, pg);
	if (db->error.status == 0 && PQresultStatus(result) != PGRES_TUPLES_OK &&
	    PQresultStatus(result) != PGRES_COMMAND_OK)
		fail_of_result(db, pg, result);
	if (db->error.status == 0)
		return result;
	PQclear(result);
	return NULL;
}

PGresult *db_run(struct db *db, PGconn *pg, const char *sql, int count, const char *const *values)
{
	return finish(db, pg, PQsendQueryParams(pg, sql, count, NULL, values, NULL, NULL, 0));
}

int db_do(struct db *db, PGconn *pg, const char *sql, int count, const char *const *values)
{
	PGresult *result = db_run(db, pg, sql, count, values);

	PQclear(result);
	return result ? 0 : db->error.status;
}

/* ---- prepared ones -------------------------------------------------------------------------- */

/* The connection's word of what was prepared on it is the pointer itself. */
static int connection_event(PGEventId event, void *info, void *arg)
{
	(void)event;
	(void)info;
	(void)arg;
	return 1;
}

static uintptr_t prepared_on(PGconn *pg)
{
	if (PQregisterEventProc(pg, connection_event, "records", NULL))
		return 0;
	return (uintptr_t)PQinstanceData(pg, connection_event);
}

static PGresult *run_prepared(struct db *db, PGconn *pg, enum statement statement, int count,
			      const char *const *values)
{
	uintptr_t bit = (uintptr_t)1 << statement, prepared = prepared_on(pg);
	const char *name = statements[statement].name;

	if (!(prepared & bit)) {
		PGresult *made =
			finish(db, pg, PQsendPrepare(pg, name, statements[statement].sql, 0, NULL));

		PQclear(made);
		if (!made)
			return NULL;
		PQsetInstanceData(pg, connection_event, (void *)(prepared | bit));
	}
	return finish(db, pg, PQsendQueryPrepared(pg, name, count, values, NULL, NULL, 0));
}

/* ---- reads ---------------------------------------------------------------------------------- */

struct question {
	const char *sql; /* NULL: the statement */
	enum statement statement;
	int count;
	const char *const *values;
};

static PGresult *ask_once(struct db *db, const struct question *question)
{
	tine_conn *conn;
	PGresult *result;
	PGconn *pg;

	if (tine_pool_acquire(db->pool, db_left_ms(db), &conn, &db->error) < 0) {
		/* Not worth another attempt, whatever became of connections. */
		if (db->error.status == TINE_E_LOST)
			db->error.status = TINE_E_CONNECT;
		return NULL;
	}
	tine_conn_label(conn, db->label);
	pg = tine_conn_pg(conn);
	if (question->sql)
		result = db_run(db, pg, question->sql, question->count, question->values);
	else if (db->prepares)
		result = run_prepared(db, pg, question->statement, question->count,
				      question->values);
	else
		result = db_run(db, pg, statements[question->statement].sql, question->count,
				question->values);
	if (result || db->error.status == TINE_E_SQL)
		tine_conn_release(conn);
	else
		tine_conn_invalidate(conn);
	return result;
}

static PGresult *ask(struct db *db, const struct question *question)
{
	PGresult *result;

	for (db->attempts = 1;; db->attempts++) {
		result = ask_once(db, question);
		if (result || db->error.status != TINE_E_LOST || db->attempts == READ_ATTEMPTS ||
		    db_left_ms(db) == 0)
			return result;
	}
}

PGresult *db_read(struct db *db, enum statement statement, int count, const char *const *values)
{
	return ask(db,
		   &(struct question){ .statement = statement, .count = count, .values = values });
}

PGresult *db_read_sql(struct db *db, const char *sql, int count, const char *const *values)
{
	return ask(db, &(struct question){ .sql = sql, .count = count, .values = values });
}

/* ---- writes --------------------------------------------------------------------------------- */

struct writing {
	struct db *db;
	db_write_fn fn;
	void *arg;
	int result; /* of fn, in the last attempt */
};

static int attempt_write(PGconn *pg, void *arg, tine_error *error)
{
	struct writing *writing = arg;

	writing->result = writing->fn(writing->db, pg, writing->arg);
	if (writing->result < 0)
		*error = writing->db->error;
	return writing->result;
}

static bool is_worth_another(const tine_error *error)
{
	switch (error->status) {
	case TINE_E_LOST:
	case TINE_E_IN_DOUBT:
		return true;
	case TINE_E_SQL:
	case TINE_E_ABORTED:
		return strcmp(error->sqlstate, "40001") == 0 ||
		       strcmp(error->sqlstate, "40P01") == 0;
	default:
		return false;
	}
}

int db_write(struct db *db, db_write_fn fn, void *arg)
{
	struct writing writing = { .db = db, .fn = fn, .arg = arg };
	tine_transact_options options;
	int rc;

	tine_transact_options_init(&options);
	options.max_attempts = 1;
	options.name = db->label;
	db->in_doubt = false;
	for (db->attempts = 1;; db->attempts++) {
		tine_error error = { 0 };

		options.wait_ms = db_left_ms(db);
		writing.result = 0;
		rc = tine_transact(db->pool, attempt_write, &writing, &options, &error);
		if (rc == 0 || writing.result > 0)
			return writing.result;
		db->error = error;
		db->in_doubt |= rc == TINE_E_IN_DOUBT;
		if (db->attempts == WRITE_ATTEMPTS || !is_worth_another(&error) ||
		    db_left_ms(db) == 0)
			return rc;
		poll(NULL, 0, PAUSE_MS);
	}
}
