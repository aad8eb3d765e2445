/* SPDX-License-Identifier: PostgreSQL */
/*
 * tine run: put the guard into the environment and become the command.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/cleanup.h"
#include "base/line.h"
#include "board/board.h"
#include "cli/command.h"
#include "cli/library.h"
#include "cli/target.h"

#define LIST_BYTES 65536 /* far above any LD_PRELOAD, below the limit for one variable */

/* ---- the environment of CMD ----------------------------------------------------------------- */

static int set_flag(const char *name, bool on)
{
	return on ? setenv(name, "1", 1) : unsetenv(name);
}

/* CMD may change its directory: the log's name must not depend on it. */
static int set_log(const char *log)
{
	char here[PATH_MAX], path[2 * PATH_MAX];

	if (!log || strcmp(log, "-") == 0)
		return unsetenv("TINE_LOG");
	if (log[0] == '/')
		return setenv("TINE_LOG", log, 1);
	if (!getcwd(here, sizeof(here)))
		return -1;
	snprintf(path, sizeof(path), "%s/%s", here, log);
	return setenv("TINE_LOG", path, 1);
}

static void choice_name(const struct tine_option *option, int number, char *ret, size_t size)
{
	const char *name = option->choices;

	while (number-- > 0)
		name = strchr(name, ' ') + 1;
	snprintf(ret, size, "%.*s", (int)strcspn(name, ","), name);
}

/* Zero is what is not given, but where it means something else than the default. */
static bool is_given(const struct tine_option *option, int value)
{
	return value > 0 || (value == 0 && option->type != TINE_OPTION_CHOICE &&
			     option->minimum == 0 && strcmp(option->initial, "0") != 0);
}

/* What the libpq level reads: rows whose variable is of tine run alone. */
static int export_option(const struct tine_option *option, const struct tine_settings *settings)
{
	const char *field = (const char *)settings + option->offset;
	char text[32];

	if (option->type == TINE_OPTION_FLAG)
		return set_flag(option->env, *(const bool *)field);
	/* Not given: the level has the defaults. */
	if (!is_given(option, *(const int *)field))
		return unsetenv(option->env);
	if (option->type == TINE_OPTION_CHOICE)
		choice_name(option, *(const int *)field, text, sizeof(text));
	else
		snprintf(text, sizeof(text), "%d", *(const int *)field);
	return setenv(option->env, text, 1);
}

static int export_level(const struct tine_settings *settings)
{
	for (size_t i = 0; i < tine_options_count; i++)
		if (tine_options[i].commands == TINE_COMMAND_RUN && tine_options[i].env &&
		    strncmp(tine_options[i].env, "TINE_RUN_", strlen("TINE_RUN_")) == 0 &&
		    export_option(&tine_options[i], settings) < 0)
			return -1;
	return 0;
}

static int set_environment(const struct tine_settings *settings, const char *library)
{
	static char preload[LIST_BYTES];

	if (tine_library_extend(getenv("LD_PRELOAD"), library, preload, sizeof(preload)) < 0)
		return errno = E2BIG, -1;
	if (setenv("LD_PRELOAD", preload, 1) < 0 || set_log(settings->log) < 0 ||
	    set_flag("TINE_QUIET", settings->quiet) < 0 ||
	    set_flag("TINE_VERBOSE", settings->verbose) < 0 ||
	    set_flag("TINE_NO_REVIVE", settings->no_revive) < 0 || export_level(settings) < 0)
		return -1;
	return settings->ports ? setenv("TINE_PORT", settings->ports, 1) : unsetenv("TINE_PORT");
}

static int check_log(const char *log)
{
	cleanup_(tine_closep) int fd = -1;

	if (!log || strcmp(log, "-") == 0)
		return 0;
	fd = tine_sink_open(log);
	if (fd < 0)
		return tine_fail(TINE_EXIT_SYSTEM, "--log: cannot append to '%s': %s", log,
				 strerror(-fd));
	return 0;
}

/* ---- the board ------------------------------------------------------------------------------ */

/* This process becomes CMD: as its member it keeps the board while CMD lives. */
static int join_board(const struct tine_settings *settings)
{
	struct tine_board_spec spec = { .name = settings->name, .budget = settings->budget };
	static struct tine_board board;
	char error[512];

	if (!settings->name && !settings->budget)
		return unsetenv("TINE_BOARD") == 0 ? 0 : TINE_EXIT_SYSTEM;
	if (tine_board_open(&board, &spec, error, sizeof(error)) == -EINVAL)
		return tine_fail(TINE_EXIT_USAGE, "run: --name: %s", error);
	if (!board.map)
		return tine_fail(TINE_EXIT_SYSTEM, "run: %s", error);
	if (tine_board_enlist(&board) < 0 || setenv("TINE_BOARD", board.path, 1) < 0)
		return tine_fail(TINE_EXIT_SYSTEM, "run: no place left on the board %s",
				 board.path);
	return 0;
}

/* ---- --check -------------------------------------------------------------------------------- */

static void print_text(const struct tine_targets *targets)
{
	for (size_t i = 0; i < targets->count; i++) {
		const struct tine_target *target = &targets->items[i];

		printf("%s %s%s%s%s\n", target->path, tine_target_reason(target->verdict),
		       *target->detail ? " (" : "", target->detail, *target->detail ? ")" : "");
	}
}

static void print_json(const struct tine_targets *targets, const char *library)
{
	json_t *programs = json_array();
	json_t *report;

	for (size_t i = 0; i < targets->count; i++) {
		const struct tine_target *target = &targets->items[i];

		json_array_append_new(programs,
				      json_pack("{s:s, s:s, s:s}", "path", target->path, "verdict",
						tine_target_code(target->verdict), "detail",
						target->detail));
	}
	report = json_pack("{s:b, s:s, s:o}", "protected", !tine_target_problem(targets), "library",
			   library, "programs", programs);
	json_dumpf(report, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(report);
}

static int report_check(const struct tine_settings *settings, const struct tine_targets *targets,
			const char *library)
{
	if (settings->json)
		print_json(targets, library);
	else
		print_text(targets);
	return tine_target_problem(targets) ? TINE_EXIT_NO : TINE_EXIT_OK;
}

/* ---- the command ---------------------------------------------------------------------------- */

static int not_found(const char *command, int error)
{
	if (error == -ENOENT || error == -ENOTDIR)
		return tine_fail(TINE_EXIT_NOT_FOUND, "run: '%s': command not found", command);
	return tine_fail(TINE_EXIT_CANNOT_RUN, "run: '%s': %s", command, strerror(-error));
}

/* Say what cannot be protected. Returns an exit status when the command must not be started, else
 * 0. */
static int warn(const struct tine_settings *settings, const struct tine_targets *targets)
{
	const struct tine_target *problem = tine_target_problem(targets);

	if (!problem)
		return 0;
	if (settings->strict)
		return tine_fail(TINE_EXIT_CANNOT_RUN, "run: not started (--strict): %s %s%s%s",
				 problem->path, tine_target_reason(problem->verdict),
				 *problem->detail ? ": " : "", problem->detail);
	if (!settings->quiet)
		tine_fail(0, "warning: running unprotected: %s %s%s%s", problem->path,
			  tine_target_reason(problem->verdict), *problem->detail ? ": " : "",
			  problem->detail);
	return 0;
}

static bool has_sanitizer(const struct tine_targets *targets)
{
	const struct tine_target *problem = tine_target_problem(targets);

	return problem && problem->verdict == TINE_TARGET_SANITIZER;
}

/* The library for LD_PRELOAD, or an exit status. Without it --strict refuses; otherwise CMD is run
 * all the same: a program is never worse off under tine. */
static int find_library(const struct tine_settings *settings, char ret_path[PATH_MAX])
{
	char found[PATH_MAX];
	int rc = tine_library_find(found);

	if (rc == 0)
		rc = tine_library_preloadable(found, ret_path);
	if (rc == 0)
		return 0;
	ret_path[0] = '\0';
	tine_fail(0, "%s: %s: %s",
		  settings->strict || settings->check ? "error" : "warning: running unprotected",
		  found, strerror(-rc));
	return settings->strict || settings->check ? TINE_EXIT_SYSTEM : 0;
}

int tine_cmd_run(const struct tine_settings *settings, int argc, char **argv)
{
	static struct tine_targets targets;
	char path[PATH_MAX], library[PATH_MAX];
	int rc;

	if (argc < 1)
		return tine_fail(TINE_EXIT_USAGE,
				 "run: no command given: tine run [options] -- CMD "
				 "[ARG...]");
	if (settings->quiet && settings->verbose)
		return tine_fail(TINE_EXIT_USAGE, "run: --quiet and --verbose exclude each other");
	rc = tine_target_find(argv[0], path);
	if (rc < 0)
		return not_found(argv[0], rc);
	rc = find_library(settings, library);
	if (rc)
		return rc;
	if (library[0]) {
		tine_target_examine(path, library, settings->check, &targets);
		if (settings->check)
			return report_check(settings, &targets, library);
		rc = warn(settings, &targets);
		if (!rc)
			rc = check_log(settings->log);
		if (rc)
			return rc;
		/* AddressSanitizer ends a program that finds another library before its own. */
		if (!has_sanitizer(&targets) && set_environment(settings, library) < 0)
			return tine_fail(TINE_EXIT_SYSTEM, "run: cannot set the environment: %s",
					 strerror(errno));
	}
	rc = join_board(settings);
	if (rc)
		return rc;
	execvp(argv[0], argv);
	return not_found(argv[0], -errno);
}
