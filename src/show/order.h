/* SPDX-License-Identifier: PostgreSQL */
/* In which order members and connections are shown, and which. Locks: none. Fork: no state. */
#ifndef TINE_SHOW_ORDER_H
#define TINE_SHOW_ORDER_H

#include <stdbool.h>

#include "board/view.h"

/* As the option table names them. */
enum tine_order_key {
	TINE_ORDER_BUSY,   /* most connections busy; busy for longest */
	TINE_ORDER_WORKER, /* number */
	TINE_ORDER_WAITS,  /* most waiting, then most waits; open transactions, oldest first */
	TINE_ORDER_AGE,    /* oldest first */
	TINE_ORDER_OPENED, /* most connects; newest connection */
	TINE_ORDER_KEYS
};

struct tine_order {
	enum tine_order_key key;
	bool reverse;
	const char *filter; /* part of a row, in any case; NULL or "": all rows */
};

/** "busy", ... */
const char *tine_order_name(enum tine_order_key key);

/** @param ret  indexes of the members to be shown; room for all
 *  @return how many */
int tine_order_members(const struct tine_order *order, const struct tine_view *view, int ret[]);

/** As tine_order_members(), of view->seats. */
int tine_order_seats(const struct tine_order *order, const struct tine_view *view, int ret[]);

#endif
