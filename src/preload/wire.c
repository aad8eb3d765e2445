/* SPDX-License-Identifier: PostgreSQL */
#include "preload/wire.h"

#include <stdbool.h>
#include <string.h>

#define CODE_CANCEL 80877102
#define CODE_SSL 80877103
#define CODE_GSSENC 80877104
#define STARTUP_MAX_BYTES 10000 /* MAX_STARTUP_PACKET_LENGTH of the server */

#define TLS_HANDSHAKE 0x16
#define TLS_CLIENT_HELLO 0x01
#define TLS_EXTENSION_ALPN 16

/* What is left of untrusted bytes; a read beyond the end makes it empty and returns zero. */
struct reader {
	const uint8_t *at;
	size_t left;
};

static uint32_t read_number(struct reader *reader, size_t bytes)
{
	uint32_t number = 0;

	if (reader->left < bytes) {
		reader->left = 0;
		return 0;
	}
	for (size_t i = 0; i < bytes; i++)
		number = number << 8 | reader->at[i];
	reader->at += bytes;
	reader->left -= bytes;
	return number;
}

/* Take the next length bytes, or what there is of them, as a reader of its own. */
static struct reader read_part(struct reader *reader, size_t length)
{
	struct reader part = { reader->at, length < reader->left ? length : reader->left };

	reader->at += part.left;
	reader->left -= part.left;
	return part;
}

static bool alpn_is_postgresql(struct reader list)
{
	read_number(&list, 2);
	while (list.left) {
		struct reader name = read_part(&list, read_number(&list, 1));

		if (name.left == strlen("postgresql") && !memcmp(name.at, "postgresql", name.left))
			return true;
	}
	return false;
}

/* RFC 8446 section 4.1.2, behind the five bytes of record header. */
static enum tine_wire_verdict judge_hello(struct reader hello)
{
	if (read_number(&hello, 1) != TLS_CLIENT_HELLO)
		return TINE_WIRE_OTHER;
	read_part(&hello, 3 + 2 + 32);             /* length, version, random */
	read_part(&hello, read_number(&hello, 1)); /* session id */
	read_part(&hello, read_number(&hello, 2)); /* cipher suites */
	read_part(&hello, read_number(&hello, 1)); /* compression methods */
	read_number(&hello, 2);                    /* length of the extensions */
	while (hello.left) {
		uint32_t type = read_number(&hello, 2);
		struct reader body = read_part(&hello, read_number(&hello, 2));

		if (type == TLS_EXTENSION_ALPN && alpn_is_postgresql(body))
			return TINE_WIRE_TLS_NAMED;
	}
	return TINE_WIRE_TLS;
}

/* The first parameter name of a StartupMessage ("user", "database", "_pq_.…"). */
static bool starts_name(uint8_t byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '_';
}

static enum tine_wire_verdict judge_startup(uint32_t length, uint32_t code, struct reader rest)
{
	if (length == 8 && (code == CODE_SSL || code == CODE_GSSENC))
		return TINE_WIRE_NEGOTIATION;
	if (code == CODE_CANCEL && length >= 16 && length <= STARTUP_MAX_BYTES)
		return TINE_WIRE_PLAIN;
	if (code >> 16 != 3 || length <= 8 || length > STARTUP_MAX_BYTES)
		return TINE_WIRE_OTHER;
	if (!rest.left)
		return TINE_WIRE_SHORT;
	return starts_name(rest.at[0]) ? TINE_WIRE_PLAIN : TINE_WIRE_OTHER;
}

enum tine_wire_verdict tine_wire_judge(const uint8_t *bytes, size_t length)
{
	struct reader reader = { bytes, length };
	uint32_t packet_length, code;

	if (!length)
		return TINE_WIRE_SHORT;
	if (bytes[0] == TLS_HANDSHAKE) {
		if (length < 6)
			return TINE_WIRE_SHORT;
		return bytes[1] == 3 ? judge_hello((struct reader){ bytes + 5, length - 5 })
				     : TINE_WIRE_OTHER;
	}
	/* Every packet that starts a connection is shorter than 64 KiB. */
	if (bytes[0] != 0 || (length > 1 && bytes[1] != 0))
		return TINE_WIRE_OTHER;
	if (length < 8)
		return TINE_WIRE_SHORT;
	packet_length = read_number(&reader, 4);
	code = read_number(&reader, 4);
	return judge_startup(packet_length, code, reader);
}

char tine_wire_transaction(const uint8_t *bytes, size_t length)
{
	static const uint8_t ready[] = { 'Z', 0, 0, 0, 5 };
	char status;

	if (length < 6 || memcmp(bytes + length - 6, ready, sizeof(ready)) != 0)
		return 0;
	status = (char)bytes[length - 1];
	return status == 'I' || status == 'T' || status == 'E' ? status : 0;
}
