# SPDX-License-Identifier: PostgreSQL
"""Many threads at a time: after a restart, in a spike, while the server is away."""
import pytest

from helpers import MARGIN, Thread, Timed, fill, grow_old, let_time_pass, pool_through, together
from support.libtine import Error, Status
from support.procs import wait_until

# Long enough that a busy machine starts ten threads within it.
CONNECT_MS = 600


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


def check_replaced_at_once(proxy, pool, old):
    """Ten threads find ten dead connections: each has a new one after one connect time. A machine
    that is busy with ten handshakes takes longer, so also: all had begun before one was done."""
    links_before = proxy.count()['accepted']
    new, seconds = hold_all(pool, 10)
    assert len(set(new)) == 10 and not set(new) & set(old)
    began = [link['opened_us'] for link in proxy.count()['links'] if link['link'] > links_before]
    assert len(began) == 10
    assert max(began) - min(began) < CONNECT_MS * 1000
    assert CONNECT_MS / 1000 <= seconds < 2 * CONNECT_MS / 1000 + MARGIN


# After more than a second the pool also looks by itself after what is idle.
@pytest.mark.parametrize('death,idle_seconds', [
    ('rst', 0.6), ('fin', 0.6), ('drop_idle', 0.6), ('rst', 1.3), ('drop_idle', 1.3)])
def test_ten_dead_of_ten(proxy, death, idle_seconds):
    """All ten are replaced within one connect time, not ten, and no query fails."""
    with pool_through(proxy, pool_size=10, ping_idle_ms=500, connect_parallel=2) as pool:
        old = fill(pool, 10)
        let_time_pass(idle_seconds)
        proxy.connect_delay(CONNECT_MS)
        getattr(proxy, death)()
        check_replaced_at_once(proxy, pool, old)
        assert pool.status()['closed']['dead'] == 10


def test_ten_dead_of_ten_after_a_restart(proxy, cluster):
    """The same with a server that was stopped and started."""
    with pool_through(proxy, pool_size=10) as pool:
        old = fill(pool, 10)
        proxy.connect_delay(CONNECT_MS)
        cluster.restart()
        grow_old()
        check_replaced_at_once(proxy, pool, old)


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
