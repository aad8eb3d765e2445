/* SPDX-License-Identifier: PostgreSQL */
#include "web/history.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/hash.h"

/* A little less than the second between two looks, which do not come exactly in time. */
#define APART_MS 900
/* Two who look at once need not note it in the order of their clocks; what is later is nonsense. */
#define AHEAD_MS 5000
#define NUMBERS 9

_Static_assert(sizeof(struct tine_sample) ==
		       offsetof(struct tine_sample, budget) + NUMBERS * sizeof(int32_t) + 4,
	       "as many numbers as it says");

struct slot {
	_Atomic int64_t at_ms; /* 0: not written yet, or not to its end */
	_Atomic uint64_t tree;
	_Atomic int32_t numbers[NUMBERS];
};

struct ring {
	_Atomic uint64_t tree;    /* hash of its board's file; 0: not in use */
	_Atomic int64_t last_ms;  /* of the newest sample: who sets it writes that */
	_Atomic uint32_t written; /* samples so far */
	struct slot slots[TINE_HISTORY_SAMPLES];
};

struct tine_history {
	struct ring rings[TINE_HISTORY_TREES];
};

/* ---- the mapping ---------------------------------------------------------------------------- */

struct tine_history *tine_history_new(void)
{
	struct tine_history *history = mmap(NULL, sizeof(*history), PROT_READ | PROT_WRITE,
					    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return history == MAP_FAILED ? NULL : history;
}

void tine_history_free(struct tine_history *history)
{
	if (history)
		munmap(history, sizeof(*history));
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
		if (atomic_load(&history->rings[i].tree) == tree)
			return &history->rings[i];
	return NULL;
}

/* How long nobody has written to a ring; as if nobody ever had when it says what cannot be. */
static int64_t silence_ms(int64_t last_ms, int64_t now_ms)
{
	return last_ms < 0 || last_ms - AHEAD_MS > now_ms ? now_ms : now_ms - last_ms;
}

/* One that nobody uses, or the one that has not been written to for longest. What is left in it is
 * the former tree's, and says so. @return NULL: there is none, or another was faster */
static struct ring *take_room(struct tine_history *history, uint64_t tree, int64_t now_ms)
{
	struct ring *longest = NULL;
	uint64_t former;
	int64_t most_ms = 2 * APART_MS;

	for (int i = 0; i < TINE_HISTORY_TREES; i++) {
		struct ring *ring = &history->rings[i];
		int64_t ms = silence_ms(atomic_load(&ring->last_ms), now_ms);

		if (!atomic_load(&ring->tree))
			ms = INT64_MAX;
		if (ms <= most_ms)
			continue;
		most_ms = ms;
		longest = ring;
	}
	if (!longest)
		return NULL;
	former = atomic_load(&longest->tree);
	return atomic_compare_exchange_strong(&longest->tree, &former, tree) ? longest : NULL;
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

static void write_slot(struct slot *slot, uint64_t tree, const struct tine_sample *sample)
{
	int32_t numbers[NUMBERS];

	memcpy(numbers, &sample->budget, sizeof(numbers));
	atomic_store_explicit(&slot->at_ms, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&slot->tree, tree, memory_order_relaxed);
	for (int i = 0; i < NUMBERS; i++)
		atomic_store_explicit(&slot->numbers[i], numbers[i], memory_order_relaxed);
	atomic_store_explicit(&slot->at_ms, sample->at_ms, memory_order_release);
}

/* @return false: it is another tree's, or not whole */
static bool read_slot(struct slot *slot, uint64_t tree, struct tine_sample *ret)
{
	int32_t numbers[NUMBERS];
	uint64_t of;

	ret->at_ms = atomic_load_explicit(&slot->at_ms, memory_order_acquire);
	of = atomic_load_explicit(&slot->tree, memory_order_relaxed);
	for (int i = 0; i < NUMBERS; i++)
		numbers[i] = atomic_load_explicit(&slot->numbers[i], memory_order_relaxed);
	atomic_thread_fence(memory_order_acquire);
	memcpy(&ret->budget, numbers, sizeof(numbers));
	return of == tree && ret->at_ms > 0 &&
	       atomic_load_explicit(&slot->at_ms, memory_order_relaxed) == ret->at_ms;
}

void tine_history_add(struct tine_history *history, const struct tine_view *view,
		      const struct tine_rates *rates, int64_t now_ns)
{
	int64_t last_ms, now_ms = now_ns / TINE_NS_PER_MS;
	struct tine_sample sample;
	struct ring *ring;
	uint32_t number;

	if (view->old)
		return;
	ring = find(history, name_of(view));
	if (!ring)
		ring = take_room(history, name_of(view), now_ms);
	if (!ring)
		return;
	last_ms = atomic_load(&ring->last_ms);
	if (silence_ms(last_ms, now_ms) < APART_MS ||
	    !atomic_compare_exchange_strong(&ring->last_ms, &last_ms, now_ms))
		return;
	fill(&sample, view, rates, now_ms);
	number = atomic_fetch_add(&ring->written, 1);
	write_slot(&ring->slots[number % TINE_HISTORY_SAMPLES], name_of(view), &sample);
}

int tine_history_get(struct tine_history *history, const struct tine_view *view, int64_t after_ms,
		     struct tine_sample ret[])
{
	uint64_t tree = name_of(view);
	struct ring *ring = find(history, tree);
	uint32_t first = ring ? atomic_load(&ring->written) : 0;
	int count = 0;

	/* From the one that is written over next, which is the oldest. What is not later than the
	 * one before is left from another round. */
	for (uint32_t i = 0; ring && i < TINE_HISTORY_SAMPLES; i++) {
		struct slot *slot = &ring->slots[(first + i) % TINE_HISTORY_SAMPLES];

		if (!read_slot(slot, tree, &ret[count]) || ret[count].at_ms <= after_ms)
			continue;
		after_ms = ret[count++].at_ms;
	}
	return count;
}
