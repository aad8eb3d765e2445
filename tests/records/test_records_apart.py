# SPDX-License-Identifier: PostgreSQL
"""The reference service, one for each test: what goes over the wire, settings, reloads, a storage
that refuses."""
import os
import signal
import time

import pytest

from support import procs
from support.procs import wait_until
from support.proxy import Proxy
from support.s3 import Bucket
from support.service import Service

from recordstools import Proxied, newest, stored, upload

SOURCE = os.path.join(procs.ROOT, 'examples', 'records')
STATIC = os.listdir(os.path.join(SOURCE, 'static'))


@pytest.fixture
def bucket():
    with Bucket() as running:
        yield running


def test_no_byte_for_a_thousand_of_static_and_health(cluster, tmp_path):
    with Proxy(cluster) as proxy, Proxied(cluster, tmp_path, proxy, workers=2, threads=2,
                                          task_workers=0) as service:
        with service.visit('admin') as browser:
            browser.get('/admin/')

            def bytes_seen():
                count = proxy.count()
                return count['from_client'], count['from_server'], count['accepted']

            wait_until(lambda: bytes_seen() == (time.sleep(0.2) or bytes_seen()))
            before = bytes_seen()
            # with the session's cookie, which is not looked at
            for number in range(1000):
                path = '/health' if number % 2 else '/static/' + STATIC[number % len(STATIC)]
                assert browser.get(path).status == 200
            for path in ('/.env', '/wp-login.php', '/static/none', '/nowhere'):
                assert browser.get(path).status == 404
            assert bytes_seen() == before
            assert browser.get('/documents').status == 200
            assert bytes_seen() > before


def test_a_status_for_all_is_for_its_own_names(cluster, tmp_path):
    env = {'RECORDS_STATUS': 'all', 'RECORDS_HOSTS': 'localhost, 127.0.0.1'}
    with Service(cluster, tmp_path, workers=1, threads=2, env=env) as one, one.visit() as browser:
        assert browser.get('/status/json').status == 200
        assert browser.get('/status/json', Host='localhost:%d' % one.port).status == 200
        assert browser.get('/status/json', Host='evil.example').status == 421
        assert browser.get('/lots', Host='evil.example').status == 200


def test_settings_are_cached_and_outlive_the_database(cluster, tmp_path):
    with Proxy(cluster) as proxy, Proxied(cluster, tmp_path, proxy, workers=1, threads=4) as one, \
            one.visit() as browser:
        assert '<title>Records</title>' in browser.get('/').text
        cluster.admin_sql("update settings set title = 'Other', notice = 'From outside'")
        # cached for 300 s
        assert '<title>Records</title>' in browser.get('/').text
        one.reload()
        page = browser.get('/').text
        assert '<title>Other</title>' in page and 'From outside' in page
        proxy.refuse()
        proxy.rst()
        page = browser.get('/lots').text
        # the whole row is the last known one
        assert '<title>Other</title>' in page and 'From outside' in page
        assert 'data-database="away"' in page


def test_a_page_that_does_not_load_leaves_the_old_ones(cluster, tmp_path):
    home = tmp_path / 'home'
    for name in ('templates', 'static', 'sql'):
        (home / name).mkdir(parents=True)
        for file in os.listdir(os.path.join(SOURCE, name)):
            with open(os.path.join(SOURCE, name, file), encoding='utf-8') as text:
                (home / name / file).write_text(text.read())
    env = {'RECORDS_HOME': str(home)}
    with Service(cluster, tmp_path, workers=1, threads=1, env=env) as one, one.visit() as browser:
        (home / 'templates' / 'home.html').write_text('{{#broken}}')
        one.proc.popen.send_signal(signal.SIGHUP)
        wait_until(lambda: 'home.html' in one.proc.text())
        assert browser.get('/').status == 200 and 'data-page="home"' in browser.get('/').text
        (home / 'templates' / 'home.html').write_text('{{>head}}new one{{>foot}}')
        one.reload()
        assert 'new one' in browser.get('/').text


def test_a_storage_that_refuses(cluster, bucket, tmp_path):
    with stored(cluster, tmp_path, bucket) as service, service.visit('editor') as browser:
        assert upload(browser, 'x.txt', b'x').status == 303
        number, _ = newest(browser)
        bucket.fails = 500
        try:
            assert upload(browser, 'y.txt', b'y').status == 503
            assert browser.get('/documents/' + number).status == 503
            # the row is gone, which is what counts; the rest is told
            answer = browser.post('/documents/%s/delete' % number, csrf=browser.csrf)
            assert answer.status == 303
        finally:
            bucket.fails = None
        assert 'is left in the storage: the storage answered 500' in service.proc.text()
        assert 'y.txt' not in browser.get('/documents').text


def test_a_wrong_secret_of_the_bucket(cluster, bucket, tmp_path):
    service = stored(cluster, tmp_path, bucket)
    service._given['RECORDS_S3_SECRET'] = 'another secret'
    with service, service.visit('editor') as browser:
        assert upload(browser, 'x.txt', b'x').status == 503
        assert 'the storage answered 403' in service.proc.text()
        assert 'another secret' not in service.proc.text()
