# SPDX-License-Identifier: PostgreSQL
"""libtine's documentation is true: examples compile as they say and run over TLS, man pages agree
with the header and with the library, and the header stands alone in C11 and C++17."""
import os
import re
import shutil
import socket
import subprocess
import threading

import pytest

from support import libtine, procs

ROOT = procs.ROOT
BUILD = os.path.dirname(procs.tine_path())
EXAMPLES = os.path.join(ROOT, 'examples', 'c')
STRICT = ['-Wall', '-Wextra', '-Werror']
SECTIONS = ['NAME', 'SYNOPSIS', 'DESCRIPTION', 'RETURN VALUE', 'ERRORS', 'FORK', 'THREADS',
            'EXAMPLE', 'SEE ALSO']


def read(*parts):
    with open(os.path.join(ROOT, *parts), encoding='utf-8') as file:
        return file.read()


def squeeze(text):
    """Text on one line, spaces where C needs none left out."""
    return re.sub(r' ?([(){};,*]) ?', r'\1', re.sub(r'\s+', ' ', text)).strip()


# ---- the header --------------------------------------------------------------------------------

def header():
    """Without comments."""
    text = ''.join(read('include', 'tine', name + '.h') for name in ('tine', 'prefork', 'web'))
    return re.sub(r'/\*.*?\*/', ' ', text, flags=re.S)


def prototypes():
    """Public functions: name -> declaration as a program sees it, through the macros that add
    sizes."""
    found = {}
    for text in re.findall(r'^TINE_PUBLIC (.*?;)', header(), re.M | re.S):
        name = re.search(r'(\w+)\(', text).group(1)
        if re.search(r'^#define %s\(' % name, header(), re.M):
            text = re.sub(r',\s*size_t size_bytes', '', text)
        found[name] = squeeze(text)
    return found


def enumerators():
    bodies = re.findall(r'^enum \w+ \{(.*?)\}', header(), re.M | re.S)
    return [name for body in bodies for name in re.findall(r'^\s*(TINE_\w+)', body, re.M)]


def compiler(*names):
    found = [name for name in names if shutil.which(name)]
    if not found:
        pytest.skip('no compiler: ' + ' or '.join(names))
    return found[0]


ALONE = '#include "tine/tine.h"\n'
USED = ALONE + """\
#include <libpq-fe.h>
int use(tine_pool *pool);
int use(tine_pool *pool)
{
    TINE_SCOPE(scope, pool, TINE_SCOPE_TASK, "task");
    tine_pool_config config;
    tine_pool_stats stats;
    tine_transact_options options;
    tine_pool_config_init(&config);
    tine_transact_options_init(&options);
    return tine_scope_conn(scope, NULL) == NULL || tine_pool_status(pool, &stats) < 0;
}
"""


@pytest.mark.parametrize('name', ['gcc', 'clang', 'g++', 'clang++'])
def test_the_header_stands_alone(name, tmp_path):
    words = [compiler(name), '-fsyntax-only', '-pedantic-errors', *STRICT,
             '-I' + os.path.join(ROOT, 'include')]
    words += ['-xc++', '-std=c++17'] if name.endswith('++') else ['-xc', '-std=c11']
    source = tmp_path / 'source'
    for text, more in ((ALONE, []), (USED, ['-isystem', '/usr/include/postgresql'])):
        source.write_text(text)
        done = subprocess.run([*words, *more, source], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


# ---- man pages ---------------------------------------------------------------------------------

def library_pages():
    """Name of a page -> the other names it is installed under, as docs/meson.build has them."""
    table = re.search(r'library_pages = \{\n(.*?)\n\}', read('docs', 'meson.build'), re.S).group(1)
    return {page: set(re.findall(r"'([^']+)'", names))
            for page, names in re.findall(r"'([^']+)': \[(.*?)\]", table, re.S)}


class Page:
    """A page's source, by sections."""

    def __init__(self, name):
        self.name = name
        self.text = read('docs', 'man', name + '.scd')
        parts = re.split(r'^# (.*)\n', self.text, flags=re.M)
        self.titles = parts[1::2]
        self.sections = dict(zip(self.titles, parts[2::2]))

    def names(self):
        return re.match(r'\s*(.*?) - ', self.sections['NAME'], re.S).group(1).split(', ')

    def code(self, title):
        """The literal blocks of a section, as the reader sees them."""
        blocks = re.findall(r'^```\n(.*?)^```$', self.sections[title], re.M | re.S)
        return [re.sub(r'\\(.)', r'\1', block) for block in blocks]

    def plain(self):
        """All of it in one line, without marks."""
        return re.sub(r'\s+', ' ', re.sub(r'\\(.)', r'\1', self.text).replace('*', ''))


PAGES = [Page(name) for name in library_pages()]


def of_page(page):
    return page.name


@pytest.mark.parametrize('page', PAGES, ids=of_page)
def test_a_page_has_its_sections(page):
    assert [title for title in page.titles if title in SECTIONS] == SECTIONS
    assert page.text.startswith('%s(3)\n' % page.name[:-2])


@pytest.mark.parametrize('page', PAGES, ids=of_page)
def test_a_page_is_found_under_each_of_its_names(page):
    first, *others = page.names()
    assert first + '.3' == page.name
    assert set(others) == library_pages()[page.name]


def statements(code):
    """Declarations, split where a semicolon is outside of braces."""
    depth, start = 0, 0
    for at, char in enumerate(code):
        depth += (char == '{') - (char == '}')
        if char == ';' and depth == 0:
            yield squeeze(code[start:at + 1])
            start = at + 1


def test_every_synopsis_is_what_the_header_says():
    whole, functions, documented = squeeze(header()), prototypes(), []
    for page in PAGES:
        code = re.sub(r'^#include .*\n', '', page.code('SYNOPSIS')[0], flags=re.M)
        for statement in statements(code):
            name = re.match(r'(?:[\w ]+[ *])?(\w+)\(', statement)
            if name and name.group(1) in functions:
                assert statement == functions[name.group(1)], page.name
                assert name.group(1) in page.names()
                documented.append(name.group(1))
            elif name and statement.startswith(name.group(1)):
                assert '#define ' + statement[:-1] in whole, page.name
            else:
                assert statement in whole, page.name
    assert sorted(documented) == sorted(functions)


def test_every_constant_and_field_is_explained():
    text = ' '.join(page.plain() for page in PAGES)
    bold = set(re.findall(r'\*(\w+)\*', ' '.join(page.text for page in PAGES)))
    assert [name for name in enumerators() if not re.search(r'\b%s\b' % name, text)] == []
    fields = {name for struct, raw in libtine.STRUCTS.items() if struct != 'tine_pool_config'
              for name, *_ in raw._fields_ if name != 'size'}
    assert fields - bold == set()
    fields = re.search(r'struct tine_hook_event \{(.*?)\}', header(), re.S).group(1)
    assert set(re.findall(r'(\w+)[;,]', fields)) - bold == set()
    # the fields of the settings come from the option table
    for name in ('pool', 'master', 'worker'):
        assert '\n@options %s@\n' % name in Page('tine_%s_config.3' % name).text


def test_what_pages_point_to_exists():
    own = set(library_pages()) | {name + '.3' for names in library_pages().values()
                                  for name in names}
    folder = os.listdir(os.path.join(ROOT, 'docs', 'man'))
    own |= {name[:-len('.scd')] for name in folder}
    for page in PAGES:
        for name, section in re.findall(r'\*((?:lib)?tine[\w-]*)\*\((\d)\)', page.text):
            assert '%s.%s' % (name, section) in own, '%s: %s' % (page.name, name)


def test_every_status_has_its_advice():
    library, page = libtine.library(), Page('tine_error.3')
    entries = re.findall(r'^\*(TINE_\w+)\*\n((?:\t.*\n|\n(?=\t))+)', page.sections['ERRORS'], re.M)
    expected = ['TINE_' + status.name for status in libtine.Status]
    assert [name for name, _ in entries] == expected == [
        name for name in enumerators() if name.startswith(('TINE_E_', 'TINE_OK', 'TINE_PENDING'))]
    for name, entry in entries:
        status = libtine.Status[name[len('TINE_'):]]
        cause, advice = (' '.join(part.split()) for part in entry.split('\n\n'))
        assert library.tine_status_name(status).decode() == name
        assert advice == library.tine_status_advice(status).decode()
        assert cause


@pytest.mark.parametrize('page', PAGES, ids=of_page)
def test_every_example_of_a_page_compiles(page, tmp_path):
    code = page.code('EXAMPLE')
    assert len(code) == 1
    (tmp_path / 'example.c').write_text(code[0])
    shell('cc -c example.c $(pkg-config --cflags tine)', tmp_path)


def test_the_program_of_the_overview_runs(cluster, tmp_path):
    (tmp_path / 'program.c').write_text(Page('libtine.3').code('EXAMPLE')[0])
    shell('cc program.c $(pkg-config --cflags --libs tine)', tmp_path)
    assert run(cluster, tmp_path / 'a.out').stdout == 'hello from PostgreSQL\n'


# ---- the guide ---------------------------------------------------------------------------------

def test_the_guide_shows_the_program_that_is_tested():
    code = re.search(r'```c\n(.*?)```', read('docs', 'libtine.md'), re.S).group(1)
    assert read('examples', 'c', 'quick.c').endswith('*/\n' + code)


def test_the_guide_speaks_of_what_there_is():
    text = read('docs', 'libtine.md')
    for name in re.findall(r'\b(tine_\w+)\(\)', text):
        assert name in prototypes()
    for name in re.findall(r'`(TINE_\w+)`', text):
        assert name in enumerators() or '#define %s(' % name in header()
    for link in re.findall(r'\]\(([^)]+)\)', text):
        assert os.path.exists(os.path.join(ROOT, 'docs', link)), link
    settings = {name for name, _ in libtine.CPoolConfig._fields_} - {'size'}
    assert settings - set(re.findall(r'`(\w+)(?:=[\w-]+)?`', text)) == set()


def test_every_example_is_built_tested_and_in_the_guide():
    names = set(os.listdir(EXAMPLES)) - {'meson.build'}
    built = {name + '.c' for name in re.findall(r"'(\w+)'", re.sub(
        r"dependency\('\w+'", '', read('examples', 'c', 'meson.build')))}
    assert built | {'raii.cc'} == names
    assert set(re.findall(r'\(\.\./examples/c/(\w+\.\w+)\)', read('docs', 'libtine.md'))) == names
    tested = {name[len('test_'):-len('_example')] for name in globals()
              if name.startswith('test_') and name.endswith('_example')}
    assert tested == {name.split('.')[0] for name in names}


def test_the_guide_of_the_supervisor_speaks_of_what_there_is():
    text = read('docs', 'prefork.md')
    for name in re.findall(r'\b(tine_\w+)\(\)', text):
        assert name in prototypes(), name
    for name in re.findall(r'`(TINE_\w+)`', text):
        assert name in enumerators() or '#define %s(' % name in header(), name
    for name in re.findall(r'\b(tine_\w+)\(3\)', text):
        assert os.path.exists(os.path.join(ROOT, 'docs', 'man', name + '.3.scd')), name
    for link in re.findall(r'\]\(([^)]+)\)', text):
        assert os.path.exists(os.path.join(ROOT, 'docs', link)), link
    hooks = [name[len('TINE_HOOK_'):] for name in enumerators()
             if name.startswith('TINE_HOOK_') and name != 'TINE_HOOK_COUNT']
    assert re.findall(r'^\| `([A-Z_]+)` \|', text, re.M) == hooks


# ---- the examples, compiled and run as their first lines say -----------------------------------

def environment(**more):
    """Nothing of the caller's PG... and TINE_... but what the build tree needs."""
    env = {name: value for name, value in os.environ.items()
           if not name.startswith(('PG', 'TINE_', 'DATABASE_URL'))}
    return {**env, 'PKG_CONFIG_PATH': os.path.join(BUILD, 'meson-uninstalled'),
            'LD_LIBRARY_PATH': BUILD, **more}


def shell(command, folder, **more):
    """Run a compiler's command line; its warnings are errors."""
    name = command.split()[0]
    command = command.replace(name, ' '.join([name, *STRICT]), 1)
    # pkg-config escapes a blank in a path as a shell wants it, which eval reads.
    done = subprocess.run(['sh', '-ec', 'eval "%s"' % command], cwd=folder, env=environment(**more),
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, '%s\n%s' % (command, done.stderr)


def run(cluster, program, status=0, under=(), **more):
    """Run a program, which finds the server by a URL that says nothing of TLS."""
    env = environment(DATABASE_URL=cluster.url('tls').split('?')[0])
    done = subprocess.run([*under, program], env={**env, **more}, capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done


@pytest.fixture
def example(cluster, tmp_path, request):
    """Compile the example that the test is named for; called, it runs it."""
    name = request.function.__name__[len('test_'):-len('_example')]
    source = name + ('.cc' if name == 'raii' else '.c')
    command = re.search(r'^ \*\t((?:cc|c\+\+) .*)$', read('examples', 'c', source), re.M).group(1)
    if name == 'raii':
        command = re.sub(r'^c\+\+', compiler('c++', 'g++', 'clang++'), command)
    if name == 'uv' and subprocess.run(['pkg-config', '--exists', 'libuv'], check=False).returncode:
        pytest.skip('libuv is not installed (Debian package: libuv1-dev)')
    shutil.copy(os.path.join(EXAMPLES, source), tmp_path)
    shell(command, tmp_path)
    return lambda **more: run(cluster, tmp_path / name, **more)


def test_quick_example(example):
    assert re.fullmatch(r'user app, TLSv1\.\d\n', example().stdout)
    refused = example(status=1, DATABASE_URL='postgresql://127.0.0.1:%d/app' % procs.free_port())
    assert re.match('TINE_E_CONNECT: .* Connection refused', refused.stderr)
    wrong = example(status=1, TINE_POOL_SIZE='0')
    assert wrong.stderr == "TINE_POOL_SIZE: '0' is not a number from 1 to 10000\n"
    assert wrong.stderr.strip() in Page('tine_pool_config.3').plain()


@pytest.fixture(params=['bare', 'under tine run'])
def under(request):
    return [] if request.param == 'bare' else procs.tine_command('--strict')


def test_prefork_example(example, under):
    done = example(under=under)
    rows = [line.split(' has server ') for line in done.stdout.splitlines()]
    servers = {}
    for who, server in rows:
        servers.setdefault(who, []).append(server)
    assert sorted(who.split(':')[0] for who in servers) == ['master', 'worker', 'worker', 'worker']
    # each process twice, with the same session both times, and each with another one
    assert all(len(twice) == 2 and len(set(twice)) == 1 for twice in servers.values())
    assert len({twice[0] for twice in servers.values()}) == 4


def test_request_example(cluster, example):
    done = example()
    assert done.stdout.splitlines() == [
        "POST /lots 'chair' at 120: 201", "POST /lots '' at 15: 400",
        "POST /lots 'chair' at 80: 409", "POST /lots 'nail' at 1: 422",
        'lots: 1', 'connections opened: 1, in use: 0']
    assert 'duplicate key' in done.stderr
    assert cluster.admin_sql("select to_regclass('tine_example_lots')") == [(None,)]


def test_transfer_example(example):
    first, second, last = sorted(example().stdout.splitlines(), key=lambda line: 'has' in line)
    attempts = sorted(int(re.search(r'committed in (\d+)', line).group(1))
                      for line in (first, second))
    assert attempts[0] == 1 < attempts[1]
    assert last == 'anna has 80, bert has 120'


def test_epoll_example(example):
    rows = [line.split(': ') for line in example().stdout.splitlines()]
    ticks = [int(tick.split()[1]) for tick, _ in rows]
    assert [what for _, what in rows] == ['the connection goes back to the pool',
                                          'got a connection', 'the answer is 42', 'done']
    assert ticks[0] == 5 <= ticks[1] < ticks[2]


def test_uv_example(example):
    text = example().stdout
    answers = re.findall(r'request (\d): answered by server process (\d+)', text)
    assert sorted(number for number, _ in answers) == list('123456')
    assert len({process for _, process in answers}) == 2
    assert int(re.search(r'ticked (\d+) times', text).group(1)) >= 3


def test_events_example(example):
    text = example().stdout
    assert len(re.findall(r'^connect: server process \d+ in \d+ us, TLS$', text, re.M)) == 2
    assert len(re.findall(r"^leak: .*'GET /report' from events", text, re.M)) == 1
    assert re.search(r'^close: invalidated\n', text, re.M)
    assert re.search(r'^closed \(invalidated\): 1\n', text, re.M)
    assert re.search(r'^1 open of 5 \+ 10: 1 idle, 0 in use, 0 waiting\n', text, re.M)
    assert re.search(r'^wait +201 times', text, re.M)
    assert re.search(r'^hold +201 times', text, re.M)


def test_drain_example(example):
    rows = example().stdout.splitlines()
    assert re.match(r'at work: [1-9]\d* connections', rows[0])
    assert rows[1].startswith('paused: 0 connections')
    assert re.match(r'at work again: [1-9]\d* connections', rows[2])
    assert rows[3] == 'failed: 0'


def test_raii_example(example):
    assert example().stdout.splitlines() == [
        'the answer is 42', 'rolled back: ERROR:  division by zero', 'in use: 0']


class ServerWithoutTls:
    """Says no to one client that asks for TLS."""

    def __enter__(self):
        self._listener = socket.create_server(('127.0.0.1', 0))
        self._listener.settimeout(60)
        self.port = self._listener.getsockname()[1]
        self.heard = b''
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def _serve(self):
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(60)
            self.heard = connection.recv(8)
            connection.sendall(b'N')
            self.heard += connection.recv(1000)

    def __exit__(self, *exc):
        self._thread.join()
        self._listener.close()


def test_without_tls_the_guide_tells_what_happens(cluster, tmp_path):
    shutil.copy(os.path.join(EXAMPLES, 'quick.c'), tmp_path)
    shell('cc quick.c $(pkg-config --cflags --libs tine)', tmp_path)
    with ServerWithoutTls() as server:
        url = 'postgresql://app:secret@127.0.0.1:%d/app' % server.port
        text = run(cluster, tmp_path / 'a.out', status=1, DATABASE_URL=url).stderr
    assert server.heard == b'\0\0\0\x08\x04\xd2\x16\x2f'  # SSLRequest, and no byte more
    text = text.replace('127.0.0.1', '192.0.2.5').replace('port %d' % server.port, 'port 5432')
    assert squeeze(text) in squeeze(read('docs', 'libtine.md'))


# ---- installed ---------------------------------------------------------------------------------

@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    """Where the build tree was installed, with a tine.pc that says so."""
    root = tmp_path_factory.mktemp('root')
    subprocess.run(['meson', 'install', '-C', BUILD, '--no-rebuild', '--quiet', '--destdir', root],
                   check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=120)
    package, = root.glob('**/tine.pc')
    prefix = next(folder for folder in package.parents if (folder / 'include').exists())
    package.write_text(re.sub('^prefix=.*', 'prefix=%s' % prefix, package.read_text(), flags=re.M))
    return prefix


def test_what_is_installed_is_all_a_program_needs(cluster, installed, tmp_path):
    package, = installed.glob('**/tine.pc')
    shutil.copy(os.path.join(EXAMPLES, 'quick.c'), tmp_path)
    shell('cc quick.c $(pkg-config --cflags --libs tine)', tmp_path,
          PKG_CONFIG_PATH=str(package.parent))
    done = run(cluster, tmp_path / 'a.out', LD_LIBRARY_PATH=str(package.parent.parent))
    assert done.stdout.startswith('user app, TLS')


def test_every_function_has_an_installed_page(installed):
    pages = installed / 'share' / 'man' / 'man3'
    if not pages.exists():
        pytest.skip('built without man pages (Debian package: scdoc)')
    for name in [*prototypes(), 'libtine', 'tine_error', 'tine_pool_config', 'TINE_SCOPE']:
        assert '.TH "' in (pages / (name + '.3')).read_text(), name
