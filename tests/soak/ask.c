/* SPDX-License-Identifier: PostgreSQL */
/*
 * Questions whose answer nobody else can give: a nonce of process, thread and number, and the pid
 * of the backend, which this process must have opened itself. And the causes that a loss may have:
 * the auditor has written down every session that it was about to terminate, and every time the
 * server was away. What is lost without that was lost by a defect.
 *
 * Fork: nothing to do.
 */
#include "soak.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BIG_TIMES 1500
#define ROWS 20
#define SLOW_MS 60

void hold(struct held *held, tine_conn *conn, PGconn *pg)
{
	struct backend *backend;
	pid_t owner;

	if (!pg)
		fail("a connection was handed out that has no PGconn");
	*held = (struct held){ .conn = conn, .pg = pg };
	held->backend = options.bare ? PQbackendPID(pg) : session_backend(pg);
	backend = backend_at(held->backend);
	owner = atomic_load(&backend->owner);
	held->opened_ns = atomic_load(&backend->opened_ns);
	if (!options.bare && owner != self.pid)
		fail("the session %d was opened by process %d", held->backend, (int)owner);
	if (!options.bare && atomic_load(&backend->closed_ns) >= held->opened_ns)
		fail("the session %d was closed before it was handed out", held->backend);
	count(CHECKOUTS);
}

/* ---- losses --------------------------------------------------------------------------------- */

bool is_outage(void)
{
	return atomic_load(&board->outage_began_ns) > atomic_load(&board->outage_ended_ns);
}

bool outage_explains(int64_t opened_ns)
{
	int64_t began_ns = atomic_load(&board->outage_began_ns);
	int64_t ended_ns = atomic_load(&board->outage_ended_ns);

	return began_ns && (began_ns > ended_ns || opened_ns <= ended_ns);
}

bool lately_explained(void)
{
	int64_t since_ns = now_ns() - 5 * SECOND;

	return outage_explains(since_ns) || atomic_load(&board->terminated_ns) > since_ns;
}

static bool loss_is_explained(const struct held *held)
{
	const struct backend *backend = backend_at(held->backend);

	/* It may have been there before its owner, stopped for up to two seconds, knew of it. */
	return atomic_load(&backend->terminated_ns) >= held->opened_ns - 5 * SECOND ||
	       outage_explains(held->opened_ns - 2 * SECOND);
}

static _Noreturn void lost_without_cause(const struct held *held, const char *what,
					 const char *text)
{
	const struct backend *backend = backend_at(held->backend);
	int64_t now = now_ns();

	fail("%s: session %d, opened %lld ms ago, was lost, and nobody has terminated it "
	     "(ms ago: the last of that number terminated %lld, the server away from %lld to "
	     "%lld): %s",
	     what, held->backend, (long long)((now - held->opened_ns) / MS),
	     (long long)((now - atomic_load(&backend->terminated_ns)) / MS),
	     (long long)((now - atomic_load(&board->outage_began_ns)) / MS),
	     (long long)((now - atomic_load(&board->outage_ended_ns)) / MS), text);
}

enum outcome trouble(const struct held *held, const PGresult *result, const char *what)
{
	const char *text = result ? PQresultErrorMessage(result) : PQerrorMessage(held->pg);

	if (PQstatus(held->pg) != CONNECTION_BAD)
		fail("%s on session %d, which is not lost: %s %s", what, held->backend,
		     result ? PQresStatus(PQresultStatus(result)) : "no result", text);
	if (!loss_is_explained(held))
		lost_without_cause(held, what, text);
	count(LOST_SESSIONS);
	step("lost");
	return LOST;
}

/* An acquire may fail when its time was short, in a pause, and while the server is away. */
void refused(const tine_error *error, int wait_ms)
{
	int64_t since_ns = now_ns() - 5 * SECOND;
	bool expected = false;

	switch (error->status) {
	case TINE_E_TIMEOUT:
	case TINE_E_CONNECT_TIMEOUT:
		expected = wait_ms >= 0;
		break;
	case TINE_E_PAUSED:
		expected = atomic_load(&self.process->paused_ns) > since_ns;
		break;
	case TINE_E_CONNECT:
	case TINE_E_STARTING:
	case TINE_E_LOST:
		expected =
			outage_explains(since_ns) || atomic_load(&board->early_hit_ns) > since_ns;
		break;
	default:
		break;
	}
	atomic_fetch_add(&board->refused[-error->status % STATUSES], 1);
	if (!expected)
		fail("an acquire with wait_ms %d failed with %s %s: %s", wait_ms,
		     tine_status_name(error->status), error->sqlstate, error->text);
	step("refused");
	/* So that it is not refused a million times. */
	if (error->status != TINE_E_TIMEOUT && error->status != TINE_E_CONNECT_TIMEOUT)
		poll(NULL, 0, 3);
}

/* ---- answers -------------------------------------------------------------------------------- */

void next_nonce(char nonce[NONCE_BYTES])
{
	snprintf(nonce, NONCE_BYTES, "%d.%d.%llu", (int)self.pid, self.thread,
		 (unsigned long long)++self.nonces);
}

static void check_row(const struct held *held, const PGresult *result, int row, const char *nonce)
{
	const char *got = PQgetvalue(result, row, 0);

	if (strcmp(got, nonce) != 0)
		fail("wrong answer on session %d: asked '%s', got '%.60s'", held->backend, nonce,
		     got);
	if (atoi(PQgetvalue(result, row, 1)) != held->backend)
		fail("wrong answer: session %d is said to be %s", held->backend,
		     PQgetvalue(result, row, 1));
}

static void check(const struct held *held, const PGresult *result, const char *nonce)
{
	if (PQnfields(result) < 2)
		fail("wrong answer on session %d: asked '%s', got %d columns: %.60s", held->backend,
		     nonce, PQnfields(result), PQcmdStatus((PGresult *)result));
	for (int row = 0; row < PQntuples(result); row++)
		check_row(held, result, row, nonce);
	count(ANSWERS);
}

static bool has_rows(const PGresult *result)
{
	return PQresultStatus(result) == PGRES_TUPLES_OK ||
	       PQresultStatus(result) == PGRES_SINGLE_TUPLE;
}

enum outcome judge(const struct held *held, PGresult *result, const char *nonce)
{
	enum outcome outcome = RIGHT;

	if (has_rows(result) && PQntuples(result) < 1)
		fail("wrong answer on session %d: asked '%s', got no row", held->backend, nonce);
	if (has_rows(result))
		check(held, result, nonce);
	else
		outcome = trouble(held, result, nonce);
	PQclear(result);
	return outcome;
}

/* ---- ways to ask ---------------------------------------------------------------------------- */

static void write_question(char *sql, size_t size, const char *nonce)
{
	snprintf(sql, size, "select '%s', pg_backend_pid()", nonce);
}

enum outcome ask_once(const struct held *held)
{
	char nonce[NONCE_BYTES], sql[2 * NONCE_BYTES];

	next_nonce(nonce);
	write_question(sql, sizeof(sql), nonce);
	return judge(held, PQexec(held->pg, sql), nonce);
}

static enum outcome ask_params(const struct held *held)
{
	char nonce[NONCE_BYTES];
	const char *values[] = { nonce };

	next_nonce(nonce);
	return judge(held,
		     PQexecParams(held->pg, "select $1::text, pg_backend_pid()", 1, NULL, values,
				  NULL, NULL, 0),
		     nonce);
}

static enum outcome ask_big(const struct held *held)
{
	char nonce[NONCE_BYTES], sql[4 * NONCE_BYTES];
	PGresult *result;

	next_nonce(nonce);
	snprintf(sql, sizeof(sql), "select '%s', pg_backend_pid(), repeat('%s', %d)", nonce, nonce,
		 BIG_TIMES);
	result = PQexec(held->pg, sql);
	if (has_rows(result)) {
		const char *end = PQgetvalue(result, 0, 2) + PQgetlength(result, 0, 2);

		if ((size_t)PQgetlength(result, 0, 2) != BIG_TIMES * strlen(nonce) ||
		    strcmp(end - strlen(nonce), nonce) != 0)
			fail("wrong answer on session %d: not the text that was asked for",
			     held->backend);
	}
	return judge(held, result, nonce);
}

/* Long enough for others to want more connections than there are. */
static enum outcome ask_slowly(const struct held *held)
{
	char nonce[NONCE_BYTES], sql[3 * NONCE_BYTES];

	next_nonce(nonce);
	snprintf(sql, sizeof(sql), "select '%s', pg_backend_pid(), pg_sleep(%.3f)", nonce,
		 (double)random_below(SLOW_MS) / 1000);
	return judge(held, PQexec(held->pg, sql), nonce);
}

enum outcome read_several(const struct held *held, char nonces[][NONCE_BYTES], int expected)
{
	PGresult *result, *error = NULL;
	enum outcome outcome = RIGHT;
	int got = 0;

	while ((result = PQgetResult(held->pg)) != NULL) {
		if (!has_rows(result)) {
			PQclear(error);
			error = result;
			continue;
		}
		if (got >= expected)
			fail("wrong answer on session %d: one more than was asked", held->backend);
		check(held, result, nonces[got++]);
		PQclear(result);
	}
	if (error || got < expected)
		outcome = trouble(held, error, "several statements");
	PQclear(error);
	return outcome;
}

enum outcome send_several(const struct held *held, char nonces[SEVERAL][NONCE_BYTES])
{
	char sql[SEVERAL * 2 * NONCE_BYTES];
	size_t used = 0;

	for (int i = 0; i < SEVERAL; i++) {
		next_nonce(nonces[i]);
		write_question(sql + used, sizeof(sql) - used, nonces[i]);
		strcat(sql, ";");
		used = strlen(sql);
	}
	return PQsendQuery(held->pg, sql) ? RIGHT : trouble(held, NULL, "sending");
}

static enum outcome ask_several(const struct held *held)
{
	char nonces[SEVERAL][NONCE_BYTES];

	if (send_several(held, nonces) == LOST)
		return LOST;
	return read_several(held, nonces, SEVERAL);
}

static enum outcome ask_rows(const struct held *held)
{
	char nonce[NONCE_BYTES], sql[4 * NONCE_BYTES];
	PGresult *result, *error = NULL;
	enum outcome outcome = RIGHT;
	int rows = 0;

	next_nonce(nonce);
	snprintf(sql, sizeof(sql), "select '%s', pg_backend_pid(), g from generate_series(1, %d) g",
		 nonce, ROWS);
	if (!PQsendQuery(held->pg, sql))
		return trouble(held, NULL, "sending");
	PQsetSingleRowMode(held->pg);
	while ((result = PQgetResult(held->pg)) != NULL) {
		if (!has_rows(result)) {
			PQclear(error);
			error = result;
			continue;
		}
		check(held, result, nonce);
		for (int row = 0; row < PQntuples(result); row++)
			if (atoi(PQgetvalue(result, row, 2)) != ++rows)
				fail("wrong answer on session %d: rows out of order",
				     held->backend);
		PQclear(result);
	}
	if (error || rows != ROWS)
		outcome = trouble(held, error, "row by row");
	PQclear(error);
	return outcome;
}

/* What came of a pipeline, up to its end or that of the connection. */
static enum outcome read_pipeline(const struct held *held, char nonces[][NONCE_BYTES])
{
	enum outcome outcome;
	int got = 0;

	for (;;) {
		PGresult *result = PQgetResult(held->pg);

		if (!result && PQstatus(held->pg) == CONNECTION_BAD)
			return trouble(held, NULL, "a pipeline");
		if (!result)
			continue;
		if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
			PQclear(result);
			break;
		}
		if (!has_rows(result)) {
			while (PQstatus(held->pg) != CONNECTION_BAD) {
				PQclear(PQgetResult(held->pg));
				step("reads to the end");
			}
			outcome = trouble(held, result, "a pipeline");
			PQclear(result);
			return outcome;
		}
		if (got >= SEVERAL)
			fail("wrong answer on session %d: one more than was asked", held->backend);
		check(held, result, nonces[got]);
		/* Also row by row: libpq forgets to end that mode before a pipeline. */
		got += PQresultStatus(result) == PGRES_TUPLES_OK;
		PQclear(result);
	}
	if (got != SEVERAL || !PQexitPipelineMode(held->pg))
		return trouble(held, NULL, "the end of a pipeline");
	return RIGHT;
}

static enum outcome ask_pipeline(const struct held *held)
{
	char nonces[SEVERAL][NONCE_BYTES];
	bool sent = PQenterPipelineMode(held->pg);

	for (int i = 0; i < SEVERAL; i++) {
		const char *values[] = { nonces[i] };

		next_nonce(nonces[i]);
		sent = sent && PQsendQueryParams(held->pg, "select $1::text, pg_backend_pid()", 1,
						 NULL, values, NULL, NULL, 0);
	}
	if (!sent || !PQpipelineSync(held->pg))
		return trouble(held, NULL, "sending a pipeline");
	return read_pipeline(held, nonces);
}

static enum outcome ask_some(const struct held *held)
{
	static const struct {
		unsigned weight;
		enum outcome (*ask)(const struct held *held);
		const char *name;
	} ways[] = {
		{ 66, ask_once, "asks" },
		{ 4, ask_slowly, "asks slowly" },
		{ 14, ask_params, "asks with a parameter" },
		{ 5, ask_several, "asks several at once" },
		{ 3, ask_rows, "asks row by row" },
		{ 4, ask_pipeline, "asks in a pipeline" },
		{ 4, ask_big, "asks for much" },
	};
	uint64_t at = random_below(100);
	size_t way = 0;

	for (; at >= ways[way].weight; way++)
		at -= ways[way].weight;
	step(ways[way].name);
	return ways[way].ask(held);
}

enum outcome ask(const struct held *held)
{
	/* Mostly one. */
	for (uint64_t left = 1 + random_below(4) / 3 + random_below(8) / 7; left > 0; left--)
		if (ask_some(held) == LOST)
			return LOST;
	return RIGHT;
}

enum outcome run(const struct held *held, const char *sql)
{
	PGresult *result = PQexec(held->pg, sql);
	enum outcome outcome = RIGHT;

	if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
		outcome = trouble(held, result, sql);
	PQclear(result);
	return outcome;
}
