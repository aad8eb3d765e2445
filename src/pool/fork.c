/* SPDX-License-Identifier: PostgreSQL */
#include "pool/fork.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fork/sever.h"
#include "pool/share.h"
#include "pool/slot.h"

static struct {
	pthread_mutex_t lock;
	struct tine_pool *first;
	pthread_t forker; /* the thread that forked this process */
} registry = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* The gate: how many are inside, and whether a fork waits for them to leave. Not one of libc's
 * locks, since the child has to open it from any state with a plain store. */
#define GATE_CLOSED (1U << 31)

static _Atomic uint32_t gate;
/* What a thread holds of it itself: libpq may call the program back, and that may fork. */
static __thread uint32_t gate_depth;

static void gate_wait(uint32_t seen)
{
	syscall(SYS_futex, &gate, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void gate_wake(void)
{
	syscall(SYS_futex, &gate, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void tine_fork_gate_enter(void)
{
	uint32_t seen = atomic_load(&gate);

	for (;;) {
		if ((seen & GATE_CLOSED) && !gate_depth) {
			gate_wait(seen);
			seen = atomic_load(&gate);
		} else if (atomic_compare_exchange_weak(&gate, &seen, seen + 1)) {
			break;
		}
	}
	gate_depth++;
}

void tine_fork_gate_leave(void)
{
	gate_depth--;
	if ((atomic_fetch_sub(&gate, 1) - 1) & GATE_CLOSED)
		gate_wake();
}

static void gate_close(void)
{
	uint32_t seen = atomic_fetch_or(&gate, GATE_CLOSED) | GATE_CLOSED;

	while (seen != (GATE_CLOSED | gate_depth)) {
		gate_wait(seen);
		seen = atomic_load(&gate);
	}
}

static void gate_open(void)
{
	atomic_store(&gate, gate_depth);
	gate_wake();
}

void tine_fork_register(struct tine_pool *pool)
{
	pthread_mutex_lock(&registry.lock);
	pool->previous = NULL;
	pool->next = registry.first;
	if (pool->next)
		pool->next->previous = pool;
	registry.first = pool;
	pthread_mutex_unlock(&registry.lock);
}

void tine_fork_unregister(struct tine_pool *pool)
{
	pthread_mutex_lock(&registry.lock);
	if (pool->next)
		pool->next->previous = pool->previous;
	if (pool->previous)
		pool->previous->next = pool->next;
	else
		registry.first = pool->next;
	pthread_mutex_unlock(&registry.lock);
}

void tine_fork_note_socket(struct tine_slot *slot)
{
	struct stat st;
	int fd = slot->pool->pq->socket(slot->pg);

	slot->inode = fd >= 0 && fstat(fd, &st) == 0 ? st.st_ino : 0;
	slot->fd = fd;
}

/* A number may have been closed and taken by another file since it was noted. Without a descriptor
 * left for a dead end the socket is closed; its number is then not libpq's any more.
 * @return false then */
static bool sever_slot(const struct tine_slot *slot, struct tine_dead_end *end)
{
	struct stat st;

	if (slot->fd < 0 || fstat(slot->fd, &st) < 0 || !S_ISSOCK(st.st_mode) ||
	    st.st_ino != slot->inode)
		return true;
	if (end->fd >= 0 || tine_dead_end_open(end) == 0) {
		tine_sever(end, slot->fd);
		return true;
	}
	close(slot->fd);
	return false;
}

/* Can what the child has of the connection be freed, later? Only if no thread was inside libpq with
 * it, and its number is still its own. */
static uint32_t left_state(const struct tine_slot *slot, uint32_t state, bool severed, bool orderly)
{
	if (!severed)
		return TINE_SLOT_LEFT_BUSY;
	if (state == TINE_SLOT_IDLE)
		return TINE_SLOT_LEFT_QUIET;
	if (state == TINE_SLOT_ORPHAN ||
	    (state == TINE_SLOT_WORK && slot->connecting && !slot->work.sent && orderly))
		return TINE_SLOT_LEFT_QUIET;
	return TINE_SLOT_LEFT_BUSY;
}

static void leave_pool(struct tine_pool *pool, struct tine_dead_end *end, bool orderly)
{
	atomic_fetch_add(&pool->generation, 1);
	if (atomic_load(&pool->slow) & TINE_SLOW_LEFT)
		return; /* forked again before its first use */
	for (int i = 0; i < pool->slot_count; i++) {
		struct tine_slot *slot = pool->slots[i];
		uint32_t state;

		if (!slot)
			continue;
		state = atomic_load(&slot->state);
		if (state == TINE_SLOT_EMPTY)
			continue;
		atomic_store(&slot->state, left_state(slot, state, sever_slot(slot, end), orderly));
	}
	tine_share_left(pool);
	atomic_fetch_or(&pool->slow, TINE_SLOW_LEFT);
}

static void leave_all(bool orderly)
{
	struct tine_dead_end end = TINE_DEAD_END_INIT;
	int saved_errno = errno;

	registry.forker = pthread_self();
	for (struct tine_pool *pool = registry.first; pool; pool = pool->next)
		leave_pool(pool, &end, orderly);
	tine_dead_end_close(&end);
	tine_origin_adopt();
	errno = saved_errno;
}

static void before_fork(void)
{
	pthread_mutex_lock(&registry.lock);
	gate_close();
	for (struct tine_pool *pool = registry.first; pool; pool = pool->next)
		pthread_mutex_lock(&pool->lock);
}

static void unlock_pools(void)
{
	for (struct tine_pool *pool = registry.first; pool; pool = pool->next)
		pthread_mutex_unlock(&pool->lock);
	pthread_mutex_unlock(&registry.lock);
}

static void after_fork_in_parent(void)
{
	gate_open();
	unlock_pools();
}

static void after_fork_in_child(void)
{
	leave_all(true);
	gate_open();
	unlock_pools();
}

static bool is_severed(const struct tine_slot *slot)
{
	struct stat st;

	return fstat(slot->fd, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_ino != slot->inode;
}

void tine_fork_missed(void)
{
	if (!tine_origin_changed())
		return;
	registry.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	gate_open();
	for (struct tine_pool *pool = registry.first; pool; pool = pool->next)
		pool->lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	leave_all(false);
}

/* Registered when the library is loaded: child handlers run in the order of their registration, so
 * no handler of the program comes before ours. */
__attribute__((constructor)) static void start(void)
{
	tine_origin_init();
	pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

static void forget_counts(struct tine_pool *pool)
{
	pool->tally = (struct tine_tally){ 0 };
	atomic_store(&pool->pings, 0);
	pool->outage = (struct tine_outage){ 0 };
	for (int i = 0; i < pool->slot_count; i++)
		if (pool->slots[i])
			tine_slot_reset_counts(pool->slots[i]);
}

static void begin_empty(struct tine_pool *pool)
{
	for (int lane = 0; lane < TINE_LANES; lane++)
		atomic_store(&pool->lanes[lane].slot, NULL);
	forget_counts(pool);
	atomic_store(&pool->open, 0);
	pool->growing = pool->leaving = pool->to_replace = pool->calls = 0;
	pool->head = pool->tail = NULL;
	atomic_store(&pool->waiting, 0);
	pool->connected_once = false;
	atomic_fetch_and(&pool->slow, ~(uint32_t)TINE_SLOW_LEFT);
}

/* Take the parent's connections out of the pool: those that are safe to finish one by one, with
 * *ret_pg, the others with their slots, since a handle may still be shown to us.
 * @return false when there are no more */
static bool take_left(struct tine_pool *pool, PGconn **ret_pg, int *count)
{
	for (int i = 0; i < pool->slot_count; i++) {
		struct tine_slot *slot = pool->slots[i];
		uint32_t state = slot ? atomic_load(&slot->state) : TINE_SLOT_EMPTY;

		if (state == TINE_SLOT_LEFT_BUSY) {
			++*count;
			slot->next_left = pool->left;
			pool->left = slot;
			pool->slots[i] = NULL;
		} else if (state == TINE_SLOT_LEFT_QUIET) {
			++*count;
			*ret_pg = tine_slot_empty(slot);
			atomic_store(&slot->state, TINE_SLOT_EMPTY);
			return true;
		}
	}
	return false;
}

int tine_fork_adopt(struct tine_pool *pool)
{
	bool more = true;
	int count = 0;

	while (more) {
		PGconn *pg = NULL;

		tine_pool_lock(pool);
		if (!(atomic_load(&pool->slow) & TINE_SLOW_LEFT)) {
			/* Another thread was quicker. */
			tine_pool_unlock(pool);
			return -1;
		}
		more = take_left(pool, &pg, &count);
		if (!more) {
			begin_empty(pool);
			pool->tally.closed[TINE_CAUSE_FORKED] = (uint64_t)count;
		}
		tine_pool_unlock(pool);
		if (!pg)
			continue;
		tine_fork_gate_enter();
		pool->pq->finish(pg);
		tine_fork_gate_leave();
	}
	return count;
}

/* The caller has the handle, so the slot was checked out. If by the thread that forked, which is
 * here and outside libpq, then what we have of the connection is whole. */
void tine_fork_release_left(struct tine_slot *slot)
{
	if (!slot->pg || !pthread_equal(slot->owner, registry.forker) ||
	    !pthread_equal(pthread_self(), registry.forker) || !is_severed(slot))
		return;
	tine_fork_gate_enter();
	slot->pool->pq->finish(tine_slot_empty(slot));
	tine_fork_gate_leave();
}
