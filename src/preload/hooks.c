/* SPDX-License-Identifier: PostgreSQL */
/*
 * The interposed functions of libc, and nothing else. Each one asks first whether this process
 * forked unnoticed (one memory load), tells track.c what the call means when the table says that it
 * matters (one more load), and calls the next definition. A hook changes what a call does only on a
 * descriptor that the guard has severed.
 *
 * The real functions come from dlsym(RTLD_NEXT) at the first need: other libraries' constructors
 * call us before our own has run.
 */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/hot.h"
#include "preload/ahead.h"
#include "preload/bind.h"
#include "preload/fdtable.h"
#include "preload/guard.h"
#include "preload/keep.h"
#include "preload/track.h"

/* Defined under another C name: the headers' own declarations (transparent unions, fortified
 * inlines) stay out of the way, and our calls of the same function are visible as such. */
#define EXPORTED __attribute__((visibility("default")))
#define LISTED __attribute__((section("tine_hooks"), used))
#define HOOK(type, name, ...)                                                                      \
	static type (*_Atomic real_##name)(__VA_ARGS__) TINE_HOT;                                  \
	EXPORTED type hook_##name(__VA_ARGS__) __asm__(#name);                                     \
	LISTED static const struct tine_hook entry_##name = { #name, (void *)hook_##name };        \
	type hook_##name(__VA_ARGS__)

#define ENTER(name)                                                                                \
	do {                                                                                       \
		tine_guard_enter();                                                                \
		if (tine_bind_is_due())                                                           \
			tine_bind_new_libraries();                                                 \
		if (__builtin_expect(!real_##name, 0))                                             \
			real_##name = find_next(#name);                                            \
	} while (0)

static int missing(void)
{
	errno = ENOSYS;
	return -1;
}

/* A program can only call what its libc has, so a function that is not found is never called. */
static void *find_next(const char *name)
{
	int saved_errno = errno;
	void *found = dlsym(RTLD_NEXT, name);

	errno = saved_errno;
	return found ? found : (void *)missing;
}

/* ---- sockets come and go -------------------------------------------------------------------- */

static int made(int fd, void *caller)
{
	if (fd >= 0)
		tine_track_made(fd, caller);
	return fd;
}

/* This thread opens a connection anew. */
static int socket_to_keep(int fd, void *caller)
{
	return fd < 0 ? fd : tine_keep_socket(fd, caller);
}

HOOK(int, socket, int domain, int type, int protocol)
{
	void *caller = __builtin_return_address(0);

	ENTER(socket);
	if (__builtin_expect(tine_keep_fd < 0, 1))
		return made(real_socket(domain, type, protocol), caller);
	if (!tine_keep_allows(caller)) {
		errno = ETIMEDOUT;
		return -1;
	}
	return made(socket_to_keep(real_socket(domain, type, protocol), caller), caller);
}

HOOK(int, accept, int fd, struct sockaddr *address, socklen_t *length)
{
	ENTER(accept);
	return made(real_accept(fd, address, length), __builtin_return_address(0));
}

HOOK(int, accept4, int fd, struct sockaddr *address, socklen_t *length, int flags)
{
	ENTER(accept4);
	return made(real_accept4(fd, address, length, flags), __builtin_return_address(0));
}

HOOK(int, connect, int fd, const struct sockaddr *address, socklen_t length)
{
	int rc;

	ENTER(connect);
	tine_track_connect(fd, address, length, __builtin_return_address(0));
	rc = real_connect(fd, address, length);
	if (rc < 0 && errno != EINPROGRESS && errno != EINTR && errno != EALREADY &&
	    errno != EISCONN && errno != EAGAIN)
		tine_track_connect_failed(fd);
	return rc;
}

HOOK(int, close, int fd)
{
	ENTER(close);
	if (__builtin_expect(tine_keep_fd >= 0, 0) &&
	    tine_keep_close(fd, __builtin_return_address(0)))
		return 0;
	if (tine_fd_word(fd) && !tine_track_close(fd, __builtin_return_address(0)))
		return 0;
	return real_close(fd);
}

static int copied(int fd, int to)
{
	if (to >= 0 && to != fd)
		tine_track_copy(fd, to);
	return to;
}

HOOK(int, dup, int fd)
{
	ENTER(dup);
	return copied(fd, real_dup(fd));
}

HOOK(int, dup2, int fd, int number)
{
	ENTER(dup2);
	return copied(fd, real_dup2(fd, number));
}

HOOK(int, dup3, int fd, int number, int flags)
{
	ENTER(dup3);
	return copied(fd, real_dup3(fd, number, flags));
}

typedef int close_range_fn(unsigned first, unsigned last, int flags);

/* Close around the numbers that have to stay. */
static int close_around(close_range_fn *real, unsigned first, unsigned last, int flags,
			void *caller)
{
	for (uint64_t from = first; from <= last;) {
		uint64_t stays = tine_track_close_range((unsigned)from, last, caller);

		if (stays > from && real((unsigned)from, (unsigned)(stays - 1), flags) < 0)
			return -1;
		from = stays + 1;
	}
	return 0;
}

HOOK(int, close_range, unsigned first, unsigned last, int flags)
{
	ENTER(close_range);
	if ((flags & CLOSE_RANGE_CLOEXEC) || first > last)
		return real_close_range(first, last, flags);
	return close_around(real_close_range, first, last, flags, __builtin_return_address(0));
}

HOOK(void, closefrom, int first)
{
	unsigned from = first < 0 ? 0 : (unsigned)first;

	ENTER(closefrom);
	/* The real one copes with kernels that have no close_range(), so it does whatever it can.
	 */
	if (tine_track_close_range(from, INT_MAX, __builtin_return_address(0)) > INT_MAX)
		real_closefrom(first);
	else
		hook_close_range(from, INT_MAX, 0);
}

HOOK(int, shutdown, int fd, int how)
{
	ENTER(shutdown);
	return real_shutdown(fd, how);
}

HOOK(int, epoll_ctl, int epoll, int operation, int fd, struct epoll_event *event)
{
	ENTER(epoll_ctl);
	if (operation == EPOLL_CTL_ADD && (tine_fd_word(fd) & TINE_FD_LIBPQ))
		tine_fd_watched = true;
	return real_epoll_ctl(epoll, operation, fd, event);
}

/* ---- the process is elsewhere, or somebody else ---------------------------------------------- */

#define PLACE (CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUSER)

/* The same login may be another one now. */
static int moved(int rc, int what)
{
	if (rc == 0 && (what & PLACE))
		tine_guard_moved();
	return rc;
}

HOOK(int, setns, int fd, int what)
{
	ENTER(setns);
	tine_guard_leaving();
	return moved(real_setns(fd, what), what ?: PLACE);
}

HOOK(int, unshare, int what)
{
	ENTER(unshare);
	tine_guard_leaving();
	return moved(real_unshare(what), what);
}

HOOK(int, chroot, const char *path)
{
	ENTER(chroot);
	tine_guard_leaving();
	return moved(real_chroot(path), PLACE);
}

HOOK(int, setuid, uid_t user)
{
	ENTER(setuid);
	tine_guard_leaving();
	return real_setuid(user);
}

HOOK(int, seteuid, uid_t effective)
{
	ENTER(seteuid);
	tine_guard_leaving();
	return real_seteuid(effective);
}

HOOK(int, setreuid, uid_t real, uid_t effective)
{
	ENTER(setreuid);
	tine_guard_leaving();
	return real_setreuid(real, effective);
}

HOOK(int, setresuid, uid_t real, uid_t effective, uid_t saved)
{
	ENTER(setresuid);
	tine_guard_leaving();
	return real_setresuid(real, effective, saved);
}

/* ---- bytes go out --------------------------------------------------------------------------- */

static inline bool looks_at_send(int fd)
{
	return __builtin_expect((tine_fd_word(fd) & TINE_FD_LOOK_SEND) != 0, 0);
}

static ssize_t broken_pipe(void)
{
	errno = EPIPE;
	return -1;
}

static ssize_t watched(int fd, const struct iovec *parts, size_t count, ssize_t sent)
{
	tine_track_sent(fd, parts, count, sent);
	return sent;
}

/* Every statement passes through these two. */
TINE_HOT_CODE
ssize_t hook_send(int fd, const void *bytes, size_t length, int flags) __asm__("send");
TINE_HOT_CODE
ssize_t hook_recv(int fd, void *bytes, size_t size, int flags) __asm__("recv");

HOOK(ssize_t, send, int fd, const void *bytes, size_t length, int flags)
{
	struct iovec part = { (void *)bytes, length };

	ENTER(send);
	if (tine_ahead_any())
		flags |= tine_ahead_flags;
	if (!looks_at_send(fd))
		return real_send(fd, bytes, length, flags);
	if (!tine_track_send(fd, &part, 1))
		return broken_pipe();
	return watched(fd, &part, 1, real_send(fd, bytes, length, flags));
}

HOOK(ssize_t, sendto, int fd, const void *bytes, size_t length, int flags,
     const struct sockaddr *to, socklen_t to_length)
{
	struct iovec part = { (void *)bytes, length };

	ENTER(sendto);
	if (!looks_at_send(fd))
		return real_sendto(fd, bytes, length, flags, to, to_length);
	if (!tine_track_send(fd, &part, 1))
		return broken_pipe();
	return watched(fd, &part, 1, real_sendto(fd, bytes, length, flags, to, to_length));
}

HOOK(ssize_t, sendmsg, int fd, const struct msghdr *message, int flags)
{
	ENTER(sendmsg);
	if (!looks_at_send(fd))
		return real_sendmsg(fd, message, flags);
	if (!tine_track_send(fd, message->msg_iov, message->msg_iovlen))
		return broken_pipe();
	return watched(fd, message->msg_iov, message->msg_iovlen, real_sendmsg(fd, message, flags));
}

HOOK(ssize_t, write, int fd, const void *bytes, size_t length)
{
	struct iovec part = { (void *)bytes, length };

	ENTER(write);
	if (!looks_at_send(fd))
		return real_write(fd, bytes, length);
	if (!tine_track_send(fd, &part, 1))
		return broken_pipe();
	return watched(fd, &part, 1, real_write(fd, bytes, length));
}

HOOK(ssize_t, writev, int fd, const struct iovec *parts, int count)
{
	ENTER(writev);
	if (!looks_at_send(fd) || count <= 0)
		return real_writev(fd, parts, count);
	if (!tine_track_send(fd, parts, (size_t)count))
		return broken_pipe();
	return watched(fd, parts, (size_t)count, real_writev(fd, parts, count));
}

/* ---- bytes come in -------------------------------------------------------------------------- */

/* Only the end of a reply matters; one that is scattered over several buffers is not looked at. */
static inline ssize_t received(int fd, const void *bytes, ssize_t length)
{
	if (__builtin_expect((tine_fd_word(fd) & TINE_FD_LOOK_RECV) != 0, 0) && length > 0)
		tine_track_received(fd, bytes, (size_t)length);
	return length;
}

/* An answer that libpq is not to see, and is read by none of the other functions. */
struct source {
	ssize_t (*receive)(int fd, void *bytes, size_t size, int flags);
	int fd, flags;
};

static ssize_t receive_from(const void *context, void *bytes, size_t size, int *ret_fd)
{
	const struct source *source = context;

	*ret_fd = source->fd;
	return received(source->fd, bytes,
			source->receive(source->fd, bytes, size, source->flags));
}

HOOK(ssize_t, recv, int fd, void *bytes, size_t size, int flags)
{
	struct tine_ahead *ahead;

	ENTER(recv);
	if (tine_ahead_any() && !(flags & MSG_PEEK) && size > TINE_AHEAD_ROOM &&
	    (ahead = tine_ahead_of_socket(fd)) != NULL)
		return tine_ahead_read(ahead, receive_from,
				       &(struct source){ real_recv, fd, flags }, bytes, size);
	return received(fd, bytes, real_recv(fd, bytes, size, flags));
}

HOOK(ssize_t, recvfrom, int fd, void *bytes, size_t size, int flags, struct sockaddr *from,
     socklen_t *from_length)
{
	ENTER(recvfrom);
	return received(fd, bytes, real_recvfrom(fd, bytes, size, flags, from, from_length));
}

HOOK(ssize_t, read, int fd, void *bytes, size_t size)
{
	ENTER(read);
	return received(fd, bytes, real_read(fd, bytes, size));
}

HOOK(ssize_t, recvmsg, int fd, struct msghdr *message, int flags)
{
	ssize_t length;

	ENTER(recvmsg);
	length = real_recvmsg(fd, message, flags);
	if (length > 0 && message->msg_iovlen == 1)
		received(fd, message->msg_iov[0].iov_base, length);
	return length;
}

HOOK(ssize_t, readv, int fd, const struct iovec *parts, int count)
{
	ssize_t length;

	ENTER(readv);
	length = real_readv(fd, parts, count);
	if (length > 0 && count == 1)
		received(fd, parts[0].iov_base, length);
	return length;
}

/* What recv, recvfrom and read are called as in programs built with _FORTIFY_SOURCE. */

HOOK(ssize_t, __recv_chk, int fd, void *bytes, size_t size, size_t room, int flags)
{
	ENTER(__recv_chk);
	return received(fd, bytes, real___recv_chk(fd, bytes, size, room, flags));
}

HOOK(ssize_t, __recvfrom_chk, int fd, void *bytes, size_t size, size_t room, int flags,
     struct sockaddr *from, socklen_t *from_length)
{
	ENTER(__recvfrom_chk);
	return received(fd, bytes,
			real___recvfrom_chk(fd, bytes, size, room, flags, from, from_length));
}

HOOK(ssize_t, __read_chk, int fd, void *bytes, size_t size, size_t room)
{
	ENTER(__read_chk);
	return received(fd, bytes, real___read_chk(fd, bytes, size, room));
}
