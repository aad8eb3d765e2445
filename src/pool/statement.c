/* SPDX-License-Identifier: PostgreSQL */
#include "pool/statement.h"

#include <stdio.h>
#include <string.h>

#include "pool/error.h"
#include "pool/pool.h"

/* An ERROR is the server's decision: what was asked for did not happen. FATAL is not: a session may
 * be ended after its commit. Nor is what libpq says by itself, when it has lost the connection or
 * found no memory for an answer. */
static bool is_decision(const struct tine_pq *pq, const PGresult *result)
{
	const char *severity = pq->result_error_field(result, PG_DIAG_SEVERITY_NONLOCALIZED);

	return severity && strcmp(severity, "ERROR") == 0;
}

/* Of several errors without a decision the first tells most: the rest is about the lost connection.
 * @return 0, TINE_E_SQL or TINE_E_IN_DOUBT */
static int read_result(const struct tine_slot *slot, PGresult *result, char *command,
		       tine_error *error)
{
	const struct tine_pq *pq = slot->pool->pq;
	bool decided;

	if (pq->result_status(result) == PGRES_COMMAND_OK) {
		snprintf(command, TINE_COMMAND_BYTES, "%s", pq->cmd_status(result));
		return 0;
	}
	decided = is_decision(pq, result);
	if (decided || !error->status)
		tine_error_set_result(error, pq, slot->pg, result);
	return decided ? TINE_E_SQL : TINE_E_IN_DOUBT;
}

static int not_sent(const struct tine_slot *slot, tine_error *error)
{
	const struct tine_pq *pq = slot->pool->pq;

	tine_error_set_result(error, pq, slot->pg, NULL);
	error->status = pq->status(slot->pg) == CONNECTION_BAD ? TINE_E_LOST : TINE_E_NOMEM;
	return error->status;
}

/* The first answer that decides counts: after it the connection may be lost without harm. */
static int read_answer(const struct tine_slot *slot, char *command, tine_error *error)
{
	const struct tine_pq *pq = slot->pool->pq;
	int rc = TINE_E_IN_DOUBT;
	PGresult *result;

	while ((result = pq->get_result(slot->pg)) != NULL) {
		if (rc == TINE_E_IN_DOUBT)
			rc = read_result(slot, result, command, error);
		pq->clear(result);
	}
	if (rc == TINE_E_IN_DOUBT && !error->status)
		tine_error_set_result(error, pq, slot->pg, NULL);
	return rc;
}

int tine_statement_run(const tine_conn *conn, const char *sql, char *ret_command, tine_error *error)
{
	const struct tine_slot *slot = conn->slot;
	const struct tine_pq *pq = slot->pool->pq;
	char command[TINE_COMMAND_BYTES] = "";
	tine_error local = { 0 };
	int cancel_state, rc;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	/* A send that fails has put no whole message on the wire: the statements of this library
	 * are shorter than libpq's buffer, so they leave in one piece or not at all. */
	if (pq->status(slot->pg) == CONNECTION_BAD || !pq->send_query(slot->pg, sql))
		rc = not_sent(slot, &local);
	else
		rc = read_answer(slot, command, &local);
	pthread_setcancelstate(cancel_state, NULL);
	if (ret_command)
		memcpy(ret_command, command, sizeof(command));
	if (rc == 0)
		return 0;
	local.status = rc;
	return tine_error_copy(error, &local);
}
