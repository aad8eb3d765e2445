/* SPDX-License-Identifier: PostgreSQL */
/*
 * What answers a reset past libpq, cut anywhere: what is libpq's is what a reader finds who has all
 * of it at once. The first byte says how long the pieces are.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "fork/origin.h"
#include "preload/ahead.h"

static int sent;

/* No connection is here. */
ssize_t send(int fd, const void *bytes, size_t length, int flags)
{
	(void)fd;
	(void)bytes;
	(void)flags;
	sent++;
	return (ssize_t)length;
}

static uint32_t length_at(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The plain way. @return how much is libpq's; -1 it was no answer to a reset */
static ssize_t read_whole(const uint8_t *bytes, size_t length, uint8_t *ret)
{
	size_t at = 0, got = 0;

	while (length - at >= TINE_AHEAD_HEADER) {
		size_t message = 1 + (size_t)length_at(bytes + at + 1);
		size_t here = message < length - at ? message : length - at;

		if (message < TINE_AHEAD_HEADER || !memchr("CTDINASZ", bytes[at], 8))
			return -1;
		if (bytes[at] == 'S') {
			memcpy(ret + got, bytes + at, here);
			got += here;
		}
		if (bytes[at] == 'Z' && here == message) {
			memcpy(ret + got, bytes + at + here, length - at - here);
			return (ssize_t)(got + length - at - here);
		}
		at += here;
	}
	return (ssize_t)got;
}

static ssize_t read_pieces(struct tine_ahead *ahead, const uint8_t *bytes, size_t length,
			   size_t piece, uint8_t *ret)
{
	bool is_over = false;
	size_t got = 0;

	for (size_t at = 0; at < length; at += piece) {
		size_t here = piece < length - at ? piece : length - at;
		ssize_t left = (ssize_t)here;
		/* exactly as large as it has to be */
		char *room = malloc(TINE_AHEAD_ROOM + here);

		memcpy(room + TINE_AHEAD_ROOM, bytes + at, here);
		if (!is_over)
			left = tine_ahead_take(ahead, room, here, &is_over);
		else
			memmove(room, room + TINE_AHEAD_ROOM, here);
		if (left > 0)
			memcpy(ret + got, room, (size_t)left);
		free(room);
		if (left < 0)
			return -1;
		got += (size_t)left;
	}
	return (ssize_t)got;
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	tine_origin_init();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct tine_ahead_line line = { .fd = 3 };
	uint8_t whole[8192], pieces[8192];
	ssize_t expected, got;

	if (size < 2 || size > sizeof(whole))
		return 0;
	if (tine_ahead_send(&line, "DISCARD ALL") != 1 || !sent)
		abort();
	expected = read_whole(data + 1, size - 1, whole);
	got = read_pieces(tine_ahead_of_socket(3), data + 1, size - 1, 1 + data[0], pieces);
	tine_ahead_forget(3);
	if (expected != got || (got > 0 && memcmp(whole, pieces, (size_t)got) != 0))
		abort();
	return 0;
}
