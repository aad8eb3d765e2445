/* SPDX-License-Identifier: PostgreSQL */
/*
 * The status page of this service's tree: libtine-web's, mounted at /status. Who may see it is
 * decided here; what it shows, and its headers, are the library's.
 */
#include <stdlib.h>
#include <string.h>

#include "handlers.h"
#include "page.h"
#include "route.h"
#include "service.h"
#include "session.h"

/* Encoded again, from what libmicrohttpd has decoded: no byte that could be taken for another. */
static void add_encoded(struct buffer *query, const char *text)
{
	static const char hex[] = "0123456789ABCDEF";

	for (; *text; text++) {
		unsigned char byte = (unsigned char)*text;
		char encoded[3] = { '%', hex[byte >> 4], hex[byte & 15] };

		buffer_add(query, encoded, sizeof(encoded));
	}
}

static struct buffer query_of(const struct request *request)
{
	struct buffer query = { 0 };

	buffer_text(&query, "");
	for (const struct field *field = request->query.first; field; field = field->next) {
		buffer_text(&query, field->name);
		buffer_text(&query, "=");
		add_encoded(&query, field->value.data);
		buffer_text(&query, field->next ? "&" : "");
	}
	return query;
}

static const char *keep(struct request *request, const char *text)
{
	return arena_copy(&request->arena, text, strlen(text));
}

static void answer(struct request *request, struct reply *reply)
{
	struct buffer query = query_of(request);
	tine_web_request asked = {
		.size = sizeof(asked),
		.method = "GET",
		.path = request->path,
		.query = query.data,
		.host = request->host,
	};
	tine_web_response response;

	tine_web_respond(request->service->web, &asked, &response);
	reply->status = response.status;
	if (response.type)
		reply_header(reply, "Content-Type", keep(request, response.type));
	for (int i = 0; i < response.headers_count; i++)
		reply_header(reply, keep(request, response.headers[i].name),
			     keep(request, response.headers[i].value));
	buffer_add(&reply->body, response.body ? response.body : "", response.body_bytes);
	tine_web_response_clear(&response);
	free(query.data);
}

void status_get(struct request *request, struct reply *reply)
{
	switch (request->service->config->status) {
	case STATUS_OFF:
		page_error(request, reply, 404, "There is no such page.");
		return;
	case STATUS_ALL:
		answer(request, reply);
		return;
	default:
		break;
	}
	session_load(request);
	if (request->visitor.role == ROLE_ADMIN)
		answer(request, reply);
	else
		route_refuse(request, reply);
}
