/* SPDX-License-Identifier: PostgreSQL */
/*
 * What jobs do, each in the transaction of the task that has taken it.
 */
#include <stdio.h>
#include <string.h>

#include "job.h"
#include "lots.h"

static int refuse(char error[JOB_ERROR_BYTES], const char *text)
{
	snprintf(error, JOB_ERROR_BYTES, "%s", text);
	return 1;
}

static int do_lot(struct db *db, PGconn *pg, const json_t *payload, char error[JOB_ERROR_BYTES])
{
	struct lot lot;
	int rc;

	lot_read(&lot, job_text(payload, "number"), job_text(payload, "title"));
	rc = lot_insert(db, pg, &lot);
	return rc == LOT_IS_OTHER ? refuse(error, "another lot has this number") : rc;
}

static int do_note(struct db *db, PGconn *pg, const char *id, const json_t *payload,
		   char error[JOB_ERROR_BYTES])
{
	char number[LOT_NUMBER_BYTES];
	const char *values[] = { number, id, job_text(payload, "text") };
	PGresult *result;
	int rc;

	text_lot_number(job_text(payload, "lot"), number);
	result = db_run(db, pg,
			"insert into notes (lot_id, job_id, text) "
			"select id, $2, $3 from lots where number = $1",
			3, values);
	if (!result)
		return db->error.status;
	rc = strcmp(PQcmdTuples(result), "1") == 0 ? 0 : refuse(error, "there is no such lot yet");
	PQclear(result);
	return rc;
}

int job_do(struct db *db, PGconn *pg, const char *id, const char *kind, const json_t *payload,
	   char error[JOB_ERROR_BYTES])
{
	if (!payload)
		return refuse(error, "the payload cannot be read");
	if (!job_is_good(kind, payload, error))
		return 1;
	if (strcmp(kind, "lot") == 0)
		return do_lot(db, pg, payload, error);
	return do_note(db, pg, id, payload, error);
}
