/* SPDX-License-Identifier: PostgreSQL */
#include "web/history.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/hash.h"

#define LOCK_TRIES 100 /* a millisecond apart */
/* A little less than the second between two looks, which do not come exactly in time. */
#define APART_MS 900

struct ring {
	uint64_t tree;    /* hash of its board's file; 0: not in use */
	uint32_t written; /* samples so far */
	struct tine_sample samples[TINE_HISTORY_SAMPLES];
};

struct tine_history {
	pthread_mutex_t lock;
	struct ring rings[TINE_HISTORY_TREES];
};

/* ---- the mapping ---------------------------------------------------------------------------- */

struct tine_history *tine_history_new(void)
{
	struct tine_history *history = mmap(NULL, sizeof(*history), PROT_READ | PROT_WRITE,
					    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	pthread_mutexattr_t attributes;

	if (history == MAP_FAILED)
		return NULL;
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&history->lock, &attributes);
	pthread_mutexattr_destroy(&attributes);
	return history;
}

void tine_history_free(struct tine_history *history)
{
	if (history)
		munmap(history, sizeof(*history));
}

/* A call that waits until a time of the monotonic clock is newer than some C libraries. */
static bool lock(struct tine_history *history)
{
	static const struct timespec apart = { 0, TINE_NS_PER_MS };
	int rc = pthread_mutex_trylock(&history->lock);

	for (int i = 0; rc == EBUSY && i < LOCK_TRIES; i++) {
		nanosleep(&apart, NULL);
		rc = pthread_mutex_trylock(&history->lock);
	}
	/* The counters are good with whatever it left. */
	if (rc == EOWNERDEAD)
		rc = pthread_mutex_consistent(&history->lock);
	return rc == 0;
}

/* ---- rings ---------------------------------------------------------------------------------- */

static uint64_t name_of(const struct tine_view *view)
{
	uint64_t hash = tine_hash_text(TINE_HASH_START, view->path);

	return hash ? hash : 1;
}

static struct ring *find(struct tine_history *history, uint64_t tree)
{
	for (int i = 0; i < TINE_HISTORY_TREES; i++)
		if (history->rings[i].tree == tree)
			return &history->rings[i];
	return NULL;
}

/* Zero when there is none. */
static int64_t newest_ms(const struct ring *ring)
{
	return ring->written ? ring->samples[(ring->written - 1) % TINE_HISTORY_SAMPLES].at_ms : 0;
}

/* One that nobody uses, or the one that has not been written to for longest. */
static struct ring *find_room(struct tine_history *history, int64_t now_ms)
{
	struct ring *oldest = &history->rings[0];

	for (int i = 1; i < TINE_HISTORY_TREES; i++)
		if (newest_ms(&history->rings[i]) < newest_ms(oldest))
			oldest = &history->rings[i];
	return newest_ms(oldest) + 2 * APART_MS < now_ms ? oldest : NULL;
}

/* ---- samples -------------------------------------------------------------------------------- */

static int32_t rate_of(const struct tine_rates *rates, int64_t count)
{
	double rate = tine_rates_per_second(rates, count) * 1000;

	return rate < INT32_MAX ? (int32_t)rate : INT32_MAX;
}

static void fill(struct tine_sample *sample, const struct tine_view *view,
		 const struct tine_rates *rates, int64_t now_ms)
{
	*sample = (struct tine_sample){
		.at_ms = now_ms,
		.budget = view->budget,
		.held = view->held,
		.waiting = view->waiters_count,
		.opened = rates ? rate_of(rates, rates->all.opened) : -1,
		.failed = rates ? rate_of(rates, rates->all.failed) : -1,
		.waits = rates ? rate_of(rates, rates->all.slow_checkouts) : -1,
		.timeouts = rates ? rate_of(rates, rates->all.timeouts) : -1,
	};
	for (int i = 0; i < view->seats_count; i++) {
		sample->busy += view->seats[i].state == TINE_SEAT_BUSY;
		sample->idle += view->seats[i].state == TINE_SEAT_IDLE;
	}
}

static void add(struct tine_history *history, const struct tine_view *view,
		const struct tine_rates *rates, int64_t now_ms)
{
	struct ring *ring = find(history, name_of(view));

	if (!ring) {
		ring = find_room(history, now_ms);
		if (!ring)
			return;
		ring->tree = name_of(view);
		ring->written = 0;
	}
	if (newest_ms(ring) + APART_MS > now_ms)
		return;
	fill(&ring->samples[ring->written % TINE_HISTORY_SAMPLES], view, rates, now_ms);
	ring->written++;
}

void tine_history_add(struct tine_history *history, const struct tine_view *view,
		      const struct tine_rates *rates, int64_t now_ns)
{
	if (view->old || !lock(history))
		return;
	add(history, view, rates, now_ns / TINE_NS_PER_MS);
	pthread_mutex_unlock(&history->lock);
}

int tine_history_get(struct tine_history *history, const struct tine_view *view, int64_t after_ms,
		     struct tine_sample ret[])
{
	const struct ring *ring;
	int count = 0;

	if (!lock(history))
		return 0;
	ring = find(history, name_of(view));
	for (int i = 0; ring && i < TINE_HISTORY_SAMPLES; i++) {
		/* From the one that is written over next, which is the oldest. */
		const struct tine_sample *sample =
			&ring->samples[(ring->written + (uint32_t)i) % TINE_HISTORY_SAMPLES];

		if (sample->at_ms > after_ms && (ring->written >= TINE_HISTORY_SAMPLES ||
						 sample < &ring->samples[ring->written]))
			ret[count++] = *sample;
	}
	pthread_mutex_unlock(&history->lock);
	return count;
}
