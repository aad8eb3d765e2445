/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the examination saw, as JSON, and as a command line that can be run again.
 *
 * Owns nothing. Locks: none. Fork: nothing to do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/live.h"

#define COMMAND_BYTES_MAX 65536

static const char *const sharing_names[] = {
	[TINE_SHARING_NONE] = "none",         [TINE_SHARING_PROGRAM] = "program",
	[TINE_SHARING_LATENT] = "latent",     [TINE_SHARING_ACTIVE] = "active",
	[TINE_SHARING_ORPHANED] = "orphaned",
};

/* ---- connections ---------------------------------------------------------------------------- */

static json_t *seconds_json(double seconds)
{
	return seconds < 0 ? json_null() : json_real((double)(long long)(seconds * 1000) / 1000);
}

static json_t *holder_json(const struct tine_scene *scene, const struct tine_connection *connection,
			   size_t *at)
{
	const uint32_t index = connection->holds[*at].process;
	const struct tine_process *process = &scene->procs.items[index];
	const char *role = "copy";
	json_t *fds = json_array();

	for (; *at < connection->holds_count && connection->holds[*at].process == index; ++*at)
		json_array_append_new(fds, json_integer(connection->holds[*at].fd));
	if (process == connection->opener)
		role = "opener";
	else if (connection->opener && !tine_process_is_copy(connection->opener, process))
		role = "program";
	return json_pack("{s:i, s:o, s:s, s:o, s:o}", "pid", process->pid, "name",
			 tine_report_string(process->name), "role", role, "fds", fds, "age_s",
			 seconds_json(tine_process_age_s(&scene->procs, process)));
}

static json_t *backend_json(const struct tine_backend *backend)
{
	if (!backend->known)
		return json_null();
	return json_pack("{s:i, s:o, s:o, s:o, s:o, s:o}", "pid", backend->pid, "state",
			 tine_report_string(backend->state), "user",
			 tine_report_string(backend->user), "application",
			 tine_report_string(backend->application), "transaction_s",
			 seconds_json(backend->transaction_s), "tls",
			 backend->tls_known ? tine_report_string(backend->tls) : json_null());
}

json_t *tine_live_connection_json(const struct tine_scene *scene,
				  const struct tine_connection *connection)
{
	json_t *holders = json_array();
	char local[64] = "";

	if (connection->socket->family != AF_UNIX)
		tine_endpoint_format(&connection->socket->local, local, sizeof(local));
	for (size_t i = 0; i < connection->holds_count;)
		json_array_append_new(holders, holder_json(scene, connection, &i));
	return json_pack("{s:o, s:s, s:s, s:I, s:I, s:b, s:s, s:o, s:o, s:o, s:o, s:o, s:o}",
			 "server", tine_report_string(connection->endpoint), "local", local,
			 "direction", "outgoing", "inode", (json_int_t)connection->socket->inode,
			 "network_namespace", (json_int_t)connection->socket->netns, "postgres",
			 connection->is_postgres, "sharing", sharing_names[connection->sharing],
			 "opener",
			 connection->opener ? json_integer(connection->opener->pid) : json_null(),
			 "holders", holders, "age_s", seconds_json(connection->age_s), "used_s",
			 seconds_json(connection->used_s), "server_process",
			 connection->server ? json_integer(connection->server->pid) : json_null(),
			 "backend", backend_json(&connection->backend));
}

/* ---- processes ------------------------------------------------------------------------------ */

static json_t *library_json(const struct tine_library *library)
{
	static const char *const kinds[] = { "libpq", "openssl", "tine" };

	return json_pack("{s:s, s:o, s:o, s:b, s:b}", "kind", kinds[library->kind], "path",
			 tine_report_string(library->path), "version",
			 tine_report_string(*library->version_text ? library->version_text : NULL),
			 "bundled", library->bundled, "replaced", library->replaced);
}

static const char *guard_word(const struct tine_patient *patient)
{
	if (!patient->image_known)
		return "unknown";
	if (patient->image.guard_live)
		return "live";
	if (patient->image.guard_mapped)
		return "mapped";
	return patient->image.guard_wanted ? "missing" : "none";
}

static json_t *patient_json(const struct tine_scene *scene, const struct tine_patient *patient)
{
	const struct tine_process *process = patient->process;
	json_t *libraries = json_array();

	for (int i = 0; i < patient->image.count; i++)
		json_array_append_new(libraries, library_json(&patient->image.libraries[i]));
	return json_pack("{s:i, s:i, s:o, s:o, s:i, s:I, s:I, s:s, s:o}", "pid", process->pid,
			 "parent", process->parent, "name", tine_report_string(process->name),
			 "age_s", seconds_json(tine_process_age_s(&scene->procs, process)),
			 "threads", process->threads, "copies", (json_int_t)patient->copies,
			 "connections", (json_int_t)patient->connections, "guard",
			 guard_word(patient), "libraries", libraries);
}

void tine_live_facts(json_t *facts, const struct tine_scene *scene,
		     const struct tine_patients *patients)
{
	json_t *connections = json_array(), *processes = json_array();
	size_t in_tree = 0;

	for (size_t i = 0; i < scene->procs.count; i++)
		in_tree += scene->procs.items[i].in_tree;
	for (size_t i = 0; i < scene->connections_count; i++)
		if (scene->connections[i].is_postgres ||
		    scene->connections[i].sharing != TINE_SHARING_NONE)
			json_array_append_new(connections,
					      tine_live_connection_json(scene,
									&scene->connections[i]));
	for (size_t i = 0; i < patients->count; i++)
		json_array_append_new(processes, patient_json(scene, &patients->items[i]));
	json_object_set_new(facts, "processes_examined", json_integer((json_int_t)in_tree));
	json_object_set_new(facts, "processes", processes);
	json_object_set_new(facts, "connections", connections);
}

/* ---- a command line ------------------------------------------------------------------------- */

static void quote(FILE *out, const char *word)
{
	if (*word && strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				  "_@%+=:,./-") == strlen(word)) {
		fputs(word, out);
		return;
	}
	fputc('\'', out);
	for (; *word; word++)
		fputs(*word == '\'' ? "'\\''" : (char[2]){ *word, '\0' }, out);
	fputc('\'', out);
}

/* Titles are one string: "gunicorn: master [app:app]". */
static bool is_title(const char *words, size_t size)
{
	size_t first = strnlen(words, size);

	while (first < size && !words[first])
		first++;
	return first == size && strchr(words, ' ') != NULL;
}

/* The words with separators between them, control bytes out of the way, and no password. */
static void prepare(char *words, size_t length)
{
	while (length > 0 && !words[length - 1])
		length--;
	for (size_t i = 0; i < length; i++)
		if (!words[i])
			words[i] = *TINE_DOCTOR_SEPARATOR;
		else if ((unsigned char)words[i] < 0x20)
			words[i] = '?';
	tine_doctor_redact(words);
}

bool tine_live_command(const struct tine_scene *scene, const struct tine_process *process,
		       char *text, size_t size)
{
	char *words, *rest, *word;
	ssize_t length =
		tine_process_read(&scene->procs, process, "cmdline", COMMAND_BYTES_MAX, &words);
	FILE *out;

	if (length <= 0 || is_title(words, (size_t)length)) {
		free(words);
		return false;
	}
	prepare(words, (size_t)length);
	text[0] = '\0';
	out = fmemopen(text, size, "w");
	for (rest = words; out && (word = strsep(&rest, TINE_DOCTOR_SEPARATOR)) != NULL;) {
		if (word != words)
			fputc(' ', out);
		quote(out, word);
	}
	if (out)
		fclose(out);
	free(words);
	text[size - 1] = '\0';
	/* A line that was cut is none to be copied. */
	return out && strlen(text) < size - 1;
}
