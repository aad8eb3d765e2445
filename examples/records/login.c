/* SPDX-License-Identifier: PostgreSQL */
/*
 * Passwords. A name that does not exist takes as long as one that does; failures are counted by
 * address, and more patiently by name.
 */
#include <errno.h>
#include <semaphore.h>
#include <string.h>
#include <time.h>

#include "handlers.h"
#include "page.h"
#include "password.h"
#include "service.h"
#include "session.h"
#include "text.h"

static void show_form(struct request *request, struct reply *reply, int status, const char *problem)
{
	struct view *values = view_new(&request->arena);
	const char *next = request_field(request, "next");

	if (!*next)
		next = request_query(request, "next");
	view_flag(values, "has_form", true);
	view_text(values, "problem", problem);
	view_text(values, "next", text_next(next));
	view_text(values, "name", request_field(request, "name"));
	page_reply(request, reply, status, "login", values);
}

void login_get(struct request *request, struct reply *reply)
{
	show_form(request, reply, 200, "");
}

/* ---- how often ------------------------------------------------------------------------------ */

/* An attempt counts before its password is looked at, so that many at once are no way around the
 * limit, and is taken back when it was right or nobody could know. */
struct attempt {
	const char *name;
	int64_t now_s;
};

/* That many addresses have to fail with a name before its owner cannot get in: who keeps it from
 * him needs more than one. */
#define ADDRESSES_OF_NAME 20

/* @return false when there were too many */
static bool begin_attempt(const struct request *request, struct attempt *attempt, const char *name)
{
	const struct limits *limits = &request->service->limits;
	int limit = request->service->config->login_limit;

	*attempt = (struct attempt){ .name = name, .now_s = time(NULL) };
	return limits_count(limits, LIMIT_LOGIN_ADDRESS, request->address, attempt->now_s) <=
		       limit &&
	       limits_count(limits, LIMIT_LOGIN_NAME, name, attempt->now_s) <=
		       ADDRESSES_OF_NAME * limit;
}

static void take_back(const struct request *request, const struct attempt *attempt)
{
	const struct limits *limits = &request->service->limits;

	limits_take_back(limits, LIMIT_LOGIN_ADDRESS, request->address, attempt->now_s);
	limits_take_back(limits, LIMIT_LOGIN_NAME, attempt->name, attempt->now_s);
}

/* ---- passwords ------------------------------------------------------------------------------ */

/* Half of the handlers may be here at a time, so that others answer what needs no hash.
 * @return false when that is so already, or it takes too long until a hash may be made */
static bool begin_hash(struct request *request)
{
	struct service *service = request->service;
	int64_t until_ns = request->db.deadline_ns;
	struct timespec until = { .tv_sec = until_ns / 1000000000,
				  .tv_nsec = until_ns % 1000000000 };
	int most = service->handlers / 2 > 0 ? service->handlers / 2 : 1, rc = -1;

	if (atomic_fetch_add(&service->logins, 1) < most)
		do
			rc = sem_clockwait(&service->hashing, CLOCK_MONOTONIC, &until);
		while (rc < 0 && errno == EINTR);
	if (rc < 0)
		atomic_fetch_sub(&service->logins, 1);
	return rc == 0;
}

static void end_hash(struct service *service)
{
	sem_post(&service->hashing);
	atomic_fetch_sub(&service->logins, 1);
}

/* @return the user's number; 0 when there is none, or the password is another; -1 when there is no
 * room for a hash */
static int64_t check(struct request *request, const PGresult *row)
{
	bool known = PQntuples(row) == 1;
	const char *hash = known ? PQgetvalue(row, 0, 1) : password_of_nobody();
	int64_t began_ns = clock_ns();
	bool right;

	if (!begin_hash(request))
		return -1;
	right = password_is(hash, request_field(request, "password"));
	end_hash(request->service);
	/* The patience is for the database; on a busy machine a hash may take all of it. */
	request->db.deadline_ns += clock_ns() - began_ns;
	return known && right ? strtoll(PQgetvalue(row, 0, 0), NULL, 10) : 0;
}

static void let_in(struct request *request, struct reply *reply, int64_t user_id)
{
	int rc = session_begin(request, user_id);

	if (rc != 0)
		page_write_failed(request, reply, rc);
	else
		reply_see(reply, text_next(request_field(request, "next")));
}

/* @return as check(); -1 also when there is no database */
static int64_t ask(struct request *request, const char *name)
{
	const char *values[] = { name };
	PGresult *row =
		db_read_sql(&request->db, "select id, password_hash from users where name = $1", 1,
			    values);
	int64_t user_id = row ? check(request, row) : -1;

	request->database_away = !row;
	PQclear(row);
	return user_id;
}

void login_post(struct request *request, struct reply *reply)
{
	const char *name = request_field(request, "name");
	struct attempt attempt;
	int64_t user_id;

	if (!text_is_plain(name, 1, 64)) {
		show_form(request, reply, 403, "The name or the password is not right.");
		return;
	}
	if (!begin_attempt(request, &attempt, name)) {
		reply_header(reply, "Retry-After", "60");
		show_form(request, reply, 429, "Too many attempts. Please wait a minute.");
		return;
	}
	user_id = ask(request, name);
	if (user_id != 0)
		take_back(request, &attempt);
	if (user_id > 0)
		let_in(request, reply, user_id);
	else if (user_id < 0)
		show_form(request, reply, 503, "Nobody can be signed in at the moment.");
	else
		show_form(request, reply, 403, "The name or the password is not right.");
}

void logout_post(struct request *request, struct reply *reply)
{
	int rc = session_end(request);

	if (rc != 0)
		page_write_failed(request, reply, rc);
	else
		reply_see(reply, "/");
}
