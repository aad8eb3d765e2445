# SPDX-License-Identifier: PostgreSQL
"""Connections held by several processes: each way of sharing is found and told from the others."""
import os
import re

import pytest

from doctor.livetools import doctor, doctor_text, holder, holders_of, inode_of
from support import procs

SHARED = {'shared-connection', 'shared-connection-active', 'orphaned-connection',
          'leaked-connection'}


@pytest.fixture(params=['tls', 'plain', 'unix'])
def transport(request):
    return request.param


def check_connections(found, said):
    """The right sockets, the right processes, the right ends."""
    assert sorted(connection['server_process'] for connection in found) == sorted(said['backends'])
    assert {connection['inode'] for connection in found} == {
        inode_of(said['children'][0], fd) for fd in said['fds']}
    for connection in found:
        assert connection['direction'] == 'outgoing'
        assert {fd for one in connection['holders'] for fd in one['fds']} <= set(said['fds'])


def test_a_connection_of_one_process_is_nothing(cluster, transport):
    with holder('sole', cluster.conninfo(transport)) as (proc, said):
        result = doctor('--pid', proc.pid)
        assert (result.status, result.codes) == (0, [])
        assert len(result.live['connections']) == len(said['fds']) == 2
        assert {one['sharing'] for one in result.live['connections']} == {'none'}


def test_children_that_hold_it(cluster, transport):
    with holder('latent', cluster.conninfo(transport)) as (proc, said):
        result = doctor('--pid', proc.pid)
        assert (result.status, result.codes) == (1, ['shared-connection'])
        found = result.connections('shared-connection')
        check_connections(found, said)
        for connection in found:
            assert connection['sharing'] == 'latent'
            assert connection['opener'] == proc.pid == said['opener']
            assert holders_of(connection) == {
                proc.pid: 'opener', **{pid: 'copy' for pid in said['children']}}
            assert 0 <= connection['age_s'] < 60
        line = result.find('shared-connection')['lines'][0]
        assert line.startswith('tine run -- /usr/bin/python3 ') and line.endswith(' latent')


def test_children_under_tine_hold_nothing(cluster, transport):
    with holder('latent', cluster.conninfo(transport), procs.tine_command()) as (proc, said):
        result = doctor('--pid', proc.pid)
        assert (result.status, result.codes) == (0, [])
        assert {one['guard'] for one in result.live['processes']} == {'live'}
        assert len(result.live['processes']) == 1 + len(said['children'])
        text = doctor_text('--pid', proc.pid)
        assert text.stdout.endswith('\nok: nothing found\n') and text.returncode == 0


@pytest.mark.parametrize('transport', ['tls', 'plain'])
def test_a_child_that_used_it(cluster, transport):
    with holder('active', cluster.conninfo(transport)) as (proc, said):
        result = doctor('--pid', proc.pid)
        assert result.status == 1
        assert result.codes == ['shared-connection', 'shared-connection-active']
        connection, = result.connections('shared-connection-active')
        assert connection['sharing'] == 'active'
        assert connection['server_process'] == said['backends'][0]
        other, = result.connections('shared-connection')
        assert other['server_process'] == said['backends'][1]


def test_a_child_that_waits_on_it(cluster, transport):
    """Also without the kernel's word of traffic, which there is none of for unix sockets."""
    with holder('waiting', cluster.conninfo(transport), connections=1) as (proc, said):
        result = procs.wait_until(lambda: in_use(proc.pid), what='the query of the child')
        finding = result.find('shared-connection-active')
        if os.geteuid() == 0 or transport == 'unix':
            assert 'pid %d is using it' % said['children'][0] in finding['details'][0]


def in_use(pid):
    result = doctor('--pid', pid)
    return result if result.codes == ['shared-connection-active'] else None


@pytest.mark.parametrize('children', [1, 3])
def test_what_an_opener_leaves_behind(cluster, transport, children):
    """One child as well: the session is older than the only process that holds it."""
    with holder('orphaned', cluster.conninfo(transport), children=children) as (_, said):
        result = doctor('--pid', said['children'][0])
        assert (result.status, result.codes) == (1, ['orphaned-connection'])
        found = result.connections('orphaned-connection')
        check_connections(found, said)
        for connection in found:
            assert connection['opener'] is None
            assert set(holders_of(connection)) == set(said['children'])
        assert 'orphaned-connection' in doctor('--all').codes
        # It is true that the server keeps them.
        rows = cluster.admin_sql('select pid from pg_stat_activity where pid = any(%s)',
                                 params=(said['backends'],))
        assert {pid for pid, in rows} == set(said['backends'])


def test_an_opener_that_ended_under_tine(cluster):
    """The children hold dead ends, and the server is rid of the sessions."""
    with holder('orphaned', cluster.conninfo('tls'), procs.tine_command()) as (_, said):
        result = doctor('--pid', said['children'][0])
        assert (result.status, SHARED & set(result.codes)) == (0, set())
        procs.wait_until(lambda: not cluster.admin_sql(
            'select 1 from pg_stat_activity where pid = any(%s)', params=(said['backends'],)),
            what='the end of the sessions')


def test_another_program_that_holds_it(cluster, transport):
    with holder('program', cluster.conninfo(transport)) as (proc, said):
        result = doctor('--pid', proc.pid)
        assert (result.status, result.codes) == (1, ['leaked-connection'])
        for connection in result.connections('leaked-connection'):
            assert holders_of(connection) == {proc.pid: 'opener', said['children'][0]: 'program'}


def test_programs_that_are_being_started_are_nothing(cluster):
    """Between fork and exec a child holds everything for a moment."""
    with holder('starting', cluster.conninfo('tls')) as (proc, _):
        for _ in range(8):
            result = doctor('--pid', proc.pid)
            assert SHARED & set(result.codes) == set(), result.stdout


def test_a_process_that_is_not_in_the_tree_counts_as_holder(cluster):
    with holder('latent', cluster.conninfo('tls')) as (proc, said):
        found = doctor('--pid', said['children'][0]).connections('shared-connection')
        for connection in found:
            assert set(holders_of(connection)) == {proc.pid, *said['children']}


def test_the_server_itself_is_nothing(cluster):
    with holder('sole', cluster.conninfo('tls')):
        postmaster = cluster.admin_sql("select pg_backend_pid()") and int(
            open(os.path.join(cluster.data, 'postmaster.pid'), encoding='ascii').readline())
        result = doctor('--pid', postmaster)
        assert (result.status, result.codes) == (0, [])
        assert result.live['connections'] == []


# ---- with a connection string ------------------------------------------------------------------

@pytest.mark.parametrize('transport,tls', [('tls12', 'TLSv1.2'), ('tls13', 'TLSv1.3'),
                                           ('plain', ''), ('unix', '')])
def test_what_the_server_knows(cluster, transport, tls):
    with holder('latent', cluster.conninfo(transport)) as (proc, said):
        result = doctor('--pid', proc.pid, cluster.conninfo('unix'))
        found = result.connections('shared-connection')
        assert sorted(one['backend']['pid'] for one in found) == sorted(said['backends'])
        for connection in found:
            backend = connection['backend']
            assert (backend['state'], backend['user'], backend['tls']) == ('idle', 'app', tls)
            assert backend['transaction_s'] is None
        assert 'no TLS' in result.stdout or tls
        assert result.live['server']['connections'] == 197  # 200 less 3
        assert cluster.password not in result.stdout + result.stderr


def test_a_transaction_that_is_open(cluster):
    with holder('transaction', cluster.conninfo('tls')) as (proc, said):
        result = doctor('--pid', proc.pid, cluster.url('tls'))
        for connection in result.connections('shared-connection'):
            assert connection['backend']['pid'] in said['backends']
            assert connection['backend']['state'] == 'idle in transaction'
            assert 0 < connection['backend']['transaction_s'] < 60
        details = result.find('shared-connection')['details']
        assert all(re.search(r'idle in transaction, in a transaction for \d+\.\d s', line)
                   for line in details)


def test_a_server_that_cannot_be_asked(cluster):
    """What the processes show is reported all the same."""
    conninfo = 'host=127.0.0.1 port=%d user=app password=hush connect_timeout=2' % procs.free_port()
    with holder('latent', cluster.conninfo('tls')) as (proc, _):
        result = doctor('--pid', proc.pid, conninfo)
        assert result.codes == ['server-not-asked', 'shared-connection']
        assert 'refused' in result.stderr and 'hush' not in result.stderr + result.stdout


def test_a_role_that_may_not_see_them(cluster):
    cluster.admin_sql('create role blind; grant blind to app')
    try:
        with holder('sole', cluster.conninfo('tls')) as (proc, _):
            seeing = doctor('--pid', proc.pid, cluster.conninfo('tls'))
            assert (seeing.status, seeing.codes) == (0, [])
            blind = doctor('--pid', proc.pid, cluster.conninfo('tls', options='-c role=blind'))
            assert (blind.status, blind.codes) == (0, ['backend-not-found'])
    finally:
        cluster.admin_sql('drop role blind')
