/* SPDX-License-Identifier: PostgreSQL */
/* The files that boards are in: whose they are, when they are made and removed, and who finds which
 * one. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "base/clock.h"
#include "unit/board/rig.h"

static const char *directory(void)
{
	return getenv("TINE_BOARD_DIRECTORY");
}

static int try_open(const char *name, char error[300])
{
	struct tine_board_spec spec = { .name = name, .budget = 1 };
	struct tine_board board;
	int rc = tine_board_open(&board, &spec, error, 300);

	if (rc == 0)
		tine_board_close(&board);
	return rc;
}

static ino_t inode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_ino : 0;
}

static bool count_one(const char *path, void *count)
{
	(void)path;
	++*(int *)count;
	return true;
}

static int boards_there(void)
{
	int count = 0;

	tine_segment_each(directory(), count_one, &count);
	return count;
}

TEST(names_are_checked)
{
	static const char *const bad[] = { "", ".", ".hidden", "a/b", "a b", "a\n", "\xc3\xa4" };
	char error[300], longest[65];

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		CHECK(!tine_board_name_is_good(bad[i]));
		CHECK_INT(try_open(bad[i], error), ==, -EINVAL);
	}
	memset(longest, 'a', sizeof(longest));
	longest[64] = '\0';
	CHECK(!tine_board_name_is_good(longest));
	longest[63] = '\0';
	CHECK(tine_board_name_is_good(longest));
	CHECK(tine_board_name_is_good("shop-web_1.blue"));
}

TEST(nobody_else_can_read_it)
{
	struct tine_board board;
	struct stat st;
	char error[300];

	rig_join(&board, "private", 1);
	CHECK_INT(stat(board.path, &st), ==, 0);
	CHECK_INT(st.st_mode & 07777, ==, 0600);
	CHECK_INT(st.st_size, ==, sizeof(struct tine_board_layout));
	CHECK_INT(st.st_blocks * 512, >=, st.st_size);
	CHECK_INT(stat(directory(), &st), ==, 0);
	CHECK_INT(st.st_mode & 07777, ==, 0700);
	CHECK_INT(chmod(board.path, 0640), ==, 0);
	CHECK_INT(try_open("private", error), ==, -EPERM);
	tine_board_close(&board);
}

static void check_directory_refused(const char *path)
{
	char error[300];

	setenv("TINE_BOARD_DIRECTORY", path, 1);
	CHECK_INT(try_open("ours", error), ==, -EPERM);
	CHECK_CONTAINS(error, path);
	CHECK_CONTAINS(error, "not this user's own");
}

TEST(a_directory_that_is_not_ours_alone_is_refused)
{
	char path[200], target[210];

	snprintf(path, sizeof(path), "%s-other", directory());
	snprintf(target, sizeof(target), "%s-link", path);
	CHECK_INT(mkdir(path, 0755), ==, 0);
	CHECK_INT(symlink(directory(), target), ==, 0);
	check_directory_refused(path);
	check_directory_refused(target);
	chmod(path, 0700);
	if (geteuid() == 0) {
		CHECK_INT(chown(path, 65534, 65534), ==, 0);
		check_directory_refused(path);
	}
	unlink(target);
	rmdir(path);
}

static bool say(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool said = fd >= 0 && write(fd, text, strlen(text)) > 0;

	if (fd >= 0)
		close(fd);
	return said;
}

/* A mount of ours alone; as an ordinary user, in a namespace where we are root. */
static bool mount_small(const char *path)
{
	char users[32], groups[32];
	uid_t user = geteuid();

	snprintf(users, sizeof(users), "0 %u 1", user);
	snprintf(groups, sizeof(groups), "0 %u 1", getegid());
	if (unshare(user ? CLONE_NEWUSER | CLONE_NEWNS : CLONE_NEWNS) < 0)
		return false;
	if (user && !(say("/proc/self/uid_map", users) && say("/proc/self/setgroups", "deny") &&
		      say("/proc/self/gid_map", groups)))
		return false;
	return mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("tmpfs", path, "tmpfs", 0, "size=256k,mode=0700") == 0;
}

TEST(a_full_file_system_is_an_error_at_once)
{
	char error[300], command[200];

	if (!mount_small(directory()))
		SKIP("no file system can be mounted here");
	CHECK_INT(try_open("full", error), ==, -ENOSPC);
	CHECK_CONTAINS(error, "no room in shared memory");
	snprintf(command, sizeof(command), "test -z \"$(ls -A '%s')\"", directory());
	CHECK_INT(system(command), ==, 0);
}

static int nothing;

static void interrupted(int sig)
{
	(void)sig;
	nothing++;
}

TEST(signals_do_not_keep_a_board_from_being_made)
{
	struct itimerval often = { { 0, 200 }, { 0, 200 } }, never = { 0 };
	struct sigaction action = { .sa_handler = interrupted };
	char error[300];

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int i = 0; i < 20; i++)
		CHECK_INT(try_open("signals", error), ==, 0);
	setitimer(ITIMER_REAL, &never, NULL);
	CHECK_INT(nothing, >, 0);
}

TEST(a_short_file_is_no_board)
{
	struct tine_board board;
	char error[300];

	rig_join(&board, "short", 1);
	tine_segment_unmap(board.map);
	CHECK_INT(truncate(board.path, 4096), ==, 0);
	CHECK_INT(try_open("short", error), ==, -EPROTO);
	CHECK_INT(truncate(board.path, sizeof(struct tine_board_layout)), ==, 0);
	CHECK_INT(try_open("short", error), ==, 0);
	unlink(board.path);
}

TEST(a_link_or_a_fifo_is_no_board)
{
	char path[200], error[300];

	snprintf(path, sizeof(path), "%s/link.board", directory());
	CHECK_INT(symlink("/dev/zero", path), ==, 0);
	CHECK_INT(try_open("link", error), ==, -ELOOP);
	unlink(path);
	snprintf(path, sizeof(path), "%s/fifo.board", directory());
	CHECK_INT(mkfifo(path, 0600), ==, 0);
	CHECK_INT(try_open("fifo", error), ==, -EPERM);
	unlink(path);
}

TEST(another_layout_is_refused_with_what_to_do)
{
	struct tine_board board;
	char error[300];

	rig_join(&board, "layout", 1);
	board.map->layout++;
	CHECK_INT(try_open("layout", error), ==, -EPROTO);
	CHECK_CONTAINS(error, "another version of tine");
	CHECK_CONTAINS(error, "another name");
	board.map->layout--;
	board.map->magic ^= 1;
	CHECK_INT(try_open("layout", error), ==, -EPROTO);
	board.map->magic ^= 1;
	tine_board_close(&board);
}

TEST(a_board_of_before_the_last_boot_is_replaced)
{
	struct tine_board old, board;
	ino_t inode;

	rig_join(&old, "boot", 1);
	old.map->boot ^= 1;
	inode = inode_of(old.path);
	rig_join(&board, "boot", 1);
	CHECK(inode_of(board.path) != inode);
	rig_take(&board, 1);
	tine_board_close(&board);
}

TEST(who_cannot_tell_the_boot_removes_nothing)
{
	struct tine_board board;

	rig_join(&board, "unknown", 1);
	board.map->boot = 0;
	CHECK(!tine_segment_is_of_other_boot(board.map));
	CHECK(!tine_segment_remove_if_dead(board.path, board.map));
	tine_board_close(&board);
}

static void end_at_once(struct tine_board *board)
{
	(void)board;
}

/* As if it had been made an hour ago. */
static void age(struct tine_board *board)
{
	atomic_store(&board->map->made_ns, tine_clock_ns() - 3600 * (int64_t)TINE_NS_PER_S);
}

TEST(boards_of_dead_trees_are_collected)
{
	struct tine_board dead, alive, young;
	pid_t pid;

	rig_open(&dead, "dead", 1);
	pid = rig_member(&dead, end_at_once);
	check_child(pid);
	age(&dead);
	rig_join(&alive, "alive", 1);
	age(&alive);
	rig_open(&young, "young", 1);
	tine_segment_collect(directory());
	CHECK_INT(inode_of(dead.path), ==, 0);
	CHECK_INT(inode_of(alive.path), !=, 0);
	CHECK_INT(inode_of(young.path), !=, 0);
	/* Who has it mapped is told when it joins. */
	CHECK_INT(tine_board_enlist(&dead), ==, -ESTALE);
	CHECK_INT(dead.place, ==, -1);
	tine_board_close(&alive);
	tine_board_close(&young);
	CHECK_INT(boards_there(), ==, 0);
}

TEST(a_board_that_may_have_members_elsewhere_is_kept)
{
	struct tine_board board;

	rig_open(&board, "elsewhere", 1);
	age(&board);
	atomic_store(&board.map->pid_namespace, 1);
	tine_segment_collect(directory());
	CHECK_INT(inode_of(board.path), !=, 0);
	unlink(board.path);
}

TEST(drafts_of_the_killed_are_collected)
{
	struct timespec long_ago[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
	char old[200], fresh[200];

	snprintf(old, sizeof(old), "%s/old.board.0123", directory());
	snprintf(fresh, sizeof(fresh), "%s/new.board.0123", directory());
	close(open(old, O_CREAT | O_WRONLY, 0600));
	close(open(fresh, O_CREAT | O_WRONLY, 0600));
	utimensat(AT_FDCWD, old, long_ago, 0);
	tine_segment_collect(directory());
	CHECK_INT(access(old, F_OK), ==, -1);
	CHECK_INT(access(fresh, F_OK), ==, 0);
	unlink(fresh);
}

TEST(the_last_member_removes_it)
{
	struct tine_board one, two;

	rig_join(&one, "last", 1);
	rig_join(&two, "last", 0);
	tine_board_close(&one);
	CHECK_INT(access(two.path, F_OK), ==, 0);
	CHECK_INT(rig_use(&two).budget, ==, 1);
	tine_board_close(&two);
	CHECK_INT(access(two.path, F_OK), ==, -1);
	tine_board_close(&two);
}

TEST(a_new_board_of_the_name_is_not_removed_for_the_old_one)
{
	struct tine_board old, board;

	rig_join(&old, "same", 1);
	unlink(old.path);
	rig_join(&board, "same", 1);
	tine_board_close(&old);
	CHECK_INT(access(board.path, F_OK), ==, 0);
	tine_board_close(&board);
}

TEST(a_mark_of_death_that_is_not_true_is_taken_away)
{
	struct tine_board one, two;

	rig_join(&one, "marked", 1);
	atomic_store(&one.map->dead, 1); /* who set it was killed before it looked again */
	rig_join(&two, "marked", 0);
	CHECK_INT(inode_of(one.path), ==, one.map->inode);
	CHECK_INT(two.map->inode, ==, one.map->inode);
	tine_board_close(&two);
	tine_board_close(&one);
}

/* One budget of a name, however boards come and go: who holds the only permit is alone. */
static void come_and_go(void)
{
	for (int i = 0; i < 150; i++) {
		struct tine_board board;
		int rc;

		rig_open(&board, "flicker", 1);
		rc = tine_board_enlist(&board);
		if (rc == 0 && tine_permit_take(&board, -1) >= 0) {
			CHECK_INT(atomic_fetch_add(&rig_word[0], 1), ==, 0);
			atomic_fetch_add(&rig_word[1], 1);
			sched_yield();
			atomic_fetch_sub(&rig_word[0], 1);
			tine_permit_give(&board, 0, 0);
		} else {
			CHECK(rc == 0 || rc == -ESTALE);
		}
		tine_board_close(&board);
	}
	_exit(0);
}

TEST(two_masters_of_a_name_share_one_budget_always)
{
	pid_t pids[6];

	for (int i = 0; i < 6; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			come_and_go();
	}
	for (int i = 0; i < 6; i++)
		check_child(pids[i]);
	CHECK_INT(atomic_load(&rig_word[1]), >=, 20);
}

/* ---- found by the tree ---------------------------------------------------------------------- */

void rig_act(const char *act, const char *argument)
{
	struct tine_board board;

	rig_join(&board, NULL, 9);
	if (strcmp(act, "find") == 0) {
		CHECK_STR(board.path, argument);
		CHECK_INT(rig_use(&board).budget, ==, 4);
		CHECK_INT(rig_use(&board).taken, ==, 3);
	} else if (strcmp(act, "again") == 0) {
		CHECK_STR(board.path, argument);
		CHECK_INT(rig_use(&board).budget, ==, 4);
	} else {
		CHECK(strcmp(board.path, argument) != 0);
		CHECK_INT(rig_use(&board).budget, ==, 9);
	}
	tine_board_close(&board);
}

static void execute_without_descriptors(const char *act, const char *path)
{
	pid_t pid = fork();

	if (pid == 0) {
		close_range(3, ~0U, 0);
		rig_execute(act, path);
	}
	check_child(pid);
}

TEST(a_program_that_is_executed_finds_the_board_of_its_tree)
{
	struct tine_board board;

	RIG_NEEDS_EXEC();
	rig_join(&board, NULL, 4);
	rig_take(&board, 3);
	execute_without_descriptors("find", board.path);
	tine_board_close(&board);
	CHECK_INT(access(board.path, F_OK), ==, -1);
}

TEST(a_board_with_a_name_is_not_found_without_it)
{
	struct tine_board board;

	RIG_NEEDS_EXEC();
	rig_join(&board, "named", 4);
	execute_without_descriptors("miss", board.path);
	tine_board_close(&board);
}

/* The parent is no member, so the child finds it by what itself was. */
TEST(who_executes_another_program_finds_its_own_board_again)
{
	struct tine_board board;
	pid_t pid;

	RIG_NEEDS_EXEC();
	pid = fork();
	if (pid == 0) {
		rig_join(&board, NULL, 4);
		age(&board);
		rig_execute("again", board.path);
	}
	check_child(pid);
	CHECK_INT(boards_there(), ==, 0);
}

TEST(two_trees_have_two_boards)
{
	struct tine_board board;
	pid_t pid = fork();

	if (pid == 0) {
		rig_join(&board, NULL, 4);
		atomic_store(&rig_word[0], 1);
		rig_await(&rig_word[1], 1);
		CHECK_INT(rig_use(&board).budget, ==, 4);
		_exit(0);
	}
	rig_await(&rig_word[0], 1);
	rig_join(&board, NULL, 7);
	CHECK_INT(rig_use(&board).budget, ==, 7);
	atomic_store(&rig_word[1], 1);
	check_child(pid);
	tine_board_close(&board);
}

CHECK_TABLE(T(names_are_checked), T(nobody_else_can_read_it),
	    T(a_directory_that_is_not_ours_alone_is_refused),
	    T(a_full_file_system_is_an_error_at_once),
	    T(signals_do_not_keep_a_board_from_being_made), T(a_short_file_is_no_board),
	    T(a_link_or_a_fifo_is_no_board), T(another_layout_is_refused_with_what_to_do),
	    T(a_board_of_before_the_last_boot_is_replaced),
	    T(who_cannot_tell_the_boot_removes_nothing), T(boards_of_dead_trees_are_collected),
	    T(a_board_that_may_have_members_elsewhere_is_kept),
	    T(drafts_of_the_killed_are_collected), T(the_last_member_removes_it),
	    T(a_new_board_of_the_name_is_not_removed_for_the_old_one),
	    T(a_mark_of_death_that_is_not_true_is_taken_away),
	    T(two_masters_of_a_name_share_one_budget_always),
	    T(a_program_that_is_executed_finds_the_board_of_its_tree),
	    T(a_board_with_a_name_is_not_found_without_it),
	    T(who_executes_another_program_finds_its_own_board_again), T(two_trees_have_two_boards))
