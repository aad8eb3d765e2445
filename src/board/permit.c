/* SPDX-License-Identifier: PostgreSQL */
/*
 * Permits. The cap holds by construction: a connection needs a permit whose number is below the
 * budget, and a number is one word. Only after the budget was lowered are there permits above it;
 * then a grant is counted again after it was made, and given back when it was too many.
 */
#include "board/permit.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "board/word.h"

struct tine_count {
	int limit;
	int taken, free; /* limbo is neither */
	int above;       /* taken or in limbo, above the limit */
	int limbo;
	int own;
	uint16_t of[TINE_BOARD_MEMBERS];
};

static void count(const struct tine_board *board, int64_t now_ns, struct tine_count *ret)
{
	const struct tine_board_layout *map = board->map;

	memset(ret, 0, sizeof(*ret));
	ret->limit = tine_board_limit(map);
	for (int i = 0; i < TINE_BOARD_PERMITS; i++) {
		uint64_t word = atomic_load_explicit(&map->permits[i], memory_order_relaxed);
		int place = tine_owner_place(word);

		if (tine_permit_is_free(word, now_ns)) {
			ret->free += i < ret->limit;
			continue;
		}
		ret->above += i >= ret->limit;
		ret->limbo += place < 0;
		ret->taken += place >= 0;
		ret->own += word == board->owner;
		if (place >= 0)
			ret->of[place]++;
	}
	ret->free = ret->free > ret->above ? ret->free - ret->above : 0;
}

/* Free permits that are kept for members below their floor, the caller left out. */
static int reserved(const struct tine_board *board, const struct tine_count *have)
{
	int sum = 0;

	for (int i = 0; i < TINE_BOARD_MEMBERS; i++) {
		const struct tine_board_member *member = &board->map->members[i];
		uint32_t floor = atomic_load_explicit(&member->floor, memory_order_relaxed);

		if (floor > TINE_BOARD_PERMITS || floor <= have->of[i] || i == board->place ||
		    tine_place_state(atomic_load(&member->word)) != TINE_PLACE_LIVE)
			continue;
		sum += (int)floor - have->of[i];
	}
	return sum;
}

static bool may_take(const struct tine_board *board, int waiter, int64_t now_ns)
{
	struct tine_count have;

	/* Nothing to divide. */
	if (!atomic_load_explicit(&board->map->budget, memory_order_relaxed) && !board->ceiling)
		return true;
	count(board, now_ns, &have);
	if (board->ceiling && have.own >= board->ceiling)
		return false;
	if (have.own < board->floor)
		return have.free > 0;
	return have.free > reserved(board, &have) + tine_waiter_older(board->map, waiter, now_ns);
}

/* From a place of one's own on, so that two seldom want the same word. */
static int take_free(struct tine_board *board, int64_t now_ns)
{
	struct tine_board_layout *map = board->map;
	int limit = tine_board_limit(map), at = board->place * 61 % limit;

	for (int i = 0; i < limit; i++) {
		uint64_t word = atomic_load_explicit(&map->permits[at], memory_order_relaxed);

		if (tine_permit_is_free(word, now_ns) &&
		    atomic_compare_exchange_strong(&map->permits[at], &word, board->owner))
			return at;
		at = at + 1 < limit ? at + 1 : 0;
	}
	return -1;
}

/* Of two that took the last one each gives back what it took, and looks again. */
static bool is_too_many(const struct tine_board *board, int64_t now_ns)
{
	struct tine_count have;

	count(board, now_ns, &have);
	return have.above > 0 && have.taken + have.limbo > have.limit;
}

int tine_permit_take(struct tine_board *board, int waiter)
{
	int64_t now_ns = tine_clock_ns();
	int permit;

	if (board->place < 0)
		return -1;
	if (!may_take(board, waiter, now_ns)) {
		tine_board_reap(board, false);
		return -1;
	}
	permit = take_free(board, now_ns);
	if (permit < 0) {
		tine_board_reap(board, false);
		return -1;
	}
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load(&board->map->budget) && is_too_many(board, now_ns)) {
		tine_permit_free(board->map, permit, board->owner, 0);
		return -1;
	}
	return permit;
}

bool tine_permit_free(struct tine_board_layout *map, int permit, uint64_t owner, int open_ms)
{
	uint64_t until_ms = (uint64_t)(tine_clock_ns() / TINE_NS_PER_MS + open_ms);
	uint64_t word = owner;

	atomic_store_explicit(&map->seats[permit].state, TINE_SEAT_NONE, memory_order_relaxed);
	return atomic_compare_exchange_strong(&map->permits[permit], &word,
					      open_ms ? TINE_PERMIT_LIMBO | until_ms : 0);
}

void tine_permit_give(struct tine_board *board, int permit, int open_ms)
{
	if (permit < 0 || permit >= TINE_BOARD_PERMITS || board->place < 0)
		return;
	tine_permit_free(board->map, permit, board->owner, open_ms);
	if (atomic_load(&board->map->waiting))
		tine_waiter_call(board);
}

static int live_members(const struct tine_board_layout *map)
{
	int live = 0;

	for (int i = 0; i < TINE_BOARD_MEMBERS; i++)
		live += tine_place_state(atomic_load_explicit(&map->members[i].word,
							      memory_order_relaxed)) ==
			TINE_PLACE_LIVE;
	return live;
}

/* Somebody of another process, and not one that died meanwhile. */
static bool others_wait(const struct tine_board *board)
{
	const struct tine_board_layout *map = board->map;

	for (int i = 0; i < TINE_BOARD_WAITERS; i++) {
		uint64_t word = atomic_load_explicit(&map->waiters[i].word, memory_order_relaxed);

		if (word && word != board->owner && tine_owner_is_there(map, word))
			return true;
	}
	return false;
}

bool tine_permit_is_wanted(const struct tine_board *board)
{
	struct tine_count have;
	int live, share;

	if (!atomic_load_explicit(&board->map->waiting, memory_order_relaxed) ||
	    !others_wait(board))
		return false;
	count(board, tine_clock_ns(), &have);
	live = live_members(board->map);
	share = live ? have.limit / live : have.limit;
	if (share < board->floor)
		share = board->floor;
	/* What is free already is on its way to who waits. */
	return have.own > share && have.free == 0;
}

const _Atomic uint32_t *tine_board_waiting(const struct tine_board *board)
{
	return &board->map->waiting;
}

void tine_permit_count(const struct tine_board *board, struct tine_permit_use *ret)
{
	struct tine_count have;

	count(board, tine_clock_ns(), &have);
	*ret = (struct tine_permit_use){
		.budget = (int)atomic_load(&board->map->budget),
		.taken = have.taken,
		.own = have.own,
		.members = live_members(board->map),
		.waiting = (int)atomic_load(&board->map->waiting),
	};
}

struct tine_seat *tine_permit_seat(struct tine_board *board, int permit)
{
	return permit >= 0 && permit < TINE_BOARD_PERMITS ? &board->map->seats[permit] : NULL;
}

#define HOLDERS_SHOWN 6

static int most(const struct tine_count *have)
{
	int place = -1;

	for (int i = 0; i < TINE_BOARD_MEMBERS; i++)
		if (have->of[i] && (place < 0 || have->of[i] > have->of[place]))
			place = i;
	return place;
}

size_t tine_permit_holders(const struct tine_board *board, char *ret_text, size_t size)
{
	struct tine_count have;
	size_t length = 0;

	count(board, tine_clock_ns(), &have);
	*ret_text = '\0';
	for (int shown = 0; shown < HOLDERS_SHOWN; shown++) {
		int place = most(&have);
		uint64_t word;

		if (place < 0 || length + 48 > size)
			break;
		word = atomic_load(&board->map->members[place].word);
		length += (size_t)snprintf(ret_text + length, size - length, "%sw%u:%d has %u",
					   shown ? ", " : "",
					   atomic_load(&board->map->members[place].worker) % 10000,
					   (int)tine_place_pid(word), have.of[place]);
		have.of[place] = 0;
	}
	return length;
}
