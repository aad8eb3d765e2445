/* SPDX-License-Identifier: PostgreSQL */
/*
 * What libpq reads through OpenSSL: a look at it, so that a line about a fork can say whether an
 * encrypted connection was in a transaction; and the way past libpq for an answer that it is not to
 * see (ahead.h).
 *
 * bind.c leads the SSL_read slot of a libpq here, unless the level above knows its transactions and
 * has no answer to hide. The function that was in the slot is called, so every copy of libpq goes
 * on with its own OpenSSL. While SSL_read runs, libpq reads its socket in the same thread through a
 * hooked recv(): that is how the descriptor is known.
 *
 * Owns a function pointer for each of the first few libpq copies. Threads: no lock; a copy is
 * claimed atomically. Fork: nothing to do.
 */
#ifndef TINE_PRELOAD_TLS_H
#define TINE_PRELOAD_TLS_H

#include <stdbool.h>

/** The function to put into a libpq's SSL_read slot.
 *  @param slot  still holding the real function, or the loader's stub that will look for it
 *  @return NULL when there are too many copies: then the slot is to be left as it is */
void *tine_tls_wrap_read(void **slot);

/** Is what this libpq's SSL_read slot leads to ours? */
bool tine_tls_reads(void *const *slot);

/** A hooked call of this thread has read from an encrypted connection. */
void tine_tls_note_socket(int fd);

#endif
