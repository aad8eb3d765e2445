# SPDX-License-Identifier: PostgreSQL
"""The reference service and its database: away and back, what costs no query, settings, lots, the
inbox."""
import http.client
import json
import os
import re
import socket
import time

import psycopg2
import pytest

from support.procs import wait_until
from support.proxy import Proxy
from support.visitors import Browser

from recordstools import Proxied


JOBS_S = 90


@pytest.fixture(scope='module')
def service(cluster, tmp_path_factory):
    with Proxy(cluster) as proxy, \
            Proxied(cluster, tmp_path_factory.mktemp('records'), proxy, workers=1, threads=8,
                    acquire_timeout_ms='2s', connect_timeout_ms='1s',
                    env={'RECORDS_JOB_BACKOFF_MS': '50ms', 'RECORDS_JOB_ATTEMPTS': '4',
                         'RECORDS_HEALTH_TIMEOUT_MS': '1s'}) as running:
        yield running


@pytest.fixture
def away(service):
    """Within: no connection, and none to be had."""
    service.proxy.refuse()
    service.proxy.rst()
    yield
    service.proxy.pass_all()
    with service.visit() as browser:
        wait_until(lambda: browser.get('/health/db').status == 200)


def health(browser):
    answer = browser.get('/health/db')
    return answer.status, json.loads(answer.text)


# ---- away --------------------------------------------------------------------------------------

def test_a_page_is_soft_and_the_cookie_stays(service, request):
    with service.visit('editor') as browser:
        kept = dict(browser.cookies)
        request.getfixturevalue('away')
        answer = browser.get('/')
        assert (answer.status, answer.marks()['database']) == (200, 'away')
        assert answer.marks()['user'] == '' and 'You are still signed in' in answer.text
        assert answer.headers.get_all('Set-Cookie') is None and browser.cookies == kept
        for path in ('/documents', '/admin/', '/lots', '/lots/2024-1', '/documents/1'):
            answer = browser.get(path)
            assert (answer.status, answer.marks()['database']) == (503, 'away'), path
            assert answer.headers['Retry-After'] == '5' and '/login' not in answer.text
            assert answer.seconds < 10
        assert browser.get('/login').status == 200
        # why is in the log, of a page that has the banner alone, too
        wait_until(lambda: re.search(r'records: GET /: TINE_E_\w+: .* \(attempt \d',
                                     service.proc.text()))
        for path in ('/lots', '/documents', '/logout'):
            assert browser.post(path, csrf=browser.csrf, number='2024-1', title='x').status == 503
        assert browser.cookies == kept
        service.proxy.pass_all()
        wait_until(lambda: browser.get('/').marks() == {
            'page': 'home', 'user': 'editor', 'database': 'ok', 'status': '200'})


def test_what_the_database_refuses_is_a_page(service):
    """Not that it is away; and what it says is for the log."""
    with service.visit('editor') as browser:
        service.cluster.admin_sql('alter table lots rename to elsewhere')
        try:
            for answer, text in ((browser.get('/lots'), 'It cannot be shown'),
                                 (browser.post('/lots', csrf=browser.csrf, number='2015-1',
                                               title='x'), 'It was not stored')):
                assert (answer.status, answer.marks()['database']) == (500, 'ok'), answer
                assert text in answer.text and 'relation' not in answer.text
        finally:
            service.cluster.admin_sql('alter table elsewhere rename to lots')
        assert browser.get('/lots').status == 200
    wait_until(lambda: re.search('records: GET /lots: TINE_E_SQL 42P01: .*"lots" does not exist',
                                 service.proc.text()))


def test_a_login_says_why_it_cannot(service, away):
    with service.visit() as browser:
        answer = browser.login('editor', service.passwords['editor'])
        assert (answer.status, answer.marks()['page']) == (503, 'login')
        assert browser.get('/').status == 200


def test_health_tells_the_cause(service, request):
    with service.visit() as browser:
        status, body = health(browser)
        assert status == 200 and body['status'] == 'ok' and body['cause'] is None
        assert body['latency_ms'] > 0
        assert set(body['pool']) == {'size', 'open', 'busy', 'waiting', 'saturation'}
        request.getfixturevalue('away')
        status, body = health(browser)
        assert status == 503 and body['status'] == 'away' and body['latency_ms'] is None
        assert body['cause'].startswith('TINE_E_') and 'app' not in body['cause']
        assert str(service.proxy.port) not in body['cause']
        assert browser.get('/health').status == 200


def test_silence_is_no_hang(service):
    """The database accepts nothing and says nothing: an answer all the same, in time."""
    with service.visit('reader') as browser:
        service.proxy.blackhole()
        try:
            for path, most_s in (('/', 2), ('/documents', 2), ('/health/db', 1)):
                answer = browser.get(path)
                assert answer.status == (200 if path == '/' else 503)
                assert answer.seconds < most_s + 5, path
            # what needs no database does not even wait for those who wait
            assert browser.get('/health').seconds < 1
        finally:
            service.proxy.pass_all()
            service.proxy.rst()
        wait_until(lambda: browser.get('/documents').status == 200)


def test_reads_survive_the_loss_of_every_session(service):
    with service.visit('reader') as browser:
        for _ in range(20):
            service.cluster.admin_sql(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app' "
                "and query not like '%listen%'")
            answer = browser.get('/documents')
            assert answer.status == 200 and answer.marks()['user'] == 'reader'


def test_the_patience_begins_when_the_body_is_here(service):
    """A document that comes slowly, over more than acquire_timeout_ms."""
    body = (b'--border\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' * 2
            + b'--border\r\nContent-Disposition: form-data; name="file"; filename="slow"\r\n\r\n'
            b'slow\r\n--border--\r\n')
    with service.visit('editor') as browser:
        page = browser.get('/documents')
        body %= (b'csrf', page.field('csrf').encode(), b'key', page.field('key').encode())

        def halves():
            yield body[:100]
            time.sleep(3)
            yield body[100:]
        conn = http.client.HTTPConnection('127.0.0.1', service.port, timeout=60)
        conn.request('POST', '/documents', halves(), {
            'Content-Type': 'multipart/form-data; boundary=border',
            'Content-Length': str(len(body)),
            'Cookie': '; '.join('%s=%s' % pair for pair in browser.cookies.items())})
        assert conn.getresponse().status == 303
        conn.close()


# ---- what costs nothing ------------------------------------------------------------------------

def test_a_file_is_not_sent_twice(service):
    with service.visit() as browser:
        tag = browser.get('/static/style.css').headers['ETag']
        answer = browser.get('/static/style.css', **{'If-None-Match': tag})
        assert (answer.status, answer.body) == (304, b'')


# ---- settings ----------------------------------------------------------------------------------

def test_a_change_shows_at_once_where_it_was_made(service):
    with service.visit('admin') as browser:
        for title in ('<b>&"x"', 'Records'):
            answer = browser.post('/admin/settings', csrf=browser.csrf, title=title,
                                  notice='<i>', upload_limit_bytes='0')
            assert answer.status == 303
            text = browser.get('/').text
            assert '<title>%s</title>' % title.replace('&', '&amp;').replace(
                '<', '&lt;').replace('>', '&gt;').replace('"', '&quot;') in text
            assert '&lt;i&gt;' in text and '<i>' not in text
        for wrong in ({'title': ''}, {'title': 'x' * 81}, {'notice': 'x' * 501},
                      {'upload_limit_bytes': '-1'}, {'upload_limit_bytes': 'x'}):
            fields = {'title': 'Records', 'notice': '', 'upload_limit_bytes': '0', **wrong}
            assert browser.post('/admin/settings', csrf=browser.csrf, **fields).status == 422
        browser.post('/admin/settings', csrf=browser.csrf, title='Records', notice='',
                     upload_limit_bytes='0')


# ---- lots --------------------------------------------------------------------------------------

def test_lots(service):
    with service.visit('editor') as browser:
        answer = browser.post('/lots', csrf=browser.csrf, number='24-137', title='<Valves> & co')
        assert (answer.status, answer.headers['Location']) == (303, '/lots/2024-0137')
        for path in ('/lots/2024-0137', '/lots/24-0137', '/lots/24-137'):
            answer = browser.get(path)
            assert answer.status == 200 and 'data-year="2024"' in answer.text
            assert '&lt;Valves&gt; &amp; co' in answer.text
        assert 'data-number="2024-0137"' in browser.get('/lots').text
        # once more is the same; another of that number is not
        same = {'csrf': browser.csrf, 'number': '2024-0137'}
        assert browser.post('/lots', title='<Valves> & co', **same).status == 303
        assert browser.post('/lots', title='Pumps', **same).status == 409
        for number, title in (('x', 'y'), ('2024-1', ''), ('1950-1', 'x'), ('2024-1', 'x' * 201)):
            answer = browser.post('/lots', csrf=browser.csrf, number=number, title=title)
            assert (answer.status, answer.marks()['page']) == (422, 'lots')
        for path in ('/lots/2024-9999', '/lots/x', '/lots/*', "/lots/2024-0137'--",
                     '/lots/2024-0137/x'):
            assert browser.get(path).status == 404


# ---- the inbox ---------------------------------------------------------------------------------

class Inbox:
    def __init__(self, service):
        self._service = service
        self._browser = Browser(service.port)

    def post(self, body, token=None, kind='application/json'):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {'Content-Type': kind}
        if token != '':
            headers['Authorization'] = 'Bearer ' + (token or self._service.token)
        answer = self._browser.ask('POST', '/inbox', data, headers)
        return answer.status, json.loads(answer.text)

    def get(self, number):
        answer = self._browser.ask('GET', '/inbox/%s' % number, headers={
            'Authorization': 'Bearer ' + self._service.token})
        return answer.status, json.loads(answer.text)

    def wait(self, number, state):
        return wait_until(lambda: self.get(number)[1]['state'] == state and self.get(number)[1],
                          JOBS_S)


@pytest.fixture
def inbox(service):
    return Inbox(service)


def lot(key, number, title='x'):
    return {'key': key, 'kind': 'lot', 'payload': {'number': number, 'title': title}}


def test_a_job_is_done_once(service, inbox):
    status, first = inbox.post(lot('one', '2023-1'))
    assert status == 202 and first['new'] is True
    assert inbox.wait(first['id'], 'done') == {
        'id': first['id'], 'key': 'one', 'kind': 'lot', 'state': 'done', 'attempts': 1,
        'error': None}
    assert inbox.post(lot('one', '2023-1')) == (202, {**first, 'new': False})
    for other in (lot('one', '2023-2'), {'key': 'one', 'kind': 'note',
                                         'payload': {'lot': '2023-1', 'text': 'x'}}):
        status, answer = inbox.post(other)
        assert status == 409 and 'another job' in answer['error']
    with service.visit() as browser:
        assert browser.get('/lots/2023-0001').status == 200


def test_a_job_is_woken_not_waited_for(service, inbox):
    wait_until(lambda: service.cluster.admin_sql(
        "select 1 from pg_stat_activity where query = 'listen records_inbox'"))
    started = time.monotonic()
    for number in range(10):
        _, job = inbox.post(lot('woken-%d' % number, '2022-%d' % number))
        inbox.wait(job['id'], 'done')
    # looking every five seconds would take most of a minute
    assert time.monotonic() - started < 25


def test_a_job_that_fails_is_tried_again(service, inbox):
    note = {'key': 'early', 'kind': 'note', 'payload': {'lot': '2021-5', 'text': 'was <early>'}}
    _, job = inbox.post(note)
    wait_until(lambda: inbox.get(job['id'])[1]['attempts'] >= 1)
    assert inbox.get(job['id'])[1]['error'] == 'there is no such lot yet'
    inbox.wait(inbox.post(lot('late', '2021-5'))[1]['id'], 'done')
    # on a slow machine it may have been tried often enough
    service.cluster.admin_sql("update jobs set attempts = 1, state = 'waiting', run_at = now() "
                              "where key = 'early' and state <> 'done'")
    assert inbox.wait(job['id'], 'done')['error'] is None
    with service.visit() as browser:
        assert browser.get('/lots/2021-5').text.count('was &lt;early&gt;') == 1


def test_a_job_that_always_fails_ends(service, inbox):
    _, first = inbox.post(lot('good', '2020-9', 'One'))
    inbox.wait(first['id'], 'done')
    _, second = inbox.post(lot('bad', '2020-9', 'Other'))
    assert inbox.wait(second['id'], 'failed') == {
        'id': second['id'], 'key': 'bad', 'kind': 'lot', 'state': 'failed', 'attempts': 4,
        'error': 'another lot has this number'}
    with service.visit('admin') as browser:
        assert re.search(r'data-jobs="failed">[1-9]', browser.get('/admin/').text)


def note(key, number):
    return {'key': key, 'kind': 'note', 'payload': {'lot': number, 'text': 'x'}}


def test_a_job_that_waits_for_a_lock_stops_no_other(service, inbox):
    """As many as there are workers; what comes behind them is done all the same."""
    inbox.wait(inbox.post(lot('free', '2018-1'))[1]['id'], 'done')
    locker = psycopg2.connect(service.cluster.conninfo('tls'))
    try:
        locker.cursor().execute('lock table lots in share mode')
        stuck = [inbox.post(lot('stuck-%d' % number, '2018-%d' % (number + 2)))[1]['id']
                 for number in range(2)]
        inbox.wait(inbox.post(note('behind', '2018-1'))[1]['id'], 'done')
        wait_until(lambda: inbox.get(stuck[0])[1]['error'])
        assert inbox.get(stuck[0])[1]['error'] == 'the database refused: SQLSTATE 57014'
    finally:
        locker.close()
    # on a slow machine they may have been tried often enough
    service.cluster.admin_sql("update jobs set attempts = 1, state = 'waiting', run_at = now() "
                              "where key like 'stuck%' and state <> 'done'")
    for number in stuck:
        inbox.wait(number, 'done')


def test_a_job_that_ends_its_session_ends_too(service, inbox):
    service.cluster.admin_sql(
        "create function ends() returns trigger language plpgsql security definer as "
        "$$begin perform pg_terminate_backend(pg_backend_pid()); return new; end$$; "
        "create trigger ends before insert on lots for each row when (new.title = 'poison') "
        "execute function ends()")
    _, job = inbox.post(lot('poison', '2017-1', 'poison'))
    assert inbox.wait(job['id'], 'failed')['error'] == 'the attempt did not come to an end'
    inbox.wait(inbox.post(lot('antidote', '2017-2'))[1]['id'], 'done')


def test_who_may_post_what(inbox):
    assert inbox.post(lot('k', '2020-1'), token='')[0] == 401
    assert inbox.post(lot('k', '2020-1'), token='x' * 24)[0] == 401
    assert inbox.post(lot('k', '2020-1'), kind='text/plain')[0] == 415
    assert inbox.post(lot('k', '2020-1'), kind='application/jsonx')[0] == 415
    for wrong in (b'', b'{', b'[]', b'17', b'{"key": "k"}', b'\xff', b'{"key": "k", "key": "k"}',
                  lot('', '2020-1'), lot('a b', '2020-1'), lot('k' * 101, '2020-1'),
                  lot('k', 'x'), {**lot('k', '2020-1'), 'kind': 'shell'},
                  b'[' * 60000):
        status, answer = inbox.post(wrong)
        assert status == 400 and answer['error'], wrong
    assert inbox.post(lot('k', '2020-1', 'x' * 70000))[0] in (400, 413)
    assert inbox.get(999999)[0] == 404 and inbox.get('x')[0] == 404


def raw(more):
    """A good job, with something more in its payload."""
    return (b'{"key": "raw", "kind": "lot", '
            b'"payload": {"number": "2020-2", "title": "x", "more": %s}}' % more)


@pytest.mark.parametrize('more, why', [
    (rb'"\u0000"', r'\u0000'), (rb'{"a\u0000": 1}', r'\u0000'), (rb'"\ud834"', 'Unicode'),
    (rb'"\udd1e"', 'Unicode'), (rb'"\udd1e\ud834"', 'Unicode'), (b'1e400000', 'overflow'),
    (b'9223372036854775808', 'too big'), (b'{"a": 1, "a": 2}', 'duplicate'), (b'NaN', 'NaN'),
    (b'[' * 10000 + b']' * 10000, 'depth'), (b'"\x00"', 'control'), (b'"\xff"', 'decode byte')],
    ids=lambda value: repr(value)[:16])
def test_what_is_not_taken_as_json_is_named(inbox, more, why):
    status, answer = inbox.post(raw(more))
    assert status == 400 and answer['error'].startswith('line 1 is not JSON'), answer
    assert why in answer['error']


@pytest.mark.parametrize('more', [
    rb'"\ud834\udd1e"', b'1e308', b'-9223372036854775808', b'"\xef\xbf\xbf"',
    b'[' * 1000 + b']' * 1000], ids=lambda value: repr(value)[:16])
def test_what_is_taken_as_json_is_stored(service, inbox, more):
    service.cluster.admin_sql("delete from jobs where key = 'raw'")
    _, job = inbox.post(raw(more))
    inbox.wait(job['id'], 'done')
    # the same again is known to be the same
    assert inbox.post(raw(more)) == (202, {**job, 'new': False})


@pytest.mark.parametrize('code, status', [('22P05', 422), ('P0001', 500), ('55P03', 503)])
def test_what_the_database_refuses_is_told(service, inbox, code, status):
    """One that only sending again mends is told apart from one that it never does."""
    service.cluster.admin_sql(
        "create function refuse() returns trigger language plpgsql as "
        "$$begin raise 'internal' using errcode = '%s'; end$$; create trigger refuse before insert "
        "on jobs for each row execute function refuse()" % code)
    try:
        found, answer = inbox.post(lot('refused', '2016-1'))
    finally:
        service.cluster.admin_sql('drop function refuse cascade')
    assert found == status and 'internal' not in answer['error']
    assert (code in answer['error']) == (status == 422)
    wait_until(lambda: 'POST /inbox: TINE_E_SQL %s: ' % code in service.proc.text())


def test_a_body_that_is_too_large(service, inbox):
    assert inbox.post(raw(b'"%s"' % (b'x' * 66000)))[0] == 413
    with socket.create_connection(('127.0.0.1', service.port), 20) as client:
        client.sendall(b'POST /inbox HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n'
                       b'Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n'
                       b'Connection: close\r\n\r\n' % service.token.encode())
        client.sendall(b'1000\r\n%s\r\n' % (b'x' * 4096) * 20 + b'0\r\n\r\n')
        assert client.makefile('rb').readline().startswith(b'HTTP/1.1 413 ')


def test_nothing_is_acknowledged_that_is_not_stored(service, inbox, away):
    status, answer = inbox.post(lot('lost', '2020-77'))
    assert status == 503 and 'not known to be stored' in answer['error']
    wait_until(lambda: re.search(r'records: POST /inbox: TINE_E_\w+: .* \(attempt \d',
                                 service.proc.text()))


# ---- a worker, and the status page -------------------------------------------------------------

def test_handlers_interrupt_nobody(service):
    worker, = service.workers()

    def policies():
        threads = map(int, os.listdir('/proc/%d/task' % worker))
        return [os.sched_getscheduler(thread) for thread in threads if thread != worker]
    wait_until(lambda: policies().count(os.SCHED_BATCH) == 8)
    assert os.sched_getscheduler(worker) == os.SCHED_OTHER


def test_the_status_page_is_mounted(service):
    with service.visit('admin') as browser:
        assert browser.get('/status').headers['Location'] == '/status/'
        answer = browser.get('/status/')
        assert answer.status == 200 and 'script' in answer.headers['Content-Security-Policy']
        assert len(answer.headers.get_all('Content-Security-Policy')) == 1
        assert len(answer.headers.get_all('X-Frame-Options')) == 1
        tree = json.loads(browser.get('/status/json').text)
        assert 'records' in json.dumps(tree)
        for asset in re.findall(r'(?:href|src)="(/status/[^"]+\.(?:css|js))"', answer.text):
            assert browser.get(asset).status == 200
        assert browser.get('/status/metrics').text.rstrip().endswith('# EOF')
        assert browser.get('/status/json?tree=%26%3d%00').status in (200, 404)
