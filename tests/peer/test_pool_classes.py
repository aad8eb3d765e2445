# SPDX-License-Identifier: PostgreSQL
"""Every pool class of SQLAlchemy, with and without pool_pre_ping, through psycopg2."""
import pytest

from peer.harness import APPS, CLEAN_LOSS, PYTHON, need_python_module

POOLS = ['QueuePool', 'NullPool', 'StaticPool', 'SingletonThreadPool', 'AssertionPool']
QUERIES = 5


@pytest.fixture(autouse=True)
def installed():
    need_python_module('sqlalchemy', 'psycopg2')


def run(site, poolclass, transport, pre_ping):
    env = site.configure(transport, pre_ping=pre_ping)
    return site.run([PYTHON, APPS + '/pool_classes.py', poolclass], env)


def parent_is_intact(result, poolclass):
    """Every session of the parent goes on; NullPool alone has none to keep in its pool."""
    pooled = poolclass == 'NullPool' or result.get('pooled_after') == result['pooled']
    return (pooled and 'error' not in result and result['mark']
            and result['held_after'] == result['held'])


def of_parent(result):
    return {result['pooled'], result['held']}


def shared(result):
    return [backend for report in result['children'] for backend in report.get('backends', [])
            if backend in of_parent(result)]


def check_child(report, poolclass, notices):
    """What each child saw: its pool loses at most the one connection it inherited, once."""
    lost = 1 if notices and poolclass != 'NullPool' else 0
    assert len(report['errors']) == lost, report
    assert all(CLEAN_LOSS.search(error) for error in report['errors']), report
    assert len(report['backends']) == QUERIES - lost and report['status'] == 0, report


@pytest.mark.guards('tine', 'revive')
@pytest.mark.parametrize('transport', ['tls13', 'plain'])
@pytest.mark.parametrize('pre_ping', [False, True], ids=['noping', 'preping'])
@pytest.mark.parametrize('poolclass', POOLS)
def test_guarded(site, poolclass, pre_ping, transport):
    result = run(site, poolclass, transport, pre_ping)
    assert parent_is_intact(result, poolclass) and not shared(result), result
    for report in result['children']:
        check_child(report, poolclass, not pre_ping and not site.guard.revives)


@pytest.mark.guards('bare')
@pytest.mark.parametrize('transport', ['tls13', 'plain'])
@pytest.mark.parametrize('poolclass', POOLS)
def test_bare(site, poolclass, transport):
    """Pinged or not, a child's rollback or query reaches the parent's open transaction."""
    assert not parent_is_intact(run(site, poolclass, transport, True), poolclass)
