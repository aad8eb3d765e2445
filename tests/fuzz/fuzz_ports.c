/* SPDX-License-Identifier: PostgreSQL */
/* Lists and URLs come from the command line and from any environment variable. */
#include "base/ports.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	char *text = malloc(length + 1);
	struct tine_ports set = { 0 };

	memcpy(text, bytes, length);
	text[length] = '\0';
	tine_ports_add_urls(&set, text);
	tine_ports_add_list(&set, text);
	if (tine_ports_has(&set, 0))
		__builtin_trap();
	free(text);
	return 0;
}
