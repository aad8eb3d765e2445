# SPDX-License-Identifier: PostgreSQL
"""The test suites of psycopg2, psycopg 3 and SQLAlchemy under tine: equal to their bare baseline
but for what expected.toml lists. `make suites` runs all of them; here parts, to save time.
"""
import pytest

from suites import compare, judge, runner, sources

# The guard alone changes nothing in libpq; `make suites` runs it, too.
SHORT_MODES = ('revive', 'pool')


@pytest.mark.parametrize('name', runner.SUITES)
def test_suite(name, tmp_path):
    suite = runner.SUITES[name]
    try:
        suite.tree()
        suite.python()
    except sources.Unavailable as reason:
        pytest.skip('the suite of %s cannot be had: %s' % (name, reason))
    with judge.start_cluster() as cluster:
        judged = judge.Judge(cluster, suite, suite.short, str(tmp_path / 'tine.log'))
        assert not judged.bare.ended, judged.bare.ended
        verdicts = [judged.judge(mode) for mode in SHORT_MODES]
    print(judge.table([judge.row(suite, 'bare', judged.bare)] + [
        judge.row(suite, verdict.mode, verdict.run, verdict) for verdict in verdicts]))
    assert all(verdict.good for verdict in verdicts), '\n'.join(map(str, verdicts))
    for verdict in verdicts:
        check_path(verdict, judged.bare)


def check_path(verdict, bare):
    """That the mode was what it says: only the pool saves sessions."""
    if verdict.mode == 'pool':
        assert verdict.run.sessions < bare.sessions / 2, (verdict.run.sessions, bare.sessions)


class Made:
    """A suite's runs as the test says: the first, then those that are made again."""

    def __init__(self, bare, tine, again=()):
        self.bare, self.tine = (runner.Run(one, {}, '', 0, 0.0) for one in (bare, tine))
        self.left = list(again)

    def verdict(self):
        return compare.compare(runner.SUITES['psycopg2'], 'guard', self.bare, self.tine,
                               lambda _tine, _files: runner.Run(self.left.pop(0), {}, '', 0, 0.0))


A = 'tests/a.py::A::test'


def test_a_difference_is_seen():
    failed, passed = {A: 'failed'}, {A: 'passed'}
    verdict = Made(passed, failed, 2 * [passed, failed, passed]).verdict()
    assert verdict.differences[A][:2] == ('passed', 'failed') and not verdict.good


def test_a_missing_test_is_a_difference():
    assert Made({A: 'passed'}, {}, 2 * [{A: 'passed'}, {}, {A: 'passed'}]).verdict().differences


@pytest.mark.parametrize('again', [
    [{A: 'passed'}, {A: 'passed'}, {A: 'passed'}],      # under tine it passes, too
    [{A: 'failed'}, {A: 'failed'}, {A: 'passed'}]])     # bare it fails, too
def test_chance_is_no_difference(again):
    verdict = Made({A: 'passed'}, {A: 'failed'}, again).verdict()
    assert verdict.good and verdict.unsteady == {A: ('passed', 'failed')}


def test_expected_differences_name_a_suite_and_a_reason():
    modes = [*runner.MODES]
    for suite in runner.SUITES:
        for mode in modes:
            for row in compare.expected_differences(suite, mode):
                assert row['reason'] and row['tests'] and row['outcome'], row
    with open(compare.EXPECTED, 'rb') as file:
        for row in compare.tomllib.load(file).get('difference', []):
            assert row['suite'] in runner.SUITES and set(row['modes']) <= set(modes), row


def test_expected_patterns():
    row = {'tests': ['tests/a.py::*[x-*]']}
    assert compare.matches(row, 'tests/a.py::test[x-1]')
    assert not compare.matches(row, 'tests/a.py::test[y]')
