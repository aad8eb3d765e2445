/* SPDX-License-Identifier: PostgreSQL */
/* What processes share of the status page, and the name that tine-web listens at: whoever writes at
 * the same time, is killed in the middle, or writes nonsense. */
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>

#include "base/clock.h"
#include "support/check.h"
#include "support/valgrind.h"
#include "web/history.h"
#include "web/socket.h"

/* ---- the history ---------------------------------------------------------------------------- */

static struct tine_sample samples[TINE_HISTORY_SAMPLES];

static int64_t second(int number)
{
	return (number + 1) * (int64_t)TINE_NS_PER_S;
}

TEST(the_history_keeps_the_newest_once_a_second)
{
	struct tine_history *history = tine_history_new();
	struct tine_view view = { .path = "/a" }, other = { .path = "/b" };

	for (int i = 0; i < TINE_HISTORY_SAMPLES + 10; i++) {
		view.held = i;
		tine_history_add(history, &view, NULL, second(i));
		tine_history_add(history, &view, NULL, second(i) + TINE_NS_PER_S / 2);
	}
	CHECK_INT(tine_history_get(history, &view, 0, samples), ==, TINE_HISTORY_SAMPLES);
	CHECK_INT(samples[0].held, ==, 10);
	CHECK_INT(samples[TINE_HISTORY_SAMPLES - 1].held, ==, TINE_HISTORY_SAMPLES + 9);
	CHECK_INT(samples[0].opened, ==, -1);
	CHECK_INT(tine_history_get(history, &view, samples[0].at_ms, samples), ==,
		  TINE_HISTORY_SAMPLES - 1);
	CHECK_INT(tine_history_get(history, &other, 0, samples), ==, 0);
	tine_history_free(history);
}

TEST(a_tree_that_is_gone_makes_room_for_another)
{
	struct tine_history *history = tine_history_new();
	struct tine_view view = { 0 };

	for (int i = 0; i < TINE_HISTORY_TREES + 1; i++) {
		snprintf(view.path, sizeof(view.path), "/%d", i);
		tine_history_add(history, &view, NULL, second(0));
		tine_history_add(history, &view, NULL, second(1));
	}
	CHECK_INT(tine_history_get(history, &view, 0, samples), ==, 0);
	tine_history_add(history, &view, NULL, second(100));
	CHECK_INT(tine_history_get(history, &view, 0, samples), ==, 1);
	tine_history_free(history);
}

TEST(who_dies_while_writing_holds_up_nobody)
{
	struct tine_history *history = tine_history_new();
	struct tine_view view = { .path = "/a" };
	int64_t began_ns;

	for (int round = 0; round < 20; round++) {
		pid_t child = fork();

		if (child == 0)
			for (int i = 0;; i++)
				tine_history_add(history, &view, NULL, second(i));
		usleep(1000 + (useconds_t)round * 300);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	began_ns = tine_clock_ns();
	tine_history_add(history, &view, NULL, INT64_MAX - 1);
	CHECK_INT(tine_history_get(history, &view, second(0), samples), >=, 1);
	CHECK_INT(tine_clock_ns() - began_ns, <, 20 * (int64_t)TINE_NS_PER_S);
	tine_history_free(history);
}

/* The bytes of a mapping, from its beginning. */
static size_t size_of_mapping(const void *mapping)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	size_t size = 0;

	while (fgets(line, sizeof(line), maps)) {
		char *rest;
		uintptr_t begin = strtoul(line, &rest, 16), end = strtoul(rest + 1, NULL, 16);

		if (begin == (uintptr_t)mapping)
			size = end - begin;
	}
	fclose(maps);
	return size;
}

/* Workers share it, and one of them may be anybody's by now. */
TEST(whatever_a_worker_writes_into_the_history_harms_nobody)
{
	static const int bytes[] = { 0xff, 0x7f, 0x80, 0x01, 0x00 };
	struct tine_history *history = tine_history_new();
	struct tine_view view = { .path = "/a" };
	size_t size = size_of_mapping(history);

	CHECK(size > 0);
	for (int round = 0; round < 5; round++) {
		pid_t child = fork();

		if (child == 0) {
			memset(history, bytes[round], size);
			_exit(0);
		}
		check_child(child);
		for (int i = 0; i < 3; i++)
			tine_history_add(history, &view, NULL, second(1000 * (round + 1) + i));
		CHECK_INT(tine_history_get(history, &view, 0, samples), ==, 3);
		CHECK_INT(samples[2].at_ms, ==, second(1000 * (round + 1) + 2) / TINE_NS_PER_MS);
	}
	tine_history_free(history);
}

static void write_seconds(struct tine_history *history, int seconds)
{
	struct tine_view view = { .path = "/a" };

	for (int i = 0; i < seconds; i++) {
		view.held = view.budget = view.waiters_count = i;
		tine_history_add(history, &view, NULL, second(i));
	}
}

/* @return how many there are, each as one process wrote it, in order */
static int check_samples(struct tine_history *history)
{
	struct tine_view view = { .path = "/a" };
	int count = tine_history_get(history, &view, 0, samples);

	for (int i = 0; i < count; i++) {
		CHECK_INT(samples[i].at_ms, ==, second(samples[i].held) / TINE_NS_PER_MS);
		CHECK_INT(samples[i].held, ==, samples[i].budget);
		CHECK_INT(samples[i].held, ==, samples[i].waiting);
		CHECK(i == 0 || samples[i].at_ms > samples[i - 1].at_ms);
	}
	return count;
}

TEST(a_sample_is_read_whole_or_not_at_all)
{
	struct tine_history *history = tine_history_new();
	int count, seconds = check_is_valgrind() ? 20000 : 2000000;
	pid_t child = fork();

	if (child == 0) {
		write_seconds(history, seconds);
		_exit(0);
	}
	while (waitpid(child, NULL, WNOHANG) == 0)
		check_samples(history);
	count = check_samples(history);
	CHECK_INT(count, >, 0);
	CHECK_INT(samples[count - 1].held, ==, seconds - 1);
	tine_history_free(history);
}

/* Fewer than there are places: that one is overtaken by a whole round takes 15 minutes. */
TEST(many_who_write_at_once_do_not_mix)
{
	enum { WRITERS = 4, SECONDS = TINE_HISTORY_SAMPLES / WRITERS };
	struct tine_history *history = tine_history_new();
	pid_t children[WRITERS];
	int count;

	for (int w = 0; w < WRITERS; w++) {
		children[w] = fork();
		if (children[w])
			continue;
		write_seconds(history, SECONDS);
		_exit(0);
	}
	for (int w = 0; w < WRITERS; w++)
		check_child(children[w]);
	count = check_samples(history);
	CHECK_INT(count, >, 0);
	CHECK_INT(samples[count - 1].held, ==, SECONDS - 1);
	tine_history_free(history);
}

/* ---- sockets -------------------------------------------------------------------------------- */

/* Between its bind and its listen one looks like a file that nobody has any more. */
TEST(a_socket_is_bound_by_who_has_the_lock)
{
	char directory[] = "/tmp/tine-web-test-XXXXXX", path[64], text[80], error[200];
	int64_t began_ns = tine_clock_ns();
	struct tine_address address;
	struct tine_socket listener;
	int lock, seen = 0;
	pid_t child;

	CHECK(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/web.sock", directory);
	snprintf(text, sizeof(text), "unix:%s", path);
	CHECK_INT(tine_address_read(text, &address, error, sizeof(error)), ==, 0);
	lock = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_INT(flock(lock, LOCK_EX), ==, 0);
	child = fork();
	if (child == 0) {
		close(lock);
		_exit(tine_socket_open(&address, &listener, error, sizeof(error)) == 0 ? 0 : 1);
	}
	while (tine_clock_ns() - began_ns < TINE_NS_PER_S / 2) {
		seen += access(path, F_OK) == 0;
		usleep(10000);
	}
	/* It waits no longer than 2 s; on a machine that held us up so long nothing can be said. */
	CHECK(seen == 0 || tine_clock_ns() - began_ns > TINE_NS_PER_S);
	close(lock);
	check_child(child);
	CHECK_INT(access(path, F_OK), ==, 0);
	unlink(path);
	rmdir(directory);
}

CHECK_TABLE(T(the_history_keeps_the_newest_once_a_second),
	    T(a_tree_that_is_gone_makes_room_for_another),
	    T(who_dies_while_writing_holds_up_nobody),
	    T(whatever_a_worker_writes_into_the_history_harms_nobody),
	    T(a_sample_is_read_whole_or_not_at_all), T(many_who_write_at_once_do_not_mix),
	    T(a_socket_is_bound_by_who_has_the_lock))
