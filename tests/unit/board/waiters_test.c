/* SPDX-License-Identifier: PostgreSQL */
/* The queue: first come, first served over all processes, and nobody in it holds up the others. */
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "unit/board/rig.h"

/* Who is called and does not come for so long is passed over: waiter.c. */
#define LATE_NS (20 * (int64_t)TINE_NS_PER_MS)
#define SOON_NS (4 * (int64_t)TINE_NS_PER_S)
/* For rounds that say nothing. */
#define PATIENCE_NS (20 * (int64_t)TINE_NS_PER_S)

static void sleep_on(_Atomic uint32_t *news, int ms)
{
	struct timespec wait = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };

	syscall(SYS_futex, news, FUTEX_WAIT, 0, &wait, NULL, 0);
}

static uint32_t called(struct tine_board *board, int waiter)
{
	return atomic_load(tine_waiter_news(board, waiter));
}

static void join_three(struct tine_board boards[3], const char *name, int budget)
{
	for (int i = 0; i < 3; i++)
		rig_join(&boards[i], name, budget);
}

/* Words of a round: how many queue, how many had their turn, somebody counts as late, and from
 * TURNS on whose turn it was. */
enum { QUEUED, SERVED, LATE, TURNS = 10 };

/* As the pool does it, and told if others may have taken this one for late: the clock is read when
 * it no longer counts as called. @return the permit */
static int wait_for_permit(struct tine_board *board, int waiter)
{
	_Atomic int64_t *called_ns = &board->map->waiters[waiter].called_ns;
	int permit;

	for (;;) {
		int64_t since_ns = atomic_exchange(called_ns, 0);

		tine_waiter_rearm(board, waiter);
		if (since_ns && tine_clock_ns() - since_ns >= LATE_NS)
			atomic_store(&rig_word[LATE], 1);
		permit = tine_permit_take(board, waiter);
		if (permit >= 0)
			break;
		sleep_on(tine_waiter_news(board, waiter), TINE_WAITER_LOOK_MS);
	}
	tine_waiter_leave(board, waiter);
	return permit;
}

static void queue_and_tell(struct tine_board *board)
{
	int own = atomic_load(&rig_word[QUEUED]), waiter = tine_waiter_enter(board), permit;

	CHECK_INT(waiter, >=, 0);
	atomic_fetch_add(&rig_word[QUEUED], 1);
	permit = wait_for_permit(board, waiter);
	atomic_store(&rig_word[TURNS + atomic_fetch_add(&rig_word[SERVED], 1)], own);
	tine_permit_give(board, permit, 0);
	tine_board_close(board);
}

/* A round that a test repeats. @return false: somebody was not let run for so long that it counts
 * as late, and then this round says nothing */
typedef bool round_fn(int number);

/* Repeated in a child of its own, until one says something. */
static void repeat(round_fn *fn)
{
	int64_t until_ns = tine_clock_ns() + PATIENCE_NS;
	int status = 0, number = 0;

	do {
		pid_t pid = fork();

		number++;
		if (pid == 0)
			_exit(fn(number) ? 0 : CHECK_SKIPPED);
		CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	} while (WEXITSTATUS(status) == CHECK_SKIPPED && tine_clock_ns() < until_ns);
	if (WEXITSTATUS(status) == CHECK_SKIPPED)
		SKIP("the machine lets nobody run in time");
	CHECK_INT(status, ==, 0);
}

/* The number may be too high where one came while another counted, until it is counted again. */
static int count_waiting(struct tine_board *board)
{
	tine_waiter_recount(board->map);
	return rig_use(board).waiting;
}

static bool first_come(int number)
{
	struct tine_board board;
	pid_t pids[6];
	char name[32];
	int permit;

	memset((void *)rig_word, 0, RIG_WORDS * sizeof(*rig_word));
	snprintf(name, sizeof(name), "fifo%d", number);
	rig_join(&board, name, 1);
	permit = rig_take(&board, 1);
	for (int i = 0; i < 6; i++) {
		pids[i] = rig_member(&board, queue_and_tell);
		rig_await(&rig_word[QUEUED], i + 1);
	}
	CHECK_INT(count_waiting(&board), ==, 6);
	tine_permit_give(&board, permit, 0);
	rig_await(&rig_word[SERVED], 6);
	for (int i = 0; i < 6; i++)
		check_child(pids[i]);
	CHECK_INT(count_waiting(&board), ==, 0);
	if (atomic_load(&rig_word[LATE]))
		return false;
	for (int i = 0; i < 6; i++)
		CHECK_INT(atomic_load(&rig_word[TURNS + i]), ==, i);
	tine_board_close(&board);
	return true;
}

TEST(first_come_first_served_over_processes)
{
	repeat(first_come);
}

static bool newcomer(int number)
{
	int first, second, taken[3];
	struct tine_board boards[3];
	int64_t began_ns;
	char name[32];

	snprintf(name, sizeof(name), "newcomer%d", number);
	join_three(boards, name, 1);
	rig_take(&boards[0], 1);
	first = tine_waiter_enter(&boards[1]);
	second = tine_waiter_enter(&boards[2]);
	began_ns = tine_clock_ns();
	tine_permit_give(&boards[0], 0, 0);
	CHECK_INT(called(&boards[1], first), ==, 1);
	CHECK_INT(called(&boards[2], second), ==, 0);
	taken[0] = tine_permit_take(&boards[0], -1);
	taken[1] = tine_permit_take(&boards[2], second);
	taken[2] = tine_permit_take(&boards[1], first);
	if (tine_clock_ns() - began_ns > LATE_NS)
		return false;
	CHECK_INT(taken[0], ==, -1);
	CHECK_INT(taken[1], ==, -1);
	CHECK_INT(taken[2], ==, 0);
	tine_waiter_leave(&boards[1], first);
	tine_permit_give(&boards[1], 0, 0);
	CHECK_INT(called(&boards[2], second), ==, 1);
	for (int i = 0; i < 3; i++)
		tine_board_close(&boards[i]);
	return true;
}

TEST(a_newcomer_does_not_overtake)
{
	repeat(newcomer);
}

static bool call_two(int number)
{
	struct tine_board boards[3];
	bool is_called[6];
	int64_t began_ns;
	char name[32];
	int waiters[6];

	snprintf(name, sizeof(name), "count%d", number);
	join_three(boards, name, 4);
	rig_take(&boards[0], 4);
	for (int i = 0; i < 6; i++)
		waiters[i] = tine_waiter_enter(&boards[1]);
	began_ns = tine_clock_ns();
	tine_permit_give(&boards[0], 0, 0);
	tine_permit_give(&boards[0], 1, 0);
	for (int i = 0; i < 6; i++)
		is_called[i] = called(&boards[1], waiters[i]);
	if (tine_clock_ns() - began_ns > LATE_NS)
		return false;
	for (int i = 0; i < 6; i++)
		CHECK_INT(is_called[i], ==, i < 2);
	for (int i = 0; i < 3; i++)
		tine_board_close(&boards[i]);
	return true;
}

TEST(as_many_are_called_as_there_are_permits)
{
	repeat(call_two);
}

TEST(who_was_called_and_leaves_passes_the_call_on)
{
	struct tine_board boards[3];
	int first, second;

	join_three(boards, "pass", 1);
	rig_take(&boards[0], 1);
	first = tine_waiter_enter(&boards[1]);
	second = tine_waiter_enter(&boards[2]);
	tine_permit_give(&boards[0], 0, 0);
	CHECK_INT(called(&boards[1], first), ==, 1);
	tine_waiter_leave(&boards[1], first);
	CHECK_INT(called(&boards[2], second), ==, 1);
	CHECK_INT(tine_permit_take(&boards[2], second), ==, 0);
	for (int i = 0; i < 3; i++)
		tine_board_close(&boards[i]);
}

static void wait_in_vain(struct tine_board *board)
{
	CHECK_INT(tine_waiter_enter(board), >=, 0);
	atomic_fetch_add(&rig_word[0], 1);
	rig_sleep_for_ever();
}

static void check_passed_over(const char *name, int sig, bool call_first)
{
	struct tine_board board;
	int permit;
	pid_t pid;

	rig_join(&board, name, 1);
	permit = rig_take(&board, 1);
	pid = rig_member(&board, wait_in_vain);
	rig_await(&rig_word[0], 1);
	if (call_first)
		tine_permit_give(&board, permit, 0);
	kill(pid, sig);
	waitpid(pid, NULL, WUNTRACED);
	if (!call_first)
		tine_permit_give(&board, permit, 0);
	rig_take_soon(&board, SOON_NS);
	if (sig != SIGKILL)
		rig_kill(pid);
	tine_board_close(&board);
}

TEST(who_was_called_and_stopped_is_passed_over)
{
	check_passed_over("called-stopped", SIGSTOP, true);
}

TEST(who_was_stopped_and_is_called_is_passed_over)
{
	check_passed_over("stopped-called", SIGSTOP, false);
}

TEST(who_was_called_and_killed_is_passed_over)
{
	check_passed_over("called-killed", SIGKILL, true);
}

TEST(who_was_stopped_before_a_limbo_ended_is_passed_over)
{
	struct tine_board board;
	int permit;
	pid_t pid;

	rig_join(&board, "stopped-limbo", 1);
	permit = rig_take(&board, 1);
	pid = rig_member(&board, wait_in_vain);
	rig_await(&rig_word[0], 1);
	kill(pid, SIGSTOP);
	waitpid(pid, NULL, WUNTRACED);
	/* Nobody gives it back when the limbo ends, so nobody calls. */
	tine_permit_give(&board, permit, 50);
	rig_take_soon(&board, 50 * (int64_t)TINE_NS_PER_MS + SOON_NS / 2);
	rig_kill(pid);
	tine_board_close(&board);
}

TEST(who_waits_at_its_ceiling_holds_up_nobody)
{
	struct tine_board full, other, open;
	struct tine_board_spec spec = { .name = "at-ceiling", .budget = 2, .ceiling = 1 };
	char error[300];
	int first, second;

	CHECK_INT(tine_board_open(&full, &spec, error, sizeof(error)), ==, 0);
	CHECK_INT(tine_board_enlist(&full), ==, 0);
	rig_join(&other, "at-ceiling", 0);
	rig_join(&open, "at-ceiling", 0);
	rig_take(&full, 1);
	rig_take(&open, 1);
	first = tine_waiter_enter(&full);
	second = tine_waiter_enter(&other);
	tine_permit_give(&open, 1, 0);
	CHECK_INT(called(&full, first), ==, 0);
	CHECK_INT(called(&other, second), ==, 1);
	CHECK_INT(tine_permit_take(&other, second), ==, 1);
	tine_board_close(&open);
	tine_board_close(&other);
	tine_board_close(&full);
}

TEST(a_full_queue_says_so)
{
	struct tine_board board;

	rig_join(&board, "full", 1);
	for (int i = 0; i < TINE_BOARD_WAITERS; i++)
		CHECK_INT(tine_waiter_enter(&board), ==, i);
	CHECK_INT(tine_waiter_enter(&board), ==, -1);
	tine_waiter_leave(&board, 500);
	CHECK_INT(tine_waiter_enter(&board), ==, 500);
	CHECK_INT(rig_use(&board).waiting, ==, TINE_BOARD_WAITERS);
	tine_board_close(&board);
}

TEST(no_place_is_no_place)
{
	struct tine_board board;

	rig_join(&board, "nowhere", 1);
	for (int waiter = -1; waiter <= TINE_BOARD_WAITERS; waiter += TINE_BOARD_WAITERS + 1) {
		tine_waiter_leave(&board, waiter);
		tine_waiter_rearm(&board, waiter);
		CHECK_INT(called(&board, waiter), ==, 0);
	}
	CHECK_INT(tine_permit_take(&board, TINE_BOARD_WAITERS), ==, -1);
	tine_board_close(&board);
}

TEST(rearmed_is_called_again)
{
	struct tine_board boards[3];
	int waiter;

	join_three(boards, "rearm", 1);
	rig_take(&boards[0], 1);
	waiter = tine_waiter_enter(&boards[1]);
	for (int i = 0; i < 3; i++) {
		tine_permit_give(&boards[0], 0, 0);
		CHECK_INT(called(&boards[1], waiter), ==, 1);
		tine_waiter_rearm(&boards[1], waiter);
		CHECK_INT(called(&boards[1], waiter), ==, 0);
		/* Somebody was quicker, who may not be. */
		atomic_store(&boards[0].map->permits[0], boards[0].owner);
	}
	for (int i = 0; i < 3; i++)
		tine_board_close(&boards[i]);
}

static void come_and_go(struct tine_board *board)
{
	for (;;)
		tine_waiter_leave(board, tine_waiter_enter(board));
}

/* Who would be counted out would not be called. */
TEST(the_number_of_those_who_wait_is_never_too_low)
{
	struct tine_board board;
	pid_t pids[3];

	rig_join(&board, "number", 1);
	rig_take(&board, 1);
	CHECK_INT(tine_waiter_enter(&board), ==, 0);
	for (int round = 0; round < 60; round++) {
		for (int i = 0; i < 3; i++)
			pids[i] = rig_member(&board, come_and_go);
		for (int i = 0; i < 300; i++) {
			tine_waiter_recount(board.map);
			CHECK_INT(atomic_load(&board.map->waiting), >=, 1);
		}
		for (int i = 0; i < 3; i++)
			rig_kill(pids[i]);
		tine_board_reap(&board, true);
		CHECK_INT(atomic_load(&board.map->waiting), ==, 1);
	}
	tine_board_close(&board);
}

TEST(a_number_that_is_too_high_does_not_last)
{
	struct tine_board board;

	rig_join(&board, "high", 2);
	atomic_store(&board.map->waiting, 5);
	tine_permit_give(&board, rig_take(&board, 1), 0);
	CHECK_INT(atomic_load(&board.map->waiting), ==, 0);
	tine_board_close(&board);
}

CHECK_TABLE(T(first_come_first_served_over_processes), T(a_newcomer_does_not_overtake),
	    T(as_many_are_called_as_there_are_permits),
	    T(who_was_called_and_leaves_passes_the_call_on),
	    T(who_was_called_and_stopped_is_passed_over),
	    T(who_was_stopped_and_is_called_is_passed_over),
	    T(who_was_called_and_killed_is_passed_over),
	    T(who_was_stopped_before_a_limbo_ended_is_passed_over),
	    T(who_waits_at_its_ceiling_holds_up_nobody), T(a_full_queue_says_so),
	    T(no_place_is_no_place), T(rearmed_is_called_again),
	    T(the_number_of_those_who_wait_is_never_too_low),
	    T(a_number_that_is_too_high_does_not_last))
