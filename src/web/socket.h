/* SPDX-License-Identifier: PostgreSQL */
/* The socket that tine-web listens on. Locks: none. Fork: not forked with it (close-on-exec). */
#ifndef TINE_WEB_SOCKET_H
#define TINE_WEB_SOCKET_H

#include <sys/stat.h>

#include "web/address.h"

struct tine_socket {
	int fd;
	char path[108]; /* of a unix socket, else "" */
	dev_t device;   /* of its file */
	ino_t inode;
};

/** Listen. The file of a unix socket gets mode 0600; one that is in the way is replaced when it is
 * a socket on which nobody listens.
 *  @return 0, or -errno with what is wrong in error */
int tine_socket_open(const struct tine_address *address, struct tine_socket *ret, char *error,
		     size_t error_size);

/** Where it is, with the port that the system chose. @return text */
const char *tine_socket_name(const struct tine_socket *listener, char *text, size_t size);

/** Remove its file, unless it is another's by now. */
void tine_socket_remove(const struct tine_socket *listener);

#endif
