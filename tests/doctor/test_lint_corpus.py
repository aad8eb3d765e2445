# SPDX-License-Identifier: PostgreSQL
"""Configurations that caused outages are found; mended, they are not."""
import pytest

import corpus
import linttools


@pytest.mark.parametrize('name', sorted(corpus.CASES))
def test_broken(name, tmp_path):
    both, broken, codes, _, options = corpus.CASES[name]
    report = linttools.lint(tmp_path, {**both, **broken}, *options)
    assert report.codes() == codes
    for found in report.findings:
        assert found['where'] and found['seen']
        assert found['grade'] == 'ok' or found['why'] and found['change']


@pytest.mark.parametrize('name', sorted(corpus.CASES))
def test_mended(name, tmp_path):
    both, _, _, mended, options = corpus.CASES[name]
    report = linttools.lint(tmp_path, {**both, **mended}, *options)
    assert report.codes() == set()


@pytest.mark.parametrize('name', sorted(corpus.CASES))
def test_no_secret(name, tmp_path):
    """hunter2 is the password of the corpus; nothing of .env's text is shown either."""
    both, broken, _, _, options = corpus.CASES[name]
    report = linttools.lint(tmp_path, {**both, **broken}, *options)
    text = linttools.doctor('--lint', tmp_path, *options)
    for output in (report.output, text.output, text.errors):
        assert 'hunter2' not in output
        assert 'example.org' not in output and '5433' not in output
