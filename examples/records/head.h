/* SPDX-License-Identifier: PostgreSQL */
/*
 * The head of a request, out of libmicrohttpd's hands: what handlers are to know of it is copied
 * once, in one pass.
 *
 * Locks: none; the loop's thread. Fork: in workers only.
 */
#ifndef RECORDS_HEAD_H
#define RECORDS_HEAD_H

struct client;
struct exchange;

/** Fill the request, but for its body, and find its route. */
void head_read(struct exchange *exchange, const char *path, const char *method);

/** Note at a new connection what is the same for all of its requests. */
void head_note_client(struct client *client);

#endif
