/* SPDX-License-Identifier: PostgreSQL */
/* Permits: the cap, floors and ceilings, limbo, a budget that changes, and who is told of what. */
#include <pthread.h>
#include <signal.h>

#include "base/clock.h"
#include "unit/board/rig.h"

TEST(the_budget_is_a_cap)
{
	bool seen[8] = { false };
	struct tine_board board;

	rig_join(&board, "cap", 8);
	for (int i = 0; i < 8; i++) {
		int permit = tine_permit_take(&board, -1);

		CHECK(permit >= 0 && permit < 8 && !seen[permit]);
		seen[permit] = true;
	}
	CHECK_INT(tine_permit_take(&board, -1), ==, -1);
	tine_permit_give(&board, 3, 0);
	CHECK_INT(tine_permit_take(&board, -1), ==, 3);
	CHECK_INT(rig_use(&board).taken, ==, 8);
	CHECK_INT(rig_use(&board).budget, ==, 8);
	tine_board_close(&board);
}

TEST(without_a_budget_there_are_all_seats)
{
	struct tine_board board;

	rig_join(&board, "unlimited", 0);
	rig_take(&board, TINE_BOARD_PERMITS);
	CHECK_INT(tine_permit_take(&board, -1), ==, -1);
	CHECK_INT(rig_use(&board).budget, ==, 0);
	tine_board_close(&board);
}

TEST(who_is_no_member_gets_none)
{
	struct tine_board board;

	rig_open(&board, "stranger", 4);
	CHECK_INT(tine_permit_take(&board, -1), ==, -1);
	tine_permit_give(&board, 0, 0);
	CHECK_INT(tine_waiter_enter(&board), ==, -1);
	CHECK_INT(tine_token_take(&board), ==, -1);
	tine_board_close(&board);
}

/* Two members of one process are as good as two processes. */
static void join_twice(struct tine_board *one, struct tine_board *two, const char *name, int budget)
{
	rig_join(one, name, budget);
	rig_join(two, name, 0);
}

TEST(only_the_owner_gives_back)
{
	struct tine_board one, two;
	int permit;

	join_twice(&one, &two, "owner", 4);
	permit = rig_take(&one, 1);
	tine_permit_give(&two, permit, 0);
	tine_permit_give(&two, -1, 0);
	tine_permit_give(&two, TINE_BOARD_PERMITS, 0);
	CHECK_INT(rig_use(&one).own, ==, 1);
	tine_board_close(&two);
	tine_board_close(&one);
}

TEST(a_floor_is_kept_for_its_member)
{
	struct tine_board greedy, modest;
	struct tine_board_spec spec = { .name = "floor", .floor = 3 };
	char error[300];

	rig_join(&greedy, "floor", 5);
	CHECK_INT(tine_board_open(&modest, &spec, error, sizeof(error)), ==, 0);
	CHECK_INT(tine_board_enlist(&modest), ==, 0);
	rig_take(&greedy, 2);
	CHECK_INT(tine_permit_take(&greedy, -1), ==, -1);
	rig_take(&modest, 3);
	CHECK_INT(tine_permit_take(&modest, -1), ==, -1);
	tine_board_close(&modest);
	/* What it had may be open for a moment more; then the floor is nobody's. */
	for (int i = 0; i < 3; i++)
		rig_take_soon(&greedy, TINE_NS_PER_S);
	tine_board_close(&greedy);
}

static void open_with_ceiling(struct tine_board *board, const char *name, int ceiling)
{
	struct tine_board_spec spec = { .name = name, .ceiling = ceiling };
	char error[300];

	CHECK_INT(tine_board_open(board, &spec, error, sizeof(error)), ==, 0);
	CHECK_INT(tine_board_enlist(board), ==, 0);
}

TEST(a_ceiling_holds_for_one_member)
{
	struct tine_board one, two;

	rig_join(&one, "ceiling", 6);
	open_with_ceiling(&two, "ceiling", 2);
	rig_take(&two, 2);
	CHECK_INT(tine_permit_take(&two, -1), ==, -1);
	rig_take(&one, 4);
	tine_board_close(&two);
	tine_board_close(&one);
}

static struct tine_board shared_by_threads;

static void *take_and_give(void *unused)
{
	for (int i = 0; i < 3000; i++) {
		int permit = tine_permit_take(&shared_by_threads, -1);

		if (permit < 0)
			continue;
		if (atomic_fetch_add(&rig_word[0], 1) >= 3)
			atomic_store(&rig_word[1], 1);
		atomic_fetch_sub(&rig_word[0], 1);
		tine_permit_give(&shared_by_threads, permit, 0);
		atomic_fetch_add(&rig_word[2], 1);
	}
	return unused;
}

TEST(threads_do_not_exceed_the_ceiling_together)
{
	pthread_t threads[8];

	rig_open(&shared_by_threads, "threads", 20);
	open_with_ceiling(&shared_by_threads, "threads", 3);
	for (int i = 0; i < 8; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, take_and_give, NULL), ==, 0);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	CHECK_INT(atomic_load(&rig_word[1]), ==, 0);
	CHECK_INT(atomic_load(&rig_word[2]), >, 100);
	CHECK_INT(rig_use(&shared_by_threads).taken, ==, 0);
	tine_board_close(&shared_by_threads);
}

TEST(a_permit_in_limbo_is_nobodys_until_its_time)
{
	struct tine_board board;
	int64_t began_ns;

	rig_join(&board, "limbo", 1);
	began_ns = tine_clock_ns();
	tine_permit_give(&board, rig_take(&board, 1), 150);
	CHECK_INT(rig_use(&board).taken, ==, 0);
	rig_take_soon(&board, TINE_NS_PER_S);
	CHECK_INT(tine_clock_ns() - began_ns, >=, 149 * (int64_t)TINE_NS_PER_MS);
	tine_board_close(&board);
}

TEST(a_limbo_far_ahead_is_not_believed)
{
	struct tine_board board;

	rig_join(&board, "far", 1);
	rig_take(&board, 1);
	tine_permit_give(&board, 0, 0);
	atomic_store(&board.map->permits[0], TINE_PERMIT_LIMBO | (UINT64_C(1) << 62));
	rig_take(&board, 1);
	tine_board_close(&board);
}

TEST(a_lowered_budget_holds_while_more_are_in_use)
{
	struct tine_board one, two;
	int permits[8];

	join_twice(&one, &two, "lowered", 8);
	for (int i = 0; i < 8; i++)
		permits[i] = rig_take(&one, 1);
	atomic_store(&one.map->budget, 3);
	for (int i = 0; i < 5; i++) {
		tine_permit_give(&one, permits[i], 0);
		CHECK_INT(tine_permit_take(&two, -1), ==, -1);
	}
	tine_permit_give(&one, permits[5], 0);
	CHECK_INT(tine_permit_take(&two, -1), >=, 0);
	CHECK_INT(rig_use(&one).taken, ==, 3);
	CHECK_INT(tine_permit_take(&two, -1), ==, -1);
	atomic_store(&one.map->budget, 4);
	CHECK_INT(tine_permit_take(&two, -1), >=, 0);
	tine_board_close(&two);
	tine_board_close(&one);
}

static void take_all_the_time(struct tine_board *board)
{
	while (!atomic_load(&rig_word[1])) {
		int permit = tine_permit_take(board, -1);

		if (permit >= 0 && atomic_fetch_add(&rig_word[0], 1) >= atomic_load(&rig_word[3]))
			atomic_store(&rig_word[2], 1);
		if (permit < 0)
			continue;
		atomic_fetch_sub(&rig_word[0], 1);
		tine_permit_give(board, permit, 0);
		atomic_fetch_add(&rig_word[4], 1);
	}
	tine_board_close(board);
}

/* The parent holds what is above the lowered budget, so that all takes have to be counted again. */
TEST(a_lowered_budget_holds_between_processes)
{
	struct tine_board board;
	pid_t pids[4];

	rig_join(&board, "lowered-race", 8);
	rig_take(&board, 8);
	atomic_store(&board.map->budget, 4);
	for (int i = 0; i < 6; i++)
		tine_permit_give(&board, i, 0);
	atomic_store(&rig_word[3], 2);
	for (int i = 0; i < 4; i++)
		pids[i] = rig_member(&board, take_all_the_time);
	rig_await(&rig_word[4], 20000);
	atomic_store(&rig_word[1], 1);
	for (int i = 0; i < 4; i++)
		check_child(pids[i]);
	CHECK_INT(atomic_load(&rig_word[2]), ==, 0);
	CHECK_INT(rig_use(&board).taken, ==, 2);
	tine_board_close(&board);
}

TEST(holders_are_named_the_others_first)
{
	struct tine_board one, two, three;
	char text[300], expected[300];

	join_twice(&one, &two, "holders", 20);
	rig_join(&three, "holders", 0);
	rig_take(&one, 9);
	rig_take(&two, 2);
	rig_take(&three, 4);
	snprintf(expected, sizeof(expected), "w3:%d has 4, w2:%d has 2, w1:%d has 9", (int)getpid(),
		 (int)getpid(), (int)getpid());
	CHECK_INT(tine_permit_holders(&one, text, sizeof(text)), ==, strlen(expected));
	CHECK_STR(text, expected);
	CHECK_INT(tine_permit_holders(&one, text, 60), <, 60);
	CHECK_INT(tine_permit_holders(&one, text, 1), ==, 0);
	tine_board_close(&three);
	tine_board_close(&two);
	tine_board_close(&one);
}

TEST(more_than_the_fair_share_is_wanted_while_others_wait)
{
	struct tine_board one, two;

	rig_join(&one, "wanted", 4);
	rig_take(&one, 4);
	CHECK(!tine_permit_is_too_much(&one, 3, false));
	rig_join(&two, "wanted", 0);
	CHECK_INT(atomic_load(tine_permit_fair_share(&one)), ==, 2);
	CHECK_INT(tine_waiter_enter(&two), ==, 0);
	CHECK(tine_permit_is_too_much(&one, 3, false));
	CHECK(!tine_permit_is_too_much(&two, 3, false));
	/* On their way: what is in limbo counts. */
	tine_permit_give(&one, 0, 1000);
	tine_permit_give(&one, 1, 1000);
	CHECK(!tine_permit_is_too_much(&one, 3, false));
	tine_board_close(&two);
	tine_board_close(&one);
}

/* ... or several would be closed for one that waits. */
TEST(what_is_being_closed_is_on_its_way_to_who_waits)
{
	struct tine_board one, two;
	struct tine_seat *seat;

	join_twice(&one, &two, "closing", 4);
	rig_take(&one, 4);
	seat = tine_permit_seat(&one, 0);
	CHECK_INT(tine_waiter_enter(&two), ==, 0);
	CHECK(tine_permit_is_too_much(&one, 3, true));
	tine_seat_set(seat, TINE_SEAT_CLOSING, tine_clock_coarse_ns());
	CHECK(!tine_permit_is_too_much(&one, 3, true));
	CHECK_INT(tine_waiter_enter(&two), ==, 1);
	CHECK(tine_permit_is_too_much(&one, 3, true));
	tine_seat_set(tine_permit_seat(&one, 1), TINE_SEAT_CLOSING, tine_clock_coarse_ns());
	CHECK(!tine_permit_is_too_much(&one, 3, true));
	/* Whoever does that has been stopped. */
	tine_seat_set(seat, TINE_SEAT_CLOSING, tine_clock_coarse_ns() - TINE_NS_PER_S);
	CHECK(tine_permit_is_too_much(&one, 3, true));
	tine_board_close(&two);
	tine_board_close(&one);
}

/* Where there are more members than permits: given to who waits, after a while; to who may come
 * only by who has no use for it. */
TEST(who_has_a_use_for_it_gives_it_to_who_waits)
{
	struct tine_board one, two;
	int waiter;

	join_twice(&one, &two, "use", 1);
	rig_take(&one, 1);
	CHECK(tine_permit_is_too_much(&one, 0, false));
	CHECK(!tine_permit_is_too_much(&one, 0, true));
	waiter = tine_waiter_enter(&two);
	tine_seat_opened(tine_permit_seat(&one, 0), 1, tine_clock_coarse_ns());
	CHECK(!tine_permit_is_too_much(&one, 0, true));
	tine_seat_opened(tine_permit_seat(&one, 0), 1, tine_clock_coarse_ns() - TINE_NS_PER_S);
	CHECK(tine_permit_is_too_much(&one, 0, true));
	tine_waiter_leave(&two, waiter);
	CHECK(!tine_permit_is_too_much(&one, 0, true));
	tine_board_close(&two);
	tine_board_close(&one);
}

TEST(who_has_waited_for_its_own_misses_it)
{
	struct tine_board one, two;
	int waiter;

	join_twice(&one, &two, "missed", 2);
	rig_take(&one, 2);
	waiter = tine_waiter_enter(&one);
	CHECK(!tine_permit_is_missed(&one));
	atomic_store(&one.map->waiters[waiter].since_ns, tine_clock_ns() - TINE_NS_PER_S);
	CHECK(tine_permit_is_missed(&one));
	CHECK(!tine_permit_is_missed(&two));
	/* One is on its way. */
	tine_permit_give(&one, 0, 1000);
	CHECK(!tine_permit_is_missed(&one));
	tine_board_close(&two);
	tine_board_close(&one);
}

TEST(who_waits_at_its_ceiling_wants_nothing)
{
	struct tine_board one, two;

	rig_join(&one, "content", 4);
	open_with_ceiling(&two, "content", 1);
	rig_take(&one, 3);
	rig_take(&two, 1);
	tine_waiter_enter(&two);
	CHECK(!tine_permit_is_too_much(&one, 3, false));
	tine_board_close(&two);
	tine_board_close(&one);
}

TEST(a_seat_is_there_without_a_permit)
{
	struct tine_board board;

	rig_join(&board, "seats", 4);
	CHECK(tine_permit_seat(&board, 2) == &board.map->seats[2]);
	CHECK(tine_permit_seat(&board, -1) == tine_permit_seat(&board, TINE_BOARD_PERMITS));
	tine_seat_set(tine_permit_seat(&board, -1), TINE_SEAT_BUSY, 1);
	tine_board_close(&board);
}

CHECK_TABLE(T(the_budget_is_a_cap), T(without_a_budget_there_are_all_seats),
	    T(who_is_no_member_gets_none), T(only_the_owner_gives_back),
	    T(a_floor_is_kept_for_its_member), T(a_ceiling_holds_for_one_member),
	    T(threads_do_not_exceed_the_ceiling_together),
	    T(a_permit_in_limbo_is_nobodys_until_its_time), T(a_limbo_far_ahead_is_not_believed),
	    T(a_lowered_budget_holds_while_more_are_in_use),
	    T(a_lowered_budget_holds_between_processes), T(holders_are_named_the_others_first),
	    T(more_than_the_fair_share_is_wanted_while_others_wait),
	    T(what_is_being_closed_is_on_its_way_to_who_waits),
	    T(who_has_a_use_for_it_gives_it_to_who_waits),
	    T(who_has_waited_for_its_own_misses_it), T(who_waits_at_its_ceiling_wants_nothing),
	    T(a_seat_is_there_without_a_permit))
