# SPDX-License-Identifier: PostgreSQL
"""Every caller of libpq reaches the wrappers of its own copy, however it is bound; what is not
wrapped works as before. The log's lines of --verbose say through which copy a call went."""
import os
import re
import shutil
import subprocess

import pytest

from libpq.programs import TESTS

PATH = '/usr/bin:/usr/sbin:/bin:/sbin'

HERE = os.path.dirname(os.path.abspath(__file__))
INCLUDE = '/usr/include/postgresql'
PYTHON = '/usr/bin/python3'

AUDITOR = """\
#define _GNU_SOURCE
#include <link.h>
#include <stdint.h>
unsigned int la_version(unsigned int version) { return version; }
unsigned int la_objopen(struct link_map *map, Lmid_t lmid, uintptr_t *cookie)
{
	(void)map, (void)lmid, (void)cookie;
	return LA_FLG_BINDTO | LA_FLG_BINDFROM;
}
uintptr_t la_symbind64(Elf64_Sym *symbol, unsigned int number, uintptr_t *from, uintptr_t *to,
		       unsigned int *flags, const char *name)
{
	(void)number, (void)from, (void)to, (void)flags, (void)name;
	return symbol->st_value;
}
"""

LINKED = """\
int caller_asks(const char *);
int caller_jumps(const char *);
int caller_points(const char *);
char *getenv(const char *);
int main(void)
{
	const char *conninfo = getenv("CONNINFO");
	return !(caller_asks(conninfo) && caller_jumps(conninfo) && caller_points(conninfo));
}
"""


def cc(*words):
    if not shutil.which('gcc'):
        pytest.skip('gcc is not installed')
    subprocess.run(['gcc', '-O2', '-I' + INCLUDE, *map(str, words)], check=True)


def system_libpq():
    """The file of the libpq that the linker finds."""
    done = subprocess.run(['gcc', '-print-file-name=libpq.so'], check=True, capture_output=True,
                          text=True)
    return os.path.realpath(done.stdout.strip())


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A directory with two renamed copies of libpq, as wheels bring them, an extension for each of
    them, and ones for the system's libpq."""
    path = tmp_path_factory.mktemp('binding')
    with open(system_libpq(), 'rb') as file:
        image = file.read()
    caller = os.path.join(HERE, 'caller.c')
    cc('-o', path / 'opener', os.path.join(HERE, 'opener.c'))
    for letter in 'ab':
        name = 'libpq-%s.so' % letter
        # a name of the same length in the table of strings is a renamed library
        assert image.count(b'\0libpq.so.5\0') == 1
        (path / name).write_bytes(image.replace(b'\0libpq.so.5\0', b'\0%s\0' % name.encode()))
        cc('-shared', '-fPIC', '-o', path / ('caller-%s.so' % letter), caller,
           '-L%s' % path, '-l:' + name, '-Wl,-rpath,%s' % path, '-Wl,-z,lazy')
    cc('-shared', '-fPIC', '-o', path / 'caller-lazy.so', caller, '-lpq', '-Wl,-z,lazy')
    cc('-shared', '-fPIC', '-o', path / 'caller-now.so', caller, '-lpq', '-Wl,-z,now,-z,relro')
    return path


def logins(run):
    """(function, copy) of each wrapped call that made a connection, in their order."""
    return re.findall(r'libpq: (PQ\w+) of (\S+)', run.log())


@pytest.mark.parametrize('function', ['caller_asks', 'caller_jumps', 'caller_points'])
@pytest.mark.parametrize('mode, library', [
    ('lazy', 'caller-lazy.so'), ('now', 'caller-lazy.so'), ('now', 'caller-now.so'),
    ('deep', 'caller-lazy.so'), ('deep', 'caller-now.so')])
def test_an_extension(run, place, function, mode, library):
    run([place / 'opener', function, mode, place / library])
    assert logins(run) == [('PQconnectdb', 'libpq.so.5')]


@pytest.mark.parametrize('function', ['caller_asks', 'caller_jumps', 'caller_points'])
@pytest.mark.parametrize('mode', ['lazy', 'now', 'deep'])
def test_two_copies_each_for_its_own(run, place, function, mode):
    run([place / 'opener', function, mode, place / 'caller-a.so', mode,
                  place / 'caller-b.so', mode, place / 'caller-lazy.so'])
    assert [copy for _function, copy in logins(run)] == [
        'libpq-a.so', 'libpq-b.so', 'libpq.so.5']


@pytest.mark.parametrize('options', [[], ['-Wl,-z,lazy'], ['-no-pie', '-Wl,-z,lazy']])
@pytest.mark.parametrize('env', [{}, {'LD_BIND_NOW': '1'}])
def test_a_program_that_is_linked_with_libpq(run, tmp_path, options, env):
    main = tmp_path / 'main.c'
    main.write_text(LINKED)
    cc('-o', tmp_path / 'main', main, os.path.join(HERE, 'caller.c'), '-lpq', *options)
    run([tmp_path / 'main'], env=env)
    assert logins(run) == [('PQconnectdb', 'libpq.so.5')] * 3


def test_a_program_with_an_auditor(run, place, tmp_path):
    auditor = tmp_path / 'auditor.c'
    auditor.write_text(AUDITOR)
    cc('-shared', '-fPIC', '-o', tmp_path / 'auditor.so', auditor)
    run([place / 'opener', 'caller_asks', 'deep', place / 'caller-a.so', 'now',
                  place / 'caller-b.so'], env={'LD_AUDIT': str(tmp_path / 'auditor.so')})
    assert [copy for _function, copy in logins(run)] == ['libpq-a.so', 'libpq-b.so']


def test_a_program_with_another_allocator(run, place):
    jemalloc = '/usr/lib/x86_64-linux-gnu/libjemalloc.so.2'
    if not os.path.exists(jemalloc):
        pytest.skip('libjemalloc is not installed (Debian package: libjemalloc2)')
    run([place / 'opener', 'caller_asks', 'now', place / 'caller-a.so'],
                 env={'LD_PRELOAD': jemalloc})
    assert logins(run) == [('PQconnectdb', 'libpq-a.so')]


def test_nothing_is_wrapped_when_nothing_is_wanted(run, place):
    run([place / 'opener', 'caller_asks', 'now', place / 'caller-now.so'],
                 options=['--verbose', '--no-revive'])
    assert 'watching' in run.log() and 'libpq:' not in run.log()


# ---- languages -----------------------------------------------------------------------------------

SCRIPTS = {
    'psycopg2': ([PYTHON, '-c', 'import os, psycopg2\n'
                  'conn = psycopg2.connect(os.environ["CONNINFO"])\n'
                  'conn.cursor().execute("select 1")'], 'PQconnectdb'),
    'psycopg': ([PYTHON, '-c', 'import os, psycopg\n'
                 'assert psycopg.pq.__impl__ == "python"\n'
                 'psycopg.connect(os.environ["CONNINFO"]).execute("select 1")'], 'PQconnectStart'),
    'php': (['php', '-r', 'pg_query(pg_connect(getenv("CONNINFO")), "select 1") || exit(1);'],
            'PQconnectdb'),
    'ruby': (['ruby', '-e', 'require "pg"\n'
              'PG.connect(ENV["CONNINFO"]).exec("select 1")'], 'PQconnectStart'),
    'perl': (['perl', '-MDBI', '-e', '$c = $ENV{CONNINFO}; $c =~ s/ /;/g;\n'
              'DBI->connect("dbi:Pg:$c", undef, undef, {RaiseError => 1})->do("select 1")'],
             'PQconnectdb'),
}


@pytest.mark.parametrize('name', SCRIPTS)
@pytest.mark.parametrize('env', [{}, {'LD_BIND_NOW': '1'}])
def test_a_language(run, cluster, name, env):
    words, function = SCRIPTS[name]
    if not shutil.which(words[0], path=PATH):
        pytest.skip('%s is not installed' % words[0])
    run(words, env=env)
    assert logins(run) == [(function, 'libpq.so.5')]


@pytest.mark.parametrize('words', [['psql', '--no-psqlrc', '-c', 'select 1'],
                                   ['pgbench', '-n', '-t', '5', '-c', '2', '-f', 'script']])
def test_postgresqls_own_programs(run, cluster, tmp_path, words):
    (tmp_path / 'script').write_text('select 1;\n')
    params = cluster.params('tls')
    run([os.path.join(cluster.bindir, words[0]), *words[1:]], cwd=tmp_path, env={
        'PGHOST': params['host'], 'PGPORT': str(params['port']), 'PGUSER': params['user'],
        'PGPASSWORD': params['password'], 'PGDATABASE': params['dbname']})
    assert {copy for _function, copy in logins(run)} == {'libpq.so.5'}


def looks(run, test, env):
    done = run.start([os.path.join(TESTS, 'looks_test'), test], env=env)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return [line for line in run.log().splitlines() if 'the guard alone' in line]


def test_several_threads_load_libraries(run, tmp_path):
    copy = tmp_path / 'libpq-copy.so.5'
    shutil.copy(system_libpq(), copy)
    assert looks(run, 'several_threads_load_libraries', {'COPY': str(copy)}) == []


def test_a_library_that_cannot_be_written_to(run):
    said, = looks(run, 'guard_alone', {'NOT_WRITABLE': '1'})
    assert 'Permission denied' in said


MANY = """\
import ctypes, os, sys
for name in sys.argv[1:]:
    lib = ctypes.CDLL(name)
    lib.PQconnectdb.restype = ctypes.c_void_p
    conn = ctypes.c_void_p(lib.PQconnectdb(os.environ['CONNINFO'].encode()))
    assert lib.PQstatus(conn) == 0
    lib.PQfinish(conn)
"""


def test_more_copies_than_are_wrapped(run, tmp_path):
    names = [tmp_path / ('libpq-%d.so.5' % i) for i in range(6)]
    for name in names:
        shutil.copy(system_libpq(), name)
    run([PYTHON, '-c', MANY, *names])
    assert [copy for _, copy in logins(run)] == [name.name for name in names[:4]]
    said, = [line for line in run.log().splitlines() if 'the guard alone' in line]
    assert 'libpq-4.so.5' in said
