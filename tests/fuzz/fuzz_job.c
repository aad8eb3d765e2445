/* SPDX-License-Identifier: PostgreSQL */
/*
 * What is posted to the inbox. Whatever it is: a job with a key, a kind and what that needs, all of
 * it text that the database takes, or one line that says what is wrong.
 */
#include "job.h"

#include <string.h>

#include "lots.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check(bool good)
{
	if (!good)
		__builtin_trap();
}

static void check_job(const struct job *job)
{
	struct lot lot;

	check(text_is_key(job->key));
	if (strcmp(job->kind, "note") == 0) {
		check(text_is_plain(job_text(job->payload, "text"), 1, NOTE_BYTES));
		return;
	}
	check(strcmp(job->kind, "lot") == 0);
	check(lot_read(&lot, job_text(job->payload, "number"), job_text(job->payload, "title")));
	check(lot.year >= 1970 && lot.year <= 2069);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	char error[JOB_ERROR_BYTES] = "";
	struct job job;

	if (job_read(&job, (const char *)bytes, length, error) == 0)
		check_job(&job);
	else
		check(*error && text_is_header_value(error));
	job_free(&job);
	return 0;
}
