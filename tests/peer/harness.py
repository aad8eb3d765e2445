# SPDX-License-Identifier: PostgreSQL
"""How a real program is run under test, bare or under tine, and how its answers are judged.

A program gets its database from a JSON file named by APP_CONFIG, and its environment holds nothing
that names PostgreSQL: so tine has to recognise a server on a random port by what is sent to it.
"""
import collections
import concurrent.futures
import functools
import http.client
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from support import procs

APPS = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'apps')

# The distribution's programs, whatever else is installed in front of them.
PATH = '/usr/bin:/usr/sbin:/bin:/sbin'
PYTHON = '/usr/bin/python3'

# What is said of a connection that is gone: by libpq (in the clear, over TLS, with OpenSSL 3 as it
# comes in wheels), by asyncpg, and by Python's sockets for pg8000.
CLEAN_LOSS = re.compile(r'server closed the connection unexpectedly|EOF detected|unexpected eof'
                        r'|connection was closed|EOF occurred|Broken pipe')

# Which part of the environment names a PostgreSQL server, or would change how one is reached.
NAMES_POSTGRES = re.compile(r'^(PG[A-Z]+|DATABASE_URL|TINE_.*|LD_PRELOAD|PYTHONPATH)$')


def clean_env(**more):
    """This process's environment without anything about PostgreSQL, with some names added."""
    env = {name: value for name, value in os.environ.items()
           if not NAMES_POSTGRES.match(name) and 'postgres' not in value}
    env.update(PYTHONPATH=APPS, PATH=PATH)
    env.update(more)
    return env


# What is before a program: nothing, the guard alone, and what else tine does for libpq's programs.
GUARDS = {'bare': None, 'tine': ['--no-revive'], 'revive': [], 'pool': ['--pool', '5']}


class Guard:
    """How programs are started: bare, or under `tine run` with its log in a file. revives: lost
    connections of libpq's are opened anew."""

    def __init__(self, tine, directory, name='tine'):
        self._tine = tine
        self._log = os.path.join(directory, 'tine.log')
        self.name = name
        self.on = tine is not None
        self.revives = name == 'revive'

    def command(self, args, *options):
        args = [str(arg) for arg in args]
        if not self.on:
            return args
        return self._tine('--log', self._log, *GUARDS[self.name], *options) + args

    def log(self):
        """What tine has logged so far."""
        if not os.path.exists(self._log):
            return ''
        with open(self._log, encoding='utf-8') as log:
            return log.read()


class Site:
    """One test's place: its directory, its database and guard, and the configuration file."""

    def __init__(self, cluster, guard, directory):
        self.cluster, self.guard, self.directory = cluster, guard, str(directory)

    def path(self, name):
        return os.path.join(self.directory, name)

    def configure(self, transport, driver='psycopg2', **more):
        """Write the configuration; returns the environment of the program under test."""
        config = {'url': self.cluster.url(transport, driver),
                  'conninfo': self.cluster.conninfo(transport),
                  'params': self.cluster.params(transport), 'pre_ping': False,
                  'connections': 3, 'spawn': False,
                  # Bare programs do hang; guarded ones get the time a busy machine needs.
                  'deadline': 20 if self.guard.on else 3, **more}
        with open(self.path('app.json'), 'w', encoding='utf-8') as file:
            json.dump(config, file)
        return clean_env(APP_CONFIG=self.path('app.json'))

    def run(self, args, env, *options):
        """Run a program to its end, with a deadline; the last JSON object it printed."""
        with self.serve(args, env, *options) as program:
            try:
                status = program.wait(45)
            except subprocess.TimeoutExpired:
                status = 'none in 45 s'
            program.stop(signal.SIGKILL)
            text = program.text()
        lines = [line for line in text.splitlines() if line.startswith('{')]
        assert lines, '%s printed no result (exit status: %s)\n%s' % (args, status, text)
        return json.loads(lines[-1])

    def serve(self, args, env, *options):
        """A server program, to be used in a with block."""
        return procs.Proc(self.guard.command(args, *options), env=env, clean_env=True,
                          cwd=self.directory)

    def inherited(self):
        """The backends opened at import; the sessions are not used to find that out."""
        with open(self.path('witness.pids'), encoding='utf-8') as file:
            return json.load(file)

    def ask_witness(self):
        """What the master process says of its own sessions; see apps/inherit.py."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20 if self.guard.on else 5)
            client.connect(self.path('witness'))
            # Up to the end of the line: a child forked meanwhile may hold the connection open.
            with client.makefile() as lines:
                return json.loads(lines.readline())

    def alive(self, pids):
        """Those of the backends that the server still has."""
        rows = self.cluster.admin_sql('select pid from pg_stat_activity where pid = any(%s)',
                                      params=(list(pids),))
        return {pid for pid, in rows}


class Report:
    """Replies judged against what was asked: right, wrong, failed, and given on whose session."""

    def __init__(self, inherited=()):
        self.inherited = set(inherited)
        self.correct = 0
        self.wrong, self.errors, self.shared = [], [], []
        self.workers = collections.defaultdict(list)
        self.backends = set()
        self._lock = threading.Lock()

    def add(self, nonce, reply):
        with self._lock:
            failures = self.workers[reply.get('worker')]
            if 'error' in reply:
                self.errors.append(reply['error'])
                failures.append(reply['error'])
            elif reply['nonce'] != nonce:
                self.wrong.append((nonce, reply))
            else:
                self.correct += 1
                self.backends.add(reply['backend'])
            if reply.get('backend') in self.inherited:
                self.shared.append(reply)

    def __repr__(self):
        return 'Report(correct=%d, wrong=%r, shared=%d, workers=%d, errors=%s)' % (
            self.correct, self.wrong, len(self.shared), len(self.workers),
            dict(collections.Counter(self.errors)))

    def check_guarded(self, pre_ping, connections, workers, revives):
        """Promise 1 as an application sees it; and where the libpq level opens connections anew,
        an application sees nothing at all."""
        assert self.correct and not self.wrong and not self.shared, self
        assert all(CLEAN_LOSS.search(error) for error in self.errors), self
        assert all(len(lost) <= connections for lost in self.workers.values()), self
        assert len(self.workers) >= workers, self
        if pre_ping or revives:
            assert not self.errors, self


def check_inherited(site, report, pre_ping, connections, workers):
    """A server's workers and its master, after a load.

    Bare it is certain that a worker used a session of its master: either a reply was given on
    one, or, over TLS, the master has lost one because its record numbers no longer fit.
    """
    try:
        master = site.ask_witness()
        intact = sorted(master['after']) == sorted(master['before'])
    except OSError as error:
        master, intact = repr(error), False
    if not site.guard.on:
        assert report.shared or not intact, (report, master)
        return
    report.check_guarded(pre_ping, connections, workers, site.guard.revives)
    assert intact, master
    assert str(site.cluster.port) in site.guard.log(), site.guard.log()


def safe(result):
    """The parent's session and transaction went on, and the child never used that session."""
    return ('error' not in result and result['after'] == result['before'] and result['mark']
            and result['child'].get('backend') != result['before'])


def check_safe(result, action=''):
    """The above, and the child did well: it could connect, and a query on the inherited connection
    failed as on any connection that is gone. (The parent is in a transaction, so none is opened
    anew.)"""
    assert safe(result), result
    child = result['child']
    assert child['status'] == 0 and child['own'] != result['before'], result
    if action.startswith('query'):
        assert CLEAN_LOSS.search(child['error']), result


def check_result(site, result, action=''):
    """Safe under tine, not so bare."""
    if site.guard.on:
        check_safe(result, action)
    else:
        assert not safe(result), result


def ask_http(port, nonce, timeout):
    """One HTTP request on a connection of its own; the reply as JSON, whatever went wrong."""
    client = http.client.HTTPConnection('127.0.0.1', port, timeout=timeout)
    try:
        client.request('GET', '/?nonce=%s' % nonce)
        response = client.getresponse()
        body = response.read().decode('utf-8', 'replace')
        return json.loads(body)
    except ValueError:
        return {'worker': None, 'error': 'http: %d %.200s' % (response.status, body)}
    except (OSError, http.client.HTTPException) as error:
        return {'worker': None, 'error': 'http: %r' % error}
    finally:
        client.close()


def load(site, port, report, requests, clients=6, client=ask_http):
    """Concurrent requests, each checked against its own nonce.

    Bare servers lose replies and then wait for ever, so those requests have short deadlines and the
    whole load an end; guarded ones get the time that a busy machine needs.
    """
    timeout, until = (20, math.inf) if site.guard.on else (2, time.monotonic() + 6)

    def one(number):
        if time.monotonic() < until:
            nonce = 'n%d-%s' % (number, os.urandom(4).hex())
            report.add(nonce, client(port, nonce, timeout))

    with concurrent.futures.ThreadPoolExecutor(clients) as executor:
        list(executor.map(one, range(requests)))
    return report


def load_every_worker(site, port, report, workers):
    """A load, and some more where a worker has come to nothing yet on a busy machine."""
    load(site, port, report, 150)
    for _ in range(30):
        if not site.guard.on or len(report.workers) >= workers:
            break
        load(site, port, report, 20)
    return report


def need_program(name, package=None):
    """The path of a program; skips the test where it is not installed."""
    path = shutil.which(name, path=PATH)
    if not path:
        pytest.skip('%s is not installed (Debian package: %s)' % (name, package or name))
    return path


@functools.cache
def _import_error(name):
    done = subprocess.run([PYTHON, '-c', 'import ' + name], env=clean_env(), check=False,
                          stderr=subprocess.PIPE, text=True)
    return done.stderr.strip().rpartition('\n')[2] if done.returncode else None


def need_python_module(*names):
    """Skips the test where the Python under test lacks a module."""
    for name in names:
        if _import_error(name):
            pytest.skip('no Python module %s: %s' % (name, _import_error(name)))


# What must be there: a command that succeeds, and the Debian package that makes it.
LANGUAGE_NEEDS = {
    'php': (['php', '-r', 'exit(function_exists("pg_connect") '
             '&& function_exists("pcntl_fork") ? 0 : 1);'], 'php-cli and php-pgsql'),
    'ruby': (['ruby', '-e', 'require "pg"'], 'ruby-pg'),
    'perl': (['perl', '-MDBD::Pg', '-e', '1'], 'libdbd-pg-perl'),
}


@functools.cache
def _language_works(language):
    return subprocess.run(LANGUAGE_NEEDS[language][0], env=clean_env(), check=False,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def need_language(language):
    need_program(language, LANGUAGE_NEEDS[language][1])
    if not _language_works(language):
        pytest.skip('%s has no PostgreSQL driver (Debian package: %s)'
                    % (language, LANGUAGE_NEEDS[language][1]))
