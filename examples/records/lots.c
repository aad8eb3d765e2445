/* SPDX-License-Identifier: PostgreSQL */
/*
 * Lots. The page of one is public, and costs one query and no session.
 */
#include <stdio.h>
#include <string.h>

#include "handlers.h"
#include "lots.h"
#include "page.h"
#include "service.h"
#include "text.h"

/* ---- the list ------------------------------------------------------------------------------- */

static void add_list(struct view *values, const PGresult *rows)
{
	struct view_rows *lots = view_list(values, "lots");

	for (int row = 0; row < PQntuples(rows); row++) {
		struct view *one = view_row(lots);

		view_text(one, "number", PQgetvalue(rows, row, 0));
		view_text(one, "year", PQgetvalue(rows, row, 1));
		view_text(one, "title", PQgetvalue(rows, row, 2));
	}
}

static void show_list(struct request *request, struct reply *reply, int status, const char *problem)
{
	PGresult *rows = db_read_sql(&request->db,
				     "select number, year, title from lots "
				     "order by year desc, number desc limit 200",
				     0, NULL);
	struct view *values;

	if (!rows) {
		page_write_failed(request, reply, request->db.error.status);
		return;
	}
	values = view_new(&request->arena);
	add_list(values, rows);
	view_text(values, "problem", problem);
	view_text(values, "number", request_field(request, "number"));
	view_text(values, "title", request_field(request, "title"));
	page_reply(request, reply, status, "lots", values);
	PQclear(rows);
}

void lots_get(struct request *request, struct reply *reply)
{
	if (request->database_away)
		page_away(request, reply);
	else
		show_list(request, reply, 200, "");
}

/* ---- one more ------------------------------------------------------------------------------- */

int lot_insert(struct db *db, PGconn *pg, const struct lot *lot)
{
	char year[12];
	const char *values[] = { lot->number, year, lot->title };
	PGresult *row;
	int rc;

	snprintf(year, sizeof(year), "%d", lot->year);
	if (db_do(db, pg,
		  "insert into lots (number, year, title) values ($1, $2, $3) "
		  "on conflict (number) do nothing",
		  3, values) < 0)
		return db->error.status;
	row = db_run(db, pg, "select title from lots where number = $1", 1, values);
	if (!row)
		return db->error.status;
	rc = PQntuples(row) == 1 && strcmp(PQgetvalue(row, 0, 0), lot->title) == 0 ? 0
										   : LOT_IS_OTHER;
	PQclear(row);
	return rc;
}

static int insert(struct db *db, PGconn *pg, void *arg)
{
	return lot_insert(db, pg, arg);
}

void lots_post(struct request *request, struct reply *reply)
{
	struct lot lot;
	int rc;

	if (!lot_read(&lot, request_field(request, "number"), request_field(request, "title"))) {
		show_list(request, reply, 422,
			  "A lot has a number such as 2024-0137, and a title.");
		return;
	}
	rc = db_write(&request->db, insert, &lot);
	if (rc == LOT_IS_OTHER)
		show_list(request, reply, 409, "Another lot has this number.");
	else if (rc != 0)
		page_write_failed(request, reply, rc);
	else
		reply_see(reply, arena_print(&request->arena, "/lots/%s", lot.number));
}

/* ---- one ------------------------------------------------------------------------------------ */

static void show(struct request *request, struct reply *reply, const PGresult *rows)
{
	struct view *values = view_new(&request->arena);
	struct view_rows *notes = view_list(values, "notes");

	for (int row = 0; row < PQntuples(rows); row++)
		if (!PQgetisnull(rows, row, 4))
			view_text(view_row(notes), "text", PQgetvalue(rows, row, 4));
	view_text(values, "number", PQgetvalue(rows, 0, 0));
	view_text(values, "year", PQgetvalue(rows, 0, 1));
	view_text(values, "title", PQgetvalue(rows, 0, 2));
	view_text(values, "at", PQgetvalue(rows, 0, 3));
	page_reply(request, reply, 200, "lot", values);
}

void lot_get(struct request *request, struct reply *reply)
{
	char number[LOT_NUMBER_BYTES];
	const char *values[] = { number };
	PGresult *rows;

	settings_refresh(request);
	if (text_lot_number(request->part, number) == 0) {
		page_error(request, reply, 404, "There is no such lot.");
		return;
	}
	if (request->database_away) {
		page_away(request, reply);
		return;
	}
	rows = db_read(&request->db, STATEMENT_LOT, 1, values);
	if (!rows)
		page_write_failed(request, reply, request->db.error.status);
	else if (PQntuples(rows) == 0)
		page_error(request, reply, 404, "There is no such lot.");
	else
		show(request, reply, rows);
	PQclear(rows);
}
