# SPDX-License-Identifier: PostgreSQL
"""Workers that hang, die, leak, do not listen or never start; and what they leave: nothing."""
import glob
import os
import re
import signal
import subprocess
import time

import pytest

from crewtools import Crew, receive
from support.procs import wait_until


def death(crew, **fields):
    return crew.wait_hooks('child_exit', **fields)[0]


def died_by(event):
    return signal.Signals(os.WTERMSIG(event.status)) if os.WIFSIGNALED(event.status) else None


# ---- a unit that takes too long ------------------------------------------------------------------

def test_a_unit_that_hangs_is_told_then_aborted(tmp_path):
    with Crew(tmp_path, workers=2, unit_timeout_ms=200, abort_after_ms=300) as crew:
        crew.ready(2)
        with crew.open('hang for ever') as connection:
            gone = death(crew)
            assert receive(connection) == ''
        assert died_by(gone) == signal.SIGABRT
        assert (gone.ending, gone.doing, gone.units) == ('timeout', 'hang for ever', 0)
        assert gone.time_us > 500000
        told, = crew.hooks('worker_timeout')
        aborted, = crew.hooks('worker_abort')
        assert told.pid == aborted.pid == gone.of and told.worker == gone.worker
        assert (told.doing, told.main, told.time_us >= 200000) == ('hang for ever', 1, True)
        assert not crew.hooks('worker_exit', pid=gone.of)
        order = [event.hook for event in crew.events() if event.get('pid') == gone.of]
        assert order[-2:] == ['worker_timeout', 'worker_abort']
        crew.ready(3)
        assert crew.end() == 0
        crew.wait_log("'hang for ever' is late: 0")
        crew.wait_log(r"gets SIGABRT \(timeout\)")
        crew.wait_log(r"pid %d was ended by SIGABRT \(timeout\) after 0 units, in 'hang for ever' "
                      % gone.of)


def test_an_abort_that_hangs_is_killed(tmp_path):
    with Crew(tmp_path, workers=1, unit_timeout_ms=50, abort_after_ms=50,
              kill_after_ms=200) as crew:
        crew.ready()
        crew.mode('abort hangs')
        with crew.open('hang'):
            gone = death(crew)
        assert (died_by(gone), gone.ending) == (signal.SIGKILL, 'timeout')
        assert len(crew.hooks('worker_abort', pid=gone.of)) == 1
        assert crew.end() == 0


def test_a_stopped_process_is_killed(tmp_path):
    with Crew(tmp_path, workers=1, unit_timeout_ms=50, abort_after_ms=50,
              kill_after_ms=100) as crew:
        pid = crew.ready()['web/0']
        with crew.open('sleep 20000'):
            crew.wait_hooks('before_unit')
            crew.kill(signal.SIGSTOP, pid)
            gone = death(crew, of=pid)
        assert (died_by(gone), gone.ending) == (signal.SIGKILL, 'timeout')
        assert crew.end() == 0


def test_a_unit_that_is_late_and_finishes_is_forgiven(tmp_path):
    with Crew(tmp_path, workers=1, threads=2, unit_timeout_ms=200) as crew:
        crew.ready()
        for _ in range(2):
            assert crew.ask('sleep 500').split()[1:] == ['web/0', '0']
        assert len(crew.hooks('worker_timeout')) == 2
        with crew.open('sleep 900'), crew.open('sleep 901'):
            crew.wait_hooks('worker_timeout', 4)  # each is told
        assert len({event.doing for event in crew.hooks('worker_timeout')}) == 3
        assert not crew.hooks('child_exit')
        assert crew.end() == 0


def test_signs_of_life(tmp_path):
    with Crew(tmp_path, workers=1, unit_timeout_ms=300, abort_after_ms=50) as crew:
        crew.ready()
        assert crew.ask('beat 1500').split()[1:] == ['web/0', '0']
        assert not crew.hooks('worker_timeout')
        assert crew.end() == 0


def test_a_worker_without_work_is_left_alone(tmp_path):
    with Crew(tmp_path, workers=1, unit_timeout_ms=20, abort_after_ms=20) as crew:
        pid = crew.ready()['web/0']
        time.sleep(0.5)  # it is the passing of time that must do nothing
        assert crew.workers() == {'web/0': pid} and not crew.hooks('worker_timeout')
        assert crew.end() == 0


def test_a_worker_that_ignores_term_is_killed(tmp_path):
    with Crew(tmp_path, workers=2, graceful_timeout_ms=300) as crew:
        crew.ready(2)
        with crew.open('deaf'):
            crew.wait_hooks('after_unit')
            start = time.monotonic()
            assert crew.end() == 0
            assert time.monotonic() - start < 15
        deaths = {died_by(event) for event in crew.hooks('child_exit')}
        assert deaths == {None, signal.SIGKILL}
        crew.wait_log(r'gets SIGKILL \(shutdown\)')


def test_a_worker_that_others_ask_to_end_and_does_not_is_killed(tmp_path):
    """TERM from somebody else, or its own function that returned: its time counts all the same."""
    with Crew(tmp_path, workers=1, graceful_timeout_ms=300) as crew:
        pid = crew.ready()['web/0']
        with crew.open('hang'):
            crew.wait_hooks('before_unit')
            crew.kill(signal.SIGTERM, pid)
            gone = death(crew, of=pid)
        assert (died_by(gone), gone.ending) == (signal.SIGKILL, 'itself')
        pid = wait_until(lambda: crew.workers().get('web/0'))
        crew.mode('exit hangs')
        crew.kill(signal.SIGQUIT, pid)
        assert died_by(death(crew, of=pid)) == signal.SIGKILL
        crew.mode('')
        crew.wait_hooks('worker_ready', 3)
        assert crew.end() == 0


def test_more_units_than_places(tmp_path):
    with Crew(tmp_path, workers=1, threads=3, units=1) as crew:
        crew.ready()
        with crew.open('sleep 700'):
            crew.wait_hooks('before_unit')
            assert crew.ask('pid').startswith('TINE_E_QUEUE_FULL 1 units of work')
        wait_until(lambda: crew.ask('pid').endswith('web/0 0'))
        crew.mode('refuse before_unit')
        assert crew.ask('pid') == 'TINE_E_REFUSED the hook before_unit refused'
        assert crew.end() == 0


# ---- starting ------------------------------------------------------------------------------------

@pytest.mark.parametrize('mode, cause', [
    ('crash', 'was ended by SIGABRT'), ('exit', 'exited with status 7'),
    ('refuse after_fork', 'exited with status 3'), ('refuse worker_ready', 'exited with status 3'),
    ('refuse load', 'exited with status 3'),
    ('refuse before_fork', 'refused by before_fork: Operation canceled')])
def test_workers_that_never_start(tmp_path, mode, cause):
    """Back-off, then the master gives up and says why."""
    with Crew(tmp_path, mode=mode, workers=1, boot_failures_max=4, backoff_first_ms=50,
              preload_app='no') as crew:
        assert crew.wait() == 1
        text = crew.log()
    cause = re.escape(cause)
    assert re.search("TINE_E_BOOT: 4 workers of the kind 'web' failed to start in a row; "
                     "the last " + cause, text)
    pauses = [int(ms) for ms in re.findall(r'in a row\), next in (\d+) ms', text)]
    assert len(pauses) == 3
    for pause, most in zip(pauses, (50, 100, 100)):
        assert most * 0.75 <= pause <= most
    assert 'boot' in {event.ending for event in crew.hooks('child_exit')} or 'fork' in mode
    assert len(crew.hooks('master_exit')) == 1


@pytest.mark.parametrize('hook', ['load', 'master_init', 'master_ready'])
def test_a_master_that_is_refused(tmp_path, hook):
    with Crew(tmp_path, mode='refuse ' + hook, workers=1) as crew:
        assert crew.wait() == 1
        assert 'TINE_E_REFUSED: the hook %s refused to go on' % hook in crew.log()
        assert not crew.hooks('before_fork')


def test_a_worker_that_takes_too_long_to_start(tmp_path):
    with Crew(tmp_path, mode='hang', workers=1, startup_timeout_ms=200, kill_after_ms=200) as crew:
        gone = death(crew)
        # its first thread is in the hook, so SIGABRT is noted and nothing more
        assert (died_by(gone), gone.ending) == (signal.SIGKILL, 'startup')
        crew.mode('')
        crew.ready()
        assert crew.end() == 0


@pytest.mark.parametrize('mode', ['exit', 'refuse before_fork'])
def test_a_start_that_fails_and_then_does_not(tmp_path, mode):
    with Crew(tmp_path, mode=mode, workers=1, boot_failures_max=0) as crew:
        crew.wait_log(r'failed to start \(3 in a row\)')
        before = count_descriptors(crew.pid)
        crew.wait_log(r'failed to start \(20 in a row\)')
        assert count_descriptors(crew.pid) <= before + 1
        crew.mode('')
        crew.ready()
        assert crew.end() == 0


@pytest.mark.parametrize('mode', ['returns', 'fails'])
def test_workers_that_return_at_once_are_held_back(tmp_path, mode):
    with Crew(tmp_path, mode=mode, kinds='task', workers=1, boot_failures_max=3) as crew:
        assert crew.wait() == 1
        assert {event.ending for event in crew.hooks('child_exit')} == {'itself'}
        status = 'exited with status %d' % (mode == 'fails')
        assert re.search('3 workers .* in a row; the last ' + status, crew.log())


def test_starts_are_held_back(tmp_path):
    start = time.monotonic()
    with Crew(tmp_path, mode='exit', workers=2, boot_failures_max=5, backoff_first_ms=200,
              backoff_max_ms=400) as crew:
        assert crew.wait() == 1
    # the two of the first round fail together, then one pause each of at least 3/4 of what is set
    assert time.monotonic() - start >= 0.75 * (0.2 + 0.4)


def test_workers_that_crash_at_work_are_replaced_at_once(tmp_path):
    with Crew(tmp_path, workers=2) as crew:
        crew.ready(2)
        for number in range(3):
            assert crew.ask('crash %d' % number) == ''
            gone = crew.wait_hooks('child_exit', number + 1)[-1]
            assert (died_by(gone), gone.ending) == (signal.SIGABRT, 'itself')
            assert gone.doing == 'crash %d' % number
        assert crew.ask('exit 9') == ''
        assert os.WEXITSTATUS(crew.wait_hooks('child_exit', 4)[-1].status) == 9
        wait_until(lambda: len(crew.workers()) == 2)
        assert crew.end() == 0


# ---- limits of their own -------------------------------------------------------------------------

def test_max_units_with_jitter(tmp_path):
    with Crew(tmp_path, kinds='web task', workers=3, task_max_units=20,
              task_max_units_jitter=10) as crew:
        deaths = crew.wait_hooks('child_exit', 9, kind='task')
        assert {event.ending for event in deaths} == {'units'}
        assert all(event.units >= 20 for event in deaths)
        assert len({event.units for event in deaths}) > 1
        living, fewest = set(), 3
        for event in crew.events():
            if event.get('kind') != 'task':
                continue
            if event.hook == 'worker_ready':
                living.add(event.pid)
            elif event.hook == 'child_exit':
                living.discard(event['of'])
                fewest = min(fewest, len(living))
        assert fewest == 2  # one at a time
        assert crew.end() == 0


def test_max_rss(tmp_path):
    with Crew(tmp_path, workers=2, max_rss_bytes='64MiB') as crew:
        crew.ready(2)
        victim = crew.ask('leak 100').split()[0]
        gone = death(crew)
        assert (str(gone.of), gone.ending, gone.status) == (victim, 'rss', 0)
        crew.wait_log(r'has \d+ KiB of memory, to be replaced')
        wait_until(lambda: len(crew.workers()) == 2)
        assert crew.end() == 0
        assert len(crew.hooks('child_exit')) == 3


# ---- nothing is left -----------------------------------------------------------------------------

def count_descriptors(pid):
    return len(os.listdir('/proc/%d/fd' % pid))


def count_maps(pid):
    with open('/proc/%d/maps' % pid, encoding='utf-8') as file:
        return len(file.readlines())


def resident_kib(pid):
    with open('/proc/%d/status' % pid, encoding='utf-8') as file:
        return int(re.search(r'VmRSS:\s+(\d+) kB', file.read()).group(1))


def is_of(crew, pid):
    """True for a process of this service; so many numbers are given to others meanwhile."""
    try:
        return os.readlink('/proc/%d/cwd' % pid) == crew.folder
    except OSError:
        return False


def test_recycled_workers_leak_nothing(tmp_path):
    """RECYCLED of them, one after another: descriptors, memory, zombies of the master."""
    wanted = int(os.environ.get('TINE_RECYCLED', '300'))
    with Crew(tmp_path, kinds='task', workers=4, max_units=2, master_log='/dev/null') as crew:
        def gone():
            return len(crew.hooks('child_exit'))
        wait_until(lambda: gone() >= wanted / 10, wanted)
        before = count_descriptors(crew.pid), count_maps(crew.pid), resident_kib(crew.pid)
        wait_until(lambda: gone() >= wanted, wanted, interval=0.2)
        # The number of workers varies by one while one is being replaced: an end of a channel and
        # a heart for each. What leaks would be there hundreds of times.
        assert abs(count_descriptors(crew.pid) - before[0]) <= 4
        assert abs(count_maps(crew.pid) - before[1]) <= 6
        assert resident_kib(crew.pid) - before[2] < 512
        crew.kill(signal.SIGTERM)
        assert crew.wait() == 0
        assert {event.status for event in crew.hooks('child_exit')} == {0}
        starts = {event.pid for event in crew.hooks('after_fork')}
        assert not [pid for pid in starts if is_of(crew, pid)]


def test_orphans_of_others_are_reaped(tmp_path):
    """As process 1, here by being a subreaper: what workers leave behind does not stay a zombie."""
    with Crew(tmp_path, workers=1, env={'CREW_REAPER': '1'}) as crew:
        worker = crew.ready()['web/0']
        orphan = int(crew.ask('fork').split()[0])
        crew.kill(signal.SIGKILL, worker)
        crew.wait_hooks('child_exit', of=worker)
        os.kill(orphan, signal.SIGKILL)
        wait_until(lambda: not os.path.exists('/proc/%d' % orphan))
        crew.wait_log('master: reaped 1 processes of others')
        assert [event.of for event in crew.hooks('child_exit')] == [worker]
        assert crew.end() == 0


def children(pid):
    """Of all its threads."""
    found = []
    for path in glob.glob('/proc/%d/task/*/children' % pid):
        with open(path, encoding='ascii') as file:
            found += map(int, file.read().split())
    return found


def test_as_process_1(tmp_path):
    """As in a container: its own signals, and what its workers leave behind."""
    prefix = ('unshare', '--pid', '--fork', '--kill-child')
    if subprocess.run([*prefix, 'true'], capture_output=True, check=False).returncode != 0:
        pytest.skip('no namespace of process numbers here')
    with Crew(tmp_path, workers=1, prefix=prefix) as crew:
        crew.wait_log('all workers are ready')
        assert crew.hooks('master_ready')[0].pid == 1
        master, = children(crew.pid)
        worker, = children(master)
        crew.ask('fork')
        orphan, = children(worker)
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: orphan in children(master))
        os.kill(orphan, signal.SIGKILL)
        wait_until(lambda: not os.path.exists('/proc/%d' % orphan))
        crew.wait_log('master: reaped 1 processes of others')
        os.kill(master, signal.SIGHUP)
        crew.wait_hooks('after_reload')
        os.kill(master, signal.SIGTERM)
        assert crew.wait() == 0
