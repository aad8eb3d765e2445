/* SPDX-License-Identifier: PostgreSQL */
/*
 * What stands in place of libpq's functions: tine_wrap_NAME(copy, arguments) for every WRAPPED row
 * of functions.inc. Each does what libpq's manual says of NAME, and more:
 *
 *	connect.c  a connection is made, reset, finished      record.h
 *	use.c      something begins on it, an answer arrives
 *
 * In doubt a wrapper goes on in the real function and changes nothing: on a PGconn that is not in
 * the registry (made before the copy was wrapped), and while we or a callback of libpq's are at
 * work on the same one.
 *
 * Threads, fork: as libpq, one thread at a time uses a PGconn.
 */
#ifndef TINE_PRELOAD_LIBPQ_WRAP_H
#define TINE_PRELOAD_LIBPQ_WRAP_H

#include "preload/libpq/copy.h"

#define TINE_UNPACK(...) __VA_ARGS__

#define WRAPPED(type, name, parameters, arguments)                                                 \
	type tine_wrap_##name(struct tine_copy *copy, TINE_UNPACK parameters);
#include "preload/libpq/functions.inc"

#endif
