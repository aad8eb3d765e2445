/* SPDX-License-Identifier: PostgreSQL */
/* Connecting: what fails and how it is told, outages, hosts, TLS. */
#include <sys/resource.h>

#include "unit/pool/rig.h"

#define REFUSED "connection to server failed: Connection refused\n"

static _Atomic(const char *) refusal;

static void refuse(const struct fake_session *session, struct fake_plan *plan)
{
	(void)session;
	plan->refusal = atomic_load(&refusal);
}

static void begin_to_refuse(const char *message)
{
	atomic_store(&refusal, message);
	fake_on_connect = refuse;
}

/* ---- failures ------------------------------------------------------------------------------- */

TEST(a_failed_connect_takes_no_place)
{
	tine_pool *pool = rig_pool(1, 1);
	tine_error error;

	begin_to_refuse(REFUSED);
	for (int i = 0; i < 3; i++) {
		error = rig_refused(pool, RIG_LONG_MS, TINE_E_CONNECT);
		CHECK_CONTAINS(error.text, "Connection refused");
		CHECK_INT(error.os_errno, ==, ECONNREFUSED);
		RIG_EXPECT(pool, 0, 0, 0, 0);
		clock_pass_ms(1000);
	}
	CHECK_INT(rig_stats(pool).open_failed, ==, 3);
	CHECK_INT(rig_stats(pool).last_error.status, ==, TINE_E_CONNECT);
	begin_to_refuse(NULL);
	rig_fill(pool, 2);
	CHECK_INT(rig_stats(pool).opened, ==, 2);
	rig_close(pool);
}

TEST(each_kind_of_failure_has_a_status_of_its_own)
{
	static const struct {
		const char *message;
		int status;
		const char *sqlstate;
	} rows[] = {
		{ REFUSED, TINE_E_CONNECT, "" },
		{ "FATAL:  28P01: password authentication failed for user \"app\"\n", TINE_E_AUTH,
		  "28P01" },
		{ "FATAL:  3D000: database \"app\" does not exist\n", TINE_E_NO_DATABASE, "3D000" },
		{ "FATAL:  53300: sorry, too many clients already\n", TINE_E_TOO_MANY, "53300" },
		{ "FATAL:  57P03: the database system is starting up\n", TINE_E_STARTING, "57P03" },
		{ "server does not support SSL, but SSL was required\n", TINE_E_TLS, "" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		tine_pool *pool = rig_pool(1, 0);
		tine_error error;

		begin_to_refuse(rows[i].message);
		error = rig_refused(pool, RIG_LONG_MS, rows[i].status);
		CHECK_STR(error.sqlstate, rows[i].sqlstate);
		CHECK_CONTAINS(error.text, tine_status_advice(rows[i].status));
		rig_close(pool);
	}
}

TEST(a_connect_may_fail_in_its_first_call)
{
	tine_pool *pool = rig_pool(1, 0);

	fake_usual.at_start = true;
	begin_to_refuse(REFUSED);
	rig_refused(pool, RIG_LONG_MS, TINE_E_CONNECT);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	rig_close(pool);
}

TEST(a_server_that_says_nothing_is_given_connect_timeout)
{
	tine_pool_config config = rig_config(1, 0);
	tine_error error;
	tine_pool *pool;

	config.connect_timeout_ms = 40;
	fake_usual.held = true;
	pool = rig_open(&config);
	error = rig_refused(pool, RIG_LONG_MS, TINE_E_CONNECT_TIMEOUT);
	CHECK_CONTAINS(error.text, "within 40 ms");
	RIG_EXPECT(pool, 0, 0, 0, 0);
	rig_close(pool);
}

TEST(no_descriptor_left_is_told_and_nothing_is_lost)
{
	tine_pool *pool = rig_pool(2, 0);
	struct rlimit limit = { 3, 3 }, before;

	if (rig_is_valgrind())
		SKIP("valgrind has descriptors of its own");
	rig_release(rig_acquire(pool));
	tine_conn_invalidate(rig_acquire(pool));
	CHECK_INT(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
	limit.rlim_max = before.rlim_max;
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
	rig_refused(pool, RIG_LONG_MS, TINE_E_SYSTEM);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &before), ==, 0);
	clock_pass_ms(1000);
	rig_release(rig_acquire(pool));
	rig_close(pool);
}

/* ---- outages -------------------------------------------------------------------------------- */

TEST(during_an_outage_acquires_fail_at_once_with_its_cause_and_age)
{
	tine_pool *pool = rig_pool(2, 0);
	tine_error error;

	clock_freeze();
	begin_to_refuse(REFUSED);
	rig_refused(pool, RIG_LONG_MS, TINE_E_CONNECT);
	for (int i = 0; i < 20; i++) {
		error = rig_refused(pool, RIG_LONG_MS, TINE_E_CONNECT);
		CHECK_CONTAINS(error.text, "Connection refused");
		CHECK_CONTAINS(error.text, "s ago");
	}
	CHECK_INT(rig_sessions(), ==, 1);
	rig_close(pool);
}

#define TERMINATED "FATAL:  57P01: terminating connection due to administrator command\n"

static void end_the_first_ones(const struct fake_session *session, struct fake_plan *plan)
{
	plan->refusal = session->id <= RIG_MOST_TERMINATED ? TERMINATED : NULL;
}

TEST(sessions_that_are_terminated_while_they_begin_are_no_outage)
{
	tine_pool *pool = rig_pool(2, 0);

	fake_on_connect = end_the_first_ones;
	rig_release(rig_acquire(pool));
	rig_expect_forgiven(pool);
	rig_close(pool);
}

TEST(a_server_that_terminates_all_of_them_is_one)
{
	tine_pool *pool = rig_pool(2, 0);
	tine_error error;

	clock_freeze();
	begin_to_refuse(TERMINATED);
	rig_refused(pool, RIG_LONG_MS, TINE_E_STARTING);
	CHECK_INT(rig_sessions(), ==, RIG_MOST_TERMINATED + 1);
	error = rig_refused(pool, RIG_LONG_MS, TINE_E_STARTING);
	CHECK_CONTAINS(error.text, "s ago");
	CHECK_INT(rig_sessions(), ==, RIG_MOST_TERMINATED + 1);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	rig_close(pool);
}

TEST(attempts_become_rarer_but_not_rarer_than_one_a_second)
{
	tine_pool *pool = rig_pool(2, 0);
	int at = 0;

	begin_to_refuse(REFUSED);
	for (int ms = 0; ms < 20000; ms += 10) {
		clock_pass_ms(10);
		rig_refused(pool, RIG_LONG_MS, TINE_E_CONNECT);
		if (ms == 1000)
			at = rig_sessions();
	}
	CHECK_INT(at, >=, 4);
	CHECK_INT(at, <=, 6);
	CHECK_INT(rig_sessions() - at, >=, 19);
	CHECK_INT(rig_sessions() - at, <=, 19 * 4 / 3 + 2);
	begin_to_refuse(NULL);
	clock_pass_ms(1000);
	rig_release(rig_acquire(pool));
	rig_close(pool);
}

TEST(a_wrong_password_is_not_tried_over_and_over)
{
	tine_pool *pool = rig_pool(2, 0);

	begin_to_refuse("FATAL:  28P01: password authentication failed\n");
	for (int ms = 0; ms < 60000; ms += 50) {
		clock_pass_ms(50);
		rig_refused(pool, RIG_LONG_MS, TINE_E_AUTH);
	}
	CHECK_INT(rig_sessions(), <=, 24);
	rig_close(pool);
}

/* The last of them may not have looked yet. */
static void *mend(void *unused)
{
	RIG_AWAIT(rig_sessions() >= 3);
	atomic_store(&refusal, NULL);
	return unused;
}

TEST(connect_retry_keeps_trying_until_the_server_is_back)
{
	tine_pool_config config = rig_config(1, 0);
	tine_pool *pool;
	pthread_t thread;

	config.connect_retry = true;
	begin_to_refuse(REFUSED);
	pool = rig_open(&config);
	thread = rig_thread(mend, NULL);
	rig_release(rig_acquire(pool));
	rig_join(thread);
	CHECK_INT(rig_stats(pool).open_failed, >=, 2);
	rig_close(pool);
}

TEST(connect_retry_gives_up_at_the_deadline_with_the_true_cause)
{
	tine_pool_config config = rig_config(1, 0);
	tine_error error;
	tine_pool *pool;

	config.connect_retry = true;
	begin_to_refuse(REFUSED);
	pool = rig_open(&config);
	error = rig_refused(pool, 250, TINE_E_CONNECT);
	CHECK_CONTAINS(error.text, "Connection refused");
	CHECK_INT(rig_stats(pool).timeouts, ==, 1);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	rig_close(pool);
}

TEST(connect_retry_does_not_retry_what_only_a_change_of_settings_mends)
{
	tine_pool_config config = rig_config(1, 0);
	tine_pool *pool;

	config.connect_retry = true;
	begin_to_refuse("FATAL:  3D000: database \"app\" does not exist\n");
	pool = rig_open(&config);
	rig_refused(pool, RIG_LONG_MS, TINE_E_NO_DATABASE);
	CHECK_INT(rig_sessions(), ==, 1);
	rig_close(pool);
}

/* ---- hosts ---------------------------------------------------------------------------------- */

static tine_pool *with_hosts(const char *conninfo)
{
	tine_pool_config config = rig_config(2, 0);

	config.conninfo = conninfo;
	return rig_open(&config);
}

static void first_is_dead(const struct fake_session *session, struct fake_plan *plan)
{
	if (strcmp(session->host, "/first") == 0)
		plan->refusal = REFUSED;
}

TEST(the_next_host_is_tried)
{
	tine_pool *pool = with_hosts("host=/first,/second");
	tine_conn *conn;

	fake_on_connect = first_is_dead;
	conn = rig_acquire(pool);
	CHECK_STR(rig_session(conn)->host, "/second");
	CHECK_INT(rig_sessions(), ==, 2);
	CHECK_INT(rig_stats(pool).open_failed, ==, 0);
	rig_release(conn);
	rig_close(pool);
}

static void first_is_mute(const struct fake_session *session, struct fake_plan *plan)
{
	plan->held = strcmp(session->host, "/first") == 0;
}

TEST(each_host_has_the_whole_connect_timeout)
{
	tine_pool_config config = rig_config(1, 0);
	tine_pool *pool;
	tine_conn *conn;

	config.conninfo = "host=/first,/first,/second";
	config.connect_timeout_ms = 50;
	fake_on_connect = first_is_mute;
	pool = rig_open(&config);
	conn = rig_acquire(pool);
	CHECK_STR(rig_session(conn)->host, "/second");
	CHECK_INT(rig_stats(pool).connect.sum_us, >=, 100000);
	rig_release(conn);
	rig_close(pool);
}

static void wrong_password(const struct fake_session *session, struct fake_plan *plan)
{
	(void)session;
	plan->refusal = "FATAL:  28P01: password authentication failed\n";
}

TEST(where_a_server_has_answered_no_other_host_is_asked)
{
	tine_pool *pool = with_hosts("host=/first,/second");

	fake_on_connect = wrong_password;
	rig_refused(pool, RIG_LONG_MS, TINE_E_AUTH);
	CHECK_INT(rig_sessions(), ==, 1);
	rig_close(pool);
}

TEST(all_hosts_dead_tells_of_the_last)
{
	tine_pool *pool = with_hosts("host=/first,/second,/third");

	begin_to_refuse(REFUSED);
	rig_refused(pool, RIG_LONG_MS, TINE_E_CONNECT);
	CHECK_INT(rig_sessions(), ==, 3);
	CHECK_INT(rig_stats(pool).open_failed, ==, 1);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	rig_close(pool);
}

static void no_standby(const struct fake_session *session, struct fake_plan *plan)
{
	if (session->id <= 2)
		plan->refusal = "session is not read-only: server is not in hot standby mode\n";
}

TEST(prefer_standby_takes_any_server_in_its_second_pass)
{
	tine_pool *pool = with_hosts("host=/first,/second target_session_attrs=prefer-standby");
	tine_conn *conn;

	fake_on_connect = no_standby;
	conn = rig_acquire(pool);
	CHECK_INT(rig_session(conn)->id, ==, 3);
	CHECK_STR(rig_session(conn)->host, "/first");
	rig_release(conn);
	rig_close(pool);
}

TEST(no_host_in_the_role_that_is_asked_for)
{
	tine_pool *pool = with_hosts("host=/first,/second target_session_attrs=standby");

	begin_to_refuse("server is not in hot standby mode\n");
	rig_refused(pool, RIG_LONG_MS, TINE_E_ROLE);
	CHECK_INT(rig_sessions(), ==, 2);
	rig_close(pool);
}

/* ---- TLS ------------------------------------------------------------------------------------ */

TEST(prefer_never_goes_back_to_clear_text)
{
	tine_pool_config config = rig_config(2, 0);
	tine_conn *conns[2];
	tine_pool *pool;

	config.tls = TINE_TLS_PREFER;
	pool = rig_open(&config);
	fake_usual.tls = true;
	conns[0] = rig_acquire(pool);
	conns[1] = rig_acquire(pool);
	CHECK_STR(rig_session(conns[0])->sslmode, "prefer");
	CHECK_STR(rig_session(conns[1])->sslmode, "require");
	rig_release(conns[0]);
	rig_release(conns[1]);
	rig_close(pool);
}

TEST(tls_is_required_unless_something_else_is_named)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_conn *conn = rig_acquire(pool);

	CHECK_STR(rig_session(conn)->sslmode, "require");
	rig_release(conn);
	rig_close(pool);
	pool = with_hosts("host=/fake sslmode=disable");
	conn = rig_acquire(pool);
	CHECK_STR(rig_session(conn)->sslmode, "disable");
	rig_release(conn);
	rig_close(pool);
}

/* A connect in many rounds of talk, each in its own time. */
TEST(a_connect_may_take_many_rounds)
{
	tine_pool *pool = rig_pool(1, 0);

	fake_usual.rounds = 7;
	rig_release(rig_acquire(pool));
	CHECK_INT(rig_stats(pool).connect.count, ==, 1);
	rig_close(pool);
}

CHECK_TABLE(T(a_failed_connect_takes_no_place), T(each_kind_of_failure_has_a_status_of_its_own),
	    T(a_connect_may_fail_in_its_first_call),
	    T(a_server_that_says_nothing_is_given_connect_timeout),
	    T(no_descriptor_left_is_told_and_nothing_is_lost),
	    T(during_an_outage_acquires_fail_at_once_with_its_cause_and_age),
	    T(sessions_that_are_terminated_while_they_begin_are_no_outage),
	    T(a_server_that_terminates_all_of_them_is_one),
	    T(attempts_become_rarer_but_not_rarer_than_one_a_second),
	    T(a_wrong_password_is_not_tried_over_and_over),
	    T(connect_retry_keeps_trying_until_the_server_is_back),
	    T(connect_retry_gives_up_at_the_deadline_with_the_true_cause),
	    T(connect_retry_does_not_retry_what_only_a_change_of_settings_mends),
	    T(the_next_host_is_tried), T(each_host_has_the_whole_connect_timeout),
	    T(where_a_server_has_answered_no_other_host_is_asked),
	    T(all_hosts_dead_tells_of_the_last),
	    T(prefer_standby_takes_any_server_in_its_second_pass),
	    T(no_host_in_the_role_that_is_asked_for), T(prefer_never_goes_back_to_clear_text),
	    T(tls_is_required_unless_something_else_is_named), T(a_connect_may_take_many_rounds))
