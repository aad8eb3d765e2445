/* SPDX-License-Identifier: PostgreSQL */
#include "tine/tine.h"

const char *tine_version(void)
{
	return TINE_VERSION;
}
