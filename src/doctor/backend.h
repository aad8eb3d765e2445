/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the server knows of the connections in a scene.
 *
 * Locks: none. Fork: a session is open during the calls only.
 */
#ifndef TINE_DOCTOR_BACKEND_H
#define TINE_DOCTOR_BACKEND_H

#include "doctor/scene.h"

/* What a server has to give. */
struct tine_capacity {
	int connections; /* max_connections less what is reserved; 0: not known */
	int used;
};

/** Add the ports of a connection string to a set. @return 0, or -EINVAL with the reason said */
int tine_backend_ports(const char *conninfo, struct tine_ports *ports);

/** Ask the server for its side of the connections, and judge those again. When it cannot be asked
 *  that is said on standard error.
 *  @param ret_matched  how many connections the server knows
 *  @return 0 or -EIO */
int tine_backend_ask(struct tine_scene *scene, const char *conninfo, size_t *ret_matched,
		     struct tine_capacity *ret_capacity);

#endif
