/* SPDX-License-Identifier: PostgreSQL */
#include "settings.h"

#include <stdio.h>
#include <string.h>

#include "service.h"

#define NS_PER_S 1000000000LL
#define RETRY_NS (5 * NS_PER_S)

void settings_init(struct settings *settings)
{
	*settings =
		(struct settings){ .lock = PTHREAD_MUTEX_INITIALIZER, .values.title = "Records" };
}

struct setting_values settings_known(struct settings *settings)
{
	struct setting_values values;

	pthread_mutex_lock(&settings->lock);
	values = settings->values;
	pthread_mutex_unlock(&settings->lock);
	return values;
}

void settings_forget(struct settings *settings)
{
	pthread_mutex_lock(&settings->lock);
	settings->due_ns = 0;
	pthread_mutex_unlock(&settings->lock);
}

/* @return true when the caller is the one to read */
static bool begin(struct settings *settings)
{
	bool due;

	pthread_mutex_lock(&settings->lock);
	due = !settings->reading && clock_ns() >= settings->due_ns;
	settings->reading |= due;
	pthread_mutex_unlock(&settings->lock);
	return due;
}

static void take_row(struct setting_values *values, const PGresult *row)
{
	snprintf(values->title, sizeof(values->title), "%s", PQgetvalue(row, 0, 0));
	snprintf(values->notice, sizeof(values->notice), "%s", PQgetvalue(row, 0, 1));
	values->upload_limit_bytes = strtoll(PQgetvalue(row, 0, 2), NULL, 10);
}

static void read_row(struct request *request)
{
	struct settings *settings = &request->service->settings;
	PGresult *row = db_read(&request->db, STATEMENT_SETTINGS, 0, NULL);
	int64_t keep_ns = request->service->config->settings_cache_s * NS_PER_S;

	if (!row && db_is_away(&request->db.error))
		request->database_away = true;
	else if (!row)
		db_tell(&request->db);
	pthread_mutex_lock(&settings->lock);
	if (row && PQntuples(row) == 1)
		take_row(&settings->values, row);
	settings->due_ns = clock_ns() + (row ? keep_ns : RETRY_NS);
	settings->reading = false;
	pthread_mutex_unlock(&settings->lock);
	PQclear(row);
}

void settings_refresh(struct request *request)
{
	if (!request->database_away && begin(&request->service->settings))
		read_row(request);
}

int64_t settings_upload_limit(struct request *request)
{
	int64_t limit = settings_known(&request->service->settings).upload_limit_bytes;

	return limit > 0 ? limit : request->service->config->upload_limit_bytes;
}
