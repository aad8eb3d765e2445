/* SPDX-License-Identifier: PostgreSQL */
/* Changing a pool that is in use: empty it, resize it, pause it. */
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "pool/config.h"
#include "pool/error.h"
#include "pool/fork.h"
#include "pool/queue.h"
#include "pool/slot.h"
#include "pool/sweep.h"

int tine_pool_dispose(tine_pool *pool, int how)
{
	if (!pool || (how != TINE_DISPOSE_CLOSE && how != TINE_DISPOSE_ABANDON))
		return TINE_E_INVALID;
	tine_pool_enter(pool);
	/* Whatever is older than this is not handed out again. */
	atomic_store(&pool->disposed_epoch, atomic_fetch_add(&pool->epoch, 1) + 1);
	tine_sweep_close_idle(pool, 0, how == TINE_DISPOSE_ABANDON);
	return 0;
}

/* Grow the table of slots. Who reads it has the lock. @return false without memory */
static bool make_places(struct tine_pool *pool, int count)
{
	struct tine_slot **slots;

	if (count <= pool->slot_count)
		return true;
	slots = realloc(pool->slots, (size_t)count * sizeof(struct tine_slot *));
	if (!slots)
		return false;
	memset(slots + pool->slot_count, 0,
	       (size_t)(count - pool->slot_count) * sizeof(struct tine_slot *));
	pool->slots = slots;
	pool->slot_count = count;
	return true;
}

int tine_pool_resize(tine_pool *pool, int pool_size, int max_overflow, tine_error *error)
{
	tine_pool_config config;
	bool done;

	if (!pool)
		return tine_error_set(error, TINE_E_INVALID, "tine_pool_resize: pool is NULL");
	tine_pool_config_init(&config);
	config.pool_size = pool_size;
	config.max_overflow = max_overflow;
	if (tine_pool_config_check(&config, &config, error) < 0)
		return TINE_E_INVALID;
	tine_pool_enter(pool);
	tine_pool_lock(pool);
	done = make_places(pool, pool_size + max_overflow);
	if (done) {
		atomic_store(&pool->pool_size, pool_size);
		pool->max_overflow = max_overflow;
		tine_queue_alarm(pool);
	}
	tine_pool_unlock(pool);
	if (!done)
		return tine_error_set(error, TINE_E_NOMEM, "no memory for %d connections",
				      pool_size + max_overflow);
	tine_sweep_close_idle(pool, pool_size, false);
	return 0;
}

static void wait_until_retired(struct tine_pool *pool, uint32_t seen, int64_t deadline_ns)
{
	struct timespec until = { deadline_ns / TINE_NS_PER_S, deadline_ns % TINE_NS_PER_S };

	syscall(SYS_futex, &pool->retired, FUTEX_WAIT_BITSET_PRIVATE, seen,
		deadline_ns == TINE_NEVER_NS ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
}

static int wait_until_empty(struct tine_pool *pool, int wait_ms, tine_error *error)
{
	int64_t deadline_ns =
		wait_ms < 0 ? TINE_NEVER_NS : tine_clock_ns() + (int64_t)wait_ms * TINE_NS_PER_MS;

	for (;;) {
		uint32_t seen = atomic_load(&pool->retired);

		tine_sweep_close_idle(pool, 0, false);
		if (atomic_load(&pool->open) == 0)
			return 0;
		if (tine_clock_ns() >= deadline_ns)
			return tine_error_set(error, TINE_E_TIMEOUT,
					      "paused, but %d connections are still in use",
					      atomic_load(&pool->open));
		wait_until_retired(pool, seen, deadline_ns);
	}
}

int tine_pool_pause(tine_pool *pool, int how, int wait_ms, tine_error *error)
{
	uint32_t flags = how == TINE_PAUSE_FAIL ? TINE_SLOW_PAUSED | TINE_SLOW_PAUSED_FAIL
						: TINE_SLOW_PAUSED;
	int rc;

	if (!pool || (how != TINE_PAUSE_BLOCK && how != TINE_PAUSE_FAIL))
		return tine_error_set(error, TINE_E_INVALID, "tine_pool_pause: %s",
				      pool ? "how is neither TINE_PAUSE_BLOCK nor _FAIL"
					   : "pool is NULL");
	tine_pool_enter(pool);
	tine_pool_lock(pool);
	pool->calls++;
	atomic_fetch_and(&pool->slow, ~(uint32_t)TINE_SLOW_PAUSED_FAIL);
	atomic_fetch_or(&pool->slow, flags);
	tine_queue_alarm(pool);
	tine_pool_unlock(pool);
	rc = wait_until_empty(pool, wait_ms, error);
	tine_pool_leave(pool);
	return rc;
}

int tine_pool_resume(tine_pool *pool)
{
	if (!pool)
		return TINE_E_INVALID;
	tine_pool_enter(pool);
	tine_pool_lock(pool);
	atomic_fetch_and(&pool->slow, ~(uint32_t)(TINE_SLOW_PAUSED | TINE_SLOW_PAUSED_FAIL));
	tine_queue_alarm(pool);
	tine_pool_unlock(pool);
	return 0;
}
