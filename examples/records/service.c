/* SPDX-License-Identifier: PostgreSQL */
#include "service.h"

#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>

#include "commands.h"

/* ---- the pool ------------------------------------------------------------------------------- */

tine_pool *service_pool(const struct config *config, int *ret_patience_ms)
{
	tine_pool_config settings;
	tine_error error = { 0 };
	tine_pool *pool = NULL;

	if (config_pool(config, &settings, &error) == 0)
		pool = tine_pool_new(&settings, &error);
	if (!pool)
		fprintf(stderr, "records: %s: %s\n", tine_status_name(error.status), error.text);
	else if (ret_patience_ms)
		*ret_patience_ms = settings.acquire_timeout_ms;
	return pool;
}

/* ---- hooks ---------------------------------------------------------------------------------- */

/* In the master, before the first worker and again at each reload: pages and files anew. What does
 * not load leaves everything as it was. */
static int load(const tine_hook_event *hook, void *arg)
{
	struct service *service = arg;
	char path[4096], error[512] = "";
	struct shelf *shelf;
	struct assets *assets;

	(void)hook;
	snprintf(path, sizeof(path), "%s/templates", service->config->home);
	shelf = shelf_load(path, error, sizeof(error));
	snprintf(path, sizeof(path), "%s/static", service->config->home);
	assets = shelf ? assets_load(path, error, sizeof(error)) : NULL;
	if (!assets) {
		fprintf(stderr, "records: %s\n", error);
		shelf_free(shelf);
		return 1;
	}
	shelf_free(service->shelf);
	assets_free(service->assets);
	service->shelf = shelf;
	service->assets = assets;
	return 0;
}

/* ---- kinds of workers ----------------------------------------------------------------------- */

static int add_web(struct service *service, tine_error *error)
{
	tine_worker_config web;
	int rc;

	tine_worker_config_init(&web);
	web.workers = 4;
	web.threads = 16;
	rc = tine_worker_config_env(&web, "web", error);
	if (rc == 0 && web.workers == 0)
		fprintf(stderr, "records: without web workers nobody answers who connects\n");
	service->handlers = web.threads;
	web.threads++; /* the loop */
	return rc == 0 ? tine_master_add(service->master, "web", web_serve, service, &web, error)
		       : rc;
}

/* TINE_WORKERS and TINE_THREADS are for every kind to libtine; here they are the web's alone. */
static int add_task(struct service *service, tine_error *error)
{
	tine_worker_config task;
	int rc;

	tine_worker_config_init(&task);
	rc = tine_worker_config_env(&task, "task", error);
	task.accepts = false;
	if (!getenv("TINE_TASK_WORKERS"))
		task.workers = 2;
	if (!getenv("TINE_TASK_THREADS"))
		task.threads = 1;
	if (rc == 0 && task.workers == 0)
		fprintf(stderr, "records: without task workers jobs wait\n");
	return rc == 0 ? tine_master_add(service->master, "task", task_serve, service, &task, error)
		       : rc;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static bool begins(const char *text, const char *with)
{
	return strncasecmp(text, with, strlen(with)) == 0;
}

static bool is_storage_in_the_clear(const struct config *config)
{
	const char *url = config->s3_url;

	return config->storage == STORAGE_S3 && !begins(url, "https://") &&
	       !begins(url, "http://127.") && !begins(url, "http://localhost:") &&
	       !begins(url, "http://localhost/") && !begins(url, "http://[::1]");
}

static void warn(const struct config *config)
{
	if (is_storage_in_the_clear(config))
		fprintf(stderr,
			"records: WARNING: RECORDS_S3_URL IS NOT HTTPS: ANYBODY ON THE WAY TO THE "
			"STORAGE CAN READ AND CHANGE DOCUMENTS.\n");
	if (config->insecure_database)
		fprintf(stderr,
			"records: WARNING: RECORDS_INSECURE_DATABASE IS SET: THE CONNECTION TO THE "
			"DATABASE NEED NOT BE ENCRYPTED, AND ANYBODY ON THE WAY CAN READ AND "
			"CHANGE WHAT IS SENT. THIS IS FOR DEVELOPMENT ONLY.\n");
	if (config->behind_tls && !config->trust_forwarded)
		fprintf(stderr,
			"records: WARNING: RECORDS_BEHIND_TLS WITHOUT RECORDS_TRUST_FORWARDED: ALL "
			"CLIENTS HAVE THE PROXY'S ADDRESS, SO A FEW FAILED LOGINS OF ANYBODY KEEP "
			"EVERYBODY OUT FOR A MINUTE. Set RECORDS_TRUST_FORWARDED=yes where the "
			"proxy adds to X-Forwarded-For; so too where it comes by a unix socket.\n");
	if (!*config->inbox_token)
		fprintf(stderr,
			"records: without RECORDS_INBOX_TOKEN nobody can post to the inbox\n");
}

static int run(struct service *service, tine_error *error)
{
	tine_master_config settings;

	tine_master_config_init(&settings);
	if (tine_master_config_env(&settings, error) < 0)
		return error->status;
	service->master = tine_master_new(&settings, error);
	if (!service->master)
		return error->status;
	if (tine_master_on(service->master, TINE_HOOK_LOAD, load, service) < 0 ||
	    add_web(service, error) < 0 || add_task(service, error) < 0)
		return error->status;
	return tine_master_run(service->master, error);
}

/* The names are separated in a copy; the service keeps it. */
static void split_hosts(struct service *service)
{
	char *rest = service->hosts_text = strdup(service->config->hosts), *name;
	size_t count = 0;

	while (rest && count < HOSTS_MAX && (name = strsep(&rest, ", ")) != NULL)
		if (*name)
			service->hosts[count++] = name;
}

static int make_status(struct service *service)
{
	tine_web_config settings;
	tine_error error;

	if (service->config->status == STATUS_OFF)
		return 0;
	tine_web_config_init(&settings);
	settings.mount = "/status";
	split_hosts(service);
	if (service->hosts[0])
		settings.hosts = service->hosts;
	service->web = tine_web_new(&settings, &error);
	if (!service->web)
		fprintf(stderr, "records: %s\n", error.text);
	return service->web ? 0 : -1;
}

/* @return 0 or an exit status */
static int prepare(struct service *service)
{
	char error[512];

	if (!*service->config->secret) {
		fprintf(stderr, "records: RECORDS_SECRET is not set: 32 bytes or more, such as of "
				"openssl rand -hex 32\n");
		return EXIT_USAGE;
	}
	service->pool = service_pool(service->config, &service->patience_ms);
	if (!service->pool)
		return EXIT_USAGE;
	if (storage_open(&service->storage, service->config, error, sizeof(error)) < 0) {
		fprintf(stderr, "records: %s\n", error);
		return EXIT_NOT_DONE;
	}
	if (limits_make(&service->limits) < 0 || crowd_make(&service->crowd) < 0 ||
	    sem_init(&service->hashing, 0, HASHES_AT_ONCE) < 0 ||
	    curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
		fprintf(stderr, "records: no memory\n");
		return EXIT_NOT_DONE;
	}
	if (make_status(service) < 0)
		return EXIT_NOT_DONE;
	keys_make(&service->keys, service->config->secret);
	settings_init(&service->settings);
	queue_init(&service->queue);
	return 0;
}

/* Connections, files and sessions are more than the usual limit of a shell's. */
static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int service_run(const struct config *config)
{
	static struct service service; /* too large for a stack */
	tine_error error = { 0 };
	int rc;

	service.config = config;
	service.storage.directory = -1;
	signal(SIGPIPE, SIG_IGN);
	raise_descriptors();
	warn(config);
	rc = prepare(&service);
	if (rc == 0 && run(&service, &error) < 0) {
		fprintf(stderr, "records: %s: %s\n", tine_status_name(error.status), error.text);
		rc = error.status == TINE_E_INVALID ? EXIT_USAGE : EXIT_NOT_DONE;
	}
	tine_master_free(service.master);
	tine_pool_free(service.pool);
	tine_web_free(service.web);
	free(service.hosts_text);
	storage_close(&service.storage);
	shelf_free(service.shelf);
	assets_free(service.assets);
	return rc;
}
