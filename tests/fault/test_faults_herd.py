# SPDX-License-Identifier: PostgreSQL
"""Many threads at a time: after a restart, in a spike, while the server is away."""
import pytest

from helpers import MARGIN, Thread, Timed, fill, grow_old, pool_through, together
from support.libtine import Error, Status
from support.procs import wait_until

CONNECT_MS = 300


def backend(pool):
    return int(pool.query('select pg_backend_pid()')[0][0])


def hold_all(pool, count):
    """count threads, each with a connection of its own at the same time: (pids, seconds)."""
    def one(_number):
        conn = pool.acquire()
        return conn, int(conn.value('select pg_backend_pid()'))
    held, seconds = together(count, one)
    for conn, _pid in held:
        conn.release()
    return [pid for _conn, pid in held], seconds


@pytest.mark.parametrize('death', ['rst', 'fin', 'drop_idle'])
def test_ten_dead_of_ten(proxy, death):
    """All ten are replaced within one connect time, not ten, and no query fails."""
    with pool_through(proxy, pool_size=10, ping_idle_ms=500, connect_parallel=2) as pool:
        old = fill(pool, 10)
        grow_old()
        proxy.connect_delay(CONNECT_MS)
        getattr(proxy, death)()
        new, seconds = hold_all(pool, 10)
        assert len(set(new)) == 10 and not set(new) & set(old)
        assert CONNECT_MS / 1000 <= seconds < 2 * CONNECT_MS / 1000 + 0.7
        assert pool.status()['closed']['dead'] == 10


def test_ten_dead_of_ten_after_a_restart(proxy, cluster):
    """The same with a server that was stopped and started."""
    with pool_through(proxy, pool_size=10) as pool:
        old = fill(pool, 10)
        proxy.connect_delay(CONNECT_MS)
        cluster.restart()
        grow_old()
        new, seconds = hold_all(pool, 10)
        assert len(set(new)) == 10 and not set(new) & set(old)
        assert CONNECT_MS / 1000 <= seconds < 2 * CONNECT_MS / 1000 + 0.7


def test_the_spike(proxy):
    """50 requests, 5 idle connections, connect 150 ms, query 2 ms: what is returned serves the
    queue long before new connections are there, and the pool ends at 7 at most."""
    with pool_through(proxy, pool_size=50) as pool:
        fill(pool, 5)
        proxy.connect_delay(150)
        together(50, lambda _number: pool.query('select pg_sleep(0.002)'))
        wait_until(lambda: pool.status()['connecting'] == 0, 30)
        assert pool.status()['open'] <= 7
        assert proxy.stat()['accepted'] <= 7
        assert pool.status()['checkouts'] == 55


def test_a_server_that_is_away_is_not_hammered(proxy):
    """20 threads that try for 2 s: connects are paced, all fail with the cause, and afterwards all
    is well."""
    with pool_through(proxy, connect_retry=True) as pool:
        proxy.refuse()

        def attempt(_number):
            with pytest.raises(Error) as failed:
                pool.acquire(2000)
            return failed.value.status
        statuses, seconds = together(20, attempt)
        assert set(statuses) == {Status.E_CONNECT}
        assert seconds < 2 + MARGIN
        assert pool.status()['open_failed'] <= 20
        proxy.pass_all()
        with Timed() as timed:
            assert pool.query('select 1', 10_000) == [('1',)]
        assert timed.seconds < MARGIN


def test_a_server_that_comes_back_serves_who_waited(proxy):
    """With connect_retry the acquires that began while it was away end well."""
    with pool_through(proxy, connect_retry=True) as pool:
        proxy.refuse()
        waiting = [Thread(lambda: backend(pool)) for _ in range(12)]
        wait_until(lambda: pool.status()['open_failed'] >= 2, 30)
        proxy.pass_all()
        with Timed() as timed:
            pids = {thread.end() for thread in waiting}
        assert timed.seconds < 2 + MARGIN
        assert 1 <= len(pids) <= 4
        assert proxy.stat()['peak'] <= 4
