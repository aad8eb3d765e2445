/* SPDX-License-Identifier: PostgreSQL */
/*
 * The examination of a database: the order of the steps. Each step has a limit of time, and memory
 * has one too, so that a server that sends without an end costs neither.
 *
 * Owns the connection string and everything known of its hosts. Locks: none. Fork: nothing to do.
 */
#include "doctor/database.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/exit.h"
#include "doctor/report.h"

#define HOSTS_MAX 16
#define MEMORY_BYTES (256L << 20) /* on top of what there is at the start */

/* libpq makes room for a message as long as it says it is. */
static void limit_memory(void)
{
	long pages = 0;
	struct rlimit limit;
	FILE *file = fopen("/proc/self/statm", "re");

	if (!file)
		return;
	if (fscanf(file, "%*s %*s %*s %*s %*s %ld", &pages) == 1 &&
	    getrlimit(RLIMIT_DATA, &limit) == 0) {
		rlim_t wanted = (rlim_t)(pages * sysconf(_SC_PAGESIZE) + MEMORY_BYTES);

		if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > wanted) {
			limit.rlim_cur = wanted;
			setrlimit(RLIMIT_DATA, &limit);
		}
	}
	fclose(file);
}

void tine_database_unanswered(struct tine_database *database, const char *where, const char *what,
			      const tine_error *error)
{
	tine_report_add(database->report, "question-unanswered", where, "%s: %s", what,
			error->text);
}

/* ---- hosts ---------------------------------------------------------------------------------- */

static int prepare(struct tine_database *database)
{
	json_t *list = json_array();

	database->host_count =
		database->dsn.host_count < HOSTS_MAX ? database->dsn.host_count : HOSTS_MAX;
	database->hosts = calloc((size_t)database->host_count, sizeof(database->hosts[0]));
	if (!database->hosts)
		return -ENOMEM;
	for (int i = 0; i < database->host_count; i++) {
		struct tine_examined *host = &database->hosts[i];

		host->host = &database->dsn.hosts[i];
		host->facts = json_object();
		snprintf(host->label, sizeof(host->label), "%.200s:%.8s", host->host->host,
			 host->host->port);
		json_object_set_new(host->facts, "host", tine_report_string(host->label));
		json_array_append_new(list, host->facts);
	}
	json_object_set_new(tine_report_facts(database->report, "database"), "hosts", list);
	return 0;
}

static void note_settings(struct tine_database *database)
{
	static const char *const shown[] = { "user", "dbname", "sslmode", "target_session_attrs",
					     "service" };
	json_t *settings = json_object();

	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		if (*tine_dsn_value(&database->dsn, shown[i]))
			json_object_set_new(settings, shown[i],
					    tine_report_string(
						    tine_dsn_value(&database->dsn, shown[i])));
	json_object_set_new(tine_report_facts(database->report, "database"), "connection",
			    settings);
}

static void summarize(struct tine_database *database)
{
	int reached = 0;

	for (int i = 0; i < database->host_count; i++)
		reached += database->hosts[i].session != NULL;
	tine_report_summarize(database->report,
			      "database %.63s as user %.63s, sslmode %s: %d of %d host%s let us in",
			      tine_dsn_value(&database->dsn, "dbname"),
			      tine_dsn_value(&database->dsn, "user"), database->sslmode, reached,
			      database->dsn.host_count, database->dsn.host_count == 1 ? "" : "s");
}

/* ---- the steps ------------------------------------------------------------------------------ */

static int connections_for_probe(const struct tine_server *server)
{
	/* Not the last ones: somebody may need them more. */
	long long half = tine_server_free(server) / 2;

	return half > 8 ? 8 : half < 1 ? 1 : (int)half;
}

static void examine_chosen(struct tine_database *database, struct tine_examined *host)
{
	struct tine_server server;

	tine_server_examine(database, host, &server);
	tine_pooler_examine(database, host);
	tine_grade_client_settings(database, host);
	if (database->options->probe_idle_s)
		tine_idle_probe(database, host, connections_for_probe(&server));
}

static void examine(struct tine_database *database)
{
	struct tine_examined *chosen;

	note_settings(database);
	for (int i = 0; i < database->host_count; i++) {
		tine_host_reach(database, &database->hosts[i]);
		tine_host_login(database, &database->hosts[i]);
	}
	summarize(database);
	chosen = tine_grade_roles(database);
	if (chosen)
		examine_chosen(database, chosen);
}

int tine_doctor_database(struct tine_report *report, const struct tine_doctor_options *options)
{
	struct tine_database database = { .report = report, .options = options, .now = time(NULL) };
	void (*before)(int) = signal(SIGPIPE, SIG_IGN);
	tine_error error;
	int rc = 0;

	limit_memory();
	if (tine_dsn_read(&database.dsn, options->conninfo, &error) < 0) {
		tine_doctor_fail(TINE_EXIT_SYSTEM, "%s", error.text);
		rc = -EINVAL;
	} else {
		database.sslmode = tine_dsn_value(&database.dsn, "sslmode");
		database.timeout_ms = tine_session_connect_ms(&database.dsn);
		rc = prepare(&database);
		if (rc == 0)
			examine(&database);
	}
	for (int i = 0; i < database.host_count && database.hosts; i++)
		tine_host_done(&database.hosts[i]);
	free(database.hosts);
	tine_dsn_done(&database.dsn);
	signal(SIGPIPE, before);
	return rc;
}
