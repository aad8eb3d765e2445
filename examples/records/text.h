/* SPDX-License-Identifier: PostgreSQL */
/*
 * What comes from outside and is judged here: names of files, places to go on to, numbers of lots,
 * paths that only scanners ask for. Pure functions.
 *
 * Locks: none. Fork: nothing to do.
 */
#ifndef RECORDS_TEXT_H
#define RECORDS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"

#define FILE_NAME_BYTES 200
#define LOT_NUMBER_BYTES 12

/** The name of a file as it may be kept and shown: what is behind the last '/' or '\', without
 *  control bytes, valid UTF-8, FILE_NAME_BYTES at most, never empty, "." or "..". */
const char *text_file_name(struct arena *arena, const char *name);

/** The value of Content-Disposition for a file's name, with nothing in it that a header must not
 *  have, whatever the name is. */
const char *text_disposition(struct arena *arena, const char *name);

/** A type such as "text/plain", or "application/octet-stream" for what is not one. */
const char *text_media_type(struct arena *arena, const char *type);

/** A size for people: "10 MiB", "100000 bytes". */
const char *text_size(struct arena *arena, int64_t size_bytes);

/** A path of this service to go on to: begins with one '/', and a browser cannot take it for
 *  another host. @return next, or "/" */
const char *text_next(const char *next);

/** May it be a header's value? No control bytes. */
bool text_is_header_value(const char *value);

/** Valid UTF-8 without control bytes but tab and line feed, of so many bytes.
 *  @param minimum,maximum in bytes */
bool text_is_plain(const char *text, size_t minimum, size_t maximum);

/** Valid UTF-8? */
bool text_is_utf8(const char *text, size_t length);

/** How much of a text fits into so many bytes, without the half of a character; it ends before what
 *  is no UTF-8, too. */
size_t text_fit(const char *text, size_t most_bytes);

/** Of 1 to 100 printable ASCII bytes: the key of something that is sent. */
bool text_is_key(const char *key);

/** A positive whole number, all of it. @return 0 for anything else */
int64_t text_id(const char *text);

/** The number of a lot: year, '-', 1 to 6 digits. Two digits of a year are of 1970 to 2069.
 *  @param ret_number receives the same with four digits, and the rest without leading zeros but
 *                    for four digits
 *  @return the year; 0 for what is not such a number */
int text_lot_number(const char *text, char ret_number[LOT_NUMBER_BYTES]);

/** The last element of a list such as that of X-Forwarded-For, "" when it is empty. */
const char *text_last_address(struct arena *arena, const char *list);

/** Whose an address is, for counting: of IPv6 the first 64 bits, because whoever has one of them
 * has them all; what is embedded IPv4, as that. Anything else is returned as it is. */
const char *text_of_whom(struct arena *arena, const char *address);

/** Is it a path that nobody but a scanner asks for? */
bool text_is_scanner_path(const char *path);

#endif
