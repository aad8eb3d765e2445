/* SPDX-License-Identifier: PostgreSQL */
/*
 * A task worker: takes jobs and does them, one after the other, each in one scope. Taking a job,
 * what it does and that it is done are one transaction, so it happens once whatever becomes of the
 * worker, the connection or the server. A job that fails goes back to a savepoint, and is due again
 * later. One that takes its transaction with it (the connection is lost, the server does not
 * answer, the commit fails) is put off in another one, before the next is taken: otherwise it would
 * be the first again, and no other would ever be done.
 *
 * A worker that is woken by NOTIFY has a connection for that, besides the one of its jobs. When
 * that connection is lost it looks for jobs all the same, every few seconds.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "service.h"

#define PATIENCE_NS (INT64_C(10) * 1000000000) /* for what is asked of the server */
/* Less, so that the server ends a statement of a job before nobody listens any more. */
#define JOB_TIMEOUT "5s"
#define ID_BYTES 24
#define WAIT_MOST_MS 5000
#define WAIT_LEAST_MS 50
#define WAIT_AWAY_MS 1000
#define LOST_QUICKLY 5 /* sessions one after the other, before it counts as an outage */
#define BACKOFF_MOST_MS 300000

struct task {
	struct service *service;
	tine_worker *worker;
	tine_conn *ear;      /* that is listened on; NULL when there is none */
	int away;            /* how often the database was, one time after the other */
	bool told_away;      /* that jobs wait */
	char owed[ID_BYTES]; /* the job that is to be put off, "" = none */
};

/* ---- listening ------------------------------------------------------------------------------ */

static void stop_listening(struct task *task)
{
	/* Not returned to the pool: the next user is not to hear what is for this one. */
	tine_conn_invalidate(task->ear);
	task->ear = NULL;
}

/* The server's farewell comes unasked here, and libpq would print it; the loss is noticed. */
static void say_nothing(void *arg, const char *message)
{
	(void)arg;
	(void)message;
}

static void listen_again(struct task *task)
{
	struct db db = { .deadline_ns = clock_ns() + PATIENCE_NS };

	if (task->ear || tine_pool_acquire(task->service->pool, -1, &task->ear, &db.error) < 0)
		return;
	tine_conn_label(task->ear, "listen");
	PQsetNoticeProcessor(tine_conn_pg(task->ear), say_nothing, NULL);
	if (db_do(&db, tine_conn_pg(task->ear), "listen records_inbox", 0, NULL) < 0)
		stop_listening(task);
}

/* All that was said means the same: look. */
static void hear(struct task *task)
{
	PGconn *pg = tine_conn_pg(task->ear);
	PGnotify *said;

	if (!PQconsumeInput(pg)) {
		stop_listening(task);
		return;
	}
	while ((said = PQnotifies(pg)) != NULL)
		PQfreemem(said);
}

static void wait_for_work(struct task *task, int wait_ms)
{
	struct pollfd fds[] = {
		{ .fd = tine_worker_stop_fd(task->worker), .events = POLLIN },
		{ .fd = task->ear ? PQsocket(tine_conn_pg(task->ear)) : -1, .events = POLLIN },
	};

	poll(fds, 2, wait_ms);
	if (fds[1].revents)
		hear(task);
}

/* ---- one job -------------------------------------------------------------------------------- */

enum found { FOUND_NONE, FOUND_ONE, FOUND_AWAY };

static int finish(struct db *db, PGconn *pg, const char *id)
{
	const char *values[] = { id };

	return db_do(db, pg,
		     "update jobs set state = 'done', attempts = attempts + 1, error = null, "
		     "done_at = now() where id = $1",
		     1, values);
}

static int put_off(struct task *task, struct db *db, PGconn *pg, const char *id, const char *error)
{
	char attempts[12], first[12], most[12];
	const char *values[] = { id, error, attempts, first, most };

	snprintf(attempts, sizeof(attempts), "%d", task->service->config->job_attempts);
	snprintf(first, sizeof(first), "%d", task->service->config->job_backoff_ms);
	snprintf(most, sizeof(most), "%d", BACKOFF_MOST_MS);
	return db_do(db, pg,
		     "update jobs set attempts = attempts + 1, error = $2, "
		     "state = case when attempts + 1 >= $3::int then 'failed' else 'waiting' end, "
		     "run_at = now() + least($5::float8, $4::float8 * 2 ^ least(attempts, 30)) "
		     "* interval '1 millisecond' "
		     "where id = $1 and state = 'waiting' and run_at <= now()",
		     5, values);
}

/* What the server says names tables, and values of others: it is for the log. */
static void tell_refusal(const struct db *db, const char *id, char why[JOB_ERROR_BYTES])
{
	snprintf(why, JOB_ERROR_BYTES, "the database refused: SQLSTATE %s", db->error.sqlstate);
	fprintf(stderr, "records: job %s: %s %s\n", id, db->error.sqlstate, db->error.text);
}

static int attempt(struct task *task, struct db *db, PGconn *pg, const PGresult *row)
{
	const char *id = PQgetvalue(row, 0, 0);
	/* The database writes 1e300 with all its digits. */
	json_t *payload = json_loads(PQgetvalue(row, 0, 2), JSON_DECODE_INT_AS_REAL, NULL);
	char why[JOB_ERROR_BYTES] = "";
	int rc = db_do(db, pg, "set local statement_timeout = '" JOB_TIMEOUT "'", 0, NULL);

	if (rc == 0)
		rc = db_do(db, pg, "savepoint job", 0, NULL);
	if (rc == 0)
		rc = job_do(db, pg, id, PQgetvalue(row, 0, 1), payload, why);
	json_decref(payload);
	if (rc == 0)
		return finish(db, pg, id);
	if (rc < 0 && db_is_away(&db->error))
		return rc;
	if (rc < 0)
		tell_refusal(db, id, why);
	db->deadline_ns = clock_ns() + PATIENCE_NS;
	rc = db_do(db, pg, "rollback to savepoint job", 0, NULL);
	return rc == 0 ? put_off(task, db, pg, id, why) : rc;
}

static int attempt_unit(struct task *task, struct db *db, PGconn *pg, const PGresult *row)
{
	char name[48];
	tine_unit *unit;
	int rc;

	snprintf(name, sizeof(name), "job %s %s", PQgetvalue(row, 0, 0), PQgetvalue(row, 0, 1));
	unit = tine_unit_begin(task->worker, name, &db->error);
	rc = unit ? attempt(task, db, pg, row) : db->error.status;
	tine_unit_end(unit);
	return rc;
}

/* A job that another worker has is due, and not to be had: hence the least. */
static int clamp(double wait_ms)
{
	if (wait_ms > WAIT_MOST_MS)
		return WAIT_MOST_MS;
	return wait_ms < WAIT_LEAST_MS ? WAIT_LEAST_MS : (int)wait_ms;
}

/* @param ret_wait_ms receives how long until one is due, when there is none now */
static enum found take(struct task *task, int *ret_wait_ms, tine_error *error)
{
	static const char take_sql[] = "select id, kind, payload from jobs "
				       "where state = 'waiting' and run_at <= now() "
				       "order by run_at, id limit 1 for update skip locked";
	static const char due_sql[] = "select ceil(1000 * extract(epoch from min(run_at) - now())) "
				      "from jobs where state = 'waiting'";
	struct db db = { .deadline_ns = clock_ns() + PATIENCE_NS };
	TINE_SCOPE(scope, task->service->pool, TINE_SCOPE_TASK, "job");
	PGconn *pg = tine_scope_conn(scope, error);
	PGresult *row = pg ? db_run(&db, pg, take_sql, 0, NULL) : NULL;
	enum found found = FOUND_AWAY;

	if (pg && !row)
		*error = db.error;
	if (row && PQntuples(row) == 1) {
		snprintf(task->owed, sizeof(task->owed), "%s", PQgetvalue(row, 0, 0));
		if (attempt_unit(task, &db, pg, row) < 0)
			*error = db.error;
		else if (tine_scope_commit(scope, error) == 0)
			found = FOUND_ONE;
		if (found == FOUND_ONE)
			*task->owed = '\0';
	} else if (row) {
		PQclear(row);
		row = db_run(&db, pg, due_sql, 0, NULL);
		found = row ? FOUND_NONE : FOUND_AWAY;
		if (!row)
			*error = db.error;
		if (row && !PQgetisnull(row, 0, 0))
			*ret_wait_ms = clamp(strtod(PQgetvalue(row, 0, 0), NULL));
	}
	PQclear(row);
	return found;
}

/* Put off the job that took its transaction with it. When it was done after all, or another worker
 * has put it off, there is nothing to do. @return 0; -1 with an error: it is still owed */
static int settle(struct task *task, tine_error *error)
{
	struct db db = { .deadline_ns = clock_ns() + PATIENCE_NS };
	TINE_SCOPE(scope, task->service->pool, TINE_SCOPE_TASK, "put off");
	PGconn *pg = tine_scope_conn(scope, error);

	if (!pg)
		return -1;
	if (put_off(task, &db, pg, task->owed, "the attempt did not come to an end") < 0) {
		*error = db.error;
		return -1;
	}
	if (tine_scope_commit(scope, error) < 0)
		return -1;
	*task->owed = '\0';
	return 0;
}

static enum found next(struct task *task, int *ret_wait_ms, tine_error *error)
{
	if (*task->owed && settle(task, error) < 0)
		return FOUND_AWAY;
	return take(task, ret_wait_ms, error);
}

/* ---- the worker ----------------------------------------------------------------------------- */

/* A session that was ended is no reason to wait, nor to tell. @return how long to wait */
static int tell_away(struct task *task, const tine_error *error)
{
	bool is_lost = error->status == TINE_E_LOST || error->status == TINE_E_IN_DOUBT;

	task->away++;
	if (is_lost && task->away < LOST_QUICKLY)
		return WAIT_LEAST_MS;
	if (!task->told_away)
		fprintf(stderr, "records: %s: jobs wait: %s%s%s: %s\n",
			tine_worker_name(task->worker), tine_status_name(error->status),
			*error->sqlstate ? " " : "", error->sqlstate, error->text);
	task->told_away = true;
	return WAIT_AWAY_MS;
}

static void tell_back(struct task *task)
{
	if (task->told_away)
		fprintf(stderr, "records: %s: jobs are done again\n",
			tine_worker_name(task->worker));
	task->told_away = false;
	task->away = 0;
}

int task_serve(tine_worker *worker, int thread, void *service)
{
	struct task task = { .service = service, .worker = worker };

	(void)thread;
	while (!tine_worker_stopping(worker)) {
		tine_error error = { 0 };
		int wait_ms = WAIT_MOST_MS;

		listen_again(&task);
		switch (next(&task, &wait_ms, &error)) {
		case FOUND_ONE:
			tell_back(&task);
			break;
		case FOUND_NONE:
			tell_back(&task);
			wait_for_work(&task, wait_ms);
			break;
		case FOUND_AWAY:
			wait_for_work(&task, tell_away(&task, &error));
			break;
		}
	}
	stop_listening(&task);
	return 0;
}
