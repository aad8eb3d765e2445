# SPDX-License-Identifier: PostgreSQL
"""Logins that fail: passwords, pg_hba.conf, databases, and servers that are full."""
import contextlib
import os
import stat
import time

import psycopg2
import pytest

from pooltools import MARGIN, Timed, in_child, sessions
from support.libtine import Error, Pool, Status
from support.procs import wait_until

MAX_CONNECTIONS = 20

SERVER = {'max_connections': MAX_CONNECTIONS}


@pytest.fixture
def pool(server):
    with Pool(server.conninfo('tls'), pool_size=4, max_overflow=0) as pool:
        yield pool


@pytest.fixture(autouse=True)
def alone(server):
    """Sessions of an earlier test may still be about to end."""
    wait_until(lambda: not sessions(server), what='the end of the sessions')


def fails(status, fn, *args):
    with pytest.raises(Error) as caught:
        fn(*args)
    assert caught.value.status == status, caught.value
    return caught.value


def attempts(server, what):
    return server.log_text().count(what)


def hammer(pool, status, seconds=0.5):
    """Ask again and again, as requests do: how often."""
    number, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        fails(status, pool.acquire)
        number += 1
    return number


@contextlib.contextmanager
def hba(server, line):
    """One more line on top of pg_hba.conf."""
    path = os.path.join(server.data, 'pg_hba.conf')
    with open(path, encoding='ascii') as file:
        before = file.read()

    def write(content):
        loaded = server.admin_sql('select pg_conf_load_time()', 'postgres')
        with open(path, 'w', encoding='ascii') as file:
            file.write(content)
        server.admin_sql('select pg_reload_conf()', 'postgres')
        wait_until(lambda: server.admin_sql('select pg_conf_load_time()', 'postgres') != loaded)
    write(line + '\n' + before)
    try:
        yield
    finally:
        write(before)


# ---- F35: who are you ----------------------------------------------------------------------------

@pytest.mark.parametrize('retry', [False, True])
def test_f35_a_wrong_password(server, retry):
    """F35: 28P01 at once, whatever connect_retry says, and no hammering."""
    said = 'password authentication failed'
    before = attempts(server, said)
    with Pool(server.conninfo('tls', password='wrong'), connect_retry=retry) as pool:
        with Timed() as timed:
            error = fails(Status.E_AUTH, pool.acquire)
        assert timed.seconds < MARGIN
        assert error.sqlstate == '28P01'
        assert 'wrong' not in error.text
        asked = hammer(pool, Status.E_AUTH)
    tried = attempts(server, said) - before
    assert asked > 100
    assert 1 <= tried <= 5


def test_f35_refused_by_pg_hba(server):
    """F35: 28000, with the server's own words."""
    with hba(server, 'hostssl app app 127.0.0.1/32 reject'):
        with Pool(server.conninfo('tls')) as pool:
            error = fails(Status.E_AUTH, pool.acquire)
            assert error.sqlstate == '28000'
            assert 'pg_hba.conf rejects connection' in error.text


def test_f35_no_privilege_to_connect(server):
    """F35: 42501, and a role that may not log in, 28000."""
    server.admin_sql('revoke connect on database app from public', 'postgres')
    server.admin_sql('create role guest login password %s', 'postgres', ('secret',))
    hba_line = 'hostssl all guest 127.0.0.1/32 scram-sha-256'
    try:
        with hba(server, hba_line):
            with Pool(server.conninfo('tls', user='guest', password='secret')) as pool:
                assert fails(Status.E_AUTH, pool.acquire).sqlstate == '42501'
            server.admin_sql('alter role guest nologin', 'postgres')
            with Pool(server.conninfo('tls', user='guest', password='secret')) as pool:
                assert fails(Status.E_AUTH, pool.acquire).sqlstate == '28000'
    finally:
        server.admin_sql('drop role guest', 'postgres')
        server.admin_sql('grant connect on database app to public', 'postgres')


def passfile(path, server, password):
    path.write_text('%s:%d:*:app:%s\n' % (server.host, server.port, password))
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)


def test_f35_password_rotated(server, tmp_path):
    """F35: old sessions go on, a new one needs the new password, which is read from the file."""
    path = tmp_path / 'pgpass'
    passfile(path, server, server.password)
    conninfo = server.conninfo('tls', password='', passfile=path)
    with Pool(conninfo, pool_size=2, max_overflow=0) as pool:
        try:
            with pool.acquire() as old:
                server.admin_sql('alter role app password %s', 'postgres', ('rotated',))
                assert old.value('select 1') == '1'
                # one is out, so this one waits for it rather than fail
                fails(Status.E_AUTH, pool.acquire, 1000)
                assert old.value('select 1') == '1'
            assert pool.query('select 1') == [('1',)]
            passfile(path, server, 'rotated')
            with pool.acquire():
                wait_until(lambda: answers(pool), 5 + MARGIN)
                assert pool.status()['open'] == 2
        finally:
            server.admin_sql('alter role app password %s', 'postgres', (server.password,))


def answers(pool):
    with contextlib.suppress(Error):
        return pool.query('select 1', 500) == [('1',)]


def test_f35_in_a_tree_of_processes(server):
    """F35: each process of a few finds out for itself, once in a while."""
    said = 'password authentication failed'
    before = attempts(server, said)
    with Pool(server.conninfo('tls', password='wrong')) as pool:
        for _ in range(4):
            in_child(hammer, pool, Status.E_AUTH, 0.2)
    assert attempts(server, said) - before <= 4 * 4


# ---- F36, F37: no room ---------------------------------------------------------------------------

@contextlib.contextmanager
def crowd(server, count):
    """So many foreign sessions."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.callback(psycopg2.connect(server.conninfo('unix')).close)
        yield


def fill_the_server(stack, server):
    """Foreign sessions until there is no place left."""
    while True:
        try:
            conn = psycopg2.connect(server.conninfo('unix'))
        except psycopg2.OperationalError:
            return
        stack.callback(conn.close)


def test_f36_the_server_is_full(server, pool):
    """F36: 53300 when there is nothing to go on with; those that exist go on."""
    with contextlib.ExitStack() as foreign:
        with pool.acquire() as first:
            fill_the_server(foreign, server)
            # first is out: the pool waits for it
            error = fails(Status.E_TOO_MANY, pool.acquire, 1000)
            assert error.sqlstate == '53300'
            assert first.value('select 1') == '1'
        for _ in range(50):
            assert pool.query('select 1', 10000) == [('1',)]
        with Pool(server.conninfo('tls')) as other:
            error = fails(Status.E_TOO_MANY, other.acquire)
            assert error.sqlstate == '53300'
            asked = hammer(other, Status.E_TOO_MANY)
            assert other.status()['open_failed'] < 10 < asked
    wait_until(lambda: len(fill(pool, 4)) == 4, 5 + MARGIN)


def fill(pool, count):
    with contextlib.ExitStack() as stack:
        conns = [stack.enter_context(pool.acquire(5000)) for _ in range(count)]
        return {conn.pg.backend_pid for conn in conns}


def test_f36_waiting_for_room(server):
    """F36: with connect_retry an acquire waits until a place is free."""
    with contextlib.ExitStack() as foreign:
        fill_the_server(foreign, server)
        with Pool(server.conninfo('tls'), connect_retry=True) as pool:
            fails(Status.E_TOO_MANY, pool.acquire, 1000)
            foreign.close()
            assert pool.query('select 1', 10000) == [('1',)]


@pytest.mark.parametrize('limited', ['role app', 'database app'])
def test_f37_a_limit_of_role_or_database(server, pool, limited):
    """F37: the pool serves four users with the two connections it can have."""
    server.admin_sql('alter %s connection limit 2' % limited, 'postgres')
    try:
        assert len(fill(pool, 2)) == 2
        with pool.acquire(), pool.acquire():
            assert fails(Status.E_TOO_MANY, pool.acquire, 1000).sqlstate == '53300'
        for _ in range(20):
            with pool.acquire(10000), pool.acquire(10000):
                pass
        assert pool.status()['open'] == 2
    finally:
        server.admin_sql('alter %s connection limit -1' % limited, 'postgres')
    wait_until(lambda: fill_or_not(pool), 5 + MARGIN)


def fill_or_not(pool):
    with contextlib.suppress(Error):
        return len(fill(pool, 4)) == 4


def test_f37_reserved_slots(server):
    """F37: what is reserved for the superuser is not for others: 53300 before all are taken."""
    reserved = int(server.admin_sql('show superuser_reserved_connections')[0][0])
    with crowd(server, MAX_CONNECTIONS - reserved):
        with Pool(server.conninfo('tls')) as pool:
            assert fails(Status.E_TOO_MANY, pool.acquire).sqlstate == '53300'
        assert server.admin_sql('select 1') == [(1,)]


# ---- F38: permanent and passing ------------------------------------------------------------------

@pytest.mark.parametrize('retry', [False, True])
def test_f38_no_such_database(server, retry):
    """F38: 3D000 is permanent: at once, also with connect_retry."""
    with Pool(server.conninfo('tls', dbname='nowhere'), connect_retry=retry) as pool:
        with Timed() as timed:
            error = fails(Status.E_NO_DATABASE, pool.acquire)
        assert timed.seconds < MARGIN
        assert error.sqlstate == '3D000'
        assert 'nowhere' in error.text


def test_f38_a_database_that_comes_later(server):
    """F38: the pool goes on when there is one."""
    with Pool(server.conninfo('tls', dbname='later')) as pool:
        fails(Status.E_NO_DATABASE, pool.acquire)
        server.admin_sql('create database later', 'postgres')
        try:
            wait_until(lambda: answers(pool), 10 + MARGIN)
        finally:
            pool.free()
            server.admin_sql('drop database later with (force)', 'postgres')
