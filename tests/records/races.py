# SPDX-License-Identifier: PostgreSQL
"""The service under load and in trouble, built with ThreadSanitizer, which reports nothing.

Not collected by its name, since it takes a build of its own: tools/test runs it in the step tsan.
RECORDS_SECONDS is how long each trouble lasts.
"""
import os
import time

from support import troubles, visitors
from support.cluster import Cluster
from support.service import Service

SECONDS = float(os.environ.get('RECORDS_SECONDS', '3'))
# Everything that is there is asked for once.
PAGES = ('/status/', '/status/json', '/admin/', '/health/db', '/documents', '/lots', '/nothing')


def cause_trouble(service):
    with troubles.terminated_backends(service.cluster, 0.1, 2):
        time.sleep(SECONDS)
    service.reload()
    with troubles.killed_workers(service):
        time.sleep(SECONDS)
    troubles.restart(service.cluster)
    time.sleep(SECONDS / 2)
    service.reload()
    with service.visit('admin') as browser:
        for page in PAGES:
            assert browser.get(page).status, page


def test_there_are_no_races(tmp_path):
    reports = tmp_path / 'reports'
    reports.mkdir()
    with Cluster(max_connections=100, settings=troubles.DURABLE) as cluster, \
            Service(cluster, tmp_path, workers=2, threads=6, graceful_timeout_ms='60s',
                    acquire_timeout_ms='10s',
                    env={'TSAN_OPTIONS': 'log_path=%s/of' % reports}) as service:
        with open('/proc/%d/maps' % service.proc.pid, encoding='utf-8') as maps:
            assert 'libtsan' in maps.read(), 'this build has no ThreadSanitizer'
        with visitors.Load(visitors.World(service), 6, 3, pause_s=0.005) as load:
            cause_trouble(service)
        assert service.stop() == 0
    assert [path.read_text()[:8000] for path in reports.iterdir()] == []
    assert not load.tally.total(visitors.WRONG) and load.tally.total(visitors.CORRECT)
