# SPDX-License-Identifier: PostgreSQL
"""A server with room for what a budget must keep out, and boards of a test's own."""
import os

import pytest

from support.cluster import Cluster


@pytest.fixture(scope='module')
def cluster():
    with Cluster(max_connections=150) as server:
        yield server


@pytest.fixture
def boards(tmp_path):
    """Each test has boards of its own; none is left behind."""
    directory = tmp_path / 'boards'
    directory.mkdir(mode=0o700)
    yield str(directory)
    assert os.listdir(directory) == []
