/* SPDX-License-Identifier: PostgreSQL */
/* Reading what a client sent, which is hostile. Nothing is allocated. Locks: none. Fork: no state.
 */
#ifndef TINE_WEB_REQUEST_H
#define TINE_WEB_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Take the value of a field out of a query ("a=b&c=d"), decoded.
 *  @param query  NULL is as ""
 *  @return false: it is not there, too long for value, or has a byte that is no printable ASCII
 *          character; value is "" then. The first of several counts */
bool tine_query_get(const char *query, const char *name, char *value, size_t size);

/** The same for a whole number that is not negative. @return -1: none */
int64_t tine_query_number(const char *query, const char *name);

/** Is a Host field one of these names, in any case, with or without a port?
 *  @param host   NULL: there was none
 *  @param names  NULL-terminated; of an IPv6 address without its brackets */
bool tine_host_is_one_of(const char *host, char *const names[]);

#endif
