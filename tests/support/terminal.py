# SPDX-License-Identifier: PostgreSQL
"""A terminal for a program under test: a pty, and what a vt100 would show of its output."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

_SEQUENCE = re.compile(r'\x1b(?:\[([?\d;]*)([A-Za-z])|[()][A-B0-2]|([=>78DEM]))')


class Terminal:
    """Run a command on a vt100.

        with Terminal(['top'], rows=40, columns=120) as terminal:
            terminal.wait_for(lambda screen: 'load average' in screen)
            terminal.send('q')
            assert terminal.wait() == 0

    strange is what came that a vt100 does not know: sequences and control bytes.
    """

    def __init__(self, args, env=None, rows=40, columns=132, kind='vt100'):
        self.strange, self._pending = [], ''
        self._resize(rows, columns)
        self._master, slave = pty.openpty()
        self._set_size()
        self.modes = termios.tcgetattr(slave)
        self._slave = slave
        self._popen = subprocess.Popen(args, env={**(env or os.environ), 'TERM': kind},
                                       stdin=slave, stdout=slave, stderr=slave,
                                       start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self._popen.poll() is None:
            self._popen.kill()
            self._popen.wait(60)
        os.close(self._slave)
        os.close(self._master)

    def _resize(self, rows, columns):
        self._rows, self._columns, self._row, self._column = rows, columns, 0, 0
        self._top, self._bottom = 0, rows - 1  # what scrolls
        self._cells = [[' '] * columns for _ in range(rows)]

    def _set_size(self):
        fcntl.ioctl(self._master, termios.TIOCSWINSZ,
                    struct.pack('HHHH', self._rows, self._columns, 0, 0))

    def resize(self, rows, columns):
        self._resize(rows, columns)
        self._set_size()
        self._popen.send_signal(signal.SIGWINCH)

    def send(self, keys):
        os.write(self._master, keys.encode())

    def signal(self, number):
        self._popen.send_signal(number)

    def wait(self, timeout=60):
        """Its exit status."""
        deadline = time.monotonic() + timeout
        while self._popen.poll() is None and time.monotonic() < deadline:
            self._read(0.05)
        return self._popen.wait(0)

    def modes_now(self):
        return termios.tcgetattr(self._slave)

    def screen(self):
        return '\n'.join(''.join(row).rstrip() for row in self._cells)

    def wait_for(self, condition, timeout=60):
        """Read until condition(screen) holds. IndexError is a row that is not whole yet."""
        deadline = time.monotonic() + timeout
        while True:
            ended = self._popen.poll() is not None
            while self._read(0 if ended else 0.1):
                pass
            try:
                if condition(self.screen()):
                    return
            except IndexError:
                pass
            assert not ended, 'it has ended:\n' + self.screen()
            assert time.monotonic() < deadline, 'the screen never showed it:\n' + self.screen()

    # ---- the vt100 ------------------------------------------------------------------------------

    def _read(self, seconds):
        """True when there was something."""
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        text = self._pending + os.read(self._master, 65536).decode('latin-1')
        self._pending, at = '', 0
        while at < len(text):
            if text[at] != '\x1b':
                self._put(text[at])
                at += 1
                continue
            found = _SEQUENCE.match(text, at)
            if not found and len(text) - at < 16:
                self._pending = text[at:]  # the rest of it comes with the next bytes
                return True
            if not found:
                self.strange.append(text[at:at + 16])
                at += 1
                continue
            self._obey(found.group(1), found.group(2), found.group(3))
            at = found.end()
        return True

    def _put(self, char):
        if char == '\r':
            self._column = 0
        elif char == '\n':
            self._line_feed()
        elif char == '\b':
            self._column = max(self._column - 1, 0)
        elif char == '\t':
            self._column = min((self._column // 8 + 1) * 8, self._columns - 1)
        elif char in '\x0e\x0f':
            pass  # another set of characters
        elif ' ' <= char <= '~':
            column = min(self._column, self._columns - 1)
            self._cells[self._row][column] = char
            self._column = column + 1
        else:
            self.strange.append(char)

    def _obey(self, numbers, letter, plain):
        if plain == 'M':
            self._reverse_line_feed()
        elif plain == 'D':
            self._line_feed()
        if not letter or letter in 'mhl':
            return
        values = [int(n) if n.isdigit() else 0 for n in numbers.split(';')]
        many = max(values[0], 1)
        if letter == 'H':
            self._row = min(many, self._rows) - 1
            self._column = min(max((values + [1])[1], 1), self._columns) - 1
        elif letter == 'r':
            self._top, self._bottom = many - 1, (values + [0])[1] or self._rows
            self._bottom = min(self._bottom, self._rows) - 1
            self._row, self._column = 0, 0
        elif letter in 'ABCD':
            self._move(letter, many)
        elif letter in 'JK':
            self._erase(letter, values[0])
        else:
            self.strange.append(letter)

    def _line_feed(self):
        if self._row == self._bottom:
            del self._cells[self._top]
            self._cells.insert(self._bottom, [' '] * self._columns)
        else:
            self._row = min(self._row + 1, self._rows - 1)

    def _reverse_line_feed(self):
        if self._row == self._top:
            del self._cells[self._bottom]
            self._cells.insert(self._top, [' '] * self._columns)
        else:
            self._row = max(self._row - 1, 0)

    def _move(self, letter, many):
        if letter in 'AB':
            row = self._row + (many if letter == 'B' else -many)
            self._row = min(max(row, 0), self._rows - 1)
        else:
            column = self._column + (many if letter == 'C' else -many)
            self._column = min(max(column, 0), self._columns - 1)

    def _erase(self, letter, how):
        row = self._cells[self._row]
        if how == 0:
            row[self._column:] = [' '] * (self._columns - self._column)
        elif how == 1:
            row[:self._column + 1] = [' '] * (self._column + 1)
        else:
            row[:] = [' '] * self._columns
        if letter == 'J':
            below = range(self._row + 1, self._rows) if how == 0 else range(0, self._row)
            for other in range(self._rows) if how == 2 else below:
                self._cells[other] = [' '] * self._columns
