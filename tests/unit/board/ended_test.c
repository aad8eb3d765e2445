/* SPDX-License-Identifier: PostgreSQL */
/* Permits of sessions that the server has ended: taken from who sleeps, and from nobody else. */
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/netlink.h"
#include "unit/board/rig.h"

/* A connection, of which the test has the server's side. */
struct line {
	int client, server;
};

static int64_t long_ago_ns(void)
{
	return tine_clock_ns() - 5 * (int64_t)TINE_NS_PER_S;
}

static void need_netlink(void)
{
	int fd = tine_netlink_open();

	if (fd < 0)
		SKIP("the kernel tells nothing of sockets here");
	close(fd);
}

static struct line new_line(void)
{
	int ends[2];

	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), ==, 0);
	return (struct line){ ends[0], ends[1] };
}

static struct line new_tcp_line(int family)
{
	struct sockaddr_in6 inet6 = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
	struct sockaddr_in inet = { .sin_family = AF_INET };
	struct sockaddr *place =
		family == AF_INET ? (struct sockaddr *)&inet : (struct sockaddr *)&inet6;
	socklen_t bytes = family == AF_INET ? sizeof(inet) : sizeof(inet6);
	int listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct line line = { .client = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0) };

	inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (listener < 0 || bind(listener, place, bytes) < 0)
		SKIP("no such addresses here");
	CHECK_INT(listen(listener, 1), ==, 0);
	CHECK_INT(getsockname(listener, place, &bytes), ==, 0);
	CHECK_INT(connect(line.client, place, bytes), ==, 0);
	line.server = accept(listener, NULL, NULL);
	CHECK_INT(line.server, >=, 0);
	close(listener);
	return line;
}

/* Take a permit for a connection, which is idle for long then. */
static int park(struct tine_board *board, const struct line *line)
{
	int permit = rig_take(board, 1);
	struct tine_seat *seat = tine_permit_seat(board, permit);

	tine_seat_begin(seat, 0, long_ago_ns());
	tine_permit_tell_socket(board, permit, line->client);
	tine_seat_set(seat, TINE_SEAT_IDLE, long_ago_ns());
	return permit;
}

/* Two members, and a budget of one permit, which the first has. */
static void join(struct tine_board *sleeper, struct tine_board *needy, const char *name)
{
	need_netlink();
	rig_join(sleeper, name, 1);
	rig_join(needy, name, 0);
}

static int take_now(struct tine_board *needy)
{
	tine_board_reap(needy, true);
	return tine_permit_take(needy, -1);
}

static void leave(struct tine_board *sleeper, struct tine_board *needy)
{
	tine_board_close(needy);
	tine_board_close(sleeper);
}

/* ---- what is taken -------------------------------------------------------------------------- */

static void is_taken(struct line line, const char *name)
{
	struct tine_board sleeper, needy;
	int permit;

	join(&sleeper, &needy, name);
	permit = park(&sleeper, &line);
	CHECK_INT(take_now(&needy), ==, -1);
	close(line.server);
	CHECK_INT(take_now(&needy), ==, permit);
	CHECK(!tine_permit_is_own(&sleeper, permit) && tine_permit_is_own(&needy, permit));
	leave(&sleeper, &needy);
}

TEST(an_ended_session_gives_its_permit)
{
	is_taken(new_line(), "unix");
}

TEST(an_ended_session_over_tcp_gives_its_permit)
{
	is_taken(new_tcp_line(AF_INET), "tcp");
}

TEST(an_ended_session_over_tcp6_gives_its_permit)
{
	is_taken(new_tcp_line(AF_INET6), "tcp6");
}

/* What the server said last is still to be read, and the owner has not looked. */
TEST(a_farewell_that_nobody_read_hides_nothing)
{
	struct line unix_line = new_line(), tcp_line = new_tcp_line(AF_INET);

	CHECK_INT(write(unix_line.server, "E57P05", 6), ==, 6);
	CHECK_INT(write(tcp_line.server, "E57P05", 6), ==, 6);
	is_taken(unix_line, "unread");
	is_taken(tcp_line, "unread-tcp");
}

static void sleep_with_a_permit(struct tine_board *board)
{
	struct line line = { rig_word[1], rig_word[2] };

	park(board, &line);
	close(line.server);
	atomic_store(&rig_word[0], 1);
	rig_sleep_for_ever();
}

/* In another process, which is stopped besides. */
TEST(a_stopped_process_gives_its_permit)
{
	struct line line = new_line();
	struct tine_board board;
	pid_t pid;

	need_netlink();
	rig_join(&board, "stopped", 1);
	rig_word[1] = line.client;
	rig_word[2] = line.server;
	pid = rig_member(&board, sleep_with_a_permit);
	rig_await(&rig_word[0], 1);
	CHECK_INT(kill(pid, SIGSTOP), ==, 0);
	CHECK_INT(take_now(&board), ==, -1);
	close(line.server);
	CHECK_INT(take_now(&board), >=, 0);
	rig_kill(pid);
	tine_board_close(&board);
}

/* The one who has waited longest is called, as for any other permit. */
TEST(who_waits_is_called)
{
	struct tine_board sleeper, needy;
	struct line line = new_line();
	int waiter;

	join(&sleeper, &needy, "called");
	park(&sleeper, &line);
	waiter = tine_waiter_enter(&needy);
	CHECK_INT(tine_permit_take(&needy, waiter), ==, -1);
	close(line.server);
	tine_board_reap(&needy, true);
	CHECK_INT(atomic_load(tine_waiter_news(&needy, waiter)), ==, 1);
	CHECK_INT(tine_permit_take(&needy, waiter), >=, 0);
	tine_waiter_leave(&needy, waiter);
	leave(&sleeper, &needy);
}

TEST(more_than_are_looked_at_in_one_go)
{
	enum { COUNT = 300 };
	struct tine_board sleeper, needy;
	struct line lines[COUNT];
	int taken = 0;

	need_netlink();
	rig_join(&sleeper, "many", COUNT);
	rig_join(&needy, "many", 0);
	for (int i = 0; i < COUNT; i++) {
		lines[i] = new_line();
		park(&sleeper, &lines[i]);
	}
	close(lines[COUNT - 1].server);
	for (int i = 0; i < 3 && !taken; i++)
		taken = take_now(&needy) >= 0;
	CHECK(taken);
	for (int i = 0; i < COUNT - 1; i++)
		close(lines[i].server);
	for (int i = 0; i < 3; i++)
		tine_board_reap(&needy, true);
	rig_take(&needy, COUNT - 1);
	leave(&sleeper, &needy);
}

/* ---- what is not ---------------------------------------------------------------------------- */

TEST(what_is_in_use_is_left_alone)
{
	static const enum tine_seat_state others[] = { TINE_SEAT_NONE, TINE_SEAT_CONNECTING,
						       TINE_SEAT_BUSY, TINE_SEAT_CLOSING };
	struct tine_board sleeper, needy;
	struct line line = new_line();
	int permit;

	join(&sleeper, &needy, "busy");
	permit = park(&sleeper, &line);
	close(line.server);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		tine_seat_set(tine_permit_seat(&sleeper, permit), others[i], long_ago_ns());
		CHECK_INT(take_now(&needy), ==, -1);
	}
	/* Its owner may have it in hand, and not have looked yet. */
	tine_seat_set(tine_permit_seat(&sleeper, permit), TINE_SEAT_IDLE, tine_clock_ns());
	CHECK_INT(take_now(&needy), ==, -1);
	leave(&sleeper, &needy);
}

/* The client's side alone says nothing of the session. */
TEST(what_its_owner_has_shut_down_is_left_alone)
{
	struct line lines[2] = { new_line(), new_tcp_line(AF_INET) };

	for (int i = 0; i < 2; i++) {
		struct tine_board sleeper, needy;

		join(&sleeper, &needy, i ? "shut-tcp" : "shut");
		park(&sleeper, &lines[i]);
		CHECK_INT(shutdown(lines[i].client, SHUT_RDWR), ==, 0);
		CHECK_INT(take_now(&needy), ==, -1);
		leave(&sleeper, &needy);
	}
}

TEST(what_its_owner_did_not_tell_of_is_left_alone)
{
	struct tine_board sleeper, needy;

	join(&sleeper, &needy, "untold");
	tine_seat_set(tine_permit_seat(&sleeper, rig_take(&sleeper, 1)), TINE_SEAT_IDLE,
		      long_ago_ns());
	CHECK_INT(take_now(&needy), ==, -1);
	leave(&sleeper, &needy);
}

/* Another connection under the same permit: the old one's end is no news. */
TEST(a_permit_that_was_renewed_is_another_ones)
{
	struct tine_board sleeper, needy;
	struct line old = new_line(), new = new_line();
	int permit;

	join(&sleeper, &needy, "renewed");
	permit = park(&sleeper, &old);
	close(old.server);
	CHECK(tine_permit_renew(&sleeper, permit));
	/* The old socket is there, and its seat as it was. */
	CHECK_INT(take_now(&needy), ==, -1);
	tine_permit_tell_socket(&sleeper, permit, new.client);
	CHECK_INT(take_now(&needy), ==, -1);
	close(new.server);
	CHECK_INT(take_now(&needy), ==, permit);
	CHECK(!tine_permit_renew(&sleeper, permit));
	leave(&sleeper, &needy);
}

/* Who takes it next has not connected yet, and the seat still tells of the one before. */
TEST(the_next_owner_does_not_inherit_the_end)
{
	struct tine_board sleeper, needy, third;
	struct line line = new_line();
	int permit;

	join(&sleeper, &needy, "heir");
	rig_join(&third, "heir", 0);
	park(&sleeper, &line);
	close(line.server);
	permit = take_now(&needy);
	CHECK_INT(permit, >=, 0);
	tine_seat_set(tine_permit_seat(&needy, permit), TINE_SEAT_IDLE, long_ago_ns());
	CHECK_INT(take_now(&third), ==, -1);
	tine_board_close(&third);
	leave(&sleeper, &needy);
}

/* ---- its owner wakes up --------------------------------------------------------------------- */

TEST(who_lost_a_permit_gives_nothing_back)
{
	struct tine_board sleeper, needy;
	struct line line = new_line();
	int permit;

	join(&sleeper, &needy, "woken");
	permit = park(&sleeper, &line);
	close(line.server);
	CHECK_INT(take_now(&needy), ==, permit);
	tine_permit_give(&sleeper, permit, 0);
	CHECK(tine_permit_is_own(&needy, permit));
	CHECK_INT(tine_permit_take(&sleeper, -1), ==, -1);
	leave(&sleeper, &needy);
}

/* It may take it anew only when what it had before is done with: its two connections must not be
 * mistaken for one another. */
TEST(a_lost_permit_is_not_taken_twice)
{
	struct tine_board sleeper, needy;
	struct line line = new_line();
	int permit;

	join(&sleeper, &needy, "twice");
	permit = park(&sleeper, &line);
	close(line.server);
	CHECK_INT(take_now(&needy), ==, permit);
	tine_permit_give(&needy, permit, 0);
	CHECK_INT(tine_permit_take(&sleeper, -1), ==, -1);
	tine_permit_give(&sleeper, permit, 0);
	CHECK_INT(tine_permit_take(&sleeper, -1), ==, permit);
	leave(&sleeper, &needy);
}

static struct tine_board racing;
static _Atomic bool racing_ends;

static void *free_what_ended(void *unused)
{
	(void)unused;
	while (!atomic_load(&racing_ends))
		tine_board_reap(&racing, true);
	return NULL;
}

/* An owner that wakes up in the moment in which its permit is taken from it: it keeps it, for good,
 * or has lost it. */
TEST(of_owner_and_needy_one_wins)
{
	int rounds = check_is_valgrind() ? 20 : 2000, kept = 0;
	struct tine_board sleeper;
	pthread_t thread;

	join(&sleeper, &racing, "race");
	CHECK_INT(pthread_create(&thread, NULL, free_what_ended, NULL), ==, 0);
	for (int i = 0; i < rounds; i++) {
		struct line line = new_line();
		int permit = park(&sleeper, &line);
		bool renewed;

		close(line.server);
		/* At one time early, at another late. */
		for (int64_t until_ns = tine_clock_ns() + i % 32 * 5000;
		     tine_clock_ns() < until_ns;)
			continue;
		renewed = tine_permit_renew(&sleeper, permit);
		kept += renewed;
		for (int j = 0; j < 50; j++)
			CHECK_INT(tine_permit_is_own(&sleeper, permit), ==, renewed);
		tine_permit_give(&sleeper, permit, 0);
		close(line.client);
	}
	atomic_store(&racing_ends, true);
	pthread_join(thread, NULL);
	printf("# kept %d of %d\n", kept, rounds);
	leave(&sleeper, &racing);
}

CHECK_TABLE(T(an_ended_session_gives_its_permit), T(an_ended_session_over_tcp_gives_its_permit),
	    T(an_ended_session_over_tcp6_gives_its_permit),
	    T(a_farewell_that_nobody_read_hides_nothing), T(a_stopped_process_gives_its_permit),
	    T(who_waits_is_called), T(more_than_are_looked_at_in_one_go),
	    T(what_is_in_use_is_left_alone), T(what_its_owner_has_shut_down_is_left_alone),
	    T(what_its_owner_did_not_tell_of_is_left_alone),
	    T(a_permit_that_was_renewed_is_another_ones),
	    T(the_next_owner_does_not_inherit_the_end), T(who_lost_a_permit_gives_nothing_back),
	    T(a_lost_permit_is_not_taken_twice), T(of_owner_and_needy_one_wins))
