/* SPDX-License-Identifier: PostgreSQL */
#include "job.h"

#include <stdio.h>
#include <string.h>

#include "lots.h"
#include "text.h"

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

static int refuse(char error[JOB_ERROR_BYTES], const char *text)
{
	snprintf(error, JOB_ERROR_BYTES, "%s", text);
	return -1;
}

bool job_is_good(const char *kind, const json_t *payload, char error[JOB_ERROR_BYTES])
{
	char number[LOT_NUMBER_BYTES];
	struct lot lot;

	if (strcmp(kind, "lot") == 0) {
		if (lot_read(&lot, text_of(payload, "number"), text_of(payload, "title")))
			return true;
		refuse(error, "a lot has a number such as 2024-0137, and a title");
	} else if (strcmp(kind, "note") == 0) {
		if (text_lot_number(text_of(payload, "lot"), number) != 0 &&
		    text_is_plain(text_of(payload, "text"), 1, NOTE_BYTES))
			return true;
		refuse(error, "a note has a lot such as 2024-0137, and a text");
	} else {
		refuse(error, "kind is lot or note");
	}
	return false;
}

int job_read(struct job *job, const char *text, size_t length, char error[JOB_ERROR_BYTES])
{
	*job = (struct job){ .json = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL) };
	if (!json_is_object(job->json))
		return refuse(error, "that is not an object of JSON");
	job->key = text_of(job->json, "key");
	job->kind = text_of(job->json, "kind");
	job->payload = json_object_get(job->json, "payload");
	if (!text_is_key(job->key))
		return refuse(error, "key is 1 to 100 printable ASCII characters");
	return job_is_good(job->kind, job->payload, error) ? 0 : -1;
}

void job_free(struct job *job)
{
	json_decref(job->json);
	*job = (struct job){ 0 };
}

/* ---- doing ---------------------------------------------------------------------------------- */

static int do_lot(struct db *db, PGconn *pg, const json_t *payload, char error[JOB_ERROR_BYTES])
{
	struct lot lot;
	int rc;

	lot_read(&lot, text_of(payload, "number"), text_of(payload, "title"));
	rc = lot_insert(db, pg, &lot);
	if (rc == LOT_IS_OTHER)
		refuse(error, "another lot has this number");
	return rc;
}

static int do_note(struct db *db, PGconn *pg, const char *id, const json_t *payload,
		   char error[JOB_ERROR_BYTES])
{
	char number[LOT_NUMBER_BYTES];
	const char *values[] = { number, id, text_of(payload, "text") };
	PGresult *result;
	int rc;

	text_lot_number(text_of(payload, "lot"), number);
	result = db_run(db, pg,
			"insert into notes (lot_id, job_id, text) "
			"select id, $2, $3 from lots where number = $1",
			3, values);
	if (!result)
		return db->error.status;
	rc = strcmp(PQcmdTuples(result), "1") == 0 ? 0 : 1;
	PQclear(result);
	if (rc == 1)
		refuse(error, "there is no such lot yet");
	return rc;
}

int job_do(struct db *db, PGconn *pg, const char *id, const char *kind, const json_t *payload,
	   char error[JOB_ERROR_BYTES])
{
	if (!job_is_good(kind, payload, error))
		return 1;
	if (strcmp(kind, "lot") == 0)
		return do_lot(db, pg, payload, error);
	return do_note(db, pg, id, payload, error);
}
