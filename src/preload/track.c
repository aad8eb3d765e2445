/* SPDX-License-Identifier: PostgreSQL */
#include "preload/track.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <string.h>
#include <sys/stat.h>

#include "fork/origin.h"
#include "preload/ahead.h"
#include "preload/bind.h"
#include "preload/fdtable.h"
#include "preload/guard.h"
#include "preload/known.h"
#include "preload/tls.h"
#include "preload/wire.h"

/* A ClientHello fits; a start that is longer is judged by this much of it. */
#define GATHER_BYTES 2048

#define ENCRYPTED (TINE_FD_POSTGRES | TINE_FD_TLS | TINE_FD_LOOK_SEND | TINE_FD_LOOK_RECV)

/* glibc 2.35 and later; lock-free and async-signal-safe, unlike dladdr(). */
#pragma weak _dl_find_object

static void set_word(struct tine_fd_entry *entry, uint64_t word)
{
	atomic_store_explicit(&entry->word, word, memory_order_relaxed);
}

/* Keep who and what it is, replace what is known of its conversation. */
static void set_state(struct tine_fd_entry *entry, uint64_t word, uint64_t state)
{
	uint64_t identity = word >> TINE_FD_INODE_SHIFT << TINE_FD_INODE_SHIFT;

	set_word(entry, identity | (word & TINE_FD_LIBPQ) | state);
}

static bool disabled;

void tine_track_disable(void)
{
	disabled = true;
}

static bool called_by_libpq(void *caller)
{
	struct dl_find_object found;

	return _dl_find_object && _dl_find_object(caller, &found) == 0 &&
	       tine_bind_is_libpq(found.dlfo_link_map->l_name);
}

/* A socket that libpq makes will be PostgreSQL's; nothing has to be waited for. */
static uint64_t libpq_socket(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return TINE_FD_QUIET;
	return (uint64_t)st.st_ino << TINE_FD_INODE_SHIFT | TINE_FD_CONNECTED | TINE_FD_LOOK_SEND |
	       TINE_FD_NAMED | TINE_FD_LIBPQ;
}

void tine_track_made(int fd, void *caller)
{
	int saved_errno = errno;
	struct tine_fd_entry *entry =
		disabled || tine_origin_is_borrowed() ? NULL : tine_fd_make(fd);

	tine_ahead_forget(fd);
	if (entry) {
		entry->start_length = 0;
		set_word(entry, called_by_libpq(caller) ? libpq_socket(fd) : TINE_FD_QUIET);
	}
	errno = saved_errno;
}

static bool already_begun(uint64_t word, ino_t inode)
{
	return (word & TINE_FD_STATE_MASK) > TINE_FD_QUIET && word >> TINE_FD_INODE_SHIFT == inode;
}

void tine_track_connect(int fd, const struct sockaddr *address, socklen_t length, void *caller)
{
	int saved_errno = errno;
	struct tine_fd_entry *entry = NULL;
	uint64_t flags = TINE_FD_CONNECTED | TINE_FD_LOOK_SEND;
	struct stat st;

	if (!disabled && !tine_origin_is_borrowed() && fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode))
		entry = tine_fd_make(fd);
	/* A non-blocking connect() may be called again to learn how it went. */
	if (entry && !already_begun(entry->word, st.st_ino)) {
		if (called_by_libpq(caller))
			flags |= TINE_FD_LIBPQ | TINE_FD_NAMED;
		else if (tine_known_address(address, length))
			flags |= TINE_FD_NAMED;
		entry->start_length = 0;
		set_word(entry, (uint64_t)st.st_ino << TINE_FD_INODE_SHIFT | flags);
	}
	errno = saved_errno;
}

void tine_track_connect_failed(int fd)
{
	int saved_errno = errno;
	struct tine_fd_entry *entry = tine_fd_find(fd);

	if (entry && (entry->word & TINE_FD_STATE_MASK) == TINE_FD_CONNECTED &&
	    !tine_origin_is_borrowed())
		set_word(entry, TINE_FD_QUIET);
	errno = saved_errno;
}

static size_t gather(uint8_t *buf, size_t size, const struct iovec *parts, size_t count)
{
	size_t length = 0;

	for (size_t i = 0; i < count && length < size; i++) {
		size_t bytes = parts[i].iov_len < size - length ? parts[i].iov_len : size - length;

		memcpy(buf + length, parts[i].iov_base, bytes);
		length += bytes;
	}
	return length;
}

static void learn_peer(int fd)
{
	struct sockaddr_storage peer = { 0 };
	socklen_t length = sizeof(peer);

	if (getpeername(fd, (struct sockaddr *)&peer, &length) == 0)
		tine_known_learn((struct sockaddr *)&peer, length);
}

/* What a verdict on the first bytes makes of an entry; 0 = not decided yet. */
static uint64_t state_after(enum tine_wire_verdict verdict, bool named)
{
	switch (verdict) {
	case TINE_WIRE_NEGOTIATION:
		return TINE_FD_POSTGRES | TINE_FD_LOOK_SEND;
	case TINE_WIRE_PLAIN:
		return TINE_FD_POSTGRES | TINE_FD_LOOK_SEND | TINE_FD_LOOK_RECV | TINE_FD_TX_BUSY;
	case TINE_WIRE_TLS_NAMED:
		return ENCRYPTED;
	case TINE_WIRE_TLS:
		return named ? ENCRYPTED : TINE_FD_OTHER;
	case TINE_WIRE_OTHER:
		return TINE_FD_OTHER;
	case TINE_WIRE_SHORT:
		break;
	}
	return 0;
}

/* After SSLRequest or GSSENCRequest: another request, a start in the clear, or encrypted records.
 */
static void judge_second_start(struct tine_fd_entry *entry, uint64_t word, const uint8_t *bytes,
			       size_t length)
{
	enum tine_wire_verdict verdict = tine_wire_judge(bytes, length);

	if (verdict == TINE_WIRE_PLAIN)
		set_state(entry, word, state_after(verdict, true));
	else if (verdict != TINE_WIRE_NEGOTIATION)
		set_state(entry, word, ENCRYPTED);
}

static void judge_first_start(int fd, struct tine_fd_entry *entry, uint64_t word,
			      const uint8_t *bytes, size_t length)
{
	uint8_t start[sizeof(entry->start) + GATHER_BYTES];
	uint64_t state;

	memcpy(start, entry->start, entry->start_length);
	memcpy(start + entry->start_length, bytes, length);
	state = state_after(tine_wire_judge(start, entry->start_length + length),
			    word & TINE_FD_NAMED);
	if (!state)
		return;
	set_state(entry, word, state);
	if ((state & TINE_FD_STATE_MASK) != TINE_FD_POSTGRES)
		return;
	if (word & TINE_FD_INHERITED)
		tine_guard_sever_late(fd);
	else
		learn_peer(fd);
}

/* Is the dead end still there, or has the number been reused behind our back? */
static bool is_severed(int fd, uint64_t word)
{
	return (word & TINE_FD_STATE_MASK) == TINE_FD_SEVERED && tine_fd_holds(fd, word);
}

/* Of an encrypted connection nothing is said until a reply has been seen in the clear. */
static void note_request(struct tine_fd_entry *entry, uint64_t word)
{
	if (word & TINE_FD_TX_MASK)
		set_word(entry, (word & ~TINE_FD_TX_MASK) | TINE_FD_TX_BUSY);
}

bool tine_track_send(int fd, const struct iovec *parts, size_t count)
{
	int saved_errno = errno;
	struct tine_fd_entry *entry = tine_fd_find(fd);
	uint64_t word = entry->word, state = word & TINE_FD_STATE_MASK;
	uint8_t bytes[GATHER_BYTES];
	size_t length;

	if (word & TINE_FD_LOOK_RECV) {
		note_request(entry, word);
		return true;
	}
	length = gather(bytes, sizeof(bytes), parts, count);
	if (length && !tine_origin_is_borrowed()) {
		if (state == TINE_FD_CONNECTED)
			judge_first_start(fd, entry, word, bytes, length);
		else if (state == TINE_FD_POSTGRES)
			judge_second_start(entry, word, bytes, length);
	}
	errno = saved_errno;
	return !is_severed(fd, entry->word);
}

void tine_track_sent(int fd, const struct iovec *parts, size_t count, ssize_t sent)
{
	struct tine_fd_entry *entry = tine_fd_find(fd);
	size_t room = sizeof(entry->start) - entry->start_length, length;

	if (sent <= 0 || (entry->word & TINE_FD_STATE_MASK) != TINE_FD_CONNECTED ||
	    tine_origin_is_borrowed())
		return;
	length = gather(entry->start + entry->start_length, room, parts, count);
	entry->start_length += (uint8_t)(length < (size_t)sent ? length : (size_t)sent);
}

static void note_transaction(struct tine_fd_entry *entry, const void *bytes, size_t length)
{
	char status = tine_wire_transaction(bytes, length);

	if (status)
		set_word(entry, (entry->word & ~TINE_FD_TX_MASK) |
					(status == 'I' ? TINE_FD_TX_IDLE : TINE_FD_TX_OPEN));
}

void tine_track_received(int fd, const void *bytes, size_t length)
{
	struct tine_fd_entry *entry = tine_fd_find(fd);

	if (entry->word & TINE_FD_TLS)
		tine_tls_note_socket(fd);
	else
		note_transaction(entry, bytes, length);
}

void tine_track_decrypted(int fd, const void *bytes, size_t length)
{
	struct tine_fd_entry *entry = tine_fd_find(fd);

	if (entry && (entry->word & TINE_FD_TLS) && (entry->word & TINE_FD_LOOK_RECV))
		note_transaction(entry, bytes, length);
}

void tine_track_leave(int fd)
{
	struct tine_fd_entry *entry = tine_fd_find(fd);
	uint64_t word = entry ? entry->word : TINE_FD_UNKNOWN;

	if ((word & TINE_FD_STATE_MASK) == TINE_FD_POSTGRES)
		set_word(entry, word & ~(TINE_FD_LOOK_SEND | TINE_FD_LOOK_RECV | TINE_FD_TX_MASK));
}

void tine_track_say(int fd, ino_t inode, uint64_t transaction)
{
	struct tine_fd_entry *entry = tine_fd_find(fd);
	uint64_t word = entry ? entry->word : TINE_FD_UNKNOWN;

	if ((word & TINE_FD_STATE_MASK) == TINE_FD_POSTGRES &&
	    word >> TINE_FD_INODE_SHIFT == inode)
		set_word(entry, (word & ~TINE_FD_TX_MASK) | transaction);
}

void tine_track_copy(int fd, int to)
{
	int saved_errno = errno;
	uint64_t word = tine_fd_word(fd) & ~TINE_FD_LIBPQ;
	struct tine_fd_entry *entry;

	tine_ahead_forget(to);
	if ((word || tine_fd_word(to)) && !tine_origin_is_borrowed()) {
		entry = tine_fd_make(to);
		if (entry) {
			entry->start_length = 0;
			set_word(entry, word);
		}
	}
	errno = saved_errno;
}

static bool has_to_stay(int fd, uint64_t word, void *caller)
{
	return (word & TINE_FD_LIBPQ) && !called_by_libpq(caller) && is_severed(fd, word) &&
	       !tine_origin_is_borrowed();
}

bool tine_track_close(int fd, void *caller)
{
	int saved_errno = errno;
	struct tine_fd_entry *entry = tine_fd_find(fd);
	bool stays = has_to_stay(fd, entry->word, caller);

	tine_ahead_forget(fd);
	if (!stays && !tine_origin_is_borrowed())
		set_word(entry, TINE_FD_UNKNOWN);
	errno = saved_errno;
	return !stays;
}

uint64_t tine_track_close_range(unsigned first, unsigned last, void *caller)
{
	const uint64_t numbers = (uint64_t)TINE_FD_LEAF * (uint64_t)tine_fd_leaves_end;

	for (uint64_t fd = first; fd <= last && fd < numbers; fd++) {
		struct tine_fd_entry *entry = tine_fd_find((int)fd);

		if (!entry)
			fd |= TINE_FD_LEAF - 1;
		else if (entry->word && !tine_track_close((int)fd, caller))
			return fd;
	}
	return (uint64_t)last + 1;
}
