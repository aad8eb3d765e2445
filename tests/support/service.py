# SPDX-License-Identifier: PostgreSQL
"""examples/records on a private PostgreSQL: prepared, started, asked, stopped.

    with Service(cluster, tmp_path) as service:
        browser = service.browser('editor')
        browser.get('/documents')
"""
import contextlib
import os
import re
import secrets
import signal
import subprocess

from . import procs, visitors

TABLE_OWNER = 'app'
STEP_SECONDS = 60


def records_path():
    """The built service, beside the tine that is tested."""
    return os.path.join(os.path.dirname(procs.tine_path()), 'examples', 'records', 'records')


class Service:
    """One service. Keyword arguments are the supervisor's and the pool's settings: workers=2 is
    TINE_WORKERS=2; env has others. Attributes: cluster, folder, port, token, passwords."""

    def __init__(self, cluster, folder, transport='tls', env=None, **settings):
        self.cluster = cluster
        self.folder = str(folder)
        self.port = None
        self.token = secrets.token_urlsafe(24)
        self.passwords = {}
        self._secret = secrets.token_hex(32)
        self._url = cluster.url(transport)
        self._settings = {'TINE_' + name.upper(): str(value) for name, value in settings.items()}
        self._given = env or {}
        self.proc = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    # ---- life -----------------------------------------------------------------------------------

    def environment(self):
        """The whole environment; nothing of this process's steers the service."""
        return {
            'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL': 'C.UTF-8', 'HOME': self.folder,
            'LD_LIBRARY_PATH': os.path.dirname(procs.tine_path()),
            'TINE_BOARD_DIRECTORY': self.folder, 'DATABASE_URL': self._url,
            'RECORDS_SECRET': self._secret, 'RECORDS_INBOX_TOKEN': self.token,
            'RECORDS_FILES': os.path.join(self.folder, 'files'),
            'TINE_LISTEN': '127.0.0.1:%d' % (self.port or 0), **self._settings, **self._given}

    def command(self, *words, given=None):
        """Run a command of the service's to its end; its output. RuntimeError when it fails."""
        done = subprocess.run([records_path(), *words], env=self.environment(), cwd=self.folder,
                              input=given, capture_output=True, text=True, timeout=STEP_SECONDS,
                              check=False)
        if done.returncode != 0:
            raise RuntimeError('records %s ended with %d:\n%s%s' % (
                ' '.join(words), done.returncode, done.stdout, done.stderr))
        return done.stdout

    def prepare(self):
        """An empty schema, and a user of each role."""
        self.cluster.admin_sql('drop schema public cascade')
        self.cluster.admin_sql('create schema public authorization %s' % TABLE_OWNER)
        self.command('migrate')
        for role in ('reader', 'editor', 'admin'):
            self.passwords[role] = secrets.token_urlsafe(12)
            self.command('create-user', role, '--role', role, given=self.passwords[role])

    def start(self):
        """Ready on return: schema, users, workers."""
        self.prepare()
        self.run()
        return self

    def run(self):
        """Only the process, on a database that is there already or not."""
        self.port = self.port or procs.free_port()
        self.proc = procs.Proc([records_path(), 'serve'], cwd=self.folder, clean_env=True,
                               env=self.environment()).start()
        self.proc.wait_ready('all workers are ready')

    def stop(self, sig=signal.SIGTERM):
        """Its exit status."""
        return self.proc.stop(sig) if self.proc else None

    @property
    def url(self):
        return 'http://127.0.0.1:%d/' % self.port

    # ---- what it is made of ----------------------------------------------------------------------

    def workers(self, kind='web'):
        """Pids of the living workers of a kind, by what the supervisor's log says."""
        ready = re.findall(r'%s/(\d+): pid (\d+) is ready' % kind, self.proc.text())
        living = set(self.proc.members())
        return [int(pid) for pid in dict(ready).values() if int(pid) in living]

    def reload(self):
        """HUP, and wait until all workers are new."""
        done = self.proc.text().count('reload done')
        self.proc.popen.send_signal(signal.SIGHUP)
        procs.wait_until(lambda: self.proc.text().count('reload done') > done, STEP_SECONDS,
                         'the reload')

    def backends(self):
        """Pids of its sessions at the server."""
        rows = self.cluster.admin_sql(
            "select pid from pg_stat_activity where usename = 'app' and backend_type = "
            "'client backend'")
        return {pid for pid, in rows}

    # ---- who asks it -----------------------------------------------------------------------------

    def browser(self, role=None, **options):
        """A client, signed in as the user of a role; .name and .csrf are of the session."""
        browser = visitors.Browser(self.port, **options)
        if role:
            answer = browser.login(role, self.passwords[role])
            assert answer.status == 303, answer
            browser.name = role
            browser.csrf = browser.get('/documents').field('csrf') or ''
        return browser

    @contextlib.contextmanager
    def visit(self, role=None):
        browser = self.browser(role)
        try:
            yield browser
        finally:
            browser.close()
