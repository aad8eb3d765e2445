/* SPDX-License-Identifier: PostgreSQL */
#include "board/claim.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

/* How soon who waits for the pace of the tree looks again: connects take longer, as a rule. */
#define PACE_NS (5 * (int64_t)TINE_NS_PER_MS)
#define LOOK_NS (TINE_WAITER_LOOK_MS * (int64_t)TINE_NS_PER_MS)

/* The board that was found may be on its way out, with its last member. */
#define JOIN_TRIES 10

int tine_board_join(struct tine_board *board, const struct tine_board_spec *spec, char *ret_error,
		    size_t error_size)
{
	int rc = -ESTALE;

	for (int i = 0; i < JOIN_TRIES && rc == -ESTALE; i++) {
		rc = tine_board_open(board, spec, ret_error, error_size);
		if (rc < 0)
			return rc;
		rc = tine_board_enlist(board);
		if (rc < 0)
			tine_board_close(board);
	}
	if (rc < 0)
		snprintf(ret_error, error_size, "the board %s has no place left: %s", board->path,
			 strerror(-rc));
	return rc;
}

static bool take_permit(struct tine_board *board, struct tine_claim *claim)
{
	if (claim->waiter >= 0)
		tine_waiter_rearm(board, claim->waiter);
	claim->permit = tine_permit_take(board, claim->waiter);
	if (claim->permit < 0 && claim->waiter < 0) {
		claim->waiter = tine_waiter_enter(board);
		/* One may have become free before we could be seen. */
		claim->permit = tine_permit_take(board, claim->waiter);
	}
	return claim->permit >= 0;
}

bool tine_claim_take(struct tine_board *board, struct tine_claim *claim, int64_t now_ns,
		     int64_t *ret_again_ns)
{
	if (!take_permit(board, claim)) {
		*ret_again_ns = now_ns + (claim->waiter < 0 ? PACE_NS : LOOK_NS);
		return false;
	}
	claim->token = tine_token_take(board);
	if (claim->token < 0) {
		tine_permit_give(board, claim->permit, 0);
		claim->permit = -1;
		*ret_again_ns = now_ns + PACE_NS;
		return false;
	}
	tine_waiter_leave(board, claim->waiter);
	claim->waiter = -1;
	return true;
}

void tine_claim_wait(struct tine_board *board, const struct tine_claim *claim, int64_t until_ns)
{
	struct timespec until = { until_ns / TINE_NS_PER_S, until_ns % TINE_NS_PER_S };

	if (claim->waiter < 0)
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
	else
		syscall(SYS_futex, tine_waiter_news(board, claim->waiter), FUTEX_WAIT_BITSET, 0,
			&until, NULL, FUTEX_BITSET_MATCH_ANY);
}

void tine_claim_connected(struct tine_board *board, struct tine_claim *claim)
{
	if (claim->token >= 0)
		tine_token_give(board, claim->token);
	claim->token = -1;
}

void tine_claim_give(struct tine_board *board, struct tine_claim *claim, int open_ms)
{
	tine_claim_connected(board, claim);
	if (claim->waiter >= 0)
		tine_waiter_leave(board, claim->waiter);
	if (claim->permit >= 0)
		tine_permit_give(board, claim->permit, open_ms);
	claim->waiter = claim->permit = -1;
}

size_t tine_claim_explain(const struct tine_board *board, uint64_t waited_ms, char *ret_text,
			  size_t size)
{
	struct tine_permit_use use;
	char holders[300];
	int length;

	tine_permit_count(board, &use);
	tine_permit_holders(board, holders, sizeof(holders));
	length = snprintf(ret_text, size,
			  "no permit within %llu ms: of the budget of %d connections for all "
			  "processes %d are in use, %d acquires wait: %s",
			  (unsigned long long)waited_ms, use.budget, use.taken, use.waiting,
			  holders);
	return (size_t)length < size ? (size_t)length : size - 1;
}

size_t tine_board_identity(const struct tine_board *board, const char *name, char *ret_text,
			   size_t size)
{
	char suffix[32];
	int length;

	length = snprintf(suffix, sizeof(suffix), "[w%d:%d]", tine_board_worker(board),
			  (int)getpid());
	length = snprintf(ret_text, size, "%.*s%s", TINE_IDENTITY_BYTES - length, name ? name : "",
			  suffix);
	return (size_t)length < size ? (size_t)length : size - 1;
}

#define FAREWELL_NS (50 * (int64_t)TINE_NS_PER_MS)

/* The server has left pg_stat_activity by the time it closes its socket. */
int tine_board_await_end(int fd)
{
	int64_t until_ns = tine_clock_ns() + FAREWELL_NS;
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	char unread[256];

	for (;;) {
		ssize_t got = recv(fd, unread, sizeof(unread), MSG_DONTWAIT);

		if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
			return 0;
		if (got < 0 && poll(&wait, 1, tine_clock_poll_ms(until_ns, tine_clock_ns())) == 0)
			return TINE_PERMIT_CLOSED_MS;
	}
}
