/* SPDX-License-Identifier: PostgreSQL */
/* Scopes: a unit of work that commits, or is rolled back on every way out. */
#include "unit/pool/rig.h"

static tine_scope *begin(tine_pool *pool, const char *name)
{
	tine_scope *scope = tine_scope_begin(pool, TINE_SCOPE_REQUEST, name);

	CHECK(scope);
	return scope;
}

static PGconn *conn_of(tine_scope *scope)
{
	tine_error error = { 0 };
	PGconn *pg = tine_scope_conn(scope, &error);

	if (!pg)
		check_fail(__FILE__, __LINE__, "no connection: %d %s", error.status, error.text);
	return pg;
}

static int commits(int session)
{
	return atomic_load(&fake_session(session)->commits);
}

/* ---- how it goes ---------------------------------------------------------------------------- */

TEST(a_scope_takes_a_connection_when_it_needs_one)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_scope *scope = begin(pool, "GET /");
	PGconn *pg;

	RIG_EXPECT(pool, 0, 0, 0, 0);
	pg = conn_of(scope);
	RIG_EXPECT(pool, 1, 0, 1, 0);
	CHECK_INT(fake_pq.transaction_status(pg), ==, PQTRANS_INTRANS);
	CHECK(conn_of(scope) == pg);
	CHECK_INT(fake_times_said(fake_session(1), "BEGIN"), ==, 1);
	CHECK_INT(tine_scope_commit(scope, NULL), ==, 0);
	RIG_EXPECT(pool, 1, 1, 0, 0);
	CHECK_INT(commits(1), ==, 1);
	tine_scope_end(scope);
	rig_close(pool);
}

TEST(what_is_not_committed_is_rolled_back)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_scope *scope = begin(pool, NULL);

	fake_exec(conn_of(scope), "INSERT 1");
	tine_scope_end(scope);
	RIG_EXPECT(pool, 1, 1, 0, 0);
	CHECK_INT(fake_times_said(fake_session(1), "ROLLBACK"), ==, 1);
	CHECK_INT(commits(1), ==, 0);
	rig_close(pool);
}

TEST(nothing_begun_is_nothing_to_commit)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_scope *scope = begin(pool, NULL);

	CHECK_INT(tine_scope_commit(scope, NULL), ==, 0);
	tine_scope_end(scope);
	CHECK_INT(atomic_load(&fake_count->sessions), ==, 0);
	rig_close(pool);
}

TEST(after_a_commit_the_next_statement_begins_anew)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_scope *scope = begin(pool, NULL);

	for (int i = 1; i <= 3; i++) {
		fake_exec(conn_of(scope), "INSERT 1");
		CHECK_INT(tine_scope_commit(scope, NULL), ==, 0);
		CHECK_INT(commits(1), ==, i);
		/* Between the two somebody else may have the connection. */
		rig_release(rig_acquire(pool));
	}
	fake_exec(conn_of(scope), "INSERT 1");
	tine_scope_end(scope);
	CHECK_INT(commits(1), ==, 3);
	rig_close(pool);
}

static int work(tine_pool *pool, int way)
{
	TINE_SCOPE(scope, pool, TINE_SCOPE_TASK, "work");
	tine_error error;
	PGconn *pg = tine_scope_conn(scope, &error);

	if (way == 1)
		return 1;
	for (int i = 0; i < 3; i++) {
		fake_exec(pg, "INSERT 1");
		if (way == 2 && i == 1)
			return 2;
	}
	return tine_scope_commit(scope, &error);
}

TEST(the_macro_ends_it_on_every_way_out)
{
	tine_pool *pool = rig_pool(1, 0);

	for (int way = 1; way <= 3; way++) {
		CHECK_INT(work(pool, way), ==, way == 3 ? 0 : way);
		RIG_EXPECT(pool, 1, 1, 0, 0);
	}
	CHECK_INT(commits(1), ==, 1);
	CHECK_INT(rig_stats(pool).opened, ==, 1);
	rig_close(pool);
}

TEST(a_program_that_commits_by_itself_is_right)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_scope *scope = begin(pool, NULL);

	fake_exec(conn_of(scope), "COMMIT");
	CHECK_INT(tine_scope_commit(scope, NULL), ==, 0);
	CHECK_INT(commits(1), ==, 1);
	tine_scope_end(scope);
	rig_close(pool);
}

/* ---- what goes wrong ------------------------------------------------------------------------ */

static struct fake_reply script; /* for the statement below */
static char scripted[16];
static int times = 1;

static void play(struct fake_session *session, const char *sql, struct fake_reply *reply)
{
	(void)session;
	if (strcmp(sql, scripted) == 0 && times-- > 0)
		*reply = script;
}

static void on(const char *sql, enum fake_answer answer, const char *sqlstate)
{
	fake_on_query = play;
	times = 1;
	snprintf(scripted, sizeof(scripted), "%s", sql);
	script = (struct fake_reply){ .answer = answer };
	snprintf(script.sqlstate, sizeof(script.sqlstate), "%s", sqlstate);
}

TEST(a_failed_statement_aborts_the_commit)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_scope *scope = begin(pool, NULL);
	tine_error error;

	on("INSERT 1", FAKE_AT_ONCE, "23505");
	fake_exec(conn_of(scope), "INSERT 1");
	CHECK_INT(tine_scope_commit(scope, &error), ==, TINE_E_ABORTED);
	CHECK_STR(error.sqlstate, "23505");
	RIG_EXPECT(pool, 1, 1, 0, 0);
	CHECK_INT(commits(1), ==, 0);
	/* The scope can go on: nothing of it is half-done. */
	fake_exec(conn_of(scope), "INSERT 2");
	CHECK_INT(tine_scope_commit(scope, &error), ==, 0);
	tine_scope_end(scope);
	rig_close(pool);
}

TEST(a_commit_that_the_server_refuses_is_told)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_scope *scope = begin(pool, NULL);
	tine_error error;

	on("COMMIT", FAKE_AT_ONCE, "40001");
	conn_of(scope);
	CHECK_INT(tine_scope_commit(scope, &error), ==, TINE_E_SQL);
	CHECK_STR(error.sqlstate, "40001");
	RIG_EXPECT(pool, 1, 1, 0, 0);
	tine_scope_end(scope);
	rig_close(pool);
}

TEST(a_connection_lost_during_commit_is_in_doubt)
{
	static const enum fake_answer ways[] = { FAKE_DIES_BEFORE, FAKE_DIES_AFTER, FAKE_FAREWELL };

	for (int i = 0; i < 3; i++) {
		tine_pool *pool = rig_pool(1, 0);
		tine_scope *scope = begin(pool, NULL);
		tine_error error;

		on("COMMIT", ways[i], ways[i] == FAKE_FAREWELL ? "57P01" : "");
		conn_of(scope);
		CHECK_INT(tine_scope_commit(scope, &error), ==, TINE_E_IN_DOUBT);
		CHECK_INT(commits(i + 1), ==, ways[i] == FAKE_DIES_AFTER);
		RIG_EXPECT(pool, 0, 0, 0, 0);
		/* Nothing more in this scope. */
		CHECK(!tine_scope_conn(scope, &error));
		CHECK_INT(error.status, ==, TINE_E_LOST);
		tine_scope_end(scope);
		rig_close(pool);
	}
}

TEST(a_connection_known_to_be_lost_before_commit_is_not_in_doubt)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_scope *scope = begin(pool, NULL);
	tine_error error;

	conn_of(scope);
	/* libpq has not read it yet. */
	fake_farewell(fake_session(1), "57P01");
	CHECK_INT(tine_scope_commit(scope, &error), ==, TINE_E_LOST);
	CHECK(!fake_was_said(fake_session(1), "COMMIT"));
	CHECK_INT(fake_printed(), ==, 0);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	tine_scope_end(scope);
	rig_close(pool);
}

TEST(a_lost_connection_ends_the_unit_of_work)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_scope *scope = begin(pool, NULL);
	tine_error error;

	on("INSERT 1", FAKE_DIES_BEFORE, "");
	CHECK_INT(fake_exec(conn_of(scope), "INSERT 1"), ==, PGRES_FATAL_ERROR);
	for (int i = 0; i < 3; i++) {
		CHECK(!tine_scope_conn(scope, &error));
		CHECK_INT(error.status, ==, TINE_E_LOST);
	}
	CHECK_INT(tine_scope_commit(scope, &error), ==, TINE_E_LOST);
	CHECK(!tine_scope_conn(scope, &error));
	CHECK_INT(atomic_load(&fake_count->sessions), ==, 1);
	tine_scope_end(scope);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	rig_close(pool);
}

TEST(a_connection_found_dead_at_begin_is_replaced)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_scope *scope = begin(pool, NULL);

	/* Too young to be looked at. */
	clock_freeze();
	rig_fill(pool, 1);
	fake_hang_up(fake_session(1));
	fake_exec(conn_of(scope), "INSERT 1");
	CHECK_INT(tine_scope_commit(scope, NULL), ==, 0);
	CHECK_INT(commits(2), ==, 1);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_LOST), ==, 1);
	tine_scope_end(scope);
	rig_close(pool);
}

TEST(a_begin_that_the_server_refuses_is_told)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_scope *scope = begin(pool, NULL);
	tine_error error;

	on("BEGIN", FAKE_AT_ONCE, "53200");
	CHECK(!tine_scope_conn(scope, &error));
	CHECK_INT(error.status, ==, TINE_E_SQL);
	CHECK_STR(error.sqlstate, "53200");
	RIG_EXPECT(pool, 1, 1, 0, 0);
	CHECK(conn_of(scope));
	tine_scope_end(scope);
	rig_close(pool);
}

TEST(what_was_not_read_to_its_end_is_not_committed)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_scope *scope = begin(pool, NULL);
	tine_error error;

	fake_send(conn_of(scope), "SELECT 1");
	CHECK_INT(tine_scope_commit(scope, &error), ==, TINE_E_ABORTED);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	tine_scope_end(scope);
	scope = begin(pool, NULL);
	fake_set_pipeline(conn_of(scope), true);
	CHECK_INT(tine_scope_commit(scope, &error), ==, TINE_E_ABORTED);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	tine_scope_end(scope);
	rig_close(pool);
}

TEST(the_end_never_fails_whatever_became_of_the_connection)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_scope *scope;

	scope = begin(pool, NULL);
	fake_hang_up(fake_session_of(conn_of(scope)));
	tine_scope_end(scope);
	scope = begin(pool, NULL);
	fake_send(conn_of(scope), "SELECT 1");
	tine_scope_end(scope);
	scope = begin(pool, NULL);
	conn_of(scope);
	tine_pool_pause(pool, TINE_PAUSE_FAIL, 0, NULL);
	tine_scope_end(scope);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	tine_pool_resume(pool);
	scope = begin(pool, NULL);
	conn_of(scope);
	tine_pool_free(pool);
	tine_scope_end(scope);
	rig_check_nothing_left();
}

TEST(no_connection_to_be_had_is_told)
{
	tine_pool_config config = rig_config(1, 0);
	tine_scope *scope;
	tine_error error;
	tine_pool *pool;
	tine_conn *conn;

	config.acquire_timeout_ms = 20;
	pool = rig_open(&config);
	conn = rig_acquire(pool);
	scope = begin(pool, NULL);
	CHECK(!tine_scope_conn(scope, &error));
	CHECK_INT(error.status, ==, TINE_E_TIMEOUT);
	CHECK_INT(tine_scope_commit(scope, &error), ==, 0);
	rig_release(conn);
	CHECK(conn_of(scope));
	tine_scope_end(scope);
	rig_close(pool);
}

TEST(a_scope_is_named_with_the_holders)
{
	tine_pool *pool = rig_pool(3, 0);
	tine_scope *scopes[3] = { begin(pool, "GET /lots"),
				  tine_scope_begin(pool, TINE_SCOPE_SCRIPT, NULL),
				  begin(pool, "a name of far more than forty-seven bytes, cut") };
	tine_error error;

	for (int i = 0; i < 3; i++)
		conn_of(scopes[i]);
	error = rig_refused(pool, 10, TINE_E_TIMEOUT);
	CHECK_CONTAINS(error.text, "'GET /lots'");
	CHECK_CONTAINS(error.text, "'script'");
	CHECK_CONTAINS(error.text, "pool_scope_test");
	for (int i = 0; i < 3; i++)
		tine_scope_end(scopes[i]);
	rig_close(pool);
}

TEST(a_scope_that_is_not_there_says_so)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_scope *scope;
	tine_error error;

	CHECK(!tine_scope_conn(NULL, &error));
	CHECK_INT(error.status, ==, TINE_E_NOMEM);
	CHECK_INT(tine_scope_commit(NULL, &error), ==, TINE_E_NOMEM);
	tine_scope_end(NULL);
	scope = tine_scope_begin(pool, 7, NULL);
	CHECK(!tine_scope_conn(scope, &error));
	CHECK_INT(error.status, ==, TINE_E_INVALID);
	tine_scope_end(scope);
	scope = tine_scope_begin(NULL, TINE_SCOPE_TASK, NULL);
	CHECK(!tine_scope_conn(scope, &error));
	CHECK_INT(error.status, ==, TINE_E_INVALID);
	tine_scope_end(scope);
	rig_close(pool);
}

CHECK_TABLE(T(a_scope_takes_a_connection_when_it_needs_one),
	    T(what_is_not_committed_is_rolled_back), T(nothing_begun_is_nothing_to_commit),
	    T(after_a_commit_the_next_statement_begins_anew), T(the_macro_ends_it_on_every_way_out),
	    T(a_program_that_commits_by_itself_is_right), T(a_failed_statement_aborts_the_commit),
	    T(a_commit_that_the_server_refuses_is_told),
	    T(a_connection_lost_during_commit_is_in_doubt),
	    T(a_connection_known_to_be_lost_before_commit_is_not_in_doubt),
	    T(a_lost_connection_ends_the_unit_of_work),
	    T(a_connection_found_dead_at_begin_is_replaced),
	    T(a_begin_that_the_server_refuses_is_told),
	    T(what_was_not_read_to_its_end_is_not_committed),
	    T(the_end_never_fails_whatever_became_of_the_connection),
	    T(no_connection_to_be_had_is_told), T(a_scope_is_named_with_the_holders),
	    T(a_scope_that_is_not_there_says_so))
