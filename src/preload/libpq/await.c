/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/await.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "preload/keep.h"
#include "preload/libpq/budget.h"
#include "preload/libpq/gate.h"
#include "preload/libpq/login.h"

/* How soon the program asks again. Who was called and does not come for 20 ms loses its turn. */
#define AGAIN_NS (10 * TINE_NS_PER_MS)

/* Readable AGAIN_NS from now. The number stays the same. */
static bool set_timer(struct tine_await *await)
{
	const struct itimerspec time = { .it_value.tv_nsec = AGAIN_NS };
	int fd;

	if (!await->is_timer) {
		fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
		if (fd < 0)
			return false;
		await->is_timer = dup3(fd, await->fd, O_CLOEXEC) >= 0;
		close(fd);
	}
	return await->is_timer && timerfd_settime(await->fd, 0, &time, NULL) == 0;
}

static void stop(struct tine_record *record)
{
	tine_stay_move(&record->stay, TINE_STAY_OUT);
	if (record->await.fd >= 0)
		close(record->await.fd);
	record->await.fd = -1;
}

void tine_await_leave(struct tine_record *record)
{
	if (!tine_await_is_on(record))
		return;
	stop(record);
	if (!tine_record_inherited(record))
		tine_budget_leave(&record->claim);
	record->claim = (struct tine_claim)TINE_CLAIM_NONE;
}

static void give_up(struct tine_record *record)
{
	char why[128];

	snprintf(why, sizeof(why), "the budget is used up, and waiting for it needs a timer: %s",
		 strerror(errno));
	tine_await_leave(record);
	tine_login_refuse(record, why);
}

/* Until the first poll a program waits for it to be writable, which an event counter is. */
void tine_await_begin(struct tine_record *record)
{
	tine_stay_move(&record->stay, TINE_STAY_QUEUED);
	record->await.is_timer = false;
	record->await.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (record->await.fd < 0)
		give_up(record);
}

static bool start(struct tine_record *record)
{
	const struct tine_real *real = &record->copy->real;

	if (!tine_gate_reset_start(record->copy, record->conn)) {
		tine_login_done(record, false, false);
		return false;
	}
	if (record->await.is_nonblocking)
		real->PQsetnonblocking(record->conn, 1);
	return true;
}

bool tine_await_reset(struct tine_record *record)
{
	char why[512];
	int rc;

	tine_await_leave(record);
	tine_stay_move(&record->stay, TINE_STAY_OUT);
	record->stay.is_reset = false;
	tine_login_refuse(record, NULL);
	tine_budget_again(record);
	tine_session_end(record);
	record->forks = tine_level.forks;
	record->await = (struct tine_await){ .fd = -1 };
	rc = tine_budget_try(&record->await.wait, &record->claim, why, sizeof(why));
	if (rc > 0)
		return start(record);
	tine_keep_refuse(record->copy->start, record->copy->end);
	tine_gate_reset_start(record->copy, record->conn);
	tine_keep_refused();
	if (rc < 0)
		tine_login_refuse(record, why);
	else
		tine_await_begin(record);
	return tine_await_is_on(record);
}

/* In a child it is not the one that is in the queue, and its timer is the parent's too. */
static void begin_here(struct tine_record *record)
{
	stop(record);
	record->forks = tine_level.forks;
	record->claim = (struct tine_claim)TINE_CLAIM_NONE;
	record->await.wait = (struct tine_wait){ 0 };
	tine_await_begin(record);
}

PostgresPollingStatusType tine_await_poll(struct tine_record *record)
{
	char why[512];
	int rc;

	if (tine_record_inherited(record))
		begin_here(record);
	if (!tine_await_is_on(record))
		return PGRES_POLLING_FAILED;
	rc = tine_budget_try(&record->await.wait, &record->claim, why, sizeof(why));
	if (rc == 0) {
		if (set_timer(&record->await))
			return PGRES_POLLING_READING;
		give_up(record);
		return PGRES_POLLING_FAILED;
	}
	stop(record);
	if (rc < 0)
		tine_login_refuse(record, why);
	return rc > 0 && start(record) ? PGRES_POLLING_WRITING : PGRES_POLLING_FAILED;
}
