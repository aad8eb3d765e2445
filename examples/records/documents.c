/* SPDX-License-Identifier: PostgreSQL */
/*
 * Documents: the bytes are in the storage, all else in a row. A document is stored before its row
 * is written, and its row deleted before its bytes: what is listed is there.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "handlers.h"
#include "page.h"
#include "service.h"
#include "text.h"

#define SMALL_BYTES 65536
#define SHA_TEXT_BYTES (2 * crypto_hash_sha256_BYTES + 1)

/* ---- the list ------------------------------------------------------------------------------- */

static void add_list(struct view *values, const PGresult *rows)
{
	static const char *const names[] = { "id", "name", "size", "by", "at" };
	struct view_rows *documents = view_list(values, "documents");

	for (int row = 0; row < PQntuples(rows); row++) {
		struct view *one = view_row(documents);

		for (int column = 0; column < 5; column++)
			view_text(one, names[column], PQgetvalue(rows, row, column));
	}
}

void documents_get(struct request *request, struct reply *reply)
{
	PGresult *rows = db_read_sql(&request->db,
				     "select id, name, pg_size_pretty(size_bytes), uploaded_by, "
				     "to_char(created_at, 'YYYY-MM-DD HH24:MI') from documents "
				     "order by id desc limit 200",
				     0, NULL);
	struct view *values;

	if (!rows) {
		page_write_failed(request, reply, request->db.error.status);
		return;
	}
	values = view_new(&request->arena);
	add_list(values, rows);
	view_text(values, "key", page_key(&request->arena));
	view_flag(values, "gone", strcmp(request_query(request, "gone"), "1") == 0);
	view_text(values, "limit", text_size(&request->arena, settings_upload_limit(request)));
	page_reply(request, reply, 200, "documents", values);
	PQclear(rows);
}

/* ---- upload --------------------------------------------------------------------------------- */

struct new_document {
	const char *values[7]; /* key, name, type, size, sha256, storage key, who */
	bool is_new;
	bool is_same; /* what the key stands for is what was sent */
};

static int insert(struct db *db, PGconn *pg, void *arg)
{
	struct new_document *document = arg;
	PGresult *row = db_run(db, pg,
			       "insert into documents (key, name, media_type, size_bytes, sha256, "
			       "storage_key, uploaded_by) values ($1, $2, $3, $4, $5, $6, $7) "
			       "on conflict (key) do update set key = excluded.key "
			       "returning storage_key, "
			       "name = $2 and sha256 = $5 and uploaded_by = $7",
			       7, document->values);

	if (!row)
		return db->error.status;
	/* Sent a second time: the first one's bytes stay, these go. */
	document->is_new = strcmp(PQgetvalue(row, 0, 0), document->values[5]) == 0;
	document->is_same = *PQgetvalue(row, 0, 1) == 't';
	PQclear(row);
	return 0;
}

static void forget_object(struct request *request, const char *key)
{
	struct storage *storage = &request->service->storage;
	struct storage_error error;

	if (storage->remove(storage, key, &error) == STORAGE_FAILED)
		fprintf(stderr, "records: %s is left in the storage: %s\n", key, error.text);
}

static void store_row(struct request *request, struct reply *reply, const char *sha256,
		      const char *storage_key)
{
	const struct upload *upload = &request->form.upload;
	struct new_document document = {
		.values = { request_field(request, "key"), upload->name, upload->type,
			    arena_print(&request->arena, "%lld", (long long)upload->size_bytes),
			    sha256, storage_key, request->visitor.name },
	};
	int rc = db_write(&request->db, insert, &document);

	if (rc == 0) {
		if (!document.is_new)
			forget_object(request, storage_key);
		if (document.is_same)
			reply_see(reply, "/documents");
		else
			page_error(request, reply, 409,
				   "That form has stored another document already, and this one is "
				   "not stored. Load the page of documents again.");
		return;
	}
	/* Unless it is certain that no row was written, its bytes stay. */
	if (!request->db.in_doubt)
		forget_object(request, storage_key);
	page_write_failed(request, reply, rc);
}

static void finish_hash(struct upload *upload, char text[SHA_TEXT_BYTES])
{
	unsigned char hash[crypto_hash_sha256_BYTES];

	crypto_hash_sha256_final(&upload->hash, hash);
	sodium_bin2hex(text, SHA_TEXT_BYTES, hash, sizeof(hash));
}

static int put(struct request *request, const char *key, const char *sha256)
{
	struct storage *storage = &request->service->storage;
	struct upload *upload = &request->form.upload;
	struct storage_error error = { "" };
	int64_t began_ns = clock_ns();
	int rc = STORAGE_FAILED;

	if (!upload->failed)
		rc = storage->put(storage, key, upload->fd, upload->size_bytes, sha256, &error);
	if (rc != STORAGE_OK)
		fprintf(stderr, "records: a document cannot be stored: %s\n", error.text);
	/* The patience is for the database. */
	request->db.deadline_ns += clock_ns() - began_ns;
	return rc;
}

void documents_post(struct request *request, struct reply *reply)
{
	struct upload *upload = &request->form.upload;
	char sha256[SHA_TEXT_BYTES], key[STORAGE_KEY_BYTES];

	if (!upload->given || !text_is_key(request_field(request, "key"))) {
		page_error(request, reply, 422, "Choose a file first.");
		return;
	}
	finish_hash(upload, sha256);
	storage_key(key);
	if (put(request, key, sha256) != STORAGE_OK) {
		page_error(request, reply, 503, "The document could not be stored. Try again.");
		return;
	}
	store_row(request, reply, sha256, key);
}

/* ---- download ------------------------------------------------------------------------------- */

/* What is small goes in one piece with its head: nobody gets the one without the other, whatever
 * becomes of this worker, and the loop has no file to read. */
static void hold_small(struct reply *reply)
{
	size_t bytes = (size_t)reply->fd_bytes;

	if (reply->fd_bytes > SMALL_BYTES)
		return;
	buffer_reserve(&reply->body, bytes);
	/* When it is not all there, the loop will find out. */
	if (pread(reply->fd, reply->body.data, bytes, 0) != (ssize_t)bytes)
		return;
	reply->body.length = bytes;
	close(reply->fd);
	reply->fd = -1;
}

static void send_file(struct request *request, struct reply *reply, const PGresult *row)
{
	struct storage *storage = &request->service->storage;
	struct storage_error error;
	int rc = storage->get(storage, PQgetvalue(row, 0, 2), &reply->fd, &reply->fd_bytes, &error);

	if (rc == STORAGE_ABSENT) {
		page_error(request, reply, 404, "The document is listed, but its file is gone.");
		return;
	}
	if (rc != STORAGE_OK) {
		fprintf(stderr, "records: %s\n", error.text);
		page_error(request, reply, 503, "The storage does not answer. Try again.");
		return;
	}
	hold_small(reply);
	reply->status = 200;
	reply_header(reply, "Content-Type",
		     text_media_type(&request->arena, PQgetvalue(row, 0, 1)));
	reply_header(reply, "Content-Disposition",
		     text_disposition(&request->arena, PQgetvalue(row, 0, 0)));
	reply_header(reply, "Cache-Control", "no-store");
}

static const char *id_text(struct request *request)
{
	return arena_print(&request->arena, "%lld", (long long)text_id(request->part));
}

void document_get(struct request *request, struct reply *reply)
{
	const char *values[] = { id_text(request) };
	PGresult *row = db_read_sql(&request->db,
				    "select name, media_type, storage_key from documents "
				    "where id = $1",
				    1, values);

	if (!row)
		page_write_failed(request, reply, request->db.error.status);
	else if (PQntuples(row) == 0)
		page_error(request, reply, 404, "There is no such document.");
	else
		send_file(request, reply, row);
	PQclear(row);
}

/* ---- deletion ------------------------------------------------------------------------------- */

struct deletion {
	const char *id;
	char storage_key[STORAGE_KEY_BYTES];
};

/* Called again after a commit that nobody heard of it finds no row; then the key is known. */
static int delete_row(struct db *db, PGconn *pg, void *arg)
{
	struct deletion *deletion = arg;
	const char *values[] = { deletion->id };
	PGresult *row = db_run(db, pg, "delete from documents where id = $1 returning storage_key",
			       1, values);
	bool found = row && PQntuples(row) == 1;

	if (found)
		snprintf(deletion->storage_key, sizeof(deletion->storage_key), "%s",
			 PQgetvalue(row, 0, 0));
	PQclear(row);
	if (!row)
		return db->error.status;
	return found || *deletion->storage_key ? 0 : 1;
}

void document_delete(struct request *request, struct reply *reply)
{
	struct storage *storage = &request->service->storage;
	struct deletion deletion = { .id = id_text(request) };
	struct storage_error error;
	int rc = db_write(&request->db, delete_row, &deletion);

	if (rc > 0) {
		page_error(request, reply, 404, "There is no such document.");
		return;
	}
	if (rc < 0) {
		page_write_failed(request, reply, rc);
		return;
	}
	rc = storage->remove(storage, deletion.storage_key, &error);
	if (rc == STORAGE_FAILED)
		fprintf(stderr, "records: %s is left in the storage: %s\n", deletion.storage_key,
			error.text);
	if (rc == STORAGE_ABSENT)
		fprintf(stderr, "records: %s was gone from the storage already\n",
			deletion.storage_key);
	reply_see(reply, rc == STORAGE_ABSENT ? "/documents?gone=1" : "/documents");
}
