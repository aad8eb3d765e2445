/* SPDX-License-Identifier: PostgreSQL */
/* Recent events and numbers for people. */
#include "unit/board/rig.h"

static const struct tine_board_event *last_event(const struct tine_board *board)
{
	uint64_t written = atomic_load(&board->map->events_written);

	CHECK_INT(written, >, 0);
	return &board->map->events[(written - 1) % TINE_BOARD_EVENTS];
}

TEST(events_say_who_and_what)
{
	struct tine_board board;
	const struct tine_board_event *event;

	rig_join(&board, "events", 0);
	event = last_event(&board);
	CHECK_INT(event->kind, ==, TINE_BOARD_JOINED);
	CHECK_INT(event->pid, ==, getpid());
	tine_board_note(&board, TINE_BOARD_CLOSED, 3);
	tine_board_note(&board, TINE_BOARD_CLOSED, TINE_BOARD_CAUSES);
	tine_board_note(&board, TINE_BOARD_OPENED, 0);
	tine_board_note(&board, TINE_BOARD_FAILED, 0);
	tine_board_note(&board, TINE_BOARD_TIMEOUT, 0);
	event = last_event(&board);
	CHECK_INT(event->kind, ==, TINE_BOARD_TIMEOUT);
	CHECK_INT(event->worker, ==, 1);
	CHECK_INT(event->sequence, ==, atomic_load(&board.map->events_written));
	CHECK_INT(board.map->members[0].closed[3], ==, 1);
	CHECK_INT(board.map->members[0].opened, ==, 1);
	CHECK_INT(board.map->members[0].failed, ==, 1);
	CHECK_INT(board.map->members[0].timeouts, ==, 1);
	tine_board_close(&board);
}

TEST(the_oldest_give_way)
{
	struct tine_board board;

	rig_join(&board, "ring", 0);
	for (uint32_t i = 0; i < 3 * TINE_BOARD_EVENTS; i++)
		tine_board_note(&board, TINE_BOARD_FORKED, i);
	for (int i = 0; i < TINE_BOARD_EVENTS; i++) {
		CHECK_INT(board.map->events[i].sequence, >, 2 * TINE_BOARD_EVENTS);
		CHECK_INT(board.map->events[i].detail, >=, 2 * TINE_BOARD_EVENTS - 1);
	}
	tine_board_close(&board);
}

static void die(struct tine_board *board)
{
	rig_take(board, 4);
	atomic_store(&rig_word[0], 1);
	rig_sleep_for_ever();
}

TEST(a_death_is_told_with_what_it_had)
{
	struct tine_board board;
	const struct tine_board_event *event;
	pid_t pid;

	rig_join(&board, "reaped", 0);
	pid = rig_member(&board, die);
	rig_await(&rig_word[0], 1);
	rig_kill(pid);
	tine_board_reap(&board, true);
	event = last_event(&board);
	CHECK_INT(event->kind, ==, TINE_BOARD_REAPED);
	CHECK_INT(event->detail, ==, 4);
	CHECK_INT(event->pid, ==, pid);
	CHECK_INT(event->worker, ==, 2);
	tine_board_reap(&board, true);
	CHECK(last_event(&board) == event);
	tine_board_close(&board);
}

TEST(waits_are_counted_by_powers_of_two)
{
	struct tine_board board;

	rig_open(&board, "waits", 0);
	tine_board_count_wait(&board, 5);
	tine_board_note(&board, TINE_BOARD_OPENED, 0);
	CHECK_INT(atomic_load(&board.map->events_written), ==, 0);
	CHECK_INT(tine_board_enlist(&board), ==, 0);
	tine_board_count_wait(&board, 0);
	tine_board_count_wait(&board, 1);
	tine_board_count_wait(&board, 1023);
	tine_board_count_wait(&board, UINT64_MAX);
	CHECK_INT(board.map->members[0].wait[0], ==, 1);
	CHECK_INT(board.map->members[0].wait[1], ==, 1);
	CHECK_INT(board.map->members[0].wait[10], ==, 1);
	CHECK_INT(board.map->members[0].wait[TINE_BOARD_BUCKETS - 1], ==, 1);
	CHECK_INT(board.map->members[0].slow_checkouts, ==, 4);
	tine_board_close(&board);
}

CHECK_TABLE(T(events_say_who_and_what), T(the_oldest_give_way), T(a_death_is_told_with_what_it_had),
	    T(waits_are_counted_by_powers_of_two))
