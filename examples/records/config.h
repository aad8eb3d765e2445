/* SPDX-License-Identifier: PostgreSQL */
/*
 * The service's settings. All come from the environment, by the one table in config_rows.inc, from
 * which `records help` is made too. What is the pool's and the supervisor's is libtine's to read.
 *
 * Locks: none; set once. Fork: constant afterwards.
 */
#ifndef RECORDS_CONFIG_H
#define RECORDS_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <tine/tine.h>

#define S3_URL_BYTES 900 /* the key comes behind it */

enum storage_kind { STORAGE_LOCAL, STORAGE_S3 };
enum status_access { STATUS_ADMIN, STATUS_ALL, STATUS_OFF };

struct config {
	const char *secret; /* "" = none */
	bool insecure_database;
	bool behind_tls;
	bool trust_forwarded;
	const char *home;
	int storage; /* enum storage_kind */
	const char *files;
	const char *s3_url;
	const char *s3_region;
	const char *s3_key;
	const char *s3_secret;
	int s3_timeout_ms;
	int64_t upload_limit_bytes;
	int session_s;
	int settings_cache_s;
	int health_timeout_ms;
	int scanner_limit;       /* in a minute */
	int login_limit;         /* in a minute */
	const char *inbox_token; /* "" = none */
	int job_attempts;
	int job_backoff_ms;
	bool prepare;
	int status;        /* enum status_access */
	const char *hosts; /* names with ',' between them, "" = none */
};

/** Read the environment.
 *  @param error receives one line: the variable, its value unless that is secret, what is right
 *  @return 0 or -1 */
int config_read(struct config *config, char *error, size_t error_size);

/** The pool's settings: this service's defaults, then the environment's. Texts are borrowed from
 * it.
 *  @return 0 or a TINE_E_*; also when the connection would not be encrypted and nobody allowed it
 */
int config_pool(const struct config *config, tine_pool_config *pool, tine_error *error);

/** Write the table for people. */
void config_help(FILE *out);

#endif
