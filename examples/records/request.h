/* SPDX-License-Identifier: PostgreSQL */
/*
 * A request and its reply, apart from any HTTP library: http.c fills the first and sends the
 * second, handlers know nothing of it.
 *
 * Locks: none; a request belongs to one thread at a time, first the loop's, then a handler's, then
 * the loop's again. Fork: never across one.
 */
#ifndef RECORDS_REQUEST_H
#define RECORDS_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "arena.h"
#include "cookie.h"
#include "db.h"
#include "form.h"

struct service;
struct route;

enum method { METHOD_GET, METHOD_POST, METHOD_OTHER };
enum role { ROLE_NOBODY, ROLE_READER, ROLE_EDITOR, ROLE_ADMIN, ROLE_COUNT };

/* Who asks. Filled by session_load(). */
struct visitor {
	bool has_session; /* a cookie that we signed and that is not over */
	struct token session;
	bool has_visit;
	struct token visit;
	bool clear_session; /* the cookie is of no use any more */
	bool new_session;   /* the reply is to bring its cookie */
	bool new_visit;     /* the same */
	enum role role;
	int64_t user_id;
	const char *name; /* "" for nobody */
};

struct request {
	struct service *service;
	const struct route *route; /* NULL when there is none */
	struct arena arena;
	enum method method;
	const char *path; /* decoded */
	const char *part; /* what stands for the '*' of the route's path, or "" */
	const char *cookies;
	const char *content_type;
	const char *authorization;
	const char *if_none_match;
	const char *host;    /* NULL: none, or more than one */
	const char *address; /* of the client, as text */
	struct fields query;
	struct form form;
	struct visitor visitor;
	struct db db;
	bool database_away; /* found so by this request, which then asks no more */
};

#define REPLY_HEADERS 12

struct reply {
	int status;
	int headers;
	struct {
		const char *name, *value; /* constant, or the arena's */
	} header[REPLY_HEADERS];
	struct buffer body; /* the reply's, or */
	const char *data;   /* constant data, or */
	size_t data_bytes;
	int fd; /* a file, the reply's; -1 */
	int64_t fd_bytes;
};

typedef void (*handler_fn)(struct request *request, struct reply *reply);

/** A field of the form or of the query, "" when it is not there. */
const char *request_field(const struct request *request, const char *name);
const char *request_query(const struct request *request, const char *name);

const char *role_name(enum role role);
/** @return ROLE_NOBODY for what is none */
enum role role_find(const char *name);

void reply_init(struct reply *reply);

/** The end of a reply. Its body's memory stays, for the next one or for free(). */
void reply_clear(struct reply *reply);

/** Add a header. A value with control bytes is left out: it would end the header. */
void reply_header(struct reply *reply, const char *name, const char *value);

/** A few bytes of plain text. @param text constant */
void reply_text(struct reply *reply, int status, const char *text);

/** @param json is given away */
void reply_json(struct reply *reply, int status, json_t *json);

/** 303. @param place a path of this service, from text_next() or constant */
void reply_see(struct reply *reply, const char *place);

#endif
