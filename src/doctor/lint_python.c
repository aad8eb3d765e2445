/* SPDX-License-Identifier: PostgreSQL */
/*
 * Running the Python program that reads a project. It lies beside tine-doctor, uses Python's
 * standard library only, and runs isolated: nothing of the project, of the environment or of the
 * user's own packages is imported. Its answer is limited in time and size.
 *
 * Owns a child during the call. Locks: none. Fork: see lint.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/exit.h"
#include "doctor/lint.h"

#define ANSWER_MS 180000 /* the program itself gives up reading before that */
#define ANSWER_BYTES (64 << 20)

/* ---- which Python --------------------------------------------------------------------------- */

/* A relative entry of PATH could lead into the project. */
static bool find_in_path(char ret_path[PATH_MAX])
{
	const char *path = getenv("PATH");

	while (path && *path) {
		int length = (int)strcspn(path, ":");

		if (*path == '/' &&
		    snprintf(ret_path, PATH_MAX, "%.*s/python3", length, path) < PATH_MAX &&
		    access(ret_path, X_OK) == 0)
			return true;
		path += length;
		path += *path == ':';
	}
	return false;
}

static int find_python(const char *given, char ret_path[PATH_MAX])
{
	static const char *const usual[] = { "/usr/bin/python3", "/usr/local/bin/python3" };

	for (size_t i = 0; !given && i < sizeof(usual) / sizeof(usual[0]); i++)
		if (access(usual[i], X_OK) == 0) {
			strcpy(ret_path, usual[i]);
			return 0;
		}
	if (!given && find_in_path(ret_path))
		return 0;
	if (!given) {
		tine_doctor_fail(TINE_EXIT_SYSTEM,
				 "--lint needs python3: there is none in /usr/bin, /usr/local/bin "
				 "and PATH (--python names one)");
		return -ENOENT;
	}
	snprintf(ret_path, PATH_MAX, "%s", given);
	if (access(given, X_OK) == 0)
		return 0;
	tine_doctor_fail(TINE_EXIT_SYSTEM, "--python %s: %s", given, strerror(errno));
	return -ENOENT;
}

/* Beside this program. */
static int find_program(char ret_path[PATH_MAX])
{
	ssize_t length = readlink("/proc/self/exe", ret_path, PATH_MAX - 16);

	if (length < 0)
		return -errno;
	ret_path[length] = '\0';
	strcpy(strrchr(ret_path, '/'), "/lint");
	if (access(ret_path, R_OK) == 0)
		return 0;
	tine_doctor_fail(TINE_EXIT_SYSTEM, "%s: %s", ret_path, strerror(errno));
	return -ENOENT;
}

/* ---- running it ----------------------------------------------------------------------------- */

static int start(const char *const words[], int out, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	int rc = posix_spawn_file_actions_init(&actions);

	if (rc != 0)
		return -rc;
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	/* What an interpreter says of a failure may hold text of the project. */
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	rc = posix_spawn(ret_pid, words[0], &actions, NULL, (char *const *)words, environ);
	posix_spawn_file_actions_destroy(&actions);
	return -rc;
}

/* All bytes up to the end. Returns a text for free() or NULL with errno. */
static char *read_answer(int fd, size_t *ret_size)
{
	int64_t deadline = tine_clock_ns() + ANSWER_MS * INT64_C(1000000);
	size_t room = 0;
	char *answer = NULL;

	*ret_size = 0;
	for (;;) {
		int left = tine_clock_poll_ms(deadline, tine_clock_ns());
		struct pollfd wait = { .fd = fd, .events = POLLIN };
		ssize_t got;

		if (*ret_size == room) {
			char *more = room < ANSWER_BYTES ? realloc(answer, room + 65536) : NULL;

			if (!more)
				break;
			answer = more;
			room += 65536;
		}
		if (left == 0 || (poll(&wait, 1, left) < 0 && errno != EINTR))
			break;
		if (!(wait.revents & (POLLIN | POLLHUP | POLLERR)))
			continue;
		got = read(fd, answer + *ret_size, room - *ret_size);
		if (got == 0)
			return answer;
		if (got > 0)
			*ret_size += (size_t)got;
		else if (errno != EINTR)
			break;
	}
	free(answer);
	return NULL;
}

static json_t *run(const char *const words[])
{
	int ends[2];
	char *answer;
	json_t *seen = NULL;
	size_t size;
	pid_t pid = 0;
	int rc;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return NULL;
	rc = start(words, ends[1], &pid);
	close(ends[1]);
	if (rc == 0 && pid > 0) {
		answer = read_answer(ends[0], &size);
		if (answer)
			seen = json_loadb(answer, size, 0, NULL);
		else
			kill(pid, SIGKILL);
		free(answer);
		waitpid(pid, NULL, 0);
	}
	close(ends[0]);
	return seen;
}

int tine_lint_read(const struct tine_doctor_options *options, json_t **ret_seen)
{
	char python[PATH_MAX], program[PATH_MAX], limit[32];
	const char *const words[] = { python,         "-I",  "-S", "-B",          program,
				      "--idle-limit", limit, "--", options->lint, NULL };
	const char *error;
	int rc = find_python(options->python, python);

	if (rc == 0)
		rc = find_program(program);
	if (rc < 0)
		return rc;
	snprintf(limit, sizeof(limit), "%d", options->idle_limit_s);
	*ret_seen = run(words);
	error = json_string_value(json_object_get(*ret_seen, "error"));
	if (*ret_seen && !error)
		return 0;
	if (error)
		tine_doctor_fail(TINE_EXIT_SYSTEM, "%s: %s", options->lint, error);
	else
		tine_doctor_fail(TINE_EXIT_SYSTEM, "%s: %s gave no answer", options->lint, python);
	json_decref(*ret_seen);
	return -EIO;
}
