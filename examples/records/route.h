/* SPDX-License-Identifier: PostgreSQL */
/*
 * Which handler answers what, for whom, and what is done before it: the form's word, the user, the
 * role. One table.
 *
 * Locks: none. Fork: constant.
 */
#ifndef RECORDS_ROUTE_H
#define RECORDS_ROUTE_H

#include "request.h"

enum route_flags {
	ROUTE_QUICK = 1 << 0,   /* answered in the loop: no database, no session, no wait */
	ROUTE_SESSION = 1 << 1, /* the user is loaded, if there is one */
	ROUTE_UPLOAD = 1 << 2,  /* the body may hold a file */
	ROUTE_RAW = 1 << 3,     /* the body is no form, and brings its own proof of who sends it */
};

struct route {
	enum method method;
	const char *label; /* method and path */
	const char *path;  /* one '*' stands for a part without '/' */
	enum role role;    /* the least that is needed */
	unsigned flags;    /* enum route_flags */
	handler_fn handler;
};

/** Find the route of a request and set its part.
 *  @param ret_other_method set when the path is known with another method
 *  @return NULL when there is none */
const struct route *route_find(struct request *request, bool *ret_other_method);

/** Is it a path that only scanners ask for? After route_find(). */
bool route_is_scanners(const struct request *request);

/** Say to who may not that he may not, or to nobody where to sign in, or that it is not known. */
void route_refuse(struct request *request, struct reply *reply);

/** Answer a request whose body is complete. */
void route_answer(struct request *request, struct reply *reply);

#endif
