/* SPDX-License-Identifier: PostgreSQL */
/* Under a budget: what the server ends because it was idle, and whose permit it is then. */
#include <fcntl.h>

#include "pool/pool.h"
#include "unit/pool/fake_inside.h"
#include "unit/pool/rig.h"

#define LEND_MS 4000
#define LENT_SQL "SELECT set_config('idle_session_timeout', '4000"

static char directory[] = "/tmp/tine-lend-XXXXXX";

__attribute__((constructor(300))) static void begin(void)
{
	if (getenv("TINE_BOARD_DIRECTORY"))
		return;
	if (!mkdtemp(directory))
		_exit(1);
	setenv("TINE_BOARD_DIRECTORY", directory, 1);
}

/* Tests end by _exit(), so this is the program's end. */
__attribute__((destructor)) static void end(void)
{
	rmdir(directory);
}

static tine_pool_config lending(int budget)
{
	tine_pool_config config = rig_config(4, 0);

	config.name = "lend";
	config.budget = budget;
	config.lend_after_ms = LEND_MS;
	config.ping = TINE_PING_NEVER;
	return config;
}

static tine_pool *lending_pool(int budget)
{
	tine_pool_config config = lending(budget);

	return rig_open(&config);
}

static bool is_told(const struct fake_session *session)
{
	for (int i = 0; i < FAKE_STATEMENTS; i++)
		if (strncmp(session->statements[i], LENT_SQL,
			    FAKE_STATEMENT_BYTES - 1 < sizeof(LENT_SQL) - 1
				    ? FAKE_STATEMENT_BYTES - 1
				    : sizeof(LENT_SQL) - 1) == 0)
			return true;
	return false;
}

/* ---- what the server is told ---------------------------------------------------------------- */

static void is_told_when(int budget, const char *name, int lend_after_ms, bool told)
{
	tine_pool_config config = lending(budget);
	tine_pool *pool;
	tine_conn *conn;

	config.name = name;
	config.lend_after_ms = lend_after_ms;
	pool = rig_open(&config);
	conn = rig_acquire(pool);
	CHECK_INT(is_told(rig_session(conn)), ==, told);
	rig_release(conn);
	rig_close(pool);
}

TEST(the_server_is_told_under_a_budget)
{
	is_told_when(2, "told", LEND_MS, true);
	is_told_when(2, NULL, LEND_MS, true);
}

TEST(without_a_budget_or_when_it_is_off_nothing_is_said)
{
	is_told_when(0, "untold", LEND_MS, false);
	is_told_when(0, NULL, LEND_MS, false);
	is_told_when(2, "untold", 0, false);
}

/* ---- its owner ------------------------------------------------------------------------------ */

/* Before the server can end it: a statement of the program's must not meet the end. */
TEST(what_may_be_ended_soon_is_not_used)
{
	tine_pool *pool = lending_pool(2);
	const struct fake_session *old;
	tine_conn *conn;

	clock_freeze();
	conn = rig_acquire(pool);
	old = rig_session(conn);
	rig_release(conn);
	clock_pass_ms(LEND_MS * 3 / 4 - 100);
	conn = rig_acquire(pool);
	CHECK(rig_session(conn) == old);
	rig_release(conn);
	/* It was handed out, but the server has heard nothing. */
	clock_pass_ms(200);
	conn = rig_acquire(pool);
	CHECK(rig_session(conn) != old && !atomic_load(&old->open));
	CHECK_INT(rig_closed(pool, TINE_CAUSE_IDLE), ==, 1);
	rig_release(conn);
	rig_close(pool);
}

TEST(a_statement_makes_it_new)
{
	tine_pool *pool = lending_pool(2);
	tine_conn *conn = rig_acquire(pool);
	const struct fake_session *old = rig_session(conn);

	for (int i = 0; i < 4; i++) {
		CHECK_INT(fake_exec(tine_conn_pg(conn), "SELECT 1"), ==, PGRES_TUPLES_OK);
		rig_release(conn);
		clock_pass_ms(LEND_MS / 2);
		conn = rig_acquire(pool);
		CHECK(rig_session(conn) == old);
	}
	rig_release(conn);
	rig_close(pool);
}

/* Kept for long after its last statement: what comes back is about to be ended. */
TEST(what_was_kept_for_long_does_not_stay)
{
	tine_pool *pool = lending_pool(2);
	tine_conn *conn = rig_acquire(pool);

	clock_pass_ms(LEND_MS - 100);
	rig_release(conn);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_IDLE), ==, 1);
	/* Nor when the program has not asked for it. */
	CHECK_INT(tine_pool_acquire(pool, RIG_LONG_MS, &conn, NULL), ==, 0);
	clock_pass_ms(LEND_MS - 100);
	rig_release(conn);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_IDLE), ==, 2);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	rig_close(pool);
}

/* In a transaction the server ends nothing, and after the ROLLBACK it begins to count. */
TEST(a_transaction_is_not_idle)
{
	tine_pool *pool = lending_pool(2);
	tine_conn *conn = rig_acquire(pool);
	const struct fake_session *old = rig_session(conn);

	CHECK_INT(fake_exec(tine_conn_pg(conn), "BEGIN"), ==, PGRES_COMMAND_OK);
	clock_pass_ms(LEND_MS * 10);
	rig_release(conn);
	conn = rig_acquire(pool);
	CHECK(rig_session(conn) == old);
	rig_release(conn);
	rig_close(pool);
}

/* ---- the server ended it -------------------------------------------------------------------- */

static void say_farewell(struct fake_session *session, const char *sql, struct fake_reply *reply)
{
	(void)session;
	if (strcmp(sql, "SELECT 2") == 0)
		*reply = (struct fake_reply){ .answer = FAKE_FAREWELL, .sqlstate = "57P05" };
}

/* Its end is no news of the server: nobody else's connection is doubted. */
TEST(an_end_by_idle_time_is_no_death)
{
	tine_pool *pool = lending_pool(2);
	tine_conn *conns[2] = { rig_acquire(pool), rig_acquire(pool) };
	struct fake_session *ended = rig_session(conns[0]);
	uint32_t epoch = atomic_load(&pool->epoch);

	fake_on_query = say_farewell;
	rig_release(conns[0]);
	clock_pass_ms(100);
	fake_farewell(ended, "57P05");
	conns[0] = rig_acquire(pool);
	CHECK(rig_session(conns[0]) != ended);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_IDLE), ==, 1);
	/* In the program's hands, too. */
	CHECK_INT(fake_exec(tine_conn_pg(conns[1]), "SELECT 2"), ==, PGRES_FATAL_ERROR);
	rig_release(conns[1]);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_IDLE), ==, 2);
	/* And in a sweep. */
	ended = rig_session(conns[0]);
	rig_release(conns[0]);
	fake_farewell(ended, "57P05");
	CHECK_INT(tine_pool_sweep(pool), ==, 1);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_IDLE), ==, 3);
	CHECK_INT(rig_closed(pool, TINE_CAUSE_DEAD) + rig_closed(pool, TINE_CAUSE_LOST), ==, 0);
	CHECK_INT(atomic_load(&pool->epoch), ==, epoch);
	CHECK_INT(rig_stats(pool).learned_idle_ms, ==, 0);
	rig_close(pool);
}

/* The process at the other end is gone, and its side of the socket with it. */
static void end_session(struct fake_session *session)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	fake_farewell(session, "57P05");
	CHECK_INT(dup3(null, fake_peer(session), O_CLOEXEC), >=, 0);
	close(null);
}

static int live(void)
{
	return atomic_load(&fake_count->live);
}

/* The other pool of the board gets the permit, while the first does nothing; and when the first
 * wakes up it waits for its turn. The fake counts a session until its client has closed it. */
TEST(another_gets_the_permit_of_who_sleeps)
{
	tine_pool *sleeper = lending_pool(1), *needy = lending_pool(0);
	tine_conn *conn = rig_acquire(sleeper);
	struct fake_session *ended = rig_session(conn);

	rig_release(conn);
	rig_refused(needy, 10, TINE_E_TIMEOUT);
	clock_pass_ms(LEND_MS);
	/* Not before the server has. */
	rig_refused(needy, 300, TINE_E_TIMEOUT);
	end_session(ended);
	conn = rig_acquire(needy);
	RIG_EXPECT(sleeper, 1, 1, 0, 0);
	rig_refused(sleeper, 300, TINE_E_TIMEOUT);
	CHECK_INT(live(), ==, 1);
	rig_release(conn);
	conn = rig_acquire(sleeper);
	rig_release(conn);
	tine_pool_free(needy);
	rig_close(sleeper);
	CHECK_INT(atomic_load(&fake_count->most_live), <=, 2);
}

/* It looks at its connection before anything else, and would put another one in its place. */
TEST(a_lost_permit_is_not_connected_with)
{
	tine_pool *sleeper = lending_pool(1), *needy = lending_pool(0);
	tine_conn *conn = rig_acquire(sleeper);
	struct fake_session *ended = rig_session(conn);

	rig_release(conn);
	clock_pass_ms(LEND_MS / 2);
	/* Not again in the next second. */
	CHECK_INT(tine_pool_sweep(sleeper), ==, 0);
	end_session(ended);
	conn = rig_acquire(needy);
	rig_refused(sleeper, 100, TINE_E_TIMEOUT);
	CHECK_INT(live(), ==, 1);
	CHECK_INT(rig_stats(sleeper).opened, ==, 1);
	rig_release(conn);
	tine_pool_free(needy);
	rig_close(sleeper);
}

/* A program that connects anew by itself, without a permit for it. */
TEST(a_reset_without_a_permit_is_undone)
{
	tine_pool *pool = lending_pool(2);
	tine_conn *conn = rig_acquire(pool);
	struct tine_slot *slot = conn->slot;

	/* As if it had been taken while the process was stopped. */
	CHECK(slot->permit >= 0);
	atomic_store(&tine_permit_seat(&pool->share.board, slot->permit)->state, TINE_SEAT_NONE);
	tine_permit_give(&pool->share.board, slot->permit, 0);
	fake_reset(tine_conn_pg(conn));
	CHECK_INT(slot->permit, ==, -1);
	CHECK_INT(fake_exec(tine_conn_pg(conn), "SELECT 1"), ==, PGRES_FATAL_ERROR);
	rig_release(conn);
	RIG_EXPECT(pool, 0, 0, 0, 0);
	rig_close(pool);
}

/* ---- the pace ------------------------------------------------------------------------------- */

static _Atomic bool held;

static void hold(const struct fake_session *session, struct fake_plan *plan)
{
	(void)session;
	plan->held = atomic_load(&held);
}

/* Who drove it was served by a return, and who waits goes on with it: it is one connect. */
TEST(a_connect_that_changes_hands_is_counted_once)
{
	tine_pool_config config = lending(10);
	tine_pool *pool, *other;
	struct rig_waiter waiters[2] = { 0 };
	tine_conn *conn;

	config.connect_parallel = 1;
	pool = rig_open(&config);
	config.budget = 0;
	other = rig_open(&config);
	conn = rig_acquire(pool);
	fake_on_connect = hold;
	atomic_store(&held, true);
	rig_wait_queued(&waiters[0], pool, RIG_LONG_MS, 1);
	RIG_AWAIT(atomic_load(&fake_count->sessions) == 2);
	rig_wait_queued(&waiters[1], pool, RIG_LONG_MS, 2);
	rig_release(conn);
	CHECK_INT(rig_wait_end(&waiters[0]), ==, 0);
	rig_refused(other, 100, TINE_E_TIMEOUT);
	CHECK_INT(atomic_load(&fake_count->sessions), ==, 2);
	fake_let_through(fake_session(2));
	CHECK_INT(rig_wait_end(&waiters[1]), ==, 0);
	atomic_store(&held, false);
	conn = rig_acquire(other);
	rig_release(conn);
	for (int i = 0; i < 2; i++)
		rig_release(waiters[i].conn);
	tine_pool_free(other);
	rig_close(pool);
}

CHECK_TABLE(T(the_server_is_told_under_a_budget),
	    T(without_a_budget_or_when_it_is_off_nothing_is_said),
	    T(what_may_be_ended_soon_is_not_used), T(a_statement_makes_it_new),
	    T(what_was_kept_for_long_does_not_stay), T(a_transaction_is_not_idle),
	    T(an_end_by_idle_time_is_no_death), T(another_gets_the_permit_of_who_sleeps),
	    T(a_lost_permit_is_not_connected_with), T(a_reset_without_a_permit_is_undone),
	    T(a_connect_that_changes_hands_is_counted_once))
