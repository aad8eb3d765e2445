/* SPDX-License-Identifier: PostgreSQL */
/*
 * `records create-user`. The password comes from a file or from standard input, so that neither a
 * list of processes nor a shell's history has it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "commands.h"
#include "file.h"
#include "password.h"
#include "service.h"
#include "text.h"

struct wanted {
	const char *name, *role, *file; /* role NULL: as it is; of a new user, editor */
};

static int usage(const char *what)
{
	fprintf(stderr,
		"records: %s\n"
		"usage: records create-user NAME [--role reader|editor|admin] "
		"[--password-file FILE]\n",
		what);
	return EXIT_USAGE;
}

static int read_arguments(struct wanted *wanted, int argc, char **argv)
{
	for (int i = 0; i < argc; i++) {
		bool has_value = i + 1 < argc;

		if (strcmp(argv[i], "--role") == 0 && has_value)
			wanted->role = argv[++i];
		else if (strcmp(argv[i], "--password-file") == 0 && has_value)
			wanted->file = argv[++i];
		else if (argv[i][0] != '-' && !wanted->name)
			wanted->name = argv[i];
		else
			return usage("an argument is not understood");
	}
	if (!wanted->name || !text_is_plain(wanted->name, 1, 64) ||
	    !text_is_header_value(wanted->name))
		return usage("a user has a name of 1 to 64 bytes, in one line");
	if (wanted->role && role_find(wanted->role) == ROLE_NOBODY)
		return usage("there is no such role");
	return 0;
}

static void forget(char *password, size_t length)
{
	if (password)
		sodium_memzero(password, length);
	free(password);
}

/* @return the caller's, for forget(); NULL when it cannot be read or is no password */
static char *read_password(const char *file)
{
	int fd = file ? open(file, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	size_t length = 0;
	char *password = fd >= 0 ? file_read_fd(fd, &length) : NULL;
	size_t read_bytes = length;

	if (file && fd >= 0)
		close(fd);
	/* A form has one line for it. */
	if (password && length > 0 && password[length - 1] == '\n')
		password[--length] = '\0';
	if (password && length > 0 && password[length - 1] == '\r')
		password[--length] = '\0';
	if (password && strcspn(password, "\r\n") == length && length >= PASSWORD_LEAST_BYTES &&
	    length <= PASSWORD_MOST_BYTES)
		return password;
	fprintf(stderr,
		password ? "records: a password has %d to %d bytes, in one line\n"
			 : "records: the password cannot be read\n",
		PASSWORD_LEAST_BYTES, PASSWORD_MOST_BYTES);
	forget(password, read_bytes);
	return NULL;
}

/* A session that was begun with the former password ends. */
static int store(tine_pool *pool, const struct wanted *wanted, const char *hash)
{
	static const char sql[] =
		"insert into users (name, password_hash, role) "
		"values ($1, $2, coalesce($3, 'editor')) on conflict (name) do update set "
		"password_hash = excluded.password_hash, role = coalesce($3, users.role) "
		"returning role";
	static const char end_sql[] = "delete from sessions where user_id = "
				      "(select id from users where name = $1)";
	const char *values[] = { wanted->name, hash, wanted->role };
	struct db db = { .deadline_ns = clock_ns() + INT64_C(30000000000) };
	TINE_SCOPE(scope, pool, TINE_SCOPE_SCRIPT, "create-user");
	PGconn *pg = tine_scope_conn(scope, &db.error);
	PGresult *row = pg ? db_run(&db, pg, sql, 3, values) : NULL;
	char role[16];

	snprintf(role, sizeof(role), "%s", row ? PQgetvalue(row, 0, 0) : "");
	PQclear(row);
	if (row && db_do(&db, pg, end_sql, 1, values) == 0 &&
	    tine_scope_commit(scope, &db.error) == 0) {
		printf("%s: %s\n", wanted->name, role);
		return 0;
	}
	fprintf(stderr, "records: create-user: %s: %s%s\n", tine_status_name(db.error.status),
		db.error.text,
		strcmp(db.error.sqlstate, "42P01") == 0 ? "; records migrate makes it" : "");
	return EXIT_NOT_DONE;
}

int command_create_user(const struct config *config, int argc, char **argv)
{
	struct wanted wanted = { 0 };
	char hash[PASSWORD_HASH_BYTES];
	int rc = read_arguments(&wanted, argc, argv);
	char *password = rc == 0 ? read_password(wanted.file) : NULL;
	tine_pool *pool;

	if (!password)
		return EXIT_USAGE;
	rc = password_hash(password, hash);
	forget(password, strlen(password));
	if (rc != 0) {
		fprintf(stderr, "records: no memory to hash a password\n");
		return EXIT_NOT_DONE;
	}
	pool = service_pool(config, NULL);
	if (!pool)
		return EXIT_USAGE;
	rc = store(pool, &wanted, hash);
	tine_pool_free(pool);
	return rc;
}
