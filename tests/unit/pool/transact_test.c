/* SPDX-License-Identifier: PostgreSQL */
/* tine_transact(): what is tried again, what is not, and how long it pauses. */
#include "unit/pool/rig.h"

/* The function of the transaction, and what it does in each attempt. */
struct job {
	int calls;
	int result;       /* when nothing below applies */
	const char *sql;  /* its statement; "INSERT 1" unless said otherwise */
	const char *says; /* its own error text */
	int (*also)(struct job *job, PGconn *pg);
	tine_pool *pool;
};

static int run(PGconn *pg, void *arg, tine_error *error)
{
	struct job *job = arg;
	bool good;

	job->calls++;
	CHECK_INT(fake_pq.transaction_status(pg), ==, PQTRANS_INTRANS);
	good = fake_exec(pg, job->sql ? job->sql : "INSERT 1") != PGRES_FATAL_ERROR;
	if (job->says)
		snprintf(error->text, sizeof(error->text), "%s", job->says);
	if (job->also)
		return job->also(job, pg);
	return good ? job->result : -1;
}

/* What the server answers to a statement, the first so many times. */
static struct fake_reply script;
static char scripted[64];
static int times;

static void play(struct fake_session *session, const char *sql, struct fake_reply *reply)
{
	(void)session;
	if (strcmp(sql, scripted) == 0 && times-- > 0)
		*reply = script;
}

static void on(const char *sql, enum fake_answer answer, const char *sqlstate, int how_often)
{
	fake_on_query = play;
	times = how_often;
	snprintf(scripted, sizeof(scripted), "%s", sql);
	script = (struct fake_reply){ .answer = answer };
	snprintf(script.sqlstate, sizeof(script.sqlstate), "%s", sqlstate);
}

static int commits(void)
{
	int all = 0;

	for (int i = 1; i <= atomic_load(&fake_count->sessions); i++)
		all += atomic_load(&fake_session(i)->commits);
	return all;
}

static void check_idle(tine_pool *pool)
{
	tine_pool_stats stats = rig_stats(pool);

	CHECK_INT(stats.open, ==, stats.idle);
	CHECK_INT(stats.waiting, ==, 0);
}

/* ---- once ----------------------------------------------------------------------------------- */

TEST(a_function_that_returns_0_is_committed)
{
	tine_pool *pool = rig_pool(1, 0);
	struct job job = { 0 };
	tine_error error;

	CHECK_INT(tine_transact(pool, run, &job, NULL, &error), ==, 0);
	CHECK_INT(job.calls, ==, 1);
	CHECK_INT(commits(), ==, 1);
	RIG_EXPECT(pool, 1, 1, 0, 0);
	rig_close(pool);
}

TEST(another_result_rolls_back_and_is_the_result)
{
	tine_pool *pool = rig_pool(1, 0);
	struct job job = { .result = -77, .says = "not today" };
	tine_error error;

	CHECK_INT(tine_transact(pool, run, &job, NULL, &error), ==, -77);
	CHECK_INT(error.status, ==, -77);
	CHECK_STR(error.text, "not today");
	job.result = 5;
	CHECK_INT(tine_transact(pool, run, &job, NULL, &error), ==, TINE_E_ABORTED);
	CHECK_INT(job.calls, ==, 2);
	CHECK_INT(commits(), ==, 0);
	CHECK_INT(fake_times_said(fake_session(1), "ROLLBACK"), ==, 2);
	check_idle(pool);
	rig_close(pool);
}

TEST(a_failed_statement_is_not_committed_though_the_function_says_so)
{
	tine_pool *pool = rig_pool(1, 0);
	struct job job = { 0 };
	tine_error error;

	on("INSERT 1", FAKE_AT_ONCE, "23505", 1);
	CHECK_INT(tine_transact(pool, run, &job, NULL, &error), <, 0);
	CHECK_STR(error.sqlstate, "23505");
	CHECK_INT(job.calls, ==, 1);
	CHECK_INT(commits(), ==, 0);
	check_idle(pool);
	rig_close(pool);
}

TEST(isolation_and_read_only_are_asked_for)
{
	tine_pool *pool = rig_pool(1, 0);
	struct job job = { .sql = "SELECT 1" };
	tine_transact_options options;

	tine_transact_options_init(&options);
	options.isolation = TINE_ISOLATION_SERIALIZABLE;
	options.read_only = true;
	CHECK_INT(tine_transact(pool, run, &job, &options, NULL), ==, 0);
	CHECK(fake_was_said(fake_session(1), "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY"));
	rig_close(pool);
}

TEST(wrong_options_are_refused_by_name)
{
	tine_pool *pool = rig_pool(1, 0);
	tine_transact_options options = { 0 };
	struct job job = { 0 };
	tine_error error;

	CHECK_INT(tine_transact(pool, run, &job, &options, &error), ==, TINE_E_INVALID);
	tine_transact_options_init(&options);
	options.max_attempts = 0;
	CHECK_INT(tine_transact(pool, run, &job, &options, &error), ==, TINE_E_INVALID);
	CHECK_CONTAINS(error.text, "max_attempts");
	options.max_attempts = 1;
	options.backoff_max_ms = 1;
	CHECK_INT(tine_transact(pool, run, &job, &options, &error), ==, TINE_E_INVALID);
	CHECK_CONTAINS(error.text, "backoff_max_ms");
	CHECK_INT(tine_transact(NULL, run, &job, NULL, &error), ==, TINE_E_INVALID);
	CHECK_INT(tine_transact(pool, NULL, &job, NULL, &error), ==, TINE_E_INVALID);
	CHECK_INT(job.calls, ==, 0);
	rig_close(pool);
}

/* ---- tried again ---------------------------------------------------------------------------- */

TEST(what_is_safe_to_repeat_is_repeated)
{
	static const struct {
		const char *sql;
		enum fake_answer answer;
		const char *sqlstate;
		int calls; /* of the function */
	} rows[] = {
		{ "INSERT 1", FAKE_AT_ONCE, "40001", 3 }, { "INSERT 1", FAKE_AT_ONCE, "40P01", 3 },
		{ "COMMIT", FAKE_AT_ONCE, "40001", 3 },   { "INSERT 1", FAKE_DIES_BEFORE, "", 3 },
		{ "INSERT 1", FAKE_DIES_AFTER, "", 3 },   { "INSERT 1", FAKE_FAREWELL, "57P01", 3 },
	};

	clock_nap();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		tine_pool *pool = rig_pool(1, 0);
		struct job job = { 0 };
		int before = commits();

		on(rows[i].sql, rows[i].answer, rows[i].sqlstate, 2);
		CHECK_INT(tine_transact(pool, run, &job, NULL, NULL), ==, 0);
		CHECK_INT(job.calls, ==, rows[i].calls);
		CHECK_INT(commits() - before, ==, 1);
		check_idle(pool);
		rig_close(pool);
	}
}

TEST(a_connect_that_fails_for_a_while_is_repeated)
{
	tine_pool *pool = rig_pool(1, 0);
	struct job job = { 0 };
	tine_error error;

	clock_nap();
	fake_usual.refusal = "FATAL:  57P03: the database system is starting up\n";
	CHECK_INT(tine_transact(pool, run, &job, NULL, &error), ==, TINE_E_STARTING);
	CHECK_CONTAINS(error.text, "attempt 5 of 5");
	CHECK_INT(job.calls, ==, 0);
	CHECK_INT(clock_naps(), ==, 4);
	fake_usual.refusal = NULL;
	CHECK_INT(tine_transact(pool, run, &job, NULL, &error), ==, 0);
	rig_close(pool);
}

static const char *cases_never[] = { "23505", "42601", "25P02", "57014" };

TEST(what_will_not_change_is_not_repeated)
{
	clock_nap();
	for (size_t i = 0; i < sizeof(cases_never) / sizeof(cases_never[0]); i++) {
		tine_pool *pool = rig_pool(1, 0);
		struct job job = { .result = -1 };
		tine_error error;

		on("INSERT 1", FAKE_AT_ONCE, cases_never[i], 1);
		CHECK_INT(tine_transact(pool, run, &job, NULL, &error), <, 0);
		CHECK_STR(error.sqlstate, cases_never[i]);
		CHECK_INT(job.calls, ==, 1);
		check_idle(pool);
		rig_close(pool);
	}
	CHECK_INT(clock_naps(), ==, 0);
}

TEST(a_wrong_password_is_not_repeated)
{
	tine_pool *pool = rig_pool(1, 0);
	struct job job = { 0 };

	clock_nap();
	fake_usual.refusal = "FATAL:  28P01: password authentication failed\n";
	CHECK_INT(tine_transact(pool, run, &job, NULL, NULL), ==, TINE_E_AUTH);
	CHECK_INT(clock_naps(), ==, 0);
	rig_close(pool);
}

TEST(attempts_have_a_limit_and_the_last_error_tells_which)
{
	tine_pool *pool = rig_pool(1, 0);
	struct job job = { 0 };
	tine_error error;
	tine_transact_options options;

	clock_nap();
	tine_transact_options_init(&options);
	options.max_attempts = 3;
	on("INSERT 1", FAKE_AT_ONCE, "40001", 1000);
	CHECK_INT(tine_transact(pool, run, &job, &options, &error), ==, TINE_E_SQL);
	CHECK_STR(error.sqlstate, "40001");
	CHECK_CONTAINS(error.text, "attempt 3 of 3");
	CHECK_INT(job.calls, ==, 3);
	CHECK_INT(clock_naps(), ==, 2);
	check_idle(pool);
	rig_close(pool);
}

TEST(pauses_double_from_1_to_10_seconds_less_up_to_half)
{
	static const int full_ms[] = { 1000, 2000, 4000, 8000, 10000, 10000, 10000 };
	tine_pool *pool = rig_pool(1, 0);
	tine_transact_options options;
	struct job job = { 0 };
	bool differs = false;

	clock_nap();
	tine_transact_options_init(&options);
	options.max_attempts = 8;
	on("INSERT 1", FAKE_AT_ONCE, "40P01", 1000);
	CHECK_INT(tine_transact(pool, run, &job, &options, NULL), ==, TINE_E_SQL);
	CHECK_INT(clock_naps(), ==, 7);
	for (int i = 0; i < 7; i++) {
		CHECK_INT(clock_nap_ms(i), >=, full_ms[i] / 2 - 5);
		CHECK_INT(clock_nap_ms(i), <=, full_ms[i]);
		differs |= clock_nap_ms(i) != full_ms[i];
	}
	CHECK(differs);
	rig_close(pool);
}

/* Nobody waits for a connection that is not used. */
static int another_can_have_it(struct job *job, PGconn *pg)
{
	(void)pg;
	if (job->calls == 1)
		return -1;
	return 0;
}

static tine_pool *observed;

static void look_for_it(struct fake_session *session, const char *sql, struct fake_reply *reply)
{
	play(session, sql, reply);
	/* Before each BEGIN but the first the connection was back. */
	if (strcmp(sql, "BEGIN") == 0)
		CHECK_INT(rig_stats(observed).checkouts, <=, 2);
}

TEST(no_connection_is_held_between_attempts)
{
	tine_pool *pool = rig_pool(1, 0);
	struct job job = { .also = another_can_have_it };

	clock_nap();
	on("INSERT 1", FAKE_AT_ONCE, "40001", 1);
	observed = pool;
	fake_on_query = look_for_it;
	CHECK_INT(tine_transact(pool, run, &job, NULL, NULL), ==, 0);
	CHECK_INT(rig_stats(pool).checkouts, ==, 2);
	CHECK_INT(fake_times_said(fake_session(1), "ROLLBACK"), ==, 1);
	rig_close(pool);
}

/* ---- in doubt ------------------------------------------------------------------------------- */

TEST(a_lost_commit_is_never_repeated)
{
	static const enum fake_answer ways[] = { FAKE_DIES_BEFORE, FAKE_DIES_AFTER, FAKE_FAREWELL };

	clock_nap();
	for (int i = 0; i < 3; i++) {
		tine_pool *pool = rig_pool(1, 0);
		struct job job = { 0 };
		tine_error error;
		int before = commits();

		on("COMMIT", ways[i], ways[i] == FAKE_FAREWELL ? "57P01" : "", 1);
		CHECK_INT(tine_transact(pool, run, &job, NULL, &error), ==, TINE_E_IN_DOUBT);
		CHECK_INT(error.status, ==, TINE_E_IN_DOUBT);
		CHECK_INT(job.calls, ==, 1);
		CHECK_INT(commits() - before, ==, ways[i] == FAKE_DIES_AFTER);
		RIG_EXPECT(pool, 0, 0, 0, 0);
		rig_close(pool);
	}
	CHECK_INT(clock_naps(), ==, 0);
}

/* ---- what the function may do --------------------------------------------------------------- */

static int nested(struct job *job, PGconn *pg)
{
	struct job inner = { 0 };

	(void)pg;
	CHECK_INT(tine_transact(job->pool, run, &inner, NULL, NULL), ==, 0);
	CHECK_INT(inner.calls, ==, 1);
	return 0;
}

TEST(a_transaction_in_a_transaction_has_a_connection_of_its_own)
{
	tine_pool *pool = rig_pool(2, 0);
	struct job job = { .also = nested, .pool = pool };

	CHECK_INT(tine_transact(pool, run, &job, NULL, NULL), ==, 0);
	CHECK_INT(commits(), ==, 2);
	CHECK_INT(rig_stats(pool).opened, ==, 2);
	rig_close(pool);
}

static int free_the_pool(struct job *job, PGconn *pg)
{
	(void)pg;
	tine_pool_free(job->pool);
	return 0;
}

TEST(a_pool_that_is_freed_by_the_function_stays_until_the_end)
{
	tine_pool *pool = rig_pool(1, 0);
	struct job job = { .also = free_the_pool, .pool = pool };

	CHECK_INT(tine_transact(pool, run, &job, NULL, NULL), ==, 0);
	CHECK_INT(commits(), ==, 1);
	rig_check_nothing_left();
}

static _Atomic bool is_inside;

static int be_cancelled(struct job *job, PGconn *pg)
{
	(void)job;
	(void)pg;
	atomic_store(&is_inside, true);
	for (;;)
		pause();
	return 0;
}

static void *transact_for_ever(void *pool)
{
	struct job job = { .also = be_cancelled };

	tine_transact(pool, run, &job, NULL, NULL);
	return NULL;
}

TEST(a_thread_that_is_cancelled_in_the_function_leaves_nothing_behind)
{
	tine_pool *pool = rig_pool(1, 0);
	pthread_t thread = rig_thread(transact_for_ever, pool);

	RIG_AWAIT(atomic_load(&is_inside));
	CHECK_INT(pthread_cancel(thread), ==, 0);
	rig_join(thread);
	/* It may have been in the middle of anything: nobody else gets it. */
	RIG_EXPECT(pool, 0, 0, 0, 0);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_INVALIDATED), ==, 1);
	CHECK_INT(commits(), ==, 0);
	rig_close(pool);
}

CHECK_TABLE(T(a_function_that_returns_0_is_committed),
	    T(another_result_rolls_back_and_is_the_result),
	    T(a_failed_statement_is_not_committed_though_the_function_says_so),
	    T(isolation_and_read_only_are_asked_for), T(wrong_options_are_refused_by_name),
	    T(what_is_safe_to_repeat_is_repeated), T(a_connect_that_fails_for_a_while_is_repeated),
	    T(what_will_not_change_is_not_repeated), T(a_wrong_password_is_not_repeated),
	    T(attempts_have_a_limit_and_the_last_error_tells_which),
	    T(pauses_double_from_1_to_10_seconds_less_up_to_half),
	    T(no_connection_is_held_between_attempts), T(a_lost_commit_is_never_repeated),
	    T(a_transaction_in_a_transaction_has_a_connection_of_its_own),
	    T(a_pool_that_is_freed_by_the_function_stays_until_the_end),
	    T(a_thread_that_is_cancelled_in_the_function_leaves_nothing_behind))
