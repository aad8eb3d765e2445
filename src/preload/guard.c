/* SPDX-License-Identifier: PostgreSQL */
#include "preload/guard.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/line.h"
#include "base/option.h"
#include "preload/ahead.h"
#include "preload/bind.h"
#include "preload/known.h"
#include "preload/report.h"
#include "preload/scan.h"
#include "preload/track.h"

static struct tine_sink sink;
static bool quiet, verbose;
/* Of the thread that forks. */
static __thread sigset_t mask_before_fork;
static __thread bool is_forking, is_adopted;

const struct tine_guard_level *tine_guard_level;

bool tine_guard_is_verbose(void)
{
	return verbose;
}

bool tine_guard_is_quiet(void)
{
	return quiet;
}

void tine_guard_say(struct tine_text *text)
{
	tine_sink_write(&sink, text);
}

void tine_guard_leaving(void)
{
	int saved_errno = errno;

	if (tine_origin_is_borrowed())
		return;
	tine_sink_keep(&sink);
	if (tine_guard_level)
		tine_guard_level->leaving();
	errno = saved_errno;
}

void tine_guard_moved(void)
{
	if (tine_origin_is_borrowed())
		return;
	sink.is_elsewhere = true;
	if (tine_guard_level)
		tine_guard_level->moved();
}

static void say_report(const struct tine_report *report, const char *topic)
{
	char line[TINE_LINE_MAX];
	struct tine_text text;

	if (!report->failed && (quiet || (!report->severed && !verbose)))
		return;
	tine_report_begin(&text, line, sizeof(line), topic);
	tine_report_text(report, tine_origin.parent, &text);
	tine_guard_say(&text);
}

static void child_step(const char *topic)
{
	int saved_errno = errno;
	struct tine_report report = { 0 };

	tine_origin_adopt();
	tine_bind_in_child();
	tine_ahead_in_child();
	if (tine_guard_level)
		tine_guard_level->before_sever();
	tine_scan_sever(&report);
	if (tine_guard_level)
		tine_guard_level->in_child();
	say_report(&report, topic);
	errno = saved_errno;
}

/* Handlers that were registered before ours come first in the child, and may use a hook: libtine's
 * do. */
void tine_guard_missed_fork(void)
{
	is_adopted = is_forking;
	child_step(is_forking ? "fork" : "fork without handlers");
}

void tine_guard_sever_late(int fd)
{
	struct tine_report report = { 0 };

	tine_scan_sever_one(fd, &report);
	say_report(&report, "first use after fork");
}

static void before_fork(void)
{
	sigset_t all;

	tine_guard_enter();
	/* Not left to the child, where another thread's hold on the loader's lock would be for
	 * ever. */
	if (tine_bind_pending)
		tine_bind_new_libraries();
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &mask_before_fork);
	is_forking = true;
	is_adopted = false;
	if (tine_guard_level)
		tine_guard_level->before_fork();
}

static void after_fork_in_parent(void)
{
	is_forking = false;
	if (tine_guard_level)
		tine_guard_level->in_parent();
	sigprocmask(SIG_SETMASK, &mask_before_fork, NULL);
}

static void after_fork_in_child(void)
{
	is_forking = false;
	if (!is_adopted)
		child_step("fork");
	sigprocmask(SIG_SETMASK, &mask_before_fork, NULL);
}

static void say_started(void)
{
	char line[TINE_LINE_MAX];
	struct tine_text text;

	tine_report_begin(&text, line, sizeof(line), "guard");
	tine_text_add(&text, "watching ");
	tine_text_add_foreign(&text, program_invocation_name, strlen(program_invocation_name));
	tine_guard_say(&text);
}

/* Settings were checked by `tine run`; set by hand and wrong, they are left at their defaults: a
 * preloaded library does not stop a program. */
static void read_settings(struct tine_settings *settings)
{
	char error[256];

	if (tine_option_environment(TINE_COMMAND_RUN, settings, error, sizeof(error)) < 0)
		*settings = (struct tine_settings)TINE_SETTINGS_NONE;
	tine_sink_init(&sink, settings->log);
	quiet = settings->quiet;
	verbose = settings->verbose;
}

/* What pthread_atfork() of glibc calls. Named here because it must be weak: the loader of another
 * libc refuses to start a program when a preloaded library needs a function that it does not have.
 */
extern int __register_atfork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void),
			     void *library) __attribute__((weak));
extern void *__dso_handle;

/* It opens a connection for its child, and the child alone goes on with it: a session with a slot
 * for replication, which cannot be had twice. */
static bool hands_over(void)
{
	const char *file = (const char *)getauxval(AT_EXECFN);
	const char *slash = file ? strrchr(file, '/') : NULL;

	return file && strcmp(slash ? slash + 1 : file, "pg_basebackup") == 0;
}

__attribute__((constructor)) static void start(void)
{
	int saved_errno = errno;
	struct tine_settings settings = TINE_SETTINGS_NONE;

	/* The loader keeps us out of setuid programs when our path has a slash; make sure. */
	if (getauxval(AT_SECURE) || !__register_atfork || hands_over()) {
		tine_track_disable();
		return;
	}
	read_settings(&settings);
	tine_known_init(settings.ports);
	tine_origin_init();
	__register_atfork(before_fork, after_fork_in_parent, after_fork_in_child, &__dso_handle);
	if (verbose)
		say_started();
	if (tine_level_start)
		tine_guard_level = tine_level_start(&settings);
	tine_bind_new_libraries();
	errno = saved_errno;
}
