/* SPDX-License-Identifier: PostgreSQL */
#include "web/examine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "web/out.h"
#include "web/web.h"

#define TREES 16
#define OUTPUT_BYTES_MAX (1 << 20)
#define TIME_MS_MAX 20000
#define INTEREST_MS 90000 /* a tree that nobody asked for in this time is left alone */

enum state { PENDING, DONE, FAILED };

struct subject {
	char key[TINE_WEB_KEY_BYTES]; /* "": not in use */
	int pid;
	int64_t asked_ns, examined_ns;
	enum state state;
	json_t *report;
	char why[PATH_MAX + 64];
};

struct tine_examiner {
	int64_t apart_ns;
	struct subject subjects[TREES];
	struct subject *under_way; /* of the child; NULL: nothing runs */
	pid_t child;
	int fd;
	int64_t began_ns;
	struct tine_out output;
};

/* ---- a child -------------------------------------------------------------------------------- */

/* Beside this program, in a build tree as in an installed one. @return 0 or -errno */
static int find_doctor(char path[PATH_MAX])
{
	ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
	char *slash;

	if (length < 0)
		return -errno;
	path[length] = '\0';
	slash = strrchr(path, '/');
	if (!slash || (size_t)(slash + 1 - path) + sizeof("tine-doctor") > PATH_MAX)
		return -ENAMETOOLONG;
	strcpy(slash + 1, "tine-doctor");
	return 0;
}

/* Nothing of ours: no blocked signal, no ignored one, a group of its own. */
static int spawn(const char *path, char *const argv[], int output, pid_t *ret_child)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none, usual;
	int rc;

	sigemptyset(&none);
	sigemptyset(&usual);
	sigaddset(&usual, SIGPIPE);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &usual);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
						      POSIX_SPAWN_SETPGROUP);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
	posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	rc = posix_spawn(ret_child, path, &files, &attributes, argv, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	return -rc;
}

static void fail(struct subject *subject, const char *what, const char *why)
{
	snprintf(subject->why, sizeof(subject->why), "%s%s", what, why);
	subject->state = FAILED;
}

static void begin(struct tine_examiner *examiner, struct subject *subject)
{
	char path[PATH_MAX], number[16], doctor[] = "doctor", pid[] = "--pid", json[] = "--json";
	char *argv[] = { doctor, pid, number, json, NULL };
	int ends[2], rc = find_doctor(path);

	subject->examined_ns = tine_clock_ns();
	snprintf(number, sizeof(number), "%d", subject->pid);
	if (rc == 0 && pipe2(ends, O_CLOEXEC) < 0)
		rc = -errno;
	if (rc != 0) {
		fail(subject, "tine-doctor: ", strerror(-rc));
		return;
	}
	rc = spawn(path, argv, ends[1], &examiner->child);
	close(ends[1]);
	if (rc < 0) {
		close(ends[0]);
		snprintf(subject->why, sizeof(subject->why), "%s: %s", path, strerror(-rc));
		subject->state = FAILED;
		return;
	}
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	examiner->fd = ends[0];
	examiner->under_way = subject;
	examiner->began_ns = tine_clock_ns();
	examiner->output = (struct tine_out){ 0 };
}

/* ---- its report ----------------------------------------------------------------------------- */

/* The lines of the doctor's summary as one text, as it is shown. */
static json_t *summary_of(const json_t *report)
{
	const json_t *lines = json_object_get(report, "summary");
	struct tine_out text = { 0 };
	json_t *summary;

	for (size_t i = 0; i < json_array_size(lines); i++) {
		const char *line = json_string_value(json_array_get(lines, i));

		tine_out_add(&text, i ? "; " : "");
		tine_out_add(&text, line ? line : "");
	}
	summary = json_string(text.bytes ? text.bytes : "");
	free(text.bytes);
	return summary;
}

static void take_report(struct subject *subject, const struct tine_out *output)
{
	json_t *report = output->bytes ? json_loadb(output->bytes, output->length, 0, NULL) : NULL;
	json_t *items = json_object_get(report, "findings");

	if (!json_is_array(items)) {
		json_decref(report);
		fail(subject, "tine-doctor", ": what it printed is no report");
		return;
	}
	json_decref(subject->report);
	subject->report = json_pack("{s:O?, s:o, s:O}", "grade", json_object_get(report, "grade"),
				    "summary", summary_of(report), "items", items);
	subject->state = DONE;
	json_decref(report);
}

static void close_output(struct tine_examiner *examiner)
{
	if (examiner->fd >= 0)
		close(examiner->fd);
	examiner->fd = -1;
}

static void forget_child(struct tine_examiner *examiner)
{
	close_output(examiner);
	examiner->under_way = NULL;
	free(examiner->output.bytes);
	examiner->output = (struct tine_out){ 0 };
}

static void stop(struct tine_examiner *examiner, const char *why)
{
	kill(-examiner->child, SIGKILL);
	while (waitpid(examiner->child, NULL, 0) < 0 && errno == EINTR)
		continue;
	fail(examiner->under_way, "tine-doctor ", why);
	forget_child(examiner);
}

/* It may still be there for a moment after its last word. */
static void reap(struct tine_examiner *examiner)
{
	int status;

	if (waitpid(examiner->child, &status, WNOHANG) != examiner->child)
		return;
	if (WIFEXITED(status) && WEXITSTATUS(status) <= 1)
		take_report(examiner->under_way, &examiner->output);
	else
		fail(examiner->under_way, "tine-doctor ", "failed; tine doctor --pid says why");
	forget_child(examiner);
}

static void read_output(struct tine_examiner *examiner)
{
	char bytes[16384];
	ssize_t count = -1;

	while (examiner->fd >= 0 && (count = read(examiner->fd, bytes, sizeof(bytes))) > 0) {
		tine_out_add_bytes(&examiner->output, bytes, (size_t)count);
		if (examiner->output.length > OUTPUT_BYTES_MAX || examiner->output.no_memory) {
			stop(examiner, "printed more than is read");
			return;
		}
	}
	if (count == 0)
		close_output(examiner);
	if (examiner->fd < 0)
		reap(examiner);
	if (examiner->under_way &&
	    tine_clock_ns() - examiner->began_ns > TIME_MS_MAX * (int64_t)TINE_NS_PER_MS)
		stop(examiner, "took more than 20 s and was ended");
}

/* ---- whose turn it is ----------------------------------------------------------------------- */

static struct subject *next_subject(struct tine_examiner *examiner)
{
	int64_t now_ns = tine_clock_ns();
	struct subject *next = NULL;

	for (int i = 0; i < TREES; i++) {
		struct subject *subject = &examiner->subjects[i];

		if (!*subject->key ||
		    now_ns - subject->asked_ns > INTEREST_MS * (int64_t)TINE_NS_PER_MS ||
		    (subject->examined_ns && now_ns - subject->examined_ns < examiner->apart_ns))
			continue;
		if (!next || subject->examined_ns < next->examined_ns)
			next = subject;
	}
	return next;
}

void tine_examiner_step(struct tine_examiner *examiner)
{
	struct subject *next;

	if (examiner->under_way)
		read_output(examiner);
	if (examiner->under_way)
		return;
	next = next_subject(examiner);
	if (next)
		begin(examiner, next);
}

int tine_examiner_fd(const struct tine_examiner *examiner)
{
	return examiner->fd;
}

/* A place of its own, or that of the tree that nobody asked for longest. */
static struct subject *subject_of(struct tine_examiner *examiner, const char *key)
{
	struct subject *oldest = NULL;

	for (int i = 0; i < TREES; i++) {
		struct subject *subject = &examiner->subjects[i];

		if (strcmp(subject->key, key) == 0)
			return subject;
		if (subject != examiner->under_way &&
		    (!oldest || subject->asked_ns < oldest->asked_ns))
			oldest = subject;
	}
	json_decref(oldest->report);
	*oldest = (struct subject){ 0 };
	snprintf(oldest->key, sizeof(oldest->key), "%s", key);
	return oldest;
}

json_t *tine_examiner_ask(void *arg, const char *key, int pid)
{
	struct subject *subject = subject_of(arg, key);
	json_t *answer;

	subject->asked_ns = tine_clock_ns();
	subject->pid = pid;
	if (subject->state == FAILED)
		return json_pack("{s:s, s:i, s:s}", "state", "failed", "pid", pid, "why",
				 subject->why);
	if (subject->state == PENDING)
		return json_pack("{s:s, s:i}", "state", "running", "pid", pid);
	answer = json_pack("{s:s, s:i, s:I}", "state", "done", "pid", pid, "age_ms",
			   (json_int_t)((tine_clock_ns() - subject->examined_ns) / TINE_NS_PER_MS));
	json_object_update(answer, subject->report);
	return answer;
}

/* ---- the examiner --------------------------------------------------------------------------- */

struct tine_examiner *tine_examiner_new(int apart_s)
{
	struct tine_examiner *examiner = calloc(1, sizeof(*examiner));

	if (examiner) {
		examiner->apart_ns = apart_s * (int64_t)TINE_NS_PER_S;
		examiner->fd = -1;
	}
	return examiner;
}

void tine_examiner_free(struct tine_examiner *examiner)
{
	if (!examiner)
		return;
	if (examiner->under_way)
		stop(examiner, "was ended");
	for (int i = 0; i < TREES; i++)
		json_decref(examiner->subjects[i].report);
	free(examiner);
}
