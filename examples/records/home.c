/* SPDX-License-Identifier: PostgreSQL */
/*
 * The first page, and what a load balancer asks.
 */
#include <string.h>

#include "handlers.h"
#include "page.h"
#include "service.h"

void home_get(struct request *request, struct reply *reply)
{
	page_reply(request, reply, 200, "home", view_new(&request->arena));
}

void health_get(struct request *request, struct reply *reply)
{
	(void)request;
	reply->status = 200;
	reply->data = "{\"status\": \"ok\"}\n";
	reply->data_bytes = strlen(reply->data);
	reply_header(reply, "Content-Type", "application/json");
	reply_header(reply, "Cache-Control", "no-store");
}

static json_t *pool_state(tine_pool *pool)
{
	tine_pool_stats stats = { 0 };
	int most;

	if (tine_pool_status(pool, &stats) < 0)
		return json_null();
	most = stats.pool_size + stats.max_overflow;
	return json_pack("{s:i, s:i, s:i, s:i, s:f}", "size", most, "open", stats.open, "busy",
			 stats.busy, "waiting", stats.waiting, "saturation",
			 most > 0 ? (double)stats.busy / most : 0.0);
}

/* Texts of the server and of libpq may hold names of hosts and users. */
static const char *cause_of(struct request *request)
{
	const tine_error *error = &request->db.error;

	return arena_print(&request->arena, "%s%s%s: %s", tine_status_name(error->status),
			   *error->sqlstate ? " " : "", error->sqlstate,
			   tine_status_advice(error->status));
}

void health_db_get(struct request *request, struct reply *reply)
{
	int64_t start_ns = clock_ns();
	int64_t end_ns = start_ns + request->service->config->health_timeout_ms * INT64_C(1000000);
	PGresult *row;
	json_t *state;

	if (request->db.deadline_ns > end_ns)
		request->db.deadline_ns = end_ns;
	row = db_read_sql(&request->db, "select 1", 0, NULL);
	state = json_pack("{s:s, s:o, s:o, s:o}", "status", row ? "ok" : "away", "latency_ms",
			  row ? json_real((double)(clock_ns() - start_ns) / 1e6) : json_null(),
			  "cause", row ? json_null() : json_string(cause_of(request)), "pool",
			  pool_state(request->service->pool));
	reply_json(reply, row ? 200 : 503, state);
	PQclear(row);
}
