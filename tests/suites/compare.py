# SPDX-License-Identifier: PostgreSQL
"""A suite under tine against the same suite bare, test by test.

A test that differs is run again, with all of its file, both ways and in turns, since many tests of
others hang on timing. It is a difference when it never came out as it did bare. Differences that
are listed in expected.toml, each with its reason, are no failure.
"""
import fnmatch
import os
import tomllib
from dataclasses import dataclass, field

from . import runner

AGAIN = 2           # rounds; a test that differs is run so often more
EXPECTED = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'expected.toml')


@dataclass
class Verdict:
    """What came of comparing one mode."""
    suite: str
    mode: str
    run: runner.Run
    differences: dict = field(default_factory=dict)     # test -> (bare, tine, text)
    expected: dict = field(default_factory=dict)        # test -> reason
    unsteady: dict = field(default_factory=dict)        # test -> (bare, tine) of the first time
    unseen: list = field(default_factory=list)          # reasons whose tests ran and were equal

    def __str__(self):
        lines = ['%s, %s: %d differences' % (self.suite, self.mode, len(self.differences))]
        if self.run.ended:
            lines.append('  the run: ' + self.run.ended)
        for test, (bare, tine, text) in self.differences.items():
            lines.append('  %s: bare %s, tine %s' % (test, bare, tine))
            lines += ['    | ' + line for line in text.splitlines()[-25:]]
        return '\n'.join(lines)

    @property
    def good(self):
        return not self.differences and not self.run.ended


def expected_differences(suite, mode, file=EXPECTED):
    with open(file, 'rb') as opened:
        rows = tomllib.load(opened).get('difference', [])
    # A suite on wheels is the same suite.
    return [row for row in rows if row['suite'] == suite.partition('-')[0] and mode in row['modes']]


def differing(bare, tine):
    """{test: (bare, tine)} where the outcomes are not the same; '-' for a test that did not run."""
    tests = {**bare.outcomes, **tine.outcomes}
    pairs = {test: (bare.outcomes.get(test, '-'), tine.outcomes.get(test, '-')) for test in tests}
    return {test: pair for test, pair in pairs.items() if pair[0] != pair[1]}


def compare(suite, mode, bare, tine, again):
    """again(under_tine, files) runs these files of the suite once more."""
    verdict = Verdict(suite.name, mode, tine)
    rows = expected_differences(suite.name, mode)
    left = {}
    for test, pair in differing(bare, tine).items():
        row = next((row for row in rows if matches(row, test) and row['outcome'] == pair[1]), None)
        if row:
            verdict.expected[test] = row['reason']
        else:
            left[test] = pair
    verdict.unseen = [row['reason'] for row in rows if not row.get('by_chance') and not any(
        matches(row, test) for test in verdict.expected) and any(
            matches(row, test) for test in tine.outcomes)]
    for test, pair in left.items():
        verdict.differences[test] = (*pair, tine.texts.get(test, ''))
    repeat(verdict, again)
    return verdict


def matches(row, test):
    # A suite's parameters are in brackets, which mean something else to fnmatch.
    plain = test.replace('[', '(').replace(']', ')')
    return any(fnmatch.fnmatchcase(plain, pattern.replace('[', '(').replace(']', ')'))
               for pattern in row['tests'])


def repeat(verdict, again):
    """Take out what was a matter of chance."""
    for _ in range(AGAIN):
        if not verdict.differences:
            return
        files = sorted({test.partition('::')[0] for test in verdict.differences})
        if not all(file.endswith('.py') for file in files):
            return
        seen = [again(under_tine, files) for under_tine in (False, True, False)]
        bare_ways = {test: {run.outcomes.get(test, '-') for run in (seen[0], seen[2])}
                     for test in verdict.differences}
        for test, (bare, tine, _) in list(verdict.differences.items()):
            now = seen[1].outcomes.get(test, '-')
            if now in bare_ways[test] | {bare} or tine in bare_ways[test]:
                verdict.unsteady[test] = (bare, tine)
                del verdict.differences[test]
