/* SPDX-License-Identifier: PostgreSQL */
#include "pool/sweep.h"

#include "base/clock.h"
#include "pool/checkout.h"
#include "pool/event.h"
#include "pool/holders.h"
#include "pool/liveness.h"
#include "pool/queue.h"
#include "pool/share.h"
#include "pool/slot.h"

#define EVERY_NS ((int64_t)TINE_NS_PER_S)

/* The slot of a place, taken if it is in that state. */
static struct tine_slot *take(struct tine_pool *pool, int place, uint32_t state, uint32_t taken)
{
	struct tine_slot *slot;

	tine_pool_lock(pool);
	slot = place < pool->slot_count ? pool->slots[place] : NULL;
	if (slot && !atomic_compare_exchange_strong(&slot->state, &state, taken))
		slot = NULL;
	tine_pool_unlock(pool);
	return slot;
}

void tine_sweep_serve(struct tine_pool *pool)
{
	bool stopped;

	tine_pool_lock(pool);
	tine_queue_serve(pool);
	stopped = atomic_load(&pool->slow) & (TINE_SLOW_PAUSED | TINE_SLOW_CLOSED);
	if (stopped)
		pool->calls++;
	tine_pool_unlock(pool);
	if (!stopped)
		return;
	tine_sweep_close_idle(pool, 0, false);
	tine_pool_leave(pool);
}

/* @return an enum tine_cause, or -1 to keep it */
static int why_close(struct tine_slot *slot, int64_t now_ns, tine_error *error)
{
	const struct tine_pool *pool = slot->pool;
	int64_t idle_ns = now_ns - atomic_load(&slot->stamp_ns);
	int64_t limit_ns = (int64_t)pool->config.idle_timeout_ms * TINE_NS_PER_MS;
	int cause = tine_slot_spent(slot, now_ns);

	if (cause >= 0)
		return cause;
	if (limit_ns && idle_ns >= limit_ns)
		return TINE_CAUSE_IDLE;
	if (tine_share_is_too_much(slot))
		return TINE_CAUSE_LENT;
	if (!slot->work.todo && !tine_liveness_peek(slot, error)) {
		if (tine_slot_ended_idle(error->sqlstate))
			return TINE_CAUSE_IDLE;
		tine_pool_suspect(slot->pool, false);
		return TINE_CAUSE_DEAD;
	}
	return -1;
}

static int sweep_idle(struct tine_pool *pool, int64_t now_ns)
{
	int closed = 0;

	for (int place = 0; place < pool->slot_count; place++) {
		struct tine_slot *slot = take(pool, place, TINE_SLOT_IDLE, TINE_SLOT_BUSY);
		tine_error error = { 0 };
		int cause;

		if (!slot)
			continue;
		cause = why_close(slot, now_ns, &error);
		if (cause < 0) {
			tine_slot_let_go(slot);
			continue;
		}
		tine_slot_retire(slot, cause, error.status ? &error : NULL);
		closed++;
	}
	return closed;
}

int tine_sweep_orphans(struct tine_pool *pool, bool all)
{
	int64_t now_ns = tine_clock_ns();
	int closed = 0;

	for (int place = 0; place < pool->slot_count; place++) {
		struct tine_slot *slot = take(pool, place, TINE_SLOT_ORPHAN, TINE_SLOT_WORK);

		if (!slot)
			continue;
		if (all || now_ns >= slot->work.deadline_ns) {
			tine_slot_retire(slot, TINE_CAUSE_DISPOSED, NULL);
			closed++;
		} else {
			atomic_store(&slot->state, TINE_SLOT_ORPHAN);
		}
	}
	return closed;
}

static bool is_leak(const struct tine_slot *slot, int64_t now_ns, int64_t limit_ns)
{
	return slot && atomic_load(&slot->state) == TINE_SLOT_BUSY && atomic_load(&slot->ticket) &&
	       !(atomic_load(&slot->told) & TINE_TOLD_LEAK) &&
	       now_ns - atomic_load(&slot->taken_ns) >= limit_ns;
}

static bool next_leak(struct tine_pool *pool, int64_t now_ns, int64_t limit_ns,
		      struct tine_event *event, tine_error *error)
{
	bool found = false;

	tine_pool_lock(pool);
	for (int place = 0; place < pool->slot_count && !found; place++) {
		struct tine_slot *slot = pool->slots[place];

		if (!is_leak(slot, now_ns, limit_ns))
			continue;
		found = true;
		atomic_fetch_or(&slot->told, TINE_TOLD_LEAK);
		pool->tally.leaks++;
		event->time_us = (uint64_t)(now_ns - atomic_load(&slot->taken_ns)) / TINE_NS_PER_US;
		tine_holders_describe(slot, now_ns, error);
	}
	tine_pool_unlock(pool);
	return found;
}

static void tell_leaks(struct tine_pool *pool, int64_t now_ns)
{
	int64_t limit_ns = (int64_t)pool->config.leak_after_ms * TINE_NS_PER_MS;
	tine_error error = { 0 };
	struct tine_event event = { .error = &error };

	while (limit_ns && next_leak(pool, now_ns, limit_ns, &event, &error)) {
		event.kind = TINE_EVENT_LEAK;
		tine_event_fire(pool, &event);
	}
}

int tine_pool_sweep(tine_pool *pool)
{
	int64_t now_ns;
	int closed;

	if (!pool)
		return 0;
	tine_pool_enter(pool);
	now_ns = tine_clock_coarse_ns();
	atomic_store(&pool->next_sweep_ns, now_ns + EVERY_NS);
	closed = sweep_idle(pool, now_ns) + tine_sweep_orphans(pool, false);
	tell_leaks(pool, now_ns);
	return closed;
}

void tine_sweep_if_due(struct tine_pool *pool)
{
	int64_t due_ns = atomic_load(&pool->next_sweep_ns);
	int64_t now_ns = tine_clock_coarse_ns();

	if (now_ns >= due_ns &&
	    atomic_compare_exchange_strong(&pool->next_sweep_ns, &due_ns, now_ns + EVERY_NS))
		tine_pool_sweep(pool);
}

void tine_sweep_close_idle(struct tine_pool *pool, int keep, bool abandon)
{
	for (int place = 0; place < pool->slot_count && atomic_load(&pool->open) > keep; place++) {
		struct tine_slot *slot = take(pool, place, TINE_SLOT_IDLE, TINE_SLOT_BUSY);

		if (!slot)
			continue;
		if (abandon)
			tine_slot_abandon(slot);
		tine_slot_retire(slot, TINE_CAUSE_DISPOSED, NULL);
	}
	if (atomic_load(&pool->open) > keep)
		tine_sweep_orphans(pool, true);
}
