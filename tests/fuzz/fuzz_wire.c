/* SPDX-License-Identifier: PostgreSQL */
/* The first bytes of a connection are whatever a program sends. */
#include "preload/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	enum tine_wire_verdict whole = tine_wire_judge(bytes, length);

	/* Too short is never said of enough bytes, and more bytes never take back a "certainly". */
	if (whole == TINE_WIRE_SHORT && length >= TINE_WIRE_ENOUGH_BYTES)
		__builtin_trap();
	for (size_t cut = 0; cut < length && cut < 16; cut++)
		if (tine_wire_judge(bytes, cut) == TINE_WIRE_OTHER && whole != TINE_WIRE_OTHER)
			__builtin_trap();
	tine_wire_transaction(bytes, length);
	return 0;
}
