/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/past.h"

#include "base/hash.h"
#include "base/peek.h"
#include "preload/ahead.h"
#include "preload/bind.h"
#include "preload/libpq/dress.h"
#include "preload/tls.h"

/* ---- what libpq shows of a session ----------------------------------------------------------- */

/* Settings that the server tells of and a session can change (config.sgml of PostgreSQL 18; the
 * documentation of PQparameterStatus()). One that is missing here, an extension's, is libpq's when
 * the answer comes. */
static const char *const told[] = {
	"application_name",
	"client_encoding",
	"DateStyle",
	"default_transaction_read_only",
	"IntervalStyle",
	"is_superuser",
	"scram_iterations",
	"search_path",
	"session_authorization",
	"standard_conforming_strings",
	"TimeZone",
};

static uint64_t hash_of_told(const struct tine_record *record)
{
	const struct tine_real *real = &record->copy->real;
	uint64_t hash = TINE_HASH_START;

	/* One that the server does not tell of is as the empty one: it never begins to. */
	for (size_t i = 0; i < sizeof(told) / sizeof(*told); i++)
		hash = tine_hash_end(
			tine_hash_text(hash, real->PQparameterStatus(record->conn, told[i])));
	return hash;
}

void tine_past_note(struct tine_record *record)
{
	record->stay.told = hash_of_told(record);
}

/* ---- the way past it ------------------------------------------------------------------------ */

/* @return is there one? */
static bool find_line(const struct tine_record *record, struct tine_ahead_line *ret)
{
	const struct tine_copy *copy = record->copy;
	const struct tine_real *real = &copy->real;

	if (!real->PQsslInUse || !real->PQgetssl ||
	    (real->PQgssEncInUse && real->PQgssEncInUse(record->conn)))
		return false;
	*ret = (struct tine_ahead_line){
		.fd = real->PQsocket(record->conn),
		/* Without one there is nothing that somebody waits for, such as a lock. */
		.may_wait = !tine_journal_has_called(&record->session.journal),
	};
	if (!real->PQsslInUse(record->conn))
		return tine_bind_leads("recv", copy->recv_slot);
	ret->ssl = real->PQgetssl(record->conn);
	if (!ret->ssl || !copy->tls_write_slot || !tine_tls_reads(copy->tls_read_slot))
		return false;
	ret->write = (tine_ahead_write_fn *)*copy->tls_write_slot;
	return true;
}

static bool is_as_new(const struct tine_record *record)
{
	const struct tine_journal *journal = &record->session.journal;

	return tine_journal_is_clean(journal) &&
	       !*record->copy->real.PQerrorMessage(record->conn) &&
	       (!tine_journal_has_called(journal) || hash_of_told(record) == record->stay.told);
}

int tine_past_send(struct tine_record *record, const char *sql)
{
	struct tine_ahead_line line;

	if (!is_as_new(record) || record->copy->real.PQflush(record->conn) != 0)
		return 0;
	if (tine_past_is_due(record))
		return 1;
	return find_line(record, &line) ? tine_ahead_send(&line, sql) : 0;
}

bool tine_past_is_due(const struct tine_record *record)
{
	return tine_ahead_is_due(record->copy->real.PQsocket(record->conn));
}

int tine_past_read(struct tine_record *record, int64_t until_ns)
{
	const struct tine_real *real = &record->copy->real;
	int seen;

	if (until_ns)
		tine_ahead_push(real->PQsocket(record->conn));
	do {
		seen = tine_peek(real->PQsocket(record->conn));
		if (seen < 0 || (seen > 0 && !real->PQconsumeInput(record->conn)))
			return -1;
		if (!tine_past_is_due(record))
			return 1;
		if (!until_ns)
			return 0;
	} while (tine_dress_await(record, until_ns) > 0);
	return -1;
}
