/* SPDX-License-Identifier: PostgreSQL */
#include "show/order.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "show/words.h"

struct ranked {
	int64_t rank, next; /* lowest first */
	int index;
};

const char *tine_order_name(enum tine_order_key key)
{
	static const char *const names[TINE_ORDER_KEYS] = {
		[TINE_ORDER_BUSY] = "busy",     [TINE_ORDER_WORKER] = "worker",
		[TINE_ORDER_WAITS] = "waits",   [TINE_ORDER_AGE] = "age",
		[TINE_ORDER_OPENED] = "opened",
	};

	return names[key];
}

static int by_rank(const void *one, const void *other)
{
	const struct ranked *a = one, *b = other;

	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	if (a->next != b->next)
		return a->next < b->next ? -1 : 1;
	return a->index - b->index;
}

static int finish(const struct tine_order *order, struct ranked *rows, int count, int ret[])
{
	qsort(rows, (size_t)count, sizeof(rows[0]), by_rank);
	for (int i = 0; i < count; i++)
		ret[order->reverse ? count - 1 - i : i] = rows[i].index;
	return count;
}

static bool is_wanted(const struct tine_order *order, const char *row)
{
	return !order->filter || !*order->filter || strcasestr(row, order->filter);
}

/* ---- members -------------------------------------------------------------------------------- */

static bool member_is_wanted(const struct tine_order *order, const struct tine_view_member *member)
{
	char row[192];

	snprintf(row, sizeof(row), "w%d %d %s %s %s", member->worker, member->pid, member->command,
		 member->application, tine_words_life(member->life));
	return is_wanted(order, row);
}

static void rank_member(enum tine_order_key key, const struct tine_view_member *member,
			struct ranked *ret)
{
	switch (key) {
	case TINE_ORDER_BUSY:
		ret->rank = -member->busy;
		ret->next = -member->held;
		break;
	case TINE_ORDER_WAITS:
		ret->rank = -member->waiting;
		ret->next = -member->slow_checkouts;
		break;
	case TINE_ORDER_AGE:
		ret->rank = -member->age_ns;
		break;
	case TINE_ORDER_OPENED:
		ret->rank = -member->opened;
		break;
	case TINE_ORDER_WORKER:
	case TINE_ORDER_KEYS:
		break; /* that is how the view has them */
	}
}

int tine_order_members(const struct tine_order *order, const struct tine_view *view, int ret[])
{
	struct ranked *rows = calloc((size_t)view->members_count + 1, sizeof(*rows));
	int count = 0;

	for (int i = 0; rows && i < view->members_count; i++) {
		if (!member_is_wanted(order, &view->members[i]))
			continue;
		rows[count].index = i;
		rank_member(order->key, &view->members[i], &rows[count++]);
	}
	if (rows)
		finish(order, rows, count, ret);
	free(rows);
	return count;
}

/* ---- connections ---------------------------------------------------------------------------- */

static bool seat_is_wanted(const struct tine_order *order, const struct tine_view *view,
			   const struct tine_view_seat *seat)
{
	const struct tine_view_member *member =
		seat->member >= 0 ? &view->members[seat->member] : NULL;
	char row[256];

	snprintf(row, sizeof(row), "w%d %d %s %s %s %s %s %u", member ? member->worker : 0,
		 member ? member->pid : 0, member ? member->command : "",
		 member ? member->application : "", tine_words_state(seat->state),
		 tine_words_transaction(seat->transaction), seat->label, seat->backend_pid);
	return is_wanted(order, row);
}

static void rank_seat(enum tine_order_key key, const struct tine_view_seat *seat,
		      struct ranked *ret)
{
	switch (key) {
	case TINE_ORDER_BUSY:
		ret->rank = seat->state == TINE_SEAT_BUSY ? 0 : 1 + (int)seat->state;
		ret->next = -seat->since_ns;
		break;
	case TINE_ORDER_WAITS:
		ret->rank = seat->transaction == TINE_SEAT_OUTSIDE;
		ret->next = -seat->since_ns;
		break;
	case TINE_ORDER_AGE:
		ret->rank = -seat->age_ns;
		break;
	case TINE_ORDER_OPENED:
		ret->rank = seat->age_ns;
		break;
	case TINE_ORDER_WORKER:
	case TINE_ORDER_KEYS:
		ret->rank = seat->member;
		break;
	}
}

int tine_order_seats(const struct tine_order *order, const struct tine_view *view, int ret[])
{
	struct ranked *rows = calloc((size_t)view->seats_count + 1, sizeof(*rows));
	int count = 0;

	for (int i = 0; rows && i < view->seats_count; i++) {
		if (!seat_is_wanted(order, view, &view->seats[i]))
			continue;
		rows[count].index = i;
		rank_seat(order->key, &view->seats[i], &rows[count++]);
	}
	if (rows)
		finish(order, rows, count, ret);
	free(rows);
	return count;
}
