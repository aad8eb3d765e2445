/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/use.h"

#include "base/clock.h"
#include "preload/libpq/wrap.h"

struct tine_record *tine_use_begin(const struct tine_copy *copy, PGconn *conn,
				   const struct tine_statement *statement)
{
	struct tine_record *record;

	(void)statement;
	tine_guard_enter();
	record = tine_record_find(conn);
	if (!record || record->copy != copy || record->inside)
		return NULL;
	return record;
}

void tine_use_end(struct tine_record *record, const PGresult *result)
{
	(void)result;
	if (record)
		record->used_ns = tine_clock_coarse_ns();
}

void tine_use_answer(struct tine_record *record, const PGresult *result)
{
	if (!result)
		record->used_ns = tine_clock_coarse_ns();
}

#define WRAPPED(type, name, parameters, arguments)

#define BEGINS(type, name, parameters, arguments, ...)                                             \
	type tine_wrap_##name(struct tine_copy *copy, TINE_UNPACK parameters)                      \
	{                                                                                          \
		const struct tine_statement what = { __VA_ARGS__ };                                \
		struct tine_record *record = tine_use_begin(copy, conn, &what);                    \
		type value = copy->real.name arguments;                                            \
                                                                                                   \
		tine_use_end(record, NULL);                                                        \
		return value;                                                                      \
	}

#define SENDS(type, name, parameters, arguments, ...)                                              \
	type tine_wrap_##name(struct tine_copy *copy, TINE_UNPACK parameters)                      \
	{                                                                                          \
		const struct tine_statement what = { __VA_ARGS__ };                                \
                                                                                                   \
		tine_use_begin(copy, conn, &what);                                                 \
		return copy->real.name arguments;                                                  \
	}

#define ASKS(type, name, parameters, arguments, ...)                                               \
	type tine_wrap_##name(struct tine_copy *copy, TINE_UNPACK parameters)                      \
	{                                                                                          \
		const struct tine_statement what = { __VA_ARGS__ };                                \
		struct tine_record *record = tine_use_begin(copy, conn, &what);                    \
		type answer = copy->real.name arguments;                                           \
                                                                                                   \
		tine_use_end(record, answer);                                                      \
		return answer;                                                                     \
	}

#include "preload/libpq/functions.inc"

PGresult *tine_wrap_PQgetResult(struct tine_copy *copy, PGconn *conn)
{
	PGresult *result = copy->real.PQgetResult(conn);
	struct tine_record *record = tine_record_find(conn);

	if (record && record->copy == copy && !record->inside)
		tine_use_answer(record, result);
	return result;
}
