/* SPDX-License-Identifier: PostgreSQL */
/*
 * The routes, what is refused, and the fields that are sent with everything.
 *
 * Owns: the memory of a response. Locks: the look's, while its answer is written. Fork: no state.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "web/assets.h"
#include "web/request.h"
#include "web/web.h"

#define TEXT_TYPE "text/plain; charset=utf-8"
#define HTML_TYPE "text/html; charset=utf-8"
#define JSON_TYPE "application/json; charset=utf-8"
#define METRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* No script but the page's own, nothing from elsewhere, in nobody's frame, never sent on. */
#define SAFE_FIELDS                                                                                \
	{ "Content-Security-Policy",                                                               \
	  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "              \
	  "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" },     \
		{ "X-Content-Type-Options", "nosniff" }, { "X-Frame-Options", "DENY" },            \
		{ "Referrer-Policy", "no-referrer" },                                              \
		{ "Cross-Origin-Resource-Policy", "same-origin" },                                 \
		{ "Cross-Origin-Opener-Policy", "same-origin" },                                   \
	{                                                                                          \
		"Cache-Control", "no-store"                                                        \
	}

#define SAFE_COUNT 7

static const tine_web_header safe_fields[] = { SAFE_FIELDS };
static const tine_web_header refusal_fields[] = { SAFE_FIELDS, { "Allow", "GET, HEAD" } };

_Static_assert(sizeof(safe_fields) / sizeof(safe_fields[0]) == SAFE_COUNT, "as it says");

struct redirect {
	tine_web_header fields[SAFE_COUNT + 1];
	char location[TINE_WEB_MOUNT_BYTES + 2];
};

typedef void route_fn(tine_web *web, const tine_web_request *request, tine_web_response *ret);

/* ---- answers -------------------------------------------------------------------------------- */

static void say(tine_web_response *ret, int status, const char *text)
{
	*ret = (tine_web_response){
		.status = status,
		.type = TEXT_TYPE,
		.headers = safe_fields,
		.headers_count = SAFE_COUNT,
		.body = text,
		.body_bytes = strlen(text),
	};
}

static void say_no_memory(tine_web_response *ret)
{
	say(ret, 503, "out of memory\n");
}

/* The response takes over what was written. */
static void give(tine_web_response *ret, const char *type, struct tine_out *out)
{
	if (out->no_memory) {
		free(out->bytes);
		say_no_memory(ret);
		return;
	}
	say(ret, 200, "");
	ret->type = type;
	ret->body = ret->owned = out->bytes;
	ret->body_bytes = out->length;
}

static void redirect(const tine_web *web, tine_web_response *ret)
{
	struct redirect *redirect = calloc(1, sizeof(*redirect));

	if (!redirect) {
		say_no_memory(ret);
		return;
	}
	say(ret, 301, "the page is a directory: with a slash at its end\n");
	memcpy(redirect->fields, safe_fields, sizeof(safe_fields));
	snprintf(redirect->location, sizeof(redirect->location), "%s/", web->mount);
	redirect->fields[SAFE_COUNT] = (tine_web_header){ "Location", redirect->location };
	ret->headers = redirect->fields;
	ret->headers_count = SAFE_COUNT + 1;
	ret->owned = redirect;
}

/* ---- routes --------------------------------------------------------------------------------- */

/* @return false: a tree was asked for by name, and there is none of it */
static bool find_tree(const struct tine_look *look, const tine_web_request *request, int *ret_tree)
{
	char key[TINE_WEB_KEY_BYTES];

	*ret_tree = -1;
	if (!tine_query_get(request->query, "tree", key, sizeof(key)))
		return true;
	*ret_tree = tine_look_find(look, key);
	return *ret_tree >= 0;
}

static void get_page(tine_web *web, const tine_web_request *request, tine_web_response *ret)
{
	struct tine_look *look = tine_look_begin(web);
	struct tine_out out = { 0 };
	bool found;
	int tree;

	if (!look) {
		say_no_memory(ret);
		return;
	}
	found = find_tree(look, request, &tree);
	if (found && tree < 0)
		tree = tine_look_find(look, NULL);
	tine_web_write_page(web, look, tree, &out);
	tine_look_end(web);
	give(ret, HTML_TYPE, &out);
	if (!found && ret->status == 200)
		ret->status = 404;
}

static void get_json(tine_web *web, const tine_web_request *request, tine_web_response *ret)
{
	struct tine_look *look = tine_look_begin(web);
	struct tine_out out = { 0 };
	int tree;

	if (!look) {
		say_no_memory(ret);
		return;
	}
	if (find_tree(look, request, &tree)) {
		tine_web_write_json(web, look, tree, tine_query_number(request->query, "history"),
				    &out);
		tine_look_end(web);
		give(ret, JSON_TYPE, &out);
		return;
	}
	tine_look_end(web);
	say(ret, 404, "{\"error\":\"there is no such tree\"}\n");
	ret->type = JSON_TYPE;
}

static void get_metrics(tine_web *web, const tine_web_request *request, tine_web_response *ret)
{
	struct tine_look *look = tine_look_begin(web);
	struct tine_out out = { 0 };

	(void)request;
	if (!look) {
		say_no_memory(ret);
		return;
	}
	tine_web_write_metrics(look, &out);
	tine_look_end(web);
	give(ret, METRICS_TYPE, &out);
}

/* Whether this answers; of the trees it says nothing, so that a watchdog does not restart it for
 * what a database did. */
static void get_health(tine_web *web, const tine_web_request *request, tine_web_response *ret)
{
	(void)request;
	if (tine_web_look(web) < 0) {
		say_no_memory(ret);
		return;
	}
	say(ret, 200, "{\"status\":\"ok\"}\n");
	ret->type = JSON_TYPE;
}

static const struct {
	const char *path;
	route_fn *get;
} routes[] = {
	{ "/", get_page },
	{ "/json", get_json },
	{ "/metrics", get_metrics },
	{ "/health", get_health },
};

static void find_route(tine_web *web, const tine_web_request *request, const char *path,
		       tine_web_response *ret)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		if (strcmp(path, routes[i].path) == 0) {
			routes[i].get(web, request, ret);
			return;
		}
	}
	for (size_t i = 0; i < tine_assets_count; i++) {
		if (strcmp(path, tine_assets[i].path) == 0) {
			say(ret, 200, "");
			ret->type = tine_assets[i].type;
			ret->body = tine_assets[i].bytes;
			ret->body_bytes = tine_assets[i].length;
			return;
		}
	}
	if (!*path && *web->mount)
		redirect(web, ret);
	else
		say(ret, 404, "there is no such page\n");
}

/* ---- requests ------------------------------------------------------------------------------- */

/* What is behind the mount. @return NULL: it is not below it */
static const char *below_mount(const tine_web *web, const char *path)
{
	size_t length = strlen(web->mount);

	if (strncmp(path, web->mount, length) != 0)
		return NULL;
	path += length;
	return *path == '/' || !*path ? path : NULL;
}

static bool reads(const char *method)
{
	return method && (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0);
}

void tine_web_respond(tine_web *web, const tine_web_request *request,
		      tine_web_response *ret_response)
{
	tine_web_request all = { 0 };
	const char *path;

	memcpy(&all, request, request->size < sizeof(all) ? request->size : sizeof(all));
	path = below_mount(web, all.path ? all.path : "");
	if (web->hosts && !tine_host_is_one_of(all.host, web->hosts)) {
		say(ret_response, 421, "the Host field names no server that is this one\n");
	} else if (!reads(all.method)) {
		say(ret_response, 405, "only GET and HEAD\n");
		ret_response->headers = refusal_fields;
		ret_response->headers_count = SAFE_COUNT + 1;
	} else if (!path) {
		say(ret_response, 404, "there is no such page\n");
	} else {
		find_route(web, &all, path, ret_response);
	}
}

void tine_web_response_clear(tine_web_response *response)
{
	free(response->owned);
	*response = (tine_web_response){ 0 };
}
