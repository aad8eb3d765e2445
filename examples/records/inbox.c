/* SPDX-License-Identifier: PostgreSQL */
/*
 * The inbox: a job's row and the word to the task workers are one transaction, and what is answered
 * with 202 is committed. The key makes a second post of the same the first one.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "handlers.h"
#include "job.h"
#include "service.h"
#include "text.h"

static void answer_error(struct reply *reply, int status, const char *text)
{
	reply_json(reply, status, json_pack("{s:s}", "error", text));
	if (status == 503)
		reply_header(reply, "Retry-After", "5");
	if (status == 401)
		reply_header(reply, "WWW-Authenticate", "Bearer");
}

static bool has_token(const struct request *request)
{
	static const char scheme[] = "Bearer ";
	const char *given = request->authorization, *token = request->service->config->inbox_token;
	size_t length = strlen(token);

	return length > 0 && strncasecmp(given, scheme, strlen(scheme)) == 0 &&
	       strlen(given) == strlen(scheme) + length &&
	       sodium_memcmp(given + strlen(scheme), token, length) == 0;
}

static bool is_json(const char *type)
{
	static const char json[] = "application/json";

	return strncasecmp(type, json, strlen(json)) == 0 &&
	       strchr("; \t", type[strlen(json)]) != NULL;
}

struct entry {
	const char *values[3]; /* key, kind, payload */
	int64_t id;
	bool is_new;
	bool is_same; /* the job of that key is this one */
};

static int insert(struct db *db, PGconn *pg, void *arg)
{
	static const char sql[] =
		"with new as (insert into jobs (key, kind, payload) values ($1, $2, $3) "
		"on conflict (key) do nothing returning id), "
		"told as (select pg_notify('records_inbox', '') from new) "
		"select id, true, true from new, told union all "
		"select id, false, kind = $2 and payload = $3::jsonb from jobs where key = $1 "
		"order by 2 desc limit 1";
	struct entry *entry = arg;
	PGresult *row = db_run(db, pg, sql, 3, entry->values);
	int rc = row ? 0 : db->error.status;

	/* Another post of the same was committed between the two halves: it is there the next time.
	 */
	if (row && PQntuples(row) == 0)
		rc = 1;
	if (rc == 0) {
		entry->id = strtoll(PQgetvalue(row, 0, 0), NULL, 10);
		entry->is_new = *PQgetvalue(row, 0, 1) == 't';
		entry->is_same = *PQgetvalue(row, 0, 2) == 't';
	}
	PQclear(row);
	return rc;
}

/* What this program takes for JSON the database may not, such as a character that its encoding does
 * not have: that will be so the next time, too. */
static void answer_failure(struct request *request, struct reply *reply)
{
	const tine_error *error = &request->db.error;

	db_tell(&request->db);
	if (db_is_away(error) || db_is_for_now(error))
		answer_error(reply, 503, "it is not known to be stored: send it again");
	else if (strncmp(error->sqlstate, "22", 2) == 0)
		answer_error(reply, 422,
			     arena_print(&request->arena,
					 "the database cannot store that: SQLSTATE %s",
					 error->sqlstate));
	else
		answer_error(reply, 500, "it was not stored: what went wrong is in the log");
}

static void store(struct request *request, struct reply *reply, const struct job *job)
{
	char *payload = json_dumps(job->payload, JSON_COMPACT);
	struct entry entry = { .values = { job->key, job->kind, payload } };
	int rc;

	do
		rc = db_write(&request->db, insert, &entry);
	while (rc == 1 && db_left_ms(&request->db) > 0);
	free(payload);
	if (rc == 0 && !entry.is_same)
		answer_error(reply, 409, "another job has this key: nothing was stored");
	else if (rc == 0)
		reply_json(reply, 202,
			   json_pack("{s:I, s:s, s:b}", "id", (json_int_t)entry.id, "key", job->key,
				     "new", entry.is_new));
	else if (rc < 0)
		answer_failure(request, reply);
	else
		answer_error(reply, 503, "it is not known to be stored: send it again");
}

void inbox_post(struct request *request, struct reply *reply)
{
	char error[JOB_ERROR_BYTES];
	struct job job;

	if (!has_token(request)) {
		answer_error(reply, 401, "who posts here has a token");
		return;
	}
	if (!is_json(request->content_type)) {
		answer_error(reply, 415, "that is not application/json");
		return;
	}
	if (job_read(&job, request->form.raw.data ? request->form.raw.data : "",
		     request->form.raw.length, error) < 0)
		answer_error(reply, 400, error);
	else
		store(request, reply, &job);
	job_free(&job);
}

static json_t *describe(const PGresult *row)
{
	return json_pack("{s:I, s:s, s:s, s:s, s:I, s:o}", "id",
			 (json_int_t)strtoll(PQgetvalue(row, 0, 0), NULL, 10), "key",
			 PQgetvalue(row, 0, 1), "kind", PQgetvalue(row, 0, 2), "state",
			 PQgetvalue(row, 0, 3), "attempts",
			 (json_int_t)strtoll(PQgetvalue(row, 0, 4), NULL, 10), "error",
			 PQgetisnull(row, 0, 5) ? json_null() : json_string(PQgetvalue(row, 0, 5)));
}

void inbox_get(struct request *request, struct reply *reply)
{
	const char *values[] = { arena_print(&request->arena, "%lld",
					     (long long)text_id(request->part)) };
	PGresult *row;

	if (!has_token(request)) {
		answer_error(reply, 401, "who looks here has a token");
		return;
	}
	row = db_read_sql(&request->db,
			  "select id, key, kind, state, attempts, error from jobs where id = $1", 1,
			  values);
	if (!row) {
		db_tell(&request->db);
		answer_error(reply, 503, "the database does not answer");
	} else if (PQntuples(row) == 0) {
		answer_error(reply, 404, "there is no such job");
	} else {
		reply_json(reply, 200, describe(row));
	}
	PQclear(row);
}
