/* SPDX-License-Identifier: PostgreSQL */
/*
 * Each setting is one row: variable, type, default, range, help. A value that is out of range is an
 * error, never a warning.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <libpq-fe.h>

enum row_type { TYPE_TEXT, TYPE_FLAG, TYPE_INT, TYPE_MS, TYPE_SECONDS, TYPE_BYTES, TYPE_CHOICE };

struct row {
	const char *variable;
	enum row_type type;
	size_t offset;
	const char *initial;
	const char *choices;      /* with ", " between them */
	int64_t minimum, maximum; /* of a text that is not empty: its least length */
	bool secret;
	const char *help;
};

#define ROW(field, name, kind)                                                                     \
	.variable = "RECORDS_" name, .type = TYPE_##kind, .offset = offsetof(struct config, field)

static const struct row rows[] = {
#include "config_rows.inc"
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit units_ms[] = {
	{ "ms", 1 }, { "s", 1000 }, { "min", 60000 }, { "h", 3600000 }, { NULL, 0 }
};
static const struct unit units_s[] = { { "s", 1 }, { "min", 60 }, { "h", 3600 }, { NULL, 0 } };
static const struct unit units_bytes[] = { { "k", 1000 },       { "M", 1000000 },
					   { "G", 1000000000 }, { "KiB", 1 << 10 },
					   { "MiB", 1 << 20 },  { "GiB", 1 << 30 },
					   { NULL, 0 } };
static const struct unit no_units[] = { { NULL, 0 } };

/* ---- reading one ---------------------------------------------------------------------------- */

static const struct unit *units_of(const struct row *row)
{
	switch (row->type) {
	case TYPE_MS:
		return units_ms;
	case TYPE_SECONDS:
		return units_s;
	case TYPE_BYTES:
		return units_bytes;
	default:
		return no_units;
	}
}

static int read_number(const struct row *row, const char *text, int64_t *ret_value)
{
	const struct unit *unit = units_of(row);
	int64_t value, factor = 1;
	char *end;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (end == text || errno != 0)
		return -1;
	if (*end) {
		while (unit->name && strcmp(unit->name, end) != 0)
			unit++;
		if (!unit->name)
			return -1;
		factor = unit->factor;
	}
	if (__builtin_mul_overflow(value, factor, ret_value))
		return -1;
	return *ret_value >= row->minimum && *ret_value <= row->maximum ? 0 : -1;
}

static int read_flag(const char *text, bool *ret_flag)
{
	static const char *const words[] = { "no", "yes", "off", "on", "0", "1", "false", "true" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcasecmp(text, words[i]) == 0) {
			*ret_flag = i % 2 == 1;
			return 0;
		}
	return -1;
}

static int read_choice(const char *choices, const char *text, int *ret_index)
{
	size_t length = strlen(text);

	for (int index = 0; length > 0; index++) {
		size_t name = strcspn(choices, ",");

		if (name == length && strncmp(choices, text, length) == 0) {
			*ret_index = index;
			return 0;
		}
		if (!choices[name])
			break;
		choices += name + 2;
	}
	return -1;
}

static int set(const struct row *row, struct config *config, const char *text)
{
	void *field = (char *)config + row->offset;
	int64_t value;

	switch (row->type) {
	case TYPE_TEXT:
		*(const char **)field = text;
		return *text && (int64_t)strlen(text) < row->minimum ? -1 : 0;
	case TYPE_FLAG:
		return read_flag(text, field);
	case TYPE_CHOICE:
		return read_choice(row->choices, text, field);
	default:
		break;
	}
	if (read_number(row, text, &value) < 0)
		return -1;
	if (row->type == TYPE_BYTES)
		*(int64_t *)field = value;
	else
		*(int *)field = (int)value;
	return 0;
}

static const char *range(const struct row *row, char text[120])
{
	switch (row->type) {
	case TYPE_TEXT:
		snprintf(text, 120, "a text of at least %lld bytes", (long long)row->minimum);
		break;
	case TYPE_FLAG:
		return "yes or no";
	case TYPE_CHOICE:
		snprintf(text, 120, "one of %s", row->choices);
		break;
	default:
		snprintf(text, 120, "a number from %lld to %lld%s", (long long)row->minimum,
			 (long long)row->maximum,
			 row->type == TYPE_INT ? "" : ", also with a unit");
	}
	return text;
}

/* ---- all of them ---------------------------------------------------------------------------- */

static int fail(const struct row *row, const char *value, char *error, size_t error_size)
{
	char right[120];

	snprintf(error, error_size, "%s: '%s' is not %s", row->variable,
		 row->secret ? "(not shown)" : value, range(row, right));
	return -1;
}

static int check_s3(const struct config *config, char *error, size_t error_size)
{
	if (config->storage != STORAGE_S3)
		return 0;
	if (!*config->s3_url || !*config->s3_key || !*config->s3_secret) {
		snprintf(error, error_size,
			 "RECORDS_STORAGE=s3 needs RECORDS_S3_URL, RECORDS_S3_KEY and "
			 "RECORDS_S3_SECRET");
		return -1;
	}
	if (strlen(config->s3_url) <= S3_URL_BYTES && strlen(config->s3_region) <= S3_URL_BYTES)
		return 0;
	snprintf(error, error_size, "RECORDS_S3_URL and RECORDS_S3_REGION: at most %d bytes each",
		 S3_URL_BYTES);
	return -1;
}

static int check_together(const struct config *config, char *error, size_t error_size)
{
	/* Any web site may have its name lead to this service's address for who looks at it. */
	if (config->status == STATUS_ALL && !*config->hosts) {
		snprintf(error, error_size,
			 "RECORDS_STATUS=all needs RECORDS_HOSTS: the names that browsers know "
			 "this service by, such as localhost,127.0.0.1");
		return -1;
	}
	return check_s3(config, error, error_size);
}

int config_read(struct config *config, char *error, size_t error_size)
{
	for (size_t i = 0; i < ROWS; i++) {
		const char *value = getenv(rows[i].variable);

		if (!value || !*value)
			value = rows[i].initial;
		if (set(&rows[i], config, value) < 0)
			return fail(&rows[i], value, error, error_size);
	}
	return check_together(config, error, error_size);
}

void config_help(FILE *out)
{
	for (size_t i = 0; i < ROWS; i++)
		fprintf(out, "  %-28s %s%s%s%s\n", rows[i].variable, rows[i].help,
			*rows[i].initial ? " [" : "", rows[i].initial, *rows[i].initial ? "]" : "");
}

/* ---- the pool ------------------------------------------------------------------------------- */

/* "postgresql+driver://..." is what other programs may need in DATABASE_URL; libtine drops it. */
static PQconninfoOption *parse(const char *conninfo, tine_error *error)
{
	const char *scheme = conninfo ? strstr(conninfo, "://") : NULL;
	const char *plus = scheme ? memchr(conninfo, '+', (size_t)(scheme - conninfo)) : NULL;
	PQconninfoOption *options;
	char *text = NULL, *why = NULL;

	if (plus && asprintf(&text, "%.*s%s", (int)(plus - conninfo), conninfo, scheme) < 0)
		return NULL;
	options = PQconninfoParse(text ? text : conninfo ? conninfo : "", &why);
	/* What libpq says of a text that it cannot read may hold a password. */
	if (!options) {
		error->status = TINE_E_INVALID;
		snprintf(error->text, sizeof(error->text), "DATABASE_URL is not a connection URL");
	}
	PQfreemem(why);
	free(text);
	return options;
}

static const char *option(const PQconninfoOption *options, const char *name, const char *variable)
{
	for (; options->keyword; options++)
		if (strcmp(options->keyword, name) == 0 && options->val)
			return options->val;
	return getenv(variable);
}

/* A socket in the file system, each of them: a list of hosts may begin with one and go on
 * elsewhere, and hostaddr says where to connect whatever the host is called. */
static bool is_local(const char *host, const char *address)
{
	if (!host || !*host || (address && *address))
		return false;
	for (;;) {
		if (*host != '/')
			return false;
		host = strchr(host, ',');
		if (!host)
			return true;
		host++;
	}
}

/* An sslmode in the URL that allows a connection without TLS is not taken silently. */
static int check_tls(const struct config *config, tine_pool_config *pool, tine_error *error)
{
	PQconninfoOption *options = parse(pool->conninfo, error);
	const char *mode, *host;
	bool weak;

	if (!options)
		return TINE_E_INVALID;
	mode = option(options, "sslmode", "PGSSLMODE");
	host = option(options, "host", "PGHOST");
	weak = pool->tls == TINE_TLS_DISABLE || pool->tls == TINE_TLS_PREFER;
	if (pool->tls == TINE_TLS_DEFAULT && mode)
		weak = strcmp(mode, "disable") == 0 || strcmp(mode, "allow") == 0 ||
		       strcmp(mode, "prefer") == 0;
	if (is_local(host, option(options, "hostaddr", "PGHOSTADDR")))
		weak = false;
	if (config->insecure_database && pool->tls == TINE_TLS_DEFAULT && !mode)
		pool->tls = TINE_TLS_PREFER;
	PQconninfoFree(options);
	if (!weak || config->insecure_database)
		return 0;
	error->status = TINE_E_TLS;
	snprintf(error->text, sizeof(error->text),
		 "the database's connection would not be encrypted (sslmode, PGSSLMODE or "
		 "TINE_TLS): ask for require or more, or set RECORDS_INSECURE_DATABASE=yes where "
		 "that is wanted");
	return TINE_E_TLS;
}

int config_pool(const struct config *config, tine_pool_config *pool, tine_error *error)
{
	int rc;

	tine_pool_config_init(pool);
	pool->application_name = "records";
	pool->pool_size = 16;
	pool->max_overflow = 0;
	pool->budget = 60;
	pool->acquire_timeout_ms = 5000;
	pool->connect_timeout_ms = 5000;
	pool->tcp_user_timeout_ms = 10000;
	/* What a client gave up waiting for is not to go on for ever. */
	pool->on_connect_sql = "set statement_timeout = '30s'; set lock_timeout = '10s'";
	rc = tine_pool_config_env(pool, error);
	return rc == 0 ? check_tls(config, pool, error) : rc;
}
