# SPDX-License-Identifier: PostgreSQL
"""All modes of a suite against one baseline, on one server; the table of it."""
from support import procs
from support.cluster import Cluster

from . import compare, runner

HEADINGS = ('suite', 'mode', 'passed', 'failed', 'skipped', 'other', 'differences', 'expected',
            'unsteady', 'sessions', 'seconds')


def start_cluster():
    return Cluster(max_connections=200, settings={'log_connections': 'on', **runner.SETTINGS})


class Judge:
    """One suite on one server; parts: what is run of it."""

    def __init__(self, cluster, suite, parts, log, seconds=600):
        self.cluster, self.suite, self.parts, self.log = cluster, suite, parts, log
        self.seconds = seconds
        runner.prepare_database(cluster)
        self.bare = self.run(None, parts)

    def run(self, mode, parts):
        prefix = [] if mode is None else procs.tine_command(
            '--log', self.log + '.' + mode, *runner.MODES[mode])
        return runner.run(self.suite, self.cluster, prefix, parts, self.seconds)

    def judge(self, mode):
        return compare.compare(
            self.suite, mode, self.bare, self.run(mode, self.parts),
            lambda under_tine, files: self.run(mode if under_tine else None, files))


def row(suite, mode, run, verdict=None):
    counts = [run.count('passed'), run.count('failed', 'error'), run.count('skipped')]
    found = [len(verdict.differences), len(verdict.expected), len(verdict.unsteady)] \
        if verdict else ['', '', '']
    return (suite.name, mode, *counts, len(run.outcomes) - sum(counts), *found, run.sessions,
            round(run.seconds))


def table(rows):
    cells = [HEADINGS, *([str(cell) for cell in one] for one in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    return '\n'.join('  '.join(
        cell.ljust(width) if number < 2 else cell.rjust(width)
        for number, (cell, width) in enumerate(zip(line, widths))) for line in cells)
