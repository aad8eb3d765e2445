/* SPDX-License-Identifier: PostgreSQL */
#include "lots.h"

bool lot_read(struct lot *lot, const char *number, const char *title)
{
	lot->year = text_lot_number(number, lot->number);
	lot->title = title;
	return lot->year != 0 && text_is_plain(title, 1, LOT_TITLE_BYTES);
}
