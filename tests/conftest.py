# SPDX-License-Identifier: PostgreSQL
"""What all Python tests share: the path to support/, one PostgreSQL and Redis per worker."""
import os
import shutil
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from support import procs                      # noqa: E402  (the path had to be set first)
from support.cluster import Cluster            # noqa: E402


def _terminated(_signum, _frame):
    raise KeyboardInterrupt('terminated')


def pytest_configure():
    # SIGTERM must end fixtures too, as Ctrl-C does: servers are stopped, directories removed.
    signal.signal(signal.SIGTERM, _terminated)


@pytest.fixture(scope='session')
def cluster():
    """A private PostgreSQL server; with pytest-xdist each worker has its own."""
    with Cluster(max_connections=200) as server:
        yield server


@pytest.fixture(scope='session')
def redis():
    """A private Redis server; with pytest-xdist each worker has its own."""
    if not shutil.which('redis-server'):
        pytest.skip('redis-server is not installed')
    with procs.Redis() as server:
        yield server


@pytest.fixture
def boards(tmp_path):
    """Each test has boards of its own."""
    directory = tmp_path / 'boards'
    directory.mkdir(mode=0o700)
    return str(directory)


@pytest.fixture
def tine():
    """tine_command(*options): the words that put a command under `tine run`."""
    if not os.access(procs.tine_path(), os.X_OK):
        pytest.fail('%s is not built' % procs.tine_path())
    return procs.tine_command
