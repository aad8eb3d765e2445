/* SPDX-License-Identifier: PostgreSQL */
/*
 * Keep a descriptor number while a libpq closes the socket that has it and makes another one.
 *
 * A program may hold the number that PQsocket() gave it: in an event loop, or to wait for an answer
 * to what it sends next. So while a connection is opened anew the hooks of close() and socket() let
 * the thread's libpq believe that it closed the number and was given the same one again: in between
 * a dead end stands there, and a new socket is moved to it.
 *
 * Invariants
 *  - From tine_keep_begin() to tine_keep_end() the number is never free, so nobody else is given
 *    it. After the end it is what libpq believes: its socket, or free.
 *  - Only calls of the named libpq in this thread are answered so: a name look-up or Kerberos makes
 *    sockets of its own in the middle of it.
 *
 * State is one thread's. Locks: none. Fork: a fork in between (from a callback of libpq's) leaves
 * the number with a socket that the guard severs. Async-signal-safe but for what libpq does.
 */
#ifndef TINE_PRELOAD_KEEP_H
#define TINE_PRELOAD_KEEP_H

#include <stdbool.h>
#include <stdint.h>

/* The number that this thread keeps, or -1; one that is nobody's while sockets are refused only. */
extern __thread int tine_keep_fd;

/** Keep fd, which is open, against the libpq whose code lies from start to end. */
void tine_keep_begin(int fd, uintptr_t start, uintptr_t end);

/** From now on libpq gets no socket any more, and the one it has is a dead end: what it is doing
 *  comes to its end soon. */
void tine_keep_cut(void);

/** Stop keeping.
 *  @param is_used  libpq takes the number for that of its socket; else it is made free */
void tine_keep_end(bool is_used);

/** Until tine_keep_refused() that libpq gets no socket in this thread: a connect that it begins
 *  fails at once, with all that it has read of its options. */
void tine_keep_refuse(uintptr_t start, uintptr_t end);

/** @return true when it has asked for one: nothing else was in its way */
bool tine_keep_refused(void);

/** Put a dead end at fd, which libpq will close: it finds the connection lost.
 *  @return false when that was not possible, and fd is as it was */
bool tine_keep_sever(int fd);

/** For the hook of close(). @return true when the number is kept, and close() has succeeded */
bool tine_keep_close(int fd, const void *caller);

/** For the hook of socket(): may this caller have one? */
bool tine_keep_allows(const void *caller);

/** For the hook of socket(), which has made one. @return the number that the caller is to have */
int tine_keep_socket(int fd, const void *caller);

#endif
