# SPDX-License-Identifier: PostgreSQL
"""The reference service: who may do what. Sessions, forms, roles, headers."""
import re

import pytest

from support.service import Service
from support.visitors import Browser


@pytest.fixture(scope='module')
def service(cluster, tmp_path_factory):
    with Service(cluster, tmp_path_factory.mktemp('records'), workers=2, threads=4,
                 env={'RECORDS_LOGIN_LIMIT': '1000'}) as running:
        yield running


def cookie_lines(answer):
    return answer.headers.get_all('Set-Cookie') or []


# ---- sessions ----------------------------------------------------------------------------------

def test_a_login_and_a_logout(service):
    with service.visit() as browser:
        answer = browser.login('editor', service.passwords['editor'])
        assert (answer.status, answer.headers['Location']) == (303, '/')
        line, = cookie_lines(answer)
        assert re.fullmatch(r'records_session=[\w-]+; Path=/; HttpOnly; SameSite=Lax; '
                            r'Max-Age=43200', line)
        kept = dict(browser.cookies)
        assert browser.get('/').marks()['user'] == 'editor'
        answer = browser.post('/logout', csrf=browser.get('/documents').field('csrf'))
        assert answer.status == 303 and 'records_session' not in browser.cookies
        # the session is gone, not only the cookie
        browser.cookies = kept
        answer = browser.get('/')
        assert answer.marks()['user'] == '' and 'records_session' not in browser.cookies


@pytest.mark.parametrize('name, password', [
    ('editor', 'wrong'), ('nobody', 'wrong'), ('', ''), ('editor', 'x' * 2000), ('é\x00', 'x')])
def test_a_wrong_password(service, name, password):
    with service.visit() as browser:
        answer = browser.login(name, password)
        assert answer.status == 403 and answer.marks()['page'] == 'login'
        assert 'records_session' not in browser.cookies


def test_a_login_makes_a_new_session(service):
    """What somebody planted in the browser before is not what is signed in afterwards."""
    with service.visit('reader') as attacker, service.visit() as victim:
        planted = attacker.cookies['records_session']
        victim.cookies['records_session'] = planted
        form = victim.get('/login')
        answer = victim.post('/login', name='editor', password=service.passwords['editor'],
                             csrf=form.field('csrf'))
        assert answer.status == 303
        assert victim.cookies['records_session'] != planted
        # the planted one ended with it
        assert attacker.get('/').marks()['user'] == ''
        assert victim.get('/').marks()['user'] == 'editor'


@pytest.mark.parametrize('value', ['', 'x', 'A' * 86, 'A' * 5000, '%00', '"quoted"'])
def test_a_forged_cookie(service, value):
    with service.visit() as browser:
        answer = browser.ask('GET', '/', headers={'Cookie': 'records_session=' + value})
        assert answer.status == 200 and answer.marks()['user'] == ''
        assert cookie_lines(answer)[0].startswith('records_session=; ')


def test_a_cookie_of_another_secret(service, tmp_path):
    with service.visit('reader') as browser:
        value = browser.cookies['records_session']
        changed = ('A' if value[0] != 'A' else 'B') + value[1:]
        assert browser.get('/').marks()['user'] == 'reader'
        browser.cookies['records_session'] = changed
        assert browser.get('/').marks()['user'] == ''


def test_an_expired_session(service):
    with service.visit('reader') as browser:
        service.cluster.admin_sql("update sessions set expires_at = now() - interval '1 s'")
        answer = browser.get('/documents')
        assert (answer.status, answer.headers['Location']) == (303, '/login?next=/documents')
        assert 'records_session' not in browser.cookies


def test_a_new_password_ends_sessions(service):
    with service.visit('reader') as browser:
        service.command('create-user', 'reader', '--role', 'reader',
                        given=service.passwords['reader'])
        assert browser.get('/').marks()['user'] == ''


@pytest.mark.parametrize('place', ['https://evil.example/', '//evil.example', '/\\evil.example',
                                   '/\t/evil.example', '/x\r\nSet-Cookie: a=b', 'javascript:1'])
def test_a_login_leads_nowhere_else(service, place):
    with service.visit() as browser:
        form = browser.get('/login')
        answer = browser.post('/login', name='reader', password=service.passwords['reader'],
                              next=place, csrf=form.field('csrf'))
        assert (answer.status, answer.headers['Location']) == (303, '/')
        assert len(cookie_lines(answer)) == 1


def test_a_login_goes_on(service):
    with service.visit() as browser:
        assert browser.get('/login?next=/lots').field('next') == '/lots'
        form = browser.get('/login?next=/lots')
        answer = browser.post('/login', name='reader', password=service.passwords['reader'],
                              next=form.field('next'), csrf=form.field('csrf'))
        assert answer.headers['Location'] == '/lots'


# ---- forms -------------------------------------------------------------------------------------

FORMS = ['/login', '/logout', '/documents', '/documents/1/delete', '/lots', '/admin/settings',
         '/admin/users/1/role']


@pytest.mark.parametrize('path', FORMS)
def test_a_form_needs_its_word(service, path):
    with service.visit('admin') as browser, service.visit('admin') as other:
        for word in ('', 'x', 'A' * 43, other.csrf):
            answer = browser.post(path, csrf=word, number='2020-1', title='forged')
            assert (answer.status, answer.marks()['page']) == (403, 'error'), word
    assert service.cluster.admin_sql("select 1 from lots where title = 'forged'") == []


def test_a_form_of_before_the_login_is_none_of_after(service):
    with service.visit() as browser:
        word = browser.get('/login').field('csrf')
        browser.login('editor', service.passwords['editor'])
        assert browser.post('/lots', csrf=word, number='2020-1', title='x').status == 403


# ---- roles -------------------------------------------------------------------------------------

WHO_MAY = [
    # path, nobody, reader, editor, admin
    ('/', 200, 200, 200, 200), ('/lots', 200, 200, 200, 200), ('/documents', 303, 200, 200, 200),
    ('/documents/999', 303, 404, 404, 404), ('/admin/', 303, 403, 403, 200),
    ('/admin', 404, 404, 404, 404), ('/inbox/1', 401, 401, 401, 401),
    ('/status/', 303, 403, 403, 200), ('/status/json', 303, 403, 403, 200),
    ('/status/none', 303, 403, 403, 404),
]


@pytest.mark.parametrize('path, nobody, reader, editor, admin', WHO_MAY)
def test_who_may_see_what(service, path, nobody, reader, editor, admin):
    for role, status in ((None, nobody), ('reader', reader), ('editor', editor), ('admin', admin)):
        with service.visit(role) as browser:
            assert browser.get(path).status == status, role


def test_who_may_change_what(service):
    for role, lots, settings in (('reader', 403, 403), ('editor', 303, 403), ('admin', 303, 303)):
        with service.visit(role) as browser:
            word = browser.get('/').field('csrf')
            assert browser.post('/lots', csrf=word, number='2021-7', title='x').status == lots
            assert browser.post('/admin/settings', csrf=word, title='Records', notice='',
                                upload_limit_bytes='0').status == settings
            assert browser.upload('/documents', 'x.txt', b'x', csrf=word,
                                  key='role-' + role).status == lots


def test_a_role_counts_at_once(service):
    with service.visit('admin') as admin:
        service.command('create-user', 'changing', '--role', 'reader', given='some password')
        service.passwords['changing'] = 'some password'
        with service.visit('changing') as browser:
            assert browser.get('/admin/').status == 403
            row = re.search(r'data-user="changing".*?/admin/users/(\d+)/role',
                            admin.get('/admin/').text, re.S)
            answer = admin.post('/admin/users/%s/role' % row.group(1), role='admin',
                                csrf=admin.csrf)
            assert answer.status == 303
            assert browser.get('/admin/').status == 200
        assert admin.post('/admin/users/999999/role', role='admin', csrf=admin.csrf).status == 404
        assert admin.post('/admin/users/1/role', role='king', csrf=admin.csrf).status == 422


# ---- headers -----------------------------------------------------------------------------------

@pytest.mark.parametrize('path', ['/', '/health', '/static/style.css', '/nothing', '/wp-admin/',
                                  '/health/db', '/documents', '/inbox/1'])
def test_every_answer_is_strict(service, path):
    with service.visit() as browser:
        headers = browser.get(path).headers
    assert headers['X-Content-Type-Options'] == 'nosniff'
    assert headers['X-Frame-Options'] == 'DENY'
    policy = headers['Content-Security-Policy']
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert 'unsafe' not in policy and 'script' not in policy
    assert headers['Strict-Transport-Security'] is None
    if not path.startswith(('/health', '/static')):
        assert headers['Cache-Control'] in ('no-store', None)


def test_methods(service):
    with service.visit() as browser:
        assert browser.ask('PUT', '/lots').status == 405
        assert browser.ask('POST', '/health').headers['Allow'] == 'GET, HEAD'
        assert browser.ask('GET', '/logout').headers['Allow'] == 'POST'
        assert browser.ask('DELETE', '/nothing').status == 404
        answer = browser.ask('HEAD', '/')
        assert (answer.status, answer.body) == (200, b'')
        assert int(answer.headers['Content-Length']) > 500


@pytest.mark.parametrize('headers', [
    {'Cookie': 'x' * 5000}, {'X-Long': 'x' * 8000}, {'X-%d' % i: 'x' * 60 for i in range(80)}])
def test_headers_that_are_large(service, headers):
    with service.visit() as browser:
        assert browser.ask('GET', '/', headers=headers).status == 200


@pytest.mark.parametrize('headers', [{'Cookie': 'x' * 40000}, {'X-Long': 'x' * 40000}])
def test_headers_that_are_too_large(service, headers):
    with service.visit() as browser:
        assert browser.ask('GET', '/', headers=headers).status in (400, 413, 431)
        assert browser.ask('GET', '/' + 'x' * 40000).status in (400, 414)
        assert browser.get('/health').status == 200


# ---- behind TLS, and limits --------------------------------------------------------------------

@pytest.fixture(scope='module')
def strict(cluster, tmp_path_factory, service):
    """Another one on the same database. After the first: that one makes the schema."""
    other = Service(cluster, tmp_path_factory.mktemp('strict'), workers=1, threads=2, env={
        'RECORDS_BEHIND_TLS': 'yes', 'RECORDS_LOGIN_LIMIT': '1', 'RECORDS_SCANNER_LIMIT': '5',
        'RECORDS_TRUST_FORWARDED': 'yes'})
    other.passwords = service.passwords
    other.run()
    yield other
    other.stop()


def test_behind_tls_cookies_are_secure(strict):
    browser = Browser(strict.port)
    answer = browser.login('reader', strict.passwords['reader'])
    browser.close()
    line, = cookie_lines(answer)
    assert line.startswith('__Host-records_session=') and line.endswith('; Secure')
    assert '; Path=/;' in line and 'Domain' not in line
    assert answer.headers['Strict-Transport-Security'] == 'max-age=31536000'


def test_failed_logins_are_limited_by_name_and_by_address(strict):
    """By name only far above what one address may: else anybody could keep anybody out."""
    def attempt(name, address):
        browser = Browser(strict.port)
        form = browser.get('/login')
        # what a client sends is in the first header, or before what the proxy adds to the last
        answer = browser.ask('POST', '/login', (
            'name=%s&password=wrong&csrf=%s' % (name, form.field('csrf'))).encode(), {
                'Content-Type': 'application/x-www-form-urlencoded',
                'x-forwarded-for': 'spoofed-' + name, 'X-Forwarded-For': 'spoofed, ' + address})
        browser.close()
        return answer.status
    # a minute may end in the midst of it, once; what counts already counts for others then
    good = [403, 429] * 2, [403] * 20 + [429]
    for turn in 1, 2:
        by_address = [attempt('name-%d-%d' % (turn, number), address)
                      for number, address in enumerate(
                          ['198.51.100.%d' % turn] * 2
                          + ['2001:db8:%d::1' % turn, '2001:db8:%d::2' % turn])]
        by_name = [attempt('some-name-%d' % turn, '192.0.2.%d' % (100 * turn + number))
                   for number in range(21)]
        found = by_address, by_name
        if found == good:
            break
    assert found == good


def test_a_login_that_is_right_does_not_count(strict):
    for _ in range(3):
        with strict.visit('reader'):
            pass


def test_scanners_are_answered_at_once_and_limited(strict):
    browser = Browser(strict.port)
    paths = ['/wp-admin/setup-config.php', '/.env', '/.git/config', '/x.php', '/cgi-bin/luci']
    for first in (True, False):
        answers = [browser.ask('GET', path, headers={'X-Forwarded-For': '203.0.113.%d' % first})
                   for path in paths + ['/.env']]
        statuses = [answer.status for answer in answers]
        if statuses == [404] * 5 + [429] or not first:
            break
    assert statuses == [404] * 5 + [429]
    assert all(len(answer.body) < 20 for answer in answers)
    assert answers[-1].headers['Retry-After'] == '60'
    # what is in a place where something of ours could be, too
    for path in '/lots/x.php', '/documents/.env', '/static/x.php', '/lots/x.php/y':
        answer = browser.ask('GET', path, headers={'X-Forwarded-For': '203.0.113.78'})
        assert answer.status in (404, 429) and len(answer.body) < 20, path
    other = browser.ask('GET', '/.env', headers={'X-Forwarded-For': '203.0.113.77'})
    assert other.status == 404 and browser.get('/').status == 200
    browser.close()
