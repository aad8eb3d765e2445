/* SPDX-License-Identifier: PostgreSQL */
/*
 * Reading and writing with a limit of time, in clear text and through TLS, and the few messages
 * that begin a session.
 *
 * Locks: none. Fork: see the header.
 */
#include "doctor/database_wire.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#include "base/clock.h"

#define SSL_REQUEST_CODE 80877103
#define PROTOCOL_3 196608
#define MESSAGE_BYTES_MAX 8192 /* the start of a login is short */
#define MESSAGES_MAX 32        /* before the one that counts */

/* ---- bytes ---------------------------------------------------------------------------------- */

static int await(struct tine_wire *wire, short events)
{
	struct pollfd slot = { .fd = wire->fd, .events = events };
	int64_t now_ns = tine_clock_ns();

	if (now_ns >= wire->until_ns)
		return -ETIMEDOUT;
	if (poll(&slot, 1, tine_clock_poll_ms(wire->until_ns, now_ns)) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

int tine_wire_wait_ssl(struct tine_wire *wire, int result)
{
	int os_errno = errno;

	switch (SSL_get_error(wire->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return await(wire, POLLIN);
	case SSL_ERROR_WANT_WRITE:
		return await(wire, POLLOUT);
	case SSL_ERROR_ZERO_RETURN:
		return -ECONNRESET;
	case SSL_ERROR_SYSCALL:
		return os_errno ? -os_errno : -ECONNRESET;
	default:
		return -EPROTO;
	}
}

/* One call that is tried again as long as it only waits. @return bytes or -errno */
static ssize_t step(struct tine_wire *wire, void *bytes, size_t length, bool is_read)
{
	for (;;) {
		ssize_t moved;
		int rc;

		errno = 0;
		if (wire->ssl) {
			ERR_clear_error();
			moved = is_read ? SSL_read(wire->ssl, bytes, (int)length)
					: SSL_write(wire->ssl, bytes, (int)length);
		} else
			moved = is_read ? recv(wire->fd, bytes, length, 0)
					: send(wire->fd, bytes, length, MSG_NOSIGNAL);
		if (moved > 0)
			return moved;
		if (wire->ssl)
			rc = tine_wire_wait_ssl(wire, (int)moved);
		else if (moved == 0)
			rc = -ECONNRESET;
		else
			rc = errno == EAGAIN || errno == EINTR
				     ? await(wire, is_read ? POLLIN : POLLOUT)
				     : -errno;
		if (rc < 0)
			return rc;
	}
}

static int move(struct tine_wire *wire, void *bytes, size_t length, bool is_read)
{
	for (size_t at = 0; at < length;) {
		ssize_t moved = step(wire, (char *)bytes + at, length - at, is_read);

		if (moved < 0)
			return (int)moved;
		at += (size_t)moved;
	}
	return 0;
}

int tine_wire_read(struct tine_wire *wire, void *bytes, size_t length)
{
	return move(wire, bytes, length, true);
}

int tine_wire_write(struct tine_wire *wire, const void *bytes, size_t length)
{
	/* Not written to: is_read is false. */
	return move(wire, (void *)(uintptr_t)bytes, length, false);
}

/* ---- messages ------------------------------------------------------------------------------- */

static void put_number(unsigned char *to, uint32_t number)
{
	for (int i = 0; i < 4; i++)
		to[i] = (unsigned char)(number >> (24 - 8 * i));
}

static uint32_t get_number(const unsigned char *from)
{
	return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

int tine_wire_ask_tls(struct tine_wire *wire, char *ret_answer)
{
	unsigned char request[8];
	char more;
	int rc;

	put_number(request, sizeof(request));
	put_number(request + 4, SSL_REQUEST_CODE);
	rc = tine_wire_write(wire, request, sizeof(request));
	if (rc == 0)
		rc = tine_wire_read(wire, ret_answer, 1);
	/* Whatever follows the answer was written by somebody who is not encrypted. */
	if (rc == 0 && *ret_answer == 'S' && recv(wire->fd, &more, 1, MSG_PEEK | MSG_DONTWAIT) == 1)
		return -EPROTO;
	return rc;
}

static size_t add(unsigned char *packet, size_t size, size_t at, const char *text)
{
	size_t length = strlen(text) + 1;

	if (at + length > size - 1)
		return at;
	memcpy(packet + at, text, length);
	return at + length;
}

static int send_startup(struct tine_wire *wire, const char *user, const char *dbname,
			const char *keyword)
{
	unsigned char packet[2048] = { 0 };
	const char *const words[] = {
		"user", user, "database", *dbname ? dbname : user, keyword, keyword ? "1" : NULL,
	};
	size_t at = 8;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (words[i])
			at = add(packet, sizeof(packet), at, words[i]);
	packet[at++] = '\0';
	put_number(packet, (uint32_t)at);
	put_number(packet + 4, PROTOCOL_3);
	return tine_wire_write(wire, packet, at);
}

/* One message; its body gets a NUL behind it. @return its length or -errno */
static int read_message(struct tine_wire *wire, char *ret_kind, unsigned char *body, size_t size)
{
	unsigned char head[5] = { 0 };
	uint32_t length;
	int rc = tine_wire_read(wire, head, sizeof(head));

	if (rc < 0)
		return rc;
	*ret_kind = (char)head[0];
	length = get_number(head + 1);
	if (length < 4 || length - 4 >= size)
		return -EPROTO;
	rc = tine_wire_read(wire, body, length - 4);
	body[length - 4] = '\0';
	return rc < 0 ? rc : (int)(length - 4);
}

/* Fields of an error: a letter and a text each. */
static void read_error(const unsigned char *body, size_t length, struct tine_greeting *greeting)
{
	for (size_t at = 0; at < length && body[at];) {
		const char *text = (const char *)body + at + 1;

		if (body[at] == 'C')
			snprintf(greeting->sqlstate, sizeof(greeting->sqlstate), "%s", text);
		if (body[at] == 'M')
			snprintf(greeting->message, sizeof(greeting->message), "%s", text);
		at += 2 + strlen(text);
	}
}

static void read_method(const unsigned char *body, size_t length, struct tine_greeting *greeting)
{
	size_t written = 0;

	if (length < 4) {
		greeting->kind = '\0';
		snprintf(greeting->message, sizeof(greeting->message),
			 "a request to log in that is too short");
		return;
	}
	greeting->method = get_number(body);
	for (size_t at = 4; greeting->method == 10 && at < length && body[at];) {
		const char *name = (const char *)body + at;

		if (written + strlen(name) + 3 < sizeof(greeting->mechanisms))
			written += (size_t)snprintf(greeting->mechanisms + written,
						    sizeof(greeting->mechanisms) - written, "%s%s",
						    written ? ", " : "", name);
		at += strlen(name) + 1;
	}
}

static bool is_ahead(char kind)
{
	return kind == 'N' || kind == 'S' || kind == 'v';
}

void tine_wire_greet(struct tine_wire *wire, const char *user, const char *dbname,
		     const char *keyword, struct tine_greeting *ret_greeting)
{
	unsigned char body[MESSAGE_BYTES_MAX] = { 0 };
	char kind = 'N';
	int rc = send_startup(wire, user, dbname, keyword);

	*ret_greeting = (struct tine_greeting){ 0 };
	for (int i = 0; rc >= 0 && is_ahead(kind) && i < MESSAGES_MAX; i++)
		rc = read_message(wire, &kind, body, sizeof(body));
	if (rc < 0)
		snprintf(ret_greeting->message, sizeof(ret_greeting->message), "%s",
			 rc == -EPROTO ? "what came is not PostgreSQL's" : strerror(-rc));
	else if (kind != 'R' && kind != 'E')
		snprintf(ret_greeting->message, sizeof(ret_greeting->message),
			 "what came is no answer to a login");
	else
		ret_greeting->kind = kind;
	if (ret_greeting->kind == 'R')
		read_method(body, (size_t)rc, ret_greeting);
	wire->is_in = ret_greeting->kind == 'R' && ret_greeting->method == 0;
	if (ret_greeting->kind == 'E')
		read_error(body, (size_t)rc, ret_greeting);
}

void tine_wire_close(struct tine_wire *wire)
{
	static const unsigned char terminate[] = { 'X', 0, 0, 0, 4 };

	if (wire->fd < 0)
		return;
	/* As far as there is room; nobody waits for it. Who was asked for a password just leaves,
	 * as clients do that have to ask for it: then the server writes nothing into its log. */
	if (wire->is_in)
		tine_wire_write(wire, terminate, sizeof(terminate));
	if (wire->ssl) {
		SSL_shutdown(wire->ssl);
		SSL_free(wire->ssl);
	}
	close(wire->fd);
	*wire = (struct tine_wire){ .fd = -1 };
}
