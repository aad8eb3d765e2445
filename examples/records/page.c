/* SPDX-License-Identifier: PostgreSQL */
#include "page.h"

#include <sodium.h>

#include "service.h"
#include "session.h"

static void add_common(struct request *request, json_t *values, int status, const char *name)
{
	const struct visitor *visitor = &request->visitor;
	struct setting_values settings = settings_known(&request->service->settings);

	json_object_set_new(values, "page", json_string(name));
	json_object_set_new(values, "status", json_integer(status));
	json_object_set_new(values, "site", json_string(settings.title));
	json_object_set_new(values, "notice", json_string(settings.notice));
	json_object_set_new(values, "user", json_string(visitor->name));
	json_object_set_new(values, "role", json_string(role_name(visitor->role)));
	json_object_set_new(values, "edits", json_boolean(visitor->role >= ROLE_EDITOR));
	json_object_set_new(values, "admin", json_boolean(visitor->role == ROLE_ADMIN));
	json_object_set_new(values, "away", json_boolean(request->database_away));
	json_object_set_new(values, "kept",
			    json_boolean(request->database_away && visitor->has_session));
	json_object_set_new(values, "insecure",
			    json_boolean(request->service->config->insecure_database));
	if (visitor->role != ROLE_NOBODY || json_is_true(json_object_get(values, "has_form")))
		json_object_set_new(values, "csrf", json_string(session_form_word(request)));
}

void page_reply(struct request *request, struct reply *reply, int status, const char *name,
		json_t *values)
{
	if (!values)
		values = json_object();
	if (request->database_away)
		db_tell(&request->db);
	add_common(request, values, status, name);
	shelf_render(request->service->shelf, name, values, &reply->body);
	json_decref(values);
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
	json_t *values = json_object();

	for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
		if (titles[i].status == status)
			title = titles[i].title;
	json_object_set_new(values, "title", json_string(title));
	json_object_set_new(values, "text", json_string(text));
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

json_t *page_key(void)
{
	unsigned char bytes[16];
	char text[2 * sizeof(bytes) + 1];

	randombytes_buf(bytes, sizeof(bytes));
	sodium_bin2hex(text, sizeof(text), bytes, sizeof(bytes));
	return json_string(text);
}
