/* SPDX-License-Identifier: PostgreSQL */
/*
 * A call that may hang (a name server that does not answer, a login whose arithmetic a hostile
 * server chose) and must not hang the doctor.
 */
#ifndef TINE_DOCTOR_BOUNDED_H
#define TINE_DOCTOR_BOUNDED_H

#include <stdbool.h>

/** Run fn(arg) in a thread of its own, with all signals blocked, and wait for it.
 *  @return true when it ended within the time. When false it may go on for ever: what arg points to
 *  is its own from then on, neither to be read nor to be freed. Also false, with *ret_started false
 *  and arg the caller's, when no thread could be had. */
bool tine_bounded_call(void (*fn)(void *arg), void *arg, int timeout_ms, bool *ret_started);

#endif
