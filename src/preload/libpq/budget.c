/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/budget.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "preload/keep.h"
#include "preload/libpq/lend.h"
#include "preload/libpq/park.h"
#include "preload/libpq/watch.h"
#include "preload/report.h"

/* The default of --acquire-timeout. */
#define PATIENCE_NS (30 * (int64_t)TINE_NS_PER_S)

/* Where a program that does not wait is made to: others of its own have what it waits for, perhaps,
 * and cannot give it meanwhile. */
#define BRIEF_NS ((int64_t)TINE_NS_PER_S)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct tine_board board;
static bool is_on, is_named;
static bool is_mapped_only; /* by this process, which has not been a member */
static int64_t patience_ns;
static _Atomic int own; /* permits that this process has */
static char path[PATH_MAX]; /* "": none. A program may clear its environment, as PHP-FPM does. */

bool tine_budget_start(const struct tine_settings *settings)
{
	const char *found = secure_getenv("TINE_BOARD");

	if (found && strlen(found) < sizeof(path))
		strcpy(path, found);
	is_on = *path;
	is_named = !settings->no_identity;
	patience_ns = settings->acquire_timeout_ms
			      ? settings->acquire_timeout_ms * (int64_t)TINE_NS_PER_MS
			      : PATIENCE_NS;
	return is_on;
}

/* ---- membership ----------------------------------------------------------------------------- */

static void say_off(const char *why)
{
	char line[TINE_LINE_MAX];
	struct tine_text text;

	tine_report_begin(&text, line, sizeof(line), "budget");
	tine_text_add(&text, "connections of this process are not counted: ");
	tine_text_add_foreign(&text, why, strlen(why));
	tine_guard_say(&text);
}

static struct tine_board_spec spec_of_board(void)
{
	return (struct tine_board_spec){
		.path = path,
		.application = program_invocation_short_name,
	};
}

static int become_member(char *error, size_t size)
{
	struct tine_board_spec spec = spec_of_board();
	int rc;

	if (!board.map)
		return tine_board_join(&board, &spec, error, size);
	rc = tine_board_enlist(&board);
	if (rc < 0)
		strncpy(error, strerror(-rc), size - 1);
	else if (!is_mapped_only)
		tine_board_note(&board, TINE_BOARD_FORKED, 0);
	is_mapped_only = false;
	return rc;
}

void tine_budget_leaving(void)
{
	struct tine_board_spec spec = spec_of_board();
	char error[256];

	if (!is_on)
		return;
	pthread_mutex_lock(&lock);
	/* What is wrong is said when it is needed. */
	if (!board.map)
		is_mapped_only = tine_board_open(&board, &spec, error, sizeof(error)) == 0;
	pthread_mutex_unlock(&lock);
}

/* @return is this process a member of the board? */
static bool enlist(void)
{
	char error[256] = "";
	int rc = 0;

	if (!is_on)
		return false;
	pthread_mutex_lock(&lock);
	if (!board.map || board.place < 0)
		rc = become_member(error, sizeof(error));
	if (rc < 0)
		is_on = false;
	pthread_mutex_unlock(&lock);
	if (rc < 0)
		say_off(error);
	return rc == 0;
}

struct tine_board *tine_budget_board(void)
{
	return is_on && board.map ? &board : NULL;
}

void tine_budget_lock(void)
{
	pthread_mutex_lock(&lock);
}

void tine_budget_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

void tine_budget_renew_lock(void)
{
	lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

void tine_budget_left(void)
{
	atomic_store(&own, 0);
	is_mapped_only = false;
	if (board.map)
		tine_board_left(&board);
}

/* What a process had is free at once when it ends in good order, and within a second otherwise. The
 * destructors of other libraries come after this one, and other threads go on: they may use
 * connections, whose seats are in the mapping. */
__attribute__((destructor)) static void leave(void)
{
	if (!board.map || board.place < 0 || tine_origin_changed() || tine_origin_is_borrowed())
		return;
	is_on = false;
	tine_board_leave(&board);
}

/* ---- claims --------------------------------------------------------------------------------- */

static void give(struct tine_claim *claim, int open_ms)
{
	atomic_fetch_sub(&own, 1);
	tine_claim_give(&board, claim, open_ms);
}

void tine_budget_leave(struct tine_claim *claim)
{
	if (claim->permit >= 0)
		give(claim, 0);
	else if (claim->waiter >= 0)
		tine_claim_give(&board, claim, 0);
}

/* Who renews has its permit already, and needs a token only. */
static bool take(struct tine_claim *claim, int64_t now_ns, int64_t *ret_again_ns)
{
	if (claim->permit < 0) {
		if (!tine_claim_take(&board, claim, now_ns, ret_again_ns))
			return false;
		atomic_fetch_add(&own, 1);
		return true;
	}
	claim->token = tine_token_take(&board);
	*ret_again_ns = now_ns + TINE_NS_PER_MS;
	return claim->token >= 0;
}

static void refuse(struct tine_claim *claim, int64_t waited_ns, char *ret_text, size_t size)
{
	tine_claim_explain(&board, (uint64_t)waited_ns / TINE_NS_PER_MS, ret_text, size);
	tine_budget_leave(claim);
	tine_board_note(&board, TINE_BOARD_TIMEOUT, 0);
}

static int try(struct tine_wait *wait, struct tine_claim *claim, int64_t *ret_again_ns,
	       char *ret_text, size_t size)
{
	int64_t now_ns = tine_clock_ns(), waited_ns;

	if (!enlist())
		return 1;
	/* A look at the queue costs less than to wait for what one could give oneself. */
	while (!take(claim, now_ns, ret_again_ns)) {
		now_ns = tine_clock_ns();
		if (now_ns >= wait->until_ns) {
			refuse(claim, now_ns - wait->since_ns, ret_text, size);
			return -1;
		}
		if (claim->permit >= 0 || !tine_park_evict())
			return 0;
		now_ns = tine_clock_ns();
	}
	waited_ns = now_ns - wait->since_ns;
	if (waited_ns > TINE_NS_PER_MS)
		tine_board_count_wait(&board, (uint64_t)waited_ns / TINE_NS_PER_US);
	tine_seat_begin(tine_permit_seat(&board, claim->permit), -1, tine_clock_coarse_ns());
	return 1;
}

int tine_budget_try(struct tine_wait *wait, struct tine_claim *claim, char *ret_text, size_t size)
{
	int64_t again_ns;

	if (!wait->since_ns) {
		if (enlist())
			tine_board_want(&board);
		wait->since_ns = tine_clock_ns();
		wait->until_ns = wait->since_ns + patience_ns;
	}
	return try(wait, claim, &again_ns, ret_text, size);
}

static bool admit(struct tine_claim *claim, int64_t within_ns, char *ret_text, size_t size)
{
	struct tine_wait wait;
	int64_t again_ns;
	int rc;

	if (!enlist())
		return true;
	tine_board_want(&board);
	wait.since_ns = tine_clock_ns();
	wait.until_ns = wait.since_ns + within_ns;
	while ((rc = try(&wait, claim, &again_ns, ret_text, size)) == 0)
		tine_claim_wait(&board, claim, again_ns < wait.until_ns ? again_ns : wait.until_ns);
	return rc > 0;
}

bool tine_budget_admit(struct tine_claim *ret_claim, char *ret_text, size_t size)
{
	*ret_claim = (struct tine_claim)TINE_CLAIM_NONE;
	return admit(ret_claim, patience_ns, ret_text, size);
}

static bool has_permit(const struct tine_record *record)
{
	return record->claim.permit >= 0 && !tine_record_inherited(record);
}

void tine_budget_connected(struct tine_record *record, bool ok)
{
	const struct tine_real *real = &record->copy->real;
	int64_t now_ns = tine_clock_coarse_ns();

	if (!has_permit(record))
		return;
	tine_claim_connected(&board, &record->claim);
	if (!ok) {
		tine_board_note(&board, TINE_BOARD_FAILED, 0);
		record->seat = NULL;
		give(&record->claim, 0);
		return;
	}
	record->seat = tine_permit_seat(&board, record->claim.permit);
	tine_seat_opened(record->seat, (uint32_t)real->PQbackendPID(record->conn), now_ns);
	tine_permit_tell_socket(&board, record->claim.permit, real->PQsocket(record->conn));
	tine_seat_set(record->seat, TINE_SEAT_IDLE, now_ns);
	tine_board_note(&board, TINE_BOARD_OPENED, 0);
}

void tine_budget_again(struct tine_record *record)
{
	struct tine_claim *claim = &record->claim;

	record->seat = NULL;
	if (tine_record_inherited(record))
		*claim = (struct tine_claim)TINE_CLAIM_NONE;
	else if (is_on && claim->permit >= 0 && !tine_permit_renew(&board, claim->permit))
		give(claim, 0);
}

bool tine_budget_admit_again(struct tine_record *record, bool is_brief, char *ret_text, size_t size)
{
	int64_t within_ns = patience_ns;

	tine_budget_again(record);
	if (!is_on)
		return true;
	/* Where this process has none, it is not who could give one back. */
	if (is_brief && atomic_load(&own) > 0 && within_ns > BRIEF_NS)
		within_ns = BRIEF_NS;
	return admit(&record->claim, within_ns, ret_text, size);
}

bool tine_budget_is_limited(const struct tine_record *record)
{
	return is_on && has_permit(record) &&
	       atomic_load(tine_permit_fair_share(&board)) != UINT32_MAX;
}

void tine_budget_ended(const struct tine_record *record, enum tine_cause cause)
{
	if (has_permit(record))
		tine_board_note(&board, TINE_BOARD_CLOSED, cause);
}

int tine_budget_before_end(const struct tine_record *record, struct tine_claim *ret_claim)
{
	int fd;

	*ret_claim = (struct tine_claim)TINE_CLAIM_NONE;
	if (!has_permit(record))
		return -1;
	*ret_claim = record->claim;
	if (!record->session.is_lost)
		tine_budget_ended(record, TINE_CAUSE_DISPOSED);
	fd = record->copy->real.PQsocket(record->conn);
	/* A busy server does not hear the farewell before it is done. */
	if (record->copy->real.PQtransactionStatus(record->conn) == PQTRANS_ACTIVE ||
	    (fd >= 0 && record->session.is_open && !tine_session_holds(record)))
		return TINE_BUDGET_UNSEEN;
	return fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
}

void tine_budget_after_end(struct tine_claim *claim, int farewell_fd)
{
	int open_ms = farewell_fd == TINE_BUDGET_UNSEEN ? TINE_PERMIT_CLOSED_MS : 0;

	if (farewell_fd >= 0) {
		open_ms = tine_board_await_end(farewell_fd);
		close(farewell_fd);
	}
	if (claim->permit >= 0)
		give(claim, open_ms);
}

bool tine_budget_is_wanted(const struct tine_record *record)
{
	return is_on && has_permit(record) &&
	       tine_permit_is_too_much(&board, record->claim.permit, false);
}

bool tine_budget_is_over_share(void)
{
	return (uint32_t)atomic_load_explicit(&own, memory_order_relaxed) >
	       atomic_load_explicit(tine_permit_fair_share(&board), memory_order_relaxed);
}

/* ---- lending -------------------------------------------------------------------------------- */

/* Idle, and what was done to the session can be done again. */
static bool may_be_lent(const struct tine_record *record)
{
	const struct tine_real *real = &record->copy->real;

	return tine_level.revive && tine_session_is_settled(&record->session) &&
	       real->PQtransactionStatus(record->conn) == PQTRANS_IDLE &&
	       real->PQstatus(record->conn) == CONNECTION_OK &&
	       !tine_session_in_pipeline(record) &&
	       tine_journal_obstacle(&record->session.journal) == TINE_OBSTACLE_NONE &&
	       tine_session_holds(record);
}

/* A dead end takes the socket's place, so that the next use finds the connection gone and opens it
 * anew, with a permit of its own. */
static void lend(struct tine_record *record)
{
	int fd = fcntl(record->session.fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return;
	if (tine_keep_sever(record->session.fd)) {
		tine_session_note_socket(record);
		record->seat = NULL;
		record->used_ns = 0; /* what was used just now is not looked at */
		shutdown(fd, SHUT_WR);
		tine_board_note(&board, TINE_BOARD_CLOSED, TINE_CAUSE_LENT);
		give(&record->claim, tine_board_await_end(fd));
	}
	close(fd);
}

/* What the server ends soon, where the program does not go on with it, others need not be given
 * before they ask; what it does not is given now, or they would wait for a program that sleeps. */
static bool is_too_much(const struct tine_record *record)
{
	return (tine_budget_is_over_share() &&
		tine_permit_is_too_much(&board, record->claim.permit, tine_lend_is_soon(record))) ||
	       tine_permit_is_missed(&board);
}

void tine_budget_used(struct tine_record *record)
{
	tine_budget_say_idle(record);
	if (!is_on || !has_permit(record) ||
	    (!tine_budget_is_over_share() && !tine_board_has_waiters(&board)))
		return;
	/* An event loop that watches the number would not hear of the one that comes in its place.
	 */
	if (may_be_lent(record) && !tine_lend_listens(record) && is_too_much(record) &&
	    !tine_watch_is_on(record->session.fd, record->session.inode))
		lend(record);
}

/* ---- for people ----------------------------------------------------------------------------- */

const char *tine_budget_identity(const char *name, char *buf, size_t size)
{
	if (!is_on || !is_named || !enlist())
		return name;
	tine_board_identity(&board, *name ? name : program_invocation_short_name, buf, size);
	return buf;
}

static enum tine_seat_transaction transaction(const struct tine_record *record)
{
	switch (record->copy->real.PQtransactionStatus(record->conn)) {
	case PQTRANS_INTRANS:
		return TINE_SEAT_INSIDE;
	case PQTRANS_INERROR:
		return TINE_SEAT_ABORTED;
	default:
		return TINE_SEAT_OUTSIDE;
	}
}

void tine_budget_say_busy(const struct tine_record *record)
{
	struct tine_seat *seat = record->seat;

	if (!seat || board.place < 0 || tine_record_inherited(record))
		return;
	atomic_store_explicit(&seat->uses,
			      atomic_load_explicit(&seat->uses, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	tine_seat_set(seat, TINE_SEAT_BUSY, tine_clock_coarse_ns());
}

void tine_budget_say_idle(const struct tine_record *record)
{
	struct tine_seat *seat = record->seat;
	enum tine_seat_transaction now;

	if (!seat || board.place < 0 || tine_record_inherited(record))
		return;
	now = transaction(record);
	atomic_store_explicit(&seat->transaction, now, memory_order_relaxed);
	tine_seat_set(seat, now == TINE_SEAT_OUTSIDE ? TINE_SEAT_IDLE : TINE_SEAT_BUSY,
		      record->used_ns);
}
