/* SPDX-License-Identifier: PostgreSQL */
/*
 * Is this the start of a PostgreSQL connection? Judged by the first bytes the client sends, so that
 * a hosted database on a random port is recognised without being told.
 *
 * Source: PostgreSQL documentation, "Message Formats" (SSLRequest, GSSENCRequest, CancelRequest,
 * StartupMessage) and "SSL Session Encryption" (direct TLS with ALPN "postgresql").
 *
 * Pure functions over borrowed bytes; the bytes are not trusted.
 */
#ifndef TINE_PRELOAD_WIRE_H
#define TINE_PRELOAD_WIRE_H

#include <stddef.h>
#include <stdint.h>

/* Enough to tell a StartupMessage from its look-alikes (a Kafka request has the same eight bytes).
 */
#define TINE_WIRE_ENOUGH_BYTES 9

enum tine_wire_verdict {
	TINE_WIRE_OTHER,       /* certainly something else */
	TINE_WIRE_SHORT,       /* could be either: more bytes are needed */
	TINE_WIRE_NEGOTIATION, /* SSLRequest or GSSENCRequest: PostgreSQL, a second start follows */
	TINE_WIRE_PLAIN,       /* StartupMessage or CancelRequest in the clear */
	TINE_WIRE_TLS_NAMED,   /* TLS ClientHello that asks for ALPN "postgresql" */
	TINE_WIRE_TLS,         /* TLS ClientHello of no declared protocol */
};

/** Judge the first bytes of an outbound stream. */
enum tine_wire_verdict tine_wire_judge(const uint8_t *bytes, size_t length);

/** Transaction status after a reply in the clear.
 *  @return 'I', 'T' or 'E' when bytes end with ReadyForQuery, else 0 */
char tine_wire_transaction(const uint8_t *bytes, size_t length);

#endif
