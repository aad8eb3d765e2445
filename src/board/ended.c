/* SPDX-License-Identifier: PostgreSQL */
/*
 * Permits of idle processes. A process that does nothing gives nothing back; but a server can be
 * told to end a session that is idle for long (idle_session_timeout), and the kernel knows of every
 * socket whether its other side was closed. So who is in need asks the kernel, and frees the permit
 * of a session that is over, while its owner sleeps, or is stopped, and knows nothing of it.
 *
 * Invariant: a permit is taken from a living member only when the kernel said, of the very socket
 * that its connection has, that the server has closed it. Then no session is under that permit, and
 * there will be none: the permit has another word before its owner connects anew
 * (tine_permit_renew), a word that it never had before, so of that swap and ours one fails. What
 * the owner told of the socket names the word that it is of. No clock, no setting and no promise of
 * the owner's is in this: where the server ends nothing, or the kernel tells nothing, nothing is
 * taken.
 *
 * The exception would be PQreset(), which connects a session anew without asking us, by a program
 * that has the connection in its hands. So only those are looked at that were idle for longer than
 * a connection is handed out unseen: what the kernel knows by then, the owner sees at its socket
 * before it hands the connection out.
 *
 * Locks: none. Fork: nothing to do. Asks at most once in the time between two looks for the dead.
 */
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/netlink.h"
#include "board/permit.h"
#include "board/word.h"

/* Younger ones are left alone: a hundred times what is handed out unseen. */
#define IDLE_NS ((int64_t)TINE_NS_PER_S)

/* So many are looked at in one go, the others in the next. */
#define MOST 128

struct suspect {
	uint64_t word, cookie;
	uint32_t inode, family;
	int permit;
	bool ended;
};

struct search {
	struct suspect suspects[MOST];
	int count;
};

void tine_permit_tell_socket(struct tine_board *board, int permit, int fd)
{
	struct tine_seat *seat = tine_permit_seat(board, permit);
	uint64_t cookie = 0;
	int family = AF_UNSPEC;
	socklen_t cookie_bytes = sizeof(cookie), family_bytes = sizeof(family);
	struct stat st;

	if (!tine_permit_is_own(board, permit) || fstat(fd, &st) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &cookie_bytes) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &family_bytes) < 0)
		return;
	atomic_store(&seat->told_of, 0);
	atomic_store(&seat->cookie, cookie);
	atomic_store(&seat->inode, (uint32_t)st.st_ino);
	atomic_store(&seat->family, (uint32_t)family);
	atomic_store(&seat->told_of, atomic_load(&board->map->permits[permit]));
}

/* ---- whom to ask about ---------------------------------------------------------------------- */

static bool is_suspect(const struct tine_board *board, int permit, int64_t now_ns,
		       struct suspect *ret)
{
	const struct tine_seat *seat = &board->map->seats[permit];
	uint64_t word = atomic_load(&board->map->permits[permit]);
	int64_t since_ns = atomic_load_explicit(&seat->since_ns, memory_order_relaxed);

	/* Our own we see ourselves. */
	if (!tine_permit_owner(word) || tine_permit_owner(word) == board->owner ||
	    atomic_load(&seat->told_of) != word || atomic_load(&seat->state) != TINE_SEAT_IDLE ||
	    since_ns > now_ns - IDLE_NS)
		return false;
	*ret = (struct suspect){
		.word = word,
		.cookie = atomic_load(&seat->cookie),
		.inode = atomic_load(&seat->inode),
		.family = atomic_load(&seat->family),
		.permit = permit,
	};
	return true;
}

static void find_suspects(struct tine_board *board, int64_t now_ns, struct search *ret)
{
	int permits = tine_used(&board->map->permits_used, TINE_BOARD_PERMITS);
	int at = atomic_load_explicit(&board->look_from, memory_order_relaxed);

	ret->count = 0;
	for (int i = 0; i < permits && ret->count < MOST; i++) {
		if (at >= permits)
			at = 0;
		ret->count += is_suspect(board, at++, now_ns, &ret->suspects[ret->count]);
	}
	atomic_store_explicit(&board->look_from, at, memory_order_relaxed);
}

/* ---- what the kernel says ------------------------------------------------------------------- */

static uint64_t cookie_of(const uint32_t words[2])
{
	return (uint64_t)words[1] << 32 | words[0];
}

static void judge(struct search *search, uint64_t cookie, uint32_t inode)
{
	for (int i = 0; i < search->count; i++)
		if (search->suspects[i].cookie == cookie && search->suspects[i].inode == inode)
			search->suspects[i].ended = true;
}

static void take_inet(const struct nlmsghdr *message, void *search)
{
	const struct inet_diag_msg *row = NLMSG_DATA(message);

	if (message->nlmsg_len >= NLMSG_LENGTH(sizeof(*row)) && row->idiag_state == TCP_CLOSE_WAIT)
		judge(search, cookie_of(row->id.idiag_cookie), row->idiag_inode);
}

static void take_unix(const struct nlmsghdr *message, void *search)
{
	const struct unix_diag_msg *row = NLMSG_DATA(message);
	const uint32_t *peer;
	const uint8_t *closed;
	size_t closed_bytes, bytes;

	if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*row)))
		return;
	/* Both directions are closed when we did that ourselves, too; but then there is a peer,
	 * which has a number until it is closed. */
	closed = tine_netlink_attribute(message, sizeof(*row), UNIX_DIAG_SHUTDOWN, &closed_bytes);
	peer = tine_netlink_attribute(message, sizeof(*row), UNIX_DIAG_PEER, &bytes);
	if (closed && *closed == (1 << SHUT_RD | 1 << SHUT_WR) && peer && bytes >= sizeof(*peer) &&
	    *peer == 0)
		judge(search, cookie_of(row->udiag_cookie), row->udiag_ino);
}

/* All sockets that the other side has closed and nobody has here. */
static void ask_inet(int fd, struct search *search, void *buffer, uint8_t family)
{
	const struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 body;
	} request = {
		.header = { .nlmsg_len = sizeof(request),
			    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.body = { .sdiag_family = family,
			  .sdiag_protocol = IPPROTO_TCP,
			  .idiag_states = 1U << TCP_CLOSE_WAIT },
	};

	tine_netlink_ask(fd, &request.header, buffer, TINE_NETLINK_BYTES, take_inet, search);
}

static void ask_unix(int fd, struct search *search, void *buffer, const struct suspect *suspect)
{
	const struct {
		struct nlmsghdr header;
		struct unix_diag_req body;
	} request = {
		.header = { .nlmsg_len = sizeof(request),
			    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			    .nlmsg_flags = NLM_F_REQUEST },
		.body = { .sdiag_family = AF_UNIX,
			  .udiag_states = UINT32_MAX,
			  .udiag_ino = suspect->inode,
			  .udiag_show = UDIAG_SHOW_PEER,
			  .udiag_cookie = { (uint32_t)suspect->cookie,
					    (uint32_t)(suspect->cookie >> 32) } },
	};

	tine_netlink_ask(fd, &request.header, buffer, TINE_NETLINK_BYTES, take_unix, search);
}

/* Of what is not known there is no answer, and nothing is taken. */
static void ask(struct search *search)
{
	char buffer[TINE_NETLINK_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
	cleanup_(tine_closep) int fd = tine_netlink_open();
	bool inet = false, inet6 = false;

	for (int i = 0; fd >= 0 && i < search->count; i++) {
		inet |= search->suspects[i].family == AF_INET;
		inet6 |= search->suspects[i].family == AF_INET6;
		if (search->suspects[i].family == AF_UNIX)
			ask_unix(fd, search, buffer, &search->suspects[i]);
	}
	if (inet)
		ask_inet(fd, search, buffer, AF_INET);
	if (inet6)
		ask_inet(fd, search, buffer, AF_INET6);
}

void tine_permit_free_ended(struct tine_board *board)
{
	struct search search;

	find_suspects(board, tine_clock_ns(), &search);
	if (!search.count)
		return;
	ask(&search);
	for (int i = 0; i < search.count; i++)
		if (search.suspects[i].ended)
			tine_permit_free(board->map, search.suspects[i].permit,
					 search.suspects[i].word, 0);
}
