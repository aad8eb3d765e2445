# SPDX-License-Identifier: PostgreSQL
"""What servers do to connections: ended sessions, crashes, restarts, limits of time."""
import contextlib
import os
import signal
import threading
import time

import psycopg2
import pytest

from pooltools import (MARGIN, Thread, Timed, grow_old, is_gone, sessions, table, terminate,
                       wait_for_lock, wait_for_query)
from support import procs
from support.libpq import PgError, Transaction
from support.libtine import Error, Pool, Status
from support.procs import wait_until

SERVER = {'settings': {'deadlock_timeout': '100ms'}}


@pytest.fixture
def pool(server):
    with Pool(server.conninfo('tls'), pool_size=4, max_overflow=0) as pool:
        yield pool


def fill(pool, count):
    """Have count connections open and idle: their backends."""
    with contextlib.ExitStack() as stack:
        conns = [stack.enter_context(pool.acquire()) for _ in range(count)]
        return {conn.pg.backend_pid for conn in conns}


def fails(status, fn, *args):
    with pytest.raises(Error) as caught:
        fn(*args)
    assert caught.value.status == status, caught.value
    return caught.value


# ---- one session ---------------------------------------------------------------------------------

def test_f19_an_idle_connection_is_terminated(server, pool):
    """F19: replaced before it is handed out; its user sees nothing but a new backend."""
    causes = []

    def closed(event):
        causes.append((event.cause, event.error and event.error.sqlstate))
    pool.on('close', closed)
    pid, = fill(pool, 1)
    terminate(server, pid)
    grow_old()
    assert pool.query('select 1') == [('1',)]
    assert causes == [('dead', '57P01')]
    assert pool.status()['closed']['dead'] == 1


def test_f19_all_idle_connections_are_terminated(server, pool):
    """F19: four dead ones cost one of their users nothing either."""
    for pid in fill(pool, 4):
        terminate(server, pid)
    grow_old()
    assert len(fill(pool, 4)) == 4
    stats = pool.status()
    assert (stats['opened'], stats['closed']['dead'], stats['open']) == (8, 4, 4)


def answers_to_the_end(pg):
    """SQLSTATEs of all results: the server's word, and libpq's own about the end."""
    return [result.sqlstate for result in iter(pg.get_result, None)]


def test_f20_terminated_in_a_query(server, pool):
    """F20: that user gets 57P01, once; nobody repeats the statement; the place is filled again."""
    with pool.acquire() as conn:
        conn.pg.send_query('select pg_sleep(60)')
        terminate(server, wait_for_query(server, 'pg_sleep(60)'))
        assert answers_to_the_end(conn.pg) == ['57P01', '']
    assert pool.status()['closed']['lost'] == 1
    assert not sessions(server, "query like '%%pg_sleep(60)%%'")
    assert pool.query('select 1') == [('1',)]


def test_f20_terminated_in_a_transaction(server, pool):
    """F20: the next statement fails, and the next user has a clean connection."""
    with pool.acquire() as conn:
        conn.query('begin')
        terminate(server, conn.pg.backend_pid)
        conn.pg.send_query('select 1')
        assert answers_to_the_end(conn.pg) == ['57P01', '']
    with pool.acquire() as conn:
        assert conn.pg.transaction_status == Transaction.IDLE
        assert conn.value('select 1') == '1'


@pytest.mark.parametrize('statement, sqlstate', [
    ("set statement_timeout = '20ms'; select pg_sleep(60)", '57014'),
    ("set lock_timeout = '20ms'; update lots set id = 2", '55P03')])
@pytest.mark.parametrize('begin', ['', 'begin; '])
def test_f41_limits_of_time(server, pool, begin, statement, sqlstate):
    """F41: the connection is used again, by the next user without the failed transaction."""
    with table(server, 'lots', 'id int', 'values (1)'):
        with pool.acquire() as locker:
            locker.query('begin')
            locker.query('update lots set id = 3')
            with pool.acquire() as conn:
                pid = conn.pg.backend_pid
                assert conn.exec(begin + statement).sqlstate == sqlstate
                conn.exec('rollback; reset all') if not begin else None
            with pool.acquire() as conn:
                assert conn.pg.backend_pid == pid
                assert conn.pg.transaction_status == Transaction.IDLE
                assert conn.value('select 1') == '1'
                # of a transaction that was rolled back
                assert conn.value('show lock_timeout') == '0'
    assert pool.status()['closed']['lost'] == 0


def test_f41_deadlock(server, pool):
    """F41: 40P01: both connections are used again."""
    with table(server, 'lots', 'id int primary key, n int', 'values (1, 0), (2, 0)'):
        with pool.acquire() as one, pool.acquire() as two:
            for conn, number in ((one, 1), (two, 2)):
                conn.query('begin')
                conn.query('update lots set n = 1 where id = %d' % number)
            other = Thread(one.exec, 'update lots set n = 1 where id = 2')
            wait_for_lock(server, one.pg.backend_pid)
            states = {two.exec('update lots set n = 1 where id = 1').sqlstate}
            two.exec('rollback')
            states.add(other.end().sqlstate)
            assert states == {'', '40P01'}
        assert fill(pool, 2)
        assert pool.status()['opened'] == 2


@pytest.mark.parametrize('setting, in_transaction', [
    ('idle_session_timeout', False), ('idle_in_transaction_session_timeout', True)])
def test_f42_idle_too_long(server, pool, setting, in_transaction):
    """F42: 57P05 ends an idle one, 25P03 one in a transaction: neither is handed out."""
    server.admin_sql("alter role app set %s = '100ms'" % setting)
    try:
        with pool.acquire() as conn:
            pid = conn.pg.backend_pid
            if in_transaction:
                conn.query('begin')
                wait_until(lambda: is_gone(server, pid), what='the end of the session')
        wait_until(lambda: is_gone(server, pid), what='the end of the session')
        grow_old()
        with pool.acquire() as conn:
            assert conn.value('select 1') == '1'
            assert conn.pg.backend_pid != pid
    finally:
        server.admin_sql('alter role app reset ' + setting)


# ---- the whole server ----------------------------------------------------------------------------

class Users:
    """Threads that use a pool all the time and note what happens to them."""

    def __init__(self, pool, count=4):
        self.pool, self.stop = pool, threading.Event()
        self.errors, self.good_at, self.slowest = [], [], 0
        self._threads = [Thread(self._use) for _ in range(count)]

    def _use(self):
        while not self.stop.is_set():
            with Timed() as timed:
                self._try()
            self.slowest = max(self.slowest, timed.seconds)

    def _try(self):
        try:
            with self.pool.acquire() as conn:
                conn.query('select 1')
            self.good_at.append(time.monotonic())
        except (Error, PgError) as err:
            self.errors.append(err)
            # as a program does that reports its error and takes the next request
            self.stop.wait(0.01)

    def end(self):
        self.stop.set()
        for thread in self._threads:
            thread.end()


def statuses(errors):
    return {err.status for err in errors if isinstance(err, Error)}


def test_f21_a_backend_crashes(server, pool):
    """F21: all sessions are cut (57P02), connects refused while the server recovers (57P03), and
    then all is well again."""
    pid = min(fill(pool, 2))
    users = Users(pool)
    try:
        wait_until(lambda: len(users.good_at) > 20)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: users.errors, what='the crash')
        crashed = time.monotonic()
        wait_until(lambda: users.good_at and users.good_at[-1] > crashed, what='the recovery')
    finally:
        users.end()
    assert statuses(users.errors) <= {Status.E_STARTING, Status.E_CONNECT, Status.E_LOST}
    wait_until(lambda: fill(pool, 4), 10 + MARGIN)
    assert pool.status()['busy'] == 0


@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGQUIT], ids=['fast', 'immediate'])
def test_f22_restart(server, pool, how):
    """F22: bounded errors, few connects while the server is down, recovery within two seconds."""
    fill(pool, 4)
    users = Users(pool)
    try:
        wait_until(lambda: len(users.good_at) > 20)
        with stopped(server, how) as start:
            down = time.monotonic()
            before = pool.status()['open_failed']
            wait_until(lambda: time.monotonic() - down > 3, 60)
            tried = pool.status()['open_failed'] - before
            start()
            up = time.monotonic()
        wait_until(lambda: users.good_at[-1] > up, what='the recovery')
        recovery = next(at for at in users.good_at if at > up) - up
    finally:
        users.end()
    assert recovery < 2
    assert tried <= 15, 'a storm of connects'
    assert users.errors
    assert statuses(users.errors) <= {Status.E_STARTING, Status.E_CONNECT, Status.E_LOST}
    assert users.slowest < 5 + MARGIN
    wait_until(lambda: fill(pool, 4), 2 + MARGIN)


@contextlib.contextmanager
def stopped(server, how=signal.SIGINT):
    """The server is down until the function is called that the block gets, or the block ends."""
    server._stop_server(how)
    started = []

    def start():
        if not started:
            started.append(True)
            server._start_server()
    try:
        yield start
    finally:
        start()


@pytest.mark.parametrize('begin', ['select 1', 'begin'])
@pytest.mark.parametrize('ping', ['auto', 'always'])
def test_f22_dead_and_silent(server, capfd, begin, ping):
    """F22: not handed out, also when the answer to its ROLLBACK was still good; and the server's
    last words are not printed."""
    with Pool(server.conninfo('tls'), ping=ping) as pool:
        with pool.acquire() as conn:
            conn.query(begin)
        with stopped(server, signal.SIGQUIT):
            pass
        grow_old()
        assert pool.query('select 1') == [('1',)]
        assert pool.status()['closed']['dead'] == 1
    assert capfd.readouterr() == ('', '')


def test_f22_waiters_survive_a_restart(server):
    """F22: who waits for a connection, and wants to (connect_retry), gets one afterwards."""
    with Pool(server.conninfo('tls'), pool_size=2, max_overflow=0, connect_retry=True) as pool:
        fill(pool, 2)
        with stopped(server) as start:
            grow_old()
            waiting = [Thread(pool.query, 'select 1') for _ in range(6)]
            wait_until(lambda: pool.status()['open_failed'] > 1)
            start()
            for thread in waiting:
                assert thread.end() == [('1',)]


def test_f23_no_server_at_start():
    """F23: by default an acquire fails at once, with the cause; making the pool does not."""
    port = procs.free_port()
    with Pool('host=127.0.0.1 port=%d dbname=app user=app' % port) as pool:
        with Timed() as timed:
            error = fails(Status.E_CONNECT, pool.acquire)
        assert timed.seconds < MARGIN
        assert 'refused' in error.text and str(port) in error.text
        assert pool.status()['last_error'].status == Status.E_CONNECT
        # nobody spins: those who come at the same time are told what the first one found
        for _ in range(200):
            fails(Status.E_CONNECT, pool.acquire)
        assert pool.status()['open_failed'] < 20


def test_f23_wait_for_the_server(server):
    """F23: with connect_retry an acquire waits until the server is there, or its own deadline."""
    with stopped(server) as start:
        with Pool(server.conninfo('tls'), connect_retry=True) as pool:
            with Timed() as timed:
                error = fails(Status.E_CONNECT, pool.acquire, 700)
            assert 0.65 <= timed.seconds < 0.7 + MARGIN
            assert 'refused' in error.text
            assert pool.status()['open_failed'] <= 20
            thread = Thread(pool.query, 'select 1')
            grow_old(0.3)
            assert thread.is_alive()
            start()
            up = time.monotonic()
            assert thread.end() == [('1',)]
            assert time.monotonic() - up < 2


def test_f23_lazily(server):
    """F23: a pool that was made while the server was away works when it is there."""
    with stopped(server) as start:
        with Pool(server.conninfo('tls')) as pool:
            fails(Status.E_CONNECT, pool.acquire)
            start()
            wait_until(lambda: answers(pool), 2 + MARGIN)


def answers(pool):
    with contextlib.suppress(Error):
        return pool.query('select 1') == [('1',)]


def test_f38_startup_and_shutdown(server, pool):
    """F38: a server that shuts down and waits for its last session says so: passing, not wrong."""
    last = psycopg2.connect(server.conninfo('tls'))
    try:
        with pool.acquire() as conn:
            conn.query('select 1')
        # SIGTERM: smart shutdown, no new session, the old ones go on
        server._postgres.send_signal(signal.SIGTERM)
        with Pool(server.conninfo('tls')) as late:
            wait_until(lambda: refused_for_shutdown(late), what='the shutdown')
        # the old session is as good as before
        assert pool.query('select 1') == [('1',)]
        last.cursor().execute('select 1')
    finally:
        last.close()
        pool.dispose()
        server.restart()
    wait_until(lambda: answers(pool), 2 + MARGIN)


def refused_for_shutdown(pool):
    with pytest.raises(Error) as caught:
        pool.acquire().release()
    return caught.value.status == Status.E_STARTING and caught.value.sqlstate == '57P03'
