/* SPDX-License-Identifier: PostgreSQL */
/* What a session's journal makes of the settings that decide how texts are to be read. */
#include "unit/journal.h"

TEST(encoding)
{
	begin_session();
	tine_journal_encoded(&journal, "LATIN1");
	check_state("SET client_encoding TO 'LATIN1'");
	done("select E'\xe4\\'; set x = 1; '");
	check_state("SET client_encoding TO 'LATIN1'");
	tine_journal_encoded(&journal, "SJIS");
	check_state("SET client_encoding TO 'SJIS'");
	done("select E'\x83\\'; set x = 1; '");
	check_obstacle(TINE_OBSTACLE_UNKNOWN);
	begin_session();
	tine_journal_encoded(&journal, "a'; drop table x");
	check_obstacle(TINE_OBSTACLE_UNKNOWN);
}

static void check_changed_encoding(const char *sql, const char *change, const char *why)
{
	begin_session();
	done(sql);
	done(change);
	CHECK_STR(obstacle_text(tine_journal_obstacle(&journal)), why);
	CHECK(tine_journal_is_discardable(&journal));
	done("discard all");
	check_state("");
	done("set work_mem = '\xc3\xa9'");
	check_state("set work_mem = '\xc3\xa9'");
}

#define ANOTHER "a text of another client encoding"

TEST(texts_of_another_encoding)
{
	const char *wide = "prepare p as select '\xc3\xa9'";

	check_changed_encoding(wide, "set client_encoding = latin1", ANOTHER);
	check_changed_encoding(wide, "SET NAMES 'latin1'", ANOTHER);
	check_changed_encoding(wide, "select set_config('Client_encoding', 'latin1', false)",
			       ANOTHER);
	check_changed_encoding("set work_mem = '\xc3\xa9'", "set client_encoding = latin1",
			       ANOTHER);
	check_changed_encoding("set client_encoding = latin1", wide, "nothing");
	check_changed_encoding("set work_mem = '\xc3\xa9'; set client_encoding = latin1", "",
			       ANOTHER);
	check_changed_encoding("set client_encoding = latin1; set work_mem = '\xc3\xa9'", "",
			       ANOTHER);
	check_changed_encoding(wide, "reset client_encoding", "nothing");
	check_changed_encoding(wide, "reset all", "nothing");
	check_changed_encoding("set client_encoding = latin1; prepare p as select 1", "reset all",
			       "nothing");
}

TEST(texts_of_an_encoding_that_is_taken_back)
{
	begin_session();
	done("set client_encoding = latin1");
	done("prepare p as select '\xe9'");
	done("reset all");
	check_obstacle(TINE_OBSTACLE_ENCODING);
	begin_session();
	done_then("begin", 'T');
	done("set client_encoding = latin1");
	done("prepare p as select '\xe9'");
	done_then("rollback", 'I');
	check_obstacle(TINE_OBSTACLE_ENCODING);
	begin_session();
	done_then("begin", 'T');
	done("set client_encoding = latin1");
	done_then("rollback", 'I');
	done("prepare p as select '\xc3\xa9'");
	check_state("prepare p as select '\xc3\xa9'");
	begin_session();
	done("set local client_encoding = latin1");
	check_obstacle(TINE_OBSTACLE_UNKNOWN);
	begin_session();
	done("select set_config('client_encoding', $1, true)");
	check_obstacle(TINE_OBSTACLE_FUNCTION);
}

TEST(encoding_by_libpq_after_a_text)
{
	begin_session();
	tine_journal_encoded(&journal, "LATIN1");
	done("prepare p as select '\xe9'");
	check_state("SET client_encoding TO 'LATIN1' | prepare p as select '\xe9'");
	tine_journal_encoded(&journal, "UTF8");
	check_obstacle(TINE_OBSTACLE_ENCODING);
	begin_session();
	tine_journal_prepared(&journal, "\xc3\xa9", "select 1", 0, NULL);
	answer(true, 'I');
	done("deallocate \xc3\xa9");
	tine_journal_encoded(&journal, "LATIN1");
	check_state("SET client_encoding TO 'LATIN1'");
	tine_journal_prepared(&journal, "\xe9", "select 1", 0, NULL);
	answer(true, 'I');
	tine_journal_encoded(&journal, "UTF8");
	check_obstacle(TINE_OBSTACLE_ENCODING);
}

/* Sent together: which encoding the last one is of, only the server knows. */
TEST(texts_of_another_encoding_in_a_pipeline)
{
	begin_session();
	tine_journal_sent(&journal, "set client_encoding = latin1");
	tine_journal_sent(&journal, "prepare p as select '\xe9'");
	answer(true, 'A');
	answer(true, 'I');
	check_obstacle(TINE_OBSTACLE_ENCODING);
}

TEST(strings_that_escape_by_themselves)
{
	tine_journal_init(&journal, false, "UTF8");
	transaction = 'I';
	done("select '\\'; set x = 1; '");
	check_state("");
	begin_session();
	done("select 'a' like 'b' escape '\\'; set x = 1");
	check_state("set x = 1");
	done("SET standard_conforming_strings = on");
	check_state("set x = 1 | SET standard_conforming_strings = on");
}

CHECK_TABLE(T(encoding), T(texts_of_another_encoding),
	    T(texts_of_an_encoding_that_is_taken_back), T(encoding_by_libpq_after_a_text),
	    T(texts_of_another_encoding_in_a_pipeline), T(strings_that_escape_by_themselves))
