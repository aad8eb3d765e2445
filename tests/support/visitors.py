# SPDX-License-Identifier: PostgreSQL
"""Load on examples/records in which every answer is checked, for its tests, the demo, the soak.

Readers ask for pages whose content is known and ends as exactly one of: correct, soft (the page
that says the database is away), failed, wrong. Writers send each thing with a key of its own until
it is acknowledged, and again with the same key when no answer came; audit() then counts what became
of each in the database.

A request whose connection ended before the first byte of an answer is sent again on a new one, as
browsers and proxies do; `again` counts that.
"""
import contextlib
import hashlib
import http.client
import itertools
import random
import re
import secrets
import socket
import threading
import time
import urllib.parse
from collections import Counter
from dataclasses import dataclass

from .repeated import Repeated

NO_ANSWER_S = 30    # a request without an answer for so long has failed
AGAIN_MOST = 3      # on a machine that is slow enough the next worker can be killed too
RETRY_PAUSE_S = 0.05
TURN_S = 2 * NO_ANSWER_S
KEPT_ERRORS = 50    # with their texts; the rest are counted

CORRECT, SOFT, FAILED, WRONG = 'correct', 'soft', 'failed', 'wrong'


@dataclass
class Answer:
    """What came, or why nothing did: status is None then, and body the reason."""
    status: int
    headers: http.client.HTTPMessage
    body: bytes
    began: float
    ended: float
    again: int = 0

    @property
    def seconds(self):
        return self.ended - self.began

    @property
    def text(self):
        return self.body.decode('utf-8', 'replace')

    def marks(self):
        """The data- attributes of <body>: page, user, database."""
        head = re.search(r'<body([^>]*)>', self.text)
        return dict(re.findall(r'data-(\w+)="([^"]*)"', head.group(1))) if head else {}

    def field(self, name):
        """The value of a hidden field; None when the page has none."""
        for tag in re.findall(r'<input[^>]*>', self.text):
            if 'name="%s"' % name in tag:
                return re.search(r'value="([^"]*)"', tag).group(1)
        return None

    def __str__(self):
        return '%s %s after %.2f s: %s' % (self.status, self.marks(), self.seconds,
                                           ' '.join(self.text.split())[:120])


class Browser:
    """One client: a connection that is kept, cookies. Not for two threads at once."""

    def __init__(self, port, host='127.0.0.1', address=None):
        self.cookies = {}
        self.name = self.csrf = ''
        self._place = (host, port)
        self._source = (address, 0) if address else None
        self._conn = None

    def close(self):
        if self._conn:
            self._conn.close()
        self._conn = None

    def twin(self):
        """Another one in the same session."""
        browser = Browser(*reversed(self._place))
        browser.cookies = dict(self.cookies)
        browser.name, browser.csrf = self.name, self.csrf
        return browser

    def ask(self, method, path, body=None, headers=None):
        """The answer, also when there was none; only the mistakes of a caller are raised."""
        began, again = time.monotonic(), 0
        while True:
            try:
                response, data = self._exchange(method, path, body, headers or {})
                self._remember(response)
                return Answer(response.status, response.headers, data, began, time.monotonic(),
                              again)
            except (OSError, http.client.HTTPException) as err:
                self.close()
                if again < AGAIN_MOST and isinstance(err, (ConnectionError,
                                                           http.client.BadStatusLine)):
                    again += 1
                    continue
                return Answer(None, None, repr(err).encode(), began, time.monotonic(), again)

    def _exchange(self, method, path, body, headers):
        if self._conn is None:
            self._conn = http.client.HTTPConnection(*self._place, timeout=NO_ANSWER_S,
                                                    source_address=self._source)
            self._conn.connect()
            self._conn.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.cookies:
            jar = '; '.join('%s=%s' % pair for pair in self.cookies.items())
            headers = {'Cookie': jar, **headers}
        self._conn.request(method, path, body, headers)
        response = self._conn.getresponse()
        data = response.read()
        if response.will_close:
            self.close()
        return response, data

    def _remember(self, response):
        for line in response.headers.get_all('Set-Cookie') or []:
            name, _, value = line.partition(';')[0].partition('=')
            if value and not re.search(r'max-age=0\b', line, re.I):
                self.cookies[name] = value
            else:
                self.cookies.pop(name, None)

    def get(self, path, **headers):
        return self.ask('GET', path, headers=headers)

    def post(self, path, **fields):
        return self.ask('POST', path, urllib.parse.urlencode(fields).encode(),
                        {'Content-Type': 'application/x-www-form-urlencoded'})

    def upload(self, path, name, data, **fields):
        """A form with a file in the field `file`."""
        boundary = secrets.token_hex(16)
        parts = [b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
                 % (boundary.encode(), key.encode(), value.encode())
                 for key, value in fields.items()]
        parts.append(b'--%s\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n'
                     b'Content-Type: application/octet-stream\r\n\r\n%s\r\n--%s--\r\n'
                     % (boundary.encode(), name.encode(), data, boundary.encode()))
        return self.ask('POST', path, b''.join(parts),
                        {'Content-Type': 'multipart/form-data; boundary=' + boundary})

    def login(self, name, password):
        """Sign in by the form. @return the answer to the form"""
        form = self.get('/login')
        return self.post('/login', name=name, password=password, next='/',
                         csrf=form.field('csrf') or '')


class Tally:
    """What became of the requests; filled from many threads."""

    def __init__(self):
        self._lock = threading.Lock()
        self.counts = {}            # kind of request -> Counter of outcomes
        self.softs = []             # (kind, began, ended) of soft answers
        self.troubles = []          # texts of what failed or was wrong, the first of them
        self.again = 0
        self.times = []             # seconds of each request

    def note(self, kind, outcome, answer, why=''):
        with self._lock:
            self.counts.setdefault(kind, Counter())[outcome] += 1
            self.times.append(answer.seconds)
            self.again += answer.again
            if outcome == SOFT:
                self.softs.append((kind, answer.began, answer.ended))
            elif outcome in (FAILED, WRONG) and len(self.troubles) < KEPT_ERRORS:
                self.troubles.append('%s %s: %s %s' % (kind, outcome, why, answer))

    def strays(self, windows, grace_s):
        """How many reads were soft outside of these windows, in which there was no database. A
        write that says so is sent again, whatever the cause."""
        with self._lock:
            return sum(not any(window.holds(began, ended, grace_s) for window in windows)
                       for kind, began, ended in self.softs if not kind.startswith('write'))

    def total(self, outcome=None):
        """How many had an outcome; all of them without one."""
        with self._lock:
            return sum(count for one in self.counts.values() for name, count in one.items()
                       if outcome in (None, name))

    def slowest(self):
        with self._lock:
            return max(self.times, default=0.0)

    def percentile(self, share):
        with self._lock:
            ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


@dataclass
class Write:
    """One thing that is to be stored once."""
    kind: str       # document, note, lot
    key: str
    nonce: str      # in what is stored; found again by it
    attempts: int = 0
    stored: bool = False    # it was acknowledged


class World:
    """What is known to be there: filled by the service's own forms before the load begins."""

    def __init__(self, service, lots=20, documents=10):
        self.service = service
        self.salt = secrets.token_hex(8)
        self.lots = {}          # number -> title
        self.documents = {}     # id -> content
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        browser = service.browser('editor')
        for _ in range(lots):
            self._add_lot(browser)
        for _ in range(documents):
            self._add_document(browser)
        browser.close()

    def next_number(self):
        """A lot's number that was not used yet."""
        with self._lock:
            at = next(self._numbers)
        return '%d-%06d' % (1970 + at % 100, at)

    def _add_lot(self, browser):
        number = self.next_number()
        title = hashlib.sha256((self.salt + number).encode()).hexdigest()[:24]
        write = Write('lot', secrets.token_hex(8), title)
        answer = send(browser, self, write, number)
        assert is_stored(write, answer), answer
        self.lots[number] = title

    def _add_document(self, browser):
        write = Write('document', secrets.token_hex(8), 'doc-' + secrets.token_hex(8))
        answer = send(browser, self, write)
        assert is_stored(write, answer), answer
        row, = self.service.cluster.admin_sql('select id from documents where name = %s',
                                              params=[write.nonce])
        self.documents[row[0]] = content_of(write)


def content_of(write):
    """A document's bytes, of a size and look of their own."""
    block = hashlib.sha512(write.nonce.encode()).digest()
    return block * (1 + block[0] % 32)


def send(browser, world, write, number=None):
    """One attempt. @param number of a lot"""
    if write.kind == 'document':
        return browser.upload('/documents', write.nonce, content_of(write), key=write.key,
                              csrf=browser.csrf)
    if write.kind == 'lot':
        return browser.post('/lots', number=number, title=write.nonce, key=write.key,
                            csrf=browser.csrf)
    lot = random.choice(list(world.lots))
    return browser.ask(
        'POST', '/inbox', ('{"key": "%s", "kind": "note", "payload": {"lot": "%s", "text": "%s"}}'
                           % (write.key, lot, write.nonce)).encode(),
        {'Content-Type': 'application/json', 'Authorization': 'Bearer ' + world.service.token})


def is_stored(write, answer):
    return answer.status == (202 if write.kind == 'note' else 303)


# ---- readers: (outcome, why) of an answer -------------------------------------------------------

def is_soft(answer):
    return answer.status in (200, 503) and answer.marks().get('database') == 'away'


def judge(answer, right):
    """@param right what must hold for a 200"""
    if is_soft(answer):
        return SOFT, ''
    if answer.status != 200:
        return FAILED, 'status'
    return (CORRECT, '') if right else (WRONG, 'content')


def read_lot(browser, world, tally):
    number, title = random.choice(list(world.lots.items()))
    answer = browser.get('/lots/' + number)
    text = answer.text
    others = sum(other in text for other in world.lots.values())
    tally.note('lot', *reorder(judge(answer, title in text and others == 1), answer))


def read_document(browser, world, tally):
    number, content = random.choice(list(world.documents.items()))
    answer = browser.get('/documents/%d' % number)
    tally.note('document', *reorder(judge(answer, answer.body == content), answer))


def read_home(browser, _world, tally):
    answer = browser.get('/')
    tally.note('home', *reorder(judge(answer, answer.marks().get('user') == browser.name), answer))


def reorder(judgement, answer):
    return judgement[0], answer, judgement[1]


READERS = (read_lot, read_lot, read_document, read_home)
WRITES = ('document', 'note', 'lot')


class Load(Repeated):
    """Readers and writers in threads, for the time of a `with` block.

        with Load(world) as load:
            ...trouble...
        load.tally, load.writes
    """

    def __init__(self, world, readers=8, writers=3, pause_s=0.0):
        self.world = world
        self.tally = Tally()
        self.writes = []
        self._turn = threading.Condition()
        self._asked = Counter()     # requests that are under way, by the id of their tally
        # One login for all of a role: the passwords' hashes are not what is to be looked at.
        reader, editor = (world.service.browser(role) for role in ('reader', 'editor'))
        self._browsers = [(reader if at < readers else editor).twin()
                          for at in range(readers + writers)]
        reader.close()
        editor.close()
        super().__init__(*[self._reads(at, browser) if at < readers else
                           self._writes(at - readers, browser)
                           for at, browser in enumerate(self._browsers)], interval_s=pause_s)

    def __exit__(self, *exc):
        try:
            super().__exit__(*exc)
        finally:
            for browser in self._browsers:
                browser.close()

    def turn(self):
        """Begin a new tally; the one so far, with all that was asked in its time."""
        with self._turn:
            tally, self.tally = self.tally, Tally()
            self._turn.wait_for(lambda: not self._asked[id(tally)], TURN_S)
            return tally

    @contextlib.contextmanager
    def _asking(self):
        """The tally that a request belongs to, from its beginning to its answer."""
        with self._turn:
            tally = self.tally
            self._asked[id(tally)] += 1
        try:
            yield tally
        finally:
            with self._turn:
                self._asked[id(tally)] -= 1
                self._turn.notify_all()

    def _reads(self, at, browser):
        def ask():
            with self._asking() as tally:
                READERS[at % len(READERS)](browser, self.world, tally)
        return ask

    def _writes(self, at, browser):
        kinds = itertools.cycle(WRITES[at % len(WRITES):] + WRITES[:at % len(WRITES)])
        return lambda: self._store(browser, next(kinds))

    def _store(self, browser, kind):
        """One thing, until it is acknowledged or the load ends."""
        write = Write(kind, secrets.token_hex(8), '%s-%s' % (kind[:3], secrets.token_hex(12)))
        number = self.world.next_number() if kind == 'lot' else None
        self.writes.append(write)
        while not write.stored and not (self.over.is_set() and write.attempts):
            with self._asking() as tally:
                answer = send(browser, self.world, write, number)
                write.attempts += 1
                write.stored = is_stored(write, answer)
                note_write(tally, write, answer)
            if not write.stored:
                time.sleep(RETRY_PAUSE_S)


def note_write(tally, write, answer):
    kind = 'write ' + write.kind
    # Not signed in as far as the service knows: the cookie was kept, the page is about that.
    if write.stored:
        tally.note(kind, CORRECT, answer)
    elif answer.status == 503:
        tally.note(kind, SOFT, answer)
    else:
        tally.note(kind, FAILED, answer, 'attempt %d' % write.attempts)


# ---- what became of the writes ------------------------------------------------------------------

STORED = {
    'document': 'select name, count(*) from documents where name = any(%s) group by 1',
    'lot': 'select title, count(*) from lots where title = any(%s) group by 1',
    'note': 'select text, count(*) from notes where text = any(%s) group by 1',
}


@dataclass
class Audit:
    """Of writes, by what is in the database."""
    stored: int     # acknowledged, and there once
    unsure: int     # never acknowledged; there or not
    lost: list      # acknowledged and not there
    twice: list     # there more than once

    def __str__(self):
        return '%d acknowledged and there, %d not acknowledged, %d lost, %d twice' % (
            self.stored, self.unsure, len(self.lost), len(self.twice))


def audit(cluster, writes):
    """Count them; jobs have to be done by then."""
    found = {}
    for kind, query in STORED.items():
        found[kind] = dict(cluster.admin_sql(
            query, params=[[write.nonce for write in writes if write.kind == kind]]))
    counts = [(write, found[write.kind].get(write.nonce, 0)) for write in writes]
    return Audit(sum(write.stored and count == 1 for write, count in counts),
                 sum(not write.stored for write, _ in counts),
                 [write for write, count in counts if write.stored and not count],
                 [write for write, count in counts if count > 1])
