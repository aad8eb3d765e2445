/* SPDX-License-Identifier: PostgreSQL */
#include "preload/wire.h"

#include "support/check.h"

#define JUDGE(bytes) tine_wire_judge((const uint8_t *)(bytes), sizeof(bytes) - 1)

static const char startup[] = "\0\0\0\x12\0\3\0\0user\0app\0\0";

TEST(recognises_each_start)
{
	CHECK_INT(JUDGE("\0\0\0\x8\x4\xd2\x16\x2f"), ==, TINE_WIRE_NEGOTIATION);
	CHECK_INT(JUDGE("\0\0\0\x8\x4\xd2\x16\x30"), ==, TINE_WIRE_NEGOTIATION);
	CHECK_INT(JUDGE("\0\0\0\x10\x4\xd2\x16\x2e\0\0\0\1\0\0\0\2"), ==, TINE_WIRE_PLAIN);
	CHECK_INT(JUDGE(startup), ==, TINE_WIRE_PLAIN);
	/* protocol 3.2 and the greasing value of newer clients */
	CHECK_INT(JUDGE("\0\0\0\x12\0\3\0\2user\0app\0\0"), ==, TINE_WIRE_PLAIN);
	CHECK_INT(JUDGE("\0\0\0\x17\0\3\x27\x0f_pq_.x\0\0\0"), ==, TINE_WIRE_PLAIN);
}

TEST(leaves_look_alikes)
{
	CHECK_INT(JUDGE("GET / HTTP/1.1\r\n"), ==, TINE_WIRE_OTHER);
	CHECK_INT(JUDGE("*1\r\n$4\r\nPING\r\n"), ==, TINE_WIRE_OTHER);
	/* Kafka: length, api key 3 (Metadata) version 0, correlation id, client id */
	CHECK_INT(JUDGE("\0\0\0\x17\0\3\0\0\0\0\0\1\0\4test\0\0\0\0"), ==, TINE_WIRE_OTHER);
	CHECK_INT(JUDGE("\0\0\0\x8\0\3\0\0"), ==, TINE_WIRE_OTHER);
	CHECK_INT(JUDGE("\0\0\0\x9\x4\xd2\x16\x2f\0"), ==, TINE_WIRE_OTHER);
	CHECK_INT(JUDGE("\0\1\0\x17\0\3\0\0user"), ==, TINE_WIRE_OTHER);
	CHECK_INT(JUDGE("\0\0\x7f\x17\0\3\0\0user"), ==, TINE_WIRE_OTHER);
	CHECK_INT(JUDGE("\0\0\0\x17\0\2\0\0user"), ==, TINE_WIRE_OTHER);
	CHECK_INT(JUDGE("\x16\x2\0\0\0\0\0"), ==, TINE_WIRE_OTHER);
}

TEST(waits_for_enough_bytes)
{
	for (size_t length = 0; length < TINE_WIRE_ENOUGH_BYTES; length++)
		CHECK_INT(tine_wire_judge((const uint8_t *)startup, length), ==, TINE_WIRE_SHORT);
	CHECK_INT(tine_wire_judge((const uint8_t *)startup, TINE_WIRE_ENOUGH_BYTES), ==,
		  TINE_WIRE_PLAIN);
	CHECK_INT(JUDGE("\x16\x3\x1"), ==, TINE_WIRE_SHORT);
}

/* A ClientHello with one extension; returns its length. */
static size_t hello(uint8_t *buf, const char *protocol)
{
	size_t name = strlen(protocol), at = 0;
	uint8_t head[] = { 0x16, 3, 1, 0, 0, 1, 0, 0, 0, 3, 3 };

	memcpy(buf, head, sizeof(head));
	at = sizeof(head);
	memset(buf + at, 7, 32);
	at += 32;
	memcpy(buf + at, "\0\0\x2\x13\x1\1\0", 7); /* session, ciphers, compression */
	at += 7;
	buf[at++] = 0;
	buf[at++] = (uint8_t)(4 + 4 + 3 + name);
	memcpy(buf + at, "\0\x2b\0\0", 4); /* another extension first */
	at += 4;
	buf[at++] = 0;
	buf[at++] = 16;
	buf[at++] = 0;
	buf[at++] = (uint8_t)(3 + name);
	buf[at++] = 0;
	buf[at++] = (uint8_t)(1 + name);
	buf[at++] = (uint8_t)name;
	memcpy(buf + at, protocol, name);
	return at + name;
}

TEST(reads_the_protocol_of_direct_tls)
{
	uint8_t buf[256];
	size_t length = hello(buf, "postgresql");

	CHECK_INT(tine_wire_judge(buf, length), ==, TINE_WIRE_TLS_NAMED);
	/* Cut anywhere it is TLS of unknown kind, never an overrun. */
	for (size_t cut = 6; cut < length; cut++) {
		uint8_t *exact = memcpy(malloc(cut), buf, cut);

		CHECK_INT(tine_wire_judge(exact, cut), ==, TINE_WIRE_TLS);
		free(exact);
	}
	length = hello(buf, "http/1.1");
	CHECK_INT(tine_wire_judge(buf, length), ==, TINE_WIRE_TLS);
}

TEST(sees_the_transaction_status)
{
	CHECK_INT(tine_wire_transaction((const uint8_t *)"xxZ\0\0\0\5I", 8), ==, 'I');
	CHECK_INT(tine_wire_transaction((const uint8_t *)"Z\0\0\0\5T", 6), ==, 'T');
	CHECK_INT(tine_wire_transaction((const uint8_t *)"Z\0\0\0\5E", 6), ==, 'E');
	CHECK_INT(tine_wire_transaction((const uint8_t *)"Z\0\0\0\5X", 6), ==, 0);
	CHECK_INT(tine_wire_transaction((const uint8_t *)"\0\0\0\5I", 5), ==, 0);
}

CHECK_TABLE(T(recognises_each_start), T(leaves_look_alikes), T(waits_for_enough_bytes),
	    T(reads_the_protocol_of_direct_tls), T(sees_the_transaction_status))
