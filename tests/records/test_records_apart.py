# SPDX-License-Identifier: PostgreSQL
"""The reference service, one for each test: what goes over the wire, settings, reloads, a storage
that refuses."""
import os
import resource
import signal
import socket
import threading
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


def test_a_head_that_never_ends_does_not_keep_a_worker(cluster, tmp_path):
    with Service(cluster, tmp_path, workers=1, threads=1, graceful_timeout_ms='120s') as one:
        with socket.create_connection(('127.0.0.1', one.port), timeout=20) as sock:
            sock.sendall(b'GET /health HTTP/1.1\r\nHost: x\r\nX-Long: ')
            ended = threading.Event()

            def trickle():
                while not ended.wait(0.2):
                    try:
                        sock.sendall(b'x')
                    except OSError:
                        return
            thread = threading.Thread(target=trickle)
            thread.start()
            try:
                began = time.monotonic()
                one.reload()
                wait_until(lambda: not thread.is_alive(), 60, 'the end of the connection')
                assert time.monotonic() - began < 60
            finally:
                ended.set()
                thread.join()


def test_connections_that_do_nothing_make_room(cluster, tmp_path):
    """With few descriptors: no more connections than there are, and the idle ones go."""
    with Service(cluster, tmp_path, workers=1, threads=2) as one:
        resource.prlimit(one.proc.popen.pid, resource.RLIMIT_NOFILE, (300, 300))
        one.reload()
        socks = [socket.create_connection(('127.0.0.1', one.port), timeout=20)
                 for _ in range(100)]
        try:
            with one.visit() as browser:
                assert browser.get('/health').status == 200
                assert browser.get('/documents').status == 303
        finally:
            for sock in socks:
                sock.close()
        assert 'Too many open files' not in one.proc.text()


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
