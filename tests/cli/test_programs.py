# SPDX-License-Identifier: PostgreSQL
"""Commands that are programs of their own: found in a build tree and in an installed one that was
moved, and nothing of what they link is loaded by tine itself."""
import os
import re
import shutil
import subprocess

import pytest

from support import procs

BUILD = os.path.dirname(procs.tine_path())


def libraries(program):
    done = subprocess.run(['ldd', os.path.join(BUILD, program)], capture_output=True, text=True,
                          check=True)
    return set(re.findall(r'(lib[\w-]+)\.so', done.stdout))


def test_tine_itself_loads_no_libpq():
    assert {'libpq', 'libssl', 'libcrypto'} & libraries('tine') == set()
    assert 'libpq' in libraries('tine-doctor')


@pytest.fixture
def installed(tmp_path):
    """bin/tine of an installed tree."""
    subprocess.run(['meson', 'install', '-C', BUILD, '--no-rebuild', '--quiet', '--destdir',
                    tmp_path / 'a'], check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, timeout=120)
    shutil.move(tmp_path / 'a', tmp_path / 'another place')
    found, = (tmp_path / 'another place').glob('**/bin/tine')
    return found


def run(tine, *words):
    return subprocess.run([tine, *words], capture_output=True, text=True, timeout=60, check=False)


def test_an_installed_tree_that_was_moved(installed):
    assert run(installed, 'doctor', '--for', 'celery').stdout.startswith('tine run -- celery ')
    program, = installed.parent.parent.glob('libexec/tine/tine-doctor')
    program.unlink()
    done = run(installed, 'doctor', '--for', 'celery')
    assert (done.returncode, done.stdout) == (111, '')
    assert re.search(r'tine-doctor: No such file or directory$', done.stderr)


def test_help_and_wrong_options_need_no_program(installed):
    shutil.rmtree(installed.parent.parent / 'libexec')
    assert run(installed, 'doctor', '-h').stdout.startswith('Usage: tine doctor [options] ')
    assert run(installed, 'doctor', '--nonsense').returncode == 100
