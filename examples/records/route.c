/* SPDX-License-Identifier: PostgreSQL */
#include "route.h"

#include <string.h>

#include "assets.h"
#include "handlers.h"
#include "page.h"
#include "service.h"
#include "session.h"
#include "text.h"

#define GET(path) METHOD_GET, "GET " path, path
#define POST(path) METHOD_POST, "POST " path, path

static const struct route routes[] = {
	{ GET("/"), ROLE_NOBODY, ROUTE_SESSION, home_get },
	{ GET("/login"), ROLE_NOBODY, ROUTE_SESSION, login_get },
	{ POST("/login"), ROLE_NOBODY, 0, login_post },
	{ POST("/logout"), ROLE_NOBODY, 0, logout_post },
	{ GET("/documents"), ROLE_READER, 0, documents_get },
	{ POST("/documents"), ROLE_EDITOR, ROUTE_UPLOAD, documents_post },
	{ GET("/documents/*"), ROLE_READER, 0, document_get },
	{ POST("/documents/*/delete"), ROLE_EDITOR, 0, document_delete },
	{ GET("/lots"), ROLE_NOBODY, ROUTE_SESSION, lots_get },
	{ POST("/lots"), ROLE_EDITOR, 0, lots_post },
	{ GET("/lots/*"), ROLE_NOBODY, 0, lot_get },
	{ GET("/admin/"), ROLE_ADMIN, 0, admin_get },
	{ POST("/admin/settings"), ROLE_ADMIN, 0, admin_settings_post },
	{ POST("/admin/users/*/role"), ROLE_ADMIN, 0, admin_role_post },
	{ GET("/health"), ROLE_NOBODY, ROUTE_QUICK, health_get },
	{ GET("/health/db"), ROLE_NOBODY, 0, health_db_get },
	{ GET("/static/*"), ROLE_NOBODY, ROUTE_QUICK, assets_get },
	{ GET("/status"), ROLE_NOBODY, 0, status_get },
	{ GET("/status/"), ROLE_NOBODY, 0, status_get },
	{ GET("/status/*"), ROLE_NOBODY, 0, status_get },
	{ POST("/inbox"), ROLE_NOBODY, ROUTE_RAW, inbox_post },
	{ GET("/inbox/*"), ROLE_NOBODY, 0, inbox_get },
};

#define ROUTES (sizeof(routes) / sizeof(routes[0]))

/* @return false when the path is another */
static bool match(const char *pattern, const char *path, struct arena *arena, const char **ret_part)
{
	size_t part;

	while (*pattern && *pattern != '*' && *pattern == *path) {
		pattern++;
		path++;
	}
	if (*pattern != '*')
		return *pattern == *path;
	part = strcspn(path, "/");
	if (part == 0 || strcmp(path + part, pattern + 1) != 0)
		return false;
	*ret_part = arena_copy(arena, path, part);
	return true;
}

const struct route *route_find(struct request *request, bool *ret_other_method)
{
	*ret_other_method = false;
	request->part = "";
	for (size_t i = 0; i < ROUTES; i++) {
		if (!match(routes[i].path, request->path, &request->arena, &request->part))
			continue;
		if (routes[i].method == request->method)
			return &routes[i];
		*ret_other_method = true;
	}
	return NULL;
}

/* None of them is a scanner's but by what is in the place of the '*', where a point has to be. */
bool route_is_scanners(const struct request *request)
{
	return (!request->route || strchr(request->part, '.')) &&
	       text_is_scanner_path(request->path);
}

/* ---- before the handler --------------------------------------------------------------------- */

static void answer_none(struct request *request, struct reply *reply)
{
	bool other_method;

	route_find(request, &other_method);
	if (!other_method) {
		page_error(request, reply, 404, "There is no such page.");
		return;
	}
	reply_header(reply, "Allow", request->method == METHOD_GET ? "POST" : "GET, HEAD");
	page_error(request, reply, 405, "That page is not for this.");
}

static void send_to_login(struct request *request, struct reply *reply)
{
	const char *next = request->method == METHOD_GET ? request->path : "/";

	/* What would have to be encoded is not gone on to. */
	if (strspn(next, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/-_.") !=
	    strlen(next))
		next = "/";
	reply_see(reply, arena_print(&request->arena, "/login?next=%s", next));
}

void route_refuse(struct request *request, struct reply *reply)
{
	if (request->database_away)
		page_away(request, reply);
	else if (request->visitor.role == ROLE_NOBODY)
		send_to_login(request, reply);
	else
		page_error(request, reply, 403, "Your role does not allow that.");
}

static bool is_too_large(const struct request *request)
{
	return request->form.too_large || request->form.upload.too_large;
}

static void answer_too_large(struct request *request, struct reply *reply)
{
	if (request->route->flags & ROUTE_RAW) {
		reply_json(reply, 413, json_pack("{s:s}", "error", "that is too large"));
		return;
	}
	page_error(request, reply, 413,
		   arena_print(&request->arena, "That is more than fits: a document may have %s.",
			       text_size(&request->arena, settings_upload_limit(request))));
}

/* The word is looked at before anything is asked of the database. */
static void answer(struct request *request, struct reply *reply)
{
	const struct route *route = request->route;
	bool is_form = route->method == METHOD_POST && !(route->flags & ROUTE_RAW);

	if (is_too_large(request)) {
		answer_too_large(request, reply);
		return;
	}
	if (request->form.no_room) {
		page_error(request, reply, 503,
			   "Too many documents are on their way here. Please try again.");
		return;
	}
	if (is_form && !session_form_is_ours(request)) {
		page_error(request, reply, 403,
			   "The form did not come from here, or is too old. Load the page again.");
		return;
	}
	if (route->role != ROLE_NOBODY || (route->flags & ROUTE_SESSION)) {
		session_load(request);
		settings_refresh(request);
	}
	if (request->visitor.role >= route->role)
		route->handler(request, reply);
	else
		route_refuse(request, reply);
}

void route_answer(struct request *request, struct reply *reply)
{
	if (!request->route) {
		answer_none(request, reply);
		return;
	}
	if (request->route->flags & ROUTE_QUICK) {
		request->route->handler(request, reply);
		return;
	}
	session_read(request);
	answer(request, reply);
	session_cookies(request, reply);
}
