/* SPDX-License-Identifier: PostgreSQL */
/*
 * The sockets that are listened on: handed over by a service manager, or opened here. All are
 * non-blocking and close-on-exec.
 *
 * Locks: none. Fork: made in the master before it forks; workers use the inherited descriptors, or
 * close them. Only the master removes the file of a unix socket.
 */
#ifndef TINE_PREFORK_LISTEN_H
#define TINE_PREFORK_LISTEN_H

#include "prefork/listen_text.h"
#include "tine/tine.h"

struct tine_listener {
	int fd;
	bool made; /* here, and so its file is ours */
	char name[TINE_LISTEN_NAME_BYTES];
	char path[TINE_LISTEN_NAME_BYTES]; /* of a unix socket in the file system, else "" */
};

struct tine_listeners {
	int count;
	struct tine_listener items[TINE_LISTEN_MAX];
};

/** Take what was handed over, or else open what a list of addresses says.
 *  @param list may be NULL
 *  @return 0; TINE_E_INVALID, TINE_E_SYSTEM: nothing is open then */
int tine_listeners_open(struct tine_listeners *listeners, const char *list, int backlog,
			tine_error *error);

/** Close all. @param with_files in the master: remove the files of unix sockets that it made */
void tine_listeners_close(struct tine_listeners *listeners, bool with_files);

#endif
