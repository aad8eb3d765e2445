# SPDX-License-Identifier: PostgreSQL
"""A server with room for what a budget must keep out, and boards of which none may be left."""
import os

import pytest

from support.cluster import Cluster


@pytest.fixture(scope='module')
def cluster():
    with Cluster(max_connections=150) as server:
        yield server


@pytest.fixture
def boards(boards):
    """None is left behind."""
    yield boards
    assert os.listdir(boards) == []
