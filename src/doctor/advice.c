/* SPDX-License-Identifier: PostgreSQL */
/*
 * The configurations that --for prints. Each has been run: tests/doctor does it.
 *
 * Owns nothing: constant data. Locks, fork: nothing to do.
 */
#include "doctor/advice.h"

#include <string.h>

#include <jansson.h>

static const struct {
	const char *name;
	const char *command;
	const char *file;
	const char *settings;
} advices[] = {
	[TINE_FRAMEWORK_GUNICORN] = {
		.name = "gunicorn",
		.command = "tine run -- gunicorn --preload --config gunicorn.conf.py app:app",
		.file = "gunicorn.conf.py",
		.settings =
			"# Without tine: the master closes its idle connections before each\n"
			"# fork, so that a worker inherits none. engine is the application's\n"
			"# SQLAlchemy engine.\n"
			"def pre_fork(server, worker):\n"
			"    from app import engine\n"
			"    engine.dispose()\n",
	},
	[TINE_FRAMEWORK_CELERY] = {
		.name = "celery",
		.command = "tine run -- celery -A tasks worker --pool prefork",
		.file = "tasks.py",
		.settings =
			"# Without tine: the main process closes what the import opened before\n"
			"# it forks its pool, and opens none later. engine is the application's\n"
			"# SQLAlchemy engine.\n"
			"from celery.signals import worker_init\n"
			"\n"
			"@worker_init.connect\n"
			"def close_connections(**_):\n"
			"    engine.dispose()\n",
	},
	[TINE_FRAMEWORK_UWSGI] = {
		.name = "uwsgi",
		.command = "tine run -- uwsgi --ini uwsgi.ini",
		.file = "uwsgi.ini",
		.settings =
			"[uwsgi]\n"
			"master = true\n"
			"# Without tine: load the application in each worker, after the fork.\n"
			"lazy-apps = true\n",
	},
};

const char *tine_advice_name(enum tine_framework framework)
{
	return advices[framework].name;
}

const char *tine_advice_command(enum tine_framework framework)
{
	return advices[framework].command;
}

/* "/usr/bin/gunicorn", "gunicorn3", or the titles "gunicorn: master [app:app]" and "[celeryd:
 * celery@host:MainProcess]". */
static bool is_program(const char *word, const char *name)
{
	size_t length = strcspn(word, ": ");
	const char *slash = memrchr(word, '/', length);

	word = slash ? slash + 1 : word;
	word += *word == '[';
	if (strncmp(word, name, strlen(name)) != 0)
		return false;
	word += strlen(name);
	word += strspn(word, "0123456789.-");
	word += word[0] == 'd' && word[1] == ':';
	return !*word || *word == ':';
}

enum tine_framework tine_advice_framework(const char *words, size_t size)
{
	/* The program, or the script or "-m module" of an interpreter. */
	for (size_t at = 0, word = 0; at < size && word < 4; word++) {
		for (int i = TINE_FRAMEWORK_GUNICORN; i <= TINE_FRAMEWORK_UWSGI; i++)
			if (is_program(words + at, advices[i].name))
				return (enum tine_framework)i;
		at += strnlen(words + at, size - at) + 1;
	}
	return TINE_FRAMEWORK_NONE;
}

void tine_advice_print(enum tine_framework framework, bool json, FILE *out)
{
	json_t *object;

	if (!json) {
		fprintf(out, "%s\n\n# %s\n%s", advices[framework].command, advices[framework].file,
			advices[framework].settings);
		return;
	}
	object = json_pack("{s:s, s:s, s:s, s:s}", "framework", advices[framework].name, "command",
			   advices[framework].command, "file", advices[framework].file, "settings",
			   advices[framework].settings);
	json_dumpf(object, out, JSON_INDENT(2));
	fputc('\n', out);
	json_decref(object);
}
