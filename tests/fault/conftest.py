# SPDX-License-Identifier: PostgreSQL
"""A fault proxy in front of the worker's PostgreSQL, for each test a new one."""
import os

import pytest

from support.proxy import Proxy, Unsupported, proxy_path


@pytest.fixture
def proxy(cluster):
    if not os.access(proxy_path(), os.X_OK):
        pytest.fail('%s is not built' % proxy_path())
    with Proxy(cluster) as running:
        yield running


@pytest.fixture
def can_vanish(proxy):
    """For tests that lose packets: skipped with the reason where that is not possible."""
    try:
        proxy.vanish()
    except Unsupported as err:
        pytest.skip(str(err))
    proxy.pass_all()
