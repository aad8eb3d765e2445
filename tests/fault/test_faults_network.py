# SPDX-License-Identifier: PostgreSQL
"""A pool over TLS, and a network that fails: F24 to F32.

Each bound is the one the pool's settings promise, and helpers.MARGIN for a busy machine.
"""
import ctypes
import os
import signal
import socket
import struct

import pytest

from helpers import (MARGIN, Thread, Timed, activity, fill, grow_old, pool_through, together)
from support.libpq import Connection, Exec, PgError
from support.libtine import Error, Pool, Status
from support.procs import wait_until

SO_ATTACH_FILTER = 26


def deafen(fd):
    """Lose every packet that arrives at a socket of ours, acknowledgements too."""
    nothing = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0))
    program = struct.pack('HxxxxxxP', 1, ctypes.addressof(nothing))
    with socket.socket(fileno=os.dup(fd)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def socket_option(fd, level, option):
    with socket.socket(fileno=os.dup(fd)) as sock:
        return sock.getsockopt(level, option)


def is_gone(cluster, pid):
    return not activity(cluster, 'pid = %s', pid)


# ---- F24, F25, F30: packets are lost -------------------------------------------------------------

@pytest.mark.usefixtures('can_vanish')
def test_f24_black_hole_under_a_connection_in_use(proxy):
    """F24: the next use fails within tcp_user_timeout, and only that connection is lost."""
    with pool_through(proxy, tcp_user_timeout_ms=1000) as pool:
        with pool.acquire() as conn:
            proxy.vanish(old_only=True)
            with Timed() as timed, pytest.raises(PgError):
                conn.query('select 1')
            assert timed.seconds < 1 + MARGIN
            assert conn.pg.status == Connection.BAD
        assert pool.query('select 1') == [('1',)]
        assert pool.status()['closed']['lost'] == 1


@pytest.mark.usefixtures('can_vanish')
def test_f24_black_holes_are_replaced_in_parallel(proxy):
    """F24: four idle ones behind a black hole cost four callers one ping_timeout, not four."""
    with pool_through(proxy, ping_idle_ms=500, ping_timeout_ms=1500) as pool:
        old = fill(pool, 4)
        grow_old()
        proxy.vanish(old_only=True)
        pids, seconds = together(
            4, lambda _number: int(pool.query('select pg_backend_pid()')[0][0]))
        assert not set(pids) & set(old)
        assert seconds < 2 * 1.5
        assert pool.status()['closed']['dead'] == 4


@pytest.mark.usefixtures('can_vanish')
def test_f24_one_black_hole_tells_of_the_others(proxy):
    """F24: a caller who takes all four, one after the other, also waits once."""
    with pool_through(proxy, ping_idle_ms=500, ping_timeout_ms=1500) as pool:
        old = fill(pool, 4)
        grow_old()
        proxy.vanish(old_only=True)
        with Timed() as timed:
            new = fill(pool, 4)
        assert not set(new) & set(old)
        assert timed.seconds < 2 * 1.5


@pytest.mark.usefixtures('can_vanish')
def test_f25_black_hole_during_a_query(proxy, cluster):
    """F25: keepalives and tcp_user_timeout end the wait for an answer; without them it hangs."""
    probing = {'keepalives_idle_s': 1, 'keepalives_interval_s': 1, 'keepalives_count': 2,
               'tcp_user_timeout_ms': 2000}
    silent = {'keepalives_idle_s': 0, 'keepalives_interval_s': 0, 'keepalives_count': 0,
              'tcp_user_timeout_ms': 0}
    with pool_through(proxy, **probing) as pool, pool_through(proxy, **silent) as hanging:
        conns = [pool.acquire(), hanging.acquire()]
        asking = [Thread(lambda conn=conn: conn.query('select pg_sleep(300)')) for conn in conns]
        wait_until(lambda: len(activity(
            cluster, "state = 'active' and query = 'select pg_sleep(300)'")) == 2, 30)
        proxy.vanish(old_only=True)
        with Timed() as timed, pytest.raises(PgError):
            asking[0].end()
        assert timed.seconds < 1 + 2 + MARGIN
        assert asking[1].is_alive()
        proxy.rst()
        with pytest.raises(PgError):
            asking[1].end()
        for conn in conns:
            conn.release()
        assert pool.status()['closed']['lost'] == 1
        assert pool.query('select 1') == [('1',)]


@pytest.mark.usefixtures('can_vanish')
def test_f30_answers_vanish_under_a_connection_in_use(proxy, cluster):
    """F30: the server gets the query, its acknowledgements are lost: tcp_user_timeout again."""
    with pool_through(proxy, tcp_user_timeout_ms=1000) as pool:
        with pool.acquire() as conn:
            pid = conn.pg.backend_pid
            deafen(conn.pg.socket)
            with Timed() as timed, pytest.raises(PgError):
                conn.query("select 'heard'")
            assert timed.seconds < 1 + MARGIN
            assert activity(cluster, 'pid = %s', pid)[0][2] == "select 'heard'"
        assert pool.query('select 1') == [('1',)]
        assert pool.status()['closed']['lost'] == 1


def test_f30_answers_vanish_behind_idle_connections(proxy):
    """F30: a ping that is heard and not answered ends at ping_timeout, for all at once."""
    with pool_through(proxy, ping_idle_ms=500, ping_timeout_ms=1500) as pool:
        old = fill(pool, 4)
        grow_old()
        proxy.oneway(old_only=True)
        with Timed() as timed:
            new = fill(pool, 4)
        assert not set(new) & set(old)
        assert timed.seconds < 2 * 1.5


# ---- F26, F28: the other side has forgotten us ---------------------------------------------------

def test_f26_keepalives_are_on_by_default(proxy):
    """F26: questions begin after 20 s of silence, long before a NAT forgets a connection."""
    with pool_through(proxy) as pool, pool.acquire() as conn:
        fd = conn.pg.socket
        assert socket_option(fd, socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert socket_option(fd, socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 20
        assert socket_option(fd, socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 5
        assert socket_option(fd, socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3
        assert socket_option(fd, socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30000


def test_f26_keepalives_find_a_silent_drop(proxy):
    """F26: the answer to a keepalive is RST, which the pool sees without asking the server."""
    with pool_through(proxy, keepalives_idle_s=1, ping='never') as pool:
        fill(pool, 2)
        if proxy.drop_idle()['how'] != 'repair':
            pytest.skip('TCP_REPAIR is not permitted (CAP_NET_ADMIN)')
        closed = []
        wait_until(lambda: closed.append(pool.sweep()) or sum(closed) == 2, 30)
        assert pool.status()['closed']['dead'] == 2
        assert pool.status()['pings'] == 0


@pytest.mark.parametrize('transport', ['tls', 'plain'])
def test_f26_silent_drop_is_found_before_hand_out(proxy, transport):
    """F26: nothing shows that the connection is gone; one round trip does, and no query fails."""
    with pool_through(proxy, transport, ping_idle_ms=500) as pool:
        old = fill(pool, 3)
        grow_old()
        assert proxy.drop_idle()['links'] == 3
        with Timed() as timed:
            new = fill(pool, 3)
        assert not set(new) & set(old)
        assert timed.seconds < MARGIN
        assert pool.status()['closed']['dead'] == 3 and pool.status()['pings'] > 0


def test_f26_without_a_ping_the_dead_one_is_handed_out(proxy):
    """F26, the other way round: this is what the ping is for."""
    with pool_through(proxy, ping='never') as pool:
        fill(pool, 1)
        grow_old()
        proxy.drop_idle()
        with pool.acquire() as conn, pytest.raises(PgError):
            conn.query('select 1')


def test_f28_one_error_tells_of_all_that_are_half_open(proxy):
    """F28: the server was away and is back, its sessions are not: one query fails, the next ones
    get connections that were asked first."""
    with pool_through(proxy, ping_idle_ms=3600_000) as pool:
        old = fill(pool, 4)
        grow_old()
        proxy.drop_idle()
        with pool.acquire() as conn, pytest.raises(PgError):
            conn.query('select 1')
        new = fill(pool, 4)
        assert not set(new) & set(old)
        assert pool.status()['closed']['lost'] == 1 and pool.status()['closed']['dead'] == 3


@pytest.mark.parametrize('found_by', ['query', 'ping'])
def test_f28_the_number_of_a_lost_connection_is_not_touched(proxy, found_by):
    """F28: libpq closes the socket of a connection that it finds dead. Its number may be another
    file's by the time the pool closes the connection, and that file stays as it is."""
    taken = []
    with pool_through(proxy, ping='always' if found_by == 'ping' else 'never') as pool:
        conn = pool.acquire()
        number = conn.pg.socket

        def open_files(_event):
            # Whoever opens a file gets the lowest number that is free.
            if not taken:
                taken.extend(socket.socketpair())
        pool.on('close', open_files)
        if found_by == 'ping':
            conn.release()
            proxy.drop_idle()
            pool.acquire().release()
        else:
            proxy.drop_idle()
            with pytest.raises(PgError):
                conn.query('select 1')
            conn.release()
        ours, other = taken
        with ours, other:
            assert number in (ours.fileno(), other.fileno())
            ours.sendall(b'as it was')
            assert other.recv(100) == b'as it was'


# ---- F27: a server that accepts and says nothing -------------------------------------------------

def test_f27_accepted_then_silence(proxy):
    """F27: connect_timeout covers everything up to the first query."""
    with pool_through(proxy, connect_timeout_ms=700) as pool:
        proxy.mute_new()
        with Timed() as timed, pytest.raises(Error) as failed:
            pool.acquire()
        assert failed.value.status == Status.E_CONNECT_TIMEOUT
        assert 0.65 < timed.seconds < 0.7 + MARGIN
        proxy.pass_all()
        wait_until(lambda: pool.query('select 1') == [('1',)], 30)
        assert pool.status()['open_failed'] >= 1


def test_f27_the_acquires_own_deadline_is_kept(proxy):
    """F27: a shorter wait than connect_timeout is kept too."""
    with pool_through(proxy, connect_timeout_ms=60_000) as pool:
        proxy.mute_new()
        with Timed() as timed, pytest.raises(Error) as failed:
            pool.acquire(500)
        assert failed.value.status in (Status.E_TIMEOUT, Status.E_CONNECT_TIMEOUT)
        assert 0.45 < timed.seconds < 0.5 + MARGIN


def test_f27_what_comes_back_goes_to_who_waits_for_a_silent_server(proxy):
    """F27: who began a connect that hangs is served by the connection that is returned."""
    with pool_through(proxy, connect_timeout_ms=60_000) as pool:
        held = pool.acquire()
        proxy.mute_new()
        asking = Thread(lambda: pool.query('select 1'))
        wait_until(lambda: pool.status()['connecting'] == 1, 30)
        held.release()
        with Timed() as timed:
            assert asking.end() == [('1',)]
        assert timed.seconds < MARGIN


def test_f27_stopped_postmaster(cluster):
    """F27: the kernel accepts for a postmaster that is stopped; what is open goes on."""
    with open(os.path.join(cluster.data, 'postmaster.pid'), encoding='ascii') as file:
        postmaster = int(file.readline())
    with Pool(cluster.conninfo('tls'), pool_size=4, connect_timeout_ms=700) as pool:
        held = pool.acquire()
        os.kill(postmaster, signal.SIGSTOP)
        try:
            with Timed() as timed, pytest.raises(Error) as failed:
                pool.acquire(1500)
            assert held.value('select 1') == '1'
        finally:
            os.kill(postmaster, signal.SIGCONT)
        held.release()
        # As a connection is out that will come back, the acquire may wait for it too.
        assert failed.value.status in (Status.E_CONNECT_TIMEOUT, Status.E_TIMEOUT)
        assert timed.seconds < 1.5 + MARGIN
        wait_until(lambda: len(fill(pool, 2)) == 2, 30)


# ---- F29: a server process that does not go on ---------------------------------------------------

def test_f29_stopped_backend_of_an_idle_connection(proxy, cluster):
    """F29: TCP is fine and nobody answers: the ping's own timeout ends it, other checkouts do not
    wait for it."""
    with pool_through(proxy, ping_idle_ms=500, ping_timeout_ms=2500) as pool:
        _, stopped = fill(pool, 2)
        grow_old()
        os.kill(stopped, signal.SIGSTOP)
        try:
            slow = Thread(lambda: pool.query('select pg_backend_pid()'))
            wait_until(lambda: pool.status()['idle'] == 1, 30)
            with Timed() as other:
                assert pool.query('select 1') == [('1',)]
            assert slow.is_alive(), 'the checkout of the stopped one was over before the other one'
            assert other.seconds < 2.5
            assert slow.end() != [(str(stopped),)]
            assert 2.4 < slow.seconds < 2.5 + MARGIN
        finally:
            os.kill(stopped, signal.SIGCONT)
        assert pool.status()['closed']['dead'] >= 1
        wait_until(lambda: is_gone(cluster, stopped), 30)


# ---- F31, F32: half of an answer -----------------------------------------------------------------

def test_f31_rst_in_the_midst_of_a_result(proxy):
    """F31: an error and no rows; the connection is closed."""
    with pool_through(proxy) as pool:
        with pool.acquire() as conn:
            proxy.rst_after_bytes(1_000_000)
            result = conn.exec("select repeat('x', 1000) from generate_series(1, 10000)")
            assert result.status == Exec.FATAL_ERROR and result.rows == []
            assert conn.pg.status == Connection.BAD
        assert pool.query('select 1') == [('1',)]
        assert pool.status()['closed']['lost'] == 1


def test_f31_rst_in_the_midst_of_single_rows(proxy):
    """F31: row by row there are rows, and at the end an error, never the end of a result."""
    with pool_through(proxy) as pool:
        with pool.acquire() as conn:
            proxy.rst_after_bytes(1_000_000)
            conn.pg.send_query("select repeat('x', 1000) from generate_series(1, 10000)")
            conn.pg.set_single_row_mode()
            statuses = [result.status for result in iter(conn.pg.get_result, None)]
        assert 0 < statuses.count(Exec.SINGLE_TUPLE) < 1000
        assert statuses[-1] == Exec.FATAL_ERROR and Exec.TUPLES_OK not in statuses
        assert pool.query('select 1') == [('1',)]
        assert pool.status()['closed']['lost'] == 1


def cut(proxy):
    proxy.cut_record(20)


def corrupt(proxy):
    proxy.corrupt(3)


def close(proxy):
    proxy.fin()


@pytest.mark.parametrize('harm', [cut, corrupt, close])
@pytest.mark.parametrize('transport', ['tls12', 'tls13'])
def test_f32_harm_to_a_connection_in_use(proxy, transport, harm):
    """F32: a cut record, a wrong byte, an end without close_notify: an error, and it is closed."""
    with pool_through(proxy, transport) as pool:
        with pool.acquire() as conn:
            harm(proxy)
            with pytest.raises(PgError):
                conn.query('select 1')
            assert conn.pg.status == Connection.BAD
        assert pool.query('select 1') == [('1',)]
        assert pool.status()['closed']['lost'] == 1


@pytest.mark.parametrize('how', ['fin', 'rst'])
def test_f32_end_of_an_idle_connection(proxy, how):
    """F32: what the socket shows costs no round trip and no error."""
    with pool_through(proxy) as pool:
        old = fill(pool, 3)
        grow_old()
        getattr(proxy, how)()
        new = fill(pool, 3)
        assert not set(new) & set(old)
        status = pool.status()
        assert status['closed']['dead'] == 3 and status['closed']['lost'] == 0
        assert status['pings'] == 0


def test_f32_harm_during_a_ping(proxy):
    """F32: a ping whose answer is cut is no answer."""
    with pool_through(proxy, ping='always') as pool:
        old, = fill(pool, 1)
        proxy.cut_record(10)
        assert pool.query('select pg_backend_pid()') != [(str(old),)]
        assert pool.status()['closed']['dead'] == 1


@pytest.mark.parametrize('harm', [cut, corrupt])
def test_f32_harm_during_a_connect(proxy, harm):
    """F32: a connect that is harmed fails at once, not at its timeout, and the next one is good."""
    with pool_through(proxy) as pool:
        harm(proxy)
        with Timed() as timed, pytest.raises(Error) as failed:
            pool.acquire()
        assert failed.value.status in (Status.E_CONNECT, Status.E_TLS)
        assert timed.seconds < MARGIN
        wait_until(lambda: pool.query('select 1') == [('1',)], 30)


# ---- latency: slow is not dead -------------------------------------------------------------------

def test_latency_is_no_death(proxy):
    """A ping over a slow line is answered late, and the connection stays."""
    with pool_through(proxy, ping_idle_ms=500, ping_timeout_ms=5000) as pool:
        pid, = fill(pool, 1)
        proxy.latency(150)
        grow_old()
        with Timed() as timed:
            assert pool.query('select pg_backend_pid()') == [(str(pid),)]
        assert timed.seconds >= 4 * 0.15
        assert pool.status()['closed']['dead'] == 0 and pool.status()['pings'] == 1
