# SPDX-License-Identifier: PostgreSQL
"""A pool whose host has no address, or more than one, and a process without descriptors: F40, F46,
F47."""
import os
import resource
import socket

import pytest

from helpers import MARGIN, Thread, Timed, fill, in_child, pool_through
from support import procs
from support.libtine import Error, Pool, Status
from support.procs import wait_until

# Reserved: no resolver knows it.
NO_SUCH_NAME = 'database.tine.invalid'


def hosts(proxy, *places, **extra):
    """conninfo with several places, (host, port) each."""
    return proxy.conninfo('tls', host=','.join(host for host, _ in places),
                          port=','.join(str(port) for _, port in places), **extra)


def place(proxy):
    return (proxy.host, proxy.port)


def port_used(pool):
    with pool.acquire() as conn:
        return conn.pg.port


# ---- F46: names ----------------------------------------------------------------------------------

def test_f46_making_a_pool_looks_up_nothing(proxy):
    """F46: a name that does not resolve is no error before the first acquire."""
    with Pool(proxy.conninfo('tls', host=NO_SUCH_NAME)) as pool:
        assert pool.status()['open_failed'] == 0
        assert pool.status()['open'] == 0


def test_f46_a_name_that_does_not_resolve(proxy):
    """F46: the error names the host; nothing reached a server, and no place is lost."""
    with Pool(proxy.conninfo('tls', host=NO_SUCH_NAME), pool_size=2, max_overflow=0) as pool:
        for _ in range(5):
            with pytest.raises(Error) as failed:
                pool.acquire(10_000)
            assert failed.value.status == Status.E_CONNECT
            assert NO_SUCH_NAME in failed.value.text
        status = pool.status()
        assert (status['open'], status['connecting'], status['waiting']) == (0, 0, 0)
        assert status['last_error'].status == Status.E_CONNECT
    assert proxy.stat()['accepted'] == 0


def test_f46_the_password_is_not_in_the_error(proxy):
    """F46: not even when all of the conninfo is wrong."""
    with Pool(proxy.conninfo('tls', host=NO_SUCH_NAME)) as pool:
        with pytest.raises(Error) as failed:
            pool.acquire()
        assert proxy.server.password not in failed.value.text


def test_f46_the_next_host_has_an_address(proxy):
    """F46: of two names one that resolves is enough."""
    with Pool(hosts(proxy, (NO_SUCH_NAME, 5432), place(proxy))) as pool:
        assert len(fill(pool, 2)) == 2
        assert port_used(pool) == proxy.port


def test_f46_other_waiters_are_served(proxy):
    """F46: while one acquire fails to connect, what is returned goes to the others."""
    with pool_through(proxy, pool_size=1, max_overflow=1) as pool:
        held = pool.acquire()
        proxy.refuse()
        waiting = [Thread(lambda: pool.query('select 1', 20_000)) for _ in range(3)]
        wait_until(lambda: pool.status()['open_failed'] >= 1, 30)
        held.release()
        for thread in waiting:
            assert thread.end() == [('1',)]


def test_f46_hosts_of_the_environment(proxy, monkeypatch):
    """F46: PGHOST and PGPORT are used as libpq uses them, lists too."""
    monkeypatch.setenv('PGHOST', '%s,%s' % (NO_SUCH_NAME, proxy.host))
    monkeypatch.setenv('PGPORT', '5432,%d' % proxy.port)
    params = proxy.params('tls')
    conninfo = ' '.join("%s='%s'" % (name, value) for name, value in params.items()
                        if name not in ('host', 'port'))
    with Pool(conninfo) as pool:
        assert port_used(pool) == proxy.port
    assert proxy.stat()['accepted'] == 1


def test_f46_hostaddr_needs_no_name(proxy):
    """F46: with hostaddr the name is for the certificate alone."""
    info = proxy.conninfo('tls', host=NO_SUCH_NAME, hostaddr=proxy.host)
    with Pool(info) as pool:
        assert port_used(pool) == proxy.port


# ---- F40: of several hosts the first is dead -----------------------------------------------------

def test_f40_the_first_host_refuses(proxy):
    """F40: a refusal costs nothing."""
    with Pool(hosts(proxy, (proxy.host, procs.free_port()), place(proxy))) as pool:
        with Timed() as timed:
            assert port_used(pool) == proxy.port
        assert timed.seconds < MARGIN


def test_f40_the_first_host_is_silent(proxy):
    """F40: connect_timeout is for each address; the second one is reached after one of it."""
    with socket.create_server(('127.0.0.1', 0)) as mute:
        info = hosts(proxy, mute.getsockname(), place(proxy))
        with Pool(info, connect_timeout_ms=700) as pool:
            with Timed() as timed:
                assert port_used(pool) == proxy.port
            assert 0.65 < timed.seconds < 0.7 + MARGIN


def test_f40_all_hosts_are_silent(proxy):
    """F40: three addresses, three timeouts, one error."""
    with socket.create_server(('127.0.0.1', 0)) as mute:
        info = hosts(proxy, *[mute.getsockname()] * 3)
        with Pool(info, connect_timeout_ms=400) as pool:
            with Timed() as timed, pytest.raises(Error) as failed:
                pool.acquire()
            assert failed.value.status == Status.E_CONNECT_TIMEOUT
            assert 3 * 0.39 < timed.seconds < 3 * 0.4 + MARGIN


def test_f40_no_host_is_a_standby(proxy):
    """F40: servers that answer but are not what is wanted: TINE_E_ROLE, and soon."""
    info = hosts(proxy, place(proxy), place(proxy), target_session_attrs='standby')
    with Pool(info) as pool:
        with Timed() as timed, pytest.raises(Error) as failed:
            pool.acquire()
        assert failed.value.status == Status.E_ROLE
        assert timed.seconds < MARGIN
    assert proxy.stat()['accepted'] == 2


# ---- F47: descriptors ----------------------------------------------------------------------------

def lowest_free_fd():
    fd = os.dup(2)
    os.close(fd)
    return fd


def may_have_descriptors(count):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return hard == resource.RLIM_INFINITY or hard >= count


def fill_descriptors_up_to(count):
    """Open descriptors until the next one would be at least count."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 200), hard))
    while os.dup(2) < count:
        pass


def no_descriptor_left(pool):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = pool.acquire()
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free_fd(), hard))
    for _ in range(5):
        with pytest.raises(Error) as failed:
            pool.acquire(300)
        assert failed.value.status not in (Status.E_NOMEM, Status.E_INVALID), failed.value
    assert held.value('select 1') == '1'
    status = pool.status()
    assert (status['open'], status['busy'], status['connecting']) == (1, 1, 0)
    held.release()
    # What is open is looked at, pinged and handed out without a new descriptor.
    assert pool.query('select 1') == [('1',)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    wait_until(lambda: len(fill(pool, 3)) == 3, 30)


def test_f47_no_descriptor_left(proxy):
    """F47: the connect fails, its place is free again, what is open goes on, and after it all is
    well."""
    def child():
        with pool_through(proxy, ping='always') as pool:
            no_descriptor_left(pool)
    in_child(child)


def test_f47_the_error_names_the_shortage(proxy):
    """F47: an acquire that needs a first connection says that there is no descriptor."""
    def child():
        with pool_through(proxy) as pool:
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free_fd(), hard))
            with pytest.raises(Error) as failed:
                pool.acquire(1000)
            assert 'open files' in failed.value.text, failed.value
            assert failed.value.status == Status.E_SYSTEM, failed.value
    in_child(child)


def end_is_noticed(pool):
    """A dead connection with a high number is noticed as any other."""
    with pool.acquire() as conn:
        with socket.socket(fileno=os.dup(conn.pg.socket)) as sock:
            sock.shutdown(socket.SHUT_RDWR)
    assert pool.query('select 1') == [('1',)]
    assert pool.status()['closed']['dead'] == 1


def test_f47_descriptors_above_1024(proxy):
    """F47: nothing in the library is bound to the size of an fd_set."""
    def child():
        fill_descriptors_up_to(1100)
        with pool_through(proxy, ping='always') as pool:
            held = pool.acquire()
            assert held.pg.socket >= 1100
            waiting = [Thread(lambda: pool.query('select 1')) for _ in range(6)]
            for thread in waiting:
                assert thread.end() == [('1',)]
            held.release()
            with pool.acquire_start() as acquire:
                assert acquire.fd >= 1100
                with acquire.wait() as conn:
                    assert conn.query('select 1') == [('1',)]
            fill(pool, 4)
            end_is_noticed(pool)
    if not may_have_descriptors(1300):
        pytest.skip('RLIMIT_NOFILE cannot be raised to 1300')
    in_child(child)
