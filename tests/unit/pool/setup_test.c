/* SPDX-License-Identifier: PostgreSQL */
/* What a new session is sent before anybody gets it: on_connect_sql, and what becomes of it. */
#include "unit/pool/rig.h"

static tine_pool *with_setup(int ping_timeout_ms)
{
	tine_pool_config config = rig_config(2, 0);

	config.on_connect_sql = "SET search_path = app";
	config.ping_timeout_ms = ping_timeout_ms;
	return rig_open(&config);
}

TEST(on_connect_sql_is_sent_once_to_each_new_connection)
{
	tine_pool *pool = with_setup(RIG_LONG_MS);

	for (int i = 0; i < 3; i++)
		rig_fill(pool, 2);
	for (int i = 1; i <= 2; i++) {
		CHECK_INT(fake_times_said(fake_session(i), "SET search_path = app"), ==, 1);
		CHECK_INT(atomic_load(&fake_session(i)->statement_count), ==, 1);
	}
	rig_close(pool);
}

static void hold_setup(struct fake_session *session, const char *sql, struct fake_reply *reply)
{
	(void)session;
	if (strncmp(sql, "SET", 3) == 0)
		reply->answer = FAKE_HELD;
}

static void *answer_setup(void *unused)
{
	RIG_AWAIT(fake_was_said(fake_session(1), "SET search_path = app"));
	for (int i = 0; i < 10; i++)
		rig_pause();
	/* Something else that makes the socket readable comes first. */
	fake_notify(fake_session(1));
	rig_pause();
	fake_answer_held(fake_session(1));
	return unused;
}

TEST(the_answer_to_on_connect_sql_may_take_its_time)
{
	tine_pool_config config = rig_config(1, 0);
	pthread_t thread;
	tine_pool *pool;

	config.on_connect_sql = "SET search_path = app";
	fake_on_query = hold_setup;
	pool = rig_open(&config);
	thread = rig_thread(answer_setup, NULL);
	rig_release(rig_acquire(pool));
	rig_join(thread);
	CHECK_INT(fake_times_said(fake_session(1), "SET search_path = app"), ==, 1);
	RIG_EXPECT(pool, 1, 1, 0, 0);
	rig_close(pool);
}

TEST(on_connect_sql_without_an_answer_is_a_failed_connect)
{
	tine_pool *pool = with_setup(60);

	fake_on_query = hold_setup;
	CHECK_INT(tine_pool_acquire(pool, RIG_LONG_MS, &(tine_conn *){ NULL }, NULL), <, 0);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	CHECK_INT(rig_stats(pool).open_failed, ==, 1);
	CHECK_INT(rig_stats(pool).opened, ==, 0);
	rig_close(pool);
}

static void fail_setup(struct fake_session *session, const char *sql, struct fake_reply *reply)
{
	(void)session;
	if (strncmp(sql, "SET", 3) == 0)
		strcpy(reply->sqlstate, "42601");
}

TEST(on_connect_sql_that_fails_is_told_with_its_sqlstate)
{
	tine_pool *pool = with_setup(RIG_LONG_MS);
	tine_error error;

	fake_on_query = fail_setup;
	error = rig_refused(pool, RIG_LONG_MS, TINE_E_SQL);
	CHECK_STR(error.sqlstate, "42601");
	RIG_EXPECT(pool, 0, 0, 0, 0);
	rig_close(pool);
}

static void fail_setup_in_pieces(struct fake_session *session, const char *sql,
				 struct fake_reply *reply)
{
	fail_setup(session, sql, reply);
	reply->answer = FAKE_IN_PIECES;
}

TEST(that_it_failed_is_told_also_when_the_answer_comes_in_pieces)
{
	tine_pool *pool = with_setup(RIG_LONG_MS);
	struct rig_waiter waiter = { 0 };

	fake_on_query = fail_setup_in_pieces;
	rig_wait_start(&waiter, pool, RIG_LONG_MS);
	RIG_AWAIT(fake_was_said(fake_session(1), "SET search_path = app"));
	for (int i = 0; i < 10; i++)
		rig_pause();
	fake_answer_held(fake_session(1));
	CHECK_INT(rig_wait_end(&waiter), ==, TINE_E_SQL);
	CHECK_STR(waiter.error.sqlstate, "42601");
	rig_close(pool);
}

/* ---- sessions that end meanwhile ------------------------------------------------------------- */

static void end_the_first_setups(struct fake_session *session, const char *sql,
				 struct fake_reply *reply)
{
	(void)sql;
	if (session->id <= RIG_MOST_TERMINATED)
		*reply = (struct fake_reply){ .answer = FAKE_FAREWELL, .sqlstate = "57P01" };
}

TEST(sessions_that_are_terminated_while_they_are_set_up_are_no_outage)
{
	tine_pool *pool = with_setup(RIG_LONG_MS);

	fake_on_query = end_the_first_setups;
	rig_release(rig_acquire(pool));
	rig_expect_forgiven(pool);
	rig_close(pool);
}

static void hang_up(struct fake_session *session, const char *sql, struct fake_reply *reply)
{
	(void)session;
	(void)sql;
	reply->answer = FAKE_DIES_BEFORE;
}

TEST(where_all_are_hung_up_on_without_a_word_it_is_one)
{
	tine_pool *pool = with_setup(RIG_LONG_MS);

	clock_freeze();
	fake_on_query = hang_up;
	rig_refused(pool, RIG_LONG_MS, TINE_E_LOST);
	CHECK_INT(rig_sessions(), ==, 2);
	rig_refused(pool, RIG_LONG_MS, TINE_E_LOST);
	CHECK_INT(rig_sessions(), ==, 2);
	rig_close(pool);
}

CHECK_TABLE(T(on_connect_sql_is_sent_once_to_each_new_connection),
	    T(the_answer_to_on_connect_sql_may_take_its_time),
	    T(on_connect_sql_without_an_answer_is_a_failed_connect),
	    T(on_connect_sql_that_fails_is_told_with_its_sqlstate),
	    T(that_it_failed_is_told_also_when_the_answer_comes_in_pieces),
	    T(sessions_that_are_terminated_while_they_are_set_up_are_no_outage),
	    T(where_all_are_hung_up_on_without_a_word_it_is_one))
