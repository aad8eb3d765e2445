# SPDX-License-Identifier: PostgreSQL
"""tine run --pool: a finished connection goes to the next login, and nobody can tell."""
import os
import re
import shutil
import subprocess


import psycopg2
import pytest

from support import procs
from support.cluster import Cluster

BUILD = os.path.dirname(procs.tine_path())
STATE = os.path.join(BUILD, 'tests', 'libpq', 'state')
STEPS = os.path.join(BUILD, 'tests', 'libpq', 'steps')
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'state.c')
PYTHON = '/usr/bin/python3'

# After these the session cannot be made new, or is in the middle of something: it is closed.
CLOSED = {
    'custom', 'custom_local', 'set_config', 'temporary', 'temporary_drop', 'seed', 'settings_rule',
    'pipeline', 'event', 'unread', 'single_row', 'copy_in', 'cancelled',
    'cancelled_and_another',
}


def acts():
    with open(SOURCE, encoding='ascii') as file:
        return re.findall(r'^\t\{ "(\w+)"', file.read(), re.M)


@pytest.fixture(scope='module')
def server():
    with Cluster(max_connections=60, settings={'log_statement': 'all'}) as cluster:
        cluster.admin_sql('create role other')
        cluster.admin_sql('grant other to app')
        with psycopg2.connect(cluster.conninfo()) as conn, conn.cursor() as cursor:
            cursor.execute('create table numbers (a serial); create sequence counter;'
                           'create function hide() returns text language sql as '
                           "$$ select set_config('work_mem', '3MB', false) $$;"
                           'create function move() returns text language sql as '
                           "$$ select set_config('TimeZone', 'Asia/Tokyo', false) $$")
        conn.close()
        yield cluster


def environment(server, **more):
    env = {key: value for key, value in os.environ.items()
           if not key.startswith(('TINE_', 'PG'))}
    env.update(PGHOST=server.host, PGPORT=str(server.port), PGUSER=server.user,
               PGDATABASE=server.dbname, PGPASSWORD=server.password, PGSSLMODE='require')
    env.update({key: str(value) for key, value in more.items()})
    return env


def run(server, options, *words, env=None, **more):
    command = procs.tine_command(*options) if options is not None else []
    done = subprocess.run([*command, *words], env=env or environment(server, **more), text=True,
                          capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done


def lines(done):
    return done.stdout.splitlines()


@pytest.fixture(scope='module')
def fresh(server):
    return lines(run(server, None, STATE, 'new'))


@pytest.mark.parametrize('how', ['blocking', 'async'])
@pytest.mark.parametrize('act', acts())
def test_next_user_cannot_tell(server, fresh, act, how):
    done = run(server, ['--pool', 4], STATE, act, how)
    seen = lines(done)
    assert seen[0] == ('new' if act in CLOSED else 'pooled')
    assert seen[1:] == fresh[1:]
    assert done.stderr == ''


@pytest.mark.parametrize('act', ['nothing', 'guc', 'serial', 'error', 'keep_cancel'])
def test_next_user_cannot_tell_when_tracked(server, fresh, act):
    seen = lines(run(server, ['--pool', 4, '--reset', 'tracked'], STATE, act))
    assert seen[0] == 'pooled'
    assert seen[1:] == fresh[1:]


def test_the_comparison_can_fail(server, fresh):
    seen = lines(run(server, ['--pool', 4, '--reset', 'none'], STATE, 'guc'))
    assert seen[0] == 'pooled'
    assert seen[1:] != fresh[1:]


def test_tracked_resets_what_was_touched_and_nothing_else(server):
    """A function that sets something is what tracking cannot see: here it tells what was reset."""
    def left(options, touch):
        return steps(server, ['--pool', 2, *options],
                     'open sql=select_hide() %s finish open show=work_mem' % touch)

    assert left([], '') == ['4MB']
    assert left(['--reset', 'tracked'], '') == ['3MB']
    assert left(['--reset', 'tracked'], 'sql=listen_news') == ['4MB']
    assert left(['--reset', 'tracked'], 'sql=insert_into_numbers_default_values') == ['4MB']
    # Each statement is read by another part of the same first.
    budget = ['--reset', 'tracked', '--budget', 5]
    assert left(budget, '') == ['3MB']
    assert left(budget, 'sql=insert_into_numbers_default_values') == ['4MB']


@pytest.mark.parametrize('how', ['blocking', 'async'])
def test_name_of_the_application_is_set(server, how):
    """In steps too, where the answer to the reset may not be there when it is handed out."""
    seen = lines(run(server, ['--pool', 4], STATE, 'guc', how, 'another'))
    assert seen[0] == 'pooled'
    assert 'parameter application_name = another' in seen
    assert '  another' in seen


def steps(server, options, script, **more):
    """Run a script of tests/libpq/steps.c; its words."""
    return run(server, options, STEPS, *script.split(), **more).stdout.split()


def test_as_many_stay_as_was_said(server):
    steps(server, ['--pool', 2], 'open open open open count=4 finish finish finish finish open '
                                 'count=2')


def test_newest_comes_first(server):
    """Of those whose reset is answered; here there is nothing to be answered."""
    first, second, again = steps(server, ['--pool', 2, '--reset', 'none'],
                                 'open pid open pid finish finish open pid')
    assert again == second and first != second


def test_what_the_pool_keeps_is_no_hazard(server):
    """To the program it is finished: its fork is not reported."""
    script = 'open finish fork open pid end open pid'.split()
    done = run(server, ['--pool', 2], STEPS, *script)
    assert done.stderr == '' and len(set(done.stdout.split())) == 2
    verbose = run(server, ['--pool', 2, '--verbose'], STEPS, *script).stderr
    assert 'severed 0 inherited PostgreSQL connections, 1 of the pool' in verbose
    kept = run(server, ['--pool', 2], STEPS, *'open open finish fork end'.split()).stderr
    assert 'severed 1 inherited PostgreSQL connection (' in kept and '1 of the pool' in kept


def test_session_that_was_ended_is_not_given_out(server):
    done = run(server, ['--pool', 2], STEPS, *'open pid finish killed open pid'.split(),
               CONNINFO=server.conninfo('unix'))
    first, second = done.stdout.split()
    assert first != second
    assert done.stderr == ''


@pytest.mark.parametrize('transport', ['tls13', 'plain'])
def test_farewell_that_libpq_has_read_is_not_printed(server, transport):
    """PQfinish() does not take apart what was read; whoever parks a connection does."""
    done = run(server, ['--pool', 2], STEPS, *'open pid heard finish open pid'.split(),
               PGSSLMODE='disable' if transport == 'plain' else 'require')
    first, second = done.stdout.split()
    assert first != second
    assert done.stderr == ''


@pytest.mark.parametrize('how', ['own', 'closeall own', 'closeall'])
@pytest.mark.parametrize('reset', ['full', 'tracked', 'none'])
def test_number_that_the_program_has_taken_is_left_alone(server, reset, how):
    done = run(server, ['--pool', 2, '--reset', reset], STEPS,
               *('open pid finish %s open pid' % how).split(),
               *(['intact'] if 'own' in how else []))
    first, second = done.stdout.split()
    assert first != second
    assert 'left alone, since the program closed their descriptors: 1' in done.stderr


def test_session_that_was_ended_is_not_given_out_in_steps(server):
    done = run(server, ['--pool', 2], STEPS, *'open pid finish killed start pid'.split())
    first, second = done.stdout.split()
    assert first != second
    assert done.stderr == ''


TRANSPORTS = {
    'tls12': {'PGSSLMAXPROTOCOLVERSION': 'TLSv1.2'},
    'tls13': {'PGSSLMINPROTOCOLVERSION': 'TLSv1.3'},
    'plain': {'PGSSLMODE': 'disable'},
    'unix': {'PGHOST': None},
}


@pytest.mark.parametrize('transport', TRANSPORTS)
def test_nobody_waits_for_the_reset(server, transport):
    """The server's process is stopped when it is sent the reset, and the connection handed out all
    the same; the reset comes before what is sent next. When this machine takes its time, the answer
    is overdue and the connection another one."""
    script = ('open sql=select_hide() show=work_mem pid stop finish open pid go show=work_mem '
              'finish open pid show=work_mem')
    place = {name: value or server.socket_dir for name, value in TRANSPORTS[transport].items()}
    for _ in range(20):
        before, mine, second, after, third, again = steps(
            server, ['--pool', 2], script, **place)
        assert (before, after, again) == ('3MB', '4MB', '4MB')
        if mine == second == third:
            return
    raise AssertionError('each time the reset was waited for')


@pytest.mark.parametrize('budget', [[], ['--budget', 9]], ids=['', 'budget'])
def test_what_libpq_was_told_is_as_new(server, budget):
    first, moved, again = steps(
        server, ['--pool', 2, *budget],
        'open told=TimeZone sql=select_move() told=TimeZone finish open told=TimeZone')
    assert moved == 'Asia/Tokyo' and again == first != moved


def test_reset_that_is_not_answered_says_that_nobody_is_there(server):
    mine, other = steps(server, ['--pool', 2], 'open pid stop finish age=800 open pid go')
    assert mine != other


@pytest.mark.parametrize('place', TRANSPORTS)
def test_reset_that_is_held_back_comes_by_itself(server, place):
    env = environment(server, **{name: value or server.socket_dir
                                 for name, value in TRANSPORTS[place].items()})
    words = ['open', 'sql=select_a_from_numbers', 'finish', 'age=60000']
    with subprocess.Popen([*procs.tine_command('--pool', '2'), STEPS, *words], env=env) as proc:
        procs.wait_until(lambda: server.admin_sql(
            "select 1 from pg_stat_activity where usename = 'app' and query = 'DISCARD ALL'"),
            20, 'the reset')
        assert proc.poll() is None
        proc.terminate()


def test_child_has_sessions_of_its_own(server):
    mine, other, again = steps(server, ['--pool', 2], 'open pid finish fork open pid end '
                                                       'open pid finish')
    assert mine != other
    assert again == mine


def test_other_password_is_another_login(server):
    done = subprocess.run(
        [*procs.tine_command('--pool', 2), STEPS, *'open finish password=wrong open'.split()],
        env=environment(server), text=True, capture_output=True, timeout=60)
    assert done.returncode == 1
    assert 'password authentication failed' in done.stderr


def test_password_file_that_changed_is_another_login(server, tmp_path):
    passfile = tmp_path / 'pgpass'
    passfile.write_text('*:*:*:*:%s\n' % server.password)
    passfile.chmod(0o600)
    env = environment(server, PGPASSFILE=passfile)
    del env['PGPASSWORD']
    done = subprocess.run(
        [*procs.tine_command('--pool', 2), STEPS,
         *'open pid finish open pid finish passfile=wrong open'.split()],
        env=env, text=True, capture_output=True, timeout=60)
    first, second = done.stdout.split()
    assert first == second
    assert done.returncode == 1
    assert 'password authentication failed' in done.stderr


def test_changed_password_is_not_outlived(server):
    server.admin_sql("create role brief login password 'one'")
    env = environment(server, PGUSER='brief', PGPASSWORD='one', PGDATABASE='app')
    server.admin_sql("alter role brief set search_path = public")
    with open(os.path.join(server.data, 'pg_hba.conf'), 'a', encoding='ascii') as file:
        file.write('hostssl all brief 127.0.0.1/32 scram-sha-256\n')
    server.admin_sql('select pg_reload_conf()')
    done = subprocess.run(
        [*procs.tine_command('--pool', 2, '--pool-age', '4s'), STEPS,
         *'open pid newpassword finish open pid finish age=4100 open'.split()],
        env=env, text=True, capture_output=True, timeout=60)
    assert done.returncode == 1, done.stderr
    assert 'password authentication failed' in done.stderr
    first, second = done.stdout.split()
    assert first == second


# libpq knows since 16 that tickets were not used.
KNOWS_TICKETS = psycopg2.extensions.libpq_version() >= 160000


@pytest.fixture(scope='module')
def trusting(server):
    """There is a role that needs no password."""
    server.admin_sql('create role trusted login')
    path = os.path.join(server.data, 'pg_hba.conf')
    with open(path, encoding='ascii') as file:
        rules = file.read()
    with open(path, 'w', encoding='ascii') as file:
        file.write('hostssl all trusted 127.0.0.1/32 trust\nlocal all trusted trust\n' + rules)
    server.admin_sql('select pg_reload_conf()')
    return server


def test_tickets_that_changed_are_another_login(trusting, tmp_path):
    cache = tmp_path / 'tickets'
    cache.touch()
    # With a password to offer the password file is not looked at: the step writes into the cache,
    # which no Kerberos library is to read.
    env = environment(trusting, PGUSER='trusted', PGGSSENCMODE='disable', PGPASSFILE=cache,
                      KRB5CCNAME='FILE:%s' % cache)
    pids = steps(trusting, ['--pool', 2], 'open pid finish open pid finish passfile=new open pid',
                 env=env)
    assert pids[0] == pids[1]
    assert (pids[0] == pids[2]) == KNOWS_TICKETS


@pytest.mark.parametrize('user, socket', [('trusted', False), ('trusted', True), ('app', False)])
def test_tickets_that_are_in_no_file(trusting, user, socket):
    env = environment(trusting, PGUSER=user, PGGSSENCMODE='disable', KRB5CCNAME='KEYRING:x')
    if socket:
        env['PGHOST'] = trusting.socket_dir
        env['PGSSLMODE'] = 'prefer'
    pids = steps(trusting, ['--pool', 2], 'open pid finish open pid', env=env)
    is_kept = socket or user == 'app' or KNOWS_TICKETS
    assert (pids[0] == pids[1]) == is_kept


DRIVERS = '''

import psycopg, psycopg2
def old():
    conn = psycopg2.connect('')
    with conn.cursor() as cursor:
        cursor.execute('select pg_backend_pid()')
        pid, = cursor.fetchone()
    conn.close()
    return pid
def new():
    conn = psycopg.connect('')
    pid, = conn.execute('select pg_backend_pid()').fetchone()
    conn.close()
    return pid
print(len({old() for _ in range(5)}), len({new() for _ in range(5)}))
'''


def test_drivers_of_python(server):
    assert run(server, ['--pool', 2], PYTHON, '-c', DRIVERS).stdout.split() == ['1', '1']


def test_pgbench_that_connects_each_time(server):
    run(server, None, '/usr/bin/pgbench', '-i', '-q', '-s', '1')
    for script in ('tpcb-like', 'simple-update', 'select-only'):
        for protocol in ('simple', 'extended', 'prepared'):
            for each in ([], ['-C']):
                done = run(server, ['--pool', 4], '/usr/bin/pgbench', '-n', '-c', '4', '-t', '20',
                           '-b', script, '-M', protocol, *each)
                assert 'number of failed transactions: 0 ' in done.stdout
                assert '80/80' in done.stdout


def test_no_password_is_told(server, tmp_path):
    log = tmp_path / 'log'
    name = 'pool-secret-%d' % os.getpid()
    options = ['--pool', 2, '--name', name, '--budget', 4, '--verbose', '--log', log]
    done = run(server, options, STEPS, *'open finish open ps'.split(), TINE=procs.tine_path())
    told = done.stdout + done.stderr + log.read_text()
    assert '"permits"' in told or '"connections"' in told
    assert server.password not in told


# psycopg 3 sets its notice receiver between PQconnectStart() and the first PQconnectPoll().
NOTICES = """
import psycopg
heard, pids = [], set()
for number in range(4):
    with psycopg.connect('') as conn:
        conn.add_notice_handler(lambda notice: heard.append((number, notice.message_primary)))
        conn.execute("do $$ begin raise notice 'heard'; end $$")
        pids.add(conn.info.backend_pid)
assert heard == [(number, 'heard') for number in range(4)], heard
print(len(pids))
"""


def test_nobody_stays_in_the_template_of_databases(server):
    """While a program lives that has been in it, others can make databases."""
    script = ('import psycopg2, sys\n'
              'for _ in range(2):\n'
              '    psycopg2.connect(dbname=sys.argv[1]).close()\n'
              'print(psycopg2.connect("").cursor().execute("select 1"), flush=True)\n'
              'sys.stdin.read()')
    with subprocess.Popen([*procs.tine_command('--pool', 3), PYTHON, '-c', script, 'template1'],
                          env=environment(server), stdin=subprocess.PIPE, text=True,
                          stdout=subprocess.PIPE) as program:
        try:
            assert program.stdout.readline()
            server.admin_sql('create database made_meanwhile')
            server.admin_sql('drop database made_meanwhile')
        finally:
            program.stdin.close()
            program.wait(60)


UNSYNCED = '''
from psycopg import pq
conn = pq.PGconn.connect(b'')
conn.enter_pipeline_mode()
conn.send_query_params(b"select 1", None)
conn.send_flush_request()
conn.flush()
while conn.get_result():
    pass
conn.exit_pipeline_mode()
assert conn.transaction_status == pq.TransactionStatus.IDLE
print(conn.backend_pid)
conn.finish()
conn = pq.PGconn.connect(b'')
print(conn.backend_pid, conn.exec_(b'select clock_timestamp() > now()').status)
'''


@pytest.mark.parametrize('options', [[], ['--reset', 'tracked'], ['--budget', 9]], ids=str)
def test_a_pipeline_that_was_not_synced_is_not_kept(server, options):
    """Its transaction is open, whatever libpq says: the next user's statement would commit it."""
    first, second = lines(run(server, ['--pool', 2, *options], PYTHON, '-c', UNSYNCED))
    assert not second.startswith(first) and second.endswith(' 2'), second


def test_a_notice_receiver_is_the_next_ones(server):
    done = run(server, ['--pool', 2], PYTHON, '-c', NOTICES)
    assert lines(done) == ['1'] and done.stderr == ''


PHP = '''<?php
for ($i = 0; $i < 3; $i++) {
    $conn = pg_connect("");
    echo pg_fetch_result(pg_query($conn, "select pg_backend_pid()"), 0, 0), "\\n";
    pg_close($conn);
}
for ($i = 0; $i < 3; $i++) {
    $conn = new PDO("pgsql:");
    echo $conn->query("select pg_backend_pid()")->fetchColumn(), "\\n";
    $conn = null;
}
'''


def sessions(server):
    return server.admin_sql("select count(*) from pg_stat_activity where usename = 'app'")[0][0]


def test_end_of_a_program_is_a_farewell(server, tmp_path):
    """Also of PHP, which unloads libpq before its end."""
    before = len(server.log_text())
    steps(server, ['--pool', 2], 'open finish')
    if shutil.which('php'):
        script = tmp_path / 'loop.php'
        script.write_text(PHP)
        found = run(server, ['--pool', 2], 'php', script).stdout.split()
        # an extension for each of the two, and one libpq
        assert [len(set(found[:3])), len(set(found[3:]))] == [1, 1]
    procs.wait_until(lambda: sessions(server) == 0, what='the end of all sessions')
    assert 'could not receive data' not in server.log_text()[before:]


@pytest.mark.parametrize('options', [[], ['--reset', 'tracked']])
def test_threads_and_forks(server, options):
    churn = os.path.join(os.path.dirname(SOURCE), 'churn.py')
    run(server, ['--quiet', '--pool', 2, *options], PYTHON, churn, '3')
