# SPDX-License-Identifier: PostgreSQL
"""What the demo prints: versions, progress, the table, the errors, the verdict."""

import os
import platform
import subprocess

import celery
import flask
import gunicorn
import psycopg2
import sqlalchemy

from support import procs

from . import promises
from .cases import OPENED_AT_IMPORT, WORKERS
from .terminal import BOLD, DIM, GREEN, RED, draw_table


def first_line_of(*command):
    """The first line a command prints; its absence is said, not hidden."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=True)
        return done.stdout.splitlines()[0].strip()
    except (OSError, subprocess.CalledProcessError, IndexError) as err:
        return '%s: no version (%s)' % (command[0], err)


def libpq_version():
    number = psycopg2.extensions.libpq_version()
    return '%d.%d' % (number // 10000, number % 10000)


def versions(cluster):
    redis = dict(word.partition('=')[::2] for word in
                 first_line_of('redis-server', '--version').split())
    server, = cluster.admin_sql('show server_version')[0]
    return [
        ('tine', first_line_of(procs.tine_path(), 'version').removeprefix('tine ')),
        ('PostgreSQL', server),
        ('libpq', libpq_version()),
        ('OpenSSL', first_line_of('openssl', 'version').removeprefix('OpenSSL ')),
        ('Python', platform.python_version()),
        ('Gunicorn', gunicorn.__version__),
        ('Flask', flask.__version__),
        ('SQLAlchemy', sqlalchemy.__version__),
        ('psycopg2', psycopg2.__version__.partition(' ')[0]),
        ('Celery', celery.__version__),
        ('Redis', redis.get('v', 'unknown')),
        ('system', '%s, Linux %s, %s' % (' '.join(platform.libc_ver()), platform.release(),
                                         '%d processors' % os.cpu_count())),
    ]


def show_versions(terminal, cluster):
    rows = versions(cluster)
    width = max(len(name) for name, _ in rows)
    for name, version in rows:
        terminal.line('  %s  %s' % (name.ljust(width), version))


class Progress:
    """[k/n] and what is running now."""

    def __init__(self, terminal, total):
        self.terminal = terminal
        self.total = total
        self.number = 0
        self.case = None

    def begin(self, case):
        self.number += 1
        self.case = case
        if self.terminal.tty:
            self.terminal.changing('%s starting' % self._head())
        else:
            self.terminal.line('%s ...' % self._head())

    def update(self, tally):
        self.terminal.changing('%s sent %d, correct %d, failed %d, wrong rows %d' % (
            self._head(), tally.sent, tally.correct, tally.failed, tally.wrong))

    def end(self, result):
        tally = result.tally
        self.terminal.line('%s correct %d, failed %d, wrong rows %d (%.1f s)' % (
            self._head(), tally.correct, tally.failed, tally.wrong, result.seconds))

    def _head(self):
        return '[%2d/%d] %s:' % (self.number, self.total, self.case)


HEADINGS = ('program', 'over', 'pre-ping', 'run', 'requests', 'correct', 'failed',
            'WRONG ROWS', 'shared', 'kept')
TEXT_COLUMNS = 4
LEGEND = (
    'run:    bare; guard: `tine run --no-revive`; tine: `tine run`; pool: `tine run --pool 4`;',
    '        nothing else differs.',
    'shared: PostgreSQL sessions that answered a process which had not opened them.',
    'kept:   sessions of the parent (opened at import) that were still alive at the end.',
    '*       the database URL is in a file, not in the environment: tine is told no port.',
    '+       AUTOCOMMIT: no transaction around a request.',
)


def table_row(result):
    tally = result.tally
    return (*result.case.columns, str(tally.sent), str(tally.correct), str(tally.failed),
            str(tally.wrong), str(len(result.shared)),
            '%d/%d' % (len(result.kept), len(result.inherited)))


def row_colour(result):
    if result.case.tine:
        return RED if promises.broken(result) else GREEN
    return RED if result.tally.failed or result.tally.wrong else None


def show_table(terminal, results):
    rows = [(result.case.program, table_row(result), row_colour(result)) for result in results]
    draw_table(terminal, HEADINGS, rows, TEXT_COLUMNS)
    terminal.line()
    for text in LEGEND:
        terminal.line(terminal.paint(text, DIM))


def show_errors(terminal, results):
    terminal.line()
    terminal.line(terminal.paint('Errors', BOLD))
    for result in results:
        if not result.tally.failed:
            continue
        terminal.line('  %s' % result.case)
        for text, count in result.tally.errors.most_common():
            terminal.line('  %6d x %s' % (count, text))
    bare = [result for result in results if not result.case.tine]
    for result in [one for one in bare if not one.tally.failed and not one.tally.wrong]:
        terminal.line('  %s: none this time; whether processes collide is a matter of timing'
                      % result.case)
    if bare:
        terminal.line()
        terminal.line('Bare, %d cases together: failed %d, wrong rows %d' % (
            len(bare), sum(result.tally.failed for result in bare),
            sum(result.tally.wrong for result in bare)))


def show_output_of_first(terminal, results):
    """The program's own words about what went wrong; of one case, since they repeat."""
    for result in results[:1]:
        lines = result.output.splitlines()
        terminal.line('  output of %s, first and last lines:' % result.case)
        for line in lines[:20] + lines[20:][-20:]:
            terminal.line('    ' + line)


def show_verdict(terminal, results):
    """Say for every case under tine whether it was as promised; True when all were."""
    guarded = [result for result in results if result.case.tine]
    if not guarded:
        return True
    terminal.line()
    terminal.line(terminal.paint('Under tine', BOLD))
    for said in guarded[0].severed[:1]:
        terminal.line('  it says, once for each fork: %s' % said)
    for text in (
            'no failure, with and without pre-ping',
            'the guard alone without pre-ping: at most %d clean losses (%d workers x %d inherited'
            ' connections)' % (promises.LOSSES_ALLOWED, WORKERS, OPENED_AT_IMPORT),
            'always: no wrong row, no shared session, every session of the parent kept'):
        terminal.line('  promised ' + text)
    bad = [(result.case, text) for result in guarded for text in promises.broken(result)]
    for case, text in bad:
        terminal.line(terminal.paint('  BROKEN: %s: %s' % (case, text), RED))
    show_output_of_first(terminal, [result for result in guarded if promises.broken(result)])
    if not bad:
        losses = max(result.tally.failed for result in guarded)
        terminal.line(terminal.paint('  kept in all %d cases; most clean losses in one case: %d'
                                     % (len(guarded), losses), GREEN))
    return not bad
