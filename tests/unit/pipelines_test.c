/* SPDX-License-Identifier: PostgreSQL */
/* What a session's journal makes of pipelines. */
#include "unit/journal.h"

TEST(pipeline)
{
	begin_session();
	tine_journal_sent(&journal, "begin");
	tine_journal_sent(&journal, "select 1");
	tine_journal_prepared(&journal, "p", "set a = 1", 0, NULL);
	tine_journal_executed(&journal, tine_journal_text(&journal, "p"));
	tine_journal_sent(&journal, "commit");
	for (int i = 0; i < 5; i++)
		answer(true, 'A');
	tine_journal_synced(&journal, 'I');
	check_state("set a = 1 | p=set a = 1");
	/* One that fails takes those with it that are not in a transaction of their own. */
	tine_journal_sent(&journal, "set b = 1");
	tine_journal_sent(&journal, "bad");
	tine_journal_sent(&journal, "set c = 1");
	answer(true, 'A');
	answer(false, 'A');
	answer(false, 'A');
	tine_journal_synced(&journal, 'I');
	check_state("set a = 1 | p=set a = 1");
	tine_journal_sent(&journal, "set d = 1");
	answer(true, 'A');
	tine_journal_synced(&journal, 'I');
	check_state("set a = 1 | set d = 1 | p=set a = 1");
}

TEST(pipeline_of_several_syncs)
{
	static const char *const sent[] = { "set a = 1", "set b = 1", "bad",
					    "begin",     "set c = 1", "commit",
					    "begin",     "set d = 1", "commit" };

	begin_session();
	for (size_t i = 0; i < sizeof(sent) / sizeof(*sent); i++)
		tine_journal_sent(&journal, sent[i]);
	/* How each is answered, and the syncs; the first COMMIT violates a deferred constraint. */
	for (const char *c = "+|+-|++|-|+++"; *c; c++)
		if (*c == '|')
			tine_journal_synced(&journal, 'A');
		else
			answer(*c == '+', 'A');
	tine_journal_synced(&journal, 'I');
	check_state("set a = 1 | set d = 1");
}

TEST(pipeline_whose_sync_fails)
{
	begin_session();
	tine_journal_sent(&journal, "set a = 1");
	tine_journal_sent(&journal, "set b = 1");
	answer(true, 'A');
	tine_journal_sync_failed(&journal);
	tine_journal_synced(&journal, 'A');
	answer(true, 'A');
	tine_journal_synced(&journal, 'I');
	check_state("set b = 1");
}

CHECK_TABLE(T(pipeline), T(pipeline_of_several_syncs), T(pipeline_whose_sync_fails))
