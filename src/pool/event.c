/* SPDX-License-Identifier: PostgreSQL */
#include "pool/event.h"

int tine_event_fire(struct tine_pool *pool, struct tine_event *event)
{
	int count, rc = 0;

	if (!tine_event_wanted(pool, event->kind))
		return 0;
	event->pool = pool;
	count = atomic_load(&pool->listener_count[event->kind]);
	for (int i = 0; i < count && rc == 0; i++) {
		const struct tine_listener *listener = &pool->listeners[event->kind][i];

		rc = listener->fn(event, listener->user_data);
	}
	return rc;
}

int tine_event_conn(struct tine_slot *slot, int kind)
{
	struct tine_event event = { .kind = kind, .pg = slot->pg };

	return tine_event_fire(slot->pool, &event);
}

void tine_event_close(struct tine_slot *slot, int cause, const tine_error *error)
{
	struct tine_event event = {
		.kind = TINE_EVENT_CLOSE, .pg = slot->pg, .cause = cause, .error = error
	};

	tine_event_fire(slot->pool, &event);
}

int tine_pool_on(tine_pool *pool, int kind, tine_event_fn fn, void *user_data)
{
	int count, rc = TINE_E_INVALID;

	if (!pool || kind < 0 || kind >= TINE_EVENT_COUNT || !fn)
		return TINE_E_INVALID;
	tine_pool_enter(pool);
	tine_pool_lock(pool);
	count = atomic_load(&pool->listener_count[kind]);
	if (count < TINE_LISTENERS) {
		pool->listeners[kind][count] = (struct tine_listener){ fn, user_data };
		atomic_store(&pool->listener_count[kind], count + 1);
		atomic_fetch_or(&pool->listening, 1U << kind);
		rc = 0;
	}
	tine_pool_unlock(pool);
	return rc;
}
