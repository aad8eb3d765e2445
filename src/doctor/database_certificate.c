/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a server's certificate says, and who trusts it. The certificate is a stranger's: OpenSSL
 * reads it, and every text is cut to its place.
 *
 * Locks: none. Fork: nothing to do.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "doctor/database_tls.h"

/* ---- texts ---------------------------------------------------------------------------------- */

static void write_name(const X509_NAME *name, char *text, size_t size)
{
	BIO *out = BIO_new(BIO_s_mem());
	char *bytes;
	long length;

	text[0] = '\0';
	if (!out)
		return;
	if (X509_NAME_print_ex(out, name, 0, XN_FLAG_RFC2253) >= 0 &&
	    (length = BIO_get_mem_data(out, &bytes)) > 0)
		snprintf(text, size, "%.*s", (int)length, bytes);
	BIO_free(out);
}

static void append(char *text, size_t size, const char *word, int length)
{
	size_t at = strlen(text);

	if (at + (size_t)length + 3 < size)
		snprintf(text + at, size - at, "%s%.*s", at ? ", " : "", length, word);
}

static void append_address(char *text, size_t size, const ASN1_OCTET_STRING *bytes)
{
	char address[INET6_ADDRSTRLEN];
	int family = ASN1_STRING_length(bytes) == 4 ? AF_INET : AF_INET6;

	if (ASN1_STRING_length(bytes) != 4 && ASN1_STRING_length(bytes) != 16)
		return;
	if (inet_ntop(family, ASN1_STRING_get0_data(bytes), address, sizeof(address)))
		append(text, size, address, (int)strlen(address));
}

/* The common name counts only when there is no other, for libpq as for everybody. */
static void write_names(X509 *certificate, char *text, size_t size)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	char common[256];

	text[0] = '\0';
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_DNS)
			append(text, size, (const char *)ASN1_STRING_get0_data(name->d.dNSName),
			       ASN1_STRING_length(name->d.dNSName));
		else if (name->type == GEN_IPADD)
			append_address(text, size, name->d.iPAddress);
	}
	GENERAL_NAMES_free(names);
	if (!*text && X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName,
						common, sizeof(common)) > 0)
		append(text, size, common, (int)strlen(common));
}

static void write_key(X509 *certificate, char *text, size_t size)
{
	const EVP_PKEY *key = X509_get0_pubkey(certificate);

	snprintf(text, size, "%s %d bits", key ? EVP_PKEY_get0_type_name(key) : "unreadable",
		 key ? EVP_PKEY_get_bits(key) : 0);
}

static void write_digest(X509 *certificate, char text[65])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned length = 0;

	if (!X509_digest(certificate, EVP_sha256(), digest, &length))
		length = 0;
	text[0] = '\0';
	for (unsigned i = 0; i < length && i < 32; i++)
		snprintf(text + 2 * i, 3, "%02x", digest[i]);
}

static time_t read_time(const ASN1_TIME *when)
{
	struct tm parts;

	return ASN1_TIME_to_tm(when, &parts) ? timegm(&parts) : 0;
}

static bool is_for(X509 *certificate, const char *host)
{
	unsigned char address[sizeof(struct in6_addr)];

	if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
		return X509_check_ip_asc(certificate, host, 0) == 1;
	return X509_check_host(certificate, host, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) ==
	       1;
}

/* ---- trust ---------------------------------------------------------------------------------- */

static bool is_date(int code)
{
	return code == X509_V_ERR_CERT_HAS_EXPIRED || code == X509_V_ERR_CERT_NOT_YET_VALID;
}

/* @return the error of X509_verify_cert(), 0 = none. The server's own dates are told elsewhere, so
 * they do not count here; those of the chain do. */
static int verify(X509_STORE *store, X509 *certificate, STACK_OF(X509) * chain, bool with_dates)
{
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	int code = X509_V_ERR_OUT_OF_MEM;

	if (context && X509_STORE_CTX_init(context, store, certificate, chain)) {
		X509_STORE_CTX_set_default(context, "ssl_server");
		if (!with_dates)
			X509_STORE_CTX_set_flags(context, X509_V_FLAG_NO_CHECK_TIME);
		code = X509_verify_cert(context) == 1 ? X509_V_OK
						      : X509_STORE_CTX_get_error(context);
		if (with_dates && is_date(code) && X509_STORE_CTX_get_error_depth(context) == 0)
			code = verify(store, certificate, chain, false);
	}
	X509_STORE_CTX_free(context);
	return code;
}

/* @param root  a file, or NULL for the system's authorities */
static void judge(X509 *certificate, STACK_OF(X509) * chain, const char *root, char *text,
		  size_t size)
{
	X509_STORE *store = X509_STORE_new();
	int code;

	text[0] = '\0';
	if (!store ||
	    !(root ? X509_STORE_load_file(store, root) : X509_STORE_set_default_paths(store)))
		snprintf(text, size, "the authorities cannot be read");
	else if ((code = verify(store, certificate, chain, true)) != X509_V_OK)
		snprintf(text, size, "%s", X509_verify_cert_error_string(code));
	X509_STORE_free(store);
}

void tine_certificate_read(SSL *ssl, const char *host, const char *root,
			   struct tine_certificate *ret_certificate)
{
	struct tine_certificate *to = ret_certificate;
	X509 *certificate = SSL_get1_peer_certificate(ssl);
	STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);

	*to = (struct tine_certificate){ 0 };
	if (!certificate)
		return;
	to->chain_length = sk_X509_num(chain);
	to->begins = read_time(X509_get0_notBefore(certificate));
	to->ends = read_time(X509_get0_notAfter(certificate));
	to->has_name = is_for(certificate, host);
	write_name(X509_get_subject_name(certificate), to->subject, sizeof(to->subject));
	write_name(X509_get_issuer_name(certificate), to->issuer, sizeof(to->issuer));
	write_names(certificate, to->names, sizeof(to->names));
	write_key(certificate, to->key, sizeof(to->key));
	write_digest(certificate, to->sha256);
	judge(certificate, chain, NULL, to->system_verdict, sizeof(to->system_verdict));
	if (*root && strcmp(root, "system") != 0)
		judge(certificate, chain, root, to->root_verdict, sizeof(to->root_verdict));
	else if (*root)
		snprintf(to->root_verdict, sizeof(to->root_verdict), "%s", to->system_verdict);
	X509_free(certificate);
}
