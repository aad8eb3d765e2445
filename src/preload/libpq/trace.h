/* SPDX-License-Identifier: PostgreSQL */
/*
 * The program's PQtrace(), which is to show what the program says: what we ask on its connection,
 * and a session that we open, is not in it. libpq does not tell where it traces to, so PQtrace() is
 * noted on its way.
 *
 * Locks: none; a record is its caller's. Fork: the child has the parent's file, as without tine.
 */
#ifndef TINE_PRELOAD_LIBPQ_TRACE_H
#define TINE_PRELOAD_LIBPQ_TRACE_H

#include "preload/libpq/record.h"

/** From now on nothing is traced.
 *  @return did this call end it, so that the caller is to call tine_trace_show()? */
bool tine_trace_hide(struct tine_record *record);
void tine_trace_show(struct tine_record *record);

/** It is traced no more: PQuntrace(). */
void tine_trace_end(struct tine_record *record);

#endif
