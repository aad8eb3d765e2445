# SPDX-License-Identifier: PostgreSQL
"""What goes over the wire when nothing has to: nothing. Bytes are counted by the proxy."""
import ctypes
import os

import pytest

from helpers import fill, in_child, let_time_pass, pool_through
from support.libtine import Status
from support.procs import wait_until


def bytes_of_clients(proxy):
    """Bytes received from each client, by the number of its link."""
    return {link['link']: link['from_client'] for link in proxy.count()['links']}


def leave_at_once():
    """A child that does nothing."""


def test_a_new_pool_sends_nothing(proxy, tmp_path):
    """Making, configuring, looking at and freeing a pool opens no connection."""
    proxy.record(tmp_path / 'wire')
    for _ in range(3):
        with pool_through(proxy, ping='always', on_connect_sql='select 1') as pool:
            pool.on('connect', lambda event: 0)
            pool.resize(8, 2)
            pool.sweep()
            pool.pause()
            pool.resume()
            pool.dispose()
            in_child(pool.status)
            assert pool.status()['open'] == 0
    assert proxy.stat()['accepted'] == 0
    assert proxy.read_record(tmp_path / 'wire') == []


@pytest.mark.parametrize('transport', ['tls', 'plain'])
def test_forks_and_idling_send_nothing(proxy, tmp_path, transport):
    """With two idle connections and one that is out: children that end, that free the pool, that
    dispose of it, that try every handle, and time that passes: not one byte on the parent's
    connections. A child that uses the pool has a connection of its own."""
    with pool_through(proxy, transport, ping_idle_ms=500) as pool:
        fill(pool, 3)
        held = pool.acquire()
        pid = held.pg.backend_pid
        before = bytes_of_clients(proxy)
        proxy.record(tmp_path / 'wire')

        def use_every_handle():
            assert held.pg is None and held.detach() is None
            assert held.invalidate() == Status.E_FORKED
            held.release()
        for act in (leave_at_once, pool.free, pool.dispose, pool.sweep, use_every_handle):
            in_child(act)
        let_time_pass(1.2)
        assert bytes_of_clients(proxy) == before
        assert proxy.read_record(tmp_path / 'wire') == []

        in_child(lambda: pool.query('select 1'))
        after = bytes_of_clients(proxy)
        assert {link: after[link] for link in before} == before
        assert len(after) == len(before) + 1
        assert held.value('select pg_backend_pid()') == str(pid)
        held.release()


@pytest.mark.parametrize('transport', ['tls', 'plain'])
def test_a_child_that_runs_to_its_end_sends_nothing(proxy, tmp_path, transport):
    """exit() and its handlers in a child leave the parent's connections alone."""
    with pool_through(proxy, transport) as pool:
        fill(pool, 2)
        before = bytes_of_clients(proxy)
        proxy.record(tmp_path / 'wire')
        pid = os.fork()
        if pid == 0:
            # libc's own exit, with its handlers and the library's destructors.
            ctypes.CDLL(None).exit(0)
        _, status = os.waitpid(pid, 0)
        assert status == 0
        assert bytes_of_clients(proxy) == before
        assert proxy.read_record(tmp_path / 'wire') == []
        assert len(fill(pool, 2)) == 2
        assert proxy.stat()['accepted'] == 2


def test_a_ping_is_the_only_thing_an_acquire_sends(proxy, tmp_path):
    """In the clear: the checkout of a young connection sends nothing, of an old one an empty query,
    and its return nothing."""
    with pool_through(proxy, 'plain', ping_idle_ms=500) as pool:
        fill(pool, 1)
        proxy.record(tmp_path / 'wire')
        pool.acquire().release()
        assert proxy.read_record(tmp_path / 'wire') == []
        let_time_pass(0.7)
        pool.acquire().release()
        chunks = proxy.read_record(tmp_path / 'wire')
        assert [(chunk['records'], chunk['bytes']) for chunk in chunks
                if chunk['from'] == 'client'] == [(['Q'], 6)]


def test_what_ends_a_connection_is_one_terminate(proxy, tmp_path):
    """Close says Terminate, abandon says nothing at all."""
    with pool_through(proxy, 'plain') as pool:
        fill(pool, 1)
        proxy.record(tmp_path / 'wire')
        pool.dispose('close')
        wait_until(lambda: proxy.stat()['open'] == 0, 30)
        said = proxy.read_record(tmp_path / 'wire')
        assert [chunk['records'] for chunk in said if chunk['from'] == 'client'] == [['X']]
        fill(pool, 1)
        proxy.record(tmp_path / 'wire')
        pool.dispose('abandon')
        wait_until(lambda: proxy.stat()['open'] == 0, 30)
        assert proxy.read_record(tmp_path / 'wire') == []
