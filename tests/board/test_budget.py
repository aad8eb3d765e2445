# SPDX-License-Identifier: PostgreSQL
"""Trees of processes with libtine on a real PostgreSQL: the budget, counted by the server."""
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from boardtools import TINE, Tree, environment
from support import procs
from support.cluster import Cluster
from support.sampler import Sampler


def test_a_tree_never_has_more_than_its_budget_and_uses_all_of_it(cluster, boards):
    tree = Tree(environment(boards, cluster.conninfo('unix'), budget=12), 6, 6, 5, 30)
    sampler = Sampler(cluster)
    until = time.monotonic() + 4
    while tree.running() and (time.monotonic() < until or sampler.most < 12):
        sampler.sample()
    tree.finish()
    sampler.watch(tree)
    workers = tree.end()
    assert sampler.most == 12
    assert len(workers) == 6
    for served, timeouts, errors, wrong, _ in workers:
        assert served > 0
        assert (timeouts, errors, wrong) == (0, 0, 0), tree.errors


def test_more_processes_than_permits_take_turns(cluster, boards):
    tree = Tree(environment(boards, cluster.conninfo('unix'), budget=3), 12, 2, 2, 5)
    sampler = Sampler(cluster)
    sampler.watch(tree)
    workers = tree.end()
    assert sampler.most <= 3
    assert len(workers) == 12
    assert all(served > 0 and not errors for served, _, errors, _, _ in workers), workers


def test_two_masters_of_one_name_share_one_budget(cluster, boards):
    env = environment(boards, cluster.conninfo('unix'), budget=6, name='shop')
    trees = [Tree(env, 3, 4, 3, 4) for _ in range(2)]
    sampler = Sampler(cluster)
    sampler.watch(*trees)
    workers = [worker for tree in trees for worker in tree.end()]
    assert sampler.most <= 6
    assert len(workers) == 6
    assert all(served > 0 and not errors for served, _, errors, _, _ in workers), workers


@pytest.mark.parametrize('transport', ['unix', 'tls'])
def test_the_permits_of_killed_workers_come_back(cluster, boards, transport):
    # Held for long enough that who waits for one wants another.
    tree = Tree(environment(boards, cluster.conninfo(transport), budget=4), 8, 3, 30, 60)
    sampler = Sampler(cluster)
    for _ in range(7):
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            sampler.sample()
        victim = tree.workers()[0]
        os.kill(victim, signal.SIGKILL)
        # A dead one is a child until its parent looks.
        procs.wait_until(lambda gone=victim: gone not in tree.workers())
    alone = time.monotonic()
    # All it has threads for is its own again.
    while sampler.sample() != 3:
        assert time.monotonic() < alone + 30, 'permits are lost'
    tree.finish()
    sampler.watch(tree)
    survivors = tree.end()
    assert sampler.most <= 4
    assert len(survivors) == 1
    assert survivors[0][0] > 0
    assert survivors[0][2:4] == (0, 0), tree.errors


def test_a_stopped_worker_holds_nobody_up(cluster, boards):
    tree = Tree(environment(boards, cluster.conninfo('unix'), budget=6), 6, 3, 3, 8)
    sampler = Sampler(cluster)
    while sampler.sample() < 6 and tree.running():
        pass
    stopped = tree.workers()[0]
    os.kill(stopped, signal.SIGSTOP)
    try:
        deadline = time.monotonic() + 30
        while len(tree.workers()) > 1 and time.monotonic() < deadline:
            sampler.sample()
    finally:
        os.kill(stopped, signal.SIGCONT)
    sampler.watch(tree)
    workers = tree.end()
    assert sampler.most <= 6
    assert len(workers) == 6
    assert all(served > 0 and not errors for served, _, errors, _, _ in workers), workers


def test_tine_run_gives_the_budget_to_what_it_runs(cluster, boards):
    command = [TINE, 'run', '--quiet', '--budget', '4', '--', 'sh', '-c', 'exec "$@"', 'sh']
    env = environment(boards, cluster.conninfo('unix'), pool_size=10)
    tree = Tree(env, 4, 4, 2, 3, command)
    sampler = Sampler(cluster)
    sampler.watch(tree)
    assert len(tree.end()) == 4
    assert sampler.most == 4


def test_after_exec_the_board_is_found_again_without_its_variable(cluster, boards):
    """Nothing came along: no descriptor, and none of tine's variables but where boards are."""
    script = 'unset TINE_BOARD LD_PRELOAD; exec "$@" 3>&- 4>&- 5>&- 6>&-'
    command = [TINE, 'run', '--quiet', '--budget', '4', '--', 'sh', '-c', script, 'sh']
    tree = Tree(environment(boards, cluster.conninfo('unix'), budget=50), 4, 4, 2, 3, command)
    sampler = Sampler(cluster)
    sampler.watch(tree)
    assert len(tree.end()) == 4
    # A program further down does not change what the tree was given.
    assert sampler.most == 4


def test_sessions_name_their_worker(cluster, boards):
    tree = Tree(environment(boards, cluster.conninfo('unix'), budget=4, application_name='a' * 63),
                2, 1, 1, 1)
    sampler = Sampler(cluster)
    sampler.watch(tree)
    tree.end()
    assert sampler.names
    for name in sampler.names:
        assert re.fullmatch(r'a{40,}\[w\d+:\d+\]', name)
        assert len(name) <= 63


def test_sessions_do_not_name_their_worker_where_that_is_off(cluster, boards):
    tree = Tree(environment(boards, cluster.conninfo('unix'), budget=4, application_name='shop',
                            identity='no'), 2, 1, 1, 1)
    sampler = Sampler(cluster)
    sampler.watch(tree)
    tree.end()
    assert sampler.names == {'shop'}


@pytest.mark.parametrize('reset', ['rollback', 'full'])
def test_the_statement_of_a_killed_worker_ends(cluster, boards, reset):
    env = environment(boards, cluster.conninfo('tls'), budget=2, orphan_check_ms='200ms',
                      reset=reset, on_connect_sql='SELECT 1')
    tree = Tree(env, 1, 1, 0, 1, statement='SELECT pg_sleep(60)')
    sampler = Sampler(cluster)
    try:
        procs.wait_until(lambda: sampler.active('pg_sleep'), what='the statement')
        os.kill(tree.workers()[0], signal.SIGKILL)
        procs.wait_until(lambda: sampler.sample() == 0, timeout=30, what='the end of the session')
        tree.end()
    finally:
        tree.kill()
    sampler.connection.close()


class Refuser:
    """A server that ends every connection at once, and counts them."""

    def __init__(self):
        self.times = []
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._refuse, daemon=True).start()

    def _refuse(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.times.append(time.monotonic())
            connection.close()


def test_an_outage_seen_by_one_is_known_to_all(boards):
    refuser = Refuser()
    conninfo = 'host=127.0.0.1 port=%d user=nobody dbname=nothing' % refuser.port
    tree = Tree(environment(boards, conninfo, budget=40, connect_retry='yes',
                            acquire_timeout_ms=3000), 8, 4, 1, 4)
    tree.end()
    refuser.listener.close()
    first = refuser.times[0]
    early = [at for at in refuser.times if at < first + 1]
    late = [at for at in refuser.times if at >= first + 1]
    # One tries once a second, less up to a quarter. Eight pools that know nothing of each other
    # would try eight times as often.
    assert len(early) <= 12, len(early)
    assert 2 <= len(late) <= 1.6 * (refuser.times[-1] - first), len(late)


def test_after_an_outage_everybody_is_served_soon(boards):
    with Cluster(max_connections=100) as server:
        # Held for long enough that who waits for one wants another.
        tree = Tree(environment(boards, server.conninfo('tls'), budget=16, connect_retry='yes'),
                    8, 2, 100, 60)
        sampler = Sampler(server)
        while sampler.sample() < 16 and tree.running():
            pass
        sampler.connection.close()
        server.restart(signal.SIGINT)
        back = time.monotonic()
        sampler = Sampler(server)
        served, first = set(), None
        while len(served) < 8 and time.monotonic() < back + 10:
            sampler.sample()
            served = {name.split('[')[-1] for name in sampler.names}
            first = first or (served and time.monotonic())
        all_served = time.monotonic()
        tree.finish()
        sampler.watch(tree)
        tree.end()
    assert len(served) == 8
    assert first - back < 3
    assert all_served - back < 5
    assert sampler.most <= 16


def test_a_timeout_names_who_has_the_permits(cluster, boards):
    env = environment(boards, cluster.conninfo('unix'), budget=2, acquire_timeout_ms=300)
    tree = Tree(env, 3, 2, 2000, 4)
    tree.end()
    said = [line for line in tree.errors.splitlines() if 'no permit' in line]
    assert said
    assert re.search(r'no permit within \d+ ms: of the budget of 2 connections for all processes'
                     r' \d are in use, \d+ acquires wait: w\d:\d+ has \d', said[0]), said[0]


@pytest.mark.parametrize('name', ['', '../up', '.hidden', 'a b', 'x' * 64])
def test_a_bad_name_is_refused(boards, name):
    done = subprocess.run([TINE, 'run', '--name', name, '--', 'true'], check=False, timeout=30,
                          env=environment(boards, ''), capture_output=True, text=True)
    assert done.returncode == 100
    assert 'name' in done.stderr
