# SPDX-License-Identifier: PostgreSQL
"""Gunicorn with a pool of libtine in its workers, under load and under one budget, while they are
replaced: never more sessions than the budget, counted by the server all the time."""
import http.client
import os
import shutil
import signal

import pytest

from boardtools import TINE, environment, forget
from support import procs
from support.repeated import Repeated
from support.sampler import Sampler

WORKERS, THREADS = 3, 4
# What it needs, and no more.
BUDGET = WORKERS * THREADS


@pytest.fixture(autouse=True)
def installed():
    if not shutil.which('gunicorn'):
        pytest.skip('gunicorn is not installed')


class Load(Repeated):
    """Clients that ask all the time; what they were answered."""

    def __init__(self, port, clients=BUDGET + 4):
        super().__init__(*[self._ask_on] * clients)
        self.port, self.pids, self.refused, self.failed = port, set(), 0, []

    def _ask_on(self):
        try:
            self._ask()
        except (OSError, http.client.HTTPException):
            # A worker that leaves ends connections that it has not read from.
            self.refused += 1
            self.over.wait(0.01)

    def _ask(self):
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=40)
        try:
            connection.request('GET', '/')
            answer = connection.getresponse()
            text = answer.read().decode(errors='replace')
            if answer.status == 200:
                self.pids.add(int(text))
            else:
                self.failed.append(text)
        finally:
            connection.close()


def children(pid):
    with open('/proc/%d/task/%d/children' % (pid, pid), encoding='ascii') as file:
        return {int(child) for child in file.read().split()}


class Gunicorn(procs.Proc):
    def __init__(self, boards, cluster, folder, *options, run=('--budget', BUDGET)):
        self.boards = boards
        self.port, self.pidfile = procs.free_port(), str(folder / 'pid')
        here = os.path.dirname(os.path.abspath(__file__))
        env = environment(boards, cluster.conninfo('unix'), pool_size=THREADS, max_overflow=10)
        env['PYTHONPATH'] = os.pathsep.join([os.path.join(here, 'apps'), os.path.dirname(here)])
        super().__init__([TINE, 'run', '--quiet', *map(str, run), '--', 'gunicorn',
                          '--workers', str(WORKERS), '--threads', str(THREADS), '--bind',
                          '127.0.0.1:%d' % self.port, '--pid', self.pidfile, *options,
                          'shop:application'], env=env)

    def start(self):
        super().start()
        self.wait_ready(lambda: len(children(self.pid)) == WORKERS and procs.port_open(self.port))
        return self

    def running(self):
        return self.popen.poll() is None

    def stop(self, *args, **kwargs):
        super().stop(*args, **kwargs)
        forget(self.boards)

    def master(self, suffix=''):
        """The pid that it has written, or None."""
        try:
            with open(self.pidfile + suffix, encoding='ascii') as file:
                return int(file.read())
        except (OSError, ValueError):
            return None


def served_by(load, pids):
    procs.wait_until(lambda: load.pids >= pids, 60, 'answers of all of %s' % pids)


@pytest.mark.parametrize('options', [[], ['--preload']])
def test_a_reload_never_has_more_than_the_budget(cluster, boards, tmp_path, options):
    with Gunicorn(boards, cluster, tmp_path, *options) as server, Load(server.port) as load, \
            Sampler(cluster) as sampler:
        for _ in range(2):
            workers = children(server.pid)
            served_by(load, workers)
            os.kill(server.pid, signal.SIGHUP)
            procs.wait_until(lambda old=workers: not children(server.pid) & old, 60, 'new workers')
        served_by(load, children(server.pid))
    assert BUDGET - 3 <= sampler.most <= BUDGET
    assert load.failed == []


def test_workers_that_are_recycled_share_the_budget(cluster, boards, tmp_path):
    with Gunicorn(boards, cluster, tmp_path, '--max-requests', '40', '--max-requests-jitter',
                  '20') as server, Load(server.port) as load, Sampler(cluster) as sampler:
        procs.wait_until(lambda: len(load.pids) >= 4 * WORKERS, 60, 'recycled workers')
        assert server.running()
    assert sampler.most <= BUDGET
    assert load.failed == []


@pytest.mark.parametrize('run', [('--budget', BUDGET), ('--budget', BUDGET, '--name', 'shop')])
def test_an_old_and_a_new_master_share_the_budget(cluster, boards, tmp_path, run):
    """USR2, then the old one is told to leave."""
    with Gunicorn(boards, cluster, tmp_path, run=run) as server, Load(server.port) as load, \
            Sampler(cluster) as sampler:
        old = children(server.pid)
        served_by(load, old)
        os.kill(server.pid, signal.SIGUSR2)
        procs.wait_until(lambda: server.master('.2') and len(children(server.master('.2'))) ==
                         WORKERS, 60, 'the new master')
        new = server.master('.2')
        served_by(load, children(new))
        os.kill(server.pid, signal.SIGTERM)
        procs.wait_until(lambda: not server.running(), 60, 'the end of the old master')
        load.pids.clear()
        served_by(load, children(new))
        assert load.pids == children(new)
    assert BUDGET - 3 <= sampler.most <= BUDGET
    assert load.failed == []
