# SPDX-License-Identifier: PostgreSQL
"""Concurrent load in which every answer is checked against its own request, and the count of it.

The one rule: each request sent ends as exactly one of correct, failed or wrong row.
"""

import http.client
import json
import re
import secrets
import threading
import time
from collections import Counter, defaultdict

from celery import Celery

CLIENTS = 24        # at once; more than the server's threads, so that the load outlives stuck ones
NO_ANSWER_S = 5     # a request without an answer for so long has failed
NO_ANSWER = 'no answer within %d s' % NO_ANSWER_S
LOAD_LIMIT_S = 4    # no further request is sent after that, so that a slow machine ends in time too


def normalise(text):
    """One line for one kind of error: without wrapping classes, numbers and unprintable bytes."""
    text = text.strip()
    line = text.splitlines()[0] if text else 'error without a text'
    line = re.sub(r'^(\([\w.]+\)\s*)+', '', line)
    line = re.sub(r'"[^"]"', '"?"', re.sub(r'\b\d+\b', 'N', line))
    line = ''.join(char if char.isprintable() else '?' for char in line)
    return line if len(line) <= 100 else line[:97] + '...'


class Tally:
    """What became of the requests; filled from many threads."""

    def __init__(self):
        self._lock = threading.Lock()
        self.sent = self.correct = self.wrong = 0
        self.errors = Counter()
        self.workers_of = defaultdict(set)  # server session (backend pid) -> processes that used it

    @property
    def failed(self):
        return sum(self.errors.values())

    @property
    def open(self):
        """Sent and neither answered nor given up."""
        return self.sent - self.correct - self.failed - self.wrong

    def send(self):
        with self._lock:
            self.sent += 1

    def answer(self, nonce, answer):
        with self._lock:
            if answer['nonce'] == nonce:
                self.correct += 1
            else:
                self.wrong += 1
            self.workers_of[answer['session']].add(answer['worker'])

    def error(self, text):
        with self._lock:
            self.errors[text] += 1


def get(port, path):
    """One GET on a connection of its own, so that requests spread over the workers."""
    conn = http.client.HTTPConnection('127.0.0.1', port, timeout=NO_ANSWER_S)
    try:
        conn.request('GET', path)
        response = conn.getresponse()
        return response.status, response.read().decode('utf-8', 'replace')
    finally:
        conn.close()


def one_request(port, tally):
    nonce = secrets.token_hex(8)
    tally.send()
    try:
        status, body = get(port, '/echo/' + nonce)
        if status == 200:
            tally.answer(nonce, json.loads(body))
        elif status == 500:
            tally.error(normalise(json.loads(body)['error']))
        else:
            tally.error('HTTP status %d' % status)
    except TimeoutError:
        tally.error(NO_ANSWER)
    except (OSError, http.client.HTTPException, ValueError) as err:
        tally.error(normalise('%s: %s' % (type(err).__name__, err)))


def http_load(port, requests, tally, progress):
    """Send requests from CLIENTS threads; returns when each has its outcome."""
    todo = iter(range(requests))
    todo_lock = threading.Lock()
    deadline = time.monotonic() + LOAD_LIMIT_S
    stopped = threading.Event()
    together = threading.Barrier(CLIENTS)

    def client():
        together.wait()
        while not stopped.is_set() and time.monotonic() < deadline:
            with todo_lock:
                if next(todo, None) is None:
                    return
            one_request(port, tally)

    threads = [threading.Thread(target=client, daemon=True) for _ in range(CLIENTS)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.1)
                progress(tally)
    finally:
        stopped.set()


def celery_load(url, requests, tally, progress):
    """Queue the tasks all at once, then collect their results until none came for NO_ANSWER_S."""
    client = Celery(broker=url, backend=url, set_as_current=False)
    try:
        nonce_of = {}
        for _ in range(requests):
            nonce = secrets.token_hex(8)
            tally.send()
            task = client.send_task('tasks.echo', [nonce])
            nonce_of[client.backend.get_key_for_task(task.id)] = nonce
        collect(client.backend, nonce_of, tally, progress)
    finally:
        client.close()


def collect(backend, nonce_of, tally, progress):
    last_answer = time.monotonic()
    while nonce_of:
        keys = list(nonce_of)
        for key, value in zip(keys, backend.mget(keys)):
            if value is not None:
                take_result(json.loads(value), nonce_of.pop(key), tally)
                last_answer = time.monotonic()
        progress(tally)
        if time.monotonic() - last_answer > NO_ANSWER_S:
            break
        time.sleep(0.1)
    for _ in nonce_of:
        tally.error(NO_ANSWER)


def take_result(meta, nonce, tally):
    if meta['status'] == 'SUCCESS':
        tally.answer(nonce, meta['result'])
        return
    message = meta['result']['exc_message']
    # A list of the exception's arguments; for some exceptions a plain string.
    tally.error(normalise(str(message[0]) if isinstance(message, list) and message else
                          '%s %s' % (meta['result']['exc_type'], message)))
