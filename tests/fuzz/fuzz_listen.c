/* SPDX-License-Identifier: PostgreSQL */
/*
 * LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES come from the environment, addresses from there or from
 * a file. Whatever is in them: a count within its limits, names that can be printed, or one line
 * that says what is wrong. The input is three texts, with a zero byte between.
 */
#include "prefork/listen_text.h"

#include <stdlib.h>
#include <string.h>

#define OWN_PID 4711

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check(bool good)
{
	if (!good)
		__builtin_trap();
}

static void check_handed_over(const char *pid, const char *fds)
{
	char error[256] = "";
	int count = tine_listen_handed_over(pid, fds, OWN_PID, error, sizeof(error));

	check(count >= 0 ? count <= TINE_LISTEN_MAX : strncmp(error, "LISTEN_", 7) == 0);
	if (count > 0)
		check(atoi(pid) == OWN_PID && atoi(fds) == count);
}

static void check_names(const char *names)
{
	char name[TINE_LISTEN_NAME_BYTES];

	for (int i = 0; i <= TINE_LISTEN_MAX; i++) {
		tine_listen_name(names, i, name);
		check(strlen(name) < sizeof(name) && !strchr(name, ':'));
		for (const char *p = name; *p; p++)
			check(*p >= ' ' && *p <= '~');
	}
}

static void check_addresses(const char *list)
{
	struct tine_listen_address address;
	const char *end = list + strlen(list);
	char error[256] = "";
	int rc;

	while ((rc = tine_listen_next(&list, &address, error, sizeof(error))) > 0) {
		check(list <= end && strlen(address.host) < sizeof(address.host));
		if (address.is_unix)
			check(strlen(address.host) >= 2 && strlen(address.host) < 108);
		else
			check(atoi(address.port) <= 65535 && strlen(address.port) <= 5);
	}
	check(rc == 0 ? list == end : strncmp(error, "listen: ", 8) == 0);
}

static const char *next_text(const char *text, const char *end)
{
	text += strlen(text);
	return text < end ? text + 1 : text;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	char *first = malloc(length + 1);
	const char *second, *third;

	memcpy(first, bytes, length);
	first[length] = '\0';
	second = next_text(first, first + length);
	third = next_text(second, first + length);
	check_handed_over(first, second);
	check_handed_over("4711", first);
	check_names(third);
	check_addresses(first);
	check_addresses(third);
	free(first);
	return 0;
}
