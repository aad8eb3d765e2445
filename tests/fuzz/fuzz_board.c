/* SPDX-License-Identifier: PostgreSQL */
/*
 * Anything may be in the segment, behind what is checked when it is mapped: every function of
 * board.h has to end, and stay within it. The input says where which bytes go, so that a few bytes
 * reach all of it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "board/board.h"
#include "board/layout.h"
#include "board/permit.h"
#include "board/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static struct tine_board board;

/* What is checked when a file is mapped. */
static void keep_head(struct tine_board_layout *map)
{
	map->magic = TINE_BOARD_MAGIC;
	map->layout = TINE_BOARD_LAYOUT;
	map->size_bytes = sizeof(*map);
}

/* Pieces of 14 bytes: where, how often, how far apart, and the word that is put there. */
static void scatter(struct tine_board_layout *map, const uint8_t *bytes, size_t length)
{
	while (length >= 14) {
		uint32_t at;
		uint8_t times = bytes[4];

		memcpy(&at, bytes, sizeof(at));
		for (size_t i = 0; i <= times; i++) {
			size_t where = (at % sizeof(*map) / 8 + i * (bytes[5] % 16)) * 8;

			if (where + 8 <= sizeof(*map))
				memcpy((char *)map + where, bytes + 6, 8);
		}
		bytes += 14;
		length -= 14;
	}
}

static void check(bool good)
{
	if (!good)
		__builtin_trap();
}

static void use_permits(void)
{
	struct tine_permit_use use;
	char text[300];
	int permit, waiter = tine_waiter_enter(&board);

	check(waiter >= -1 && waiter < TINE_BOARD_WAITERS);
	permit = tine_permit_take(&board, waiter);
	check(permit >= -1 && permit < TINE_BOARD_PERMITS);
	tine_permit_seat(&board, permit)->uses++;
	tine_permit_is_too_much(&board, permit, false);
	atomic_load(tine_permit_fair_share(&board));
	tine_permit_count(&board, &use);
	check(use.taken >= 0 && use.taken <= TINE_BOARD_PERMITS && use.budget >= 0 &&
	      use.waiting >= 0 && use.waiting <= TINE_BOARD_WAITERS);
	check(tine_permit_holders(&board, text, sizeof(text)) == strlen(text));
	tine_permit_give(&board, permit, 10);
	tine_waiter_rearm(&board, waiter);
	atomic_store(tine_waiter_news(&board, waiter), 0);
	tine_waiter_call(&board);
	tine_waiter_leave(&board, waiter);
}

static void use_knowledge(uint64_t key)
{
	struct tine_outage_note note = { .status = -10, .text = "down" };
	int target = tine_server_find(&board, key), token = tine_token_take(&board);
	uint32_t condemned;

	check(target >= -1 && target < TINE_BOARD_TARGETS);
	check(token >= -1 && token < TINE_BOARD_TOKENS);
	tine_token_give(&board, token);
	for (int i = -1; i <= TINE_BOARD_TARGETS; i++) {
		if (tine_server_outage(&board, i, &note))
			check(note.status < 0 && note.at_ns >= 0 && strlen(note.text) < 200);
		check(strlen(note.sqlstate) < 6);
		tine_server_epoch(&board, i, &condemned);
		check(tine_server_silence(&board, i) >= 0);
	}
	tine_server_failed(&board, target, &note);
	tine_server_died(&board, target, true);
	tine_server_set_silence(&board, target, 5);
	tine_server_probe(&board, target, 1, 2);
	tine_server_recovered(&board, target);
	atomic_load(tine_server_epoch_word(&board, target));
}

/* As after the fork of a member, whose word is overwritten like everything else. */
static void use_membership(void)
{
	tine_board_reap(&board, true);
	tine_board_note(&board, TINE_BOARD_CLOSED, 3);
	tine_board_count_wait(&board, 5);
	check(tine_board_worker(&board) >= 0);
	tine_board_want(&board);
	tine_segment_is_dead(board.map);
	tine_board_unlist(&board);
}

static void make_directory(void)
{
	static char directory[] = "/tmp/tine-fuzz-XXXXXX";
	struct tine_board_spec spec = { .name = "fuzz", .budget = 8 };
	char error[300];

	if (!mkdtemp(directory))
		abort();
	setenv("TINE_BOARD_DIRECTORY", directory, 1);
	if (tine_board_open(&board, &spec, error, sizeof(error)) < 0) {
		fprintf(stderr, "%s\n", error);
		abort();
	}
	/* Only the mapping is used from here on. */
	unlink(board.path);
	rmdir(directory);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	if (!board.map)
		make_directory();
	memset(board.map, 0, sizeof(*board.map));
	keep_head(board.map);
	atomic_store(&board.map->budget, length % 64);
	board.ceiling = (int)(length % 5);
	if (tine_board_enlist(&board) < 0)
		__builtin_trap();
	scatter(board.map, bytes, length);
	keep_head(board.map);
	use_permits();
	use_knowledge(length + 1);
	use_permits();
	use_membership();
	tine_board_enlist(&board);
	tine_board_unlist(&board);
	tine_board_left(&board);
	return 0;
}
