/* SPDX-License-Identifier: PostgreSQL */
/* What a session's journal makes of the statements that were sent on it. */
#include "unit/journal.h"

TEST(new_session_is_clean)
{
	begin_session();
	check_state("");
	CHECK(tine_journal_is_clean(&journal));
	CHECK(tine_journal_is_discardable(&journal));
}

TEST(reading_leaves_nothing)
{
	static const char *const texts[] = {
		"",
		";",
		" -- nothing\n",
		"select 1",
		"SELECT 'set_config(''a'', ''b'', false)'",
		"/* SET x = 1; */ select 1 /* /* listen c */ ; set y = 2 */",
		"select $$; set x = 1; $$",
		"select $a$ $$ ; listen c; $a$",
		"select E'\\'; set x = 1; '",
		"select \"set_config\" from t where \"a;b\" = 1",
		"(select 1)",
		"values (1)",
		"with a as (select 1) select * from a",
		"update t set a = 1 where b = 'x'",
		"delete from t",
		"show all",
		"fetch 1 from c",
		"select set_bit(a, 1, 0) from t",
		"begin",
		"commit",
		"select 1 as temp",
		"select pg_temperature, 'pg_temp' from pg_temps",
		"set local search_path = 'pg_temporal', tenant",
		"select set_config('search_path', 'tenant', true)",
		"select 'a' -- c\n'b; set x = 1'",
		"select u&'\\'; select 1",
		"select pg_advisory_xact_lock(1)",
		"select set_config('work_mem', '1MB', true)",
		"set local work_mem = '1MB'",
		"set transaction isolation level serializable",
		"set constraints all deferred",
	};

	begin_session();
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		done(texts[i]);
		if (strncmp(texts[i], "begin", 5) == 0)
			done_then("select 1", 'T');
		transaction = 'I';
		done_then("commit", 'I');
		if (!tine_journal_is_clean(&journal))
			printf("# %s\n", texts[i]);
		CHECK(tine_journal_is_clean(&journal));
		check_state("");
	}
}

TEST(settings_are_replayed_in_order)
{
	begin_session();
	done("SET search_path TO a, b");
	done("set session Work_Mem = '1MB'");
	done("SET \"work_mem\" = '2MB'; SET TIME ZONE 'UTC'");
	check_state("SET search_path TO a, b | SET \"work_mem\" = '2MB' | SET TIME ZONE 'UTC'");
	CHECK(!tine_journal_is_clean(&journal));
	CHECK(tine_journal_is_discardable(&journal));
	done("RESET search_path");
	done("SET TIME ZONE LOCAL");
	done("set work_mem to default");
	check_state("");
	done("set names 'latin1'");
	done("set schema 'x'");
	done("set xml option document");
	check_state("set names 'latin1' | set schema 'x' | set xml option document");
	done("reset all");
	check_state("");
}

TEST(session_characteristics_are_settings)
{
	begin_session();
	done("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ, "
	     "READ ONLY, NOT DEFERRABLE");
	check_state("SET default_transaction_isolation = 'repeatable read' | "
		    "SET default_transaction_read_only = on | "
		    "SET default_transaction_deferrable = off");
	done("set default_transaction_read_only = off");
	done("reset default_transaction_isolation");
	check_state("SET default_transaction_deferrable = off | "
		    "set default_transaction_read_only = off");
}

TEST(roles)
{
	begin_session();
	done("set role alice");
	done("set session authorization bob");
	check_state("set session authorization bob");
	done("set role 'carol'");
	check_state("set session authorization bob | set role 'carol'");
	done("reset all");
	check_state("set session authorization bob | set role 'carol'");
	done("reset session authorization");
	check_state("");
	done("set role alice");
	done("reset role");
	check_state("");
}

TEST(what_is_rolled_back_is_not_replayed)
{
	begin_session();
	done("set a = 1");
	done_then("begin", 'T');
	done("set a = 2");
	check_obstacle(TINE_OBSTACLE_UNKNOWN);
	done_then("rollback", 'I');
	check_state("set a = 1");
	done_then("begin", 'T');
	done("set a = 3");
	done_then("commit", 'I');
	check_state("set a = 3");
}

TEST(failed_transaction_that_is_committed_is_rolled_back)
{
	begin_session();
	done_then("start transaction", 'T');
	done("listen c");
	failed("selec");
	done_then("end", 'I');
	check_state("");
}

TEST(commit_that_fails_rolls_back)
{
	begin_session();
	done_then("begin", 'T');
	done("set a = 1");
	tine_journal_sent(&journal, "commit");
	answer(false, 'I');
	check_state("");
}

TEST(savepoints)
{
	begin_session();
	done_then("begin", 'T');
	done("set a = 1");
	done("savepoint s");
	done("set a = 2");
	done("savepoint t");
	done("set b = 1");
	done("rollback to savepoint s");
	done("set c = 1");
	done("release s");
	done_then("commit and no chain", 'I');
	check_state("set a = 1 | set c = 1");
	done_then("begin", 'T');
	done("savepoint \"S\"");
	done("savepoint s");
	done("set d = 1");
	failed("bad");
	done_then("rollback work to s", 'T');
	done("release \"S\"");
	done_then("commit", 'I');
	check_state("set a = 1 | set c = 1");
}

TEST(chained_transactions)
{
	begin_session();
	done_then("begin", 'T');
	done("set a = 1");
	done_then("commit and chain", 'T');
	done("set a = 2");
	done_then("rollback and chain", 'T');
	done("set b = 1");
	done_then("commit", 'I');
	check_state("set a = 1 | set b = 1");
}

TEST(several_statements_are_one_transaction)
{
	begin_session();
	failed("set a = 1; select 1/0");
	check_state("");
	done("set a = 1; rollback");
	check_state("");
	done("set a = 1; commit; set b = 1; rollback");
	check_state("set a = 1");
	done("begin; set c = 1; rollback; set d = 1");
	check_state("set a = 1 | set d = 1");
	failed("begin; update t set a = 1; commit");
	check_state("set a = 1 | set d = 1");
	failed("begin; set e = 1; commit; select 1/0");
	check_obstacle(TINE_OBSTACLE_UNKNOWN);
}

TEST(failed_setting_is_not_replayed)
{
	begin_session();
	failed("set nonsense = 1");
	failed("selec 1");
	check_state("");
	CHECK(tine_journal_is_discardable(&journal));
}

TEST(listening)
{
	begin_session();
	done("listen a; listen \"B\"");
	done("LISTEN A");
	check_state("listen \"B\" | LISTEN A");
	done("unlisten \"B\"");
	check_state("LISTEN A");
	done("unlisten *");
	check_state("");
}

TEST(prepared_statements)
{
	const unsigned types[] = { 23, 25 };
	struct tine_journal_walk walk = { 0 };
	struct tine_journal_step step;

	begin_session();
	tine_journal_prepared(&journal, "p", "select $1, $2", 2, types);
	answer(true, 'I');
	tine_journal_executed(&journal, tine_journal_text(&journal, "p"));
	answer(true, 'I');
	CHECK(tine_journal_next(&journal, &walk, &step));
	CHECK_STR(step.name, "p");
	CHECK_STR(step.sql, "select $1, $2");
	CHECK_INT(step.types_count, ==, 2);
	CHECK_INT(step.types[1], ==, 25);
	CHECK(!tine_journal_next(&journal, &walk, &step));
	done("prepare Q as select 1");
	done("deallocate p");
	check_state("prepare Q as select 1");
	done_then("begin", 'T');
	done("prepare r as select 2");
	done_then("rollback", 'I');
	CHECK_CONTAINS(replay(), "prepare r as select 2");
	tine_journal_closed(&journal, "r");
	answer(true, 'I');
	done("deallocate prepare q");
	check_state("");
	tine_journal_prepared(&journal, "x", "selec", 0, NULL);
	answer(false, 'I');
	check_state("");
}

TEST(unnamed_statement_goes_with_the_next_text)
{
	begin_session();
	tine_journal_prepared(&journal, "", "select 1", 0, NULL);
	answer(true, 'I');
	check_state("=select 1");
	tine_journal_executed(&journal, tine_journal_text(&journal, ""));
	answer(true, 'I');
	check_state("=select 1");
	done("select 2");
	check_state("");
}

/* Read by foresee.c already. */
TEST(text_that_was_found_harmless)
{
	begin_session();
	tine_journal_prepared(&journal, "", "select 1", 0, NULL);
	answer(true, 'I');
	tine_journal_sent_harmless(&journal, true, false);
	check_obstacle(TINE_OBSTACLE_UNKNOWN);
	answer(true, 'I');
	check_state("");
	done("discard all");
	tine_journal_sent_harmless(&journal, true, false);
	answer(true, 'I');
	CHECK(tine_journal_is_clean(&journal));
	tine_journal_sent_harmless(&journal, true, true);
	answer(true, 'I');
	check_state("");
	CHECK(!tine_journal_is_clean(&journal));
}

TEST(prepared_setting_is_set_when_executed)
{
	begin_session();
	tine_journal_prepared(&journal, "p", "set a = 1", 0, NULL);
	answer(true, 'I');
	check_state("p=set a = 1");
	tine_journal_executed(&journal, tine_journal_text(&journal, "p"));
	answer(true, 'I');
	check_state("set a = 1 | p=set a = 1");
	done("execute p");
	check_obstacle(TINE_OBSTACLE_UNKNOWN);
}

/* Several syncs that were sent together: what libpq says of the transaction is known at the last.
 */
TEST(a_function_by_its_number)
{
	begin_session();
	tine_journal_called(&journal);
	answer(true, 'I');
	check_obstacle(TINE_OBSTACLE_FUNCTION);
	CHECK(!tine_journal_is_discardable(&journal));
}

/* What cannot be is not believed. */
TEST(a_failed_block_that_goes_on)
{
	begin_session();
	done_then("begin", 'T');
	failed("bad");
	tine_journal_sent(&journal, "set a = 1");
	answer(true, 'E');
	done_then("rollback", 'I');
	check_obstacle(TINE_OBSTACLE_UNKNOWN);
}

static const struct {
	const char *sql;
	enum tine_obstacle obstacle;
	bool is_discardable;
} obstacle_rows[] = {
	{ "create temp table t (a int)", TINE_OBSTACLE_TEMPORARY, true },
	{ "create or replace local temporary view v as select 1", TINE_OBSTACLE_TEMPORARY, true },
	{ "create table pg_temp.t ()", TINE_OBSTACLE_TEMPORARY, true },
	{ "create table \"pg_temp\".t ()", TINE_OBSTACLE_TEMPORARY, true },
	{ "create table Pg_temp_3.t ()", TINE_OBSTACLE_TEMPORARY, true },
	{ "set search_path = pg_temp", TINE_OBSTACLE_TEMPORARY, true },
	{ "set search_path = 'pg_temp'", TINE_OBSTACLE_TEMPORARY, true },
	{ "set search_path to public, 'PG_TEMP'", TINE_OBSTACLE_TEMPORARY, true },
	{ "set session search_path to \"pg_temp\", public", TINE_OBSTACLE_TEMPORARY, true },
	{ "set search_path = E'pg\\x5ftemp'", TINE_OBSTACLE_TEMPORARY, true },
	{ "set local search_path = 'pg_temp'", TINE_OBSTACLE_TEMPORARY, true },
	{ "set schema 'pg_temp'", TINE_OBSTACLE_TEMPORARY, true },
	{ "select set_config('search_path', 'pg_temp, public', false)", TINE_OBSTACLE_TEMPORARY,
	  true },
	{ "select set_config('Search_path', 'public,\"pg_temp\"', true)", TINE_OBSTACLE_TEMPORARY,
	  true },
	{ "select set_config('search_path', '\"a\", ' || 'pg_temp', true)",
	  TINE_OBSTACLE_TEMPORARY, true },
	{ "select 1 into temp t", TINE_OBSTACLE_TEMPORARY, true },
	{ "select 1 into local temp t", TINE_OBSTACLE_TEMPORARY, true },
	{ "explain analyze create temp table t as select 1", TINE_OBSTACLE_TEMPORARY, true },
	{ "declare c cursor with hold for select 1", TINE_OBSTACLE_CURSOR, true },
	{ "select pg_advisory_lock(1)", TINE_OBSTACLE_LOCK, true },
	{ "select pg_catalog.\"pg_try_advisory_lock\" (1)", TINE_OBSTACLE_LOCK, true },
	{ "select set_config('a', 'b', false) limit 0", TINE_OBSTACLE_FUNCTION, false },
	{ "select set_config('a', 'b', false) from t", TINE_OBSTACLE_FUNCTION, false },
	{ "select set_config('a', 'b', false), set_config('c', 'd', false)", TINE_OBSTACLE_FUNCTION,
	  false },
	{ "select set_config('a', 'b', $1)", TINE_OBSTACLE_FUNCTION, true },
	{ "select set_config('a', $1, false)", TINE_OBSTACLE_FUNCTION, true },
	{ "select set_config($1, $2, $3)", TINE_OBSTACLE_FUNCTION, false },
	{ "select set_config('a' || 'b', 'c', true)", TINE_OBSTACLE_FUNCTION, false },
	{ "select set_config(set_config('a', 'b', true), 'c', true)", TINE_OBSTACLE_FUNCTION,
	  false },
	{ "update pg_settings set setting = 1", TINE_OBSTACLE_FUNCTION, false },
	{ "select setseed(0.5)", TINE_OBSTACLE_FUNCTION, false },
	{ "set seed to 0.5", TINE_OBSTACLE_FUNCTION, false },
	{ "select app.set_tenant(1)", TINE_OBSTACLE_FUNCTION, false },
	{ "select U&\"\\0073etseed\"(0.5)", TINE_OBSTACLE_FUNCTION, false },
	{ "load 'auto_explain'", TINE_OBSTACLE_LIBRARY, false },
	{ "do $$ begin set x = 1; end $$", TINE_OBSTACLE_CODE, false },
	{ "do language plpgsql 'begin create temp table t(); end'", TINE_OBSTACLE_CODE, false },
	{ "frobnicate the session", TINE_OBSTACLE_UNKNOWN, false },
	{ "select 'without an end", TINE_OBSTACLE_UNKNOWN, false },
	{ "select 1 /* without an end", TINE_OBSTACLE_UNKNOWN, false },
	{ "set standard_conforming_strings = off", TINE_OBSTACLE_UNKNOWN, false },
	{ "set local standard_conforming_strings = off", TINE_OBSTACLE_UNKNOWN, false },
	{ "set work_mem from current", TINE_OBSTACLE_UNKNOWN, false },
	{ "create function f() returns int begin atomic select 1; end; set x = 1",
	  TINE_OBSTACLE_UNKNOWN, false },
};

TEST(obstacles)
{
	for (size_t i = 0; i < sizeof(obstacle_rows) / sizeof(*obstacle_rows); i++) {
		bool is_temporary;

		begin_session();
		printf("# %s\n", obstacle_rows[i].sql);
		done(obstacle_rows[i].sql);
		check_obstacle(obstacle_rows[i].obstacle);
		is_temporary = obstacle_rows[i].obstacle == TINE_OBSTACLE_TEMPORARY;
		CHECK_INT(tine_journal_is_discardable(&journal), ==,
			  obstacle_rows[i].is_discardable && !is_temporary);
		CHECK(!tine_journal_is_clean(&journal));
		done("discard all");
		check_obstacle(obstacle_rows[i].is_discardable ? TINE_OBSTACLE_NONE
							       : obstacle_rows[i].obstacle);
		/* The schema of temporary tables stays. */
		CHECK_INT(tine_journal_is_clean(&journal), ==,
			  obstacle_rows[i].is_discardable && !is_temporary);
		tine_journal_clear(&journal);
		check_state("");
	}
}

TEST(temporary_tables_by_the_options_of_a_login)
{
	begin_session();
	tine_journal_options(&journal, "-c search_path=public");
	tine_journal_options(&journal, "");
	tine_journal_options(&journal, NULL);
	check_state("");
	tine_journal_options(&journal, "-csearch_path=\"pg_temp\"");
	done("discard all");
	check_obstacle(TINE_OBSTACLE_TEMPORARY);
	CHECK(!tine_journal_is_discardable(&journal));
}

TEST(lock_that_was_asked_for_in_vain_counts)
{
	begin_session();
	failed("select pg_advisory_lock(1), 1/0");
	check_obstacle(TINE_OBSTACLE_LOCK);
}

TEST(sequences_are_no_obstacle)
{
	static const char *const texts[] = { "insert into t default values", "select nextval('s')",
					     "copy t from stdin", "update t set a = default",
					     "with a as (insert into t values (1) returning *) "
					     "select * from a" };

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		begin_session();
		done(texts[i]);
		check_state("");
		CHECK(!tine_journal_is_clean(&journal));
		CHECK(tine_journal_is_discardable(&journal));
	}
}

TEST(temporary_table_that_goes_with_its_transaction)
{
	begin_session();
	done_then("begin", 'T');
	done("create temp table t (a int) on commit drop");
	done_then("commit", 'I');
	check_state("");
}

TEST(custom_settings_stay_for_ever)
{
	begin_session();
	done_then("begin", 'T');
	done("set local app.Tenant = 'x'");
	done_then("commit", 'I');
	check_state("SELECT set_config('app.tenant', coalesce(current_setting('app.tenant', true), "
		    "''), false)");
	CHECK(!tine_journal_is_discardable(&journal));
	done("discard all");
	CHECK(!tine_journal_is_discardable(&journal));
	CHECK_CONTAINS(replay(), "app.tenant");
	begin_session();
	done("set app.tenant = 'x'");
	CHECK_CONTAINS(replay(), " | set app.tenant = 'x'");
	CHECK(!tine_journal_is_discardable(&journal));
	begin_session();
	done("select set_config('App.tenant', $1, true)");
	CHECK_CONTAINS(replay(), "'app.tenant'");
	CHECK(!tine_journal_is_discardable(&journal));
}

TEST(set_config_as_frameworks_write_it)
{
	begin_session();
	done("SELECT set_config('TimeZone', 'UTC', false)");
	check_state("SELECT set_config('TimeZone', 'UTC', false)");
	CHECK(tine_journal_is_discardable(&journal));
	done("set time zone 'Asia/Tokyo'");
	check_state("set time zone 'Asia/Tokyo'");
	done_then("begin", 'T');
	done("select pg_catalog.set_config('timezone', 'UTC', FALSE);");
	done_then("rollback", 'I');
	check_state("set time zone 'Asia/Tokyo'");
	done("select pg_catalog.set_config('app.tenant', 'x', false)");
	CHECK_CONTAINS(replay(), " | select pg_catalog.set_config('app.tenant', 'x', false)");
	CHECK(!tine_journal_is_discardable(&journal));
}

TEST(discard_all_forgets)
{
	begin_session();
	done("set a = 1; listen c");
	done("set role r");
	done("prepare p as select 1");
	done("discard all");
	check_state("");
	CHECK(tine_journal_is_clean(&journal));
}

TEST(more_than_it_keeps)
{
	static char long_text[TINE_JOURNAL_BYTES + 100];

	begin_session();
	memset(long_text, 'x', sizeof(long_text) - 1);
	tine_journal_prepared(&journal, "p", long_text, 0, NULL);
	answer(true, 'I');
	check_obstacle(TINE_OBSTACLE_SIZE);
	tine_journal_clear(&journal);
	begin_session();
	for (int i = 0; i < 20000 && !tine_journal_obstacle(&journal); i++) {
		char name[16];

		snprintf(name, sizeof(name), "p%d", i);
		tine_journal_prepared(&journal, name, "select 1", 0, NULL);
		answer(true, 'I');
	}
	check_obstacle(TINE_OBSTACLE_SIZE);
	CHECK_INT(journal.bytes, <=, TINE_JOURNAL_BYTES);
	tine_journal_clear(&journal);
	CHECK_INT(journal.bytes, ==, 0);
}

TEST(lost_answer_is_no_answer)
{
	begin_session();
	tine_journal_sent(&journal, "set a = 1");
	check_obstacle(TINE_OBSTACLE_UNKNOWN);
	CHECK(!tine_journal_is_discardable(&journal));
	tine_journal_answered(&journal, false, '?');
	check_obstacle(TINE_OBSTACLE_UNKNOWN);
	tine_journal_clear(&journal);
	check_state("");
}

CHECK_TABLE(T(new_session_is_clean), T(reading_leaves_nothing), T(settings_are_replayed_in_order),
	    T(session_characteristics_are_settings), T(roles),
	    T(what_is_rolled_back_is_not_replayed),
	    T(failed_transaction_that_is_committed_is_rolled_back), T(commit_that_fails_rolls_back),
	    T(savepoints), T(chained_transactions), T(several_statements_are_one_transaction),
	    T(failed_setting_is_not_replayed), T(listening), T(prepared_statements),
	    T(unnamed_statement_goes_with_the_next_text),
	    T(text_that_was_found_harmless), T(prepared_setting_is_set_when_executed),
	    T(a_function_by_its_number), T(a_failed_block_that_goes_on), T(obstacles),
	    T(temporary_tables_by_the_options_of_a_login),
	    T(lock_that_was_asked_for_in_vain_counts), T(sequences_are_no_obstacle),
	    T(temporary_table_that_goes_with_its_transaction), T(custom_settings_stay_for_ever),
	    T(set_config_as_frameworks_write_it), T(discard_all_forgets), T(more_than_it_keeps),
	    T(lost_answer_is_no_answer))
