/* SPDX-License-Identifier: PostgreSQL */
/*
 * The guard: starts with the program, acts in every forked child.
 *
 * Order of a fork, from tine's view:
 *   prepare  all signals are blocked, so that no handler of the program runs in the child before us
 *   child    adopt the memory, sever inherited connections, restore the signal mask, say it
 *   parent   restore the signal mask
 * The handlers are registered by the constructor, before the program can register its own; child
 * handlers run in the order of registration, so ours is first, but for those of libraries that were
 * initialized before. Where one of these uses a hook the child step is taken there, and once.
 *
 * Owns no lock. The child step makes system calls and plain stores only.
 */
#ifndef TINE_PRELOAD_GUARD_H
#define TINE_PRELOAD_GUARD_H

#include <link.h>
#include <stdbool.h>

#include "base/option.h"
#include "base/text.h"
#include "fork/origin.h"
#include "preload/linkage.h"

/* What is above the guard: the libpq level (libpq/level.h). The handlers run inside the guard's
 * own, with all signals blocked; a look at the libraries is made by bind.c. */
struct tine_guard_level {
	void (*before_look)(void);
	/* @return does it follow what this libpq receives, so that its SSL_read need not lead to
	 *         tls.c? */
	bool (*libpq_found)(const struct dl_phdr_info *library, const struct tine_linkage *linkage);
	void (*after_look)(void);
	/* What is to stand in a libpq's slot for a function of libc's, or NULL. */
	void *(*hook_of_libpq)(const char *name);
	/* In a child, before its inherited connections are severed: say how the transactions stand
	 * that tine_track_leave() has left to the level. */
	void (*before_sever)(void);
	void (*before_fork)(void);
	void (*in_parent)(void);
	void (*in_child)(void); /* also after a fork that ran no handlers */
	/* It is about to be another one, or the user is: what there is to open is opened now. */
	void (*leaving)(void);
	/* The root directory or a namespace is another one now, of this thread at least. */
	void (*moved)(void);
};

/* NULL when there is none; set by the constructor, constant from then on. */
extern const struct tine_guard_level *tine_guard_level;

/** Start the level.
 *  @return NULL when the settings want nothing of it. Not there in programs that are linked without
 *          it. */
const struct tine_guard_level *tine_level_start(const struct tine_settings *settings)
	__attribute__((weak));

/** Write a line into tine's log. Async-signal-safe. */
void tine_guard_say(struct tine_text *text);

/** Was --verbose, or --quiet, given? */
bool tine_guard_is_verbose(void);
bool tine_guard_is_quiet(void);

/** A hooked call found memory that belongs to another process: a fork without handlers (_Fork, raw
 *  clone). Does now what the child handler would have done. */
void tine_guard_missed_fork(void);

/** The first bytes on a connection show that it is an ancestor's PostgreSQL connection, inherited
 *  before anything had been sent on it. Sever it before these bytes are sent. */
void tine_guard_sever_late(int fd);

/** Before the process is somebody else, or elsewhere: files that only this user can open, or only
 *  here, are opened. */
void tine_guard_leaving(void);

/** It has another root directory, or is in another namespace. */
void tine_guard_moved(void);

/** To be called by every hook before it does anything. */
static inline void tine_guard_enter(void)
{
	if (tine_origin_changed())
		tine_guard_missed_fork();
}

#endif
