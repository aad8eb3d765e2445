/* SPDX-License-Identifier: PostgreSQL */
#include "pool/slot.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/random.h"
#include "fork/sever.h"
#include "pool/event.h"
#include "pool/fork.h"
#include "pool/queue.h"
#include "pool/share.h"

#define SQLSTATE_READ_ONLY "25006"

/* Statements that leave nothing behind in the session once their transaction is over. A function
 * they call may (set_config, advisory locks): that is what "tracked" takes on trust. */
static bool leaves_nothing(const struct tine_pq_seen *seen)
{
	static const char *const harmless[] = {
		"SELECT",  "INSERT",   "UPDATE",    "DELETE",  "MERGE",  "BEGIN", "START",
		"COMMIT",  "ROLLBACK", "SAVEPOINT", "RELEASE", "COPY",   "FETCH", "SHOW",
		"EXPLAIN", "TRUNCATE", "ANALYZE",   "VACUUM",  "NOTIFY", "LOCK",  "DISCARD",
	};
	size_t length = strcspn(seen->command, " ");

	/* SELECT INTO and CREATE TEMP TABLE AS answer "SELECT n" too, but with no rows. */
	if (strncmp(seen->command, "SELECT", 6) == 0 && seen->status == PGRES_COMMAND_OK)
		return false;
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		if (strlen(harmless[i]) == length &&
		    memcmp(seen->command, harmless[i], length) == 0)
			return true;
	return false;
}

/* For people: from what the server says it did. After ROLLBACK TO SAVEPOINT it says ROLLBACK. */
static void note_transaction(struct tine_seat *seat, const struct tine_pq_seen *seen)
{
	uint32_t now = atomic_load_explicit(&seat->transaction, memory_order_relaxed), next = now;

	if (seen->sqlstate)
		next = now == TINE_SEAT_INSIDE ? TINE_SEAT_ABORTED : now;
	else if (strcmp(seen->command, "BEGIN") == 0 || strncmp(seen->command, "START", 5) == 0)
		next = TINE_SEAT_INSIDE;
	else if (strcmp(seen->command, "COMMIT") == 0 || strcmp(seen->command, "ROLLBACK") == 0)
		next = TINE_SEAT_OUTSIDE;
	if (next != now)
		atomic_store_explicit(&seat->transaction, next, memory_order_relaxed);
}

/* Runs inside libpq, for every result of a connection. */
static void saw(struct tine_pq_watcher *watcher, const struct tine_pq_seen *seen)
{
	struct tine_slot *slot =
		(struct tine_slot *)((char *)watcher - offsetof(struct tine_slot, watcher));
	int64_t limit_bytes = slot->pool->config.max_result_bytes;

	note_transaction(slot->seat, seen);
	if (slot->quiet_ns)
		tine_slot_heard(slot, tine_clock_coarse_ns());
	if (limit_bytes && (int64_t)seen->bytes > limit_bytes)
		slot->oversized = true;
	if (seen->sqlstate) {
		strncpy(slot->last_sqlstate, seen->sqlstate, 5);
		if (strcmp(seen->sqlstate, SQLSTATE_READ_ONLY) == 0)
			slot->read_only_seen = true;
	} else {
		slot->answered = true;
		/* A prepared statement's answer has no command. */
		if ((seen->status == PGRES_COMMAND_OK || *seen->command) && !leaves_nothing(seen))
			slot->dirty = true;
	}
}

/* The session is another one, about which nothing is known: good for this checkout and no more. */
static void was_reset(struct tine_pq_watcher *watcher)
{
	struct tine_slot *slot =
		(struct tine_slot *)((char *)watcher - offsetof(struct tine_slot, watcher));

	tine_fork_note_socket(slot);
	slot->was_reset = true;
	/* There is one too many now. */
	if (!tine_share_reset(slot))
		shutdown(slot->fd, SHUT_RDWR);
}

struct tine_slot *tine_slot_new(struct tine_pool *pool)
{
	struct tine_slot *slot =
		aligned_alloc(_Alignof(struct tine_slot), sizeof(struct tine_slot));

	if (!slot)
		return NULL;
	memset(slot, 0, sizeof(*slot));
	slot->pool = pool;
	slot->fd = slot->permit = slot->token = -1;
	slot->seat = &slot->own_seat;
	slot->watcher = (struct tine_pq_watcher){ saw, was_reset };
	for (int i = 0; i < TINE_TICKETS; i++)
		slot->tickets[i].slot = slot;
	return slot;
}

void tine_slot_free(struct tine_slot *slot)
{
	free(slot->work.addresses);
	free(slot);
}

static bool parameter_is_on(const struct tine_slot *slot, const char *name)
{
	const char *value = slot->pool->pq->parameter_status(slot->pg, name);

	return value && strcmp(value, "on") == 0;
}

/* Up to a tenth is taken off at random, so that connections opened together do not end together. */
static int64_t age_limit(struct tine_pool *pool, int64_t now_ns)
{
	int64_t recycle_ns = (int64_t)pool->config.recycle_ms * TINE_NS_PER_MS;
	int64_t jitter_ns;

	if (!recycle_ns)
		return TINE_NEVER_NS;
	jitter_ns = (int64_t)tine_random((uint64_t)recycle_ns / 10);
	return now_ns + recycle_ns - jitter_ns;
}

bool tine_slot_born(struct tine_slot *slot)
{
	struct tine_pool *pool = slot->pool;

	if (!pool->pq->watch(slot->pg, &slot->watcher))
		return false;
	pool->pq->dress_new(slot->pg, &slot->dress);
	slot->epoch = slot->born_epoch = atomic_load(&pool->epoch);
	slot->expires_ns = age_limit(pool, tine_clock_coarse_ns());
	slot->quiet_ns = tine_share_quiet_ns(slot);
	tine_slot_heard(slot, tine_clock_coarse_ns());
	slot->standby = parameter_is_on(slot, "in_hot_standby");
	slot->read_only = parameter_is_on(slot, "default_transaction_read_only");
	slot->uses_end =
		pool->config.max_uses ? slot->uses + (uint64_t)pool->config.max_uses : UINT64_MAX;
	slot->role_known = true;
	slot->role_due_ns = 0;
	slot->dirty = slot->was_reset = slot->oversized = slot->read_only_seen = false;
	slot->last_sqlstate[0] = '\0';
	return true;
}

bool tine_slot_role_changed(const struct tine_slot *slot)
{
	return parameter_is_on(slot, "in_hot_standby") != slot->standby ||
	       parameter_is_on(slot, "default_transaction_read_only") != slot->read_only;
}

/* Under load the comparison is made now and then, not at each return. */
#define ROLE_EVERY_NS (100 * (int64_t)TINE_NS_PER_MS)

bool tine_slot_has_new_role(struct tine_slot *slot, int64_t now_ns)
{
	if (slot->role_known)
		return false;
	slot->role_known = true;
	slot->role_due_ns = now_ns + ROLE_EVERY_NS;
	return tine_slot_role_changed(slot);
}

/* Epochs go round. */
static bool is_older(const struct tine_slot *slot, uint32_t epoch)
{
	return (int32_t)(slot->born_epoch - epoch) < 0;
}

int tine_slot_spent(const struct tine_slot *slot, int64_t now_ns)
{
	const struct tine_pool *pool = slot->pool;

	if (is_older(slot, atomic_load(&pool->disposed_epoch)))
		return TINE_CAUSE_DISPOSED;
	if (is_older(slot, atomic_load(&pool->condemned_epoch)))
		return TINE_CAUSE_DEAD;
	if (now_ns >= slot->expires_ns || slot->uses >= slot->uses_end)
		return TINE_CAUSE_RECYCLE;
	if (now_ns >= slot->ends_ns)
		return TINE_CAUSE_IDLE;
	return slot->oversized ? TINE_CAUSE_SIZE : -1;
}

PGconn *tine_slot_empty(struct tine_slot *slot)
{
	struct tine_address *addresses = slot->work.addresses;
	PGconn *pg = slot->pg;

	/* A fork in between must not find the pointer to what was freed. */
	slot->work.addresses = NULL;
	free(addresses);
	slot->work.todo = 0;
	slot->work.sent = slot->work.failed = false;
	slot->connecting = false;
	slot->pg = NULL;
	slot->fd = -1;
	return pg;
}

void tine_slot_finish(struct tine_slot *slot)
{
	const struct tine_pq *pq = slot->pool->pq;
	/* Not slot->fd: what libpq has closed by itself may be another file by now. */
	int fd = slot->pg ? pq->socket(slot->pg) : -1;
	PGconn *pg;

	tine_fork_gate_enter();
	/* libpq would wait until what is unsent, and its farewell, have left. */
	if (fd >= 0 && pq->transaction_status(slot->pg) != PQTRANS_IDLE)
		shutdown(fd, SHUT_RDWR);
	pg = tine_slot_empty(slot);
	if (pg)
		pq->finish(pg);
	tine_fork_gate_leave();
}

int tine_slot_close(struct tine_slot *slot, int cause, const tine_error *error, bool wait)
{
	struct tine_pool *pool = slot->pool;
	bool was_open;

	tine_share_check(slot);
	if (slot->pg && !slot->connecting) {
		tine_event_close(slot, cause, error);
		tine_pool_lock(pool);
		pool->tally.closed[cause]++;
		tine_pool_unlock(pool);
		tine_share_note(pool, TINE_BOARD_CLOSED, (uint32_t)cause);
	}
	tine_share_connected(slot);
	tine_seat_set(slot->seat, TINE_SEAT_CLOSING, tine_clock_coarse_ns());
	if (wait && slot->permit >= 0)
		return tine_share_farewell(slot);
	was_open = slot->pg != NULL;
	tine_slot_finish(slot);
	return was_open ? TINE_PERMIT_CLOSED_MS : 0;
}

void tine_slot_vacate(struct tine_slot *slot, bool died, int open_ms)
{
	struct tine_pool *pool = slot->pool;

	tine_pool_lock(pool);
	tine_share_give(slot, open_ms);
	if (died)
		tine_queue_died(pool);
	if (slot->work.growing)
		pool->growing--;
	slot->work.growing = false;
	pool->leaving -= slot->leaving;
	slot->leaving = false;
	atomic_store(&slot->state, TINE_SLOT_EMPTY);
	pool->open--;
	tine_queue_room(pool);
	tine_queue_retired(pool);
	tine_pool_unlock(pool);
}

void tine_slot_retire(struct tine_slot *slot, int cause, const tine_error *error)
{
	bool died = slot->pg && !slot->connecting &&
		    (cause == TINE_CAUSE_DEAD || cause == TINE_CAUSE_LOST);
	int open_ms = tine_slot_close(slot, cause, error, cause == TINE_CAUSE_LENT);

	tine_slot_vacate(slot, died, open_ms);
}

void tine_slot_abandon(struct tine_slot *slot)
{
	struct tine_dead_end end = TINE_DEAD_END_INIT;
	int fd = slot->pg ? slot->pool->pq->socket(slot->pg) : -1;

	if (fd >= 0 && tine_dead_end_open(&end) == 0)
		tine_sever(&end, fd);
	tine_dead_end_close(&end);
}

void tine_pool_suspect(struct tine_pool *pool, bool unseen)
{
	tine_pool_doubt(pool, unseen);
	tine_share_died(pool, unseen);
}

void tine_pool_doubt(struct tine_pool *pool, bool unseen)
{
	uint32_t epoch = atomic_fetch_add(&pool->epoch, 1) + 1;

	if (unseen)
		atomic_store(&pool->condemned_epoch, epoch);
}

void tine_slot_reset_counts(struct tine_slot *slot)
{
	slot->hold_sum_us = 0;
	for (int i = 0; i < TINE_HISTOGRAM_BUCKETS; i++)
		slot->hold[i] = 0;
}
