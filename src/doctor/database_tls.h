/* SPDX-License-Identifier: PostgreSQL */
/*
 * TLS as a server offers it: what is negotiated, the certificate, and what each sslmode would make
 * of it. Whatever the server shows is accepted while it is looked at; nothing secret is sent.
 *
 * Locks: none. Fork: plain data.
 */
#ifndef TINE_DOCTOR_DATABASE_TLS_H
#define TINE_DOCTOR_DATABASE_TLS_H

#include <time.h>

#include <jansson.h>

#include "doctor/database_wire.h"
#include "doctor/dsn.h"

struct tine_certificate {
	char subject[256], issuer[256];
	char names[512]; /* those it is valid for, with ", " between them */
	char key[64];    /* "RSA 2048 bits" */
	char sha256[65];
	time_t begins, ends;
	int chain_length; /* of what the server sent */
	bool has_name;    /* valid for the host's name */
	/* Why it is not trusted, whatever its dates; "" when it is. */
	char root_verdict[128];   /* by the file that libpq would use */
	char system_verdict[128]; /* by the system's authorities */
};

struct tine_tls_seen {
	char answer;       /* 'S', 'N'; 0 when there was none */
	bool is_up;        /* the handshake came to its end */
	char problem[256]; /* why not */
	char version[16], cipher[64];
	int bits;
	int64_t us; /* asking and handshake together */
	struct tine_certificate certificate;
	char root[4096]; /* the file of authorities that libpq would use, "" for none */
};

/** Ask for TLS on a connection to a host, and shake hands. */
void tine_tls_look(struct tine_wire *wire, const struct tine_dsn *dsn,
		   const struct tine_dsn_host *host, struct tine_tls_seen *ret_tls);

/** Fill in what a certificate says of itself and who trusts it. */
void tine_certificate_read(SSL *ssl, const char *host, const char *root,
			   struct tine_certificate *ret_certificate);

/** What libpq would do with an sslmode: "clear text", "encrypted" ... or "refused: ...".
 *  @param clear_text  what the server says to a login in clear text: 'R', 'E', or 0, not tried */
void tine_tls_effect(const struct tine_tls_seen *tls, const char *sslmode, char clear_text,
		     time_t now, char *ret_text, size_t size);

/** Everything, for --json. @return new reference */
json_t *tine_tls_facts(const struct tine_tls_seen *tls);

/** A day, "2026-11-21". @return text */
const char *tine_day(time_t when, char text[32]);

#endif
