/* SPDX-License-Identifier: PostgreSQL */
/*
 * The list of statuses, and how a failure of libpq becomes one of them.
 *
 * libpq gives a failed connect as a text, in the language of the process. What can be told without
 * words is: the SQLSTATE in a verbose message of the server, the system's own texts, which are
 * asked for in the same language, and how far the connect had come. English words only refine it.
 *
 * Locks: none. Fork: nothing to do. Nothing is allocated.
 */
#include "pool/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define LONG_TEXT_BYTES 2048 /* before it is cut down to what tine_error holds */

/* ---- names ---------------------------------------------------------------------------------- */

struct status_row {
	int status;
	const char *name;
	const char *advice;
};

#define STATUS(status, advice)                                                                     \
	{                                                                                          \
		status, #status, advice                                                            \
	}

static const struct status_row statuses[] = {
	STATUS(TINE_OK, "Nothing is wrong."),
	STATUS(TINE_PENDING, "Call again when the descriptor of tine_acquire_fd() is readable."),
	STATUS(TINE_E_INVALID, "Correct the argument or the option that the text names."),
	STATUS(TINE_E_NOMEM, "Give the process more memory or have it use less."),
	STATUS(TINE_E_SYSTEM, "Raise the limit that the text names, such as that of descriptors."),
	STATUS(TINE_E_TIMEOUT, "Look at the holders that the text names: hold connections for a "
			       "shorter time, raise pool_size or max_overflow, or wait longer."),
	STATUS(TINE_E_QUEUE_FULL, "Take less work at a time, or raise max_waiting."),
	STATUS(TINE_E_PAUSED, "Try again after tine_pool_resume()."),
	STATUS(TINE_E_CLOSED, "Use the pool before tine_pool_free() only."),
	STATUS(TINE_E_FORKED, "Acquire a connection in this process: one that was taken before "
			      "the fork stays with the parent."),
	STATUS(TINE_E_STALE, "Do not use a connection after it was returned."),
	STATUS(TINE_E_CONNECT, "See whether the server runs, and check host, port and firewalls."),
	STATUS(TINE_E_CONNECT_TIMEOUT, "Check host, port and firewalls, or raise "
				       "connect_timeout_ms."),
	STATUS(TINE_E_TLS, "Check the server's TLS and its certificate; what is weaker than "
			   "tls=require has to be asked for by name."),
	STATUS(TINE_E_AUTH, "Check the user, the password and the server's pg_hba.conf."),
	STATUS(TINE_E_NO_DATABASE, "Check the name of the database."),
	STATUS(TINE_E_TOO_MANY, "Use fewer processes or a smaller pool_size, or raise the server's "
				"max_connections."),
	STATUS(TINE_E_STARTING, "Try again when the server is up."),
	STATUS(TINE_E_ROLE, "Check target_session_attrs and which of the hosts is the primary."),
	STATUS(TINE_E_REFUSED, "See what the event function of the program that refused it says."),
	STATUS(TINE_E_LOST, "Do the unit of work again from its beginning."),
	STATUS(TINE_E_SQL, "Look up the SQLSTATE in PostgreSQL's list of error codes."),
	STATUS(TINE_E_ABORTED, "Look for the statement that failed before the commit."),
	STATUS(TINE_E_IN_DOUBT, "Look in the database whether it happened before doing it again."),
	STATUS(TINE_E_BOOT, "See what the workers said before they ended, and start again."),
};

static const struct status_row *find_status(int status)
{
	static const struct status_row unknown = {
		0, "unknown status", "Compare the versions of the library and of its header."
	};

	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (statuses[i].status == status)
			return &statuses[i];
	return &unknown;
}

const char *tine_status_name(int status)
{
	return find_status(status)->name;
}

const char *tine_status_advice(int status)
{
	return find_status(status)->advice;
}

const char *tine_cause_name(int cause)
{
	static const char *const names[TINE_CAUSE_COUNT] = {
		[TINE_CAUSE_DEAD] = "dead",
		[TINE_CAUSE_LOST] = "lost",
		[TINE_CAUSE_RECYCLE] = "recycle",
		[TINE_CAUSE_IDLE] = "idle",
		[TINE_CAUSE_OVERFLOW] = "overflow",
		[TINE_CAUSE_RESET] = "reset",
		[TINE_CAUSE_SIZE] = "size",
		[TINE_CAUSE_ROLE] = "role",
		[TINE_CAUSE_INVALIDATED] = "invalidated",
		[TINE_CAUSE_DISPOSED] = "disposed",
		[TINE_CAUSE_DETACHED] = "detached",
		[TINE_CAUSE_REFUSED] = "refused",
		[TINE_CAUSE_FORKED] = "forked",
		[TINE_CAUSE_LENT] = "lent",
	};

	return cause >= 0 && cause < TINE_CAUSE_COUNT ? names[cause] : "unknown cause";
}

bool tine_error_is_permanent(int status)
{
	return status == TINE_E_INVALID || status == TINE_E_TLS || status == TINE_E_AUTH ||
	       status == TINE_E_NO_DATABASE;
}

/* ---- texts ---------------------------------------------------------------------------------- */

/* The length of the character that bytes begin with; 0 when it is a control character or no UTF-8.
 */
static size_t character_length(const unsigned char *bytes)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t code = bytes[0];
	size_t length = 1;

	if (code < 0x80)
		return code >= 0x20 && code != 0x7f;
	if ((code & 0xe0) == 0xc0)
		length = 2, code &= 0x1f;
	else if ((code & 0xf0) == 0xe0)
		length = 3, code &= 0x0f;
	else if ((code & 0xf8) == 0xf0)
		length = 4, code &= 0x07;
	else
		return 0;
	for (size_t i = 1; i < length; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (bytes[i] & 0x3f);
	}
	/* Below the least is an overlong form, 0x80 to 0x9f are control characters, as are those
	 * that end a line or turn the direction of writing; surrogates are no characters. */
	if (code < least[length] || code < 0xa0 || code > 0x10ffff ||
	    (code >= 0xd800 && code <= 0xdfff) || (code >= 0x2028 && code <= 0x202e))
		return 0;
	return length;
}

/* Copy as one line; what does not fit ends with "...". */
static void copy_clean(char *to, size_t size, const char *from)
{
	size_t at = 0, last_fit = 0;

	while (*from) {
		size_t length = character_length((const unsigned char *)from);
		size_t bytes = length ? length : 1;

		if (at + bytes >= size) {
			memcpy(to + last_fit, "...", 4);
			return;
		}
		if (length)
			memcpy(to + at, from, length);
		else
			to[at] = '?';
		at += bytes;
		from += bytes;
		if (at + sizeof("...") <= size)
			last_fit = at;
	}
	to[at] = '\0';
}

static int set_clean(tine_error *error, int status, int os_errno, const char *text)
{
	if (error) {
		*error = (tine_error){ .status = status, .os_errno = os_errno };
		copy_clean(error->text, sizeof(error->text), text);
	}
	return status;
}

int tine_error_set(tine_error *error, int status, const char *format, ...)
{
	char text[LONG_TEXT_BYTES];
	va_list args;

	if (!error)
		return status;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return set_clean(error, status, 0, text);
}

int tine_error_set_errno(tine_error *error, int status, int os_errno, const char *format, ...)
{
	char text[LONG_TEXT_BYTES];
	int saved_errno = errno;
	size_t length;
	va_list args;

	if (!error)
		return status;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	length = strlen(text);
	errno = os_errno;
	snprintf(text + length, sizeof(text) - length, ": %m");
	errno = saved_errno;
	return set_clean(error, status, os_errno, text);
}

int tine_error_copy(tine_error *error, const tine_error *from)
{
	if (error && error != from)
		*error = *from;
	return from->status;
}

/* ---- what libpq says ------------------------------------------------------------------------ */

/* "LOCATION:  auth_failed, auth.c:334", whatever the first word is: of no use to the reader. */
static bool is_location(const char *line, size_t length)
{
	size_t end = length;

	while (end > 0 && line[end - 1] >= '0' && line[end - 1] <= '9')
		end--;
	return end < length && end > 2 && memcmp(line + end - 3, ".c:", 3) == 0 &&
	       memmem(line, end, ":  ", 3) && memmem(line, end, ", ", 2);
}

/* Lines that begin with a tab are libpq's guesses at the reason. */
static bool is_useful(const char *line, size_t length, const char *before)
{
	char copy[LONG_TEXT_BYTES];

	if (length == 0 || line[0] == '\t' || line[0] == ' ' || is_location(line, length))
		return false;
	/* sslmode=prefer tries twice and often fails twice for the same reason. */
	snprintf(copy, sizeof(copy), "%.*s", (int)length, line);
	return !strstr(before, copy);
}

/* The lines of a message that say what happened, as one. */
static void join_lines(char *text, size_t size, const char *message)
{
	size_t at = 0;

	text[0] = '\0';
	while (*message) {
		size_t length = strcspn(message, "\n");

		if (at < size && is_useful(message, length, text))
			at += (size_t)snprintf(text + at, size - at, "%s%.*s", at ? "; " : "",
					       (int)length, message);
		message += length;
		message += *message == '\n';
	}
}

static bool is_sqlstate(const char *text)
{
	size_t length = strspn(text, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ");

	return length == 5 && text[5] == ':' && text[6] == ' ';
}

/* In "FATAL:  28P01: ..." only the first word depends on the language. */
static void find_sqlstate(const char *message, char sqlstate[6])
{
	for (const char *p = strstr(message, ":  "); p; p = strstr(p + 1, ":  "))
		if (is_sqlstate(p + 3)) {
			memcpy(sqlstate, p + 3, 5);
			sqlstate[5] = '\0';
			return;
		}
	sqlstate[0] = '\0';
}

/* The system's error behind a message: libpq puts in the system's text for it, which is the same
 * that %m gives here, in any language. */
static int find_errno(const char *message)
{
	static const int known[] = { ECONNREFUSED, ECONNRESET,   ETIMEDOUT,     EHOSTUNREACH,
				     ENETUNREACH,  ECONNABORTED, EADDRNOTAVAIL, EPIPE,
				     ENOENT,       EACCES,       EMFILE,        ENFILE,
				     ENOBUFS,      EHOSTDOWN,    ENETDOWN };
	int saved_errno = errno, found = 0;
	char text[128];

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]) && !found; i++) {
		errno = known[i];
		snprintf(text, sizeof(text), "%m");
		if (strstr(message, text))
			found = known[i];
	}
	errno = saved_errno;
	return found;
}

int tine_error_set_message(tine_error *error, int status, const char *message)
{
	char text[LONG_TEXT_BYTES];

	join_lines(text, sizeof(text), message);
	return tine_error_set(error, status, "%s", text);
}

/* ---- a connect that failed ------------------------------------------------------------------ */

struct word_row {
	const char *word;
	int status;
};

/* By the beginning of the SQLSTATE; the first that fits. */
static const struct word_row sqlstates[] = {
	{ "28", TINE_E_AUTH },           /* invalid authorization */
	{ "42501", TINE_E_AUTH },        /* no CONNECT privilege */
	{ "3D000", TINE_E_NO_DATABASE }, /* does not exist */
	{ "55000", TINE_E_NO_DATABASE }, /* does not accept connections */
	{ "57P04", TINE_E_NO_DATABASE }, /* was dropped */
	{ "53100", TINE_E_CONNECT },     /* disk full */
	{ "53", TINE_E_TOO_MANY },       /* connections, memory, a configured limit */
	{ "57P", TINE_E_STARTING },      /* starts, recovers, shuts down, crashed */
};

/* In a message without an SQLSTATE of use; the first that is in it. The first ones are
 * exceptions to the rest. */
static const struct word_row words[] = {
	{ "no more connections allowed", TINE_E_TOO_MANY }, /* PgBouncer */
	{ "SSL SYSCALL error", TINE_E_CONNECT },            /* the connection broke */
	{ "SSL connection has been closed", TINE_E_CONNECT },
	{ "during SSL exchange", TINE_E_CONNECT }, /* what answers is no PostgreSQL, or full */
	{ "response to SSL negotiation", TINE_E_CONNECT },
	{ "channel binding", TINE_E_AUTH },
	{ "SSL", TINE_E_TLS },
	{ "certificate", TINE_E_TLS },
	{ "private key", TINE_E_TLS },
	{ "ALPN", TINE_E_TLS },
	{ "password", TINE_E_AUTH },
	{ "uthentication", TINE_E_AUTH },
	{ "SASL", TINE_E_AUTH },
	{ "SCRAM", TINE_E_AUTH },
	{ "server signature", TINE_E_AUTH },
	{ "GSSAPI", TINE_E_AUTH },
	{ "requirepeer", TINE_E_AUTH },
	{ "server closed the connection", TINE_E_CONNECT },
	{ "permission denied for database", TINE_E_AUTH }, /* these three through PgBouncer */
	{ "no such database", TINE_E_NO_DATABASE },
	{ "database \"", TINE_E_NO_DATABASE },
};

static int status_by_sqlstate(const char *sqlstate)
{
	for (size_t i = 0; *sqlstate && i < sizeof(sqlstates) / sizeof(sqlstates[0]); i++)
		if (strncmp(sqlstate, sqlstates[i].word, strlen(sqlstates[i].word)) == 0)
			return sqlstates[i].status;
	return 0;
}

static int status_by_line(const char *line, size_t length)
{
	/* Names of hosts and sockets, in which any word may be, come before. */
	const char *failed = memmem(line, length, " failed: ", strlen(" failed: "));

	if (failed) {
		length -= (size_t)(failed - line);
		line = failed;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (memmem(line, length, words[i].word, strlen(words[i].word)))
			return words[i].status;
	return 0;
}

static int status_by_words(const char *message)
{
	int status = 0;

	while (*message && !status) {
		size_t length = strcspn(message, "\n");

		if (is_useful(message, length, ""))
			status = status_by_line(message, length);
		message += length;
		message += *message == '\n';
	}
	return status;
}

/* Is there still a server on the other side? */
static bool is_connected(const struct tine_pq *pq, const PGconn *pg)
{
	int fd = pq->socket(pg);
	int saved_errno = errno;
	bool connected;
	ssize_t got;
	char byte;

	if (fd < 0)
		return false;
	got = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	connected = got > 0 || (got < 0 && errno == EAGAIN);
	errno = saved_errno;
	return connected;
}

/* libpq gave up while the server is there: because of what they were just about. */
static int status_by_progress(const struct tine_pq *pq, const PGconn *pg, ConnStatusType reached)
{
	if (!is_connected(pq, pg))
		return TINE_E_CONNECT;
	if (reached == CONNECTION_SSL_STARTUP)
		return TINE_E_TLS;
	return reached == CONNECTION_AWAITING_RESPONSE ? TINE_E_AUTH : TINE_E_CONNECT;
}

/* After the login libpq gives up by itself only when the server is not what target_session_attrs
 * asks for. When the connection is lost it closes the socket. */
static bool is_unwanted(const struct tine_pq *pq, const PGconn *pg)
{
	return pq->socket(pg) >= 0 && pq->parameter_status(pg, "server_version");
}

static int classify(const struct tine_pq *pq, const PGconn *pg, ConnStatusType reached,
		    const char *message, const tine_error *found)
{
	const char *sqlstate = found->sqlstate;
	int status = status_by_sqlstate(sqlstate);

	if (!status && (found->os_errno == EMFILE || found->os_errno == ENFILE))
		status = TINE_E_SYSTEM;
	/* 08 is what PgBouncer says to everything. */
	if (!status && (!*sqlstate || strncmp(sqlstate, "08", 2) == 0))
		status = status_by_words(message);
	if (!status && !*sqlstate && !found->os_errno && is_unwanted(pq, pg))
		status = TINE_E_ROLE;
	/* In the midst of TLS the system's error may be about the file of a certificate. */
	if (!status && (*sqlstate || (found->os_errno && reached != CONNECTION_SSL_STARTUP)))
		status = TINE_E_CONNECT;
	return status ? status : status_by_progress(pq, pg, reached);
}

int tine_error_set_connect_at(tine_error *error, const struct tine_pq *pq, const PGconn *pg,
			      ConnStatusType reached)
{
	const char *message = pq->error_message(pg);
	tine_error found = { 0 };
	char text[LONG_TEXT_BYTES];
	size_t length;
	int status;

	find_sqlstate(message, found.sqlstate);
	if (!found.sqlstate[0])
		found.os_errno = find_errno(message);
	status = classify(pq, pg, reached, message, &found);
	join_lines(text, sizeof(text), *message ? message : "libpq does not say why");
	length = strlen(text);
	if (length > 0 && text[length - 1] == '.')
		text[length - 1] = '\0';
	/* Where a server has spoken, the one for servers that cannot be reached would mislead. */
	if (status == TINE_E_CONNECT && found.sqlstate[0])
		tine_error_set(error, status, "%s", text);
	else
		tine_error_set(error, status, "%s. %s", text, tine_status_advice(status));
	if (error) {
		error->os_errno = found.os_errno;
		memcpy(error->sqlstate, found.sqlstate, sizeof(error->sqlstate));
	}
	return status;
}

/* ---- a statement that failed ---------------------------------------------------------------- */

static bool ends_session(const char *severity)
{
	return severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
}

static int set_lost(tine_error *error, const struct tine_pq *pq, const PGconn *pg)
{
	const char *message = pq->error_message(pg);
	char text[LONG_TEXT_BYTES];

	join_lines(text, sizeof(text), *message ? message : "the connection was lost");
	tine_error_set(error, TINE_E_LOST, "%s", text);
	if (error) {
		find_sqlstate(message, error->sqlstate);
		error->os_errno = find_errno(message);
	}
	return TINE_E_LOST;
}

int tine_error_set_result(tine_error *error, const struct tine_pq *pq, const PGconn *pg,
			  const PGresult *result)
{
	const char *severity, *sqlstate, *message;
	char text[LONG_TEXT_BYTES];
	int status;

	if (!result)
		return set_lost(error, pq, pg);
	severity = pq->result_error_field(result, PG_DIAG_SEVERITY_NONLOCALIZED);
	sqlstate = pq->result_error_field(result, PG_DIAG_SQLSTATE);
	message = pq->result_error_field(result, PG_DIAG_MESSAGE_PRIMARY);
	status = pq->status(pg) == CONNECTION_BAD || ends_session(severity) ? TINE_E_LOST
									    : TINE_E_SQL;
	/* A result of libpq's own making has a message and no fields. */
	if (severity && sqlstate && message)
		snprintf(text, sizeof(text), "%s:  %s: %s", severity, sqlstate, message);
	else
		join_lines(text, sizeof(text), pq->result_error_message(result));
	tine_error_set(error, status, "%s", *text ? text : "a statement failed");
	if (error)
		snprintf(error->sqlstate, sizeof(error->sqlstate), "%s", sqlstate ? sqlstate : "");
	return status;
}
