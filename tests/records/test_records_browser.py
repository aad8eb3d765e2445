# SPDX-License-Identifier: PostgreSQL
"""examples/records in a real browser, as people use it; pictures are in the build's results."""
import os

import pytest

from support.cluster import Cluster
from support.procs import wait_until
from support.service import Service

pytest.importorskip('selenium', reason='python3-selenium is not installed')

from support.browser import Browser, missing        # noqa: E402  (after the look for selenium)

pytestmark = pytest.mark.skipif(missing() is not None, reason='%s is not installed' % missing())


class Visitor(Browser):
    """A browser with what one does with pages that are forms. Pages may change meanwhile."""

    def all(self, selector):
        return self.driver.find_elements('css selector', selector)

    def find(self, selector):
        return self.wait(lambda: self.all(selector))[0]

    def mark(self, name):
        """A data- attribute of <body>."""
        return self.run('document.body.dataset[arguments[0]]', name)

    def shows(self, **marks):
        """Wait for a page with these attributes."""
        self.wait(lambda: {name: self.mark(name) for name in marks} == marks)

    def fill(self, **fields):
        """Type into the fields of the page by their names."""
        for name, text in fields.items():
            element = self.find('[name="%s"]' % name)
            if element.get_attribute('type') != 'file':
                element.clear()
            element.send_keys(str(text))

    def submit(self, action):
        self.find('form[action="%s"] button' % action).click()


@pytest.fixture(scope='module')
def server():
    with Cluster(max_connections=100) as cluster:
        yield cluster


@pytest.fixture(scope='module')
def service(server, tmp_path_factory):
    with Service(server, tmp_path_factory.mktemp('records'), workers=2, threads=8, name='browsed',
                 acquire_timeout_ms='2s') as running:
        yield running


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    with Visitor(tmp_path_factory.mktemp('profile')) as visitor:
        yield visitor


@pytest.fixture
def page(browser, service):
    """The browser, signed out, at a desk, by day; nothing in its console in the end."""
    browser.emulate(1100, 800)
    browser.open(service.url)
    browser.driver.delete_all_cookies()
    browser.problems()
    yield browser
    # answers that are errors on purpose are no mistakes of the page
    assert [text for text in browser.problems() if 'Failed to load resource' not in text] == []


def login(page, service, role='editor'):
    page.open(service.url + 'login')
    page.fill(name=role, password=service.passwords[role])
    page.submit('/login')
    page.shows(user=role)


def test_login_and_logout(page, service):
    page.open(service.url)
    assert (page.mark('page'), page.mark('user'), page.mark('database')) == ('home', '', 'ok')
    page.screenshot('records-home-signed-out')
    page.open(service.url + 'login')
    page.screenshot('records-login')
    page.fill(name='editor', password='wrong password')
    page.submit('/login')
    page.wait(lambda: page.mark('page') == 'login' and page.all('[role=alert]'))
    page.screenshot('records-login-refused')
    login(page, service)
    page.screenshot('records-home-signed-in')
    page.submit('/logout')
    page.shows(user='')


def test_a_page_for_which_one_must_sign_in_comes_after_the_login(page, service):
    page.open(service.url + 'documents')
    assert page.mark('page') == 'login'
    page.fill(name='editor', password=service.passwords['editor'])
    page.submit('/login')
    page.shows(page='documents')


def rows(page):
    return [row.get_attribute('data-id') for row in page.all('tr[data-id]')]


def test_upload_and_delete(page, service, tmp_path):
    path = tmp_path / 'Prüfbericht <b>7 &amp; 8.txt'
    path.write_text('the content')
    login(page, service)
    page.open(service.url + 'documents')
    before = rows(page)
    page.fill(file=path)
    page.submit('/documents')
    page.wait(lambda: len(rows(page)) == len(before) + 1)
    number = rows(page)[0]
    page.screenshot('records-documents')
    row = page.find('tr[data-id="%s"]' % number)
    assert 'Prüfbericht <b>7 &amp; 8.txt' in row.text
    with service.visit('reader') as reader:
        answer = reader.get('/documents/' + number)
        assert (answer.status, answer.body) == (200, b'the content')
        assert 'attachment' in answer.headers['Content-Disposition']
    page.submit('/documents/%s/delete' % number)
    page.wait(lambda: rows(page) == before)
    with service.visit('reader') as reader:
        assert reader.get('/documents/' + number).status == 404


def test_a_document_that_is_too_large(page, service, tmp_path):
    path = tmp_path / 'large'
    path.write_bytes(os.urandom(11 << 20))
    login(page, service)
    page.open(service.url + 'documents')
    before = rows(page)
    page.fill(file=path)
    page.submit('/documents')
    page.shows(status='413')
    page.screenshot('records-document-too-large')
    page.open(service.url + 'documents')
    assert rows(page) == before


def test_an_expired_session(page, service):
    login(page, service)
    service.cluster.admin_sql("delete from sessions")
    page.open(service.url)
    assert page.mark('user') == ''
    page.open(service.url + 'documents')
    assert page.mark('page') == 'login'
    page.screenshot('records-session-expired')


def test_the_database_is_away(page, service):
    login(page, service)
    with service.cluster.away():
        page.open(service.url)
        assert (page.mark('page'), page.mark('user'), page.mark('database')) == ('home', '', 'away')
        page.screenshot('records-away-home')
        page.open(service.url + 'documents')
        assert page.mark('database') == 'away'
        page.screenshot('records-away-documents')
        page.open(service.url + 'login')
        assert page.mark('page') == 'login'
        page.screenshot('records-away-login')

    def back():
        page.open(service.url)
        return page.mark('database') == 'ok'
    wait_until(back)
    assert page.mark('user') == 'editor'    # by the cookie that was kept


def test_the_admin_page(page, service):
    login(page, service, 'admin')
    page.open(service.url + 'admin/')
    assert page.mark('page') == 'admin'
    page.fill(title='Records <of> & "ours"', notice='We move on Friday.')
    page.submit('/admin/settings')
    page.wait(lambda: page.find('[name=title]').get_attribute('value') == 'Records <of> & "ours"')
    page.screenshot('records-admin')


@pytest.mark.parametrize('path', ['', 'login', 'documents', 'lots', 'admin/'])
def test_on_a_phone_and_in_the_dark(page, service, path):
    login(page, service, 'admin')
    page.emulate(390, 844, mobile=True, prefers_color_scheme='dark')
    page.open(service.url + path)
    page.screenshot('records-phone-dark-' + (path.strip('/') or 'home'))
    width = page.run('[document.documentElement.scrollWidth, window.innerWidth]')
    assert width[0] <= width[1], 'it is wider than the screen'
    dark = page.run('getComputedStyle(document.body).backgroundColor')
    assert max(map(int, dark[dark.index('(') + 1:-1].split(',')[:3])) < 90, dark
