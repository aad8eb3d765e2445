/* SPDX-License-Identifier: PostgreSQL */
#include "request.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

const char *request_field(const struct request *request, const char *name)
{
	return fields_find(&request->form.fields, name);
}

const char *request_query(const struct request *request, const char *name)
{
	return fields_find(&request->query, name);
}

static const char *const roles[ROLE_COUNT] = { "", "reader", "editor", "admin" };

const char *role_name(enum role role)
{
	return roles[role];
}

enum role role_find(const char *name)
{
	for (enum role role = ROLE_READER; role < ROLE_COUNT; role++)
		if (strcmp(name, roles[role]) == 0)
			return role;
	return ROLE_NOBODY;
}

/* ---- replies -------------------------------------------------------------------------------- */

void reply_init(struct reply *reply)
{
	*reply = (struct reply){ .status = 500, .fd = -1 };
}

void reply_clear(struct reply *reply)
{
	struct buffer body = { .data = reply->body.data, .size = reply->body.size };

	if (reply->fd >= 0)
		close(reply->fd);
	reply_init(reply);
	reply->body = body;
}

void reply_header(struct reply *reply, const char *name, const char *value)
{
	if (reply->headers == REPLY_HEADERS || !text_is_header_value(value))
		return;
	reply->header[reply->headers].name = name;
	reply->header[reply->headers++].value = value;
}

void reply_text(struct reply *reply, int status, const char *text)
{
	reply->status = status;
	reply->data = text;
	reply->data_bytes = strlen(text);
	reply_header(reply, "Content-Type", "text/plain; charset=utf-8");
}

void reply_json(struct reply *reply, int status, json_t *json)
{
	char *text = json_dumps(json, JSON_REAL_PRECISION(6));

	json_decref(json);
	if (!text)
		abort();
	reply->status = status;
	buffer_text(&reply->body, text);
	buffer_text(&reply->body, "\n");
	free(text);
	reply_header(reply, "Content-Type", "application/json");
	reply_header(reply, "Cache-Control", "no-store");
}

void reply_see(struct reply *reply, const char *place)
{
	reply->status = 303;
	reply->data = "";
	reply_header(reply, "Location", place);
	reply_header(reply, "Cache-Control", "no-store");
}
