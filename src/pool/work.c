/* SPDX-License-Identifier: PostgreSQL */
#include "pool/work.h"

#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "pool/error.h"
#include "pool/fork.h"
#include "pool/liveness.h"
#include "pool/slot.h"

bool tine_work_poll(int fd, short events)
{
	struct pollfd pollfd = { .fd = fd, .events = events };

	return fd < 0 || poll(&pollfd, 1, 0) > 0;
}

unsigned tine_work_of_new(const struct tine_slot *slot)
{
	const struct tine_pool *pool = slot->pool;

	return (*pool->watch_sql || slot->quiet_ns ? TINE_TODO_WATCH : 0) |
	       (pool->config.on_connect_sql ? TINE_TODO_SETUP : 0);
}

/* The lowest one comes first. */
static unsigned current(const struct tine_work *work)
{
	return work->todo & -work->todo;
}

static const char *statement(const struct tine_slot *slot)
{
	switch (current(&slot->work)) {
	case TINE_TODO_DISCARD:
		return "DISCARD ALL";
	case TINE_TODO_WATCH:
		return slot->quiet_ns ? slot->pool->lend_sql : slot->pool->watch_sql;
	case TINE_TODO_SETUP:
		return slot->pool->config.on_connect_sql;
	default:
		return "";
	}
}

static void begin_round_trip(struct tine_slot *slot)
{
	slot->work.sent = true;
	slot->work.failed = false;
	slot->work.deadline_ns =
		tine_clock_ns() + (int64_t)slot->pool->config.ping_timeout_ms * TINE_NS_PER_MS;
}

/* What the server said before it hung up tells more than that it did. Some of it may not have been
 * read yet, which takes no waiting: the socket is closed. */
static enum tine_work_result lost(struct tine_slot *slot)
{
	const struct tine_pq *pq = slot->pool->pq;
	struct tine_work *work = &slot->work;
	PGresult *result = NULL;

	if (work->failed)
		return TINE_WORK_FAILED;
	tine_error_set_result(&work->error, pq, slot->pg, NULL);
	if (pq->status(slot->pg) == CONNECTION_BAD)
		result = pq->get_result(slot->pg);
	if (result && pq->result_error_field(result, PG_DIAG_SQLSTATE))
		tine_error_set_result(&work->error, pq, slot->pg, result);
	pq->clear(result);
	return TINE_WORK_FAILED;
}

/* Is this the answer to what we asked? Not when a thread was cancelled inside libpq, with a
 * statement of its own left unsent, which went out before ours. */
static bool is_our_answer(const struct tine_slot *slot, PGresult *result)
{
	const struct tine_pq *pq = slot->pool->pq;
	const char *command = pq->cmd_status(result);

	switch (current(&slot->work)) {
	case TINE_TODO_DRAIN:
		return strcmp(command, "ROLLBACK") == 0 || strcmp(command, "DISCARD ALL") == 0;
	case TINE_TODO_DISCARD:
		return strcmp(command, "DISCARD ALL") == 0;
	case TINE_TODO_PING:
		return pq->result_status(result) == PGRES_EMPTY_QUERY;
	default:
		return true;
	}
}

/* @return false when a statement of ours failed */
static bool read_result(struct tine_slot *slot, PGresult *result)
{
	const struct tine_pq *pq = slot->pool->pq;
	ExecStatusType status = pq->result_status(result);
	bool good = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ||
		    status == PGRES_EMPTY_QUERY;

	if (!good) {
		tine_error_set_result(&slot->work.error, pq, slot->pg, result);
	} else if (!is_our_answer(slot, result)) {
		tine_error_set(
			&slot->work.error, TINE_E_LOST,
			"the answer to another statement came; a thread was cancelled in libpq");
		good = false;
	}
	pq->clear(result);
	return good;
}

static enum tine_work_result wait_for_answer(struct tine_slot *slot, short events)
{
	if (tine_clock_ns() < slot->work.deadline_ns) {
		slot->work.events = events;
		return TINE_WORK_WAIT;
	}
	tine_error_set(&slot->work.error, TINE_E_LOST,
		       "an idle connection did not answer within ping_timeout_ms (%d)",
		       slot->pool->config.ping_timeout_ms);
	slot->work.silent = true;
	return TINE_WORK_FAILED;
}

/* A program that shares connections with strangers must not read what they asked to be told. */
static void forget_notifications(struct tine_slot *slot)
{
	const struct tine_pq *pq = slot->pool->pq;
	PGnotify *notification;

	while ((notification = pq->notifies(slot->pg)) != NULL)
		pq->freemem(notification);
}

static enum tine_work_result finish_item(struct tine_slot *slot)
{
	struct tine_work *work = &slot->work;
	bool failed = work->failed;

	if (slot->pool->config.reset == TINE_RESET_FULL)
		forget_notifications(slot);
	work->todo &= work->todo - 1;
	work->sent = work->failed = false;
	slot->dirty = false;
	return failed ? TINE_WORK_FAILED : TINE_WORK_READY;
}

/* One statement to its end. Its answer may come in pieces, the failure long before the rest. */
static enum tine_work_result step_item(struct tine_slot *slot)
{
	const struct tine_pq *pq = slot->pool->pq;
	struct tine_work *work = &slot->work;
	PGresult *result;
	int flushed;

	if (!work->sent) {
		/* First: a fork in another thread then sees that libpq is at work. */
		begin_round_trip(slot);
		if (!pq->send_query(slot->pg, statement(slot)))
			return lost(slot);
	}
	flushed = pq->flush(slot->pg);
	if (flushed < 0 || !pq->consume_input(slot->pg))
		return lost(slot);
	while (!pq->is_busy(slot->pg)) {
		result = pq->get_result(slot->pg);
		if (!result)
			return finish_item(slot);
		work->failed |= !read_result(slot, result);
	}
	if (pq->status(slot->pg) == CONNECTION_BAD)
		return lost(slot);
	return wait_for_answer(slot, flushed ? POLLIN | POLLOUT : POLLIN);
}

/* Behind the answer there may be the server's farewell, which libpq would print. Of a new
 * connection notices are the program's: they come from its own on_connect_sql. */
static enum tine_work_result step_heard(struct tine_slot *slot)
{
	const struct tine_pq *pq = slot->pool->pq;
	enum tine_work_result result;

	if (slot->connecting)
		return step_item(slot);
	if (!slot->work.failed)
		slot->work.error.status = 0;
	pq->divert_notices(slot->pg, &slot->dress, tine_liveness_hear, slot);
	result = step_item(slot);
	pq->divert_notices(slot->pg, &slot->dress, NULL, NULL);
	return slot->work.error.status ? TINE_WORK_FAILED : result;
}

enum tine_work_result tine_work_step(struct tine_slot *slot)
{
	struct tine_work *work = &slot->work;
	enum tine_work_result result;

	/* Once there is something to do, the connection is there. */
	if (slot->connecting && work->addresses && !work->todo) {
		result = tine_connect_step(slot, tine_clock_ns());
		if (result != TINE_WORK_READY)
			return result;
	}
	while (work->todo) {
		result = step_heard(slot);
		if (result != TINE_WORK_READY)
			return result;
	}
	return TINE_WORK_READY;
}
