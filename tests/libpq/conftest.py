# SPDX-License-Identifier: PostgreSQL
"""What tests of the libpq level share: how a program is run under tine, and what it logged."""
import os
import subprocess

import pytest

from support import procs
from support.proxy import Proxy

PATH = '/usr/bin:/usr/sbin:/bin:/sbin'
TESTS = os.path.join(os.path.dirname(procs.tine_path()), 'tests', 'libpq')


class Runner:
    """Runs programs under tine run --verbose, or bare; their log."""

    def __init__(self, directory, conninfo):
        self._log = directory / 'tine.log'
        self._conninfo = conninfo

    def start(self, words, env=None, options=(), cwd=None, bare=False):
        """The finished process, whatever its end."""
        command = [] if bare else procs.tine_command('--verbose', '--log', self._log, *options)
        base = {name: value for name, value in os.environ.items()
                if not name.startswith(('PG', 'TINE_', 'LD_'))}
        base.update(PATH=PATH, CONNINFO=self._conninfo, **(env or {}))
        return subprocess.run([*command, *map(str, words)], env=base, capture_output=True,
                              text=True, timeout=100, cwd=cwd, check=False)

    def __call__(self, words, **more):
        """The standard output of a program that must succeed."""
        done = self.start(words, **more)
        assert done.returncode == 0, (done.stdout, done.stderr, self.log())
        return done.stdout

    def log(self):
        return self._log.read_text() if self._log.exists() else ''


@pytest.fixture
def run(cluster, tmp_path):
    """Programs find their database in CONNINFO, over TLS."""
    return Runner(tmp_path, cluster.conninfo('tls'))


@pytest.fixture
def run_on(cluster, tmp_path):
    """The same, on another transport or behind something else."""
    return lambda conninfo: Runner(tmp_path, conninfo)


@pytest.fixture
def proxy(cluster):
    with Proxy(cluster) as running:
        yield running
