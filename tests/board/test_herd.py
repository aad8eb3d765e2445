# SPDX-License-Identifier: PostgreSQL
"""A tree against a server that comes back, or refuses: how often it connects, counted in the
server's own log."""
import datetime
import re
import signal

import pytest

from boardtools import Tree, environment, forget
from support.cluster import Cluster
from support.procs import wait_until
from support.sampler import Sampler

WORKERS, THREADS = 8, 10
RECEIVED = re.compile(r'^(\S+ \S+) \S+ \[(\d+)\] .*connection received')
OVER = re.compile(r'\[(\d+)\] .*(connection authorized|FATAL: )')


@pytest.fixture(scope='module')
def cluster():
    with Cluster(max_connections=150, settings={'log_connections': 'on'}) as server:
        yield server


def in_start_up(log):
    """The most sessions that were on their way at the same time, by the order of the log. Those
    that nobody wanted any more end without a word there; for one that needs two seconds, on a
    machine that is busy, another may begin (TOKEN_LONGEST_MS)."""
    ended = {found[1] for found in OVER.finditer(log)}
    coming, most = {}, 0
    for line in log.splitlines():
        if (found := RECEIVED.search(line)) and found[2] in ended:
            now = datetime.datetime.fromisoformat(found[1]).timestamp()
            coming = {pid: at for pid, at in coming.items() if now - at < 1.9}
            coming[found[2]] = now
        elif found := OVER.search(line):
            coming.pop(found[1], None)
        most = max(most, len(coming))
    return most


def sessions(cluster):
    sampler = Sampler(cluster)
    count = sampler.sample()
    sampler.connection.close()
    return count


@pytest.mark.parametrize('parallel', [2, 5])
def test_a_server_that_comes_back_is_not_stormed(cluster, boards, parallel):
    """80 connections died at once, and 80 threads want another."""
    tree = Tree(environment(boards, cluster.conninfo('unix'), budget=WORKERS * THREADS,
                            pool_size=THREADS, connect_retry='yes', connect_parallel=parallel),
                WORKERS, THREADS, 400, 60)
    try:
        with Sampler(cluster) as sampler:
            wait_until(lambda: sampler.most > 60, 60, 'most connections')
        cluster.restart(signal.SIGINT)
        began = len(cluster.log_text())
        with Sampler(cluster) as sampler:
            wait_until(lambda: sampler.most > 60, 60, 'most connections')
        log = cluster.log_text()
    finally:
        tree.kill()
        wait_until(lambda: sessions(cluster) == 0, 30, 'the end of the tree')
        forget(boards)
    # The sampler connects, too.
    assert in_start_up(log[began:]) <= parallel + 1
    assert in_start_up(log) <= parallel + 1


def test_a_wrong_password_is_not_hammered(cluster, boards):
    """Everybody is told the same, and nobody asks the server for it each time."""
    refused = 'password authentication failed'
    before = cluster.log_text().count(refused)
    seconds = 5
    tree = Tree(environment(boards, cluster.conninfo('tls', password='wrong'), budget=40),
                WORKERS, 4, 1, seconds)
    workers = tree.end()
    tries = cluster.log_text().count(refused) - before
    assert len(workers) == WORKERS
    assert all(served == 0 and errors > 0 for served, _, errors, _, _ in workers)
    assert tree.errors.count(refused) > 10 * tries
    assert 1 <= tries <= 2 * seconds, tries
