/* SPDX-License-Identifier: PostgreSQL */
/*
 * From a connection string to what libpq makes of it. libpq tells what it would use only of a
 * connection that it began to make, so one is begun with a value that it refuses after it has read
 * everything and before it looks up a name or makes a socket.
 *
 * Locks: none. Fork: plain data.
 */
#include "doctor/dsn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool/conninfo_text.h"
#include "pool/error.h"

#define PARAMETERS_MAX 128
#define IMPOSSIBLE "(tine asks)" /* libpq's error repeats it */

static const struct tine_pq *const pq = &tine_pq_linked;

static int no_memory(tine_error *error)
{
	return tine_error_set(error, TINE_E_NOMEM, "no memory for the connection's parameters");
}

/* ---- parameters ----------------------------------------------------------------------------- */

static const char *value_of(const PQconninfoOption *options, const char *keyword)
{
	for (; options->keyword; options++)
		if (strcmp(options->keyword, keyword) == 0 && options->val)
			return options->val;
	return "";
}

static bool is_secret(const PQconninfoOption *option)
{
	return option->val && *option->val && option->dispchar && option->dispchar[0] == '*';
}

static void free_options(PQconninfoOption *options)
{
	if (!options)
		return;
	for (PQconninfoOption *option = options; option->keyword; option++)
		if (is_secret(option))
			explicit_bzero(option->val, strlen(option->val));
	pq->conninfo_free(options);
}

const char *tine_dsn_value(const struct tine_dsn *dsn, const char *keyword)
{
	return value_of(dsn->effective, keyword);
}

void tine_dsn_hide_one(const struct tine_dsn *dsn, char *text, const char *secret)
{
	if (secret && *secret && strcmp(secret, tine_dsn_value(dsn, "user")) != 0 &&
	    strcmp(secret, tine_dsn_value(dsn, "dbname")) != 0)
		tine_conninfo_text_hide(text, secret);
}

void tine_dsn_hide(const struct tine_dsn *dsn, char *text)
{
	for (const PQconninfoOption *option = dsn->effective; option->keyword; option++)
		if (is_secret(option))
			tine_dsn_hide_one(dsn, text, option->val);
}

/* ---- the string ----------------------------------------------------------------------------- */

static int parse_plain(struct tine_dsn *dsn, const char *text, tine_error *error)
{
	char *message, masked[TINE_CONNINFO_MESSAGE_BYTES];
	int scheme = tine_conninfo_text_foreign(text);

	if (scheme)
		return tine_error_set(error, TINE_E_INVALID,
				      "a URL begins with postgresql:// or postgres://, not with "
				      "%.*s://",
				      scheme, text);
	dsn->given = tine_conninfo_text_parse(pq, text, &message);
	if (dsn->given)
		return 0;
	if (!message)
		return no_memory(error);
	tine_conninfo_text_mask(masked, sizeof(masked), message, text);
	pq->freemem(message);
	return tine_error_set(error, TINE_E_INVALID, "connection string: %.*s",
			      (int)strcspn(masked, "\n"), masked);
}

/* A plain URL, or whatever else it is. @return for free(); NULL without memory */
static char *plain_text(const char *conninfo)
{
	char *plain = tine_conninfo_text_plain(conninfo), *translated = NULL;
	PQconninfoOption *known;

	if (!plain || !tine_dsn_has_driver(conninfo))
		return plain;
	known = PQconndefaults();
	/* A parameter that is said often gets longer each time. */
	if (known)
		translated = malloc(3 * strlen(plain) + 1);
	if (translated)
		tine_dsn_url_translate(plain, known, translated);
	free_options(known);
	explicit_bzero(plain, strlen(plain));
	free(plain);
	return translated;
}

static int parse(struct tine_dsn *dsn, const char *conninfo, tine_error *error)
{
	char *plain = plain_text(conninfo);
	int rc = plain ? parse_plain(dsn, plain, error) : no_memory(error);

	if (plain) {
		explicit_bzero(plain, strlen(plain));
		free(plain);
	}
	return rc;
}

/* libpq is kept from the password file, since it would print what it thinks of it. */
static void give(const struct tine_dsn *dsn, const char **keywords, const char **values)
{
	int count = 0;

	for (const PQconninfoOption *option = dsn->given; option->keyword; option++) {
		if (!option->val || count >= PARAMETERS_MAX - 3 ||
		    strcmp(option->keyword, "ssl_min_protocol_version") == 0 ||
		    strcmp(option->keyword, "passfile") == 0)
			continue;
		keywords[count] = option->keyword;
		values[count++] = option->val;
	}
	keywords[count] = "passfile";
	values[count++] = "/dev/null/none";
	keywords[count] = "ssl_min_protocol_version";
	values[count++] = IMPOSSIBLE;
	keywords[count] = values[count] = NULL;
}

static int refuse(const struct tine_dsn *dsn, const PGconn *pg, tine_error *error)
{
	char text[TINE_CONNINFO_MESSAGE_BYTES];

	snprintf(text, sizeof(text), "%s", pq->error_message(pg));
	tine_dsn_hide(dsn, text);
	return tine_error_set_message(error, TINE_E_INVALID, text);
}

/* ---- hosts ---------------------------------------------------------------------------------- */

static int check_port(const char *port, tine_error *error)
{
	char *end;
	long number = strtol(port, &end, 10);

	if (*end || number < 1 || number > 65535)
		return tine_error_set(error, TINE_E_INVALID,
				      "port: '%.80s' is not a number from 1 to 65535", port);
	return 0;
}

/* fallback is what libpq puts in the place of a host that is not named. */
static int list_hosts(struct tine_dsn *dsn, const char *fallback, tine_error *error)
{
	const char *host = tine_dsn_value(dsn, "host");
	const char *hostaddr = tine_dsn_value(dsn, "hostaddr");
	const char *port = tine_dsn_value(dsn, "port");
	int count = tine_conninfo_text_count(*hostaddr ? hostaddr : host);
	int rc = 0;

	dsn->hosts = calloc((size_t)count, sizeof(dsn->hosts[0]));
	if (!dsn->hosts)
		return no_memory(error);
	dsn->host_count = count;
	for (int i = 0; i < count && rc == 0; i++) {
		struct tine_dsn_host *entry = &dsn->hosts[i];

		entry->hostaddr = tine_conninfo_text_element(hostaddr, i, "");
		entry->host = tine_conninfo_text_element(
			host, i, entry->hostaddr && *entry->hostaddr ? entry->hostaddr : fallback);
		entry->port = tine_conninfo_text_element(port, i, "5432");
		if (!entry->host || !entry->hostaddr || !entry->port)
			return no_memory(error);
		entry->is_socket =
			!*entry->hostaddr && (*entry->host == '/' || *entry->host == '@');
		rc = check_port(entry->port, error);
	}
	return rc;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static int ask_libpq(struct tine_dsn *dsn, tine_error *error)
{
	const char *keywords[PARAMETERS_MAX], *values[PARAMETERS_MAX];
	PGconn *pg;
	int rc;

	give(dsn, keywords, values);
	pg = pq->connect_start_params(keywords, values, 0);
	dsn->effective = pg ? pq->conninfo(pg) : NULL;
	if (!dsn->effective)
		rc = no_memory(error);
	else if (!strstr(pq->error_message(pg), IMPOSSIBLE))
		rc = refuse(dsn, pg, error);
	else
		rc = list_hosts(dsn, PQhost(pg), error);
	if (pg)
		pq->finish(pg);
	return rc;
}

int tine_dsn_read(struct tine_dsn *dsn, const char *conninfo, tine_error *error)
{
	int rc;

	*dsn = (struct tine_dsn){ 0 };
	rc = parse(dsn, conninfo, error);
	if (rc == 0)
		rc = ask_libpq(dsn, error);
	if (rc < 0)
		tine_dsn_done(dsn);
	return rc;
}

void tine_dsn_done(struct tine_dsn *dsn)
{
	for (int i = 0; i < dsn->host_count; i++) {
		free(dsn->hosts[i].host);
		free(dsn->hosts[i].hostaddr);
		free(dsn->hosts[i].port);
	}
	free(dsn->hosts);
	free_options(dsn->given);
	free_options(dsn->effective);
	*dsn = (struct tine_dsn){ 0 };
}
