/* SPDX-License-Identifier: PostgreSQL */
#include "cli/target.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#include "base/cleanup.h"
#include "cli/elf.h"
#include "cli/loader.h"

static const struct {
	const char *code, *reason;
} texts[] = {
	[TINE_TARGET_GUARDED] = { "guarded", "is protected" },
	[TINE_TARGET_SCRIPT] = { "script", "is a script" },
	[TINE_TARGET_STATIC] = { "static", "is statically linked: nothing can be loaded into it" },
	[TINE_TARGET_OTHER_LIBC] = { "other-libc", "uses another C library than glibc" },
	[TINE_TARGET_OTHER_MACHINE] = { "other-machine", "is built for another machine" },
	[TINE_TARGET_SETUID] = { "setuid",
				 "is setuid or setgid: the loader ignores LD_PRELOAD for it" },
	[TINE_TARGET_CAPABILITIES] = { "capabilities", "has file capabilities: the loader ignores "
						       "LD_PRELOAD for it" },
	[TINE_TARGET_SANITIZER] = { "sanitizer", "links libasan, which must be the first preloaded "
						 "library: put it "
						 "into LD_PRELOAD yourself" },
	[TINE_TARGET_UNREADABLE] = { "unreadable", "cannot be examined" },
	[TINE_TARGET_REFUSED] = { "refused", "would be started without the guard by its loader" },
	[TINE_TARGET_MISSING] = { "missing", "does not exist" },
};

const char *tine_target_code(enum tine_target_verdict verdict)
{
	return texts[verdict].code;
}

const char *tine_target_reason(enum tine_target_verdict verdict)
{
	return texts[verdict].reason;
}

const struct tine_target *tine_target_problem(const struct tine_targets *targets)
{
	for (size_t i = 0; i < targets->count; i++)
		if (targets->items[i].verdict != TINE_TARGET_GUARDED &&
		    targets->items[i].verdict != TINE_TARGET_SCRIPT)
			return &targets->items[i];
	return NULL;
}

/* ---- finding -------------------------------------------------------------------------------- */

static int executable(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) && access(path, X_OK) == 0 ? 0 : -EACCES;
}

int tine_target_find(const char *command, char ret_path[PATH_MAX])
{
	const char *path = getenv("PATH");
	int result = -ENOENT;

	if (strchr(command, '/')) {
		snprintf(ret_path, PATH_MAX, "%s", command);
		return executable(command);
	}
	if (!path)
		path = "/bin:/usr/bin";
	for (;; path++) {
		size_t length = strcspn(path, ":");
		int rc;

		if (snprintf(ret_path, PATH_MAX, "%.*s%s%s", (int)length, path, length ? "/" : "./",
			     command) < PATH_MAX) {
			rc = executable(ret_path);
			if (rc == 0)
				return 0;
			/* A directory of PATH that may not be searched says nothing about the
			 * command. */
			if (rc == -EACCES && access(ret_path, F_OK) == 0)
				result = rc;
		}
		path += length;
		if (!*path)
			return result;
	}
}

/* ---- one program ---------------------------------------------------------------------------- */

/* Would executing it raise privileges, so that the loader drops LD_PRELOAD? */
static enum tine_target_verdict privileges(const char *path, int fd)
{
	struct stat st;
	struct statvfs fs;

	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 || fstat(fd, &st) < 0 ||
	    (fstatvfs(fd, &fs) == 0 && (fs.f_flag & ST_NOSUID)))
		return TINE_TARGET_GUARDED;
	if (((st.st_mode & S_ISUID) && st.st_uid != getuid()) ||
	    ((st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP) && st.st_gid != getgid()))
		return TINE_TARGET_SETUID;
	if (getuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0)
		return TINE_TARGET_CAPABILITIES;
	return TINE_TARGET_GUARDED;
}

static void examine_elf(struct tine_target *target, int fd, const struct tine_elf *elf,
			const char *library, bool ask_loader)
{
	struct tine_elf own;

	target->verdict = privileges(target->path, fd);
	if (target->verdict != TINE_TARGET_GUARDED)
		return;
	if (tine_loader_own(&own) < 0 || elf->class != own.class || elf->machine != own.machine) {
		target->verdict = TINE_TARGET_OTHER_MACHINE;
		snprintf(target->detail, sizeof(target->detail), "ELF class %u, machine %u",
			 elf->class, elf->machine);
	} else if (!elf->interpreter[0]) {
		target->verdict = TINE_TARGET_STATIC;
	} else if (strstr(elf->interpreter, "/ld-musl")) {
		target->verdict = TINE_TARGET_OTHER_LIBC;
		snprintf(target->detail, sizeof(target->detail), "%s", elf->interpreter);
	} else if (elf->needs_libasan && !tine_loader_preloads("libasan.so")) {
		target->verdict = TINE_TARGET_SANITIZER;
	} else if (ask_loader || strcmp(elf->interpreter, own.interpreter) != 0) {
		/* Our own loader is known to load our library; any other has to be asked. */
		if (!tine_loader_accepts(elf->interpreter, target->path, library, target->detail,
					 sizeof(target->detail)))
			target->verdict = TINE_TARGET_REFUSED;
	}
}

/* ---- scripts -------------------------------------------------------------------------------- */

static char *next_word(char **at)
{
	char *word = *at + strspn(*at, " \t");
	size_t length = strcspn(word, " \t");

	*at = word + length;
	if (**at)
		*(*at)++ = '\0';
	return *word ? word : NULL;
}

/* "#!/usr/bin/env [-S] [NAME=VALUE] python3": the program env will run. */
static char *behind_env(char *arguments)
{
	char *word;

	while ((word = next_word(&arguments)) != NULL)
		if (word[0] != '-' && !strchr(word, '='))
			return word;
	return NULL;
}

static bool is_env(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strcmp(slash ? slash + 1 : path, "env") == 0;
}

/* ---- the chain ------------------------------------------------------------------------------ */

static struct tine_target *add(struct tine_targets *targets, const char *path)
{
	struct tine_target *target;

	if (targets->count == TINE_TARGETS_MAX)
		return NULL;
	target = &targets->items[targets->count++];
	memset(target, 0, sizeof(*target));
	snprintf(target->path, sizeof(target->path), "%s", path);
	return target;
}

static void add_missing(struct tine_targets *targets, const char *path)
{
	struct tine_target *target = add(targets, path);

	if (target)
		target->verdict = TINE_TARGET_MISSING;
}

static void examine_one(struct tine_targets *targets, const char *path, const char *library,
			bool ask_loader);

static void examine_interpreters(struct tine_targets *targets, char *line, const char *library,
				 bool ask_loader)
{
	char *program = next_word(&line), path[PATH_MAX];

	if (!program)
		return examine_one(targets, "/bin/sh", library, ask_loader);
	examine_one(targets, program, library, ask_loader);
	if (!is_env(program))
		return;
	program = behind_env(line);
	if (!program)
		return;
	if (tine_target_find(program, path) < 0)
		return add_missing(targets, program);
	examine_one(targets, path, library, ask_loader);
}

static void examine_one(struct tine_targets *targets, const char *path, const char *library,
			bool ask_loader)
{
	struct tine_target *target = add(targets, path);
	cleanup_(tine_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char line[256] = "";
	struct tine_elf elf;
	ssize_t length;
	int rc;

	if (!target)
		return;
	if (fd < 0) {
		target->verdict = errno == ENOENT ? TINE_TARGET_MISSING : TINE_TARGET_UNREADABLE;
		snprintf(target->detail, sizeof(target->detail), "%s", strerror(errno));
		return;
	}
	rc = tine_elf_read(fd, &elf);
	if (rc == 0)
		return examine_elf(target, fd, &elf, library, ask_loader);
	target->verdict = TINE_TARGET_SCRIPT;
	length = pread(fd, line, sizeof(line) - 1, 0);
	line[length > 0 ? strcspn(line, "\n") : 0] = '\0';
	/* Without "#!" execvp() gives the file to the shell. */
	if (strncmp(line, "#!", 2) != 0)
		line[0] = line[1] = line[2] = '\0';
	examine_interpreters(targets, line + 2, library, ask_loader);
}

void tine_target_examine(const char *path, const char *library, bool ask_loader,
			 struct tine_targets *ret_targets)
{
	ret_targets->count = 0;
	examine_one(ret_targets, path, library, ask_loader);
}
