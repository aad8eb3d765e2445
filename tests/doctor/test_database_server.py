# SPDX-License-Identifier: PostgreSQL
"""tine doctor on a database: limits, who uses them, what is cut, and the roles of hosts."""
import contextlib

import psycopg2
import pytest

from examined import Server, examine
from pool.standby import Standby
from support.procs import wait_until

MAX = 20
RESERVED = 3


@pytest.fixture(scope='module')
def server():
    with Server(max_connections=MAX) as cluster:
        yield cluster


def others(server):
    """Sessions of the user app, those of earlier tests included until the server has ended them."""
    return {pid for pid, in server.admin_sql("select pid from pg_stat_activity "
                                             "where usename = 'app'")}


@contextlib.contextmanager
def connections(server, count, **params):
    """So many sessions; they are gone from the server's list at the end."""
    conns = [psycopg2.connect(server.conninfo('plain', **params)) for _ in range(count)]
    pids = {conn.get_backend_pid() for conn in conns}
    wait_until(lambda: pids <= others(server))
    try:
        yield conns
    finally:
        for conn in conns:
            conn.close()
        wait_until(lambda: not pids & others(server))


@pytest.fixture(autouse=True)
def alone(server):
    wait_until(lambda: not others(server))


# ---- limits --------------------------------------------------------------------------------------

def test_what_is_used_and_by_whom(server):
    with connections(server, 4, application_name='web'), \
            connections(server, 2, application_name='jobs'):
        report = server.examine()
    assert report.grade('connections') == 'ok'
    facts = report.facts['connections']
    assert (facts['max'], facts['reserved'], facts['used']) == (MAX, RESERVED, 7)
    assert facts['free'] == MAX - RESERVED - 7
    assert facts['used_by_role'] == facts['used_by_database'] == 7
    used = {row['application_name']: row['connections'] for row in report.facts['used_by']}
    assert used == {'web': 4, 'jobs': 2, 'tine doctor': 1}
    assert any("4 of user app, application 'web'" in line for line in report.json['summary'])


def test_three_connections_left(server):
    with connections(server, MAX - RESERVED - 4):
        report = server.examine()
        assert report.grade('connections-low') == 'hazard'
        assert report.facts['connections']['free'] == 3
    with connections(server, MAX - RESERVED - 5):
        assert server.examine().grade('connections') == 'ok'


def test_no_connection_left(server):
    with connections(server, MAX - RESERVED):
        report = server.examine()
    found = report.finding('connections-exhausted')
    assert found['grade'] == 'hazard' and found['data']['sqlstate'] == '53300'
    assert 'pg_stat_activity' in found['change']


@pytest.mark.parametrize('what', ['role', 'database'])
def test_a_limit_of_its_own(server, what):
    server.admin_sql('alter %s app connection limit 5' % what)
    try:
        with connections(server, 2):
            report = server.examine()
    finally:
        server.admin_sql('alter %s app connection limit -1' % what)
    found = report.finding('connections-low')
    assert 'the %s\'s CONNECTION LIMIT' % what in found['seen'] and '2 of 5' in found['seen']
    assert report.facts['connections']['%s_limit' % what] == 5


def test_a_budget(server):
    report = server.examine('--budget', MAX - RESERVED + 1)
    assert report.grade('budget-above-limit') == 'warning'
    assert 'budget-above-limit' not in server.examine('--budget', MAX - RESERVED).codes()


def test_sessions_idle_in_a_transaction(server):
    """A minute is not waited for: the server's clock of the session is what is asked."""
    with connections(server, 1) as (conn,):
        conn.cursor().execute('select 1')
        report = server.examine()
        assert 'idle-transactions' not in report.codes()
        row = next(row for row in report.facts['used_by']
                   if row['application_name'] != 'tine doctor')
        assert row['idle_in_transaction'] == 1


# ---- times ---------------------------------------------------------------------------------------

def test_no_timeouts(server):
    report = server.examine()
    assert report.grade('timeouts') == 'ok'
    assert not [code for code in report.codes() if code.endswith('-timeout')]


@pytest.mark.parametrize('setting, code, grade', [
    ('idle_session_timeout', 'idle-session-timeout', 'warning'),
    ('idle_in_transaction_session_timeout', 'idle-transaction-timeout', 'note'),
    ('statement_timeout', 'statement-timeout', 'note')])
def test_timeouts(server, setting, code, grade):
    server.admin_sql("alter role app set %s = '50s'" % setting)
    try:
        report = server.examine()
    finally:
        server.admin_sql('alter role app reset %s' % setting)
    found = report.finding(code)
    assert found['grade'] == grade and '50.0 s' in found['seen']
    assert report.facts['settings'][setting] == 50000
    assert 'timeouts' not in report.codes()
    if grade == 'warning':
        assert found['lines'] == ['create_engine(..., pool_recycle=40, pool_pre_ping=True)']


def test_keepalives_of_the_server(server):
    with server.set(tcp_keepalives_idle=60):
        assert 'server-keepalives-late' not in server.examine().codes()
    assert server.examine().grade('server-keepalives-late') == 'note'


def test_what_the_connection_string_leaves_out(server):
    codes = {'connect-timeout-missing', 'send-timeout-missing', 'keepalives-late'}
    report = server.examine()
    for code in codes:
        # a warning when it goes over a network
        assert report.grade(code) == 'note'
    lines = ' '.join(line for code in codes for line in report.finding(code)['lines'])
    again = server.examine(**dict(word.split('=') for word in lines.split()))
    assert not codes & again.codes()
    assert server.examine(keepalives=0).finding('keepalives-late')['seen'].startswith('keepalives')


# ---- roles ---------------------------------------------------------------------------------------

@pytest.fixture(scope='module')
def standby(server):
    with Standby(server) as copy:
        wait_until(lambda: copy.admin_sql("select 1 from pg_roles where rolname = 'app'"))
        yield copy


def both(*servers, **extra):
    """A connection string with several hosts."""
    return servers[0].conninfo(host=','.join(server.host for server in servers),
                               port=','.join(str(server.port) for server in servers), **extra)


def roles(report):
    return [(host['in_recovery'], host['read_only']) for host in report.facts['hosts']]


def test_a_primary(server):
    report = server.examine(target_session_attrs='read-write')
    assert report.grade('role') == 'ok' and roles(report) == [('no', 'no')]


def test_a_standby(standby):
    report = examine(standby.conninfo())
    assert report.grade('standby') == 'note' and roles(report) == [('yes', 'yes')]
    report = examine(standby.conninfo(target_session_attrs='standby'))
    assert report.grade('role') == 'ok'
    report = examine(standby.conninfo(target_session_attrs='read-write'))
    assert report.grade('role-unsuitable') == 'hazard'


def test_several_hosts(server, standby):
    report = examine(both(standby, server))
    assert roles(report) == [('yes', 'yes'), ('no', 'no')]
    assert report.grade('roles-mixed') == 'warning'
    assert report.finding('role-other')['where'].endswith(':%d' % server.port)
    assert 'role-other' not in server.examine().codes()
    report = examine(both(standby, server, target_session_attrs='read-write'))
    assert 'roles-mixed' not in report.codes()
    assert report.finding('role')['where'].endswith(':%d' % server.port)
    assert report.finding('role-other')['where'].endswith(':%d' % standby.port)
    report = examine(both(server, standby, target_session_attrs='prefer-standby'))
    assert report.finding('role')['where'].endswith(':%d' % standby.port)


def test_one_of_two_hosts_is_gone(server, standby):
    gone = Standby(server)
    gone.port = 1
    report = examine(both(gone, standby))
    assert report.grade('host-unreachable') == 'hazard' and report.grade('standby') == 'note'
    assert '1 of 2 hosts let us in' in report.json['summary'][0]


def test_read_only(server):
    server.admin_sql('alter role app set default_transaction_read_only = on')
    try:
        assert server.examine().grade('read-only') == 'warning'
    finally:
        server.admin_sql('alter role app reset default_transaction_read_only')
    assert 'read-only' not in server.examine().codes()


def test_two_primaries(server):
    with Standby(server) as copy:
        assert 'several-primaries' not in examine(both(server, copy)).codes()
        copy.promote()
        assert examine(both(server, copy)).grade('several-primaries') == 'hazard'
    # two names of one server are not two
    assert 'several-primaries' not in examine(both(server, server)).codes()
