/* SPDX-License-Identifier: PostgreSQL */
/* Members: who is one, and what becomes of what they had when they die by whatever means. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

#include "base/clock.h"
#include "unit/board/rig.h"

/* A second is promised, half of it is what it takes; the rest is for a machine that is busy. */
#define SOON_NS (4 * (int64_t)TINE_NS_PER_S)

static void hold_three(struct tine_board *board)
{
	rig_take(board, 3);
	atomic_fetch_add(&rig_word[0], 1);
	rig_sleep_for_ever();
}

static enum tine_place_state state_of(const struct tine_board *board, int place)
{
	return tine_place_state(atomic_load(&board->map->members[place].word));
}

/* Wait, by reaping as who needs a permit does. */
static void await_taken(struct tine_board *board, int taken)
{
	int64_t until_ns = tine_clock_ns() + SOON_NS;

	while (rig_use(board).taken != taken) {
		if (tine_clock_ns() > until_ns)
			check_fail(__FILE__, __LINE__, "%d are taken, not %d", rig_use(board).taken,
				   taken);
		tine_board_reap(board, false);
		usleep(1000);
	}
}

TEST(workers_have_the_lowest_free_number)
{
	struct tine_board boards[3];

	for (int i = 0; i < 3; i++) {
		rig_join(&boards[i], "numbers", 0);
		CHECK_INT(tine_board_worker(&boards[i]), ==, i + 1);
	}
	tine_board_close(&boards[1]);
	rig_join(&boards[1], "numbers", 0);
	CHECK_INT(tine_board_worker(&boards[1]), ==, 2);
	CHECK_INT(tine_board_enlist(&boards[1]), ==, 0);
	CHECK_INT(tine_board_worker(&boards[1]), ==, 2);
	for (int i = 0; i < 3; i++)
		tine_board_close(&boards[i]);
}

static void take_one_more(struct tine_board *board)
{
	CHECK_INT(tine_board_worker(board), ==, 2);
	CHECK_INT(rig_use(board).own, ==, 0);
	CHECK_INT(rig_use(board).taken, ==, 2);
	rig_take(board, 1);
	/* The parent's are not ours to give. */
	for (int i = 0; i < 3; i++)
		tine_permit_give(board, i, 0);
	CHECK_INT(rig_use(board).taken, ==, 2);
	tine_board_close(board);
}

TEST(a_child_is_a_member_of_its_own)
{
	struct tine_board board;

	rig_join(&board, "fork", 3);
	rig_take(&board, 2);
	check_child(rig_member(&board, take_one_more));
	CHECK_INT(rig_use(&board).own, ==, 2);
	CHECK_INT(rig_use(&board).taken, ==, 2);
	tine_board_close(&board);
}

TEST(a_child_that_does_not_join_takes_nothing_with_it)
{
	struct tine_board board;
	pid_t pid;

	rig_join(&board, "idle", 3);
	rig_take(&board, 3);
	pid = fork();
	if (pid == 0) {
		tine_board_left(&board);
		tine_board_close(&board);
		_exit(0);
	}
	check_child(pid);
	tine_board_reap(&board, true);
	CHECK_INT(rig_use(&board).own, ==, 3);
	CHECK_INT(access(board.path, F_OK), ==, 0);
	tine_board_close(&board);
}

static void daemonise(struct tine_board *board)
{
	rig_take(board, 2);
	if (fork())
		_exit(0);
	tine_board_left(board);
	CHECK_INT(tine_board_enlist(board), ==, 0);
	setsid();
	rig_take(board, 1);
	atomic_store(&rig_word[0], 1);
	rig_await(&rig_word[1], 1);
	CHECK_INT(rig_use(board).own, ==, 1);
	tine_board_close(board);
	atomic_store(&rig_word[2], 1);
}

static pid_t heir(struct tine_board *board, bool gets_one)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	rig_end_with_parent();
	tine_board_left(board);
	rig_await(&rig_word[0], 1 + !gets_one);
	CHECK_INT(tine_board_enlist(board), ==, 0);
	CHECK_INT(tine_permit_take(board, -1) >= 0, ==, gets_one);
	atomic_fetch_add(&rig_word[0], 1);
	rig_await(&rig_word[0], 3);
	_exit(0);
}

/* Who made the board is gone, and the board with it, before its children needed it. */
TEST(the_heirs_of_a_removed_board_share_it)
{
	struct tine_board board;
	char path[PATH_MAX];
	pid_t first, second;

	rig_join(&board, NULL, 1);
	strcpy(path, board.path);
	first = heir(&board, true);
	second = heir(&board, false);
	tine_board_close(&board);
	CHECK_INT(access(path, F_OK), <, 0);
	atomic_store(&rig_word[0], 1);
	check_child(first);
	check_child(second);
}

TEST(after_a_double_fork_permits_follow_who_lives)
{
	struct tine_board board;

	rig_join(&board, "daemon", 4);
	check_child(rig_member(&board, daemonise));
	rig_await(&rig_word[0], 1);
	await_taken(&board, 1);
	rig_take_soon(&board, SOON_NS);
	atomic_store(&rig_word[1], 1);
	rig_await(&rig_word[2], 1);
	tine_board_close(&board);
}

TEST(what_the_killed_had_comes_back_within_a_second)
{
	struct tine_board board;
	pid_t pid;

	rig_join(&board, "killed", 3);
	pid = rig_member(&board, hold_three);
	rig_await(&rig_word[0], 1);
	CHECK_INT(tine_permit_take(&board, -1), ==, -1);
	rig_kill(pid);
	for (int i = 0; i < 3; i++)
		rig_take_soon(&board, SOON_NS);
	CHECK_INT(state_of(&board, 1), ==, TINE_PLACE_FREE);
	tine_board_close(&board);
}

TEST(a_zombie_is_dead)
{
	struct tine_board board;
	siginfo_t info;
	pid_t pid;

	rig_join(&board, "zombie", 3);
	pid = rig_member(&board, hold_three);
	rig_await(&rig_word[0], 1);
	kill(pid, SIGKILL);
	CHECK_INT(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), ==, 0);
	rig_take_soon(&board, SOON_NS);
	waitpid(pid, NULL, 0);
	tine_board_close(&board);
}

static void *outlive_the_first(void *unused)
{
	/* Once the first thread is a zombie. */
	struct tine_process self = { 0 };

	while (self.state != 'Z')
		CHECK_INT(tine_process_read(getpid(), &self), ==, 0);
	atomic_store(&rig_word[1], 1);
	rig_sleep_for_ever();
	return unused;
}

static void end_first_thread(struct tine_board *board)
{
	pthread_t thread;

	rig_take(board, 3);
	pthread_create(&thread, NULL, outlive_the_first, NULL);
	pthread_exit(NULL);
}

TEST(who_has_threads_left_is_alive)
{
	struct tine_board board;
	pid_t pid;

	rig_join(&board, "headless", 3);
	pid = rig_member(&board, end_first_thread);
	rig_await(&rig_word[1], 1);
	tine_board_reap(&board, true);
	CHECK_INT(rig_use(&board).taken, ==, 3);
	rig_kill(pid);
	rig_take_soon(&board, SOON_NS);
	tine_board_close(&board);
}

TEST(who_is_stopped_keeps_what_it_has)
{
	struct tine_board board;
	pid_t pid;

	rig_join(&board, "stopped", 4);
	pid = rig_member(&board, hold_three);
	rig_await(&rig_word[0], 1);
	kill(pid, SIGSTOP);
	waitpid(pid, NULL, WUNTRACED);
	tine_board_reap(&board, true);
	CHECK_INT(rig_use(&board).taken, ==, 3);
	tine_permit_give(&board, rig_take(&board, 1), 0);
	rig_take(&board, 1);
	rig_kill(pid);
	tine_board_close(&board);
}

TEST(a_pid_that_is_used_again_is_another_process)
{
	struct tine_board board;
	uint64_t word;
	pid_t pid;

	rig_join(&board, "reuse", 3);
	pid = rig_member(&board, hold_three);
	rig_await(&rig_word[0], 1);
	/* As if who joined had been started a tick earlier. */
	word = atomic_load(&board.map->members[1].word);
	atomic_store(&board.map->members[1].word,
		     tine_place_word(TINE_PLACE_LIVE, tine_place_generation(word), pid,
				     tine_place_start(word) - 1));
	rig_take_soon(&board, SOON_NS);
	rig_kill(pid);
	tine_board_close(&board);
}

/* The real thing, in a pid namespace whose next pid can be chosen. */
static void reuse_a_pid(void)
{
	char last[16];
	struct tine_board board;
	int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
	pid_t pid, again;

	rig_join(&board, "reuse-real", 3);
	pid = rig_member(&board, hold_three);
	rig_await(&rig_word[0], 1);
	rig_kill(pid);
	usleep(30000); /* start times are ticks of 10 ms */
	snprintf(last, sizeof(last), "%d", (int)pid - 1);
	if (fd < 0 || write(fd, last, strlen(last)) < 0)
		_exit(CHECK_SKIPPED);
	again = fork();
	if (again == 0) {
		rig_end_with_parent();
		rig_sleep_for_ever();
	}
	if (again != pid)
		_exit(CHECK_SKIPPED);
	rig_take_soon(&board, SOON_NS);
	rig_kill(again);
	_exit(0);
}

TEST(a_pid_that_was_really_used_again)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		rig_end_with_parent();
		reuse_a_pid();
	}
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CHECK_SKIPPED)
		SKIP("pids cannot be chosen here");
	CHECK_INT(status, ==, 0);
}

TEST(the_dead_of_another_namespace_are_not_ours_to_tell)
{
	struct tine_board board;
	pid_t pid;

	rig_join(&board, "namespace", 4);
	pid = rig_member(&board, hold_three);
	rig_await(&rig_word[0], 1);
	atomic_store(&board.map->members[1].pid_namespace, 1);
	rig_kill(pid);
	tine_board_reap(&board, true);
	CHECK_INT(rig_use(&board).taken, ==, 3);
	CHECK(!tine_segment_is_dead(board.map));
	tine_board_close(&board);
}

TEST(a_claim_that_was_cut_short_is_cleared)
{
	struct tine_board board;
	uint64_t word = tine_place_word(TINE_PLACE_CLAIMED, 7, 1 << 21, 99);

	rig_join(&board, "claim", 4);
	atomic_store(&board.map->members_used, 2);
	atomic_store(&board.map->members[1].word, word);
	atomic_store(&board.map->mixed, 1); /* perhaps it lives, where we cannot see it */
	tine_board_reap(&board, true);
	CHECK_INT(state_of(&board, 1), ==, TINE_PLACE_CLAIMED);
	atomic_store(&board.map->mixed, 0);
	tine_board_reap(&board, true);
	CHECK_INT(state_of(&board, 1), ==, TINE_PLACE_FREE);
	tine_board_close(&board);
}

TEST(what_a_reaper_left_behind_is_found)
{
	struct tine_board board;

	rig_join(&board, "strays", 3);
	atomic_store(&board.map->permits_used, 3);
	atomic_store(&board.map->permits[0], tine_owner_word(5, 3));
	atomic_store(&board.map->permits[1], tine_owner_word(board.place, 77));
	atomic_store(&board.map->permits[2], UINT64_C(0x7fffffffffffffff));
	atomic_store(&board.map->waiters[0].word, tine_owner_word(5, 3));
	atomic_store(&board.map->tokens[0].word, tine_stamped_word(tine_owner_word(5, 3), 0));
	CHECK_INT(tine_permit_take(&board, -1), ==, -1);
	for (int i = 0; i < 3; i++)
		rig_take_soon(&board, SOON_NS);
	CHECK_INT(atomic_load(&board.map->waiters[0].word), ==, 0);
	CHECK_INT(atomic_load(&board.map->tokens[0].word), ==, 0);
	tine_board_close(&board);
}

TEST(when_all_places_are_taken_nobody_joins)
{
	static struct tine_board boards[TINE_BOARD_MEMBERS + 1];

	rig_open(&boards[0], "full", 0);
	for (int i = 1; i <= TINE_BOARD_MEMBERS; i++)
		boards[i] = boards[0];
	for (int i = 0; i < TINE_BOARD_MEMBERS; i++) {
		CHECK_INT(tine_board_enlist(&boards[i]), ==, 0);
		tine_board_want(&boards[i]);
	}
	CHECK_INT(tine_board_enlist(&boards[TINE_BOARD_MEMBERS]), ==, -EAGAIN);
	CHECK_INT(boards[TINE_BOARD_MEMBERS].place, ==, -1);
	tine_board_unlist(&boards[99]);
	CHECK_INT(tine_board_enlist(&boards[TINE_BOARD_MEMBERS]), ==, 0);
	CHECK_INT(boards[TINE_BOARD_MEMBERS].place, ==, 99);
	tine_board_want(&boards[TINE_BOARD_MEMBERS]);
	CHECK_INT(tine_board_worker(&boards[TINE_BOARD_MEMBERS]), ==, 100);
}

/* ---- other programs ------------------------------------------------------------------------- */

void rig_act(const char *act, const char *argument)
{
	struct tine_board board;

	if (strcmp(act, "pause") == 0)
		rig_sleep_for_ever();
	rig_join(&board, argument, 0);
	CHECK_INT(rig_use(&board).own, ==, 0);
	for (int i = 0; i < 3; i++)
		rig_take_soon(&board, SOON_NS);
	tine_board_close(&board);
}

static void hold_and_execute(struct tine_board *board)
{
	rig_take(board, 3);
	atomic_store(&rig_word[0], 1);
	rig_execute("pause", "");
}

TEST(who_executes_another_program_gives_back)
{
	struct tine_board board;
	int64_t until_ns;
	pid_t pid;

	RIG_NEEDS_EXEC();
	rig_join(&board, "exec", 3);
	pid = rig_member(&board, hold_and_execute);
	rig_await(&rig_word[0], 1);
	until_ns = tine_clock_ns() + SOON_NS;
	while (state_of(&board, 1) != TINE_PLACE_PAST && tine_clock_ns() < until_ns)
		tine_board_reap(&board, true);
	for (int i = 0; i < 3; i++)
		rig_take_soon(&board, SOON_NS);
	/* The place stays, by which the new program finds the board, and goes with it. */
	CHECK_INT(state_of(&board, 1), ==, TINE_PLACE_PAST);
	rig_kill(pid);
	tine_board_reap(&board, true);
	CHECK_INT(state_of(&board, 1), ==, TINE_PLACE_FREE);
	tine_board_close(&board);
}

static void hold_and_join_again(struct tine_board *board)
{
	rig_take(board, 3);
	rig_execute("join", "again");
}

TEST(the_new_program_takes_over_from_the_old_one)
{
	struct tine_board board;

	RIG_NEEDS_EXEC();
	rig_join(&board, "again", 3);
	check_child(rig_member(&board, hold_and_join_again));
	CHECK_INT(state_of(&board, 1), ==, TINE_PLACE_FREE);
	tine_board_close(&board);
}

CHECK_TABLE(T(workers_have_the_lowest_free_number), T(a_child_is_a_member_of_its_own),
	    T(a_child_that_does_not_join_takes_nothing_with_it),
	    T(the_heirs_of_a_removed_board_share_it),
	    T(after_a_double_fork_permits_follow_who_lives),
	    T(what_the_killed_had_comes_back_within_a_second), T(a_zombie_is_dead),
	    T(who_has_threads_left_is_alive), T(who_is_stopped_keeps_what_it_has),
	    T(a_pid_that_is_used_again_is_another_process), T(a_pid_that_was_really_used_again),
	    T(the_dead_of_another_namespace_are_not_ours_to_tell),
	    T(a_claim_that_was_cut_short_is_cleared), T(what_a_reaper_left_behind_is_found),
	    T(when_all_places_are_taken_nobody_joins), T(who_executes_another_program_gives_back),
	    T(the_new_program_takes_over_from_the_old_one))
