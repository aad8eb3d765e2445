/* SPDX-License-Identifier: PostgreSQL */
/*
 * Acquire and release. The path that nothing stands in the way of takes no lock and makes no system
 * call: one load for the fork, one compare-and-swap on the slot this thread used last, the coarse
 * clock; on return libpq's own state and one exchange. Everything else is a slow path.
 */
#include "pool/acquire.h"

#include <linux/futex.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "pool/checkout.h"
#include "pool/error.h"
#include "pool/event.h"
#include "pool/fork.h"
#include "pool/histogram.h"
#include "pool/liveness.h"
#include "pool/share.h"
#include "pool/slot.h"
#include "pool/sweep.h"

#define likely(condition) __builtin_expect(!!(condition), 1)

/* ---- acquire -------------------------------------------------------------------------------- */

/* Without news of any death since it was last seen alive it is not older than a limit either, but
 * for its age. */
static bool is_fresh(const struct tine_pool *pool, const struct tine_slot *slot, int64_t now_ns)
{
	return now_ns - atomic_load_explicit(&slot->stamp_ns, memory_order_relaxed) <
		       TINE_FRESH_NS &&
	       slot->epoch == atomic_load_explicit(&pool->epoch, memory_order_relaxed) &&
	       now_ns < slot->expires_ns && slot->uses < slot->uses_end && !slot->work.todo;
}

/* The slot this thread used last, if it is idle and needs no look. */
static struct tine_slot *take_own(struct tine_pool *pool, int64_t now_ns)
{
	struct tine_slot *slot =
		atomic_load_explicit(&tine_pool_lane(pool)->slot, memory_order_acquire);
	uint32_t idle = TINE_SLOT_IDLE;

	if (!slot || atomic_load_explicit(&slot->state, memory_order_relaxed) != TINE_SLOT_IDLE ||
	    !atomic_compare_exchange_strong_explicit(&slot->state, &idle, TINE_SLOT_BUSY,
						     memory_order_acquire, memory_order_relaxed))
		return NULL;
	if (likely(is_fresh(pool, slot, now_ns)))
		return slot;
	tine_slot_let_go(slot);
	return NULL;
}

static bool may_be_quick(const struct tine_pool *pool)
{
	return !tine_origin_changed() && !atomic_load_explicit(&pool->slow, memory_order_relaxed) &&
	       !atomic_load_explicit(&pool->waiting, memory_order_relaxed) &&
	       !tine_event_wanted(pool, TINE_EVENT_CHECKOUT) && pool->config.lifo &&
	       pool->config.ping != TINE_PING_ALWAYS &&
	       atomic_load_explicit(pool->share.epoch, memory_order_relaxed) ==
		       (uint32_t)atomic_load_explicit(&pool->share.seen, memory_order_relaxed);
}

static bool is_sweep_due(struct tine_pool *pool, int64_t now_ns)
{
	return now_ns >= atomic_load_explicit(&pool->next_sweep_ns, memory_order_relaxed);
}

static void wait_on_futex(struct tine_acquire *acquire)
{
	struct timespec until = { acquire->wake_ns / TINE_NS_PER_S,
				  acquire->wake_ns % TINE_NS_PER_S };
	_Atomic uint32_t *shared = tine_share_news(acquire);

	if (shared)
		syscall(SYS_futex, shared, FUTEX_WAIT_BITSET, 0, &until, NULL,
			FUTEX_BITSET_MATCH_ANY);
	else
		syscall(SYS_futex, &acquire->news, FUTEX_WAIT_BITSET_PRIVATE, 0, &until, NULL,
			FUTEX_BITSET_MATCH_ANY);
}

/* Without an event descriptor news comes unseen, so look often: this process has no descriptor
 * left, and nothing will be quick. */
#define BLIND_NS (20 * (int64_t)TINE_NS_PER_MS)

static void wait_on_socket(const struct tine_acquire *acquire)
{
	struct pollfd fds[2] = { { .fd = -1 },
				 { .fd = atomic_load(&acquire->event_fd), .events = POLLIN } };
	int64_t now_ns = tine_clock_ns(), until_ns = acquire->wake_ns;
	eventfd_t unused;

	if (acquire->slot)
		fds[0] = (struct pollfd){ .fd = acquire->slot->fd,
					  .events = acquire->slot->work.events };
	if (fds[1].fd < 0 && acquire->queued && until_ns > now_ns + BLIND_NS)
		until_ns = now_ns + BLIND_NS;
	poll(fds, 2, tine_clock_poll_ms(until_ns, now_ns));
	if (fds[1].revents)
		eventfd_read(fds[1].fd, &unused);
}

bool tine_acquire_open_event(struct tine_acquire *acquire)
{
	int fd = atomic_load(&acquire->event_fd);

	if (fd < 0)
		atomic_store(&acquire->event_fd, fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	return fd >= 0;
}

static int run(struct tine_acquire *acquire, tine_conn **ret_conn)
{
	for (;;) {
		switch (tine_acquire_step(acquire, ret_conn)) {
		case TINE_STEP_DONE:
			return 0;
		case TINE_STEP_FAILED:
			return acquire->error.status;
		default:
			/* News comes by the descriptor once there is one. */
			if (acquire->slot || atomic_load(&acquire->event_fd) >= 0)
				wait_on_socket(acquire);
			else
				wait_on_futex(acquire);
		}
	}
}

/* A thread that is cancelled in here would take libpq's locks with it; it ends when it is out. */
static __attribute__((noinline)) int acquire_slowly(struct tine_pool *pool, int wait_ms,
						    const void *site, tine_conn **ret_conn,
						    tine_error *error)
{
	struct tine_acquire acquire;
	int cancel_state, rc, fd;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	tine_pool_enter(pool);
	tine_sweep_if_due(pool);
	tine_acquire_init(&acquire, pool, wait_ms, site);
	rc = run(&acquire, ret_conn);
	tine_acquire_end(&acquire);
	fd = atomic_load(&acquire.event_fd);
	if (fd >= 0)
		close(fd);
	if (rc < 0)
		tine_error_copy(error, &acquire.error);
	pthread_setcancelstate(cancel_state, NULL);
	return rc;
}

int tine_pool_acquire(tine_pool *pool, int wait_ms, tine_conn **ret_conn, tine_error *error)
{
	const void *site = __builtin_return_address(0);

	if (!pool || !ret_conn)
		return tine_error_set(error, TINE_E_INVALID, "tine_pool_acquire: %s is NULL",
				      pool ? "ret_conn" : "pool");
	if (likely(may_be_quick(pool))) {
		int64_t now_ns = tine_clock_coarse_ns();
		struct tine_slot *slot = is_sweep_due(pool, now_ns) ? NULL : take_own(pool, now_ns);

		if (likely(slot)) {
			*ret_conn = tine_checkout(slot, site, now_ns);
			return 0;
		}
	}
	return acquire_slowly(pool, wait_ms, site, ret_conn, error);
}

/* ---- release -------------------------------------------------------------------------------- */

static void count_hold(struct tine_slot *slot, int64_t now_ns)
{
	int64_t held_ns = now_ns - atomic_load_explicit(&slot->taken_ns, memory_order_relaxed);
	uint64_t us = held_ns > 0 ? (uint64_t)held_ns / TINE_NS_PER_US : 0;
	_Atomic uint64_t *bucket = &slot->hold[tine_histogram_bucket(us)];

	atomic_store_explicit(bucket, atomic_load_explicit(bucket, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	if (us)
		atomic_store_explicit(&slot->hold_sum_us,
				      atomic_load_explicit(&slot->hold_sum_us,
							   memory_order_relaxed) +
					      us,
				      memory_order_relaxed);
}

/* Is the pool in its everyday state, which leaves a connection alone that comes back idle? */
static bool is_everyday(const struct tine_pool *pool)
{
	const uint32_t events = 1U << TINE_EVENT_CHECKIN | 1U << TINE_EVENT_RESET;

	return pool->is_plain && !atomic_load_explicit(&pool->slow, memory_order_relaxed) &&
	       !(atomic_load_explicit(&pool->listening, memory_order_relaxed) & events) &&
	       atomic_load_explicit(&pool->open, memory_order_relaxed) <=
		       atomic_load_explicit(&pool->pool_size, memory_order_relaxed) &&
	       (uint32_t)atomic_load_explicit(&pool->open, memory_order_relaxed) <=
		       atomic_load_explicit(pool->share.fair, memory_order_relaxed);
}

/* What a program can change on a connection that it never asked for? Nothing. */
static bool is_as_it_was(struct tine_slot *slot, int64_t now_ns)
{
	const struct tine_pq *pq = slot->pool->pq;

	return !slot->touched ||
	       (now_ns < slot->role_due_ns && !slot->read_only_seen && !slot->oversized &&
		!slot->was_reset && pq->pipeline_status(slot->pg) == PQ_PIPELINE_OFF &&
		!(slot->dirty && slot->pool->config.reset == TINE_RESET_TRACKED) &&
		pq->dress_restore(slot->pg, &slot->dress));
}

/* Is there nothing to be done but to park it? */
static bool is_clean(struct tine_slot *slot, int64_t now_ns)
{
	return is_everyday(slot->pool) && !tine_slot_is_spent(slot, now_ns) &&
	       slot->pool->pq->transaction_status(slot->pg) == PQTRANS_IDLE &&
	       is_as_it_was(slot, now_ns);
}

/* Of a handle that is not out: because it was returned, or because it is an ancestor's. */
static int not_out(const tine_conn *conn)
{
	struct tine_slot *slot = conn->slot;

	if (atomic_load(&slot->ticket) != conn || atomic_load(&slot->state) < TINE_SLOT_LEFT_QUIET)
		return TINE_E_STALE;
	return TINE_E_FORKED;
}

static bool is_out(const tine_conn *conn)
{
	const struct tine_slot *slot = conn->slot;

	if (tine_origin_changed())
		tine_fork_missed();
	return atomic_load_explicit(&slot->ticket, memory_order_relaxed) == conn &&
	       atomic_load_explicit(&slot->state, memory_order_relaxed) == TINE_SLOT_BUSY;
}

/* Take the handle back. @return 0, or why not */
static int take_back(tine_conn *conn, int64_t now_ns)
{
	int rc;

	if (likely(is_out(conn))) {
		atomic_store_explicit(&conn->slot->ticket, NULL, memory_order_relaxed);
		count_hold(conn->slot, now_ns);
		if (conn->slot->answered)
			conn->slot->epoch = atomic_load_explicit(&conn->slot->pool->epoch,
								 memory_order_relaxed);
		return 0;
	}
	rc = not_out(conn);
	if (rc == TINE_E_FORKED)
		tine_fork_release_left(conn->slot);
	return rc;
}

int tine_conn_release(tine_conn *conn)
{
	int64_t now_ns;
	int rc;

	if (!conn)
		return 0;
	now_ns = tine_clock_coarse_ns();
	rc = take_back(conn, now_ns);
	if (rc < 0)
		return rc;
	if (likely(is_clean(conn->slot, now_ns)))
		tine_checkin(conn->slot, now_ns);
	else
		tine_slot_return(conn->slot, now_ns);
	return 0;
}

int tine_conn_invalidate(tine_conn *conn)
{
	int cancel_state, rc;

	if (!conn)
		return 0;
	rc = take_back(conn, tine_clock_coarse_ns());
	if (rc < 0)
		return rc;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	tine_event_conn(conn->slot, TINE_EVENT_INVALIDATE);
	tine_slot_give_up(conn->slot, TINE_CAUSE_INVALIDATED);
	pthread_setcancelstate(cancel_state, NULL);
	return 0;
}

PGconn *tine_conn_detach(tine_conn *conn)
{
	struct tine_slot *slot;
	struct tine_pool *pool;
	PGconn *pg;

	if (!conn || take_back(conn, tine_clock_coarse_ns()) < 0)
		return NULL;
	slot = conn->slot;
	pool = slot->pool;
	tine_event_close(slot, TINE_CAUSE_DETACHED, NULL);
	tine_pool_lock(pool);
	pool->tally.closed[TINE_CAUSE_DETACHED]++;
	pool->pq->unwatch(slot->pg);
	pg = slot->pg;
	slot->pg = NULL;
	slot->fd = -1;
	tine_pool_unlock(pool);
	tine_slot_give_up(slot, TINE_CAUSE_DETACHED);
	return pg;
}

PGconn *tine_conn_pg(const tine_conn *conn)
{
	if (!conn || !is_out(conn))
		return NULL;
	conn->slot->touched = true;
	conn->slot->role_known = false;
	return conn->slot->pg;
}

void tine_conn_label(tine_conn *conn, const char *label)
{
	struct tine_slot *slot;
	struct tine_text text;

	if (!conn || !label || !is_out(conn))
		return;
	slot = conn->slot;
	tine_pool_lock(slot->pool);
	tine_text_init(&text, slot->label, sizeof(slot->label));
	tine_text_add_foreign(&text, label, strlen(label));
	atomic_fetch_or(&slot->told, TINE_TOLD_LABEL);
	tine_seat_set_label(slot->seat, slot->label);
	tine_pool_unlock(slot->pool);
}
