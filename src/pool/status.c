/* SPDX-License-Identifier: PostgreSQL */
/* What a pool looks like from outside. */
#include <string.h>

#include "base/clock.h"
#include "pool/fork.h"
#include "pool/histogram.h"
#include "pool/pool.h"

static void add_slot(tine_pool_stats *stats, const struct tine_slot *slot)
{
	switch (atomic_load(&slot->state)) {
	case TINE_SLOT_IDLE:
		stats->idle++;
		break;
	case TINE_SLOT_BUSY:
		stats->busy++;
		/* Those that came back were counted when they did. */
		stats->checkouts += atomic_load(&slot->ticket) != NULL;
		break;
	case TINE_SLOT_WORK:
		if (atomic_load(&slot->connecting))
			stats->connecting++;
		else
			stats->busy++;
		break;
	case TINE_SLOT_ORPHAN:
		stats->connecting++;
		break;
	default:
		break;
	}
	stats->hold.sum_us += atomic_load(&slot->hold_sum_us);
	for (int i = 0; i < TINE_HISTOGRAM_BUCKETS; i++) {
		stats->hold.bucket[i] += atomic_load(&slot->hold[i]);
		stats->hold.count += atomic_load(&slot->hold[i]);
		stats->checkouts += atomic_load(&slot->hold[i]);
	}
}

static void add_tally(tine_pool_stats *stats, const struct tine_tally *tally)
{
	uint64_t at_once = stats->checkouts - tally->slow_checkouts;

	stats->opened = tally->opened;
	stats->open_failed = tally->open_failed;
	stats->timeouts = tally->timeouts;
	stats->leaks = tally->leaks;
	memcpy(stats->closed, tally->closed, sizeof(stats->closed));
	stats->wait = tally->wait;
	stats->wait.count += at_once;
	stats->wait.bucket[0] += at_once;
	stats->connect = tally->connect;
	stats->last_error = tally->last_error;
}

static void look(struct tine_pool *pool, tine_pool_stats *stats)
{
	stats->pool_size = atomic_load(&pool->pool_size);
	stats->max_overflow = pool->max_overflow;
	stats->open = atomic_load(&pool->open);
	if (stats->open > stats->pool_size)
		stats->overflow = stats->open - stats->pool_size;
	stats->waiting = (int)atomic_load(&pool->waiting);
	stats->paused = (atomic_load(&pool->slow) & TINE_SLOW_PAUSED) != 0;
	stats->learned_idle_ms = (int)(atomic_load(&pool->silent_idle_ns) / TINE_NS_PER_MS);
	stats->pings = atomic_load(&pool->pings);
	for (int i = 0; i < pool->slot_count; i++)
		if (pool->slots[i])
			add_slot(stats, pool->slots[i]);
	add_tally(stats, &pool->tally);
}

int(tine_pool_status)(tine_pool *pool, tine_pool_stats *ret_stats, size_t size_bytes)
{
	tine_pool_stats stats = { 0 };

	if (!pool || !ret_stats)
		return TINE_E_INVALID;
	tine_pool_enter(pool);
	tine_pool_lock(pool);
	look(pool, &stats);
	tine_pool_unlock(pool);
	memset(ret_stats, 0, size_bytes);
	memcpy(ret_stats, &stats, size_bytes < sizeof(stats) ? size_bytes : sizeof(stats));
	return 0;
}

uint64_t tine_histogram_quantile_us(const tine_histogram *histogram, double quantile)
{
	uint64_t seen = 0, wanted;

	if (!histogram || !histogram->count || quantile < 0 || quantile > 1)
		return 0;
	wanted = (uint64_t)(quantile * (double)histogram->count);
	if (wanted >= histogram->count)
		wanted = histogram->count - 1;
	for (int i = 0; i < TINE_HISTOGRAM_BUCKETS - 1; i++) {
		seen += histogram->bucket[i];
		if (seen > wanted)
			return UINT64_C(1) << i;
	}
	return UINT64_C(1) << (TINE_HISTOGRAM_BUCKETS - 1);
}
