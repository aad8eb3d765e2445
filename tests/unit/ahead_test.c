/* SPDX-License-Identifier: PostgreSQL */
#include "preload/ahead.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fork/origin.h"
#include "support/check.h"

#define DONE "C\0\0\0\x10" "DISCARD ALL\0"
#define READY "Z\0\0\0\x5I"
#define NOTICE "N\0\0\0\x8" "abcd"
#define STATUS "S\0\0\0\xb" "name\0v\0"
#define ROWS "T\0\0\0\x6\0\0" "D\0\0\0\x6\0\0"
#define NEXT "T\0\0\0\x6\0\1" "C\0\0\0\x5\0" READY

static int pair[2];

/* A connection that has been sent a reset; what it was sent is checked. */
static struct tine_ahead *begin(void)
{
	static const char asked[] = "Q\0\0\0\x10" "DISCARD ALL";
	struct tine_ahead_line line;
	struct tine_ahead *ahead;
	char bytes[64];

	tine_origin_init();
	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), ==, 0);
	line = (struct tine_ahead_line){ .fd = pair[0] };
	CHECK(!tine_ahead_is_due(pair[0]));
	CHECK_INT(tine_ahead_send(&line, "DISCARD ALL"), ==, 1);
	CHECK_INT(read(pair[1], bytes, sizeof(bytes)), ==, sizeof(asked));
	CHECK(memcmp(bytes, asked, sizeof(asked)) == 0);
	CHECK(tine_ahead_any() && tine_ahead_is_due(pair[0]));
	ahead = tine_ahead_of_socket(pair[0]);
	CHECK(ahead);
	return ahead;
}

static void end(void)
{
	tine_ahead_forget(pair[0]);
	CHECK(!tine_ahead_is_due(pair[0]));
	close(pair[0]);
	close(pair[1]);
}

/* What is libpq's of what comes in pieces of these lengths, the last of them again and again. */
static size_t take(const char *bytes, size_t length, size_t first, size_t each, char *ret)
{
	struct tine_ahead *ahead = begin();
	size_t at = 0, got = 0, piece = first;
	bool is_over = false;

	while (at < length) {
		char room[TINE_AHEAD_ROOM + 256];
		ssize_t here;

		if (piece > length - at)
			piece = length - at;
		memset(room, '?', sizeof(room));
		memcpy(room + TINE_AHEAD_ROOM, bytes + at, piece);
		here = (ssize_t)piece;
		if (!is_over)
			here = tine_ahead_take(ahead, room, piece, &is_over);
		else
			memmove(room, room + TINE_AHEAD_ROOM, piece);
		CHECK_INT(here, >=, 0);
		memcpy(ret + got, room, (size_t)here);
		got += (size_t)here;
		at += piece;
		piece = each;
	}
	CHECK(is_over && !tine_ahead_is_due(pair[0]));
	end();
	return got;
}

TEST(answer_is_taken_wherever_it_is_cut)
{
	static const char come[] = NOTICE STATUS ROWS DONE STATUS READY NEXT STATUS;
	static const char libpqs[] = STATUS STATUS NEXT STATUS;
	const size_t length = sizeof(come) - 1;
	char got[256];

	for (size_t first = 1; first <= length; first++)
		for (size_t each = 1; each <= length; each += 6) {
			CHECK_INT(take(come, length, first, each, got), ==, sizeof(libpqs) - 1);
			CHECK(memcmp(got, libpqs, sizeof(libpqs) - 1) == 0);
		}
}

static int break_with(const char *bytes, size_t length)
{
	struct tine_ahead *ahead = begin();
	char room[TINE_AHEAD_ROOM + 64];
	bool is_over;
	int error;

	memcpy(room + TINE_AHEAD_ROOM, bytes, length);
	errno = 0;
	CHECK_INT(tine_ahead_take(ahead, room, length, &is_over), ==, -1);
	error = errno;
	/* nor is what comes behind it anybody's */
	memcpy(room + TINE_AHEAD_ROOM, READY, sizeof(READY) - 1);
	CHECK_INT(tine_ahead_take(ahead, room, sizeof(READY) - 1, &is_over), ==, -1);
	CHECK(tine_ahead_is_due(pair[0]));
	end();
	return error;
}

TEST(what_is_no_answer_to_a_reset_breaks_the_connection)
{
	static const char error[] = "E\0\0\0\x9SERR\0" READY;
	static const char copy[] = "G\0\0\0\7\0\0\0";
	static const char brief[] = "C\0\0\0\3";
	static const char nothing[] = "\0\0\0\0\4";

	CHECK_INT(break_with(error, sizeof(error) - 1), ==, ECONNRESET);
	CHECK_INT(break_with(copy, sizeof(copy) - 1), ==, ECONNRESET);
	CHECK_INT(break_with(brief, sizeof(brief) - 1), ==, ECONNRESET);
	CHECK_INT(break_with(nothing, sizeof(nothing) - 1), ==, ECONNRESET);
}

/* ---- reading it ------------------------------------------------------------------------------ */

struct feed {
	const char *const *pieces; /* the length, then the bytes; NULL: nothing more */
	int fd;
};

static int fed;

static ssize_t feed(const void *context, void *bytes, size_t size, int *ret_fd)
{
	const struct feed *feed = context;
	const char *piece = feed->pieces[fed];

	*ret_fd = feed->fd;
	if (!piece) {
		errno = EAGAIN;
		return -1;
	}
	fed++;
	CHECK_INT(*piece, <=, size);
	memcpy(bytes, piece + 1, (size_t)*piece);
	return *piece;
}

static ssize_t read_fed(struct tine_ahead *ahead, const struct feed *from, char ret[128])
{
	fed = 0;
	return tine_ahead_read(ahead, feed, from, ret, 128);
}

TEST(reads_on_until_there_is_something_for_libpq)
{
	static const char *const pieces[] = { "\3C\0\0", "\x0e\0\x10" "DISCARD ALL\0",
					      "\6" READY, "\4abcd", NULL };
	struct tine_ahead *ahead = begin();
	char got[128];

	CHECK_INT(read_fed(ahead, &(struct feed){ pieces, pair[0] }, got), ==, 4);
	CHECK(memcmp(got, "abcd", 4) == 0);
	CHECK_INT(fed, ==, 4);
	CHECK(!tine_ahead_is_due(pair[0]));
	end();
}

TEST(what_has_not_come_is_due)
{
	static const char *const pieces[] = { "\3C\0\0", NULL };
	struct tine_ahead *ahead = begin();
	char got[128];

	CHECK_INT(read_fed(ahead, &(struct feed){ pieces, pair[0] }, got), ==, -1);
	CHECK_INT(errno, ==, EAGAIN);
	CHECK(tine_ahead_is_due(pair[0]));
	end();
}

TEST(what_another_socket_brings_is_not_touched)
{
	static const char *const pieces[] = { "\6" READY, NULL };
	struct tine_ahead *ahead = begin();
	char got[128];

	CHECK_INT(read_fed(ahead, &(struct feed){ pieces, pair[1] }, got), ==, 6);
	CHECK(memcmp(got, READY, 6) == 0);
	CHECK(!tine_ahead_is_due(pair[0]));
	end();
}

/* ---- whose answer --------------------------------------------------------------------------- */

static char written[64];
static int written_bytes, written_flags, writes_most = (int)sizeof(written);

static int write_tls(void *ssl, const void *bytes, int length)
{
	CHECK(ssl == written);
	if (length > writes_most)
		return -1;
	memcpy(written, bytes, (size_t)length);
	written_bytes = length;
	written_flags = tine_ahead_flags;
	return length;
}

TEST(an_encrypted_one_is_known_by_its_object_alone)
{
	struct tine_ahead_line line = { .fd = 77, .ssl = written, .write = write_tls };

	tine_origin_init();
	CHECK_INT(tine_ahead_send(&line, "x"), ==, 1);
	CHECK_INT(written_bytes, ==, 7);
	CHECK(tine_ahead_is_due(77) && !tine_ahead_is_due(78) && !tine_ahead_is_due(-1));
	CHECK(tine_ahead_of_tls(written) && !tine_ahead_of_tls(&line));
	/* what its socket brings is encrypted */
	CHECK(!tine_ahead_of_socket(77));
	tine_ahead_forget(77);
	CHECK(!tine_ahead_of_tls(written));
}

TEST(what_may_wait_is_held_back)
{
	struct tine_ahead_line line = { .fd = 77, .ssl = written, .write = write_tls };

	tine_origin_init();
	CHECK_INT(tine_ahead_send(&line, "x"), ==, 1);
	CHECK_INT(written_flags, ==, 0);
	tine_ahead_forget(77);
	line.may_wait = true;
	CHECK_INT(tine_ahead_send(&line, "x"), ==, 1);
	CHECK_INT(written_flags, ==, MSG_MORE);
	CHECK_INT(tine_ahead_flags, ==, 0);
}

TEST(what_was_not_sent_is_not_awaited)
{
	struct tine_ahead_line line = { .fd = 77, .ssl = written, .write = write_tls };
	char text[600];

	writes_most = 6;
	CHECK_INT(tine_ahead_send(&line, "x"), ==, -1);
	CHECK(!tine_ahead_is_due(77));
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	CHECK_INT(tine_ahead_send(&line, text), ==, 0);
	line.fd = -1;
	CHECK_INT(tine_ahead_send(&line, "x"), ==, 0);
	writes_most = (int)sizeof(written);
}

TEST(when_all_places_are_taken_nothing_is_sent)
{
	struct tine_ahead_line line = { .fd = 1000, .ssl = written, .write = write_tls };
	int rc;

	tine_origin_init();
	while ((rc = tine_ahead_send(&line, "x")) == 1)
		line.fd++;
	CHECK_INT(rc, ==, 0);
	CHECK_INT(line.fd, >, 1030);
	tine_ahead_forget(1005);
	line.fd = 5000;
	CHECK_INT(tine_ahead_send(&line, "x"), ==, 1);
	CHECK(tine_ahead_is_due(5000) && tine_ahead_is_due(1004) && !tine_ahead_is_due(1005));
	tine_ahead_in_child();
	CHECK(!tine_ahead_any() && !tine_ahead_is_due(5000));
}

CHECK_TABLE(T(answer_is_taken_wherever_it_is_cut),
	    T(what_is_no_answer_to_a_reset_breaks_the_connection),
	    T(reads_on_until_there_is_something_for_libpq), T(what_has_not_come_is_due),
	    T(what_another_socket_brings_is_not_touched),
	    T(an_encrypted_one_is_known_by_its_object_alone), T(what_may_wait_is_held_back),
	    T(what_was_not_sent_is_not_awaited),
	    T(when_all_places_are_taken_nothing_is_sent))
