# SPDX-License-Identifier: PostgreSQL
"""Handles that are used wrongly: returned twice, used afterwards, kept, passed on, lost."""
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from pooltools import MARGIN, Thread, Timed, grow_old, is_gone
from support.libtine import Error, Pool, Status
from support.procs import wait_until


@pytest.fixture
def pool(server):
    with Pool(server.conninfo('tls'), pool_size=2, max_overflow=0) as pool:
        yield pool


def used_up(conn):
    """What every call says about a handle that was returned."""
    assert conn.pg is None
    assert conn.release() == Status.E_STALE
    assert conn.invalidate() == Status.E_STALE
    assert conn.detach() is None
    conn.label('not mine any more')


@pytest.mark.parametrize('how', ['release', 'invalidate', 'detach'])
def test_f45_returned_twice(pool, how):
    """F45: the second time is told, and does nothing."""
    conn = pool.acquire()
    detached = getattr(conn, how)()
    used_up(conn)
    if how == 'detach':
        assert detached.value('select 1') == '1'
        detached.finish()
    assert pool.query('select 1') == [('1',)]
    assert pool.status()['busy'] == 0


def test_f45_returned_twice_while_another_has_it(pool):
    """F45: an old handle does not end the work of who has the connection now; for the next
    fifteen checkouts."""
    old = pool.acquire()
    pid = old.pg.backend_pid
    old.release()
    for number in range(15):
        with pool.acquire() as conn:
            assert conn.pg.backend_pid == pid
            conn.query('begin')
            used_up(old)
            assert conn.value('select %d' % number) == str(number)
            assert pool.status()['busy'] == 1
            conn.query('commit')


def test_f45_released_by_another_thread(pool):
    """F45: a handle is one thread's at a time, and may be handed over."""
    conn = pool.acquire()
    assert Thread(conn.value, 'select 1').end() == '1'
    assert Thread(conn.release).end() == Status.OK
    used_up(conn)
    assert pool.status()['busy'] == 0


def test_f45_a_leaked_handle_is_told_of(server):
    """F45: once, by name; and the connection is good when it comes back after all."""
    told = []
    with Pool(server.conninfo('tls'), leak_after_ms=50) as pool:
        pool.on('leak', lambda event: told.append((event.error.text, event.time_us)))
        conn = pool.acquire()
        conn.label('forgotten')
        wait_until(lambda: pool.sweep() or told, what='the word about the leak')
        pool.sweep()
        (text, held_us), = told
        assert 'forgotten' in text
        assert held_us >= 50000
        assert pool.status()['leaks'] == 1
        assert conn.value('select 1') == '1'
        assert conn.release() == Status.OK


def test_f45_an_exhausted_pool_names_its_holders(pool):
    """F45: who waited in vain learns how many are out and who has them."""
    with pool.acquire() as one, pool.acquire() as two:
        one.label('GET /first')
        two.label('GET /second\n\033[31m')
        with pytest.raises(Error) as caught:
            pool.acquire(30)
        assert caught.value.status == Status.E_TIMEOUT
        assert re.search(r"2 of 2 are in use.*'GET /first'.*'GET /second", caught.value.text)
        assert caught.value.text.isprintable()


def test_f45_a_pool_freed_too_early(server, pool):
    """F45: handles that are out go on, are closed when they come back, and stale afterwards."""
    one, two = pool.acquire(), pool.acquire()
    pids = [conn.pg.backend_pid for conn in (one, two)]
    pool.free()
    assert two.release() == Status.OK
    wait_until(lambda: is_gone(server, pids[1]))
    assert one.value('select 1') == '1'
    used_up(two)
    assert one.release() == Status.OK
    wait_until(lambda: is_gone(server, pids[0]))


# ---- F50: time that passes without us ------------------------------------------------------------

SLEEPER = """
import sys, time
from support.libtine import Error, Pool, Status
with Pool(environment=True, pool_size=1, max_overflow=0) as pool:
    with pool.acquire() as conn:
        pid = conn.pg.backend_pid
        began = time.monotonic()
        print('waiting', flush=True)
        try:
            pool.acquire(1000)
        except Error as err:
            assert err.status == Status.E_TIMEOUT, err
        print('%.3f' % (time.monotonic() - began), flush=True)
    sys.stdin.readline()
    with pool.acquire() as conn:
        assert conn.value('select 1') == '1'
        print(conn.pg.backend_pid == pid, pool.status()['opened'], flush=True)
"""


def test_f50_stopped_for_a_while(server):
    """F50: a process that is stopped beyond the deadline of a wait gives up as soon as it goes on,
    and finds its connections as they were."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    env = {**os.environ, 'PYTHONPATH': here, 'TINE_CONNINFO': server.conninfo('tls')}
    with subprocess.Popen([sys.executable, '-c', SLEEPER], env=env, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == 'waiting\n'
            process.send_signal(signal.SIGSTOP)
            grow_old(1.5)
            process.send_signal(signal.SIGCONT)
            with Timed() as timed:
                waited = float(process.stdout.readline())
            assert 1 <= waited < 1.5 + MARGIN
            assert timed.seconds < MARGIN
            process.send_signal(signal.SIGSTOP)
            grow_old(1)
            process.send_signal(signal.SIGCONT)
            process.stdin.write('\n')
            process.stdin.flush()
            assert process.stdout.readline() == 'True 1\n'
            assert process.wait(30) == 0
        finally:
            process.kill()


def test_f50_ages_are_spread(server):
    """F50: connections opened together do not expire together: each up to a tenth earlier."""
    opened, ages = {}, []
    with Pool(server.conninfo('tls'), pool_size=8, max_overflow=0, recycle_ms=2000) as pool:
        def close(event):
            assert event.cause == 'recycle'
            ages.append(time.monotonic() - opened[event.pg.pointer])

        def all_closed():
            pool.sweep()
            return len(ages) == 8
        pool.on('connect', lambda event: opened.update({event.pg.pointer: time.monotonic()}))
        pool.on('close', close)
        conns = [pool.acquire() for _ in range(8)]
        for conn in conns:
            conn.release()
        wait_until(all_closed, 10, interval=0.005)
    assert min(ages) >= 1.75
    assert max(ages) < 2 + MARGIN
    # without it they would differ by the interval of the look
    assert max(ages) - min(ages) > 0.02
