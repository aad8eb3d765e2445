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

		if (atomic_load_explicit(&waiter->word, memory_order_relaxed) ||
		    !atomic_compare_exchange_strong(&waiter->word, &word, board->owner))
			continue;
		atomic_store(&waiter->news, 0);
		atomic_store(&waiter->called_ns, 0);
		atomic_store(&waiter->since_ns, tine_clock_ns());
		atomic_fetch_add(&map->waiting, 1);
		atomic_store(&waiter->ticket, atomic_fetch_add(&map->tickets, 1) + 1);
		return i;
	}
	return -1;
}

void tine_waiter_free(struct tine_board_layout *map, int waiter, uint64_t owner)
{
	uint32_t waiting = atomic_load(&map->waiting);

	/* Before the word: who claims the place next must not be seen with this number. */
	atomic_store(&map->waiters[waiter].ticket, 0);
	if (!atomic_compare_exchange_strong(&map->waiters[waiter].word, &owner, 0))
		return;
	while (waiting && !atomic_compare_exchange_weak(&map->waiting, &waiting, waiting - 1))
		continue;
}

void tine_waiter_leave(struct tine_board *board, int waiter)
{
	if (waiter < 0 || waiter >= TINE_BOARD_WAITERS || board->place < 0)
		return;
	tine_waiter_free(board->map, waiter, board->owner);
	/* It may have been called, and not have taken what it was called for. */
	if (atomic_load(&board->map->waiting))
		tine_waiter_call(board);
}

void tine_waiter_rearm(struct tine_board *board, int waiter)
{
	atomic_store(&board->map->waiters[waiter].news, 0);
	atomic_store(&board->map->waiters[waiter].called_ns, 0);
}

_Atomic uint32_t *tine_waiter_news(struct tine_board *board, int waiter)
{
	return &board->map->waiters[waiter].news;
}

/* 0 when nobody waits there who may be called, or was called long ago */
static uint64_t ticket_of(const struct tine_board_waiter *waiter, int64_t now_ns)
{
	int64_t called_ns = atomic_load_explicit(&waiter->called_ns, memory_order_relaxed);

	if (!atomic_load_explicit(&waiter->word, memory_order_relaxed))
		return 0;
	if (called_ns && now_ns - called_ns > LATE_NS)
		return 0;
	return atomic_load_explicit(&waiter->ticket, memory_order_relaxed);
}

int tine_waiter_older(const struct tine_board_layout *map, int waiter, int64_t now_ns)
{
	uint64_t own = waiter < 0 ? UINT64_MAX : atomic_load(&map->waiters[waiter].ticket);
	int older = 0;

	if (!atomic_load_explicit(&map->waiting, memory_order_relaxed))
		return 0;
	for (int i = 0; i < TINE_BOARD_WAITERS; i++) {
		uint64_t ticket = ticket_of(&map->waiters[i], now_ns);

		older += ticket && ticket < own;
	}
	return older;
}

static int free_permits(const struct tine_board_layout *map, int64_t now_ns)
{
	int limit = tine_board_limit(map), count = 0;

	for (int i = 0; i < limit; i++)
		count += tine_permit_is_free(atomic_load_explicit(&map->permits[i],
								  memory_order_relaxed),
					     now_ns);
	return count;
}

static struct tine_board_waiter *oldest_uncalled(struct tine_board_layout *map)
{
	struct tine_board_waiter *oldest = NULL;
	uint64_t least = UINT64_MAX;

	for (int i = 0; i < TINE_BOARD_WAITERS; i++) {
		struct tine_board_waiter *waiter = &map->waiters[i];
		uint64_t ticket = atomic_load_explicit(&waiter->ticket, memory_order_relaxed);

		if (!atomic_load_explicit(&waiter->word, memory_order_relaxed) || !ticket ||
		    ticket >= least || atomic_load(&waiter->called_ns))
			continue;
		oldest = waiter;
		least = ticket;
	}
	return oldest;
}

static int called_in_time(const struct tine_board_layout *map, int64_t now_ns)
{
	int count = 0;

	for (int i = 0; i < TINE_BOARD_WAITERS; i++)
		count += ticket_of(&map->waiters[i], now_ns) &&
			 atomic_load_explicit(&map->waiters[i].called_ns, memory_order_relaxed);
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
	int count;

	if (!atomic_load(&map->waiting))
		return;
	count = free_permits(map, now_ns) - called_in_time(map, now_ns);
	while (count-- > 0) {
		struct tine_board_waiter *waiter = oldest_uncalled(map);

		if (!waiter)
			return;
		call(waiter, now_ns);
	}
}
