# SPDX-License-Identifier: PostgreSQL
"""What the tests of the board share: trees of processes with libtine."""
import os
import re
import signal
import subprocess
import threading

from support import procs

TINE = procs.tine_path()
TREE = os.path.join(os.path.dirname(TINE), 'tests', 'board', 'tree')
LINE = re.compile(r'worker=(\d+) pid=(\d+) served=(\d+) timeouts=(\d+) errors=(\d+) wrong=(\d+)'
                  r' slowest_ms=(\d+)')


def environment(boards, conninfo, **settings):
    env = {key: value for key, value in os.environ.items() if not key.startswith('TINE_')}
    env.update(TINE_BOARD_DIRECTORY=boards, TINE_CONNINFO=conninfo)
    env.update({'TINE_' + key.upper(): str(value) for key, value in settings.items()})
    return env


def forget(boards):
    """Remove the boards of processes that ended without a word, as the next program would."""
    for name in os.listdir(boards):
        os.unlink(os.path.join(boards, name))


class Tree:
    """A tree at work, and what it said at its end."""

    def __init__(self, env, workers, threads, hold_ms, seconds, command=(), statement=None):
        words = [str(word) for word in (workers, threads, hold_ms, seconds, statement) if word
                 is not None]
        self.process = subprocess.Popen(
            [*command, TREE, *words], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True)
        self.output = self.errors = None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        self.output, self.errors = self.process.communicate()

    def running(self):
        return self.process.poll() is None

    def workers(self):
        """The living children."""
        path = '/proc/%d/task/%d/children' % (self.process.pid, self.process.pid)
        with open(path, encoding='ascii') as file:
            return [int(pid) for pid in file.read().split()]

    def finish(self):
        """Have its workers end early."""
        for pid in self.workers():
            os.kill(pid, signal.SIGTERM)

    def end(self):
        """(served, timeouts, errors, wrong, slowest_ms) of each worker that ended by itself."""
        self._reader.join(60)
        assert not self._reader.is_alive(), 'the tree does not end'
        return [tuple(int(part) for part in found[2:]) for found in LINE.findall(self.output)]

    def kill(self):
        if self.running():
            self.process.kill()
        self._reader.join(60)
