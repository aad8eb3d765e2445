/* SPDX-License-Identifier: PostgreSQL */
/*
 * The schema: how it comes to be, and whether it is what this program needs.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "file.h"
#include "service.h"

/* Any number, the same in every program that changes this schema: one at a time. */
#define MIGRATION_LOCK "7240137"

static int fail(const char *what, const tine_error *error)
{
	fprintf(stderr, "records: %s: %s: %s\n", what, tine_status_name(error->status),
		error->text);
	return EXIT_NOT_DONE;
}

static int fail_of(const char *what, const PGconn *pg)
{
	fprintf(stderr, "records: %s: %s", what, PQerrorMessage(pg));
	return EXIT_NOT_DONE;
}

/* ---- migrate -------------------------------------------------------------------------------- */

static int run(PGconn *pg, const char *sql)
{
	PGresult *result = PQexec(pg, sql);
	ExecStatusType status = PQresultStatus(result);

	PQclear(result);
	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ? 0 : -1;
}

/* @return 1 when it was applied before, 0, -1 */
static int is_applied(PGconn *pg, const char *name)
{
	const char *values[] = { name };
	PGresult *row = PQexecParams(pg, "select 1 from schema_files where name = $1", 1, NULL,
				     values, NULL, NULL, 0);
	int rc = PQresultStatus(row) == PGRES_TUPLES_OK ? PQntuples(row) : -1;

	PQclear(row);
	return rc;
}

static int note_applied(PGconn *pg, const char *name)
{
	const char *values[] = { name };
	PGresult *result = PQexecParams(pg, "insert into schema_files (name) values ($1)", 1, NULL,
					values, NULL, NULL, 0);
	int rc = PQresultStatus(result) == PGRES_COMMAND_OK ? 0 : -1;

	PQclear(result);
	return rc;
}

static int apply(tine_pool *pool, const char *name, const char *sql)
{
	TINE_SCOPE(scope, pool, TINE_SCOPE_SCRIPT, "migrate");
	tine_error error = { 0 };
	PGconn *pg = tine_scope_conn(scope, &error);
	int applied;

	if (!pg)
		return fail(name, &error);
	/* A migration takes its time, and who comes second waits for it. */
	if (run(pg, "set local statement_timeout = 0; set local lock_timeout = 0; "
		    "select pg_advisory_xact_lock(" MIGRATION_LOCK ")") < 0 ||
	    run(pg, "set local client_min_messages = warning; "
		    "create table if not exists schema_files (name text primary key, "
		    "applied_at timestamptz not null default now())") < 0)
		return fail_of(name, pg);
	applied = is_applied(pg, name);
	if (applied == 0 && (run(pg, sql) < 0 || note_applied(pg, name) < 0))
		applied = -1;
	if (applied < 0)
		return fail_of(name, pg);
	if (tine_scope_commit(scope, &error) < 0)
		return fail(name, &error);
	printf("%s: %s\n", name, applied ? "was applied before" : "applied");
	return 0;
}

static int is_sql(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return length > 4 && strcmp(entry->d_name + length - 4, ".sql") == 0;
}

static int apply_file(tine_pool *pool, const char *directory, const char *name)
{
	char error[512];
	char *sql = file_read(directory, name, NULL, error, sizeof(error));
	int rc = EXIT_NOT_DONE;

	if (sql)
		rc = apply(pool, name, sql);
	else
		fprintf(stderr, "records: %s\n", error);
	free(sql);
	return rc;
}

int command_migrate(const struct config *config, int argc, char **argv)
{
	tine_pool *pool = service_pool(config, NULL);
	struct dirent **entries = NULL;
	char directory[4096];
	int count, rc = 0;

	(void)argc;
	(void)argv;
	if (!pool)
		return EXIT_USAGE;
	snprintf(directory, sizeof(directory), "%s/sql", config->home);
	count = scandir(directory, &entries, is_sql, alphasort);
	if (count <= 0) {
		fprintf(stderr, "records: there is nothing in %s (RECORDS_HOME)\n", directory);
		rc = EXIT_NOT_DONE;
	}
	for (int i = 0; i < count; i++) {
		if (rc == 0)
			rc = apply_file(pool, directory, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	tine_pool_free(pool);
	return rc;
}

/* ---- check-schema --------------------------------------------------------------------------- */

/* What the statements of this program name. */
static const struct {
	const char *table, *columns;
} needed[] = {
	{ "users", "id name password_hash role" },
	{ "sessions", "id_hash user_id expires_at" },
	{ "settings", "title notice upload_limit_bytes" },
	{ "documents",
	  "id key name media_type size_bytes sha256 storage_key uploaded_by created_at" },
	{ "lots", "id number year title created_at" },
	{ "jobs", "id key kind payload state attempts error run_at done_at" },
	{ "notes", "id lot_id job_id text" },
};

/* @param column may be NULL */
static bool has(const PGresult *rows, const char *table, const char *column)
{
	for (int row = 0; row < PQntuples(rows); row++)
		if (strcmp(PQgetvalue(rows, row, 0), table) == 0 &&
		    (!column || strcmp(PQgetvalue(rows, row, 1), column) == 0))
			return true;
	return false;
}

static int check_table(const PGresult *rows, const char *table, const char *columns)
{
	int missing = 0;

	if (!has(rows, table, NULL)) {
		printf("missing: table %s\n", table);
		return 1;
	}
	while (*columns) {
		size_t length = strcspn(columns, " ");
		char column[64];

		snprintf(column, sizeof(column), "%.*s", (int)length, columns);
		if (!has(rows, table, column)) {
			printf("missing: %s.%s\n", table, column);
			missing++;
		}
		columns += length + (columns[length] == ' ');
	}
	return missing;
}

static int check(tine_pool *pool)
{
	TINE_SCOPE(scope, pool, TINE_SCOPE_SCRIPT, "check-schema");
	tine_error error = { 0 };
	PGconn *pg = tine_scope_conn(scope, &error);
	PGresult *rows;
	int missing = 0;

	if (!pg)
		return fail("check-schema", &error);
	rows = PQexec(pg, "select table_name, column_name from information_schema.columns "
			  "where table_schema = any (current_schemas(false))");
	if (PQresultStatus(rows) != PGRES_TUPLES_OK) {
		PQclear(rows);
		return fail_of("check-schema", pg);
	}
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		missing += check_table(rows, needed[i].table, needed[i].columns);
	PQclear(rows);
	if (missing == 0)
		printf("the schema is complete\n");
	return missing ? EXIT_ANSWER_IS_NO : 0;
}

int command_check_schema(const struct config *config, int argc, char **argv)
{
	tine_pool *pool = service_pool(config, NULL);
	int rc;

	(void)argc;
	(void)argv;
	if (!pool)
		return EXIT_USAGE;
	rc = check(pool);
	tine_pool_free(pool);
	return rc;
}
