/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the guard says about a fork. The program runs itself again with other settings and reads the
 * log.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "preload/peers.h"
#include "support/check.h"

#define READY_IN_TRANSACTION "Z\0\0\0\5T"
#define READY_IDLE "Z\0\0\0\5I"

static char log_path[] = "/tmp/tine-log-XXXXXX";

static const char *content(void)
{
	static char buf[8192];
	int fd = open(log_path, O_RDONLY);
	ssize_t length = read(fd, buf, sizeof(buf) - 1);

	CHECK_INT(length, >=, 0);
	buf[length] = '\0';
	close(fd);
	return buf;
}

/* Run one of the scenes below in a fresh process with these settings. @return what was logged */
static const char *logged(const char *scene, const char *quiet, const char *verbose)
{
	int fd = mkstemp(log_path);
	pid_t pid;

	CHECK_INT(fd, >=, 0);
	close(fd);
	pid = fork();
	if (pid == 0) {
		setenv("TINE_LOG", log_path, 1);
		setenv("TINE_QUIET", quiet, 1);
		setenv("TINE_VERBOSE", verbose, 1);
		execl("/proc/self/exe", "log_test", "--scene", scene, NULL);
		_exit(2);
	}
	check_child(pid);
	return content();
}

static void fork_once(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	check_child(pid);
}

static struct pair plain(const char *last_reply, size_t length)
{
	struct pair pair = tcp_pair(AF_INET, HOOKED, NULL);
	char got[64];

	SAY(pair.client, START_PLAIN);
	if (length) {
		say(pair.server, last_reply, length);
		CHECK_INT(recv(pair.client, got, sizeof(got), 0), ==, length);
	}
	return pair;
}

static void scene_states(void)
{
	plain(READY_IDLE, 6);
	plain(READY_IN_TRANSACTION, 6);
	plain("", 0);
	SAY(tcp_pair(AF_INET6, HOOKED, NULL).client, START_SSL);
	fork_once();
}

static void scene_idle(void)
{
	plain(READY_IDLE, 6);
	fork_once();
}

static void scene_nothing(void)
{
	fork_once();
}

/* A unix socket's name is the peer's to choose. */
static void scene_evil_name(void)
{
	static const char name[] = "\0evil\nname\x1b[31m/.s.PGSQL.1";

	connect_pair(listen_unix(name, sizeof(name) - 1), HOOKED);
	fork_once();
}

static int play(const char *scene)
{
	if (!strcmp(scene, "states"))
		scene_states();
	if (!strcmp(scene, "idle"))
		scene_idle();
	if (!strcmp(scene, "nothing"))
		scene_nothing();
	if (!strcmp(scene, "evil name"))
		scene_evil_name();
	return 0;
}

static int lines(const char *text)
{
	int count = 0;

	for (; *text; text++)
		count += *text == '\n';
	return count;
}

TEST(says_one_line_with_all_facts)
{
	const char *log = logged("states", "0", "0");

	CHECK_INT(lines(log), ==, 1);
	CHECK_CONTAINS(log, "] fork: parent ");
	CHECK_CONTAINS(log, "severed 4 inherited PostgreSQL connections (127.0.0.1:");
	CHECK_CONTAINS(log, "[::1]:");
	CHECK_CONTAINS(log, ", 1 in a transaction");
	CHECK_CONTAINS(log, ", 1 in the middle of a request");
	CHECK_CONTAINS(log, ", 1 whose transaction state is not visible");
	unlink(log_path);
}

TEST(says_when_none_was_in_a_transaction)
{
	CHECK_CONTAINS(logged("idle", "0", "0"), "none in a transaction");
	unlink(log_path);
}

TEST(is_silent_without_postgres)
{
	CHECK_STR(logged("nothing", "0", "0"), "");
	unlink(log_path);
}

TEST(is_silent_when_quiet)
{
	CHECK_STR(logged("idle", "1", "0"), "");
	unlink(log_path);
}

TEST(says_more_when_verbose)
{
	const char *log = logged("nothing", "0", "1");

	CHECK_INT(lines(log), ==, 2);
	CHECK_CONTAINS(log, "guard: watching log_test");
	CHECK_CONTAINS(log, "severed 0 inherited PostgreSQL connections");
	unlink(log_path);
}

TEST(lets_no_control_byte_through)
{
	const char *log = logged("evil name", "0", "0");

	CHECK_INT(lines(log), ==, 1);
	CHECK_CONTAINS(log, "@evil?name?[31m/.s.PGSQL.1");
	unlink(log_path);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		T(says_one_line_with_all_facts), T(says_when_none_was_in_a_transaction),
		T(is_silent_without_postgres),   T(is_silent_when_quiet),
		T(says_more_when_verbose),       T(lets_no_control_byte_through),
	};

	if (argc == 3 && strcmp(argv[1], "--scene") == 0)
		return play(argv[2]);
	return check_main(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
