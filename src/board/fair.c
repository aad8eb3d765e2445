/* SPDX-License-Identifier: PostgreSQL */
/*
 * Who has too much. A process that is idle does nothing, so it cannot give back what it keeps: it
 * must not keep what others are entitled to, which is the budget divided by the processes that use
 * connections. While it works it may have more, and gives back when others are in need, as many as
 * are in need: each costs it a connect, at the time when the other connects.
 */
#include "base/clock.h"
#include "board/permit.h"
#include "board/word.h"

/* What a farewell takes at the most, and the clock of the seats is behind by. */
#define CLOSING_NS (TINE_PERMIT_CLOSED_MS * (int64_t)TINE_NS_PER_MS)

/* A process with its fair share that waits for more gets what others do not use. Only when it has
 * waited for so long do they give it something: each connection that changes hands costs a connect.
 */
#define PATIENCE_NS (500 * (int64_t)TINE_NS_PER_MS)

/* Where there are more processes than permits, one keeps a connection for so long while it has work
 * for it. */
#define SLICE_NS (100 * (int64_t)TINE_NS_PER_MS)

static bool is_user(const struct tine_board_member *member)
{
	return tine_place_state(atomic_load_explicit(&member->word, memory_order_relaxed)) ==
		       TINE_PLACE_LIVE &&
	       atomic_load_explicit(&member->wants, memory_order_relaxed);
}

int tine_board_users(const struct tine_board_layout *map)
{
	int live = 0, members = tine_used(&map->members_used, TINE_BOARD_MEMBERS);

	for (int i = 0; i < members; i++)
		live += is_user(&map->members[i]);
	return live;
}

void tine_permit_divide(struct tine_board_layout *map)
{
	uint32_t budget = atomic_load(&map->budget);
	int live = tine_board_users(map);

	atomic_store(&map->fair_share, budget && live ? budget / (uint32_t)live : UINT32_MAX);
}

const _Atomic uint32_t *tine_permit_fair_share(const struct tine_board *board)
{
	return &board->map->fair_share;
}

void tine_board_want(struct tine_board *board)
{
	struct tine_board_layout *map = board->map;

	if (board->place < 0 || atomic_load(&map->members[board->place].wants))
		return;
	/* Places are taken from the lowest on, and by one at a time. */
	atomic_store(&map->members[board->place].worker, (uint32_t)board->place + 1);
	atomic_store(&map->members[board->place].wants, 1);
	tine_permit_divide(map);
}

/* Others who wait, and do not have what they are entitled to or have waited for long. */
static int pressing(const struct tine_board *board, const struct tine_count *have, int share,
		    int64_t now_ns)
{
	const struct tine_board_layout *map = board->map;
	int sum = 0, places = tine_used(&map->waiters_used, TINE_BOARD_WAITERS);

	if (!atomic_load_explicit(&map->waiting, memory_order_relaxed))
		return 0;
	for (int i = 0; i < places; i++) {
		const struct tine_board_waiter *waiter = &map->waiters[i];
		uint64_t word = atomic_load_explicit(&waiter->word, memory_order_relaxed);
		int64_t since_ns = atomic_load_explicit(&waiter->since_ns, memory_order_relaxed);
		int place = tine_owner_place(word);

		if (place >= 0 && word != board->owner && tine_owner_is_there(map, word) &&
		    !tine_member_is_full(map, have, place))
			sum += have->of[place] < share || since_ns < now_ns - PATIENCE_NS;
	}
	return sum;
}

/* What the others may still come for without waiting for us. */
static int unclaimed(const struct tine_board *board, const struct tine_count *have, int share)
{
	int sum = 0, members = tine_used(&board->map->members_used, TINE_BOARD_MEMBERS);

	for (int i = 0; i < members; i++)
		if (i != board->place && have->of[i] < share && is_user(&board->map->members[i]))
			sum += share - have->of[i];
	return sum;
}

/* On their way to who waits: the server is told, and its end is waited for. Without them all that
 * came back meanwhile would be closed for the same one that waits. Who is stopped in the middle
 * does not count for long. */
static int closing(const struct tine_board *board, int64_t now_ns)
{
	const struct tine_board_layout *map = board->map;
	int sum = 0, permits = tine_used(&map->permits_used, TINE_BOARD_PERMITS);

	for (int i = 0; i < permits; i++) {
		const struct tine_seat *seat = &map->seats[i];

		if (atomic_load_explicit(&seat->state, memory_order_relaxed) == TINE_SEAT_CLOSING)
			sum += atomic_load_explicit(&seat->since_ns, memory_order_relaxed) >
			       now_ns - CLOSING_NS;
	}
	return sum;
}

/* What is free, or will be in a moment, is on its way to who waits. */
static int coming(const struct tine_board *board, const struct tine_count *have, int64_t now_ns)
{
	return (have->free > have->reserved ? have->free - have->reserved : 0) + have->limbo +
	       closing(board, now_ns);
}

static bool had_its_slice(const struct tine_board *board, int permit, int64_t now_ns)
{
	return atomic_load_explicit(&board->map->seats[permit].opened_ns, memory_order_relaxed) <
	       now_ns - SLICE_NS;
}

bool tine_permit_is_too_much(const struct tine_board *board, int permit, bool has_use)
{
	int live = tine_board_users(board->map), share, supply;
	int64_t now_ns = tine_clock_ns();
	struct tine_count have;

	if (board->place < 0 || permit < 0 || permit >= TINE_BOARD_PERMITS || !live ||
	    !atomic_load(&board->map->budget))
		return false;
	tine_permit_tally(board, now_ns, &have);
	if (have.own <= board->floor)
		return false;
	share = have.limit / live ? have.limit / live : 1;
	supply = coming(board, &have, now_ns);
	if (have.own > share)
		return supply < pressing(board, &have, share, now_ns) ||
		       (!has_use && supply < unclaimed(board, &have, share));
	if (live <= have.limit)
		return false;
	return has_use ? had_its_slice(board, permit, now_ns) &&
				 supply < pressing(board, &have, 1, now_ns)
		       : supply < unclaimed(board, &have, 1);
}

bool tine_board_has_waiters(const struct tine_board *board)
{
	return atomic_load_explicit(&board->map->waiting, memory_order_relaxed) != 0;
}

/* It waits for what this process has itself, perhaps: another thread, or another task of its loop.
 */
bool tine_permit_is_missed(const struct tine_board *board)
{
	const struct tine_board_layout *map = board->map;
	int64_t now_ns = tine_clock_ns();
	struct tine_count have;
	int missed = 0, places = tine_used(&map->waiters_used, TINE_BOARD_WAITERS);

	if (board->place < 0 || !tine_board_has_waiters(board))
		return false;
	for (int i = 0; i < places; i++)
		missed += atomic_load_explicit(&map->waiters[i].word, memory_order_relaxed) ==
				  board->owner &&
			  atomic_load_explicit(&map->waiters[i].since_ns, memory_order_relaxed) <
				  now_ns - PATIENCE_NS;
	if (!missed)
		return false;
	tine_permit_tally(board, now_ns, &have);
	return coming(board, &have, now_ns) < missed;
}
