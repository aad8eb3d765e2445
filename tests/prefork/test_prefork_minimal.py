# SPDX-License-Identifier: PostgreSQL
"""examples/minimal is what it says: few lines to copy, compile, and leave to themselves."""
import os
import re
import shutil
import signal
import subprocess
import urllib.error
import urllib.request

import pytest

from support import procs
from support.procs import wait_until

BUILD = os.path.dirname(procs.tine_path())
SOURCE = os.path.join(procs.ROOT, 'examples', 'minimal', 'minimal.c')


@pytest.fixture
def program(tmp_path):
    """Compiled as its first lines say."""
    if os.environ.get('TINE_SANITIZER'):
        pytest.skip("a program compiled without the sanitizer cannot have the library's")
    with open(SOURCE, encoding='utf-8') as file:
        text = file.read()
    assert len(text.splitlines()) <= 80
    command = re.search(r'^ \*\t(cc .*)$', text, re.M).group(1)
    shutil.copy(SOURCE, tmp_path)
    subprocess.run(command.replace('cc', 'cc -Wall -Wextra -Werror', 1), shell=True, cwd=tmp_path,
                   env={**os.environ, 'PKG_CONFIG_PATH': os.path.join(BUILD, 'meson-uninstalled'),
                        'LD_LIBRARY_PATH': BUILD}, check=True)
    return tmp_path / 'minimal'


class Service:
    """The program on a free port."""

    def __init__(self, program, url, **env):
        self.port = procs.free_port()
        clean = {name: None for name in os.environ if name.startswith(('PG', 'TINE_', 'LISTEN_'))}
        self.proc = procs.Proc([program], env={
            **clean, 'LD_LIBRARY_PATH': BUILD, 'DATABASE_URL': url,
            'TINE_LISTEN': '127.0.0.1:%d' % self.port, **env})

    def __enter__(self):
        self.proc.start()
        self.proc.wait_ready('all workers are ready')
        return self

    def __exit__(self, *exc):
        self.proc.stop(signal.SIGKILL)

    def get(self):
        """(status, text) of the page."""
        try:
            with urllib.request.urlopen('http://127.0.0.1:%d/' % self.port, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as err:
            with err:
                return err.code, err.read().decode()

    def workers(self):
        return set(self.proc.members()) - {self.proc.pid}


def test_it_serves_and_heals(program, cluster):
    page = (200, 'hello from %s\n' % cluster.user)
    with Service(program, cluster.url('tls').split('?')[0]) as service:
        assert service.get() == page
        first = service.workers()
        assert len(first) == 2
        # every connection to the database is cut
        cluster.admin_sql('select pg_terminate_backend(pid) from pg_stat_activity '
                          "where usename = '%s'" % cluster.user)
        assert [service.get() for _ in range(4)] == 4 * [page]
        # workers are killed
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(service.workers() - first) == 2)
        assert service.get() == page
        # and replaced
        service.proc.popen.send_signal(signal.SIGHUP)
        service.proc.wait_ready('reload done')
        assert service.get() == page
        service.proc.popen.send_signal(signal.SIGTERM)
        assert service.proc.wait() == 0
        assert not service.workers()


def test_without_a_database_it_says_so(program):
    url = 'postgresql://app:secret@127.0.0.1:%d/app' % procs.free_port()
    with Service(program, url) as service:
        assert service.get() == (503, 'no database at the moment\n')
        assert 'secret' not in service.proc.text()


def test_wrong_settings_are_told(program):
    for env, text in (({'TINE_WORKERS': 'x'}, "TINE_WORKERS: 'x' is not a number from 0 to 1000"),
                      ({'TINE_LISTEN': 'x'}, "listen: 'x' is none of HOST:PORT"),
                      ({'TINE_POOL_SIZE': '0'}, "TINE_POOL_SIZE: '0' is not a number")):
        done = subprocess.run([program], env={**os.environ, 'LD_LIBRARY_PATH': BUILD, **env},
                              capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1 and text in done.stderr
