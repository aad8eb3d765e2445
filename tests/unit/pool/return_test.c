/* SPDX-License-Identifier: PostgreSQL */
/* A connection comes back: what the next user must not find in it. */
#include "unit/pool/rig.h"

static tine_pool *with_reset(int reset)
{
	tine_pool_config config = rig_config(1, 0);

	config.reset = reset;
	config.ping_timeout_ms = 100;
	return rig_open(&config);
}

/* Use a connection with these statements and return it. */
static void use(tine_pool *pool, const char *first, const char *second)
{
	tine_conn *conn = rig_acquire(pool);

	fake_exec(tine_conn_pg(conn), first);
	if (second)
		fake_exec(tine_conn_pg(conn), second);
	rig_release(conn);
}

static int said(int session, const char *sql)
{
	return fake_times_said(fake_session(session), sql);
}

/* ---- transactions --------------------------------------------------------------------------- */

TEST(an_open_transaction_is_rolled_back)
{
	tine_pool *pool = with_reset(TINE_RESET_ROLLBACK);
	tine_conn *conn;

	use(pool, "BEGIN", "INSERT 1");
	CHECK_INT(said(1, "ROLLBACK"), ==, 1);
	conn = rig_acquire(pool);
	CHECK_INT(rig_session(conn)->id, ==, 1);
	CHECK_INT(fake_pq.transaction_status(tine_conn_pg(conn)), ==, PQTRANS_IDLE);
	CHECK_INT(atomic_load(&rig_session(conn)->commits), ==, 0);
	rig_release(conn);
	CHECK_INT(rig_stats(pool).opened, ==, 1);
	rig_close(pool);
}

static void fail_insert(struct fake_session *session, const char *sql, struct fake_reply *reply)
{
	(void)session;
	if (strncmp(sql, "INSERT", 6) == 0)
		strcpy(reply->sqlstate, "23505");
}

TEST(a_failed_transaction_is_rolled_back)
{
	tine_pool *pool = with_reset(TINE_RESET_ROLLBACK);
	tine_conn *conn;

	fake_on_query = fail_insert;
	use(pool, "BEGIN", "INSERT 1");
	CHECK_INT(said(1, "ROLLBACK"), ==, 1);
	conn = rig_acquire(pool);
	CHECK_INT(fake_exec(tine_conn_pg(conn), "SELECT 1"), ==, PGRES_TUPLES_OK);
	rig_release(conn);
	CHECK_INT(rig_stats(pool).opened, ==, 1);
	rig_close(pool);
}

TEST(without_a_transaction_nothing_is_sent)
{
	tine_pool *pool = with_reset(TINE_RESET_ROLLBACK);

	use(pool, "BEGIN", "COMMIT");
	use(pool, "SET x = 1", NULL);
	CHECK_INT(said(1, "ROLLBACK"), ==, 0);
	CHECK_INT(atomic_load(&fake_session(1)->statement_count), ==, 3);
	/* Settings stay, for the next user of the same application. */
	CHECK_INT(atomic_load(&fake_session(1)->settings), ==, 1);
	rig_close(pool);
}

static void hold_rollback(struct fake_session *session, const char *sql, struct fake_reply *reply)
{
	(void)session;
	if (strcmp(sql, "ROLLBACK") == 0)
		reply->answer = FAKE_HELD;
}

/* The release does not wait for the answer, the next checkout does. */
TEST(a_release_does_not_wait_for_the_server)
{
	tine_pool *pool = with_reset(TINE_RESET_ROLLBACK);
	struct rig_waiter waiter = { 0 };

	fake_on_query = hold_rollback;
	use(pool, "BEGIN", NULL);
	RIG_EXPECT(pool, 1, 1, 0, 0);
	rig_wait_start(&waiter, pool, RIG_LONG_MS);
	fake_answer_held(fake_session(1));
	CHECK_INT(rig_wait_end(&waiter), ==, 0);
	CHECK_INT(rig_session(waiter.conn)->id, ==, 1);
	rig_release(waiter.conn);
	rig_close(pool);
}

TEST(a_rollback_without_an_answer_ends_the_connection)
{
	tine_pool *pool = with_reset(TINE_RESET_ROLLBACK);
	tine_conn *conn;

	fake_on_query = hold_rollback;
	use(pool, "BEGIN", NULL);
	conn = rig_acquire(pool);
	CHECK_INT(rig_session(conn)->id, ==, 2);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_DEAD), ==, 1);
	rig_release(conn);
	rig_close(pool);
}

static void die_at_rollback(struct fake_session *session, const char *sql, struct fake_reply *reply)
{
	(void)session;
	if (strcmp(sql, "ROLLBACK") == 0)
		reply->answer = FAKE_DIES_BEFORE;
}

TEST(a_connection_that_dies_of_its_rollback_is_replaced)
{
	tine_pool *pool = with_reset(TINE_RESET_ROLLBACK);
	tine_conn *conn;

	fake_on_query = die_at_rollback;
	use(pool, "BEGIN", NULL);
	conn = rig_acquire(pool);
	CHECK_INT(rig_session(conn)->id, ==, 2);
	rig_release(conn);
	rig_close(pool);
}

TEST(a_rollback_that_cannot_be_sent_costs_the_connection_only)
{
	tine_pool *pool = with_reset(TINE_RESET_ROLLBACK);
	tine_conn *conn = rig_acquire(pool);

	fake_exec(tine_conn_pg(conn), "BEGIN");
	fake_fail_at(2); /* after what puts the client's settings back */
	rig_release(conn);
	CHECK(fake_has_failed());
	conn = rig_acquire(pool);
	CHECK_INT(rig_session(conn)->id, ==, 2);
	rig_release(conn);
	rig_close(pool);
}

/* ---- states that cannot be reset ------------------------------------------------------------ */

TEST(a_statement_that_was_not_read_closes_the_connection)
{
	tine_pool *pool = with_reset(TINE_RESET_ROLLBACK);
	tine_conn *conn = rig_acquire(pool);

	fake_send(tine_conn_pg(conn), "SELECT 1");
	rig_release(conn);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_RESET), ==, 1);
	/* Nor is the server waited for: it learns of the end by that of the socket. */
	CHECK_INT(atomic_load(&fake_session(1)->goodbyes), ==, 0);
	rig_close(pool);
}

TEST(pipeline_mode_closes_the_connection)
{
	tine_pool *pool = with_reset(TINE_RESET_ROLLBACK);
	tine_conn *conn = rig_acquire(pool);

	fake_set_pipeline(tine_conn_pg(conn), true);
	rig_release(conn);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_RESET), ==, 1);
	rig_close(pool);
}

TEST(a_function_of_the_programs_that_cannot_be_taken_out_closes_the_connection)
{
	tine_pool *pool = with_reset(TINE_RESET_ROLLBACK);
	tine_conn *conn = rig_acquire(pool);

	fake_set_receiver(tine_conn_pg(conn));
	rig_release(conn);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_RESET), ==, 1);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	rig_close(pool);
}

static int set_receiver(const tine_event *event, void *unused)
{
	(void)unused;
	fake_set_receiver(event->pg);
	return 0;
}

TEST(what_was_set_when_it_was_new_stays)
{
	tine_pool *pool = with_reset(TINE_RESET_ROLLBACK);

	CHECK_INT(tine_pool_on(pool, TINE_EVENT_CONNECT, set_receiver, NULL), ==, 0);
	for (int i = 0; i < 3; i++)
		rig_release(rig_acquire(pool));
	CHECK_INT(rig_stats(pool).opened, ==, 1);
	rig_close(pool);
}

TEST(a_connection_that_the_program_reset_is_not_kept)
{
	tine_pool *pool = with_reset(TINE_RESET_ROLLBACK);
	tine_conn *conn = rig_acquire(pool);

	/* Another session, without what was done when this one was new. */
	fake_reset(tine_conn_pg(conn));
	CHECK_INT(fake_exec(tine_conn_pg(conn), "SELECT 1"), ==, PGRES_TUPLES_OK);
	rig_release(conn);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_RESET), ==, 1);
	rig_close(pool);
}

TEST(a_lost_connection_is_not_kept)
{
	tine_pool *pool = with_reset(TINE_RESET_ROLLBACK);
	tine_conn *conn = rig_acquire(pool);

	fake_hang_up(rig_session(conn));
	fake_exec(tine_conn_pg(conn), "SELECT 1");
	rig_release(conn);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_LOST), ==, 1);
	rig_close(pool);
}

/* ---- none ----------------------------------------------------------------------------------- */

TEST(none_closes_what_is_in_a_transaction_and_keeps_the_rest)
{
	tine_pool *pool = with_reset(TINE_RESET_NONE);

	use(pool, "SELECT 1", NULL);
	RIG_EXPECT(pool, 1, 1, 0, 0);
	use(pool, "BEGIN", NULL);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	CHECK_INT(said(1, "ROLLBACK"), ==, 0);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_RESET), ==, 1);
	rig_close(pool);
}

/* ---- full ----------------------------------------------------------------------------------- */

TEST(full_discards_all_after_each_use)
{
	tine_pool *pool = with_reset(TINE_RESET_FULL);

	use(pool, "SET x = 1", NULL);
	use(pool, "SELECT 1", NULL);
	CHECK_INT(said(1, "DISCARD ALL"), ==, 2);
	CHECK_INT(atomic_load(&fake_session(1)->settings), ==, 0);
	CHECK_INT(rig_stats(pool).opened, ==, 1);
	rig_close(pool);
}

TEST(full_rolls_back_before_it_discards)
{
	tine_pool *pool = with_reset(TINE_RESET_FULL);
	tine_conn *conn;

	use(pool, "BEGIN", "SET x = 1");
	conn = rig_acquire(pool);
	CHECK_INT(rig_session(conn)->id, ==, 1);
	CHECK_INT(said(1, "ROLLBACK"), ==, 1);
	CHECK_INT(said(1, "DISCARD ALL"), ==, 1);
	CHECK_INT(atomic_load(&rig_session(conn)->settings), ==, 0);
	rig_release(conn);
	rig_close(pool);
}

TEST(full_forgets_notifications)
{
	tine_pool *pool = with_reset(TINE_RESET_FULL);
	tine_conn *conn = rig_acquire(pool);

	fake_notify(rig_session(conn));
	fake_exec(tine_conn_pg(conn), "SELECT 1");
	CHECK_INT(fake_notifications(tine_conn_pg(conn)), ==, 1);
	rig_release(conn);
	conn = rig_acquire(pool);
	CHECK_INT(rig_session(conn)->id, ==, 1);
	CHECK_INT(fake_notifications(tine_conn_pg(conn)), ==, 0);
	rig_release(conn);
	rig_close(pool);
}

static void fail_discard(struct fake_session *session, const char *sql, struct fake_reply *reply)
{
	(void)session;
	if (strcmp(sql, "DISCARD ALL") == 0)
		strcpy(reply->sqlstate, "53200");
}

TEST(a_reset_that_fails_ends_the_connection)
{
	tine_pool *pool = with_reset(TINE_RESET_FULL);
	struct rig_events events = { 0 };
	tine_conn *conn;

	fake_on_query = fail_discard;
	rig_listen(pool, &events);
	use(pool, "SELECT 1", NULL);
	conn = rig_acquire(pool);
	CHECK_INT(rig_session(conn)->id, ==, 2);
	CHECK_STR(events.error[TINE_EVENT_CLOSE].sqlstate, "53200");
	rig_release(conn);
	rig_close(pool);
}

TEST(after_a_full_reset_on_connect_sql_is_sent_again)
{
	tine_pool_config config = rig_config(1, 0);
	tine_conn *conn;
	tine_pool *pool;

	config.reset = TINE_RESET_FULL;
	config.on_connect_sql = "SET search_path = app";
	pool = rig_open(&config);
	use(pool, "BEGIN", NULL);
	conn = rig_acquire(pool);
	CHECK_INT(said(1, "SET search_path = app"), ==, 2);
	CHECK_INT(atomic_load(&rig_session(conn)->settings), ==, 1);
	rig_release(conn);
	rig_close(pool);
}

/* ---- tracked -------------------------------------------------------------------------------- */

TEST(tracked_discards_only_where_something_may_be_left)
{
	static const struct {
		const char *sql;
		bool leaves;
	} rows[] = {
		{ "SELECT 1", false }, { "INSERT 1", false },      { "UPDATE 1", false },
		{ "DELETE 1", false }, { "SHOW x", false },        { "EXPLAIN x", false },
		{ "NOTIFY x", false }, { "TRUNCATE x", false },    { "SET x = 1", true },
		{ "LISTEN x", true },  { "CREATE TABLE x", true }, { "PREPARE x", true },
		{ "DECLARE x", true }, { "LOAD x", true },         { "DO x", true },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		tine_pool *pool = with_reset(TINE_RESET_TRACKED);
		struct fake_session *session;
		tine_conn *conn = rig_acquire(pool);

		session = rig_session(conn);
		fake_exec(tine_conn_pg(conn), rows[i].sql);
		rig_release(conn);
		if (fake_was_said(session, "DISCARD ALL") != rows[i].leaves)
			check_fail(__FILE__, __LINE__, "%s", rows[i].sql);
		/* Once is enough. */
		use(pool, "SELECT 1", NULL);
		use(pool, "SELECT 1", NULL);
		CHECK_INT(fake_times_said(session, "DISCARD ALL"), ==, rows[i].leaves);
		rig_close(pool);
	}
}

TEST(tracked_does_not_trust_an_open_transaction)
{
	tine_pool *pool = with_reset(TINE_RESET_TRACKED);

	use(pool, "BEGIN", "SELECT 1");
	CHECK_INT(said(1, "ROLLBACK"), ==, 1);
	use(pool, "SELECT 1", NULL);
	CHECK_INT(said(1, "DISCARD ALL"), ==, 0);
	use(pool, "BEGIN", "SET x = 1");
	use(pool, "SELECT 1", NULL);
	CHECK_INT(said(1, "DISCARD ALL"), ==, 1);
	rig_close(pool);
}

/* ---- a statement of one user is never another's --------------------------------------------- */

static _Atomic int answered;

static void *exchange(void *arg)
{
	tine_pool *pool = arg;

	for (int i = 0; i < rig_rounds(500); i++) {
		tine_conn *conn = rig_acquire(pool);
		PGconn *pg = tine_conn_pg(conn);

		rig_own(conn);
		CHECK_INT(fake_pq.transaction_status(pg), ==, PQTRANS_IDLE);
		CHECK_INT(atomic_load(&rig_session(conn)->settings), ==, 0);
		CHECK_INT(fake_exec(pg, "BEGIN"), ==, PGRES_COMMAND_OK);
		CHECK_INT(fake_exec(pg, "SET x = 1"), ==, PGRES_COMMAND_OK);
		if (i % 7 == 0)
			fake_send(pg, "SELECT 1");
		rig_disown(conn);
		rig_release(conn);
		atomic_fetch_add(&answered, 1);
	}
	return NULL;
}

TEST(nothing_of_one_user_reaches_another)
{
	tine_pool_config config = rig_config(2, 1);
	pthread_t threads[6];
	tine_pool *pool;

	config.reset = TINE_RESET_FULL;
	pool = rig_open(&config);
	for (int i = 0; i < 6; i++)
		threads[i] = rig_thread(exchange, pool);
	for (int i = 0; i < 6; i++)
		rig_join(threads[i]);
	CHECK_INT(atomic_load(&answered), ==, 6 * rig_rounds(500));
	CHECK_INT(rig_stats(pool).open, ==, rig_stats(pool).idle);
	CHECK_INT(rig_stats(pool).open, ==, atomic_load(&fake_count->live));
	rig_close(pool);
}

CHECK_TABLE(T(an_open_transaction_is_rolled_back), T(a_failed_transaction_is_rolled_back),
	    T(without_a_transaction_nothing_is_sent), T(a_release_does_not_wait_for_the_server),
	    T(a_rollback_without_an_answer_ends_the_connection),
	    T(a_connection_that_dies_of_its_rollback_is_replaced),
	    T(a_rollback_that_cannot_be_sent_costs_the_connection_only),
	    T(a_statement_that_was_not_read_closes_the_connection),
	    T(pipeline_mode_closes_the_connection),
	    T(a_function_of_the_programs_that_cannot_be_taken_out_closes_the_connection),
	    T(what_was_set_when_it_was_new_stays),
	    T(a_connection_that_the_program_reset_is_not_kept), T(a_lost_connection_is_not_kept),
	    T(none_closes_what_is_in_a_transaction_and_keeps_the_rest),
	    T(full_discards_all_after_each_use), T(full_rolls_back_before_it_discards),
	    T(full_forgets_notifications), T(a_reset_that_fails_ends_the_connection),
	    T(after_a_full_reset_on_connect_sql_is_sent_again),
	    T(tracked_discards_only_where_something_may_be_left),
	    T(tracked_does_not_trust_an_open_transaction), T(nothing_of_one_user_reaches_another))
