/* SPDX-License-Identifier: PostgreSQL */
/*
 * A connection comes back: what its next user must not find in it, and whether there is to be a
 * next user. Nothing here waits for the server: a reset is sent, and its answer is read at the next
 * checkout.
 */
#include "base/clock.h"
#include "pool/checkout.h"
#include "pool/error.h"
#include "pool/event.h"
#include "pool/fork.h"
#include "pool/liveness.h"
#include "pool/share.h"
#include "pool/slot.h"
#include "pool/work.h"

void tine_slot_give_up(struct tine_slot *slot, int cause)
{
	struct tine_pool *pool = slot->pool;

	tine_pool_lock(pool);
	pool->calls++;
	tine_pool_unlock(pool);
	tine_slot_retire(slot, cause, NULL);
	tine_pool_leave(pool);
}

/* Lost at its first use: then the idle time before hid that it was dropped. */
static void note_loss(struct tine_slot *slot)
{
	tine_pool_suspect(slot->pool, false);
	if (!slot->answered)
		tine_liveness_learn(slot->pool, slot->idle_before_ns);
}

/* A write was refused as read-only. If the server says so of itself, so it is for every other
 * connection to it; if not, it was this session's own doing, and closing it is enough. */
static void note_read_only(struct tine_slot *slot)
{
	if (tine_slot_role_changed(slot) || slot->standby)
		tine_pool_suspect(slot->pool, true);
}

/* @return an enum tine_cause, or -1 when it may stay */
static int why_close(struct tine_slot *slot, int64_t now_ns)
{
	struct tine_pool *pool = slot->pool;
	const struct tine_pq *pq = pool->pq;
	PGTransactionStatusType status = pq->transaction_status(slot->pg);
	int cause;

	if (status == PQTRANS_UNKNOWN && tine_slot_ended_idle(slot->last_sqlstate))
		return TINE_CAUSE_IDLE;
	if (status == PQTRANS_UNKNOWN) {
		note_loss(slot);
		return TINE_CAUSE_LOST;
	}
	if (atomic_load(&pool->slow) & (TINE_SLOW_CLOSED | TINE_SLOW_PAUSED))
		return TINE_CAUSE_DISPOSED;
	if (slot->read_only_seen) {
		note_read_only(slot);
		return TINE_CAUSE_ROLE;
	}
	if (slot->was_reset || status == PQTRANS_ACTIVE ||
	    pq->pipeline_status(slot->pg) != PQ_PIPELINE_OFF)
		return TINE_CAUSE_RESET;
	if (tine_slot_has_new_role(slot, now_ns))
		return TINE_CAUSE_ROLE;
	cause = tine_slot_spent(slot, now_ns);
	if (cause >= 0)
		return cause;
	if (pool->config.kind == TINE_POOL_NULL)
		return TINE_CAUSE_OVERFLOW;
	if (tine_share_is_too_much(slot))
		return TINE_CAUSE_LENT;
	if (pool->config.reset == TINE_RESET_NONE && status != PQTRANS_IDLE)
		return TINE_CAUSE_RESET;
	return -1;
}

/* Above pool_size a connection stays only for who waits. Those that are about to close count as
 * closed, or several that come back at once would all go. */
static bool is_surplus(struct tine_slot *slot)
{
	struct tine_pool *pool = slot->pool;

	tine_pool_lock(pool);
	slot->leaving = atomic_load(&pool->open) - pool->leaving > atomic_load(&pool->pool_size) &&
			!pool->head;
	pool->leaving += slot->leaving;
	tine_pool_unlock(pool);
	return slot->leaving;
}

static bool send(struct tine_slot *slot, const char *statement)
{
	slot->work.todo |= TINE_TODO_DRAIN;
	slot->work.sent = true;
	return slot->pool->pq->send_query(slot->pg, statement);
}

/* @return false when the connection cannot be given to anybody else */
static bool reset(struct tine_slot *slot)
{
	struct tine_pool *pool = slot->pool;
	const struct tine_pq *pq = pool->pq;
	bool full = pool->config.reset == TINE_RESET_FULL ||
		    (pool->config.reset == TINE_RESET_TRACKED && slot->dirty);

	if (tine_event_conn(slot, TINE_EVENT_RESET) != 0 ||
	    !pq->dress_restore(slot->pg, &slot->dress))
		return false;
	if (full)
		slot->work.todo |= tine_work_of_new(slot);
	if (pq->transaction_status(slot->pg) != PQTRANS_IDLE) {
		if (full)
			slot->work.todo |= TINE_TODO_DISCARD;
		return send(slot, "ROLLBACK");
	}
	/* What the server was told goes with the rest. */
	if (full)
		slot->ends_ns = TINE_NEVER_NS;
	return !full || send(slot, "DISCARD ALL");
}

static void tell_checkin(struct tine_slot *slot, int64_t now_ns)
{
	int64_t held_ns = now_ns - atomic_load(&slot->taken_ns);
	struct tine_event event = { .kind = TINE_EVENT_CHECKIN, .pg = slot->pg };

	event.time_us = held_ns > 0 ? (uint64_t)held_ns / TINE_NS_PER_US : 0;
	tine_event_fire(slot->pool, &event);
}

static void put_back(struct tine_slot *slot, int64_t now_ns)
{
	int cause;

	tell_checkin(slot, now_ns);
	/* In a transaction it is not idle. */
	if (slot->pool->pq->transaction_status(slot->pg) != PQTRANS_IDLE)
		tine_slot_heard(slot, now_ns);
	cause = why_close(slot, now_ns);
	if (cause < 0 && is_surplus(slot))
		cause = TINE_CAUSE_OVERFLOW;
	if (cause < 0 && !reset(slot))
		cause = TINE_CAUSE_RESET;
	if (cause >= 0) {
		tine_slot_give_up(slot, cause);
		return;
	}
	tine_checkin(slot, now_ns);
}

void tine_slot_return(struct tine_slot *slot, int64_t now_ns)
{
	int cancel_state;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	put_back(slot, now_ns);
	pthread_setcancelstate(cancel_state, NULL);
}
