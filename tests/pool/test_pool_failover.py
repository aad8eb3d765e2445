# SPDX-License-Identifier: PostgreSQL
"""Several hosts: roles that change under open connections, hosts that are dead or mute."""
import contextlib
import socket

import pytest

from pooltools import MARGIN, Thread, Timed, grow_old, in_child, table
from standby import Standby
from support import procs
from support.libpq import PgError
from support.libtine import Error, Pool, Status
from support.procs import wait_until

CONNECT_TIMEOUT_MS = 500


@pytest.fixture(scope='module')
def standby(server):
    with Standby(server) as cluster:
        yield cluster


def conninfo(servers, attrs='any', **extra):
    """One conninfo for several servers, ports without a server included."""
    clusters = [place for place in servers if not isinstance(place, int)]
    ports = [place if isinstance(place, int) else place.port for place in servers]
    return clusters[0].conninfo('tls', host=','.join(['127.0.0.1'] * len(ports)),
                                port=','.join(map(str, ports)), target_session_attrs=attrs, **extra)


def pool_on(servers, attrs='any', **options):
    return Pool(conninfo(servers, attrs), **{
        'pool_size': 3, 'max_overflow': 0, 'connect_timeout_ms': CONNECT_TIMEOUT_MS, **options})


def ports(pool, count=3):
    """Where the connections go that count users have, and use, at the same time."""
    with contextlib.ExitStack() as stack:
        conns = [stack.enter_context(pool.acquire()) for _ in range(count)]
        assert {conn.value('select 1') for conn in conns} == {'1'}
        return {conn.pg.port for conn in conns}


def fails(status, fn, *args):
    with pytest.raises(Error) as caught:
        fn(*args)
    assert caught.value.status == status, caught.value
    return caught.value


@contextlib.contextmanager
def read_only(server):
    """As operators do before a switch-over: new transactions cannot write."""
    set_read_only(server, 'on')
    try:
        yield
    finally:
        set_read_only(server, 'off')


def set_read_only(server, value):
    loaded = server.admin_sql('select pg_conf_load_time()')
    server.admin_sql('alter system set default_transaction_read_only = %s' % value)
    server.admin_sql('select pg_reload_conf()')
    wait_until(lambda: server.admin_sql('select pg_conf_load_time()') != loaded)
    wait_until(lambda: server.admin_sql('show default_transaction_read_only') == [(value,)])


# ---- which host ----------------------------------------------------------------------------------

@pytest.mark.parametrize('attrs, wanted', [
    ('any', 'first'), ('read-write', 'server'), ('primary', 'server'), ('read-only', 'standby'),
    ('standby', 'standby'), ('prefer-standby', 'standby')])
@pytest.mark.parametrize('order', ['server first', 'standby first'])
def test_f39_target_session_attrs(server, standby, attrs, wanted, order):
    """F39: as libpq has it, in either order."""
    servers = [server, standby] if order == 'server first' else [standby, server]
    expected = {'first': servers[0], 'server': server, 'standby': standby}[wanted]
    with pool_on(servers, attrs) as pool:
        assert ports(pool, 2) == {expected.port}


def test_f40_prefer_standby_without_one(server):
    """F40: then the primary will do, after all hosts were asked once."""
    with pool_on([server, server], 'prefer-standby') as pool:
        assert ports(pool) == {server.port}


def test_f40_all_hosts_are_standbys(server, standby):
    """F40: TINE_E_ROLE, at once; and with connect_retry until the deadline, since it may change."""
    with pool_on([standby, standby], 'primary') as pool:
        with Timed() as timed:
            error = fails(Status.E_ROLE, pool.acquire)
        assert timed.seconds < MARGIN
        assert str(standby.port) in error.text
    with pool_on([standby], 'read-write', connect_retry=True) as pool:
        with Timed() as timed:
            fails(Status.E_ROLE, pool.acquire, 1000)
        assert 0.95 < timed.seconds < 1 + MARGIN


def test_f40_the_first_host_refuses(server):
    """F40: the second one is taken at once."""
    with pool_on([procs.free_port(), server]) as pool:
        with Timed() as timed:
            assert ports(pool) == {server.port}
        assert timed.seconds < MARGIN


def test_f40_hosts_that_are_mute(server):
    """F40: each address costs connect_timeout_ms, not more."""
    with socket.create_server(('127.0.0.1', 0)) as one, \
            socket.create_server(('127.0.0.1', 0)) as two:
        mute = [one.getsockname()[1], two.getsockname()[1]]
        with pool_on([*mute, server]) as pool:
            with Timed() as timed:
                assert ports(pool, 1) == {server.port}
            assert 0.9 < timed.seconds < 1 + MARGIN


def test_f40_all_hosts_are_mute(server):
    """F40: then that is the error, after the time for both."""
    with socket.create_server(('127.0.0.1', 0)) as one:
        port = one.getsockname()[1]
        info = server.conninfo('tls', host='127.0.0.1,127.0.0.1', port='%d,%d' % (port, port))
        with Pool(info, connect_timeout_ms=CONNECT_TIMEOUT_MS) as pool:
            with Timed() as timed:
                error = fails(Status.E_CONNECT_TIMEOUT, pool.acquire)
            assert 0.9 < timed.seconds < 1 + MARGIN
            assert str(CONNECT_TIMEOUT_MS) in error.text


def test_f40_names_and_a_bad_one_among_them(server):
    """F40: a host whose name does not exist is passed over."""
    info = server.conninfo('tls', host='no-such-host.invalid,localhost',
                           port='%d,%d' % (server.port, server.port))
    with Pool(info) as pool:
        assert pool.query('select 1') == [('1',)]


# ---- roles that change ---------------------------------------------------------------------------

def test_f39_read_only_error_evicts_that_connection(server):
    """F39: 25006 in a transaction that the user made read-only costs one connection, not all."""
    with table(server, 'lots', 'id int'), pool_on([server]) as pool:
        ports(pool)
        with pool.acquire() as conn:
            conn.query('begin read only')
            with pytest.raises(PgError) as caught:
                conn.query('insert into lots values (1)')
            assert caught.value.sqlstate == '25006'
        stats = pool.status()
        assert (stats['closed']['role'], stats['idle']) == (1, 2)
        ports(pool)
        assert pool.status()['opened'] == 4


def test_f39_read_only_error_of_a_standby(server, standby):
    """F39: the first write that fails on a standby has all connections looked for elsewhere."""
    with table(server, 'lots', 'id int'), pool_on([standby]) as pool:
        standby.follow()
        ports(pool)
        with pool.acquire() as conn:
            with pytest.raises(PgError) as caught:
                conn.query('insert into lots values (1)')
            assert caught.value.sqlstate == '25006'
        ports(pool)
        stats = pool.status()
        assert stats['opened'] == 6
        assert stats['closed']['role'] + stats['closed']['dead'] == 3


def evicted(pool):
    """Users who only read find nothing wrong with their connections; the pool does."""
    with contextlib.suppress(Error):
        ports(pool)
    return pool.status()['closed']['role']


@pytest.mark.parametrize('attrs', ['read-write', 'any'])
@pytest.mark.parametrize('pace', ['busy', 'now and then'])
def test_f39_a_server_becomes_read_only(server, attrs, pace):
    """F39: the server says so with the answer to the next statement (PostgreSQL 14 on), and such a
    connection is not handed out again: at once after an idle time, soon when it is busy."""
    with pool_on([server], attrs) as pool:
        ports(pool)
        with read_only(server):
            if pace == 'busy':
                wait_until(lambda: evicted(pool), 2 + MARGIN)
            else:
                ports(pool)
                grow_old()
                assert evicted(pool)
            if attrs == 'read-write':
                fails(Status.E_ROLE, pool.acquire)
        wait_until(lambda: writes(pool), 5 + MARGIN)


def writes(pool):
    with contextlib.suppress(Error):
        return pool.query('show transaction_read_only') == [('off',)]


def test_f39_failover(server):
    """F39: the old primary stays up, read-only; the standby is promoted. Every user of the pool,
    which was full of connections to the old one, ends up on the new one, and can write."""
    with Standby(server) as standby:
        with pool_on([server, standby], 'read-write') as pool, \
                pool_on([server, standby], 'standby') as readers:
            assert ports(pool) == {server.port}
            assert ports(readers) == {standby.port}
            with read_only(server):
                standby.promote()
                wait_until(lambda: ports(pool) == {standby.port}, 5 + MARGIN)
                pool.query('create table written (id int)')
                # who asked for a standby is not left with what is none any more
                wait_until(lambda: evicted(readers), 5 + MARGIN)
                fails(Status.E_ROLE, ports, readers)

                def child():
                    assert ports(pool) == {standby.port}
                in_child(child)


def test_f39_failover_under_load(server):
    """F39: users that write all the time: after the promotion each of them succeeds again, and no
    answer of the old primary comes back as a success."""
    with Standby(server) as standby:
        with pool_on([server, standby], 'read-write', connect_retry=True) as pool:
            stop, threads = [], []

            def write():
                errors = set()
                while not stop:
                    try:
                        with pool.acquire(10000) as conn:
                            conn.query('create temp table t (id int) on commit drop')
                            port = conn.pg.port
                    except PgError as err:
                        errors.add(err.sqlstate)
                        port = None
                return port, errors
            threads = [Thread(write) for _ in range(3)]
            with read_only(server):
                standby.promote()
                wait_until(lambda: ports(pool, 1) == {standby.port}, 5 + MARGIN)
                stop.append(True)
                for thread in threads:
                    _port, errors = thread.end()
                    assert errors <= {'25006'}
                assert ports(pool) == {standby.port}
