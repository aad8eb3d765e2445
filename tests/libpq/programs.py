# SPDX-License-Identifier: PostgreSQL
"""Programs under tine run, for the tests of the libpq level."""
import json
import os
import select
import subprocess
import textwrap

from support import procs

HERE = os.path.dirname(os.path.abspath(__file__))
PATH = '/usr/bin:/usr/sbin:/bin:/sbin'
PYTHON = '/usr/bin/python3'
# The beginning of programs that ask on one connection.
OPEN = """\
import os, time, psycopg2
conn = psycopg2.connect(os.environ['CONNINFO'])
conn.autocommit = True
cursor = conn.cursor()
def ask(sql='select pg_backend_pid()'):
    cursor.execute(sql)
    return cursor.fetchone()[0] if cursor.description else None
"""
TESTS = os.path.join(os.path.dirname(procs.tine_path()), 'tests', 'libpq')


class Runner:
    """Runs programs under tine run, --verbose unless there are other options; their log."""

    def __init__(self, directory, conninfo):
        self._log = directory / 'tine.log'
        self._conninfo = conninfo

    def _place(self, words, options, env):
        command = procs.tine_command('--log', self._log, *(options or ['--verbose']))
        base = {name: value for name, value in os.environ.items()
                if not name.startswith(('PG', 'TINE_', 'LD_'))}
        base.update(PATH=PATH, CONNINFO=self._conninfo, **(env or {}))
        return {'args': [*command, *map(str, words)], 'env': base, 'text': True}

    def popen(self, words, options=(), env=None):
        return subprocess.Popen(**self._place(words, options, env), stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE)

    def start(self, words, env=None, options=(), cwd=None):
        """The finished process, whatever its end."""
        return subprocess.run(**self._place(words, options, env), capture_output=True, timeout=100,
                              cwd=cwd, check=False)

    def __call__(self, words, **more):
        """The standard output of a program that must succeed."""
        done = self.start(words, **more)
        assert done.returncode == 0, (done.stdout, done.stderr, self.log())
        return done.stdout

    def log(self):
        return self._log.read_text() if self._log.exists() else ''


class Remote:
    """A Python under tine run that does what it is told: remote('2 + 2') is 4."""

    def __init__(self, runner, options, env=None):
        self._popen = runner.popen([PYTHON, '-u', os.path.join(HERE, 'remote.py')], options, env)

    def __call__(self, text):
        """The value of the last expression of some lines; Failed with what went wrong."""
        self.send(text)
        return self.receive()

    def send(self, text):
        self._popen.stdin.write(json.dumps(textwrap.dedent(text)) + '\n')
        self._popen.stdin.flush()

    def receive(self):
        ready = select.select([self._popen.stdout], [], [], 60)[0]
        assert ready, 'no answer in 60 s'
        answer = json.loads(self._popen.stdout.readline())
        if 'error' in answer:
            raise Failed(answer['error'])
        return answer['value']

    def stop(self):
        self._popen.stdin.close()
        try:
            self._popen.wait(20)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._popen.stdout.close()


class Failed(Exception):
    """What a remote Python raised."""
