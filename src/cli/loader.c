/* SPDX-License-Identifier: PostgreSQL */
#include "cli/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"

#define ANSWER_BYTES 65536

int tine_loader_own(struct tine_elf *ret_elf)
{
	cleanup_(tine_closep) int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : tine_elf_read(fd, ret_elf);
}

bool tine_loader_preloads(const char *name)
{
	const char *entry = getenv("LD_PRELOAD");

	while (entry && *entry) {
		size_t length = strcspn(entry, " :");
		const char *slash = memrchr(entry, '/', length);
		const char *base = slash ? slash + 1 : entry;

		if (strncmp(base, name, strlen(name)) == 0)
			return true;
		entry += length + (entry[length] != '\0');
	}
	return false;
}

/* Start "loader --list program" with both outputs in a pipe. Returns the pid or -errno. */
static pid_t start(const char *loader, const char *program, const char *library, int output)
{
	char preload[PATH_MAX + 16];
	const char *argv[] = { loader, "--list", program, NULL };
	const char *env[] = { preload, "LC_ALL=C", NULL };
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int rc;

	snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", library);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
	rc = posix_spawn(&pid, loader, &actions, NULL, (char **)argv, (char **)env);
	posix_spawn_file_actions_destroy(&actions);
	return rc == 0 ? pid : -rc;
}

/* Read to the end, keep what fits. */
static void read_answer(int input, char *answer, size_t size)
{
	char rest[4096];
	size_t used = 0;
	ssize_t got;

	while ((got = used + 1 < size ? read(input, answer + used, size - 1 - used)
				      : read(input, rest, sizeof(rest))) > 0)
		if (used + 1 < size)
			used += (size_t)got;
	answer[used] = '\0';
}

bool tine_loader_accepts(const char *loader, const char *program, const char *library,
			 char *ret_detail, size_t detail_size)
{
	static char answer[ANSWER_BYTES];
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return true;
	pid = start(loader, program, library, ends[1]);
	close(ends[1]);
	if (pid > 0) {
		read_answer(ends[0], answer, sizeof(answer));
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	close(ends[0]);
	/* "ERROR: ld.so: object '…' from LD_PRELOAD cannot be preloaded (…): ignored." names it
	 * too. */
	if (pid < 0 || (strstr(answer, library) && !strstr(answer, "cannot be preloaded")))
		return true;
	snprintf(ret_detail, detail_size, "%.*s", (int)strcspn(answer, "\n"), answer);
	return false;
}
