# SPDX-License-Identifier: PostgreSQL
"""Fixtures of the tests with real programs: each runs bare or under tine, by parameter."""
import pytest

from peer.harness import Guard, Site


def pytest_configure(config):
    config.addinivalue_line('markers', 'guards(*names): what it runs under, of harness.GUARDS')


def pytest_generate_tests(metafunc):
    # A test that asks for `site` without naming guards of its own runs under tine alone; one that
    # must also be seen to fail says @pytest.mark.guards('bare', 'tine'), or names them by case.
    by_case = any('guard' in mark.args[0].split(',')
                  for mark in metafunc.definition.iter_markers('parametrize'))
    if 'guard' in metafunc.fixturenames and not by_case:
        mark = metafunc.definition.get_closest_marker('guards')
        metafunc.parametrize('guard', mark.args if mark else ['tine'], indirect=True)


@pytest.fixture
def guard(request, tmp_path):
    tine = None if request.param == 'bare' else request.getfixturevalue('tine')
    return Guard(tine, str(tmp_path), request.param)


@pytest.fixture
def site(cluster, guard, tmp_path):
    return Site(cluster, guard, tmp_path)
