/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/login.h"

#include <stdlib.h>
#include <string.h>

#include "preload/keep.h"
#include "preload/libpq/await.h"
#include "preload/libpq/budget.h"
#include "preload/libpq/gate.h"
#include "preload/libpq/lend.h"
#include "preload/libpq/park.h"
#include "preload/libpq/policy.h"

static bool is_on, has_policy;

bool tine_login_start(const struct tine_settings *settings)
{
	bool has_pool = tine_park_start(settings);
	bool has_budget = tine_budget_start(settings);

	tine_lend_start(settings);
	has_policy = tine_policy_start(settings, has_budget);
	is_on = has_pool || has_budget || has_policy;
	return is_on;
}

bool tine_login_is_on(void)
{
	return is_on;
}

/* pool/connect.c puts these first, which say nothing to libpq. */
bool tine_login_is_libtine(const struct tine_login *login)
{
	static const char *const mark[] = { "fallback_application_name", "application_name",
					    "fallback_application_name" };

	for (int i = 0; i < 3; i++)
		if (!login->keywords || !login->keywords[i] ||
		    strcmp(login->keywords[i], mark[i]) != 0 || !login->values[i] ||
		    *login->values[i])
			return false;
	return true;
}

/* ---- a refusal ------------------------------------------------------------------------------ */

void tine_login_refuse(struct tine_record *record, const char *why)
{
	char *text;

	if (!why || asprintf(&text, "tine: %s\n", why) < 0)
		text = NULL;
	tine_login_put_message(record, text);
}

void tine_login_put_message(struct tine_record *record, char *text)
{
	if (record->refusal) {
		free(record->last_refusal);
		record->last_refusal = record->refusal;
	}
	record->refusal = text;
}

/* A PGconn that failed, as libpq's do: its error is ours (wrapper of PQerrorMessage()). */
static PGconn *refuse(struct tine_copy *copy, const char *why)
{
	const char *const keywords[] = { "tine_budget", NULL }, *const values[] = { "0", NULL };
	PGconn *conn = copy->real.PQconnectStartParams(keywords, values, 0);
	struct tine_record *record = conn ? tine_record_add(copy, conn) : NULL;

	if (record)
		tine_login_refuse(record, why);
	return conn;
}

/* ---- a login -------------------------------------------------------------------------------- */

static void set_name(char **ret, const char *name)
{
	free(*ret);
	*ret = name ? strdup(name) : NULL;
}

/* What a new connection would say, of a name that the key does not cover. */
static void note_asked(PGconn *conn, const struct tine_login *login, const char *identity)
{
	struct tine_record *record = tine_record_find(conn);
	const char *given = tine_key_given(login, "application_name");

	record->stay.is_handed_on = true;
	if (!given)
		given = getenv("PGAPPNAME");
	set_name(&record->stay.asked_name, identity ? identity : given);
	set_name(&record->stay.asked_fallback, tine_key_given(login, "fallback_application_name"));
}

void tine_login_say(const struct tine_record *record, PQconninfoOption *options)
{
	const struct tine_stay *stay = &record->stay;

	if (!stay->is_handed_on)
		return;
	for (; options->keyword; options++)
		if (strcmp(options->keyword, "application_name") == 0)
			set_name(&options->val, stay->asked_name);
		else if (strcmp(options->keyword, "fallback_application_name") == 0)
			set_name(&options->val, stay->asked_fallback);
}

static PGconn *connect_here(const struct tine_copy *copy, const struct tine_login *login,
			    bool is_start)
{
	const struct tine_real *real = &copy->real;

	if (login->conninfo)
		return (is_start ? real->PQconnectStart : real->PQconnectdb)(login->conninfo);
	return (is_start ? real->PQconnectStartParams
			 : real->PQconnectdbParams)(login->keywords, login->values,
						    login->expand_dbname);
}

static PGconn *connect_as_is(const struct tine_copy *copy, const struct tine_login *login,
			     bool is_start)
{
	PGconn *conn;

	tine_gate_enter();
	conn = connect_here(copy, login, is_start);
	tine_gate_leave();
	return conn;
}

static PGconn *connect_by_plan(const struct tine_copy *copy, const struct tine_login *login,
			       bool is_start)
{
	struct tine_plan plan;
	PGconn *conn;

	if (!has_policy || !tine_policy_plan(&plan, copy, login))
		return connect_as_is(copy, login, is_start);
	conn = connect_as_is(copy,
			     &(struct tine_login){ .keywords = plan.keywords,
						   .values = plan.values,
						   .expand_dbname = plan.expand_dbname },
			     is_start);
	tine_policy_end(&plan, copy);
	return conn;
}

/* @return as tine_budget_try() */
static int admit(struct tine_wait *wait, struct tine_claim *claim, bool is_start, char *ret_why,
		 size_t size)
{
	if (is_start)
		return tine_budget_try(wait, claim, ret_why, size);
	return tine_budget_admit(claim, ret_why, size) ? 1 : -1;
}

/* Without a permit libpq only gets so far as to want a socket.
 * @param admitted  in: is there a permit? out: may it go on? */
static PGconn *begin(const struct tine_copy *copy, const struct tine_login *login, bool is_start,
		     bool *admitted)
{
	PGconn *conn;

	if (*admitted)
		return connect_by_plan(copy, login, is_start);
	tine_keep_refuse(copy->start, copy->end);
	conn = connect_by_plan(copy, login, is_start);
	*admitted = !tine_keep_refused();
	return conn;
}

static PGconn *open_new(struct tine_copy *copy, const struct tine_login *login, bool is_start,
			const struct tine_key *key, const char *name)
{
	struct tine_claim claim = TINE_CLAIM_NONE;
	struct tine_record *record;
	struct tine_wait wait = { 0 };
	bool is_admitted;
	char why[512];
	PGconn *conn;
	int rc;

	rc = admit(&wait, &claim, is_start, why, sizeof(why));
	if (rc < 0)
		return refuse(copy, why);
	is_admitted = rc > 0;
	conn = begin(copy, login, is_start, &is_admitted);
	record = conn ? tine_record_add(copy, conn) : NULL;
	/* No memory, or libpq did not like what it was asked before it came to a socket. */
	if (!record || (rc == 0 && is_admitted)) {
		tine_budget_leave(&claim);
		return conn;
	}
	record->claim = claim;
	tine_park_coming(record, key, name, tine_key_has_service(login));
	if (!is_admitted) {
		record->await.wait = wait;
		tine_await_begin(record);
	} else if (!is_start) {
		tine_login_done(record, copy->real.PQstatus(conn) == CONNECTION_OK, false);
	}
	return conn;
}

bool tine_login_is_local(const struct tine_record *record)
{
	const char *host = record->copy->real.PQhost(record->conn);

	return host && (*host == '/' || *host == '@');
}

/* Over TCP and without a password it may have been, where this libpq does not say. */
static bool may_have_ticket(const struct tine_record *record)
{
	const struct tine_real *real = &record->copy->real;

	return !tine_login_is_local(record) && !real->PQconnectionUsedPassword(record->conn) &&
	       (!real->PQconnectionUsedGSSAPI || real->PQconnectionUsedGSSAPI(record->conn));
}

bool tine_login_done(struct tine_record *record, bool ok, bool in_steps)
{
	bool is_due = false;

	tine_budget_connected(record, ok);
	if (!ok)
		return true;
	tine_session_begin(record);
	if (in_steps)
		is_due = tine_lend_begin_in_steps(record);
	else
		tine_lend_begin(record);
	tine_park_born(record, may_have_ticket(record));
	return !is_due;
}

PGconn *tine_login_open(struct tine_copy *copy, struct tine_login *login, bool is_start)
{
	char identity[128];
	const char *name = NULL, *plain = NULL;
	struct tine_key key;
	const char *refusal = has_policy ? tine_policy_refusal(login) : NULL;
	bool has_key;
	PGconn *conn;

	if (refusal)
		return refuse(copy, refusal);
	login->copy = (int)copy->number;
	has_key = tine_park_is_on() && tine_key_make(&key, login);
	if (has_key) {
		name = plain = tine_key_application(login);
		if (name)
			name = tine_budget_identity(name, identity, sizeof(identity));
		conn = tine_park_take(copy, &key, name, is_start);
		if (conn && name)
			note_asked(conn, login, name != plain ? name : NULL);
		if (conn)
			return conn;
	}
	return open_new(copy, login, is_start, has_key ? &key : NULL, name);
}
