/* SPDX-License-Identifier: PostgreSQL */
/*
 * Will the guard really load into a command? The loader says nothing, or only a warning, when it
 * leaves a preloaded library out, so this is found out before the command starts.
 */
#ifndef TINE_CLI_TARGET_H
#define TINE_CLI_TARGET_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

enum tine_target_verdict {
	TINE_TARGET_GUARDED,
	TINE_TARGET_SCRIPT, /* says nothing itself: its interpreter is the next item */
	TINE_TARGET_STATIC,
	TINE_TARGET_OTHER_LIBC,
	TINE_TARGET_OTHER_MACHINE,
	TINE_TARGET_SETUID,
	TINE_TARGET_CAPABILITIES,
	TINE_TARGET_SANITIZER,
	TINE_TARGET_UNREADABLE,
	TINE_TARGET_REFUSED, /* the loader was asked and does not load the library */
	TINE_TARGET_MISSING, /* an interpreter that does not exist */
};

struct tine_target {
	char path[PATH_MAX];
	enum tine_target_verdict verdict;
	char detail[256]; /* what was found, or "" */
};

#define TINE_TARGETS_MAX 8

/* A command and the interpreters behind it, in the order in which they are executed. */
struct tine_targets {
	struct tine_target items[TINE_TARGETS_MAX];
	size_t count;
};

/** Find a command as execvp() would.
 *  @return 0, -ENOENT, or -EACCES when only files that cannot be executed were found; for a command
 *          with a slash in it also what stat() says */
int tine_target_find(const char *command, char ret_path[PATH_MAX]);

/** Examine a command and, for a script, the programs of its "#!" lines; through env(1) too.
 *  @param library   the path that LD_PRELOAD would name
 *  @param ask_loader  let the dynamic loader of the command list what it would load, even where its
 *                     answer is certain. The command itself is not run. */
void tine_target_examine(const char *path, const char *library, bool ask_loader,
			 struct tine_targets *ret_targets);

/** The first item that cannot be guarded, or NULL. */
const struct tine_target *tine_target_problem(const struct tine_targets *targets);

/** A stable word for a verdict, for --json. */
const char *tine_target_code(enum tine_target_verdict verdict);

/** What a verdict means, as the end of a sentence that begins with the path. */
const char *tine_target_reason(enum tine_target_verdict verdict);

#endif
