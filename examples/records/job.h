/* SPDX-License-Identifier: PostgreSQL */
/*
 * What the inbox takes: one object of JSON. Read here, and done here.
 *
 * Locks: none. Fork: nothing to do.
 */
#ifndef RECORDS_JOB_H
#define RECORDS_JOB_H

#include <stdbool.h>

#include <jansson.h>

#include "db.h"

#define JOB_ERROR_BYTES 200
#define NOTE_BYTES 1000

struct job {
	json_t *json; /* the job's, for job_free(); what follows is in it */
	const char *key, *kind;
	json_t *payload;
};

/** Read a posted body. @param error receives one line
 *  @return 0; -1: it is not a job that can be done */
int job_read(struct job *job, const char *text, size_t length, char error[JOB_ERROR_BYTES]);

void job_free(struct job *job);

/** Is it of a kind that is known, with what that needs? */
bool job_is_good(const char *kind, const json_t *payload, char error[JOB_ERROR_BYTES]);

/** A text of an object, "" when it is none. */
const char *job_text(const json_t *object, const char *name);

/** Do it, in a transaction. @param id of the job
 *  @return 0; 1 when it cannot be done now, with error; a TINE_E_* in db->error */
int job_do(struct db *db, PGconn *pg, const char *id, const char *kind, const json_t *payload,
	   char error[JOB_ERROR_BYTES]);

#endif
