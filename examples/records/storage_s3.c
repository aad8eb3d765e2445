/* SPDX-License-Identifier: PostgreSQL */
/*
 * Documents in a bucket, by libcurl, which signs each request (AWS signature version 4). Redirects
 * are not followed: a signature is for one host.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>

#include "file.h"
#include "storage.h"

#define URL_BYTES 1024

struct call {
	const struct config *config;
	const char *key;
	struct storage_error *error;
	struct curl_slist *headers;
	int from; /* what is sent, -1 = nothing */
	int64_t sent_bytes, size_bytes;
	int to; /* where the answer goes, -1 = nowhere */
};

static size_t give(char *data, size_t size, size_t count, void *arg)
{
	struct call *call = arg;
	ssize_t got = pread(call->from, data, size * count, call->sent_bytes);

	if (got < 0)
		return CURL_READFUNC_ABORT;
	call->sent_bytes += got;
	return (size_t)got;
}

/* A request is sent again when a kept connection turns out to be closed. */
static int go_back(void *arg, curl_off_t offset, int origin)
{
	struct call *call = arg;

	if (origin != SEEK_SET)
		return CURL_SEEKFUNC_CANTSEEK;
	call->sent_bytes = offset;
	return CURL_SEEKFUNC_OK;
}

static size_t take(char *data, size_t size, size_t count, void *arg)
{
	struct call *call = arg;

	if (call->to >= 0 && file_write(call->to, data, size * count) < 0)
		return 0;
	return size * count;
}

static int set_common(CURL *curl, struct call *call)
{
	const struct config *config = call->config;
	char text[URL_BYTES];

	snprintf(text, sizeof(text), "aws:amz:%s:s3", config->s3_region);
	curl_easy_setopt(curl, CURLOPT_AWS_SIGV4, text);
	snprintf(text, sizeof(text), "%s/%s", config->s3_url, call->key);
	curl_easy_setopt(curl, CURLOPT_URL, text);
	curl_easy_setopt(curl, CURLOPT_USERNAME, config->s3_key);
	curl_easy_setopt(curl, CURLOPT_PASSWORD, config->s3_secret);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https,http");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)config->s3_timeout_ms);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)config->s3_timeout_ms);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, call);
	return curl_easy_setopt(curl, CURLOPT_HTTPHEADER, call->headers) == CURLE_OK ? 0 : -1;
}

static void set_method(CURL *curl, struct call *call, const char *method)
{
	if (call->from >= 0) {
		curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(curl, CURLOPT_READFUNCTION, give);
		curl_easy_setopt(curl, CURLOPT_READDATA, call);
		curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, go_back);
		curl_easy_setopt(curl, CURLOPT_SEEKDATA, call);
		curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)call->size_bytes);
	} else if (strcmp(method, "HEAD") == 0) {
		curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
	} else if (strcmp(method, "GET") != 0) {
		curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	}
}

static int judge(CURL *curl, CURLcode code, struct call *call)
{
	long status = 0;

	if (code != CURLE_OK) {
		snprintf(call->error->text, sizeof(call->error->text), "the storage: %s",
			 curl_easy_strerror(code));
		return STORAGE_FAILED;
	}
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 200 && status < 300)
		return STORAGE_OK;
	if (status == 404)
		return STORAGE_ABSENT;
	snprintf(call->error->text, sizeof(call->error->text), "the storage answered %ld", status);
	return STORAGE_FAILED;
}

static int perform(struct call *call, const char *method)
{
	CURL *curl = storage_is_key(call->key) ? curl_easy_init() : NULL;
	int rc = STORAGE_FAILED;

	if (curl && set_common(curl, call) == 0) {
		set_method(curl, call, method);
		rc = judge(curl, curl_easy_perform(curl), call);
	} else {
		snprintf(call->error->text, sizeof(call->error->text),
			 "the storage: no memory, or not a key");
	}
	curl_easy_cleanup(curl);
	curl_slist_free_all(call->headers);
	return rc;
}

static struct call make_call(const struct storage *storage, const char *key,
			     struct storage_error *error)
{
	return (struct call){
		.config = storage->config, .key = key, .error = error, .from = -1, .to = -1
	};
}

static int put(struct storage *storage, const char *key, int fd, int64_t size_bytes,
	       const char *sha256, struct storage_error *error)
{
	struct call call = make_call(storage, key, error);
	char header[100];

	call.from = fd;
	call.size_bytes = size_bytes;
	snprintf(header, sizeof(header), "x-amz-content-sha256: %s", sha256);
	call.headers = curl_slist_append(NULL, header);
	return perform(&call, "PUT");
}

static int get(struct storage *storage, const char *key, int *ret_fd, int64_t *ret_size_bytes,
	       struct storage_error *error)
{
	struct call call = make_call(storage, key, error);
	int rc = STORAGE_FAILED;

	call.to = file_temporary();
	if (call.to < 0)
		snprintf(error->text, sizeof(error->text), "no room for a document");
	else
		rc = perform(&call, "GET");
	if (rc == STORAGE_OK) {
		*ret_size_bytes = lseek(call.to, 0, SEEK_CUR);
		*ret_fd = call.to;
		lseek(call.to, 0, SEEK_SET);
	} else if (call.to >= 0) {
		close(call.to);
	}
	return rc;
}

/* A bucket answers 204 to the deletion of what is not there; so it is asked before. */
static int exists(struct storage *storage, const char *key, struct storage_error *error)
{
	struct call call = make_call(storage, key, error);

	return perform(&call, "HEAD");
}

static int remove_object(struct storage *storage, const char *key, struct storage_error *error)
{
	struct call call = make_call(storage, key, error);
	int there = exists(storage, key, error);

	return there == STORAGE_OK ? perform(&call, "DELETE") : there;
}

void storage_s3_open(struct storage *storage)
{
	storage->put = put;
	storage->get = get;
	storage->remove = remove_object;
	storage->exists = exists;
}
