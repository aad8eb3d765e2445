# SPDX-License-Identifier: PostgreSQL
"""Every hook in its order, in its process, with its signals; every signal and what it does."""
import os
import re
import signal

import pytest

from crewtools import Crew, Load, alive, receive
from support.procs import wait_until

ALL_BLOCKED = 0xfffffffe & ~(1 << signal.SIGKILL) & ~(1 << signal.SIGSTOP)
HANDLES = {'master': '1100', 'worker': '1011', 'nobody': '0000'}


def names(events):
    return [event.hook for event in events if 'hook' in event]


def mask(event):
    return int(event.blocked, 16)


@pytest.mark.parametrize('preload', ['yes', 'no'])
def test_hooks_in_order_from_the_first_to_the_last(tmp_path, preload):
    with Crew(tmp_path, workers=1, preload_app=preload) as crew:
        crew.ready()
        assert crew.ask() == '%d web/0 0' % crew.workers()['web/0']
        assert crew.end() == 0
        events = [event for event in crew.events() if 'hook' in event]
    load = ['load']
    assert names(events) == [
        'master_init', *(load if preload == 'yes' else []), 'nworkers_changed', 'master_ready',
        'before_fork', 'after_fork', *(load if preload == 'no' else []), 'worker_ready',
        'before_unit', 'after_unit', 'worker_exit', 'child_exit', 'master_exit']
    worker = crew.hooks('worker_ready')[0].pid
    in_worker = {'after_fork', 'worker_ready', 'before_unit', 'after_unit', 'worker_exit'}
    in_worker |= set(load) if preload == 'no' else set()
    for event in events:
        own = event.hook in in_worker
        assert event.pid == (worker if own else crew.pid), event
        assert mask(event) == 0, event
        assert event.handled == HANDLES['worker' if own else 'master'], event
        assert event.main == (event.hook not in ('before_unit', 'after_unit')), event
    by_name = {event.hook: event for event in events}
    assert {name: event['of'] for name, event in by_name.items() if event['of']} == {
        name: worker for name in (in_worker - set(load)) | {'child_exit'} | (
            set(load) if preload == 'no' else set())}
    assert (by_name['nworkers_changed'].before, by_name['nworkers_changed'].now) == (0, 1)
    assert by_name['load'].loads == 0 and by_name['worker_ready'].loads == 1
    assert by_name['child_exit'].ending == by_name['worker_exit'].ending == 'shutdown'
    assert by_name['child_exit'].units == by_name['worker_exit'].units == 1
    assert os.WIFEXITED(by_name['child_exit'].status) and by_name['child_exit'].status == 0
    assert by_name['after_unit'].doing == 'pid'
    assert not by_name['master_init'].listeners and by_name['master_ready'].listeners


def count_threads(pid):
    return len(os.listdir('/proc/%d/task' % pid))


def test_two_kinds_with_threads(tmp_path):
    with Crew(tmp_path, kinds='web task', workers=2, task_workers=3, task_threads=4) as crew:
        assert sorted(crew.ready(5)) == ['task/0', 'task/1', 'task/2', 'web/0', 'web/1']
        for kind, expected in (('web', 1 + 1), ('task', 4 + 1)):
            for number in range(2):
                pid = crew.workers()['%s/%d' % (kind, number)]
                wait_until(lambda pid=pid, n=expected: count_threads(pid) == n)
        listening = {event.kind: event.listeners for event in crew.hooks('worker_ready')}
        assert listening == {'web': 1, 'task': 0}
        changes = [(event.kind, event.before, event.now) for event in
                   crew.hooks('nworkers_changed')]
        assert changes == [('web', 0, 2), ('task', 0, 3)]
        crew.wait_hooks('after_unit', 20, kind='task')
        assert crew.end() == 0


def test_a_supervisor_may_run_again(tmp_path):
    with Crew(tmp_path, workers=2, env={'CREW_RUNS': '2'}) as crew:
        crew.ready(2)
        crew.kill(signal.SIGTERM)
        crew.ready(4)
        assert len([event for event in crew.events() if 'listens' in event]) == 2
        assert re.fullmatch(r'\d+ web/\d 0', crew.ask())
        assert crew.end() == 0
        assert len(crew.hooks('master_exit')) == 2


def test_no_descriptor_of_one_worker_is_in_another(tmp_path):
    with Crew(tmp_path, workers=4) as crew:
        workers = crew.ready(4)

        def sockets(pid):
            links = (os.readlink('/proc/%d/fd/%s' % (pid, fd))
                     for fd in os.listdir('/proc/%d/fd' % pid))
            return {link for link in links if link.startswith('socket:')}
        shared = set.intersection(*map(sockets, workers.values()))
        assert len(shared) == 1  # what is listened on
        for pid in workers.values():
            assert len(sockets(pid)) == 2
        # and of the memory that is shared with the master, each has its own only
        maps = {}
        for pid in workers.values():
            with open('/proc/%d/maps' % pid, encoding='utf-8') as file:
                found = [line.split()[4] for line in file if '/dev/zero (deleted)' in line]
            maps[pid] = set(found)
        assert all(len(inodes) == 1 for inodes in maps.values())
        assert len(set.union(*maps.values())) == 4
        assert crew.end() == 0


# ---- signals -------------------------------------------------------------------------------------

def test_term_lets_units_finish(tmp_path):
    with Crew(tmp_path, workers=2) as crew:
        crew.ready(2)
        with crew.open('sleep 700') as connection:
            crew.wait_hooks('before_unit')
            assert crew.end(signal.SIGTERM) == 0
            assert re.fullmatch(r'\d+ web/\d 0', receive(connection))
        assert [event.status for event in crew.hooks('child_exit')] == [0, 0]
        assert {event.ending for event in crew.hooks('worker_exit')} == {'shutdown'}


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGQUIT])
def test_int_and_quit_do_not_wait_for_units(tmp_path, number):
    with Crew(tmp_path, workers=2) as crew:
        crew.ready(2)
        with crew.open('hang') as connection:
            crew.wait_hooks('before_unit')
            assert crew.end(number) == 0
            assert receive(connection) == ''
        deaths = crew.hooks('child_exit')
        assert {event.ending for event in deaths} == {'shutdown'}
        assert sorted(event.doing for event in deaths) == ['-', 'hang']
        assert len(crew.hooks('worker_exit')) == 2


def test_quit_after_term(tmp_path):
    with Crew(tmp_path, workers=1) as crew:
        crew.ready()
        with crew.open('hang'):
            crew.wait_hooks('before_unit')
            crew.kill(signal.SIGTERM)
            crew.wait_log('master: stops')
            crew.kill(signal.SIGHUP)  # means nothing any more
            assert crew.end(signal.SIGQUIT) == 0
        assert not crew.hooks('before_reload')


def test_ttin_and_ttou(tmp_path):
    with Crew(tmp_path, kinds='web task', workers=1) as crew:
        crew.ready(2)
        crew.kill(signal.SIGTTIN)
        assert set(crew.ready(3)) == {'web/0', 'web/1', 'task/0'}
        crew.kill(signal.SIGTTOU)
        gone, = crew.wait_hooks('child_exit')
        assert (gone.worker, gone.ending, gone.status) == ('web/1', 'surplus', 0)
        crew.kill(signal.SIGTTOU)  # never below one
        crew.kill(signal.SIGHUP)   # taken after it
        crew.wait_hooks('after_reload')
        crew.kill(signal.SIGTTIN)
        crew.ready(6)
        changes = [(event.kind, event.before, event.now) for event in
                   crew.hooks('nworkers_changed')]
        assert changes == [('web', 0, 1), ('task', 0, 1), ('web', 1, 2), ('web', 2, 1),
                           ('web', 1, 2)]
        assert crew.end() == 0


def test_usr1_reopens_logs_everywhere(tmp_path):
    with Crew(tmp_path, kinds='web task', workers=2, master_log=str(tmp_path / 'log')) as crew:
        def text():
            path = tmp_path / 'log'
            return path.read_text() if path.exists() else ''
        wait_until(lambda: text().count('is ready after') == 4)
        os.rename(tmp_path / 'log', tmp_path / 'log.1')
        crew.kill(signal.SIGUSR1)
        events = crew.wait_hooks('reopen_logs', 5)
        pids = {event.pid for event in events}
        assert pids == {crew.pid, *crew.workers().values()} and len(events) == 5
        crew.kill(signal.SIGTERM)
        crew.wait()
        assert 'master: stops' in text()  # in the new file
        assert (tmp_path / 'log').stat().st_mode & 0o777 == 0o600


def test_a_signal_in_the_first_moment_is_not_lost(tmp_path):
    """TERM while the worker is in its first hook: it ends when it has started, by itself."""
    with Crew(tmp_path, mode='slow', workers=1) as crew:
        pid = crew.wait_hooks('after_fork')[0].pid
        crew.kill(signal.SIGTERM, pid)
        death = crew.wait_hooks('child_exit', of=pid)[0]
        assert (death.status, death.ending) == (0, 'itself')
        crew.mode('')
        assert crew.end() == 0


def test_a_signal_at_the_fork_is_not_lost(tmp_path):
    """TERM before the worker has handlers: it starts, and ends in good order."""
    with Crew(tmp_path, mode='term at fork', workers=1) as crew:
        pid = crew.wait_hooks('after_fork')[0].pid
        death = crew.wait_hooks('child_exit', of=pid)[0]
        assert (death.status, death.ending) == (0, 'itself')
        assert len(crew.hooks('worker_exit', pid=pid)) == 1
        crew.mode('')
        crew.wait_log('all workers are ready')
        assert crew.end() == 0


def test_signals_to_workers_of_others(tmp_path):
    """A worker that somebody ends is replaced; HUP and the terminal's signals do not end it."""
    with Crew(tmp_path, workers=1) as crew:
        pid = crew.ready()['web/0']
        crew.kill(signal.SIGHUP, pid)
        crew.kill(signal.SIGUSR1, pid)
        crew.wait_hooks('reopen_logs', pid=pid)
        for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT, signal.SIGKILL):
            crew.kill(number, pid)
            death = crew.wait_hooks('child_exit', of=pid)[0]
            expected = signal.SIGKILL if number == signal.SIGKILL else 0
            assert (death.ending, death.status) == ('itself', expected)
            pid = wait_until(lambda: crew.workers().get('web/0'))
        assert crew.end() == 0


def test_programs_that_a_worker_starts_have_their_signals(tmp_path):
    """system() in a worker: TERM ends the program. A plain fork: too, and not the worker."""
    with Crew(tmp_path, workers=1) as crew:
        worker = crew.ready()['web/0']
        assert crew.ask('system').startswith('%d\n' % signal.SIGTERM)
        child = int(crew.ask('fork').split()[0])
        assert alive(child)
        crew.kill(signal.SIGTERM, child)
        wait_until(lambda: not alive(child))
        assert crew.workers() == {'web/0': worker}
        assert crew.end() == 0


def test_kill_of_the_master_ends_the_workers(tmp_path):
    with Crew(tmp_path, workers=3, graceful_timeout_ms=300) as crew:
        crew.ready(3)
        with crew.open('sleep 100') as short, crew.open('hang') as hung:
            crew.wait_hooks('before_unit', 2)
            crew.kill(signal.SIGKILL)
            assert receive(short).split()[1:] == [crew.hooks('before_unit', doing='sleep 100')[0]
                                                  .worker, '0']
            crew.wait()
            assert receive(hung) == ''
        endings = [event.ending for event in crew.hooks('worker_exit')]
        assert endings == ['orphan', 'orphan']  # the third hung, and was killed


def test_kill_of_the_master_while_a_hook_hangs(tmp_path):
    """At its start, and later."""
    with Crew(tmp_path, workers=1, mode='hang') as crew:
        crew.wait_hooks('after_fork')
        crew.kill(signal.SIGKILL)
        crew.wait()
    with Crew(tmp_path, workers=1) as crew:
        worker = crew.ready()['web/0']
        crew.mode('reopen hangs')
        crew.kill(signal.SIGUSR1, worker)
        crew.wait_hooks('reopen_logs')
        crew.kill(signal.SIGKILL)
        crew.wait()


def test_kill_of_the_master_and_a_hook_that_hangs_then(tmp_path):
    with Crew(tmp_path, workers=1, graceful_timeout_ms=300) as crew:
        crew.ready()
        crew.mode('exit hangs')
        crew.kill(signal.SIGKILL)
        crew.wait_hooks('worker_exit')
        crew.wait()


# ---- reload --------------------------------------------------------------------------------------

def most_at_once(crew, kind):
    """(fewest ready after all were, most processes) by the order of the trace."""
    living, ready, fewest, most, full = set(), set(), None, 0, False
    for event in crew.events():
        if event.get('kind') != kind:
            continue
        if event.hook == 'after_fork':
            living.add(event.pid)
        elif event.hook == 'worker_ready':
            ready.add(event.pid)
        elif event.hook == 'worker_exit':
            ready.discard(event.pid)
        elif event.hook == 'child_exit':
            living.discard(event['of'])
        most, full = max(most, len(living)), full or len(ready) == 4
        if full:
            fewest = len(ready) if fewest is None else min(fewest, len(ready))
    return fewest, most


@pytest.mark.parametrize('preload', ['yes', 'no'])
def test_hup_under_load_loses_no_request(tmp_path, preload):
    with Crew(tmp_path, kinds='web task', workers=4, threads=2, preload_app=preload) as crew:
        first = crew.ready(8)
        with Load(crew) as load:
            wait_until(lambda: len(load.answers) > 50, what='50 answers')
            for generation in (1, 2, 3):
                crew.kill(signal.SIGHUP)
                crew.wait_hooks('after_reload', generation)
                seen = len(load.answers)
                wait_until(lambda n=seen: len(load.answers) > n + 50, what='50 more answers')
                assert load.answers[-1].endswith(' %d' % generation)
        assert not load.failures
        assert {answer.split()[2] for answer in load.answers} == {'0', '1', '2', '3'}
        assert not set(first.values()) & set(crew.workers().values())
        order = [event.hook for event in crew.hooks('before_reload', 'load', 'after_reload')
                 if event.pid == crew.pid]
        once = ['before_reload', 'load', 'after_reload'] if preload == 'yes' else \
            ['before_reload', 'after_reload']
        assert order == (['load'] if preload == 'yes' else []) + 3 * once
        assert {event.ending for event in crew.hooks('child_exit')} == {'reload'}
        assert crew.hooks('after_reload')[0].time_us > 0
        # before the shutdown
        for kind in ('web', 'task'):
            assert most_at_once(crew, kind) == (3, 4)
        assert crew.end() == 0


def test_many_hups_at_once(tmp_path):
    with Crew(tmp_path, workers=3) as crew:
        crew.ready(3)
        for _ in range(20):
            crew.kill(signal.SIGHUP)
            crew.ask()
        newest = crew.wait_hooks('before_reload')
        crew.wait_log('reload done')

        def settled():
            generation = len(crew.hooks('before_reload'))
            return {event.generation for event in crew.hooks('worker_ready')
                    if alive(event.pid)} == {generation} and len(crew.workers()) == 3
        wait_until(settled)
        assert newest and crew.end() == 0


@pytest.mark.parametrize('before', [1, 5])
def test_other_settings_at_a_reload(tmp_path, before):
    with Crew(tmp_path, workers=before) as crew:
        crew.ready(before)
        crew.mode('change')
        crew.kill(signal.SIGHUP)
        crew.wait_hooks('after_reload')
        changed = crew.hooks('nworkers_changed')[-1]
        assert (changed.before, changed.now) == (before, 3)
        wait_until(lambda: set(crew.workers()) == {'web/0', 'web/1', 'web/2'})
        for pid in crew.workers().values():
            assert count_threads(pid) == 5 + 1
        assert crew.end() == 0
        endings = [event.ending for event in crew.hooks('child_exit')]
        assert endings.count('surplus') == max(0, before - 3)


def test_a_reload_that_is_refused_changes_nothing(tmp_path):
    with Crew(tmp_path, workers=2) as crew:
        before = crew.ready(2)
        for hook in ('before_reload', 'load'):
            crew.mode('refuse ' + hook)
            seen = len(re.findall('reload refused', crew.log()))
            crew.kill(signal.SIGHUP)
            wait_until(lambda n=seen: len(re.findall('reload refused', crew.log())) > n)
        assert crew.workers() == before
        assert re.fullmatch(r'\d+ web/\d 0', crew.ask())
        assert crew.end() == 0


def test_a_reload_that_cannot_start_stops_at_the_first(tmp_path):
    """Of four, three go on with what they had; when it is mended, the reload goes on."""
    with Crew(tmp_path, workers=4, boot_failures_max=2) as crew:
        before = crew.ready(4)
        crew.mode('refuse worker_ready')
        crew.kill(signal.SIGHUP)
        crew.wait_log(r'failed to start \(4 in a row\)')  # more than the limit: three are at work
        left = {pid for pid in before.values() if alive(pid)}
        assert len(left) == 3 and not crew.hooks('after_reload')
        assert crew.ask().endswith(' 0')
        crew.mode('')
        crew.wait_hooks('after_reload')
        assert crew.end() == 0
