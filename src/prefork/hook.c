/* SPDX-License-Identifier: PostgreSQL */
/*
 * The program's functions, and the lines of the log.
 *
 * Locks: none. Fork: a worker has a copy of both.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pool/error.h"
#include "prefork/master.h"

int tine_master_on(tine_master *master, int kind, tine_hook_fn fn, void *user_data)
{
	if (!master || !fn || kind < 0 || kind >= TINE_HOOK_COUNT || master->running)
		return TINE_E_INVALID;
	for (int i = 0; i < TINE_HOOK_FNS; i++) {
		struct tine_hook_entry *entry = &master->hooks[kind][i];

		if (!entry->fn) {
			*entry = (struct tine_hook_entry){ fn, user_data };
			return 0;
		}
	}
	return TINE_E_INVALID;
}

int tine_hook_call(struct tine_master *master, struct tine_hook_event *hook)
{
	int rc = 0;

	hook->master = master;
	if (hook->worker) {
		hook->worker_kind = hook->worker->kind->name;
		hook->pid = (int)hook->worker->pid;
	}
	for (int i = 0; i < TINE_HOOK_FNS && rc == 0; i++) {
		const struct tine_hook_entry *entry = &master->hooks[hook->kind][i];

		if (!entry->fn)
			break;
		rc = entry->fn(hook, entry->user_data);
	}
	return rc;
}

int tine_hook_call_plain(struct tine_master *master, enum tine_hook_kind kind,
			 struct tine_worker *worker)
{
	struct tine_hook_event hook = { .kind = kind, .worker = worker };

	return tine_hook_call(master, &hook);
}

void tine_master_say(const struct tine_master *master, const struct tine_worker *worker,
		     const char *format, ...)
{
	char line[TINE_LINE_MAX], said[TINE_LINE_MAX];
	struct tine_text text;
	va_list args;

	va_start(args, format);
	vsnprintf(said, sizeof(said), format, args);
	va_end(args);
	tine_text_init(&text, line, sizeof(line));
	tine_text_add(&text, "tine[");
	tine_text_add_number(&text, (uint64_t)getpid());
	tine_text_add(&text, "] ");
	tine_text_add(&text, worker ? worker->name : "master");
	tine_text_add(&text, ": ");
	/* Names of units are the program's, and often the client's. */
	tine_text_add_foreign(&text, said, strlen(said));
	tine_sink_write(&master->sink, &text);
}

const char *tine_hook_name(int kind)
{
	static const char *const names[TINE_HOOK_COUNT] = {
		[TINE_HOOK_MASTER_INIT] = "master_init",
		[TINE_HOOK_LOAD] = "load",
		[TINE_HOOK_NWORKERS_CHANGED] = "nworkers_changed",
		[TINE_HOOK_MASTER_READY] = "master_ready",
		[TINE_HOOK_BEFORE_FORK] = "before_fork",
		[TINE_HOOK_AFTER_FORK] = "after_fork",
		[TINE_HOOK_WORKER_READY] = "worker_ready",
		[TINE_HOOK_BEFORE_UNIT] = "before_unit",
		[TINE_HOOK_AFTER_UNIT] = "after_unit",
		[TINE_HOOK_WORKER_TIMEOUT] = "worker_timeout",
		[TINE_HOOK_WORKER_ABORT] = "worker_abort",
		[TINE_HOOK_WORKER_EXIT] = "worker_exit",
		[TINE_HOOK_CHILD_EXIT] = "child_exit",
		[TINE_HOOK_REOPEN_LOGS] = "reopen_logs",
		[TINE_HOOK_BEFORE_RELOAD] = "before_reload",
		[TINE_HOOK_AFTER_RELOAD] = "after_reload",
		[TINE_HOOK_MASTER_EXIT] = "master_exit",
	};

	return kind >= 0 && kind < TINE_HOOK_COUNT ? names[kind] : "unknown hook";
}

const char *tine_ending_name(int ending)
{
	static const char *const names[TINE_END_COUNT] = {
		[TINE_END_ITSELF] = "itself",     [TINE_END_BOOT] = "boot",
		[TINE_END_STARTUP] = "startup",   [TINE_END_TIMEOUT] = "timeout",
		[TINE_END_UNITS] = "units",       [TINE_END_RSS] = "rss",
		[TINE_END_RELOAD] = "reload",     [TINE_END_SURPLUS] = "surplus",
		[TINE_END_SHUTDOWN] = "shutdown", [TINE_END_ORPHAN] = "orphan",
	};

	return ending >= 0 && ending < TINE_END_COUNT ? names[ending] : "unknown ending";
}
