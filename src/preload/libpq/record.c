/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/record.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hot.h"

#define FIRST_SIZE 64 /* pairs; a power of two, as all sizes are */

/* Where a removed key was: a search goes on behind it. No PGconn has an odd address. */
#define REMOVED ((const PGconn *)1)

struct pair {
	const PGconn *_Atomic key;
	struct tine_record *_Atomic record;
};

struct table {
	struct table *older; /* the one before it, which somebody may be reading */
	size_t size;
	size_t used; /* pairs that are not empty, removed ones too */
	struct pair pairs[];
};

static struct table *_Atomic table TINE_HOT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Fibonacci hashing: addresses from malloc() differ in their middle bits. */
static size_t place(const struct table *in, const PGconn *conn)
{
	return (size_t)(((uint64_t)(uintptr_t)conn * UINT64_C(11400714819323198485)) >> 32) &
	       (in->size - 1);
}

TINE_HOT_CODE
struct tine_record *tine_record_find(const PGconn *conn)
{
	struct table *in = atomic_load_explicit(&table, memory_order_acquire);
	const PGconn *key;

	if (!in || !conn)
		return NULL;
	for (size_t at = place(in, conn);; at = (at + 1) & (in->size - 1)) {
		key = atomic_load_explicit(&in->pairs[at].key, memory_order_acquire);
		if (key == conn)
			return atomic_load_explicit(&in->pairs[at].record, memory_order_relaxed);
		if (!key)
			return NULL;
	}
}

/* The first pair that is empty or was; there is one. */
static void put(struct table *in, struct tine_record *record)
{
	size_t at = place(in, record->conn);

	while (in->pairs[at].key && in->pairs[at].key != REMOVED)
		at = (at + 1) & (in->size - 1);
	in->used += !in->pairs[at].key;
	atomic_store_explicit(&in->pairs[at].record, record, memory_order_relaxed);
	atomic_store_explicit(&in->pairs[at].key, record->conn, memory_order_release);
}

static bool is_live(const struct pair *pair)
{
	return pair->key && pair->key != REMOVED;
}

static size_t count_live(const struct table *in)
{
	size_t live = 0;

	for (size_t i = 0; in && i < in->size; i++)
		live += is_live(&in->pairs[i]);
	return live;
}

/* A table with room, a quarter of it used at most: the present one, or a copy without the removed
 * pairs. */
static struct table *make_room(void)
{
	struct table *old = table, *new;
	size_t size = FIRST_SIZE, live;

	if (old && old->used < old->size / 2)
		return old;
	live = count_live(old);
	while (size < live * 4)
		size *= 2;
	new = calloc(1, sizeof(*new) + size * sizeof(new->pairs[0]));
	if (!new)
		return NULL;
	new->older = old;
	new->size = size;
	for (size_t i = 0; old && i < old->size; i++)
		if (is_live(&old->pairs[i]))
			put(new, old->pairs[i].record);
	atomic_store_explicit(&table, new, memory_order_release);
	return new;
}

struct tine_record *tine_record_add(struct tine_copy *copy, PGconn *conn)
{
	struct tine_record *record = calloc(1, sizeof(*record));
	struct table *in;

	if (!record)
		return NULL;
	record->conn = conn;
	record->copy = copy;
	record->forks = tine_level.forks;
	record->session.fd = record->session.server = -1;
	record->used_ns = tine_clock_coarse_ns();
	record->claim = (struct tine_claim)TINE_CLAIM_NONE;
	pthread_mutex_lock(&lock);
	in = make_room();
	if (in)
		put(in, record);
	pthread_mutex_unlock(&lock);
	if (!in) {
		free(record);
		return NULL;
	}
	return record;
}

/* Nothing is searched for behind an empty pair, so removed ones in front of it can be empty too. */
static void take_out(struct table *in, size_t at)
{
	const size_t mask = in->size - 1;

	atomic_store_explicit(&in->pairs[at].key, REMOVED, memory_order_relaxed);
	if (in->pairs[(at + 1) & mask].key)
		return;
	for (; in->pairs[at].key == REMOVED; at = (at - 1) & mask) {
		atomic_store_explicit(&in->pairs[at].key, NULL, memory_order_relaxed);
		in->used--;
	}
}

void tine_record_remove(struct tine_record *record)
{
	struct table *in;
	size_t at;

	pthread_mutex_lock(&lock);
	in = table;
	at = place(in, record->conn);
	while (in->pairs[at].key && in->pairs[at].key != record->conn)
		at = (at + 1) & (in->size - 1);
	if (in->pairs[at].key)
		take_out(in, at);
	pthread_mutex_unlock(&lock);
	tine_stay_move(&record->stay, TINE_STAY_OUT);
	tine_session_end(record);
	free(record);
}

void tine_record_visit(void (*visit)(const struct tine_record *record))
{
	const struct table *in = table;

	for (size_t i = 0; in && i < in->size; i++)
		if (is_live(&in->pairs[i]))
			visit(in->pairs[i].record);
}

void tine_record_lock(void)
{
	pthread_mutex_lock(&lock);
}

void tine_record_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

void tine_record_renew_lock(void)
{
	lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}
