/* SPDX-License-Identifier: PostgreSQL */
#include "web/server.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

#include "base/clock.h"

#define CONNECTIONS_MAX 64
#define CROWDED (CONNECTIONS_MAX * 3 / 4)
#define REQUEST_BYTES_MAX 16384
#define LOOK_MS 1000

/* From the connection, or the answer before, to the end of the next answer, whatever happens in
 * between; the shorter one while many are connected. */
#define PATIENCE_MS 15000
#define PATIENCE_CROWDED_MS 2000

struct client {
	int fd; /* -1: not in use */
	int64_t since_ns;
};

struct server {
	tine_web *web;
	struct tine_examiner *examiner;
	struct MHD_Daemon *daemon;
	int signals;
	int64_t next_look_ns;
	struct client clients[CONNECTIONS_MAX];
};

/* As it came, before the library takes it apart. */
struct target {
	char *path, *query;
	bool announced; /* its head has been read */
};

/* ---- connections ---------------------------------------------------------------------------- */

static void note_connection(void *arg, struct MHD_Connection *connection, void **context,
			    enum MHD_ConnectionNotificationCode code)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct server *server = arg;
	struct client *client = *context;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (client)
			client->fd = -1;
		return;
	}
	for (int i = 0; i < CONNECTIONS_MAX; i++) {
		if (server->clients[i].fd >= 0)
			continue;
		server->clients[i] = (struct client){ info->connect_fd, tine_clock_ns() };
		*context = &server->clients[i];
		return;
	}
}

/* The library notices, and closes it. */
static void cut_off_the_slow(struct server *server)
{
	int64_t now_ns = tine_clock_ns(), patience_ms;
	int count = 0;

	for (int i = 0; i < CONNECTIONS_MAX; i++)
		count += server->clients[i].fd >= 0;
	patience_ms = count < CROWDED ? PATIENCE_MS : PATIENCE_CROWDED_MS;
	for (int i = 0; i < CONNECTIONS_MAX; i++) {
		const struct client *client = &server->clients[i];

		if (client->fd >= 0 && now_ns - client->since_ns > patience_ms * TINE_NS_PER_MS)
			shutdown(client->fd, SHUT_RDWR);
	}
}

/* ---- requests ------------------------------------------------------------------------------- */

static void *begin_request(void *arg, const char *uri, struct MHD_Connection *connection)
{
	struct target *target = calloc(1, sizeof(*target));

	(void)arg;
	(void)connection;
	if (target)
		target->path = strdup(uri);
	if (target && target->path)
		target->query = strchr(target->path, '?');
	if (target && target->query)
		*target->query++ = '\0';
	return target;
}

static void end_request(void *arg, struct MHD_Connection *connection, void **context,
			enum MHD_RequestTerminationCode code)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct client *client = info ? info->socket_context : NULL;
	struct target *target = *context;

	(void)arg;
	if (client && code == MHD_REQUEST_TERMINATED_COMPLETED_OK)
		client->since_ns = tine_clock_ns();
	if (target)
		free(target->path);
	free(target);
	*context = NULL;
}

struct hosts {
	const char *host;
	int count;
};

static enum MHD_Result note_host(void *arg, enum MHD_ValueKind kind, const char *name,
				 const char *value)
{
	struct hosts *hosts = arg;

	(void)kind;
	/* A blank before the colon is no part of the name to everybody. */
	if (strncasecmp(name, "host", 4) == 0 && !name[4 + strspn(name + 4, " \t")]) {
		hosts->host = value;
		hosts->count++;
	}
	return MHD_YES;
}

static enum MHD_Result send_response(struct MHD_Connection *connection,
				     const tine_web_response *from)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(from->body_bytes, (void *)from->body,
						MHD_RESPMEM_MUST_COPY);
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, from->type);
	for (int i = 0; i < from->headers_count; i++)
		MHD_add_response_header(response, from->headers[i].name, from->headers[i].value);
	result = MHD_queue_response(connection, (unsigned)from->status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result respond(struct server *server, struct MHD_Connection *connection,
			       const char *method, const struct target *target)
{
	struct hosts hosts = { 0 };
	tine_web_request request = { .size = sizeof(request), .method = method };
	tine_web_response response;
	enum MHD_Result result;

	MHD_get_connection_values(connection, MHD_HEADER_KIND, note_host, &hosts);
	request.path = target->path;
	request.query = target->query;
	/* Two of them: whoever is in between may have believed the other one. */
	request.host = hosts.count == 1 ? hosts.host : NULL;
	tine_web_respond(server->web, &request, &response);
	result = send_response(connection, &response);
	tine_web_response_clear(&response);
	return result;
}

static enum MHD_Result answer(void *arg, struct MHD_Connection *connection, const char *url,
			      const char *method, const char *version, const char *upload,
			      size_t *upload_bytes, void **context)
{
	struct target *target = *context;
	bool reads = strcmp(method, MHD_HTTP_METHOD_GET) == 0 ||
		     strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;

	(void)url;
	(void)version;
	(void)upload;
	/* One with a body is none that a browser sends. */
	if (!target || !target->path || (reads && *upload_bytes))
		return MHD_NO;
	/* Whoever is answered before its end is known is not kept connected. */
	if (reads && !target->announced) {
		target->announced = true;
		return MHD_YES;
	}
	return respond(arg, connection, method, target);
}

/* ---- the loop ------------------------------------------------------------------------------- */

static int start(struct server *server, int fd)
{
	for (int i = 0; i < CONNECTIONS_MAX; i++)
		server->clients[i].fd = -1;
	server->daemon =
		MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, answer, server,
				 MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
				 (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
				 (size_t)REQUEST_BYTES_MAX, MHD_OPTION_STRICT_FOR_CLIENT, 1,
				 MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_NOTIFY_CONNECTION,
				 note_connection, server, MHD_OPTION_URI_LOG_CALLBACK,
				 begin_request, server, MHD_OPTION_NOTIFY_COMPLETED, end_request,
				 server, MHD_OPTION_END);
	return server->daemon ? 0 : -EIO;
}

static int wait_ms(const struct server *server)
{
	MHD_UNSIGNED_LONG_LONG daemon_ms;
	int ms = tine_clock_poll_ms(server->next_look_ns, tine_clock_ns());

	if (MHD_get_timeout(server->daemon, &daemon_ms) == MHD_YES &&
	    daemon_ms < (MHD_UNSIGNED_LONG_LONG)ms)
		ms = (int)daemon_ms;
	return ms;
}

static void do_what_is_due(struct server *server)
{
	if (tine_clock_ns() < server->next_look_ns)
		return;
	server->next_look_ns = tine_clock_ns() + LOOK_MS * (int64_t)TINE_NS_PER_MS;
	tine_web_look(server->web);
	cut_off_the_slow(server);
	if (server->examiner)
		tine_examiner_step(server->examiner);
}

static int serve(struct server *server)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);

	if (!info)
		return -EIO;
	for (;;) {
		struct pollfd fds[] = {
			{ .fd = info->epoll_fd, .events = POLLIN },
			{ .fd = server->signals, .events = POLLIN },
			{ .fd = server->examiner ? tine_examiner_fd(server->examiner) : -1,
			  .events = POLLIN },
		};

		if (poll(fds, 3, wait_ms(server)) < 0 && errno != EINTR)
			return -errno;
		if (fds[1].revents)
			return 0;
		if (MHD_run(server->daemon) != MHD_YES)
			return -EIO;
		if (fds[2].revents)
			tine_examiner_step(server->examiner);
		do_what_is_due(server);
	}
}

int tine_server_run(tine_web *web, const struct tine_socket *listener,
		    struct tine_examiner *examiner)
{
	struct server server = { .web = web, .examiner = examiner };
	sigset_t signals;
	int rc;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	server.signals = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (server.signals < 0)
		return -errno;
	rc = start(&server, listener->fd);
	if (rc == 0) {
		rc = serve(&server);
		MHD_stop_daemon(server.daemon);
	}
	close(server.signals);
	return rc;
}
