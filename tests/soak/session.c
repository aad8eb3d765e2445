/* SPDX-License-Identifier: PostgreSQL */
/*
 * Pools, and what their events tell: which sessions this process has opened and not closed. libpq
 * does not say of a lost connection whose it was, so each is remembered by its PGconn.
 *
 * Locks: none; places are taken by compare-and-swap. Fork: a child forgets its parent's.
 */
#include "soak.h"

#include <unistd.h>

#define PLACES 128

tine_pool *pool;

static struct place {
	_Atomic(const PGconn *) pg;
	_Atomic int backend;
} places[PLACES];

static _Atomic int common; /* of the common pool */

void session_forget_all(void)
{
	for (int i = 0; i < PLACES; i++)
		atomic_store(&places[i].pg, NULL);
	atomic_store(&common, 0);
}

int session_backend(const PGconn *pg)
{
	for (int i = 0; i < PLACES; i++)
		if (atomic_load(&places[i].pg) == pg)
			return atomic_load(&places[i].backend);
	fail("a connection that this process has not opened, or has closed");
}

void session_opened(const PGconn *pg, bool extra)
{
	struct backend *backend = backend_at(PQbackendPID(pg));

	atomic_store(&backend->owner, getpid());
	atomic_store(&backend->extra, extra);
	atomic_store(&backend->opened_ns, now_ns());
	for (int i = 0; i < PLACES; i++) {
		const PGconn *nobody = NULL;

		if (!atomic_compare_exchange_strong(&places[i].pg, &nobody, pg))
			continue;
		atomic_store(&places[i].backend, PQbackendPID(pg));
		return;
	}
	fail("more than %d sessions in this process", PLACES);
}

static void closed(const PGconn *pg)
{
	int number = session_backend(pg);
	struct backend *backend = backend_at(number);

	if (atomic_load(&backend->owner) != getpid())
		fail("the session %d of process %d was closed here", number,
		     (int)atomic_load(&backend->owner));
	atomic_store(&backend->closed_ns, now_ns());
	for (int i = 0; i < PLACES; i++)
		if (atomic_load(&places[i].pg) == pg)
			atomic_store(&places[i].pg, NULL);
}

/* ---- events --------------------------------------------------------------------------------- */

/* libpq would print what the server says to a session that it terminates. */
static void hear(void *unused, const char *message)
{
	(void)unused;
	(void)message;
}

static int on_connect(const tine_event *event, void *extra)
{
	session_opened(event->pg, extra);
	PQsetNoticeProcessor(event->pg, hear, NULL);
	if (!extra && atomic_fetch_add(&common, 1) >= LIMIT)
		fail("more than %d connections at the same time", LIMIT);
	count(CONNECTS);
	return 0;
}

static int on_close(const tine_event *event, void *extra)
{
	closed(event->pg);
	atomic_fetch_sub(&common, extra ? 0 : 1);
	return 0;
}

tine_pool *pool_make(bool extra)
{
	void *data = extra ? &common : NULL;
	tine_pool_config config;
	tine_error error;
	tine_pool *made;

	tine_pool_config_init(&config);
	config.conninfo = options.conninfo;
	config.pool_size = extra ? 1 : POOL_SIZE;
	config.max_overflow = extra ? 0 : MAX_OVERFLOW;
	/* Nobody may have to wait so long: first it is a hang. */
	config.acquire_timeout_ms = 2 * options.watch_ms;
	config.reset = options.reset;
	config.application_name = extra ? "soak, extra" : "soak";
	made = tine_pool_new(&config, &error);
	if (!made)
		fail("tine_pool_new: %s", error.text);
	tine_pool_on(made, TINE_EVENT_CONNECT, on_connect, data);
	tine_pool_on(made, TINE_EVENT_CLOSE, on_close, data);
	return made;
}
