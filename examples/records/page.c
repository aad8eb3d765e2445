/* SPDX-License-Identifier: PostgreSQL */
#include "page.h"

#include <sodium.h>

#include "service.h"
#include "session.h"

static void add_common(struct request *request, struct view *values,
		       const struct setting_values *settings)
{
	const struct visitor *visitor = &request->visitor;

	view_text(values, "site", settings->title);
	view_text(values, "notice", settings->notice);
	view_text(values, "user", visitor->name);
	view_text(values, "role", role_name(visitor->role));
	view_flag(values, "edits", visitor->role >= ROLE_EDITOR);
	view_flag(values, "admin", visitor->role == ROLE_ADMIN);
	view_flag(values, "away", request->database_away);
	view_flag(values, "kept", request->database_away && visitor->has_session);
	view_flag(values, "insecure", request->service->config->insecure_database);
	if (visitor->role != ROLE_NOBODY || value_is_something(view_find(values, "has_form")))
		view_text(values, "csrf", session_form_word(request));
}

void page_reply(struct request *request, struct reply *reply, int status, const char *name,
		struct view *values)
{
	struct setting_values settings = settings_known(&request->service->settings);

	if (request->database_away)
		db_tell(&request->db);
	view_text(values, "page", name);
	view_number(values, "status", status);
	add_common(request, values, &settings);
	shelf_render(request->service->shelf, name, values, &reply->body);
	reply->status = status;
	reply_header(reply, "Content-Type", "text/html; charset=utf-8");
	reply_header(reply, "Cache-Control", "no-store");
	if (status == 503)
		reply_header(reply, "Retry-After", "5");
}

void page_error(struct request *request, struct reply *reply, int status, const char *text)
{
	static const struct {
		int status;
		const char *title;
	} titles[] = {
		{ 400, "That was not understood" },
		{ 403, "Not allowed" },
		{ 404, "Not here" },
		{ 405, "Not possible here" },
		{ 409, "Already there" },
		{ 413, "Too large" },
		{ 422, "Something is missing" },
		{ 429, "Too often" },
		{ 503, "Not at the moment" },
	};
	const char *title = "Something went wrong";
	struct view *values = view_new(&request->arena);

	for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
		if (titles[i].status == status)
			title = titles[i].title;
	view_text(values, "title", title);
	view_text(values, "text", text);
	page_reply(request, reply, status, "error", values);
}

void page_away(struct request *request, struct reply *reply)
{
	request->database_away = true;
	page_error(request, reply, 503,
		   "The database does not answer at the moment, and what you asked for is there. "
		   "Please try again in a few seconds.");
}

void page_write_failed(struct request *request, struct reply *reply, int rc)
{
	if (rc < 0 && db_is_away(&request->db.error)) {
		page_away(request, reply);
		return;
	}
	db_tell(&request->db);
	if (db_is_for_now(&request->db.error)) {
		page_error(request, reply, 503,
			   "The database could not do that at the moment. Please try again.");
		return;
	}
	page_error(request, reply, 500,
		   request->method == METHOD_GET
			   ? "It cannot be shown. What went wrong is in the log."
			   : "It was not stored. What went wrong is in the log.");
}

const char *page_key(struct arena *arena)
{
	unsigned char bytes[16];
	char text[2 * sizeof(bytes) + 1];

	randombytes_buf(bytes, sizeof(bytes));
	sodium_bin2hex(text, sizeof(text), bytes, sizeof(bytes));
	return arena_copy(arena, text, sizeof(text) - 1);
}
