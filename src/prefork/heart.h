/* SPDX-License-Identifier: PostgreSQL */
/*
 * A worker's heart: memory that it shares with the master alone. The worker writes what it has
 * under way and until when that may take, the master looks at it; no system call for a unit.
 *
 * A deadline and not a time of the last beat: an idle worker has none and is left alone, a unit
 * that says it needs an hour gets it.
 *
 * Locks: none; every word is atomic, and a name that is read while it is written is a wrong name
 * and nothing worse. A worker that is killed at any instruction leaves what it wrote.
 *
 * Fork: mapped by the master for one worker, unmapped in all workers that are forked later.
 */
#ifndef TINE_PREFORK_HEART_H
#define TINE_PREFORK_HEART_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TINE_UNIT_NAME_BYTES 64
#define TINE_UNIT_NAME_WORDS (TINE_UNIT_NAME_BYTES / 8)

struct tine_watch {
	_Alignas(64) _Atomic int64_t began_ns; /* 0 = nothing is under way here */
	_Atomic int64_t deadline_ns;           /* 0 = none */
	_Atomic uint32_t serial;               /* another one for each deadline */
	_Atomic uint64_t name[TINE_UNIT_NAME_WORDS];
};

struct tine_heart {
	_Atomic int ending; /* written by the master: why it asks the worker to end */
	_Atomic uint64_t units_done;
	struct tine_watch watches[];
};

/** How large it is. Kept by who mapped it: what is in it may be anything. */
size_t tine_heart_bytes(int units);

/** @return NULL when there is no memory */
struct tine_heart *tine_heart_new(int units);
void tine_heart_free(struct tine_heart *heart, int units);

/** Note what begins; cut after 63 bytes. @param deadline_ns 0 = none */
void tine_watch_begin(struct tine_watch *watch, const char *name, int64_t now_ns,
		      int64_t deadline_ns);

/** Another deadline for what is under way. */
void tine_watch_extend(struct tine_watch *watch, int64_t deadline_ns);

void tine_watch_end(struct tine_watch *watch);

/** True when what is under way is beyond its deadline. */
bool tine_watch_is_late(const struct tine_watch *watch, int64_t now_ns);

/** Its name, always terminated. */
void tine_watch_name(const struct tine_watch *watch, char name[TINE_UNIT_NAME_BYTES]);

/** Which of them is under way for longest. @return NULL when none is */
const struct tine_watch *tine_heart_longest(const struct tine_heart *heart, int units);

/** How long it has been under way, in microseconds; 0 when it is not. */
uint64_t tine_watch_time_us(const struct tine_watch *watch, int64_t now_ns);

#endif
