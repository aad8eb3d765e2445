/* SPDX-License-Identifier: PostgreSQL */
/*
 * What tools see of a board. Works on a private copy of the segment: what was checked stays so. The
 * copy is not of one instant, so a permit can be seen with an owner that has just left.
 */
#include "board/view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "board/process.h"
#include "board/segment.h"
#include "board/word.h"

/* No true count is larger, and the sum of those of all members is a number still. */
#define MOST INT64_C(1000000000000000)

struct reading {
	const struct tine_board_layout *map; /* the copy */
	struct tine_view *view;
	int64_t now_ns;
	uint64_t own_namespace;
	int index_of[TINE_BOARD_MEMBERS]; /* in view->members, by place; -1 */
};

_Static_assert(TINE_VIEW_CAUSES == TINE_BOARD_CAUSES, "causes are copied one by one");
_Static_assert(TINE_VIEW_BUCKETS == TINE_BOARD_BUCKETS, "buckets are copied one by one");

/* ---- values --------------------------------------------------------------------------------- */

static int64_t bounded(uint64_t number)
{
	return number < (uint64_t)MOST ? (int64_t)number : MOST;
}

static int up_to(uint32_t number, int most)
{
	return number <= (uint32_t)most ? (int)number : 0;
}

/* Zero when it was not set, or is not in the past. */
static int64_t age(const struct reading *reading, int64_t then_ns)
{
	return then_ns > 0 && then_ns < reading->now_ns ? reading->now_ns - then_ns : 0;
}

static void strip(char *to, size_t size, const char *from, size_t from_size)
{
	struct tine_text text;

	tine_text_init(&text, to, size);
	tine_text_add_foreign(&text, from, strnlen(from, from_size));
}

/* ---- members -------------------------------------------------------------------------------- */

static enum tine_view_life life_of(const struct reading *reading, int place)
{
	const struct tine_board_member *member = &reading->map->members[place];
	uint64_t word = atomic_load(&member->word);
	enum tine_process_fate fate;

	if (reading->view->old)
		return TINE_VIEW_DEAD;
	if (!reading->own_namespace ||
	    atomic_load(&member->pid_namespace) != reading->own_namespace)
		return TINE_VIEW_FOREIGN;
	fate = tine_process_fate(tine_place_pid(word), tine_place_start(word),
				 atomic_load(&member->image));
	if (fate == TINE_PROCESS_DEAD)
		return TINE_VIEW_DEAD;
	return fate == TINE_PROCESS_EXECUTED || tine_place_state(word) == TINE_PLACE_PAST
		       ? TINE_VIEW_PAST
		       : TINE_VIEW_ALIVE;
}

static void copy_counters(const struct tine_board_member *from, struct tine_view_member *to)
{
	to->opened = bounded(atomic_load(&from->opened));
	to->failed = bounded(atomic_load(&from->failed));
	to->slow_checkouts = bounded(atomic_load(&from->slow_checkouts));
	to->timeouts = bounded(atomic_load(&from->timeouts));
	for (int i = 0; i < TINE_VIEW_CAUSES; i++)
		to->closed[i] = bounded(atomic_load(&from->closed[i]));
	for (int i = 0; i < TINE_VIEW_BUCKETS; i++)
		to->wait[i] = bounded(atomic_load(&from->wait[i]));
}

static void read_member(const struct reading *reading, int place, struct tine_view_member *ret)
{
	const struct tine_board_member *from = &reading->map->members[place];

	ret->life = life_of(reading, place);
	ret->pid = tine_place_pid(atomic_load(&from->word));
	ret->worker = up_to(atomic_load(&from->worker), TINE_BOARD_MEMBERS);
	ret->joined_ns = atomic_load(&from->joined_ns);
	ret->age_ns = age(reading, ret->joined_ns);
	ret->floor = up_to(atomic_load(&from->floor), TINE_BOARD_PERMITS);
	ret->ceiling = up_to(atomic_load(&from->ceiling), TINE_BOARD_PERMITS);
	ret->wants = atomic_load(&from->wants) != 0;
	copy_counters(from, ret);
	strip(ret->command, sizeof(ret->command), from->command, sizeof(from->command));
	strip(ret->application, sizeof(ret->application), from->application,
	      sizeof(from->application));
}

struct numbered {
	uint32_t worker;
	int place;
};

static int by_worker(const void *one, const void *other)
{
	const struct numbered *a = one, *b = other;

	if (a->worker != b->worker)
		return a->worker < b->worker ? -1 : 1;
	return a->place - b->place;
}

static void read_members(struct reading *reading)
{
	struct numbered order[TINE_BOARD_MEMBERS];
	int count = 0;

	for (int place = 0; place < TINE_BOARD_MEMBERS; place++) {
		const struct tine_board_member *member = &reading->map->members[place];

		reading->index_of[place] = -1;
		if (tine_place_state(atomic_load(&member->word)) >= TINE_PLACE_LIVE)
			/* None is the largest. */
			order[count++] =
				(struct numbered){ atomic_load(&member->worker) - 1, place };
	}
	qsort(order, (size_t)count, sizeof(order[0]), by_worker);
	for (int i = 0; i < count; i++) {
		read_member(reading, order[i].place, &reading->view->members[i]);
		reading->index_of[order[i].place] = i;
	}
	reading->view->members_count = count;
}

static int owner_of(const struct reading *reading, uint64_t word)
{
	return tine_owner_is_there(reading->map, word) ? reading->index_of[tine_owner_place(word)]
						       : -1;
}

/* ---- permits -------------------------------------------------------------------------------- */

static int target_of(const struct reading *reading, uint32_t number)
{
	for (int i = 0; i < reading->view->targets_count; i++)
		if ((uint32_t)reading->view->targets[i].number == number)
			return i;
	return -1;
}

static void read_seat(const struct reading *reading, int permit, struct tine_view_seat *ret)
{
	const struct tine_seat *from = &reading->map->seats[permit];
	uint32_t transaction = atomic_load(&from->transaction);
	char label[TINE_SEAT_LABEL_BYTES];

	ret->permit = permit;
	ret->member =
		owner_of(reading, tine_permit_owner(atomic_load(&reading->map->permits[permit])));
	ret->target = -1;
	ret->state = (enum tine_seat_state)up_to(atomic_load(&from->state), TINE_SEAT_CLOSING);
	if (ret->state == TINE_SEAT_NONE)
		return; /* the rest is the last owner's still */
	for (int i = 0; i < TINE_SEAT_LABEL_BYTES; i++)
		label[i] = atomic_load(&from->label[i]);
	strip(ret->label, sizeof(ret->label), label, sizeof(label));
	ret->transaction = (enum tine_seat_transaction)up_to(transaction, TINE_SEAT_ABORTED);
	ret->since_ns = age(reading, atomic_load(&from->since_ns));
	ret->age_ns = age(reading, atomic_load(&from->opened_ns));
	ret->uses = bounded(atomic_load(&from->uses));
	ret->backend_pid = atomic_load(&from->backend_pid);
	ret->target = target_of(reading, atomic_load(&from->target));
}

static void count_seat(struct tine_view *view, const struct tine_view_seat *seat)
{
	struct tine_view_member *member = seat->member >= 0 ? &view->members[seat->member] : NULL;

	if (!member)
		return;
	member->held++;
	member->connecting += seat->state == TINE_SEAT_CONNECTING;
	member->idle += seat->state == TINE_SEAT_IDLE;
	member->busy += seat->state == TINE_SEAT_BUSY;
	member->closing += seat->state == TINE_SEAT_CLOSING;
}

static void read_permits(struct reading *reading)
{
	struct tine_view *view = reading->view;
	int limit = tine_board_limit(reading->map);

	for (int i = 0; i < TINE_BOARD_PERMITS; i++) {
		uint64_t word = atomic_load(&reading->map->permits[i]);

		if (tine_permit_is_free(word, reading->now_ns)) {
			view->free += view->budget && i < limit;
		} else if (word & TINE_PERMIT_LIMBO) {
			view->limbo++;
		} else {
			read_seat(reading, i, &view->seats[view->held]);
			count_seat(view, &view->seats[view->held++]);
		}
	}
	view->seats_count = view->held;
	for (int i = 0; i < TINE_BOARD_TOKENS; i++)
		view->tokens += owner_of(reading, atomic_load(&reading->map->tokens[i].word) &
							  TINE_OWNER_MASK) >= 0;
}

/* ---- the queue, targets, events ------------------------------------------------------------- */

static int by_ticket(const void *one, const void *other)
{
	const struct tine_view_waiter *a = one, *b = other;

	return a->ticket < b->ticket ? -1 : a->ticket > b->ticket;
}

static void read_waiters(struct reading *reading)
{
	struct tine_view *view = reading->view;

	for (int i = 0; i < TINE_BOARD_WAITERS; i++) {
		const struct tine_board_waiter *from = &reading->map->waiters[i];
		struct tine_view_waiter *to = &view->waiters[view->waiters_count];
		uint64_t word = atomic_load(&from->word);

		to->ticket = atomic_load(&from->ticket);
		if (!word || !to->ticket)
			continue;
		to->member = owner_of(reading, word);
		to->since_ns = age(reading, atomic_load(&from->since_ns));
		to->called = atomic_load(&from->called_ns) != 0;
		if (to->member >= 0)
			view->members[to->member].waiting++;
		view->waiters_count++;
	}
	qsort(view->waiters, (size_t)view->waiters_count, sizeof(view->waiters[0]), by_ticket);
}

static void read_target(const struct reading *reading, int number, struct tine_view_target *ret)
{
	const struct tine_board_target *from = &reading->map->targets[number];
	int64_t next_ns = atomic_load(&from->next_ns);
	int64_t silent_ns = atomic_load(&from->silent_idle_ns);

	ret->number = number;
	ret->deaths = atomic_load(&from->epoch);
	ret->silent_idle_ns = silent_ns > 0 ? bounded((uint64_t)silent_ns) : 0;
	ret->status = atomic_load(&from->status);
	if (!ret->status)
		return;
	ret->failures = atomic_load(&from->failures);
	ret->age_ns = age(reading, atomic_load(&from->at_ns));
	ret->next_in_ns = next_ns > reading->now_ns
				  ? bounded((uint64_t)next_ns - (uint64_t)reading->now_ns)
				  : 0;
	strip(ret->text, sizeof(ret->text), from->text, sizeof(from->text));
	for (int i = 0; i < 5; i++) {
		char byte = from->sqlstate[i];

		if (!((byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z')))
			break;
		ret->sqlstate[i] = byte;
	}
}

static void read_targets(struct reading *reading)
{
	struct tine_view *view = reading->view;

	for (int i = 0; i < TINE_BOARD_TARGETS; i++)
		if (atomic_load(&reading->map->targets[i].key))
			read_target(reading, i, &view->targets[view->targets_count++]);
}

static int newest_first(const void *one, const void *other)
{
	const struct tine_view_event *a = one, *b = other;

	return a->number > b->number ? -1 : a->number < b->number;
}

static void read_events(struct reading *reading)
{
	struct tine_view *view = reading->view;

	for (uint64_t i = 0; i < TINE_BOARD_EVENTS; i++) {
		const struct tine_board_event *from = &reading->map->events[i];
		uint64_t sequence = atomic_load(&from->sequence);
		uint32_t kind = atomic_load(&from->kind);

		/* Being written, or of nobody's writing. */
		if (!sequence || (sequence - 1) % TINE_BOARD_EVENTS != i ||
		    kind < TINE_BOARD_JOINED || kind > TINE_BOARD_FORKED)
			continue;
		view->events[view->events_count++] = (struct tine_view_event){
			.number = sequence - 1,
			.age_ns = age(reading, atomic_load(&from->at_ns)),
			.kind = (enum tine_board_event_kind)kind,
			.pid = up_to(atomic_load(&from->pid), (int)TINE_PID_MASK),
			.worker = up_to(atomic_load(&from->worker), TINE_BOARD_MEMBERS),
			.detail = atomic_load(&from->detail),
		};
	}
	qsort(view->events, (size_t)view->events_count, sizeof(view->events[0]), newest_first);
}

/* ---- the whole ------------------------------------------------------------------------------ */

static void set_label(struct tine_view *view, const char *path, const char *name)
{
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	size_t length = strlen(base);

	strip(view->path, sizeof(view->path), path, strlen(path));
	view->named = *name != '\0';
	if (view->named)
		strip(view->label, sizeof(view->label), name, TINE_BOARD_NAME_BYTES);
	else
		strip(view->label, sizeof(view->label), base,
		      length > 6 && !strcmp(base + length - 6, ".board") ? length - 6 : length);
}

static struct tine_view *new_view(void)
{
	struct tine_view *view = calloc(1, sizeof(*view));

	if (!view)
		return NULL;
	view->members = calloc(TINE_BOARD_MEMBERS, sizeof(view->members[0]));
	view->seats = calloc(TINE_BOARD_PERMITS, sizeof(view->seats[0]));
	/* One more, which is looked at before it is known that it is one. */
	view->waiters = calloc(TINE_BOARD_WAITERS + 1, sizeof(view->waiters[0]));
	view->targets = calloc(TINE_BOARD_TARGETS, sizeof(view->targets[0]));
	view->events = calloc(TINE_BOARD_EVENTS, sizeof(view->events[0]));
	if (view->members && view->seats && view->waiters && view->targets && view->events)
		return view;
	tine_view_free(view);
	return NULL;
}

static void fill(struct reading *reading, const char *path)
{
	const struct tine_board_layout *map = reading->map;
	struct tine_view *view = reading->view;

	set_label(view, path, map->name);
	view->old = tine_segment_is_of_other_boot(map);
	view->age_ns = age(reading, atomic_load(&map->made_ns));
	view->budget = up_to(atomic_load(&map->budget), TINE_BOARD_PERMITS);
	view->fair_share = up_to(atomic_load(&map->fair_share), TINE_BOARD_PERMITS);
	view->connect_parallel = up_to(atomic_load(&map->connect_parallel), TINE_BOARD_TOKENS);
	read_members(reading);
	read_targets(reading);
	read_permits(reading);
	read_waiters(reading);
	read_events(reading);
}

int tine_view_read(const char *path, struct tine_view **ret, uint32_t *ret_layout)
{
	struct reading reading = { .own_namespace = tine_process_namespace() };
	struct tine_board_layout *copy;
	uid_t owner;
	int rc = tine_segment_copy(path, &copy, &owner, ret_layout);

	if (rc < 0)
		return rc;
	reading.map = copy;
	reading.view = new_view();
	/* After the copy: nothing in it is ahead. */
	reading.now_ns = tine_clock_ns();
	if (reading.view) {
		reading.view->owner = owner;
		fill(&reading, path);
	}
	free(copy);
	*ret = reading.view;
	return reading.view ? 0 : -ENOMEM;
}

void tine_view_free(struct tine_view *view)
{
	if (!view)
		return;
	free(view->members);
	free(view->seats);
	free(view->waiters);
	free(view->targets);
	free(view->events);
	free(view);
}

int tine_view_living(const struct tine_view *view)
{
	int living = 0;

	for (int i = 0; i < view->members_count; i++)
		living += view->members[i].life != TINE_VIEW_DEAD;
	return living;
}
