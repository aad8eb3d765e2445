# SPDX-License-Identifier: PostgreSQL
"""The service under load while something happens to it; every answer is checked.

Reads: every answer is right, but for the time in which there is no database; then it is a page that
says so, and soon. Writes: nothing that was acknowledged is lost, nothing is stored twice.

RECORDS_SECONDS is how long each trouble lasts; `make soak` has it longer.
"""
import os
import signal
import time

import pytest

from support import troubles, visitors
from support.board import Member, trees
from support.cluster import Cluster
from support.procs import wait_until
from support.service import Service
from support.visitors import FAILED, SOFT, WRONG

SECONDS = float(os.environ.get('RECORDS_SECONDS', '4'))
AWAY_SECONDS = 20 if SECONDS >= 20 else SECONDS
ACQUIRE_S = 10
# What a machine that does other things, too, adds to a time limit.
SLACK_S = 8
# How long the way back may take once the server is there.
RECOVERY_S = 8
JOBS_S = 60


@pytest.fixture(scope='module')
def server():
    with Cluster(max_connections=100, settings=troubles.DURABLE) as cluster:
        yield cluster


@pytest.fixture(scope='module')
def service(server, tmp_path_factory):
    with Service(server, tmp_path_factory.mktemp('records'), workers=2, threads=8, budget=24,
                 pool_size=8, name='records-test', acquire_timeout_ms='%ds' % ACQUIRE_S,
                 graceful_timeout_ms='20s',
                 env={'RECORDS_JOB_BACKOFF_MS': '100ms', 'RECORDS_JOB_ATTEMPTS': '100'}) as running:
        yield running


@pytest.fixture(scope='module')
def world(service):
    return visitors.World(service)


def audit(service, load):
    """Writes: none twice, none lost that was acknowledged. Jobs take their time."""
    def settled():
        found = visitors.audit(service.cluster, load.writes)
        return found if not found.lost else None
    found = wait_until(settled, JOBS_S, 'the end of all jobs')
    assert not found.twice


def check(service, load, windows=(), cut=False, most_s=ACQUIRE_S + SLACK_S):
    """@param windows when there was no database  @param cut connections may have been cut"""
    tally = load.tally
    assert not tally.troubles, '%s\n%s' % (tally.counts, '\n'.join(tally.troubles[:10]))
    strays = tally.strays(windows, RECOVERY_S)
    assert not strays, '%d soft answers with the server there: %s' % (strays, tally.counts)
    assert cut or not tally.again
    assert tally.slowest() < most_s
    assert tally.total(FAILED) == tally.total(WRONG) == 0
    for kind in ('lot', 'document', 'home', 'write document', 'write note', 'write lot'):
        assert tally.counts[kind]['correct'], kind
    audit(service, load)


def mark(answer, *names):
    return tuple(answer.marks()[name] for name in names)


def is_well(service):
    with service.visit() as browser:
        return browser.get('/health/db').status == 200


def progress(load, more=50):
    """Wait until so many more answers came that were right."""
    seen = load.tally.total('correct')
    wait_until(lambda: load.tally.total('correct') > seen + more, what='%d more answers' % more)


@pytest.mark.parametrize('interval_s, spared', [(0.1, 0), (0.01, 3)], ids=['now-and-then', 'often'])
def test_backends_are_terminated(service, world, interval_s, spared):
    """Often: those that are just being opened, too."""
    with visitors.Load(world) as load:
        progress(load)
        with troubles.terminated_backends(service.cluster, interval_s, spared) as terminated:
            time.sleep(SECONDS)
        progress(load)
    assert terminated.count >= SECONDS * 2
    check(service, load)


@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGQUIT], ids=['fast', 'immediate'])
def test_the_server_restarts(service, world, how):
    with visitors.Load(world) as load:
        progress(load)
        window = troubles.restart(service.cluster, how)
        progress(load, 200)
    check(service, load, [window])


def test_the_server_is_away(service, world):
    health = []

    def meanwhile():
        assert mark(admin.get('/'), 'user', 'database') == ('', 'away')
        with service.visit() as browser:
            end = time.monotonic() + AWAY_SECONDS * 0.6
            while time.monotonic() < end:
                health.append(browser.get('/health/db'))
                time.sleep(0.1)
    with visitors.Load(world) as load, service.visit('admin') as admin:
        progress(load)
        before = dict(admin.cookies)
        window = troubles.away(service.cluster, AWAY_SECONDS, meanwhile)
        wait_until(lambda: is_well(service))
        progress(load, 200)
        # the cookie was kept, and says who it is
        assert before == admin.cookies
        assert mark(admin.get('/'), 'user', 'database') == ('admin', 'ok')
    assert health and {answer.status for answer in health} == {503}
    assert max(answer.seconds for answer in health) < 2 + SLACK_S
    assert load.tally.total(SOFT) > 0
    check(service, load, [window])


def test_tls_is_switched_off(service, world):
    """A service that must not talk in the clear has no database then, and says so."""
    cluster = service.cluster

    def meanwhile():
        with service.visit() as browser:
            wait_until(lambda: browser.get('/health/db').status == 503)
            assert 'TINE_E_TLS' in browser.get('/health/db').text
        plain = cluster.admin_sql('select count(*) from pg_stat_ssl join pg_stat_activity using '
                                  "(pid) where not ssl and usename = 'app'")
        assert plain == [(0,)]
    with visitors.Load(world) as load:
        progress(load)
        window = troubles.without_tls(cluster, SECONDS, meanwhile)
        wait_until(lambda: is_well(service))
        progress(load, 200)
    assert load.tally.total(SOFT) > 0
    check(service, load, [window])


def test_workers_are_killed(service, world):
    first = set(service.workers())
    with visitors.Load(world) as load:
        progress(load)
        with troubles.killed_workers(service) as killed:
            time.sleep(SECONDS)
        progress(load)
        wait_until(lambda: len(service.workers()) == len(first), what='all workers')
    assert killed.count >= 2 and first != set(service.workers())
    check(service, load, cut=True)


def test_task_workers_are_killed(service, world):
    with visitors.Load(world) as load:
        progress(load)
        with troubles.killed_workers(service, kind='task') as killed:
            time.sleep(SECONDS)
    assert killed.count >= 2
    check(service, load)


def test_it_is_reloaded(service, world):
    with visitors.Load(world) as load:
        progress(load)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            service.reload()
        progress(load)
    check(service, load, cut=True)


def test_the_budget_is_halved(service, world):
    """A process joins the board by its name and says another budget."""
    def sessions():
        return len(service.backends())
    with visitors.Load(world, readers=16) as load:
        wait_until(lambda: sessions() > 4)
        progress(load)
        with Member(service.folder, 'name=records-test', 'budget=4'):
            tree, = trees(service.folder)
            assert tree['permits']['budget'] == 4
            wait_until(lambda: sessions() <= 4, what='four sessions at most')
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                # the server takes its time to end a session that was closed, on a busy machine
                wait_until(lambda: sessions() <= 4, SLACK_S, 'four sessions at most')
                progress(load, 20)
        with Member(service.folder, 'name=records-test', 'budget=24'):
            progress(load)
    check(service, load)
