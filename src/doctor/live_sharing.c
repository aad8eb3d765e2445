/* SPDX-License-Identifier: PostgreSQL */
/*
 * Findings about connections that are held by more than one process. A server with three
 * connections and four workers has one finding, not three: connections with the same opener,
 * holders and server go together.
 *
 * Owns nothing. Locks: none. Fork: nothing to do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/advice.h"
#include "doctor/live.h"

#define DETAILS_MAX 10
#define PIDS_MAX 12
#define GROUPS_MAX 100 /* findings; nobody reads more, and making them takes time */

/* ---- texts ---------------------------------------------------------------------------------- */

static void write_duration(double seconds, char *text, size_t size)
{
	if (seconds < 10)
		snprintf(text, size, "%.1f s", seconds);
	else if (seconds < 120)
		snprintf(text, size, "%.0f s", seconds);
	else if (seconds < 2 * 3600)
		snprintf(text, size, "%.0f min", seconds / 60);
	else if (seconds < 48 * 3600)
		snprintf(text, size, "%.0f h", seconds / 3600);
	else
		snprintf(text, size, "%.0f days", seconds / 86400);
}

/* The pids of the holders but one, "4712, 4713 and 97 more". */
static void write_pids(const struct tine_scene *scene, const struct tine_connection *connection,
		       char *text, size_t size)
{
	FILE *out = fmemopen(text, size, "w");
	size_t count = 0;

	text[0] = '\0';
	for (size_t i = 0; out && i < connection->holds_count; i++) {
		const struct tine_process *process =
			tine_scene_holder(scene, &connection->holds[i]);

		if (process == connection->opener ||
		    (i && connection->holds[i].process == connection->holds[i - 1].process))
			continue;
		if (count < PIDS_MAX)
			fprintf(out, "%s%d (%s)", count ? ", " : "", process->pid, process->name);
		count++;
	}
	if (out && count > PIDS_MAX)
		fprintf(out, " and %zu more", count - PIDS_MAX);
	if (out)
		fclose(out);
	text[size - 1] = '\0';
}

static void write_backend(const struct tine_connection *connection, FILE *out)
{
	const struct tine_backend *backend = &connection->backend;
	char duration[32];

	if (!backend->known) {
		if (connection->server)
			fprintf(out, ", server pid %d", connection->server->pid);
		return;
	}
	fprintf(out, ", server pid %d", backend->pid);
	if (*backend->state)
		fprintf(out, ", %s", backend->state);
	if (backend->transaction_s >= 0) {
		write_duration(backend->transaction_s, duration, sizeof(duration));
		fprintf(out, ", in a transaction for %s", duration);
	}
	if (backend->tls_known)
		fprintf(out, ", %s", *backend->tls ? backend->tls : "no TLS");
}

/* "127.0.0.1:40312 (fd 5 of pid 4711), open for 12 s, server pid 991, idle" */
static void add_detail(const struct tine_scene *scene, struct tine_finding *finding,
		       const struct tine_connection *connection)
{
	const struct tine_process *process = tine_scene_holder(scene, connection->holds);
	char local[64] = "unix socket", duration[32], text[512] = "";
	FILE *out = fmemopen(text, sizeof(text), "w");

	if (!out)
		return;
	if (connection->socket->family != AF_UNIX)
		tine_endpoint_format(&connection->socket->local, local, sizeof(local));
	fprintf(out, "%s (fd %d of pid %d)", local, connection->holds->fd, process->pid);
	if (connection->age_s >= 0) {
		write_duration(connection->age_s, duration, sizeof(duration));
		fprintf(out, ", open for %s", duration);
	}
	if (connection->used_s >= 0) {
		write_duration(connection->used_s, duration, sizeof(duration));
		fprintf(out, ", used %s ago", duration);
	}
	if (connection->seen)
		fprintf(out, ", pid %d is using it", connection->seen);
	write_backend(connection, out);
	fclose(out);
	text[sizeof(text) - 1] = '\0';
	tine_finding_add_detail(finding, "%s", text);
}

/* ---- the line that mends it ----------------------------------------------------------------- */

/* Whom to start differently: the oldest of the holders' program. */
static const struct tine_process *culprit(const struct tine_scene *scene,
					  const struct tine_connection *connection)
{
	const struct tine_process *process = connection->opener;

	for (size_t i = 0; !connection->opener && i < connection->holds_count; i++) {
		const struct tine_process *holder = tine_scene_holder(scene, &connection->holds[i]);

		if (!process || holder->start_ticks < process->start_ticks)
			process = holder;
	}
	return process;
}

static enum tine_framework framework_of(const struct tine_scene *scene,
					const struct tine_process *process,
					const struct tine_doctor_options *options)
{
	enum tine_framework framework = options->framework;
	char *text;
	ssize_t length;

	if (framework)
		return framework;
	length = tine_process_read(&scene->procs, process, "cmdline", 65536, &text);
	if (length > 0)
		framework = tine_advice_framework(text, (size_t)length);
	free(text);
	return framework;
}

static void add_change(const struct tine_scene *scene, struct tine_finding *finding,
		       const struct tine_connection *connection,
		       const struct tine_doctor_options *options)
{
	const struct tine_process *process = culprit(scene, connection);
	enum tine_framework framework = framework_of(scene, process, options);
	char command[2048];

	if (tine_live_command(scene, process, command, sizeof(command)))
		tine_finding_add_line(finding, "tine run -- %s", command);
	else
		tine_finding_add_line(finding, "%s",
				      framework ? tine_advice_command(framework)
						: "tine run -- COMMAND...");
	if (framework)
		tine_finding_add_line(finding,
				      "tine doctor --for %s    # prints the configuration that "
				      "does it without tine",
				      tine_advice_name(framework));
}

/* ---- groups --------------------------------------------------------------------------------- */

static bool have_same_holders(const struct tine_connection *a, const struct tine_connection *b)
{
	size_t i = 0, j = 0;

	while (i < a->holds_count && j < b->holds_count) {
		uint32_t process = a->holds[i].process;

		if (process != b->holds[j].process)
			return false;
		while (i < a->holds_count && a->holds[i].process == process)
			i++;
		while (j < b->holds_count && b->holds[j].process == process)
			j++;
	}
	return i == a->holds_count && j == b->holds_count;
}

static bool go_together(const struct tine_connection *a, const struct tine_connection *b)
{
	return !b->reported && a->sharing == b->sharing && a->is_postgres == b->is_postgres &&
	       a->opener == b->opener && strcmp(a->endpoint, b->endpoint) == 0 &&
	       have_same_holders(a, b);
}

static const char *code_of(const struct tine_connection *connection)
{
	static const char *const codes[] = {
		[TINE_SHARING_NONE] = NULL,
		[TINE_SHARING_PROGRAM] = "leaked-connection",
		[TINE_SHARING_LATENT] = "shared-connection",
		[TINE_SHARING_ACTIVE] = "shared-connection-active",
		[TINE_SHARING_ORPHANED] = "orphaned-connection",
	};

	if (!connection->is_postgres)
		return connection->sharing == TINE_SHARING_LATENT ||
				       connection->sharing == TINE_SHARING_ACTIVE
			       ? "shared-unknown"
			       : NULL;
	return codes[connection->sharing];
}

static struct tine_finding *add_finding(struct tine_report *report, const struct tine_scene *scene,
					const struct tine_connection *connection, size_t count)
{
	const struct tine_process *opener = connection->opener;
	size_t holders = tine_connection_holders(connection) - (opener != NULL);
	char where[96], pids[640];

	write_pids(scene, connection, pids, sizeof(pids));
	if (!opener) {
		snprintf(where, sizeof(where), "pid %d",
			 tine_scene_holder(scene, connection->holds)->pid);
		return tine_report_add(report, code_of(connection), where,
				       "%zu connection%s to %s: none of the processes that hold "
				       "%s opened %s: %s. The opener has ended or let go.",
				       count, TINE_PLURAL(count), connection->endpoint,
				       count == 1 ? "it" : "them", count == 1 ? "it" : "them",
				       pids);
	}
	snprintf(where, sizeof(where), "pid %d (%s)", opener->pid, opener->name);
	return tine_report_add(
		report, code_of(connection), where,
		"%zu connection%s to %s, opened by pid %d (%s), held by %zu more process%s: %s.%s",
		count, TINE_PLURAL(count), connection->endpoint, opener->pid, opener->name, holders,
		holders == 1 ? "" : "es", pids,
		connection->sharing == TINE_SHARING_ACTIVE
			? " Used since the first of them was forked."
		: connection->sharing == TINE_SHARING_LATENT ? " Not seen in use since the fork."
							     : "");
}

static size_t group(struct tine_scene *scene, const struct tine_connection *first)
{
	size_t count = 0;

	for (const struct tine_connection *other = first;
	     other < scene->connections + scene->connections_count; other++)
		count += go_together(first, other);
	return count;
}

static void report_group(struct tine_report *report, struct tine_scene *scene,
			 struct tine_connection *first, const struct tine_doctor_options *options)
{
	const struct tine_connection key = *first;
	size_t count = group(scene, first), shown = 0;
	struct tine_finding *finding = add_finding(report, scene, first, count);
	json_t *list = json_array();

	for (struct tine_connection *other = first;
	     other < scene->connections + scene->connections_count; other++) {
		if (!go_together(&key, other))
			continue;
		other->reported = true;
		if (shown++ < DETAILS_MAX)
			add_detail(scene, finding, other);
		json_array_append_new(list, tine_live_connection_json(scene, other));
	}
	if (count > DETAILS_MAX)
		tine_finding_add_detail(finding, "and %zu more", count - DETAILS_MAX);
	json_object_set_new(tine_finding_data(finding), "connections", list);
	if (key.is_postgres && key.sharing != TINE_SHARING_PROGRAM)
		add_change(scene, finding, &key, options);
}

void tine_live_sharing(struct tine_report *report, struct tine_scene *scene,
		       const struct tine_doctor_options *options)
{
	size_t groups = 0, left = 0;

	for (size_t i = 0; i < scene->connections_count; i++) {
		struct tine_connection *connection = &scene->connections[i];

		if (connection->reported || !code_of(connection))
			continue;
		if (groups++ < GROUPS_MAX)
			report_group(report, scene, connection, options);
		else
			left++;
	}
	if (left)
		tine_report_summarize(report,
				      "%zu further connections are shared, like those below; "
				      "--json lists them all.",
				      left);
}
