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

int tine_member_lacks(const struct tine_board_layout *map, const struct tine_count *have, int place)
{
	const struct tine_board_member *member = &map->members[place];
	uint32_t floor = atomic_load_explicit(&member->floor, memory_order_relaxed);

	if (floor > TINE_BOARD_PERMITS || floor <= have->of[place] ||
	    tine_place_state(atomic_load(&member->word)) != TINE_PLACE_LIVE)
		return 0;
	return (int)floor - have->of[place];
}

bool tine_member_is_full(const struct tine_board_layout *map, const struct tine_count *have,
			 int place)
{
	uint32_t ceiling = atomic_load_explicit(&map->members[place].ceiling, memory_order_relaxed);

	return ceiling && have->of[place] >= ceiling;
}

void tine_permit_tally(const struct tine_board *board, int64_t now_ns, struct tine_count *ret)
{
	const struct tine_board_layout *map = board->map;
	int permits = tine_used(&map->permits_used, TINE_BOARD_PERMITS);
	int members = tine_used(&map->members_used, TINE_BOARD_MEMBERS);

	memset(ret, 0, sizeof(*ret));
	ret->limit = tine_board_limit(map);
	ret->free = ret->limit > permits ? ret->limit - permits : 0;
	for (int i = 0; i < permits; i++) {
		uint64_t word = atomic_load_explicit(&map->permits[i], memory_order_relaxed);
		int place = tine_owner_place(word);

		if (tine_permit_is_free(word, now_ns)) {
			ret->free += i < ret->limit;
			continue;
		}
		ret->above += i >= ret->limit;
		ret->limbo += place < 0;
		ret->taken += place >= 0;
		ret->own += place >= 0 && tine_permit_owner(word) == board->owner;
		if (place >= 0)
			ret->of[place]++;
	}
	ret->free = ret->free > ret->above ? ret->free - ret->above : 0;
	for (int i = 0; i < members; i++)
		ret->reserved += tine_member_lacks(map, ret, i);
}

static bool may_take(const struct tine_board *board, int waiter, int64_t now_ns)
{
	struct tine_count have;

	/* Nothing to divide. */
	if (!atomic_load_explicit(&board->map->budget, memory_order_relaxed) && !board->ceiling)
		return true;
	tine_permit_tally(board, now_ns, &have);
	if (board->ceiling && have.own >= board->ceiling)
		return false;
	if (have.own < board->floor)
		return have.free > 0;
	return have.free > have.reserved &&
	       have.free > have.reserved + tine_waiter_older(board->map, &have, waiter, now_ns);
}

/* ---- those that this process has, or believes to have --------------------------------------- */

_Static_assert(TINE_BOARD_HELD_WORDS * 64 == TINE_BOARD_PERMITS, "a bit for each permit");

static bool is_held(const struct tine_board *board, int permit)
{
	return atomic_load_explicit(&board->held[permit / 64], memory_order_relaxed) >>
		       (permit % 64) &
	       1;
}

static void set_held(struct tine_board *board, int permit, bool held)
{
	uint64_t bit = UINT64_C(1) << (permit % 64);

	if (held)
		atomic_fetch_or(&board->held[permit / 64], bit);
	else
		atomic_fetch_and(&board->held[permit / 64], ~bit);
}

static uint64_t new_word(struct tine_board *board)
{
	return tine_permit_word(board->owner, atomic_fetch_add(&board->numbers, 1) + 1);
}

/* ---- taking and giving ---------------------------------------------------------------------- */

/* From a place of one's own on, so that two seldom want the same word. */
static int take_free(struct tine_board *board, int64_t now_ns)
{
	struct tine_board_layout *map = board->map;
	int limit = tine_board_limit(map), at = board->place * 61 % limit;

	for (int i = 0; i < limit; i++) {
		uint64_t word = atomic_load_explicit(&map->permits[at], memory_order_relaxed);

		if (tine_permit_is_free(word, now_ns) && !is_held(board, at)) {
			tine_use(&map->permits_used, at);
			if (atomic_compare_exchange_strong(&map->permits[at], &word,
							   new_word(board))) {
				set_held(board, at, true);
				return at;
			}
		}
		at = at + 1 < limit ? at + 1 : 0;
	}
	return -1;
}

/* Of two that took the last one each gives back what it took, and looks again. */
static bool is_too_many(const struct tine_board *board, int64_t now_ns)
{
	const struct tine_board_layout *map = board->map;
	struct tine_count have;

	atomic_thread_fence(memory_order_seq_cst);
	if (!board->ceiling &&
	    tine_used(&map->permits_used, TINE_BOARD_PERMITS) <= tine_board_limit(map))
		return false;
	tine_permit_tally(board, now_ns, &have);
	return (have.above > 0 && have.taken + have.limbo > have.limit) ||
	       (board->ceiling && have.own > board->ceiling);
}

static void give(struct tine_board *board, int permit, int open_ms)
{
	uint64_t word = atomic_load(&board->map->permits[permit]);

	if (tine_permit_owner(word) == board->owner)
		tine_permit_free(board->map, permit, word, open_ms);
	/* Afterwards: what is taken in between must not be what is freed. */
	set_held(board, permit, false);
}

int tine_permit_take(struct tine_board *board, int waiter)
{
	int64_t now_ns = tine_clock_ns();
	int permit = -1;

	if (board->place < 0 || waiter >= TINE_BOARD_WAITERS)
		return -1;
	if (may_take(board, waiter, now_ns))
		permit = take_free(board, now_ns);
	if (permit >= 0 && is_too_many(board, now_ns)) {
		give(board, permit, 0);
		permit = -1;
	}
	if (permit < 0) {
		tine_board_reap(board, false);
		/* Perhaps for somebody older whom nobody has called: a permit that was in limbo. */
		tine_waiter_call(board);
	}
	return permit;
}

bool tine_permit_free(struct tine_board_layout *map, int permit, uint64_t word, int open_ms)
{
	uint64_t until_ms = (uint64_t)(tine_clock_ns() / TINE_NS_PER_MS + open_ms);

	if (atomic_load(&map->permits[permit]) != word)
		return false;
	atomic_store_explicit(&map->seats[permit].state, TINE_SEAT_NONE, memory_order_relaxed);
	return atomic_compare_exchange_strong(&map->permits[permit], &word,
					      open_ms ? TINE_PERMIT_LIMBO | until_ms : 0);
}

void tine_permit_give(struct tine_board *board, int permit, int open_ms)
{
	if (permit < 0 || permit >= TINE_BOARD_PERMITS || board->place < 0)
		return;
	give(board, permit, open_ms);
	if (atomic_load(&board->map->waiting))
		tine_waiter_call(board);
}

bool tine_permit_is_own(const struct tine_board *board, int permit)
{
	return permit >= 0 && permit < TINE_BOARD_PERMITS && board->place >= 0 &&
	       tine_permit_owner(atomic_load(&board->map->permits[permit])) == board->owner;
}

bool tine_permit_renew(struct tine_board *board, int permit)
{
	uint64_t word;

	if (permit < 0 || permit >= TINE_BOARD_PERMITS || board->place < 0)
		return false;
	word = atomic_load(&board->map->permits[permit]);
	return tine_permit_owner(word) == board->owner &&
	       atomic_compare_exchange_strong(&board->map->permits[permit], &word, new_word(board));
}

void tine_permit_count(const struct tine_board *board, struct tine_permit_use *ret)
{
	uint32_t waiting = atomic_load(&board->map->waiting);
	struct tine_count have;

	tine_permit_tally(board, tine_clock_ns(), &have);
	*ret = (struct tine_permit_use){
		.budget = atomic_load(&board->map->budget) ? have.limit : 0,
		.taken = have.taken,
		.own = have.own,
		.members = tine_board_users(board->map),
		.waiting = waiting < TINE_BOARD_WAITERS ? (int)waiting : TINE_BOARD_WAITERS,
	};
}

struct tine_seat *tine_permit_seat(struct tine_board *board, int permit)
{
	return permit >= 0 && permit < TINE_BOARD_PERMITS ? &board->map->seats[permit]
							  : &board->map->nobody;
}

#define HOLDERS_SHOWN 6

/* Who reads that knows what itself has: that comes last. */
static int most(const struct tine_board *board, const struct tine_count *have)
{
	int place = -1;

	for (int i = 0; i < TINE_BOARD_MEMBERS; i++)
		if (have->of[i] && i != board->place &&
		    (place < 0 || have->of[i] > have->of[place]))
			place = i;
	return place < 0 && board->place >= 0 && have->of[board->place] ? board->place : place;
}

size_t tine_permit_holders(const struct tine_board *board, char *ret_text, size_t size)
{
	struct tine_count have;
	size_t length = 0;

	tine_permit_tally(board, tine_clock_ns(), &have);
	*ret_text = '\0';
	for (int shown = 0; shown < HOLDERS_SHOWN; shown++) {
		int place = most(board, &have);
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
