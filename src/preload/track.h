/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the hooks tell the table: sockets made, connections begun, first bytes sent, replies
 * received.
 *
 * All of these are called around a system call of the program, keep errno, take no lock and call
 * nothing that may not run in a signal handler. In a vfork child, which runs on its parent's
 * memory, they change nothing.
 */
#ifndef TINE_PRELOAD_TRACK_H
#define TINE_PRELOAD_TRACK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

/** Watch nothing from now on. */
void tine_track_disable(void);

/** socket() or accept() returned fd: whatever the number was before is gone.
 *  @param caller  return address of the call: a socket that libpq makes is PostgreSQL's before it
 * is connected */
void tine_track_made(int fd, void *caller);

/** connect() is about to be called.
 *  @param caller  return address of the call */
void tine_track_connect(int fd, const struct sockaddr *address, socklen_t length, void *caller);

/** connect() failed for good. */
void tine_track_connect_failed(int fd);

/** The hook saw TINE_FD_LOOK_SEND on fd and bytes are about to be sent. Severs fd first when they
 *  show that it is an ancestor's PostgreSQL connection.
 *  @return false when fd is severed: the hook fails with EPIPE in place of the system call, which
 *          would raise SIGPIPE and end a program that a lost connection would not have ended */
bool tine_track_send(int fd, const struct iovec *parts, size_t count);

/** The same bytes have been sent, as many as the system call returned. */
void tine_track_sent(int fd, const struct iovec *parts, size_t count, ssize_t sent);

/** The hook saw TINE_FD_LOOK_RECV on fd and bytes have arrived. */
void tine_track_received(int fd, const void *bytes, size_t length);

/** These bytes were decrypted from what fd received. */
void tine_track_decrypted(int fd, const void *bytes, size_t length);

/** Of the PostgreSQL connection at fd the caller knows how its transaction stands, and says so when
 *  it is asked for (tine_track_say()): its bytes are looked at no more. Nothing for others. */
void tine_track_leave(int fd);

/** How the transaction stands there. @param inode  nothing is noted when it is another socket's
 *  @param transaction  one of TINE_FD_TX_... (fdtable.h) */
void tine_track_say(int fd, ino_t inode, uint64_t transaction);

/** The number to is a copy of fd now. */
void tine_track_copy(int fd, int to);

/** close() is about to be called.
 *  @param caller  return address of the call
 *  @return false when the number has to stay taken: it is severed, libpq will close it, and
 * somebody else does now. Were it free, libpq would later close the file that took it. */
bool tine_track_close(int fd, void *caller);

/** The numbers first to last are about to be closed together.
 *  @return the first of them that has to stay taken, as for tine_track_close(); what is below it
 * may be closed, what is above is to be asked about again. last + 1 when none has to stay. */
uint64_t tine_track_close_range(unsigned first, unsigned last, void *caller);

#endif
