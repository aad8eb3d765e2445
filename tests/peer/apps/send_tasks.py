# SPDX-License-Identifier: PostgreSQL
"""The client of tasks.py: sends tasks, collects results, prints every reply with its nonce.

It uses no database. A task without a result in time has failed.
"""
import json
import os
import time

from celery import Celery
from celery.exceptions import TimeoutError as NoResult

TASKS = 60


def result_of(task, deadline):
    try:
        return task.get(timeout=max(deadline - time.monotonic(), 0.1))
    except NoResult:
        return {'error': 'no result in time'}


def main():
    with open(os.environ['APP_CONFIG'], encoding='utf-8') as file:
        config = json.load(file)
    with Celery(broker=config['redis'], backend=config['redis']) as app:
        nonces = ['t%d-%s' % (n, os.urandom(4).hex()) for n in range(TASKS)]
        sent = [(nonce, app.send_task('echo', [nonce])) for nonce in nonces]
        deadline = time.monotonic() + config['deadline']
        replies = [(nonce, result_of(task, deadline)) for nonce, task in sent]
    print(json.dumps({'replies': replies}))


if __name__ == '__main__':
    main()
