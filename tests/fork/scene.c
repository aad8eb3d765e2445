/* SPDX-License-Identifier: PostgreSQL */
/*
 * The memory all processes of a cell share: the verdict (the first failure wins), the semaphores
 * that put their steps in order, and the backends and sockets that belong to the parent's side.
 */
#include "cell.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct scene *scene;

static enum role me = ORACLE;
static const char *const role_name[ROLES] = { "oracle", "owner", "worker", "middle", "child" };

void scene_open(int deadline_ms)
{
	scene = mmap(NULL, sizeof(*scene), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (scene == MAP_FAILED) {
		perror("cell: mmap");
		exit(SETUP);
	}

	sem_t *all[] = { &scene->begin,   &scene->born, &scene->ready, &scene->go,
			 &scene->started, &scene->gone, &scene->acted, &scene->verify };
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		sem_init(all[i], 1, 0);
	scene->deadline_ms = deadline_ms;
	snprintf(scene->id, sizeof(scene->id), "cell_%d_%lld", (int)getpid(), now_ms());
}

/* Every process has its own watchdog; a child's is the shortest, so that the others can tell. */
void become(enum role role, int share)
{
	me = role;
	signal(SIGALRM, SIG_DFL);
	scene->pid[role] = getpid();
	alarm((unsigned int)(scene->deadline_ms * share + 999) / 1000);
}

enum role self(void)
{
	return me;
}

void phase(const char *what)
{
	snprintf(scene->phase[me], sizeof(scene->phase[me]), "%s", what);
}

static void vnote(int verdict, const char *fmt, va_list ap)
{
	if (atomic_exchange(&scene->claimed, 1))
		return;

	int n = snprintf(scene->why, sizeof(scene->why), "%s: ", role_name[me]);
	vsnprintf(scene->why + n, sizeof(scene->why) - (size_t)n, fmt, ap);
	for (char *p = scene->why; *p; p++)
		if (*p == '\n')
			*p = ' ';
	atomic_store(&scene->verdict, verdict);
}

/* Keeps the first failure; later ones are mostly its consequences. */
void note(int verdict, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vnote(verdict, fmt, ap);
	va_end(ap);
}

void die(int verdict, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vnote(verdict, fmt, ap);
	va_end(ap);
	_exit(verdict);
}

long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* Waits for a step of another process; false when that failed or the deadline passed. */
bool await(sem_t *s)
{
	long long end = now_ms() + scene->deadline_ms;

	do {
		struct timespec t;
		clock_gettime(CLOCK_MONOTONIC, &t);
		t.tv_nsec += 50000000;
		if (t.tv_nsec >= 1000000000) {
			t.tv_nsec -= 1000000000;
			t.tv_sec++;
		}
		if (!sem_clockwait(s, CLOCK_MONOTONIC, &t))
			return true;
	} while (!atomic_load(&scene->verdict) && now_ms() < end);
	return false;
}

void need(sem_t *s, const char *what)
{
	phase(what);
	if (!await(s))
		die(BROKE, "waited in vain: %s", what);
}

void post(sem_t *s)
{
	sem_post(s);
}

/* Takes in one process and asserts how it ended: by exit(0), or by the signal named. */
void reap(pid_t pid, enum role role, int signal)
{
	int st;

	if (waitpid(pid, &st, 0) != pid) {
		note(BROKE, "waitpid(%s %d): %m", role_name[role], (int)pid);
		return;
	}
	if (signal ? WIFSIGNALED(st) && WTERMSIG(st) == signal : WIFEXITED(st) && !WEXITSTATUS(st))
		return;
	if (WIFSIGNALED(st))
		note(BROKE, "%s ended by signal %d (%s) while: %s", role_name[role], WTERMSIG(st),
		     strsignal(WTERMSIG(st)), scene->phase[role]);
	else
		note(BROKE, "%s ended with status %d while: %s", role_name[role], WEXITSTATUS(st),
		     scene->phase[role]);
}

/* The backend and the socket of a session of the parent's side; the child must not meet either. */
void session_theirs(int pid, int fd)
{
	int i = atomic_fetch_add(&scene->n_theirs, 1);

	if (i >= MAX_SESSIONS)
		die(SETUP, "too many sessions");
	scene->theirs[i] = pid;
	socket_theirs(fd);
}

void socket_theirs(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		die(SETUP, "fstat of a session's socket: %m");

	int i = atomic_fetch_add(&scene->n_sockets, 1);
	if (i >= MAX_SESSIONS)
		die(SETUP, "too many sockets");
	scene->socket[i].dev = st.st_dev;
	scene->socket[i].ino = st.st_ino;
}

bool is_theirs(int pid)
{
	int n = atomic_load(&scene->n_theirs);

	for (int i = 0; i < n; i++)
		if (scene->theirs[i] == pid)
			return true;
	return false;
}

/* A backend that answered the child. The parent compares too: it may learn its own pid later. */
void session_own(int pid)
{
	if (is_theirs(pid))
		die(BROKE, "was answered by the parent's backend %d", pid);

	for (int i = 0; i < atomic_load(&scene->n_own); i++)
		if (scene->own[i] == pid)
			return;
	int i = atomic_fetch_add(&scene->n_own, 1);
	if (i >= MAX_SESSIONS)
		die(SETUP, "too many sessions");
	scene->own[i] = pid;
}
