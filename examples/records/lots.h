/* SPDX-License-Identifier: PostgreSQL */
/*
 * A lot on its way into the database, from a form or from the inbox.
 *
 * Locks: none. Fork: nothing to do.
 */
#ifndef RECORDS_LOTS_H
#define RECORDS_LOTS_H

#include <stdbool.h>

#include "db.h"
#include "text.h"

#define LOT_TITLE_BYTES 200
#define LOT_IS_OTHER 1 /* the number is another lot's */

struct lot {
	char number[LOT_NUMBER_BYTES];
	int year;
	const char *title;
};

/** @return false when it is not a lot */
bool lot_read(struct lot *lot, const char *number, const char *title);

/** Insert it in a transaction; the same once more does nothing.
 *  @return 0, LOT_IS_OTHER, or a TINE_E_* in db->error */
int lot_insert(struct db *db, PGconn *pg, const struct lot *lot);

#endif
