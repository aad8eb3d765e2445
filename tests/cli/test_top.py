# SPDX-License-Identifier: PostgreSQL
"""`tine top`: plain, as JSON, and on a terminal."""
import json
import signal
import subprocess
import time

import pytest

from support import procs
from support.board import Member, environment, section, tine
from support.terminal import Terminal

BUSY, IDLE = 3, 2
OPENED = 4


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / 'boards of mine'
    path.mkdir(mode=0o700)
    return path


MONOTONIC_COARSE = 6  # which Python has no name for


def tick():
    """Wait until the clock that connections are dated by has moved on."""
    now = time.clock_gettime(MONOTONIC_COARSE)
    procs.wait_until(lambda: time.clock_gettime(MONOTONIC_COARSE) > now, interval=0.001)


@pytest.fixture
def shop(directory):
    """Two processes: the first has an idle connection and waits, the second is busy with two."""
    with Member(directory, 'name=web', 'budget=8', 'application=shop') as first, \
            Member(directory, 'name=web', 'application=jobs') as second:
        first.tell('seat', first.tell('take'), IDLE, 0, 101, 'GET /')
        first.tell('note', OPENED, 0)
        for backend, transaction in ((201, 0), (202, 1)):
            tick()
            second.tell('seat', second.tell('take'), BUSY, transaction, backend, 'job')
        first.tell('enter')
        yield first, second


def on_terminal(directory, *words, **options):
    return Terminal([procs.tine_path(), 'top', *words], env=environment(directory), **options)


# ---- without a terminal -----------------------------------------------------------------------


def test_plain_text_when_there_is_no_terminal(directory, shop):
    result = tine(directory, 'top', '-n', '2', '-d', '100ms')
    assert (result.returncode, result.stderr) == (0, '')
    assert '\x1b' not in result.stdout
    pages = result.stdout.split('tine top ')[1:]
    assert len(pages) == 2
    assert 'CONN/S' not in pages[0] and 'CONN/S' in pages[1]
    for page in pages:
        assert 'trees 1, processes 2, connections 3 (2 busy), waiting 1' in page
        assert 'opened' in page and 'joined' in page


def test_an_object_for_each_look(directory, shop):
    result = tine(directory, 'top', '--json', '--count', '3', '--interval', '100')
    looks = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(looks) == 3
    assert [look['time'] for look in looks] == sorted({look['time'] for look in looks})
    assert 'per_second' not in looks[0]['trees'][0]
    assert looks[1]['trees'][0]['per_second'] == {'opened': 0, 'failed': 0, 'waits': 0,
                                                  'timeouts': 0}


def test_what_happened_in_between(directory, shop):
    first, _ = shop
    top = subprocess.Popen([procs.tine_path(), 'top', '--json', '-n', '2', '-d', '1s'],
                           env=environment(directory), stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, text=True)
    assert json.loads(top.stdout.readline())
    for _ in range(10):
        first.tell('note', OPENED, 0)
        first.tell('waited', 100)
    tree = json.loads(top.stdout.readline())['trees'][0]
    top.communicate()
    rates = {process['pid']: process['per_second'] for process in tree['processes']}
    assert 1 < rates[first.pid]['opened'] <= 10
    assert 1 < rates[first.pid]['waits'] <= 10
    assert tree['per_second'] == rates[first.pid]


@pytest.mark.parametrize('key,worker,backend', [
    ('busy', 'w2', '201'), ('worker', 'w1', '101'), ('waits', 'w1', '202'), ('age', 'w1', '101'),
    ('opened', 'w1', '202')])
def test_sort(directory, shop, key, worker, backend):
    text = tine(directory, 'top', '-n', '1', '--sort', key).stdout
    assert section(text, 'WORKER')[0][0] == worker
    assert section(text, 'PERMIT')[0][8] == backend
    assert 'sorted by %s\n' % key in text


def test_wrong_words(directory):
    for words in (['--sort', 'size'], ['--interval', '1ms'], ['-n', '0'], ['--nonsense']):
        result = tine(directory, 'top', *words)
        assert (result.returncode, result.stdout) == (100, '')


def test_without_a_tree(directory):
    result = tine(directory, 'top', '-n', '1')
    assert result.returncode == 0
    assert 'no process tree in %s' % directory in result.stdout


def test_a_terminal_that_nobody_knows(directory, shop):
    with on_terminal(directory, '-n', '1', kind='nothing-of-that-kind') as terminal:
        terminal.wait_for(lambda screen: 'joined' in screen)
        assert terminal.wait() == 0
        assert not terminal.strange


# ---- on a terminal ----------------------------------------------------------------------------


def test_quits_and_gives_the_terminal_back(directory, shop):
    with on_terminal(directory) as terminal:
        terminal.wait_for(lambda screen: 'POST' not in screen and 'joined' in screen)
        assert terminal.modes_now() != terminal.modes
        terminal.send('q')
        assert terminal.wait() == 0
        assert terminal.modes_now() == terminal.modes
        assert not terminal.strange


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_gives_the_terminal_back(directory, shop, number):
    with on_terminal(directory) as terminal:
        terminal.wait_for(lambda screen: 'joined' in screen)
        terminal.signal(number)
        assert terminal.wait() == 0
        assert terminal.modes_now() == terminal.modes


def test_looks_again_and_again(directory, shop):
    first, _ = shop
    with on_terminal(directory, '-d', '100ms') as terminal:
        terminal.wait_for(lambda screen: 'connections 3 (2 busy)' in screen)
        first.tell('seat', first.tell('take'), BUSY, 2, 777, 'PUT /basket')
        terminal.wait_for(lambda screen: 'connections 4 (3 busy)' in screen and
                          'failed' in screen and 'PUT /basket' in screen)


def test_ends_after_so_many_looks(directory, shop):
    with on_terminal(directory, '-n', '2', '-d', '200ms') as terminal:
        assert terminal.wait() == 0


def test_sort_and_reverse(directory, shop):
    def backends(screen):
        return [row[8] for row in section(screen, 'PERMIT')]
    with on_terminal(directory) as terminal:
        terminal.wait_for(lambda screen: backends(screen) == ['201', '202', '101'])
        terminal.send('s')
        terminal.wait_for(lambda screen: 'sorted by worker' in screen and
                          backends(screen)[0] == '101')
        terminal.send('o')
        terminal.wait_for(lambda screen: 'sorted by waits' in screen and
                          backends(screen)[0] == '202')
        terminal.send('r')
        terminal.wait_for(lambda screen: 'reversed' in screen and backends(screen)[-1] == '202')


def test_filter(directory, shop):
    with on_terminal(directory) as terminal:
        terminal.wait_for(lambda screen: len(section(screen, 'PERMIT')) == 3)
        terminal.send('/GXT\x7f\x7fet /\r')
        terminal.wait_for(lambda screen: 'only: Get /' in screen and
                          [row[8] for row in section(screen, 'PERMIT')] == ['101'])
        terminal.send('/nothing\x1b')
        terminal.send('h')
        terminal.wait_for(lambda screen: 'tine top: keys' in screen)
        terminal.send(' ')
        terminal.wait_for(lambda screen: 'only: Get /' in screen)
        terminal.send('/\r')
        terminal.wait_for(lambda screen: 'only:' not in screen and
                          len(section(screen, 'PERMIT')) == 3)


def test_delay(directory, shop):
    first, _ = shop
    with on_terminal(directory, '-d', '1h') as terminal:
        terminal.wait_for(lambda screen: 'connections 3' in screen)
        first.tell('take')
        terminal.send(' ')
        terminal.wait_for(lambda screen: 'connections 4' in screen)
        terminal.send('d7 parsecs\r')
        terminal.wait_for(lambda screen: '7 parsecs' in screen and 'interval' in screen)
        terminal.send('d100ms\r')
        first.tell('take')
        terminal.wait_for(lambda screen: 'connections 5' in screen)


def test_less_and_more(directory, shop):
    with on_terminal(directory) as terminal:
        terminal.wait_for(lambda screen: 'PERMIT' in screen and 'joined' in screen)
        terminal.send('c')
        terminal.wait_for(lambda screen: 'PERMIT' not in screen)
        terminal.send('e')
        terminal.wait_for(lambda screen: 'joined' not in screen)
        terminal.send('ce')
        terminal.wait_for(lambda screen: 'PERMIT' in screen and 'joined' in screen)


def test_scrolls_and_resizes(directory, shop):
    with on_terminal(directory, rows=6) as terminal:
        terminal.wait_for(lambda screen: 'tine top' in screen and 'PERMIT' not in screen)
        terminal.send('\x1bOB' * 8)
        terminal.wait_for(lambda screen: 'PERMIT' in screen and 'tine top' not in screen)
        terminal.resize(50, 60)
        terminal.wait_for(lambda screen: 'tine top' in screen and 'joined' in screen)
        terminal.resize(1, 10)
        terminal.resize(30, 100)
        terminal.wait_for(lambda screen: 'PERMIT' in screen and 'q quit' in screen)


def test_nothing_foreign_reaches_the_terminal(directory):
    with Member(directory, 'name=web', b'application=\x1b]0;owned\x07\x9b5n') as member:
        member.tell('seat', member.tell('take'), BUSY, 0, 1, b'\x1b[2J\x05\x90')
        with on_terminal(directory, '-d', '100ms', columns=160) as terminal:
            terminal.wait_for(lambda screen: '?]0;owned??5n' in screen and '?[2J??' in screen)
            terminal.send('q')
            assert terminal.wait() == 0
            assert not terminal.strange
