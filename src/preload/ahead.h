/* SPDX-License-Identifier: PostgreSQL */
/*
 * A statement that goes past libpq, and its answer, which libpq is not to see.
 *
 * The pool resets a session when it comes back, and nobody has to wait for the answer: the server
 * takes one statement after the other. But libpq sends nothing while an answer is due. So the reset
 * is written to the connection below it, and its answer taken out of what libpq reads there.
 *
 * Where that is allowed TCP holds it back until the next statement is sent, and for about 200 ms at
 * most (MSG_MORE, tcp(7); what ends it is the timer of a probe): both go in one segment then, and
 * the server is woken once.
 *
 * Invariants
 *  - Only what that very connection brings is taken. It is known by its SSL object, or by its
 *    number where nothing is encrypted; where a call has read a socket it was that number; and it
 *    is forgotten when the number is closed or made anew.
 *  - Nothing behind the first ReadyForQuery is touched.
 *  - A parameter's new value is libpq's. What tells of rows, commands, notices and notifications is
 *    nobody's. All else (an error) means that the session is not as new: to libpq the connection
 *    has broken.
 *
 * Owns a table of connections whose answer is due. Threads: no lock; a place is claimed atomically,
 * and what it says is changed by the thread that has the connection. Fork: an answer that is due is
 * the parent's; the child forgets all.
 */
#ifndef TINE_PRELOAD_AHEAD_H
#define TINE_PRELOAD_AHEAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TINE_AHEAD_HEADER 5 /* a message's type and length */

/* Room that is needed in front of what is read: the part of a header that came before. */
#define TINE_AHEAD_ROOM 8

/* As SSL_write(). */
typedef int tine_ahead_write_fn(void *ssl, const void *bytes, int length);

/* Where the connection is. */
struct tine_ahead_line {
	int fd;
	void *ssl;                  /* NULL: not encrypted */
	tine_ahead_write_fn *write; /* of the OpenSSL that ssl is of */
	bool may_wait;              /* it may be held back */
};

struct tine_ahead {
	_Atomic int fd; /* -1: the place is free */
	void *_Atomic ssl;
	uint8_t header[TINE_AHEAD_HEADER];
	uint8_t header_bytes;
	bool passes;     /* what is left of this message is libpq's */
	bool has_failed; /* it was no answer to a reset */
	uint32_t left;   /* bytes of this message */
};

/* Places that may be in use: those before this one. */
extern _Atomic unsigned tine_ahead_end;

/** Send a statement of up to 500 bytes.
 *  @return 1 sent; 0 no: nothing was; -1 the connection is of no use any more */
int tine_ahead_send(const struct tine_ahead_line *line, const char *sql);

/* What send() is to do besides, in this thread: MSG_MORE or nothing. */
extern __thread int tine_ahead_flags;

static inline bool tine_ahead_any(void)
{
	return __builtin_expect(
		atomic_load_explicit(&tine_ahead_end, memory_order_relaxed) != 0, 0);
}

/** Let go what may be held back at this number. Changes errno */
void tine_ahead_push(int fd);

/** Is an answer due at this number? */
bool tine_ahead_is_due(int fd);

/** The connection of this number is over. Nothing in a vfork child. */
void tine_ahead_forget(int fd);
void tine_ahead_in_child(void);

/** Whose answer is due there: of an SSL object, or of a number that is not encrypted. For a caller
 *  that has the connection: then it stays until its answer is complete.
 *  @return NULL: nobody's */
struct tine_ahead *tine_ahead_of_tls(const void *ssl);
struct tine_ahead *tine_ahead_of_socket(int fd);

/** Take what is ours out of what was read.
 *  @param bytes  receives libpq's; what was read stands TINE_AHEAD_ROOM behind
 *  @param length what was read
 *  @param ret_is_over  the answer is complete, and the place another one's
 *  @return how many bytes are libpq's, or -1 with errno: the connection is to have broken */
ssize_t tine_ahead_take(struct tine_ahead *ahead, char *bytes, size_t length, bool *ret_is_over);

/* As recv(), of whatever the context says. ret_fd: the socket that was read, -1: none was */
typedef ssize_t tine_ahead_read_fn(const void *context, void *bytes, size_t size, int *ret_fd);

/** Read what is libpq's, as the function does it.
 *  @param ahead  whose answer is due there
 *  @param size   more than TINE_AHEAD_ROOM; libpq has room for 100 bytes at least */
ssize_t tine_ahead_read(struct tine_ahead *ahead, tine_ahead_read_fn *read, const void *context,
			char *bytes, size_t size);

#endif
