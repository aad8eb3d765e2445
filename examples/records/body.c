/* SPDX-License-Identifier: PostgreSQL */
#include "body.h"

#include <stdlib.h>
#include <strings.h>

#include "exchange.h"
#include "route.h"
#include "service.h"
#include "session.h"
#include "text.h"

#define DROP_BYTES (64 << 20) /* so much is read to be dropped */
#define POST_BYTES 8192
#define UPLOADS_AT_ONCE 8 /* files of the largest size that are on their way to a worker */

static enum MHD_Result add_piece(void *arg, enum MHD_ValueKind kind, const char *name,
				 const char *file_name, const char *type, const char *encoding,
				 const char *data, uint64_t offset, size_t size)
{
	struct exchange *exchange = arg;

	(void)kind;
	(void)encoding;
	if (name)
		form_add(&exchange->request.form, &exchange->request.arena, name, file_name, type,
			 data, offset, size);
	return MHD_YES;
}

static const char *header(const struct exchange *exchange, const char *name)
{
	return MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, name);
}

static int64_t announced_bytes(const struct exchange *exchange)
{
	const char *length = header(exchange, "Content-Length");

	return length ? strtoll(length, NULL, 10) : 0;
}

static void judge_size(struct exchange *exchange, int64_t most_bytes)
{
	const char *expect = header(exchange, "Expect");
	int64_t bytes = announced_bytes(exchange);

	if (bytes <= most_bytes)
		return;
	exchange->request.form.too_large = true;
	exchange->drops_body = true;
	exchange->is_early =
		bytes > DROP_BYTES || (expect && strcasecmp(expect, "100-continue") == 0);
}

/* Who has no session of ours need not fill the disk with what he may not store. */
static bool may_upload(struct exchange *exchange)
{
	struct request *request = &exchange->request;

	session_read(request);
	return request->visitor.has_session;
}

void body_begin(struct exchange *exchange)
{
	struct request *request = &exchange->request;
	const struct route *route = request->route;
	int64_t most_bytes = FIELDS_BYTES;

	if (exchange->is_scanner || !route || route->method != METHOD_POST) {
		exchange->drops_body = true;
		return;
	}
	if ((route->flags & ROUTE_UPLOAD) && may_upload(exchange)) {
		request->form.wants_upload = true;
		request->form.limit_bytes = settings_upload_limit(request);
		most_bytes += request->form.limit_bytes;
	} else if (route->flags & ROUTE_UPLOAD) {
		most_bytes += settings_upload_limit(request);
	}
	judge_size(exchange, most_bytes);
	if (exchange->drops_body || (route->flags & ROUTE_RAW))
		return;
	exchange->post =
		MHD_create_post_processor(exchange->connection, POST_BYTES, add_piece, exchange);
	exchange->drops_body = !exchange->post;
}

/* Whoever has a session may send, but not fill the disk: by the form's word alone it is not known
 * whether he still may. */
static void count_upload(struct exchange *exchange)
{
	struct form *form = &exchange->request.form;
	struct http *http = exchange->http;
	int64_t bytes = form->upload.fd >= 0 ? form->upload.size_bytes : 0;

	http->upload_bytes += bytes - exchange->upload_bytes;
	exchange->upload_bytes = bytes;
	if (bytes == 0 || http->upload_bytes <= UPLOADS_AT_ONCE * form->limit_bytes)
		return;
	form_drop_upload(form);
	http->upload_bytes -= bytes;
	exchange->upload_bytes = 0;
	exchange->drops_body = true;
}

bool body_add(struct exchange *exchange, const char *data, size_t size)
{
	struct request *request = &exchange->request;

	exchange->body_bytes += (int64_t)size;
	if (exchange->body_bytes > DROP_BYTES + request->form.limit_bytes)
		return false;
	if (exchange->drops_body)
		return true;
	if (exchange->post)
		MHD_post_process(exchange->post, data, size);
	else
		form_add_raw(&request->form, data, size);
	count_upload(exchange);
	return true;
}

void body_end(struct exchange *exchange)
{
	if (exchange->post)
		MHD_destroy_post_processor(exchange->post);
	exchange->post = NULL;
}
