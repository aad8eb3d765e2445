/* SPDX-License-Identifier: PostgreSQL */
/*
 * Connecting: one address after the other, each with its own time limit, which libpq's interface
 * for connecting in steps does not have. libpq is given one address at a time.
 *
 * Fork: each call of libpq is inside the gate (fork.h), and so is each change of slot->pg.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "pool/error.h"
#include "pool/event.h"
#include "pool/fork.h"
#include "pool/histogram.h"
#include "pool/outage.h"
#include "pool/queue.h"
#include "pool/share.h"
#include "pool/slot.h"
#include "pool/work.h"

/* Always named: what libpq finds in the environment or a service file was read once, with the rest.
 */
static const char *attrs_name(const struct tine_slot *slot)
{
	switch (slot->pool->conninfo.session_attrs) {
	case TINE_ATTRS_READ_WRITE:
		return "read-write";
	case TINE_ATTRS_READ_ONLY:
		return "read-only";
	case TINE_ATTRS_PRIMARY:
		return "primary";
	case TINE_ATTRS_STANDBY:
		return "standby";
	case TINE_ATTRS_PREFER_STANDBY:
		return slot->work.second_pass ? "any" : "standby";
	default:
		return "any";
	}
}

/* Of a repeated keyword libpq takes the last. */
static void append(const char **keywords, const char **values, int *count, const char *keyword,
		   const char *value)
{
	if (!value || *count >= TINE_CONNINFO_MAX - 1)
		return;
	keywords[*count] = keyword;
	values[*count] = value;
	keywords[++*count] = NULL;
	values[*count] = NULL;
}

static const char *find(const char **keywords, const char **values, int count, const char *keyword)
{
	for (int i = 0; i < count; i++)
		if (strcmp(keywords[i], keyword) == 0)
			return values[i];
	return NULL;
}

static const char *own_name(const char **keywords, const char **values, int count)
{
	const char *name = find(keywords, values, count, "application_name");

	return name && *name ? name : find(keywords, values, count, "fallback_application_name");
}

static bool tls_is_optional(const char **keywords, const char **values, int count)
{
	const char *mode = find(keywords, values, count, "sslmode");

	return mode && (strcmp(mode, "prefer") == 0 || strcmp(mode, "allow") == 0);
}

static void start_libpq(struct tine_slot *slot)
{
	struct tine_pool *pool = slot->pool;
	/* Three that say nothing to libpq: under `tine run` they say that this connection has a
	 * pool, a budget and policies already. */
	const char *marked[3 + TINE_CONNINFO_MAX] = { "fallback_application_name",
						      "application_name",
						      "fallback_application_name" };
	const char *marked_values[3 + TINE_CONNINFO_MAX] = { "", "", "" };
	const char **keywords = marked + 3, **values = marked_values + 3;
	char name[80];
	int count =
		tine_conninfo_params(&pool->conninfo, &slot->work.addresses[slot->work.address_at],
				     keywords, values);

	append(keywords, values, &count, "target_session_attrs", attrs_name(slot));
	append(keywords, values, &count, "application_name",
	       tine_share_identity(pool, own_name(keywords, values, count), name, sizeof(name)));
	/* The server could once; that it cannot now is not for an eavesdropper to decide. */
	if (atomic_load(&pool->tls_seen) && tls_is_optional(keywords, values, count))
		append(keywords, values, &count, "sslmode", "require");
	tine_fork_gate_enter();
	slot->pg = pool->pq->connect_start_params(marked, marked_values, 0);
	if (slot->pg)
		tine_fork_note_socket(slot);
	tine_fork_gate_leave();
}

/* Is a further address worth trying? Where a server has given an answer it is that of the service,
 * but for those that say "not here" or "not now". */
static bool is_local_trouble(int status)
{
	return status == TINE_E_CONNECT || status == TINE_E_CONNECT_TIMEOUT ||
	       status == TINE_E_STARTING || status == TINE_E_ROLE;
}

static bool next_address(struct tine_slot *slot)
{
	struct tine_work *work = &slot->work;

	if (!is_local_trouble(work->error.status))
		return false;
	if (++work->address_at < work->address_count)
		return true;
	if (slot->pool->conninfo.session_attrs != TINE_ATTRS_PREFER_STANDBY || work->second_pass)
		return false;
	work->second_pass = true;
	work->address_at = 0;
	return true;
}

static void note_failure(struct tine_slot *slot)
{
	tine_error_set_connect_at(&slot->work.error, slot->pool->pq, slot->pg, slot->work.reached);
}

static void drop(struct tine_slot *slot)
{
	tine_fork_gate_enter();
	slot->pool->pq->finish(slot->pg);
	slot->pg = NULL;
	slot->fd = -1;
	tine_fork_gate_leave();
}

static enum tine_work_result start_address(struct tine_slot *slot)
{
	const struct tine_pq *pq = slot->pool->pq;
	struct tine_work *work = &slot->work;

	do {
		if (slot->pg)
			drop(slot);
		work->reached = CONNECTION_STARTED;
		start_libpq(slot);
		if (!slot->pg) {
			tine_error_set(&work->error, TINE_E_NOMEM, "no memory for a connection");
			return TINE_WORK_FAILED;
		}
		if (pq->status(slot->pg) != CONNECTION_BAD) {
			work->events = POLLOUT;
			work->deadline_ns = tine_clock_ns() + tine_pool_connect_timeout(slot->pool);
			return TINE_WORK_WAIT;
		}
		note_failure(slot);
	} while (next_address(slot));
	return TINE_WORK_FAILED;
}

/* How long the order of addresses is another one after an address did not answer. */
#define DETOUR_NS (30 * (int64_t)TINE_NS_PER_S)

static bool is_same(const struct tine_address *a, const struct tine_address *b)
{
	return a->host == b->host && a->port == b->port && strcmp(a->hostaddr, b->hostaddr) == 0;
}

/* Begin with the address that answered lately when one before it did not. */
static void reorder(struct tine_slot *slot)
{
	struct tine_pool *pool = slot->pool;
	struct tine_work *work = &slot->work;
	struct tine_address first;
	bool holds;
	int at = 0;

	tine_pool_lock(pool);
	first = pool->detour;
	holds = tine_clock_ns() < pool->detour_until_ns;
	tine_pool_unlock(pool);
	while (at < work->address_count && !is_same(&work->addresses[at], &first))
		at++;
	if (!holds || at == work->address_count)
		return;
	memmove(work->addresses + 1, work->addresses, (size_t)at * sizeof(first));
	work->addresses[0] = first;
}

static void note_detour(struct tine_pool *pool, const struct tine_work *work)
{
	if (!work->addresses || !work->address_at || work->second_pass)
		return;
	tine_pool_lock(pool);
	pool->detour = work->addresses[work->address_at];
	pool->detour_until_ns = tine_clock_ns() + DETOUR_NS;
	tine_pool_unlock(pool);
}

enum tine_work_result tine_connect_begin(struct tine_slot *slot)
{
	struct tine_work *work = &slot->work;
	bool growing = work->growing;
	struct tine_address *addresses;
	int count;

	*work = (struct tine_work){ .growing = growing };
	slot->connecting = true;
	work->began_ns = tine_clock_ns();
	if (tine_address_list(&slot->pool->conninfo, &addresses, &count, &work->error) < 0)
		return TINE_WORK_FAILED;
	work->address_count = count;
	work->addresses = addresses;
	reorder(slot);
	return start_address(slot);
}

static enum tine_work_result fail_over(struct tine_slot *slot)
{
	return next_address(slot) ? start_address(slot) : TINE_WORK_FAILED;
}

static enum tine_work_result established(struct tine_slot *slot)
{
	struct tine_pool *pool = slot->pool;
	bool born;

	/* A child must not find libpq in the middle of registering the watcher. */
	tine_fork_gate_enter();
	born = tine_slot_born(slot);
	tine_fork_gate_leave();
	if (!born) {
		tine_error_set(&slot->work.error, TINE_E_NOMEM, "no memory for a connection");
		return TINE_WORK_FAILED;
	}
	if (pool->pq->ssl_in_use(slot->pg))
		atomic_store(&pool->tls_seen, true);
	slot->work.todo |= tine_work_of_new(slot);
	return TINE_WORK_READY;
}

static PostgresPollingStatusType poll_libpq(struct tine_slot *slot)
{
	PostgresPollingStatusType status;

	slot->work.reached = slot->pool->pq->status(slot->pg);
	tine_fork_gate_enter();
	status = slot->pool->pq->connect_poll(slot->pg);
	tine_fork_note_socket(slot);
	tine_fork_gate_leave();
	return status;
}

enum tine_work_result tine_connect_step(struct tine_slot *slot, int64_t now_ns)
{
	struct tine_work *work = &slot->work;

	for (;;) {
		if (!tine_work_poll(slot->fd, work->events)) {
			if (now_ns < work->deadline_ns)
				return TINE_WORK_WAIT;
			tine_error_set(&work->error, TINE_E_CONNECT_TIMEOUT,
				       "no answer from %s%sport %s within %lld ms",
				       work->addresses[work->address_at].host,
				       *work->addresses[work->address_at].host ? ", " : "",
				       work->addresses[work->address_at].port,
				       (long long)(tine_pool_connect_timeout(slot->pool) /
						   TINE_NS_PER_MS));
			return fail_over(slot);
		}
		switch (poll_libpq(slot)) {
		case PGRES_POLLING_OK:
			return established(slot);
		case PGRES_POLLING_READING:
			work->events = POLLIN;
			break;
		case PGRES_POLLING_WRITING:
			work->events = POLLOUT;
			break;
		default:
			note_failure(slot);
			return fail_over(slot);
		}
	}
}

static bool tell(struct tine_slot *slot, uint64_t time_us)
{
	struct tine_pool *pool = slot->pool;
	struct tine_event event = { .pg = slot->pg, .time_us = time_us };
	bool first;

	tine_pool_lock(pool);
	first = !pool->connected_once;
	pool->connected_once = true;
	tine_pool_unlock(pool);
	event.kind = TINE_EVENT_FIRST_CONNECT;
	if (first && tine_event_fire(pool, &event) != 0)
		return false;
	event.kind = TINE_EVENT_CONNECT;
	return tine_event_fire(pool, &event) == 0;
}

bool tine_connect_done(struct tine_slot *slot)
{
	struct tine_pool *pool = slot->pool;
	struct tine_work *work = &slot->work;
	struct tine_address *addresses = work->addresses;
	int64_t took_ns = tine_clock_ns() - work->began_ns;
	uint64_t time_us = (uint64_t)took_ns / TINE_NS_PER_US;

	slot->connecting = false;
	tine_share_opened(slot);
	note_detour(pool, work);
	work->addresses = NULL;
	free(addresses);
	atomic_store(&slot->stamp_ns, tine_clock_coarse_ns());
	tine_pool_lock(pool);
	pool->tally.opened++;
	tine_histogram_add(&pool->tally.connect, time_us);
	tine_queue_connected(pool, took_ns);
	if (work->growing)
		pool->growing--;
	work->growing = false;
	tine_outage_end(pool);
	tine_pool_unlock(pool);
	if (!tell(slot, time_us)) {
		tine_error_set(&work->error, TINE_E_REFUSED,
			       "a function of the program refused the new connection");
		return false;
	}
	pool->pq->dress_save(slot->pg, &slot->dress);
	slot->dirty = false;
	return true;
}
