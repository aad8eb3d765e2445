# SPDX-License-Identifier: PostgreSQL
"""tine run --pool: who logs in where depends on the process's root directory and namespaces."""
import os
import subprocess

import pytest

from libpq.programs import PATH
from support import procs
from support.cluster import Cluster

STEPS = os.path.join(os.path.dirname(procs.tine_path()), 'tests', 'libpq', 'steps')


@pytest.fixture(scope='module')
def server():
    """Of its own, since sessions are counted."""
    with Cluster(max_connections=60) as cluster:
        yield cluster


@pytest.fixture
def steps(server):
    """Run a script of steps.c over a Unix socket, which is the same one in all networks."""
    def run(script):
        done = subprocess.run(
            [*procs.tine_command('--pool', 2), STEPS, *script.split()], text=True,
            env={'PATH': PATH, 'PGHOST': server.socket_dir, 'PGPORT': str(server.port),
                 'PGUSER': server.user, 'PGDATABASE': server.dbname,
                 'PGPASSWORD': server.password},
            capture_output=True, timeout=100, check=False)
        if done.returncode == 77:
            pytest.skip('the kernel does not let us')
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done.stdout.split()
    return run


@pytest.mark.parametrize('place', ['chroot', 'mount', 'net', 'user', 'setns'])
def test_who_has_moved_has_no_pool(steps, place):
    pids = steps('open open finish open count=2 place=%s '
                 'finish count=1 pid finish open pid finish open count=1 pid' % place)
    assert len(set(pids)) == 3


@pytest.mark.parametrize('place', ['chroot', 'mount', 'net', 'user', 'setns'])
def test_what_is_parked_is_closed_at_once(steps, place):
    steps('open open finish count=2 place=%s count=1' % place)


@pytest.mark.parametrize('place', ['uts', 'vfork'])
def test_who_is_where_it_was_has_its_pool(steps, place):
    pids = steps('open pid finish place=%s open pid' % place)
    assert len(set(pids)) == 1


def test_a_child_that_moves(steps):
    pids = steps('open pid finish fork place=chroot open pid finish open pid finish end open pid')
    assert len(set(pids)) == 3 and pids[0] == pids[3]
