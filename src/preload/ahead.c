/* SPDX-License-Identifier: PostgreSQL */
#include "preload/ahead.h"

#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/hot.h"
#include "fork/origin.h"

#define PLACES 64
#define STATEMENT_BYTES 512

static struct tine_ahead places[PLACES] = { [0 ... PLACES - 1] = { .fd = -1 } };

_Atomic unsigned tine_ahead_end TINE_HOT;
__thread int tine_ahead_flags;

/* ---- places --------------------------------------------------------------------------------- */

/* The lowest, so that few have to be looked at. */
static struct tine_ahead *claim(const struct tine_ahead_line *line)
{
	for (unsigned i = 0; i < PLACES; i++) {
		struct tine_ahead *ahead = &places[i];
		int nobody = -1;

		if (!atomic_compare_exchange_strong(&ahead->fd, &nobody, line->fd))
			continue;
		ahead->header_bytes = 0;
		ahead->left = 0;
		ahead->passes = ahead->has_failed = false;
		atomic_store(&ahead->ssl, line->ssl);
		for (unsigned end = atomic_load(&tine_ahead_end); end <= i;)
			if (atomic_compare_exchange_weak(&tine_ahead_end, &end, i + 1))
				break;
		return ahead;
	}
	return NULL;
}

/* The end never comes down: somebody may have claimed a place below it meanwhile. */
static void leave(struct tine_ahead *ahead)
{
	atomic_store(&ahead->ssl, NULL);
	atomic_store(&ahead->fd, -1);
}

static struct tine_ahead *find(int fd)
{
	unsigned end = atomic_load(&tine_ahead_end);

	for (unsigned i = 0; i < end; i++)
		if (atomic_load_explicit(&places[i].fd, memory_order_relaxed) == fd)
			return &places[i];
	return NULL;
}

bool tine_ahead_is_due(int fd)
{
	return tine_ahead_any() && fd >= 0 && find(fd);
}

void tine_ahead_forget(int fd)
{
	struct tine_ahead *ahead;

	if (!tine_ahead_any() || fd < 0 || tine_origin_is_borrowed())
		return;
	ahead = find(fd);
	if (ahead)
		leave(ahead);
}

void tine_ahead_in_child(void)
{
	for (unsigned i = 0; i < PLACES; i++)
		leave(&places[i]);
	atomic_store(&tine_ahead_end, 0);
}

struct tine_ahead *tine_ahead_of_tls(const void *ssl)
{
	unsigned end = atomic_load(&tine_ahead_end);

	for (unsigned i = 0; i < end; i++)
		if (atomic_load_explicit(&places[i].ssl, memory_order_relaxed) == ssl)
			return &places[i];
	return NULL;
}

struct tine_ahead *tine_ahead_of_socket(int fd)
{
	struct tine_ahead *ahead = fd >= 0 ? find(fd) : NULL;

	return ahead && !atomic_load_explicit(&ahead->ssl, memory_order_relaxed) ? ahead : NULL;
}

/* ---- there ---------------------------------------------------------------------------------- */

static ssize_t write_all(const struct tine_ahead_line *line, const void *bytes, size_t length)
{
	ssize_t sent;

	tine_ahead_flags = line->may_wait ? MSG_MORE : 0;
	sent = line->ssl ? line->write(line->ssl, bytes, (int)length)
			 : send(line->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
	tine_ahead_flags = 0;
	return sent;
}

/* libpq has set it for each connection; to set it again pushes. */
void tine_ahead_push(int fd)
{
	int yes = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

int tine_ahead_send(const struct tine_ahead_line *line, const char *sql)
{
	size_t sql_bytes = strlen(sql) + 1, length = TINE_AHEAD_HEADER + sql_bytes;
	uint32_t counted = htobe32((uint32_t)(length - 1)); /* all but the type */
	char message[TINE_AHEAD_HEADER + STATEMENT_BYTES] = "Q";
	struct tine_ahead *ahead;

	if (sql_bytes > STATEMENT_BYTES || line->fd < 0)
		return 0;
	ahead = claim(line);
	if (!ahead)
		return 0;
	memcpy(message + 1, &counted, sizeof(counted));
	memcpy(message + TINE_AHEAD_HEADER, sql, sql_bytes);
	if (write_all(line, message, length) == (ssize_t)length)
		return 1;
	leave(ahead);
	return -1;
}

/* ---- and back ------------------------------------------------------------------------------- */

/* A header is complete. @return false when such a message does not answer a reset */
static bool begin_message(struct tine_ahead *ahead)
{
	static const char known[] = { 'C', 'T', 'D', 'I', 'N', 'A', 'S', 'Z' };
	uint32_t counted;

	memcpy(&counted, ahead->header + 1, sizeof(counted));
	counted = be32toh(counted);
	if (counted < sizeof(counted) || !memchr(known, ahead->header[0], sizeof(known)))
		return false;
	ahead->left = counted - (uint32_t)sizeof(counted);
	ahead->passes = ahead->header[0] == 'S';
	return true;
}

struct passage {
	char *to;
	const char *from, *end;
};

static void pass(struct passage *passage, const void *bytes, size_t length)
{
	memmove(passage->to, bytes, length);
	passage->to += length;
}

/* @return false: more has to come, or what came is no answer to a reset */
static bool take_header(struct tine_ahead *ahead, struct passage *passage)
{
	if (ahead->header_bytes == TINE_AHEAD_HEADER)
		return true;
	ahead->header[ahead->header_bytes++] = (uint8_t)*passage->from++;
	if (ahead->header_bytes < TINE_AHEAD_HEADER)
		return false;
	ahead->has_failed = !begin_message(ahead);
	if (ahead->passes)
		pass(passage, ahead->header, TINE_AHEAD_HEADER);
	return !ahead->has_failed;
}

/* @return is the message complete? */
static bool take_body(struct tine_ahead *ahead, struct passage *passage)
{
	size_t here = (size_t)(passage->end - passage->from);

	if (here > ahead->left)
		here = ahead->left;
	if (ahead->passes)
		pass(passage, passage->from, here);
	passage->from += here;
	ahead->left -= (uint32_t)here;
	return ahead->left == 0;
}

ssize_t tine_ahead_take(struct tine_ahead *ahead, char *bytes, size_t length, bool *ret_is_over)
{
	struct passage passage = {
		.to = bytes,
		.from = bytes + TINE_AHEAD_ROOM,
		.end = bytes + TINE_AHEAD_ROOM + length,
	};

	*ret_is_over = false;
	while (passage.from < passage.end && !ahead->has_failed) {
		if (!take_header(ahead, &passage) || !take_body(ahead, &passage))
			continue;
		ahead->header_bytes = 0;
		if (ahead->header[0] == 'Z') {
			pass(&passage, passage.from, (size_t)(passage.end - passage.from));
			*ret_is_over = true;
			leave(ahead);
			return passage.to - bytes;
		}
	}
	if (!ahead->has_failed)
		return passage.to - bytes;
	errno = ECONNRESET;
	return -1;
}

ssize_t tine_ahead_read(struct tine_ahead *ahead, tine_ahead_read_fn *read, const void *context,
			char *bytes, size_t size)
{
	bool is_over = false;
	int fd;

	do {
		char *place = bytes + TINE_AHEAD_ROOM;
		ssize_t length = read(context, place, size - TINE_AHEAD_ROOM, &fd);

		if (length <= 0)
			return length;
		/* Another connection: its SSL object has the address of one that is no more. */
		if (fd >= 0 && fd != atomic_load(&ahead->fd)) {
			leave(ahead);
			memmove(bytes, place, (size_t)length);
			return length;
		}
		length = tine_ahead_take(ahead, bytes, (size_t)length, &is_over);
		if (length != 0)
			return length;
	} while (!is_over);
	return read(context, bytes, size, &fd);
}
