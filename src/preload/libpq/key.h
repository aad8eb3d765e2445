/* SPDX-License-Identifier: PostgreSQL */
/*
 * The key of a login: two connects with the same key would log in as the same, at the same place,
 * in the same way. Made of all that libpq goes by: the arguments, the environment and who the
 * process is. What is kept of it is a hash under a key of this process, so no password can be read
 * from it.
 *
 * It is strict: arguments that say the same in other words make another key. Only the name of the
 * application may differ, as long as it stands in an argument of its own. What the files say that
 * libpq reads (passwords, services, certificates) is told apart by their identity, in files.h.
 *
 * Locks: none. Threads: the environment is read as libpq reads it, so whoever changes it while
 * another thread connects is lost with or without tine. Fork: a child keeps the parent's key of
 * hashes; it knows nothing that the parent does not.
 */
#ifndef TINE_PRELOAD_LIBPQ_KEY_H
#define TINE_PRELOAD_LIBPQ_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tine_key {
	uint64_t words[2];
};

/* What a program gave to one of libpq's connect functions; borrowed. */
struct tine_login {
	int copy;                    /* which libpq */
	const char *conninfo;        /* PQconnectdb, PQconnectStart; or NULL and these: */
	const char *const *keywords; /* ends with NULL; of PQsetdbLogin what they mean */
	const char *const *values;
	int expand_dbname;
	bool has_name_apart; /* the application's: set by tine_key_make() */
};

/** @return false when there is no chance for a good key: then nothing is to be shared */
bool tine_key_make(struct tine_key *ret, struct tine_login *login);

static inline bool tine_key_is(const struct tine_key *a, const struct tine_key *b)
{
	return a->words[0] == b->words[0] && a->words[1] == b->words[1];
}

/** The application's name that this login asks for, where the key does not cover it. After
 *  tine_key_make().
 *  @return borrowed, "" for none; NULL: the key covers it */
const char *tine_key_application(const struct tine_login *login);

/** What a login by keywords says of one, the last of several. @return borrowed, or NULL */
const char *tine_key_given(const struct tine_login *login, const char *keyword);

/** May a service file have a say in it? */
bool tine_key_has_service(const struct tine_login *login);

/** Would libpq take this dbname for a connection string? */
bool tine_key_is_conninfo(const char *dbname);

#endif
