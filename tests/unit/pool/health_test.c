/* SPDX-License-Identifier: PostgreSQL */
/* Is an idle connection still alive, and still the server that it was? */
#include "unit/pool/rig.h"

#define FRESH_MS 500
#define PING_IDLE_MS 30000

static tine_pool *with_ping(int ping)
{
	tine_pool_config config = rig_config(3, 0);

	config.ping = ping;
	config.idle_timeout_ms = 0;
	config.recycle_ms = 0;
	config.ping_timeout_ms = 100;
	return rig_open(&config);
}

static unsigned long calls(int call)
{
	return atomic_load(&fake_count->calls[call]);
}

/* ---- what the socket shows ------------------------------------------------------------------ */

TEST(what_was_used_just_now_is_handed_out_unseen)
{
	tine_pool *pool = with_ping(TINE_PING_AUTO);
	unsigned long sent, read;

	rig_fill(pool, 1);
	sent = calls(FAKE_send_query);
	read = calls(FAKE_consume_input);
	for (int i = 0; i < 100; i++)
		rig_release(rig_acquire(pool));
	CHECK_INT(calls(FAKE_send_query), ==, sent);
	CHECK_INT(calls(FAKE_consume_input), ==, read);
	rig_close(pool);
}

TEST(an_ended_connection_is_replaced_before_it_is_handed_out)
{
	tine_pool *pool = with_ping(TINE_PING_AUTO);
	struct rig_events events = { 0 };
	tine_conn *conn;

	rig_listen(pool, &events);
	rig_fill(pool, 1);
	fake_hang_up(fake_session(1));
	clock_pass_ms(FRESH_MS + 100);
	conn = rig_acquire(pool);
	CHECK_INT(rig_session(conn)->id, ==, 2);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_DEAD), ==, 1);
	CHECK_INT(events.error[TINE_EVENT_CLOSE].status, ==, TINE_E_LOST);
	rig_release(conn);
	rig_close(pool);
}

TEST(a_farewell_is_told_with_its_sqlstate_and_not_printed)
{
	tine_pool *pool = with_ping(TINE_PING_AUTO);
	struct rig_events events = { 0 };

	rig_listen(pool, &events);
	rig_fill(pool, 1);
	fake_farewell(fake_session(1), "57P01");
	clock_pass_ms(FRESH_MS + 100);
	rig_release(rig_acquire(pool));
	CHECK_INT(events.cause[TINE_CAUSE_DEAD], ==, 1);
	CHECK_STR(events.error[TINE_EVENT_CLOSE].sqlstate, "57P01");
	CHECK_INT(events.error[TINE_EVENT_CLOSE].status, ==, TINE_E_LOST);
	CHECK_INT(fake_printed(), ==, 0);
	rig_close(pool);
}

TEST(messages_that_are_no_end_do_no_harm)
{
	tine_pool *pool = with_ping(TINE_PING_AUTO);
	tine_conn *conn;

	rig_fill(pool, 1);
	fake_notify(fake_session(1));
	fake_notice(fake_session(1));
	clock_pass_ms(FRESH_MS + 100);
	conn = rig_acquire(pool);
	CHECK_INT(rig_session(conn)->id, ==, 1);
	CHECK_INT(fake_notifications(tine_conn_pg(conn)), ==, 1);
	CHECK_INT(fake_printed(), ==, 0);
	rig_release(conn);
	/* The fake frees notifications only when somebody asks for them, like libpq. */
	rig_close(pool);
}

/* Notices of a connection that is in use are the program's. */
TEST(notices_in_use_go_where_the_program_wants)
{
	tine_pool *pool = with_ping(TINE_PING_AUTO);
	tine_conn *conn;

	rig_fill(pool, 1);
	clock_pass_ms(FRESH_MS + 100);
	conn = rig_acquire(pool);
	fake_notice(rig_session(conn));
	CHECK(fake_pq.consume_input(tine_conn_pg(conn)));
	CHECK_INT(fake_printed(), ==, 1);
	rig_release(conn);
	tine_pool_free(pool);
}

/* ---- a round trip --------------------------------------------------------------------------- */

TEST(after_a_long_idle_time_a_round_trip_makes_sure)
{
	tine_pool *pool = with_ping(TINE_PING_AUTO);

	rig_fill(pool, 1);
	clock_pass_ms(PING_IDLE_MS - 1000);
	rig_release(rig_acquire(pool));
	CHECK_INT(atomic_load(&fake_session(1)->statement_count), ==, 0);
	clock_pass_ms(PING_IDLE_MS + 1000);
	rig_release(rig_acquire(pool));
	CHECK_INT(fake_times_said(fake_session(1), ""), ==, 1);
	CHECK_INT(rig_stats(pool).pings, ==, 1);
	CHECK_INT(rig_stats(pool).opened, ==, 1);
	rig_close(pool);
}

TEST(ping_always_asks_each_time_and_never_not_at_all)
{
	tine_pool *pool = with_ping(TINE_PING_ALWAYS);

	rig_fill(pool, 1);
	for (int i = 0; i < 5; i++)
		rig_release(rig_acquire(pool));
	CHECK_INT(fake_times_said(fake_session(1), ""), ==, 5);
	rig_close(pool);
	pool = with_ping(TINE_PING_NEVER);
	rig_fill(pool, 1);
	clock_pass_ms(100 * PING_IDLE_MS);
	rig_release(rig_acquire(pool));
	CHECK_INT(atomic_load(&fake_session(2)->statement_count), ==, 0);
	rig_close(pool);
}

TEST(what_does_not_answer_within_ping_timeout_is_replaced)
{
	tine_pool *pool = with_ping(TINE_PING_AUTO);
	struct rig_events events = { 0 };
	tine_conn *conn;

	rig_listen(pool, &events);
	rig_fill(pool, 1);
	atomic_store(&fake_session(1)->silent, true);
	clock_pass_ms(PING_IDLE_MS + 1000);
	conn = rig_acquire(pool);
	CHECK_INT(rig_session(conn)->id, ==, 2);
	CHECK_CONTAINS(events.error[TINE_EVENT_CLOSE].text, "ping_timeout_ms");
	CHECK_INT(rig_closed(pool, TINE_CAUSE_DEAD), ==, 1);
	rig_release(conn);
	rig_close(pool);
}

/* The ping is short, so it is made even for who does not wait. */
TEST(who_does_not_wait_still_gets_an_idle_connection_that_answers)
{
	tine_pool *pool = with_ping(TINE_PING_ALWAYS);
	tine_conn *conn;

	rig_fill(pool, 1);
	CHECK_INT(tine_pool_acquire(pool, 0, &conn, NULL), ==, 0);
	CHECK_INT(fake_times_said(rig_session(conn), ""), ==, 1);
	rig_release(conn);
	rig_close(pool);
}

/* ---- what one death says of the others ------------------------------------------------------ */

TEST(a_death_makes_the_others_suspect)
{
	tine_pool *pool = with_ping(TINE_PING_AUTO);
	tine_conn *conns[3];

	clock_freeze();
	rig_fill(pool, 3);
	for (int i = 1; i <= 3; i++)
		fake_hang_up(fake_session(i));
	/* Young as they are, the second and third are looked at. */
	conns[0] = rig_acquire(pool);
	CHECK_INT(fake_exec(tine_conn_pg(conns[0]), "SELECT 1"), ==, PGRES_FATAL_ERROR);
	rig_release(conns[0]);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_LOST), ==, 1);
	for (int i = 0; i < 3; i++)
		conns[i] = rig_acquire(pool);
	for (int i = 0; i < 3; i++) {
		CHECK_INT(fake_exec(tine_conn_pg(conns[i]), "SELECT 1"), ==, PGRES_TUPLES_OK);
		rig_release(conns[i]);
	}
	CHECK_INT(rig_closed(pool, TINE_CAUSE_DEAD), ==, 2);
	rig_close(pool);
}

TEST(who_survives_a_suspicion_is_asked_once)
{
	tine_pool *pool = with_ping(TINE_PING_AUTO);
	tine_conn *conns[2];

	clock_freeze();
	rig_fill(pool, 2);
	conns[0] = rig_acquire(pool);
	conns[1] = rig_acquire(pool);
	fake_hang_up(rig_session(conns[0]));
	fake_exec(tine_conn_pg(conns[0]), "SELECT 1");
	rig_release(conns[1]);
	rig_release(conns[0]);
	for (int i = 0; i < 5; i++)
		rig_release(rig_acquire(pool));
	CHECK_INT(fake_times_said(fake_session(1), "") + fake_times_said(fake_session(2), ""), ==,
		  1);
	CHECK_INT(rig_stats(pool).opened, ==, 2);
	rig_close(pool);
}

/* Without the wait for each one: the first that does not answer condemns the older ones. */
TEST(a_silent_death_costs_one_timeout_not_one_for_each)
{
	tine_pool_config config = rig_config(10, 0);
	tine_conn *conns[10];
	tine_pool *pool;

	config.ping_timeout_ms = 100;
	pool = rig_open(&config);
	rig_fill(pool, 10);
	for (int i = 1; i <= 10; i++)
		atomic_store(&fake_session(i)->silent, true);
	clock_pass_ms(PING_IDLE_MS + 1000);
	for (int i = 0; i < 10; i++)
		conns[i] = rig_acquire(pool);
	CHECK_INT(rig_stats(pool).pings, ==, 1);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_DEAD), ==, 10);
	for (int i = 0; i < 10; i++) {
		CHECK_INT(rig_session(conns[i])->id, >, 10);
		rig_release(conns[i]);
	}
	rig_close(pool);
}

/* After a restart all are replaced at the same time, not two by two as a pool grows. */
static void hold_new(const struct fake_session *session, struct fake_plan *plan)
{
	plan->held = session->id > 10;
}

static void replace_all_after(int64_t ms)
{
	tine_pool *pool = rig_pool(10, 0);
	struct rig_waiter waiters[10] = { 0 };

	clock_freeze();
	rig_fill(pool, 10);
	for (int i = 1; i <= 10; i++)
		fake_hang_up(fake_session(i));
	clock_pass_ms(ms);
	fake_on_connect = hold_new;
	for (int i = 0; i < 10; i++)
		rig_wait_start(&waiters[i], pool, RIG_LONG_MS);
	/* None of the ten waits for another one's connect. */
	for (int i = 11; i <= 20; i++)
		CHECK_INT(fake_session(i)->id, ==, i);
	for (int i = 11; i <= 20; i++)
		fake_let_through(fake_session(i));
	for (int i = 0; i < 10; i++)
		CHECK_INT(rig_wait_end(&waiters[i]), ==, 0);
	for (int i = 0; i < 10; i++)
		rig_release(waiters[i].conn);
	CHECK_INT(rig_stats(pool).opened, ==, 20);
	RIG_EXPECT(pool, 10, 10, 0, 0);
	rig_close(pool);
}

TEST(all_dead_ones_are_replaced_at_the_same_time)
{
	replace_all_after(FRESH_MS + 100);
}

TEST(so_are_those_that_a_sweep_found_first)
{
	replace_all_after(5000);
}

/* ---- the idle time that hides a drop -------------------------------------------------------- */

TEST(the_idle_time_after_which_connections_are_dropped_is_learned)
{
	tine_pool *pool = with_ping(TINE_PING_AUTO);
	tine_conn *conn;

	clock_freeze();
	rig_fill(pool, 1);
	atomic_store(&fake_session(1)->silent, true);
	clock_pass_ms(20000);
	/* Too young for a ping: the program finds it dead at its first statement. */
	conn = rig_acquire(pool);
	CHECK_INT(rig_session(conn)->id, ==, 1);
	fake_hang_up(rig_session(conn));
	CHECK_INT(fake_exec(tine_conn_pg(conn), "SELECT 1"), ==, PGRES_FATAL_ERROR);
	rig_release(conn);
	CHECK_INT(rig_stats(pool).learned_idle_ms, >=, 19900);
	CHECK_INT(rig_stats(pool).learned_idle_ms, <=, 20100);
	/* From now on it is asked after three quarters of that. */
	rig_release(rig_acquire(pool));
	clock_pass_ms(16000);
	rig_release(rig_acquire(pool));
	CHECK_INT(fake_times_said(fake_session(2), ""), ==, 1);
	/* It answers after more than that time: what was learned was wrong. */
	clock_pass_ms(21000);
	rig_release(rig_acquire(pool));
	CHECK_INT(rig_stats(pool).learned_idle_ms, ==, 0);
	rig_close(pool);
}

TEST(a_loss_after_an_answer_teaches_nothing_about_idle_times)
{
	tine_pool *pool = with_ping(TINE_PING_AUTO);
	tine_conn *conn;

	rig_fill(pool, 1);
	clock_pass_ms(20000);
	conn = rig_acquire(pool);
	CHECK_INT(fake_exec(tine_conn_pg(conn), "SELECT 1"), ==, PGRES_TUPLES_OK);
	fake_hang_up(rig_session(conn));
	CHECK_INT(fake_exec(tine_conn_pg(conn), "SELECT 1"), ==, PGRES_FATAL_ERROR);
	rig_release(conn);
	CHECK_INT(rig_stats(pool).learned_idle_ms, ==, 0);
	rig_close(pool);
}

TEST(after_the_machine_slept_everything_is_suspect)
{
	tine_pool *pool = with_ping(TINE_PING_AUTO);

	rig_fill(pool, 2);
	clock_suspend_ms(3600000);
	/* Falling asleep takes the time that it takes. */
	clock_pass_ms(1);
	/* Monotonic time stood still: to it they are as young as before. */
	rig_fill(pool, 2);
	CHECK_INT(rig_stats(pool).pings, >=, 1);
	CHECK_INT(rig_stats(pool).opened, ==, 2);
	rig_close(pool);
}

/* ---- the server's role ---------------------------------------------------------------------- */

TEST(a_demoted_primary_is_evicted_before_it_is_handed_out)
{
	tine_pool *pool = with_ping(TINE_PING_AUTO);
	tine_conn *conn;

	rig_fill(pool, 1);
	fake_report_role(fake_session(1), true, true);
	clock_pass_ms(FRESH_MS + 100);
	conn = rig_acquire(pool);
	CHECK_INT(rig_session(conn)->id, ==, 2);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_ROLE), ==, 1);
	rig_release(conn);
	rig_close(pool);
}

/* The session has another role from this use on. */
static void use_with_new_role(tine_pool *pool)
{
	tine_conn *conn = rig_acquire(pool);

	fake_report_role(rig_session(conn), true, true);
	CHECK_INT(fake_exec(tine_conn_pg(conn), "SELECT 1"), ==, PGRES_TUPLES_OK);
	rig_release(conn);
}

TEST(a_demoted_primary_is_closed_when_it_comes_back)
{
	tine_pool *pool = with_ping(TINE_PING_AUTO);

	use_with_new_role(pool);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_ROLE), ==, 1);
	rig_close(pool);
}

TEST(under_load_the_role_is_compared_before_the_next_use_after_a_pause)
{
	tine_pool *pool = with_ping(TINE_PING_AUTO);
	tine_conn *conn;

	clock_freeze(); /* a slow machine is no pause */
	conn = rig_acquire(pool);
	CHECK(tine_conn_pg(conn));
	rig_release(conn);
	use_with_new_role(pool);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_ROLE), ==, 0);
	clock_pass_ms(FRESH_MS + 10);
	conn = rig_acquire(pool);
	CHECK_INT(rig_session(conn)->id, ==, 2);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_ROLE), ==, 1);
	rig_release(conn);
	rig_close(pool);
}

static void read_only(struct fake_session *session, const char *sql, struct fake_reply *reply)
{
	(void)session;
	if (strncmp(sql, "INSERT", 6) == 0)
		strcpy(reply->sqlstate, "25006");
}

TEST(a_write_refused_as_read_only_evicts_the_connection)
{
	tine_pool *pool = with_ping(TINE_PING_AUTO);
	tine_conn *conn;

	rig_fill(pool, 2);
	fake_on_query = read_only;
	conn = rig_acquire(pool);
	fake_exec(tine_conn_pg(conn), "INSERT 1");
	rig_release(conn);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_ROLE), ==, 1);
	/* The server did not say that it is read-only: the other one may stay. */
	RIG_EXPECT(pool, 1, 1, 0, 0);
	rig_release(rig_acquire(pool));
	CHECK_INT(rig_stats(pool).opened, ==, 2);
	rig_close(pool);
}

TEST(a_server_that_is_read_only_loses_all_its_connections)
{
	tine_pool *pool = with_ping(TINE_PING_AUTO);
	tine_conn *conn;

	rig_fill(pool, 3);
	fake_on_query = read_only;
	conn = rig_acquire(pool);
	fake_report_role(rig_session(conn), true, false);
	fake_exec(tine_conn_pg(conn), "INSERT 1");
	rig_release(conn);
	conn = rig_acquire(pool);
	CHECK_INT(rig_session(conn)->id, >, 3);
	rig_release(conn);
	rig_close(pool);
}

TEST(a_standby_that_stays_one_is_fine)
{
	tine_pool *pool = with_ping(TINE_PING_AUTO);

	fake_usual.standby = fake_usual.read_only = true;
	rig_fill(pool, 1);
	clock_pass_ms(FRESH_MS + 100);
	rig_release(rig_acquire(pool));
	CHECK_INT(rig_stats(pool).opened, ==, 1);
	rig_close(pool);
}

/* ---- housekeeping --------------------------------------------------------------------------- */

TEST(what_nobody_used_for_idle_timeout_is_closed)
{
	tine_pool_config config = rig_config(5, 0);
	tine_pool *pool;

	config.idle_timeout_ms = 60000;
	pool = rig_open(&config);
	rig_fill(pool, 5);
	for (int i = 0; i < 3; i++) {
		clock_pass_ms(25000);
		rig_release(rig_acquire(pool));
	}
	/* In calls that come along: the one that is used stays, the others are gone. */
	RIG_EXPECT(pool, 1, 1, 0, 0);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_IDLE), ==, 4);
	clock_pass_ms(60000);
	CHECK_INT(tine_pool_sweep(pool), ==, 1);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	rig_close(pool);
}

TEST(idle_timeout_0_keeps_them_for_ever)
{
	tine_pool *pool = with_ping(TINE_PING_NEVER);

	rig_fill(pool, 3);
	clock_pass_ms(7LL * 24 * 3600 * 1000);
	CHECK_INT(tine_pool_sweep(pool), ==, 0);
	RIG_EXPECT(pool, 3, 3, 0, 0);
	rig_close(pool);
}

TEST(a_sweep_finds_the_dead)
{
	tine_pool *pool = with_ping(TINE_PING_AUTO);
	struct rig_events events = { 0 };

	rig_listen(pool, &events);
	rig_fill(pool, 3);
	fake_hang_up(fake_session(2));
	fake_farewell(fake_session(3), "57P01");
	CHECK_INT(tine_pool_sweep(pool), ==, 2);
	RIG_EXPECT(pool, 1, 1, 0, 0);
	CHECK_INT(events.cause[TINE_CAUSE_DEAD], ==, 2);
	CHECK_STR(events.error[TINE_EVENT_CLOSE].sqlstate, "57P01");
	CHECK_INT(tine_pool_sweep(NULL), ==, 0);
	rig_close(pool);
}

TEST(a_sweep_sends_nothing)
{
	tine_pool *pool = with_ping(TINE_PING_ALWAYS);

	rig_fill(pool, 3);
	for (int i = 0; i < 10; i++) {
		clock_pass_ms(60000);
		tine_pool_sweep(pool);
	}
	for (int i = 1; i <= 3; i++)
		CHECK_INT(atomic_load(&fake_session(i)->statement_count), ==, 0);
	rig_close(pool);
}

/* Who begins to wait while a sweep has the only connection in its hand gets it from there, and so
 * after a long idle time, but no more unseen than anybody else. */
static struct rig_waiter during_the_sweep;
static tine_pool *swept;

static void wait_during_the_sweep(int session, int call)
{
	(void)session;
	if (call != FAKE_consume_input || during_the_sweep.pool)
		return;
	rig_wait_queued(&during_the_sweep, swept, RIG_LONG_MS, 1);
}

TEST(what_comes_from_a_sweep_is_asked_like_what_was_idle)
{
	tine_pool_config config = rig_config(1, 0);

	config.idle_timeout_ms = 0;
	swept = rig_open(&config);
	rig_fill(swept, 1);
	clock_pass_ms(PING_IDLE_MS + 1000);
	fake_notice(fake_session(1));
	fake_on_call = wait_during_the_sweep;
	CHECK_INT(tine_pool_sweep(swept), ==, 0);
	CHECK_INT(rig_wait_end(&during_the_sweep), ==, 0);
	CHECK_INT(rig_stats(swept).pings, ==, 1);
	CHECK_INT(fake_times_said(fake_session(1), ""), ==, 1);
	rig_release(during_the_sweep.conn);
	rig_close(swept);
}

CHECK_TABLE(T(what_comes_from_a_sweep_is_asked_like_what_was_idle),
	    T(what_was_used_just_now_is_handed_out_unseen),
	    T(an_ended_connection_is_replaced_before_it_is_handed_out),
	    T(a_farewell_is_told_with_its_sqlstate_and_not_printed),
	    T(messages_that_are_no_end_do_no_harm), T(notices_in_use_go_where_the_program_wants),
	    T(after_a_long_idle_time_a_round_trip_makes_sure),
	    T(ping_always_asks_each_time_and_never_not_at_all),
	    T(what_does_not_answer_within_ping_timeout_is_replaced),
	    T(who_does_not_wait_still_gets_an_idle_connection_that_answers),
	    T(a_death_makes_the_others_suspect), T(who_survives_a_suspicion_is_asked_once),
	    T(a_silent_death_costs_one_timeout_not_one_for_each),
	    T(all_dead_ones_are_replaced_at_the_same_time),
	    T(so_are_those_that_a_sweep_found_first),
	    T(the_idle_time_after_which_connections_are_dropped_is_learned),
	    T(a_loss_after_an_answer_teaches_nothing_about_idle_times),
	    T(after_the_machine_slept_everything_is_suspect),
	    T(a_demoted_primary_is_closed_when_it_comes_back),
	    T(under_load_the_role_is_compared_before_the_next_use_after_a_pause),
	    T(a_demoted_primary_is_evicted_before_it_is_handed_out),
	    T(a_write_refused_as_read_only_evicts_the_connection),
	    T(a_server_that_is_read_only_loses_all_its_connections),
	    T(a_standby_that_stays_one_is_fine), T(what_nobody_used_for_idle_timeout_is_closed),
	    T(idle_timeout_0_keeps_them_for_ever), T(a_sweep_finds_the_dead),
	    T(a_sweep_sends_nothing))
