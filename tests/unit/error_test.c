/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a failure becomes. libpq's own words are libpq's: it connects to a server made here that
 * says a few bytes and does one thing wrong.
 */
#include "pool/error.h"

#include <arpa/inet.h>
#include <locale.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "support/check.h"

static tine_error error;

/* ---- names ---------------------------------------------------------------------------------- */

TEST(every_status_has_a_name_and_an_advice)
{
	for (int status = TINE_E_BOOT; status <= TINE_PENDING; status++) {
		const char *advice = tine_status_advice(status);

		CHECK(strncmp(tine_status_name(status), "TINE_", 5) == 0);
		CHECK(strlen(advice) > 10 && advice[strlen(advice) - 1] == '.');
	}
	CHECK_STR(tine_status_name(TINE_E_TIMEOUT), "TINE_E_TIMEOUT");
	CHECK_STR(tine_status_name(TINE_OK), "TINE_OK");
	CHECK_STR(tine_status_name(TINE_E_BOOT - 1), "unknown status");
	CHECK_STR(tine_status_name(4711), "unknown status");
	CHECK(*tine_status_advice(4711));
}

TEST(every_cause_has_a_name_of_its_own)
{
	for (int cause = 0; cause < TINE_CAUSE_COUNT; cause++) {
		CHECK(*tine_cause_name(cause));
		for (int other = 0; other < cause; other++)
			CHECK(strcmp(tine_cause_name(cause), tine_cause_name(other)) != 0);
	}
	CHECK_STR(tine_cause_name(TINE_CAUSE_DEAD), "dead");
	CHECK_STR(tine_cause_name(TINE_CAUSE_COUNT), "unknown cause");
	CHECK_STR(tine_cause_name(-1), "unknown cause");
}

TEST(only_configuration_is_permanent)
{
	CHECK(tine_error_is_permanent(TINE_E_AUTH));
	CHECK(tine_error_is_permanent(TINE_E_TLS));
	CHECK(tine_error_is_permanent(TINE_E_NO_DATABASE));
	CHECK(!tine_error_is_permanent(TINE_E_CONNECT));
	CHECK(!tine_error_is_permanent(TINE_E_STARTING));
	CHECK(!tine_error_is_permanent(TINE_E_TOO_MANY));
	CHECK(!tine_error_is_permanent(TINE_OK));
}

/* ---- texts ---------------------------------------------------------------------------------- */

static const char *clean(const char *text)
{
	CHECK_INT(tine_error_set(&error, TINE_E_SQL, "%s", text), ==, TINE_E_SQL);
	return error.text;
}

TEST(a_text_is_one_line_of_good_characters)
{
	CHECK_STR(clean("a\nb\tc\x1b[31m\x7f"), "a?b?c?[31m?");
	CHECK_STR(clean("Grüße, 東京 \xf0\x9f\x8d\xb4"), "Grüße, 東京 \xf0\x9f\x8d\xb4");
	CHECK_STR(clean("\xff \xc3 \xc3("), "? ? ?(");
	CHECK_STR(clean("\xc0\x80 \xe0\x80\x8a"), "?? ???");           /* overlong */
	CHECK_STR(clean("\xed\xa0\x80"), "???");                       /* a surrogate */
	CHECK_STR(clean("\xc2\x9b\x33 \xf5\x80\x80\x80"), "??3 ????"); /* CSI; beyond Unicode */
	CHECK_STR(clean("\xe2\x80\xa8 \xe2\x80\xae \xe2\x80\x9c"), "??? ??? \xe2\x80\x9c");
}

TEST(a_long_text_is_cut_between_characters)
{
	char text[1200] = "";

	for (int i = 0; i < 300; i++)
		strcat(text, "ü");
	for (int shift = 0; shift < 3; shift++) {
		clean(text);
		CHECK_INT(strlen(error.text), <, sizeof(error.text));
		CHECK_INT(strlen(error.text), >, sizeof(error.text) - 6);
		CHECK_STR(error.text + strlen(error.text) - 5, "ü...");
		memmove(text + 1, text, strlen(text) + 1);
		text[0] = 'x';
	}
	memset(text, 'x', 511);
	text[511] = '\0';
	CHECK_STR(clean(text), text);
}

TEST(errors_are_filled_whole)
{
	memset(&error, 0x55, sizeof(error));
	CHECK_INT(tine_error_set(&error, TINE_E_PAUSED, "%d", 7), ==, TINE_E_PAUSED);
	CHECK_INT(error.status, ==, TINE_E_PAUSED);
	CHECK_INT(error.os_errno, ==, 0);
	CHECK_STR(error.sqlstate, "");
	CHECK_STR(error.text, "7");
	errno = EAGAIN;
	CHECK_INT(tine_error_set_errno(&error, TINE_E_SYSTEM, EMFILE, "no %s", "descriptor"), ==,
		  TINE_E_SYSTEM);
	CHECK_INT(errno, ==, EAGAIN);
	CHECK_INT(error.os_errno, ==, EMFILE);
	CHECK_STR(error.text, "no descriptor: Too many open files");
}

TEST(nobody_has_to_want_an_error)
{
	tine_error from = { .status = TINE_E_LOST, .text = "gone" };

	CHECK_INT(tine_error_set(NULL, TINE_E_PAUSED, "x"), ==, TINE_E_PAUSED);
	CHECK_INT(tine_error_set_errno(NULL, TINE_E_SYSTEM, EMFILE, "x"), ==, TINE_E_SYSTEM);
	CHECK_INT(tine_error_set_message(NULL, TINE_E_LOST, "x\ny"), ==, TINE_E_LOST);
	CHECK_INT(tine_error_copy(NULL, &from), ==, TINE_E_LOST);
	CHECK_INT(tine_error_copy(&error, &from), ==, TINE_E_LOST);
	CHECK_STR(error.text, "gone");
	CHECK_INT(tine_error_copy(&error, &error), ==, TINE_E_LOST);
}

/* ---- a libpq of a few texts ----------------------------------------------------------------- */

static struct {
	const char *message;
	const char *severity, *sqlstate, *primary;
	const char *version;
	ConnStatusType status;
	int fd;
} said;

static char *say_message(const PGconn *pg)
{
	(void)pg;
	return (char *)said.message;
}

static char *say_result_message(const PGresult *result)
{
	(void)result;
	return (char *)said.message;
}

static int say_socket(const PGconn *pg)
{
	(void)pg;
	return said.fd;
}

static const char *say_parameter(const PGconn *pg, const char *name)
{
	(void)pg;
	CHECK_STR(name, "server_version");
	return said.version;
}

static ConnStatusType say_status(const PGconn *pg)
{
	(void)pg;
	return said.status;
}

static char *say_field(const PGresult *result, int field)
{
	(void)result;
	if (field == PG_DIAG_SQLSTATE)
		return (char *)said.sqlstate;
	if (field == PG_DIAG_MESSAGE_PRIMARY)
		return (char *)said.primary;
	return field == PG_DIAG_SEVERITY_NONLOCALIZED ? (char *)said.severity : NULL;
}

static const struct tine_pq words = {
	.error_message = say_message,
	.result_error_message = say_result_message,
	.result_error_field = say_field,
	.socket = say_socket,
	.status = say_status,
	.parameter_status = say_parameter,
};

static int set_connect(void)
{
	return tine_error_set_connect_at(&error, &words, NULL, CONNECTION_BAD);
}

static int classify(const char *message)
{
	said.message = message;
	said.fd = -1;
	said.status = CONNECTION_BAD;
	return set_connect();
}

#define AT "connection to server at \"db\" (192.0.2.1), port 5432 failed: "

TEST(an_sqlstate_decides)
{
	static const struct {
		const char *sqlstate;
		int status;
	} rows[] = {
		{ "28000", TINE_E_AUTH },        { "28P01", TINE_E_AUTH },
		{ "42501", TINE_E_AUTH },        { "3D000", TINE_E_NO_DATABASE },
		{ "55000", TINE_E_NO_DATABASE }, { "57P04", TINE_E_NO_DATABASE },
		{ "53300", TINE_E_TOO_MANY },    { "53200", TINE_E_TOO_MANY },
		{ "53400", TINE_E_TOO_MANY },    { "53100", TINE_E_CONNECT },
		{ "57P01", TINE_E_STARTING },    { "57P02", TINE_E_STARTING },
		{ "57P03", TINE_E_STARTING },    { "57P05", TINE_E_STARTING },
		{ "42704", TINE_E_CONNECT },     { "XX000", TINE_E_CONNECT },
		{ "0A000", TINE_E_CONNECT },
	};
	char message[200];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		/* The words are to be of no consequence, and the severity may be in any language.
		 */
		snprintf(message, sizeof(message),
			 AT "ВАЖНО:  %s: SSL certificate password\nORT:  f, postinit.c:17\n",
			 rows[i].sqlstate);
		CHECK_INT(classify(message), ==, rows[i].status);
		CHECK_STR(error.sqlstate, rows[i].sqlstate);
		CHECK(!strstr(error.text, "postinit"));
		if (rows[i].status == TINE_E_CONNECT)
			CHECK(!strstr(error.text, "firewall"));
		else
			CHECK_CONTAINS(error.text, tine_status_advice(rows[i].status));
	}
}

TEST(what_only_looks_like_an_sqlstate_is_none)
{
	CHECK_INT(classify(AT "FATAL:  28P0: x\n"), ==, TINE_E_CONNECT);
	CHECK_STR(error.sqlstate, "");
	CHECK_INT(classify(AT "FATAL:  28p01: x\n"), ==, TINE_E_CONNECT);
	CHECK_INT(classify(AT "FATAL:  28P01 x\n"), ==, TINE_E_CONNECT);
	CHECK_INT(classify(AT "FATAL:  "), ==, TINE_E_CONNECT);
	CHECK_INT(classify(""), ==, TINE_E_CONNECT);
	CHECK_CONTAINS(error.text, "libpq does not say why");
	CHECK_INT(classify("x:  y:  3D000: no such\n"), ==, TINE_E_NO_DATABASE);
}

TEST(pgbouncer_gives_words)
{
	CHECK_INT(classify(AT "FATAL:  08P01: no more connections allowed (max_client_conn)\n"), ==,
		  TINE_E_TOO_MANY);
	CHECK_STR(error.sqlstate, "08P01");
	CHECK_INT(classify(AT "FATAL:  08P01: SSL required\n"), ==, TINE_E_TLS);
	CHECK_INT(classify(AT "FATAL:  08P01: no such database: x\n"), ==, TINE_E_NO_DATABASE);
	CHECK_INT(classify(AT "FATAL:  08P01: database \"x\" does not exist\n"), ==,
		  TINE_E_NO_DATABASE);
	CHECK_INT(classify(AT "FATAL:  08P01: password authentication failed\n"), ==, TINE_E_AUTH);
	CHECK_INT(classify(AT "FATAL:  08P01: query_wait_timeout\n"), ==, TINE_E_CONNECT);
}

TEST(names_of_hosts_are_not_words)
{
	CHECK_INT(classify("connection to server at \"password-SSL-certificate\", port 1 failed: "
			   "Connection refused\n\tIs the password certificate running?\n"),
		  ==, TINE_E_CONNECT);
	CHECK_INT(error.os_errno, ==, ECONNREFUSED);
	CHECK_STR(error.text,
		  "connection to server at \"password-SSL-certificate\", port 1 failed: "
		  "Connection refused. See whether the server runs, and check host, "
		  "port and firewalls.");
}

TEST(a_broken_connection_is_not_a_refused_one)
{
	CHECK_INT(classify(AT "SSL SYSCALL error: EOF detected\n"), ==, TINE_E_CONNECT);
	CHECK_INT(classify(AT "SSL SYSCALL error: Connection reset by peer\n"), ==, TINE_E_CONNECT);
	CHECK_INT(error.os_errno, ==, ECONNRESET);
	CHECK_INT(classify(AT "received invalid response to SSL negotiation: H\n"), ==,
		  TINE_E_CONNECT);
	CHECK_INT(classify(AT "SSL error: certificate verify failed\n"), ==, TINE_E_TLS);
	CHECK_INT(classify(AT "could not load private key file \"x\": bad password read\n"), ==,
		  TINE_E_TLS);
}

/* libpq's words for it are localised; it says so with the socket open and after the login. */
TEST(a_server_that_is_not_what_was_asked_for)
{
	said.message = AT "сеанс открыт не для чтения\n";
	said.version = "15.1";
	said.fd = 0;
	CHECK_INT(set_connect(), ==, TINE_E_ROLE);
	CHECK_CONTAINS(error.text, "чтения. Check target_session_attrs");
	said.message = AT "FATAL:  57P03: not yet\n";
	CHECK_INT(set_connect(), ==, TINE_E_STARTING);
	said.message = AT "server closed the connection unexpectedly\n";
	said.fd = -1;
	CHECK_INT(set_connect(), ==, TINE_E_CONNECT);
}

TEST(this_process_may_be_the_reason)
{
	CHECK_INT(classify("could not create socket: Too many open files\n"), ==, TINE_E_SYSTEM);
	CHECK_INT(error.os_errno, ==, EMFILE);
}

TEST(lines_are_joined_and_said_once)
{
	classify(AT "FATAL:  28P01: no\nDETAIL:  Not you.\nLOCATION:  auth_failed, auth.c:334\n" AT
		    "FATAL:  28P01: no\nLOCATION:  auth_failed, auth.c:334\n");
	CHECK_STR(error.text, AT "FATAL:  28P01: no; DETAIL:  Not you. Check the user, the "
				 "password and the server's pg_hba.conf.");
}

/* ---- statements ----------------------------------------------------------------------------- */

static int classify_result(ConnStatusType status, const char *severity, const char *sqlstate,
			   const char *primary)
{
	said.status = status;
	said.severity = severity;
	said.sqlstate = sqlstate;
	said.primary = primary;
	said.message = "first\n\tguess\nsecond\n";
	return tine_error_set_result(&error, &words, NULL, (const PGresult *)&said);
}

TEST(a_statement_that_failed)
{
	CHECK_INT(classify_result(CONNECTION_OK, "ERROR", "42P01", "no such table\n"), ==,
		  TINE_E_SQL);
	CHECK_STR(error.text, "ERROR:  42P01: no such table?");
	CHECK_STR(error.sqlstate, "42P01");
	CHECK_INT(classify_result(CONNECTION_OK, "FATAL", "57P01", "terminating"), ==, TINE_E_LOST);
	CHECK_STR(error.sqlstate, "57P01");
	CHECK_INT(classify_result(CONNECTION_BAD, "ERROR", "42P01", "x"), ==, TINE_E_LOST);
	CHECK_INT(classify_result(CONNECTION_OK, NULL, NULL, NULL), ==, TINE_E_SQL);
	CHECK_STR(error.text, "first; second");
	CHECK_STR(error.sqlstate, "");
}

TEST(a_connection_that_was_lost)
{
	said.status = CONNECTION_BAD;
	said.message = "server closed the connection unexpectedly\n\tThis probably means\n";
	CHECK_INT(tine_error_set_result(&error, &words, NULL, NULL), ==, TINE_E_LOST);
	CHECK_STR(error.text, "server closed the connection unexpectedly");
	said.message = "";
	CHECK_INT(tine_error_set_result(&error, &words, NULL, NULL), ==, TINE_E_LOST);
	CHECK_STR(error.text, "the connection was lost");
	CHECK_INT(tine_error_set_result(NULL, &words, NULL, NULL), ==, TINE_E_LOST);
}

/* ---- libpq itself, and a server that does one thing wrong ----------------------------------- */

/* What the server says to the first packet, and to the second where there is one. */
struct answer {
	const char *bytes[2];
	size_t length[2];
};

#define ANSWER(text)                                                                               \
	{                                                                                          \
		{ text, NULL },                                                                    \
		{                                                                                  \
			sizeof(text) - 1, 0                                                        \
		}                                                                                  \
	}

static int listen_somewhere(int *ret_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	CHECK(listen(fd, 5) == 0);
	CHECK(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

/* Answer, then stay until the client goes; without an answer go at once. */
static void serve(int listener, const struct answer *answer)
{
	char buffer[4096];
	int fd = accept(listener, NULL, NULL);

	CHECK(fd >= 0);
	for (int i = 0; i < 2; i++) {
		CHECK_INT(read(fd, buffer, sizeof(buffer)), >, 0);
		CHECK_INT(write(fd, answer->bytes[i], answer->length[i]), ==, answer->length[i]);
		if (!answer->length[1])
			break;
	}
	while (answer->length[0] > 0 && read(fd, buffer, sizeof(buffer)) > 0)
		continue;
	_exit(0);
}

static PostgresPollingStatusType step(PGconn *pg, PostgresPollingStatusType status)
{
	struct pollfd pollfd = { .fd = tine_pq_linked.socket(pg) };

	pollfd.events = status == PGRES_POLLING_READING ? POLLIN : POLLOUT;
	CHECK_INT(poll(&pollfd, 1, 30000), ==, 1);
	return tine_pq_linked.connect_poll(pg);
}

static int connect_to(const char *host, int port, const char *sslmode)
{
	char port_text[16];
	const char *keywords[] = { "host",    "port",     "user",       "dbname",
				   "sslmode", "passfile", "gssencmode", NULL };
	const char *values[] = { host,    port_text,      "app",     "app",
				 sslmode, "/nonexistent", "disable", NULL };
	PostgresPollingStatusType status = PGRES_POLLING_WRITING;
	ConnStatusType reached;
	PGconn *pg;
	int rc;

	snprintf(port_text, sizeof(port_text), "%d", port);
	unsetenv("PGPASSWORD");
	pg = tine_pq_linked.connect_start_params(keywords, values, 0);
	reached = tine_pq_linked.status(pg);
	while (status != PGRES_POLLING_FAILED && reached != CONNECTION_BAD) {
		CHECK(status != PGRES_POLLING_OK);
		status = step(pg, status);
		if (status != PGRES_POLLING_FAILED)
			reached = tine_pq_linked.status(pg);
	}
	rc = tine_error_set_connect_at(&error, &tine_pq_linked, pg, reached);
	tine_pq_linked.finish(pg);
	return rc;
}

static int connect_with(struct answer answer, const char *sslmode)
{
	int port, listener = listen_somewhere(&port), rc;
	pid_t pid = fork();

	if (pid == 0)
		serve(listener, &answer);
	close(listener);
	rc = connect_to("127.0.0.1", port, sslmode);
	check_child(pid);
	return rc;
}

static const struct answer no_tls = ANSWER("N");
/* The alert "handshake failure". */
static const struct answer broken_tls = { { "S", "\x15\x03\x03\x00\x02\x02\x28" }, { 1, 7 } };
static const struct answer http = ANSWER("HTTP/1.1 400 Bad Request\r\n\r\n");
static const struct answer ask_password = ANSWER("R\0\0\0\x08\0\0\0\x03");
static const struct answer nothing = ANSWER("");
static const struct answer too_many = ANSWER("E\0\0\0\x2f"
					     "SFATAL\0VFATAL\0C53300\0Mtoo many\0Fa.c\0L1\0Rf\0\0");

/* Each by what libpq of the system itself says. */
static void check_failures(void)
{
	CHECK_INT(connect_with(no_tls, "require"), ==, TINE_E_TLS);
	CHECK_INT(connect_with(broken_tls, "require"), ==, TINE_E_TLS);
	CHECK_INT(connect_with(nothing, "require"), ==, TINE_E_CONNECT);
	CHECK_INT(connect_with(nothing, "disable"), ==, TINE_E_CONNECT);
	CHECK_INT(connect_with(ask_password, "disable"), ==, TINE_E_AUTH);
	CHECK_INT(connect_with(too_many, "disable"), ==, TINE_E_TOO_MANY);
	CHECK_STR(error.sqlstate, "53300");
	CHECK_CONTAINS(error.text, "FATAL:  53300: too many. ");
}

TEST(failures_of_a_connect)
{
	setenv("LC_ALL", "C", 1);
	check_failures();
	CHECK_INT(connect_with(no_tls, "require"), ==, TINE_E_TLS);
	CHECK_CONTAINS(error.text, "server does not support SSL, but SSL was required. Check");
	CHECK_INT(connect_with(http, "require"), ==, TINE_E_CONNECT);
}

static void close_port(int *ret_port)
{
	close(listen_somewhere(ret_port));
}

TEST(nobody_listens)
{
	int port;

	close_port(&port);
	CHECK_INT(connect_to("127.0.0.1", port, "require"), ==, TINE_E_CONNECT);
	CHECK_INT(error.os_errno, ==, ECONNREFUSED);
	CHECK_INT(connect_to("/nonexistent", port, "require"), ==, TINE_E_CONNECT);
	CHECK_INT(error.os_errno, ==, ENOENT);
}

TEST(failures_in_another_language)
{
	int port;

	setenv("LC_ALL", "C.UTF-8", 1);
	setenv("LANGUAGE", "de", 1);
	setlocale(LC_ALL, "");
	close_port(&port);
	CHECK_INT(connect_to("127.0.0.1", port, "require"), ==, TINE_E_CONNECT);
	CHECK_INT(error.os_errno, ==, ECONNREFUSED);
	if (!strstr(error.text, "Verbindung"))
		SKIP("libpq does not speak German here");
	check_failures();
	CHECK_INT(connect_to("/nonexistent", port, "require"), ==, TINE_E_CONNECT);
	CHECK_INT(error.os_errno, ==, ENOENT);
}

CHECK_TABLE(T(every_status_has_a_name_and_an_advice), T(every_cause_has_a_name_of_its_own),
	    T(only_configuration_is_permanent), T(a_text_is_one_line_of_good_characters),
	    T(a_long_text_is_cut_between_characters), T(errors_are_filled_whole),
	    T(nobody_has_to_want_an_error), T(an_sqlstate_decides),
	    T(what_only_looks_like_an_sqlstate_is_none), T(pgbouncer_gives_words),
	    T(names_of_hosts_are_not_words), T(a_broken_connection_is_not_a_refused_one),
	    T(a_server_that_is_not_what_was_asked_for), T(this_process_may_be_the_reason),
	    T(lines_are_joined_and_said_once), T(a_statement_that_failed),
	    T(a_connection_that_was_lost), T(failures_of_a_connect), T(nobody_listens),
	    T(failures_in_another_language))
