/* SPDX-License-Identifier: PostgreSQL */
/*
 * Grades of what protects a connection: TLS, the certificate, sslmode, the way of logging in.
 *
 * Locks: none. Fork: nothing to do.
 */
#include <stdio.h>
#include <string.h>

#include "doctor/database.h"
#include "doctor/report.h"

#define DAY_S (24 * 60 * 60)
#define SOON_S (14 * DAY_S)

static const char *const sslmodes[] = { "disable", "allow",     "prefer",
					"require", "verify-ca", "verify-full" };

static bool is_checked(const struct tine_database *database)
{
	return strncmp(database->sslmode, "verify-", 7) == 0;
}

static bool is_weak(const struct tine_database *database)
{
	return strcmp(database->sslmode, "disable") == 0 ||
	       strcmp(database->sslmode, "allow") == 0 || strcmp(database->sslmode, "prefer") == 0;
}

/* What does not leave the machine is seen by who can see everything anyway; but it may be the near
 * end of a tunnel. */
static void soften_local(const struct tine_examined *host, struct tine_finding *finding)
{
	if (host->is_local)
		tine_finding_set_grade(finding, TINE_GRADE_NOTE);
}

/* ---- the certificate ------------------------------------------------------------------------ */

static void grade_dates(struct tine_database *database, const struct tine_examined *host)
{
	const struct tine_certificate *certificate = &host->tls.certificate;
	struct tine_finding *finding = NULL;
	char day[32];

	if (certificate->ends && database->now > certificate->ends)
		finding =
			tine_report_add(database->report, "certificate-expired", host->label,
					"it was valid until %s", tine_day(certificate->ends, day));
	else if (certificate->begins && database->now < certificate->begins)
		finding = tine_report_add(database->report, "certificate-expired", host->label,
					  "it is not valid before %s",
					  tine_day(certificate->begins, day));
	else if (certificate->ends && certificate->ends - database->now < SOON_S)
		tine_report_add(database->report, "certificate-expiring", host->label,
				"it is valid until %s, for %lld more days",
				tine_day(certificate->ends, day),
				(long long)(certificate->ends - database->now) / DAY_S);
	if (finding && !is_checked(database))
		tine_finding_set_grade(finding, TINE_GRADE_WARNING);
}

static void grade_name(struct tine_database *database, const struct tine_examined *host)
{
	struct tine_finding *finding;

	if (host->tls.certificate.has_name)
		return;
	finding = tine_report_add(database->report, "certificate-name", host->label,
				  "the certificate is for %s, not for %.200s",
				  *host->tls.certificate.names ? host->tls.certificate.names
							       : "no name",
				  host->host->host);
	if (strcmp(database->sslmode, "verify-full") == 0)
		tine_finding_set_grade(finding, TINE_GRADE_HAZARD);
}

/* libpq 16 and later know sslrootcert=system; the file is Debian's, and works with every libpq. */
static const char *authorities(const struct tine_tls_seen *tls)
{
	if (*tls->root && !*tls->certificate.root_verdict)
		return tls->root;
	return *tls->certificate.system_verdict ? NULL : "/etc/ssl/certs/ca-certificates.crt";
}

static void grade_issuer(struct tine_database *database, const struct tine_examined *host)
{
	const struct tine_tls_seen *tls = &host->tls;
	struct tine_finding *finding;

	if (authorities(tls) && (!is_checked(database) || *tls->root))
		return;
	if (authorities(tls)) {
		finding = tine_report_add(database->report, "certificate-untrusted", host->label,
					  "sslmode=%s, and no file says which authorities to trust",
					  database->sslmode);
		tine_finding_set_change(finding, "Add sslrootcert=%s.", authorities(tls));
	} else
		finding = tine_report_add(database->report, "certificate-untrusted", host->label,
					  "issued by %s: %s", tls->certificate.issuer,
					  *tls->root ? tls->certificate.root_verdict
						     : tls->certificate.system_verdict);
	if (is_checked(database))
		tine_finding_set_grade(finding, TINE_GRADE_HAZARD);
	else if (!*tls->root)
		tine_finding_set_grade(finding, TINE_GRADE_NOTE);
}

/* ---- TLS ------------------------------------------------------------------------------------ */

static void grade_missing(struct tine_database *database, struct tine_examined *host)
{
	struct tine_finding *finding;

	if (host->tls.answer != 'S') {
		finding =
			tine_report_add(database->report, "tls-refused", host->label,
					"the server has no TLS; sslmode is %s", database->sslmode);
		if (is_weak(database))
			soften_local(host, finding);
		else
			tine_finding_set_grade(finding, TINE_GRADE_HAZARD);
	} else
		tine_report_add(database->report, "tls-failed", host->label, "%s",
				host->tls.problem);
}

static void grade_established(struct tine_database *database, struct tine_examined *host)
{
	const struct tine_tls_seen *tls = &host->tls;
	bool is_old = strcmp(tls->version, "TLSv1") == 0 || strcmp(tls->version, "TLSv1.1") == 0;
	char day[32];

	tine_report_add(
		database->report, is_old ? "tls-old" : "tls-established", host->label,
		"TLS: %s, %s, %d bits, in %.1f ms; certificate with %s of %s, valid until %s",
		tls->version, tls->cipher, tls->bits, (double)tls->us / 1e3, tls->certificate.key,
		tls->certificate.subject, tine_day(tls->certificate.ends, day));
	grade_dates(database, host);
	grade_name(database, host);
	grade_issuer(database, host);
}

/* ---- sslmode -------------------------------------------------------------------------------- */

static void list_effects(struct tine_database *database, struct tine_examined *host)
{
	json_t *facts = json_object();
	char effect[256], line[2048] = "";
	size_t at = 0;

	for (size_t i = 0; i < sizeof(sslmodes) / sizeof(sslmodes[0]); i++) {
		tine_tls_effect(&host->tls, sslmodes[i], host->clear_text.kind, database->now,
				effect, sizeof(effect));
		json_object_set_new(facts, sslmodes[i], tine_report_string(effect));
		at += (size_t)snprintf(line + at, sizeof(line) - at, "%s%s: %s", i ? "; " : "",
				       sslmodes[i], effect);
		if (at >= sizeof(line))
			break;
	}
	json_object_set_new(host->facts, "sslmodes", facts);
	tine_report_add(database->report, "sslmode-effects", host->label, "sslmode: %s", line);
}

static void advise_sslmode(const struct tine_examined *host, struct tine_finding *finding)
{
	const char *file = authorities(&host->tls);
	const struct tine_certificate *certificate = &host->tls.certificate;

	if (file && certificate->has_name)
		tine_finding_add_line(finding, "sslmode=verify-full sslrootcert=%s", file);
	else if (file)
		tine_finding_add_line(finding, "sslmode=verify-ca sslrootcert=%s", file);
	else
		tine_finding_add_line(finding, "sslmode=require");
}

static void grade_sslmode(struct tine_database *database, struct tine_examined *host)
{
	struct tine_finding *finding;

	if (is_weak(database) && host->tls.answer == 'S') {
		finding =
			tine_report_add(database->report, "sslmode-weak", host->label,
					"sslmode is %s, and the server has TLS", database->sslmode);
		soften_local(host, finding);
		advise_sslmode(host, finding);
	} else if (strcmp(database->sslmode, "require") == 0 && !*host->tls.root) {
		finding = tine_report_add(database->report, "sslmode-unchecked", host->label,
					  "sslmode is require, without a file of authorities");
		if (authorities(&host->tls))
			advise_sslmode(host, finding);
	}
	if (host->tls.answer == 'S' && host->clear_text.kind == 'R')
		tine_report_add(database->report, "clear-text-accepted", host->label,
				"the server goes on with a login that is not encrypted");
}

void tine_grade_tls(struct tine_database *database, struct tine_examined *host)
{
	if (host->tls.is_up)
		grade_established(database, host);
	else
		grade_missing(database, host);
	list_effects(database, host);
	grade_sslmode(database, host);
}

/* ---- the way of logging in ------------------------------------------------------------------ */

static const char *method_name(const struct tine_greeting *greeting)
{
	switch (greeting->method) {
	case 0:
		return "trust";
	case 3:
		return "password";
	case 5:
		return "md5";
	case 7:
		return "gss";
	case 9:
		return "sspi";
	case 10:
		return greeting->mechanisms;
	default:
		return "unknown";
	}
}

static const char *method_code(const struct tine_examined *host)
{
	switch (host->greeting.method) {
	case 0:
		/* Through a socket the server knows who we are. */
		return host->host->is_socket ? "authentication" : "authentication-trust";
	case 3:
		return "authentication-password";
	case 5:
		return "authentication-md5";
	default:
		return "authentication";
	}
}

void tine_grade_authentication(struct tine_database *database, struct tine_examined *host)
{
	const struct tine_greeting *greeting = &host->greeting;
	struct tine_finding *finding;

	/* A refusal is told by the login itself, with more words. */
	if (greeting->kind != 'R')
		return;
	json_object_set_new(host->facts, "authentication",
			    tine_report_string(method_name(greeting)));
	finding = tine_report_add(database->report, method_code(host), host->label,
				  "login method: %s, %s",
				  host->host->is_socket && greeting->method == 0
					  ? "trust or peer"
					  : method_name(greeting),
				  host->is_greeting_encrypted ? "through TLS"
				  : host->host->is_socket     ? "through a socket"
							      : "in clear text");
	if (greeting->method == 0 && !host->host->is_socket && host->is_local)
		tine_finding_set_grade(finding, TINE_GRADE_WARNING);
	if (greeting->method == 3 && !host->is_greeting_encrypted && !host->is_local)
		tine_finding_set_grade(finding, TINE_GRADE_HAZARD);
}
