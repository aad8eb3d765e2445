/* SPDX-License-Identifier: PostgreSQL */
/*
 * HTTP, by libmicrohttpd: one daemon in each worker, driven by the worker's loop (web.c), without a
 * socket to listen on and without threads. When a request is complete it is answered at once, if
 * that needs no wait, or its connection is suspended and the exchange put into the queue; a handler
 * answers it and resumes the connection, and the loop sends the reply.
 *
 * In this mode MHD_resume_connection() does not end the loop's wait. A handler says `resumed` and
 * then looks whether the loop sleeps; the loop says that it sleeps and then looks whether something
 * was resumed. So one of them sees the other, and a system call is made only when it is needed.
 *
 * While requests wait in the queue, the handlers have enough to do: no handler ends the loop's
 * wait, and the loop looks at no socket until the queue is empty or a moment has passed. To read
 * and send for many at once costs much less than for each alone. Only the loop puts into the queue;
 * so one that found it empty and waits for sockets is woken by whoever resumes.
 *
 * The last connection may end while its handler is still at that; `answering` counts handlers from
 * before they resume to the last that they touch, and http_free() waits for none.
 *
 * Locks: the queue's, and those of the daemon, for MHD_resume_connection() in a handler. All else
 * happens in the loop's thread. Fork: made in the worker.
 */
#ifndef RECORDS_HTTP_H
#define RECORDS_HTTP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <tine/tine.h>

struct exchange;
struct http;
struct service;

/** @return the caller's, for http_free(); NULL when there is no memory or descriptor */
struct http *http_new(struct service *service, tine_worker *worker);

/** To be called when no connection is left. */
void http_free(struct http *http);

/** Wait until http_run() has something to do, or another descriptor is readable.
 *  @param other_fd -1 = none
 *  @param most_ms  and so long at most; -1 = no matter how long
 *  @return true when that one is */
bool http_wait(struct http *http, int other_fd, int most_ms);

/** The same while the queue is not empty: for handlers only, until it is. */
void http_wait_for_answers(struct http *http, int most_ms);

/** Read, answer, send what is possible without a wait, and cut off who is slow: to be called once a
 *  second while there are connections. */
void http_run(struct http *http);

/** Take a connection over. @param fd is closed in any case */
void http_add(struct http *http, int fd);

unsigned http_connections(const struct http *http);

/** Are there as many connections as descriptors allow? */
bool http_is_full(const struct http *http);

/** From now on each connection ends with its next reply; one that is idle has a second for another
 *  request, so that who has just sent one gets its answer. */
void http_drain(struct http *http);

/** Answer an exchange from the queue, and give it back to the loop. */
void http_answer(struct exchange *exchange);

#endif
