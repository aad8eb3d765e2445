/* SPDX-License-Identifier: PostgreSQL */
/*
 * What to listen on, as text: the addresses of a setting, and the variables by which a service
 * manager hands over sockets (sd_listen_fds(3)). Hostile input; nothing is opened or allocated.
 *
 * Locks: none. Fork: nothing to do.
 */
#ifndef TINE_PREFORK_LISTEN_TEXT_H
#define TINE_PREFORK_LISTEN_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TINE_LISTEN_MAX 32
#define TINE_LISTEN_NAME_BYTES 128
#define TINE_LISTEN_FIRST_FD 3

struct tine_listen_address {
	bool is_unix;
	char host[TINE_LISTEN_NAME_BYTES]; /* "" = every address; the path of a unix socket */
	char port[8];
};

/** Read a whole decimal number from 0 to most, and nothing else. @return 0 or -EINVAL */
int tine_listen_number(const char *text, int64_t most, int64_t *ret_number);

/** Take the first address off a list with commas between.
 *  @param list moved behind it
 *  @param ret_address filled on success
 *  @return 1: an address; 0: the list is at its end; -EINVAL with error filled */
int tine_listen_next(const char **list, struct tine_listen_address *ret_address, char *error,
		     size_t error_size);

/** How many descriptors were handed over to a process, from number 3 on.
 *  @param pid, fds  LISTEN_PID and LISTEN_FDS; NULL when not set
 *  @return 0 to TINE_LISTEN_MAX; 0 also when they are for another process; -EINVAL, error filled */
int tine_listen_handed_over(const char *pid, const char *fds, int64_t own_pid, char *error,
			    size_t error_size);

/** The name at an index of LISTEN_FDNAMES: up to 127 printable characters without ':'. "" when it
 *  has none, or a wrong one. @param names NULL when not set */
void tine_listen_name(const char *names, int index, char name[TINE_LISTEN_NAME_BYTES]);

#endif
