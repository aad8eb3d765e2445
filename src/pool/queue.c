/* SPDX-License-Identifier: PostgreSQL */
#include "pool/queue.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "pool/share.h"
#include "pool/slot.h"

void tine_queue_join(struct tine_acquire *acquire)
{
	struct tine_pool *pool = acquire->pool;

	acquire->next = NULL;
	acquire->previous = pool->tail;
	if (pool->tail)
		pool->tail->next = acquire;
	else
		pool->head = acquire;
	pool->tail = acquire;
	acquire->queued = true;
	atomic_fetch_add(&pool->waiting, 1);
}

void tine_queue_leave(struct tine_acquire *acquire)
{
	struct tine_pool *pool = acquire->pool;

	if (!acquire->queued)
		return;
	if (acquire->next)
		acquire->next->previous = acquire->previous;
	else
		pool->tail = acquire->previous;
	if (acquire->previous)
		acquire->previous->next = acquire->next;
	else
		pool->head = acquire->next;
	acquire->queued = false;
	atomic_fetch_sub(&pool->waiting, 1);
}

/* The acquire may be gone as soon as the news is out, unless it has an event descriptor: then its
 * owner takes the lock once more before it goes. */
static void tell(struct tine_acquire *acquire, uint32_t news)
{
	int fd = atomic_load(&acquire->event_fd);
	_Atomic uint32_t *futex = &acquire->news, *shared = tine_share_news(acquire);

	atomic_fetch_or(futex, news);
	if (fd >= 0) {
		eventfd_write(fd, 1);
		return;
	}
	/* It may sleep there instead; the place may be another's by now, who is woken for nothing.
	 */
	if (shared) {
		atomic_store(shared, 1);
		syscall(SYS_futex, shared, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	} else
		syscall(SYS_futex, futex, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

struct tine_acquire *tine_queue_first(const struct tine_pool *pool)
{
	struct tine_acquire *first = pool->head;

	while (first && first->deaf)
		first = first->next;
	return first;
}

bool tine_queue_grant(struct tine_pool *pool, struct tine_slot *slot)
{
	struct tine_acquire *first = tine_queue_first(pool);

	if (!first || (atomic_load(&pool->slow) & (TINE_SLOW_PAUSED | TINE_SLOW_CLOSED)))
		return false;
	tine_queue_leave(first);
	first->granted = slot;
	tell(first, TINE_NEWS_GRANTED);
	return true;
}

void tine_queue_serve(struct tine_pool *pool)
{
	const uint32_t stopped = TINE_SLOW_PAUSED | TINE_SLOW_CLOSED;

	while (tine_queue_first(pool) && !(atomic_load(&pool->slow) & stopped)) {
		struct tine_slot *slot = tine_queue_take_idle(pool);

		if (!slot || !tine_queue_grant(pool, slot))
			return;
	}
}

void tine_queue_room(struct tine_pool *pool)
{
	for (struct tine_acquire *a = pool->head; a; a = a->next) {
		if (a->working || (atomic_load(&a->news) & TINE_NEWS_LOOK))
			continue;
		tell(a, TINE_NEWS_LOOK);
		return;
	}
}

void tine_queue_alarm(struct tine_pool *pool)
{
	for (struct tine_acquire *a = pool->head; a; a = a->next)
		tell(a, TINE_NEWS_LOOK);
}

void tine_queue_retired(struct tine_pool *pool)
{
	if (!(atomic_load(&pool->slow) & TINE_SLOW_PAUSED))
		return;
	atomic_fetch_add(&pool->retired, 1);
	syscall(SYS_futex, &pool->retired, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static struct tine_slot *best_idle(struct tine_pool *pool)
{
	bool newest = pool->config.lifo;
	struct tine_slot *best = NULL;
	int64_t best_ns = 0;

	for (int i = 0; i < pool->slot_count; i++) {
		struct tine_slot *slot = pool->slots[i];
		int64_t stamp_ns;

		if (!slot ||
		    atomic_load_explicit(&slot->state, memory_order_relaxed) != TINE_SLOT_IDLE)
			continue;
		stamp_ns = atomic_load_explicit(&slot->stamp_ns, memory_order_relaxed);
		if (best && (newest ? stamp_ns <= best_ns : stamp_ns >= best_ns))
			continue;
		best = slot;
		best_ns = stamp_ns;
	}
	return best;
}

struct tine_slot *tine_queue_take_idle(struct tine_pool *pool)
{
	for (;;) {
		struct tine_slot *slot = best_idle(pool);
		uint32_t idle = TINE_SLOT_IDLE;

		if (!slot)
			return NULL;
		if (atomic_compare_exchange_strong(&slot->state, &idle, TINE_SLOT_BUSY))
			return slot;
	}
}

static struct tine_slot *find(struct tine_pool *pool, uint32_t state)
{
	for (int i = 0; i < pool->slot_count; i++)
		if (pool->slots[i] && atomic_load(&pool->slots[i]->state) == state)
			return pool->slots[i];
	return NULL;
}

static struct tine_slot *new_place(struct tine_pool *pool)
{
	for (int i = 0; i < pool->slot_count; i++)
		if (!pool->slots[i])
			return pool->slots[i] = tine_slot_new(pool);
	return NULL;
}

/* How long after a death a connect counts as its replacement. */
#define REPLACE_NS (5 * (int64_t)TINE_NS_PER_S)

void tine_queue_died(struct tine_pool *pool)
{
	int64_t now_ns = tine_clock_ns();

	if (now_ns >= pool->replace_until_ns)
		pool->to_replace = 0;
	if (pool->to_replace < tine_pool_limit(pool))
		pool->to_replace++;
	pool->replace_until_ns = now_ns + REPLACE_NS;
}

static bool is_replacement(const struct tine_pool *pool, int64_t now_ns)
{
	return pool->to_replace && now_ns < pool->replace_until_ns;
}

bool tine_queue_is_live(const struct tine_pool *pool)
{
	for (int i = 0; i < pool->slot_count; i++) {
		const struct tine_slot *slot = pool->slots[i];
		uint32_t state = slot ? atomic_load(&slot->state) : TINE_SLOT_EMPTY;

		if (state == TINE_SLOT_IDLE || state == TINE_SLOT_BUSY)
			return true;
	}
	return false;
}

/* Between them lies how long connects have taken, of late. */
#define PATIENCE_LEAST_NS (2 * (int64_t)TINE_NS_PER_MS)
#define PATIENCE_MOST_NS (5 * (int64_t)TINE_NS_PER_MS)

static int64_t patience_ns(const struct tine_pool *pool)
{
	if (pool->connect_ns < PATIENCE_LEAST_NS)
		return PATIENCE_LEAST_NS;
	return pool->connect_ns < PATIENCE_MOST_NS ? pool->connect_ns : PATIENCE_MOST_NS;
}

void tine_queue_connected(struct tine_pool *pool, int64_t took_ns)
{
	pool->connect_ns += (took_ns - pool->connect_ns) / (pool->connect_ns ? 4 : 1);
}

/* Beside connections that will come back, who has waited for less than a connect takes would begin
 * one in vain, as a rule: something comes back before it is there, and the server has forked for
 * nothing. It begins at once where nobody else may wait, or when it has no time for both. */
int64_t tine_queue_patient_until(const struct tine_acquire *acquire)
{
	const struct tine_pool *pool = acquire->pool;
	int64_t patience = patience_ns(pool);
	int waiting = (int)atomic_load(&pool->waiting) - pool->growing - acquire->queued;

	if (pool->open >= tine_pool_limit(pool) ||
	    (pool->config.max_waiting && waiting >= pool->config.max_waiting) ||
	    acquire->deadline_ns - acquire->began_ns <= 2 * patience || !tine_queue_is_live(pool))
		return acquire->began_ns;
	return acquire->began_ns + patience;
}

/* While the server is away one at a time tries, and not before it is time. */
static bool may_grow(const struct tine_acquire *acquire, int64_t now_ns)
{
	const struct tine_pool *pool = acquire->pool;

	if (pool->open >= tine_pool_limit(pool))
		return false;
	if (pool->outage.error.status)
		return pool->growing == 0 && now_ns >= pool->outage.next_ns;
	return is_replacement(pool, now_ns) || (pool->growing < pool->config.connect_parallel &&
						now_ns >= tine_queue_patient_until(acquire));
}

struct tine_slot *tine_queue_take_room(struct tine_acquire *acquire, int64_t now_ns)
{
	struct tine_pool *pool = acquire->pool;
	struct tine_slot *slot = find(pool, TINE_SLOT_ORPHAN);

	if (slot) {
		if (!tine_share_go_on(acquire, slot, now_ns))
			return NULL;
		atomic_store(&slot->state, TINE_SLOT_WORK);
		return slot;
	}
	if (!may_grow(acquire, now_ns))
		return NULL;
	slot = find(pool, TINE_SLOT_EMPTY);
	if (!slot)
		slot = new_place(pool);
	if (!slot || !tine_share_admit(acquire, slot, now_ns))
		return NULL;
	slot->work.growing = pool->outage.error.status || !is_replacement(pool, now_ns);
	if (slot->work.growing)
		pool->growing++;
	else
		pool->to_replace--;
	atomic_store(&slot->state, TINE_SLOT_WORK);
	pool->open++;
	return slot;
}
