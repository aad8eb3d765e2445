/* SPDX-License-Identifier: PostgreSQL */
/*
 * The codes of the examination "lint"; see code.h. Constant data.
 */
#include "doctor/code.h"

#include <stddef.h>

const struct tine_code tine_codes_lint[] = {
	{ .code = NULL },
};
