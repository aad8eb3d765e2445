/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the pool knows of a connection: who logged in, how it looked when it was new, and whether it
 * may be given to another one. A part of struct tine_record, and owned as that is.
 */
#ifndef TINE_PRELOAD_LIBPQ_STAY_H
#define TINE_PRELOAD_LIBPQ_STAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "preload/libpq/files.h"
#include "preload/libpq/key.h"

struct tine_record;

#define TINE_STAY_NAME 128 /* application_name; the server cuts at 63 bytes */

enum tine_stay_place {
	TINE_STAY_OUT,    /* the program has it */
	TINE_STAY_PARKED, /* nobody has it */
	TINE_STAY_COMING, /* the program has it, and goes on with PQconnectPoll(): an answer is due
			   */
	TINE_STAY_QUEUED, /* the same, but it waits for the budget, and libpq has not begun */
};

struct tine_stay {
	enum tine_stay_place place;
	bool is_poolable; /* the key is good, and nothing of what follows speaks against it */
	bool is_reset;    /* DISCARD ALL, or what follows it, is on its way, its answer not read */
	bool is_past;     /* ... past libpq */
	uint64_t told;    /* what the server said of the session when it was new: a hash */
	struct tine_key key;
	struct tine_files files;
	int64_t expires_ns, parked_ns;
	bool has_cancels;
	PQnoticeReceiver receiver; /* as it is set now, and its argument */
	void *receiver_argument;
	PQnoticeReceiver own_receiver; /* libpq's, whose argument is NULL */
	PQnoticeProcessor own_processor;
	bool has_service, has_name_apart;
	char name[TINE_STAY_NAME];       /* the application's, as the session has it */
	char first_name[TINE_STAY_NAME]; /* ... and had it when it was new */
	char *coming_name;               /* to be set before it is handed out; allocated */
	/* What the login said that it was handed to: application_name and the fallback, each NULL
	 * or allocated. */
	bool is_handed_on;
	char *asked_name, *asked_fallback;
	struct tine_record *next, *previous;
};

/* How many connections are COMING or QUEUED, or more: while there are none, libpq itself says what
 * the state of a connection is, and no record is looked up for it. A child may have inherited some.
 */
extern _Atomic unsigned tine_stay_apart;

void tine_stay_move(struct tine_stay *stay, enum tine_stay_place place);

static inline bool tine_stay_any_apart(void)
{
	return __builtin_expect(
		atomic_load_explicit(&tine_stay_apart, memory_order_relaxed) != 0, 0);
}

#endif
