/* SPDX-License-Identifier: PostgreSQL */
#include "preload/tls.h"

#include <stdatomic.h>
#include <stddef.h>

#include "base/hot.h"
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

TINE_HOT_CODE
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

struct reading {
	struct copy *copy;
	void *own, *ssl;
};

static ssize_t read_for(const void *context, void *bytes, size_t size, int *ret_fd)
{
	const struct reading *reading = context;
	int length = read_once(reading->copy, reading->own, reading->ssl, bytes, (int)size);

	*ret_fd = socket_read;
	return length;
}

TINE_HOT_CODE
static int read_through(struct copy *copy, void *own, void *ssl, void *buffer, int size)
{
	struct tine_ahead *ahead = tine_ahead_any() ? tine_ahead_of_tls(ssl) : NULL;
	struct reading reading = { copy, own, ssl };

	if (ahead && size > TINE_AHEAD_ROOM)
		return (int)tine_ahead_read(ahead, read_for, &reading, buffer, (size_t)size);
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
