/* SPDX-License-Identifier: PostgreSQL */
/*
 * A seat: what the owner of a permit tells of its connection, for people. Lies in the segment, or
 * in memory of one's own where there is no board. Written with plain stores by the owner alone,
 * also on the path that is taken each time. Nobody decides by it who may connect; only whether it
 * is worth asking the kernel about the socket (ended.c), and what will be free soon (fair.c).
 */
#ifndef TINE_BOARD_SEAT_H
#define TINE_BOARD_SEAT_H

#include <stdatomic.h>
#include <stdint.h>

#define TINE_SEAT_LABEL_BYTES 32

enum tine_seat_state {
	TINE_SEAT_NONE,
	TINE_SEAT_CONNECTING,
	TINE_SEAT_IDLE,
	TINE_SEAT_BUSY,
	TINE_SEAT_CLOSING,
};

/* Of the session, as the last answer left it. */
enum tine_seat_transaction {
	TINE_SEAT_OUTSIDE,
	TINE_SEAT_INSIDE, /* of a transaction */
	TINE_SEAT_ABORTED,
};

struct tine_seat {
	_Alignas(64) _Atomic uint32_t state; /* enum tine_seat_state */
	_Atomic uint32_t transaction;        /* enum tine_seat_transaction */
	_Atomic int64_t since_ns;            /* in this state; coarse monotonic clock */
	_Atomic int64_t opened_ns;
	_Atomic uint64_t uses;
	_Atomic uint32_t backend_pid;
	_Atomic uint32_t target; /* number, see tine_server_find() */
	/* The connection's socket, of the permit's word when it was told; 0: of none. */
	_Atomic uint64_t told_of;
	_Atomic uint64_t cookie;
	_Atomic uint32_t inode, family;
	_Atomic char label[TINE_SEAT_LABEL_BYTES];
};

static inline void tine_seat_set(struct tine_seat *seat, enum tine_seat_state state, int64_t now_ns)
{
	atomic_store_explicit(&seat->since_ns, now_ns, memory_order_relaxed);
	atomic_store_explicit(&seat->state, state, memory_order_relaxed);
}

/** A connect begins: everything is new. */
static inline void tine_seat_begin(struct tine_seat *seat, int target, int64_t now_ns)
{
	atomic_store_explicit(&seat->transaction, TINE_SEAT_OUTSIDE, memory_order_relaxed);
	atomic_store_explicit(&seat->opened_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&seat->uses, 0, memory_order_relaxed);
	atomic_store_explicit(&seat->backend_pid, 0, memory_order_relaxed);
	atomic_store_explicit(&seat->target, (uint32_t)target, memory_order_relaxed);
	atomic_store_explicit(&seat->label[0], '\0', memory_order_relaxed);
	tine_seat_set(seat, TINE_SEAT_CONNECTING, now_ns);
}

static inline void tine_seat_opened(struct tine_seat *seat, uint32_t backend_pid, int64_t now_ns)
{
	atomic_store_explicit(&seat->opened_ns, now_ns, memory_order_relaxed);
	atomic_store_explicit(&seat->backend_pid, backend_pid, memory_order_relaxed);
}

/** What the connection is used for, in this checkout. @param label text without control bytes */
static inline void tine_seat_set_label(struct tine_seat *seat, const char *label)
{
	int i;

	for (i = 0; i < TINE_SEAT_LABEL_BYTES - 1 && label[i]; i++)
		atomic_store_explicit(&seat->label[i], label[i], memory_order_relaxed);
	atomic_store_explicit(&seat->label[i], '\0', memory_order_relaxed);
}

#endif
