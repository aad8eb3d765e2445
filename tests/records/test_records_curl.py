# SPDX-License-Identifier: PostgreSQL
"""With curl, as one does it by hand: log in, keep the cookie, and GET /admin/ again and again while
the service, preloaded, with two workers and over TLS to the database, is reloaded. What was said is
kept in the build's results. RECORDS_PAGES is how often; `make soak` has it 1,000 times.
"""
import os
import re
import signal
import subprocess

import pytest

from support import procs
from support.procs import wait_until
from support.service import Service

PAGES = int(os.environ.get('RECORDS_PAGES', '300'))
EACH = 50       # pages between two reloads
TRANSCRIPT = os.path.join(os.path.dirname(procs.tine_path()) + '-results', 'curl-transcript.txt')


class Curl:
    """curl with a cookie jar; each call is a process and a connection of its own."""

    def __init__(self, service, folder):
        self._base = 'http://127.0.0.1:%d' % service.port
        self._jar = str(folder / 'jar')
        self.lines = []

    def __call__(self, path, *words, show=True):
        """(status, headers and body)"""
        words = ['curl', '-sS', '-i', '--max-time', '30', '-b', self._jar, '-c', self._jar, *words,
                 self._base + path]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        if show:
            self.lines += ['$ ' + ' '.join(words), done.stdout.partition('\n\n')[0].strip(),
                           done.stderr]
        assert done.returncode == 0, (words, done.stderr)
        return int(done.stdout.split()[1]), done.stdout

    def login(self, password_file):
        _, page = self('/login')
        csrf = re.search(r'name="csrf"[^>]*value="([^"]*)"', page).group(1)
        status, _ = self('/login', '-d', 'name=admin', '-d', 'csrf=' + csrf, '-d', 'next=/admin/',
                         '--data-urlencode', 'password@' + str(password_file))
        assert status == 303

    def keep(self):
        os.makedirs(os.path.dirname(TRANSCRIPT), exist_ok=True)
        with open(TRANSCRIPT, 'w', encoding='utf-8') as file:
            file.write('\n'.join(self.lines) + '\n')


@pytest.fixture
def service(cluster, tmp_path):
    with Service(cluster, tmp_path, workers=2, threads=4, preload_app='yes') as running:
        yield running


def test_a_login_and_a_thousand_pages(service, tmp_path):
    password_file = tmp_path / 'password'
    password_file.write_text(service.passwords['admin'])
    curl = Curl(service, tmp_path)
    reloads = 0
    try:
        curl.login(password_file)
        for number in range(PAGES):
            if number % EACH == EACH - 1:
                service.proc.popen.send_signal(signal.SIGHUP)
                reloads += 1
                # and somebody logs in anew while it is under way
                curl.login(password_file)
            status, page = curl('/admin/', show=number % EACH == 0)
            assert status == 200, page
            assert 'data-page="admin"' in page
            assert 'data-user="admin" data-database="ok"' in page
    finally:
        curl.keep()
    wait_until(lambda: 'reload done' in service.proc.text())
    rows = service.cluster.admin_sql(
        'select count(*), count(*) filter (where ssl) from pg_stat_ssl join pg_stat_activity '
        "using (pid) where usename = 'app'")
    assert rows[0][0] == rows[0][1] > 0
    assert len(re.findall('reload: generation', service.proc.text())) >= reloads / 2
