/* SPDX-License-Identifier: PostgreSQL */
/*
 * The settings of the admin page: one row, read at once and kept for RECORDS_SETTINGS_CACHE_S. When
 * they are due and the database is away, the last known ones go on, and are tried for again in a
 * few seconds. One thread reads while others use what there is.
 *
 * Locks: its own, never held while the database is asked. Fork: made in the master, empty.
 */
#ifndef RECORDS_SETTINGS_H
#define RECORDS_SETTINGS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define TITLE_BYTES 81
#define NOTICE_BYTES 501

struct setting_values {
	char title[TITLE_BYTES];
	char notice[NOTICE_BYTES];
	int64_t upload_limit_bytes; /* 0 = the environment's */
};

struct settings {
	pthread_mutex_t lock;
	struct setting_values values;
	int64_t due_ns; /* when they are to be read again */
	bool reading;   /* one thread does */
};

struct request;

void settings_init(struct settings *settings);

/** What is known, without asking anybody. */
struct setting_values settings_known(struct settings *settings);

/** Read them again when they are due and the request has not found the database away. */
void settings_refresh(struct request *request);

/** The next settings_refresh() in this process reads. */
void settings_forget(struct settings *settings);

/** The largest document, as far as known. */
int64_t settings_upload_limit(struct request *request);

#endif
