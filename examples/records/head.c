/* SPDX-License-Identifier: PostgreSQL */
#include "head.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "exchange.h"
#include "route.h"
#include "service.h"
#include "text.h"

/* ---- whose it is ---------------------------------------------------------------------------- */

static void print_peer(const struct client *client, char text[INET6_ADDRSTRLEN])
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		client->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct sockaddr *address = info ? info->client_addr : NULL;

	strcpy(text, "local");
	if (address && address->sa_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, text,
			  INET6_ADDRSTRLEN);
	if (address && address->sa_family == AF_INET6)
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, text,
			  INET6_ADDRSTRLEN);
}

void head_note_client(struct client *client)
{
	struct arena arena = { 0 };
	char text[INET6_ADDRSTRLEN];

	print_peer(client, text);
	snprintf(client->address, sizeof(client->address), "%s", text_of_whom(&arena, text));
	arena_free(&arena);
}

/* What the proxy before this service has added is the last one, of the last header of that name;
 * those before it, anybody can send. */
static const char *client_address(struct exchange *exchange, const char *forwarded)
{
	struct arena *arena = &exchange->request.arena;
	const char *address = "";

	if (forwarded && exchange->http->service->config->trust_forwarded)
		address = text_last_address(arena, forwarded);
	return *address ? text_of_whom(arena, address) : exchange->client->address;
}

/* ---- headers -------------------------------------------------------------------------------- */

struct head {
	struct request *request;
	const char *forwarded; /* the last */
	const char *host;
	int hosts;
};

static const char *keep(struct request *request, const char *text)
{
	return arena_copy(&request->arena, text, strlen(text));
}

static void add_query(struct request *request, const char *name, const char *value)
{
	if (request->query.count < FIELDS_MAX)
		fields_add(&request->query, name, value, strlen(value));
}

static const char none[] = "";

/* The first of its name. */
static void take(struct head *head, const char **place, const char *value)
{
	if (*place == none)
		*place = keep(head->request, value);
}

static void take_host(struct head *head, const char *value)
{
	head->host = value;
	head->hosts++;
}

static bool is_host(const char *name)
{
	/* A blank before the colon is no part of the name to everybody. */
	return strncasecmp(name, "host", 4) == 0 && !name[4 + strspn(name + 4, " \t")];
}

static void add_header(struct head *head, const char *name, const char *value)
{
	struct request *request = head->request;

	switch (*name | 0x20) {
	case 'a':
		if (strcasecmp(name, "Authorization") == 0)
			take(head, &request->authorization, value);
		break;
	case 'c':
		if (strcasecmp(name, "Cookie") == 0)
			take(head, &request->cookies, value);
		else if (strcasecmp(name, "Content-Type") == 0)
			take(head, &request->content_type, value);
		break;
	case 'h':
		if (is_host(name))
			take_host(head, value);
		break;
	case 'i':
		if (strcasecmp(name, "If-None-Match") == 0)
			take(head, &request->if_none_match, value);
		break;
	case 'x':
		if (strcasecmp(name, "X-Forwarded-For") == 0)
			head->forwarded = value;
		break;
	default:
		break;
	}
}

static enum MHD_Result add(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct head *head = arg;

	if (kind == MHD_GET_ARGUMENT_KIND)
		add_query(head->request, name, value ? value : "");
	else
		add_header(head, name, value ? value : "");
	return MHD_YES;
}

static void read_values(struct exchange *exchange)
{
	struct request *request = &exchange->request;
	struct head head = { .request = request };

	MHD_get_connection_values(exchange->connection, MHD_HEADER_KIND | MHD_GET_ARGUMENT_KIND,
				  add, &head);
	/* Two of them: whoever is in between may have believed the other one. */
	request->host = head.hosts == 1 ? keep(request, head.host) : NULL;
	request->address = client_address(exchange, head.forwarded);
}

/* ---- the whole ------------------------------------------------------------------------------ */

static enum method method_of(const char *name)
{
	if (strcmp(name, "GET") == 0 || strcmp(name, "HEAD") == 0)
		return METHOD_GET;
	return strcmp(name, "POST") == 0 ? METHOD_POST : METHOD_OTHER;
}

static const char *label_of(struct request *request, const char *method)
{
	const struct route *route = request->route;

	if (route && strcmp(method, "HEAD") != 0)
		return route->label;
	return arena_print(&request->arena, "%s %.40s", method, route ? route->path : "?");
}

void head_read(struct exchange *exchange, const char *path, const char *method)
{
	struct request *request = &exchange->request;
	struct service *service = exchange->http->service;
	bool other_method;

	request->service = service;
	request->method = method_of(method);
	request->path = keep(request, path);
	request->cookies = request->content_type = none;
	request->authorization = request->if_none_match = none;
	request->visitor.name = "";
	read_values(exchange);
	request->route = route_find(request, &other_method);
	request->db.pool = service->pool;
	request->db.label = label_of(request, method);
	request->db.prepares = service->config->prepare;
	exchange->is_scanner = route_is_scanners(request);
}
