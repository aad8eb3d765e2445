/* SPDX-License-Identifier: PostgreSQL */
#include "http.h"

#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <microhttpd.h>

#include "body.h"
#include "exchange.h"
#include "head.h"
#include "page.h"
#include "reply.h"
#include "route.h"
#include "service.h"

#define CONNECTIONS_MAX 1000
#define HEADERS_BYTES 12288 /* a head, its cookies once more, and the head of the reply */
#define IDLE_S 60
#define DRAIN_S 1
#define MOST_WAIT_MS 60000
#define HURRY_S 2 /* for a head, when many are connected or this worker ends */
#define PACE_BYTES_PER_S 4096
#define NS_PER_S INT64_C(1000000000)
#define ENOUGH_MOST 900 /* libmicrohttpd's own limit is above */
#define OTHER_DESCRIPTORS 200

/* ---- slow clients --------------------------------------------------------------------------- */

/* A byte now and then is no inactivity to libmicrohttpd. A head has to be there in time, and sooner
 * when many are connected; a body may take as long as it comes at a fair pace, and a reply as long
 * as that pace takes. */
static void expect_head(const struct http *http, struct client *client)
{
	client->until_ns = http->now_ns + (http->draining ? HURRY_S : IDLE_S) * NS_PER_S;
}

static void expect_bytes(const struct http *http, struct client *client, int64_t bytes)
{
	client->until_ns = http->now_ns + IDLE_S * NS_PER_S + bytes * (NS_PER_S / PACE_BYTES_PER_S);
}

static void body_came(const struct http *http, struct client *client, size_t bytes)
{
	int64_t most_ns = http->now_ns + IDLE_S * NS_PER_S;

	client->until_ns += (int64_t)bytes * (NS_PER_S / PACE_BYTES_PER_S);
	if (client->until_ns > most_ns)
		client->until_ns = most_ns;
}

/* The library notices, and closes it. */
static void cut_off_the_slow(struct http *http)
{
	int64_t now_ns = http->now_ns;
	bool crowded;

	if (now_ns < http->next_cut_ns)
		return;
	crowded = http_connections(http) >= http->enough / 4 * 3;
	http->next_cut_ns = now_ns + NS_PER_S;
	for (struct client *client = http->clients; client; client = client->next) {
		int64_t late_ns = now_ns - client->until_ns;

		if (crowded && !client->busy && !http->draining)
			late_ns += (IDLE_S - HURRY_S) * NS_PER_S;
		if (client->until_ns != 0 && late_ns > 0)
			shutdown(client->fd, SHUT_RDWR);
	}
}

/* ---- answering ------------------------------------------------------------------------------ */

static void answer_scanner(struct exchange *exchange)
{
	struct service *service = exchange->http->service;
	int count = limits_count(&service->limits, LIMIT_SCANNER, exchange->request.address,
				 time(NULL));

	if (count > service->config->scanner_limit) {
		reply_text(&exchange->reply, 429, "too many\n");
		reply_header(&exchange->reply, "Retry-After", "60");
	} else {
		reply_text(&exchange->reply, 404, "not here\n");
	}
}

static void answer_unit(struct exchange *exchange)
{
	struct request *request = &exchange->request;
	tine_unit *unit = tine_unit_begin(exchange->http->worker, request->db.label, NULL);

	if (exchange->is_scanner)
		answer_scanner(exchange);
	else if (!unit || db_left_ms(&request->db) == 0)
		page_error(request, &exchange->reply, 503,
			   "Too much is asked of this service at the moment. Please try again.");
	else
		route_answer(request, &exchange->reply);
	tine_unit_end(unit);
	exchange->answered = true;
}

void http_answer(struct exchange *exchange)
{
	struct http *http = exchange->http;

	answer_unit(exchange);
	atomic_fetch_add(&http->answering, 1);
	/* From here on the exchange is the loop's. */
	MHD_resume_connection(exchange->connection);
	atomic_store(&http->resumed, true);
	if (queue_is_empty(&http->service->queue) && atomic_exchange(&http->sleeping, false))
		eventfd_write(http->wake_fd, 1);
	atomic_fetch_sub(&http->answering, 1);
}

static bool is_quick(const struct exchange *exchange)
{
	const struct route *route = exchange->request.route;

	return exchange->is_scanner || exchange->is_early ||
	       (route && (route->flags & ROUTE_QUICK));
}

static int64_t reply_bytes(const struct reply *reply)
{
	if (reply->fd >= 0)
		return reply->fd_bytes;
	return (int64_t)(reply->data ? reply->data_bytes : reply->body.length);
}

static enum MHD_Result send_reply(struct exchange *exchange)
{
	struct http *http = exchange->http;
	int64_t bytes = reply_bytes(&exchange->reply);
	struct MHD_Response *response =
		reply_make(&exchange->reply, http->service->config->behind_tls,
			   http->draining || exchange->is_early);
	enum MHD_Result rc = MHD_NO;

	expect_bytes(http, exchange->client, bytes);
	if (response)
		rc = MHD_queue_response(exchange->connection, (unsigned)exchange->reply.status,
					response);
	MHD_destroy_response(response);
	return rc;
}

/* The patience begins when all of the request is here, however slowly it came. */
static enum MHD_Result complete(struct exchange *exchange)
{
	int64_t now_ns = clock_ns();

	exchange->client->until_ns = 0;
	exchange->request.db.deadline_ns =
		now_ns + exchange->http->service->patience_ms * INT64_C(1000000);
	if (is_quick(exchange)) {
		answer_unit(exchange);
		return send_reply(exchange);
	}
	/* Before it is in the queue: a handler may be quicker than what follows. */
	MHD_suspend_connection(exchange->connection);
	if (queue_put(&exchange->http->service->queue, exchange, now_ns))
		return MHD_YES;
	exchange->request.db.deadline_ns = 0;
	http_answer(exchange);
	return MHD_YES;
}

/* ---- what libmicrohttpd calls --------------------------------------------------------------- */

static struct exchange *begin(struct http *http, struct MHD_Connection *connection,
			      const char *path, const char *method)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct exchange *exchange = exchange_begin(http, connection, info->socket_context);

	exchange->client->busy = true;
	expect_bytes(http, exchange->client, 0);
	if (http->draining)
		MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT,
					  (unsigned)IDLE_S);
	head_read(exchange, path, method);
	body_begin(exchange);
	return exchange;
}

static enum MHD_Result handle(void *arg, struct MHD_Connection *connection, const char *path,
			      const char *method, const char *version, const char *data,
			      size_t *data_bytes, void **context)
{
	struct exchange *exchange = *context;

	(void)version;
	if (!exchange) {
		*context = exchange = begin(arg, connection, path, method);
		return exchange->is_early ? complete(exchange) : MHD_YES;
	}
	if (exchange->answered)
		return send_reply(exchange);
	if (*data_bytes > 0) {
		bool taken = body_add(exchange, data, *data_bytes);

		body_came(arg, exchange->client, *data_bytes);
		*data_bytes = 0;
		return taken ? MHD_YES : MHD_NO;
	}
	body_end(exchange);
	return complete(exchange);
}

static void finished(void *arg, struct MHD_Connection *connection, void **context,
		     enum MHD_RequestTerminationCode code)
{
	struct exchange *exchange = *context;
	struct http *http = arg;

	(void)code;
	if (!exchange)
		return;
	exchange->client->busy = false;
	expect_head(http, exchange->client);
	if (http->draining)
		MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT,
					  (unsigned)DRAIN_S);
	body_end(exchange);
	http->upload_bytes -= exchange->upload_bytes;
	exchange_end(exchange);
	*context = NULL;
}

static void connection_changed(void *arg, struct MHD_Connection *connection, void **context,
			       enum MHD_ConnectionNotificationCode code)
{
	struct http *http = arg;
	struct client *client = *context;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		client = calloc(1, sizeof(*client));
		if (!client)
			abort();
		client->connection = connection;
		client->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)
				     ->connect_fd;
		head_note_client(client);
		expect_head(http, client);
		client->next = http->clients;
		if (client->next)
			client->next->back = &client->next;
		client->back = &http->clients;
		http->clients = client;
		*context = client;
		return;
	}
	*client->back = client->next;
	if (client->next)
		client->next->back = client->back;
	free(client);
}

/* ---- the daemon ----------------------------------------------------------------------------- */

/* Its own words are about clients that hang up in the middle: nobody's business. */
__attribute__((format(printf, 2, 0))) static void log_nothing(void *arg, const char *format,
							      va_list args)
{
	(void)arg;
	(void)format;
	(void)args;
}

/* A connection may have a file, too: what it sends, or what it is sent. Without a descriptor for
 * the next one, an accept would make the loop wait. */
static unsigned enough_connections(void)
{
	struct rlimit limit;
	rlim_t most = ENOUGH_MOST;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
	    limit.rlim_cur < 2 * most + OTHER_DESCRIPTORS)
		most = limit.rlim_cur > 2 * OTHER_DESCRIPTORS
			       ? (limit.rlim_cur - OTHER_DESCRIPTORS) / 2
			       : limit.rlim_cur / 4;
	return (unsigned)most;
}

struct http *http_new(struct service *service, tine_worker *worker)
{
	struct http *http = calloc(1, sizeof(*http));

	if (!http)
		return NULL;
	http->service = service;
	http->worker = worker;
	http->enough = enough_connections();
	http->now_ns = clock_ns();
	http->daemon =
		MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET |
					 MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG,
				 0, NULL, NULL, handle, http, MHD_OPTION_EXTERNAL_LOGGER,
				 log_nothing, NULL, MHD_OPTION_NOTIFY_COMPLETED, finished, http,
				 MHD_OPTION_NOTIFY_CONNECTION, connection_changed, http,
				 MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
				 MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADERS_BYTES,
				 MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S,
				 MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
	http->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (http->daemon && http->wake_fd >= 0)
		return http;
	http_free(http);
	return NULL;
}

void http_free(struct http *http)
{
	/* The last reply may be sent before its handler has said so. */
	while (atomic_load(&http->answering) > 0)
		sched_yield();
	if (http->daemon)
		MHD_stop_daemon(http->daemon);
	if (http->wake_fd >= 0)
		close(http->wake_fd);
	exchange_free_spares(http);
	free(http);
}

/* @return milliseconds until the daemon has something to do in any case, and most_ms at most; it
 * may be in the middle of an answer; -1 = for ever */
static int wait_ms_of(const struct http *http, int most_ms)
{
	MHD_UNSIGNED_LONG_LONG wait_ms;

	if (MHD_get_timeout(http->daemon, &wait_ms) != MHD_YES)
		return most_ms;
	if (most_ms < 0 || most_ms > MOST_WAIT_MS)
		most_ms = MOST_WAIT_MS;
	return wait_ms > (unsigned)most_ms ? most_ms : (int)wait_ms;
}

static void has_woken(struct http *http, bool by_handler)
{
	eventfd_t count;

	atomic_store(&http->sleeping, false);
	atomic_store(&http->resumed, false);
	if (by_handler)
		eventfd_read(http->wake_fd, &count);
	http->now_ns = clock_ns();
}

bool http_wait(struct http *http, int other_fd, int most_ms)
{
	struct pollfd fds[] = {
		{ .fd = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd,
		  .events = POLLIN },
		{ .fd = http->wake_fd, .events = POLLIN },
		{ .fd = other_fd, .events = POLLIN },
	};
	int wait_ms = wait_ms_of(http, most_ms);

	atomic_store(&http->sleeping, true);
	poll(fds, 3, atomic_load(&http->resumed) ? 0 : wait_ms);
	has_woken(http, fds[1].revents != 0);
	return fds[2].revents != 0;
}

void http_wait_for_answers(struct http *http, int most_ms)
{
	struct pollfd fd = { .fd = http->wake_fd, .events = POLLIN };
	int wait_ms = wait_ms_of(http, most_ms);

	atomic_store(&http->sleeping, true);
	poll(&fd, 1, queue_is_empty(&http->service->queue) ? 0 : wait_ms);
	has_woken(http, fd.revents != 0);
}

void http_run(struct http *http)
{
	cut_off_the_slow(http);
	MHD_run(http->daemon);
}

void http_add(struct http *http, int fd)
{
	struct sockaddr_storage address = { 0 };
	socklen_t length = sizeof(address);

	if (getpeername(fd, (struct sockaddr *)&address, &length) < 0) {
		close(fd);
		return;
	}
	/* It closes what it does not take. */
	MHD_add_connection(http->daemon, fd, (struct sockaddr *)&address, length);
}

unsigned http_connections(const struct http *http)
{
	return MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)
		->num_connections;
}

bool http_is_full(const struct http *http)
{
	return http_connections(http) >= http->enough;
}

void http_drain(struct http *http)
{
	http->draining = true;
	http->now_ns = clock_ns();
	for (struct client *client = http->clients; client; client = client->next) {
		if (client->busy)
			continue;
		expect_head(http, client);
		MHD_set_connection_option(client->connection, MHD_CONNECTION_OPTION_TIMEOUT,
					  (unsigned)DRAIN_S);
	}
}
