# SPDX-License-Identifier: PostgreSQL
"""The project's own rules, held by tests: what is exported, who may call what, sizes, layers."""
import os
import re
import subprocess

import pytest

from support import procs

ROOT = procs.ROOT
BUILD = os.path.dirname(procs.tine_path())
LIBRARY = os.path.join(BUILD, 'libtine-preload.so')
LIBTINE = os.path.join(BUILD, 'libtine.so')
LIBTINE_WEB = os.path.join(BUILD, 'libtine-web.so')

# Who may use whom; a folder may always use itself.
LAYERS = {
    'base': set(),
    'fork': {'base'},
    'board': {'base'},
    'pool': {'base', 'fork', 'board'},
    'prefork': {'base', 'fork', 'pool'},
    'preload': {'base', 'fork', 'board'},
    'show': {'base', 'board'},
    'top': {'base', 'board', 'show'},
    'web': {'base', 'board', 'show', 'prefork'},
    'cli': {'base', 'board', 'show'},
    'doctor': {'base', 'pool'},
}


def output(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def files(*suffixes):
    """What belongs to the project: tracked files and new ones that are not ignored."""
    names = output('git', '-C', ROOT, 'ls-files', '--cached', '--others', '--exclude-standard')
    for name in names.splitlines():
        if name.endswith(suffixes) and os.path.exists(os.path.join(ROOT, name)):
            yield name


def read(name):
    with open(os.path.join(ROOT, name), encoding='utf-8') as file:
        return file.read()


def dynamic_symbols(library, kind):
    """Names of defined ('T') or undefined ('U') dynamic symbols, without versions."""
    pattern = re.compile(r'^\S*\s+%s (\w+)' % kind, re.M)
    return set(pattern.findall(output('nm', '-D', library)))


def test_the_library_exports_what_it_interposes():
    mapped = set(re.findall(r'(\w+);', read('src/preload/preload.map').split('local:')[0]))
    hooks = set(re.findall(r'^HOOK\([^,]+, (\w+)', read('src/preload/hooks.c'), re.M))
    hooks |= {'dlopen', 'dlsym'}
    exported = set(re.findall(r' [TDBRVW] (\w+)', output('nm', '-D', '--defined-only', LIBRARY)))
    assert exported == mapped == hooks
    # a versioned symbol would interpose nothing
    assert not re.search(r' T \w+@', output('nm', '-D', LIBRARY))


def test_every_hook_is_a_function_of_libc():
    libc = re.search(r'=> (\S*libc\.so\.6)', output('ldd', LIBRARY)).group(1)
    defined = set(re.findall(r' [TWi] (\w+)@@', output('nm', '-D', libc)))
    assert dynamic_symbols(LIBRARY, 'T') <= defined


def test_the_library_needs_libc_only():
    needed = re.findall(r'NEEDED.*\[(.*)\]', output('readelf', '-d', LIBRARY))
    assert [name for name in needed if not name.startswith(('libc.so', 'ld-linux'))] == []


def test_the_library_never_ends_or_talks_on_stdout():
    forbidden = {'exit', '_exit', 'abort', 'puts', 'printf', 'putchar', '__printf_chk', 'stdout',
                 'system', 'popen', '__assert_fail'}
    assert dynamic_symbols(LIBRARY, 'U') & forbidden == set()


def test_the_guard_never_allocates():
    """What runs in signal handlers and in forked children; src/preload/libpq is not among it."""
    allocates = {'malloc', 'calloc', 'realloc', 'free', 'strdup', 'asprintf'}
    archives = ['libguard.a', 'libfork.a', 'libbase.a', 'libpreload-dlopen.a']
    members = [symbols for archive in archives for symbols in undefined(archive).values()]
    assert len(members) > 12
    assert set.union(*members) & allocates == set()


def test_the_library_brings_no_libpq():
    assert {name for name in dynamic_symbols(LIBRARY, '[Uw]') if name.startswith('PQ')} == set()


def test_layers():
    for name in files('.c', '.h'):
        if not name.startswith('src/'):
            continue
        layer = name.split('/')[1]
        for used in re.findall(r'#include "(\w+)/', read(name)):
            # tine/tine.h declares, and so is nobody's
            assert used in LAYERS[layer] | {layer, 'tine'}, '%s uses %s' % (name, used)


CALLERS_OF_LIBPQ = {'src/pool/pq.c', 'src/doctor/dsn.c', 'src/doctor/session.c'}


def test_few_files_call_libpq():
    for name in files('.c', '.h'):
        if name.startswith('src/') and name not in CALLERS_OF_LIBPQ:
            code = re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\])*"', '', read(name), flags=re.S)
            # the preload library calls the copy that a program uses, by address
            code = re.sub(r'\breal(\.|->)PQ|\btine_wrap_PQ', '', code)
            assert not re.search(r'\bPQ[a-z]\w+\(', code), name


# What libtine keeps of its own: the fork hook's registry and gate, the word that forks wipe, and
# what the supervisor's signal handlers write to.
LIBTINE_VARIABLES = {'gate', 'gate_depth', 'never_wiped', 'registry', 'tine_origin', 'signals'}
PREFORK = 'src/prefork/'


CONSTANT = {'_DYNAMIC', '_GLOBAL_OFFSET_TABLE_', '__TMC_END__', '__dso_handle',
            '__do_global_dtors_aux_fini_array_entry', '__frame_dummy_init_array_entry'}


def test_libtine_exports_what_its_header_declares():
    header = re.sub(r'/\*.*?\*/', '', read('include/tine/tine.h') + read('include/tine/prefork.h'),
                    flags=re.S)
    declared = set(re.findall(r'^TINE_PUBLIC .*?\b(tine_\w+)\(', header, re.M))
    mapped = set(re.findall(r'\b(tine_\w+);', read('src/pool/libtine.map')))
    exported = set(re.findall(r' T (tine_\w+)@@LIBTINE_0', output('nm', '-D', LIBTINE)))
    assert exported == mapped == declared
    assert not re.search(r' [BDRSV] \w', output('nm', '-D', '--defined-only', LIBTINE))


def test_libtine_web_exports_what_its_header_declares():
    header = re.sub(r'/\*.*?\*/', '', read('include/tine/web.h'), flags=re.S)
    declared = set(re.findall(r'^TINE_PUBLIC .*?\b(tine_\w+)\(', header, re.M))
    mapped = set(re.findall(r'\b(tine_\w+);', read('src/web/libtine-web.map')))
    exported = set(re.findall(r' T (tine_\w+)@@LIBTINE_WEB_0', output('nm', '-D', LIBTINE_WEB)))
    assert exported == mapped == declared
    needed = re.findall(r'NEEDED.*\[(.*?)\.so', output('readelf', '-d', LIBTINE_WEB))
    assert set(needed) - {'ld-linux-x86-64'} == {'libc', 'libjansson', 'libtine'}


def test_libtine_web_has_no_state_and_only_answers():
    names = set(re.findall(r' [bBdD] (\w+)$', output('nm', LIBTINE_WEB), re.M))
    assert {name for name in names - CONSTANT - read_only(LIBTINE_WEB)
            if not name.startswith('completed.')} == set()
    # with signal 0, to ask whether a process lives
    assert dynamic_symbols(LIBTINE_WEB, 'U') & (TALKS | ENDS | ACTS) == {'kill'}


def test_libtine_has_no_state_but_the_fork_hook_and_the_signals():
    names = set(re.findall(r' [bBdD] (\w+)$', output('nm', LIBTINE), re.M))
    variables = names - CONSTANT - read_only(LIBTINE)
    assert {name for name in variables if not name.startswith('completed.')} == LIBTINE_VARIABLES


def read_only(library):
    """Names in .data.rel.ro: constants that hold addresses."""
    rows = output('objdump', '-t', library).splitlines()
    return {row.split()[-1] for row in rows if ' .data.rel.ro' in row}


# What a library does not do to the program that it is in ...
TALKS = {'puts', 'printf', 'fprintf', 'vfprintf', 'fputs', 'fwrite', 'putchar', '__printf_chk',
         '__fprintf_chk', 'stdout', 'stderr', '__assert_fail', 'syslog', 'perror'}
ENDS = {'exit', '_exit', 'abort', 'quick_exit', '__assert_fail'}
ACTS = {'pthread_create', 'sigaction', 'signal', 'sigprocmask', 'pthread_sigmask', 'fork', 'vfork',
        'kill', 'raise', 'system', 'popen', 'posix_spawn', 'setsid', 'prctl', 'timer_create'}
# ... and which file of the supervisor does it all the same.
PREFORK_ACTS = {
    'child.c': {'_exit', 'pthread_create', 'pthread_sigmask', 'prctl', 'raise', 'signal',
                'timer_create'},
    'crew.c': {'fork', 'kill', 'pthread_sigmask'},
    'loop.c': {'kill'},
    'master.c': {'prctl'},
    'signals.c': {'raise', 'sigaction', 'signal'},
}


def undefined(archive):
    """Member -> names that it takes from elsewhere, of a static library."""
    rows = re.split(r'^(\S+)\.c\.o:$', output('nm', '-u', os.path.join(BUILD, archive)), flags=re.M)
    return {name.rpartition('_')[2] if '_prefork_' in name else name:
            set(re.findall(r'^ +U (\w+)', symbols, re.M))
            for name, symbols in zip(rows[1::2], rows[2::2])}


def test_the_pool_starts_no_thread_and_never_ends_or_talks():
    members = [symbols for archive in ('libpool.a', 'libfork.a', 'libbase.a')
               for symbols in undefined(archive).values()]
    assert len(members) > 25
    assert set.union(*members) & (TALKS | ENDS | ACTS) == set()


def test_the_supervisor_acts_in_few_places_and_never_talks():
    assert dynamic_symbols(LIBTINE, 'U') & (TALKS | {'exit', 'abort', 'quick_exit'}) == set()
    files_of = {os.path.basename(name) for name in files('.c') if name.startswith(PREFORK)}
    members = undefined('libprefork.a')
    assert len(members) == len(files_of)
    acts = {name: symbols & (ENDS | ACTS) for name, symbols in members.items()}
    assert {name + '.c': symbols for name, symbols in acts.items() if symbols} == PREFORK_ACTS


def test_libtine_is_named_for_its_interface():
    assert re.search(r'SONAME.*\[libtine\.so\.0\]', output('readelf', '-d', LIBTINE))


def test_every_source_file_says_its_licence():
    for name in files('.c', '.h', '.py'):
        assert 'SPDX-License-Identifier: PostgreSQL' in read(name)[:200], name


def test_every_header_stands_alone(tmp_path):
    for name in files('.h'):
        source = tmp_path / 'alone.c'
        source.write_text('#include "%s"\n' % re.sub(r'^(src|tests|include)/', '', name))
        folders = ['', 'include', 'src', 'tests', os.path.dirname(name), '/usr/include/postgresql']
        done = subprocess.run(['gcc', '-std=gnu11', '-D_GNU_SOURCE', '-Wall', '-Werror',
                               '-fsyntax-only', source,
                               *('-I' + os.path.join(ROOT, folder) for folder in folders)],
                              capture_output=True, text=True)
        assert done.returncode == 0, '%s\n%s' % (name, done.stderr)


def test_files_are_short():
    for name in files('.c', '.h', '.py', '.sh'):
        assert len(read(name).splitlines()) <= 600, name


def test_lines_are_short():
    for name in files('.c', '.h', '.py'):
        for number, line in enumerate(read(name).splitlines(), 1):
            assert len(line.expandtabs(8)) <= 100, '%s:%d' % (name, number)


def functions(text):
    """(name, lines) of each function of a C file in this project's style."""
    pattern = r'^(?:[\w\s*]|HOOK\()[^\n;]*\n?[^\n;{}]*\)\n\{\n(.*?)^\}'
    for found in re.finditer(pattern, text, re.M | re.S):
        yield found.group(0).split('(')[0].split()[-1], found.group(1).count('\n')


def test_functions_are_short():
    lengths = []
    for name in files('.c'):
        for function, length in functions(read(name)):
            assert length <= 60, '%s: %s has %d lines' % (name, function, length)
            lengths.append(length)
    assert len(lengths) > 100
    assert sorted(lengths)[len(lengths) // 2] < 20


@pytest.mark.parametrize('word', [r'\bTODO\b', r'\bFIXME\b', r'\bXXX\b', r'\bpkill\b',
                                  re.escape(ROOT) + '/'])
def test_words_that_do_not_belong_here(word):
    for name in files('.c', '.h', '.py', '.md', '.scd', '.build', '.sh'):
        if name != 'tests/check/test_rules.py':
            assert not re.search(word, read(name)), '%s: %s' % (name, word)


def test_packages_are_listed_once():
    rows = [line.split('\t') for line in read('tools/packages.txt').splitlines()
            if line and not line.startswith('#')]
    names = [row[1] for row in rows]
    assert len(names) == len(set(names))
    assert {row[0] for row in rows} == {'build', 'test'}
