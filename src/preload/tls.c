/* SPDX-License-Identifier: PostgreSQL */
#include "preload/tls.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "preload/ahead.h"
#include "preload/track.h"

typedef int read_fn(void *ssl, void *buffer, int size);

#define COPIES 4 /* the system's libpq and those of a few wheels */

static struct copy {
	read_fn *_Atomic real;
	void **slot;
} copies[COPIES];
static atomic_uint copies_count;

/* What this thread read last, and through which SSL object. A record that did not fit into libpq's
 * buffer is handed out later without a look at the socket. */
static __thread int socket_read;
static __thread const void *last_ssl;
static __thread int last_socket;

void tine_tls_note_socket(int fd)
{
	socket_read = fd;
}

static int read_once(struct copy *copy, void *own, void *ssl, void *buffer, int size)
{
	int length;

	socket_read = -1;
	length = atomic_load_explicit(&copy->real, memory_order_relaxed)(ssl, buffer, size);
	if (*copy->slot != own) {
		/* It was the loader's stub, which has found the function and put it into the slot.
		 */
		atomic_store_explicit(&copy->real, (read_fn *)*copy->slot, memory_order_relaxed);
		*(void *volatile *)copy->slot = own;
	}
	if (socket_read >= 0) {
		last_ssl = ssl;
		last_socket = socket_read;
	}
	if (length > 0 && last_ssl == ssl)
		tine_track_decrypted(last_socket, buffer, (size_t)length);
	return length;
}

/* An SSL object of that address was another's, if its number was. */
static bool is_its_own(struct tine_ahead *ahead)
{
	int fd = atomic_load_explicit(&ahead->fd, memory_order_relaxed);

	if (socket_read < 0 || socket_read == fd)
		return true;
	tine_ahead_forget(fd);
	return false;
}

/* What is no answer of ours begins where it was read to, and is led to where libpq wants it. */
static int read_past(struct copy *copy, void *own, void *ssl, char *buffer, int size,
		     struct tine_ahead *ahead)
{
	do {
		int length = read_once(copy, own, ssl, buffer + TINE_AHEAD_ROOM,
				       size - TINE_AHEAD_ROOM);

		if (length <= 0)
			return length;
		if (!is_its_own(ahead)) {
			memmove(buffer, buffer + TINE_AHEAD_ROOM, (size_t)length);
			return length;
		}
		length = (int)tine_ahead_take(ahead, buffer, (size_t)length);
		if (length != 0)
			return length;
	} while (tine_ahead_goes_on(ahead));
	return read_once(copy, own, ssl, buffer, size);
}

static int read_through(struct copy *copy, void *own, void *ssl, void *buffer, int size)
{
	struct tine_ahead *ahead = tine_ahead_any() ? tine_ahead_of_tls(ssl) : NULL;

	if (ahead && size > TINE_AHEAD_ROOM)
		return read_past(copy, own, ssl, buffer, size, ahead);
	return read_once(copy, own, ssl, buffer, size);
}

/* One function for each copy, since the caller says nothing about which it is. */
#define READ_COPY(number)                                                                          \
	static int read_##number(void *ssl, void *buffer, int size)                                \
	{                                                                                          \
		return read_through(&copies[number], (void *)read_##number, ssl, buffer, size);    \
	}

READ_COPY(0)
READ_COPY(1)
READ_COPY(2)
READ_COPY(3)

static read_fn *const wrappers[COPIES] = { read_0, read_1, read_2, read_3 };

void *tine_tls_wrap_read(void **slot)
{
	unsigned number;

	for (unsigned i = 0; i < COPIES; i++)
		if (copies[i].slot == slot)
			return (void *)wrappers[i];
	number = atomic_fetch_add(&copies_count, 1);
	if (number >= COPIES)
		return NULL;
	copies[number].slot = slot;
	atomic_store(&copies[number].real, (read_fn *)*slot);
	return (void *)wrappers[number];
}

bool tine_tls_reads(void *const *slot)
{
	for (unsigned i = 0; i < COPIES; i++)
		if (copies[i].slot == slot)
			return *slot == (void *)wrappers[i];
	return false;
}
