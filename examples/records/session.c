/* SPDX-License-Identifier: PostgreSQL */
#include "session.h"

#include <string.h>
#include <time.h>

#include "service.h"

#define HASH_BYTES 32
#define HASH_TEXT_BYTES (2 * HASH_BYTES + 1)

static const char *cookie_name(const struct request *request, enum key_use use)
{
	bool tls = request->service->config->behind_tls;

	if (use == KEY_SESSION)
		return tls ? "__Host-records_session" : "records_session";
	return tls ? "__Host-records_visit" : "records_visit";
}

static bool read_cookie(const struct request *request, enum key_use use, struct token *token)
{
	size_t length;
	const char *value = cookie_find(request->cookies, cookie_name(request, use), &length);

	return value && token_read(&request->service->keys, use, value, length, time(NULL), token);
}

void session_read(struct request *request)
{
	struct visitor *visitor = &request->visitor;
	size_t length;

	visitor->name = "";
	visitor->has_session = read_cookie(request, KEY_SESSION, &visitor->session);
	visitor->has_visit = read_cookie(request, KEY_VISIT, &visitor->visit);
	visitor->clear_session =
		!visitor->has_session &&
		cookie_find(request->cookies, cookie_name(request, KEY_SESSION), &length);
}

/* The database knows a session by the hash of its number: who reads the table has no cookie. */
static void hash_id(const struct token *token, char text[HASH_TEXT_BYTES])
{
	unsigned char hash[HASH_BYTES];

	crypto_generichash(hash, sizeof(hash), token->id, sizeof(token->id), NULL, 0);
	sodium_bin2hex(text, HASH_TEXT_BYTES, hash, sizeof(hash));
}

void session_load(struct request *request)
{
	struct visitor *visitor = &request->visitor;
	char hash[HASH_TEXT_BYTES];
	const char *values[] = { hash };
	PGresult *row;

	if (!visitor->has_session)
		return;
	hash_id(&visitor->session, hash);
	row = db_read(&request->db, STATEMENT_USER, 1, values);
	if (!row) {
		request->database_away = true;
	} else if (PQntuples(row) == 1) {
		visitor->user_id = strtoll(PQgetvalue(row, 0, 0), NULL, 10);
		visitor->name = arena_print(&request->arena, "%s", PQgetvalue(row, 0, 1));
		visitor->role = role_find(PQgetvalue(row, 0, 2));
	} else {
		visitor->has_session = false;
		visitor->clear_session = true;
	}
	PQclear(row);
}

/* ---- forms ---------------------------------------------------------------------------------- */

bool session_form_is_ours(const struct request *request)
{
	const struct visitor *visitor = &request->visitor;
	const struct keys *keys = &request->service->keys;
	const char *word = request_field(request, "csrf");

	/* Who has a session is not to be led by a visit's cookie that somebody else planted. */
	if (visitor->has_session)
		return form_word_is(keys, KEY_SESSION, &visitor->session, word);
	return visitor->has_visit && form_word_is(keys, KEY_VISIT, &visitor->visit, word);
}

const char *session_form_word(struct request *request)
{
	struct visitor *visitor = &request->visitor;
	char word[FORM_TEXT_BYTES];

	if (visitor->has_session) {
		form_word(&request->service->keys, KEY_SESSION, &visitor->session, word);
	} else {
		if (!visitor->has_visit) {
			token_make(&visitor->visit,
				   time(NULL) + request->service->config->session_s);
			visitor->has_visit = visitor->new_visit = true;
		}
		form_word(&request->service->keys, KEY_VISIT, &visitor->visit, word);
	}
	return arena_copy(&request->arena, word, strlen(word));
}

/* ---- begin and end -------------------------------------------------------------------------- */

struct change {
	const char *new_hash; /* NULL: none */
	const char *old_hash; /* "": none */
	const char *user_id, *seconds;
};

static int change_sessions(struct db *db, PGconn *pg, void *arg)
{
	const struct change *change = arg;
	const char *old[] = { change->old_hash };
	const char *new[] = { change->new_hash, change->user_id, change->seconds };
	int rc = db_do(db, pg, "delete from sessions where id_hash = $1 or expires_at < now()", 1,
		       old);

	if (rc == 0 && change->new_hash)
		rc = db_do(db, pg,
			   "insert into sessions (id_hash, user_id, expires_at) "
			   "values ($1, $2, now() + $3 * interval '1 second') "
			   "on conflict (id_hash) do nothing",
			   3, new);
	return rc;
}

int session_begin(struct request *request, int64_t user_id)
{
	struct visitor *visitor = &request->visitor;
	char old_hash[HASH_TEXT_BYTES] = "", new_hash[HASH_TEXT_BYTES];
	int seconds = request->service->config->session_s, rc;
	struct change change = {
		.new_hash = new_hash,
		.old_hash = old_hash,
		.user_id = arena_print(&request->arena, "%lld", (long long)user_id),
		.seconds = arena_print(&request->arena, "%d", seconds),
	};
	struct token token;

	if (visitor->has_session)
		hash_id(&visitor->session, old_hash);
	token_make(&token, time(NULL) + seconds);
	hash_id(&token, new_hash);
	rc = db_write(&request->db, change_sessions, &change);
	if (rc != 0)
		return rc;
	visitor->session = token;
	visitor->has_session = visitor->new_session = true;
	visitor->clear_session = false;
	return 0;
}

int session_end(struct request *request)
{
	struct visitor *visitor = &request->visitor;
	char hash[HASH_TEXT_BYTES];
	struct change change = { .old_hash = hash };
	int rc;

	if (!visitor->has_session)
		return 0;
	hash_id(&visitor->session, hash);
	rc = db_write(&request->db, change_sessions, &change);
	if (rc == 0) {
		visitor->has_session = false;
		visitor->clear_session = true;
	}
	return rc;
}

/* ---- cookies -------------------------------------------------------------------------------- */

static void set_cookie(struct request *request, struct reply *reply, enum key_use use,
		       const char *value, int seconds)
{
	reply_header(reply, "Set-Cookie",
		     arena_print(&request->arena,
				 "%s=%s; Path=/; HttpOnly; SameSite=Lax; Max-Age=%d%s",
				 cookie_name(request, use), value, seconds,
				 request->service->config->behind_tls ? "; Secure" : ""));
}

void session_cookies(struct request *request, struct reply *reply)
{
	const struct visitor *visitor = &request->visitor;
	const struct keys *keys = &request->service->keys;
	int seconds = request->service->config->session_s;
	char text[TOKEN_TEXT_BYTES];

	if (visitor->new_session) {
		token_write(keys, KEY_SESSION, &visitor->session, text);
		set_cookie(request, reply, KEY_SESSION, text, seconds);
	} else if (visitor->clear_session) {
		set_cookie(request, reply, KEY_SESSION, "", 0);
	}
	if (visitor->new_visit) {
		token_write(keys, KEY_VISIT, &visitor->visit, text);
		set_cookie(request, reply, KEY_VISIT, text, seconds);
	}
}
