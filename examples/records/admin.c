/* SPDX-License-Identifier: PostgreSQL */
/*
 * The page of administrators: users and their roles, settings, what the inbox has.
 */
#include <string.h>

#include "handlers.h"
#include "page.h"
#include "service.h"
#include "text.h"

static void add_users(struct view *values, const PGresult *rows)
{
	struct view_rows *users = view_list(values, "users");

	for (int row = 0; row < PQntuples(rows); row++) {
		const char *role = PQgetvalue(rows, row, 2);
		struct view *one = view_row(users);

		view_text(one, "id", PQgetvalue(rows, row, 0));
		view_text(one, "name", PQgetvalue(rows, row, 1));
		view_flag(one, "is_reader", strcmp(role, "reader") == 0);
		view_flag(one, "is_editor", strcmp(role, "editor") == 0);
		view_flag(one, "is_admin", strcmp(role, "admin") == 0);
	}
}

static void show(struct request *request, struct reply *reply, const PGresult *users,
		 const PGresult *jobs)
{
	struct setting_values settings = settings_known(&request->service->settings);
	struct view *values = view_new(&request->arena);

	add_users(values, users);
	view_text(values, "waiting", PQgetvalue(jobs, 0, 0));
	view_text(values, "done", PQgetvalue(jobs, 0, 1));
	view_text(values, "failed", PQgetvalue(jobs, 0, 2));
	view_text(values, "set_title", settings.title);
	view_text(values, "set_notice", settings.notice);
	view_number(values, "set_limit", settings.upload_limit_bytes);
	page_reply(request, reply, 200, "admin", values);
}

void admin_get(struct request *request, struct reply *reply)
{
	static const char jobs_sql[] = "select count(*) filter (where state = 'waiting'), "
				       "count(*) filter (where state = 'done'), "
				       "count(*) filter (where state = 'failed') from jobs";
	PGresult *rows =
		db_read_sql(&request->db,
			    "select id, name, role from users order by name limit 500", 0, NULL);
	PGresult *jobs = rows ? db_read_sql(&request->db, jobs_sql, 0, NULL) : NULL;

	if (jobs)
		show(request, reply, rows, jobs);
	else
		page_write_failed(request, reply, request->db.error.status);
	PQclear(jobs);
	PQclear(rows);
}

struct statement_of_admin {
	const char *sql;
	int count;
	const char *const *values;
};

/* @return 1 when there was no such row */
static int update(struct db *db, PGconn *pg, void *arg)
{
	const struct statement_of_admin *statement = arg;
	PGresult *result = db_run(db, pg, statement->sql, statement->count, statement->values);
	int rc = result ? 0 : db->error.status;

	if (result && strcmp(PQcmdTuples(result), "0") == 0)
		rc = 1;
	PQclear(result);
	return rc;
}

static void answer(struct request *request, struct reply *reply, int rc)
{
	if (rc == 0)
		reply_see(reply, "/admin/");
	else if (rc > 0)
		page_error(request, reply, 404, "There is no such user.");
	else
		page_write_failed(request, reply, rc);
}

void admin_settings_post(struct request *request, struct reply *reply)
{
	const char *limit = request_field(request, "upload_limit_bytes");
	const char *values[] = { request_field(request, "title"), request_field(request, "notice"),
				 limit };
	struct statement_of_admin statement = {
		"update settings set title = $1, notice = $2, upload_limit_bytes = $3", 3, values
	};
	int rc;

	if (!text_is_plain(values[0], 1, TITLE_BYTES - 1) ||
	    !text_is_plain(values[1], 0, NOTICE_BYTES - 1) ||
	    (strcmp(limit, "0") != 0 && text_id(limit) == 0)) {
		page_error(
			request, reply, 422,
			"A title of 1 to 80 bytes, a notice of up to 500, and a limit in bytes.");
		return;
	}
	rc = db_write(&request->db, update, &statement);
	settings_forget(&request->service->settings);
	answer(request, reply, rc);
}

void admin_role_post(struct request *request, struct reply *reply)
{
	const char *values[] = { request_field(request, "role"),
				 arena_print(&request->arena, "%lld",
					     (long long)text_id(request->part)) };
	struct statement_of_admin statement = { "update users set role = $1 where id = $2", 2,
						values };

	if (role_find(values[0]) == ROLE_NOBODY)
		page_error(request, reply, 422, "There is no such role.");
	else
		answer(request, reply, db_write(&request->db, update, &statement));
}
