# SPDX-License-Identifier: PostgreSQL
"""docs/servers: every command line there is run as it is written, under load, and serves without a
failure; the container's entry point too, and systemd finds no fault with the units."""
import glob
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile

import pytest

from peer import fastcgi
from peer.harness import (APPS, PATH, PYTHON, Guard, Report, Site, ask_http, clean_env, load,
                          need_language, need_program, need_python_module)
from support import procs

PAGES = os.path.join(procs.ROOT, 'docs', 'servers')
REQUESTS = 60


def read(page):
    with open(os.path.join(PAGES, page), encoding='utf-8') as file:
        return file.read()


def blocks(page, kind):
    return re.findall(r'```%s\n(.*?)```' % kind, read(page), re.S)


def lines(page):
    """The command lines of a page, without those of its README that have a placeholder."""
    return [line for block in blocks(page, 'sh') for line in block.splitlines()
            if line.startswith('tine run')]


class AsWritten(Guard):
    """tine is already in the command line: it is found, and given a log."""

    def command(self, args, *options):
        assert args[:2] == ['tine', 'run'], args
        return self._tine('--log', self._log)[:-1] + [str(arg) for arg in args[2:]]


@pytest.fixture
def page_site(cluster, tine):
    """Where servers that give up root can read."""
    directory = tempfile.mkdtemp(prefix='page-', dir=cluster.dir)
    os.chmod(directory, 0o755)
    return Site(cluster, AsWritten(tine, directory), directory)


def write(site, name, text):
    with open(site.path(name), 'w', encoding='ascii') as file:
        file.write(text)


def python_app(site, _port):
    need_python_module('sqlalchemy', 'psycopg2')
    write(site, 'app.py', 'from web import application as app\n')
    return []


def ruby_app(site, _port):
    need_language('ruby')
    shutil.copy(APPS + '/web.ru', site.path('config.ru'))
    write(site, 'unicorn.rb', 'worker_processes 4\npreload_app true\n')
    return []


def perl_app(site, _port):
    need_language('perl')
    shutil.copy(APPS + '/web.psgi', site.path('app.psgi'))
    return []


FPM = """\
[global]
error_log = %(log)s
[www]
listen = 127.0.0.1:%(port)d
pm = static
pm.max_children = 2
clear_env = no
"""


def fpm_pool(site, port):
    need_language('php')
    write(site, 'fpm.conf', FPM % {'port': port, 'log': site.path('fpm.log')})
    return ['--allow-to-run-as-root', '--fpm-config', site.path('fpm.conf')]


APACHE = """\
ServerRoot %(directory)s
ServerName localhost
Listen 127.0.0.1:%(port)d
PidFile %(directory)s/apache.pid
ErrorLog %(directory)s/error.log
LoadModule mpm_prefork_module %(modules)s/mod_mpm_prefork.so
LoadModule authz_core_module %(modules)s/mod_authz_core.so
LoadModule dir_module %(modules)s/mod_dir.so
LoadModule php_module %(php)s
User %(user)s
Group %(group)s
StartServers 2
MaxRequestWorkers 4
DocumentRoot %(directory)s/www
DirectoryIndex index.php
<FilesMatch \\.php$>
SetHandler application/x-httpd-php
</FilesMatch>
"""


def apache_site(site, port):
    modules = '/usr/lib/apache2/modules'
    php = sorted(glob.glob(modules + '/libphp*.so'))
    if not php:
        pytest.skip('%s has no PHP (Debian package: libapache2-mod-php)' % modules)
    os.mkdir(site.path('www'))
    shutil.copy(APPS + '/web.php', site.path('www/index.php'))
    write(site, 'apache.conf', APACHE % {
        'directory': site.directory, 'port': port, 'modules': modules, 'php': php[-1],
        'user': 'www-data' if os.geteuid() == 0 else '#%d' % os.geteuid(),
        'group': 'www-data' if os.geteuid() == 0 else '#%d' % os.getegid()})
    return ['-f', site.path('apache.conf')]


def celery_app(_site, _port):
    need_python_module('sqlalchemy', 'psycopg2', 'redis')
    return ['--loglevel', 'INFO']       # so that it says when it is ready


# Program: what makes its application ready and gives the words that a test adds.
SERVERS = {'gunicorn': python_app, 'uwsgi': python_app, 'puma': ruby_app, 'unicorn': ruby_app,
           'starman': perl_app, 'php-fpm8.2': fpm_pool, 'apache2': apache_site,
           'celery': celery_app}


def ask_fpm(port, nonce, timeout):
    try:
        return json.loads(fastcgi.get(port, APPS + '/web.php', 'nonce=' + nonce, timeout))
    except (OSError, ValueError) as error:
        return {'worker': None, 'error': repr(error)}


def environment(site, redis):
    env = site.configure('tls13', connections=2, witness=site.path('witness'), redis=redis.url)
    os.chmod(site.path('app.json'), 0o644)
    os.mkdir(site.path('boards'), 0o700)
    # Apache's children, who are somebody else, look for certificates there.
    return {**env, 'TINE_BOARD_DIRECTORY': site.path('boards'), 'HOME': site.directory}


def inherits(words, program):
    """Whether its application is loaded before the fork; pages of PHP connect for themselves."""
    return program not in ('php-fpm8.2', 'apache2') and (
        program != 'starman' or '--preload-app' in words)


def serve(site, redis, words, program):
    """Run a documented line; the report of a load on it."""
    port = procs.free_port()
    env = environment(site, redis)
    more = SERVERS[program](site, port)
    words = [word.replace(':8000', ':%d' % port) for word in words] + more
    with site.serve(words, env) as server:
        report = Report()
        if program == 'celery':
            server.wait_ready(' ready.')
            report.inherited = set(site.inherited())
            client = Site(site.cluster, Guard(None, site.directory), site.directory)
            for nonce, reply in client.run([PYTHON, APPS + '/send_tasks.py'], env)['replies']:
                report.add(nonce, reply)
        else:
            server.wait_ready(lambda: procs.port_open(port))
            if inherits(words, program):
                report.inherited = set(server.wait_ready(site.inherited))
            load(site, port, report, REQUESTS,
                 client=ask_fpm if program.startswith('php-fpm') else ask_http)
        return report, server.text()


def program_of(words):
    return os.path.basename(words[words.index('--') + 1])


ALL_LINES = [(page, line) for page in sorted(os.listdir(PAGES)) if page != 'README.md'
             for line in lines(page)]


@pytest.mark.parametrize('page,line', ALL_LINES,
                         ids=['%s-%d' % (page[:-3], number)
                              for number, (page, _) in enumerate(ALL_LINES)])
def test_line(page_site, redis, page, line):
    words = shlex.split(line)
    need_program(program_of(words), page)
    report, text = serve(page_site, redis, words, program_of(words))
    assert report.correct == REQUESTS and not report.errors and not report.wrong, (report, text)
    assert not report.shared, report


def test_every_page_has_a_line_and_is_linked():
    names = set(os.listdir(PAGES)) - {'README.md'}
    linked = set(re.findall(r'\]\(([\w-]+\.md)\)', read('README.md')))
    assert names == linked
    assert {page for page, _ in ALL_LINES} == names - {'docker.md', 'systemd.md'}


INSTRUCTIONS = {'FROM', 'COPY', 'RUN', 'ENTRYPOINT', 'CMD'}


def test_entry_point(page_site, redis):
    """The image's words, one after the other, as the container runs them."""
    found = dict(line.split(' ', 1) for line in blocks('docker.md', 'dockerfile')[0].splitlines())
    assert set(found) <= INSTRUCTIONS
    words = json.loads(found['ENTRYPOINT']) + json.loads(found['CMD'])
    report, text = serve(page_site, redis, words, program_of(words))
    assert report.correct == REQUESTS and not report.errors and not report.shared, (report, text)


def test_other_entry_points_are_lists_for_tine():
    lists = re.findall(r'`(\["tine".*?\])`', read('docker.md'), re.S)
    assert len(lists) >= 2
    for text in lists:
        words = json.loads(text)
        assert words[:2] == ['tine', 'run'] and '--' in words


UNITS = [(page, unit) for page in ('apache.md', 'systemd.md') for unit in blocks(page, 'ini')]


@pytest.mark.parametrize('page,unit', UNITS, ids=['%s-%d' % (page[:-3], number)
                                                  for number, (page, _) in enumerate(UNITS)])
def test_unit(tmp_path, page, unit):
    """systemd reads it, and tine reads the line: whether the command would be protected."""
    analyze = need_program('systemd-analyze', 'systemd')
    there = unit.replace('/usr/local/bin/tine', procs.tine_path())
    for path in re.findall(r'-- (/usr/\S+)', unit):
        if not os.path.exists(path):
            # Not installed here, which is no fault of the unit.
            there = there.replace(path, '/bin/true')
    name = tmp_path / 'shop.service'
    name.write_text(there if '[Unit]' in there else '[Unit]\nDescription=x\n' + there)
    done = subprocess.run([analyze, 'verify', '--man=no', name], capture_output=True, text=True,
                          env=clean_env(), timeout=60, check=False)
    assert done.returncode == 0 and 'shop.service' not in done.stderr, (page, done.stderr)
    line = re.findall(r'^ExecStart=(\S.*)$', there, re.M)[0]
    words = shlex.split(line)
    check = subprocess.run([*words[:2], '--check', *words[2:]], capture_output=True, text=True,
                           timeout=60, env={'PATH': PATH}, check=False)
    assert check.returncode == 0, check.stdout + check.stderr
