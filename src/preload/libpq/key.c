/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/key.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "preload/libpq/siphash.h"

/* ---- the secret of this process ------------------------------------------------------------- */

static uint64_t secret[2];
static _Atomic int secret_state; /* 0: none, 1: being made, 2: there */

static bool have_secret(void)
{
	int none = 0;

	if (atomic_load_explicit(&secret_state, memory_order_acquire) == 2)
		return true;
	/* Who comes while it is made does without, this once. */
	if (!atomic_compare_exchange_strong(&secret_state, &none, 1))
		return false;
	if (getrandom(secret, sizeof(secret), GRND_NONBLOCK) != sizeof(secret)) {
		atomic_store(&secret_state, 0);
		return false;
	}
	atomic_store_explicit(&secret_state, 2, memory_order_release);
	return true;
}

/* ---- what it is made of --------------------------------------------------------------------- */

/* With its NUL, so that two texts are never one; no text is not the empty one. */
static void add_text(struct tine_siphash *hash, const char *text)
{
	if (text)
		tine_siphash_add(hash, text, strlen(text) + 1);
	else
		tine_siphash_add(hash, "\xff", 2);
}

bool tine_key_is_conninfo(const char *dbname)
{
	return strncmp(dbname, "postgresql://", 13) == 0 ||
	       strncmp(dbname, "postgres://", 11) == 0 || strchr(dbname, '=');
}

static bool has_name_apart(const struct tine_login *login)
{
	if (login->conninfo)
		return false;
	for (int i = 0; login->expand_dbname && login->keywords[i]; i++)
		if (login->values[i] && strcmp(login->keywords[i], "dbname") == 0 &&
		    tine_key_is_conninfo(login->values[i]))
			return false;
	return true;
}

static bool is_application(const char *keyword)
{
	return strcmp(keyword, "application_name") == 0 ||
	       strcmp(keyword, "fallback_application_name") == 0;
}

static void add_arguments(struct tine_siphash *hash, const struct tine_login *login)
{
	bool name_apart = has_name_apart(login);

	if (login->conninfo) {
		add_text(hash, login->conninfo);
		return;
	}
	for (int i = 0; login->keywords[i]; i++) {
		if (name_apart && is_application(login->keywords[i]))
			continue;
		add_text(hash, login->keywords[i]);
		add_text(hash, login->values[i]);
	}
	tine_siphash_add(hash, &login->expand_dbname, sizeof(login->expand_dbname));
}

/* libpq's own, and what decides for the libraries that it uses. */
static bool is_of_interest(const char *variable)
{
	/* Nearly all of an environment ends at the first look. */
	switch (*variable) {
	case 'P':
		return variable[1] == 'G';
	case 'H':
		return strncmp(variable, "HOME=", 5) == 0;
	case 'K':
		return strncmp(variable, "KRB5", 4) == 0;
	case 'S':
		return strncmp(variable, "SSL_CERT_", 9) == 0 ||
		       strncmp(variable, "SSLKEYLOGFILE=", 14) == 0;
	case 'O':
		return strncmp(variable, "OPENSSL_CONF=", 13) == 0;
	default:
		return false;
	}
}

static void add_environment(struct tine_siphash *hash)
{
	for (char **variable = environ; variable && *variable; variable++)
		if (is_of_interest(*variable))
			add_text(hash, *variable);
}

/* Who asks. Not its groups: they decide about nothing but the files, whose contents this user's
 * process had already. Not where: names of files may be relative, and files.h looks from where it
 * is. */
static void add_process(struct tine_siphash *hash)
{
	uid_t users[3] = { 0 };

	getresuid(&users[0], &users[1], &users[2]);
	tine_siphash_add(hash, users, sizeof(users));
}

bool tine_key_make(struct tine_key *ret, const struct tine_login *login)
{
	struct tine_siphash hash;

	if (!have_secret())
		return false;
	tine_siphash_begin(&hash, secret);
	tine_siphash_add(&hash, &login->copy, sizeof(login->copy));
	add_arguments(&hash, login);
	add_text(&hash, NULL);
	add_environment(&hash);
	add_process(&hash);
	tine_siphash_end(&hash, ret->words);
	return true;
}

const char *tine_key_given(const struct tine_login *login, const char *keyword)
{
	const char *given = NULL;

	for (int i = 0; login->keywords && login->keywords[i]; i++)
		if (login->values[i] && *login->values[i] &&
		    strcmp(login->keywords[i], keyword) == 0)
			given = login->values[i];
	return given;
}

const char *tine_key_application(const struct tine_login *login)
{
	const char *name;

	if (!has_name_apart(login))
		return NULL;
	name = tine_key_given(login, "application_name");
	if (!name)
		name = getenv("PGAPPNAME");
	if (!name)
		name = tine_key_given(login, "fallback_application_name");
	return name ? name : "";
}

bool tine_key_has_service(const struct tine_login *login)
{
	const char *variable = getenv("PGSERVICE");

	if (variable && *variable)
		return true;
	if (login->conninfo)
		return strstr(login->conninfo, "service");
	for (int i = 0; login->keywords[i]; i++)
		if (strcmp(login->keywords[i], "service") == 0 ||
		    (login->values[i] && strcmp(login->keywords[i], "dbname") == 0 &&
		     strstr(login->values[i], "service")))
			return true;
	return false;
}
