/* SPDX-License-Identifier: PostgreSQL */
/*
 * The examination of live processes: reads the scene, asks the server when there is a connection
 * string, and lets each part add its findings.
 *
 * Owns the scene during the examination. Locks: none. Fork: nothing to do.
 */
#include "doctor/live.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/exit.h"

#define NEAR_PERCENT 80

/* ---- numbers -------------------------------------------------------------------------------- */

static size_t count_connections(const struct tine_scene *scene, bool shared_only)
{
	size_t count = 0;

	for (size_t i = 0; i < scene->connections_count; i++)
		count += scene->connections[i].is_postgres &&
			 (!shared_only || scene->connections[i].sharing != TINE_SHARING_NONE);
	return count;
}

static void compare(struct tine_report *report, const char *where, const char *whose, int used,
		    int limit)
{
	if (used > limit)
		tine_report_add(report, "budget-exceeded", where, "%d connections%s of %d.", used,
				whose, limit);
	else if (used * 100LL >= limit * (long long)NEAR_PERCENT)
		tine_report_add(report, "budget-near", where, "%d connections%s of %d.", used,
				whose, limit);
}

void tine_live_budget(struct tine_report *report, const struct tine_scene *scene, int budget,
		      const struct tine_capacity *capacity)
{
	json_t *facts = tine_report_facts(report, "live");

	if (budget)
		compare(report, "--budget", " in these processes",
			(int)count_connections(scene, false), budget);
	else if (capacity->connections)
		compare(report, "server", " of all its clients", capacity->used,
			capacity->connections);
	if (budget)
		json_object_set_new(facts, "budget", json_integer(budget));
	if (capacity->connections)
		json_object_set_new(facts, "server",
				    json_pack("{s:i, s:i}", "connections", capacity->connections,
					      "used", capacity->used));
}

/* ---- what cannot be seen -------------------------------------------------------------------- */

static void report_hidden(struct tine_report *report, const struct tine_scene *scene,
			  const struct tine_doctor_options *options)
{
	size_t hidden = 0, closed = 0, by_files = 0;

	for (size_t i = 0; i < scene->procs.count; i++)
		hidden += scene->procs.items[i].in_tree && !scene->procs.items[i].readable;
	if (hidden)
		tine_report_add(report, "not-visible", options->all ? "this machine" : "the tree",
				"%zu of its processes belong to others and may not be looked at.",
				hidden);
	for (size_t i = 0; i < scene->namespaces_count; i++) {
		closed += scene->namespaces[i].in_tree &&
			  scene->namespaces[i].sight == TINE_SIGHT_NONE;
		by_files += scene->namespaces[i].in_tree &&
			    scene->namespaces[i].sight == TINE_SIGHT_FILES;
	}
	if (closed)
		tine_report_add(report, "not-visible", "network namespaces",
				"Of %zu the sockets could not be read.", closed);
	if (by_files)
		tine_report_add(report, "not-visible", "unix sockets",
				"In a network namespace that may not be entered, connections by "
				"unix sockets cannot be told from others.");
}

static int explain(int error, int pid)
{
	if (error == -ESRCH)
		tine_doctor_fail(TINE_EXIT_SYSTEM, "there is no process %d", pid);
	else if (error == -EACCES)
		tine_doctor_fail(TINE_EXIT_SYSTEM,
				 "process %d may not be looked at: it belongs to another user, or "
				 "protects itself; be that user, or root",
				 pid);
	else
		tine_doctor_fail(TINE_EXIT_SYSTEM, "cannot read /proc: %s", strerror(-error));
	return error;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static void ask_server(struct tine_report *report, struct tine_scene *scene, const char *conninfo,
		       struct tine_capacity *ret_capacity)
{
	size_t matched, connections = count_connections(scene, false);

	if (tine_backend_ask(scene, conninfo, &matched, ret_capacity) < 0)
		tine_report_add(report, "server-not-asked", "server",
				"The server could not be asked; standard error has the reason.");
	else if (connections && !matched)
		tine_report_add(report, "backend-not-found", "server",
				"It knows none of the %zu connections.", connections);
}

static void summarize(struct tine_report *report, const struct tine_scene *scene,
		      const struct tine_patients *patients,
		      const struct tine_doctor_options *options)
{
	size_t processes = 0, guarded = 0, connections = count_connections(scene, false);
	const struct tine_process *root = tine_procs_find(&scene->procs, options->pid);
	char who[96] = "all processes";

	for (size_t i = 0; i < scene->procs.count; i++)
		processes += scene->procs.items[i].in_tree;
	for (size_t i = 0; i < patients->count; i++)
		guarded += patients->items[i].image.guard_live;
	if (root)
		snprintf(who, sizeof(who), "pid %d (%s) and its descendants", root->pid,
			 root->name);
	tine_report_summarize(report, "processes: %s, %zu in all", who, processes);
	tine_report_summarize(report, "connections: %zu to PostgreSQL, %zu of them shared",
			      connections, count_connections(scene, true));
	tine_report_summarize(report, "guarded by tine: %zu of %zu processes with PostgreSQL",
			      guarded, patients->count);
}

static int examine(struct tine_report *report, struct tine_scene *scene,
		   const struct tine_doctor_options *options)
{
	struct tine_capacity capacity = { 0 };
	struct tine_patients patients;

	tine_scene_judge(scene);
	if (options->conninfo)
		ask_server(report, scene, options->conninfo, &capacity);
	tine_patients_find(scene, &patients);
	summarize(report, scene, &patients, options);
	tine_live_sharing(report, scene, options);
	tine_live_masters(report, scene, &patients);
	tine_live_libraries(report, &patients);
	tine_live_budget(report, scene, options->budget, &capacity);
	report_hidden(report, scene, options);
	/* Of a large machine they are many megabytes. */
	if (options->json)
		tine_live_facts(tine_report_facts(report, "live"), scene, &patients);
	tine_patients_free(&patients);
	return 0;
}

int tine_doctor_live(struct tine_report *report, const struct tine_doctor_options *options)
{
	struct tine_ports *ports = calloc(1, sizeof(*ports));
	struct tine_scene scene = { 0 };
	int rc = ports ? 0 : -ENOMEM;

	if (rc == 0 && options->ports)
		rc = tine_ports_add_list(ports, options->ports);
	if (rc == 0 && options->conninfo)
		rc = tine_backend_ports(options->conninfo, ports);
	if (rc < 0) {
		free(ports);
		return rc;
	}
	rc = tine_scene_read(&scene, options->proc ? options->proc : "/proc", options->pid, ports);
	rc = rc < 0 ? explain(rc, options->pid) : examine(report, &scene, options);
	tine_scene_free(&scene);
	free(ports);
	return rc;
}
