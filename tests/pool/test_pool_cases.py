# SPDX-License-Identifier: PostgreSQL
"""What Python cannot play: threads that fork, signals, cancelled threads, clocks (case.c)."""
import os
import shutil

import pytest

from pooltools import CASE, run_case

JUMP = os.path.join(os.path.dirname(CASE), 'libjump.so')


@pytest.mark.parametrize('transport', ['tls', 'unix'])
def test_f5_fork_while_threads_are_busy(server, transport):
    """F5: 120 forks beside eight threads in queries, acquire and release; no child hangs."""
    run_case('fork_while_busy', server.conninfo(transport))


def test_f6_fork_while_threads_connect(server):
    """F6: 60 forks beside four threads in TLS handshakes and SCRAM; each child connects."""
    run_case('fork_while_connecting', server.conninfo('tls'))


@pytest.mark.parametrize('transport', ['tls12', 'tls13', 'plain', 'unix'])
def test_f11_forks_without_handlers(server, transport):
    """F11: _Fork, clone, clone3: noticed at the child's first call, whichever that is."""
    run_case('fork_without_handlers', server.conninfo(transport))


@pytest.mark.parametrize('transport', ['tls12', 'tls13', 'plain', 'unix'])
def test_f2_a_child_exits_with_destructors(server, transport):
    """F2: a child frees pool and connection on its way out; the parent commits."""
    run_case('exit_of_a_child', server.conninfo(transport))


def test_f10_spawn_in_traffic(server):
    """F10: vfork, posix_spawn and system() beside three threads: nothing is closed or reopened."""
    run_case('spawn_in_traffic', server.conninfo('tls'))


@pytest.mark.parametrize('transport', ['tls', 'unix'])
def test_f52_signal_storm(server, transport):
    """F52: a signal every 100 us, without SA_RESTART: no lost wake-up, waits as long as asked."""
    run_case('signal_storm', server.conninfo(transport))


@pytest.mark.parametrize('transport', ['tls12', 'tls13', 'plain', 'unix'])
def test_f52_broken_pipe(server, transport):
    """F52: with SIGPIPE at its default the process survives every write to a lost connection."""
    run_case('broken_pipe', server.conninfo(transport))


@pytest.mark.parametrize('case', [
    'cancelled_while_waiting', 'cancelled_while_holding', 'cancelled_while_sending',
    'cancelled_in_a_scope', 'cancelled_in_transact', 'cancelled_in_back_off',
    'ended_while_holding', 'ended_in_transact'])
def test_f53_threads_that_end(server, case):
    """F53: cancelled or ended while waiting or holding: see threads.c for what is promised."""
    run_case(case, server.conninfo('tls'))


def test_f45_leaks_are_told(server):
    """F45: handles, scopes and transactions that are held too long, each with the place in the
    program where it was taken, and the same when an acquire times out."""
    run_case('leaks_are_told', server.conninfo('tls'))


@pytest.mark.parametrize('case', ['clock_jumps', 'suspend'])
def test_f50_clocks(server, case, tmp_path):
    """F50: a day ahead and back; an hour of suspend. Clocks are moved by a library."""
    # LD_PRELOAD takes no path with a blank in it, which a clone's may have.
    jump = shutil.copy(JUMP, tmp_path)
    run_case(case, server.conninfo('tls'), LD_PRELOAD=jump)
