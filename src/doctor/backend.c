/* SPDX-License-Identifier: PostgreSQL */
/*
 * Joining connections with pg_stat_activity and pg_stat_ssl: by the client's address and port, or
 * for a unix socket by the process that serves it here.
 *
 * Owns a session during a call. Locks: none. Fork: nothing to do.
 */
#include "doctor/backend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/exit.h"
#include "doctor/doctor.h"
#include "doctor/dsn.h"
#include "doctor/session.h"

#define ASKED_AT_ONCE 400 /* below the limit of rows of an answer */
#define AGE_MARGIN_S 0.5  /* the answer took that long at most, or the age is less exact */

/* ---- the connection string ------------------------------------------------------------------ */

static int read_dsn(struct tine_dsn *dsn, const char *conninfo)
{
	tine_error error = { 0 };

	if (tine_dsn_read(dsn, conninfo, &error) == 0)
		return 0;
	tine_doctor_fail(TINE_EXIT_SYSTEM, "connection string: %s", error.text);
	return -EINVAL;
}

int tine_backend_ports(const char *conninfo, struct tine_ports *ports)
{
	struct tine_dsn dsn = { 0 };
	int rc = read_dsn(&dsn, conninfo);

	for (int i = 0; rc == 0 && i < dsn.host_count; i++)
		tine_ports_add_list(ports, dsn.hosts[i].port);
	tine_dsn_done(&dsn);
	return rc;
}

/* ---- the question --------------------------------------------------------------------------- */

enum column { PID, ADDRESS, PORT, STATE, USER, APPLICATION, AGE, TRANSACTION, USED, TLS, VERSION };

static const char question[] =
	"select a.pid, coalesce(host(a.client_addr), ''), coalesce(a.client_port, 0),"
	" coalesce(a.state, ''), coalesce(a.usename, ''), coalesce(a.application_name, ''),"
	" extract(epoch from clock_timestamp() - a.backend_start),"
	" coalesce(extract(epoch from clock_timestamp() - a.xact_start), -1),"
	" coalesce(extract(epoch from clock_timestamp() - a.state_change), -1),"
	" s.ssl, coalesce(s.version, '')"
	" from pg_catalog.pg_stat_activity a left join pg_catalog.pg_stat_ssl s on s.pid = a.pid"
	" where ";

/* "a.client_port in (...) or a.pid in (...)" for some connections. Returns how many it is about. */
static size_t write_question(const struct tine_scene *scene, size_t from, char **ret_sql)
{
	FILE *out;
	size_t size, i;

	*ret_sql = NULL;
	out = open_memstream(ret_sql, &size);
	if (!out)
		return 0;
	fputs(question, out);
	fputs("a.client_port in (0", out);
	for (i = from; i < scene->connections_count && i - from < ASKED_AT_ONCE; i++)
		if (scene->connections[i].socket->family != AF_UNIX)
			fprintf(out, ",%u", scene->connections[i].socket->local.port);
	fputs(") or a.pid in (0", out);
	for (i = from; i < scene->connections_count && i - from < ASKED_AT_ONCE; i++)
		if (scene->connections[i].socket->family == AF_UNIX && scene->connections[i].server)
			fprintf(out, ",%d", scene->connections[i].server->pid);
	fputs(")", out);
	fclose(out);
	return i - from;
}

static bool is_about(const struct tine_rows *rows, int row,
		     const struct tine_connection *connection)
{
	const struct tine_socket *socket = connection->socket;
	char local[160], said[160];

	if (!connection->is_postgres)
		return false;
	if (socket->family == AF_UNIX)
		return connection->server && tine_rows_number(rows, row, PORT) == -1 &&
		       tine_rows_number(rows, row, PID) == connection->server->pid;
	tine_endpoint_format(&socket->local, local, sizeof(local));
	snprintf(said, sizeof(said),
		 strchr(tine_rows_text(rows, row, ADDRESS), ':') ? "[%s]:%s" : "%s:%s",
		 tine_rows_text(rows, row, ADDRESS), tine_rows_text(rows, row, PORT));
	return strcmp(local, said) == 0;
}

static double seconds(const struct tine_rows *rows, int row, enum column column)
{
	return strtod(tine_rows_text(rows, row, column), NULL);
}

static void fill(struct tine_scene *scene, struct tine_connection *connection,
		 const struct tine_rows *rows, int row)
{
	struct tine_backend *backend = &connection->backend;
	double elapsed_s = tine_procs_elapsed_s(&scene->procs);

	backend->known = true;
	backend->pid = (int)tine_rows_number(rows, row, PID);
	snprintf(backend->state, sizeof(backend->state), "%s", tine_rows_text(rows, row, STATE));
	snprintf(backend->user, sizeof(backend->user), "%s", tine_rows_text(rows, row, USER));
	snprintf(backend->application, sizeof(backend->application), "%s",
		 tine_rows_text(rows, row, APPLICATION));
	backend->tls_known = *tine_rows_text(rows, row, TLS) != '\0';
	snprintf(backend->tls, sizeof(backend->tls), "%s", tine_rows_text(rows, row, VERSION));
	backend->transaction_s = seconds(rows, row, TRANSACTION);
	/* All ages are those at the time when the processes were read. */
	backend->used_s = seconds(rows, row, USED);
	if (backend->used_s >= 0)
		backend->used_s = backend->used_s > elapsed_s ? backend->used_s - elapsed_s : 0;
	if (connection->age_s < 0 && seconds(rows, row, AGE) > elapsed_s) {
		connection->age_s = seconds(rows, row, AGE) - elapsed_s;
		connection->age_margin_s = AGE_MARGIN_S;
	}
	tine_connection_judge(scene, connection);
}

static int ask_some(struct tine_session *session, struct tine_scene *scene, size_t from,
		    size_t *ret_count, size_t *ret_matched)
{
	tine_error error = { 0 };
	struct tine_rows rows;
	char *sql;
	int rc = 0;

	*ret_count = write_question(scene, from, &sql);
	if (*ret_count)
		rc = tine_session_query(session, sql, TINE_SESSION_QUERY_MS, &rows, &error);
	free(sql);
	if (rc < 0)
		tine_doctor_fail(TINE_EXIT_SYSTEM, "pg_stat_activity: %s", error.text);
	if (rc < 0 || !*ret_count)
		return rc < 0 ? -EIO : 0;
	for (size_t i = from; i < from + *ret_count; i++)
		for (int row = 0; row < rows.count; row++)
			if (is_about(&rows, row, &scene->connections[i])) {
				fill(scene, &scene->connections[i], &rows, row);
				++*ret_matched;
				break;
			}
	tine_rows_done(&rows);
	return 0;
}

static void ask_capacity(struct tine_session *session, struct tine_capacity *ret_capacity)
{
	tine_error error = { 0 };
	struct tine_rows rows;

	if (tine_session_query(session,
			       "select current_setting('max_connections')::int"
			       " - current_setting('superuser_reserved_connections')::int"
			       " - coalesce(current_setting('reserved_connections', true)::int, 0),"
			       " (select count(*) from pg_catalog.pg_stat_activity"
			       " where backend_type = 'client backend')",
			       TINE_SESSION_QUERY_MS, &rows, &error) < 0)
		return;
	ret_capacity->connections = (int)tine_rows_number(&rows, 0, 0);
	/* Ours goes away again. */
	ret_capacity->used = (int)tine_rows_number(&rows, 0, 1) - 1;
	tine_rows_done(&rows);
}

int tine_backend_ask(struct tine_scene *scene, const char *conninfo, size_t *ret_matched,
		     struct tine_capacity *ret_capacity)
{
	struct tine_dsn dsn = { 0 };
	tine_error error = { 0 };
	struct tine_session *session = NULL;
	int rc = read_dsn(&dsn, conninfo);

	*ret_matched = 0;
	memset(ret_capacity, 0, sizeof(*ret_capacity));
	if (rc == 0) {
		session = tine_session_open_any(&dsn, &error);
		if (!session) {
			tine_doctor_fail(TINE_EXIT_SYSTEM, "%s", error.text);
			rc = -EIO;
		}
	}
	for (size_t from = 0, count = 1; rc == 0 && count; from += count)
		rc = ask_some(session, scene, from, &count, ret_matched);
	if (rc == 0)
		ask_capacity(session, ret_capacity);
	if (session)
		tine_session_close(session);
	tine_dsn_done(&dsn);
	return rc;
}
