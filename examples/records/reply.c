/* SPDX-License-Identifier: PostgreSQL */
#include "reply.h"

#include <stdlib.h>
#include <string.h>

static const char *const always[][2] = {
	{ "X-Content-Type-Options", "nosniff" },
	{ "X-Frame-Options", "DENY" },
	{ "Referrer-Policy", "same-origin" },
	{ "Cross-Origin-Opener-Policy", "same-origin" },
	{ "Cross-Origin-Resource-Policy", "same-origin" },
};

/* Nothing but this service's own style sheet and pictures, and no script at all. */
#define POLICY                                                                                     \
	"default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "               \
	"frame-ancestors 'none'; base-uri 'none'"

static struct MHD_Response *make_body(struct reply *reply)
{
	struct MHD_Response *response;

	if (reply->fd >= 0) {
		response = MHD_create_response_from_fd64((uint64_t)reply->fd_bytes, reply->fd);
		if (response)
			reply->fd = -1;
		return response;
	}
	if (reply->data)
		return MHD_create_response_from_buffer(reply->data_bytes, (void *)reply->data,
						       MHD_RESPMEM_PERSISTENT);
	return MHD_create_response_from_buffer(reply->body.length, reply->body.data,
					       MHD_RESPMEM_PERSISTENT);
}

static bool has_header(const struct reply *reply, const char *name)
{
	for (int i = 0; i < reply->headers; i++)
		if (strcmp(reply->header[i].name, name) == 0)
			return true;
	return false;
}

struct MHD_Response *reply_make(struct reply *reply, bool behind_tls, bool closes)
{
	struct MHD_Response *response = make_body(reply);

	if (!response)
		return NULL;
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		if (!has_header(reply, always[i][0]))
			MHD_add_response_header(response, always[i][0], always[i][1]);
	if (!has_header(reply, "Content-Security-Policy"))
		MHD_add_response_header(response, "Content-Security-Policy", POLICY);
	if (behind_tls)
		MHD_add_response_header(response, "Strict-Transport-Security", "max-age=31536000");
	for (int i = 0; i < reply->headers; i++)
		MHD_add_response_header(response, reply->header[i].name, reply->header[i].value);
	if (closes)
		MHD_add_response_header(response, "Connection", "close");
	return response;
}
