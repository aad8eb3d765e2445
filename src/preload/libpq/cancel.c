/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/cancel.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "preload/libpq/wrap.h"

#define PLACES 1024 /* a power of two */

#define READER_PATIENCE_NS (100 * (int64_t)TINE_NS_PER_MS)
/* The one that asks may have what the other needs to go on, as Python's lock. */
#define RENEWAL_PATIENCE_NS (1 * (int64_t)TINE_NS_PER_S)

/* Keys that are no PGcancel. */
#define RESERVED ((const PGcancel *)1)
#define REMOVED ((const PGcancel *)2)

static struct place {
	const PGcancel *_Atomic cancel; /* NULL: never used; a search ends here */
	/* NULL: its connection has changed hands. Of a removed one: what it sent can still come. */
	const struct tine_record *_Atomic record;
	PGcancel *_Atomic renewed; /* ours, of the session that its connection has by now */
	_Atomic unsigned sending;
	atomic_bool was_sent;
	atomic_bool is_parents; /* made of a session that was a parent's then */
} places[PLACES];

static size_t first_place(const PGcancel *cancel)
{
	return (size_t)((uint64_t)(uintptr_t)cancel * UINT64_C(11400714819323198485) >> 32) %
	       PLACES;
}

static struct place *find(const PGcancel *cancel)
{
	size_t at = first_place(cancel);

	for (size_t i = 0; i < PLACES; i++, at = (at + 1) % PLACES) {
		const PGcancel *key = atomic_load(&places[at].cancel);

		if (key == cancel)
			return &places[at];
		if (!key)
			return NULL;
	}
	return NULL;
}

/* @return false: no room */
static bool add(const PGcancel *cancel, const struct tine_record *record)
{
	size_t at = first_place(cancel);

	for (size_t i = 0; i < PLACES; i++, at = (at + 1) % PLACES) {
		const PGcancel *key = atomic_load(&places[at].cancel);

		if ((key && (key != REMOVED || atomic_load(&places[at].record))) ||
		    !atomic_compare_exchange_strong(&places[at].cancel, &key, RESERVED))
			continue;
		atomic_store(&places[at].was_sent, false);
		atomic_store(&places[at].is_parents, tine_record_inherited(record));
		atomic_store(&places[at].renewed, NULL);
		atomic_store(&places[at].record, record);
		atomic_store(&places[at].cancel, cancel);
		return true;
	}
	return false;
}

bool tine_cancel_detach(struct tine_record *record)
{
	bool is_free = true;

	for (size_t i = 0; i < PLACES && record->stay.has_cancels; i++) {
		if (atomic_load(&places[i].record) != record)
			continue;
		atomic_store(&places[i].record, NULL);
		/* What is being sent, or was and arrives late, would hit the next user's statement.
		 */
		if (atomic_load(&places[i].sending) || atomic_load(&places[i].was_sent))
			is_free = false;
	}
	record->stay.has_cancels = false;
	return is_free;
}

void tine_cancel_forget(struct tine_record *record)
{
	if (record->stay.has_cancels)
		tine_cancel_detach(record);
}

/* One that is being sent may still be read, so it is left behind: a few bytes, very rarely. */
static void drop_renewed(const struct tine_copy *copy, struct place *place, PGcancel *next)
{
	PGcancel *old = atomic_exchange(&place->renewed, next);

	if (old && !atomic_load(&place->sending))
		copy->real.PQfreeCancel(old);
}

void tine_cancel_renew(struct tine_record *record)
{
	const struct tine_copy *copy = record->copy;

	for (size_t i = 0; i < PLACES && record->stay.has_cancels; i++) {
		if (atomic_load(&places[i].record) != record)
			continue;
		if (atomic_load(&places[i].cancel) == REMOVED)
			atomic_store(&places[i].record, NULL);
		else
			drop_renewed(copy, &places[i], copy->real.PQgetCancel(record->conn));
	}
}

/* ---- while a session is opened anew --------------------------------------------------------- */

#define FORKS_SHIFT 48 /* above an address */

atomic_int tine_cancel_holds TINE_HOT;

static uint64_t generation(void)
{
	return (uint64_t)(tine_level.forks + 1) << FORKS_SHIFT;
}

void tine_cancel_hold(struct tine_record *record)
{
	struct tine_renewal *renewal = &record->renewal;
	int64_t until_ns;

	atomic_fetch_add(&tine_cancel_holds, 1);
	atomic_store(&renewal->by, generation() | (uintptr_t)pthread_self());
	if (!atomic_load(&renewal->readers))
		return;
	until_ns = tine_clock_ns() + READER_PATIENCE_NS;
	while (atomic_load(&renewal->readers) && tine_clock_ns() < until_ns)
		tine_clock_nap();
}

void tine_cancel_let(struct tine_record *record)
{
	atomic_store(&record->renewal.by, 0);
	atomic_fetch_sub(&tine_cancel_holds, 1);
}

/* What a callback asks, in the midst of it, libpq lets it ask; a parent's thread does not go on. */
bool tine_cancel_is_held(const struct tine_record *record)
{
	uint64_t by = atomic_load(&record->renewal.by);

	return by && by >> FORKS_SHIFT == generation() >> FORKS_SHIFT &&
	       by != (generation() | (uintptr_t)pthread_self());
}

/* @return false: it has not come to an end in all that time */
static bool begin_to_read(struct tine_record *record)
{
	int64_t until_ns = 0;

	for (;;) {
		atomic_fetch_add(&record->renewal.readers, 1);
		if (!tine_cancel_is_held(record))
			return true;
		atomic_fetch_sub(&record->renewal.readers, 1);
		if (!until_ns)
			until_ns = tine_clock_ns() + RENEWAL_PATIENCE_NS;
		if (tine_clock_ns() >= until_ns)
			return false;
		tine_clock_nap();
	}
}

static void end_reading(struct tine_record *record)
{
	atomic_fetch_sub(&record->renewal.readers, 1);
}

/* ---- wrappers ------------------------------------------------------------------------------- */

static PGcancel *get_cancel(struct tine_copy *copy, struct tine_record *record)
{
	PGcancel *cancel = copy->real.PQgetCancel(record->conn);

	if (!cancel)
		return NULL;
	record->stay.has_cancels = true;
	if (add(cancel, record))
		return cancel;
	record->stay.is_poolable = false;
	if (!tine_record_inherited(record))
		return cancel;
	copy->real.PQfreeCancel(cancel);
	return NULL;
}

PGcancel *tine_wrap_PQgetCancel(struct tine_copy *copy, PGconn *conn)
{
	struct tine_record *record;
	PGcancel *cancel;

	tine_guard_enter();
	record = tine_record_find(conn);
	if (!record || record->copy != copy)
		return copy->real.PQgetCancel(conn);
	if (!begin_to_read(record))
		return NULL;
	cancel = get_cancel(copy, record);
	end_reading(record);
	return cancel;
}

/* One place remembers for all that were sent of a connection. */
static bool is_remembered(const struct place *place)
{
	const struct tine_record *record = atomic_load(&place->record);

	for (const struct place *other = places; other < place; other++)
		if (atomic_load(&other->cancel) == REMOVED &&
		    atomic_load(&other->record) == record)
			return true;
	return false;
}

void tine_wrap_PQfreeCancel(struct tine_copy *copy, PGcancel *cancel)
{
	struct place *place = cancel ? find(cancel) : NULL;

	if (place) {
		if (!atomic_load(&place->was_sent) || is_remembered(place))
			atomic_store(&place->record, NULL);
		drop_renewed(copy, place, NULL);
		atomic_store(&place->cancel, REMOVED);
	}
	copy->real.PQfreeCancel(cancel);
}

int tine_wrap_PQcancel(struct tine_copy *copy, PGcancel *cancel, char *error, int error_size)
{
	struct place *place = cancel ? find(cancel) : NULL;
	int rc = 1;

	if (!place)
		return copy->real.PQcancel(cancel, error, error_size);
	atomic_fetch_add(&place->sending, 1);
	/* Without a connection: as the server does with a request for a session that is over. */
	if (atomic_load(&place->record)) {
		PGcancel *mine = atomic_load(&place->renewed);

		if (!mine && !atomic_load(&place->is_parents))
			mine = cancel;
		atomic_store(&place->was_sent, true);
		rc = mine ? copy->real.PQcancel(mine, error, error_size) : 1;
	}
	atomic_fetch_sub(&place->sending, 1);
	return rc;
}

/* It cannot be told what goes on with it, so it is never kept. */
static struct tine_record *find_unkept(const PGconn *conn)
{
	struct tine_record *record;

	tine_guard_enter();
	record = tine_record_find(conn);
	if (record)
		record->stay.is_poolable = false;
	return record;
}

int tine_wrap_PQrequestCancel(struct tine_copy *copy, PGconn *conn)
{
	const struct tine_record *record = find_unkept(conn);

	return record && tine_record_inherited(record) ? 1 : copy->real.PQrequestCancel(conn);
}

/* Without a connection libpq says that it has none. */
struct pg_cancel_conn *tine_wrap_PQcancelCreate(struct tine_copy *copy, PGconn *conn)
{
	struct tine_record *record = find_unkept(conn);
	struct pg_cancel_conn *cancel;

	if (!record)
		return copy->real.PQcancelCreate(conn);
	if (!begin_to_read(record))
		return copy->real.PQcancelCreate(NULL);
	cancel = copy->real.PQcancelCreate(tine_record_inherited(record) ? NULL : conn);
	end_reading(record);
	return cancel;
}

int tine_wrap_PQregisterEventProc(struct tine_copy *copy, PGconn *conn, PGEventProc proc,
				  const char *name, void *argument)
{
	find_unkept(conn);
	return copy->real.PQregisterEventProc(conn, proc, name, argument);
}
