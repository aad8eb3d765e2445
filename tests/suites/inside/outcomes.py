# SPDX-License-Identifier: PostgreSQL
"""A pytest plugin for the suites of others: each test's outcome in a file, as soon as it is known.

A line for a test that begins, and one when it has ended: so a suite that hangs or crashes still
says which test it was, and what came of those before.
"""
import json
import os

import pytest

FILE = os.environ['SUITE_OUTCOMES']


def note(**row):
    with open(FILE, 'a', encoding='utf-8') as file:
        file.write(json.dumps(row) + '\n')


class Outcomes:
    """The worst of a test's three phases is its outcome."""

    def __init__(self):
        self.outcome, self.text = None, ''

    def pytest_runtest_logstart(self, nodeid):
        self.outcome, self.text = None, ''
        note(test=nodeid, outcome='begun')

    def pytest_runtest_logreport(self, report):
        found = report.outcome
        if hasattr(report, 'wasxfail'):
            found = 'xfailed' if report.skipped else 'xpassed'
        elif report.failed and report.when != 'call':
            found = 'error'
        if self.outcome is None or found in ('failed', 'error') or (
                report.when == 'call' and self.outcome == 'passed'):
            self.outcome = found
            self.text = '' if found == 'passed' else str(report.longrepr)

    def pytest_runtest_logfinish(self, nodeid):
        note(test=nodeid, outcome=self.outcome, text=self.text[-4000:])

    def pytest_collectreport(self, report):
        if report.failed:
            note(test='collection of ' + (report.nodeid or 'all'), outcome='error',
                 text=str(report.longrepr)[-4000:])


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    config.pluginmanager.register(Outcomes(), 'outcomes-of-suites')
