/* SPDX-License-Identifier: PostgreSQL */
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "pool/acquire.h"
#include "pool/checkout.h"
#include "pool/error.h"
#include "pool/event.h"
#include "pool/fork.h"
#include "pool/histogram.h"
#include "pool/holders.h"
#include "pool/liveness.h"
#include "pool/outage.h"
#include "pool/seek.h"
#include "pool/share.h"
#include "pool/slot.h"
#include "pool/sweep.h"
#include "pool/work.h"

/* After so many connections that a function of the program refused, an acquire fails. */
#define MOST_REFUSALS 3

void tine_acquire_init(struct tine_acquire *acquire, struct tine_pool *pool, int wait_ms,
		       const void *site)
{
	int64_t now_ns = tine_clock_ns();

	if (wait_ms < 0)
		wait_ms = pool->config.acquire_timeout_ms;
	*acquire = (struct tine_acquire){
		.pool = pool,
		.generation = atomic_load(&pool->generation),
		.site = site,
		.began_ns = now_ns,
		.deadline_ns = now_ns + (int64_t)wait_ms * TINE_NS_PER_MS,
		.event_fd = -1,
		.epoll_fd = -1,
		.timer_fd = -1,
		.watched_fd = -1,
		.waiter = -1,
	};
}

/* ---- the slot it drives --------------------------------------------------------------------- */

/* Stop driving: others may want what is on its way. What was in the middle of a talk cannot be
 * given to anybody. */
static void let_go(struct tine_acquire *acquire, bool served)
{
	struct tine_pool *pool = acquire->pool;
	struct tine_slot *slot = acquire->slot;
	bool wanted;

	if (!slot)
		return;
	tine_pool_lock(pool);
	tine_acquire_attach(acquire, NULL);
	wanted = slot->connecting && (!served || pool->head) &&
		 !(atomic_load(&pool->slow) & (TINE_SLOW_PAUSED | TINE_SLOW_CLOSED));
	if (wanted) {
		/* Who waits takes it on at once, at the pace of the tree; else others may connect.
		 */
		if (!pool->head)
			tine_share_connected(slot);
		/* Also when it was to replace another one: who takes it on does not need to. */
		pool->growing += !slot->work.growing;
		slot->work.growing = true;
		atomic_store(&slot->state, TINE_SLOT_ORPHAN);
		tine_queue_room(pool);
	}
	tine_pool_unlock(pool);
	if (!wanted)
		tine_slot_retire(slot, TINE_CAUSE_RESET, NULL);
}

static enum tine_step fail(struct tine_acquire *acquire)
{
	acquire->over = true;
	return TINE_STEP_FAILED;
}

/* ---- handing out ---------------------------------------------------------------------------- */

static void count_wait(struct tine_acquire *acquire, int64_t now_ns)
{
	struct tine_tally *tally = &acquire->pool->tally;

	tine_pool_lock(acquire->pool);
	tally->slow_checkouts++;
	tine_histogram_add(&tally->wait, (uint64_t)(now_ns - acquire->began_ns) / TINE_NS_PER_US);
	acquire->leaves_unwanted = acquire->pool->growing > 0 && !acquire->pool->head;
	tine_pool_unlock(acquire->pool);
	if (acquire->pool->share.on)
		tine_board_count_wait(&acquire->pool->share.board,
				      (uint64_t)(now_ns - acquire->began_ns) / TINE_NS_PER_US);
}

/* The slot is ours, ready, and we are out of the queue. */
static enum tine_step hand_out(struct tine_acquire *acquire, struct tine_slot *slot,
			       tine_conn **ret_conn)
{
	struct tine_pool *pool = acquire->pool;
	int64_t now_ns = tine_clock_ns();

	atomic_store(&slot->state, TINE_SLOT_BUSY);
	if (tine_event_conn(slot, TINE_EVENT_CHECKOUT) != 0) {
		tine_slot_retire(slot, TINE_CAUSE_REFUSED, NULL);
		if (++acquire->refusals < MOST_REFUSALS)
			return TINE_STEP_WAIT;
		tine_error_set(
			&acquire->error, TINE_E_REFUSED,
			"a function of the program refused %d connections one after the other",
			acquire->refusals);
		return fail(acquire);
	}
	*ret_conn = tine_checkout(slot, acquire->site, now_ns);
	atomic_store_explicit(&tine_pool_lane(pool)->slot, slot, memory_order_release);
	count_wait(acquire, now_ns);
	acquire->over = true;
	acquire->error.status = 0; /* of a connect that failed on the way */
	return TINE_STEP_DONE;
}

/* ---- driving -------------------------------------------------------------------------------- */

/* The connection is ready; the first in the queue gets it, which may be us. In a pause nobody does.
 * Who was granted another in the meantime leaves this one to the rest. */
static bool is_ours(struct tine_acquire *acquire, struct tine_slot *slot)
{
	struct tine_pool *pool = acquire->pool;
	bool paused, served, ours, given;

	tine_pool_lock(pool);
	tine_acquire_attach(acquire, NULL);
	paused = atomic_load(&pool->slow) & (TINE_SLOW_PAUSED | TINE_SLOW_CLOSED);
	served = atomic_load(&acquire->news) & TINE_NEWS_GRANTED;
	ours = !paused && !served && (!acquire->queued || tine_queue_first(pool) == acquire);
	given = !paused && !ours && tine_queue_grant(pool, slot);
	if (ours)
		tine_queue_leave(acquire);
	/* One connect less is on its way: who waits may begin another. */
	tine_queue_room(pool);
	tine_pool_unlock(pool);
	if (paused)
		tine_slot_retire(slot, TINE_CAUSE_DISPOSED, NULL);
	else if (!ours && !given)
		tine_checkin(slot, tine_clock_coarse_ns());
	return ours;
}

static enum tine_look talk_failed(struct tine_acquire *acquire, struct tine_slot *slot)
{
	tine_error error = slot->work.error;

	if (tine_slot_ended_idle(error.sqlstate))
		return tine_seek_replace(acquire, slot, TINE_CAUSE_IDLE, &error);
	if (slot->work.todo & (TINE_TODO_PING | TINE_TODO_DRAIN))
		tine_liveness_learn(slot->pool, slot->idle_before_ns);
	/* What did not answer will not answer the next one sooner. */
	tine_pool_suspect(slot->pool, slot->work.silent);
	slot->work.silent = false;
	return tine_seek_replace(acquire, slot, TINE_CAUSE_DEAD, &error);
}

/* The talk is over; what followed the last answer may still be the end. */
static enum tine_look talked(struct tine_acquire *acquire, struct tine_slot *slot, bool asked)
{
	if (!tine_liveness_peek(slot, &slot->work.error))
		return talk_failed(acquire, slot);
	slot->epoch = atomic_load(&slot->pool->epoch);
	if (asked)
		tine_liveness_answered(slot->pool, slot->idle_before_ns);
	return TINE_LOOK_IDLE;
}

static enum tine_look refused(struct tine_acquire *acquire)
{
	struct tine_slot *slot = acquire->slot;

	acquire->error = slot->work.error;
	tine_pool_lock(acquire->pool);
	tine_acquire_attach(acquire, NULL);
	tine_pool_unlock(acquire->pool);
	tine_slot_retire(slot, TINE_CAUSE_REFUSED, &acquire->error);
	return TINE_LOOK_FAILED;
}

/* Who does not want to wait still gets what is idle: a short talk with it is not waiting. */
static bool has_to_finish(const struct tine_acquire *acquire)
{
	return acquire->slot && !acquire->slot->connecting && !tine_acquire_is_patient(acquire);
}

/* @return TINE_LOOK_IDLE when the slot is ready to be handed out */
static enum tine_look drive(struct tine_acquire *acquire)
{
	struct tine_slot *slot = acquire->slot;
	bool connecting = slot->connecting;
	bool asked = slot->work.todo & TINE_TODO_ROUND_TRIP;

	atomic_fetch_and(&acquire->news, ~(uint32_t)TINE_NEWS_LOOK);
	if (atomic_load(&acquire->pool->slow) & TINE_SLOW_CLOSED) {
		tine_error_set(&acquire->error, TINE_E_CLOSED, "the pool was freed");
		return TINE_LOOK_FAILED;
	}
	switch (tine_work_step(slot)) {
	case TINE_WORK_WAIT:
		acquire->wake_ns =
			slot->work.deadline_ns < acquire->deadline_ns || has_to_finish(acquire)
				? slot->work.deadline_ns
				: acquire->deadline_ns;
		return TINE_LOOK_WAIT;
	case TINE_WORK_FAILED:
		return connecting ? tine_seek_connect_failed(acquire) : talk_failed(acquire, slot);
	default:
		if (!connecting)
			return talked(acquire, slot, asked);
		return tine_connect_done(slot) ? TINE_LOOK_IDLE : refused(acquire);
	}
}

/* ---- the end of waiting --------------------------------------------------------------------- */

static void explain_timeout(struct tine_acquire *acquire, int64_t now_ns)
{
	struct tine_pool *pool = acquire->pool;
	struct tine_event event = { .kind = TINE_EVENT_TIMEOUT, .error = &acquire->error };

	event.time_us = (uint64_t)(now_ns - acquire->began_ns) / TINE_NS_PER_US;
	tine_pool_lock(pool);
	pool->tally.timeouts++;
	if (atomic_load(&pool->slow) & TINE_SLOW_PAUSED)
		tine_error_set(&acquire->error, TINE_E_PAUSED,
			       "the pool was paused for all of %lld ms",
			       (long long)(event.time_us / 1000));
	else if (pool->outage.error.status)
		tine_outage_report(pool, now_ns, &acquire->error);
	else if (pool->growing && !tine_queue_is_live(pool))
		tine_error_set(&acquire->error, TINE_E_CONNECT_TIMEOUT,
			       "not connected to %s%sport %s yet after the %lld ms of the acquire",
			       pool->conninfo.hosts->host, *pool->conninfo.hosts->host ? ", " : "",
			       pool->conninfo.hosts->port, (long long)(event.time_us / 1000));
	else if (acquire->waiter >= 0)
		tine_share_explain(acquire, event.time_us / 1000, &acquire->error);
	else
		tine_holders_explain(pool, event.time_us / 1000, &acquire->error);
	tine_pool_unlock(pool);
	tine_share_note(pool, TINE_BOARD_TIMEOUT, 0);
	tine_event_fire(pool, &event);
}

/* @return false when a connection was granted in the last moment: then it is taken */
static bool leave(struct tine_acquire *acquire)
{
	struct tine_pool *pool = acquire->pool;
	bool granted;

	tine_pool_lock(pool);
	granted = atomic_load(&acquire->news) & TINE_NEWS_GRANTED;
	if (!granted && acquire->queued) {
		tine_queue_leave(acquire);
		tine_queue_room(pool);
	}
	tine_pool_unlock(pool);
	return !granted;
}

static bool is_late(const struct tine_acquire *acquire)
{
	return tine_clock_ns() >= acquire->deadline_ns && !has_to_finish(acquire);
}

static struct tine_slot *take_grant(struct tine_acquire *acquire)
{
	struct tine_slot *slot = acquire->granted;

	if (atomic_load(&acquire->event_fd) >= 0) {
		/* Until who granted it is done with our descriptor. */
		tine_pool_lock(acquire->pool);
		tine_pool_unlock(acquire->pool);
	}
	atomic_fetch_and(&acquire->news, ~(uint32_t)TINE_NEWS_GRANTED);
	acquire->granted = NULL;
	return slot;
}

/* As a rule it comes from somebody's hands, and there is nothing to consider. */
static enum tine_step granted(struct tine_acquire *acquire, tine_conn **ret_conn)
{
	struct tine_slot *slot = take_grant(acquire);

	let_go(acquire, true);
	tine_acquire_attach(acquire, slot);
	switch (tine_seek_consider(acquire)) {
	case TINE_LOOK_IDLE:
		tine_acquire_attach(acquire, NULL);
		return hand_out(acquire, slot, ret_conn);
	case TINE_LOOK_FAILED:
		return fail(acquire);
	default:
		return TINE_STEP_WAIT;
	}
}

bool tine_acquire_is_foreign(struct tine_acquire *acquire)
{
	if (!tine_origin_changed() &&
	    atomic_load(&acquire->pool->generation) == acquire->generation)
		return false;
	tine_error_set(&acquire->error, TINE_E_FORKED,
		       "this acquire was begun in the parent process");
	return true;
}

enum tine_step tine_acquire_step(struct tine_acquire *acquire, tine_conn **ret_conn)
{
	for (;;) {
		enum tine_look found;

		if (tine_acquire_is_foreign(acquire))
			return fail(acquire);
		if (atomic_load(&acquire->news) & TINE_NEWS_GRANTED) {
			enum tine_step step = granted(acquire, ret_conn);

			if (step != TINE_STEP_WAIT)
				return step;
			continue;
		}
		found = acquire->slot
				? drive(acquire)
				: tine_seek_look(acquire, acquire->counted ? tine_clock_ns()
									   : acquire->began_ns);
		if (found == TINE_LOOK_IDLE) {
			struct tine_slot *slot = acquire->slot;

			if (is_ours(acquire, slot)) {
				enum tine_step step = hand_out(acquire, slot, ret_conn);

				if (step != TINE_STEP_WAIT)
					return step;
			}
		} else if (found == TINE_LOOK_WAIT && is_late(acquire)) {
			if (!leave(acquire))
				continue;
			let_go(acquire, false);
			explain_timeout(acquire, tine_clock_ns());
			return fail(acquire);
		} else if (found == TINE_LOOK_WAIT && !atomic_load(&acquire->news)) {
			return TINE_STEP_WAIT;
		} else if (found == TINE_LOOK_FAILED && leave(acquire)) {
			return fail(acquire);
		}
	}
}

void tine_acquire_end(struct tine_acquire *acquire)
{
	struct tine_pool *pool = acquire->pool;

	if (!tine_acquire_is_foreign(acquire)) {
		tine_share_leave_queue(acquire);
		if (!leave(acquire)) {
			struct tine_slot *slot = take_grant(acquire);

			tine_checkin(slot, tine_clock_coarse_ns());
		}
		let_go(acquire, true);
		/* Everybody is served: connects that others began and left are not wanted. */
		if (acquire->over && acquire->error.status == 0 && acquire->leaves_unwanted)
			tine_sweep_orphans(pool, true);
		if (acquire->counted)
			tine_pool_leave(pool);
		acquire->counted = false;
	}
}
