/* SPDX-License-Identifier: PostgreSQL */
/*
 * The codes of the examination "live"; see code.h. Constant data.
 */
#include "doctor/code.h"

#include <stddef.h>

const struct tine_code tine_codes_live[] = {
	{ .code = NULL },
};
