/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/reopen.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "preload/fdtable.h"
#include "preload/keep.h"
#include "preload/libpq/alive.h"
#include "preload/libpq/ask.h"
#include "preload/libpq/budget.h"
#include "preload/libpq/cancel.h"
#include "preload/libpq/gate.h"
#include "preload/libpq/lend.h"
#include "preload/libpq/login.h"

#define CONNECT_TIMEOUT_S 10      /* where neither the program nor the environment names one */
#define CONNECT_TIMEOUT_LEAST_S 2 /* as in libpq */
/* Where the program does not expect to wait. A server that did not answer in all that time is not
 * asked again for a while: an event loop has more than one connection to it. */
#define BRIEF_NS (3 * (int64_t)TINE_NS_PER_S)
#define MUTE_NS (5 * (int64_t)TINE_NS_PER_S)
#define STEPS_AFTER_CUT 64        /* addresses that libpq may still have; each fails at once */

/* ---- a new session -------------------------------------------------------------------------- */

static int count_hosts(const char *list)
{
	int hosts = 1;

	for (; list && *list; list++)
		hosts += *list == ',';
	return hosts;
}

/* Not by strtol(): newer glibc has another name for it than other libcs. */
static int read_seconds(const char *text)
{
	int seconds = 0;

	for (; *text >= '0' && *text <= '9' && seconds < 100000; text++)
		seconds = seconds * 10 + (*text - '0');
	return seconds;
}

/* The program's own connect_timeout, which is for each host; all together here. */
static int64_t timeout_ns(const struct tine_record *record)
{
	const struct tine_real *real = &record->copy->real;
	PQconninfoOption *options = real->PQconninfo(record->conn);
	int timeout_s = 0, hosts = 1;

	for (const PQconninfoOption *option = options; option && option->keyword; option++) {
		if (!option->val)
			continue;
		if (strcmp(option->keyword, "connect_timeout") == 0)
			timeout_s = read_seconds(option->val);
		else if (strcmp(option->keyword, "host") == 0)
			hosts = count_hosts(option->val);
	}
	real->PQconninfoFree(options);
	if (timeout_s <= 0)
		timeout_s = CONNECT_TIMEOUT_S;
	else if (timeout_s < CONNECT_TIMEOUT_LEAST_S)
		timeout_s = CONNECT_TIMEOUT_LEAST_S;
	return (int64_t)timeout_s * hosts * TINE_NS_PER_S;
}

static PostgresPollingStatusType take_step(const struct tine_record *record)
{
	PostgresPollingStatusType next;

	tine_gate_enter();
	next = record->copy->real.PQresetPoll(record->conn);
	tine_gate_leave();
	return next;
}

/* libpq has no way to give up; so what it is doing is made to fail, one address after the other. */
static void give_up(const struct tine_record *record)
{
	tine_keep_cut();
	for (int i = 0; i < STEPS_AFTER_CUT; i++)
		if (take_step(record) == PGRES_POLLING_FAILED)
			return;
}

static bool connect_again(const struct tine_record *record, int64_t until_ns)
{
	PostgresPollingStatusType next = PGRES_POLLING_WRITING;
	struct pollfd waits;
	int rc;

	if (!tine_gate_reset_start(record->copy, record->conn))
		return false;
	while (next != PGRES_POLLING_OK && next != PGRES_POLLING_FAILED) {
		waits.fd = record->copy->real.PQsocket(record->conn);
		waits.events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT;
		rc = poll(&waits, 1, tine_clock_poll_ms(until_ns, tine_clock_ns()));
		if (rc == 0) {
			give_up(record);
			return false;
		}
		if (rc > 0 || errno != EINTR)
			next = take_step(record);
	}
	return next == PGRES_POLLING_OK;
}

/* ---- in the place of the old one ------------------------------------------------------------ */

bool tine_reopen_owns(const struct tine_record *record)
{
	uint64_t word = tine_fd_word(record->session.fd);

	return (word & TINE_FD_STATE_MASK) == TINE_FD_SEVERED &&
	       tine_fd_holds(record->session.fd, word);
}

/* A table that is gone, or another one by now. In the old session the statement's use would have
 * failed, and nothing else. */
static bool is_refused(const struct tine_record *record, const struct tine_journal_step *step)
{
	const struct tine_real *real = &record->copy->real;

	return step->name && real->PQstatus(record->conn) == CONNECTION_OK &&
	       real->PQtransactionStatus(record->conn) == PQTRANS_IDLE;
}

static bool restore(struct tine_record *record, int64_t until_ns)
{
	struct tine_journal *journal = &record->session.journal;
	struct tine_journal_walk walk = { 0 };
	struct tine_journal_step step;
	bool is_done;

	while (tine_journal_next(journal, &walk, &step)) {
		is_done = tine_ask(record, &step, until_ns);
		if (!is_done && !is_refused(record, &step))
			return false;
		if (step.name)
			tine_journal_set_owed(journal, step.name, !is_done);
	}
	return true;
}

/* In a pipeline nothing is answered before its sync. */
static bool may_prepare(const struct tine_record *record)
{
	return record->copy->real.PQtransactionStatus(record->conn) != PQTRANS_ACTIVE &&
	       !tine_session_in_pipeline(record);
}

void tine_reopen_prepare_owed(struct tine_record *record, const char *name)
{
	struct tine_journal_step step;

	if (!name || !tine_journal_owes(&record->session.journal, name, &step) ||
	    !may_prepare(record))
		return;
	if (tine_ask_between(record, &step) >= 0)
		tine_journal_set_owed(&record->session.journal, name, false);
}

void tine_reopen_prepare_all_owed(struct tine_record *record)
{
	struct tine_journal_walk walk = { 0 };
	struct tine_journal_step step;

	while (tine_journal_next(&record->session.journal, &walk, &step))
		tine_reopen_prepare_owed(record, step.name);
}

void tine_reopen_prepare(struct tine_reopening *work)
{
	struct tine_record *record = work->record;
	struct stat st;

	if (work->is_ready)
		return;
	work->is_ready = true;
	/* What is there now: in a child that is the dead end, and not what the parent watches. */
	if (tine_fd_watched && fstat(record->session.fd, &st) == 0)
		work->watches_count = tine_watch_find(record->session.fd, st.st_ino, work->watches);
	tine_keep_begin(record->session.fd, record->copy->start, record->copy->end);
}

void tine_reopen_leave(struct tine_reopening *work)
{
	/* After an attempt that failed libpq has its last socket still, until PQfinish(). */
	if (work->is_ready)
		tine_keep_end(work->record->copy->real.PQsocket(work->record->conn) ==
			      tine_keep_fd);
	work->is_ready = false;
}

static void note_new_session(struct tine_record *record)
{
	tine_login_refuse(record, NULL);
	tine_session_note_socket(record);
	record->session.born_ns = tine_clock_ns();
	record->used_ns = tine_clock_coarse_ns();
}

/* ---- who does not expect to wait ------------------------------------------------------------- */

static _Atomic int64_t mute_until_ns;
static atomic_int mute_server;

static int64_t patience_ns(const struct tine_reopening *work)
{
	int64_t usual_ns = timeout_ns(work->record);

	return work->is_brief && usual_ns > BRIEF_NS ? BRIEF_NS : usual_ns;
}

static bool is_mute(const struct tine_reopening *work)
{
	return work->is_brief && tine_clock_ns() < atomic_load(&mute_until_ns) &&
	       atomic_load(&mute_server) == work->record->session.server;
}

static void note_mute(const struct tine_reopening *work)
{
	if (!work->is_brief)
		return;
	atomic_store(&mute_server, work->record->session.server);
	atomic_store(&mute_until_ns, tine_clock_ns() + MUTE_NS);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static bool open_in_place(struct tine_reopening *work)
{
	struct tine_record *record = work->record;
	char why[512];
	int64_t until_ns;
	bool connected;

	if (is_mute(work)) {
		tine_reopen_leave(work);
		return false;
	}
	if (!tine_budget_admit_again(record, work->is_brief, why, sizeof(why))) {
		tine_login_refuse(record, why);
		tine_reopen_leave(work);
		return false;
	}
	until_ns = tine_clock_ns() + patience_ns(work);
	connected = connect_again(record, until_ns);
	if (!connected && tine_clock_ns() >= until_ns)
		note_mute(work);
	tine_reopen_leave(work);
	record->forks = tine_level.forks;
	tine_budget_connected(record, connected);
	if (!connected)
		return false;
	note_new_session(record);
	tine_cancel_renew(record);
	tine_watch_again(record->session.fd, work->watches, work->watches_count);
	record->copy->real.PQsetnonblocking(record->conn, work->is_nonblocking);
	record->lending.is_never |= work->watches_count > 0;
	/* The limit of the program's own comes after it. */
	tine_lend_begin(record);
	if (!restore(record, until_ns)) {
		tine_keep_sever(record->session.fd);
		record->session.is_open = false;
		return false;
	}
	tine_alive_note_role(record);
	return true;
}

void tine_reopen(struct tine_reopening *work, enum tine_reopen_why why)
{
	bool good;

	tine_reopen_prepare(work);
	good = open_in_place(work);
	if (!work->record->refusal)
		tine_level_say_reopened(why, good);
}
