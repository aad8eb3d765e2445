/* SPDX-License-Identifier: PostgreSQL */
#include "pool/liveness.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/peek.h"
#include "pool/error.h"
#include "pool/share.h"
#include "pool/slot.h"

/* Deaths after a shorter idle time are not a matter of idle time. */
#define SHORTEST_SILENCE_NS (2 * (int64_t)TINE_NS_PER_S)

/* What the server says to a connection that is idle: a farewell, as a rule. libpq takes it for a
 * notice and would print it. */
void tine_liveness_hear(void *arg, const PGresult *result)
{
	struct tine_slot *slot = arg;
	const struct tine_pq *pq = slot->pool->pq;
	const char *severity = pq->result_error_field(result, PG_DIAG_SEVERITY_NONLOCALIZED);

	if (severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0)) {
		tine_error_set_result(&slot->work.error, pq, NULL, result);
		slot->work.error.status = TINE_E_LOST;
	}
}

static bool read_what_came(struct tine_slot *slot)
{
	const struct tine_pq *pq = slot->pool->pq;
	bool alive;

	slot->work.error.status = 0;
	slot->role_known = false;
	pq->divert_notices(slot->pg, &slot->dress, tine_liveness_hear, slot);
	alive = pq->consume_input(slot->pg) && !pq->is_busy(slot->pg);
	pq->divert_notices(slot->pg, &slot->dress, NULL, NULL);
	return alive && pq->status(slot->pg) == CONNECTION_OK && slot->work.error.status == 0;
}

static void tell_why(struct tine_slot *slot, tine_error *ret_error)
{
	const struct tine_pq *pq = slot->pool->pq;

	if (slot->work.error.status)
		*ret_error = slot->work.error;
	else
		tine_error_set(ret_error, TINE_E_LOST, "the connection was closed while idle");
	if (pq->status(slot->pg) == CONNECTION_BAD && !slot->work.error.status)
		tine_error_set_result(ret_error, pq, slot->pg, NULL);
}

bool tine_liveness_peek(struct tine_slot *slot, tine_error *ret_error)
{
	int seen = tine_peek(slot->fd);

	slot->work.error.status = 0;
	if (seen == 0)
		return true;
	/* Parameters, notifications and TLS tickets are signs of life; after them there is nothing
	 * more, or the end. */
	if (seen > 0 && read_what_came(slot) && tine_peek(slot->fd) >= 0)
		return true;
	tell_why(slot, ret_error);
	return false;
}

static int64_t ping_after_ns(const struct tine_pool *pool)
{
	int64_t set_ns = (int64_t)pool->config.ping_idle_ms * TINE_NS_PER_MS;
	int64_t learned_ns = atomic_load(&pool->silent_idle_ns) / 4 * 3;

	return learned_ns && learned_ns < set_ns ? learned_ns : set_ns;
}

static bool wants_ping(const struct tine_slot *slot, int64_t idle_ns)
{
	const struct tine_pool *pool = slot->pool;

	if (pool->config.ping == TINE_PING_NEVER)
		return false;
	return pool->config.ping == TINE_PING_ALWAYS || slot->epoch != atomic_load(&pool->epoch) ||
	       idle_ns >= ping_after_ns(pool);
}

static void add_ping(struct tine_slot *slot)
{
	slot->work.todo |= TINE_TODO_PING;
	atomic_fetch_add(&slot->pool->pings, 1);
}

enum tine_verdict tine_liveness_judge(struct tine_slot *slot, int64_t now_ns, int *ret_cause,
				      tine_error *ret_error)
{
	int64_t idle_ns = now_ns - atomic_load_explicit(&slot->stamp_ns, memory_order_relaxed);
	bool suspect = slot->epoch != atomic_load(&slot->pool->epoch);

	ret_error->status = 0;
	slot->idle_before_ns = idle_ns;
	*ret_cause = tine_slot_spent(slot, now_ns);
	if (*ret_cause >= 0)
		return TINE_VERDICT_CLOSE;
	if (slot->work.todo) {
		/* It was sent with its own deadline, which an idle time is not part of. */
		slot->work.deadline_ns =
			tine_clock_ns() +
			(int64_t)slot->pool->config.ping_timeout_ms * TINE_NS_PER_MS;
		/* The answer may have come long ago, and be the last sign of life. */
		if (!(slot->work.todo & TINE_TODO_ROUND_TRIP) && wants_ping(slot, idle_ns))
			add_ping(slot);
		return TINE_VERDICT_TALK;
	}
	if (idle_ns < TINE_FRESH_NS && !suspect && slot->pool->config.ping != TINE_PING_ALWAYS)
		return TINE_VERDICT_READY;
	if (!tine_liveness_peek(slot, ret_error)) {
		*ret_cause = tine_slot_ended_idle(ret_error->sqlstate) ? TINE_CAUSE_IDLE
								       : TINE_CAUSE_DEAD;
		return TINE_VERDICT_CLOSE;
	}
	*ret_cause = TINE_CAUSE_ROLE;
	if (tine_slot_has_new_role(slot, now_ns))
		return TINE_VERDICT_CLOSE;
	if (!wants_ping(slot, idle_ns))
		return TINE_VERDICT_READY;
	add_ping(slot);
	return TINE_VERDICT_TALK;
}

static void set_silence(struct tine_pool *pool, int64_t idle_ns)
{
	atomic_store(&pool->silent_idle_ns, idle_ns);
	tine_share_silence(pool, idle_ns);
}

void tine_liveness_learn(struct tine_pool *pool, int64_t idle_ns)
{
	int64_t known_ns = atomic_load(&pool->silent_idle_ns);

	if (idle_ns >= SHORTEST_SILENCE_NS && (!known_ns || idle_ns < known_ns))
		set_silence(pool, idle_ns);
}

void tine_liveness_answered(struct tine_pool *pool, int64_t idle_ns)
{
	int64_t known_ns = atomic_load(&pool->silent_idle_ns);

	if (known_ns && idle_ns >= known_ns)
		set_silence(pool, 0);
}
