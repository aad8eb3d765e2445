/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/park.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hot.h"
#include "base/random.h"
#include "preload/libpq/aside.h"
#include "preload/libpq/await.h"
#include "preload/libpq/budget.h"
#include "preload/libpq/cancel.h"
#include "preload/libpq/dress.h"
#include "preload/libpq/gate.h"
#include "preload/libpq/lend.h"
#include "preload/libpq/login.h"
#include "preload/libpq/past.h"
#include "preload/libpq/reopen.h"

/* An answer to DISCARD ALL, or to a question whether somebody is there. */
#define ANSWER_NS (2 * (int64_t)TINE_NS_PER_S)

/* The same, where nobody will have the connection. */
#define FAREWELL_NS (200 * (int64_t)TINE_NS_PER_MS)

/* For so long a reset past libpq need not have been answered: it may be held back (ahead.h), or the
 * server is at it. Later, an answer that is missing may say that nobody is there. */
#define RESET_NS (200 * (int64_t)TINE_NS_PER_MS)

/* Idle for longer, a connection is asked before it is handed out: something between it and its
 * server may have dropped it without a word. */
#define ASK_IDLE_NS (30 * (int64_t)TINE_NS_PER_S)

/* Parked for less, a connection is not looked at: its last answer is as good as a look, since the
 * end of a session needs about as long to be seen here (from one zone of a provider to another).
 * Kept ones are not looked at for longer (alive.h). */
#define FRESH_NS (1 * (int64_t)TINE_NS_PER_MS)

/* The default of --pool-age. */
#define AGE_NS (30 * 60 * (int64_t)TINE_NS_PER_S)

enum reset { RESET_FULL, RESET_TRACKED, RESET_NONE };

static int keep_most TINE_HOT;
static enum reset reset_how;
static int64_t age_ns;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct tine_record *newest, *oldest;
static unsigned forks; /* the fork generation that the list is of */

/* ---- the list ------------------------------------------------------------------------------- */

static void link_in(struct tine_record *record)
{
	record->stay.previous = NULL;
	record->stay.next = newest;
	if (newest)
		newest->stay.previous = record;
	else
		oldest = record;
	newest = record;
}

static void take_out(struct tine_record *record)
{
	struct tine_stay *stay = &record->stay;

	if (stay->previous)
		stay->previous->stay.next = stay->next;
	else
		newest = stay->next;
	if (stay->next)
		stay->next->stay.previous = stay->previous;
	else
		oldest = stay->previous;
	stay->next = stay->previous = NULL;
}

static bool is_of(const struct tine_record *record, const struct tine_copy *copy,
		  const struct tine_key *key)
{
	return record->copy == copy && tine_key_is(&record->stay.key, key);
}

static bool is_fresh(const struct tine_record *record)
{
	return tine_clock_ns() - record->stay.parked_ns < FRESH_NS &&
	       !tine_record_inherited(record) && tine_session_is_untouched(record);
}

/* Is the number of a parked one somebody else's? In a child it is a dead end, if it is its own. */
static bool is_lost(const struct tine_record *record)
{
	if (record->copy->real.PQsocket(record->conn) < 0)
		return false;
	return tine_record_inherited(record) ? !tine_reopen_owns(record)
					     : !tine_session_holds(record);
}

/* The best of a login: the newest that needs no reset; else the oldest whose reset is answered,
 * so that nobody waits for it; else the one whose answer comes first. A single one is not looked
 * at. */
static struct tine_record *find_best(const struct tine_copy *copy, const struct tine_key *key)
{
	struct tine_record *record, *first = NULL;
	int choices = 0;

	for (record = newest; record; record = record->stay.next)
		if (is_of(record, copy, key)) {
			if (!record->stay.is_reset)
				return record;
			first = record;
			choices++;
		}
	for (record = first; record && choices > 1; record = record->stay.previous)
		if (is_of(record, copy, key) && tine_dress_has_input(record))
			return record;
	return first;
}

static struct tine_record *take_best(const struct tine_copy *copy, const struct tine_key *key)
{
	struct tine_record *record;

	pthread_mutex_lock(&lock);
	record = find_best(copy, key);
	if (record)
		take_out(record);
	pthread_mutex_unlock(&lock);
	return record;
}

/* The oldest of all that is older than it may be. */
static struct tine_record *take_oldest(int64_t expired_ns)
{
	struct tine_record *record;

	pthread_mutex_lock(&lock);
	record = oldest;
	if (record && record->stay.expires_ns > expired_ns)
		record = NULL;
	if (record)
		take_out(record);
	pthread_mutex_unlock(&lock);
	return record;
}

/* Put it on the list. @return the one that is too many: the oldest of that login, perhaps itself */
static struct tine_record *put(struct tine_record *record)
{
	struct tine_record *last = NULL;
	int count = 0;

	pthread_mutex_lock(&lock);
	link_in(record);
	for (struct tine_record *other = newest; other; other = other->stay.next)
		if (is_of(other, record->copy, &record->stay.key)) {
			count++;
			last = other;
		}
	if (count > keep_most)
		take_out(last);
	else
		last = NULL;
	pthread_mutex_unlock(&lock);
	return last;
}

/* In a child the list is the parent's: these are severed, and only their memory is left. */
static void adopt(void)
{
	struct tine_record *record, *next;

	if (__builtin_expect(__atomic_load_n(&forks, __ATOMIC_ACQUIRE) == tine_level.forks, 1))
		return;
	pthread_mutex_lock(&lock);
	record = forks == tine_level.forks ? NULL : newest;
	if (record)
		newest = oldest = NULL;
	__atomic_store_n(&forks, tine_level.forks, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&lock);
	for (; record; record = next) {
		next = record->stay.next;
		tine_park_finish(record);
	}
}

void tine_park_lock(void)
{
	pthread_mutex_lock(&lock);
}

void tine_park_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

void tine_park_renew_lock(void)
{
	lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

/* ---- the end -------------------------------------------------------------------------------- */

/* A socket that is closed with something in it to read is torn down, which the server's log has a
 * line about. */
static void read_farewell(struct tine_record *record)
{
	bool is_past = tine_past_is_due(record);

	if ((!is_past && !record->stay.is_reset) || tine_record_inherited(record) ||
	    !tine_session_holds(record))
		return;
	if (is_past)
		tine_past_read(record, tine_clock_ns() + FAREWELL_NS);
	else
		tine_dress_read(record, tine_clock_ns() + FAREWELL_NS);
}

void tine_park_finish(struct tine_record *record)
{
	const struct tine_copy *copy = record->copy;
	PGconn *conn = record->conn;
	bool is_left = record->stay.place == TINE_STAY_PARKED && is_lost(record);
	struct tine_claim claim;
	int farewell_fd;

	read_farewell(record);
	tine_await_leave(record);
	farewell_fd = tine_budget_before_end(record, &claim);
	tine_cancel_forget(record);
	tine_files_free(&record->stay.files);
	free(record->stay.coming_name);
	free(record->stay.asked_name);
	free(record->stay.asked_fallback);
	free(record->refusal);
	free(record->last_refusal);
	tine_record_remove(record);
	if (is_left)
		tine_level_say_left();
	else
		tine_gate_finish(copy, conn);
	tine_budget_after_end(&claim, farewell_fd);
}

TINE_HOT_CODE
void tine_park_make_way(const struct tine_statement *statement)
{
	if (keep_most && tine_aside_is_wanted(statement))
		while (tine_park_evict())
			;
}

bool tine_park_evict(void)
{
	struct tine_record *record;

	adopt();
	record = take_oldest(TINE_NEVER_NS);
	if (record)
		tine_park_finish(record);
	return record;
}

/* Those that are too old are ended here, since nothing happens by itself. */
static void sweep(int64_t now_ns)
{
	struct tine_record *record;

	while ((record = take_oldest(now_ns)) != NULL)
		tine_park_finish(record);
}

void tine_park_close(void)
{
	if (__atomic_load_n(&forks, __ATOMIC_ACQUIRE) == tine_level.forks)
		sweep(TINE_NEVER_NS);
}

/* Those that end with their process without a farewell leave a line in the server's log. Registered
 * when OpenSSL has its own exit handlers, so ours comes first. */
static void finish_all(void)
{
	if (!tine_origin_changed() && !tine_origin_is_borrowed())
		tine_park_close();
}

static void finish_at_exit(void)
{
	static atomic_flag is_registered = ATOMIC_FLAG_INIT;

	if (!atomic_flag_test_and_set(&is_registered))
		atexit(finish_all);
}

/* ---- a login -------------------------------------------------------------------------------- */

bool tine_park_start(const struct tine_settings *settings)
{
	keep_most = settings->pool;
	reset_how = (enum reset)settings->reset;
	age_ns = settings->pool_age_ms ? settings->pool_age_ms * (int64_t)TINE_NS_PER_MS : AGE_NS;
	return keep_most > 0;
}

bool tine_park_is_on(void)
{
	return keep_most > 0 && !__atomic_load_n(&tine_level.is_moved, __ATOMIC_ACQUIRE);
}

static void note_name(struct tine_stay *stay, const char *name)
{
	snprintf(stay->name, sizeof(stay->name), "%s", name ? name : "");
}

void tine_park_coming(struct tine_record *record, const struct tine_key *key, const char *name,
		      bool has_service)
{
	struct tine_stay *stay = &record->stay;

	if (!key)
		return;
	stay->is_poolable = true;
	tine_dress_note(record);
	stay->key = *key;
	stay->has_service = has_service;
	stay->has_name_apart = name;
	note_name(stay, name);
	memcpy(stay->first_name, stay->name, sizeof(stay->name));
}

void tine_park_born(struct tine_record *record, bool has_ticket)
{
	const struct tine_real *real = &record->copy->real;
	struct tine_stay *stay = &record->stay;
	PQconninfoOption *options;

	if (!stay->is_poolable)
		return;
	/* Spread by a tenth, so that they do not all end at once. */
	stay->expires_ns =
		tine_clock_ns() + age_ns - (int64_t)tine_random((uint64_t)age_ns / 10 + 1);
	tine_past_note(record);
	options = real->PQconninfo(record->conn);
	tine_files_free(&stay->files);
	stay->is_poolable = options && !tine_aside_is_kind(options) &&
			    tine_files_note(&stay->files, options, stay->has_service, has_ticket);
	real->PQconninfoFree(options);
}

/* ---- finished ------------------------------------------------------------------------------- */

static bool may_stay(struct tine_record *record, int64_t now_ns)
{
	const struct tine_real *real = &record->copy->real;
	struct tine_stay *stay = &record->stay;
	PGconn *conn = record->conn;

	return stay->is_poolable && !tine_record_inherited(record) && now_ns < stay->expires_ns &&
	       real->PQstatus(conn) == CONNECTION_OK &&
	       real->PQtransactionStatus(conn) != PQTRANS_ACTIVE &&
	       !tine_session_in_pipeline(record) && tine_session_is_settled(&record->session);
}

/* Without it the server would do the same when the connection ends. */
static bool roll_back(struct tine_record *record)
{
	static const char sql[] = "ROLLBACK";
	const struct tine_real *real = &record->copy->real;

	if (real->PQtransactionStatus(record->conn) == PQTRANS_IDLE)
		return true;
	if (!tine_session_holds(record) || !real->PQsendQuery(record->conn, sql) ||
	    tine_dress_read(record, tine_clock_ns() + ANSWER_NS) <= 0 ||
	    real->PQtransactionStatus(record->conn) != PQTRANS_IDLE)
		return false;
	tine_journal_sent(&record->session.journal, sql);
	tine_journal_answered(&record->session.journal, true, 'I');
	return true;
}

/* libpq's last error is for the one who made it. */
static bool needs_reset(const struct tine_record *record)
{
	bool has_error = *record->copy->real.PQerrorMessage(record->conn);

	switch (reset_how) {
	case RESET_NONE:
		return has_error;
	case RESET_TRACKED:
		return has_error || !tine_journal_is_clean(&record->session.journal);
	case RESET_FULL:
		break;
	}
	return true;
}

static bool send_reset(struct tine_record *record)
{
	const struct tine_real *real = &record->copy->real;
	const char *sql = tine_lend_reset_sql(record);
	int rc = tine_session_holds(record) ? tine_past_send(record, sql) : -1;

	record->stay.is_past = rc > 0;
	if (rc == 0)
		rc = real->PQsendQuery(record->conn, sql) && real->PQflush(record->conn) == 0;
	return rc > 0;
}

bool tine_park_keep(struct tine_record *record)
{
	struct tine_stay *stay = &record->stay;
	int64_t now_ns = tine_clock_coarse_ns();
	struct tine_record *surplus;

	if (!tine_park_is_on())
		return false;
	if (stay->place == TINE_STAY_PARKED)
		return true; /* finished twice: a mistake that is not to become ours */
	adopt();
	sweep(now_ns);
	if (!may_stay(record, now_ns) || !tine_aside_step(record) ||
	    tine_budget_is_wanted(record) || !tine_copy_keep_loaded(record->copy) ||
	    !tine_cancel_detach(record) || !tine_dress_restore(record) || !roll_back(record) ||
	    !tine_journal_is_discardable(&record->session.journal))
		return false;
	if (needs_reset(record)) {
		if (!send_reset(record))
			return false;
		stay->is_reset = true;
		memcpy(stay->name, stay->first_name, sizeof(stay->name));
	}
	tine_journal_clear(&record->session.journal);
	tine_login_refuse(record, NULL);
	tine_stay_move(stay, TINE_STAY_PARKED);
	stay->parked_ns = tine_clock_ns();
	tine_budget_say_idle(record);
	finish_at_exit();
	surplus = put(record);
	if (surplus)
		tine_park_finish(surplus);
	return true;
}

/* ---- handed out ----------------------------------------------------------------------------- */

static bool has_another_name(const struct tine_stay *stay, const char *name)
{
	return stay->has_name_apart && name && strcmp(stay->name, name) != 0;
}

static bool send_name(struct tine_record *record, const char *name)
{
	const struct tine_real *real = &record->copy->real;
	const char *value = name;
	int format = 0;

	if (!real->PQsendQueryParams(record->conn,
				     "SELECT pg_catalog.set_config('application_name', $1, false)",
				     1, NULL, &value, NULL, &format, 0))
		return false;
	note_name(&record->stay, name);
	return true;
}

/* One statement more, where the name is another one, or where it has been silent for long.
 * @return 1 its answer was good, 0 it is due, -1 it was not */
static int ask(struct tine_record *record, const char *name, bool is_start)
{
	bool is_named = has_another_name(&record->stay, name);

	if (!is_named && tine_clock_coarse_ns() - record->stay.parked_ns < ASK_IDLE_NS)
		return 1;
	if (is_named ? !send_name(record, name) : !record->copy->real.PQsendQuery(record->conn, ""))
		return -1;
	record->stay.is_reset = is_start;
	return is_start ? 0 : tine_dress_read(record, tine_clock_ns() + ANSWER_NS);
}

static int read_reset(struct tine_record *record, bool is_start)
{
	int rc = tine_dress_read(record, is_start ? 0 : tine_clock_ns() + ANSWER_NS);

	return rc > 0 && tine_dress_is_dead(record) ? -1 : rc;
}

/* @return 1 it is reset, or will be before it does anything else; -1 it is dead */
static int read_past(struct tine_record *record, int64_t now_ns)
{
	bool is_late = now_ns - record->stay.parked_ns > RESET_NS;
	int rc = tine_past_read(record, is_late ? tine_clock_ns() + ANSWER_NS : 0);

	return rc < 0 || (rc > 0 && tine_dress_is_dead(record)) ? -1 : 1;
}

/* Is it as new? What is due is waited for, but for who comes back to ask again.
 * @param looks  whether the server has closed it, where no answer to a reset is due to tell */
static int make_ready(struct tine_record *record, const char *name, bool is_start, bool looks)
{
	struct tine_stay *stay = &record->stay;
	int64_t now_ns = tine_clock_coarse_ns();
	int rc;

	if (now_ns >= stay->expires_ns || !tine_files_are_same(&stay->files, now_ns))
		return -1;
	if (!stay->is_reset)
		rc = !looks || !tine_dress_is_dead(record) ? 1 : -1;
	else if (stay->is_past)
		rc = read_past(record, now_ns);
	else
		rc = read_reset(record, is_start);
	if (rc == 0)
		return 0;
	stay->is_reset = false;
	return rc > 0 ? ask(record, name, is_start) : -1;
}

/* To be set when the answer to the reset has been read. */
static void note_coming_name(struct tine_stay *stay, const char *name)
{
	free(stay->coming_name);
	stay->coming_name = has_another_name(stay, name) ? strdup(name) : NULL;
}

/* @return 1 there was none, 0 its answer is due, -1 the connection is dead */
static int set_coming_name(struct tine_record *record)
{
	char *name = record->stay.coming_name;
	int rc = 1;

	record->stay.coming_name = NULL;
	if (name)
		rc = send_name(record, name) && record->copy->real.PQflush(record->conn) == 0 ? 0
											      : -1;
	free(name);
	return rc;
}

static PGconn *hand_out(struct tine_record *record, enum tine_stay_place place)
{
	struct tine_stay *stay = &record->stay;

	tine_stay_move(stay, place);
	record->used_ns = tine_clock_coarse_ns();
	tine_budget_say_busy(record);
	return record->conn;
}

PGconn *tine_park_take(const struct tine_copy *copy, const struct tine_key *key, const char *name,
		       bool is_start)
{
	struct tine_record *record;

	if (!keep_most)
		return NULL;
	adopt();
	while ((record = take_best(copy, key)) != NULL) {
		bool looks = !is_fresh(record);
		int ready = looks && is_lost(record) ? -1
						    : make_ready(record, name, is_start, looks);

		note_coming_name(&record->stay, ready == 0 ? name : NULL);
		if (ready >= 0)
			return hand_out(record, is_start ? TINE_STAY_COMING : TINE_STAY_OUT);
		tine_park_finish(record);
	}
	return NULL;
}

/* It was dead, and the program has it already: the same PGconn gets a new session. */
static PostgresPollingStatusType renew(struct tine_record *record)
{
	if (!tine_await_reset(record))
		return PGRES_POLLING_FAILED;
	return tine_await_is_on(record) ? tine_await_poll(record) : PGRES_POLLING_WRITING;
}

PostgresPollingStatusType tine_park_poll(struct tine_record *record)
{
	struct tine_stay *stay = &record->stay;
	int rc = 1;

	if (stay->is_reset)
		rc = tine_dress_read(record, 0);
	if (rc > 0)
		rc = set_coming_name(record);
	if (rc == 0)
		return PGRES_POLLING_READING;
	if (rc < 0)
		return renew(record);
	stay->is_reset = false;
	tine_stay_move(stay, TINE_STAY_OUT);
	return PGRES_POLLING_OK;
}
