/* SPDX-License-Identifier: PostgreSQL */
/*
 * A reply as libmicrohttpd sends it, with the headers that every reply has.
 *
 * Locks: none. Fork: in workers only.
 */
#ifndef RECORDS_REPLY_H
#define RECORDS_REPLY_H

#include <stdbool.h>

#include <microhttpd.h>

#include "request.h"

/** @param reply loses its file to what is returned, which refers to its body and data
 *  @param closes the connection ends with it
 *  @return the caller's, for MHD_destroy_response(); NULL when there is no memory */
struct MHD_Response *reply_make(struct reply *reply, bool behind_tls, bool closes);

#endif
