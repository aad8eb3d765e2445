/* SPDX-License-Identifier: PostgreSQL */
#include "pool/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "pool/config.h"
#include "pool/error.h"
#include "pool/event.h"
#include "pool/fork.h"
#include "pool/queue.h"
#include "pool/share.h"
#include "pool/slot.h"
#include "pool/sweep.h"

void tine_pool_lock(struct tine_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
}

void tine_pool_unlock(struct tine_pool *pool)
{
	pthread_mutex_unlock(&pool->lock);
}

int tine_pool_limit(const struct tine_pool *pool)
{
	return atomic_load(&pool->pool_size) + pool->max_overflow;
}

int64_t tine_pool_connect_timeout(const struct tine_pool *pool)
{
	/* Named in conninfo it is meant, while ours has a default. */
	int ms = pool->conninfo.connect_timeout_ms;

	return (int64_t)(ms ? ms : pool->config.connect_timeout_ms) * TINE_NS_PER_MS;
}

/* Monotonic time stands still while the machine sleeps; servers and routers do not. */
static void notice_suspend(struct tine_pool *pool)
{
	int64_t tick_ns = tine_clock_coarse_ns(), suspended_ns;

	/* Once for each tick: the kernel moves that clock on when it suspends. */
	if (atomic_exchange(&pool->suspend_seen_ns, tick_ns) == tick_ns)
		return;
	suspended_ns = tine_clock_suspended_ns();
	if (suspended_ns - atomic_load(&pool->suspended_ns) < TINE_NS_PER_S)
		return;
	atomic_store(&pool->suspended_ns, suspended_ns);
	tine_pool_suspect(pool, false);
}

void tine_pool_enter(struct tine_pool *pool)
{
	struct tine_event event = { .kind = TINE_EVENT_FORK };

	if (tine_origin_changed())
		tine_fork_missed();
	notice_suspend(pool);
	if (!(atomic_load(&pool->slow) & TINE_SLOW_LEFT))
		return;
	event.count = tine_fork_adopt(pool);
	tine_share_enlist(pool);
	if (event.count >= 0)
		tine_event_fire(pool, &event);
}

static void destroy(struct tine_pool *pool)
{
	struct tine_slot *left = pool->left, *next;

	tine_fork_unregister(pool);
	for (; left; left = next) {
		next = left->next_left;
		tine_slot_free(left);
	}
	for (int i = 0; i < pool->slot_count; i++)
		if (pool->slots[i])
			tine_slot_free(pool->slots[i]);
	tine_share_close(pool);
	tine_conninfo_done(&pool->conninfo);
	pthread_mutex_destroy(&pool->lock);
	free((char *)pool->config.on_connect_sql);
	free(pool->slots);
	free(pool);
}

void tine_pool_leave(struct tine_pool *pool)
{
	bool last;

	tine_pool_lock(pool);
	pool->calls--;
	last = (atomic_load(&pool->slow) & TINE_SLOW_CLOSED) && pool->open == 0 && pool->calls == 0;
	tine_pool_unlock(pool);
	if (last)
		destroy(pool);
}

/* Servers before PostgreSQL 14 have neither. */
#define WHERE_KNOWN "WHERE current_setting('server_version_num')::int >= 140000"

static void set_watch_sql(struct tine_pool *pool, const tine_pool_config *config)
{
	const char *also = config->orphan_check_ms ? ", " : "";
	char orphan_sql[80] = "";

	if (config->orphan_check_ms) {
		snprintf(orphan_sql, sizeof(orphan_sql),
			 "set_config('client_connection_check_interval', '%d', false)",
			 config->orphan_check_ms);
		snprintf(pool->watch_sql, sizeof(pool->watch_sql), "SELECT %s " WHERE_KNOWN,
			 orphan_sql);
	}
	snprintf(pool->lend_sql, sizeof(pool->lend_sql),
		 "SELECT %s%sset_config('idle_session_timeout', '%d', false) " WHERE_KNOWN,
		 orphan_sql, also, tine_share_lend_after_ms(config));
}

static bool make(struct tine_pool *pool, const tine_pool_config *config)
{
	pthread_mutex_init(&pool->lock, NULL);
	pool->config = *config;
	pool->config.conninfo = pool->config.application_name = pool->config.name = NULL;
	atomic_store(&pool->pool_size, config->pool_size);
	pool->max_overflow = config->max_overflow;
	pool->slot_count = config->pool_size + config->max_overflow;
	pool->slots = calloc((size_t)pool->slot_count, sizeof(struct tine_slot *));
	pool->is_plain = config->kind == TINE_POOL_QUEUE && config->reset != TINE_RESET_FULL;
	pool->suspended_ns = tine_clock_suspended_ns();
	set_watch_sql(pool, config);
	if (config->on_connect_sql)
		pool->config.on_connect_sql = strdup(config->on_connect_sql);
	return pool->slots && (!config->on_connect_sql || pool->config.on_connect_sql);
}

tine_pool *tine_pool_new_with(const struct tine_pq *pq, const tine_pool_config *config,
			      tine_error *error)
{
	tine_pool_config full;
	struct tine_conninfo conninfo;
	struct tine_pool *pool;
	int rc = 0;

	if (tine_pool_config_check(config, &full, error) < 0 ||
	    tine_conninfo_new(&conninfo, pq, &full, error) < 0)
		return NULL;
	pool = aligned_alloc(TINE_CACHE_LINE, sizeof(*pool));
	if (pool) {
		memset(pool, 0, sizeof(*pool));
		pool->pq = pq;
		pool->conninfo = conninfo;
		if (make(pool, &full) && (rc = tine_share_open(pool, &full, error)) == 0) {
			if (tine_origin_changed())
				tine_fork_missed();
			tine_fork_register(pool);
			return pool;
		}
		free((char *)pool->config.on_connect_sql);
		free(pool->slots);
		free(pool);
	}
	tine_conninfo_done(&conninfo);
	if (rc == 0)
		tine_error_set(error, TINE_E_NOMEM, "no memory for a pool");
	return NULL;
}

tine_pool *tine_pool_new(const tine_pool_config *config, tine_error *error)
{
	return tine_pool_new_with(&tine_pq_linked, config, error);
}

void tine_pool_free(tine_pool *pool)
{
	if (!pool)
		return;
	tine_pool_enter(pool);
	tine_pool_lock(pool);
	pool->calls++;
	atomic_fetch_or(&pool->slow, TINE_SLOW_CLOSED);
	tine_queue_alarm(pool);
	tine_pool_unlock(pool);
	tine_sweep_close_idle(pool, 0, false);
	tine_pool_leave(pool);
}
