/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the hooks have seen of each descriptor number: one word per number, in leaves that are
 * mapped when a number in their range is first used. 4 Mi numbers; one beyond that is simply not
 * tracked, and the scan at the fork still looks at it.
 *
 * Invariant: an entry is a hint about a number, never a licence to touch it. A number can be closed
 * and reused behind our back (fclose, a system call), so whoever acts on an entry that says
 * "PostgreSQL" compares its inode with the descriptor's first. Sockets' inode numbers come from a
 * counter.
 *
 * Locks: none; each word is read and written atomically. Fork: copied with the memory; since there
 * is no lock, the child's copy is always consistent. Vfork: a borrower must not write (see
 * track.c).
 */
#ifndef TINE_PRELOAD_FDTABLE_H
#define TINE_PRELOAD_FDTABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TINE_FD_LEAF 1024
#define TINE_FD_LEAVES 4096

/* Lowest three bits: the state. */
enum tine_fd_state {
	TINE_FD_UNKNOWN,   /* nothing seen: the scan must look */
	TINE_FD_QUIET,     /* made by socket() or accept() before our eyes, not connected */
	TINE_FD_CONNECTED, /* connect() seen or in progress, too few bytes to judge */
	TINE_FD_OTHER,     /* connected, and its first bytes are not PostgreSQL's */
	TINE_FD_POSTGRES,  /* recognised */
	TINE_FD_SEVERED,   /* a dead end of ours stands here; the inode is the dead end's */
};

#define TINE_FD_STATE_MASK UINT64_C(7)
/* What the hooks must look at. */
#define TINE_FD_LOOK_SEND (UINT64_C(1) << 3)
#define TINE_FD_LOOK_RECV (UINT64_C(1) << 4)
/* What is known besides. */
#define TINE_FD_NAMED (UINT64_C(1) << 5)     /* its address says PostgreSQL */
#define TINE_FD_INHERITED (UINT64_C(1) << 6) /* an ancestor's, unrecognised at the fork */
#define TINE_FD_TLS (UINT64_C(1) << 7)
#define TINE_FD_LIBPQ                                                                              \
	(UINT64_C(1) << 11) /* libpq called connect(), so libpq will close the number */
/* Transaction status: 0 unknown, or one of these. */
#define TINE_FD_TX_MASK (UINT64_C(7) << 8)
#define TINE_FD_TX_IDLE (UINT64_C(1) << 8)
#define TINE_FD_TX_OPEN (UINT64_C(2) << 8)
#define TINE_FD_TX_BUSY (UINT64_C(3) << 8) /* a request without its ReadyForQuery */
#define TINE_FD_TX_KEPT (UINT64_C(4) << 8) /* in the pool: to the program it is finished */
#define TINE_FD_INODE_SHIFT 12

struct tine_fd_entry {
	_Atomic uint64_t word;
	_Atomic uint8_t start_length; /* first bytes, kept while there are too few to judge */
	uint8_t start[15];
};

extern struct tine_fd_entry *_Atomic tine_fd_leaves[TINE_FD_LEAVES];
/* The first of them once more: most programs have no other. */
extern struct tine_fd_entry *_Atomic tine_fd_first_leaf;

/* No leaf from here on has been made: spares a child the page faults of looking at the rest. */
extern _Atomic int tine_fd_leaves_end;

/* Has an event loop begun to watch a socket of libpq's by epoll? */
extern _Atomic bool tine_fd_watched;

/** The entry of a number, or NULL when nothing near it was ever tracked. */
static inline struct tine_fd_entry *tine_fd_find(int fd)
{
	struct tine_fd_entry *_Atomic *place = &tine_fd_first_leaf;
	struct tine_fd_entry *leaf;
	unsigned number = (unsigned)fd;

	if (number >= (unsigned)TINE_FD_LEAF * TINE_FD_LEAVES)
		return NULL;
	if (number >= TINE_FD_LEAF)
		place = &tine_fd_leaves[number / TINE_FD_LEAF];
	leaf = atomic_load_explicit(place, memory_order_acquire);
	return leaf ? &leaf[number % TINE_FD_LEAF] : NULL;
}

static inline uint64_t tine_fd_word(int fd)
{
	struct tine_fd_entry *entry = tine_fd_find(fd);

	return entry ? atomic_load_explicit(&entry->word, memory_order_relaxed) : 0;
}

/** Does fd still hold the socket that this word of its entry was written for? The invariant's
 * check: before anything is done to fd. Changes errno. */
bool tine_fd_holds(int fd, uint64_t word);

/** The entry of a number, made when missing. @return NULL out of range or without memory */
struct tine_fd_entry *tine_fd_make(int fd);

#endif
