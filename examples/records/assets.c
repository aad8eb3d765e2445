/* SPDX-License-Identifier: PostgreSQL */
#include "assets.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "file.h"
#include "service.h"

#define NAME_BYTES 64
#define TAG_BYTES 36

struct asset {
	struct asset *next;
	char name[NAME_BYTES];
	const char *type;
	char tag[TAG_BYTES]; /* "\"hash\"" */
	char *data;
	size_t length;
};

struct assets {
	struct asset *first;
};

static const char *type_of(const char *name)
{
	static const struct {
		const char *ending, *type;
	} types[] = {
		{ ".css", "text/css; charset=utf-8" },
		{ ".svg", "image/svg+xml" },
		{ ".txt", "text/plain; charset=utf-8" },
		{ ".ico", "image/x-icon" },
	};
	const char *ending = strrchr(name, '.');

	for (size_t i = 0; ending && i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(ending, types[i].ending) == 0)
			return types[i].type;
	return NULL;
}

static void make_tag(struct asset *asset)
{
	unsigned char hash[16];
	char hex[2 * sizeof(hash) + 1];

	crypto_generichash(hash, sizeof(hash), (const unsigned char *)asset->data, asset->length,
			   NULL, 0);
	sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
	snprintf(asset->tag, sizeof(asset->tag), "\"%s\"", hex);
}

static int load(struct assets *assets, const char *directory, const char *name, char *error,
		size_t error_size)
{
	struct asset *asset;

	if (!type_of(name) || strlen(name) >= NAME_BYTES)
		return 0;
	asset = calloc(1, sizeof(*asset));
	if (!asset)
		abort();
	strcpy(asset->name, name);
	asset->type = type_of(name);
	asset->data = file_read(directory, name, &asset->length, error, error_size);
	if (!asset->data) {
		free(asset);
		return -1;
	}
	make_tag(asset);
	asset->next = assets->first;
	assets->first = asset;
	return 0;
}

struct assets *assets_load(const char *directory, char *error, size_t error_size)
{
	struct assets *assets = calloc(1, sizeof(*assets));
	DIR *dir = opendir(directory);
	struct dirent *entry;
	int rc = dir ? 0 : -1;

	if (!assets)
		abort();
	if (!dir)
		snprintf(error, error_size, "%s cannot be opened (RECORDS_HOME)", directory);
	while (rc == 0 && (entry = readdir(dir)) != NULL)
		rc = load(assets, directory, entry->d_name, error, error_size);
	if (dir)
		closedir(dir);
	if (rc == 0)
		return assets;
	assets_free(assets);
	return NULL;
}

void assets_free(struct assets *assets)
{
	while (assets && assets->first) {
		struct asset *asset = assets->first;

		assets->first = asset->next;
		free(asset->data);
		free(asset);
	}
	free(assets);
}

void assets_get(struct request *request, struct reply *reply)
{
	const struct asset *asset = request->service->assets->first;

	while (asset && strcmp(asset->name, request->part) != 0)
		asset = asset->next;
	if (!asset) {
		reply_text(reply, 404, "no such file\n");
		return;
	}
	reply->status = strcmp(request->if_none_match, asset->tag) == 0 ? 304 : 200;
	reply->data = asset->data;
	reply->data_bytes = reply->status == 200 ? asset->length : 0;
	reply_header(reply, "Content-Type", asset->type);
	reply_header(reply, "ETag", asset->tag);
	reply_header(reply, "Cache-Control", "public, max-age=300");
}
