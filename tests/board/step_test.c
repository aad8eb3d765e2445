/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a process leaves when it is killed at an instruction, for each instruction in turn: a child
 * does one thing with the board under ptrace, is single-stepped so far and killed. Then another
 * process has to get everything back and go on.
 *
 * A thing of n instructions costs n * n / 2 steps. TINE_STEPS says how many each may cost (60000);
 * what costs more is killed at every second, third, ... instruction. tools/soak-board sets more.
 */
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "unit/board/rig.h"

#define BUDGET 6
#define DONE 1

static struct tine_board board; /* the tester's */
static int kept;                /* permit or place of the child's, from before the steps */

static long wanted_steps(void)
{
	const char *text = getenv("TINE_STEPS");

	return text ? atol(text) : 60000;
}

/* ---- what is done --------------------------------------------------------------------------- */

static void take_one(void)
{
	kept = tine_permit_take(&board, -1);
}

static void enter(void)
{
	kept = tine_waiter_enter(&board);
}

static void take_token(void)
{
	kept = tine_token_take(&board);
}

static void nothing(void)
{
}

static void give(void)
{
	tine_permit_give(&board, kept, 0);
}

static void give_to_limbo(void)
{
	tine_permit_give(&board, kept, 50);
}

static void renew(void)
{
	tine_permit_renew(&board, kept);
}

static void tell_socket(void)
{
	tine_permit_tell_socket(&board, kept, 0);
}

/* With a socket for the standard input. */
static void connect_one(void)
{
	int ends[2];

	take_one();
	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), ==, 0);
	dup2(ends[0], 0);
	close(ends[0]);
	close(ends[1]);
}

/* Another member sleeps, and the server has ended its session. */
static void lie_next_to_one(void)
{
	struct tine_board own = board;

	tine_board_left(&board);
	tine_board_enlist(&board);
	connect_one();
	tell_socket();
	tine_seat_set(tine_permit_seat(&board, kept), TINE_SEAT_IDLE,
		      tine_clock_ns() - 5 * (int64_t)TINE_NS_PER_S);
	board = own;
}

static void free_ended(void)
{
	tine_permit_free_ended(&board);
}

static void leave(void)
{
	tine_waiter_leave(&board, kept);
}

static void give_token(void)
{
	tine_token_give(&board, kept);
}

static void tell(void)
{
	struct tine_outage_note note = { .status = -11, .sqlstate = "08006", .text = "the child" };

	tine_server_failed(&board, 0, &note);
}

static void recover(void)
{
	tine_server_recovered(&board, 0);
}

static void count_waiters(void)
{
	tine_waiter_recount(board.map);
}

static void enlist(void)
{
	tine_board_enlist(&board);
}

static void unlist(void)
{
	tine_board_unlist(&board);
}

static void reap(void)
{
	tine_board_reap(&board, true);
}

/* In the queue and with all that one can have. */
static void have_all(void)
{
	take_one();
	take_token();
	enter();
}

/* ---- stepping ------------------------------------------------------------------------------- */

struct deed {
	const char *name;
	void (*before)(void);
	void (*run)(void);
	bool joins; /* it is no member before */
};

static pid_t begin(const struct deed *deed)
{
	int status;
	pid_t pid;

	atomic_store(&rig_word[0], 0);
	pid = fork();
	CHECK_INT(pid, >=, 0);
	if (pid == 0) {
		rig_end_with_parent();
		tine_board_left(&board);
		if (!deed->joins)
			tine_board_enlist(&board);
		deed->before();
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		deed->run();
		atomic_store(&rig_word[0], DONE);
		_exit(0);
	}
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	if (!WIFSTOPPED(status))
		SKIP("ptrace is not allowed here");
	return pid;
}

/* @return steps made before it had done everything, at most so many */
static long step(pid_t pid, long most)
{
	int status;

	for (long i = 0; i < most; i++) {
		if (atomic_load(&rig_word[0]) == DONE)
			return i;
		CHECK_INT(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), ==, 0);
		CHECK_INT(waitpid(pid, &status, __WALL), ==, pid);
		CHECK(WIFSTOPPED(status));
	}
	return most;
}

/* ---- afterwards ----------------------------------------------------------------------------- */

static void check_nothing_is_owned(void)
{
	struct tine_board_layout *map = board.map;

	for (int i = 0; i < TINE_BOARD_PERMITS; i++) {
		uint64_t word = atomic_load(&map->permits[i]);

		CHECK(word == 0 || (word & TINE_PERMIT_LIMBO));
		CHECK(word == 0 || !tine_permit_is_free(word, INT64_MAX / 2) || i < BUDGET);
		/* Instead of waiting until the server has noticed. */
		atomic_store(&map->permits[i], 0);
	}
	for (int i = 0; i < TINE_BOARD_WAITERS; i++)
		CHECK_INT(atomic_load(&map->waiters[i].word), ==, 0);
	for (int i = 0; i < TINE_BOARD_TOKENS; i++)
		CHECK_INT(atomic_load(&map->tokens[i].word), ==, 0);
	for (int i = 0; i < TINE_BOARD_MEMBERS; i++)
		if (i != board.place)
			CHECK_INT(tine_place_state(atomic_load(&map->members[i].word)), ==,
				  TINE_PLACE_FREE);
}

static void check_work_goes_on(void)
{
	struct tine_outage_note told = { .status = -10, .sqlstate = "57P03", .text = "tester" },
				read;
	int waiter, token;

	CHECK_INT(rig_use(&board).waiting, ==, 0);
	rig_take(&board, BUDGET);
	CHECK_INT(tine_permit_take(&board, -1), ==, -1);
	waiter = tine_waiter_enter(&board);
	tine_permit_give(&board, 2, 0);
	CHECK_INT(atomic_load(tine_waiter_news(&board, waiter)), ==, 1);
	CHECK_INT(tine_permit_take(&board, waiter), ==, 2);
	tine_waiter_leave(&board, waiter);
	for (int i = 0; i < BUDGET; i++)
		tine_permit_give(&board, i, 0);
	token = tine_token_take(&board);
	CHECK_INT(token, >=, 0);
	tine_token_give(&board, token);
	told.at_ns = tine_clock_ns();
	tine_server_failed(&board, 0, &told);
	CHECK(tine_server_outage(&board, 0, &read));
	CHECK_INT(read.status, ==, -10);
	CHECK_STR(read.text, "tester");
}

static void die_at(const struct deed *deed, long at)
{
	pid_t pid = begin(deed);

	step(pid, at);
	rig_kill(pid);
	tine_board_reap(&board, true);
	check_nothing_is_owned();
	check_work_goes_on();
}

static void check_deed(const struct deed *deed)
{
	pid_t pid = begin(deed);
	long length = step(pid, 10000000), stride, kills = 0;

	CHECK_INT(length, >, 0);
	rig_kill(pid);
	tine_board_reap(&board, true);
	check_nothing_is_owned();
	stride = (long)((double)length * (double)length / 2 / (double)wanted_steps()) + 1;
	for (long at = 0; at <= length; at += stride, kills++)
		die_at(deed, at);
	printf("# %s: %ld instructions, killed %ld times, at every %ld.\n", deed->name, length,
	       kills, stride);
}

static void prepare(void)
{
	alarm(0);
	rig_join(&board, "steps", BUDGET);
	CHECK_INT(tine_server_find(&board, 1), ==, 0);
}

static void check_deeds(const struct deed *deeds, size_t count)
{
	prepare();
	for (size_t i = 0; i < count; i++)
		check_deed(&deeds[i]);
	tine_board_close(&board);
}

TEST(killed_in_permits)
{
	static const struct deed deeds[] = {
		{ "take", nothing, take_one, false },
		{ "give", take_one, give, false },
		{ "give, in limbo", take_one, give_to_limbo, false },
		{ "give, others waiting", have_all, give, false },
		{ "renew", take_one, renew, false },
		{ "tell the socket", connect_one, tell_socket, false },
		{ "take from who sleeps", lie_next_to_one, free_ended, false },
	};

	check_deeds(deeds, sizeof(deeds) / sizeof(*deeds));
}

TEST(killed_in_the_queue)
{
	static const struct deed deeds[] = {
		{ "enter", nothing, enter, false },
		{ "leave", enter, leave, false },
		{ "recount", enter, count_waiters, false },
	};

	check_deeds(deeds, sizeof(deeds) / sizeof(*deeds));
}

TEST(killed_in_knowledge)
{
	static const struct deed deeds[] = {
		{ "take a token", nothing, take_token, false },
		{ "give a token", take_token, give_token, false },
		{ "tell of an outage", nothing, tell, false },
		{ "tell of its end", tell, recover, false },
	};

	check_deeds(deeds, sizeof(deeds) / sizeof(*deeds));
}

/* One who died with everything, so that there is something to give back. */
static void leave_a_corpse(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		tine_board_left(&board);
		tine_board_enlist(&board);
		have_all();
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

TEST(killed_in_membership)
{
	static const struct deed deeds[] = {
		{ "enlist", nothing, enlist, true },
		{ "unlist", have_all, unlist, false },
		{ "reap", leave_a_corpse, reap, false },
	};

	check_deeds(deeds, sizeof(deeds) / sizeof(*deeds));
}

/* ---- one does all of it between two instructions of the other ------------------------------- */

static void take_and_tell(void)
{
	take_one();
	atomic_store(&rig_word[1], kept + 1);
}

/* @return how many of the two got one */
static int take_at(struct tine_board *other, const struct deed *deed, long at)
{
	int status, permit, count = 0;
	pid_t pid;

	atomic_store(&rig_word[1], 0);
	pid = begin(deed);
	step(pid, at);
	permit = tine_permit_take(other, -1);
	CHECK_INT(ptrace(PTRACE_DETACH, pid, NULL, NULL), ==, 0);
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	CHECK(WIFEXITED(status));
	count += permit >= 0;
	tine_permit_give(other, permit, 0);
	tine_board_reap(&board, true);
	if (atomic_load(&rig_word[1])) {
		count++;
		/* Instead of waiting until the server has noticed its end. */
		atomic_store(&board.map->permits[atomic_load(&rig_word[1]) - 1], 0);
	}
	return count;
}

/* Of a budget that was lowered all but one are in use, and there is more than one free number. */
TEST(the_last_one_is_taken_once)
{
	static const struct deed deed = { "take", nothing, take_and_tell, false };
	struct tine_board other;
	long length, stride, once = 0, tries = 0;
	pid_t pid;

	prepare();
	rig_join(&other, "steps", 0);
	rig_take(&board, BUDGET);
	atomic_store(&board.map->budget, 3);
	for (int i = 0; i < 3; i++)
		tine_permit_give(&board, i, 0);
	tine_permit_give(&board, BUDGET - 1, 0);
	pid = begin(&deed);
	length = step(pid, 10000000);
	rig_kill(pid);
	CHECK_INT(atomic_load(&rig_word[1]), >, 0);
	tine_board_reap(&board, true);
	atomic_store(&board.map->permits[atomic_load(&rig_word[1]) - 1], 0);
	stride = (long)((double)length * (double)length / 2 / (double)wanted_steps()) + 1;
	for (long at = 0; at <= length; at += stride, tries++) {
		int count = take_at(&other, &deed, at);

		CHECK_INT(count, <=, 1);
		once += count;
	}
	printf("# %ld instructions, taken once %ld times of %ld.\n", length, once, tries);
	CHECK_INT(once, >, tries / 2);
	tine_board_close(&other);
	tine_board_close(&board);
}

CHECK_TABLE(T(the_last_one_is_taken_once), T(killed_in_permits), T(killed_in_the_queue),
	    T(killed_in_knowledge), T(killed_in_membership))
