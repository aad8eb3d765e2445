# SPDX-License-Identifier: PostgreSQL
"""The reference service: documents, on both kinds of storage, and what a file may be called."""
import http.client
import os
import re
import socket

import pytest

from support import procs
from support.s3 import Bucket

from recordstools import LIMIT, newest, stored, upload

@pytest.fixture(scope='module')
def bucket():
    with Bucket() as running:
        yield running


class Stores:
    """What a storage has, whichever it is."""

    def __init__(self, service, bucket=None):
        self.service, self.bucket = service, bucket
        self.folder = os.path.join(service.folder, 'files')

    def keys(self):
        return set(self.bucket.objects if self.bucket else os.listdir(self.folder))

    def lose(self, key):
        if self.bucket:
            del self.bucket.objects[key]
        else:
            os.unlink(os.path.join(self.folder, key))


@pytest.fixture(scope='module', params=['local', 's3'])
def stores(request, cluster, tmp_path_factory):
    bucket = request.getfixturevalue('bucket') if request.param == 's3' else None
    with stored(cluster, tmp_path_factory.mktemp('records'), bucket) as service:
        yield Stores(service, bucket)


@pytest.fixture
def browser(stores):
    with stores.service.visit('editor') as one:
        yield one


# ---- there and back ----------------------------------------------------------------------------

@pytest.mark.parametrize('data', [b'', b'x', b'a\r\n--b\0\xff' * 500, os.urandom(LIMIT)],
                         ids=['empty', 'one', 'bytes', 'limit'])
def test_there_and_back(stores, browser, data):
    before = stores.keys()
    assert upload(browser, 'some file.bin', data).status == 303
    key, = stores.keys() - before
    assert re.fullmatch('[0-9a-f]{32}', key)
    number, name = newest(browser)
    answer = browser.get('/documents/' + number)
    assert (answer.status, answer.body, name) == (200, data, 'some file.bin')
    assert answer.headers['Content-Disposition'] == (
        'attachment; filename="some file.bin"; filename*=UTF-8\'\'some%20file.bin')
    answer = browser.post('/documents/%s/delete' % number, csrf=browser.csrf)
    assert (answer.status, answer.headers['Location']) == (303, '/documents')
    assert stores.keys() == before
    assert browser.get('/documents/' + number).status == 404
    assert browser.post('/documents/%s/delete' % number, csrf=browser.csrf).status == 404


def test_the_deletion_of_what_is_gone_is_told_and_done(stores, browser):
    before = stores.keys()
    assert upload(browser, 'lost.txt', b'x').status == 303
    stores.lose((stores.keys() - before).pop())
    number, _ = newest(browser)
    answer = browser.get('/documents/' + number)
    assert answer.status == 404 and 'its file is gone' in answer.text
    answer = browser.post('/documents/%s/delete' % number, csrf=browser.csrf)
    assert (answer.status, answer.headers['Location']) == (303, '/documents?gone=1')
    assert 'gone already' in browser.get('/documents?gone=1').text
    assert 'was gone from the storage already' in stores.service.proc.text()
    assert browser.get('/documents/' + number).status == 404


def test_a_form_that_is_sent_twice_is_stored_once(stores, browser):
    before = stores.keys()
    for _ in range(3):
        assert upload(browser, 'twice.txt', b'x', key='the-same-key').status == 303
    assert len(stores.keys() - before) == 1
    rows = stores.service.cluster.admin_sql("select 1 from documents where name = 'twice.txt'")
    assert len(rows) == 1


def test_a_used_form_with_another_file_is_not_taken_for_the_same(stores, browser):
    """As after going back in a browser, which fills in the hidden field again."""
    assert upload(browser, 'first.txt', b'first', key='key-of-back').status == 303
    before = stores.keys()
    with stores.service.visit('admin') as admin:
        for who, name, data in ((browser, 'second.txt', b'first'), (browser, 'first.txt', b'other'),
                                (admin, 'first.txt', b'first')):
            answer = upload(who, name, data, key='key-of-back')
            assert answer.status == 409 and 'not stored' in answer.text
    assert stores.keys() == before
    assert browser.get('/documents/' + newest(browser)[0]).body == b'first'


def test_no_file_was_chosen(stores, browser):
    page = browser.get('/documents')
    for answer in (upload(browser, '', b''),
                   browser.post('/documents', csrf=page.field('csrf'), key='x')):
        assert answer.status == 422


# ---- names -------------------------------------------------------------------------------------

NAMES = [
    ('../../../etc/passwd', 'passwd'), ('..', 'document'), ('C:\\temp\\x.txt', 'x.txt'),
    ('<script>alert(1)</script>', 'script&gt;'), ('a&b\'c.txt', 'a&amp;b&#39;c.txt'),
    ('prüfung.pdf', 'prüfung.pdf'), ('x' * 500, 'x' * 200), ('a;b="c', 'a;b='),
]


@pytest.mark.parametrize('name, shown', NAMES, ids=range(len(NAMES)))
def test_what_a_file_may_be_called(stores, browser, name, shown):
    before = stores.keys()
    assert upload(browser, name, b'data').status == 303
    number, listed = newest(browser)
    assert listed == shown
    answer = browser.get('/documents/' + number)
    assert (answer.status, answer.body) == (200, b'data')
    assert re.fullmatch(r'attachment; filename="[\w. -]+"; filename\*=UTF-8\'\'[\w.%-]+',
                        answer.headers['Content-Disposition'])
    assert all(re.fullmatch('[0-9a-f]{32}', key) for key in stores.keys() - before)


@pytest.mark.parametrize('path', [
    '/documents/..%2f..%2fetc%2fpasswd', '/documents/%2e%2e', '/documents/1%00', '/documents/-1',
    '/documents/99999999999999999999', '/documents/1e3', '/documents/1;drop', '/documents/',
    '/static/../documents.c', '/static/%2e%2e/sql/0001-first.sql', '/static/..%2fmain.c',
    '/static//etc/passwd', '/static/'])
def test_there_is_no_way_out(stores, browser, path):
    # 1%00 is 1, which may be there
    assert browser.get(path).status == 404 or path.endswith('%00')


def test_a_type_that_is_none_is_not_sent_back(stores, browser):
    page = browser.get('/documents')
    body = ('--border\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n%s\r\n'
            '--border\r\nContent-Disposition: form-data; name="key"\r\n\r\n%s\r\n'
            '--border\r\nContent-Disposition: form-data; name="file"; filename="x.html"\r\n'
            'Content-Type: text/html\x01evil\r\n\r\n<script>\r\n--border--\r\n'
            % (page.field('csrf'), page.field('key'))).encode()
    answer = browser.ask('POST', '/documents', body, {
        'Content-Type': 'multipart/form-data; boundary=border'})
    assert answer.status == 303
    answer = browser.get('/documents/' + newest(browser)[0])
    assert answer.headers['Content-Type'] in ('text/html', 'application/octet-stream')
    assert answer.headers['Content-Disposition'].startswith('attachment')
    assert answer.headers['X-Content-Type-Options'] == 'nosniff'


# ---- too large ---------------------------------------------------------------------------------

def test_a_document_that_is_too_large(stores, browser):
    before = stores.keys()
    for size in (LIMIT + 1, LIMIT * 2, 3000000):
        answer = upload(browser, 'large.bin', b'x' * size)
        assert (answer.status, answer.marks()['page']) == (413, 'error')
        assert '100000 bytes' in answer.text and 'href="/"' in answer.text
    assert stores.keys() == before and browser.get('/documents').status == 200


def test_a_client_that_asks_first_sends_nothing(stores, browser):
    with socket.create_connection(('127.0.0.1', stores.service.port), timeout=20) as sock:
        sock.sendall(b'POST /documents HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n'
                     b'Content-Type: multipart/form-data; boundary=b\r\n'
                     b'Expect: 100-continue\r\n\r\n')
        answer = sock.makefile('rb').read()
    assert answer.startswith(b'HTTP/1.1 413 ') and b'data-page="error"' in answer


@pytest.mark.parametrize('length', ['99999999999999999999', '-1', '1x', '4000000000000'])
def test_lengths_that_are_none(stores, browser, length):
    with socket.create_connection(('127.0.0.1', stores.service.port), timeout=20) as sock:
        sock.sendall(b'POST /documents HTTP/1.1\r\nHost: x\r\nContent-Length: %s\r\n\r\n'
                     % length.encode())
        assert re.match(rb'HTTP/1.1 4\d\d ', sock.makefile('rb').read())
    assert browser.get('/health').status == 200


def test_fields_that_are_too_large(stores, browser):
    answer = browser.post('/login', csrf=browser.csrf, name='x' * 70000, password='x')
    assert answer.status == 413
    many = '&'.join('a%d=1' % number for number in range(100)).encode()
    answer = browser.ask('POST', '/login', many, {
        'Content-Type': 'application/x-www-form-urlencoded'})
    assert answer.status == 413


def nothing_unread(port):
    """Has the service read all that was sent to this port?"""
    with open('/proc/net/tcp', encoding='ascii') as table:
        rows = [line.split() for line in list(table)[1:]]
    ends = [row for row in rows if any(end.endswith(':%04X' % port) for end in row[1:3])]
    return all(row[4] == '00000000:00000000' for row in ends if row[3] == '01')


def test_many_at_once_do_not_fill_the_disk(stores, browser):
    """Of more than eight of the largest to a worker, some are told to come again."""
    page = browser.get('/documents')
    jar = '; '.join('%s=%s' % pair for pair in browser.cookies.items())
    conns = []
    for number in range(20):
        parts = (('name="csrf"', page.field('csrf')), ('name="key"', 'many-%d' % number),
                 ('name="file"; filename="many"', 'x' * (LIMIT - 1)))
        body = ''.join('--border\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n' % part
                       for part in parts).encode() + b'--border--\r\n'
        conn = http.client.HTTPConnection('127.0.0.1', stores.service.port, timeout=60)
        conn.putrequest('POST', '/documents')
        for header in (('Content-Type', 'multipart/form-data; boundary=border'),
                       ('Content-Length', str(len(body))), ('Cookie', jar)):
            conn.putheader(*header)
        conn.endheaders(body[:-10])
        conns.append((conn, body[-10:]))
    procs.wait_until(lambda: nothing_unread(stores.service.port), what='all is read')
    for conn, rest in conns:
        conn.send(rest)
    answers = [conn.getresponse().status for conn, _ in conns]
    for conn, _ in conns:
        conn.close()
    assert set(answers) == {303, 503}, answers
    assert upload(browser, 'after.txt', b'x').status == 303


def test_who_has_no_session_stores_nothing(stores):
    before = stores.keys()
    with stores.service.visit() as nobody:
        word = nobody.get('/login').field('csrf')
        answer = nobody.upload('/documents', 'x', b'x' * 1000, csrf=word, key='k')
        assert (answer.status, answer.headers['Location']) == (303, '/login?next=/')
    assert stores.keys() == before


def test_the_limit_of_the_admin_page_wins(stores, browser):
    with stores.service.visit('admin') as admin:
        for limit, status in (('50', 413), ('0', 303)):
            answer = admin.post('/admin/settings', csrf=admin.csrf, title='Records', notice='',
                                upload_limit_bytes=limit)
            assert answer.status == 303
            # each of the two workers has read it at its next page
            for _ in range(20):
                admin.close()
                admin.get('/')
            assert upload(browser, 'x', b'x' * 100).status == status


def test_chunks_without_an_end_of_their_own(stores, browser):
    """A body of no announced length: read up to its limit, then refused."""
    conn = http.client.HTTPConnection('127.0.0.1', stores.service.port, timeout=30)
    jar = '; '.join('%s=%s' % pair for pair in browser.cookies.items())
    conn.request('POST', '/lots', iter([b'csrf='] + [b'x' * 50000] * 3), {
        'Content-Type': 'application/x-www-form-urlencoded', 'Cookie': jar}, encode_chunked=True)
    assert conn.getresponse().status == 413
    conn.close()
