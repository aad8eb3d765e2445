# SPDX-License-Identifier: PostgreSQL
"""What tests of the libpq level share."""
import pytest

from libpq.programs import Remote, Runner
from support.proxy import Proxy


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


@pytest.fixture
def remote(run_on):
    """remote(conninfo, *options): a Remote whose CONNINFO that is."""
    running = []

    def start(conninfo, *options, env=None):
        running.append(Remote(run_on(conninfo), options, env))
        return running[-1]
    yield start
    for one in running:
        one.stop()
