/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/trace.h"

#include "preload/libpq/wrap.h"

bool tine_trace_hide(struct tine_record *record)
{
	struct tine_tracing *tracing = &record->tracing;

	if (!tracing->file || tracing->is_hidden)
		return false;
	record->copy->real.PQuntrace(record->conn);
	tracing->is_hidden = true;
	return true;
}

void tine_trace_show(struct tine_record *record)
{
	const struct tine_real *real = &record->copy->real;
	struct tine_tracing *tracing = &record->tracing;

	tracing->is_hidden = false;
	real->PQtrace(record->conn, tracing->file);
	if (tracing->flags)
		real->PQsetTraceFlags(record->conn, tracing->flags);
}

void tine_trace_end(struct tine_record *record)
{
	record->tracing = (struct tine_tracing){ 0 };
	record->copy->real.PQuntrace(record->conn);
}

/* ---- wrappers ------------------------------------------------------------------------------- */

/* Forgets the flags, as libpq does. */
static void note(const struct tine_copy *copy, const PGconn *conn, FILE *file)
{
	struct tine_record *record = tine_record_find(conn);

	if (record && record->copy == copy)
		record->tracing = (struct tine_tracing){ .file = file };
}

void tine_wrap_PQtrace(struct tine_copy *copy, PGconn *conn, FILE *file)
{
	note(copy, conn, file);
	copy->real.PQtrace(conn, file);
}

void tine_wrap_PQuntrace(struct tine_copy *copy, PGconn *conn)
{
	note(copy, conn, NULL);
	copy->real.PQuntrace(conn);
}

void tine_wrap_PQsetTraceFlags(struct tine_copy *copy, PGconn *conn, int flags)
{
	struct tine_record *record = tine_record_find(conn);

	/* Without a file libpq does not take them. */
	if (record && record->copy == copy && record->tracing.file)
		record->tracing.flags = flags;
	copy->real.PQsetTraceFlags(conn, flags);
}
