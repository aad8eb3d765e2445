# SPDX-License-Identifier: PostgreSQL
"""The fork matrix: ways to fork x transports x what the child does x what the parent was doing.

Each cell is played by the program `cell` (cell.c) in processes of its own; its oracle is described
there. A test here runs a group of cells in one call and names every cell that did not end as it
must. No cell of the full matrix is left out under tine: all 6 x 4 x 10 x 7 are played, those whose
reading is not obvious in this sense:

    daemon, killed       the parent itself calls daemon(3): it ends by that and needs no SIGKILL
    concurrent, killed   the parent is killed while it queries; the child acts when it is dead
    cancel, connecting   there is no key to cancel with yet: the request goes out without one
    any, connecting      several attempts, each caught after another number of polls, in one fork

Without tine the same cells show that the test can fail; see BREAKS.
"""

import base64
import hashlib
import hmac
import os
import subprocess

import pytest

from support import procs

CELL = os.path.join(os.path.dirname(procs.tine_path()), 'tests', 'fork', 'cell')

KINDS = ('fork', 'forkpty', 'double', 'daemon', 'thread', 'refork')
MISSED = ('_Fork', 'clone', 'clone3', 'SYS_fork')
SPAWNS = ('vfork', 'posix_spawn', 'system', 'popen')
TRANSPORTS = ('plain', 'tls12', 'tls13', 'unix')
ACTS = ('_exit', 'exit', 'close', 'gc', 'closefd', 'query', 'concurrent', 'reset', 'cancel', 'exec')
STATES = ('idle', 'tx', 'mid', 'listen', 'copy', 'connecting', 'killed')

HOLDS, BROKE = '0', '1'

# Cells run at a time by one call: a cell is a chain of processes that wait for each other.
JOBS = 2

# How long a bare cell waits for what will not come: a process that hangs for good is one of the
# ways to break, and a backend that outlives its owner does so until the child ends.
BARE_LIMITS = ('--deadline-ms', 4000, '--outlive-ms', 300)


def breaks(kind, transport, act, state):
    """Must this cell fail without tine? Only what fails every time, whatever the timing.

    Rows are tried from the top; the first that matches decides.
    """
    for acts, states, transports, kinds, verdict, _reason in BREAKS:
        if act in acts and state in states and transport in transports and kind in kinds:
            return verdict
    raise KeyError((kind, transport, act, state))


ALL_KINDS = KINDS + MISSED
TLS = ('tls12', 'tls13')
OPEN = tuple(state for state in STATES if state not in ('connecting', 'killed'))

BREAKS = (
    (ACTS, ('killed',), TRANSPORTS, ALL_KINDS, True,
     'the backend lives as long as any process holds its socket'),
    (('_exit',), STATES, TRANSPORTS, ALL_KINDS, False,
     'the kernel closes one descriptor of two: nothing is sent'),
    (('closefd',), STATES, TRANSPORTS, ALL_KINDS, False,
     'PQfinish writes to a closed descriptor: nothing is sent'),
    (('cancel',), STATES, TRANSPORTS, ALL_KINDS, False,
     'the request has a connection of its own'),
    (('query', 'concurrent', 'exec'), STATES, TRANSPORTS, ALL_KINDS, True,
     'the child writes to the session'),
    (('gc',), STATES, TRANSPORTS, ALL_KINDS, True,
     'one of the handles is an established session: Terminate'),
    (('exit', 'close', 'reset'), OPEN, TRANSPORTS, ALL_KINDS, True,
     'Terminate on the session'),
    (('exit', 'close', 'reset'), ('connecting',), TLS, ALL_KINDS, True,
     'a TLS alert in the middle of the attempt'),
    (('exit',), ('connecting',), TRANSPORTS, ('refork',), True,
     "Terminate on the owner's session, which the finalizer finishes too"),
    (('exit', 'close', 'reset'), ('connecting',), TRANSPORTS, ALL_KINDS, False,
     'libpq says nothing on a connection that was not established'),
)


def cells(kinds, acts=ACTS, states=STATES):
    return ['%s/%s/%s' % (kind, act, state) for kind in kinds for act in acts for state in states]


def bare_cells(kinds, transport, verdict, acts=ACTS, states=STATES):
    """Those cells that must (verdict True) or must not fail without tine.

    Of the state killed one act is enough: the verdict falls while the child has not acted yet.
    """
    chosen = []
    for name in cells(kinds, acts, states):
        kind, act, state = name.split('/')
        if state == 'killed' and act != '_exit':
            continue
        if breaks(kind, transport, act, state) == verdict:
            chosen.append(name)
    return chosen


def cheap_verifier(password):
    """A SCRAM verifier of one iteration: same password, same protocol, a tenth of the time."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac('sha256', password.encode(), salt, 1)
    stored = hashlib.sha256(hmac.digest(salted, b'Client Key', 'sha256')).digest()
    server = hmac.digest(salted, b'Server Key', 'sha256')
    return 'SCRAM-SHA-256$1:' + '$'.join((
        base64.b64encode(salt).decode(),
        ':'.join(base64.b64encode(key).decode() for key in (stored, server))))


@pytest.fixture(scope='module')
def server(cluster):
    if not os.access(CELL, os.X_OK):
        pytest.fail('%s is not built' % CELL)
    cluster.admin_sql('alter role app password %s', params=[cheap_verifier(cluster.password)])
    return cluster


def play(server, transport, names, prefix=(), options=(), env=None):
    """Run the cells; {name: (status, what broke)}, the verdict of each, and nothing besides."""
    control = 'host=%s port=%d user=postgres dbname=app' % (server.socket_dir, server.port)
    command = [*prefix, CELL, '--transport-conninfo', server.conninfo(transport),
               '--control', control, '--jobs', JOBS, *options, *names]
    # No PG* name and no URL: what is recognised must be recognised by its first bytes.
    untold = {name: value for name, value in os.environ.items()
              if not name.startswith('PG') and '://' not in value}
    # A sanitized build: its runtime must be the first library of the cell, and only there.
    if 'TINE_SANITIZER' in os.environ:
        untold['LD_PRELOAD'] = os.environ['TINE_SANITIZER']
    done = subprocess.run([str(word) for word in command], env={**untold, **(env or {})},
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=280, check=False)
    verdicts = {}
    for line in done.stdout.splitlines():
        status, name, text = line.split(' ', 2)
        verdicts[name] = (status, text)
    assert sorted(verdicts) == sorted(names), done.stdout + done.stderr
    assert done.returncode == max(int(status) for status, _text in verdicts.values())
    return verdicts


def assert_all(verdicts, transport, status):
    wrong = ['%s over %s: status %s, not %s: %s' % (name, transport, got, status, text)
             for name, (got, text) in verdicts.items() if got != status]
    assert not wrong, '%d of %d cells:\n%s' % (len(wrong), len(verdicts), '\n'.join(wrong))


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('transport', TRANSPORTS)
def test_under_tine(server, tine, transport, kind):
    """Random port, nothing told: recognised by the first bytes, or by the path of the socket."""
    verdicts = play(server, transport, cells([kind]), tine(), ['--guarded'])
    assert_all(verdicts, transport, HOLDS)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('transport', TRANSPORTS)
def test_bare_breaks(server, transport, kind):
    """The same cells without tine do fail."""
    names = bare_cells([kind], transport, True)
    assert_all(play(server, transport, names, options=BARE_LIMITS), transport, BROKE)


@pytest.mark.parametrize('transport', TRANSPORTS)
def test_bare_holds(server, transport):
    """And where nothing is done to the session they do not: the oracle can tell."""
    names = bare_cells(['fork'], transport, False)
    assert_all(play(server, transport, names), transport, HOLDS)


# Told by an option, by PGPORT, by a URL of whatever driver. The witness sockets then sit on that
# very port of another address, so that the process itself serves the port, too.
TOLD = {
    'option': (['--port', '1,{port}'], {}),
    'PGPORT': ([], {'PGPORT': '{port}'}),
    'url': ([], {'REPLICAS': 'postgresql+asyncpg://u:p@replica.example:1,127.0.0.1:{port}/d'}),
}


@pytest.mark.parametrize('told', TOLD)
@pytest.mark.parametrize('transport', ('plain', 'tls13'))
def test_told_port(server, tine, transport, told):
    options, env = TOLD[told]
    options = [word.format(port=server.port) for word in options]
    env = {name: value.format(port=server.port) for name, value in env.items()}
    names = cells(['fork', 'refork'], ('exit', 'query', 'reset'), ('tx', 'connecting', 'killed'))
    verdicts = play(server, transport, names, tine(*options),
                    ['--guarded', '--serve-port', server.port], env)
    assert_all(verdicts, transport, HOLDS)


# Forks that run no atfork handler are noticed at the child's first call on the socket. Left out:
# _exit and closefd do nothing to be noticed by; a parent that is killed before the child has done
# anything leaves its backend to the child. The other acts differ from these three in what comes
# after that first call, which is as after a fork.
MISSED_ACTS = ('query', 'close', 'exit')
MISSED_STATES = tuple(state for state in STATES if state != 'killed')


def missed_kinds():
    """Those of MISSED that this machine has: SYS_fork is not on every architecture."""
    listed = subprocess.run([CELL, '--list'], stdout=subprocess.PIPE, text=True, check=True)
    return [kind for kind in MISSED if 'fork %s' % kind in listed.stdout.splitlines()]


@pytest.mark.parametrize('transport', ('plain', 'tls13', 'unix'))
def test_missed_fork_under_tine(server, tine, transport):
    names = cells(missed_kinds(), MISSED_ACTS, MISSED_STATES)
    assert_all(play(server, transport, names, tine(), ['--guarded']), transport, HOLDS)


@pytest.mark.parametrize('transport', ('plain', 'tls13', 'unix'))
def test_missed_fork_bare_breaks(server, transport):
    names = bare_cells(missed_kinds(), transport, True, MISSED_ACTS, ('idle', 'tx'))
    assert_all(play(server, transport, names, options=BARE_LIMITS), transport, BROKE)


@pytest.mark.parametrize('transport', TRANSPORTS)
def test_spawn_under_tine(server, tine, transport):
    """A program is started in the middle of the state; afterwards the guard still knows all."""
    names = cells(SPAWNS, ('_exit', 'query'))
    assert_all(play(server, transport, names, tine(), ['--guarded']), transport, HOLDS)
