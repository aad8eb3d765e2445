# SPDX-License-Identifier: PostgreSQL
"""The terminal of the demo: colours, a line that changes, tables."""

import os
import shutil
import sys

RED, GREEN, BOLD, DIM = '31', '32', '1', '2'


def locale_is_utf8():
    """What the terminal was said to show; Python's own encoding is UTF-8 even in the C locale."""
    chosen = next(filter(None, map(os.environ.get, ('LC_ALL', 'LC_CTYPE', 'LANG'))), '')
    return chosen.lower().replace('-', '').endswith('utf8')


class Terminal:
    """stdout: colours and a line that changes only on a terminal, box drawing only in UTF-8."""

    def __init__(self, out=sys.stdout):
        self.out = out
        self.tty = out.isatty() and os.environ.get('TERM') != 'dumb'
        self.colours = self.tty and not os.environ.get('NO_COLOR')
        self.boxes = self.tty and locale_is_utf8()
        self._width = 0  # of the changing line

    def paint(self, text, colour):
        return '\033[%sm%s\033[0m' % (colour, text) if self.colours and colour else text

    def line(self, text=''):
        """A line that stays; replaces the changing one."""
        self.clear()
        print(text, file=self.out, flush=True)

    def changing(self, text):
        """Show text until the next call; nothing when stdout is no terminal."""
        if self.tty:
            # A line that wraps could not be taken back.
            text = text[:shutil.get_terminal_size().columns - 1]
            print('\r' + text.ljust(self._width), end='', file=self.out, flush=True)
            self._width = len(text)

    def clear(self):
        if self._width:
            print('\r' + ' ' * self._width, end='\r', file=self.out)
            self._width = 0


def draw_table(terminal, headings, rows, text_columns):
    """A line between groups. @param rows (group, cells, colour or None) of each
    @param text_columns so many, the first, are words and not figures"""
    widths = [max(map(len, column)) for column in zip(headings, *(cells for _, cells, _ in rows))]
    bar, dash, cross = ('│', '─', '┼') if terminal.boxes else ('|', '-', '+')

    def line(cells):
        padded = [cell.ljust(width) if i < text_columns else cell.rjust(width)
                  for i, (cell, width) in enumerate(zip(cells, widths))]
        return bar.join(padded)

    terminal.line(terminal.paint(line(headings), BOLD))
    above = None
    for group, cells, colour in rows:
        if group != above:
            terminal.line(cross.join(dash * width for width in widths))
        above = group
        terminal.line(terminal.paint(line(cells), colour))
