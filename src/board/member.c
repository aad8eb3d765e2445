/* SPDX-License-Identifier: PostgreSQL */
/* Places of members: taken, left, and given back for the dead. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "board/board.h"
#include "board/permit.h"
#include "board/process.h"
#include "board/word.h"

/* The dead are looked for as often as this while somebody needs what they had. */
#define REAP_EVERY_NS (200 * (int64_t)TINE_NS_PER_MS)

/* How long the server may take to notice that the client is dead. What it is in the middle of
 * computing it finishes first. */
#define DEAD_OPEN_MS 300

/* ---- enlisting ------------------------------------------------------------------------------ */

static int claim(struct tine_board_layout *map, uint64_t start, uint64_t *ret_word)
{
	for (int place = 0; place < TINE_BOARD_MEMBERS; place++) {
		uint64_t free_word = atomic_load(&map->members[place].word);
		uint64_t generation = tine_place_generation(free_word) + 1;

		if (tine_place_state(free_word) != TINE_PLACE_FREE)
			continue;
		*ret_word = tine_place_word(TINE_PLACE_CLAIMED, generation, getpid(), start);
		if (atomic_compare_exchange_strong(&map->members[place].word, &free_word,
						   *ret_word))
			return place;
	}
	return -1;
}

static uint32_t free_number(const struct tine_board_layout *map, int own)
{
	uint64_t taken[TINE_BOARD_MEMBERS / 64 + 1] = { 1 };
	uint32_t number = 0;

	for (int i = 0; i < TINE_BOARD_MEMBERS; i++) {
		uint32_t worker = atomic_load(&map->members[i].worker);

		if (i != own && worker <= TINE_BOARD_MEMBERS &&
		    tine_place_state(atomic_load(&map->members[i].word)) == TINE_PLACE_LIVE)
			taken[worker / 64] |= UINT64_C(1) << worker % 64;
	}
	while (taken[number / 64] >> number % 64 & 1)
		number++;
	return number;
}

static void describe(struct tine_board *board, struct tine_board_member *member)
{
	struct tine_board_layout *map = board->map;
	size_t bytes = sizeof(*member) - offsetof(struct tine_board_member, pid_namespace);

	memset((char *)member + offsetof(struct tine_board_member, pid_namespace), 0, bytes);
	atomic_store(&member->pid_namespace, tine_process_namespace());
	atomic_store(&member->joined_ns, tine_clock_ns());
	atomic_store(&member->floor, (uint32_t)board->floor);
	atomic_store(&member->ceiling, (uint32_t)board->ceiling);
	atomic_store(&member->worker, free_number(map, (int)(member - map->members)));
	prctl(PR_GET_NAME, member->command, 0, 0, 0);
	snprintf(member->application, sizeof(member->application), "%s", board->application);
}

int tine_board_enlist(struct tine_board *board)
{
	struct tine_board_layout *map = board->map;
	struct tine_process self;
	uint64_t word, live;
	int place, rc;

	if (board->place >= 0)
		return 0;
	rc = tine_process_read(getpid(), &self);
	if (rc < 0)
		return rc;
	for (;;) {
		place = claim(map, self.start, &word);
		if (place < 0)
			return -EAGAIN;
		describe(board, &map->members[place]);
		live = tine_place_word(TINE_PLACE_LIVE, tine_place_generation(word), getpid(),
				       self.start);
		/* It may have been taken from us by somebody who cannot see our pid. */
		if (atomic_compare_exchange_strong(&map->members[place].word, &word, live))
			break;
	}
	board->place = place;
	board->owner = tine_owner_word(place, tine_place_generation(live));
	if (atomic_load(&map->dead)) {
		tine_board_unlist(board);
		return -ESTALE;
	}
	tine_board_note(board, TINE_BOARD_JOINED, 0);
	return 0;
}

void tine_board_left(struct tine_board *board)
{
	board->place = -1;
	board->owner = 0;
	board->made_here = false;
}

int tine_board_worker(const struct tine_board *board)
{
	uint32_t worker;

	if (board->place < 0)
		return 0;
	worker = atomic_load(&board->map->members[board->place].worker);
	return worker <= TINE_BOARD_MEMBERS ? (int)worker : 0;
}

/* ---- giving back ---------------------------------------------------------------------------- */

/* Everything that a word owns; the place itself comes last, so that who dies in the middle of this
 * leaves the rest to the next. @return permits */
static int give_back_all(struct tine_board *board, uint64_t owner, int open_ms)
{
	struct tine_board_layout *map = board->map;
	int permits = 0;

	for (int i = 0; i < TINE_BOARD_PERMITS; i++)
		if (atomic_load_explicit(&map->permits[i], memory_order_relaxed) == owner &&
		    tine_permit_free(map, i, owner, open_ms))
			permits++;
	for (int i = 0; i < TINE_BOARD_WAITERS; i++)
		if (atomic_load_explicit(&map->waiters[i].word, memory_order_relaxed) == owner)
			tine_waiter_free(map, i, owner);
	for (int i = 0; i < TINE_BOARD_TOKENS; i++) {
		uint64_t word = owner;

		atomic_compare_exchange_strong(&map->tokens[i].word, &word, 0);
	}
	return permits;
}

static void free_place(struct tine_board_layout *map, int place, uint64_t word)
{
	uint64_t empty = tine_place_word(TINE_PLACE_FREE, tine_place_generation(word), 0, 0);

	atomic_compare_exchange_strong(&map->members[place].word, &word, empty);
}

void tine_board_unlist(struct tine_board *board)
{
	int place = board->place;

	if (place < 0)
		return;
	tine_board_note(board, TINE_BOARD_ENDED, 0);
	give_back_all(board, board->owner, TINE_PERMIT_CLOSED_MS);
	free_place(board->map, place, atomic_load(&board->map->members[place].word));
	tine_board_left(board);
	tine_waiter_call(board);
}

static void reap_member(struct tine_board *board, int place)
{
	struct tine_board_layout *map = board->map;
	uint64_t word = atomic_load(&map->members[place].word);
	int permits = 0;

	if (tine_place_state(word) == TINE_PLACE_FREE || place == board->place)
		return;
	/* The dead of other namespaces are for their own to find. */
	if (tine_place_state(word) == TINE_PLACE_LIVE &&
	    atomic_load(&map->members[place].pid_namespace) != tine_process_namespace())
		return;
	if (!tine_process_is_dead(tine_place_pid(word), tine_place_start(word)))
		return;
	if (tine_place_state(word) == TINE_PLACE_LIVE)
		permits = give_back_all(board, tine_owner_word(place, tine_place_generation(word)),
					DEAD_OPEN_MS);
	free_place(map, place, word);
	tine_board_note_of(board, TINE_BOARD_REAPED, (uint32_t)permits, tine_place_pid(word),
			   atomic_load(&map->members[place].worker));
}

/* What is owned by members that have lost their place: who reaped them died in the middle. */
static void free_strays(struct tine_board *board)
{
	struct tine_board_layout *map = board->map;
	uint32_t waiting = 0;

	for (int i = 0; i < TINE_BOARD_PERMITS; i++) {
		uint64_t word = atomic_load_explicit(&map->permits[i], memory_order_relaxed);

		if (word && !(word & TINE_PERMIT_LIMBO) && !tine_owner_is_there(map, word))
			tine_permit_free(map, i, word, DEAD_OPEN_MS);
	}
	for (int i = 0; i < TINE_BOARD_WAITERS; i++) {
		uint64_t word = atomic_load_explicit(&map->waiters[i].word, memory_order_relaxed);

		if (word && !tine_owner_is_there(map, word))
			tine_waiter_free(map, i, word);
		else if (word)
			waiting++;
	}
	for (int i = 0; i < TINE_BOARD_TOKENS; i++) {
		uint64_t word = atomic_load_explicit(&map->tokens[i].word, memory_order_relaxed);

		if (word && !tine_owner_is_there(map, word))
			atomic_compare_exchange_strong(&map->tokens[i].word, &word, 0);
	}
	atomic_store(&map->waiting, waiting);
}

void tine_board_reap(struct tine_board *board, bool now)
{
	struct tine_board_layout *map = board->map;
	int64_t now_ns = tine_clock_ns(), due_ns = atomic_load(&map->reap_ns);

	/* A time far ahead is not one of ours. */
	if (!now && now_ns < due_ns && due_ns <= now_ns + REAP_EVERY_NS)
		return;
	if (!atomic_compare_exchange_strong(&map->reap_ns, &due_ns, now_ns + REAP_EVERY_NS) && !now)
		return;
	for (int i = 0; i < TINE_BOARD_MEMBERS; i++)
		reap_member(board, i);
	free_strays(board);
	tine_waiter_call(board);
}
