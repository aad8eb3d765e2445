# SPDX-License-Identifier: PostgreSQL
"""One PostgreSQL for each module of pool tests, so that a test may do to it what it likes."""
import pytest

from support.cluster import Cluster


@pytest.fixture(scope='module')
def server(request):
    """The module's own server; SERVER in the module is what Cluster is made with."""
    with Cluster(**getattr(request.module, 'SERVER', {})) as cluster:
        yield cluster
