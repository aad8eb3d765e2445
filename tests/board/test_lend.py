# SPDX-License-Identifier: PostgreSQL
"""Processes that do nothing have parked the budget: the server ends their idle sessions, and others
get the permits. Counted by the server all the time."""
import contextlib
import multiprocessing
import os
import signal

import pytest

from boardtools import forget
from support.libtine import Error, Pool
from support.procs import wait_until
from support.sampler import Sampler

LEND = {'lend_after_ms': '1s', 'name': 'lend', 'max_overflow': 0, 'pool_size': 8,
        'acquire_timeout_ms': '15s'}


class Orders:
    """What a process of the test does with its pool when it is told."""

    def __init__(self, pool):
        self.pool, self.held = pool, []

    def take(self, count, wait_ms=45_000):
        """Acquire so many and keep them: how many it got."""
        for number in range(count):
            try:
                self.held.append(self.pool.acquire(wait_ms))
            except Error as err:
                assert 'no permit' in err.text, err
                return number
        return count

    def give(self):
        while self.held:
            self.held.pop().release()

    def park(self, count):
        assert self.take(count) == count
        self.give()

    def begin(self):
        self.take(1)
        self.held[0].query('begin')

    def work(self):
        return self.pool.query('select 1')

    def closed(self):
        return self.pool.status()['closed']


def obey(pipe, conninfo, options):
    with Pool(conninfo, **options) as pool:
        orders = Orders(pool)
        while True:
            try:
                name, arguments = pipe.recv()
            except EOFError:
                return
            try:
                pipe.send((getattr(orders, name)(*arguments), None))
            except (Error, AssertionError) as err:
                pipe.send((None, str(err)))


class Process:
    """One process with a pool of its own, which sleeps between two orders."""

    def __init__(self, conninfo, options):
        fork = multiprocessing.get_context('fork')
        self.pipe, theirs = fork.Pipe()
        self.process = fork.Process(target=obey, args=(theirs, conninfo, options), daemon=True)
        self.process.start()
        theirs.close()

    def tell(self, name, *arguments):
        self.pipe.send((name, arguments))

    def hear(self):
        assert self.pipe.poll(60), 'no answer'
        answer, error = self.pipe.recv()
        assert not error, error
        return answer

    def do(self, name, *arguments):
        self.tell(name, *arguments)
        return self.hear()

    def stop(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def end(self):
        self.process.kill()
        self.process.join(30)
        self.pipe.close()


@pytest.fixture
def tree(boards, monkeypatch):
    """tree(count, conninfo, **options): processes that share a board."""
    monkeypatch.setenv('TINE_BOARD_DIRECTORY', boards)
    with contextlib.ExitStack() as stack:
        def make(count, conninfo, **options):
            processes = [Process(conninfo, {**LEND, **options}) for _ in range(count)]
            for process in processes:
                stack.callback(process.end)
            return processes
        yield make
    forget(boards)


@pytest.mark.parametrize('transport', ['unix', 'tls'])
def test_one_gets_what_the_others_parked_and_gives_it_back(cluster, tree, transport):
    *sleepers, busy = tree(5, cluster.conninfo(transport), budget=8)
    with Sampler(cluster) as sampler:
        for sleeper in sleepers:
            sleeper.do('park', 2)
        assert busy.do('take', 8) == 8
        for sleeper in sleepers:
            sleeper.tell('work')
        busy.do('give')
        for sleeper in sleepers:
            assert sleeper.hear() == [('1',)]
        closed = [sleeper.do('closed') for sleeper in sleepers]
    # On a slow machine the server has ended the first before the last is there.
    assert 0 < sampler.most <= 8
    # It ended in good order: nobody doubted what others had.
    assert [row['idle'] for row in closed] == [2] * 4
    assert not any(row['dead'] or row['lost'] for row in closed)


def test_a_stopped_process_keeps_nothing_it_does_not_use(cluster, tree):
    sleeper, busy = tree(2, cluster.conninfo('tls'), budget=4)
    with Sampler(cluster) as sampler:
        sleeper.do('park', 4)
        sleeper.stop()
        assert busy.do('take', 4) == 4
        sleeper.tell('work')
        sleeper.go_on()
        busy.do('give')
        assert sleeper.hear() == [('1',)]
    assert 0 < sampler.most <= 4


def test_a_transaction_is_not_taken_away(cluster, tree):
    sleeper, busy = tree(2, cluster.conninfo('unix'), budget=2)
    sleeper.do('park', 2)
    sleeper.do('begin')
    assert busy.do('take', 1) == 1
    assert busy.do('take', 1, 1500) == 0
    sleeper.do('give')
    assert busy.do('take', 1) == 1


@pytest.mark.parametrize('options', [
    {'lend_after_ms': 0},
    # As behind a pooler that gives the setting to another session.
    {'on_connect_sql': 'set idle_session_timeout = 0'}])
def test_where_the_server_ends_nothing_nothing_is_taken(cluster, tree, options):
    sleeper, busy = tree(2, cluster.conninfo('unix'), budget=2, **options)
    with Sampler(cluster) as sampler:
        sleeper.do('park', 2)
        assert busy.do('take', 1, 3000) == 0
        sleeper.do('work')
        assert busy.do('take', 1) == 1
    assert 0 < sampler.most <= 2


def test_what_another_ended_is_free_too(cluster, tree):
    """Whoever ends a session, and whatever for: the kernel knows that it is over."""
    sleeper, busy = tree(2, cluster.conninfo('tls'), budget=2, lend_after_ms=0)
    sleeper.do('park', 2)
    cluster.admin_sql('select pg_terminate_backend(pid) from pg_stat_activity where'
                      " application_name like '%[w%'")
    assert busy.do('take', 2) == 2
    busy.do('give')
    wait_until(lambda: sleeper.do('work') == [('1',)])
