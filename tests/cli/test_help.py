# SPDX-License-Identifier: PostgreSQL
"""Help on stdout, errors on stderr, and the same options in -h, the man page and the table."""
import os
import re
import subprocess

import pytest

from support import procs

MAN = os.path.join(os.path.dirname(procs.tine_path()), 'docs')


def tine(*words, **options):
    return subprocess.run([procs.tine_path(), *words], capture_output=True, text=True, timeout=60,
                          **options)


def commands():
    return re.findall(r'^  (\w+) ', tine('help').stdout, re.M)


def options_of(text):
    """{long name: [metavar]} as -h prints them."""
    return {name: metavar for name, metavar in
            re.findall(r'^\s+-\w, --([\w-]+)(?: ([^\s\[]\S*))?', text, re.M)}


def test_help_is_on_stdout_and_narrow():
    for words in (['help'], ['--help'], ['-h'], *([name, '-h'] for name in commands()),
                  *(['help', name] for name in commands())):
        result = tine(*words)
        assert result.returncode == 0
        assert result.stderr == ''
        assert max(map(len, result.stdout.splitlines())) < 80


def test_usage_is_on_stderr():
    for words in ([], ['nonsense'], ['help', 'nonsense'], ['version', 'x'],
                  ['version', '--port', '1']):
        result = tine(*words)
        assert result.returncode == 100
        assert result.stdout == ''
        assert 'tine' in result.stderr


def test_version():
    assert re.fullmatch(r'tine \d+\.\d+\.\d+\nlibrary: /.*libtine-preload\.so\n',
                        tine('version').stdout)
    assert tine('--version').stdout == tine('version').stdout


def test_a_full_disk_is_an_error():
    with open('/dev/full', 'w') as full:
        result = subprocess.run([procs.tine_path(), 'version'], stdout=full, stderr=subprocess.PIPE,
                                text=True, timeout=60)
    assert result.returncode == 111
    assert 'No space left' in result.stderr


def test_man_pages_say_what_help_says():
    assert commands()
    for name in commands():
        page = os.path.join(MAN, 'tine-%s.1' % name)
        if not os.path.exists(page):
            pytest.skip('man pages are not built: scdoc is not installed')
        with open(page) as file:
            man = re.sub(r'\\f.|\\&|\\', '', file.read())
        man = ' '.join(man.split())
        help_text = tine(name, '-h').stdout
        assert options_of(help_text)
        for option, metavar in options_of(help_text).items():
            assert '--%s %s' % (option, metavar) in man if metavar else '--' + option in man
        for paragraph in re.findall(r'^  -.*\n((?:        .*\n)+)', help_text, re.M):
            assert ' '.join(paragraph.split()) in man
        for page_option in re.findall(r'-\w, --([\w-]+)', man):
            assert page_option in options_of(help_text)
