# SPDX-License-Identifier: PostgreSQL
"""`tine ps`: what it says of boards, and that neither broken nor hostile ones disturb it."""
import json
import os
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile

import pytest

from support import procs
from support.board import (
    BUSY, Member, environment, hostile, member_path, section, tine, trees, whole_board)

LAYOUT_AT = 8  # behind the magic, in the head of every layout
IDLE = 2
OPENED, CLOSED, LOST = 4, 5, 1


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / 'boards of mine'
    path.mkdir(mode=0o700)
    return path


def is_printable(text):
    return all(char == '\n' or ' ' <= char <= '~' for char in text)


def test_without_a_tree(directory):
    result = tine(directory, 'ps')
    assert (result.returncode, result.stdout) == (1, '')
    assert str(directory) in result.stderr
    result = tine(directory, 'ps', '--json')
    assert (result.returncode, result.stderr) == (1, '')
    assert json.loads(result.stdout) == {'trees': [], 'not_shown': []}


def test_processes_connections_waiters(directory):
    with Member(directory, 'name=web', 'budget=3', 'parallel=2', 'application=shop') as one, \
            Member(directory, 'name=web', 'application=jobs', 'ceiling=2') as other:
        assert [one.tell('take'), other.tell('take')] != [-1, -1]
        held = one.tell('take')
        one.tell('seat', held, BUSY, 1, 4711, 'POST /order')
        place = other.tell('enter')
        assert place >= 0
        one.tell('token')
        result = tine(directory, 'ps')
        assert (result.returncode, result.stderr) == (0, '')
        assert 'tree web of ' in result.stdout
        assert 'budget 3' in result.stdout
        assert '3 held (1 busy' in result.stdout
        assert '1 waiting; connects under way: 1 of 2' in result.stdout
        rows = section(result.stdout, 'WORKER')
        assert [row[:4] for row in rows] == [['w1', str(one.pid), 'alive', 'member'],
                                             ['w2', str(other.pid), 'alive', 'member']]
        assert [row[4] for row in rows] == ['2', '1']
        assert [row[-1] for row in rows] == ['shop', 'jobs']
        seats = {row[0]: row for row in section(result.stdout, 'PERMIT')}
        assert len(seats) == 3
        assert seats[str(held)][1:4] == ['w1', str(one.pid), 'busy']
        assert seats[str(held)][5] == 'open'
        assert seats[str(held)][-3:] == ['4711', 'POST', '/order']
        assert [row[1:3] for row in section(result.stdout, 'QUEUE')] == [['w2', str(other.pid)]]


def test_json_says_the_same(directory):
    with Member(directory, 'name=web', 'budget=3', 'application=shop', 'floor=1') as member:
        held = member.tell('take')
        member.tell('seat', held, IDLE, 0, 99, 'label')
        member.tell('note', OPENED, 0)
        member.tell('note', CLOSED, LOST)
        member.tell('waited', 900)
        tree = trees(directory)[0]
        process, = tree['processes']
        connection, = tree['connections']
        assert tree['tree'] == 'web' and tree['named'] and tree['living'] == 1
        assert tree['path'] == member.path and tree['uid'] == os.geteuid()
        assert tree['permits'] == {'budget': 3, 'fair_share': 3, 'held': 1, 'ending': 0,
                                   'free': 2, 'waiting': 0}
        assert (process['pid'], process['worker'], process['life']) == (member.pid, 1, 'alive')
        assert (process['held'], process['idle'], process['busy']) == (1, 1, 0)
        assert (process['opened'], process['closed']['lost'], process['floor']) == (1, 1, 1)
        assert process['waits'] == {'count': 1, 'median_below_us': 1024, 'p99_below_us': 1024}
        assert tree['waits'] == {**process['waits'], 'buckets': [{'below_us': 1024, 'count': 1}]}
        assert tree['closed'] == process['closed']
        assert (connection['permit'], connection['state']) == (held, 'idle')
        assert (connection['backend_pid'], connection['label']) == (99, 'label')
        assert connection['transaction'] == 'none' and connection['pid'] == member.pid
        assert [event['event'] for event in tree['events']] == ['closed', 'opened', 'joined']
        assert tree['events'][0]['detail'] == 'lost'


def test_an_outage_and_its_cause(directory):
    with Member(directory, 'name=web') as member:
        target = member.tell('target', 77)
        member.tell('failed', target, -10, 4, 5000, 'the database system is starting up')
        text = tine(directory, 'ps').stdout
        outage = trees(directory)[0]['targets'][0]['outage']
        assert 'OUTAGE' in text and '57P03: the database system is starting up' in text
        assert (outage['sqlstate'], outage['failures']) == ('57P03', 4)
        assert 0 < outage['next_in_ms'] <= 5000
        member.tell('recovered', target)
        assert trees(directory)[0]['targets'][0]['outage'] is None


def test_who_wants_no_connections_has_no_number(directory):
    with Member(directory, 'name=web', 'onlooker'), Member(directory, 'name=web') as other:
        rows = section(tine(directory, 'ps').stdout, 'WORKER')
        assert [row[0] for row in rows] == ['w2', '-']
        assert rows[0][1] == str(other.pid)
        processes = trees(directory)[0]['processes']
        assert [(p['worker'], p['wants']) for p in processes] == [(2, True), (None, False)]


def test_summary_and_names(directory):
    with Member(directory, 'name=one') as one, Member(directory, 'name=two') as two:
        one.tell('take'), two.tell('take')
        assert 'PERMIT' in tine(directory, 'ps').stdout
        assert 'PERMIT' not in tine(directory, 'ps', '--summary').stdout
        assert [tree['tree'] for tree in trees(directory)] == ['one', 'two']
        assert [tree['tree'] for tree in trees(directory, 'two')] == ['two']
        assert tine(directory, 'ps', 'three').returncode == 1


def test_the_dead_are_shown_and_left_alone(directory):
    with Member(directory, 'name=web', 'budget=2') as member:
        dying = Member(directory, 'name=web')
        assert dying.tell('take') >= 0
        dying.kill()
        with open(member.path, 'rb') as file:
            before = file.read()
        result = tine(directory, 'ps')
        tine(directory, 'top', '-n', 1)
        with open(member.path, 'rb') as file:
            assert file.read() == before
        assert [row[2] for row in section(result.stdout, 'WORKER')] == ['alive', 'dead']
        assert len(section(result.stdout, 'PERMIT')) == 1
    with Member(directory, 'name=alone') as member:
        member.kill()
        result = tine(directory, 'ps', 'alone')
        assert result.returncode == 1 and 'nobody is left' in result.stdout
        assert os.path.exists(member.path)


def test_another_pid_namespace(directory):
    prefix = ['unshare', '--user', '--map-root-user', '--pid', '--fork', '--mount-proc']
    if subprocess.run([*prefix, 'true'], capture_output=True).returncode:
        pytest.skip('no pid namespaces here')
    with Member(directory, 'name=web', prefix=prefix) as member:
        assert member.tell('take') >= 0
        process, = trees(directory)[0]['processes']
        assert (process['life'], process['held']) == ('foreign', 1)
        assert tine(directory, 'ps').returncode == 0


# ---- what is no board, or no good one ---------------------------------------------------------


def put(path, data, mode=0o600):
    path.write_bytes(data)
    path.chmod(mode)


@pytest.fixture
def board(directory):
    return whole_board(directory)


def test_another_layout_is_said_clearly(directory, board):
    ours, = struct.unpack_from('I', board, LAYOUT_AT)
    put(directory / 'web.board', board[:LAYOUT_AT] + struct.pack('I', ours + 6) + board[12:5000])
    result = tine(directory, 'ps')
    assert result.returncode == 111
    assert 'layout %d' % (ours + 6) in result.stderr and 'layout %d' % ours in result.stderr
    assert 'another version of tine' in result.stderr
    assert 'another version of tine' in tine(directory, 'top', '-n', 1).stdout
    problem, = json.loads(tine(directory, 'ps', '--json').stdout)['not_shown']
    assert problem['path'] == str(directory / 'web.board')
    assert tine(directory, 'ps', 'else').returncode == 1


def test_what_is_no_board(directory, board):
    put(directory / 'empty.board', b'')
    put(directory / 'text.board', b'a shopping list\n' * 100000)
    put(directory / 'short.board', board[:-1])
    put(directory / 'open.board', board, 0o644)
    os.mkfifo(directory / 'pipe.board', 0o600)
    (directory / 'link.board').symlink_to('/etc/passwd')
    (directory / 'folder.board').mkdir()
    put(directory / 'no board', board)
    result = tine(directory, 'ps')
    assert result.returncode == 111 and result.stdout == ''
    assert len(result.stderr.splitlines()) == 7
    assert is_printable(result.stderr)


def test_a_file_name_with_control_bytes(directory):
    put(directory / '\x1b]0;owned\x07\n.board', b'x')
    for words in (['ps'], ['top', '-n', '1'], ['ps', '--json'], ['top', '--json', '-n', '1']):
        result = tine(directory, *words)
        assert is_printable(result.stdout + result.stderr)
        assert '?]0;owned??.board' in result.stdout + result.stderr


def test_control_bytes_of_a_program(directory):
    with Member(directory, 'name=web', b'application=\x1b[31mred\xff\x9b') as member:
        held = member.tell('take')
        member.tell('seat', held, BUSY, 0, 1, b'\x1b]0;owned\x07')
        for words in (['ps'], ['top', '-n', '1'], ['ps', '--json'], ['top', '--json', '-n', '1']):
            result = tine(directory, *words)
            assert is_printable(result.stdout)
            assert '?[31mred??' in result.stdout and '?]0;owned?' in result.stdout


def test_a_hostile_board(directory, board):
    for seed in range(60):
        put(directory / 'web.board', hostile(board, seed))
        for words in (['ps'], ['top', '-n', '2', '-d', '100ms']) if seed < 10 else (['ps'],):
            result = tine(directory, *words)
            assert result.returncode in (0, 1), 'seed %d: %s' % (seed, result.stderr)
            assert is_printable(result.stdout + result.stderr), 'seed %d' % seed
        report = json.loads(tine(directory, 'ps', '--json').stdout)
        assert len(report['trees']) == 1, 'seed %d' % seed


def test_a_board_that_is_cut_short_meanwhile(directory, board):
    """A mapping would end the tool with SIGBUS."""
    path = directory / 'web.board'
    put(path, board)
    cutter = 'import os, sys\nwhile True:\n os.truncate(sys.argv[1], 4096)\n' \
             ' os.truncate(sys.argv[1], %d)' % len(board)
    with procs.Proc([sys.executable, '-c', cutter, path]):
        results = [tine(directory, 'ps') for _ in range(300)]
    assert {result.returncode for result in results} <= {1, 111}
    assert any('no board' in result.stderr for result in results)


# ---- users ------------------------------------------------------------------------------------

USERS = 54321, 54322


@pytest.fixture
def for_everybody():
    """Copies of our programs that any user can run, and where two users' boards are."""
    if os.geteuid() != 0:
        pytest.skip('only root can be other users')
    folder = tempfile.mkdtemp(prefix='tine-users-')
    os.chmod(folder, 0o755)
    for program in (procs.tine_path(), member_path()):
        shutil.copy(program, folder)
    boards = ['/dev/shm/tine-%d' % user for user in USERS]
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
        for path in boards:
            if os.path.islink(path):
                os.unlink(path)
            shutil.rmtree(path, ignore_errors=True)


def test_root_sees_all_users_and_they_their_own(for_everybody):
    def ps(user):
        result = tine(None, 'ps', '--json', program=os.path.join(for_everybody, 'tine'), user=user,
                      group=user, cwd='/')
        return [tree['uid'] for tree in json.loads(result.stdout)['trees']
                if tree['tree'] == 'seen-by-root']
    popen = subprocess.Popen([os.path.join(for_everybody, 'member'), 'name=seen-by-root'],
                             env=environment(None), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             user=USERS[0], group=USERS[0], cwd='/')
    try:
        path = popen.stdout.readline().decode().rstrip('\n')
        assert path == '/dev/shm/tine-%d/seen-by-root.board' % USERS[0]
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        # A name that somebody sat on leads nowhere.
        os.symlink(os.path.dirname(path), '/dev/shm/tine-%d' % USERS[1])
        assert ps(0) == [USERS[0]]
        assert ps(USERS[0]) == [USERS[0]]
        assert ps(USERS[1]) == []
    finally:
        popen.send_signal(signal.SIGKILL)
        popen.communicate()
