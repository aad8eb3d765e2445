/* SPDX-License-Identifier: PostgreSQL */
/*
 * The codes of the examination "database"; see code.h. Constant data.
 */
#include "doctor/code.h"

#include <stddef.h>

const struct tine_code tine_codes_database[] = {
	{ .code = NULL },
};
