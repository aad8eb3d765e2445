/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/level.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/hot.h"
#include "base/line.h"
#include "preload/libpq/budget.h"
#include "preload/libpq/gate.h"
#include "preload/libpq/login.h"
#include "preload/libpq/park.h"
#include "preload/libpq/record.h"
#include "preload/report.h"

#define PING_IDLE_MS 30000

struct tine_level tine_level TINE_HOT;

static void begin(struct tine_text *text, char *line)
{
	tine_report_begin(text, line, TINE_LINE_MAX, "libpq");
}

void tine_level_say_wrapped(unsigned rebound)
{
	char line[TINE_LINE_MAX];
	struct tine_text text;

	if (!tine_guard_is_verbose())
		return;
	begin(&text, line);
	tine_text_add(&text, "wrapping");
	for (unsigned i = 0; i < TINE_COPIES; i++) {
		if (!tine_copies[i].loaded)
			continue;
		tine_text_add(&text, " ");
		tine_text_add_foreign(&text, tine_copies[i].name, strlen(tine_copies[i].name));
	}
	tine_text_add(&text, ", ");
	tine_text_add_number(&text, rebound);
	tine_text_add(&text, " earlier bindings");
	tine_guard_say(&text);
}

void tine_level_say_unwrapped(const char *path, const char *why)
{
	static atomic_flag is_said = ATOMIC_FLAG_INIT;
	char line[TINE_LINE_MAX];
	struct tine_text text;

	if (tine_guard_is_quiet() || atomic_flag_test_and_set(&is_said))
		return;
	begin(&text, line);
	tine_text_add_foreign(&text, path, strlen(path));
	tine_text_add(&text, " cannot be wrapped, so its connections have the guard alone: ");
	tine_text_add(&text, why);
	tine_guard_say(&text);
}

void tine_level_say_login(const struct tine_copy *copy, const char *function)
{
	char line[TINE_LINE_MAX];
	struct tine_text text;

	if (!tine_guard_is_verbose())
		return;
	begin(&text, line);
	tine_text_add(&text, function);
	tine_text_add(&text, " of ");
	tine_text_add_foreign(&text, copy->name, strlen(copy->name));
	tine_guard_say(&text);
}

/* Bits of what has been told since the last fork. */
static atomic_uint told;

void tine_level_say_reopened(enum tine_reopen_why why, bool good)
{
	static const char *const whose[] = {
		[TINE_REOPEN_INHERITED] = "an inherited connection",
		[TINE_REOPEN_DEAD] = "a connection that was gone",
		[TINE_REOPEN_DEMOTED] = "a connection to a server that became read-only",
	};
	unsigned bit = 1U << (2 * why + good);
	char line[TINE_LINE_MAX];
	struct tine_text text;

	if (tine_guard_is_quiet() ||
	    ((atomic_fetch_or(&told, bit) & bit) && !tine_guard_is_verbose()))
		return;
	begin(&text, line);
	tine_text_add(&text, good ? "opened anew: " : "could not be opened anew, and is lost: ");
	tine_text_add(&text, whose[why]);
	tine_guard_say(&text);
}

void tine_level_say_left(void)
{
	static atomic_uint left;
	unsigned count = atomic_fetch_add(&left, 1) + 1;
	char line[TINE_LINE_MAX];
	struct tine_text text;

	if (tine_guard_is_quiet() || (count > 1 && !tine_guard_is_verbose()))
		return;
	begin(&text, line);
	tine_text_add(&text, "parked connections that are left alone, since the program closed "
			     "their descriptors: ");
	tine_text_add_number(&text, count);
	tine_guard_say(&text);
}

/* By the thread that forks. A fork without handlers does not have them, and knows nothing of who
 * has. */
static bool are_locks_held;

/* The pool hides answers in what libpq reads. */
static bool libpq_found(const struct dl_phdr_info *library, const struct tine_linkage *linkage)
{
	return tine_copy_found(library, linkage) && !tine_park_is_on();
}

static void before_sever(void)
{
	tine_record_visit(tine_session_say_transaction);
}

static void before_fork(void)
{
	tine_gate_close();
	tine_park_lock();
	tine_budget_lock();
	tine_record_lock();
	are_locks_held = true;
}

static void unlock(void)
{
	are_locks_held = false;
	tine_record_unlock();
	tine_budget_unlock();
	tine_park_unlock();
}

static void in_parent(void)
{
	unlock();
	tine_gate_open();
}

static void in_child(void)
{
	tine_gate_renew();
	if (are_locks_held) {
		unlock();
	} else {
		tine_record_renew_lock();
		tine_budget_renew_lock();
		tine_park_renew_lock();
	}
	atomic_store(&told, 0);
	tine_budget_left();
	tine_level.forks++;
}

static void moved(void)
{
	int saved_errno = errno;

	__atomic_store_n(&tine_level.is_moved, true, __ATOMIC_RELEASE);
	tine_park_close();
	errno = saved_errno;
}

static const struct tine_guard_level level = {
	.before_look = tine_copy_before_look,
	.libpq_found = libpq_found,
	.after_look = tine_copy_after_look,
	.hook_of_libpq = tine_gate_hook,
	.before_sever = before_sever,
	.before_fork = before_fork,
	.in_parent = in_parent,
	.in_child = in_child,
	.leaving = tine_budget_leaving,
	.moved = moved,
};

const struct tine_guard_level *tine_level_start(const struct tine_settings *settings)
{
	tine_level.revive = !settings->no_revive;
	tine_level.ping_idle_ns =
		(int64_t)(settings->ping_idle_ms ?: PING_IDLE_MS) * TINE_NS_PER_MS;
	return tine_login_start(settings) || tine_level.revive ? &level : NULL;
}
