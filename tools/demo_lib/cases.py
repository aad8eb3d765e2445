# SPDX-License-Identifier: PostgreSQL
"""The cases of the demo: which program, how it is started, what is looked at while it runs."""

import os
import re
import signal
import tempfile
import time
from dataclasses import dataclass, field

from support import procs

from .load import Tally, celery_load, http_load

WORKERS = 4
OPENED_AT_IMPORT = 3  # by the examples' application, in the parent
EXAMPLES = os.path.join(procs.ROOT, 'examples')
TRANSPORT_NAMES = {'tls': 'TLS', 'plain': 'plain'}

# What is before the command: nothing, or `tine run` with these options.
BARE = 'bare'
RUNS = {BARE: None, 'guard': ['--no-revive'], 'tine': [], 'pool': ['--pool', '4']}


@dataclass(frozen=True)
class Case:
    """One run of one program."""
    program: str            # gunicorn or celery
    transport: str          # tls or plain
    pre_ping: bool
    run: str                # of RUNS
    url_in_file: bool = False
    autocommit: bool = False

    @property
    def columns(self):
        """For the table; the mark is explained under it."""
        mark = '*' if self.url_in_file else '+' if self.autocommit else ''
        return (self.program + mark, TRANSPORT_NAMES[self.transport],
                'on' if self.pre_ping else 'off', self.run)

    @property
    def tine(self):
        return self.run != BARE

    def __str__(self):
        return '%s, %s, pre-ping %s, %s' % self.columns


@dataclass
class Result:
    """What one run gave. Sessions are server processes, known by their pids."""
    case: Case
    tally: Tally
    inherited: set          # sessions the parent had opened before the load
    alive: set              # sessions there were after the load
    output: str             # of the program, and of tine
    seconds: float
    severed: list = field(init=False)   # tine's own lines, one for each fork
    workers: set = field(init=False)
    shared: set = field(init=False)
    kept: set = field(init=False)

    def __post_init__(self):
        self.severed = [line for line in self.output.splitlines() if 'severed' in line]
        self.workers = set().union(*self.tally.workers_of.values())
        # A session belongs to one process. It is shared when a second one got an answer from it,
        # and a session of the parent when any worker did.
        self.shared = {session for session, workers in self.tally.workers_of.items()
                       if len(workers) > 1 or session in self.inherited}
        self.kept = self.inherited & self.alive


def all_cases():
    """The runs of one setting one after the other, so that the table compares neighbours."""
    runs = {'tls': [*RUNS], 'plain': [BARE, 'tine']}
    cases = {program: [Case(program, transport, pre_ping, run) for transport in runs
                       for pre_ping in (False, True) for run in runs[transport]]
             for program in ('gunicorn', 'celery')}
    # No port to be found in the environment: tine has to know the connections by their first bytes.
    by_first_bytes = Case('gunicorn', 'tls', True, 'guard', url_in_file=True)
    # One statement and one reply in each request: a swapped reply looks like a right one.
    autocommit = [Case('gunicorn', 'plain', True, run, autocommit=True) for run in runs['plain']]
    return cases['gunicorn'] + [by_first_bytes] + autocommit + cases['celery']


class Runner:
    """Runs cases on one PostgreSQL, which exists for the whole demo."""

    def __init__(self, cluster, http_requests, tasks):
        self.cluster = cluster
        self.http_requests = http_requests
        self.tasks = tasks

    def run(self, case, progress):
        started = time.monotonic()
        tally = Tally()
        # A Redis for each case: what a stuck worker left in the queue must not reach the next one.
        with procs.Redis() as redis:
            command, env = self._start_of(case, redis)
            proc = procs.Proc(command, env=env, clean_env=True,
                              cwd=os.path.join(EXAMPLES, case.program))
            try:
                proc.start()
                wait_for_workers(case, proc)
                inherited = self._sessions()
                self._load(case, proc, redis, tally, progress)
                alive = self._sessions()
            finally:
                # Bare workers can be stuck for ever, so there is no asking them to end.
                proc.stop(signal.SIGKILL)
            output = proc.text()
        self._wait_for_no_sessions()
        return Result(case, tally, inherited, alive, output, time.monotonic() - started)

    def _start_of(self, case, redis):
        """Command line and environment; between bare and tine only tine's words differ.

        Nothing of the user's environment or home (PG*, PYTHON*, ~/.postgresql) has a part in it.
        """
        # Goes when the cluster goes.
        directory = tempfile.mkdtemp(prefix='case-', dir=self.cluster.dir)
        env = {'POOL_PRE_PING': '1' if case.pre_ping else '0', 'BROKER_URL': redis.url,
               'AUTOCOMMIT': '1' if case.autocommit else '0',
               'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'HOME': directory, 'LC_ALL': 'C.UTF-8',
               'PYTHONDONTWRITEBYTECODE': '1'}
        url = self.cluster.url(case.transport)
        if case.url_in_file:
            env['DATABASE_URL_FILE'] = os.path.join(directory, 'url')
            with open(env['DATABASE_URL_FILE'], 'w', encoding='utf-8') as file:
                file.write(url + '\n')
        else:
            env['DATABASE_URL'] = url
        command = {
            'gunicorn': ['gunicorn', '--preload', '--bind', '127.0.0.1:0', '--worker-class',
                         'gthread', '--workers', WORKERS, '--threads', '4', 'app:app'],
            'celery': ['celery', '-A', 'tasks', 'worker', '--pool', 'prefork', '--concurrency',
                       WORKERS, '--without-gossip', '--without-mingle', '--loglevel', 'info'],
        }[case.program]
        tine = procs.tine_command(*RUNS[case.run]) if case.tine else []
        return [*tine, *map(str, command)], env

    def _load(self, case, proc, redis, tally, progress):
        if case.program == 'celery':
            celery_load(redis.url, self.tasks, tally, progress)
            return
        port = int(re.search(r'Listening at: http://127\.0\.0\.1:(\d+)', proc.text()).group(1))
        http_load(port, self.http_requests, tally, progress)

    def _sessions(self):
        rows = self.cluster.admin_sql("select pid from pg_stat_activity where usename = 'app'")
        return {pid for pid, in rows}

    def _wait_for_no_sessions(self):
        """So that no case begins with sessions of the one before."""
        self.cluster.admin_sql(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'")
        procs.wait_until(lambda: not self._sessions(), 30, 'the end of all sessions')


def wait_for_workers(case, proc):
    if case.program == 'gunicorn':
        proc.wait_ready(lambda: proc.text().count('Booting worker with pid') >= WORKERS)
    else:
        # Celery says so when its pool processes exist.
        proc.wait_ready(' ready.')
