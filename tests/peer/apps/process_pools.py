# SPDX-License-Identifier: PostgreSQL
"""Forks a program makes by itself, on connections that were opened at import (see inherit.py).

usage: process_pools.py pool|executor|thread|job    prints one JSON object
"""
import concurrent.futures
import functools
import json
import multiprocessing
import os
import signal
import sys
import threading

import psycopg2

import inherit

JOBS = 30
CHILDREN = 2
DEADLINE = inherit.CONFIG['deadline'] + 2

parent_errors = []


def child_limits():
    """A child that waits for a reply which another process took must not wait for ever."""
    signal.alarm(inherit.CONFIG['deadline'])


def start_child(barrier):
    """No task is taken before every child is there to take some; but a child that replaces one
    which died does not wait for others."""
    child_limits()
    try:
        barrier.wait(DEADLINE)
    except threading.BrokenBarrierError:
        return


def with_pool(nonces):
    context = multiprocessing.get_context('fork')
    pool = context.Pool(CHILDREN, start_child, (context.Barrier(CHILDREN),))
    replies = pool.map_async(inherit.echo, nonces, chunksize=1).get(timeout=DEADLINE)
    pool.close()
    pool.join()
    return list(zip(nonces, replies))


def with_executor(nonces):
    context = multiprocessing.get_context('fork')
    executor = concurrent.futures.ProcessPoolExecutor(
        CHILDREN, context, start_child, (context.Barrier(CHILDREN),))
    replies = list(executor.map(inherit.echo, nonces, timeout=DEADLINE))
    executor.shutdown()
    return list(zip(nonces, replies))


def forked(work):
    """The JSON that work() returns in a child of its own; the child ends by _exit."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            child_limits()
            os.write(write_end, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(answer) if answer else [{'worker': pid, 'error': 'child died'}]


def job(nonce):
    """A job in a child of its own; one that failed is tried once more in the same child."""
    first = inherit.echo(nonce)
    return [first, inherit.echo(nonce)] if 'error' in first else [first]


def with_job_fork(nonces):
    """Like RQ: the parent looks into its database, then forks a child for one job."""
    replies = []
    for nonce in nonces:
        inherit.state()
        replies.append((nonce, forked(functools.partial(job, nonce))))
    return [(nonce, reply) for nonce, tries in replies for reply in tries]


class Busy(threading.Thread):
    """A thread of the parent that queries all the time, on a connection of its own."""

    def __init__(self, stop):
        super().__init__()
        self.stop, self.error, self.rounds = stop, None, 0
        self.conn = psycopg2.connect(inherit.CONFIG['conninfo'])
        self.conn.autocommit = True

    def run(self):
        cursor = self.conn.cursor()
        try:
            while not self.stop.is_set():
                cursor.execute('select %s::int from pg_sleep(0.001)', (self.rounds,))
                if cursor.fetchone() != (self.rounds,):
                    raise ValueError('a row that belongs to another query')
                self.rounds += 1
        except Exception as error:
            self.error = inherit.first_line(error)


def with_thread(nonces):
    """os.fork in one thread while others are in the middle of a query.

    The children leave those threads' connections alone: psycopg2 holds a lock on each while it
    is busy, which in the child nobody is left to release.
    """
    stop = threading.Event()
    busy = [Busy(stop) for _ in range(2)]
    for thread in busy:
        thread.start()

    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        forks = list(executor.map(lambda nonce: forked(functools.partial(job, nonce)), nonces))
    stop.set()
    for thread in busy:
        thread.join()
    parent_errors.extend(thread.error for thread in busy if thread.error)
    return [(nonce, reply) for nonce, tries in zip(nonces, forks) for reply in tries]


KINDS = {'pool': with_pool, 'executor': with_executor, 'thread': with_thread,
         'job': with_job_fork}


def main():
    nonces = [f'job-{n}' for n in range(JOBS)]
    replies = []
    try:
        replies = KINDS[sys.argv[1]](nonces)
    except (multiprocessing.TimeoutError, concurrent.futures.TimeoutError,
            concurrent.futures.BrokenExecutor) as error:
        parent_errors.append(repr(error))
    print(json.dumps({'replies': replies, 'state': inherit.state(),
                      'parent_errors': parent_errors}), flush=True)
    # A pool that has lost a child can hang in its own clean-up; whoever runs this ends the rest.
    os._exit(0)


if __name__ == '__main__':
    main()
