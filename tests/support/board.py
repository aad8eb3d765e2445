# SPDX-License-Identifier: PostgreSQL
"""A process that is on a board and does what a test tells it, and the commands that look at it."""
import json
import os
import random
import struct
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


BUSY = 3  # enum tine_seat_state


def whole_board(directory):
    """The bytes of a board with all kinds of things in it, whose processes are gone."""
    members = [Member(directory, 'name=original', 'budget=4') for _ in range(3)]
    for member in members:
        member.tell('seat', member.tell('take'), BUSY, 2, 1, 'label')
        member.tell('enter')
        member.tell('failed', member.tell('target', 5), -10, 1, 1000, 'text')
    path = members[0].path
    for member in members:
        member.kill()
    with open(path, 'rb') as file:
        data = file.read()
    os.unlink(path)
    return data


def hostile(board, seed):
    """What a process of the same user could do to a board, its head left as it is."""
    rng = random.Random(seed)
    head, kind = rng.choice([16, 24, 32, 4096]), seed % 5
    size = len(board) - head
    if kind == 0:
        return board[:head] + rng.randbytes(size)
    if kind == 1:
        return board[:head] + rng.choice([b'\x1b', b'\xff', b'\x7f', b'\x80', b'\n']) * size
    data = bytearray(board)
    for _ in range(rng.choice([10, 1000, 50000])):
        at = rng.randrange(head, len(data))
        data[at] = rng.choice([0, 1, 0x1b, 0x7f, 0x80, 0xff, rng.randrange(256)])
    if kind == 2:
        # Owners of every kind, in all words.
        for at in range(head - head % 8 + 8, len(data) - 8, 64):
            struct.pack_into('Q', data, at, rng.choice([0, 1, 0x10001, 0xffff, 1 << 63, 3 << 62]))
    return bytes(data)


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
