/* SPDX-License-Identifier: PostgreSQL */
/*
 * The handshake, and what each sslmode would have made of it.
 *
 * Owns an SSL_CTX for the time of the handshake. Locks: none. Fork: nothing to do.
 */
#include "doctor/database_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>

#include "base/clock.h"
#include "doctor/report.h"

/* ---- which authorities libpq trusts --------------------------------------------------------- */

static const char *home(void)
{
	const char *name = secure_getenv("HOME");
	const struct passwd *account = name && *name ? NULL : getpwuid(geteuid());

	return name && *name ? name : account ? account->pw_dir : "";
}

static void find_root(const struct tine_dsn *dsn, char *root, size_t size)
{
	const char *named = tine_dsn_value(dsn, "sslrootcert");

	if (*named)
		snprintf(root, size, "%s", named);
	else
		snprintf(root, size, "%s/.postgresql/root.crt", home());
	if (strcmp(root, "system") != 0 && access(root, R_OK) < 0)
		root[0] = '\0';
}

/* ---- the handshake -------------------------------------------------------------------------- */

static void explain(struct tine_tls_seen *tls, int rc)
{
	unsigned long code = ERR_get_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;

	if (rc == -EPROTO && reason)
		snprintf(tls->problem, sizeof(tls->problem), "%s", reason);
	else if (rc == -ETIMEDOUT)
		snprintf(tls->problem, sizeof(tls->problem), "no answer in time");
	else
		snprintf(tls->problem, sizeof(tls->problem), "%s", strerror(-rc));
}

static bool is_numeric(const char *host)
{
	unsigned char address[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* Everything is let pass, to see what the server would take. */
static SSL *ssl_new(int fd, const char *host)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	SSL *ssl = NULL;

	if (!context)
		return NULL;
	SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_security_level(context, 0);
	SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
	ssl = SSL_new(context);
	SSL_CTX_free(context);
	if (ssl &&
	    (!SSL_set_fd(ssl, fd) || (!is_numeric(host) && !SSL_set_tlsext_host_name(ssl, host)))) {
		SSL_free(ssl);
		ssl = NULL;
	}
	return ssl;
}

static int shake_hands(struct tine_wire *wire)
{
	for (;;) {
		int result, rc;

		ERR_clear_error();
		errno = 0;
		result = SSL_connect(wire->ssl);
		if (result == 1)
			return 0;
		rc = tine_wire_wait_ssl(wire, result);
		if (rc < 0)
			return rc;
	}
}

static void note(struct tine_tls_seen *tls, SSL *ssl, const char *host)
{
	tls->is_up = true;
	snprintf(tls->version, sizeof(tls->version), "%s", SSL_get_version(ssl));
	snprintf(tls->cipher, sizeof(tls->cipher), "%s", SSL_get_cipher_name(ssl));
	tls->bits = SSL_get_cipher_bits(ssl, NULL);
	tine_certificate_read(ssl, host, tls->root, &tls->certificate);
}

void tine_tls_look(struct tine_wire *wire, const struct tine_dsn *dsn,
		   const struct tine_dsn_host *host, struct tine_tls_seen *ret_tls)
{
	int64_t began_ns = tine_clock_ns();
	int rc;

	*ret_tls = (struct tine_tls_seen){ 0 };
	find_root(dsn, ret_tls->root, sizeof(ret_tls->root));
	rc = tine_wire_ask_tls(wire, &ret_tls->answer);
	if (rc == 0 && ret_tls->answer == 'S') {
		wire->ssl = ssl_new(wire->fd, host->host);
		rc = wire->ssl ? shake_hands(wire) : -ENOMEM;
	}
	ret_tls->us = (tine_clock_ns() - began_ns) / TINE_NS_PER_US;
	if (rc == -EPROTO && !wire->ssl)
		snprintf(ret_tls->problem, sizeof(ret_tls->problem),
			 "bytes in clear text came behind the answer, as somebody between us and "
			 "the server would put them there");
	else if (rc < 0)
		explain(ret_tls, rc);
	else if (wire->ssl)
		note(ret_tls, wire->ssl, host->host);
}

/* ---- what an sslmode makes of it ------------------------------------------------------------ */

static void say(char *text, size_t size, const char *what, const char *why)
{
	snprintf(text, size, "%s%s", what, why);
}

static const char *dates(const struct tine_certificate *certificate, time_t now)
{
	if (certificate->ends && now > certificate->ends)
		return "certificate has expired";
	return certificate->begins && now < certificate->begins ? "certificate is not valid yet"
								: "";
}

static void effect_checked(const struct tine_tls_seen *tls, bool with_name, time_t now, char *text,
			   size_t size)
{
	const struct tine_certificate *certificate = &tls->certificate;

	if (!*tls->root)
		say(text, size, "refused: ", "no file of authorities (sslrootcert)");
	else if (*certificate->root_verdict)
		say(text, size, "refused: ", certificate->root_verdict);
	else if (*dates(certificate, now))
		say(text, size, "refused: ", dates(certificate, now));
	else if (with_name && !certificate->has_name)
		say(text, size, "refused: ", "certificate is for other names");
	else
		say(text, size, "encrypted, server checked", "");
}

static void effect_clear(char clear_text, char *text, size_t size)
{
	say(text, size, clear_text == 'E' ? "refused: " : "clear text",
	    clear_text == 'E'   ? "the server lets nobody in without TLS"
	    : clear_text == 'R' ? ""
				: " (not tried)");
}

void tine_tls_effect(const struct tine_tls_seen *tls, const char *sslmode, char clear_text,
		     time_t now, char *ret_text, size_t size)
{
	bool is_checked = strncmp(sslmode, "verify-", 7) == 0;
	bool is_prefer = strcmp(sslmode, "prefer") == 0, is_allow = strcmp(sslmode, "allow") == 0;

	if (strcmp(sslmode, "disable") == 0 || (is_allow && clear_text != 'E') ||
	    ((is_allow || is_prefer) && tls->answer == 'N'))
		effect_clear(clear_text, ret_text, size);
	else if (tls->answer != 'S')
		say(ret_text, size, "refused: ", "the server has no TLS");
	else if (!tls->is_up)
		say(ret_text, size, "refused: ", tls->problem);
	/* A file of authorities that is there makes libpq look at the certificate all the same. */
	else if (is_checked || (strcmp(sslmode, "require") == 0 && *tls->root))
		effect_checked(tls, strcmp(sslmode, "verify-full") == 0, now, ret_text, size);
	else
		say(ret_text, size, "encrypted, server not checked", "");
}

/* ---- facts ---------------------------------------------------------------------------------- */

const char *tine_day(time_t when, char text[32])
{
	struct tm parts;

	if (!gmtime_r(&when, &parts) || strftime(text, 32, "%Y-%m-%d", &parts) == 0)
		snprintf(text, 32, "?");
	return text;
}

static json_t *certificate_facts(const struct tine_certificate *certificate)
{
	char begins[32], ends[32];

	return json_pack("{s:o, s:o, s:o, s:o, s:s, s:s, s:s, s:i, s:b, s:o, s:o}", "subject",
			 tine_report_string(certificate->subject), "issuer",
			 tine_report_string(certificate->issuer), "names",
			 tine_report_string(certificate->names), "key",
			 tine_report_string(certificate->key), "sha256", certificate->sha256,
			 "begins", tine_day(certificate->begins, begins), "ends",
			 tine_day(certificate->ends, ends), "chain_length",
			 certificate->chain_length, "matches_host", certificate->has_name,
			 "distrusted_by_sslrootcert", tine_report_string(certificate->root_verdict),
			 "distrusted_by_system", tine_report_string(certificate->system_verdict));
}

json_t *tine_tls_facts(const struct tine_tls_seen *tls)
{
	json_t *facts =
		json_pack("{s:b, s:f}", "offered", tls->answer == 'S', "ms", (double)tls->us / 1e3);

	if (*tls->problem)
		json_object_set_new(facts, "problem", tine_report_string(tls->problem));
	if (*tls->root)
		json_object_set_new(facts, "sslrootcert", tine_report_string(tls->root));
	if (!tls->is_up)
		return facts;
	json_object_set_new(facts, "version", tine_report_string(tls->version));
	json_object_set_new(facts, "cipher", tine_report_string(tls->cipher));
	json_object_set_new(facts, "bits", json_integer(tls->bits));
	json_object_set_new(facts, "certificate", certificate_facts(&tls->certificate));
	return facts;
}
