# SPDX-License-Identifier: PostgreSQL
"""Rows of a benchmark, and the programs that give their figures."""
import collections
import json
import os
import statistics
import subprocess

VERDICTS = {True: 'met', False: 'MISSED', None: 'not measured'}


class Report:
    """The rows so far, each printed as it comes."""

    def __init__(self):
        self.rows = []
        print(json.dumps({'bench': 'machine', 'processors': os.cpu_count(),
                          'load_before': round(os.getloadavg()[0], 2)}), flush=True)

    def add(self, bench, tine, peer, other, threads=1, target=None, unit='ns', **more):
        """Print and keep a row. tine and other: the values of the rounds, [] when there are none.
        Figures in another unit than ns have other names. target: a text and a function of the row,
        whose None says that it cannot be told.
        """
        row = {'bench': bench, 'peer': peer if other else None, 'threads': threads,
               'tine_' + unit: median(tine), 'peer_' + unit: median(other),
               'ratio': median_ratio(other, tine), **more}
        if target:
            text, is_met = target
            row.update(target=text, met=is_met(row))
        print(json.dumps({name: rounded(value) for name, value in row.items()}), flush=True)
        self.rows.append({**row, 'unit': unit})

    def show(self):
        print('\n%-50s %7s %11s %11s %-22s %6s  %s' % (
            '', 'threads', 'tine', 'peer', '', 'ratio', 'target'))
        for row in self.rows:
            tine, other = (readable(row[who + row['unit']], row['unit'])
                           for who in ('tine_', 'peer_'))
            verdict = '%s: %s' % (row['target'], VERDICTS[row['met']]) if 'target' in row else ''
            print('%-50s %7d %11s %11s %-22s %6s  %s' % (
                row['bench'], row['threads'], tine, other, row['peer'] or '',
                '-' if row['ratio'] is None else '%.2f' % row['ratio'], verdict))


def rounded(value):
    return round(value, 4 if abs(value) < 10 else 1) if isinstance(value, float) else value


def readable(value, unit):
    """Nanoseconds in a unit that fits; other numbers as they are."""
    if value is None:
        return '-'
    if unit != 'ns':
        return '%.4g' % value
    for limit, divisor, name in ((1e3, 1, 'ns'), (1e6, 1e3, 'us'), (1e10, 1e6, 'ms')):
        if value < limit:
            break
    return '%.*f %s' % (1 if value < 10 * divisor or name != 'ns' else 0, value / divisor, name)


def median(values):
    return statistics.median(values) if values else None


def median_ratio(values, others):
    """The median of the rounds' ratios, since what disturbs a machine lasts longer than a round."""
    ratios = [value / other for value, other in zip(values, others) if other]
    return median(ratios)


def at_least(ratio):
    return lambda row: None if row['ratio'] is None else row['ratio'] >= ratio


# ---- programs ------------------------------------------------------------------------------------

class Failed(Exception):
    """A program ended with an error, which is the text."""


def run(words, env):
    try:
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=170,
                              check=False, env={**os.environ, **env})
    except subprocess.TimeoutExpired as err:
        raise Failed('%s: no end within 170 s' % os.path.basename(words[0])) from err
    if done.returncode != 0:
        raise Failed('%s: %s' % (os.path.basename(words[0]), done.stderr.strip()))
    return done


def measured(words, env):
    """What a program of bench/ printed: a list for each key."""
    found = collections.defaultdict(list)
    for line in run(words, env).stdout.splitlines():
        key, value = line.split()
        found[key].append(float(value))
    return found
