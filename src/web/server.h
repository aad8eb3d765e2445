/* SPDX-License-Identifier: PostgreSQL */
/*
 * tine-web's HTTP, by libmicrohttpd, in one thread: what clients send is handed to
 * tine_web_respond(), a look is taken every second, and whoever is slow is cut off.
 *
 * Owns: the daemon and its connections. Locks: none. Fork: none.
 */
#ifndef TINE_WEB_SERVER_H
#define TINE_WEB_SERVER_H

#include "tine/web.h"
#include "web/examine.h"
#include "web/socket.h"

/** Serve until SIGTERM or SIGINT, which have to be blocked.
 *  @param examiner  NULL: none
 *  @return 0 or -errno */
int tine_server_run(tine_web *web, const struct tine_socket *listener,
		    struct tine_examiner *examiner);

#endif
