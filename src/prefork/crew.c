/* SPDX-License-Identifier: PostgreSQL */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/random.h"
#include "pool/error.h"
#include "prefork/master.h"

#define MS(ms) ((int64_t)(ms)*TINE_NS_PER_MS)
#define CAUSE_BYTES 96

/* ---- back-off ------------------------------------------------------------------------------- */

static int64_t backoff_ms(const tine_master_config *config, int failures)
{
	int64_t ms = config->backoff_first_ms;

	for (int i = 1; i < failures && ms < config->backoff_max_ms; i++)
		ms *= 2;
	if (ms > config->backoff_max_ms)
		ms = config->backoff_max_ms;
	return ms - (int64_t)tine_random((uint64_t)(ms / 4));
}

static bool is_hopeless(const struct tine_master *master, const struct tine_kind *kind)
{
	return master->config.boot_failures_max > 0 &&
	       kind->failures >= master->config.boot_failures_max && tine_roll_ready(kind) == 0;
}

static void count_failure(struct tine_worker *worker, const char *cause)
{
	struct tine_master *master = worker->master;
	struct tine_kind *kind = worker->kind;
	int64_t ms;

	kind->failures++;
	ms = backoff_ms(&master->config, kind->failures);
	kind->fork_after_ns = tine_clock_ns() + MS(ms);
	if (master->state != TINE_MASTER_RUNNING)
		return;
	if (is_hopeless(master, kind)) {
		tine_error_set(&master->error, TINE_E_BOOT,
			       "%d workers of the kind '%s' failed to start in a row; the last %s",
			       kind->failures, kind->name, cause);
		tine_loop_told(master, TINE_TOLD_BROKEN);
	} else {
		tine_master_say(master, worker, "failed to start (%d in a row), next in %lld ms",
				kind->failures, (long long)ms);
	}
}

/* ---- fork ----------------------------------------------------------------------------------- */

static int unit_count(const tine_worker_config *config)
{
	return config->units > 0 ? config->units : config->threads;
}

static uint64_t draw_limit(const tine_worker_config *config)
{
	if (config->max_units == 0)
		return 0;
	return (uint64_t)config->max_units + tine_random((uint64_t)config->max_units_jitter + 1);
}

static void let_go(struct tine_worker *worker)
{
	if (worker->channel >= 0)
		close(worker->channel);
	worker->channel = -1;
	tine_heart_free(worker->heart, worker->unit_count);
	worker->heart = NULL;
	free(worker->told);
	worker->told = NULL;
}

/* What a worker needs of the master. @return its end of the channel, or -errno */
static int prepare(struct tine_worker *worker)
{
	int ends[2];

	worker->config = worker->kind->config;
	worker->unit_count = unit_count(&worker->config);
	worker->ending = worker->retire = TINE_END_ITSELF;
	worker->late = 0;
	worker->ready_ns = 0;
	worker->generation = worker->master->generation;
	worker->own = (struct tine_worker_own){ .units_limit = draw_limit(&worker->config) };
	worker->heart = tine_heart_new(worker->unit_count);
	worker->told = calloc((size_t)worker->unit_count, sizeof(*worker->told));
	if (!worker->heart || !worker->told)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return -errno;
	worker->channel = ends[0];
	return ends[1];
}

static void fail_fork(struct tine_worker *worker, const char *what, int os_errno)
{
	char cause[CAUSE_BYTES];

	let_go(worker);
	snprintf(cause, sizeof(cause), "%s: %s", what, strerrordesc_np(os_errno));
	tine_master_say(worker->master, worker, "%s", cause);
	count_failure(worker, cause);
}

void tine_crew_fork(struct tine_worker *worker)
{
	int channel = prepare(worker);
	pid_t master_pid = getpid(), pid;
	sigset_t all, before;

	if (channel < 0) {
		fail_fork(worker, "cannot prepare a worker", -channel);
		return;
	}
	if (tine_hook_call_plain(worker->master, TINE_HOOK_BEFORE_FORK, worker) != 0) {
		close(channel);
		fail_fork(worker, "refused by before_fork", ECANCELED);
		return;
	}
	/* What stdio holds back would be written by both. */
	fflush(NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0) {
		worker->pid = getpid();
		worker->forked_ns = tine_clock_ns();
		tine_child(worker, channel, &before, master_pid);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	close(channel);
	if (pid < 0) {
		fail_fork(worker, "fork", errno);
		return;
	}
	worker->pid = pid;
	worker->forked_ns = tine_clock_ns();
	tine_crew_see(worker, TINE_SEEN_FORK, 0);
}

/* ---- burial --------------------------------------------------------------------------------- */

static void write_cause(char *cause, size_t size, int status)
{
	if (WIFSIGNALED(status))
		snprintf(cause, size, "was ended by SIG%s%s", sigabbrev_np(WTERMSIG(status)) ?: "?",
			 WCOREDUMP(status) ? " (core dumped)" : "");
	else
		snprintf(cause, size, "exited with status %d", WEXITSTATUS(status));
}

static int ending_of(const struct tine_worker *worker)
{
	if (worker->ending != TINE_END_ITSELF)
		return worker->ending;
	return worker->ready_ns ? TINE_END_ITSELF : TINE_END_BOOT;
}

/* Did it fail to start? One that was asked to end did not. */
static bool has_failed(const struct tine_worker *worker, int ending, int64_t now_ns)
{
	if (ending == TINE_END_BOOT || ending == TINE_END_STARTUP)
		return true;
	return ending == TINE_END_ITSELF && now_ns - worker->ready_ns < TINE_SETTLED_NS;
}

static void tell_death(struct tine_worker *worker, int status, int ending, const char *cause)
{
	const struct tine_watch *watch = tine_heart_longest(worker->heart, worker->unit_count);
	uint64_t done = atomic_load(&worker->heart->units_done);
	struct tine_hook_event hook = {
		.kind = TINE_HOOK_CHILD_EXIT,
		.worker = worker,
		.ending = ending,
		.wait_status = status,
		.units = done,
	};
	char name[TINE_UNIT_NAME_BYTES];

	if (watch) {
		tine_watch_name(watch, name);
		hook.doing = name;
		hook.time_us = tine_watch_time_us(watch, tine_clock_ns());
		tine_master_say(worker->master, worker,
				"pid %d %s (%s) after %llu units, in '%s' for %.1f s",
				(int)worker->pid, cause, tine_ending_name(ending),
				(unsigned long long)done, name, (double)hook.time_us / 1e6);
	} else {
		tine_master_say(worker->master, worker, "pid %d %s (%s) after %llu units",
				(int)worker->pid, cause, tine_ending_name(ending),
				(unsigned long long)done);
	}
	tine_hook_call(worker->master, &hook);
}

static void bury(struct tine_worker *worker, int status)
{
	int ending = ending_of(worker);
	bool failed = has_failed(worker, ending, tine_clock_ns());
	char cause[CAUSE_BYTES];

	write_cause(cause, sizeof(cause), status);
	tell_death(worker, status, ending, cause);
	worker->pid = 0;
	worker->deadline_ns = TINE_NEVER_NS;
	let_go(worker);
	if (failed)
		count_failure(worker, cause);
}

/* ---- the worker's table --------------------------------------------------------------------- */

static void send_signal(struct tine_worker *worker, int number, int then_ms, int64_t now_ns)
{
	if (number == SIGABRT && worker->ending == TINE_END_ITSELF)
		worker->ending = worker->ready_ns ? TINE_END_TIMEOUT : TINE_END_STARTUP;
	atomic_store(&worker->heart->ending, worker->ending);
	if (number == SIGABRT || number == SIGKILL)
		tine_master_say(worker->master, worker, "pid %d gets SIG%s (%s)", (int)worker->pid,
				sigabbrev_np(number), tine_ending_name(worker->ending));
	worker->deadline_ns = now_ns + MS(then_ms);
	kill(worker->pid, number);
}

static void welcome(struct tine_worker *worker, int64_t now_ns)
{
	worker->ready_ns = now_ns;
	worker->deadline_ns = now_ns + TINE_SETTLED_NS;
	tine_master_say(worker->master, worker, "pid %d is ready after %lld ms", (int)worker->pid,
			(long long)((now_ns - worker->forked_ns) / TINE_NS_PER_MS));
}

static void act(struct tine_worker *worker, enum tine_worker_act what, int wait_status)
{
	const tine_worker_config *config = &worker->config;
	int64_t now_ns = tine_clock_ns();

	switch (what) {
	case TINE_ACT_WATCH_START:
		worker->deadline_ns = now_ns + MS(config->startup_timeout_ms);
		break;
	case TINE_ACT_WELCOME:
		welcome(worker, now_ns);
		break;
	case TINE_ACT_SETTLE:
		worker->kind->failures = 0;
		worker->deadline_ns = TINE_NEVER_NS;
		break;
	case TINE_ACT_WARN:
	case TINE_ACT_TELL:
		kill(worker->pid, SIGUSR2);
		break;
	case TINE_ACT_RELIEVE:
		worker->deadline_ns = now_ns + TINE_SETTLED_NS;
		break;
	case TINE_ACT_ABORT:
		send_signal(worker, SIGABRT, config->kill_after_ms, now_ns);
		break;
	case TINE_ACT_STOP:
		send_signal(worker, SIGTERM, config->graceful_timeout_ms, now_ns);
		break;
	case TINE_ACT_QUIT:
		send_signal(worker, SIGQUIT, config->kill_after_ms, now_ns);
		break;
	case TINE_ACT_KILL:
		send_signal(worker, SIGKILL, config->kill_after_ms, now_ns);
		break;
	case TINE_ACT_BURY:
		bury(worker, wait_status);
		break;
	case TINE_ACT_NOTHING:
	case TINE_ACTS:
		break;
	}
}

void tine_crew_see(struct tine_worker *worker, enum tine_worker_event seen, int wait_status)
{
	struct tine_worker_step step = tine_worker_step(worker->state, seen);

	worker->state = step.next;
	act(worker, step.act, wait_status);
}

void tine_crew_stop(struct tine_worker *worker, int ending)
{
	if (worker->ending == TINE_END_ITSELF)
		worker->ending = ending;
	tine_crew_see(worker, TINE_SEEN_STOP, 0);
}

/* ---- what it does --------------------------------------------------------------------------- */

/* @return the number of units beyond their deadline; *fresh of them were not before */
static int count_late(struct tine_worker *worker, int64_t now_ns, int *fresh, int64_t *since_ns)
{
	int late = 0;

	for (int i = 0; i < worker->unit_count; i++) {
		const struct tine_watch *watch = &worker->heart->watches[i];
		uint32_t serial = atomic_load(&watch->serial);
		struct tine_lateness *told = &worker->told[i];

		if (!tine_watch_is_late(watch, now_ns))
			continue;
		if (told->serial != serial) {
			*told = (struct tine_lateness){ serial, now_ns };
			++*fresh;
		}
		if (told->since_ns < *since_ns)
			*since_ns = told->since_ns;
		late++;
	}
	return late;
}

void tine_crew_watch(struct tine_worker *worker, int64_t now_ns)
{
	int64_t since_ns = INT64_MAX;
	int fresh = 0, late = count_late(worker, now_ns, &fresh, &since_ns);

	if (fresh)
		tine_crew_see(worker, TINE_SEEN_LATE, 0);
	else if (worker->late && !late)
		tine_crew_see(worker, TINE_SEEN_RECOVERED, 0);
	worker->late = late;
	/* When the first of several is done, the time of the next one counts. */
	if (worker->state == TINE_WORKER_LATE)
		worker->deadline_ns = since_ns + MS(worker->config.abort_after_ms);
}

void tine_crew_listen(struct tine_worker *worker)
{
	char said;
	ssize_t got;

	while ((got = recv(worker->channel, &said, 1, MSG_DONTWAIT)) == 1) {
		if (said == TINE_SAYS_READY)
			tine_crew_see(worker, TINE_SEEN_READY, 0);
		else if (said == TINE_SAYS_UNITS && worker->retire == TINE_END_ITSELF)
			worker->retire = TINE_END_UNITS;
		else if (said == TINE_SAYS_LEAVING)
			tine_crew_stop(worker, TINE_END_ITSELF);
	}
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* Nobody has the other end: what is left of it is for waitpid() to tell. */
	close(worker->channel);
	worker->channel = -1;
}

void tine_crew_weigh(struct tine_worker *worker)
{
	char path[32], text[64];
	long long pages, resident = 0;
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)worker->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[got > 0 ? got : 0] = '\0';
	if (sscanf(text, "%lld %lld", &pages, &resident) != 2)
		return;
	resident *= sysconf(_SC_PAGESIZE);
	if (resident <= worker->config.max_rss_bytes || worker->retire != TINE_END_ITSELF)
		return;
	tine_master_say(worker->master, worker, "pid %d has %lld KiB of memory, to be replaced",
			(int)worker->pid, resident / 1024);
	worker->retire = TINE_END_RSS;
}
