/* SPDX-License-Identifier: PostgreSQL */
/*
 * A conninfo comes from a configuration file or from DATABASE_URL. Whatever is in it, libtine reads
 * it or refuses it in one line that repeats nothing but names: no '!', which no name has.
 */
#include "base/option.h"
#include "pool/address.h"
#include "pool/config.h"
#include "pool/conninfo.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(const int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerInitialize(const int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	setenv("PGPASSFILE", "/nonexistent", 1);
	setenv("PGSERVICEFILE", "/nonexistent", 1);
	setenv("PGUSER", "app", 1);
	return 0;
}

static void check(bool good)
{
	if (!good)
		__builtin_trap();
}

static void check_error(const tine_error *error)
{
	const char *text = error->text;

	check(error->status == TINE_E_INVALID);
	check(*text && memchr(text, '\0', sizeof(error->text)));
	check(strncmp(text, "conninfo: ", strlen("conninfo: ")) != 0 || !strchr(text, '!'));
	for (; *text; text++)
		check((unsigned char)*text >= 0x20 && *text != 0x7f);
}

static void check_info(const struct tine_conninfo *info)
{
	const char *keywords[TINE_CONNINFO_MAX], *values[TINE_CONNINFO_MAX];

	check(info->host_count >= 1);
	for (int i = 0; i < info->host_count; i++) {
		const struct tine_host *host = &info->hosts[i];
		struct tine_address address = { .host = host->host, .port = host->port };
		int count = tine_conninfo_params(info, &address, keywords, values);

		check(*host->port && strlen(host->hostaddr) < TINE_HOSTADDR_BYTES);
		check(count < TINE_CONNINFO_MAX && !keywords[count]);
	}
}

static void read_conninfo(const char *text)
{
	struct tine_conninfo info;
	tine_pool_config config;
	tine_error error;

	tine_pool_config_init(&config);
	config.conninfo = text;
	if (tine_conninfo_new(&info, &tine_pq_linked, &config, &error) < 0) {
		check_error(&error);
		return;
	}
	check_info(&info);
	tine_conninfo_done(&info);
}

/* What is accepted as a text is right as a value. */
static void read_options(const char *text)
{
	tine_pool_config config, full;
	tine_error error;

	tine_pool_config_init(&config);
	for (size_t i = 0; i < tine_options_count; i++)
		if ((tine_options[i].commands & TINE_COMMAND_POOL) &&
		    tine_pool_config_set(&config, tine_options[i].name, text, &error) < 0)
			check(error.status == TINE_E_INVALID);
	check(tine_pool_config_check(&config, &full, &error) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	char *text = malloc(length + 1);

	memcpy(text, bytes, length);
	text[length] = '\0';
	read_conninfo(text);
	read_options(text);
	free(text);
	return 0;
}
