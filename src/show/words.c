/* SPDX-License-Identifier: PostgreSQL */
#include "show/words.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "tine/tine.h"

const char *tine_words_age(char text[TINE_WORDS_AGE_BYTES], int64_t age_ns)
{
	long long ms = age_ns / TINE_NS_PER_MS, s = ms / 1000, min = s / 60, h = min / 60;

	if (s == 0)
		snprintf(text, TINE_WORDS_AGE_BYTES, "%lldms", ms);
	else if (min == 0)
		snprintf(text, TINE_WORDS_AGE_BYTES, "%lld.%llds", s, ms % 1000 / 100);
	else if (h == 0)
		snprintf(text, TINE_WORDS_AGE_BYTES, "%lldm%02llds", min, s % 60);
	else if (h < 24)
		snprintf(text, TINE_WORDS_AGE_BYTES, "%lldh%02lldm", h, min % 60);
	else
		snprintf(text, TINE_WORDS_AGE_BYTES, "%lldd%02lldh", h / 24, h % 24);
	return text;
}

const char *tine_words_state(enum tine_seat_state state)
{
	static const char *const names[] = {
		[TINE_SEAT_NONE] = "unknown",    [TINE_SEAT_CONNECTING] = "connecting",
		[TINE_SEAT_IDLE] = "idle",       [TINE_SEAT_BUSY] = "busy",
		[TINE_SEAT_CLOSING] = "closing",
	};

	return names[state];
}

const char *tine_words_transaction(enum tine_seat_transaction transaction)
{
	static const char *const names[] = {
		[TINE_SEAT_OUTSIDE] = "none",
		[TINE_SEAT_INSIDE] = "open",
		[TINE_SEAT_ABORTED] = "failed",
	};

	return names[transaction];
}

const char *tine_words_life(enum tine_view_life life)
{
	static const char *const names[] = {
		[TINE_VIEW_ALIVE] = "alive",
		[TINE_VIEW_DEAD] = "dead",
		[TINE_VIEW_PAST] = "past",
		[TINE_VIEW_FOREIGN] = "foreign",
	};

	return names[life];
}

const char *tine_words_event(enum tine_board_event_kind kind)
{
	static const char *const names[] = {
		[TINE_BOARD_JOINED] = "joined",       [TINE_BOARD_ENDED] = "left",
		[TINE_BOARD_REAPED] = "died",         [TINE_BOARD_OPENED] = "opened",
		[TINE_BOARD_CLOSED] = "closed",       [TINE_BOARD_FAILED] = "failed",
		[TINE_BOARD_RECOVERED] = "recovered", [TINE_BOARD_TIMEOUT] = "timeout",
		[TINE_BOARD_FORKED] = "forked",
	};

	return names[kind];
}

const char *tine_words_detail(char text[TINE_WORDS_DETAIL_BYTES],
			      const struct tine_view_event *event)
{
	*text = '\0';
	if (event->kind == TINE_BOARD_CLOSED)
		snprintf(text, TINE_WORDS_DETAIL_BYTES, "%s", tine_cause_name((int)event->detail));
	else if (event->kind == TINE_BOARD_REAPED)
		snprintf(text, TINE_WORDS_DETAIL_BYTES, "%u permits came back", event->detail);
	else if (event->kind == TINE_BOARD_FAILED)
		snprintf(text, TINE_WORDS_DETAIL_BYTES, "a connect");
	else if (event->kind == TINE_BOARD_TIMEOUT)
		snprintf(text, TINE_WORDS_DETAIL_BYTES, "an acquire");
	else if (event->kind == TINE_BOARD_RECOVERED)
		snprintf(text, TINE_WORDS_DETAIL_BYTES, "target %u", event->detail);
	return text;
}

const char *tine_words_user(char *text, size_t size, uid_t user)
{
	struct passwd entry, *found = NULL;
	struct tine_text name;
	char buf[4096];

	snprintf(text, size, "%u", (unsigned)user);
	if (getpwuid_r(user, &entry, buf, sizeof(buf), &found) == 0 && found) {
		tine_text_init(&name, text, size);
		tine_text_add_foreign(&name, found->pw_name, strlen(found->pw_name));
	}
	return text;
}

int64_t tine_words_quantile_us(const int64_t wait[TINE_VIEW_BUCKETS], double share)
{
	int64_t count = 0, below = 0;
	int bucket = 0;

	for (int i = 0; i < TINE_VIEW_BUCKETS; i++)
		count += wait[i];
	if (count == 0)
		return 0;
	for (; bucket < TINE_VIEW_BUCKETS - 1; bucket++) {
		below += wait[bucket];
		if ((double)below >= share * (double)count)
			break;
	}
	return INT64_C(1) << bucket;
}

int64_t tine_words_sum(const struct tine_view *view, int64_t ret_wait[TINE_VIEW_BUCKETS],
		       int64_t ret_closed[TINE_VIEW_CAUSES])
{
	int64_t count = 0;

	memset(ret_wait, 0, TINE_VIEW_BUCKETS * sizeof(*ret_wait));
	memset(ret_closed, 0, TINE_VIEW_CAUSES * sizeof(*ret_closed));
	for (int i = 0; i < view->members_count; i++) {
		for (int b = 0; b < TINE_VIEW_BUCKETS; b++)
			ret_wait[b] += view->members[i].wait[b];
		for (int c = 0; c < TINE_VIEW_CAUSES; c++)
			ret_closed[c] += view->members[i].closed[c];
	}
	for (int b = 0; b < TINE_VIEW_BUCKETS; b++)
		count += ret_wait[b];
	return count;
}
