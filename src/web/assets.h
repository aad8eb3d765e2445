/* SPDX-License-Identifier: PostgreSQL */
/* The files of src/web/assets, put into the program by the build (embed.c). Constant data. */
#ifndef TINE_WEB_ASSETS_H
#define TINE_WEB_ASSETS_H

#include <stddef.h>

struct tine_asset {
	const char *path; /* in URLs, below the mount */
	const char *type;
	const char *bytes;
	size_t length;
};

extern const struct tine_asset tine_assets[];
extern const size_t tine_assets_count;

#endif
