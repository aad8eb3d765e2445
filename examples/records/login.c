/* SPDX-License-Identifier: PostgreSQL */
/*
 * Passwords. A name that does not exist takes as long as one that does; failures are counted by
 * address and by name.
 */
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
	json_t *values = json_object();
	const char *next = request_field(request, "next");

	if (!*next)
		next = request_query(request, "next");
	json_object_set_new(values, "has_form", json_true());
	json_object_set_new(values, "problem", json_string(problem));
	json_object_set_new(values, "next", json_string(text_next(next)));
	json_object_set_new(values, "name", json_string(request_field(request, "name")));
	page_reply(request, reply, status, "login", values);
}

void login_get(struct request *request, struct reply *reply)
{
	show_form(request, reply, 200, "");
}

static bool is_too_often(const struct request *request, const char *name)
{
	const struct limits *limits = &request->service->limits;
	int limit = request->service->config->login_limit;
	int64_t now_s = time(NULL);

	return limits_look(limits, LIMIT_LOGIN_ADDRESS, request->address, now_s) >= limit ||
	       limits_look(limits, LIMIT_LOGIN_NAME, name, now_s) >= limit;
}

static void count_failure(const struct request *request, const char *name)
{
	int64_t now_s = time(NULL);

	limits_count(&request->service->limits, LIMIT_LOGIN_ADDRESS, request->address, now_s);
	limits_count(&request->service->limits, LIMIT_LOGIN_NAME, name, now_s);
}

/* @return the user's number; 0 when there is none, or the password is another */
static int64_t check(struct request *request, const PGresult *row)
{
	bool known = PQntuples(row) == 1;
	const char *hash = known ? PQgetvalue(row, 0, 1) : password_of_nobody();
	int64_t began_ns = clock_ns();
	bool right;

	while (sem_wait(&request->service->hashing) < 0)
		;
	right = password_is(hash, request_field(request, "password"));
	sem_post(&request->service->hashing);
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

void login_post(struct request *request, struct reply *reply)
{
	const char *name = request_field(request, "name");
	const char *values[] = { name };
	PGresult *row;
	int64_t user_id;

	if (is_too_often(request, name)) {
		reply_header(reply, "Retry-After", "60");
		show_form(request, reply, 429, "Too many attempts. Please wait a minute.");
		return;
	}
	if (!text_is_plain(name, 1, 64)) {
		show_form(request, reply, 403, "The name or the password is not right.");
		return;
	}
	row = db_read_sql(&request->db, "select id, password_hash from users where name = $1", 1,
			  values);
	if (!row) {
		request->database_away = true;
		show_form(request, reply, 503, "Nobody can be signed in at the moment.");
		return;
	}
	user_id = check(request, row);
	PQclear(row);
	if (user_id > 0) {
		let_in(request, reply, user_id);
		return;
	}
	count_failure(request, name);
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
