/* SPDX-License-Identifier: PostgreSQL */
#include "exchange.h"

#include <stdlib.h>

#define SPARES_MOST 32
#define SPARE_BODY_BYTES 16384

static struct exchange *take(struct http *http)
{
	struct exchange *exchange = http->spares;

	if (exchange) {
		http->spares = exchange->next_spare;
		http->spare_count--;
		return exchange;
	}
	exchange = calloc(1, sizeof(*exchange));
	if (!exchange)
		abort();
	return exchange;
}

struct exchange *exchange_begin(struct http *http, struct MHD_Connection *connection,
				struct client *client)
{
	struct exchange *exchange = take(http);
	struct arena arena = exchange->request.arena;
	struct buffer body = exchange->reply.body;

	*exchange = (struct exchange){
		.http = http,
		.connection = connection,
		.client = client,
	};
	form_init(&exchange->request.form);
	reply_init(&exchange->reply);
	exchange->request.arena = arena;
	exchange->reply.body = body;
	return exchange;
}

static void free_all(struct exchange *exchange)
{
	arena_free(&exchange->request.arena);
	free(exchange->reply.body.data);
	free(exchange);
}

void exchange_end(struct exchange *exchange)
{
	struct http *http = exchange->http;

	reply_clear(&exchange->reply);
	form_free(&exchange->request.form);
	fields_free(&exchange->request.query);
	if (http->spare_count == SPARES_MOST || exchange->reply.body.size > SPARE_BODY_BYTES) {
		free_all(exchange);
		return;
	}
	arena_reset(&exchange->request.arena);
	exchange->next_spare = http->spares;
	http->spares = exchange;
	http->spare_count++;
}

void exchange_free_spares(struct http *http)
{
	while (http->spares) {
		struct exchange *exchange = http->spares;

		http->spares = exchange->next_spare;
		free_all(exchange);
	}
}
