/* SPDX-License-Identifier: PostgreSQL */
/*
 * From what the program, the service file and the environment say to the parameters of an attempt.
 *
 * libpq tells what it would use only of a connection that it began to make. So one is begun with a
 * value that libpq refuses after it has read everything and before it looks up a name or makes a
 * socket: a target_session_attrs that does not exist. What that replaces is asked for with another
 * such value elsewhere.
 *
 * Locks: none. Fork: plain data.
 */
#include "pool/conninfo.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "board/claim.h"
#include "pool/address.h"
#include "pool/conninfo_text.h"
#include "pool/error.h"

/* Left free for what an attempt adds. */
#define ROOM 8

/* A value that no parameter has; libpq's error repeats it. */
#define IMPOSSIBLE "(libtine asks)"

/* Decided by the attempt or by the pool. */
static const char *const own_keywords[] = {
	"host", "hostaddr", "port", "target_session_attrs", "load_balance_hosts", "connect_timeout"
};

/* What is known while a conninfo is made. */
struct origin {
	const struct tine_pq *pq;
	const tine_pool_config *config;
	PQconninfoOption *given;     /* by conninfo */
	PQconninfoOption *effective; /* with service file, environment and libpq's defaults */
	tine_error *error;
};

static int no_memory(tine_error *error)
{
	return tine_error_set(error, TINE_E_NOMEM, "no memory for the connection's parameters");
}

/* ---- libpq's options ------------------------------------------------------------------------ */

static const PQconninfoOption *find(const PQconninfoOption *options, const char *keyword)
{
	for (; options->keyword; options++)
		if (strcmp(options->keyword, keyword) == 0)
			return options;
	return NULL;
}

/* Never NULL: for libpq, too, an empty value is none. */
static const char *value_of(const PQconninfoOption *options, const char *keyword)
{
	const PQconninfoOption *option = find(options, keyword);

	return option && option->val ? option->val : "";
}

static bool is_secret(const PQconninfoOption *option)
{
	return option->val && *option->val && option->dispchar && option->dispchar[0] == '*';
}

static void free_options(const struct tine_pq *pq, PQconninfoOption *options)
{
	if (!options)
		return;
	for (PQconninfoOption *option = options; option->keyword; option++)
		if (is_secret(option))
			explicit_bzero(option->val, strlen(option->val));
	pq->conninfo_free(options);
}

/* Has somebody asked for this value, or is it just libpq's default? In a service file the default's
 * own name cannot be told from nothing. */
static bool is_named(const struct origin *origin, const char *keyword)
{
	const PQconninfoOption *option = find(origin->effective, keyword);
	const char *variable;

	if (*value_of(origin->given, keyword))
		return true;
	if (!option || !option->val || !*option->val)
		return false;
	variable = option->envvar ? getenv(option->envvar) : NULL;
	return (variable && *variable) || !option->compiled ||
	       strcmp(option->val, option->compiled) != 0;
}

/* An error of libpq's without the secrets that conninfo or the service file hold. */
static int refuse(const struct origin *origin, const PQconninfoOption *effective,
		  const char *message)
{
	const PQconninfoOption *const lists[] = { origin->given, effective };
	char text[TINE_CONNINFO_MESSAGE_BYTES];

	snprintf(text, sizeof(text), "%s", message);
	for (int i = 0; i < 2; i++)
		for (const PQconninfoOption *option = lists[i]; option->keyword; option++)
			if (is_secret(option))
				tine_conninfo_text_hide(text, option->val);
	return tine_error_set_message(origin->error, TINE_E_INVALID, text);
}

static void give_all(const struct origin *origin, const char *but, const char **keywords,
		     const char **values)
{
	int count = 0;

	for (const PQconninfoOption *option = origin->given; option->keyword; option++) {
		if (!option->val || count >= TINE_CONNINFO_MAX - 3 ||
		    strcmp(option->keyword, but) == 0)
			continue;
		keywords[count] = option->keyword;
		values[count++] = option->val;
	}
	/* Without one libpq would go through the password file, and print what it thinks of it. */
	if (!*value_of(origin->given, "password")) {
		keywords[count] = "password";
		values[count++] = IMPOSSIBLE;
	}
	keywords[count] = but;
	values[count++] = IMPOSSIBLE;
	keywords[count] = values[count] = NULL;
}

/* What libpq would use for everything but one parameter. */
static int ask_libpq(const struct origin *origin, const char *but, PQconninfoOption **ret)
{
	const struct tine_pq *pq = origin->pq;
	const char *keywords[TINE_CONNINFO_MAX], *values[TINE_CONNINFO_MAX];
	PQconninfoOption *options;
	PGconn *pg;
	int rc = 0;

	give_all(origin, but, keywords, values);
	pg = pq->connect_start_params(keywords, values, 0);
	options = pg ? pq->conninfo(pg) : NULL;
	if (!options)
		rc = no_memory(origin->error);
	else if (pq->status(pg) == CONNECTION_BAD && !strstr(pq->error_message(pg), IMPOSSIBLE))
		rc = refuse(origin, options, pq->error_message(pg));
	if (pg)
		pq->finish(pg);
	if (rc < 0)
		free_options(pq, options);
	else
		*ret = options;
	return rc;
}

static int parse_plain(struct origin *origin, const char *text)
{
	char *message, masked[TINE_CONNINFO_MESSAGE_BYTES];
	int scheme = tine_conninfo_text_foreign(text);

	if (scheme)
		return tine_error_set(origin->error, TINE_E_INVALID,
				      "conninfo: a URL begins with postgresql:// or postgres://, "
				      "not with %.*s://",
				      scheme, text);
	origin->given = tine_conninfo_text_parse(origin->pq, text, &message);
	if (origin->given)
		return 0;
	if (!message)
		return no_memory(origin->error);
	tine_conninfo_text_mask(masked, sizeof(masked), message, text);
	origin->pq->freemem(message);
	return tine_error_set(origin->error, TINE_E_INVALID, "conninfo: %.*s",
			      (int)strcspn(masked, "\n"), masked);
}

static int parse(struct origin *origin)
{
	const char *given = origin->config->conninfo ? origin->config->conninfo : "";
	char *text = tine_conninfo_text_plain(given);
	int rc;

	if (!text)
		return no_memory(origin->error);
	rc = parse_plain(origin, text);
	explicit_bzero(text, strlen(text));
	free(text);
	return rc;
}

/* ---- the list of parameters ----------------------------------------------------------------- */

static int find_keyword(const struct tine_conninfo *info, const char *keyword)
{
	int at = 0;

	while (at < info->count && strcmp(info->keywords[at], keyword) != 0)
		at++;
	return at;
}

/* Set a parameter, in place of the value that it may have. */
static bool put(struct tine_conninfo *info, const char *keyword, const char *value)
{
	int at = find_keyword(info, keyword);
	char *copy = strdup(value);

	if (copy && at < info->count) {
		free(info->values[at]);
		info->values[at] = copy;
		return true;
	}
	if (copy && at < TINE_CONNINFO_MAX - ROOM)
		info->keywords[at] = strdup(keyword);
	if (!copy || at >= TINE_CONNINFO_MAX - ROOM || !info->keywords[at]) {
		free(copy);
		return false;
	}
	info->values[at] = copy;
	info->count++;
	return true;
}

static bool put_number(struct tine_conninfo *info, const struct origin *origin, const char *keyword,
		       int number)
{
	char text[16];

	if (number == 0 || *value_of(origin->effective, keyword))
		return true;
	snprintf(text, sizeof(text), "%d", number);
	return put(info, keyword, text);
}

static bool put_given(struct tine_conninfo *info, const struct origin *origin)
{
	const size_t own = sizeof(own_keywords) / sizeof(own_keywords[0]);

	for (const PQconninfoOption *option = origin->given; option->keyword; option++) {
		bool skip = !option->val || !*option->val;

		for (size_t i = 0; i < own && !skip; i++)
			skip = strcmp(option->keyword, own_keywords[i]) == 0;
		if (!skip && !put(info, option->keyword, option->val))
			return false;
	}
	return true;
}

static bool put_tcp(struct tine_conninfo *info, const struct origin *origin)
{
	const tine_pool_config *config = origin->config;

	return put_number(info, origin, "keepalives_idle", config->keepalives_idle_s) &&
	       put_number(info, origin, "keepalives_interval", config->keepalives_interval_s) &&
	       put_number(info, origin, "keepalives_count", config->keepalives_count) &&
	       put_number(info, origin, "tcp_user_timeout", config->tcp_user_timeout_ms);
}

static bool put_name(struct tine_conninfo *info, const struct origin *origin)
{
	const char *name = origin->config->application_name;
	char own[TINE_IDENTITY_BYTES + 1];

	if (name && *name)
		return put(info, "application_name", name);
	if (*value_of(origin->effective, "application_name") ||
	    *value_of(origin->effective, "fallback_application_name"))
		return true;
	/* Whatever the process calls itself: some set a title. */
	snprintf(own, sizeof(own), "%s", program_invocation_short_name);
	return put(info, "fallback_application_name", own);
}

static const char *sslmode(const struct origin *origin)
{
	switch ((enum tine_tls)origin->config->tls) {
	case TINE_TLS_REQUIRE:
		return "require";
	case TINE_TLS_VERIFY_CA:
		return "verify-ca";
	case TINE_TLS_VERIFY_FULL:
		return "verify-full";
	case TINE_TLS_PREFER:
		return "prefer";
	case TINE_TLS_DISABLE:
		return "disable";
	case TINE_TLS_DEFAULT:
		break;
	}
	return is_named(origin, "sslmode") ? value_of(origin->effective, "sslmode") : "require";
}

/* A GSS credential that happens to be there would otherwise replace TLS, the check of the server's
 * certificate included. */
static bool put_encryption(struct tine_conninfo *info, const struct origin *origin)
{
	return put(info, "sslmode", sslmode(origin)) &&
	       (is_named(origin, "gssencmode") || put(info, "gssencmode", "disable"));
}

/* ---- hosts ---------------------------------------------------------------------------------- */

/* As libpq reads a number: blanks around it are allowed. */
static bool read_number(const char *text, long *ret_number)
{
	char *end;

	errno = 0;
	*ret_number = strtol(text, &end, 10);
	while (isspace((unsigned char)*end))
		end++;
	return end != text && *end == '\0' && errno == 0;
}

static bool is_numeric_address(const char *text)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST }, *found;

	if (strlen(text) >= TINE_HOSTADDR_BYTES || getaddrinfo(text, NULL, &hints, &found) != 0)
		return false;
	freeaddrinfo(found);
	return true;
}

static int check_host(const struct tine_conninfo *info, const struct tine_host *host,
		      tine_error *error)
{
	long port;

	if (!read_number(host->port, &port) || port < 1 || port > 65535)
		return tine_error_set(error, TINE_E_INVALID,
				      "port: '%.80s' is not a number from 1 to 65535", host->port);
	if (*host->hostaddr && !is_numeric_address(host->hostaddr))
		return tine_error_set(error, TINE_E_INVALID,
				      "hostaddr: '%.80s' is not a numeric address", host->hostaddr);
	/* libpq would be left to fill the gap, with PGHOST for example. */
	if (info->host_count > 1 && !*host->host && !*host->hostaddr)
		return tine_error_set(error, TINE_E_INVALID,
				      "host: one of %d hosts has no name and no address",
				      info->host_count);
	return 0;
}

static int list_hosts(struct tine_conninfo *info, const struct origin *origin)
{
	const char *host = value_of(origin->effective, "host");
	const char *hostaddr = value_of(origin->effective, "hostaddr");
	const char *port = value_of(origin->effective, "port");
	const PQconninfoOption *libpq_port = find(origin->effective, "port");
	const char *usual = libpq_port && libpq_port->compiled ? libpq_port->compiled : "5432";
	int count = tine_conninfo_text_count(*hostaddr ? hostaddr : host);
	int rc = 0;

	/* libpq has checked that; what is not libpq may have other ideas. */
	if ((*host && tine_conninfo_text_count(host) != count) ||
	    (tine_conninfo_text_count(port) != 1 && tine_conninfo_text_count(port) != count))
		return tine_error_set(origin->error, TINE_E_INVALID,
				      "host, hostaddr and port: the lists differ in length");
	info->hosts = calloc((size_t)count, sizeof(info->hosts[0]));
	if (!info->hosts)
		return no_memory(origin->error);
	info->host_count = count;
	for (int i = 0; i < count && rc == 0; i++) {
		struct tine_host *entry = &info->hosts[i];

		entry->host = tine_conninfo_text_element(host, i, "");
		entry->hostaddr = tine_conninfo_text_element(hostaddr, i, "");
		entry->port = tine_conninfo_text_element(port, i, usual);
		rc = entry->host && entry->hostaddr && entry->port
			     ? check_host(info, entry, origin->error)
			     : no_memory(origin->error);
	}
	return rc;
}

/* ---- what the pool decides ------------------------------------------------------------------ */

static int read_session_attrs(struct tine_conninfo *info, const struct origin *origin,
			      const char *name)
{
	static const char *const names[] = {
		[TINE_ATTRS_ANY] = "any",
		[TINE_ATTRS_READ_WRITE] = "read-write",
		[TINE_ATTRS_READ_ONLY] = "read-only",
		[TINE_ATTRS_PRIMARY] = "primary",
		[TINE_ATTRS_STANDBY] = "standby",
		[TINE_ATTRS_PREFER_STANDBY] = "prefer-standby",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0 || (i == TINE_ATTRS_ANY && !*name)) {
			info->session_attrs = (enum tine_session_attrs)i;
			return 0;
		}
	return tine_error_set(origin->error, TINE_E_INVALID,
			      "target_session_attrs: '%.80s' is not one of any, read-write, "
			      "read-only, primary, standby, prefer-standby",
			      name);
}

static int find_session_attrs(struct tine_conninfo *info, const struct origin *origin)
{
	const char *name = value_of(origin->given, "target_session_attrs");
	PQconninfoOption *other = NULL;
	int rc;

	if (*name)
		return read_session_attrs(info, origin, name);
	rc = ask_libpq(origin, "ssl_min_protocol_version", &other);
	if (other)
		rc = read_session_attrs(info, origin, value_of(other, "target_session_attrs"));
	free_options(origin->pq, other);
	return rc;
}

static int find_timeout(struct tine_conninfo *info, const struct origin *origin)
{
	const char *text = value_of(origin->effective, "connect_timeout");
	long seconds = 0;

	if (*text && !read_number(text, &seconds))
		return tine_error_set(origin->error, TINE_E_INVALID,
				      "connect_timeout: '%.80s' is not a number of seconds", text);
	if (seconds > INT_MAX / 1000)
		seconds = INT_MAX / 1000;
	info->connect_timeout_ms = seconds > 0 ? (int)seconds * 1000 : 0;
	return 0;
}

static int find_order(struct tine_conninfo *info, const struct origin *origin)
{
	const char *name = value_of(origin->effective, "load_balance_hosts");

	info->shuffle = strcmp(name, "random") == 0;
	if (!*name || info->shuffle || strcmp(name, "disable") == 0)
		return 0;
	return tine_error_set(origin->error, TINE_E_INVALID,
			      "load_balance_hosts: '%.80s' is not one of disable, random", name);
}

/* ---- all of it ------------------------------------------------------------------------------ */

static int list_parameters(struct tine_conninfo *info, const struct origin *origin)
{
	info->keywords = calloc(TINE_CONNINFO_MAX, sizeof(info->keywords[0]));
	info->values = calloc(TINE_CONNINFO_MAX, sizeof(info->values[0]));
	if (info->keywords && info->values && put_given(info, origin) && put_tcp(info, origin) &&
	    put_name(info, origin) && put_encryption(info, origin))
		return 0;
	return no_memory(origin->error);
}

static int fill(struct tine_conninfo *info, struct origin *origin)
{
	int rc = parse(origin);

	if (!origin->given)
		return rc;
	rc = ask_libpq(origin, "target_session_attrs", &origin->effective);
	if (!origin->effective)
		return rc;
	rc = find_session_attrs(info, origin);
	if (rc == 0)
		rc = find_timeout(info, origin);
	if (rc == 0)
		rc = find_order(info, origin);
	if (rc == 0)
		rc = list_hosts(info, origin);
	return rc < 0 ? rc : list_parameters(info, origin);
}

int tine_conninfo_new(struct tine_conninfo *info, const struct tine_pq *pq,
		      const tine_pool_config *config, tine_error *error)
{
	struct origin origin = { .pq = pq, .config = config, .error = error };
	struct tine_conninfo made = { 0 };
	int rc = fill(&made, &origin);

	free_options(pq, origin.given);
	free_options(pq, origin.effective);
	if (rc < 0)
		tine_conninfo_done(&made);
	else
		*info = made;
	return rc;
}

void tine_conninfo_done(struct tine_conninfo *info)
{
	for (int i = 0; i < info->count; i++) {
		explicit_bzero(info->values[i], strlen(info->values[i]));
		free(info->values[i]);
		free(info->keywords[i]);
	}
	for (int i = 0; i < info->host_count; i++) {
		free(info->hosts[i].host);
		free(info->hosts[i].hostaddr);
		free(info->hosts[i].port);
	}
	free(info->keywords);
	free(info->values);
	free(info->hosts);
	*info = (struct tine_conninfo){ 0 };
}

static int append(const char **keywords, const char **values, int count, const char *keyword,
		  const char *value)
{
	keywords[count] = keyword;
	values[count] = value;
	return *value ? count + 1 : count;
}

int tine_conninfo_params(const struct tine_conninfo *info, const struct tine_address *address,
			 const char **ret_keywords, const char **ret_values)
{
	int count = 0;

	for (; count < info->count; count++) {
		ret_keywords[count] = info->keywords[count];
		ret_values[count] = info->values[count];
	}
	count = append(ret_keywords, ret_values, count, "host", address->host);
	count = append(ret_keywords, ret_values, count, "hostaddr", address->hostaddr);
	count = append(ret_keywords, ret_values, count, "port", address->port);
	ret_keywords[count] = ret_values[count] = NULL;
	return count;
}
