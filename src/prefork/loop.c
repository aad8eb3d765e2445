/* SPDX-License-Identifier: PostgreSQL */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "pool/error.h"
#include "prefork/master.h"
#include "prefork/notify.h"
#include "prefork/signals.h"

/* How often memory is looked at. */
#define LOOK_NS ((int64_t)TINE_NS_PER_S)

/* Units are looked at so many times in their timeout, within these limits. */
#define LOOKS_PER_TIMEOUT 10
#define LOOK_LEAST_MS 10
#define LOOK_MOST_MS 1000

#define STATUS_BYTES 256

typedef void (*each_fn)(struct tine_worker *worker, int64_t now_ns);

static void for_each(struct tine_master *master, each_fn fn, int64_t now_ns)
{
	for (int k = 0; k < master->kind_count; k++)
		for (int i = 0; i < master->kinds[k].count; i++)
			if (master->kinds[k].workers[i]->pid)
				fn(master->kinds[k].workers[i], now_ns);
}

/* ---- the master's table --------------------------------------------------------------------- */

static void stop_one(struct tine_worker *worker, int64_t now_ns)
{
	(void)now_ns;
	tine_crew_stop(worker, TINE_END_SHUTDOWN);
}

static void quit_one(struct tine_worker *worker, int64_t now_ns)
{
	(void)now_ns;
	if (worker->ending == TINE_END_ITSELF)
		worker->ending = TINE_END_SHUTDOWN;
	tine_crew_see(worker, TINE_SEEN_QUIT, 0);
}

static void logs_one(struct tine_worker *worker, int64_t now_ns)
{
	(void)now_ns;
	kill(worker->pid, SIGUSR1);
}

static void notify_reload(void)
{
	char lines[96];

	snprintf(lines, sizeof(lines), "RELOADING=1\nMONOTONIC_USEC=%lld",
		 (long long)(tine_clock_ns() / TINE_NS_PER_US));
	tine_notify(lines);
}

static void reload(struct tine_master *master)
{
	int rc = tine_hook_call_plain(master, TINE_HOOK_BEFORE_RELOAD, NULL);

	if (rc == 0 && master->config.preload_app)
		rc = tine_hook_call_plain(master, TINE_HOOK_LOAD, NULL);
	if (rc != 0) {
		tine_master_say(master, NULL, "reload refused by a hook; the workers stay");
		return;
	}
	master->generation++;
	if (!master->reloading)
		master->reload_ns = tine_clock_ns();
	master->reloading = true;
	/* What failed before is to be tried at once, and as often as at the start. */
	for (int k = 0; k < master->kind_count; k++) {
		master->kinds[k].failures = 0;
		master->kinds[k].fork_after_ns = 0;
	}
	notify_reload();
	tine_master_say(master, NULL, "reload: generation %d", master->generation);
}

static void change_first(struct tine_master *master, int by)
{
	tine_worker_config config = master->kinds[0].config;
	tine_error error;

	config.workers += by;
	if (config.workers < 1)
		return;
	if (tine_master_change(master, master->kinds[0].name, &config, &error) < 0)
		tine_master_say(master, NULL, "%s", error.text);
}

static void logs(struct tine_master *master)
{
	tine_hook_call_plain(master, TINE_HOOK_REOPEN_LOGS, NULL);
	for_each(master, logs_one, 0);
}

static void stop(struct tine_master *master, each_fn fn, const char *how)
{
	tine_notify("STOPPING=1");
	tine_master_say(master, NULL, "%s", how);
	for_each(master, fn, 0);
}

void tine_loop_told(struct tine_master *master, enum tine_master_event told)
{
	struct tine_master_step step = tine_master_step(master->state, told);

	master->state = step.next;
	switch ((enum tine_master_act)step.act) {
	case TINE_MASTER_STOP:
		stop(master, stop_one, "stops");
		break;
	case TINE_MASTER_QUIT:
		stop(master, quit_one, "quits");
		break;
	case TINE_MASTER_GIVE_UP:
		stop(master, stop_one, "gives up");
		break;
	case TINE_MASTER_RELOAD:
		reload(master);
		break;
	case TINE_MASTER_MORE:
		change_first(master, 1);
		break;
	case TINE_MASTER_FEWER:
		change_first(master, -1);
		break;
	case TINE_MASTER_LOGS:
		logs(master);
		break;
	case TINE_MASTER_NOTHING:
	case TINE_MASTER_ACTS:
		break;
	}
}

static void obey(struct tine_master *master, uint64_t signals)
{
	static const struct {
		int number;
		enum tine_master_event told;
	} meanings[] = {
		{ SIGUSR1, TINE_TOLD_LOGS },  { SIGTTIN, TINE_TOLD_MORE },
		{ SIGTTOU, TINE_TOLD_FEWER }, { SIGHUP, TINE_TOLD_HUP },
		{ SIGTERM, TINE_TOLD_TERM },  { SIGINT, TINE_TOLD_QUIT },
		{ SIGQUIT, TINE_TOLD_QUIT },
	};

	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
		if (tine_signals_has(signals, meanings[i].number))
			tine_loop_told(master, meanings[i].told);
}

/* ---- the dead ------------------------------------------------------------------------------- */

static void reap_one(struct tine_worker *worker, int64_t now_ns)
{
	siginfo_t info = { .si_pid = 0 };
	int status;

	(void)now_ns;
	if (waitid(P_PID, (id_t)worker->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
	    info.si_pid == 0)
		return;
	/* What it said last: it may have been ready, and have worked, since we listened. Its number
	 * is still its own meanwhile. */
	if (worker->channel >= 0)
		tine_crew_listen(worker);
	if (waitpid(worker->pid, &status, 0) == worker->pid)
		tine_crew_see(worker, TINE_SEEN_REAPED, status);
}

/* Those of others come to us as process 1. Only then: else they are somebody's in this process, who
 * waits for them. */
static void reap_strangers(struct tine_master *master)
{
	siginfo_t info;
	int count = 0;

	for (;;) {
		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
			break;
		/* One of ours that ended just now is for the next round. */
		for_each(master, reap_one, 0);
		if (waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG) == 0)
			count++;
	}
	if (count)
		tine_master_say(master, NULL, "reaped %d processes of others", count);
}

static void reap(struct tine_master *master)
{
	for_each(master, reap_one, 0);
	if (master->reaps_strangers)
		reap_strangers(master);
}

/* ---- time ----------------------------------------------------------------------------------- */

static void watch_one(struct tine_worker *worker, int64_t now_ns)
{
	tine_crew_watch(worker, now_ns);
	if (now_ns >= worker->deadline_ns)
		tine_crew_see(worker, TINE_SEEN_EXPIRED, 0);
}

static void weigh_one(struct tine_worker *worker, int64_t now_ns)
{
	(void)now_ns;
	if (tine_crew_is_ready(worker) && worker->config.max_rss_bytes > 0)
		tine_crew_weigh(worker);
}

static void weigh(struct tine_master *master, int64_t now_ns)
{
	if (now_ns < master->look_ns)
		return;
	master->look_ns = now_ns + LOOK_NS;
	for_each(master, weigh_one, now_ns);
}

static void sooner(int64_t *next_ns, int64_t ns)
{
	if (ns < *next_ns)
		*next_ns = ns;
}

static int64_t look_interval_ns(const tine_worker_config *config)
{
	int64_t ms = config->unit_timeout_ms / LOOKS_PER_TIMEOUT;

	if (config->unit_timeout_ms == 0)
		ms = LOOK_MOST_MS;
	if (ms < LOOK_LEAST_MS)
		ms = LOOK_LEAST_MS;
	return (ms > LOOK_MOST_MS ? LOOK_MOST_MS : ms) * TINE_NS_PER_MS;
}

/* A unit may be given a deadline at any time, of which the master hears only when it looks. */
static int64_t next_ns(const struct tine_master *master, int64_t now_ns)
{
	int64_t next = tine_roll_next_ns(master);

	if (master->watchdog_ns)
		sooner(&next, master->watchdog_next_ns);
	for (int k = 0; k < master->kind_count; k++) {
		for (int i = 0; i < master->kinds[k].count; i++) {
			const struct tine_worker *worker = master->kinds[k].workers[i];

			if (!worker->pid)
				continue;
			sooner(&next, worker->deadline_ns);
			sooner(&next, now_ns + look_interval_ns(&worker->config));
		}
	}
	return next;
}

static void watchdog(struct tine_master *master, int64_t now_ns)
{
	if (!master->watchdog_ns || now_ns < master->watchdog_next_ns)
		return;
	master->watchdog_next_ns = now_ns + master->watchdog_ns;
	tine_notify("WATCHDOG=1");
}

/* ---- what the service manager hears --------------------------------------------------------- */

static bool all_ready(const struct tine_master *master)
{
	for (int k = 0; k < master->kind_count; k++)
		if (tine_roll_ready(&master->kinds[k]) < master->kinds[k].config.workers)
			return false;
	return true;
}

static bool all_new(const struct tine_master *master)
{
	for (int k = 0; k < master->kind_count; k++)
		for (int i = 0; i < master->kinds[k].count; i++) {
			const struct tine_worker *worker = master->kinds[k].workers[i];

			if (worker->pid && worker->generation != master->generation)
				return false;
		}
	return true;
}

static void notify_ready(const struct tine_master *master)
{
	char lines[STATUS_BYTES];
	int at = snprintf(lines, sizeof(lines),
			  "READY=1\nSTATUS=generation %d:", master->generation);

	for (int k = 0; k < master->kind_count && at < STATUS_BYTES; k++)
		at += snprintf(lines + at, sizeof(lines) - (size_t)at, " %d %s",
			       master->kinds[k].config.workers, master->kinds[k].name);
	tine_notify(lines);
}

static void tell_ready(struct tine_master *master)
{
	struct tine_hook_event hook = { .kind = TINE_HOOK_AFTER_RELOAD };

	if (master->state != TINE_MASTER_RUNNING || (master->said_ready && !master->reloading) ||
	    !all_ready(master) || !all_new(master))
		return;
	if (!master->said_ready)
		tine_master_say(master, NULL, "all workers are ready");
	if (master->reloading) {
		hook.time_us = (uint64_t)(tine_clock_ns() - master->reload_ns) / TINE_NS_PER_US;
		tine_master_say(master, NULL, "reload done in %llu ms",
				(unsigned long long)hook.time_us / 1000);
		tine_hook_call(master, &hook);
	}
	master->said_ready = true;
	master->reloading = false;
	notify_ready(master);
}

/* ---- the loop ------------------------------------------------------------------------------- */

static bool any_left(const struct tine_master *master)
{
	for (int k = 0; k < master->kind_count; k++)
		for (int i = 0; i < master->kinds[k].count; i++)
			if (master->kinds[k].workers[i]->pid)
				return true;
	return false;
}

static int count_places(const struct tine_master *master)
{
	int count = 0;

	for (int k = 0; k < master->kind_count; k++)
		count += master->kinds[k].count;
	return count;
}

static void listen_one(struct tine_worker *worker, int64_t now_ns)
{
	(void)now_ns;
	if (worker->channel >= 0)
		tine_crew_listen(worker);
}

/* Without memory for the table the channels are read at the next signal or deadline. */
static void wait_for_something(const struct tine_master *master, int64_t now_ns)
{
	struct pollfd own = { .fd = tine_signals_fd(), .events = POLLIN };
	struct pollfd *all = calloc((size_t)count_places(master) + 1, sizeof(*all));
	nfds_t count = 1;

	if (all)
		all[0] = own;
	for (int k = 0; all && k < master->kind_count; k++)
		for (int i = 0; i < master->kinds[k].count; i++) {
			const struct tine_worker *worker = master->kinds[k].workers[i];

			if (worker->pid && worker->channel >= 0)
				all[count++] = (struct pollfd){ worker->channel, POLLIN, 0 };
		}
	poll(all ? all : &own, count, tine_clock_poll_ms(next_ns(master, now_ns), now_ns));
	free(all);
}

void tine_loop(struct tine_master *master)
{
	int64_t now_ns = tine_clock_ns();

	do {
		obey(master, tine_signals_take());
		for_each(master, listen_one, now_ns);
		reap(master);
		for_each(master, watch_one, now_ns);
		weigh(master, now_ns);
		tine_roll(master, now_ns);
		tell_ready(master);
		watchdog(master, now_ns);
		if (master->state != TINE_MASTER_RUNNING && !any_left(master))
			break;
		wait_for_something(master, tine_clock_ns());
		now_ns = tine_clock_ns();
	} while (true);
}
