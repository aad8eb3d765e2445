/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/aside.h"

#include <string.h>
#include <sys/epoll.h>

#include "preload/fdtable.h"
#include "preload/libpq/files.h"
#include "preload/libpq/lex.h"
#include "preload/libpq/watch.h"

bool tine_aside_is_kind(const PQconninfoOption *options)
{
	const char *database = tine_files_option(options, "dbname");

	return tine_files_option(options, "replication") ||
	       (database && strcmp(database, "template1") == 0);
}

/* The answer to the reset would be an event, with what belonged to the connection that is gone. */
bool tine_aside_step(const struct tine_record *record)
{
	struct tine_watch watches[TINE_WATCHES];
	int fd = record->session.fd, count;

	if (!tine_fd_watched)
		return true;
	count = tine_watch_find(fd, record->session.inode, watches);
	for (int i = 0; i < count; i++)
		if (epoll_ctl(watches[i].epoll, EPOLL_CTL_DEL, fd, NULL) < 0)
			return false;
	return count < TINE_WATCHES;
}

bool tine_aside_is_wanted(const struct tine_statement *statement)
{
	struct tine_lex lex = { .at = statement->sql };
	struct tine_token verb, object;

	if (!statement->sql)
		return false;
	tine_lex_next(&lex, &verb);
	if (!tine_token_is(&verb, "DROP") && !tine_token_is(&verb, "CREATE") &&
	    !tine_token_is(&verb, "ALTER"))
		return false;
	tine_lex_next(&lex, &object);
	return tine_token_is(&object, "DATABASE");
}
