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

/* All of it, one behind the other. What does not fit is replaced by its hash. */
struct material {
	size_t length;
	uint8_t bytes[512];
};

static void fold(struct material *material)
{
	uint64_t hash[2];

	tine_siphash(hash, secret, material->bytes, material->length);
	memcpy(material->bytes, hash, sizeof(hash));
	material->length = sizeof(hash);
}

static void add(struct material *material, const void *bytes, size_t length)
{
	size_t room = sizeof(material->bytes) - material->length;

	for (; length > room; room = sizeof(material->bytes) - material->length) {
		memcpy(material->bytes + material->length, bytes, room);
		material->length += room;
		bytes = (const uint8_t *)bytes + room;
		length -= room;
		fold(material);
	}
	memcpy(material->bytes + material->length, bytes, length);
	material->length += length;
}

/* With its NUL, so that two texts are never one; no text is not the empty one. */
static void add_text(struct material *material, const char *text)
{
	if (text)
		add(material, text, strlen(text) + 1);
	else
		add(material, "\xff", 2);
}

bool tine_key_is_conninfo(const char *dbname)
{
	if (*dbname == 'p' && (strncmp(dbname, "postgresql://", 13) == 0 ||
			       strncmp(dbname, "postgres://", 11) == 0))
		return true;
	return strchr(dbname, '=');
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

static void add_arguments(struct material *material, const struct tine_login *login)
{
	if (login->conninfo) {
		add_text(material, login->conninfo);
		return;
	}
	for (int i = 0; login->keywords[i]; i++) {
		if (login->has_name_apart && is_application(login->keywords[i]))
			continue;
		add_text(material, login->keywords[i]);
		add_text(material, login->values[i]);
	}
	add(material, &login->expand_dbname, sizeof(login->expand_dbname));
}

/* libpq's own, and what decides for the libraries that it uses. */
static bool is_of_interest(const char *variable)
{
	/* Their first two letters; nearly all of an environment ends there. */
	static const char second[256] = {
		['P'] = 'G', ['H'] = 'O', ['K'] = 'R', ['S'] = 'S', ['O'] = 'P',
	};
	char wanted = second[(unsigned char)*variable];

	if (!wanted || variable[1] != wanted)
		return false;
	return wanted == 'G' || strncmp(variable, "HOME=", 5) == 0 ||
	       strncmp(variable, "KRB5", 4) == 0 || strncmp(variable, "SSL_CERT_", 9) == 0 ||
	       strncmp(variable, "SSLKEYLOGFILE=", 14) == 0 ||
	       strncmp(variable, "OPENSSL_CONF=", 13) == 0;
}

static void add_environment(struct material *material)
{
	for (char **variable = environ; variable && *variable; variable++)
		if (is_of_interest(*variable))
			add_text(material, *variable);
}

/* Who asks. Not its groups: they decide about nothing but the files, whose contents this user's
 * process had already. Not where: names of files may be relative, and files.h looks from where it
 * is. */
static void add_process(struct material *material)
{
	uid_t users[3] = { 0 };

	getresuid(&users[0], &users[1], &users[2]);
	add(material, users, sizeof(users));
}

bool tine_key_make(struct tine_key *ret, struct tine_login *login)
{
	struct material material;

	if (!have_secret())
		return false;
	login->has_name_apart = has_name_apart(login);
	material.length = 0;
	add(&material, &login->copy, sizeof(login->copy));
	add_arguments(&material, login);
	add_text(&material, NULL);
	add_environment(&material);
	add_process(&material);
	tine_siphash(ret->words, secret, material.bytes, material.length);
	/* There is a password in it. */
	explicit_bzero(&material, sizeof(material));
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

	if (!login->has_name_apart)
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
