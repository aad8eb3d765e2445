# SPDX-License-Identifier: PostgreSQL
"""A process that is on a board and does what a test tells it, and the commands that look at it."""
import json
import os
import subprocess

from support import procs


def member_path():
    return os.path.join(os.path.dirname(procs.tine_path()), 'tests', 'board', 'member')


def environment(directory):
    """This process's, without what would steer tine or name another terminal."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(('TINE_', 'LD_', 'PG'))}
    return {**env, 'TINE_BOARD_DIRECTORY': str(directory)} if directory else env


class Member:
    """tests/board/member: each call of tell() is one command and gives its answer.

        with Member(directory, 'name=web', 'budget=4') as member:
            permit = member.tell('take')
    """

    def __init__(self, directory, *words, prefix=(), **options):
        self._popen = subprocess.Popen(
            [*prefix, member_path(), *words], env=environment(directory), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, start_new_session=True, **options)
        self.path = self._popen.stdout.readline().decode().rstrip('\n')
        assert self.path, 'no board for %s' % (words,)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    @property
    def pid(self):
        return self._popen.pid

    def tell(self, *words):
        line = b' '.join(w if isinstance(w, bytes) else str(w).encode() for w in words)
        self._popen.stdin.write(line + b'\n')
        self._popen.stdin.flush()
        return int(self._popen.stdout.readline())

    def stop(self):
        """It leaves the board and ends."""
        self._popen.stdin.close()
        self._popen.stdout.close()
        self._popen.wait(60)

    def kill(self):
        """It ends without a word; its zombie is gone, too."""
        self._popen.kill()
        self._popen.wait(60)


def tine(directory, *words, **options):
    """Run tine with these words. The result has text output of any bytes."""
    program = options.pop('program', procs.tine_path())
    return subprocess.run([program, *map(str, words)], env=environment(directory),
                          stdin=subprocess.DEVNULL, capture_output=True, encoding='latin-1',
                          timeout=60, **options)


def trees(directory, *words):
    """What `tine ps --json` says."""
    return json.loads(tine(directory, 'ps', '--json', *words).stdout)['trees']


def section(text, head):
    """The rows of a table of the plain output, as lists of words."""
    rows, inside = [], False
    for line in text.splitlines():
        words = line.split()
        if words[:1] == [head]:
            inside = True
        elif not words or not line.startswith((' ', 'w', 'gone', '-')):
            inside = False
        elif words[0].isupper():
            inside = False
        elif inside:
            rows.append(words)
    return rows
