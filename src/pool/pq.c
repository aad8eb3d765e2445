/* SPDX-License-Identifier: PostgreSQL */
/*
 * The only file of the pool that calls libpq. Everything else goes through the table.
 *
 * Locks and fork: none of its own; see pq.h.
 */
#include "pool/pq.h"

#include <libpq-events.h>

static void on_reset(const PGEventConnReset *info, PGEventProc event)
{
	struct tine_pq_watcher *watcher = PQinstanceData(info->conn, event);

	if (watcher)
		watcher->was_reset(watcher);
}

/* libpq calls an event procedure for every result, also for copies that outlive the connection:
 * only a result that is being made has a connection to ask for the watcher. */
static int on_event(PGEventId id, void *info, void *unused)
{
	const PGEventResultCreate *made = info;
	struct tine_pq_watcher *watcher;
	struct tine_pq_seen seen;

	(void)unused;
	if (id == PGEVT_CONNRESET)
		on_reset(info, on_event);
	if (id != PGEVT_RESULTCREATE)
		return 1;
	watcher = PQinstanceData(made->conn, on_event);
	if (!watcher)
		return 1;
	seen = (struct tine_pq_seen){
		.status = PQresultStatus(made->result),
		.command = PQcmdStatus(made->result),
		.sqlstate = PQresultErrorField(made->result, PG_DIAG_SQLSTATE),
		.bytes = PQresultMemorySize(made->result),
	};
	watcher->saw(watcher, &seen);
	return 1;
}

/* While connecting, libpq tells the SQLSTATE of a refusal in a verbose message only. */
static PGconn *connect_start_params(const char *const *keywords, const char *const *values,
				    int expand_dbname)
{
	PGconn *pg = PQconnectStartParams(keywords, values, expand_dbname);

	PQsetErrorVerbosity(pg, PQERRORS_VERBOSE);
	return pg;
}

/* An event procedure stays for the connection's life, so who is called is told beside it. */
static bool watch(PGconn *pg, struct tine_pq_watcher *watcher)
{
	return PQregisterEventProc(pg, on_event, "tine", NULL) &&
	       PQsetInstanceData(pg, on_event, watcher);
}

static void unwatch(PGconn *pg)
{
	PQsetInstanceData(pg, on_event, NULL);
}

static void dress_new(PGconn *pg, struct tine_pq_dress *ret_dress)
{
	PQsetErrorVerbosity(pg, PQERRORS_DEFAULT);
	*ret_dress = (struct tine_pq_dress){
		.libpq_receiver = PQsetNoticeReceiver(pg, NULL, NULL),
		.libpq_processor = PQsetNoticeProcessor(pg, NULL, NULL),
	};
}

static void dress_save(PGconn *pg, struct tine_pq_dress *dress)
{
	dress->receiver = PQsetNoticeReceiver(pg, NULL, NULL);
	dress->processor = PQsetNoticeProcessor(pg, NULL, NULL);
	/* There is no way to ask; setting tells. */
	dress->verbosity = PQsetErrorVerbosity(pg, PQERRORS_DEFAULT);
	dress->context = PQsetErrorContextVisibility(pg, PQSHOW_CONTEXT_ERRORS);
	PQsetErrorVerbosity(pg, dress->verbosity);
	PQsetErrorContextVisibility(pg, dress->context);
	dress->nonblocking = PQisnonblocking(pg);
}

static bool restore_notices(PGconn *pg, const struct tine_pq_dress *dress)
{
	if (PQsetNoticeReceiver(pg, NULL, NULL) != dress->receiver) {
		if (dress->receiver != dress->libpq_receiver)
			return false;
		PQsetNoticeReceiver(pg, dress->receiver, NULL);
	}
	if (PQsetNoticeProcessor(pg, NULL, NULL) != dress->processor) {
		if (dress->processor != dress->libpq_processor)
			return false;
		PQsetNoticeProcessor(pg, dress->processor, NULL);
	}
	return true;
}

static bool dress_restore(PGconn *pg, const struct tine_pq_dress *dress)
{
	PQuntrace(pg);
	PQsetErrorVerbosity(pg, dress->verbosity);
	PQsetErrorContextVisibility(pg, dress->context);
	if (PQisnonblocking(pg) != dress->nonblocking &&
	    PQsetnonblocking(pg, dress->nonblocking) < 0)
		return false;
	return restore_notices(pg, dress);
}

static void divert_notices(PGconn *pg, const struct tine_pq_dress *dress, PQnoticeReceiver fn,
			   void *arg)
{
	PQnoticeReceiver now = PQsetNoticeReceiver(pg, NULL, NULL);

	if (fn && now == dress->libpq_receiver)
		PQsetNoticeReceiver(pg, fn, arg);
	else if (!fn && dress->receiver == dress->libpq_receiver)
		PQsetNoticeReceiver(pg, dress->libpq_receiver, NULL);
}

const struct tine_pq tine_pq_linked = {
	.conninfo_parse = PQconninfoParse,
	.conninfo = PQconninfo,
	.conninfo_free = PQconninfoFree,
	.freemem = PQfreemem,
	.connect_start_params = connect_start_params,
	.connect_poll = PQconnectPoll,
	.finish = PQfinish,
	.status = PQstatus,
	.socket = PQsocket,
	.error_message = PQerrorMessage,
	.parameter_status = PQparameterStatus,
	.ssl_in_use = PQsslInUse,
	.backend_pid = PQbackendPID,
	.transaction_status = PQtransactionStatus,
	.pipeline_status = PQpipelineStatus,
	.send_query = PQsendQuery,
	.flush = PQflush,
	.consume_input = PQconsumeInput,
	.is_busy = PQisBusy,
	.get_result = PQgetResult,
	.notifies = PQnotifies,
	.result_status = PQresultStatus,
	.result_error_field = PQresultErrorField,
	.result_error_message = PQresultErrorMessage,
	.cmd_status = PQcmdStatus,
	.clear = PQclear,
	.watch = watch,
	.unwatch = unwatch,
	.dress_new = dress_new,
	.dress_save = dress_save,
	.dress_restore = dress_restore,
	.divert_notices = divert_notices,
};
