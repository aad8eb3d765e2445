/* SPDX-License-Identifier: PostgreSQL */
/*
 * The queue for permits. A permit is never handed to a waiter: it is made free, and the ones who
 * have waited longest are woken and may take it before anybody else. So a waiter that dies, is
 * stopped or gives up at any instruction takes nothing with it; who was woken and did not come for
 * a while does not hold the others up.
 */
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "board/permit.h"
#include "board/word.h"

/* Who was called and has not come after so long is stopped, or dead. */
#define LATE_NS (20 * (int64_t)TINE_NS_PER_MS)

int tine_waiter_enter(struct tine_board *board)
{
	struct tine_board_layout *map = board->map;

	if (board->place < 0)
		return -1;
	for (int i = 0; i < TINE_BOARD_WAITERS; i++) {
		struct tine_board_waiter *waiter = &map->waiters[i];
		uint64_t word = 0;

		if (atomic_load_explicit(&waiter->word, memory_order_relaxed))
			continue;
		tine_use(&map->waiters_used, i);
		if (!atomic_compare_exchange_strong(&waiter->word, &word, board->owner))
			continue;
		/* Who had the place died with its number, perhaps. */
		atomic_store(&waiter->ticket, 0);
		atomic_store(&waiter->news, 0);
		atomic_store(&waiter->called_ns, 0);
		atomic_store(&waiter->since_ns, tine_clock_ns());
		atomic_fetch_add(&map->waiting_changes, 1);
		atomic_fetch_add(&map->waiting, 1);
		atomic_store(&waiter->ticket, atomic_fetch_add(&map->tickets, 1) + 1);
		/* Before the caller looks once more at the permits. */
		atomic_thread_fence(memory_order_seq_cst);
		return i;
	}
	return -1;
}

/* Only who entered takes itself off the number of those who wait, before it goes. Who died in
 * between leaves the number too high, never too low. */
static void count_out(struct tine_board_layout *map)
{
	uint32_t waiting = atomic_load(&map->waiting);

	atomic_fetch_add(&map->waiting_changes, 1);
	while (waiting && !atomic_compare_exchange_weak(&map->waiting, &waiting, waiting - 1))
		continue;
}

void tine_waiter_free(struct tine_board_layout *map, int waiter, uint64_t owner)
{
	atomic_compare_exchange_strong(&map->waiters[waiter].word, &owner, 0);
}

void tine_waiter_recount(struct tine_board_layout *map)
{
	uint32_t changes = atomic_load(&map->waiting_changes);
	uint32_t waiting = atomic_load(&map->waiting), found = 0, missed;
	int places = tine_used(&map->waiters_used, TINE_BOARD_WAITERS);

	for (int i = 0; i < places; i++)
		found += atomic_load(&map->waiters[i].word) != 0;
	if (found == waiting || atomic_load(&map->waiting_changes) != changes ||
	    !atomic_compare_exchange_strong(&map->waiting, &waiting, found))
		return;
	/* Who came just now, while another left, was not found: too many is no harm. */
	missed = atomic_load(&map->waiting_changes) - changes;
	if (missed)
		atomic_fetch_add(&map->waiting, missed);
}

void tine_waiter_leave(struct tine_board *board, int waiter)
{
	if (waiter < 0 || waiter >= TINE_BOARD_WAITERS || board->place < 0 ||
	    atomic_load(&board->map->waiters[waiter].word) != board->owner)
		return;
	atomic_store(&board->map->waiters[waiter].ticket, 0);
	count_out(board->map);
	tine_waiter_free(board->map, waiter, board->owner);
	/* It may have been called, and not have taken what it was called for. */
	if (atomic_load(&board->map->waiting))
		tine_waiter_call(board);
}

void tine_waiter_rearm(struct tine_board *board, int waiter)
{
	if (waiter < 0 || waiter >= TINE_BOARD_WAITERS)
		return;
	atomic_store(&board->map->waiters[waiter].news, 0);
	atomic_store(&board->map->waiters[waiter].called_ns, 0);
}

_Atomic uint32_t *tine_waiter_news(struct tine_board *board, int waiter)
{
	return waiter >= 0 && waiter < TINE_BOARD_WAITERS ? &board->map->waiters[waiter].news
							  : &board->map->no_news;
}

/* Somebody there whom a permit would help: not one that has all it may have, and waits for a
 * connection of its own process. */
static bool is_helped(const struct tine_board_layout *map, const struct tine_count *have,
		      const struct tine_board_waiter *waiter)
{
	int place = tine_owner_place(atomic_load_explicit(&waiter->word, memory_order_relaxed));

	return place >= 0 && !tine_member_is_full(map, have, place);
}

static bool is_late(const struct tine_board_waiter *waiter, int64_t now_ns)
{
	int64_t called_ns = atomic_load_explicit(&waiter->called_ns, memory_order_relaxed);

	return called_ns && (called_ns < now_ns - LATE_NS || called_ns > now_ns + LATE_NS);
}

int tine_waiter_older(const struct tine_board_layout *map, const struct tine_count *have,
		      int waiter, int64_t now_ns)
{
	uint64_t own = waiter < 0 ? UINT64_MAX : atomic_load(&map->waiters[waiter].ticket);
	int older = 0, places;

	if (!atomic_load_explicit(&map->waiting, memory_order_relaxed))
		return 0;
	places = tine_used(&map->waiters_used, TINE_BOARD_WAITERS);
	for (int i = 0; i < places; i++) {
		const struct tine_board_waiter *other = &map->waiters[i];
		uint64_t ticket = atomic_load_explicit(&other->ticket, memory_order_relaxed);

		older += ticket && ticket < own && is_helped(map, have, other) &&
			 !is_late(other, now_ns);
	}
	return older;
}

/* ---- calling -------------------------------------------------------------------------------- */

/* @param spare  permits that are not kept for anybody */
static struct tine_board_waiter *oldest_uncalled(struct tine_board_layout *map,
						 const struct tine_count *have, int spare)
{
	struct tine_board_waiter *oldest = NULL;
	int places = tine_used(&map->waiters_used, TINE_BOARD_WAITERS);
	uint64_t least = UINT64_MAX;

	for (int i = 0; i < places; i++) {
		struct tine_board_waiter *waiter = &map->waiters[i];
		uint64_t ticket = atomic_load_explicit(&waiter->ticket, memory_order_relaxed);
		int place = tine_owner_place(atomic_load(&waiter->word));

		if (!ticket || ticket >= least || atomic_load(&waiter->called_ns) ||
		    !is_helped(map, have, waiter))
			continue;
		if (spare <= 0 && (place < 0 || !tine_member_lacks(map, have, place)))
			continue;
		oldest = waiter;
		least = ticket;
	}
	return oldest;
}

static int called_in_time(const struct tine_board_layout *map, const struct tine_count *have,
			  int64_t now_ns)
{
	int count = 0, places = tine_used(&map->waiters_used, TINE_BOARD_WAITERS);

	for (int i = 0; i < places; i++) {
		const struct tine_board_waiter *waiter = &map->waiters[i];

		count += atomic_load_explicit(&waiter->called_ns, memory_order_relaxed) &&
			 is_helped(map, have, waiter) && !is_late(waiter, now_ns);
	}
	return count;
}

static void call(struct tine_board_waiter *waiter, int64_t now_ns)
{
	atomic_store(&waiter->called_ns, now_ns);
	atomic_store(&waiter->news, 1);
	syscall(SYS_futex, &waiter->news, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void tine_waiter_call(struct tine_board *board)
{
	struct tine_board_layout *map = board->map;
	int64_t now_ns = tine_clock_ns();
	struct tine_count have;
	int called;

	if (!atomic_load(&map->waiting))
		return;
	tine_permit_tally(board, now_ns, &have);
	called = called_in_time(map, &have, now_ns);
	if (have.free > 0 && !called && !oldest_uncalled(map, &have, 1))
		tine_waiter_recount(map);
	for (int left = have.free - called; left > 0; left--) {
		struct tine_board_waiter *waiter =
			oldest_uncalled(map, &have, left - have.reserved);

		if (!waiter)
			return;
		call(waiter, now_ns);
	}
}
