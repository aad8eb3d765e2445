# SPDX-License-Identifier: PostgreSQL
"""The third act: examples/records under load, while its database and workers are taken from it."""

import os
import tempfile
import time
from dataclasses import dataclass

from support import procs, troubles, visitors
from support.cluster import Cluster
from support.service import Service

from .terminal import DIM, GREEN, RED, draw_table

SCENE_S = 6
AWAY_S = 5
READERS, WRITERS = 8, 3
JOBS_S = 60
RECOVERY_S = 5      # in which the way back to the server is found
ACQUIRE_S = 5       # the service's own default

HEADINGS = ('what happens', 'requests', 'correct', 'says: away', 'FAILED', 'WRONG', 'sent again',
            'p50 ms', 'slowest ms')
LEGEND = (
    'says: away   a page that says the database is away, soon and with status 200 or 503; what was',
    '             to be written is sent again with the same key.',
    'sent again   because the connection ended before an answer, as any client does it.',
    'Every answer is compared with what must be in it, every write is looked for in the database.')


@dataclass
class Scene:
    """A trouble and what came of it."""
    name: str
    tally: visitors.Tally
    windows: list       # when there was no database
    cuts: bool          # connections of clients may have ended without an answer

    def broken(self):
        """The promises that were not kept, a text each."""
        tally, found = self.tally, []
        for outcome in (visitors.FAILED, visitors.WRONG):
            if tally.total(outcome):
                found.append('%d %s: %s' % (tally.total(outcome), outcome, tally.troubles[:1]))
        strays = tally.strays(self.windows, RECOVERY_S)
        if strays:
            found.append('%d reads said: away, and the database was there' % strays)
        if tally.again and not self.cuts:
            found.append('%d connections were cut' % tally.again)
        if not tally.total(visitors.CORRECT):
            found.append('no correct answer')
        return found

    def row(self):
        tally = self.tally
        return (self.name, *map(str, (
            tally.total(), tally.total(visitors.CORRECT), tally.total(visitors.SOFT),
            tally.total(visitors.FAILED), tally.total(visitors.WRONG), tally.again,
            round(tally.percentile(0.5) * 1e3), round(tally.slowest() * 1e3))))


class Act:
    """Runs the scenes on one service; a `with` block."""

    def __init__(self, terminal, scene_s=SCENE_S):
        self.terminal = terminal
        self.scene_s = scene_s
        self.cluster = Cluster(max_connections=150, settings=troubles.DURABLE)
        self.service = self.web = self.load = None
        self._folder = None

    def __enter__(self):
        self.cluster.start()
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _start(self):
        # Goes when the cluster goes.
        self._folder = tempfile.mkdtemp(prefix='act-', dir=self.cluster.dir)
        self.service = Service(self.cluster, self._folder, name='records').start()
        port = procs.free_port()
        self.web = procs.Proc(
            [procs.tine_path(), 'web', '--listen', '127.0.0.1:%d' % port, 'records'],
            env={'TINE_BOARD_DIRECTORY': self._folder}).start()
        self.web.wait_ready(lambda: procs.port_open(port))
        self.status_url = 'http://127.0.0.1:%d/' % port
        self.load = visitors.Load(visitors.World(self.service), READERS, WRITERS, pause_s=0.005)

    def __exit__(self, *exc):
        for part in (self.web, self.service, self.cluster):
            if part:
                part.stop()

    def show_addresses(self):
        for name, text in (
                ('service', self.service.url),
                ('sign in as', 'admin, password %s' % self.service.passwords['admin']),
                ('status page', self.status_url),
                ('the same, in it', self.service.url + 'status')):
            self.terminal.line('  %-16s %s' % (name, text))

    # ---- scenes ----------------------------------------------------------------------------------

    def scenes(self):
        """(name, function that makes the trouble and gives its windows, may cut connections)"""
        return (
            ('nothing', self._nothing, False),
            ('a session ended each 0.1 s', self._terminated, False),
            ('the server restarts', self._restart, False),
            ('the server is away for %d s' % AWAY_S, self._away, False),
            ('TLS is switched off for %d s' % AWAY_S, self._without_tls, False),
            ('a worker killed each second', self._killed, True),
            ('reloads', self._reloads, True),
        )

    def play(self, name, make, cuts):
        """One scene, with the load running."""
        self.load.turn()
        windows = make()
        return Scene(name, self.load.turn(), windows, cuts)

    def _watch(self, seconds):
        """Let time pass, and show what comes."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.1)
            tally = self.load.tally
            self.terminal.changing('  correct %d, away %d, failed %d, wrong %d' % tuple(
                map(tally.total, (visitors.CORRECT, visitors.SOFT, visitors.FAILED,
                                  visitors.WRONG))))
        return []

    def _nothing(self):
        return self._watch(self.scene_s)

    def _terminated(self):
        with troubles.terminated_backends(self.cluster):
            return self._watch(self.scene_s)

    def _restart(self):
        windows = [troubles.restart(self.cluster)]
        self._watch(self.scene_s)
        return windows

    def _away(self):
        return self._gone(troubles.away)

    def _without_tls(self):
        return self._gone(troubles.without_tls)

    def _gone(self, trouble):
        window = trouble(self.cluster, AWAY_S, lambda: self._watch(AWAY_S - 1))
        self._watch(self.scene_s)
        return [window]

    def _killed(self):
        with troubles.killed_workers(self.service):
            return self._watch(self.scene_s)

    def _reloads(self):
        end = time.monotonic() + self.scene_s
        while time.monotonic() < end:
            self.service.reload()
            self._watch(0.5)
        return []

    # ---- the end ---------------------------------------------------------------------------------

    def audit(self):
        """What became of the writes, when all jobs are done; the load must be over."""
        def settled():
            found = visitors.audit(self.cluster, self.load.writes)
            return found if not found.lost else None
        try:
            return procs.wait_until(settled, JOBS_S, 'the end of all jobs')
        except TimeoutError:
            return visitors.audit(self.cluster, self.load.writes)


def run(terminal, keep):
    """The whole act. @param keep until Ctrl-C  @return True when all that is promised was kept"""
    with Act(terminal) as act:
        act.show_addresses()
        terminal.line()
        played = []
        with act.load:
            for name, make, cuts in act.scenes():
                played.append(act.play(name, make, cuts))
                say_scene(terminal, played[-1])
            if keep:
                played += keep_on(terminal, act)
        found = act.audit()
    terminal.line()
    draw_table(terminal, HEADINGS, [('', scene.row(), RED if scene.broken() else GREEN)
                                    for scene in played], 1)
    terminal.line()
    for text in LEGEND:
        terminal.line(terminal.paint(text, DIM))
    terminal.line()
    terminal.line('Writes: %s' % found)
    bad = ['%s: %s' % (scene.name, text) for scene in played for text in scene.broken()]
    bad += ['writes: %s' % found] if found.lost or found.twice else []
    for text in bad:
        terminal.line(terminal.paint('  BROKEN: ' + text, RED))
    return not bad


def say_scene(terminal, scene):
    row = dict(zip(HEADINGS, scene.row()))
    terminal.line('  %-30s correct %s, away %s, failed %s, wrong %s' % (
        scene.name, row['correct'], row['says: away'], row['FAILED'], row['WRONG']))


def keep_on(terminal, act):
    """Again and again, until Ctrl-C; the scenes that were played to their end."""
    terminal.line()
    terminal.line('It goes on like this until Ctrl-C, which stops and removes everything.')
    act.show_addresses()
    terminal.line()
    played = []
    try:
        while True:
            for name, make, cuts in act.scenes():
                played.append(act.play(name, make, cuts))
                say_scene(terminal, played[-1])
                del played[:-len(act.scenes())]
    except KeyboardInterrupt:
        terminal.line()
    return played
