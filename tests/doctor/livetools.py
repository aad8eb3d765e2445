# SPDX-License-Identifier: PostgreSQL
"""Running `tine doctor` on live processes, and processes for it to look at."""
import contextlib
import json
import os
import re
import subprocess

from support import procs

PYTHON = '/usr/bin/python3'
APPS = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'apps')

# No byte of what it prints may steer a terminal or be misread.
PLAIN = re.compile(r'[\n -~]*')


class Examination:
    """What one run of `tine doctor --json` said."""

    def __init__(self, done):
        self.status, self.stdout, self.stderr = done.returncode, done.stdout, done.stderr
        self.report = json.loads(done.stdout) if done.stdout else None

    @property
    def codes(self):
        """The codes of all findings, as often as they occur."""
        return sorted(finding['code'] for finding in self.report['findings'])

    def find(self, code):
        """The only finding of a code."""
        found = [finding for finding in self.report['findings'] if finding['code'] == code]
        assert len(found) == 1, '%d x %s in %s' % (len(found), code, self.stdout)
        return found[0]

    def connections(self, code):
        return self.find(code)['data']['connections']

    @property
    def live(self):
        return self.report['live']


def doctor_text(*words, env=None, prefix=()):
    """Run it for people; what it did as subprocess tells it."""
    return subprocess.run([*prefix, procs.tine_path(), 'doctor', *map(str, words)],
                          capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, **(env or {})})


def doctor(*words, env=None, prefix=()):
    done = doctor_text('--json', *words, env=env, prefix=prefix)
    assert done.returncode in (0, 1, 100, 111), done.stderr
    return Examination(done)


@contextlib.contextmanager
def holder(scenario, conninfo, under=(), args=(), folder=None, **settings):
    """Start apps/holder.py, or a copy below folder; (process, what it said of itself)."""
    env = {'HOLDER': json.dumps({'conninfo': conninfo, **settings}), 'PATH': '/usr/bin:/bin',
           'PYTHONDONTWRITEBYTECODE': '1'}
    command = [*under, PYTHON, os.path.join(folder + '/apps' if folder else APPS, 'holder.py'),
               scenario, *args]
    with procs.Proc(command, env=env, clean_env=True) as proc:
        proc.wait_ready('"opener"')
        line, = [line for line in proc.text().splitlines() if line.startswith('{')]
        yield proc, json.loads(line)


def holders_of(connection):
    """{pid: role} of a connection in the report."""
    return {holder['pid']: holder['role'] for holder in connection['holders']}


def inode_of(pid, fd):
    """The socket that a descriptor of a process is."""
    link = os.readlink('/proc/%d/fd/%d' % (pid, fd))
    return int(re.fullmatch(r'socket:\[(\d+)\]', link).group(1))
