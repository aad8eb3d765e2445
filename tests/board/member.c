/* SPDX-License-Identifier: PostgreSQL */
/*
 * A member of a board that does what it is told, for tests. Arguments name the board ("name=web
 * budget=4 parallel=2 floor=0 ceiling=0 application=shop"); TINE_BOARD_DIRECTORY says where it is.
 * "onlooker" is a member that wants no connections.
 * Then one command per line on standard input, and a number on a line in answer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "board/board.h"
#include "board/seat.h"

struct words {
	long number[4];
	char text[200]; /* what follows the numbers */
};

static long do_take(struct tine_board *board, const struct words *words)
{
	return tine_permit_take(board, words->number[0] ? (int)words->number[0] - 1 : -1);
}

static long do_give(struct tine_board *board, const struct words *words)
{
	tine_permit_give(board, (int)words->number[0], (int)words->number[1]);
	return 0;
}

/* seat PERMIT STATE TRANSACTION BACKEND LABEL */
static long do_seat(struct tine_board *board, const struct words *words)
{
	struct tine_seat *seat = tine_permit_seat(board, (int)words->number[0]);
	int64_t now_ns = tine_clock_coarse_ns();
	atomic_store(&seat->opened_ns, now_ns);
	atomic_store(&seat->transaction, (uint32_t)words->number[2]);
	atomic_store(&seat->backend_pid, (uint32_t)words->number[3]);
	atomic_fetch_add(&seat->uses, 1);
	for (size_t i = 0; i < TINE_SEAT_LABEL_BYTES; i++)
		atomic_store(&seat->label[i], i < strlen(words->text) ? words->text[i] : '\0');
	tine_seat_set(seat, (enum tine_seat_state)words->number[1], now_ns);
	return 0;
}

static long do_enter(struct tine_board *board, const struct words *words)
{
	(void)words;
	return tine_waiter_enter(board);
}

static long do_leave(struct tine_board *board, const struct words *words)
{
	tine_waiter_leave(board, (int)words->number[0]);
	return 0;
}

static long do_token(struct tine_board *board, const struct words *words)
{
	(void)words;
	return tine_token_take(board);
}

static long do_untoken(struct tine_board *board, const struct words *words)
{
	tine_token_give(board, (int)words->number[0]);
	return 0;
}

/* note KIND DETAIL */
static long do_note(struct tine_board *board, const struct words *words)
{
	tine_board_note(board, (enum tine_board_event_kind)words->number[0],
			(uint32_t)words->number[1]);
	return 0;
}

static long do_waited(struct tine_board *board, const struct words *words)
{
	tine_board_count_wait(board, (uint64_t)words->number[0]);
	return 0;
}

static long do_target(struct tine_board *board, const struct words *words)
{
	return tine_server_find(board, (uint64_t)words->number[0]);
}

static long do_died(struct tine_board *board, const struct words *words)
{
	return tine_server_died(board, (int)words->number[0], words->number[1] != 0);
}

/* failed TARGET STATUS FAILURES NEXT_MS TEXT: a connect, with SQLSTATE 57P03 */
static long do_failed(struct tine_board *board, const struct words *words)
{
	struct tine_outage_note note = {
		.status = (int)words->number[1],
		.sqlstate = "57P03",
		.failures = (uint32_t)words->number[2],
		.at_ns = tine_clock_ns(),
	};

	note.next_ns = note.at_ns + words->number[3] * TINE_NS_PER_MS;
	memcpy(note.text, words->text, sizeof(note.text));
	tine_server_failed(board, (int)words->number[0], &note);
	return 0;
}

static long do_recovered(struct tine_board *board, const struct words *words)
{
	tine_server_recovered(board, (int)words->number[0]);
	return 0;
}

static long do_taken(struct tine_board *board, const struct words *words)
{
	struct tine_permit_use use;

	(void)words;
	tine_permit_count(board, &use);
	return use.taken;
}

static long do_worker(struct tine_board *board, const struct words *words)
{
	(void)words;
	return tine_board_worker(board);
}

static long do_reap(struct tine_board *board, const struct words *words)
{
	(void)words;
	tine_board_reap(board, true);
	return 0;
}

static const struct {
	const char *name;
	int numbers;
	long (*act)(struct tine_board *board, const struct words *words);
} commands[] = {
	{ "take", 1, do_take },           { "give", 2, do_give },   { "seat", 4, do_seat },
	{ "enter", 0, do_enter },         { "leave", 1, do_leave }, { "token", 0, do_token },
	{ "untoken", 1, do_untoken },     { "note", 2, do_note },   { "waited", 1, do_waited },
	{ "target", 1, do_target },       { "died", 2, do_died },   { "failed", 4, do_failed },
	{ "recovered", 1, do_recovered }, { "taken", 0, do_taken }, { "worker", 0, do_worker },
	{ "reap", 0, do_reap },
};

static void obey(struct tine_board *board, char *line)
{
	char *name = strsep(&line, " \n");
	struct words words = { 0 };

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, name) != 0)
			continue;
		for (int n = 0; line && n < commands[i].numbers; n++)
			words.number[n] = strtol(line, &line, 10);
		if (line)
			snprintf(words.text, sizeof(words.text), "%s", line + strspn(line, " "));
		words.text[strcspn(words.text, "\n")] = '\0';
		printf("%ld\n", commands[i].act(board, &words));
		return;
	}
	printf("unknown command '%s'\n", name);
}

static void read_argument(struct tine_board_spec *spec, const char *argument)
{
	const char *value = strchr(argument, '=') ? strchr(argument, '=') + 1 : "";

	if (strncmp(argument, "name=", 5) == 0)
		spec->name = value;
	else if (strncmp(argument, "application=", 12) == 0)
		spec->application = value;
	else if (strncmp(argument, "budget=", 7) == 0)
		spec->budget = atoi(value);
	else if (strncmp(argument, "parallel=", 9) == 0)
		spec->connect_parallel = atoi(value);
	else if (strncmp(argument, "floor=", 6) == 0)
		spec->floor = atoi(value);
	else if (strncmp(argument, "ceiling=", 8) == 0)
		spec->ceiling = atoi(value);
}

static bool is_onlooker(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "onlooker") == 0)
			return true;
	return false;
}

int main(int argc, char **argv)
{
	struct tine_board_spec spec = { 0 };
	struct tine_board board;
	char line[512], error[512];

	for (int i = 1; i < argc; i++)
		read_argument(&spec, argv[i]);
	if (tine_board_open(&board, &spec, error, sizeof(error)) < 0) {
		fprintf(stderr, "%s\n", error);
		return 1;
	}
	if (tine_board_enlist(&board) < 0)
		return 2;
	if (!is_onlooker(argc, argv))
		tine_board_want(&board);
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts(board.path);
	while (fgets(line, sizeof(line), stdin))
		obey(&board, line);
	tine_board_close(&board);
	return 0;
}
