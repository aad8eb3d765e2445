/* SPDX-License-Identifier: PostgreSQL */
#include "job.h"

#include <stdio.h>
#include <string.h>

#include "lots.h"
#include "text.h"

const char *job_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

static int refuse(char error[JOB_ERROR_BYTES], const char *text)
{
	snprintf(error, JOB_ERROR_BYTES, "%s", text);
	return -1;
}

/* The parser cites what it did not like, and that may be anything. */
static void show_controls(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

bool job_is_good(const char *kind, const json_t *payload, char error[JOB_ERROR_BYTES])
{
	char number[LOT_NUMBER_BYTES];
	struct lot lot;

	if (strcmp(kind, "lot") == 0) {
		if (lot_read(&lot, job_text(payload, "number"), job_text(payload, "title")))
			return true;
		refuse(error, "a lot has a number such as 2024-0137, and a title");
	} else if (strcmp(kind, "note") == 0) {
		if (text_lot_number(job_text(payload, "lot"), number) != 0 &&
		    text_is_plain(job_text(payload, "text"), 1, NOTE_BYTES))
			return true;
		refuse(error, "a note has a lot such as 2024-0137, and a text");
	} else {
		refuse(error, "kind is lot or note");
	}
	return false;
}

int job_read(struct job *job, const char *text, size_t length, char error[JOB_ERROR_BYTES])
{
	json_error_t why;

	*job = (struct job){ .json = json_loadb(text, length, JSON_REJECT_DUPLICATES, &why) };
	if (!job->json) {
		snprintf(error, JOB_ERROR_BYTES, "line %d is not JSON that is taken here: %.*s",
			 why.line, (int)text_fit(why.text, JOB_ERROR_BYTES / 2), why.text);
		show_controls(error);
		return -1;
	}
	if (!json_is_object(job->json))
		return refuse(error, "that is not an object of JSON");
	job->key = job_text(job->json, "key");
	job->kind = job_text(job->json, "kind");
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
