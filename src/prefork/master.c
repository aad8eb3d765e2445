/* SPDX-License-Identifier: PostgreSQL */
#include "prefork/master.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "pool/error.h"
#include "prefork/notify.h"
#include "prefork/signals.h"

/* ---- make and free -------------------------------------------------------------------------- */

static int copy_texts(struct tine_master *master)
{
	tine_master_config *config = &master->config;

	if (config->listen) {
		config->listen = strdup(config->listen);
		if (!config->listen)
			return -1;
	}
	tine_sink_init(&master->sink, config->master_log);
	config->master_log = NULL; /* it is in the sink */
	return 0;
}

tine_master *tine_master_new(const tine_master_config *config, tine_error *error)
{
	tine_master_config full;
	struct tine_master *master;

	if (tine_settings_check_or_env(&tine_master_settings, config, NULL, &full, error) < 0)
		return NULL;
	master = calloc(1, sizeof(*master));
	if (master) {
		master->config = full;
		if (copy_texts(master) == 0)
			return master;
		free(master);
	}
	tine_error_set(error, TINE_E_NOMEM, "no memory for a supervisor");
	return NULL;
}

void tine_master_free(tine_master *master)
{
	if (!master)
		return;
	for (int i = 0; i < master->kind_count; i++)
		tine_roll_free(&master->kinds[i]);
	free((char *)master->config.listen);
	free(master);
}

/* ---- kinds ---------------------------------------------------------------------------------- */

static bool is_kind_name(const char *name)
{
	size_t length = name ? strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") : 0;

	return length > 0 && length < TINE_KIND_NAME_BYTES && name[length] == '\0';
}

static struct tine_kind *find_kind(struct tine_master *master, const char *name)
{
	for (int i = 0; i < master->kind_count; i++)
		if (strcmp(master->kinds[i].name, name) == 0)
			return &master->kinds[i];
	return NULL;
}

int tine_master_add(tine_master *master, const char *name, tine_worker_fn fn, void *user_data,
		    const tine_worker_config *config, tine_error *error)
{
	tine_worker_config full;
	struct tine_kind *kind;

	if (!master || !fn || !is_kind_name(name))
		return tine_error_set(error, TINE_E_INVALID,
				      "a kind of workers needs a function, and a name of up to 15 "
				      "letters a-z, digits and '-'");
	if (master->running || find_kind(master, name) || master->kind_count == TINE_KINDS_MAX)
		return tine_error_set(error, TINE_E_INVALID,
				      "the kind '%s' cannot be added: the supervisor runs, or has "
				      "it, or has %d kinds",
				      name, TINE_KINDS_MAX);
	if (tine_settings_check_or_env(&tine_worker_settings, config, name, &full, error) < 0)
		return TINE_E_INVALID;
	kind = &master->kinds[master->kind_count++];
	*kind = (struct tine_kind){ .fn = fn, .user_data = user_data, .config = full };
	strcpy(kind->name, name);
	return 0;
}

int tine_master_change(tine_master *master, const char *name, const tine_worker_config *config,
		       tine_error *error)
{
	struct tine_kind *kind = master && name ? find_kind(master, name) : NULL;
	tine_worker_config full, before;
	int rc;

	if (!kind)
		return tine_error_set(error, TINE_E_INVALID, "there is no such kind of workers");
	if (tine_settings_check(&tine_worker_settings, config, &full, error) < 0)
		return TINE_E_INVALID;
	before = kind->config;
	kind->config = full;
	if (!master->running || before.workers == full.workers)
		return 0;
	rc = tine_roll_resize(master, kind, before.workers, error);
	if (rc < 0)
		kind->config = before;
	return rc;
}

int tine_master_listener(const tine_master *master, int index)
{
	return index >= 0 && index < master->listeners.count ? master->listeners.items[index].fd
							     : -1;
}

const char *tine_master_listener_name(const tine_master *master, int index)
{
	return index >= 0 && index < master->listeners.count ? master->listeners.items[index].name
							     : NULL;
}

/* ---- run ------------------------------------------------------------------------------------ */

static int refused(enum tine_hook_kind kind, tine_error *error)
{
	return tine_error_set(error, TINE_E_REFUSED, "the hook %s refused to go on",
			      tine_hook_name(kind));
}

static int hook_or_fail(struct tine_master *master, enum tine_hook_kind kind, tine_error *error)
{
	return tine_hook_call_plain(master, kind, NULL) ? refused(kind, error) : 0;
}

static int make_places(struct tine_master *master, tine_error *error)
{
	int rc = 0;

	for (int i = 0; i < master->kind_count && rc == 0; i++)
		rc = tine_roll_resize(master, &master->kinds[i], 0, error);
	return rc;
}

static int begin(struct tine_master *master, tine_error *error)
{
	int rc = hook_or_fail(master, TINE_HOOK_MASTER_INIT, error);

	if (rc == 0 && master->config.preload_app)
		rc = hook_or_fail(master, TINE_HOOK_LOAD, error);
	if (rc == 0)
		rc = tine_listeners_open(&master->listeners, master->config.listen,
					 master->config.backlog, error);
	if (rc == 0)
		rc = make_places(master, error);
	if (rc == 0)
		rc = hook_or_fail(master, TINE_HOOK_MASTER_READY, error);
	return rc;
}

/* As process 1, or with that task by its own wish, it gets the orphans of others. */
static bool is_reaper(void)
{
	int subreaper = 0;

	return getpid() == 1 || (prctl(PR_GET_CHILD_SUBREAPER, &subreaper) == 0 && subreaper);
}

static void reset(struct tine_master *master)
{
	master->running = true;
	master->state = TINE_MASTER_RUNNING;
	master->generation = 0;
	master->reloading = master->said_ready = false;
	master->reaps_strangers = is_reaper();
	master->look_ns = 0;
	master->watchdog_ns = tine_notify_watchdog_ns();
	master->watchdog_next_ns = 0;
	master->error = (tine_error){ 0 };
	for (int i = 0; i < master->kind_count; i++) {
		master->kinds[i].failures = 0;
		master->kinds[i].fork_after_ns = 0;
	}
}

static int open_signals(tine_error *error)
{
	int rc = tine_signals_open();

	if (rc == -EBUSY)
		return tine_error_set(error, TINE_E_INVALID,
				      "this process has a supervisor that runs");
	return rc < 0 ? tine_error_set_errno(error, TINE_E_SYSTEM, -rc, "eventfd") : 0;
}

int tine_master_run(tine_master *master, tine_error *error)
{
	int rc;

	if (!master || master->running || master->kind_count == 0)
		return tine_error_set(error, TINE_E_INVALID,
				      "nothing to run: no kind of workers was added");
	rc = open_signals(error);
	if (rc < 0)
		return rc;
	reset(master);
	rc = begin(master, error);
	if (rc == 0) {
		tine_master_say(master, NULL, "runs");
		tine_loop(master);
		rc = tine_error_copy(error, &master->error);
		tine_hook_call_plain(master, TINE_HOOK_MASTER_EXIT, NULL);
		tine_master_say(master, NULL, "ends%s%s", rc < 0 ? ": " : "", master->error.text);
	}
	tine_listeners_close(&master->listeners, true);
	for (int i = 0; i < master->kind_count; i++)
		tine_roll_free(&master->kinds[i]);
	master->running = false;
	tine_signals_close();
	return rc;
}
