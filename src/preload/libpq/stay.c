/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/stay.h"

#include "base/hot.h"

_Atomic unsigned tine_stay_apart TINE_HOT;

static bool is_apart(enum tine_stay_place place)
{
	return place == TINE_STAY_COMING || place == TINE_STAY_QUEUED;
}

/* Counted before it is so, and until it is so no more. */
void tine_stay_move(struct tine_stay *stay, enum tine_stay_place place)
{
	bool was_apart = is_apart(stay->place);

	if (is_apart(place))
		atomic_fetch_add(&tine_stay_apart, 1);
	stay->place = place;
	if (was_apart)
		atomic_fetch_sub(&tine_stay_apart, 1);
}
