/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/stubs.h"

#include "preload/libpq/wrap.h"

#define STUB(number, type, name, parameters, arguments)                                            \
	static type name##_##number parameters                                                     \
	{                                                                                          \
		return tine_wrap_##name(&tine_copies[number], TINE_UNPACK arguments);              \
	}

_Static_assert(TINE_COPIES == 4, "as many stubs as copies");
#define WRAPPED(type, name, parameters, arguments)                                                 \
	STUB(0, type, name, parameters, arguments)                                                 \
	STUB(1, type, name, parameters, arguments)                                                 \
	STUB(2, type, name, parameters, arguments)                                                 \
	STUB(3, type, name, parameters, arguments)
#include "preload/libpq/functions.inc"

const struct tine_stub tine_stubs[] = {
#define WRAPPED(type, name, parameters, arguments)                                                 \
	{ #name,                                                                                   \
	  offsetof(struct tine_real, name),                                                        \
	  { (void *)name##_0, (void *)name##_1, (void *)name##_2, (void *)name##_3 } },
#include "preload/libpq/functions.inc"
};

const size_t tine_stubs_count = sizeof(tine_stubs) / sizeof(tine_stubs[0]);
