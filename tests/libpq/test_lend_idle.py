# SPDX-License-Identifier: PostgreSQL
"""Under tine run --budget a process that does nothing lends: its server ends the session, who is in
need gets the permit, and the next use opens it anew. Not one whose state would be missed."""
import time

import pytest

from libpq.programs import Failed
from test_pool import STATE, lines, run as run_state, server  # noqa: F401  (a fixture)

OPEN = """\
import os, select, time, psycopg2
from psycopg import pq
def connect(more=''):
    conn = psycopg2.connect(os.environ['CONNINFO'] + more)
    conn.autocommit = True
    return conn
conn = connect()
cursor = conn.cursor()
def ask(sql='select pg_backend_pid()'):
    cursor.execute(sql)
    return cursor.fetchone()[0] if cursor.description else None
def limit():
    return ask('show idle_session_timeout')
"""

TIMED = """\
def timed():
    start = time.monotonic()
    connect().close()
    return time.monotonic() - start
"""


@pytest.fixture
def member(remote, tmp_path):
    """A process under a budget, on a board of the test's own."""
    directory = tmp_path / 'boards'
    directory.mkdir(mode=0o700)

    def start(conninfo, *options, budget=2, program=OPEN):
        python = remote(conninfo, '--quiet', '--budget', budget, '--name', 'lend', *options,
                        env={'TINE_BOARD_DIRECTORY': str(directory)})
        python(program)
        return python
    return start


SOON = ['--lend-after', '1s', '--acquire-timeout', '20s']
LATE = ['--lend-after', '1min']


@pytest.mark.parametrize('transport', ['unix', 'tls'])
def test_idle_processes_lend(cluster, member, transport):
    """Three with a kept connection each, on a budget of two: none fails, none loses its state."""
    conninfo = cluster.conninfo(transport)
    idle = [member(conninfo, *SOON) for _ in range(2)]
    pids = []
    for number, python in enumerate(idle):
        python("ask('set my.number = %d')" % number)
        python("ask('prepare mine as select %d')" % number)
        pids.append(python('ask()'))
    needy = member(conninfo, *SOON, program=OPEN.split('conn = connect()')[0] + TIMED)
    assert needy('timed()') < 15
    for number, python in enumerate(idle):
        assert python("ask('show my.number')") == str(number)
        assert python("ask('execute mine')") == number
    assert [python('ask()') for python in idle] != pids


def test_what_the_test_above_shows_is_lending(cluster, member):
    conninfo = cluster.conninfo('unix')
    idle = [member(conninfo, '--lend-after', '0') for _ in range(2)]
    with pytest.raises(Failed, match='no permit within'):
        member(conninfo, '--acquire-timeout', '3s')
    assert all(python('limit()') == '0' for python in idle)


# ---- what ties a program to its session ----------------------------------------------------------

PREPARED = """\
raw = pq.PGconn.connect(os.environ['CONNINFO'].encode())
def show():
    return raw.exec_(b'show idle_session_timeout').get_value(0, 0).decode()
before = show()
"""

TIES = {
    'listen': "ask('listen news')",
    'temporary': "ask('create temp table t (a int)')",
    'temporary_into': "ask('select 1 as a into temp t')",
    'cursor': "ask('begin; declare c cursor with hold for select 1; commit')",
    'lock': "ask('select pg_advisory_lock(1)')",
    'lock_among_others': "ask('select 1; select 2, pg_try_advisory_lock(1)')",
    'function': "ask(\"select set_config('work_' || 'mem', '1MB', false)\")",
    'code': "ask('do $$ begin perform pg_advisory_lock(1); end $$')",
    'transaction': "ask('begin'); ask('create temp table t (a int)'); ask('commit')",
    'listen_in_transaction': "ask('begin'); ask('listen news'); ask('commit')",
    'lock_rolled_back': "ask('begin'); ask('select pg_advisory_lock(1)'); ask('rollback')",
    'failed': "ask('begin')\ntry:\n ask('nonsense')\nexcept psycopg2.Error:\n pass\n"
              "ask('rollback; listen a')",
    # What was told within a transaction has to be known to be for good when that is over.
    'reset_after_transaction': "ask('begin'); ask('listen news'); ask('commit'); ask('reset all')",
    'encoding': "ask('prepare p as select \\'\\u00e9\\''); ask('set client_encoding = latin1')",
    'search_path': "ask('set search_path = \\'pg_temp\\'')",
    'after_an_error': "ask('begin')\ntry:\n ask('select 1/0')\nexcept psycopg2.Error:\n pass\n"
                      "ask('rollback; listen a')",
    'savepoint': "ask('begin'); ask('savepoint s'); ask('listen a'); ask('rollback to s');"
                 "ask('listen b'); ask('commit')",
}

NO_TIES = {
    'nothing': "ask('select 1')",
    'settings': "ask('set work_mem = \\'1MB\\''); ask('set my.own = 1')",
    'prepared': "ask('prepare p as select 1'); ask('execute p')",
    'transaction': "ask('begin'); ask('select 1'); ask('commit')",
    'transaction_lock': "ask('begin'); ask('select pg_advisory_xact_lock(1)'); ask('commit')",
    'reset': "ask('set work_mem = \\'1MB\\''); ask('reset all')",
    'discarded': "ask('discard all')",
    'reset_in_transaction': "ask('begin'); ask('reset all'); ask('rollback')",
    'dropped': "ask('begin'); ask('create temp table t (a int) on commit drop'); ask('commit')",
}


def test_a_session_that_would_be_missed_is_not_ended(cluster, member):
    python = member(cluster.conninfo('unix'), *LATE, budget=20)
    for name, act in NO_TIES.items():
        assert python('conn = connect()\ncursor = conn.cursor()\n%s\nlimit()' % act) == '1min', name
    for name, act in TIES.items():
        assert python('conn = connect()\ncursor = conn.cursor()\n%s\nlimit()' % act) == '0', name


def test_statements_of_the_protocol(cluster, member):
    """Prepared ones do what their text says, later; pipelines and PQfn() are not looked into."""
    python = member(cluster.conninfo('unix'), *LATE, budget=20)
    for act, limit in [
            ("raw.prepare(b'p', b'listen news'); raw.exec_prepared(b'p', None)", '0'),
            ("raw.prepare(b'p', b'select 1'); raw.exec_prepared(b'p', None)", '1min'),
            ("raw.exec_params(b'listen news', None)", '0'),
            ("raw.enter_pipeline_mode(); raw.exit_pipeline_mode()", '0')]:
        python(PREPARED)
        assert python('before') == '1min'
        assert python(act + '\nshow()') == limit, act


@pytest.mark.parametrize('end, more', [('commit', 'reset all'), ('rollback', 'listen b')])
def test_what_could_not_be_told_is_told_later(cluster, member, end, more):
    """By a function that it may not call for a moment."""
    name = 'function pg_catalog.set_config(text, text, boolean)'
    python = member(cluster.conninfo('unix'), *LATE, budget=20)
    python("ask('begin'); ask('listen a')")
    cluster.admin_sql('revoke execute on %s from public' % name)
    try:
        python("ask('%s')" % end)
    finally:
        cluster.admin_sql('grant execute on %s to public' % name)
    python("ask('%s')" % more)
    assert python('limit()') == '0'


@pytest.mark.parametrize('act, check', [
    ("ask('select pg_advisory_lock(7)')",
     "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"),
    ("ask('create temp table t as select 1 as a')", 'select a from t'),
    ("ask('begin'); ask('select pg_advisory_lock(7)'); ask('rollback')",
     "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"),
], ids=['lock', 'temporary', 'rolled_back'])
def test_it_is_there_after_the_time(cluster, member, act, check):
    """And the same goes for the need of others."""
    conninfo = cluster.conninfo('unix')
    python = member(conninfo, *SOON, budget=1)
    python(act)
    before = python('ask()')
    with pytest.raises(Failed, match='no permit within'):
        member(conninfo, '--lend-after', '1s', '--acquire-timeout', '2500ms', budget=1)
    assert python('ask()') == before
    assert python('ask("%s")' % check) == 1


def test_limits_of_others_are_left_alone(cluster, member):
    python = member(cluster.conninfo('unix'), *LATE, budget=20)

    def limit(more='', act=''):
        return python('conn = connect("%s")\ncursor = conn.cursor()\n%s\nlimit()' % (more, act))
    assert limit() == '1min'
    assert limit(" options='-c idle_session_timeout=0'") == '0'
    assert limit(" options='-c idle_session_timeout=1h'") == '1h'
    assert limit(act="ask('set idle_session_timeout = \\'2h\\''); ask('listen news')") == '2h'
    for end, left in ('commit', '2h'), ('rollback', '0'):
        assert limit(act="ask('begin'); ask('set idle_session_timeout = \\'2h\\''); ask('%s')"
                     % end) == left
    cluster.admin_sql("alter role app set idle_session_timeout = '3h'")
    try:
        assert limit() == '3h'
        assert limit(act="ask('listen news')") == '3h'
    finally:
        cluster.admin_sql('alter role app reset idle_session_timeout')


def test_only_under_a_budget(cluster, remote, tmp_path):
    env = {'TINE_BOARD_DIRECTORY': str(tmp_path)}
    tmp_path.chmod(0o700)
    for options in (['--name', 'only'], ['--strict'], ['--budget', '3', '--no-revive']):
        python = remote(cluster.conninfo('unix'), '--lend-after', '1s', *options, env=env)
        python(OPEN)
        assert python('limit()') == '0'


def test_replication_is_left_alone(cluster, member):
    python = member(cluster.conninfo('unix'), *LATE, budget=20)
    python("raw = pq.PGconn.connect((os.environ['CONNINFO'] +"
           "' user=postgres replication=database').encode())")
    assert python("raw.exec_(b'show idle_session_timeout').get_value(0, 0).decode()") == '0'


# ---- programs that look at what is idle ----------------------------------------------------------

POLLED = """\
raw = pq.PGconn.connect(os.environ['CONNINFO'].encode())
def show(sql=b'show idle_session_timeout'):
    return raw.exec_(sql).get_value(0, 0).decode()
loop = select.%s()
loop.register(raw.socket, select.%sIN)
"""


@pytest.mark.parametrize('how', ['poll', 'epoll'])
def test_who_watches_its_connection_sees_no_end(cluster, member, how):
    """It reads, and finds a connection that is there; from then on it is left alone."""
    python = member(cluster.conninfo('tls'), *SOON, budget=20)
    python(POLLED % (how, how.upper()))
    assert python('bool(loop.poll(%d))' % (20 if how == 'epoll' else 20_000))
    assert python('raw.consume_input()\nraw.status == pq.ConnStatus.OK')
    assert python('show()') == '0'
    assert python("show(b'select 1')") == '1'
    assert python('loop.poll(0)') == []


def test_a_loop_that_watches_is_noticed(cluster, member):
    """By the first use after a pause."""
    python = member(cluster.conninfo('unix'), *LATE, budget=20)
    python(POLLED % ('epoll', 'EPOLL'))
    assert python("time.sleep(0.02)\nshow()") == '0'


# ---- the pool ------------------------------------------------------------------------------------

def test_parked_connections_are_lent(cluster, member):
    conninfo = cluster.conninfo('unix')
    parked = member(conninfo, *SOON, '--pool', '2', budget=1)
    for _ in range(2):
        assert parked('pid = ask()\nconn.close()\nconn = connect()\ncursor = conn.cursor()\n'
                      'pid == ask()')
        assert parked('limit()') == '1s'
    parked("ask('begin'); ask('listen news'); conn.close(); conn = connect()\n"
           "cursor = conn.cursor(); ask()")
    assert parked('limit()') == '1s'
    parked("ask('listen news'); conn.close()")
    started = time.monotonic()
    needy = member(conninfo, *SOON, budget=1)
    assert time.monotonic() - started < 19
    needy('conn.close()')
    assert parked('conn = connect()\ncursor = conn.cursor()\nask()')


@pytest.mark.parametrize('act', ['guc', 'role', 'lock', 'listen', 'cursor', 'prepared', 'sequence',
                                 'keep_cancel'])
def test_next_user_cannot_tell(server, tmp_path, act):  # noqa: F811
    """What is sent in the place of DISCARD ALL does the same."""
    env = {'TINE_BOARD_DIRECTORY': str(tmp_path)}
    tmp_path.chmod(0o700)
    options = ['--budget', '9', '--pool', '4', '--no-identity']
    fresh = lines(run_state(server, options, STATE, 'new', **env))
    seen = lines(run_state(server, options, STATE, act, 'blocking', **env))
    assert seen[0] == 'pooled' and seen[1:] == fresh[1:]
    assert any('idle_session_timeout' in line for line in seen) == (
        'idle_session_timeout' in '\n'.join(fresh))
