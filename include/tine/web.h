/* SPDX-License-Identifier: PostgreSQL */
/*
 * libtine-web: the status page of a process tree, to be mounted in a service. It speaks no HTTP
 * itself: the service says what was asked for and sends what comes back, with whatever library it
 * has. (`tine web` is the same page with a server of its own.)
 *
 *	tine_web_config config;
 *	tine_web_request request = { .size = sizeof(request) };
 *	tine_web_response response;
 *	tine_web *web;
 *
 *	tine_web_config_init(&config);
 *	config.mount = "/status";
 *	web = tine_web_new(&config, &error);                    before the workers are forked
 *	...
 *	request.method = "GET";                                 in a worker, for /status and
 *	request.path = "/status/json";                          everything below it
 *	request.query = "tree=web";
 *	tine_web_respond(web, &request, &response);
 *	send response.status, response.headers, response.type as Content-Type, response.body
 *	tine_web_response_clear(&response);
 *
 * Compile and link with `pkg-config --cflags --libs tine-web`. It needs libtine and jansson.
 *
 * What is shown is read from copies of boards, and nothing is written to them. There is a board
 * when a pool has a budget or a name (the setting "budget" or "name", or `tine run --budget`).
 *
 * Who may see the page is the service's to decide: it names processes, labels of connections and
 * texts of the database server's errors, never a password nor a statement. All routes are GET and
 * HEAD and change nothing, so no token is needed.
 *
 * The library starts no thread and no process, installs no signal handler, prints nothing.
 *
 * Threads: a tine_web may be used by any number of threads at once.
 * Fork: at any time; it works on both sides. All processes share the history of the plots, whoever
 * looked.
 */
#ifndef TINE_WEB_H
#define TINE_WEB_H

#include <tine/tine.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tine_web tine_web;

/** Filled by tine_web_config_init(). Texts are copied. */
typedef struct tine_web_config {
	size_t size;              /* of this struct as the program knows it */
	const char *mount;        /* path of the page, "/status"; "" (default): the server's root */
	const char *const *trees; /* names, with NULL behind; NULL (default): all */
	bool own; /* only trees that this process or its parent is in (default); false: all that
		   * the user may see, root those of everybody */
	const char *const *hosts; /* names that a Host field may have, without a port, with NULL
				   * behind; NULL (default): not checked, the service has done so */
} tine_web_config;

/** All defaults.
 *  @param size_bytes  added by the macro below */
TINE_PUBLIC void tine_web_config_init(tine_web_config *config, size_t size_bytes);
#define tine_web_config_init(config) (tine_web_config_init)((config), sizeof(*(config)))

/** Make one; it looks at nothing yet.
 *  @return NULL: TINE_E_INVALID (the mount is no path), TINE_E_NOMEM */
TINE_PUBLIC tine_web *tine_web_new(const tine_web_config *config, tine_error *error);

/** NULL is fine. In each process that has it. */
TINE_PUBLIC void tine_web_free(tine_web *web);

/** What a client asked for. Texts are as they came, not decoded; nothing of them is believed. */
typedef struct tine_web_request {
	size_t size;        /* of this struct as the program knows it */
	const char *method; /* "GET" */
	const char *path;   /* whole, with the mount: "/status/json" */
	const char *query;  /* behind the '?'; NULL: none */
	const char *host;   /* the Host field; NULL: none. Read only when hosts are set */
} tine_web_request;

typedef struct tine_web_header {
	const char *name, *value;
} tine_web_header;

typedef struct tine_web_response {
	int status;                     /* 200, 301, 404, 405, 421, 503 */
	const char *type;               /* Content-Type */
	const tine_web_header *headers; /* all others that have to be sent; constant */
	int headers_count;
	const char *body; /* to HEAD, send its length as Content-Length and no body */
	size_t body_bytes;
	void *owned; /* the library's */
} tine_web_response;

/** Answer a request. May look at the boards, which takes about a millisecond, at most twice a
 *  second whatever is asked; does not wait for anything else.
 *  @param ret_response  filled in every case; ended by tine_web_response_clear() */
TINE_PUBLIC void tine_web_respond(tine_web *web, const tine_web_request *request,
				  tine_web_response *ret_response);

/** Free what a response has; it may be cleared twice. */
TINE_PUBLIC void tine_web_response_clear(tine_web_response *response);

/** Look, for the history of the plots. Called once a second, by one thread of any process, it gives
 *  a page that is opened the minutes before; without that the history is of the times at which
 *  somebody had a page open. Does nothing when somebody looked just now.
 *  @return 0 or TINE_E_NOMEM */
TINE_PUBLIC int tine_web_look(tine_web *web);

#ifdef __cplusplus
}
#endif

#endif
