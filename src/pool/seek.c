/* SPDX-License-Identifier: PostgreSQL */
#include "pool/seek.h"

#include <string.h>

#include "base/clock.h"
#include "pool/error.h"
#include "pool/event.h"
#include "pool/liveness.h"
#include "pool/outage.h"
#include "pool/share.h"
#include "pool/slot.h"
#include "pool/work.h"

/* How many of an acquire's connects may be ended by somebody before it is an outage. */
#define MOST_TERMINATED 8
#define MOST_LOST 1

/* Sessions that are terminated one by one are no outage, though some of them be at their beginning:
 * the server is there and had let us in. One that shuts down says so at the next attempt. Where
 * nothing is said, as by a proxy without a server behind it, it is not gone on with for so long. */
static bool forgive(struct tine_acquire *acquire)
{
	int most = 0;

	if (strcmp(acquire->error.sqlstate, "57P01") == 0)
		most = MOST_TERMINATED;
	else if (acquire->error.status == TINE_E_LOST && !acquire->slot->work.silent)
		most = MOST_LOST;
	if (acquire->forgiven >= most)
		return false;
	acquire->forgiven++;
	acquire->pool->tally.open_failed++;
	acquire->pool->tally.last_error = acquire->error;
	return true;
}

static bool may_try_again(const struct tine_acquire *acquire)
{
	const struct tine_pool *pool = acquire->pool;

	return pool->config.connect_retry ? !tine_error_is_permanent(acquire->error.status)
					  : tine_queue_is_live(pool);
}

enum tine_look tine_seek_connect_failed(struct tine_acquire *acquire)
{
	struct tine_pool *pool = acquire->pool;
	struct tine_slot *slot = acquire->slot;
	bool again;

	acquire->error = slot->work.error;
	tine_pool_lock(pool);
	again = forgive(acquire);
	tine_acquire_attach(acquire, NULL);
	if (!again) {
		tine_outage_begin(pool, &acquire->error);
		again = may_try_again(acquire);
	}
	again = again && tine_acquire_is_patient(acquire);
	tine_pool_unlock(pool);
	tine_slot_retire(slot, TINE_CAUSE_DEAD, &acquire->error);
	tine_pool_lock(pool);
	tine_queue_alarm(pool);
	tine_pool_unlock(pool);
	return again ? TINE_LOOK_AGAIN : TINE_LOOK_FAILED;
}

/* Who was about to tell news by futex has done so once the lock is free. */
static void hear_by_event(struct tine_acquire *acquire)
{
	if (atomic_load(&acquire->event_fd) >= 0 || !tine_acquire_open_event(acquire))
		return;
	tine_pool_lock(acquire->pool);
	tine_pool_unlock(acquire->pool);
}

static void set_deaf(struct tine_acquire *acquire, bool deaf)
{
	tine_pool_lock(acquire->pool);
	acquire->deaf = deaf;
	if (!deaf)
		tine_queue_serve(acquire->pool);
	tine_pool_unlock(acquire->pool);
}

/* Looking up the names may take seconds. What comes back in that time goes to who can use it; what
 * nobody took is for who is first when this is over. */
static enum tine_look begin_connect(struct tine_acquire *acquire)
{
	enum tine_work_result began;

	set_deaf(acquire, true);
	began = tine_connect_begin(acquire->slot);
	set_deaf(acquire, false);
	return began == TINE_WORK_FAILED ? tine_seek_connect_failed(acquire) : TINE_LOOK_AGAIN;
}

enum tine_look tine_seek_replace(struct tine_acquire *acquire, struct tine_slot *slot, int cause,
				 const tine_error *error)
{
	struct tine_pool *pool = acquire->pool;
	/* One that lives is over before another begins in its place, or its place is left. Who
	 * polls does not wait. */
	bool lives = cause != TINE_CAUSE_DEAD && !(error && error->status), now;
	int open_ms = tine_slot_close(slot, cause, error, lives && acquire->epoll_fd < 0);

	if (!lives || slot->permit < 0)
		open_ms = 0;
	tine_pool_lock(pool);
	now = !open_ms && !tine_outage_holds(pool, tine_clock_ns()) &&
	      tine_acquire_is_patient(acquire) && pool->open <= tine_pool_limit(pool) &&
	      tine_share_pace(slot);
	tine_acquire_attach(acquire, now ? slot : NULL);
	if (now)
		atomic_store(&slot->state, TINE_SLOT_WORK);
	tine_pool_unlock(pool);
	if (now)
		return begin_connect(acquire);
	tine_slot_vacate(slot, false, open_ms);
	return TINE_LOOK_AGAIN;
}

/* ---- looking for one ------------------------------------------------------------------------ */

static enum tine_look refuse(struct tine_acquire *acquire, int status, const char *text)
{
	tine_error_set(&acquire->error, status, "%s", text);
	return TINE_LOOK_FAILED;
}

static enum tine_look join(struct tine_acquire *acquire, int *ret_place)
{
	struct tine_pool *pool = acquire->pool;
	/* Who drives a connect waits for nobody. */
	int waiting = (int)atomic_load(&pool->waiting) - pool->growing;

	if (acquire->queued)
		return TINE_LOOK_WAIT;
	if (pool->config.max_waiting && waiting >= pool->config.max_waiting) {
		tine_error_set(&acquire->error, TINE_E_QUEUE_FULL,
			       "%d acquires wait already (max_waiting)", waiting);
		return TINE_LOOK_FAILED;
	}
	tine_queue_join(acquire);
	*ret_place = (int)atomic_load(&pool->waiting);
	/* What came back before it could know of us. */
	tine_queue_serve(pool);
	return TINE_LOOK_WAIT;
}

static void set_wake(struct tine_acquire *acquire, int64_t now_ns)
{
	const struct tine_pool *pool = acquire->pool;
	bool away = tine_outage_holds(pool, now_ns);
	int64_t next_ns = away ? pool->outage.next_ns : tine_queue_patient_until(acquire);

	acquire->wake_ns = acquire->deadline_ns;
	if ((away || next_ns > now_ns) && next_ns < acquire->wake_ns)
		acquire->wake_ns = next_ns;
}

/* Nothing idle, no room: is there something to wait for? */
static enum tine_look wait_or_fail(struct tine_acquire *acquire, int64_t now_ns, int *ret_place)
{
	struct tine_pool *pool = acquire->pool;

	if (tine_outage_holds(pool, now_ns) && pool->open == 0 &&
	    (!pool->config.connect_retry || tine_error_is_permanent(pool->outage.error.status))) {
		tine_outage_report(pool, now_ns, &acquire->error);
		return TINE_LOOK_FAILED;
	}
	set_wake(acquire, now_ns);
	return join(acquire, ret_place);
}

static enum tine_look look_locked(struct tine_acquire *acquire, int64_t now_ns, int *ret_place)
{
	struct tine_pool *pool = acquire->pool;
	uint32_t slow = atomic_load(&pool->slow);
	const struct tine_acquire *first;
	struct tine_slot *slot;

	/* While we were on the way to the lock: whoever joins the queue now could be given two. */
	if (atomic_load(&acquire->news) & TINE_NEWS_GRANTED)
		return TINE_LOOK_WAIT;
	if (slow & TINE_SLOW_CLOSED)
		return refuse(acquire, TINE_E_CLOSED, "the pool was freed");
	if (slow & TINE_SLOW_PAUSED_FAIL)
		return refuse(acquire, TINE_E_PAUSED, "the pool is paused");
	if (slow & TINE_SLOW_PAUSED) {
		acquire->wake_ns = acquire->deadline_ns;
		return tine_acquire_is_patient(acquire) ? join(acquire, ret_place) : TINE_LOOK_WAIT;
	}
	first = tine_queue_first(pool);
	if (!first || first == acquire) {
		slot = tine_queue_take_idle(pool);
		if (slot) {
			tine_queue_leave(acquire);
			tine_acquire_attach(acquire, slot);
			return TINE_LOOK_IDLE;
		}
	}
	acquire->wake_ns = acquire->deadline_ns;
	if (!tine_acquire_is_patient(acquire))
		return TINE_LOOK_WAIT;
	slot = tine_queue_take_room(acquire, now_ns);
	if (!slot)
		return wait_or_fail(acquire, now_ns, ret_place);
	/* In the queue all the same: what is returned may come first. */
	if (!acquire->queued)
		tine_queue_join(acquire);
	tine_acquire_attach(acquire, slot);
	return TINE_LOOK_AGAIN;
}

enum tine_look tine_seek_consider(struct tine_acquire *acquire)
{
	struct tine_slot *slot = acquire->slot;
	tine_error error;
	int cause;

	switch (tine_liveness_judge(slot, tine_clock_coarse_ns(), &cause, &error)) {
	case TINE_VERDICT_READY:
		slot->epoch = atomic_load(&slot->pool->epoch);
		return TINE_LOOK_IDLE;
	case TINE_VERDICT_TALK:
		atomic_store(&slot->state, TINE_SLOT_WORK);
		return TINE_LOOK_AGAIN;
	default:
		if (cause == TINE_CAUSE_DEAD && error.status)
			tine_pool_suspect(slot->pool, false);
		return tine_seek_replace(acquire, slot, cause, &error);
	}
}

enum tine_look tine_seek_look(struct tine_acquire *acquire, int64_t now_ns)
{
	struct tine_pool *pool = acquire->pool;
	int place = 0;
	enum tine_look found;

	atomic_fetch_and(&acquire->news, ~(uint32_t)TINE_NEWS_LOOK);
	tine_pool_lock(pool);
	if (!acquire->counted)
		pool->calls++;
	acquire->counted = true;
	acquire->share_wake_ns = 0;
	tine_share_learn(pool);
	found = look_locked(acquire, now_ns, &place);
	if (acquire->share_wake_ns && acquire->share_wake_ns < acquire->wake_ns)
		acquire->wake_ns = acquire->share_wake_ns;
	tine_pool_unlock(pool);
	if (place) {
		struct tine_event event = { .kind = TINE_EVENT_WAIT, .count = place };

		tine_event_fire(pool, &event);
	}
	if (found == TINE_LOOK_IDLE)
		return tine_seek_consider(acquire);
	if (found != TINE_LOOK_AGAIN)
		return found;
	/* It is in the queue, and waits on a socket from now on. */
	hear_by_event(acquire);
	return acquire->slot->connecting ? TINE_LOOK_AGAIN : begin_connect(acquire);
}
