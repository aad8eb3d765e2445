/* SPDX-License-Identifier: PostgreSQL */
/*
 * The files that decided about a login: of passwords, services, certificates, keys, revocations and
 * Kerberos tickets. When one of them is another, or was changed, a connection that was made by them
 * is not given to anybody who would be read the new ones.
 *
 * Pure but for stat(); the list's memory is malloc()'s. Locks, fork: none.
 */
#ifndef TINE_PRELOAD_LIBPQ_FILES_H
#define TINE_PRELOAD_LIBPQ_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include <libpq-fe.h>

/* Lists of paths: one after the other, each with its NUL, and one more NUL. */
struct tine_files {
	char *paths;         /* of those that are there; NULL: none is in either list */
	const char *missing; /* of those that are not, behind them */
	uint64_t identity;   /* of those that are there */
	int64_t looked_ns;   /* for the missing ones, last */
};

/** Note the files of a connection that has just been made: those that libpq looked at, or for, and
 *  no others, since each one costs a system call at each checkout.
 *  @param options  what PQconninfo() says of it; borrowed
 *  @param has_service  a service file may have had a say in it
 *  @param has_ticket  a Kerberos ticket may have: then its cache is one of the files
 *  @return false without memory, and where the cache is no file */
bool tine_files_note(struct tine_files *ret, const PQconninfoOption *options, bool has_service,
		     bool has_ticket);

/** The value of an option. @return borrowed; NULL: none, or empty */
const char *tine_files_option(const PQconninfoOption *options, const char *keyword);

/** Are they all what they were? Those that were missing are looked for once a tick, which is less
 *  than a login takes from where it looks for them to where the program has it.
 *  @param tick_ns  of the coarse monotonic clock */
bool tine_files_are_same(struct tine_files *files, int64_t tick_ns);

void tine_files_free(struct tine_files *files);

#endif
