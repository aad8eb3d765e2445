# SPDX-License-Identifier: PostgreSQL
"""The test suites of others, as their own authors publish them; no part of them is kept here.

A suite comes from Debian's source package of the version that is installed, through the sources
that this machine's apt knows, or else from PyPI's sdist, whose checksum is in PINNED. It is kept in
~/.cache/tine-suites (or $XDG_CACHE_HOME), or taken from the directory that TINE_SUITES names,
where NAME-VERSION is an unpacked source tree.
"""
import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
import time

FETCH_SECONDS = 240

# For how long nobody asks again after a suite could not be had.
RETRY_SECONDS = 600

# Distribution, version: the sha256 of its sdist. None where the sdist has no tests.
PINNED = {
    ('psycopg2', '2.9.5'): 'a5246d2e683a972e2187a8714b5c2cf8156c064629f9a9b1a873c1730d9e245a',
    ('SQLAlchemy', '1.4.46'): '6913b8247d8a292ef8315162a51931e2b40ce91681f1b6f18f697045200c4a30',
}


class Unavailable(Exception):
    """The suite cannot be had here; the text says why."""


def cache_directory():
    base = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    path = os.path.join(base, 'tine-suites')
    os.makedirs(path, mode=0o700, exist_ok=True)
    return path


def find(name, package, distribution):
    """The unpacked source tree of a Debian binary package's source, of the installed version."""
    source, version = installed(package)
    upstream = version.rpartition('-')[0].partition('+')[0]
    given = os.environ.get('TINE_SUITES')
    tree = os.path.join(given or cache_directory(), '%s-%s' % (name, upstream))
    if given and not os.path.isdir(tree):
        raise Unavailable('%s is not in TINE_SUITES' % os.path.basename(tree))
    with locked(tree + '.lock') if not given else contextlib.nullcontext():
        if not os.path.isdir(tree):
            fetch_unless_in_vain(tree, (source, version), (distribution, upstream))
    return tree


def fetch_unless_in_vain(tree, debian, sdist):
    mark = tree + '.failed'
    if os.path.exists(mark) and time.time() - os.path.getmtime(mark) < RETRY_SECONDS:
        with open(mark, encoding='utf-8') as file:
            raise Unavailable(file.read())
    try:
        fetch(tree, debian, sdist)
    except Unavailable as reason:
        with open(mark, 'w', encoding='utf-8') as file:
            file.write(str(reason))
        raise


def python_with(*wheels):
    """A Python that has these wheels, and for everything else Debian's packages."""
    folder = os.path.join(cache_directory(), 'python-' + '-'.join(wheels).replace('==', '-'))
    python = os.path.join(folder, 'bin', 'python')
    with locked(folder + '.lock'):
        if os.path.exists(folder + '.complete'):
            return python
        shutil.rmtree(folder, ignore_errors=True)
        what = 'wheels ' + ' '.join(wheels)
        run(['/usr/bin/python3', '-m', 'venv', '--system-site-packages', folder], '/', what)
        run([python, '-m', 'pip', 'install', '--quiet', '--no-input', '--disable-pip-version-check',
             '--ignore-installed', '--no-deps', '--only-binary', ':all:', *wheels], '/', what)
        with open(folder + '.complete', 'w', encoding='ascii'):
            return python


def installed(package):
    """(source package, version) of an installed Debian package."""
    done = subprocess.run(['dpkg-query', '-W', '-f', '${source:Package} ${source:Version}',
                           package], capture_output=True, text=True, check=False)
    words = done.stdout.split()
    if done.returncode or len(words) != 2:
        raise Unavailable('%s is not installed' % package)
    return words[0], words[1].partition(':')[2] or words[1]


@contextlib.contextmanager
def locked(path):
    """One process at a time fetches; the lock ends with the process that has it."""
    with open(path, 'w', encoding='ascii') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def fetch(tree, debian, sdist):
    reasons = []
    for way, what in ((from_debian, debian), (from_sdist, sdist)):
        with tempfile.TemporaryDirectory(prefix='fetch-', dir=os.path.dirname(tree)) as place:
            try:
                found = way(place, *what)
                shutil.move(found, tree)
                return
            except Unavailable as reason:
                reasons.append(str(reason))
    raise Unavailable('; '.join(reasons))


def run(words, place, what):
    try:
        done = subprocess.run(words, cwd=place, capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL, timeout=FETCH_SECONDS,
                              env={**os.environ, 'LC_ALL': 'C'})
    except (OSError, subprocess.TimeoutExpired) as err:
        raise Unavailable('%s: %s' % (what, type(err).__name__)) from err
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith(('E:', 'ERROR'))]
        raise Unavailable('%s: %s' % (what, without_place(lines[0]) if lines else 'failed'))
    return done.stdout


def without_place(line):
    """An error without the address that it names: which mirror it was does not matter."""
    words = line.partition(' [IP')[0].split()
    return ' '.join(word.rpartition('/')[2] if '://' in word else word for word in words)


def from_debian(place, source, version):
    """apt-get source, with configuration, lists and cache of its own."""
    rows = set(run(['apt-get', 'indextargets', '--format', '$(REPO_URI) $(RELEASE) $(COMPONENT)',
                    'Created-By: Packages', 'Origin: Debian'], place, 'apt').splitlines())
    if not rows:
        raise Unavailable('apt has no lists of Debian')
    with open(os.path.join(place, 'sources.list'), 'w', encoding='ascii') as file:
        file.writelines('deb-src %s\n' % row for row in sorted(rows))
    options = []
    for name, value in (('Dir::Etc::sourcelist', 'sources.list'), ('Dir::State::lists', 'lists'),
                        ('Dir::Cache', 'cache')):
        options += ['-o', '%s=%s' % (name, os.path.join(place, value))]
    options += ['-o', 'Dir::Etc::sourceparts=/dev/null', '-o', 'APT::Sandbox::User=']
    for folder in ('lists/partial', 'cache/archives/partial', 'tree'):
        os.makedirs(os.path.join(place, folder))
    what = 'source package %s' % source
    run(['apt-get', *options, '-qq', 'update'], place, what)
    run(['apt-get', *options, '-qq', 'source', '%s=%s' % (source, version)],
        os.path.join(place, 'tree'), what)
    return only_folder(os.path.join(place, 'tree'), what)


def from_sdist(place, distribution, version):
    what = 'sdist %s %s' % (distribution, version)
    pinned = PINNED.get((distribution, version))
    if not pinned:
        raise Unavailable('%s: none with tests is known' % what)
    run(['/usr/bin/python3', '-m', 'pip', 'download', '--quiet', '--no-deps', '--no-input',
         '--no-binary', ':all:', '--disable-pip-version-check', '--dest', place,
         '%s==%s' % (distribution, version)], place, what)
    archive = os.path.join(place, '%s-%s.tar.gz' % (distribution, version))
    with open(archive, 'rb') as file:
        if hashlib.sha256(file.read()).hexdigest() != pinned:
            raise Unavailable('%s: not the file that is known' % what)
    with tarfile.open(archive) as tar:
        tar.extractall(os.path.join(place, 'tree'))
    return only_folder(os.path.join(place, 'tree'), what)


def only_folder(place, what):
    found = [entry.path for entry in os.scandir(place) if entry.is_dir()]
    if len(found) != 1:
        raise Unavailable('%s: %d folders where one was expected' % (what, len(found)))
    return found[0]
