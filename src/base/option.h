/* SPDX-License-Identifier: PostgreSQL */
/*
 * The one option table (option_table.c). A row feeds a struct, the environment, the command line,
 * the help text and the man page (through the build-time program optdoc), and a test that they
 * agree. Rows of commands fill struct tine_settings; rows of the pool and of the supervisor fill
 * the public structs of that name, of which only the types are used here.
 *
 * A value is checked where it is set; a wrong one is an error that names the option, the value and
 * what would be right. Nothing here allocates: texts are borrowed from argv or the environment.
 *
 * Locks: none. Fork: constant data.
 */
#ifndef TINE_BASE_OPTION_H
#define TINE_BASE_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tine/tine.h"

enum tine_option_type {
	TINE_OPTION_FLAG,    /* bool; as text: 1/0, yes/no, on/off, true/false */
	TINE_OPTION_TEXT,    /* const char *, of at least minimum bytes */
	TINE_OPTION_PORTS,   /* const char *, a list that tine_ports_add_list() accepts */
	TINE_OPTION_INT,     /* int */
	TINE_OPTION_MS,      /* int, milliseconds; as text with a unit if wanted: ms, s, min, h */
	TINE_OPTION_SECONDS, /* int, seconds; the same units, in whole seconds */
	TINE_OPTION_BYTES,   /* int64_t; as text with a unit if wanted: k, M, G, KiB, MiB, GiB */
	TINE_OPTION_CHOICE,  /* int, the index of a name in choices */
};

enum tine_option_commands {
	TINE_COMMAND_RUN = 1 << 0,
	TINE_COMMAND_VERSION = 1 << 1,
	TINE_COMMAND_POOL = 1 << 2,   /* no command: a field of tine_pool_config */
	TINE_COMMAND_MASTER = 1 << 3, /* a field of tine_master_config */
	TINE_COMMAND_WORKER = 1 << 4, /* a field of tine_worker_config */
	TINE_COMMAND_DOCTOR = 1 << 5,
	TINE_COMMAND_PS = 1 << 6,
	TINE_COMMAND_TOP = 1 << 7,
	TINE_COMMAND_WEB = 1 << 8,
};

struct tine_settings {
	const char *ports;
	const char *log;
	bool quiet;
	bool verbose;
	bool strict;
	bool check;
	int pid;
	bool all;
	const char *lint;
	const char *python;
	int idle_limit_s;
	int probe_idle_s;
	int framework;
	bool summary;
	int interval_ms;
	int count;
	bool batch;
	int sort;
	bool json;
	bool help;
	const char *name;
	int budget;
	bool no_revive;
	const char *listen;
	bool public;
	const char *hosts;
	int doctor_s;
	int ping_idle_ms;
	int pool;
	int reset;
	int pool_age_ms;
	int acquire_timeout_ms;
	int lend_after_ms; /* -1: not given, 0: off */
	bool no_identity;
	int demand_tls;
	int connect_timeout_s;
	int keepalives_idle_s;
	int keepalives_interval_s;
	int keepalives_count;
	int tcp_user_timeout_ms;
};

/* Before anything is set. */
#define TINE_SETTINGS_NONE                                                                         \
	{                                                                                          \
		.lend_after_ms = -1                                                                \
	}

struct tine_option {
	const char *name; /* as on the command line, without "--"; of a struct: the field's name */
	char letter;      /* short form, or 0 */
	const char *env;  /* TINE_… variable, or NULL when the environment cannot set it */
	enum tine_option_type type;
	const char *metavar;      /* NULL for flags and the pool's choices */
	const char *initial;      /* default as shown to people and as tine_option_set() reads it */
	const char *choices;      /* names with ", " between them, in the order of their enum */
	int64_t minimum, maximum; /* of numbers, in the field's unit; of texts the least length */
	size_t offset;            /* in the struct that the row is of */
	unsigned commands;        /* enum tine_option_commands */
	const char *help;         /* one sentence or more; wrapped by who prints it */
};

extern const struct tine_option tine_options[];
extern const size_t tine_options_count;

/** The size in bytes of the field that an option sets. */
size_t tine_option_size(const struct tine_option *option);

/** Find a row by its whole name; '-' and '_' in it are the same.
 *  @return NULL when the commands have no such option */
const struct tine_option *tine_option_find(unsigned commands, const char *name, size_t length);

/** Set one option from text.
 *  @param settings the struct that the option's row belongs to
 *  @param value   borrowed as long as settings is used; NULL means "given" for a flag, "" else
 *  @param origin  how the user wrote it ("--port", "TINE_PORT"); goes into the error
 *  @param error   receives one line on failure
 *  @return 0 or -EINVAL; settings is unchanged on failure */
int tine_option_set(const struct tine_option *option, void *settings, const char *value,
		    const char *origin, char *error, size_t error_size);

/** Set one option from its environment variable, if there is one and it says something.
 *  @return as tine_option_set() */
int tine_option_set_env(const struct tine_option *option, void *settings, char *error,
			size_t error_size);

/** Check a field that was assigned by a program. @return as tine_option_set() */
int tine_option_check(const struct tine_option *option, const void *settings, char *error,
		      size_t error_size);

/** Write what an option accepts, such as "a number from 1 to 10000".
 *  @return text */
const char *tine_option_range(const struct tine_option *option, char *text, size_t text_size);

/** Set what the environment says for a command (a mask of enum tine_option_commands).
 *  @return as tine_option_set(); stops at the first error */
int tine_option_environment(unsigned command, struct tine_settings *settings, char *error,
			    size_t error_size);

/** Read the options of a command line up to the first operand or "--".
 *  @param argv   argv[0] is the command's name and is skipped
 *  @param rest   set to the index of the first operand
 *  @return as tine_option_set() */
int tine_option_arguments(unsigned command, int argc, char **argv, struct tine_settings *settings,
			  int *rest, char *error, size_t error_size);

#endif
