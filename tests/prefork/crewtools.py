# SPDX-License-Identifier: PostgreSQL
"""The supervisor's test program (crew.c), driven: started, asked, signalled, its hooks read."""
import functools
import os
import re
import signal
import socket

from support import procs
from support.procs import wait_until
from support.repeated import Repeated

PROGRAM = os.path.join(os.path.dirname(procs.tine_path()), 'tests', 'prefork', 'crew')
FIELD = re.compile(r'(\w+)=(.*?)(?= \w+=|$)')
NUMBERS = {'pid', 'of', 'status', 'units', 'time_us', 'before', 'now', 'generation', 'loads',
           'main', 'fd', 'open', 'backend', 'ok', 'listeners'}

# Short, so that tests are; long enough for a slow machine where nothing is to happen.
TIMES = {
    'TINE_STARTUP_TIMEOUT_MS': '20s', 'TINE_UNIT_TIMEOUT_MS': '20s', 'TINE_ABORT_AFTER_MS': '20s',
    'TINE_KILL_AFTER_MS': '20s', 'TINE_GRACEFUL_TIMEOUT_MS': '20s', 'TINE_BACKOFF_FIRST_MS': '20ms',
    'TINE_BACKOFF_MAX_MS': '100ms',
}


class Event(dict):
    """A line of the trace."""

    def __getattr__(self, name):
        return self[name]


def parse(line):
    fields = dict(FIELD.findall(line))
    return Event({name: int(value) if name in NUMBERS else value
                  for name, value in fields.items()})


def alive(pid):
    """True for a process that is there and no zombie."""
    try:
        with open('/proc/%d/stat' % pid, encoding='latin-1') as stat:
            return stat.read().rpartition(')')[2].split()[0] not in 'ZX'
    except OSError:
        return False


class Crew:
    """One service. Keyword arguments are settings: workers=4 is TINE_WORKERS=4."""

    def __init__(self, folder, mode='', kinds='web', env=None, prefix=(), **settings):
        self.folder = str(folder)
        self._trace = os.path.join(self.folder, 'trace')
        self._mode = os.path.join(self.folder, 'mode')
        self.mode(mode)
        with open(self._trace, 'w', encoding='utf-8'):
            pass
        variables = {'TINE_' + name.upper(): str(value) for name, value in settings.items()}
        clean = {name: None for name in os.environ
                 if name.startswith(('TINE_', 'LISTEN_', 'NOTIFY_', 'WATCHDOG_'))}
        self._proc = procs.Proc([*prefix, PROGRAM], cwd=self.folder, env={
            **clean, **TIMES, 'TINE_LISTEN': '127.0.0.1:0', 'CREW_TRACE': self._trace,
            'CREW_MODE': self._mode, 'CREW_KINDS': kinds, **variables, **(env or {})})

    def __enter__(self):
        self._proc.start()
        return self

    def __exit__(self, *exc):
        self._proc.stop(signal.SIGKILL)

    # ---- what it writes -------------------------------------------------------------------------

    def events(self):
        """All hooks so far, in the order in which they ran."""
        with open(self._trace, encoding='utf-8', errors='replace') as file:
            # The last line can be half written.
            return [parse(line) for line in file.read().split('\n')[:-1]]

    def hooks(self, *names, **fields):
        """Those with one of the names and such fields."""
        return [event for event in self.events()
                if event.get('hook') in names
                and all(event[name] == value for name, value in fields.items())]

    def wait_hooks(self, name, count=1, timeout=30, **fields):
        """Wait for so many of a hook; them."""
        def enough():
            found = self.hooks(name, **fields)
            return found if len(found) >= count else None
        return self._wait(enough, '%d of %s %s' % (count, name, fields), timeout)

    def log(self):
        return self._proc.text()

    def wait_log(self, pattern, timeout=30):
        return self._wait(lambda: re.search(pattern, self.log()), 'the line %r' % pattern, timeout)

    def _wait(self, condition, what, timeout):
        try:
            return wait_until(condition, timeout, what)
        except TimeoutError as err:
            raise TimeoutError('%s; its log:\n%s' % (err, self.log())) from err

    # ---- what is done to it ---------------------------------------------------------------------

    @property
    def pid(self):
        return self._proc.pid

    def mode(self, text):
        """How workers start from now on."""
        with open(self._mode + '.new', 'w', encoding='utf-8') as file:
            file.write(text)
        os.replace(self._mode + '.new', self._mode)

    def kill(self, number, pid=None):
        os.kill(pid or self.pid, number)

    def end(self, number=signal.SIGTERM, timeout=30):
        """Signal the master and wait for its end; its exit status."""
        self.kill(number)
        return self.wait(timeout)

    def wait(self, timeout=30):
        status = self._proc.wait(timeout)
        # nothing is left behind, whatever happened
        self._wait(lambda: not self._proc.members(), 'the end of all workers', timeout)
        return status

    def ready(self, count=1):
        """Wait until so many workers are ready, and have their threads; their pids by name."""
        self._wait(lambda: len(re.findall(r' is ready after ', self.log())) >= count,
                   '%d workers being ready' % count, 30)
        return self.workers()

    def workers(self):
        """Name -> pid of those that live and were ready."""
        return {event.worker: event.pid for event in self.hooks('worker_ready')
                if alive(event.pid)}

    @functools.cached_property
    def address(self):
        """Host and port of its last TCP socket."""
        def listens():
            found = [event.listens for event in self.events()
                     if re.fullmatch(r'127\.0\.0\.1:\d+', event.get('listens', ''))]
            return found and found[-1]
        host, port = self._wait(listens, 'a socket', 30).rsplit(':', 1)
        return host, int(port)

    def open(self, command, timeout=30):
        """Send a command; the connection, on which its answer comes."""
        connection = socket.create_connection(self.address, timeout=timeout)
        connection.sendall(command.encode() + b'\n')
        return connection

    def ask(self, command='pid', timeout=30):
        """Send a command and return the answer; '' when the worker died of it."""
        with self.open(command, timeout) as connection:
            return receive(connection)


def receive(connection):
    """All that comes until the end."""
    data = b''
    try:
        while True:
            chunk = connection.recv(1000)
            if not chunk:
                return data.decode().strip()
            data += chunk
    except ConnectionResetError:
        return data.decode().strip()


class Load(Repeated):
    """Clients that ask without pause, in threads; every answer is kept."""

    def __init__(self, crew, clients=4, command='pid'):
        super().__init__(*[self._ask] * clients)
        self._crew, self._command = crew, command
        self.answers, self.failures = [], []

    def _ask(self):
        try:
            answer = self._crew.ask(self._command)
        except OSError as err:
            self.failures.append(repr(err))
            return
        (self.answers if re.fullmatch(r'\d+ web/\d+ \d+', answer) else
         self.failures).append(answer)
